//! One exchange over a connection that is lent for it: the request on its way out and the reply on its way back, at the same time.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use narrows_parsers::http1::HeadParser;

use super::flow::{Broken, Lent};
use super::request::Request;
use super::{End, Session};
use crate::exchange::CloseReason;
use crate::listener::sessions::{Alarm, Verdict};
use crate::protocols::http::errors::Failure;
use crate::protocols::inbox::{Buffers, Inbox};
use crate::stats::{Cluster, Scope};
use crate::upstream::http::H1Connection;
use crate::upstream::pool::CloseReason as PoolClose;

/// How an exchange went.
pub(super) enum Went {
    /// The client has the whole reply.
    Well,
    /// The connection is a tunnel from here on.
    Switched,
    /// A connection that had served before ended without a byte of reply: the server closed it just as it was lent.
    Stale,
    /// Nothing of a reply has been passed on.
    Failed(Failure),
    /// A part of the reply has been passed on, and no more of it comes.
    Cut(Failure),
    /// The client's side ended.
    ClientEnded(End),
}

/// An exchange that is under way.
pub(super) struct Exchange {
    /// `None` when the whole reply has been read.
    pub(super) upstream: Option<H1Connection>,
    stats: Scope<Cluster>,
    /// What the upstream has sent and nobody has dealt with yet.
    pub(super) reply: Inbox,
    pub(super) heads: HeadParser,
    /// Bytes of the heads that have been read.
    pub(super) head_bytes: u64,
    /// What the head of the reply says; `None` while it has not come.
    pub(super) begun: Option<Begun>,
    /// The upstream takes nothing more of the request.
    refuses: bool,
    /// When bytes came from the upstream last; before that, when it was lent.
    pub(super) read_at: Instant,
    /// When it was lent, until something is written to it: one look at the clock does for both.
    lent_at: Option<Instant>,
}

/// A reply whose head has been read.
#[derive(Clone, Copy)]
pub(super) struct Begun {
    /// The upstream means to answer another request.
    pub(super) upstream_keeps: bool,
    /// The connection is a tunnel behind it.
    pub(super) switched: bool,
}

impl Exchange {
    /// An exchange over a connection that was lent at `now`.
    pub(super) fn new(upstream: H1Connection, now: Instant, buffers: &Rc<Buffers>) -> Self {
        Self {
            stats: upstream.cluster().clone(),
            upstream: Some(upstream),
            reply: Inbox::new(Rc::clone(buffers)),
            heads: HeadParser::new(),
            head_bytes: 0,
            begun: None,
            refuses: false,
            read_at: now,
            lent_at: Some(now),
        }
    }

    /// `cluster.*`
    pub(super) fn stats(&self) -> &Scope<Cluster> {
        &self.stats
    }

    /// Closes the upstream's connection, if it is still lent.
    pub(super) fn let_go(&mut self, request: &Request, reason: PoolClose) {
        self.part(request, Some(reason));
    }

    /// Gives the upstream's connection back, or closes it for a reason, if it is still lent.
    pub(super) fn part(&mut self, request: &Request, reason: Option<PoolClose>) {
        let Some(mut connection) = self.upstream.take() else {
            return;
        };
        let received = self.head_bytes + request.download.taken;
        connection.moved(received, request.upload.written);
        match reason {
            None => connection.give_back(self.read_at),
            Some(reason) => connection.discard(reason),
        }
    }

    /// No more than this comes of it.
    pub(super) fn failed(&self, request: &Request, failure: Failure) -> Went {
        match self.begun.is_some() || request.download.waits_for_sink() {
            true => Went::Cut(failure),
            false => Went::Failed(failure),
        }
    }

    /// The upstream's connection ended before the head of a reply.
    pub(super) fn no_reply(&self, request: &Request) -> Went {
        let reused = self.upstream.as_ref().is_some_and(H1Connection::is_reused);
        let untouched = self.head_bytes == 0 && self.reply.is_empty();
        let harmless = request.asked.idempotent || request.upload.written == 0;
        match reused && untouched && harmless {
            true => Went::Stale,
            false => self.failed(request, Failure::UpstreamReset),
        }
    }

