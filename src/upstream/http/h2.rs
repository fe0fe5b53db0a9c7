//! Connections to HTTP/2 servers: each serves many exchanges at once, so a worker needs few of them.
//!
//! A connection is a lease of the pool that every protocol uses ([`crate::upstream::pool`]), held for as long as it lives: what a cluster may have open is
//! counted in one place. Since it never comes back between two exchanges, it looks itself whether its pool still wants it ([`Tenure`]). An exchange takes an [`H2Stream`] on the first connection to its endpoint that has room; when none has, one is opened,
//! for all who wait. A server that says GOAWAY gets no new streams, and the connection ends with its last.

use std::cell::{Cell, RefCell};
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::SendStream;
use h2::client::{self, Builder, ResponseFuture, SendRequest};
use narrows_parsers::http1::MAX_HEAD_BYTES;
use tokio::sync::Notify;

use super::leased::Leased;
use super::pool::{Busy, HttpUpstream, Pending};
use crate::stats::{Cluster as ClusterStat, ClusterEndpoint, ClusterTwo, Scope};
use crate::upstream::Endpoint;
use crate::upstream::pool::{CheckoutError, CloseReason, OpenError, OpenErrorKind, Tenure};

/// What a server may send of one reply before a client has taken it: the window RFC 9113 §6.9.2 begins with. A stream holds no more than
/// this of a reply that its client reads slowly.
const STREAM_WINDOW: u32 = 65_535;

/// What a request may hold of h2's own buffer on its way to the server.
const SEND_BUFFER: usize = 64 * 1024;

/// Errors of the server that end one stream each, after which the connection is given up: h2's own bound (RUSTSEC-2024-0003).
const MAX_ERROR_RESETS: usize = 1024;

/// A connection without streams that is told to end has this long to say so: Envoy's `drain_timeout` of an HTTP connection.
const CLOSING: Duration = Duration::from_secs(5);

/// How often a connection looks whether its pool still wants it.
const LOOK: Duration = Duration::from_secs(1);

/// The HTTP/2 connections of one worker to one endpoint.
pub(super) struct H2Endpoint {
    connections: RefCell<Vec<Rc<Connection>>>,
    /// A connection is being opened.
    opening: Cell<bool>,
    /// Openings that failed, and why the last one did.
    failures: Cell<u64>,
    failed: RefCell<Option<CheckoutError>>,
    /// A stream ended, or a connection was opened, or could not be.
    room: Notify,
    waiting: Cell<usize>,
}

struct Connection {
    /// `None` once the connection takes no more streams.
    requests: RefCell<Option<SendRequest<Bytes>>>,
    streams: Cell<usize>,
    max_streams: usize,
    last_used: Cell<Instant>,
    tenure: Option<Tenure>,
    endpoint: Weak<H2Endpoint>,
    reason: Rc<Cell<CloseReason>>,
}

/// A place for one exchange on a connection, until it is dropped.
pub struct H2Stream {
    connection: Rc<Connection>,
    busy: Busy,
}

/// Somebody who waits for room.
struct Waits<'a>(&'a Cell<usize>);

impl HttpUpstream {
    /// A place on a connection that is open, at the endpoint that has the least to do.
    pub fn stream_at_hand(self: &Rc<Self>) -> Option<H2Stream> {
        let (place, _) = self.least_busy(&[])?;
        let mut cx = Context::from_waker(Waker::noop());
        let connection = self.take(self.h2(place)?, &mut cx)?;
        Some(H2Stream::new(connection, Busy::new(self, place)))
    }

