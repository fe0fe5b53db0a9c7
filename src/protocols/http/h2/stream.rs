//! One request of an HTTP/2 client, from its head to its report.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode, request, response};

use super::Shared;
use super::grpc::{self, Call, Messages};
use super::view::{View, caller, objection};
use crate::config::{HttpVersion, Scheme};
use crate::listener::sessions::Ticks;
use crate::protocols::http::bridge::{self, Downstream, H2Client, Outgoing, Reply, Told, Went};
use crate::protocols::http::decide::{Decision, Forward, LocalReply, decide};
use crate::protocols::http::report::Underway;
use crate::protocols::http::route::RequestView;
use crate::protocols::http::series::Place;
use crate::stats::HttpTwo;

/// A client that resets a request this soon may have meant nothing by it: Envoy's `overload.premature_reset_min_stream_lifetime_seconds`.
const PREMATURE: Duration = Duration::from_secs(1);

/// Field of a client that offers to change to HTTP/2 (RFC 7540 §3.2.1), which is spoken already.
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

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
    head.headers.remove(HTTP2_SETTINGS);
    let listener = Rc::clone(&shared.listener);
    let mut stream = Stream {
        client: H2Client::new(body, respond, shared.alarms()),
        underway: Underway::new(&listener, HttpVersion::Http2, start),
        call: listener.grpc.begin(&head),
        shared,
        head,
    };
    let _active = Active::new(shared);
    let view = View(&stream.head);
    stream.underway.request_bytes =
        bridge::size(&stream.head.headers) + view.path_and_query().len() as u64;
    let decision = match objection(&listener, &stream.head) {
        None => decide(&listener, &view, stream.scheme()),
        Some(failure) => Decision::Reply(LocalReply::to(failure)),
    };
    stream.belongs(&decision);
    match decision {
        Decision::Reply(reply) => stream.answer(&reply),
        Decision::Forward(forward) => stream.forward(&forward).await,
    }
    shared.give_back(stream.client.into_alarms());
}