    fn moved(&self, request: &Request) -> [u64; 4] {
        let (upload, download) = (&request.upload, &request.download);
        [
            upload.taken,
            upload.written,
            self.head_bytes + download.taken,
            download.written,
        ]
    }
}

impl Session<'_> {
    /// Moves both directions on. Ready when the client has the whole reply, or will not get it.
    pub(super) fn poll_exchange(
        &mut self,
        request: &mut Request,
        exchange: &mut Exchange,
        cx: &mut Context<'_>,
    ) -> Poll<Went> {
        if matches!(self.handle.verdict(cx), Verdict::Abort | Verdict::Idle) {
            return Poll::Ready(Went::ClientEnded(End::by_us(CloseReason::Aborted)));
        }
        if let Some(alarm) = self.handle.alarm() {
            return Poll::Ready(exchange.failed(request, too_long(alarm, request)));
        }
        let before = exchange.moved(request);
        let went = self.poll_both(request, exchange, cx);
        if exchange.moved(request) != before {
            self.handle.touch();
        }
        went
    }

    fn poll_both(
        &mut self,
        request: &mut Request,
        exchange: &mut Exchange,
        cx: &mut Context<'_>,
    ) -> Poll<Went> {
        if let Some(went) = self.poll_upload(request, exchange, cx) {
            return Poll::Ready(went);
        }
        if let Poll::Ready(went) = self.poll_reply(request, exchange, cx) {
            return Poll::Ready(went);
        }
        // While the request comes, the upload looks at the client; and who has a reply in no time does not leave before.
        let is_sent = request.underway.request_written.is_some() || exchange.refuses;
        if is_sent && self.handle.has_lasted() {
            return self.poll_left(cx).map(Went::ClientEnded);
        }
        Poll::Pending
    }

    /// The request, as far as it goes.
    fn poll_upload(
        &mut self,
        request: &mut Request,
        exchange: &mut Exchange,
        cx: &mut Context<'_>,
    ) -> Option<Went> {
        let upstream = exchange.upstream.as_mut()?;
        if request.underway.request_written.is_some() || exchange.refuses {
            return None;
        }
        // Before the write: the server may have answered by the time it returns, and what it did meanwhile is the server's time.
        let now = exchange.lent_at.take().unwrap_or_else(Instant::now);
        let (client, inbox) = (&mut self.client, &mut self.inbox);
        let lent = Lent {
            scratch: &self.scratch,
            headers: &self.listener.headers,
        };
        let upload = &mut request.upload;
        match upload.poll(client, inbox, upstream.stream(), lent, cx) {
            Poll::Pending => None,
            Poll::Ready(Ok(())) => {
                request.underway.request_written = Some(now);
                if let Some(to) = request.destination.as_ref().filter(|_| !request.is_timed) {
                    let timeouts = self.listener.route_timeouts(to.route);
                    self.handle.expect(timeouts.idle, timeouts.reply);
                }
                None
            }
            // It may have answered before it closed its side.
            Poll::Ready(Err(Broken::Sink)) => {
                exchange.refuses = true;
                None
            }
            Poll::Ready(Err(Broken::Source)) => Some(Went::ClientEnded(End::CLIENT_FINISHED)),
            Poll::Ready(Err(Broken::Malformed(reason))) => {
                Some(exchange.failed(request, Failure::Malformed(reason)))
            }
            Poll::Ready(Err(Broken::TooLarge)) => {
                Some(exchange.failed(request, Failure::BodyTooLarge))
            }
        }
    }
}

/// What took too long.
pub(super) fn too_long(alarm: Alarm, request: &Request) -> Failure {
    let sent = request.is_timed || request.underway.request_written.is_some();
    // An upstream that takes nothing is no fault of the client's.
    match alarm {
        Alarm::Late if sent || request.upload.waits_for_sink() => Failure::RouteTimeout,
        Alarm::Late => Failure::RequestTimeout,
        Alarm::Idle if request.download.waits_for_sink() => Failure::ReplyUnread,
        Alarm::Idle if sent || request.upload.waits_for_sink() => Failure::ReplyIdle,
        Alarm::Idle => Failure::RequestIdle,
    }
}
