//! A request and its reply, once the head of the request is no longer in the read buffer.

use std::rc::Rc;
use std::time::Instant;

use narrows_parsers::http1::{Framing, RequestHead, RequestKind, Version};

use super::flow::Flow;
use super::in_h2::InH2;
use crate::config::HttpVersion;
use crate::protocols::http::HttpListener;
use crate::protocols::http::report::Underway;
use crate::upstream::http::HttpUpstream;

/// A request and its reply.
pub(super) struct Request {
    pub(super) underway: Underway,
    pub(super) asked: Asked,
    /// Where it is sent on to; `None` when the proxy answers.
    pub(super) destination: Option<Destination>,
    /// The head as the upstream gets it, and the body.
    pub(super) upload: Flow,
    /// What the client gets.
    pub(super) download: Flow,
    /// The client's connection ends with the reply.
    pub(super) closes: bool,
    /// It came whole before it was sent on: the route's timeout has begun, and goes on whatever is waited for.
    pub(super) is_timed: bool,
}

/// Where a request is sent on to.
pub(super) struct Destination {
    pub(super) upstream: Rc<HttpUpstream>,
    /// The number of its route.
    pub(super) route: usize,
    /// The protocols that the client offers to change to.
    pub(super) upgrade: Option<Box<[u8]>>,
    /// The request as its servers get it, when they speak HTTP/2.
    pub(super) in_h2: Option<Box<InH2>>,
}

/// What the reply to a request has to know of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) kind: RequestKind,
    pub(super) version: Version,
    /// The client means to send another request.
    pub(super) keep_alive: bool,
    /// The client waits for 100 before it sends the body.
    pub(super) expects: bool,
    /// Carrying it out twice is no different from once (RFC 9110 section 9.2.2).
    pub(super) idempotent: bool,
}

impl Request {
    /// A request whose first byte was read at `start`.
    pub(super) fn new(
        listener: &Rc<HttpListener>,
        asked: Asked,
        framing: Framing,
        start: Instant,
    ) -> Self {
        Self {
            underway: Underway::new(listener, HttpVersion::Http1, start),
            asked,
            destination: None,
            upload: Flow::new(Vec::new(), framing).at_most(listener.config.max_body),
            download: Flow::new(listener.buffers.take(), Framing::None),
            closes: true,
            is_timed: false,
        }
    }
}

impl Asked {
    pub(super) fn of(head: &RequestHead, method: &[u8]) -> Self {
        Self {
            kind: head.kind,
            version: head.version,
            keep_alive: head.keep_alive,
            expects: head.expect_continue,
            idempotent: matches!(
                method,
                b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE"
            ),
        }
    }

    /// A request of which nothing is known, because its head can't be read.
    pub(super) fn unknown() -> Self {
        Self {
            kind: RequestKind::Other,
            version: Version::Http11,
            keep_alive: false,
            expects: false,
            idempotent: false,
        }
    }
}
