//! Tap mode: watches one connection's two byte streams and pairs requests with replies.
//!
//! decode → observe: a request that ends waits in a [`Conversation`] for its reply; a reply that has been written to the client makes an
//! [`Exchange`] whole, and it is reported. Whatever is thought of the bytes, the relay passes them on: at the first doubt which reply
//! answers which request, the tap counts why and goes blind for the rest of the connection.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

use narrows_parsers::Step;
use narrows_parsers::redis::command::Class;
use narrows_parsers::redis::{ReplyDecoder, Request, RequestDecoder};

use super::RedisListener;
use super::commands::{RecentCommands, Series};
use super::conversation::{Confirmation, Conversation, Facts, Heard, Silent};
use super::report::{About, Application};
use crate::exchange::{AtUpstream, Exchange, Outcome, RedisPart, Timing};
use crate::protocols::relay::{Observer, TLS, is_tls};
use crate::stats::{Redis, RedisKeys, Scope};

/// Why such a client is no longer paired.
const TOO_MANY_OUTSTANDING: &str = "too_many_outstanding";

/// Requests of one connection that wait for a reply: `redis-cli --pipe` sends as much ahead as fits into the buffers on the way, some
/// megabytes of requests of thirty bytes. With more than 16 MiB of them to remember, a client is no longer paired.
const MAX_OUTSTANDING: usize = 200_000;

/// Room for exchanges that is kept when none is about to end.
const KEPT: usize = 32;

/// Observes one client connection.
pub struct Tap {
    listener: Rc<RedisListener>,
    requests: RequestDecoder,
    replies: ReplyDecoder,
    conversation: Conversation<Pending>,
    recent: RecentCommands,
    /// Which of the listener's clusters the connection is to.
    place: usize,
    bounds: Bounds,
    /// Bytes of requests that are for this server, once that is known.
    limit: Option<u64>,
    /// The request that it was lent for has come.
    asked: bool,
    /// It may wait for something to happen.
    waits: bool,
    /// The server has said that what was asked for is on another one.
    is_elsewhere: bool,
    is_refused: bool,
    application: Option<Application>,
    finishing: VecDeque<Finishing>,
    blind: bool,
    requests_read: u64,
    replies_read: u64,
    request_started: Instant,
    write_began: Instant,
    reply_started: Instant,
    /// Requests that wait for a reply and have been written, from the first one on.
    written: usize,
    /// Bytes of the replies that the first request has got so far.
    parts_bytes: u64,
    /// When the reply to the last request came that waited for something to happen. What was sent behind that request waited too.
    went_on: Instant,
}

/// A connection that a client is lent.
pub(super) struct Lent {
    /// Which of the listener's clusters it is to.
    pub(super) place: usize,
    /// Its server speaks version 3 of the protocol.
    pub(super) version_3: bool,
    /// It has been told MULTI.
    pub(super) is_queuing: bool,
    /// What may pass.
    pub(super) bounds: Bounds,
}

/// What may pass on a connection that a client is lent. Where keys are on several servers, what follows may be for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bounds {
    /// Whatever comes.
    None,
    /// One request.
    One,
    /// What a subscriber asks for: anything else that comes behind it ends the connection.
    Subscriber,
}

/// A request whose reply is not complete.
struct Pending {
    series: Rc<Series>,
    pattern: Option<Rc<Scope<RedisKeys>>>,
    start: Instant,
    written: Option<Instant>,
    /// Where the request ends in the stream.
    end: u64,
    bytes: u64,
    blocks: bool,
}

/// An exchange that ends when its reply has been written.
struct Finishing {
    series: Rc<Series>,
    pattern: Option<Rc<Scope<RedisKeys>>>,
    exchange: Exchange<RedisPart>,
    end: u64,
}

impl Tap {
    /// A tap on a new connection of this listener.
    pub fn new(listener: Rc<RedisListener>) -> Self {
        let now = Instant::now();
        Self {
            listener,
            requests: RequestDecoder::new(),
            replies: ReplyDecoder::new(),
            conversation: Conversation::new(),
            recent: RecentCommands::default(),
            place: 0,
            bounds: Bounds::None,
            limit: None,
            asked: false,
            waits: false,
            is_elsewhere: false,
            is_refused: false,
            application: None,
            finishing: VecDeque::new(),
            blind: false,
            requests_read: 0,
            replies_read: 0,
            request_started: now,
            write_began: now,
            reply_started: now,
            written: 0,
            parts_bytes: 0,
            went_on: now,
        }
    }

