//! HTTP/2 clients: one connection, all its requests at the same time.
//!
//! The connection is one task, and each request a future in it (`stream`). What the requests have to say is written when all that can go
//! on have done so: many small replies become one write. A request takes the same steps as one of HTTP/1, up to its report.

mod connection;
pub mod grpc;
mod guard;
mod settings;
mod stream;
mod view;

use std::cell::{Cell, RefCell};
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, Stream as _};
use h2::Reason;
use h2::server;

use super::HttpListener;
use super::series::Series;
use crate::exchange::CloseReason;
use crate::listener::sessions::{Alarm, PartHandle, SessionHandle, Ticks, Verdict};
use crate::protocols::inbox::Inbox;
use crate::protocols::relay::{Ended, Scratch};
use crate::stats::{Http, HttpTwo};
use crate::stream::Stream;
use connection::{Client, Moved};
use guard::Flood;

/// A connection that has said GOAWAY for the last time has this long to write it: Envoy's `drain_timeout`.
const CLOSING: Duration = Duration::from_secs(5);

/// From so many requests on, a client that resets most of them at once is turned away (CVE-2023-44487): Envoy's
/// `overload.premature_reset_total_stream_count`.
const PREMATURE_FROM: u64 = 500;

/// What the requests of one connection share.
struct Shared<'a> {
    listener: Rc<HttpListener>,
    handle: &'a SessionHandle,
    scratch: Scratch,
    /// The client's address, as `x-forwarded-for` has it.
    peer: Box<str>,
    is_tls: bool,
    /// The series of the last request.
    recent: RefCell<Option<Rc<Series>>>,
    requests: Cell<u64>,
    /// Requests that their client reset before it could have been answered.
    premature: Cell<u64>,
    /// How often the connection has been looked at.
    rounds: Cell<u64>,
    moved: Rc<Moved>,
    /// Alarms that no request uses.
    alarms: RefCell<Vec<PartHandle>>,
}

/// Serves a client of whom `inbox` has come. Returns how it ended, and how many exchanges were cut off.
pub async fn serve(
    client: Stream,
    inbox: Inbox,
    listener: Rc<HttpListener>,
    handle: &SessionHandle,
    scratch: Scratch,
) -> (Ended, usize) {
    let moved = Rc::new(Moved::default());
    let peer = client.tcp().peer_addr().ok();
    let shared = Shared {
        peer: peer.map_or_else(Box::default, |peer| {
            peer.ip().to_canonical().to_string().into()
        }),
        is_tls: client.is_tls(),
        handle,
        scratch,
        recent: RefCell::default(),
        requests: Cell::new(0),
        premature: Cell::new(0),
        rounds: Cell::new(0),
        moved: Rc::clone(&moved),
        alarms: RefCell::default(),
        listener,
    };
    let io = Client::new(
        client,
        inbox.bytes().to_vec(),
        Rc::clone(&moved),
        shared.listener.two.clone(),
    );
    drop(inbox);
    let (end, cut) = match shared.handshake(io).await {
        Ok(connection) => shared.run(connection).await,
        Err(end) => (end, 0),
    };
    let ended = Ended {
        reason: end.reason,
        by_client: end.by_client,
        received: moved.received.get(),
        sent: moved.sent.get(),
    };
    (ended, cut)
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug)]
struct End {
    reason: CloseReason,
    by_client: bool,
}

type Connection = server::Connection<Client, Bytes>;

/// The orders that end a connection, once one has been given.
#[derive(Default)]
struct Closing {
    end: Option<End>,
    /// It has to be over soon.
    hurried: bool,
    /// The client was told that it sends too much, or too slowly: nothing of its requests is waited for.
    refused: bool,
}

