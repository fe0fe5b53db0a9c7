//! Heads in the form of HTTP/2, from what an HTTP/1 side sent.
//!
//! Values are slices of the head's own bytes. Names become lower case; what belongs to a connection, or what `Connection` names, stays
//! behind (RFC 9113 §8.2.2).

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Uri, Version, request, response, uri};
use narrows_parsers::http1::{Headers, Known, Span, list_members};

use crate::protocols::http::hop::Named;

/// A head that has no form in HTTP/2. The parser has refused nearly all of these already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoForm(pub(crate) &'static str);

/// What a request becomes besides its fields.
pub(crate) struct Target<'a> {
    /// As it came.
    pub(crate) method: &'a [u8],
    /// Within TLS or not.
    pub(crate) scheme: uri::Scheme,
    /// Who is asked, as routing made it.
    pub(crate) authority: &'a [u8],
    /// What is asked for, as routing made it.
    pub(crate) path: &'a [u8],
}

/// The head of a request. `head` is the head's bytes, which `fields` point into.
pub(crate) fn request(
    target: &Target<'_>,
    head: &Bytes,
    fields: &Headers,
) -> Result<request::Parts, NoForm> {
    let mut parts = http::Request::new(()).into_parts().0;
    parts.method = Method::from_bytes(target.method).map_err(|_| NoForm("method"))?;
    parts.version = Version::HTTP_2;
    parts.uri = uri(target.scheme.clone(), target.authority, target.path)?;
    // The name of the host is in `:authority`.
    parts.headers = map(head, fields, |known| known != Known::Host)?;
    if asks_for_trailers(head, fields) {
        parts
            .headers
            .insert(http::header::TE, HeaderValue::from_static("trailers"));
    }
    Ok(parts)
}

/// The head of a reply.
pub(crate) fn reply(
    status: u16,
    head: &Bytes,
    fields: &Headers,
) -> Result<response::Parts, NoForm> {
    let mut parts = http::Response::new(()).into_parts().0;
    parts.status = StatusCode::from_u16(status).map_err(|_| NoForm("status"))?;
    parts.version = Version::HTTP_2;
    parts.headers = map(head, fields, |_| true)?;
    Ok(parts)
}

/// Trailers. The parser has taken out what may not be one.
pub(crate) fn trailers(section: &Bytes, fields: &Headers) -> Result<HeaderMap, NoForm> {
    map(section, fields, |_| true)
}

/// An address that h2 sends as `:scheme`, `:authority` and `:path`.
pub(crate) fn uri(scheme: uri::Scheme, authority: &[u8], path: &[u8]) -> Result<Uri, NoForm> {
    let mut parts = uri::Parts::default();
    parts.scheme = Some(scheme);
    parts.authority =
        Some(uri::Authority::try_from(authority).map_err(|_| NoForm("http2_authority"))?);
    parts.path_and_query =
        Some(uri::PathAndQuery::try_from(path).map_err(|_| NoForm("http2_path"))?);
    Uri::from_parts(parts).map_err(|_| NoForm("http2_path"))
}

/// The address of a CONNECT, which is an authority alone (RFC 9113 §8.5).
pub(crate) fn tunnel(authority: &[u8]) -> Result<Uri, NoForm> {
    let authority = uri::Authority::try_from(authority);
    Ok(authority.map_err(|_| NoForm("http2_authority"))?.into())
}

fn map(
    head: &Bytes,
    fields: &Headers,
    is_kept: impl Fn(Known) -> bool,
) -> Result<HeaderMap, NoForm> {
    let mut map = HeaderMap::with_capacity(fields.len());
    let named = Named::of(head, fields);
    for field in fields {
        if field.known.is_hop_by_hop() || !is_kept(field.known) || named.has(field) {
            continue;
        }
        let name = field.name.of(head);
        let name = HeaderName::from_bytes(name).map_err(|_| NoForm("header_name"))?;
        map.append(name, value(head, field.value)?);
    }
    Ok(map)
}

fn value(head: &Bytes, span: Span) -> Result<HeaderValue, NoForm> {
    let (start, end) = (span.start as usize, span.end as usize);
    if start > end || end > head.len() {
        return Err(NoForm("header_value"));
    }
    HeaderValue::from_maybe_shared(head.slice(start..end)).map_err(|_| NoForm("header_value"))
}

fn asks_for_trailers(head: &[u8], fields: &Headers) -> bool {
    fields
        .iter()
        .filter(|field| field.known == Known::Te)
        .flat_map(|field| list_members(field.value.of(head)))
        .any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use narrows_parsers::http1::{HeadParser, HeadStep, RequestKind};

    #[test]
    fn a_request_loses_what_belongs_to_its_connection() {
        let head = Bytes::from_static(
            b"GET /a HTTP/1.1\r\nHost: x\r\nX-Up: 1\r\nConnection: keep-alive, x-hop, te\r\nX-Hop: 2\r\n\
            TE: gzip, trailers\r\nExpect: 100-continue\r\nKeep-Alive: timeout=5\r\nCookie: a=b\r\n\r\n",
        );
        let mut fields = Headers::new();
        let HeadStep::Head(_) = HeadParser::new().request(&head, &mut fields) else {
            panic!("a request");
        };
        let target = Target {
            method: b"GET",
            scheme: uri::Scheme::HTTPS,
            authority: b"y:1",
            path: b"/b?c",
        };
        let parts = request(&target, &head, &fields).expect("a form");
        assert_eq!(parts.uri, "https://y:1/b?c");
        let got: Vec<_> = parts
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        assert_eq!(
            got,
            [
                "x-up: 1",
                "expect: 100-continue",
                "cookie: a=b",
                "te: trailers"
            ]
        );
    }

    #[test]
    fn a_reply_keeps_its_length_and_every_cookie() {
        let head = Bytes::from_static(
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\nSet-Cookie: a\r\nset-cookie: b\r\nX: \xe4\r\n\r\n",
        );
        let mut fields = Headers::new();
        let step = HeadParser::new().response(&head, &mut fields, RequestKind::Other);
        assert!(matches!(step, HeadStep::Head(_)));
        let parts = reply(200, &head, &fields).expect("a form");
        assert_eq!(parts.headers.len(), 4);
        assert_eq!(parts.headers.get_all("set-cookie").iter().count(), 2);
        assert_eq!(parts.headers["x"].as_bytes(), b"\xe4");
        assert!(!parts.headers.contains_key("connection"));
    }
}
