//! What is known of a request once its head is no longer in the read buffer.

use std::rc::Rc;

use narrows_parsers::http1::{Body, RequestHead, RequestKind, Version};

use super::flow::Flow;
use crate::protocols::http::report::Underway;
use crate::upstream::http::HttpUpstream;

/// What comes of a request.
pub(super) enum Request {
    /// It is sent on.
    Forward(Forwarding),
    /// The proxy answers.
    Answer(Answer),
}

/// A request that is sent on.
pub(super) struct Forwarding {
    pub(super) underway: Underway,
    pub(super) asked: Asked,
    /// The number of its route.
    pub(super) route: usize,
    pub(super) upstream: Rc<HttpUpstream>,
    /// The head as the upstream gets it, and the body.
    pub(super) upload: Flow,
    /// The protocols that the client offers to change to.
    pub(super) upgrade: Option<Box<[u8]>>,
}

/// A request that the proxy answers.
pub(super) struct Answer {
    pub(super) underway: Underway,
    /// The whole reply.
    pub(super) out: Vec<u8>,
    /// What has not come yet of the request.
    pub(super) rest: Body,
    /// The connection ends with this reply.
    pub(super) closes: bool,
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