    /// A tap on a connection that a client is lent.
    pub(super) fn lent(
        listener: Rc<RedisListener>,
        lent: Lent,
        application: Option<Application>,
    ) -> Self {
        Self {
            conversation: Conversation::going_on(lent.version_3, lent.is_queuing),
            application,
            place: lent.place,
            bounds: lent.bounds,
            ..Self::new(listener)
        }
    }

    /// What has passed has left the connection as it was when it was lent.
    pub(super) fn is_as_it_was(&self) -> bool {
        self.conversation.is_as_it_was()
    }

    /// The last reply was an error.
    pub(super) fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// True when the server has said of something that it is on another one.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.is_elsewhere
    }

    /// The application, when the connection is given back.
    pub(super) fn leave(mut self) -> Option<Application> {
        self.application.take()
    }

    /// Requests without a complete reply.
    pub fn outstanding(&self) -> usize {
        self.conversation.len() + self.finishing.len()
    }

    /// The connection ended: what was under way is reported as cut off.
    pub fn end(&mut self, outcome: Outcome) {
        self.listener.active(-(self.conversation.len() as i64));
        for finishing in std::mem::take(&mut self.finishing) {
            let exchange = Exchange {
                timing: None,
                outcome: Outcome::ClientGone,
                ..finishing.exchange
            };
            self.report(&exchange, &finishing.series, finishing.pattern.as_deref());
        }
        let waiting: Vec<_> = self.conversation.give_up().collect();
        for (class, pending) in waiting {
            let outcome = match (class, outcome) {
                // "If it does there is no reply": the server went away as it was told.
                (Class::Shutdown, Outcome::UpstreamGone) => Outcome::Unacknowledged,
                _ => outcome,
            };
            let exchange = pending.exchange(outcome, false);
            self.report(&exchange, &pending.series, pending.pattern.as_deref());
        }
        self.application = None;
    }

    fn request(&mut self, facts: Facts, pending: Pending) {
        if self.conversation.len() >= MAX_OUTSTANDING {
            return self.go_blind(TOO_MANY_OUTSTANDING);
        }
        if let Some(reason) = facts.leaves() {
            return self.go_blind(reason);
        }
        self.listener.active(1);
        self.conversation.asked(facts, pending);
        self.pass_silent();
    }

    /// Requests whose turn has come and that get no reply are over.
    fn pass_silent(&mut self) {
        while let Some(silent) = self.conversation.next_silent() {
            let pending = match silent {
                Silent::Over(pending) => pending,
                Silent::Lost(reason) => return self.go_blind(reason),
            };
            self.written = self.written.saturating_sub(1);
            self.listener.active(-1);
            let exchange = pending.exchange(Outcome::Unacknowledged, false);
            self.report(&exchange, &pending.series, pending.pattern.as_deref());
        }
    }

    fn answered(&mut self, pending: Pending, reply: Answer, end: u64) {
        self.listener.active(-1);
        self.written = self.written.saturating_sub(1);
        self.is_refused = reply.is_error;
        let outcome = match reply.is_error {
            true => Outcome::Error,
            false => Outcome::Success,
        };
        let written = pending.written.unwrap_or(self.reply_started);
        let timing = Timing {
            start: pending.start.max(self.went_on),
            at_upstream: Some(AtUpstream {
                request_written: written.max(self.went_on),
                first_byte: self.reply_started,
                last_byte: reply.read_at,
            }),
            end: reply.read_at,
        };
        let mut exchange = pending.exchange(outcome, reply.queued);
        if exchange.part.blocked {
            self.went_on = reply.read_at;
        }
        exchange.timing = Some(timing);
        exchange.reply_bytes = std::mem::take(&mut self.parts_bytes);
        self.finishing.push_back(Finishing {
            series: pending.series,
            pattern: pending.pattern,
            exchange,
            end,
        });
    }

    fn report(
        &self,
        exchange: &Exchange<RedisPart>,
        series: &Series,
        pattern: Option<&Scope<RedisKeys>>,
    ) {
        let about = About {
            application: self.application.as_ref(),
            pattern,
        };
        self.listener.report(exchange, series, about);
    }

    /// What has its reply is still reported when that has been written.
    fn go_blind(&mut self, reason: &'static str) {
        self.blind = true;
        self.listener.decoding_error(reason);
        self.listener.active(-(self.conversation.len() as i64));
        self.conversation = Conversation::new();
        self.requests = RequestDecoder::new();
        self.replies = ReplyDecoder::new();
    }
}

