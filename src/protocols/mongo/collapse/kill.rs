//! `killCursors`: its cursors may live on several servers, each of which is asked for its own.

use std::time::Instant;

use bson::raw::RawDocumentBuf;

use super::operation::{Operation, Routed};
use super::{End, Session};
use crate::protocols::mongo::rewrite::{Killed, cursors_to_kill, killing_only};
use crate::protocols::mongo::wire;
use crate::upstream::EndpointId;

impl Session<'_> {
    /// Forwards the command when one server has all of its cursors, and splits it otherwise.
    pub(super) async fn kill_cursors(&mut self, operation: &mut Operation) -> Result<(), End> {
        let Some(split) = self.split(operation) else {
            return self.forward(operation, Routed::Cursor).await;
        };
        let mut killed = Killed::default();
        for (endpoint, cursors) in split.by_server {
            let Some(part) = killing_only(&split.body, &cursors) else {
                continue;
            };
            match self.call(operation, endpoint, &part).await? {
                Some(reply) => killed.add(&reply),
                // Its server is gone, and so are they.
                None => killed.not_found(&cursors),
            }
            for id in cursors {
                self.listener.pins.release_cursor(operation.database, id);
            }
        }
        killed.not_found(&split.unknown);
        self.answer(operation, &killed.reply()).await
    }

    /// Which server has which cursors; `None` when the command can go as it is.
    fn split(&self, operation: &Operation) -> Option<Split> {
        let now = Instant::now();
        let message = self.opened_message(operation);
        let body = wire::body(&message)?;
        let mut split = Split {
            body: body.to_owned(),
            by_server: Vec::new(),
            unknown: Vec::new(),
        };
        for id in cursors_to_kill(body) {
            let server = self.listener.pins.cursor(operation.database, id, now);
            let Some(server) = server else {
                split.unknown.push(id);
                continue;
            };
            match split
                .by_server
                .iter_mut()
                .find(|(known, _)| *known == server)
            {
                Some((_, cursors)) => cursors.push(id),
                None => split.by_server.push((server, vec![id])),
            }
        }
        let one_server = split.by_server.len() <= 1 && split.unknown.is_empty();
        let only_server = self.listener.servers.now().members.len() == 1;
        (!one_server && !only_server).then_some(split)
    }
}

struct Split {
    body: RawDocumentBuf,
    by_server: Vec<(EndpointId, Vec<i64>)>,
    unknown: Vec<i64>,
}
