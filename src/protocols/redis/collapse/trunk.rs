//! A connection to a server that the plain requests of many clients go over, one behind the other.
//!
//! Sessions put whole requests into [`Trunk`]; its own task, [`Carrier`], writes what has gathered and reads what comes back. The task runs
//! behind all sessions that were ready when the first of them woke it, so what clients sent at the same time goes out in one write.
//!
//! A reply belongs to the first request that waits. There is nothing else on such a connection: no push, no second reply, no reply that
//! nobody waits for. Whatever does not fit ends the connection, and those of all clients that wait on it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use narrows_parsers::Step;
use narrows_parsers::redis::{Kind, ReplyDecoder};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::client::{Client, Request};
use super::errors::Refusal;
use crate::exchange::{AtUpstream, Exchange, Outcome, RedisPart, Timing};
use crate::protocols::relay::Scratch;
use crate::stats::{Cluster, Scope};
use crate::upstream::pool::{CloseReason, Lease, Tenure};

/// Bytes of requests that wait to be written. With more, no session reads on: what a server does not take is left with the clients.
const MAX_QUEUED: usize = 1024 * 1024;

/// Below so many, sessions go on.
const MUCH_QUEUED: usize = MAX_QUEUED / 2;

/// A buffer that has grown beyond this is not kept when it is empty.
const KEPT_BYTES: usize = 64 * 1024;

/// How often a connection that nobody speaks on looks whether its pool still wants it.
const REVIEW: Duration = Duration::from_secs(1);

/// A connection, as sessions see it.
pub(super) struct Trunk {
    queue: RefCell<Queue>,
    /// Sessions that send over it.
    users: Cell<usize>,
    /// Takes no more requests: it is closed when the last reply has come, or is closed already.
    is_closing: Cell<bool>,
    endpoint: String,
    cluster: Scope<Cluster>,
}

/// What is under way.
#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    /// How many of them have been written.
    gone: usize,
    /// Bytes of all requests so far.
    queued: u64,
    waiting: VecDeque<Waiting>,
    /// Requests, from the first that waits, that have been written to their end.
    written: usize,
    carrier: Option<Waker>,
    sessions: Vec<Waker>,
}

/// A request whose reply has not come whole.
struct Waiting {
    client: Rc<Client>,
    request: Request,
    /// Where it begins and ends, among all bytes.
    start: u64,
    end: u64,
    written: Option<Instant>,
}

/// One session's use of a trunk, until it is dropped.
pub(super) struct Ride(Rc<Trunk>);

impl Ride {
    pub(super) fn on(trunk: &Rc<Trunk>) -> Self {
        trunk.users.set(trunk.users.get() + 1);
        Self(Rc::clone(trunk))
    }

    pub(super) fn trunk(&self) -> &Trunk {
        &self.0
    }
}

impl Drop for Ride {
    fn drop(&mut self) {
        let users = self.0.users.get().saturating_sub(1);
        self.0.users.set(users);
        if users == 0 {
            self.0.wake();
        }
    }
}

impl Trunk {
    /// A new request, with all its bytes.
    pub(super) fn send(&self, client: &Rc<Client>, request: Request, bytes: &[u8]) {
        let mut queue = self.queue.borrow_mut();
        let start = queue.queued;
        queue.bytes.extend_from_slice(bytes);
        queue.queued += bytes.len() as u64;
        let end = queue.queued;
        let is_first = queue.bytes.len() - queue.gone == bytes.len();
        queue.waiting.push_back(Waiting {
            client: Rc::clone(client),
            request,
            start,
            end,
            written: None,
        });
        drop(queue);
        client.asked();
        client.listener.active(1);
        if is_first {
            self.wake();
        }
    }

    /// True when it takes requests.
    pub(super) fn is_open(&self) -> bool {
        !self.is_closing.get()
    }

    /// True when too much waits to be written. The caller is woken when that has changed.
    pub(super) fn is_full(&self, cx: &Context<'_>) -> bool {
        let mut queue = self.queue.borrow_mut();
        let is_full = self.is_open() && queue.bytes.len() - queue.gone > MAX_QUEUED;
        if is_full {
            queue.sessions.push(cx.waker().clone());
        }
        is_full
    }

    fn wake(&self) {
        if let Some(carrier) = self.queue.borrow().carrier.as_ref() {
            carrier.wake_by_ref();
        }
    }
}

/// The task of a trunk.
pub(super) struct Carrier {
    trunk: Rc<Trunk>,
    lease: Lease,
    tenure: Option<Tenure>,
    replies: ReplyDecoder,
    scratch: Scratch,
    review: Interval,
    /// When the first byte of the reply came that is being read.
    reply_began: Instant,
    /// A part of it has been given to its client.
    is_partly_given: bool,
}

/// Why a trunk ends.
enum End {
    /// Nobody uses it: it goes back to the pool.
    Unused,
    /// In order, with nothing under way.
    Retired(CloseReason),
    /// The server ended it, or it failed.
    Lost,
    /// What came does not fit.
    Doubt,
}