/// True for what a subscriber asks for, and what is about no key.
fn is_of_subscriber(series: &Series, request: &Request<'_>) -> bool {
    let Some(command) = series.command else {
        return false;
    };
    let count = usize::try_from(request.count).unwrap_or(usize::MAX);
    let argument = |index| request.argument(index).map(|text| text.bytes);
    let is_one = matches!(
        command.class,
        Class::Subscribe(_) | Class::Unsubscribe(_) | Class::Monitor | Class::Quit | Class::Reset
    );
    (is_one || command.name == "ping") && command.key_positions(count, argument).len() == 0
}

/// What is kept of a reply when its bytes are gone.
struct Answer {
    is_error: bool,
    queued: bool,
    read_at: Instant,
}

impl Pending {
    fn of(
        listener: &RedisListener,
        series: Rc<Series>,
        request: &Request<'_>,
        start: Instant,
        end: u64,
    ) -> Self {
        Self {
            pattern: listener.request_seen(&series, request),
            blocks: series.blocks(request),
            series,
            start,
            written: None,
            end,
            bytes: request.bytes,
        }
    }

    /// What is queued in a transaction waits for nothing.
    fn exchange(&self, outcome: Outcome, queued: bool) -> Exchange<RedisPart> {
        Exchange {
            timing: None,
            outcome,
            request_bytes: self.bytes,
            reply_bytes: 0,
            part: RedisPart {
                blocked: self.blocks && !queued,
            },
        }
    }
}

impl Observer for Tap {
    fn request_read(&mut self, bytes: &[u8]) {
        let base = self.requests_read;
        if base == 0 && is_tls(bytes) {
            self.go_blind(TLS);
        }
        self.requests_read += bytes.len() as u64;
        if self.blind {
            return;
        }
        if self.limit.is_some() {
            return;
        }
        let waited = self.conversation.len();
        let read_at = Instant::now();
        if self.requests.is_between_messages() {
            self.request_started = read_at;
        }
        let mut rest = bytes;
        while !self.blind && !rest.is_empty() {
            match self.requests.advance(rest) {
                Step::NeedMore => break,
                Step::Malformed(reason) => self.go_blind(reason.label()),
                Step::Message { consumed, message } => {
                    rest = rest.get(consumed..).unwrap_or_default();
                    let end = base + (bytes.len() - rest.len()) as u64;
                    let series = self
                        .recent
                        .find(self.listener.commands(self.place), &message);
                    match self.bounds {
                        Bounds::None => {}
                        Bounds::One => {
                            self.limit = Some(end);
                            self.waits = series.blocks(&message);
                        }
                        // The first is what it was lent for.
                        Bounds::Subscriber
                            if self.asked && !is_of_subscriber(&series, &message) =>
                        {
                            self.limit = Some(end - message.bytes.min(end));
                            break;
                        }
                        Bounds::Subscriber => self.asked = true,
                    }
                    match self.listener.introduction(&series, &message) {
                        None if RedisListener::is_farewell(&series, &message) => {
                            self.application = None;
                        }
                        None => {}
                        application => self.application = application,
                    }
                    let facts = Facts::of(&message, series.command);
                    let start = self.request_started;
                    let pending = Pending::of(&self.listener, series, &message, start, end);
                    self.request(facts, pending);
                    self.request_started = read_at;
                    if self.limit.is_some() {
                        break;
                    }
                }
            }
        }
        let waits = self.conversation.len();
        if waits > waited {
            let stats = &self.listener.stats;
            stats.record(Redis::PIPELINE_DEPTH, waits as u64);
        }
    }

    fn request_limit(&self) -> Option<u64> {
        match self.blind && self.bounds != Bounds::None {
            // Nobody knows what it is for.
            true => Some(0),
            false => self.limit,
        }
    }

    fn waits(&self) -> bool {
        self.waits
    }

