//! A request's head as routes look at it, and why it may be refused before they do.

use http::header::{self, HeaderValue};
use http::{Method, request};
use narrows_parsers::http1::Malformed;

use crate::config::Underscores;
use crate::protocols::http::HttpListener;
use crate::protocols::http::bridge::{self, Flaw};
use crate::protocols::http::errors::Failure;
use crate::protocols::http::route::RequestView;
use crate::protocols::http::series::cut_caller;
use crate::stats::HttpTwo;

/// A request's head, as routes look at it.
pub(super) struct View<'a>(pub(super) &'a request::Parts);

impl RequestView for View<'_> {
    fn method(&self) -> &[u8] {
        self.0.method.as_str().as_bytes()
    }

    fn authority(&self) -> &[u8] {
        bridge::authority(self.0)
    }

    fn path_and_query(&self) -> &[u8] {
        let path = self.0.uri.path_and_query();
        path.map_or(&[], |path| path.as_str().as_bytes())
    }

    fn header(&self, lowercase_name: &[u8]) -> Option<&[u8]> {
        let name = std::str::from_utf8(lowercase_name).ok()?;
        Some(self.0.headers.get(name)?.as_bytes())
    }
}

/// Who calls, by the header that the listener is told to look at.
pub(super) fn caller<'a>(listener: &HttpListener, head: &'a request::Parts) -> &'a [u8] {
    let name = listener.config.caller_header.as_deref();
    let caller = name.and_then(|name| head.headers.get(name));
    cut_caller(caller.map_or(&[], HeaderValue::as_bytes))
}

/// Why the request is not passed on although it can be read.
pub(super) fn objection(listener: &HttpListener, head: &request::Parts) -> Option<Failure> {
    let config = &listener.config;
    match bridge::check(head, config.max_headers) {
        Ok(()) => {}
        Err(Flaw::TooManyFields) => return Some(Failure::Malformed(Malformed::TooManyFields)),
        Err(flaw) => return Some(Failure::Unsafe(flaw.label())),
    }
    if config.underscores != Underscores::Allow && has_underscores(listener, head) {
        return Some(Failure::Underscore);
    }
    let mut expects = head.headers.get_all(header::EXPECT).iter();
    if expects.any(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Some(Failure::Expectation);
    }
    if head.method == Method::CONNECT && !config.allow_connect {
        return Some(Failure::ConnectNotAllowed);
    }
    match (bridge::content_length(&head.headers), config.max_body) {
        (Some(length), Some(most)) if length > most => Some(Failure::BodyTooLarge),
        _ => None,
    }
}

/// True when there is an underscore in a name that may not be there; those that are left out are counted.
fn has_underscores(listener: &HttpListener, head: &request::Parts) -> bool {
    let names = head.headers.keys();
    let count = names.filter(|name| name.as_str().contains('_')).count();
    if listener.config.underscores == Underscores::Drop {
        let dropped = HttpTwo::DROPPED_HEADERS_WITH_UNDERSCORES;
        listener.two.add(dropped, count as u64);
        return false;
    }
    count > 0
}
