//! gRPC (grpc/doc/PROTOCOL-HTTP2.md): which call a request is, how long it may take, how it ended, and how errors of our own are said.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{StatusCode, request, response};
use narrows_parsers::http2::grpc::{self, MessageCounter};

use crate::stats::{HttpGrpc, HttpGrpcStatus, Scope, Shard};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Digits of a timeout (the specification's `TimeoutValue`).
const TIMEOUT_DIGITS: usize = 8;

/// The status of a call that its client gave up.
pub(crate) const CANCELLED: u16 = 1;
/// The status of a call that ended without one, or with one that is no number.
pub(crate) const UNKNOWN: u16 = 2;
/// The status of a call whose reply was cut off.
pub(crate) const UNAVAILABLE: u16 = 14;

/// The gRPC calls of one listener on one worker.
pub struct GrpcCalls {
    shard: Shard,
    listener: Box<[u8]>,
    /// The call that was begun last: most connections make the same one again and again.
    recent: RefCell<Option<Rc<Method>>>,
}

/// One method of a service.
pub(super) struct Method {
    path: Box<[u8]>,
    service: Box<[u8]>,
    method: Box<[u8]>,
    stats: Scope<HttpGrpc>,
    /// The status most calls end with.
    ok: Scope<HttpGrpcStatus>,
}

/// A call under way.
pub(crate) struct Call {
    method: Rc<Method>,
    calls: Rc<GrpcCalls>,
}

/// Messages one way. A body that is no gRPC is no longer looked at.
#[derive(Default)]
pub(crate) struct Messages {
    counter: MessageCounter,
    broken: bool,
}

impl GrpcCalls {
    /// No call has been made.
    pub fn new(shard: &Shard, listener: &str) -> Self {
        Self {
            shard: shard.clone(),
            listener: listener.as_bytes().into(),
            recent: RefCell::default(),
        }
    }

    /// The call that a request begins, if it is one.
    pub(super) fn begin(self: &Rc<Self>, head: &request::Parts) -> Option<Call> {
        match is_grpc(&head.headers) {
            true => self.call(head.uri.path().as_bytes()),
            false => None,
        }
    }

    /// The call that this path names.
    pub(crate) fn call(self: &Rc<Self>, path: &[u8]) -> Option<Call> {
        let recent = self.recent.borrow().clone();
        let method = match recent.filter(|recent| *recent.path == *path) {
            Some(recent) => recent,
            None => {
                let made = Rc::new(self.method(path)?);
                *self.recent.borrow_mut() = Some(Rc::clone(&made));
                made
            }
        };
        Some(Call {
            method,
            calls: Rc::clone(self),
        })
    }

    fn method(&self, path: &[u8]) -> Option<Method> {
        let (service, method) = grpc::method(path)?;
        Some(Method {
            path: path.into(),
            service: service.into(),
            method: method.into(),
            stats: self.shard.scope(&[&self.listener, service, method]),
            ok: self.shard.scope(&[&self.listener, service, method, b"0"]),
        })
    }
}

impl Call {
    /// The call is over. `took` when its reply was passed on to the end.
    pub(crate) fn report(&self, status: u16, messages: (u64, u64), took: Option<Duration>) {
        let stats = &self.method.stats;
        stats.inc(HttpGrpc::TOTAL);
        stats.add(HttpGrpc::REQUEST_MESSAGES, messages.0);
        stats.add(HttpGrpc::RESPONSE_MESSAGES, messages.1);
        if let Some(took) = took {
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            stats.record(HttpGrpc::TIME_MS, micros);
        }
        if status == 0 {
            stats.inc(HttpGrpc::SUCCESS);
            self.method.ok.inc(HttpGrpcStatus::TOTAL);
        } else {
            stats.inc(HttpGrpc::FAILURE);
            self.failed(status);
        }
    }

    #[cold]
    fn failed(&self, status: u16) {
        let label = status.to_string();
        let labels = [
            &*self.calls.listener,
            &*self.method.service,
            &*self.method.method,
            label.as_bytes(),
        ];
        let series: Scope<HttpGrpcStatus> = self.calls.shard.scope(&labels);
        series.inc(HttpGrpcStatus::TOTAL);
    }
}

impl Messages {
    /// How many have begun.
    pub(crate) fn count(&self) -> u64 {
        self.counter.messages()
    }

    /// Part of the body passes.
    pub(crate) fn pass(&mut self, bytes: &[u8]) {
        if !self.broken {
            self.broken = self.counter.advance(bytes).is_err();
        }
    }
}

/// True when the fields are of a gRPC request.
pub(crate) fn is_grpc(fields: &HeaderMap) -> bool {
    let content_type = fields.get(CONTENT_TYPE);
    content_type.is_some_and(|value| grpc::is_grpc(value.as_bytes()))
}

/// How long the client gives the call; `None` when it says nothing that can be read.
pub(crate) fn timeout(fields: &HeaderMap) -> Option<Duration> {
    let (unit, digits) = fields.get(GRPC_TIMEOUT)?.as_bytes().split_last()?;
    if digits.is_empty() || digits.len() > TIMEOUT_DIGITS {
        return None;
    }
    let value = digits.iter().try_fold(0u64, |value, digit| {
        digit
            .is_ascii_digit()
            .then(|| value * 10 + u64::from(digit - b'0'))
    })?;
    Some(match unit {
        b'H' => Duration::from_secs(value * 3600),
        b'M' => Duration::from_secs(value * 60),
        b'S' => Duration::from_secs(value),
        b'm' => Duration::from_millis(value),
        b'u' => Duration::from_micros(value),
        b'n' => Duration::from_nanos(value),
        _ => return None,
    })
}

/// A reply of the proxy's own to a gRPC request: trailers only, as Envoy has it.
pub(crate) fn local_reply(status: u16, message: &[u8]) -> response::Parts {
    let mut head = http::Response::new(()).into_parts().0;
    head.status = StatusCode::OK;
    head.headers
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    head.headers
        .insert(GRPC_STATUS, HeaderValue::from(mapped(status)));
    let message = message.trim_ascii_end();
    if !message.is_empty()
        && let Ok(message) = HeaderValue::from_maybe_shared(percent_encoded(message))
    {
        head.headers.insert(GRPC_MESSAGE, message);
    }
    head
}

/// A message as the specification has it (`Percent-Encoded`): visible ASCII and spaces stay, but for `%`.
fn percent_encoded(message: &[u8]) -> Bytes {
    let mut encoded = Vec::with_capacity(message.len());
    for byte in message {
        match byte {
            b' '..=b'$' | b'&'..=b'~' => encoded.push(*byte),
            _ => {
                let digit = |half: u8| b"0123456789ABCDEF".get(usize::from(half)).copied();
                let digits = [digit(byte >> 4), digit(byte & 15)];
                encoded.push(b'%');
                encoded.extend(digits.into_iter().flatten());
            }
        }
    }
    encoded.into()
}

/// The gRPC status for an HTTP status: gRPC's own table (grpc/doc/http-grpc-status-mapping.md), which Envoy uses too. Where the proxy says
/// it, 408 and 504 mean that a deadline passed, and 413 and 431 that something was too large, for which gRPC has words of its own.
pub(crate) fn mapped(status: u16) -> u16 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        408 | 504 => 4,
        413 | 431 => 8,
        429 | 502 | 503 => 14,
        _ => UNKNOWN,
    }
}

