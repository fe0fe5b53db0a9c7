//! Heads in the form of HTTP/1, from what an HTTP/2 side sent.
//!
//! What a head says about its body is written from how the body is going to be framed, never copied; what belongs to a connection stays
//! behind (RFC 9113 §8.2.2), and the crumbs of a cookie become one field again (§8.2.3).

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Version, request, response};

use super::told::Told;

/// How a body is framed in HTTP/1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks, and trailers if there are any.
    Chunked,
    /// Until the connection ends: a reply to HTTP/1.0.
    UntilClose,
    /// Bytes that are no message, whose end is the end of the stream.
    Tunnel,
}

/// Field of the HTTP/1.1 upgrade to HTTP/2, which says nothing to anybody else (RFC 9113 §3.1 drops it).
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// How the body of a request is framed on its way to an HTTP/1 server.
pub(crate) fn request_framing(head: &request::Parts, no_body: bool) -> Framing {
    if head.method == Method::CONNECT {
        return Framing::Tunnel;
    }
    let announced = content_length(&head.headers);
    match (no_body, announced) {
        (true, Some(_)) => Framing::Length(0),
        // A server may want to be told that nothing comes where something could (RFC 9110 §8.6).
        (true, None) if expects_content(head) => Framing::Length(0),
        (true, None) => Framing::None,
        // Trailers that are announced need chunks (RFC 9112 §7.1.2).
        (false, Some(length)) if !head.headers.contains_key(header::TRAILER) => {
            Framing::Length(length)
        }
        (false, _) => Framing::Chunked,
    }
}

/// Appends the head of a request. `target` and `host` are what routing made of them.
pub(crate) fn write_request(
    head: &request::Parts,
    target: &[u8],
    host: &[u8],
    framing: Framing,
    told: &Told<'_>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(target);
    out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
    out.extend_from_slice(host);
    out.extend_from_slice(b"\r\n");
    write_fields(&head.headers, |name| told.stays(name), out);
    if head.headers.contains_key(header::COOKIE) && told.stays(&header::COOKIE) {
        write_cookie(&head.headers, out);
    }
    if head.headers.contains_key(header::TE) {
        // h2 lets nothing but `trailers` pass. It is for the next hop only (RFC 9110 §10.1.4).
        out.extend_from_slice(b"te: trailers\r\nconnection: te\r\n");
    }
    write_framing(framing, out);
    told.write_added(&head.headers, out);
    out.extend_from_slice(b"\r\n");
}