impl Shared<'_> {
    /// Alarms for a request.
    fn alarms(&self) -> PartHandle {
        let unused = self.alarms.borrow_mut().pop();
        unused.unwrap_or_else(|| self.handle.part())
    }

    /// A request needs its alarms no more.
    fn give_back(&self, alarms: PartHandle) {
        self.alarms.borrow_mut().push(alarms);
    }

    /// Lets the connection write what it can.
    async fn written_once(&self) {
        let round = self.rounds.get();
        poll_fn(|cx| {
            if self.rounds.get() != round {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// A client reset a request before it could have been answered.
    fn reset_at_once(&self) {
        self.premature.set(self.premature.get() + 1);
    }

    /// Settings both ways.
    async fn handshake(&self, io: Client) -> Result<Connection, End> {
        self.handle.expect(None, self.listener.timeouts.header);
        let mut handshake = settings::settings(&self.listener.config).handshake(io);
        poll_fn(|cx| {
            if let Poll::Ready(done) = Pin::new(&mut handshake).poll(cx) {
                return Poll::Ready(done.map_err(|error| self.failed(&error)));
            }
            let reason = match self.handle.verdict(cx) {
                Verdict::Go if self.handle.alarm() == Some(Alarm::Late) => {
                    CloseReason::ClientStalled
                }
                Verdict::Go => return Poll::Pending,
                Verdict::Drain => CloseReason::Drained,
                Verdict::Idle => CloseReason::IdleTimeout,
                Verdict::Abort => CloseReason::Aborted,
            };
            Poll::Ready(Err(End::by_us(reason)))
        })
        .await
    }

    /// Requests, until no more come and all have been answered.
    async fn run(&self, mut connection: Connection) -> (End, usize) {
        let mut streams = FuturesUnordered::new();
        let mut closing = Closing::default();
        let mut was = (false, false);
        let end = poll_fn(|cx| {
            loop {
                while let Poll::Ready(Some(())) = Pin::new(&mut streams).poll_next(cx) {}
                let quiet = streams.is_empty();
                let heading = self.moved.heading.get();
                if (quiet, heading) != was && closing.end.is_none() {
                    let timeouts = &self.listener.timeouts;
                    let idle = timeouts.idle.filter(|_| quiet);
                    self.handle
                        .expect(idle, timeouts.header.filter(|_| heading));
                    was = (quiet, heading);
                }
                if let Poll::Ready(end) = self.orders(&mut connection, quiet, &mut closing, cx) {
                    return Poll::Ready(end);
                }
                let accepted = streams.len();
                self.rounds.set(self.rounds.get() + 1);
                loop {
                    match connection.poll_accept(cx) {
                        Poll::Ready(Some(Ok((request, respond)))) => {
                            self.moved.seen(respond.stream_id().as_u32());
                            self.requests.set(self.requests.get() + 1);
                            streams.push(stream::serve(self, request, respond, Instant::now()));
                        }
                        Poll::Ready(Some(Err(error))) => {
                            let failed = || self.failed(&error);
                            return Poll::Ready(closing.end.unwrap_or_else(failed));
                        }
                        Poll::Ready(None) => {
                            return Poll::Ready(closing.end.unwrap_or(End::FINISHED));
                        }
                        Poll::Pending => break,
                    }
                }
                if streams.len() == accepted && self.moved.heading.get() == heading {
                    return Poll::Pending;
                }
            }
        })
        .await;
        (end, streams.len())
    }

    /// What the worker, or a rule, wants of the connection. Ready when it has to end at once.
    fn orders(
        &self,
        connection: &mut Connection,
        quiet: bool,
        closing: &mut Closing,
        cx: &mut Context<'_>,
    ) -> Poll<End> {
        let verdict = self.handle.verdict(cx);
        let alarm = self.handle.alarm();
        if verdict == Verdict::Abort {
            return Poll::Ready(End::by_us(CloseReason::Aborted));
        }
        if let Some(flood) = self.flood().filter(|_| !closing.refused) {
            self.listener.two.inc(flood.counter());
            self.refuse(connection, closing, CloseReason::Malformed);
            return Poll::Pending;
        }
        if let Some(end) = closing.end {
            if closing.hurried && !quiet && !closing.refused {
                // A request that crossed the GOAWAY has the time that any other has.
                closing.hurried = false;
                self.handle.expect(None, None);
            } else if alarm == Some(Alarm::Late) {
                return Poll::Ready(end);
            }
            self.hurry(closing, quiet);
            return Poll::Pending;
        }
        if alarm == Some(Alarm::Late) {
            self.listener.stats.inc(Http::DOWNSTREAM_RQ_HEADER_TIMEOUT);
            self.listener.stats.inc(Http::DOWNSTREAM_RQ_TIMEOUT);
            self.refuse(connection, closing, CloseReason::ClientStalled);
            return Poll::Pending;
        }
        let reason = match (verdict, alarm) {
            (Verdict::Drain, _) => CloseReason::Drained,
            (Verdict::Idle, _) | (_, Some(_)) => CloseReason::IdleTimeout,
            _ => return Poll::Pending,
        };
        connection.graceful_shutdown();
        closing.end = Some(End::by_us(reason));
        self.hurry(closing, quiet);
        Poll::Pending
    }

    /// The client does what it must not. It is told so, if it listens.
    fn refuse(&self, connection: &mut Connection, closing: &mut Closing, reason: CloseReason) {
        connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        closing.refused = true;
        closing.end = Some(End::by_us(reason));
        self.hurry(closing, true);
    }

    /// When nothing is under way any more, the client has little time to close the connection.
    fn hurry(&self, closing: &mut Closing, now: bool) {
        if now && !closing.hurried {
            closing.hurried = true;
            self.handle.expect(None, Some(Ticks::of(CLOSING)));
        }
    }

    /// The client sends too much of something, or resets most of what it asks for.
    fn flood(&self) -> Option<Flood> {
        let requests = self.requests.get();
        let is_premature = requests >= PREMATURE_FROM && self.premature.get() * 2 > requests;
        let of_frames = self.moved.flood.get();
        of_frames.or_else(|| is_premature.then_some(Flood::Reset))
    }

    fn failed(&self, error: &h2::Error) -> End {
        if error.is_io() {
            return End {
                reason: CloseReason::ClientReset,
                by_client: true,
            };
        }
        if error.is_remote() {
            return End::FINISHED;
        }
        self.listener.two.inc(HttpTwo::RX_MESSAGING_ERROR);
        tracing::debug!(%error, "an HTTP/2 connection was ended");
        End::by_us(CloseReason::Malformed)
    }
}

impl End {
    const FINISHED: Self = Self {
        reason: CloseReason::Finished,
        by_client: true,
    };

    fn by_us(reason: CloseReason) -> Self {
        Self {
            reason,
            by_client: false,
        }
    }
}