    /// A place on a connection to the endpoint that has the least to do, or to the next one where that can't be reached.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn stream(self: &Rc<Self>, now: Instant) -> Result<H2Stream, CheckoutError> {
        let _pending = Pending::new(&self.stats);
        let config = self.pool.shared().policy().config.clone();
        let deadline = tokio::time::Instant::from_std(now + config.wait_timeout);
        let mut tried = Vec::new();
        let mut last = None;
        while let Some((place, endpoint)) = self.least_busy(&tried) {
            let Some(h2) = self.h2(place).cloned() else {
                break;
            };
            let busy = Busy::new(self, place);
            if h2.waiting.get() >= config.max_waiting {
                self.stats.inc(ClusterStat::UPSTREAM_RQ_PENDING_OVERFLOW);
                return Err(CheckoutError::QueueFull {
                    cluster: Arc::clone(self.pool.shared().name()),
                    limit: config.max_waiting,
                });
            }
            let waited = tokio::time::timeout_at(deadline, self.wait(&h2, endpoint)).await;
            match waited {
                Ok(Ok(connection)) => return Ok(H2Stream::new(connection, busy)),
                Ok(Err(error @ (CheckoutError::Open { .. } | CheckoutError::Retired { .. }))) => {
                    tried.push(place);
                    last = Some(error);
                }
                Ok(Err(error)) => {
                    self.stats.inc(ClusterStat::UPSTREAM_RQ_PENDING_OVERFLOW);
                    return Err(error);
                }
                Err(_) => {
                    self.stats.inc(ClusterStat::UPSTREAM_RQ_PENDING_OVERFLOW);
                    return Err(CheckoutError::TimedOut {
                        cluster: Arc::clone(self.pool.shared().name()),
                        waited: now.elapsed(),
                        limit: config.max_connections,
                    });
                }
            }
        }
        self.stats
            .inc(ClusterStat::UPSTREAM_RQ_PENDING_FAILURE_EJECT);
        self.stats.inc(ClusterStat::UPSTREAM_CX_NONE_HEALTHY);
        Err(last.unwrap_or_else(|| self.pool.retired(&self.cluster.name)))
    }

    /// Waits for room on a connection, of which one more is opened when none has any.
    async fn wait(
        self: &Rc<Self>,
        h2: &Rc<H2Endpoint>,
        endpoint: &Arc<Endpoint>,
    ) -> Result<Rc<Connection>, CheckoutError> {
        let _waits = Waits::new(&h2.waiting);
        let failures = h2.failures.get();
        let mut opened = false;
        loop {
            let mut room = pin!(h2.room.notified());
            let taken = poll_fn(|cx| Poll::Ready(self.take(h2, cx))).await;
            if let Some(connection) = taken {
                return Ok(connection);
            }
            if h2.failures.get() != failures
                && let Some(error) = h2.failed.borrow().clone()
            {
                return Err(error);
            }
            // One for each that waits at most: a server that allows no streams is not asked for ever.
            if !h2.opening.get() && !opened {
                opened = true;
                h2.opening.set(true);
                tokio::task::spawn_local(open(
                    Rc::clone(self),
                    Rc::clone(h2),
                    Arc::clone(endpoint),
                ));
            }
            let taken = poll_fn(|cx| match self.take(h2, cx) {
                Some(connection) => Poll::Ready(Some(connection)),
                None => room.as_mut().poll(cx).map(|()| None),
            });
            if let Some(connection) = taken.await {
                // h2 wakes one of those who wait: there may be room for the next as well.
                h2.room.notify_one();
                return Ok(connection);
            }
        }
    }

    /// A connection with room. While the pool is paused there is none, and an opening waits in the pool until it is resumed.
    fn take(&self, h2: &H2Endpoint, cx: &mut Context<'_>) -> Option<Rc<Connection>> {
        match self.pool.shared().is_paused() {
            true => None,
            false => h2.take(cx),
        }
    }
}

/// Opens a connection and serves it to its end.
async fn open(upstream: Rc<HttpUpstream>, h2: Rc<H2Endpoint>, endpoint: Arc<Endpoint>) {
    let opened = connect(&upstream, &h2, &endpoint).await;
    h2.opening.set(false);
    let idle_timeout = upstream.pool.shared().policy().config.idle_timeout;
    let two = upstream.two.clone();
    // From here on the connection lives as long as somebody else holds the upstream, or uses it.
    drop(upstream);
    match opened {
        Ok((io, connection)) => {
            h2.connections.borrow_mut().push(Rc::clone(&connection));
            h2.room.notify_waiters();
            drop(h2);
            serve(io, &connection, idle_timeout, &two).await;
        }
        Err(error) => {
            h2.failures.set(h2.failures.get() + 1);
            *h2.failed.borrow_mut() = Some(error);
            h2.room.notify_waiters();
        }
    }
}

