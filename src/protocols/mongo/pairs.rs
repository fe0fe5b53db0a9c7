//! Requests and their replies, paired by id: what makes exchanges of messages.

use std::rc::Rc;
use std::time::Instant;

use narrows_parsers::mongo::{QueryClass, Reply, Request};

use super::MongoListener;
use super::lifecycle::{Event, TransactionKey};
use super::report::Application;
use super::route::{Names, RecentRoutes, Route, Verb};
use crate::exchange::{AtUpstream, Exchange, MongoPart, Outcome, Timing, Wait};
use crate::stats::Mongo;

/// Requests of one connection that wait for a reply. Drivers send one at a time; a client that
/// sends a thousand ahead is no longer paired, so that it can't make the proxy remember more.
const MAX_OUTSTANDING: usize = 1_000;

/// Requests that wait for their reply, and replies that wait to be written.
pub(super) struct Pairs {
    listener: Rc<MongoListener>,
    application: Option<Application>,
    routes: RecentRoutes,
    request_started: Instant,
    write_began: Instant,
    reply_started: Instant,
    outstanding: Vec<Outstanding>,
    finishing: Vec<Finishing>,
}

/// A request whose reply is not complete.
struct Outstanding {
    route: Rc<Route>,
    request: Seen,
    /// The id that the next reply to it will carry as `responseTo`.
    awaited: i32,
    /// Where the request ends in the stream.
    end: u64,
    written: Option<Instant>,
    /// Exhaust replies so far.
    first_byte: Option<Instant>,
    documents_returned: u64,
    reply_bytes: u64,
}

/// What the report needs of a request when its bytes are gone.
#[derive(Clone, Copy)]
struct Seen {
    start: Instant,
    bytes: u64,
    documents: u64,
    wait: Wait,
    query_class: Option<QueryClass>,
    cursor: Option<i64>,
    transaction: Option<TransactionKey>,
    opens_long_wait: bool,
}

/// An exchange that ends when its reply has been written.
struct Finishing {
    route: Rc<Route>,
    exchange: Exchange<MongoPart>,
    timing: Timing,
    end: u64,
}

impl Pairs {
    pub(super) fn new(listener: Rc<MongoListener>) -> Self {
        let now = Instant::now();
        Self {
            listener,
            application: None,
            routes: RecentRoutes::default(),
            request_started: now,
            write_began: now,
            reply_started: now,
            outstanding: Vec::new(),
            finishing: Vec::new(),
        }
    }

    /// The first byte of a request has been read.
    pub(super) fn request_begins(&mut self) {
        self.request_started = Instant::now();
    }

    /// The first byte of a reply has been read, at `read_at`.
    pub(super) fn reply_begins(&mut self, read_at: Instant) {
        self.reply_started = read_at;
    }

    /// Requests without a reply, and replies that are not written yet.
    pub(super) fn len(&self) -> usize {
        self.outstanding.len() + self.finishing.len()
    }

    /// A request has been read to its end. `Err` when too many wait.
    pub(super) fn request(&mut self, request: &Request<'_>, end: u64) -> Result<(), ()> {
        let route = self.routes.find(
            &self.listener.routes,
            &Names {
                command: request.command,
                database: request.database,
                collection: request.collection,
                call_site: request.call_site.unwrap_or_default(),
            },
        );
        if let Some(hello) = &request.hello
            && self.application.is_none()
            && !(hello.application.is_empty() && hello.driver.is_empty())
        {
            self.application = Some(self.listener.application(hello));
        }
        let seen = self.seen(request, route.verb);
        self.listener.request_seen(&route, request);
        if request.start_transaction
            && let Some(key) = seen.transaction
        {
            self.listener.note(seen.start, Event::TransactionBegan(key));
        }
        if request.more_to_come {
            let exchange = seen.exchange(Outcome::Unacknowledged);
            self.listener
                .report(&exchange, &route, self.application.as_ref());
            return Ok(());
        }
        if self.outstanding.len() >= MAX_OUTSTANDING {
            return Err(());
        }
        self.listener.stats.gauge_add(Mongo::OP_QUERY_ACTIVE, 1);
        reserve_one(&mut self.outstanding);
        self.outstanding.push(Outstanding {
            route,
            request: seen,
            awaited: request.header.request_id,
            end,
            written: None,
            first_byte: None,
            documents_returned: 0,
            reply_bytes: 0,
        });
        Ok(())
    }

