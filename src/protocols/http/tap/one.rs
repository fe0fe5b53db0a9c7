//! HTTP/1: replies come in the order of their requests.

use std::time::Instant;

use narrows_parsers::Step;
use narrows_parsers::http1::{Event, ReplyDecoder, RequestDecoder, RequestHead, RequestKind, Seen};

use super::Watched;
use super::passing::{
    Finishing, MAX_OUTSTANDING, Passing, TOO_MANY_OUTSTANDING, UNEXPECTED_REPLY, Watch, reserve_one,
};
use crate::config::HttpVersion;
use crate::protocols::http::series::cut_caller;
use crate::protocols::http::session::Open;
use crate::stats::Http;

/// What is known of a connection in HTTP/1.
pub(super) struct One {
    requests: RequestDecoder,
    replies: ReplyDecoder,
    /// When the first byte was read of the request that comes, and where it is in the client's stream.
    began: (Instant, u64),
    /// When the server said something last.
    replied: Instant,
    /// When some of a reply was written that ends with its connection: the client may keep its side open for long after.
    wrote: Instant,
    /// Oldest first.
    outstanding: Vec<Outstanding>,
    finishing: Finishing<Passing>,
    tunnel: Option<Tunnel>,
}

/// A request whose reply is not complete.
struct Outstanding {
    passing: Passing,
    kind: RequestKind,
    /// Where its head begins in the client's stream.
    begins: u64,
    /// Where the first byte of its reply, an interim one included, is in the server's stream.
    reply_begins: Option<u64>,
}

/// The exchange after which the connection became a tunnel.
struct Tunnel {
    passing: Passing,
    _open: Open,
}

