//! The client's connection, as h2 reads and writes it.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use narrows_parsers::http2::{FrameHead, FrameKind, FrameScanner};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::guard::{Flood, FloodGuard};
use crate::stats::{HttpTwo, Scope};
use crate::stream::{Stream, written};

/// Bytes both ways, and whether there was too much of something, for whoever asks after h2 has taken the connection.
#[derive(Default)]
pub(super) struct Moved {
    pub(super) received: Cell<u64>,
    pub(super) sent: Cell<u64>,
    /// Nothing more is read from the client.
    pub(super) flood: Cell<Option<Flood>>,
    /// The head of a request has begun to come and is not whole.
    pub(super) heading: Cell<bool>,
    /// Streams of which h2 has not made a request, the eldest first: hardly ever any, for long.
    unseen: RefCell<Vec<u32>>,
}

/// Streams without a request that are remembered: far more than are refused at the same time.
const MAX_UNSEEN: usize = 1024;

impl Moved {
    /// A stream has become a request, or is over. True when it had not been one before.
    pub(super) fn seen(&self, stream: u32) -> bool {
        let mut unseen = self.unseen.borrow_mut();
        let place = unseen.iter().position(|unseen| *unseen == stream);
        place.map(|place| unseen.remove(place)).is_some()
    }

    fn opened(&self, stream: u32) {
        let mut unseen = self.unseen.borrow_mut();
        if unseen.len() >= MAX_UNSEEN {
            unseen.remove(0);
        }
        unseen.push(stream);
    }
}

/// A client's connection. What was read before it was known to be HTTP/2 comes first.
pub(super) struct Client {
    stream: Stream,
    replay: Vec<u8>,
    replayed: usize,
    moved: Rc<Moved>,
    requests: FrameScanner,
    replies: FrameScanner,
    guard: FloodGuard,
    /// The last stream that the client opened.
    newest: u32,
    /// The last frame that came is of a list of fields; and that list goes on.
    in_list: bool,
    list_goes_on: bool,
    stats: Scope<HttpTwo>,
}

impl Client {
    /// A connection of which `read` has been read already.
    pub(super) fn new(
        stream: Stream,
        read: Vec<u8>,
        moved: Rc<Moved>,
        stats: Scope<HttpTwo>,
    ) -> Self {
        Self {
            stream,
            replay: read,
            replayed: 0,
            moved,
            requests: FrameScanner::client(),
            replies: FrameScanner::server(),
            guard: FloodGuard::default(),
            newest: 0,
            in_list: false,
            list_goes_on: false,
            stats,
        }
    }

    fn replay(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let rest = self.replay.get(self.replayed..).unwrap_or_default();
        if rest.is_empty() {
            return false;
        }
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(rest.get(..count).unwrap_or_default());
        self.replayed += count;
        if self.replayed == self.replay.len() {
            self.replay = Vec::new();
            self.replayed = 0;
        }
        true
    }

    /// Counts what the client sends that h2 does not tell of, and looks whether it is too much.
    fn came(&mut self, mut bytes: &[u8]) {
        add(&self.moved.received, bytes.len());
        while let Some(head) = self.requests.next(&mut bytes) {
            if let Some(flood) = self.guard.received(&head, Instant::now) {
                self.moved.flood.set(Some(flood));
                return;
            }
            self.in_list = matches!(head.kind, FrameKind::Headers | FrameKind::Continuation);
            if self.in_list {
                self.list_goes_on = !head.has(FrameHead::END_HEADERS);
            }
            match head.kind {
                FrameKind::Headers if head.stream > self.newest => {
                    self.newest = head.stream;
                    self.moved.opened(head.stream);
                }
                FrameKind::Reset => {
                    self.stats.inc(HttpTwo::RX_RESET);
                    self.moved.seen(head.stream);
                }
                FrameKind::GoAway => self.stats.inc(HttpTwo::RX_GOAWAY),
                _ => {}
            }
        }
        let within = self.in_list && self.requests.is_within_payload();
        self.moved.heading.set(within || self.list_goes_on);
    }

    fn went(&mut self, mut bytes: &[u8]) {
        add(&self.moved.sent, bytes.len());
        while let Some(head) = self.replies.next(&mut bytes) {
            self.guard.sent(&head);
            match head.kind {
                // h2 itself answers 431 to a list that is too large, and resets what is malformed or beyond `max_streams`.
                FrameKind::Headers if self.moved.seen(head.stream) => {
                    self.stats.inc(HttpTwo::HEADER_OVERFLOW);
                }
                FrameKind::Reset => {
                    self.stats.inc(HttpTwo::TX_RESET);
                    if self.moved.seen(head.stream) {
                        self.stats.inc(HttpTwo::STREAMS_REFUSED);
                    }
                }
                FrameKind::GoAway => self.stats.inc(HttpTwo::TX_GOAWAY),
                _ => {}
            }
        }
    }
}

impl AsyncRead for Client {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let client = self.get_mut();
        if client.moved.flood.get().is_some() {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        if !client.replay(buffer) {
            ready!(Pin::new(&mut client.stream).poll_read(cx, buffer))?;
        }
        client.came(buffer.filled().get(before..).unwrap_or_default());
        if client.moved.flood.get().is_some() {
            // An error would leave the client without a reason. The connection's task is woken, sees the flood and says GOAWAY.
            buffer.set_filled(before);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Client {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let client = self.get_mut();
        let count = ready!(Pin::new(&mut client.stream).poll_write(cx, bytes))?;
        client.went(bytes.get(..count).unwrap_or_default());
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let client = self.get_mut();
        let count = ready!(Pin::new(&mut client.stream).poll_write_vectored(cx, pieces))?;
        written(pieces, count).for_each(|bytes| client.went(bytes));
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

fn add(cell: &Cell<u64>, count: usize) {
    cell.set(cell.get().saturating_add(count as u64));
}