    fn seen(&self, request: &Request<'_>, verb: Verb) -> Seen {
        let waits_on_cursor = verb == Verb::GetMore
            && request
                .cursor_id
                .is_some_and(|id| self.listener.long_waits.contains(id));
        let awaitable_hello = request.hello.as_ref().is_some_and(|hello| hello.awaitable);
        Seen {
            start: self.request_started,
            bytes: u64::from(request.header.length),
            documents: u64::from(request.documents),
            wait: match (awaitable_hello, waits_on_cursor) {
                (true, _) => Wait::AwaitableHello,
                (_, true) => Wait::Cursor,
                _ => Wait::Work,
            },
            query_class: request.query_class,
            cursor: request.cursor_id,
            transaction: transaction_key(request),
            opens_long_wait: request.change_stream || (request.tailable && request.await_data),
        }
    }

    /// The clock is read before the write: the server may have answered by the time it returns, and
    /// what it did meanwhile is the server's time.
    pub(super) fn request_writing(&mut self) {
        if self.has_unwritten() {
            self.write_began = Instant::now();
        }
    }

    pub(super) fn request_written(&mut self, total: u64) {
        if !self.has_unwritten() {
            return;
        }
        for waiting in &mut self.outstanding {
            if waiting.written.is_none() && waiting.end <= total {
                waiting.written = Some(self.write_began);
            }
        }
    }

    /// Newest last: when that one has been written, all have.
    fn has_unwritten(&self) -> bool {
        self.outstanding
            .last()
            .is_some_and(|last| last.written.is_none())
    }

    /// A reply has been read to its end, at `read_at`.
    pub(super) fn reply(&mut self, reply: &Reply<'_>, end: u64, read_at: Instant) {
        self.listener.reply_seen(reply);
        let Some(index) = self
            .outstanding
            .iter()
            .position(|waiting| waiting.awaited == reply.header.response_to)
        else {
            self.listener.stats.inc(Mongo::UNPAIRED_REPLIES);
            return;
        };
        let reply_started = self.reply_started;
        let Some(waiting) = self.outstanding.get_mut(index) else {
            return;
        };
        waiting.documents_returned += u64::from(reply.documents.unwrap_or(0));
        waiting.reply_bytes += u64::from(reply.header.length);
        let first_byte = *waiting.first_byte.get_or_insert(reply_started);
        if reply.more_to_come {
            // "responseTo" of the next one is this one's requestID (OP_MSG, exhaust replies).
            waiting.awaited = reply.header.request_id;
            self.listener.stats.inc(Mongo::EXHAUST_REPLIES);
            return;
        }
        let waiting = self.outstanding.remove(index);
        self.listener.stats.gauge_add(Mongo::OP_QUERY_ACTIVE, -1);
        self.listener
            .follow(&waiting.route, reply, &waiting.request.into(), read_at);
        let timing = Timing {
            start: waiting.request.start,
            at_upstream: Some(AtUpstream {
                request_written: waiting.written.unwrap_or(first_byte),
                first_byte,
                last_byte: read_at,
            }),
            end: read_at,
        };
        let exchange = waiting.finished(reply);
        reserve_one(&mut self.finishing);
        self.finishing.push(Finishing {
            route: waiting.route,
            exchange,
            timing,
            end,
        });
    }

    pub(super) fn reply_written(&mut self, total: u64) {
        if self.finishing.is_empty() {
            return;
        }
        let now = Instant::now();
        let written = self
            .finishing
            .iter()
            .take_while(|finishing| finishing.end <= total)
            .count();
        for mut finishing in self.finishing.drain(..written) {
            finishing.timing.end = now;
            finishing.exchange.timing = Some(finishing.timing);
            self.listener.report(
                &finishing.exchange,
                &finishing.route,
                self.application.as_ref(),
            );
        }
    }

