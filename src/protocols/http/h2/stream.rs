//! One request of an HTTP/2 client, from its head to its report.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode, request};
use narrows_parsers::http1::Malformed;

use super::Shared;
use super::grpc::{self, Call, Messages};
use crate::config::{HttpVersion, Scheme, Underscores};
use crate::listener::sessions::Ticks;
use crate::protocols::http::bridge::{
    self, Downstream, Flaw, H2Client, Outgoing, Reply, Told, Went,
};
use crate::protocols::http::decide::{Decision, Forward, LocalReply, decide};
use crate::protocols::http::errors::Failure;
use crate::protocols::http::report::Underway;
use crate::protocols::http::route::RequestView;
use crate::protocols::http::series::Place;
use crate::stats::HttpTwo;

/// A caller's name beyond this is cut, as in HTTP/1.
const MAX_CALLER_BYTES: usize = 128;

/// A client that resets a request this soon may have meant nothing by it: Envoy's `overload.premature_reset_min_stream_lifetime_seconds`.
const PREMATURE: Duration = Duration::from_secs(1);

/// Field of a client that offers to change to HTTP/2 (RFC 7540 §3.2.1), which is spoken already.
const UPGRADE_REQUESTS: HeaderName = HeaderName::from_static("http2-settings");

/// A request under way.
struct Stream<'a> {
    shared: &'a Shared<'a>,
    head: request::Parts,
    client: H2Client,
    underway: Underway,
    call: Option<Call>,
}

/// Serves one request to its end.
pub(super) async fn serve(
    shared: &Shared<'_>,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    start: Instant,
) {
    let (mut head, body) = request.into_parts();
    head.headers.remove(UPGRADE_REQUESTS);
    let listener = &shared.listener;
    let mut underway = Underway::new(listener, HttpVersion::Http2, start);
    underway.request_bytes = bridge::size(&head.headers) + head.uri.path().len() as u64;
    let stream = Stream {
        client: H2Client::new(body, respond, shared.alarms()),
        call: listener.grpc.begin(&head),
        shared,
        head,
        underway,
    };
    let _active = Active::new(shared);
    stream.run().await;
}

impl<'a> Stream<'a> {
    async fn run(mut self) {
        let listener = Rc::clone(&self.shared.listener);
        let decision = match self.objection() {
            None => decide(&listener, &View(&self.head), self.scheme()),
            Some(failure) => Decision::Reply(LocalReply::to(failure)),
        };
        self.belongs(&decision);
        match decision {
            Decision::Reply(reply) => self.answer(&reply).await,
            Decision::Forward(forward) => self.forward(&forward).await,
        }
    }

    fn scheme(&self) -> Scheme {
        match self.shared.is_tls {
            true => Scheme::Https,
            false => Scheme::Http,
        }
    }

