//! The byte path that every 1:1 protocol shares: two sockets, two flows, one task.
//!
//! Bytes are read into the worker's scratch buffer, shown to the [`Observer`] and written on in the
//! same poll. Only what the other side does not take at once is kept, so an idle connection owns no
//! buffer, and a side that reads slowly stops the side that sends (its socket is simply not read).
//! Half-close and reset travel through as they came.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::exchange::CloseReason;
use crate::listener::sessions::{SessionHandle, Verdict};
use crate::stream::Stream;

/// What one read may bring. 64 KiB is what HAProxy and Envoy move at most in one call too, and one
/// such buffer serves all sessions of a worker.
pub const SCRATCH_BYTES: usize = 64 * 1024;

/// Bytes that are kept back for another upstream before no more is read.
const MAX_KEPT_BACK: usize = 64 * 1024;

/// The same behind a request that may wait for something to happen; with more, the connection ends.
const MAX_KEPT_BACK_OF_WAIT: usize = 4 * 1024 * 1024;

/// The one read buffer of a worker.
pub type Scratch = Rc<RefCell<Box<[u8]>>>;

/// A new scratch buffer for a worker.
pub fn scratch() -> Scratch {
    Rc::new(RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice()))
}

/// Why a client is not decoded that begins like that. Nobody would learn otherwise why nothing is counted.
pub const TLS: &str = "tls";

/// The first bytes are of TLS: a record of a handshake, version 3.1 to 3.4, that begins with a ClientHello (RFC 8446 sections 4 and 5.1).
/// Less would not do: a MongoDB message of 790 bytes begins with 16 03 00 00.
pub fn is_tls(first: &[u8]) -> bool {
    matches!(first, [0x16, 0x03, 0x01..=0x04, _, _, 0x01, ..])
}

/// Looks at what passes. It can't change it, and can't stop it.
pub trait Observer {
    /// Bytes came from the client, and are about to be written upstream.
    fn request_read(&mut self, bytes: &[u8]);
    /// Some of the request is about to be given to the upstream's socket.
    fn request_writing(&mut self);
    /// `total` bytes have been written upstream since the connection began.
    fn request_written(&mut self, total: u64);
    /// How many bytes of the client's may be written upstream in all; `None` is any number. It is asked behind [`Self::request_read`].
    fn request_limit(&self) -> Option<u64> {
        None
    }
    /// True when nobody knows how long the server will wait with its reply, so that a client that is gone has to end it.
    fn waits(&self) -> bool {
        false
    }
    /// True when the connection has to be closed: what the client wants next can't be had on it.
    fn is_over(&self) -> bool {
        false
    }
    /// Bytes came from upstream, and are about to be written to the client.
    fn reply_read(&mut self, bytes: &[u8]);
    /// `total` bytes have been written to the client since the connection began.
    fn reply_written(&mut self, total: u64);
    /// True when no exchange is under way, so that a drain may close the connection here.
    fn is_idle(&self) -> bool;
    /// True when nothing that has passed concerns what comes next, so that somebody else might use the upstream connection.
    fn is_at_rest(&self) -> bool {
        false
    }
}

/// How a relayed connection ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Why.
    pub reason: CloseReason,
    /// The client's end of stream came before the upstream's.
    pub by_client: bool,
    /// Bytes read from the client.
    pub received: u64,
    /// Bytes written to the client.
    pub sent: u64,
}

/// How far a relay went that was to end at rest.
#[derive(Debug)]
pub enum Until {
    /// Both connections go on, with nothing under way between them.
    Rest {
        /// Bytes read from the client.
        received: u64,
        /// Bytes written to the client.
        sent: u64,
        /// Those of the client's that were not written upstream.
        rest: Vec<u8>,
    },
    /// The connection ended.
    End(Ended),
}

/// Moves bytes between a client and its upstream until both have finished.
pub struct Relay<'a, O> {
    client: &'a mut Stream,
    upstream: &'a mut Stream,
    requests: Flow,
    replies: Flow,
    first_end: Option<Side>,
    /// Bytes of the client's that are not for this upstream.
    kept_back: Vec<u8>,
    /// The client's end stands behind those.
    end_is_kept_back: bool,
    observer: &'a mut O,
    session: &'a SessionHandle,
    scratch: &'a Scratch,
}

impl<'a, O: Observer> Relay<'a, O> {
    /// A relay over two connected sockets.
    pub fn new(
        client: &'a mut Stream,
        upstream: &'a mut Stream,
        observer: &'a mut O,
        session: &'a SessionHandle,
        scratch: &'a Scratch,
    ) -> Self {
        Self {
            client,
            upstream,
            requests: Flow::default(),
            replies: Flow::default(),
            first_end: None,
            kept_back: Vec::new(),
            end_is_kept_back: false,
            observer,
            session,
            scratch,
        }
    }

