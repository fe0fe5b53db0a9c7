//! Replies of the proxy's own, and what becomes of the connection when a request was not read to its end.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use narrows_parsers::http1::{Body, BodyStep};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use super::flow::Flow;
use super::request::Request;
use super::{End, Session};
use crate::exchange::CloseReason;
use crate::listener::sessions::{Ticks, Verdict};

/// A rest of a request that nobody wants is read if it is no longer than this: less than what a new connection costs both sides. nginx
/// and Go's `net/http` read up to 256 KB.
const DISCARDED_BYTES: u64 = 64 * 1024;

/// How long the rest of a request may take that nobody wants, and how long a client is listened to that has been told that its connection
/// ends: a close while it still sends would have its system throw the reply away (RFC 9112 section 9.6). nginx's `lingering_timeout`.
const LINGER: Duration = Duration::from_secs(5);

/// The most that is read meanwhile: whoever sends on and on is not listening.
const LINGER_BYTES: u64 = 4 * 1024 * 1024;

impl Session<'_> {
    /// Writes what the client has not got yet of the reply, and readies the connection for the next request.
    pub(super) async fn answer(&mut self, request: &mut Request) -> Result<(), End> {
        if request.download.waits_for_sink() {
            let patience = self.listener.timeouts.stream_idle;
            self.handle.expect(patience, None);
            let download = &mut request.download;
            let written = poll_fn(|cx| self.poll_written(download, cx)).await;
            if let Err(end) = written {
                self.count(request);
                return Err(end.cutting());
            }
        }
        self.count(request);
        request.underway.finish(Instant::now());
        request.upload.recycle(&self.listener.buffers);
        request.download.recycle(&self.listener.buffers);
        match (request.upload.rest().is_done(), request.closes) {
            (true, true) => Err(End::by_us(CloseReason::LastReply)),
            (true, false) => Ok(()),
            // Rare, and not paid for by every idle session.
            (false, closes) => Box::pin(self.leave(request.upload.rest_mut(), closes)).await,
        }
    }

    /// Adds up what has moved.
    pub(super) fn count(&mut self, request: &mut Request) {
        let underway = &mut request.underway;
        underway.request_bytes += request.upload.taken;
        underway.reply_bytes = request.download.written;
        self.received += underway.request_bytes;
        self.sent += underway.reply_bytes;
    }

    fn poll_written(&mut self, reply: &mut Flow, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        if matches!(self.handle.verdict(cx), Verdict::Abort | Verdict::Idle) {
            return Poll::Ready(Err(End::by_us(CloseReason::Aborted)));
        }
        if self.handle.alarm().is_some() {
            return Poll::Ready(Err(End::by_us(CloseReason::ClientStalled)));
        }
        let before = reply.written;
        let written = reply.poll_write(&mut self.client, cx);
        if reply.written > before {
            self.handle.touch();
        }
        written.map_err(|_| End::CLIENT_RESET)
    }

    /// The reply has been written, and the request has not been read to its end.
    async fn leave(&mut self, rest: &mut Body, closes: bool) -> Result<(), End> {
        if !closes && is_worth_reading(rest) && self.discard(rest).await? {
            return Ok(());
        }
        self.linger().await;
        Err(End::by_us(CloseReason::LastReply))
    }

    /// Reads the rest of a request. False when it is too much, or comes too slowly.
    async fn discard(&mut self, rest: &mut Body) -> Result<bool, End> {
        self.handle.expect(None, Some(Ticks::of(LINGER)));
        let mut left = DISCARDED_BYTES;
        poll_fn(|cx| {
            loop {
                if let Some(done) = self.pass_over(rest, &mut left) {
                    return Poll::Ready(Ok(done));
                }
                if self.is_told_to_stop(cx) {
                    return Poll::Ready(Ok(false));
                }
                let read = super::poll_read(&mut self.client, &mut self.inbox, &self.scratch, cx);
                match ready!(read) {
                    Ok(0) => return Poll::Ready(Err(End::CLIENT_FINISHED)),
                    Ok(_) => {}
                    Err(_) => return Poll::Ready(Err(End::CLIENT_RESET)),
                }
            }
        })
        .await
    }

    /// Passes over what has come of a body. `Some` when it has ended, or is not to be read any more.
    fn pass_over(&mut self, rest: &mut Body, left: &mut u64) -> Option<bool> {
        let mut headers = self.listener.headers.borrow_mut();
        loop {
            let taken = match rest.advance(self.inbox.bytes(), &mut headers) {
                BodyStep::Forward(count) | BodyStep::Frame(count) | BodyStep::Drop(count) => count,
                BodyStep::Trailers { consumed, .. } => consumed,
                BodyStep::End => return Some(true),
                BodyStep::NeedMore => return None,
                BodyStep::Malformed(_) => return Some(false),
            };
            self.inbox.consume(taken);
            self.received += taken as u64;
            match left.checked_sub(taken as u64) {
                Some(less) => *left = less,
                None => return Some(false),
            }
        }
    }

    /// Tells the client that nothing more comes, and reads what it sends until it has understood.
    async fn linger(&mut self) {
        self.handle.expect(None, Some(Ticks::of(LINGER)));
        self.inbox.consume(self.inbox.bytes().len());
        let mut left = LINGER_BYTES;
        poll_fn(|cx| {
            if ready!(Pin::new(&mut self.client).poll_shutdown(cx)).is_err() {
                return Poll::Ready(());
            }
            loop {
                if self.is_told_to_stop(cx) {
                    return Poll::Ready(());
                }
                let mut scratch = self.scratch.borrow_mut();
                let mut read = ReadBuf::new(&mut scratch);
                let polled = ready!(Pin::new(&mut self.client).poll_read(cx, &mut read));
                let count = read.filled().len() as u64;
                left = left.saturating_sub(count);
                if polled.is_err() || count == 0 || left == 0 {
                    return Poll::Ready(());
                }
            }
        })
        .await;
    }

    fn is_told_to_stop(&self, cx: &Context<'_>) -> bool {
        matches!(self.handle.verdict(cx), Verdict::Abort | Verdict::Idle)
            || self.handle.alarm().is_some()
    }
}

/// Whether the rest of a request is short enough to be read for the sake of the connection.
pub(super) fn is_worth_reading(rest: &Body) -> bool {
    rest.left().is_some_and(|left| left <= DISCARDED_BYTES)
}
