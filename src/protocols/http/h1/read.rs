//! accept → decode → decide: the next request of a client, and who answers it.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use narrows_parsers::http1::{
    Framing, HeadParser, HeadStep, Headers, Known, Malformed, RequestHead, RequestKind, Version,
    list_members,
};

use super::answer::is_worth_reading;
use super::head::{self, Told};
use super::in_h2::InH2;
use super::request::{Asked, Destination, Request};
use super::view::View;
use super::{End, Session, poll_read};
use crate::config::{HttpVersion, Scheme, Underscores};
use crate::exchange::CloseReason;
use crate::listener::sessions::{Alarm, Verdict};
use crate::protocols::http::HttpListener;
use crate::protocols::http::decide::{Decision, Forward, LocalReply, decide};
use crate::protocols::http::errors::Failure;
use crate::protocols::http::route::RequestView as _;
use crate::protocols::http::series::{Place, cut_caller};
use crate::stats::HttpOne;

/// Protocols that are not changed to. HTTP/2 without TLS is spoken from the first byte or not at all (RFC 9113 section 3.1), and TLS
/// does not begin in the middle of a connection.
const NOT_OFFERED: [&[u8]; 3] = [b"h2c", b"h2", b"tls/1.0"];

impl Session<'_> {
    /// Waits for a request, and decides who answers it. It is made in its place, for it is large.
    pub(super) async fn next_request(&mut self, place: &mut Option<Request>) -> Result<(), End> {
        self.handle.expect(self.listener.timeouts.idle, None);
        let mut begun = None;
        poll_fn(|cx| self.poll_request(place, &mut begun, cx)).await
    }

    fn poll_request(
        &mut self,
        place: &mut Option<Request>,
        begun: &mut Option<Instant>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), End>> {
        loop {
            if !self.inbox.is_empty() {
                let is_first = begun.is_none();
                let start = *begun.get_or_insert_with(Instant::now);
                if self.decode(place, start) {
                    return Poll::Ready(Ok(()));
                }
                if is_first {
                    self.handle.expect(None, self.listener.timeouts.header);
                }
            }
            match (self.handle.verdict(cx), self.handle.alarm()) {
                (Verdict::Abort | Verdict::Idle, _) => {
                    return Poll::Ready(Err(End::by_us(CloseReason::Aborted)));
                }
                (Verdict::Drain, _) if begun.is_none() => {
                    return Poll::Ready(Err(End::by_us(CloseReason::Drained)));
                }
                (_, Some(Alarm::Idle)) => {
                    return Poll::Ready(Err(End::by_us(CloseReason::IdleTimeout)));
                }
                (_, Some(Alarm::Late)) => {
                    let start = begun.unwrap_or_else(Instant::now);
                    self.refuse(place, start, Failure::HeaderTimeout);
                    return Poll::Ready(Ok(()));
                }
                (Verdict::Go | Verdict::Drain, None) => {}
            }
            let read = poll_read(&mut self.client, &mut self.inbox, &self.scratch, cx);
            match ready!(read) {
                Ok(0) => return Poll::Ready(Err(End::CLIENT_FINISHED)),
                Ok(_) => self.handle.touch(),
                Err(_) => return Poll::Ready(Err(End::CLIENT_RESET)),
            }
        }
    }

    /// Looks at what has come. False when it is not a whole head yet.
    fn decode(&mut self, place: &mut Option<Request>, start: Instant) -> bool {
        let listener = Rc::clone(&self.listener);
        let mut headers = listener.headers.borrow_mut();
        match self.heads.request(self.inbox.bytes(), &mut headers) {
            HeadStep::NeedMore if self.inbox.bytes().len() > listener.config.max_head => {
                self.refuse(place, start, Failure::Malformed(Malformed::HeadTooLarge));
            }
            HeadStep::NeedMore => return false,
            HeadStep::Malformed(reason) => {
                self.refuse(place, start, Failure::Malformed(reason));
            }
            HeadStep::Head(head) => {
                self.heads = HeadParser::new();
                self.take_up(place, start, &head, &headers);
                self.inbox.consume(head.length as usize);
            }
        }
        true
    }

    /// A whole head has come.
    fn take_up(
        &mut self,
        place: &mut Option<Request>,
        start: Instant,
        head: &RequestHead,
        headers: &Headers,
    ) {
        let listener = &self.listener;
        let view = View {
            bytes: self.inbox.bytes(),
            head,
            headers,
        };
        let asked = Asked::of(head, view.method());
        let request = place.insert(Request::new(listener, asked, head.framing, start));
        request.underway.request_bytes = u64::from(head.length);
        let scheme = if self.client.is_tls() {
            Scheme::Https
        } else {
            Scheme::Http
        };
        let decision = match objection(listener, view) {
            None => decide(listener, &view, scheme),
            Some(failure) => Decision::Reply(LocalReply::to(failure)),
        };
        let series = listener.series(self.recent.as_ref(), belongs(listener, view, &decision));
        request.underway.series = Some(Rc::clone(&series));
        match decision {
            Decision::Reply(reply) => self.reply(request, &reply),
            Decision::Forward(forward) => self.send_on(request, &forward, view),
        }
        self.recent = Some(series);
    }

    /// Writes the head as the upstream gets it.
    fn send_on(&self, request: &mut Request, forward: &Forward<'_>, view: View<'_>) {
        let config = &self.listener.config;
        let upgrade = offered(view);
        let told = Told {
            peer: &self.peer,
            is_tls: self.client.is_tls(),
            forwarded: config.forwarded,
            underscores: config.underscores,
            to: forward.to,
            edits: &forward.route.request_edits,
            upgrade: upgrade.as_deref(),
        };
        if config.underscores == Underscores::Drop {
            let dropped = view.headers.iter().filter(|field| field.underscore).count();
            let counter = HttpOne::DROPPED_HEADERS_WITH_UNDERSCORES;
            self.listener.one.add(counter, dropped as u64);
        }
        let in_h2 = match forward.upstream.config.version {
            HttpVersion::Http1 => {
                let mut out = self.listener.buffers.take();
                head::to_upstream(&mut out, view, &told);
                request.upload.start(out);
                None
            }
            // A tunnel through HTTP/2 would be another kind of stream, which few servers have.
            HttpVersion::Http2 if view.head.kind == RequestKind::Connect => {
                return self.reply(request, &LocalReply::to(Failure::ConnectNotAllowed));
            }
            HttpVersion::Http2 => match InH2::of(view, self.client.is_tls(), forward.to) {
                Ok(in_h2) => Some(Box::new(in_h2)),
                Err(no_form) => {
                    let failure = Failure::Unsafe(no_form.0);
                    return self.reply(request, &LocalReply::to(failure));
                }
            },
        };
        request.destination = Some(Destination {
            upstream: Rc::clone(forward.upstream),
            route: forward.route.index,
            upgrade,
            in_h2,
        });
    }

    /// Answers a request of which no more than its failure is known. What has come of it is passed over, and what follows is too.
    fn refuse(&mut self, place: &mut Option<Request>, start: Instant, failure: Failure) {
        let (listener, asked) = (&self.listener, Asked::unknown());
        let request = place.insert(Request::new(listener, asked, Framing::UntilClose, start));
        let came = self.inbox.bytes().len();
        request.underway.request_bytes = came as u64;
        self.inbox.consume(came);
        self.reply(request, &LocalReply::to(failure));
    }

    /// Makes a reply of the proxy's own. Nothing of another one may have been written.
    pub(super) fn reply(&self, request: &mut Request, reply: &LocalReply<'_>) {
        let (asked, rest) = (request.asked, request.upload.rest());
        let closes = !asked.keep_alive
            || self.handle.is_draining()
            || reply.failure.is_some_and(|failure| failure.row().closes)
            || !rest.is_done() && (asked.expects || !is_worth_reading(rest));
        request.underway.status = Some(reply.status);
        request.underway.failure = reply.failure;
        request.underway.configured = reply.configured();
        request.closes = closes;
        let with_body = asked.kind != RequestKind::Head;
        let out = request.download.head();
        head::local(out, reply, asked.version, closes, with_body);
    }
}

