//! A lease as h2 reads and writes it.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use narrows_parsers::http2::{FrameKind, FrameScanner};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::stats::{ClusterTwo, Scope};
use crate::stream::written;
use crate::upstream::pool::{CloseReason, Lease};

/// The lease of a connection, as h2 reads and writes it.
pub(super) struct Leased {
    /// `None` only while it is dropped.
    lease: Option<Lease>,
    /// Why the connection is closed, once it is.
    reason: Rc<Cell<CloseReason>>,
    sent: FrameScanner,
    received: FrameScanner,
    stats: Scope<ClusterTwo>,
}

impl Leased {
    pub(super) fn new(
        lease: Lease,
        reason: Rc<Cell<CloseReason>>,
        stats: Scope<ClusterTwo>,
    ) -> Self {
        Self {
            lease: Some(lease),
            reason,
            sent: FrameScanner::client(),
            received: FrameScanner::server(),
            stats,
        }
    }

    /// Counts what the server sends that h2 does not tell of.
    fn came(&mut self, mut bytes: &[u8]) {
        while let Some(head) = self.received.next(&mut bytes) {
            match head.kind {
                FrameKind::Reset => self.stats.inc(ClusterTwo::RX_RESET),
                FrameKind::GoAway => self.stats.inc(ClusterTwo::RX_GOAWAY),
                _ => {}
            }
        }
    }

    fn went(&mut self, mut bytes: &[u8]) {
        while let Some(head) = self.sent.next(&mut bytes) {
            match head.kind {
                FrameKind::Reset => self.stats.inc(ClusterTwo::TX_RESET),
                FrameKind::GoAway => self.stats.inc(ClusterTwo::TX_GOAWAY),
                _ => {}
            }
        }
    }

    fn with<T>(
        &mut self,
        act: impl FnOnce(&mut Lease) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match &mut self.lease {
            Some(lease) => act(lease),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncRead for Leased {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let leased = self.get_mut();
        let before = buffer.filled().len();
        ready!(leased.with(|lease| {
            let read = Pin::new(lease.stream()).poll_read(cx, buffer);
            lease.moved((buffer.filled().len() - before) as u64, 0);
            read
        }))?;
        leased.came(buffer.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Leased {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let leased = self.get_mut();
        let count = ready!(leased.with(|lease| {
            let written = Pin::new(lease.stream()).poll_write(cx, bytes);
            written.map_ok(|count| {
                lease.moved(0, count as u64);
                count
            })
        }))?;
        leased.went(bytes.get(..count).unwrap_or_default());
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let leased = self.get_mut();
        let count = ready!(leased.with(|lease| {
            let written = Pin::new(lease.stream()).poll_write_vectored(cx, pieces);
            written.map_ok(|count| {
                lease.moved(0, count as u64);
                count
            })
        }))?;
        written(pieces, count).for_each(|bytes| leased.went(bytes));
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut()
            .with(|lease| Pin::new(lease.stream()).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut()
            .with(|lease| Pin::new(lease.stream()).poll_shutdown(cx))
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.discard(self.reason.get());
        }
    }
}