    /// Why the request is not passed on although it can be read.
    fn objection(&mut self) -> Option<Failure> {
        let config = &self.shared.listener.config;
        let head = &self.head;
        match bridge::check(head, config.max_headers) {
            Ok(()) => {}
            Err(Flaw::TooManyFields) => {
                return Some(Failure::Malformed(Malformed::TooManyFields));
            }
            Err(flaw) => return Some(Failure::Unsafe(flaw.label())),
        }
        if config.underscores != Underscores::Allow
            && let Some(objection) = self.underscored()
        {
            return objection;
        }
        let expects = head.headers.get(header::EXPECT);
        if expects.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
            return Some(Failure::Expectation);
        }
        if head.method == Method::CONNECT {
            return Some(Failure::ConnectNotAllowed);
        }
        match (bridge::content_length(&head.headers), config.max_body) {
            (Some(length), Some(most)) if length > most => Some(Failure::BodyTooLarge),
            _ => None,
        }
    }

    /// What becomes of a request with underscores in its names; `None` when it has none.
    fn underscored(&self) -> Option<Option<Failure>> {
        let names = self.head.headers.keys();
        let count = names.filter(|name| name.as_str().contains('_')).count();
        if count == 0 {
            return None;
        }
        if self.shared.listener.config.underscores == Underscores::Reject {
            return Some(Some(Failure::Underscore));
        }
        let dropped = HttpTwo::DROPPED_HEADERS_WITH_UNDERSCORES;
        self.shared.listener.two.add(dropped, count as u64);
        None
    }

    /// Looks up the series that it belongs to.
    fn belongs(&mut self, decision: &Decision<'_>) {
        let listener = &self.shared.listener;
        let caller = listener.config.caller_header.as_deref();
        let caller = caller.and_then(|name| self.head.headers.get(name));
        let caller = caller.map_or(&[][..], HeaderValue::as_bytes);
        let (route, cluster) = match decision {
            Decision::Forward(forward) => (Some(forward.route.index), Some(forward.cluster)),
            Decision::Reply(reply) => (reply.route.map(|route| route.index), None),
        };
        let place = Place {
            route,
            cluster,
            caller: caller.get(..MAX_CALLER_BYTES).unwrap_or(caller),
        };
        let mut recent = self.shared.recent.borrow_mut();
        let series = listener.series(recent.as_ref(), place);
        if !recent
            .as_ref()
            .is_some_and(|recent| Rc::ptr_eq(recent, &series))
        {
            *recent = Some(Rc::clone(&series));
        }
        self.underway.series = Some(series);
    }

    /// Has a cluster answer.
    async fn forward(mut self, forward: &Forward<'_>) {
        let listener = &self.shared.listener;
        let config = &listener.config;
        let view = View(&self.head);
        let (new, rest) = forward.to.path.apply(view.path_and_query());
        let target = match new {
            [] => Cow::Borrowed(rest),
            new => Cow::Owned([new, rest].concat()),
        };
        let host = forward.to.host.as_deref();
        let out = Outgoing {
            listener,
            scratch: &self.shared.scratch,
            upstream: forward.upstream,
            head: &self.head,
            target: &target,
            authority: host.unwrap_or_else(|| view.authority()),
            whole: self.client.request_is_over(),
            told: Told {
                peer: &self.shared.peer,
                is_tls: self.shared.is_tls,
                forwarded: config.forwarded,
                underscores: config.underscores,
                edits: &forward.route.request_edits,
            },
            reply_edits: &forward.route.response_edits,
            timeouts: listener.route_timeouts(forward.route.index),
            deadline: self.deadline(forward),
        };
        let mut request = bridge::Request::default();
        let mut reply = Reply::default();
        if self.call.is_some() {
            request.messages = Some(Messages::default());
            reply.messages = Some(Messages::default());
        }
        let went = out
            .forward(
                &mut self.client,
                &mut self.underway,
                &mut request,
                &mut reply,
            )
            .await;
        self.end(went, &request, &reply).await;
    }

    /// A call may take no longer than its client gives it, and no longer than the route does.
    fn deadline(&self, forward: &Forward<'_>) -> Option<Ticks> {
        self.call.as_ref()?;
        let given = grpc::timeout(&self.head.headers)?;
        let most = forward.route.timeout.unwrap_or(given);
        Some(Ticks::of(given.min(most)))
    }

    /// report: how it went.
    async fn end(mut self, went: Went, request: &bridge::Request, reply: &Reply) {
        let messages = (count(&request.messages), count(&reply.messages));
        match went {
            Went::Well { .. } => {
                let end = Instant::now();
                let status = reply.status.unwrap_or(grpc::UNKNOWN);
                self.report_call(status, messages, Some(end));
                self.underway.finish(end);
                self.shared.give_back(self.client.into_alarms());
            }
            Went::Failed(failure) => {
                let status = grpc::mapped(failure.row().status);
                self.report_call(status, messages, None);
                self.call = None;
                self.answer(&LocalReply::to(failure)).await;
            }
            Went::Cut(failure) => {
                // A reset takes the place of what has not been written: that is written first.
                self.shared.written_once().await;
                self.client.reset(Reason::INTERNAL_ERROR);
                self.report_call(grpc::UNAVAILABLE, messages, None);
                self.underway.cut(failure);
                self.shared.give_back(self.client.into_alarms());
            }
            Went::ClientGone => {
                self.report_call(grpc::CANCELLED, messages, None);
                if !self.client.has_replied() && self.underway.start.elapsed() < PREMATURE {
                    self.shared.reset_at_once();
                }
                drop(self.underway);
                self.shared.give_back(self.client.into_alarms());
            }
        }
    }

    fn report_call(&self, status: u16, messages: (u64, u64), end: Option<Instant>) {
        if let Some(call) = &self.call {
            let start = self.underway.start;
            let took = end.map(|end| end.saturating_duration_since(start));
            call.report(status, messages, took);
        }
    }

    /// Answers in an upstream's place.
    async fn answer(mut self, reply: &LocalReply<'_>) {
        self.underway.status = Some(reply.status);
        self.underway.failure = reply.failure;
        self.underway.configured = reply.configured();
        if grpc::is_grpc(&self.head.headers) && reply.location.is_none() {
            self.report_call(grpc::mapped(reply.status), (0, 0), None);
            let head = grpc::local_reply(reply.status, reply.body);
            self.send(head, Bytes::new()).await;
            return;
        }
        let mut head = http::Response::new(()).into_parts().0;
        head.status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::BAD_GATEWAY);
        let fields = &mut head.headers;
        if let Some(location) = &reply.location
            && let Ok(location) = HeaderValue::from_bytes(location)
        {
            fields.insert(header::LOCATION, location);
        }
        let mut body = Bytes::new();
        // RFC 9110 §8.6: neither with 1xx nor with 204.
        if reply.status != 204 && reply.status != 304 {
            if !reply.body.is_empty() {
                let text = HeaderValue::from_static("text/plain");
                fields.insert(header::CONTENT_TYPE, text);
            }
            fields.insert(header::CONTENT_LENGTH, HeaderValue::from(reply.body.len()));
            if self.head.method != Method::HEAD {
                body = Bytes::copy_from_slice(reply.body);
            }
        }
        self.send(head, body).await;
    }

    /// Sends a reply of the proxy's own. It is short: h2 keeps what the client's window has no room for.
    async fn send(mut self, head: http::response::Parts, body: Bytes) {
        self.underway.reply_bytes = bridge::size(&head.headers) + body.len() as u64;
        let whole = body.is_empty();
        let mut sent = self.client.reply(head, whole);
        if !whole && sent.is_ok() {
            sent = bridge::put_last(&mut self.client, body);
        }
        match sent {
            Ok(()) => self.underway.finish(Instant::now()),
            Err(_) => drop(self.underway),
        }
        self.shared.give_back(self.client.into_alarms());
    }
}

fn count(messages: &Option<Messages>) -> u64 {
    messages.as_ref().map_or(0, Messages::count)
}

/// A request's head, as routes look at it.
struct View<'a>(&'a request::Parts);

impl RequestView for View<'_> {
    fn method(&self) -> &[u8] {
        self.0.method.as_str().as_bytes()
    }

    fn authority(&self) -> &[u8] {
        bridge::authority(self.0)
    }

    fn path_and_query(&self) -> &[u8] {
        let path = self.0.uri.path_and_query();
        path.map_or(b"/", |path| path.as_str().as_bytes())
    }

    fn header(&self, lowercase_name: &[u8]) -> Option<&[u8]> {
        let name = std::str::from_utf8(lowercase_name).ok()?;
        Some(self.0.headers.get(name)?.as_bytes())
    }
}

/// A stream that is counted by a gauge until this is dropped.
struct Active<'a>(&'a Shared<'a>);

impl<'a> Active<'a> {
    fn new(shared: &'a Shared<'a>) -> Self {
        shared.listener.two.gauge_add(HttpTwo::STREAMS_ACTIVE, 1);
        Self(shared)
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.listener.two.gauge_add(HttpTwo::STREAMS_ACTIVE, -1);
    }
}
