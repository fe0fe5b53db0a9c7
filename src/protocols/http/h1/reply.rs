//! The reply on its way back: its head is read, rewritten and passed on, and its body follows as it comes.

use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use narrows_parsers::http1::{
    Framing, HeadParser, HeadStep, Headers, Known, ResponseHead, Version, list_members,
};

use super::answer::is_worth_reading;
use super::exchange::{Begun, Exchange, Went};
use super::flow::{Broken, Lent};
use super::head::{self, Reply};
use super::request::Request;
use super::{End, Session, poll_read};
use crate::protocols::http::errors::Failure;
use crate::stats::{Cluster, HttpOne};
use crate::upstream::pool::CloseReason as PoolClose;

impl Session<'_> {
    /// The reply, as far as it goes.
    pub(super) fn poll_reply(
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
            // The reply itself has not begun.
            request.underway.first_byte = (!exchange.reply.is_empty()).then_some(exchange.read_at);
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
        // What is still to be written of the request would be the first of what passes the tunnel.
        let sent = request.underway.request_written.is_some();
        if !agreed || switched && !(sent && request.upload.has_all()) {
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
        let reason = if !exchange.reply.is_empty() {
            // Whoever gets this connection next would take what is behind the reply for its own.
            tracing::warn!(listener = %self.listener.name, "an upstream sent more than its reply; its connection is closed");
            exchange.stats().inc(Cluster::UPSTREAM_CX_PROTOCOL_ERROR);
            Some(PoolClose::ProtocolError)
        } else if !sent {
            Some(PoolClose::Abandoned)
        } else if !keeps {
            Some(PoolClose::ServerClosed)
        } else {
            None
        };
        exchange.part(request, reason);
        let dropped = request.download.trailers_dropped + request.upload.trailers_dropped;
        if dropped > 0 {
            self.listener
                .one
                .add(HttpOne::TRAILERS_DROPPED, dropped as u64);
        }
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