/// Why a request is not passed on although it can be read.
fn objection(listener: &HttpListener, view: View<'_>) -> Option<Failure> {
    let config = &listener.config;
    let head = view.head;
    if head.length as usize > config.max_head {
        return Some(Failure::Malformed(Malformed::HeadTooLarge));
    }
    if view.headers.len() > config.max_headers {
        return Some(Failure::Malformed(Malformed::TooManyFields));
    }
    if config.underscores == Underscores::Reject
        && view.headers.iter().any(|field| field.underscore)
    {
        return Some(Failure::Underscore);
    }
    if head.expect_other {
        return Some(Failure::Expectation);
    }
    if head.kind == RequestKind::Connect && !config.allow_connect {
        return Some(Failure::ConnectNotAllowed);
    }
    match (head.framing, config.max_body) {
        (Framing::Length(length), Some(most)) if length > most => Some(Failure::BodyTooLarge),
        _ => None,
    }
}

/// Which series the request belongs to.
fn belongs<'a>(listener: &HttpListener, view: View<'a>, decision: &Decision<'_>) -> Place<'a> {
    let caller = listener.config.caller_header.as_deref();
    let caller = caller.and_then(|name| view.headers.named(view.bytes, name.as_bytes()));
    let caller = caller.map_or(&[][..], |field| field.value.of(view.bytes));
    let (route, cluster) = match decision {
        Decision::Forward(forward) => (Some(forward.route.index), Some(forward.cluster)),
        Decision::Reply(reply) => (reply.route.map(|route| route.index), None),
    };
    Place {
        route,
        cluster,
        caller: cut_caller(caller),
    }
}

/// The protocols that the client offers to change to, of those that may be changed to.
fn offered(view: View<'_>) -> Option<Box<[u8]>> {
    if !view.head.upgrade || view.head.version == Version::Http10 {
        return None;
    }
    let mut offered = Vec::new();
    let fields = view.headers.iter();
    for protocol in fields
        .filter(|field| field.known == Known::Upgrade)
        .flat_map(|field| list_members(field.value.of(view.bytes)))
        .filter(|protocol| {
            !NOT_OFFERED
                .iter()
                .any(|never| protocol.eq_ignore_ascii_case(never))
        })
    {
        if !offered.is_empty() {
            offered.extend_from_slice(b", ");
        }
        offered.extend_from_slice(protocol);
    }
    (!offered.is_empty()).then(|| offered.into())
}