/// How a call ended, by the fields that may say so: trailers, or a head that is the whole reply.
pub(crate) fn status(fields: &HeaderMap) -> Option<u16> {
    let value = fields.get(GRPC_STATUS)?;
    let parsed = value.to_str().ok().and_then(|text| text.parse().ok());
    Some(parsed.unwrap_or(UNKNOWN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_have_a_unit_and_at_most_eight_digits() {
        let timeout = |text: &'static str| {
            let mut fields = HeaderMap::new();
            fields.insert(GRPC_TIMEOUT, HeaderValue::from_static(text));
            timeout(&fields)
        };
        assert_eq!(timeout("100m"), Some(Duration::from_millis(100)));
        assert_eq!(timeout("2S"), Some(Duration::from_secs(2)));
        assert_eq!(
            timeout("99999999H"),
            Some(Duration::from_secs(99_999_999 * 3600))
        );
        for wrong in ["", "S", "1", "1s", "-1S", "123456789S", "1 S"] {
            assert_eq!(timeout(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_error_of_our_own_is_trailers_only() {
        let head = local_reply(504, b"the upstream did not reply in time\n");
        assert_eq!(head.status, 200);
        assert_eq!(head.headers["grpc-status"], "4");
        assert_eq!(
            head.headers["grpc-message"],
            "the upstream did not reply in time"
        );
        assert_eq!(head.headers["content-type"], "application/grpc");
        assert_eq!(mapped(503), 14);
        let head = local_reply(418, "50 % tea\nä".as_bytes());
        assert_eq!(head.headers["grpc-message"], "50 %25 tea%0A%C3%A4");
    }
}
