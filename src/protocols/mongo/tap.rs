//! Tap mode: watches one connection's two byte streams and pairs requests with replies.
//!
//! decode → observe: each message that ends is looked up as a [`Route`](super::route::Route); a request waits in
//! [`Pairs`] for its reply; a reply that has been written to the client makes an [`Exchange`](crate::exchange::Exchange) whole,
//! and it is reported. Whatever the decoders think of the bytes, the relay passes them on: at the
//! first one that can't be, the tap counts why and goes blind for the rest of the connection.

use std::rc::Rc;
use std::time::Instant;

use narrows_parsers::mongo::{ReplyDecoder, RequestDecoder, Step};

use super::MongoListener;
use super::pairs::Pairs;
use crate::exchange::Outcome;
use crate::protocols::relay::{Observer, TLS, is_tls};

/// Why such a client is no longer paired.
const TOO_MANY_OUTSTANDING: &str = "too_many_outstanding";

/// Observes one client connection.
pub struct Tap {
    requests: RequestDecoder,
    replies: ReplyDecoder,
    blind: bool,
    requests_read: u64,
    replies_read: u64,
    pairs: Pairs,
}

impl Tap {
    /// A tap on a new connection of this listener.
    pub fn new(listener: Rc<MongoListener>) -> Self {
        Self {
            requests: RequestDecoder::new(),
            replies: ReplyDecoder::new(),
            blind: false,
            requests_read: 0,
            replies_read: 0,
            pairs: Pairs::new(listener),
        }
    }

    /// Requests without a complete reply.
    pub fn outstanding(&self) -> usize {
        self.pairs.len()
    }

    /// The connection ended: what was under way is reported as cut off.
    pub fn end(&mut self, outcome: Outcome) {
        self.pairs.cut(outcome);
    }

    fn go_blind(&mut self, reason: &'static str) {
        self.blind = true;
        self.pairs.forget(reason);
    }
}

impl Observer for Tap {
    fn request_read(&mut self, bytes: &[u8]) {
        let base = self.requests_read;
        if base == 0 && is_tls(bytes) {
            self.go_blind(TLS);
        }
        self.requests_read += bytes.len() as u64;
        let mut rest = bytes;
        while !self.blind && !rest.is_empty() {
            if self.requests.is_between_messages() {
                self.pairs.request_begins();
            }
            match self.requests.advance(rest) {
                Step::NeedMore => return,
                Step::Malformed(reason) => self.go_blind(reason.label()),
                Step::Message { consumed, message } => {
                    rest = rest.get(consumed..).unwrap_or_default();
                    let end = base + (bytes.len() - rest.len()) as u64;
                    if self.pairs.request(&message, end).is_err() {
                        self.go_blind(TOO_MANY_OUTSTANDING);
                    }
                }
            }
        }
    }

    fn request_writing(&mut self) {
        self.pairs.request_writing();
    }

    fn request_written(&mut self, total: u64) {
        self.pairs.request_written(total);
    }

    fn reply_read(&mut self, bytes: &[u8]) {
        let base = self.replies_read;
        self.replies_read += bytes.len() as u64;
        let mut rest = bytes;
        let read_at = Instant::now();
        while !self.blind && !rest.is_empty() {
            if self.replies.is_between_messages() {
                self.pairs.reply_begins(read_at);
            }
            match self.replies.advance(rest) {
                Step::NeedMore => return,
                Step::Malformed(reason) => self.go_blind(reason.label()),
                Step::Message { consumed, message } => {
                    rest = rest.get(consumed..).unwrap_or_default();
                    let end = base + (bytes.len() - rest.len()) as u64;
                    self.pairs.reply(&message, end, read_at);
                }
            }
        }
    }

    fn reply_written(&mut self, total: u64) {
        self.pairs.reply_written(total);
    }

    fn is_idle(&self) -> bool {
        !self.blind
            && self.pairs.len() == 0
            && self.requests.is_between_messages()
            && self.replies.is_between_messages()
    }
}
