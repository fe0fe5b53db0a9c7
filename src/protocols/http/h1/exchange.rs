//! One exchange over a connection that is lent for it: the request on its way out and the reply on its way back, at the same time.

use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use narrows_parsers::http1::{
    Framing, HeadParser, HeadStep, Headers, Known, ResponseHead, Version, list_members,
};

use super::answer::is_worth_reading;
use super::flow::{Broken, Lent};
use super::head::{self, Reply};
use super::request::Request;
use super::{End, Session, poll_read};
use crate::exchange::CloseReason;
use crate::listener::sessions::{Alarm, Verdict};
use crate::protocols::http::errors::Failure;
use crate::protocols::inbox::{Buffers, Inbox};
use crate::stats::{Cluster, HttpOne, Scope};
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
    heads: HeadParser,
    /// Bytes of the heads that have been read.
    head_bytes: u64,
    /// What the head of the reply says; `None` while it has not come.
    begun: Option<Begun>,
    /// The upstream takes nothing more of the request.
    refuses: bool,
    /// When bytes came from the upstream last; before that, when it was lent.
    read_at: Instant,
    /// When it was lent, until something is written to it: one look at the clock does for both.
    lent_at: Option<Instant>,
}

/// A reply whose head has been read.
#[derive(Clone, Copy)]
struct Begun {
    /// The upstream means to answer another request.
    upstream_keeps: bool,
    switched: bool,
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
        if let Some(mut connection) = self.upstream.take() {
            let received = self.head_bytes + request.download.taken;
            connection.moved(received, request.upload.written);
            connection.discard(reason);
        }
    }

    /// No more than this comes of it.
    fn failed(&self, request: &Request, failure: Failure) -> Went {
        match self.begun.is_some() || request.download.waits_for_sink() {
            true => Went::Cut(failure),
            false => Went::Failed(failure),
        }
    }

    /// The upstream's connection ended before the head of a reply.
    fn no_reply(&self, request: &Request) -> Went {
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
                if let Some(to) = &request.destination {
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

    /// The reply, as far as it goes.
    fn poll_reply(
        &mut self,
        request: &mut Request,
        exchange: &mut Exchange,
        cx: &mut Context<'_>,
    ) -> Poll<Went> {
        loop {
            if ready!(request.download.poll_write(&mut self.client, cx)).is_err() {
                return Poll::Ready(Went::ClientEnded(End::CLIENT_RESET));
            }
            let more = match exchange.begun {
                Some(begun) if begun.switched => return Poll::Ready(Went::Switched),
                Some(_) if request.download.has_all() => return Poll::Ready(Went::Well),
                Some(_) => ready!(self.poll_body(request, exchange, cx)),
                None => ready!(self.poll_head(request, exchange, cx)),
            };
            if let Err(went) = more {
                return Poll::Ready(went);
            }
        }
    }

    /// More of the head of the reply.
    fn poll_head(
        &mut self,
        request: &mut Request,
        exchange: &mut Exchange,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Went>> {
        let Some(upstream) = &mut exchange.upstream else {
            return Poll::Ready(Err(exchange.failed(request, Failure::UpstreamReset)));
        };
        let read = poll_read(upstream.stream(), &mut exchange.reply, &self.scratch, cx);
        if !matches!(ready!(read), Ok(1..)) {
            return Poll::Ready(Err(exchange.no_reply(request)));
        }
        exchange.read_at = Instant::now();
        request.underway.first_byte.get_or_insert(exchange.read_at);
        while exchange.begun.is_none() && self.decode_reply(request, exchange)? {}
        Poll::Ready(Ok(()))
    }

    /// Looks at what has come. False when it is not a whole head yet.
    fn decode_reply(
        &mut self,
        request: &mut Request,
        exchange: &mut Exchange,
    ) -> Result<bool, Went> {
        let listener = Rc::clone(&self.listener);
        let mut headers = listener.headers.borrow_mut();
        let bytes = exchange.reply.bytes();
        let head = match exchange
            .heads
            .response(bytes, &mut headers, request.asked.kind)
        {
            HeadStep::NeedMore => return Ok(false),
            HeadStep::Malformed(reason) => {
                tracing::debug!(listener = %listener.name, %reason, "malformed reply");
                return Err(exchange.failed(request, Failure::UpstreamMalformed));
            }
            HeadStep::Head(head) => head,
        };
        exchange.heads = HeadParser::new();
        exchange.head_bytes += u64::from(head.length);
        if head.is_interim() {
            // RFC 9110 section 15.2: HTTP/1.0 has none.
            if request.asked.version == Version::Http11 {
                head::interim(request.download.head(), bytes, &head, &headers);
                // The client sends its body now.
                request.asked.expects &= head.status != 100;
            }
            exchange.reply.consume(head.length as usize);
            return Ok(true);
        }
        let begun = self.begin_reply(request, exchange, &head, &headers)?;
        drop(headers);
        exchange.begun = Some(begun);
        exchange.reply.consume(head.length as usize);
        request.underway.status = Some(head.status);
        if !begun.switched {
            let taken = request
                .download
                .take_from(&mut exchange.reply, &listener.headers);
            taken.map_err(|_| exchange.failed(request, Failure::UpstreamMalformed))?;
            self.settle(request, exchange);
        }
        Ok(true)
    }

    /// Writes the head of the reply as the client gets it.
    fn begin_reply(
        &self,
        request: &mut Request,
        exchange: &Exchange,
        head: &ResponseHead,
        headers: &Headers,
    ) -> Result<Begun, Went> {
        let (asked, bytes) = (request.asked, exchange.reply.bytes());
        let switched = head.framing == Framing::Tunnel;
        let agreed = head.status != 101 || was_offered(request, bytes, head, headers);
        // A body that still comes would be the first of what passes the tunnel.
        if !agreed || switched && !request.upload.has_all() {
            return Err(exchange.failed(request, Failure::UpstreamMalformed));
        }
        let knows_chunks = asked.version == Version::Http11;
        let endless = match head.framing {
            Framing::UntilClose => true,
            Framing::Chunked => !knows_chunks,
            Framing::None | Framing::Length(_) | Framing::Tunnel => false,
        };
        let closes = !switched
            && (endless
                || !asked.keep_alive
                || self.handle.is_draining()
                || will_not_be_read(request, head.status));
        let route = request.destination.as_ref().map(|to| to.route);
        let Some(route) = route.and_then(|route| self.listener.routes.get(route)) else {
            return Err(exchange.failed(request, Failure::NoRoute));
        };
        let reply = Reply {
            version: asked.version,
            closes,
            chunked: knows_chunks && head.framing == Framing::Chunked,
            switches: head.status == 101,
            edits: &route.response_edits,
        };
        head::to_client(request.download.head(), bytes, head, headers, &reply);
        request.download.set_body(head.framing, knows_chunks);
        request.closes = closes;
        Ok(Begun {
            upstream_keeps: head.keep_alive,
            switched,
        })
    }

    /// More of the body of the reply.
    fn poll_body(
        &mut self,
        request: &mut Request,
        exchange: &mut Exchange,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Went>> {
        let Some(upstream) = &mut exchange.upstream else {
            return Poll::Ready(Err(exchange.failed(request, Failure::UpstreamReset)));
        };
        let lent = Lent {
            scratch: &self.scratch,
            headers: &self.listener.headers,
        };
        let (reply, client) = (&mut exchange.reply, &mut self.client);
        let more = request
            .download
            .poll_more(upstream.stream(), reply, client, lent, cx);
        Poll::Ready(match ready!(more) {
            Ok(()) => {
                if request.download.has_all() {
                    exchange.read_at = Instant::now();
                    self.settle(request, exchange);
                }
                Ok(())
            }
            Err(Broken::Source) => Err(exchange.failed(request, Failure::UpstreamReset)),
            Err(Broken::Sink) => Err(Went::ClientEnded(End::CLIENT_RESET)),
            Err(Broken::Malformed(_) | Broken::TooLarge) => {
                Err(exchange.failed(request, Failure::UpstreamMalformed))
            }
        })
    }

    /// When the whole reply has been read, the upstream's connection is given back: before the client has it all, for others may wait.
    fn settle(&self, request: &mut Request, exchange: &mut Exchange) {
        if !request.download.has_all() {
            return;
        }
        request.underway.last_byte = Some(exchange.read_at);
        let sent = request.underway.request_written.is_some();
        let keeps = exchange.begun.is_some_and(|begun| begun.upstream_keeps);
        if !exchange.reply.is_empty() {
            // Whoever gets this connection next would take what is behind the reply for its own.
            tracing::warn!(listener = %self.listener.name, "an upstream sent more than its reply; its connection is closed");
            exchange.stats.inc(Cluster::UPSTREAM_CX_PROTOCOL_ERROR);
            exchange.let_go(request, PoolClose::ProtocolError);
        } else if sent && keeps {
            if let Some(mut connection) = exchange.upstream.take() {
                let received = exchange.head_bytes + request.download.taken;
                connection.moved(received, request.upload.written);
                connection.give_back(exchange.read_at);
            }
        } else {
            exchange.let_go(
                request,
                if sent {
                    PoolClose::ServerClosed
                } else {
                    PoolClose::Abandoned
                },
            );
        }
        let dropped = request.download.trailers_dropped + request.upload.trailers_dropped;
        if dropped > 0 {
            self.listener
                .one
                .add(HttpOne::TRAILERS_DROPPED, dropped as u64);
        }
    }
}

/// What took too long.
fn too_long(alarm: Alarm, request: &Request) -> Failure {
    let sent = request.underway.request_written.is_some();
    match alarm {
        Alarm::Late if sent => Failure::RouteTimeout,
        Alarm::Late => Failure::RequestTimeout,
        // An upstream that takes nothing is no fault of the client's.
        Alarm::Idle if sent || request.upload.waits_for_sink() => Failure::ReplyIdle,
        Alarm::Idle => Failure::RequestIdle,
    }
}

/// True when a reply comes so early that the rest of its request is left unread. Whoever waits for 100 may leave the body out, or send it
/// all the same: what follows could be either.
fn will_not_be_read(request: &Request, status: u16) -> bool {
    if request.upload.has_all() {
        return false;
    }
    request.asked.expects && request.upload.taken == 0
        || status >= 300 && !is_worth_reading(request.upload.rest())
}

/// True when the upstream changes to a protocol that the client offered.
fn was_offered(request: &Request, bytes: &[u8], head: &ResponseHead, headers: &Headers) -> bool {
    let upgrade = request.destination.as_ref().map(|to| &to.upgrade);
    let Some(Some(offered)) = upgrade else {
        return false;
    };
    let fields = headers.iter().filter(|field| field.known == Known::Upgrade);
    let mut chosen = fields.flat_map(|field| list_members(field.value.of(bytes)));
    head.upgrade
        && chosen.all(|chosen| list_members(offered).any(|one| one.eq_ignore_ascii_case(chosen)))
}