impl Stream<'_> {
    fn scheme(&self) -> Scheme {
        match self.shared.is_tls {
            true => Scheme::Https,
            false => Scheme::Http,
        }
    }

    /// Looks up the series that it belongs to.
    fn belongs(&mut self, decision: &Decision<'_>) {
        let listener = &self.shared.listener;
        let (route, cluster) = match decision {
            Decision::Forward(forward) => (Some(forward.route.index), Some(forward.cluster)),
            Decision::Reply(reply) => (reply.route.map(|route| route.index), None),
        };
        let place = Place {
            route,
            cluster,
            caller: caller(listener, &self.head),
        };
        let mut recent = self.shared.recent.borrow_mut();
        let series = listener.series(recent.as_ref(), place);
        if recent
            .as_ref()
            .is_none_or(|recent| !Rc::ptr_eq(recent, &series))
        {
            *recent = Some(Rc::clone(&series));
        }
        self.underway.series = Some(series);
    }

    /// Has a cluster answer.
    async fn forward(&mut self, forward: &Forward<'_>) {
        let deadline = self.deadline(forward);
        let (mut request, mut reply) = (bridge::Request::default(), Reply::default());
        if self.call.is_some() {
            request.messages = Some(Messages::default());
            reply.messages = Some(Messages::default());
        }
        let listener = &self.shared.listener;
        let view = View(&self.head);
        let (new, rest) = forward.to.path.apply(view.path_and_query());
        let target = match new {
            _ if self.head.method == Method::CONNECT => Cow::Borrowed(view.authority()),
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
                forwarded: listener.config.forwarded,
                underscores: listener.config.underscores,
                edits: &forward.route.request_edits,
            },
            reply_edits: &forward.route.response_edits,
            timeouts: listener.route_timeouts(forward.route.index),
            deadline,
        };
        let (client, underway) = (&mut self.client, &mut self.underway);
        let went = out
            .forward(client, underway, &mut request, &mut reply)
            .await;
        if let Went::Cut(_) = went {
            // A reset takes the place of what has not been written: that is written first.
            self.shared.written_once().await;
        }
        self.end(went, &request, &reply);
    }

    /// A call may take no longer than its client gives it, and no longer than the route does.
    fn deadline(&self, forward: &Forward<'_>) -> Option<Ticks> {
        self.call.as_ref()?;
        let given = grpc::timeout(&self.head.headers)?;
        let most = forward.route.timeout.unwrap_or(given);
        Some(Ticks::of(given.min(most)))
    }

    /// report: how it went.
    fn end(&mut self, went: Went, request: &bridge::Request, reply: &Reply) {
        let messages = (count(&request.messages), count(&reply.messages));
        match went {
            Went::Well { .. } => {
                let end = Instant::now();
                // A reply that is no gRPC says how the call ended by its HTTP status.
                let status = reply.status.unwrap_or(match self.underway.status {
                    Some(200) | None => grpc::UNKNOWN,
                    Some(status) => grpc::mapped(status),
                });
                self.report_call(status, messages, Some(end));
                self.underway.finish(end);
            }
            Went::Tunnelled => self.underway.finish_tunnel(),
            Went::Failed(failure) => {
                let status = grpc::mapped(failure.row().status);
                self.report_call(status, messages, None);
                self.call = None;
                self.answer(&LocalReply::to(failure));
            }
            Went::Cut(failure) => {
                self.client.reset(Reason::INTERNAL_ERROR);
                self.report_call(grpc::UNAVAILABLE, messages, None);
                self.underway.cut(failure);
            }
            // What is dropped before it is finished was left by its client.
            Went::ClientGone => {
                self.report_call(grpc::CANCELLED, messages, None);
                if !self.client.has_replied() && self.underway.start.elapsed() < PREMATURE {
                    self.shared.reset_at_once();
                }
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
    fn answer(&mut self, reply: &LocalReply<'_>) {
        self.underway.status = Some(reply.status);
        self.underway.failure = reply.failure;
        self.underway.configured = reply.configured();
        let (mut head, body) = if grpc::is_grpc(&self.head.headers) && reply.location.is_none() {
            self.report_call(grpc::mapped(reply.status), (0, 0), None);
            (grpc::local_reply(reply.status, reply.body), Bytes::new())
        } else {
            local_reply(reply, &self.head.method)
        };
        if let Some(route) = reply.route {
            route.response_edits.apply(&mut head.headers);
        }
        self.underway.reply_bytes = bridge::size(&head.headers) + body.len() as u64;
        // It is short: h2 keeps what the client's window has no room for.
        let sent = match body.is_empty() {
            true => self.client.reply(head, true),
            false => bridge::reply_whole(&mut self.client, head, body),
        };
        if sent.is_ok() {
            self.underway.finish(Instant::now());
        }
    }
}

/// A reply of the proxy's own.
fn local_reply(reply: &LocalReply<'_>, method: &Method) -> (response::Parts, Bytes) {
    let mut head = http::Response::new(()).into_parts().0;
    head.status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let fields = &mut head.headers;
    if let Some(location) = &reply.location
        && let Ok(location) = HeaderValue::from_bytes(location)
    {
        fields.insert(header::LOCATION, location);
    }
    // RFC 9110 §8.6: neither with 1xx nor with 204.
    if matches!(reply.status, 204 | 304) {
        return (head, Bytes::new());
    }
    if !reply.body.is_empty() {
        let text = HeaderValue::from_static("text/plain");
        fields.insert(header::CONTENT_TYPE, text);
    }
    fields.insert(header::CONTENT_LENGTH, HeaderValue::from(reply.body.len()));
    match *method == Method::HEAD {
        true => (head, Bytes::new()),
        false => (head, Bytes::copy_from_slice(reply.body)),
    }
}

fn count(messages: &Option<Messages>) -> u64 {
    messages.as_ref().map_or(0, Messages::count)
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