impl Carrier {
    /// A connection that is lent for as long as it is used.
    pub(super) fn new(lease: Lease, cluster: Scope<Cluster>, scratch: Scratch) -> Self {
        let mut review = interval(REVIEW);
        review.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            trunk: Rc::new(Trunk {
                queue: RefCell::default(),
                users: Cell::new(0),
                is_closing: Cell::new(false),
                endpoint: lease.endpoint().name.clone(),
                cluster,
            }),
            tenure: lease.tenure(),
            lease,
            replies: ReplyDecoder::new(),
            scratch,
            review,
            reply_began: Instant::now(),
            is_partly_given: false,
        }
    }

    /// What sessions use.
    pub(super) fn trunk(&self) -> &Rc<Trunk> {
        &self.trunk
    }

    /// Carries requests and replies until the connection ends, or nobody uses it any more.
    pub(super) async fn run(mut self) {
        let end = std::future::poll_fn(|cx| self.poll(cx)).await;
        self.trunk.is_closing.set(true);
        match end {
            End::Unused => self.lease.checkin(Instant::now()),
            End::Retired(reason) => self.lease.discard(reason),
            End::Lost => {
                self.give_up();
                self.lease.discard(CloseReason::UpstreamError);
            }
            End::Doubt => {
                self.break_off();
                self.lease.discard(CloseReason::ProtocolError);
            }
        }
        for session in std::mem::take(&mut self.trunk.queue.borrow_mut().sessions) {
            session.wake();
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.wakes(cx);
        loop {
            if let Poll::Ready(Err(end)) = self.poll_write(cx) {
                return Poll::Ready(end);
            }
            match self.poll_read(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(end)) => return Poll::Ready(end),
                Poll::Pending => break,
            }
        }
        while self.review.poll_tick(cx).is_ready() {
            let ended = self.tenure.as_ref();
            if let Some(reason) = ended.and_then(|tenure| tenure.ended(Instant::now())) {
                self.trunk.is_closing.set(true);
                if self.is_at_rest() {
                    return Poll::Ready(End::Retired(reason));
                }
            }
        }
        match self.trunk.users.get() == 0 && self.is_at_rest() {
            true => Poll::Ready(End::Unused),
            false => Poll::Pending,
        }
    }

    fn wakes(&self, cx: &Context<'_>) {
        let carrier = &mut self.trunk.queue.borrow_mut().carrier;
        match carrier.as_ref() {
            Some(known) if known.will_wake(cx.waker()) => {}
            _ => *carrier = Some(cx.waker().clone()),
        }
    }

    fn is_at_rest(&self) -> bool {
        let queue = self.trunk.queue.borrow();
        queue.waiting.is_empty() && queue.bytes.is_empty() && self.replies.is_between_messages()
    }

    /// Writes what has gathered. The clock is read before the write: the server may have answered by the time it returns.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let Self { trunk, lease, .. } = self;
        let queue = &mut *trunk.queue.borrow_mut();
        while !queue.bytes.is_empty() {
            let now = Instant::now();
            let rest = queue.bytes.get(queue.gone..).unwrap_or_default();
            let count = match Pin::new(lease.stream()).poll_write(cx, rest) {
                Poll::Ready(Ok(count @ 1..)) => count,
                Poll::Ready(_) => return Poll::Ready(Err(End::Lost)),
                Poll::Pending => return Poll::Pending,
            };
            lease.moved(0, count as u64);
            queue.wrote(count, now);
        }
        if lease.stream().needs_flush() {
            match Pin::new(lease.stream()).poll_flush(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(End::Lost)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let first = self.trunk.queue.borrow();
        if first
            .waiting
            .front()
            .is_some_and(|waiting| waiting.client.blocks(cx))
        {
            return Poll::Pending;
        }
        drop(first);
        let scratch = Rc::clone(&self.scratch);
        let mut buffer = scratch.borrow_mut();
        let mut read = ReadBuf::new(&mut buffer);
        match Pin::new(self.lease.stream()).poll_read(cx, &mut read) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(Err(End::Lost)),
            Poll::Pending => return Poll::Pending,
        }
        let bytes = read.filled();
        if bytes.is_empty() {
            return Poll::Ready(Err(End::Lost));
        }
        self.lease.moved(bytes.len() as u64, 0);
        Poll::Ready(self.deliver(bytes))
    }

    /// Gives each reply to the client whose request is the first that waits.
    fn deliver(&mut self, bytes: &[u8]) -> Result<(), End> {
        let read_at = Instant::now();
        let trunk = Rc::clone(&self.trunk);
        let mut queue = trunk.queue.borrow_mut();
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.replies.is_between_messages() {
                self.reply_began = read_at;
                self.is_partly_given = false;
            }
            let Some(first) = queue.waiting.front() else {
                return Err(End::Doubt);
            };
            let client = &first.client;
            match self.replies.advance(rest) {
                Step::Malformed(_) => return Err(End::Doubt),
                Step::NeedMore => {
                    // Nothing that is not a reply is given to anybody, not even its beginning.
                    if self.replies.pending_kind() == Some(Kind::Push) {
                        return Err(End::Doubt);
                    }
                    if !client.is_gone() {
                        client.reply(rest, None);
                        self.is_partly_given = true;
                    }
                    return Ok(());
                }
                Step::Message { consumed, message } => {
                    if message.kind == Kind::Push {
                        return Err(End::Doubt);
                    }
                    client.listener.reply_seen(&message);
                    let (reply, after) = rest.split_at_checked(consumed).unwrap_or_default();
                    let answered = Answered {
                        outcome: match message.is_error() {
                            true => Outcome::Error,
                            false => Outcome::Success,
                        },
                        bytes: message.bytes,
                        first_byte: self.reply_began,
                        last_byte: read_at,
                    };
                    rest = after;
                    if let Some(first) = queue.next_answered() {
                        first.answer(reply, answered);
                    }
                }
            }
        }
        Ok(())
    }

    /// The connection is gone: whoever waits is told, unless a part of a reply has been given to it.
    fn give_up(&self) {
        let (waiting, written) = {
            let queue = &mut *self.trunk.queue.borrow_mut();
            (std::mem::take(&mut queue.waiting), queue.bytes_written())
        };
        for (place, waiting) in waiting.into_iter().enumerate() {
            let endpoint = self.trunk.endpoint.clone();
            let refusal = match waiting.start < written {
                true => Refusal::LostAfter { endpoint },
                false => Refusal::LostBefore { endpoint },
            };
            match place == 0 && self.is_partly_given {
                true => waiting.cut(),
                false => waiting.refuse(&refusal),
            }
        }
    }

    /// Nobody knows whose the next reply is: nobody gets one.
    fn break_off(&self) {
        self.trunk.cluster.inc(Cluster::UPSTREAM_CX_PROTOCOL_ERROR);
        tracing::warn!(endpoint = %self.trunk.endpoint, "a server sent what no request asked for; its connection and those of the clients that waited on it are closed");
        let waiting = std::mem::take(&mut self.trunk.queue.borrow_mut().waiting);
        waiting.into_iter().for_each(Waiting::cut);
    }
}