impl One {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            requests: RequestDecoder::new(),
            replies: ReplyDecoder::new(),
            began: (now, 0),
            replied: now,
            wrote: now,
            outstanding: Vec::new(),
            finishing: Finishing::new(),
            tunnel: None,
        }
    }

    /// Bytes of the client that begin at this place of its stream.
    pub(super) fn request_read(&mut self, watch: &mut Watch, bytes: &[u8], at: u64) -> Watched {
        let mut rest = bytes;
        let mut now = None;
        loop {
            let here = at + (bytes.len() - rest.len()) as u64;
            if !rest.is_empty() && self.requests.is_between_messages() {
                self.began = (*now.get_or_insert_with(Instant::now), here);
            }
            match self.requests.advance(rest) {
                Step::NeedMore => return Ok(()),
                Step::Malformed(reason) => return Err(reason.label()),
                Step::Message { consumed, message } => {
                    rest = rest.get(consumed..).unwrap_or_default();
                    match message {
                        Event::Head(seen) => {
                            if self.outstanding.len() >= MAX_OUTSTANDING {
                                return Err(TOO_MANY_OUTSTANDING);
                            }
                            reserve_one(&mut self.outstanding);
                            self.outstanding.push(begin(watch, self.began, &seen));
                        }
                        Event::End { .. } => self.request_ended(here + consumed as u64),
                    }
                }
            }
        }
    }

    /// The request that came last has been read to its end. It is not there any more when its reply was complete before.
    fn request_ended(&mut self, end: u64) {
        if let Some(newest) = self.outstanding.last_mut()
            && newest.passing.request_end.is_none()
        {
            newest.passing.request_end = Some(end);
            newest.passing.underway.request_bytes = end - newest.begins;
        }
    }

    /// A request has been read to its end that has not been written. When the newest one has been, all have.
    pub(super) fn has_unwritten(&self) -> bool {
        self.outstanding.last().is_some_and(|newest| {
            newest.passing.request_end.is_some()
                && newest.passing.underway.request_written.is_none()
        })
    }

    pub(super) fn request_written(&mut self, watch: &Watch, total: u64) {
        if !self.has_unwritten() {
            return;
        }
        for Outstanding { passing, .. } in &mut self.outstanding {
            if passing.request_end.is_some_and(|end| end <= total) {
                let written = &mut passing.underway.request_written;
                written.get_or_insert(watch.write_began);
            }
        }
    }

    pub(super) fn reply_read(&mut self, watch: &mut Watch, bytes: &[u8]) -> Watched {
        if self.tunnel.is_some() {
            return Ok(());
        }
        self.replied = Instant::now();
        let mut rest = bytes;
        loop {
            let here = watch.replies_read - rest.len() as u64;
            let Some(oldest) = self.outstanding.first_mut() else {
                return match rest {
                    [] => Ok(()),
                    _ => Err(UNEXPECTED_REPLY),
                };
            };
            if !rest.is_empty() && oldest.passing.underway.first_byte.is_none() {
                oldest.passing.underway.first_byte = Some(self.replied);
                oldest.reply_begins.get_or_insert(here);
            }
            match self.replies.advance(rest, oldest.kind) {
                Step::NeedMore => return Ok(()),
                Step::Malformed(reason) => return Err(reason.label()),
                Step::Message { consumed, message } => {
                    rest = rest.get(consumed..).unwrap_or_default();
                    match message {
                        // The reply itself has not begun.
                        Event::Head(seen) if seen.head.is_interim() => {
                            let begun = (!rest.is_empty()).then_some(self.replied);
                            oldest.passing.underway.first_byte = begun;
                        }
                        Event::Head(seen) => {
                            oldest.passing.underway.status = Some(seen.head.status);
                            if self.replies.is_tunnel() {
                                self.tunnel(watch);
                                return Ok(());
                            }
                        }
                        Event::End { .. } => self.reply_ended(watch, here + consumed as u64),
                    }
                }
            }
        }
    }

    /// The oldest request has its whole reply, which ends here.
    fn reply_ended(&mut self, watch: &Watch, end: u64) {
        if let Some(passing) = self.answered(watch, end) {
            self.finishing.push(end, passing);
        }
    }

    fn answered(&mut self, watch: &Watch, end: u64) -> Option<Passing> {
        if self.outstanding.is_empty() {
            return None;
        }
        let Outstanding {
            mut passing,
            begins,
            reply_begins,
            ..
        } = self.outstanding.remove(0);
        passing.reply_ended(&watch.listener, self.replied);
        passing.underway.reply_bytes = end - reply_begins.unwrap_or(end);
        if passing.request_end.is_none() {
            passing.underway.request_bytes = watch.requests_read - begins;
        }
        Some(passing)
    }

    /// Nothing that follows is a message, either way.
    fn tunnel(&mut self, watch: &Watch) {
        if self.outstanding.is_empty() {
            return;
        }
        let mut oldest = self.outstanding.remove(0);
        self.requests.tunnel();
        let listener = &watch.listener;
        listener.stats.inc(Http::DOWNSTREAM_CX_UPGRADES_TOTAL);
        let end = watch.replies_read;
        let bytes = end - oldest.reply_begins.unwrap_or(end);
        oldest.passing.underway.reply_bytes = bytes;
        self.tunnel = Some(Tunnel {
            passing: oldest.passing,
            _open: Open::new(listener, Http::DOWNSTREAM_CX_UPGRADES_ACTIVE),
        });
    }

    pub(super) fn reply_written(&mut self, total: u64) {
        if self.replies.content_at_end().is_some() {
            self.wrote = Instant::now();
        }
        self.finishing.written(total, |mut passing, now| {
            passing.underway.finish(now);
        });
    }

    pub(super) fn outstanding(&self) -> usize {
        self.outstanding.len() + self.finishing.len() + usize::from(self.tunnel.is_some())
    }

    pub(super) fn is_idle(&self) -> bool {
        self.outstanding() == 0
            && self.requests.is_between_messages()
            && self.replies.is_between_messages()
    }

    /// The connection ended. `in_order` when both sides had said all they had to, and all of it had been written.
    pub(super) fn end(&mut self, watch: &Watch, in_order: bool, by_upstream: bool) {
        if in_order && self.replies.content_at_end().is_some() {
            let last = self.answered(watch, watch.replies_read);
            last.into_iter()
                .for_each(|mut passing| passing.underway.finish(self.wrote));
        }
        if let Some(mut tunnel) = self.tunnel.take() {
            tunnel.passing.underway.finish_tunnel();
        }
        for Outstanding { passing, .. } in self.outstanding.drain(..) {
            passing.cut(by_upstream);
        }
        // What the server has said was not written: it is the client that left.
        self.finishing.take().for_each(|passing| passing.cut(false));
    }

    /// The connection is no longer followed: nothing is known of how what is under way ends.
    pub(super) fn forget(&mut self) {
        let outstanding = self.outstanding.drain(..);
        let outstanding = outstanding.map(|outstanding| outstanding.passing);
        for mut passing in outstanding.chain(self.finishing.take()) {
            passing.underway.forget();
        }
    }
}

fn begin(watch: &mut Watch, began: (Instant, u64), seen: &Seen<'_, RequestHead>) -> Outstanding {
    let (start, begins) = began;
    let name = watch.listener.config.caller_header.as_deref();
    let caller = name.and_then(|name| seen.value_of(name.as_bytes()));
    let caller = cut_caller(caller.unwrap_or_default());
    Outstanding {
        passing: watch.begin(HttpVersion::Http1, start, caller),
        kind: seen.head.kind,
        begins,
        reply_begins: None,
    }
}
