//! forward: a connection is lent, the request goes over it, and what came of that.

use std::future::Future as _;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Instant;

use super::exchange::{Exchange, Went};
use super::request::{Forwarding, Request};
use super::{End, Session, poll_read};
use crate::exchange::CloseReason;
use crate::listener::sessions::Verdict;
use crate::protocols::http::errors::Failure;
use crate::stats::{Cluster, Http};
use crate::upstream::http::H1Connection;
use crate::upstream::pool::CloseReason as PoolClose;

/// How often a request is sent: once, and again when a connection that had served before ended without a byte of reply, as nginx's
/// `proxy_next_upstream error` and Envoy's `reset-before-request` do.
const MAX_ATTEMPTS: usize = 3;

/// Bytes that are read ahead of a client while its request is under way. One that pipelines more has to wait.
const READ_AHEAD_BYTES: usize = 64 * 1024;

impl Session<'_> {
    /// Has an upstream answer.
    pub(super) async fn forward(&mut self, mut request: Forwarding) -> Result<(), End> {
        self.listener.stats.inc(Http::RQ_TOTAL);
        let timeouts = self.listener.route_timeouts(request.route);
        let arrives_by = self.listener.timeouts.request;
        let arrives_by = arrives_by.filter(|_| !request.upload.has_all());
        self.handle.expect(timeouts.idle, arrives_by);
        for attempt in 1.. {
            let (connection, now) = match self.lend(&request).await? {
                Ok(lent) => lent,
                Err(failure) => return self.fail(request, failure).await,
            };
            request.underway.endpoint = connection.endpoint().cloned();
            let mut exchange = Exchange::new(connection, now, &self.listener.buffers);
            match poll_fn(|cx| self.poll_exchange(&mut request, &mut exchange, cx)).await {
                Went::Well => {
                    if attempt > 1 {
                        let stats = &request.upstream.stats;
                        stats.inc(Cluster::UPSTREAM_RQ_RETRY_SUCCESS);
                    }
                    return self.end_exchange(request, exchange).await;
                }
                Went::Switched => return Box::pin(self.tunnel(request, exchange)).await,
                Went::Stale if attempt < MAX_ATTEMPTS && request.upload.rewind() => {
                    exchange.let_go(&request, PoolClose::UpstreamError);
                    request.upstream.stats.inc(Cluster::UPSTREAM_RQ_RETRY);
                    request.underway.request_written = None;
                }
                Went::Stale => {
                    exchange.let_go(&request, PoolClose::UpstreamError);
                    return self.fail(request, Failure::UpstreamReset).await;
                }
                Went::Failed(failure) => {
                    exchange.let_go(&request, pool_close(failure));
                    return self.fail(request, failure).await;
                }
                Went::Cut(failure) => return Err(self.cut(request, exchange, failure)),
                Went::ClientEnded(end) => {
                    self.count(&mut request, &exchange);
                    exchange.let_go(&request, PoolClose::ClientGone);
                    return Err(end.cutting());
                }
            }
        }
        Ok(())
    }

    /// A connection to the cluster. `Err` inside when there is none.
    async fn lend(
        &mut self,
        request: &Forwarding,
    ) -> Result<Result<(H1Connection, Instant), Failure>, End> {
        let now = Instant::now();
        if let Some(connection) = request.upstream.at_hand(now) {
            return Ok(Ok((connection, now)));
        }
        // Rare next to what is at hand, and its state is large: it is not paid for by every idle session.
        let mut lending = Box::pin(request.upstream.connection(now));
        let lent = poll_fn(|cx| match lending.as_mut().poll(cx) {
            Poll::Ready(lent) => Poll::Ready(Ok(lent)),
            Poll::Pending => self.poll_left(cx).map(Err),
        });
        match pin!(lent).await {
            Ok(Ok(connection)) => Ok(Ok((connection, Instant::now()))),
            Ok(Err(error)) => {
                tracing::debug!(%error, "no upstream connection");
                Ok(Err(Failure::from(&error)))
            }
            Err(end) => {
                request.upstream.stats.inc(Cluster::UPSTREAM_RQ_CANCELLED);
                Err(end.cutting())
            }
        }
    }

    /// Ready when the client has left while its request is under way, or the process ends. What the client sends meanwhile is kept.
    pub(super) fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if matches!(self.handle.verdict(cx), Verdict::Abort | Verdict::Idle) {
            return Poll::Ready(End::by_us(CloseReason::Aborted));
        }
        while self.inbox.bytes().len() < READ_AHEAD_BYTES {
            match poll_read(&mut self.client, &mut self.inbox, &self.scratch, cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(End::CLIENT_FINISHED),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(End::CLIENT_RESET),
                Poll::Pending => break,
            }
        }
        Poll::Pending
    }

    /// The client has the whole reply.
    async fn end_exchange(
        &mut self,
        mut request: Forwarding,
        mut exchange: Exchange,
    ) -> Result<(), End> {
        self.count(&mut request, &exchange);
        request.upload.recycle(&self.listener.buffers);
        exchange.recycle(&self.listener.buffers);
        let Forwarding {
            underway, upload, ..
        } = request;
        let rest = upload.into_body();
        if !rest.is_done() {
            let stats = &self.listener.stats;
            stats.inc(Http::DOWNSTREAM_RQ_RESPONSE_BEFORE_RQ_COMPLETE);
        }
        underway.finish(Instant::now());
        self.leave_request(rest, exchange.closes()).await
    }

    /// Nothing of a reply has been passed on: the proxy answers.
    async fn fail(&mut self, request: Forwarding, failure: Failure) -> Result<(), End> {
        let Request::Answer(answer) = self.refuse_begun(request, failure) else {
            return Err(End::by_us(CloseReason::Malformed));
        };
        self.answer(answer).await
    }

    /// A reply that was begun can't be completed. The client's connection is reset, so that it does not take the part for the whole.
    fn cut(&mut self, mut request: Forwarding, mut exchange: Exchange, failure: Failure) -> End {
        self.count(&mut request, &exchange);
        exchange.let_go(&request, pool_close(failure));
        self.client.reset_on_close();
        request.underway.cut(failure);
        End::by_us(CloseReason::UpstreamReset).cutting()
    }

    /// Adds up what has moved.
    pub(super) fn count(&mut self, request: &mut Forwarding, exchange: &Exchange) {
        let underway = &mut request.underway;
        underway.request_bytes += request.upload.taken;
        underway.reply_bytes = exchange.download.written;
        self.received += underway.request_bytes;
        self.sent += underway.reply_bytes;
    }
}

/// Why the upstream's connection is closed after a failure.
fn pool_close(failure: Failure) -> PoolClose {
    match failure {
        Failure::UpstreamReset => PoolClose::UpstreamError,
        Failure::UpstreamMalformed => PoolClose::ProtocolError,
        _ => PoolClose::Abandoned,
    }
}
