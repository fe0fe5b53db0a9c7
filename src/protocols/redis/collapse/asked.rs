//! A request that has been sent over a shared connection and has not been answered: how it is answered, refused, or cut off.

use std::rc::Rc;
use std::time::Instant;

use super::client::{Client, Request};
use super::errors::Refusal;
use super::split::Merge;
use crate::exchange::{AtUpstream, Exchange, Outcome, RedisPart, Timing};

/// A request whose reply has not come whole.
pub(super) struct Asked {
    what: What,
    /// Where it begins and ends, among all bytes.
    pub(super) start: u64,
    pub(super) end: u64,
    /// When its last byte was given to the socket.
    pub(super) written: Option<Instant>,
    /// The request itself, where it may have to be sent elsewhere.
    pub(super) kept: Option<Box<[u8]>>,
    /// How often it has been sent elsewhere.
    pub(super) redirects: u8,
}

/// What is asked.
pub(super) enum What {
    /// The request of a client.
    Whole {
        client: Rc<Client>,
        /// Its number among the client's requests.
        number: u64,
        request: Request,
    },
    /// A part of one, by its number.
    Part(Rc<Merge>, usize),
}

/// What is known of a reply that has come whole.
pub(super) struct Answered {
    pub(super) outcome: Outcome,
    pub(super) bytes: u64,
    pub(super) first_byte: Instant,
    pub(super) last_byte: Instant,
}

impl Asked {
    /// Not sent yet. `kept` are its bytes, where it may have to be sent again.
    pub(super) fn new(what: What, kept: Option<Box<[u8]>>) -> Self {
        Self {
            what,
            start: 0,
            end: 0,
            written: None,
            kept,
            redirects: 0,
        }
    }

    /// Whose it is.
    pub(super) fn client(&self) -> &Rc<Client> {
        match &self.what {
            What::Whole { client, .. } => client,
            What::Part(merge, _) => merge.client(),
        }
    }

    /// A part of its reply has come.
    pub(super) fn hand_on(&self, part: &[u8]) {
        match &self.what {
            What::Whole { client, number, .. } => client.reply(*number, part, None),
            What::Part(merge, number) => merge.add(*number, part),
        }
    }

    /// Its reply, or the rest of it, has come.
    pub(super) fn answer(self, reply: &[u8], answered: Answered) {
        let from_server = answered.of_part(self.written);
        self.end(reply, Some(from_server), answered.bytes, answered.last_byte);
    }

    /// It is answered by the proxy, as that cluster can't.
    pub(super) fn refuse(self, refusal: &Refusal, cluster: &str) {
        self.end(&refusal.reply(cluster), None, 0, Instant::now());
    }

    /// It has its reply, whose server sent so many bytes, at that time.
    fn end(
        self,
        reply: &[u8],
        from_server: Option<(AtUpstream, Outcome)>,
        reply_bytes: u64,
        end: Instant,
    ) {
        let (client, number, request) = match self.what {
            What::Whole {
                client,
                number,
                request,
            } => (client, number, request),
            What::Part(merge, number) => return merge.answer(number, reply, from_server),
        };
        client.listener.active(-1);
        if client.is_gone() {
            return report_gone(&client, &request);
        }
        let (at_upstream, outcome) = match from_server {
            Some((at, outcome)) => (Some(at), outcome),
            None => (None, Outcome::UpstreamGone),
        };
        let timing = Timing {
            start: request.start,
            at_upstream,
            end,
        };
        let exchange = Exchange {
            reply_bytes,
            ..exchange(&request, outcome)
        };
        client.reply(number, reply, Some((request, exchange, timing)));
    }

    /// It gets no reply, and its client is closed.
    pub(super) fn cut(self) {
        match self.what {
            What::Part(merge, _) => merge.cut(),
            What::Whole {
                client, request, ..
            } => {
                let listener = &client.listener;
                listener.active(-1);
                let exchange = exchange(&request, Outcome::UpstreamGone);
                listener.report_of(&exchange, &request, None);
                client.break_off();
            }
        }
    }
}

/// The client has left before its reply came.
fn report_gone(client: &Client, request: &Request) {
    let exchange = exchange(request, Outcome::ClientGone);
    client.listener.report_of(&exchange, request, None);
}

/// What has ended so, without a reply as yet.
pub(super) fn exchange(request: &Request, outcome: Outcome) -> Exchange<RedisPart> {
    Exchange {
        timing: None,
        outcome,
        request_bytes: request.bytes,
        reply_bytes: 0,
        part: RedisPart { blocked: false },
    }
}