    pub(super) fn cut(&mut self, outcome: Outcome) {
        self.listener
            .stats
            .gauge_add(Mongo::OP_QUERY_ACTIVE, -(self.outstanding.len() as i64));
        let listener = &self.listener;
        let application = self.application.as_ref();
        for finishing in self.finishing.drain(..) {
            let exchange = Exchange {
                outcome: Outcome::ClientGone,
                ..finishing.exchange
            };
            listener.report(&exchange, &finishing.route, application);
        }
        for waiting in self.outstanding.drain(..) {
            let mut exchange = waiting.request.exchange(outcome);
            exchange.reply_bytes = waiting.reply_bytes;
            exchange.part.documents_returned = waiting.documents_returned;
            listener.report(&exchange, &waiting.route, application);
        }
        self.application = None;
    }

    /// The tap goes blind: nothing that waits will ever be paired.
    pub(super) fn forget(&mut self, reason: &'static str) {
        self.listener.decoding_error(reason);
        self.listener
            .stats
            .gauge_add(Mongo::OP_QUERY_ACTIVE, -(self.outstanding.len() as i64));
        self.outstanding = Vec::new();
        self.finishing = Vec::new();
    }
}

impl Outstanding {
    fn finished(&self, reply: &Reply<'_>) -> Exchange<MongoPart> {
        let error_code = reply
            .code
            .filter(|_| reply.ok == Some(false))
            .or(reply.first_write_error)
            .or(reply.write_concern_error);
        let failed = reply.ok == Some(false) || reply.query_failure || error_code.is_some();
        let written = match self.route.verb {
            Verb::Insert | Verb::Delete => reply.n,
            Verb::Update => reply.n_modified.or(reply.n),
            _ => None,
        };
        let outcome = match failed {
            true => Outcome::Error,
            false => Outcome::Success,
        };
        Exchange {
            reply_bytes: self.reply_bytes,
            part: MongoPart {
                wait: self.request.wait,
                error_code,
                query_class: self.request.query_class,
                documents_returned: self.documents_returned,
                documents_written: written.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
            },
            ..self.request.exchange(outcome)
        }
    }
}

impl Seen {
    fn exchange(&self, outcome: Outcome) -> Exchange<MongoPart> {
        Exchange {
            timing: None,
            outcome,
            request_bytes: self.bytes,
            reply_bytes: 0,
            part: MongoPart {
                wait: self.wait,
                error_code: None,
                query_class: self.query_class,
                documents_returned: 0,
                documents_written: match outcome {
                    Outcome::Unacknowledged => self.documents,
                    _ => 0,
                },
            },
        }
    }
}

/// What a reply may end or begin beyond its own exchange.
pub(super) struct Continues {
    /// The cursor the request named.
    pub cursor: Option<i64>,
    /// The transaction the request belongs to.
    pub transaction: Option<TransactionKey>,
    /// A cursor that this reply opens will be waited on.
    pub opens_long_wait: bool,
}

impl From<Seen> for Continues {
    fn from(seen: Seen) -> Self {
        Self {
            cursor: seen.cursor,
            transaction: seen.transaction,
            opens_long_wait: seen.opens_long_wait,
        }
    }
}

/// Drivers send one request at a time, so most connections never need room for two: a `Vec` left to
/// itself would begin with four places, a kilobyte for each idle connection.
fn reserve_one<T>(list: &mut Vec<T>) {
    if list.capacity() == 0 {
        list.reserve_exact(1);
    }
}

/// A transaction is told by `lsid`, `txnNumber` and `autocommit: false`; a retryable write has the
/// first two as well (MongoDB sessions specification).
fn transaction_key(request: &Request<'_>) -> Option<TransactionKey> {
    match (request.autocommit, request.lsid, request.txn_number) {
        (Some(false), Some(session), Some(number)) => Some(TransactionKey { session, number }),
        _ => None,
    }
}
