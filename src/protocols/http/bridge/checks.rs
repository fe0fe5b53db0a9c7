//! What a request from HTTP/2 has to be before it may go on.
//!
//! h2 has refused most of what is malformed by then: names that are no lowercase tokens, control characters in values, fields that belong to
//! an HTTP/1 connection, `te` other than `trailers`, pseudo headers that are missing, double or late, a body that is not as long as
//! `content-length` says. What is left are the rules that matter once the request becomes an HTTP/1 head, where a space or a second host
//! would mean something else to the next server than it means here (RFC 9113 §8.2.1, §8.3.1, §10.3).

use http::header::{self, HeaderValue};
use http::{Method, request};

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// A value begins or ends with a space or a tab.
    ValueWhitespace,
    /// `:path` is neither a path nor, for OPTIONS, `*`.
    Path,
    /// Neither `:authority` nor `host`, an empty one, or one that names a user.
    Authority,
    /// `host` is not what `:authority` says, or comes twice.
    HostMismatch,
    /// More fields than are taken.
    TooManyFields,
}

impl Flaw {
    /// Its name in stats.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::ValueWhitespace => "http2_value_whitespace",
            Self::Path => "http2_path",
            Self::Authority => "http2_authority",
            Self::HostMismatch => "http2_host_mismatch",
            Self::TooManyFields => "too_many_headers",
        }
    }
}

/// Checks a request.
///
/// # Errors
/// What is wrong with it first.
pub(crate) fn check(head: &request::Parts, max_headers: usize) -> Result<(), Flaw> {
    if head.headers.len() > max_headers {
        return Err(Flaw::TooManyFields);
    }
    check_path(head)?;
    check_authority(head)?;
    match head.headers.values().all(is_trimmed) {
        true => Ok(()),
        false => Err(Flaw::ValueWhitespace),
    }
}

/// Who the request is for: `:authority`, else `host`.
pub(crate) fn authority(head: &request::Parts) -> &[u8] {
    match head.uri.authority() {
        Some(authority) => authority.as_str().as_bytes(),
        None => head
            .headers
            .get(header::HOST)
            .map_or(&[], HeaderValue::as_bytes),
    }
}

fn is_trimmed(value: &HeaderValue) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let bytes = value.as_bytes();
    !is_space(bytes.first()) && !is_space(bytes.last())
}

fn check_path(head: &request::Parts) -> Result<(), Flaw> {
    if head.method == Method::CONNECT {
        return Ok(());
    }
    let path = head.uri.path_and_query().map_or("", |path| path.as_str());
    let is_path = match path {
        "*" => head.method == Method::OPTIONS,
        path => path.starts_with('/') && path.is_ascii(),
    };
    is_path.then_some(()).ok_or(Flaw::Path)
}

fn check_authority(head: &request::Parts) -> Result<(), Flaw> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let host = hosts.next().map(HeaderValue::as_bytes);
    if hosts.next().is_some() {
        return Err(Flaw::HostMismatch);
    }
    let authority = head
        .uri
        .authority()
        .map(|authority| authority.as_str().as_bytes());
    let named = match (authority, host) {
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
            return Err(Flaw::HostMismatch);
        }
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => return Err(Flaw::Authority),
    };
    match named.is_empty() || !named.iter().all(|byte| is_host_byte(*byte)) {
        true => Err(Flaw::Authority),
        false => Ok(()),
    }
}

/// What a host with its port is made of (RFC 3986 §3.2.2): no user, no space, no path.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:[]%".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn request(
        build: impl FnOnce(http::request::Builder) -> http::request::Builder,
    ) -> request::Parts {
        let built = build(Request::builder()).body(()).expect("a request");
        built.into_parts().0
    }

    #[test]
    fn what_would_mean_something_else_in_http1_is_refused() {
        let check = |head: &request::Parts| check(head, 4);
        let good = request(|r| r.uri("http://a.example/x?y=1").header("cookie", "a=b"));
        assert_eq!(check(&good), Ok(()));
        assert_eq!(authority(&good), b"a.example");
        let host_only = request(|r| r.uri("/").header("host", "b:8080"));
        assert_eq!(check(&host_only), Ok(()));
        assert_eq!(authority(&host_only), b"b:8080");
        let refused = [
            (request(|r| r.uri("/")), Flaw::Authority),
            (request(|r| r.uri("/").header("host", "")), Flaw::Authority),
            (
                request(|r| r.uri("/").header("host", "a b")),
                Flaw::Authority,
            ),
            (request(|r| r.uri("http://u@a/")), Flaw::Authority),
            (
                request(|r| r.uri("http://a/").header("host", "b")),
                Flaw::HostMismatch,
            ),
            (
                request(|r| r.uri("/").header("host", "a").header("host", "a")),
                Flaw::HostMismatch,
            ),
            (
                request(|r| r.uri("http://a/").header("x", " y")),
                Flaw::ValueWhitespace,
            ),
            (
                request(|r| r.uri("http://a/").header("x", "y\t")),
                Flaw::ValueWhitespace,
            ),
            (
                request(|r| {
                    r.uri("http://a/")
                        .method("GET")
                        .uri("*")
                        .header("host", "a")
                }),
                Flaw::Path,
            ),
            (request(|r| r.uri("http://a/ä")), Flaw::Path),
            (
                request(|r| (0..5).fold(r.uri("http://a/"), |r, n| r.header("x", n))),
                Flaw::TooManyFields,
            ),
        ];
        for (head, flaw) in refused {
            assert_eq!(check(&head), Err(flaw), "{head:?}");
        }
        let options = request(|r| r.method("OPTIONS").uri("*").header("host", "a"));
        assert_eq!(check(&options), Ok(()));
    }
}