async fn connect(
    upstream: &Rc<HttpUpstream>,
    h2: &Rc<H2Endpoint>,
    endpoint: &Arc<Endpoint>,
) -> Result<(client::Connection<Leased, Bytes>, Rc<Connection>), CheckoutError> {
    let now = Instant::now();
    let wait = upstream.pool.shared().policy().config.wait_timeout;
    let deadline = tokio::time::Instant::from_std(now + wait);
    let mut lease = upstream.pool.checkout(endpoint, 0, now, deadline).await?;
    let protocol_error = |text: String| {
        upstream
            .pool
            .open_error(OpenError::new(OpenErrorKind::Protocol, text))
    };
    if lease.stream().is_tls() && lease.stream().alpn() != Some(b"h2") {
        lease.discard(CloseReason::ProtocolError);
        let text = format!("{}: the server does not speak HTTP/2", endpoint.name);
        return Err(protocol_error(text));
    }
    let reason = Rc::new(Cell::new(CloseReason::UpstreamError));
    let tenure = lease.tenure();
    let io = Leased::new(lease, Rc::clone(&reason), upstream.two.clone());
    let max_streams = upstream.config.max_streams;
    let handshake = settings(max_streams).handshake(io).await;
    let (requests, io) = handshake.map_err(|error| protocol_error(error.to_string()))?;
    upstream.stats.inc(ClusterStat::UPSTREAM_CX_HTTP2_TOTAL);
    let connection = Connection {
        requests: RefCell::new(Some(requests)),
        streams: Cell::new(0),
        max_streams: max_streams as usize,
        last_used: Cell::new(now),
        tenure,
        endpoint: Rc::downgrade(h2),
        reason,
    };
    Ok((io, Rc::new(connection)))
}

/// What the server is told, and held to.
fn settings(max_streams: u32) -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        // Replies whose clients read slowly must not stop those of others: there is a window for each.
        .initial_connection_window_size(STREAM_WINDOW.saturating_mul(max_streams).min(MAX_WINDOW))
        .initial_max_send_streams(max_streams as usize)
        .max_header_list_size(MAX_HEAD_BYTES as u32)
        .max_send_buffer_size(SEND_BUFFER)
        .max_local_error_reset_streams(Some(MAX_ERROR_RESETS));
    builder
}

/// The largest window there is (RFC 9113 §6.9.1).
const MAX_WINDOW: u32 = (1 << 31) - 1;

/// Reads and writes for all streams of a connection, until it ends.
async fn serve(
    io: client::Connection<Leased, Bytes>,
    connection: &Rc<Connection>,
    idle_timeout: Option<Duration>,
    two: &Scope<ClusterTwo>,
) {
    let mut io = pin!(io);
    let ended = tokio::select! {
        ended = io.as_mut() => Some(ended),
        reason = connection.unwanted(idle_timeout) => {
            connection.reason.set(reason);
            connection.retire();
            // Without streams and without anybody who could open one, h2 says GOAWAY and ends.
            tokio::select! {
                ended = io.as_mut() => Some(ended),
                () = connection.unused_for(CLOSING) => None,
            }
        }
    };
    if let Some(Err(error)) = ended {
        tracing::debug!(%error, "an HTTP/2 connection to a server failed");
        if error.is_library() {
            two.inc(ClusterTwo::RX_MESSAGING_ERROR);
            connection.reason.set(CloseReason::ProtocolError);
        }
    } else if connection.reason.get() == CloseReason::UpstreamError {
        connection.reason.set(CloseReason::ServerClosed);
    }
    connection.retire();
}

impl H2Endpoint {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            connections: RefCell::default(),
            opening: Cell::new(false),
            failures: Cell::new(0),
            failed: RefCell::default(),
            room: Notify::new(),
            waiting: Cell::new(0),
        })
    }

    /// A connection with room, which is taken. When there is none, whoever polls is woken when h2 has room; when a stream ends, `room` says so.
    fn take(&self, cx: &mut Context<'_>) -> Option<Rc<Connection>> {
        let mut found = None;
        // Those that a server has said GOAWAY on leave here; their streams go on.
        self.connections
            .borrow_mut()
            .retain(|connection| match connection.room(cx) {
                Room::Never => false,
                Room::Free if found.is_none() => {
                    found = Some(Rc::clone(connection));
                    true
                }
                Room::Free | Room::NotNow => true,
            });
        let connection = found?;
        connection.streams.set(connection.streams.get() + 1);
        Some(connection)
    }
}