/// Appends the head of a reply.
pub(crate) fn write_reply(
    head: &response::Parts,
    framing: Framing,
    close: bool,
    version: Version,
    out: &mut Vec<u8>,
) {
    write_status_line(head.status, out);
    write_fields(&head.headers, |_| true, out);
    match framing {
        // To HEAD, and in a 304, the length is that of the body which is not sent.
        Framing::None => write_lengths_as_they_are(&head.headers, head.status, out),
        framing => write_framing(framing, out),
    }
    if close {
        out.extend_from_slice(b"connection: close\r\n");
    } else if version == Version::HTTP_10 {
        out.extend_from_slice(b"connection: keep-alive\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends an interim head.
pub(crate) fn write_interim(head: &response::Parts, out: &mut Vec<u8>) {
    write_status_line(head.status, out);
    write_fields(&head.headers, |_| true, out);
    out.extend_from_slice(b"\r\n");
}

/// Appends the last chunk, with trailers.
pub(crate) fn write_last_chunk(trailers: Option<&HeaderMap>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    if let Some(fields) = trailers {
        for (name, value) in fields {
            write_field(name, value, out);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the line that a chunk begins with.
pub(crate) fn write_chunk_size(size: usize, out: &mut Vec<u8>) {
    let mut digits = [0; 16];
    let mut left = size;
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = HEX.get(left & 15).copied().unwrap_or(b'0');
        used += 1;
        left >>= 4;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(16 - used..).unwrap_or_default());
    out.extend_from_slice(b"\r\n");
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The length that a head announces. h2 has refused what is no number, or several.
pub(crate) fn content_length(fields: &HeaderMap) -> Option<u64> {
    let value = fields.get(header::CONTENT_LENGTH)?;
    value.to_str().ok()?.parse().ok()
}

/// True for fields that end with the connection they came on.
pub(crate) fn is_of_connection(name: &HeaderName) -> bool {
    name == header::CONNECTION
        || name == header::TRANSFER_ENCODING
        || name == header::UPGRADE
        || name == KEEP_ALIVE
        || name == PROXY_CONNECTION
        || name == HTTP2_SETTINGS
}

fn expects_content(head: &request::Parts) -> bool {
    matches!(head.method, Method::POST | Method::PUT | Method::PATCH)
}

fn write_fields(fields: &HeaderMap, stays: impl Fn(&HeaderName) -> bool, out: &mut Vec<u8>) {
    for (name, value) in fields {
        let is_written_apart = name == header::HOST
            || name == header::CONTENT_LENGTH
            || name == header::COOKIE
            || name == header::TE
            || is_of_connection(name);
        if !is_written_apart && stays(name) {
            write_field(name, value, out);
        }
    }
}

fn write_field(name: &HeaderName, value: &HeaderValue, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn write_cookie(fields: &HeaderMap, out: &mut Vec<u8>) {
    let mut before: &[u8] = b"cookie: ";
    for crumb in fields.get_all(header::COOKIE) {
        out.extend_from_slice(before);
        out.extend_from_slice(crumb.as_bytes());
        before = b"; ";
    }
    out.extend_from_slice(b"\r\n");
}

fn write_framing(framing: Framing, out: &mut Vec<u8>) {
    match framing {
        Framing::None | Framing::UntilClose | Framing::Tunnel => {}
        Framing::Length(length) => {
            out.extend_from_slice(b"content-length: ");
            write_decimal(length, out);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
}

/// RFC 9110 §8.6: no length in 1xx and 204.
fn write_lengths_as_they_are(fields: &HeaderMap, status: StatusCode, out: &mut Vec<u8>) {
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        return;
    }
    if let Some(length) = content_length(fields) {
        write_framing(Framing::Length(length), out);
    }
}

fn write_status_line(status: StatusCode, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn write_decimal(number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut left = number;
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (left % 10) as u8;
        used += 1;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(20 - used..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ForwardedConfig, ForwardedProto, HeaderEditsConfig, Underscores};
    use crate::protocols::http::route::HeaderEdits;
    use http::{Request, Response};

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn a_request_is_written_without_what_belongs_to_a_connection() {
        let (head, ()) = Request::post("http://a/x?y")
            .header("host", "a")
            .header("te", "trailers")
            .header("cookie", "a=1")
            .header("x-b", "c")
            .header("cookie", "b=2")
            .header("content-length", "5")
            .header("http2-settings", "AAA")
            .header("x-forwarded-for", "192.0.2.9")
            .header("x-forwarded-proto", "ftp")
            .header("x_u", "1")
            .header("x-r", "1")
            .header("x-s", "1")
            .body(())
            .expect("a request")
            .into_parts();
        let edits = HeaderEditsConfig {
            set: vec![("x-s".into(), "t".into())],
            remove: vec!["x-r".into()],
            ..HeaderEditsConfig::default()
        };
        let edits = HeaderEdits::new(&[&edits]);
        let told = Told {
            peer: "192.0.2.1",
            is_tls: true,
            forwarded: ForwardedConfig {
                trusted_hops: 0,
                append: true,
                proto: ForwardedProto::Set,
            },
            underscores: Underscores::Drop,
            edits: &edits,
        };
        let framing = Framing::Length(5);
        let written = text(|out| write_request(&head, b"/x?y", b"a", framing, &told, out));
        assert_eq!(
            written,
            "POST /x?y HTTP/1.1\r\nhost: a\r\nx-b: c\r\ncookie: a=1; b=2\r\nte: trailers\r\nconnection: te\r\n\
            content-length: 5\r\nx-forwarded-for: 192.0.2.9, 192.0.2.1\r\nx-forwarded-proto: https\r\nx-s: t\r\n\r\n"
        );
    }

    #[test]
    fn the_framing_of_a_request_is_that_of_its_body() {
        let framing = |method: &str, fields: &[(&str, &str)], no_body| {
            let builder = Request::builder().method(method).uri("http://a/");
            let builder = fields.iter().fold(builder, |b, (n, v)| b.header(*n, *v));
            request_framing(
                &builder.body(()).expect("a request").into_parts().0,
                no_body,
            )
        };
        assert_eq!(framing("GET", &[], true), Framing::None);
        assert_eq!(framing("POST", &[], true), Framing::Length(0));
        assert_eq!(
            framing("GET", &[("content-length", "0")], true),
            Framing::Length(0)
        );
        assert_eq!(framing("GET", &[], false), Framing::Chunked);
        let length = ("content-length", "7");
        assert_eq!(framing("POST", &[length], false), Framing::Length(7));
        assert_eq!(
            framing("POST", &[length, ("trailer", "x")], false),
            Framing::Chunked
        );
    }

    #[test]
    fn a_reply_says_how_long_it_is_in_its_own_way() {
        let reply = |status: u16, framing, close, version| {
            let response = Response::builder()
                .status(status)
                .header("content-length", "12")
                .header("x-a", "b");
            let (head, ()) = response.body(()).expect("a reply").into_parts();
            text(|out| write_reply(&head, framing, close, version, out))
        };
        assert_eq!(
            reply(200, Framing::Length(12), false, Version::HTTP_11),
            "HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: 12\r\n\r\n"
        );
        assert_eq!(
            reply(200, Framing::Chunked, true, Version::HTTP_11),
            "HTTP/1.1 200 OK\r\nx-a: b\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
        );
        assert_eq!(
            reply(304, Framing::None, false, Version::HTTP_10),
            "HTTP/1.1 304 Not Modified\r\nx-a: b\r\ncontent-length: 12\r\nconnection: keep-alive\r\n\r\n"
        );
        assert_eq!(
            reply(204, Framing::None, false, Version::HTTP_11),
            "HTTP/1.1 204 No Content\r\nx-a: b\r\n\r\n"
        );
    }

    #[test]
    fn chunks_and_trailers_are_canonical() {
        assert_eq!(text(|out| write_chunk_size(0x1a_2b, out)), "1a2b\r\n");
        assert_eq!(text(|out| write_chunk_size(9, out)), "9\r\n");
        let mut fields = HeaderMap::new();
        fields.insert("grpc-status", HeaderValue::from_static("0"));
        assert_eq!(
            text(|out| write_last_chunk(Some(&fields), out)),
            "0\r\ngrpc-status: 0\r\n\r\n"
        );
        assert_eq!(text(|out| write_last_chunk(None, out)), "0\r\n\r\n");
    }
}
