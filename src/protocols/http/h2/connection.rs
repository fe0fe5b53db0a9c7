//! The client's connection, as h2 reads and writes it.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use narrows_parsers::http2::{FrameKind, FrameScanner};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::guard::{Flood, FloodGuard};
use crate::stats::{HttpTwo, Scope};
use crate::stream::Stream;

/// Bytes both ways, and whether there was too much of something, for whoever asks after h2 has taken the connection.
#[derive(Default)]
pub(super) struct Moved {
    pub(super) received: Cell<u64>,
    pub(super) sent: Cell<u64>,
    /// Nothing more is read from the client.
    pub(super) flood: Cell<Option<Flood>>,
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
            match head.kind {
                FrameKind::Reset => self.stats.inc(HttpTwo::RX_RESET),
                FrameKind::GoAway => self.stats.inc(HttpTwo::RX_GOAWAY),
                _ => {}
            }
        }
    }

    fn went(&mut self, mut bytes: &[u8]) {
        add(&self.moved.sent, bytes.len());
        while let Some(head) = self.replies.next(&mut bytes) {
            self.guard.sent(&head);
            match head.kind {
                FrameKind::Reset => self.stats.inc(HttpTwo::TX_RESET),
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
        let mut left = count;
        for piece in pieces {
            let written = piece.len().min(left);
            client.went(piece.get(..written).unwrap_or_default());
            left -= written;
        }
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
