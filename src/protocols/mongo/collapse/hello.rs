//! `hello` and `isMaster`, at once or when something has changed. No server is asked: they stay right while all of them are down.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use bson::raw::RawDocumentBuf;

use super::login::LoginPart;
use super::operation::Operation;
use super::{End, Session};
use crate::exchange::CloseReason;
use crate::listener::sessions::Verdict;
use crate::protocols::mongo::errors::failure;
use crate::protocols::mongo::handshake::{Asked, Extras, Front, TopologyVersion, reply};
use crate::protocols::mongo::rewrite::with_more_to_come;
use crate::protocols::mongo::wire;
use crate::upstream::mongo::{Deployment, DeploymentKind};

impl Session<'_> {
    pub(super) async fn hello(&mut self, operation: &Operation) -> Result<(), End> {
        let message = self.opened_message(operation).into_owned();
        let body = wire::body(&message);
        let asked = body.map_or_else(
            || Ok(Asked::default()),
            |body| {
                let first = body.iter_elements().next().and_then(Result::ok);
                let name = first.map_or("hello", |first| first.key().as_str());
                Asked::read(name.as_bytes(), body)
            },
        );
        let asked = match asked {
            Ok(asked) => asked,
            Err(bad) => {
                let document = failure(bad.code, "BadValue", bad.message, &[]);
                return self.answer(operation, &document).await;
            }
        };
        if self.compression.is_empty() {
            self.compression.clone_from(&asked.compression);
        }
        if let Some((known, time)) = asked.awaits {
            // What is held is rare and large: it is not paid for by every session.
            return Box::pin(self.hold_hello(operation, asked, known, time)).await;
        }
        let login = body.map_or_else(LoginPart::default, |body| self.login_part(body));
        let document = self.hello_document(&asked, login);
        self.answer(operation, &document).await
    }

    /// Answers when there is something new, or when the time is over; and then again, when the client takes a stream.
    async fn hold_hello(
        &mut self,
        operation: &Operation,
        asked: Asked,
        mut known: TopologyVersion,
        time: Duration,
    ) -> Result<(), End> {
        let mut changed = self.listener.servers.changed();
        let handle = self.handle;
        let mut answers = operation.request_id;
        loop {
            let deadline = Instant::now() + time;
            loop {
                let counter = counter(*changed.borrow_and_update());
                if !known.is_current(counter) {
                    break;
                }
                tokio::select! {
                    biased;
                    end = self.left() => return Err(end),
                    verdict = handle.told_to_end() => match verdict {
                        Verdict::Idle => return Err(End::by_us(CloseReason::IdleTimeout)),
                        // The last word before the session ends, so that the client does not take it for a failure.
                        _ => break,
                    },
                    _ = changed.changed() => {}
                    () = sleep_until(deadline) => break,
                }
            }
            known = TopologyVersion::current(counter(*changed.borrow()));
            let document = self.hello_document(&asked, LoginPart::default());
            let id = self.next_reply_id();
            let mut message = wire::op_msg(id, answers, &document);
            let goes_on = operation.exhaust && !handle.is_draining();
            if goes_on {
                with_more_to_come(&mut message);
            }
            self.send_own(&message).await?;
            if !goes_on {
                return Ok(());
            }
            // "responseTo" of the next is the id of this one (OP_MSG, exhaust replies).
            answers = id;
        }
    }

    fn hello_document(&self, asked: &Asked, login: LoginPart) -> RawDocumentBuf {
        let version = counter(*self.listener.servers.changed().borrow());
        let front = front(&self.listener.servers.now());
        let extras = Extras {
            connection_id: self.connection_id,
            compression: &self.compression,
            topology_version: self.listener.streams_hello.then_some(version),
            mechanisms: login.mechanisms,
            speculative: login.speculative,
        };
        reply(&front, asked, extras)
    }
}

/// What the proxy says of itself: what all its servers can do.
fn front(deployment: &Deployment) -> Front {
    Front::of(
        matches!(
            deployment.kind,
            DeploymentKind::Standalone | DeploymentKind::Unknown
        ),
        deployment.wire_range().map(|(_, max)| max),
        deployment
            .limits()
            .map(|limits| [limits.max_bson, limits.max_message, limits.max_batch]),
        deployment.session_timeout_minutes(),
    )
}

/// The wire has a signed number.
fn counter(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}