    /// Goes on until nothing is under way that concerns what comes next, with what the client has sent already.
    pub async fn until_rest(mut self, first: Vec<u8>) -> Until {
        self.take_over(first);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(ended) = Pin::new(&mut self).poll(cx) {
                return Poll::Ready(Until::End(ended));
            }
            // What is lent goes back when the server has ended it, and not when its client has seen that.
            if self.first_end == Some(Side::Upstream) && self.replies.shut_down {
                return self.ended(CloseReason::Finished).map(Until::End);
            }
            if self.is_at_rest() {
                return Poll::Ready(Until::Rest {
                    received: self.requests.read,
                    sent: self.replies.written,
                    rest: std::mem::take(&mut self.kept_back),
                });
            }
            Poll::Pending
        })
        .await
    }

    /// What the client has sent before the relay began.
    fn take_over(&mut self, mut first: Vec<u8>) {
        if first.is_empty() {
            return;
        }
        self.requests.read = first.len() as u64;
        self.observer.request_read(&first);
        self.kept_back = first.split_off(passing(self.observer, 0, first.len()));
        self.requests.left = Some(Left {
            bytes: first,
            at: 0,
        });
    }

    /// Nothing is under way, and nothing waits for its turn.
    fn is_idle(&self) -> bool {
        self.observer.is_idle() && self.kept_back.is_empty()
    }

    fn is_at_rest(&self) -> bool {
        let flows = [&self.requests, &self.replies];
        flows.iter().all(|flow| flow.left.is_none())
            && self.first_end.is_none()
            && !self.client.needs_flush()
            && !self.upstream.needs_flush()
            && self.observer.is_at_rest()
    }

    /// One flow, as far as its sockets allow. Ready when it has ended in order.
    fn poll_flow(&mut self, from: Side, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let Self {
            client,
            upstream,
            requests,
            replies,
            observer,
            kept_back,
            end_is_kept_back,
            scratch,
            session,
            ..
        } = self;
        let (source, sink, flow) = match from {
            Side::Client => (client, upstream, requests),
            Side::Upstream => (upstream, client, replies),
        };
        loop {
            while flow.left.is_some() {
                writing(*observer, from);
                ready!(flow.poll_write_left(sink, cx)).map_err(|_| Broken(from.other()))?;
                written(*observer, from, flow.written);
            }
            if sink.needs_flush() {
                ready!(Pin::new(&mut *sink).poll_flush(cx)).map_err(|_| Broken(from.other()))?;
            }
            if flow.end_of_stream {
                return flow
                    .poll_shutdown(sink, cx)
                    .map_err(|_| Broken(from.other()));
            }
            if from == Side::Client {
                // Who waits for who knows how long has to be seen leaving: it is read on, until that is too much.
                match observer.waits() {
                    true if kept_back.len() >= MAX_KEPT_BACK_OF_WAIT => {
                        return Poll::Ready(Err(Broken(from)));
                    }
                    false if *end_is_kept_back || kept_back.len() >= MAX_KEPT_BACK => {
                        return Poll::Pending;
                    }
                    _ => {}
                }
            }
            let mut buffer = scratch.borrow_mut();
            let mut read = ReadBuf::new(&mut buffer);
            match ready!(Pin::new(&mut *source).poll_read(cx, &mut read)) {
                // TLS ended without notice. What ends between two exchanges can't have been cut.
                Err(error)
                    if error.kind() == io::ErrorKind::UnexpectedEof && observer.is_idle() => {}
                read => read.map_err(|_| Broken(from))?,
            }
            let bytes = read.filled();
            if bytes.is_empty() {
                if from == Side::Client && !kept_back.is_empty() && !observer.waits() {
                    *end_is_kept_back = true;
                    continue;
                }
                flow.end_of_stream = true;
                self.first_end.get_or_insert(from);
                continue;
            }
            session.touch();
            let before = flow.read;
            flow.read += bytes.len() as u64;
            let bytes = match from {
                Side::Client => {
                    observer.request_read(bytes);
                    let passing = passing(*observer, before, bytes.len());
                    let (passing, kept) = bytes.split_at_checked(passing).unwrap_or((bytes, &[]));
                    kept_back.extend_from_slice(kept);
                    passing
                }
                Side::Upstream => {
                    observer.reply_read(bytes);
                    bytes
                }
            };
            writing(*observer, from);
            flow.write_through(sink, cx, bytes)
                .map_err(|_| Broken(from.other()))?;
            written(*observer, from, flow.written);
        }
    }

    fn ended(&mut self, reason: CloseReason) -> Poll<Ended> {
        if !matches!(
            reason,
            CloseReason::ClientReset | CloseReason::UpstreamReset
        ) {
            self.client.announce_end();
            self.upstream.announce_end();
        }
        Poll::Ready(Ended {
            reason,
            by_client: self.first_end == Some(Side::Client),
            received: self.requests.read,
            sent: self.replies.written,
        })
    }

    /// A side failed: its peer is reset too, so that it does not take the end for an orderly one.
    fn broken(&mut self, side: Side) -> Poll<Ended> {
        let (peer, reason) = match side {
            Side::Client => (&self.upstream, CloseReason::ClientReset),
            Side::Upstream => (&self.client, CloseReason::UpstreamReset),
        };
        peer.reset_on_close();
        self.first_end.get_or_insert(side);
        self.ended(reason)
    }
}

