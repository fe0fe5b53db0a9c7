//! forward: a connection is lent, the request goes over it, and what came of that.

use std::future::Future as _;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Instant;

use super::exchange::{Exchange, Went, too_long};
use super::flow::Broken;
use super::request::Request;
use super::{End, Session, poll_read};
use crate::exchange::CloseReason;
use crate::listener::sessions::Verdict;
use crate::protocols::http::decide::LocalReply;
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
    /// Has an upstream answer. The client has the whole reply then, or one of the proxy's own waits to be written.
    pub(super) async fn forward(&mut self, request: &mut Request) -> Result<(), End> {
        self.listener.stats.inc(Http::RQ_TOTAL);
        if let Some(failure) = self.take_body_at_hand(request) {
            self.fail(request, failure);
            return Ok(());
        }
        self.expect(request);
        for attempt in 1.. {
            let (connection, now) = match self.lend(request).await? {
                Ok(lent) => lent,
                Err(failure) => {
                    self.fail(request, failure);
                    break;
                }
            };
            request.underway.endpoint = connection.endpoint().cloned();
            let mut exchange = Exchange::new(connection, now, &self.listener.buffers);
            let went = poll_fn(|cx| self.poll_exchange(request, &mut exchange, cx)).await;
            let stats = exchange.stats().clone();
            match went {
                Went::Well => {
                    if attempt > 1 {
                        stats.inc(Cluster::UPSTREAM_RQ_RETRY_SUCCESS);
                    }
                    if !request.upload.has_all() {
                        let stats = &self.listener.stats;
                        stats.inc(Http::DOWNSTREAM_RQ_RESPONSE_BEFORE_RQ_COMPLETE);
                    }
                }
                Went::Switched => Box::pin(self.tunnel(request, exchange)).await?,
                Went::Stale => {
                    exchange.let_go(request, PoolClose::UpstreamError);
                    if attempt < MAX_ATTEMPTS && request.upload.rewind() {
                        stats.inc(Cluster::UPSTREAM_RQ_RETRY);
                        request.underway.request_written = None;
                        continue;
                    }
                    self.fail(request, Failure::UpstreamReset);
                }
                Went::Failed(failure) => {
                    exchange.let_go(request, pool_close(failure));
                    self.fail(request, failure);
                }
                Went::Cut(failure) => {
                    exchange.let_go(request, pool_close(failure));
                    return Err(self.cut(request, failure));
                }
                Went::ClientEnded(end) => {
                    exchange.let_go(request, PoolClose::ClientGone);
                    self.count(request);
                    return Err(end.cutting());
                }
            }
            break;
        }
        Ok(())
    }

    /// Head and as much of the body as has come leave together.
    fn take_body_at_hand(&mut self, request: &mut Request) -> Option<Failure> {
        let headers = &self.listener.headers;
        match request.upload.take_from(&mut self.inbox, headers) {
            Err(Broken::TooLarge) => Some(Failure::BodyTooLarge),
            Err(Broken::Malformed(reason)) => Some(Failure::Malformed(reason)),
            // Neither side is asked.
            Ok(_) | Err(Broken::Source | Broken::Sink) => None,
        }
    }

    /// How long the request may take to come, or, when it has come whole, the reply.
    fn expect(&self, request: &mut Request) {
        let route = request.destination.as_ref().map(|to| to.route);
        let timeouts = route.map(|route| self.listener.route_timeouts(route));
        let timeouts = timeouts.unwrap_or_default();
        request.is_timed = request.upload.has_all();
        let by = match request.is_timed {
            true => timeouts.reply,
            false => self.listener.timeouts.request,
        };
        self.handle.expect(timeouts.idle, by);
    }

    /// A connection to the cluster. `Err` inside when there is none.
    async fn lend(
        &mut self,
        request: &Request,
    ) -> Result<Result<(H1Connection, Instant), Failure>, End> {
        let Some(to) = &request.destination else {
            return Ok(Err(Failure::NoCluster));
        };
        let now = Instant::now();
        if let Some(connection) = to.upstream.at_hand(now) {
            return Ok(Ok((connection, now)));
        }
        // Rare next to what is at hand, and its state is large: it is not paid for by every idle session.
        let mut lending = Box::pin(to.upstream.connection(now));
        let lent = poll_fn(|cx| {
            if let Poll::Ready(lent) = lending.as_mut().poll(cx) {
                return Poll::Ready(Ok(lent.map_err(|error| {
                    tracing::debug!(%error, "no upstream connection");
                    Failure::from(&error)
                })));
            }
            if let Poll::Ready(end) = self.poll_left(cx) {
                return Poll::Ready(Err(end));
            }
            match self.handle.alarm() {
                Some(alarm) => Poll::Ready(Ok(Err(too_long(alarm, request)))),
                None => Poll::Pending,
            }
        });
        match pin!(lent).await {
            Ok(Ok(connection)) => {
                self.handle.touch();
                Ok(Ok((connection, Instant::now())))
            }
            Ok(Err(failure)) => Ok(Err(failure)),
            Err(end) => {
                to.upstream.stats.inc(Cluster::UPSTREAM_RQ_CANCELLED);
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

    /// Nothing of a reply has been passed on: the proxy answers.
    pub(super) fn fail(&self, request: &mut Request, failure: Failure) {
        self.reply(request, &LocalReply::to(failure));
    }

    /// A reply that was begun can't be completed. The client's connection is reset, so that it does not take the part for the whole.
    pub(super) fn cut(&mut self, request: &mut Request, failure: Failure) -> End {
        self.count(request);
        self.client.reset_on_close();
        request.underway.cut(failure);
        End::by_us(CloseReason::UpstreamReset).cutting()
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
