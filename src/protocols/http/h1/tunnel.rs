//! A connection that is no longer HTTP: after 101, or after 2xx to CONNECT. Bytes pass both ways until both sides have ended.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use narrows_parsers::http1::Framing;
use tokio::io::AsyncWrite as _;

use super::exchange::Exchange;
use super::flow::{Broken, Flow, Lent};
use super::request::Request;
use super::{End, Session};
use crate::exchange::CloseReason;
use crate::listener::sessions::Verdict;
use crate::protocols::http::session::Open;
use crate::protocols::inbox::Inbox;
use crate::stats::Http;
use crate::stream::Stream;
use crate::upstream::pool::CloseReason as PoolClose;

/// Which directions have ended.
#[derive(Default)]
struct Ended {
    upload: bool,
    download: bool,
    /// The client's end came first.
    by_client: bool,
}

impl Session<'_> {
    /// Passes bytes both ways. The connection ends with it.
    pub(super) async fn tunnel(
        &mut self,
        request: &mut Request,
        mut exchange: Exchange,
    ) -> Result<(), End> {
        let listener = std::rc::Rc::clone(&self.listener);
        listener.stats.inc(Http::DOWNSTREAM_CX_UPGRADES_TOTAL);
        let _open = Open::new(&listener, Http::DOWNSTREAM_CX_UPGRADES_ACTIVE);
        let route = request.destination.as_ref().map(|to| to.route);
        let timeouts = route.map(|route| listener.route_timeouts(route));
        let patience = timeouts.and_then(|timeouts| timeouts.idle);
        self.handle.expect(patience, None);
        request.underway.request_bytes += request.upload.taken;
        let written = request.upload.written;
        request.upload = Flow::new(listener.buffers.take(), Framing::Tunnel);
        request.upload.written = written;
        request.download.set_body(Framing::Tunnel, true);
        let mut ended = Ended::default();
        let end = poll_fn(|cx| self.poll_tunnel(request, &mut exchange, &mut ended, cx)).await;
        self.count(request);
        exchange.let_go(
            request,
            match end.by_client {
                true => PoolClose::ClientGone,
                false => PoolClose::ServerClosed,
            },
        );
        request.underway.finish_tunnel();
        Err(end)
    }

    fn poll_tunnel(
        &mut self,
        request: &mut Request,
        exchange: &mut Exchange,
        ended: &mut Ended,
        cx: &mut Context<'_>,
    ) -> Poll<End> {
        if matches!(self.handle.verdict(cx), Verdict::Abort | Verdict::Idle) {
            return Poll::Ready(End::by_us(CloseReason::Aborted));
        }
        if self.handle.alarm().is_some() {
            return Poll::Ready(End::by_us(CloseReason::IdleTimeout));
        }
        let Some(upstream) = &mut exchange.upstream else {
            return Poll::Ready(End::by_us(CloseReason::UpstreamReset));
        };
        let lent = Lent {
            scratch: &self.scratch,
            headers: &self.listener.headers,
        };
        let (client, upstream) = (&mut self.client, upstream.stream());
        let before = (request.upload.written, request.download.written);
        let upload = poll_way(
            &mut request.upload,
            client,
            &mut self.inbox,
            upstream,
            lent,
            &mut ended.upload,
            cx,
        );
        ended.by_client |= ended.upload && !ended.download;
        let download = poll_way(
            &mut request.download,
            upstream,
            &mut exchange.reply,
            client,
            lent,
            &mut ended.download,
            cx,
        );
        if before != (request.upload.written, request.download.written) {
            self.handle.touch();
        }
        let by_client = ended.by_client;
        match (upload, download) {
            (Poll::Ready(Err(Broken::Source)), _) | (_, Poll::Ready(Err(Broken::Sink))) => {
                upstream.reset_on_close();
                Poll::Ready(End::CLIENT_RESET)
            }
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => {
                self.client.reset_on_close();
                Poll::Ready(End::by_us(CloseReason::UpstreamReset))
            }
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(End {
                by_client,
                ..End::by_us(CloseReason::Finished)
            }),
            _ => Poll::Pending,
        }
    }
}

/// One way, until its source has ended and its sink knows.
fn poll_way(
    flow: &mut Flow,
    source: &mut Stream,
    inbox: &mut Inbox,
    sink: &mut Stream,
    lent: Lent<'_>,
    ended: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Broken>> {
    if *ended {
        return Poll::Ready(Ok(()));
    }
    ready!(flow.poll(source, inbox, sink, lent, cx))?;
    ready!(Pin::new(sink).poll_shutdown(cx)).map_err(|_| Broken::Sink)?;
    *ended = true;
    Poll::Ready(Ok(()))
}