    fn is_over(&self) -> bool {
        match self.bounds {
            Bounds::None => false,
            Bounds::One => self.blind,
            Bounds::Subscriber => self.blind || self.limit.is_some(),
        }
    }

    /// The clock is read before the write: the server may have answered by the time it returns, and what it did meanwhile is the
    /// server's time.
    fn request_writing(&mut self) {
        if self.written < self.conversation.len() {
            self.write_began = Instant::now();
        }
    }

    fn request_written(&mut self, total: u64) {
        while let Some(pending) = self.conversation.get_mut(self.written)
            && pending.end <= total
        {
            pending.written = Some(self.write_began);
            self.written += 1;
        }
    }

    fn reply_read(&mut self, bytes: &[u8]) {
        let base = self.replies_read;
        self.replies_read += bytes.len() as u64;
        if self.blind {
            return;
        }
        let read_at = Instant::now();
        let mut rest = bytes;
        while !self.blind && !rest.is_empty() {
            if self.replies.is_between_messages() {
                self.reply_started = read_at;
            }
            match self.replies.advance(rest) {
                Step::NeedMore => return,
                Step::Malformed(reason) => self.go_blind(reason.label()),
                Step::Message { consumed, message } => {
                    self.listener.reply_seen(&message);
                    if message.is_error() {
                        let prefix = message.error_prefix();
                        self.is_elsewhere |= matches!(prefix, b"MOVED" | b"ASK" | b"CLUSTERDOWN");
                    }
                    let heard = self.conversation.heard(&message);
                    let (bytes_of_it, is_error) = (message.bytes, message.is_error());
                    rest = rest.get(consumed..).unwrap_or_default();
                    let end = base + (bytes.len() - rest.len()) as u64;
                    if !matches!(heard, Heard::Aside(_)) {
                        self.parts_bytes += bytes_of_it;
                    }
                    match heard {
                        Heard::Answer {
                            with,
                            queued,
                            confirms,
                        } => {
                            let answer = Answer {
                                is_error,
                                queued,
                                read_at,
                            };
                            self.confirmed(confirms);
                            self.answered(with, answer, end);
                        }
                        Heard::Part(confirms) => self.confirmed(Some(confirms)),
                        Heard::Aside(confirms) => {
                            self.confirmed(confirms);
                            self.listener.stats.inc(Redis::PUSHES);
                        }
                        Heard::Lost(reason) => self.go_blind(reason),
                    }
                    self.pass_silent();
                }
            }
        }
    }

    fn reply_written(&mut self, total: u64) {
        if self.finishing.is_empty() {
            return;
        }
        let now = Instant::now();
        while let Some(first) = self.finishing.front()
            && first.end <= total
        {
            let Some(mut finishing) = self.finishing.pop_front() else {
                return;
            };
            if let Some(timing) = &mut finishing.exchange.timing {
                timing.end = now;
            }
            self.report(
                &finishing.exchange,
                &finishing.series,
                finishing.pattern.as_deref(),
            );
        }
        // What a long pipeline took is given back.
        if self.finishing.capacity() > KEPT && self.finishing.is_empty() {
            self.finishing = VecDeque::new();
        }
    }

    fn is_idle(&self) -> bool {
        !self.blind
            && self.finishing.is_empty()
            && self.conversation.is_at_rest()
            && self.requests.is_between_messages()
            && self.replies.is_between_messages()
    }

    fn is_at_rest(&self) -> bool {
        let is_done = self.bounds == Bounds::One && self.limit.is_some();
        self.is_idle() && (is_done || self.conversation.is_as_it_was())
    }
}

impl Tap {
    fn confirmed(&self, confirms: Option<Confirmation>) {
        let Some(confirmation) = confirms else {
            return;
        };
        self.listener.stats.inc(match confirmation.ends() {
            true => Redis::UNSUBSCRIBED,
            false => Redis::SUBSCRIBED,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each idle connection pays for it.
    #[test]
    fn a_tap_is_small() {
        let bytes = size_of::<Tap>();
        assert!(bytes <= 1024, "{bytes}");
        let pending = size_of::<Pending>();
        assert!(pending <= 80, "{pending}");
        let finishing = size_of::<Finishing>();
        assert!(finishing <= 160, "{finishing}");
    }
}