impl<O: Observer> Future for Relay<'_, O> {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        let this = &mut *self;
        match this.session.verdict(cx) {
            Verdict::Go => {}
            Verdict::Idle => return this.ended(CloseReason::IdleTimeout),
            Verdict::Abort => return this.ended(CloseReason::Aborted),
            Verdict::Drain if this.is_idle() => return this.ended(CloseReason::Drained),
            Verdict::Drain => {}
        }
        if this.observer.is_over() {
            return this.ended(CloseReason::Malformed);
        }
        let mut finished = true;
        for side in [Side::Client, Side::Upstream] {
            match this.poll_flow(side, cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(Broken(side))) => return this.broken(side),
                Poll::Pending => finished = false,
            }
        }
        if this.observer.is_over() {
            return this.ended(CloseReason::Malformed);
        }
        if finished {
            return this.ended(CloseReason::Finished);
        }
        // The last reply of a draining session has just been written: nobody will wake it again.
        if this.session.is_draining() && this.is_idle() {
            return this.ended(CloseReason::Drained);
        }
        Poll::Pending
    }
}

/// The side a flow reads from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Upstream,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Client => Self::Upstream,
            Self::Upstream => Self::Client,
        }
    }
}

/// The side whose socket failed.
struct Broken(Side);

/// One direction of a connection.
#[derive(Default)]
struct Flow {
    read: u64,
    written: u64,
    /// What the sink has not taken yet; `None` most of the time.
    left: Option<Left>,
    end_of_stream: bool,
    shut_down: bool,
}

struct Left {
    bytes: Vec<u8>,
    at: usize,
}

impl Flow {
    /// Writes some of what was left over.
    fn poll_write_left(&mut self, sink: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(left) = &mut self.left else {
            return Poll::Ready(Ok(()));
        };
        let rest = left.bytes.get(left.at..).unwrap_or_default();
        let n = ready!(Pin::new(sink).poll_write(cx, rest))?;
        if n == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        left.at += n;
        self.written += n as u64;
        if left.at >= left.bytes.len() {
            self.left = None;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes `bytes` as far as the sink takes them now, and keeps a copy of the rest.
    fn write_through(
        &mut self,
        sink: &mut Stream,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match Pin::new(&mut *sink).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(n)) => {
                    self.written += n as u64;
                    rest = rest.get(n..).unwrap_or_default();
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    self.left = Some(Left {
                        bytes: rest.to_vec(),
                        at: 0,
                    });
                    break;
                }
            }
        }
        Ok(())
    }

    /// Hands an end of stream on, once.
    fn poll_shutdown(&mut self, sink: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.shut_down {
            match ready!(Pin::new(sink).poll_shutdown(cx)) {
                // The peer left both ways at once: the end it was to be told of is its own.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
                result => result?,
            }
            self.shut_down = true;
        }
        Poll::Ready(Ok(()))
    }
}

/// How many of `count` bytes, which came behind so many, may be written upstream.
fn passing<O: Observer>(observer: &O, before: u64, count: usize) -> usize {
    let Some(limit) = observer.request_limit() else {
        return count;
    };
    usize::try_from(limit.saturating_sub(before)).map_or(count, |passing| passing.min(count))
}

fn writing<O: Observer>(observer: &mut O, from: Side) {
    if from == Side::Client {
        observer.request_writing();
    }
}

fn written<O: Observer>(observer: &mut O, from: Side, total: u64) {
    match from {
        Side::Client => observer.request_written(total),
        Side::Upstream => observer.reply_written(total),
    }
}