/// Whether a stream may be begun on a connection.
enum Room {
    Free,
    NotNow,
    Never,
}

impl Connection {
    fn room(&self, cx: &mut Context<'_>) -> Room {
        let mut requests = self.requests.borrow_mut();
        let Some(open) = requests.as_mut() else {
            return Room::Never;
        };
        match open.poll_ready(cx) {
            Poll::Ready(Err(_)) => {
                *requests = None;
                Room::Never
            }
            // h2 counts a stream that was given up until its RST_STREAM is written, which the connection does next.
            Poll::Pending => Room::NotNow,
            Poll::Ready(Ok(())) => {
                let allowed = self.max_streams.min(open.current_max_send_streams());
                match self.streams.get() < allowed {
                    true => Room::Free,
                    false => Room::NotNow,
                }
            }
        }
    }

    /// It takes no more streams.
    fn retire(&self) {
        *self.requests.borrow_mut() = None;
        if let Some(endpoint) = self.endpoint.upgrade() {
            let mut connections = endpoint.connections.borrow_mut();
            connections.retain(|connection| !std::ptr::eq(Rc::as_ptr(connection), self));
            drop(connections);
            endpoint.room.notify_waiters();
        }
    }

    /// Ready when it is to take no more streams, with the reason.
    async fn unwanted(&self, idle_timeout: Option<Duration>) -> CloseReason {
        let look = idle_timeout.map_or(LOOK, |timeout| timeout.min(LOOK));
        loop {
            tokio::time::sleep(look).await;
            let tenure = self.tenure.as_ref();
            if let Some(reason) = tenure.and_then(|tenure| tenure.ended(Instant::now())) {
                return reason;
            }
            if idle_timeout.is_some_and(|timeout| self.was_unused_for(timeout)) {
                return CloseReason::IdleTimeout;
            }
        }
    }

    /// Ready when it has had no stream for so long from now on.
    async fn unused_for(&self, time: Duration) {
        loop {
            tokio::time::sleep(time).await;
            if self.was_unused_for(time) {
                return;
            }
        }
    }

    fn was_unused_for(&self, time: Duration) -> bool {
        self.streams.get() == 0 && self.last_used.get().elapsed() >= time
    }
}

impl H2Stream {
    fn new(connection: Rc<Connection>, busy: Busy) -> Self {
        let upstream = busy.upstream();
        upstream.stats.inc(ClusterStat::UPSTREAM_RQ_TOTAL);
        upstream.two.gauge_add(ClusterTwo::STREAMS_ACTIVE, 1);
        if let Some(endpoint) = busy.endpoint() {
            endpoint.inc(ClusterEndpoint::RQ_TOTAL);
        }
        Self { connection, busy }
    }

    /// Sends the head of a request; the whole request when it is the `end`.
    ///
    /// # Errors
    /// When the connection has ended, or is about to.
    pub fn send(
        &self,
        head: http::Request<()>,
        end: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        match self.connection.requests.borrow_mut().as_mut() {
            Some(requests) => requests.send_request(head, end),
            None => Err(h2::Reason::REFUSED_STREAM.into()),
        }
    }

    /// `cluster.*.endpoint.*`
    pub fn endpoint(&self) -> Option<&Scope<ClusterEndpoint>> {
        self.busy.endpoint()
    }
}

impl Drop for H2Stream {
    fn drop(&mut self) {
        let two = &self.busy.upstream().two;
        two.gauge_add(ClusterTwo::STREAMS_ACTIVE, -1);
        let streams = &self.connection.streams;
        streams.set(streams.get().saturating_sub(1));
        if streams.get() == 0 {
            self.connection.last_used.set(Instant::now());
        }
        if let Some(endpoint) = self.connection.endpoint.upgrade() {
            endpoint.room.notify_one();
        }
    }
}

impl<'a> Waits<'a> {
    fn new(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}