impl Queue {
    /// So many bytes more have been given to the socket, in a write that began at `now`.
    fn wrote(&mut self, count: usize, now: Instant) {
        self.gone += count;
        let written = self.bytes_written();
        while let Some(waiting) = self.waiting.get_mut(self.written)
            && waiting.end <= written
        {
            waiting.written = Some(now);
            self.written += 1;
        }
        if self.gone >= self.bytes.len() {
            match self.bytes.capacity() > KEPT_BYTES {
                true => self.bytes = Vec::new(),
                false => self.bytes.clear(),
            }
            self.gone = 0;
        }
        if self.bytes.len() - self.gone < MUCH_QUEUED {
            self.sessions.drain(..).for_each(Waker::wake);
        }
    }

    /// Bytes given to the socket so far.
    fn bytes_written(&self) -> u64 {
        self.queued - (self.bytes.len() - self.gone) as u64
    }

    /// The first request has its reply.
    fn next_answered(&mut self) -> Option<Waiting> {
        self.written = self.written.saturating_sub(1);
        self.waiting.pop_front()
    }
}

/// What is known of a reply that has come whole.
struct Answered {
    outcome: Outcome,
    bytes: u64,
    first_byte: Instant,
    last_byte: Instant,
}

impl Waiting {
    /// Its reply, or the rest of it, has come.
    fn answer(self, reply: &[u8], answered: Answered) {
        self.client.listener.active(-1);
        if self.client.is_gone() {
            return self.report_gone();
        }
        let timing = Timing {
            start: self.request.start,
            at_upstream: Some(AtUpstream {
                request_written: self.written.unwrap_or(answered.first_byte),
                first_byte: answered.first_byte,
                last_byte: answered.last_byte,
            }),
            end: answered.last_byte,
        };
        let exchange = Exchange {
            reply_bytes: answered.bytes,
            ..exchange(&self.request, answered.outcome)
        };
        self.client
            .reply(reply, Some((self.request, exchange, timing)));
    }

    /// It is answered by the proxy.
    fn refuse(self, refusal: &Refusal) {
        self.client.listener.active(-1);
        if self.client.is_gone() {
            return self.report_gone();
        }
        let reply = refusal.reply(self.client.listener.cluster_name());
        let now = Instant::now();
        let timing = Timing {
            start: self.request.start,
            at_upstream: None,
            end: now,
        };
        let exchange = exchange(&self.request, Outcome::UpstreamGone);
        self.client
            .reply(&reply, Some((self.request, exchange, timing)));
    }

    /// It gets no reply, and its client is closed.
    fn cut(self) {
        let listener = &self.client.listener;
        listener.active(-1);
        let exchange = exchange(&self.request, Outcome::UpstreamGone);
        listener.report_of(&exchange, &self.request, None);
        self.client.break_off();
    }

    /// Its client has left.
    fn report_gone(self) {
        let exchange = exchange(&self.request, Outcome::ClientGone);
        self.client
            .listener
            .report_of(&exchange, &self.request, None);
    }
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
