//! Heads as the other side gets them: the lines of the read buffer that stay, copied in runs, and the few that are added.

use narrows_parsers::http1::{
    Framing, HeaderField, Headers, Known, RequestHead, ResponseHead, TargetForm, Version,
};

use super::view::View;
use crate::config::{ForwardedConfig, Underscores};
use crate::protocols::http::decide::LocalReply;
use crate::protocols::http::forwarded;
use crate::protocols::http::hop::Named;
use crate::protocols::http::route::{self, HeaderEdits};

/// How a request is told to the upstream.
#[derive(Clone, Copy)]
pub(super) struct Told<'a> {
    /// The client's address.
    pub(super) peer: &'a str,
    pub(super) is_tls: bool,
    pub(super) forwarded: ForwardedConfig,
    pub(super) underscores: Underscores,
    /// What becomes of the path and the host.
    pub(super) to: &'a route::Forward,
    pub(super) edits: &'a HeaderEdits,
    /// The protocols that the client offers to change to.
    pub(super) upgrade: Option<&'a [u8]>,
}

/// How a reply is told to the client.
#[derive(Clone, Copy)]
pub(super) struct Reply<'a> {
    /// What the client speaks.
    pub(super) version: Version,
    /// The connection ends with this reply.
    pub(super) closes: bool,
    /// There are chunks, and they are passed on.
    pub(super) chunked: bool,
    /// The connection changes its protocol.
    pub(super) switches: bool,
    pub(super) edits: &'a HeaderEdits,
}

/// Writes a request's head as the upstream gets it.
pub(super) fn to_upstream(out: &mut Vec<u8>, view: View<'_>, told: &Told<'_>) {
    let View {
        bytes,
        head,
        headers,
    } = view;
    request_line(out, bytes, head, told.to);
    let named = Named::of(bytes, headers);
    let rewritten = told.to.host.as_deref();
    let new_host = head.form == TargetForm::Absolute || head.host.is_none() || rewritten.is_some();
    if new_host {
        let authority = head.authority.map(|authority| authority.of(bytes));
        line(out, b"host", rewritten.or(authority).unwrap_or_default());
    }
    if head.framing == Framing::Chunked {
        chunked(out);
    }
    copy(out, bytes, headers, |field| match field.known {
        Known::Host => !new_host,
        Known::Expect => head.version == Version::Http11,
        Known::XForwardedFor => !told.forwarded.append,
        Known::XForwardedProto => !forwarded::replaces_proto(told.forwarded),
        known if known.is_hop_by_hop() => false,
        _ => {
            let underscored = field.underscore && told.underscores == Underscores::Drop;
            !underscored && !named.has(field) && !told.edits.is_removed(field.name.of(bytes))
        }
    });
    let of = |known| {
        let fields = headers.iter().filter(move |field| field.known == known);
        fields.map(|field| field.value.of(bytes))
    };
    if told.forwarded.append {
        forwarded::append_for(out, of(Known::XForwardedFor), told.peer);
    }
    if forwarded::replaces_proto(told.forwarded) || of(Known::XForwardedProto).next().is_none() {
        forwarded::append_proto(out, told.is_tls);
    }
    if let Some(upgrade) = told.upgrade {
        switch(out, upgrade);
    }
    out.extend_from_slice(told.edits.appended());
    out.extend_from_slice(b"\r\n");
}

/// Writes a reply's head as the client gets it.
pub(super) fn to_client(
    out: &mut Vec<u8>,
    bytes: &[u8],
    head: &ResponseHead,
    headers: &Headers,
    reply: &Reply<'_>,
) {
    // The version is that of whoever sends (RFC 9110 section 6.2), and the rest of the line is the server's.
    out.extend_from_slice(b"HTTP/1.1");
    let line_end = headers
        .as_slice()
        .first()
        .map_or(head.length as usize - 2, |first| first.line.start as usize);
    out.extend_from_slice(bytes.get(8..line_end).unwrap_or_default());
    let named = Named::of(bytes, headers);
    if reply.chunked {
        chunked(out);
    }
    copy(out, bytes, headers, |field| match field.known {
        known if known.is_hop_by_hop() => false,
        _ => !named.has(field) && !reply.edits.is_removed(field.name.of(bytes)),
    });
    if reply.switches {
        let upgrade = headers.find(Known::Upgrade);
        switch(out, upgrade.map_or(&[], |field| field.value.of(bytes)));
    } else {
        connection(out, reply.version, reply.closes);
    }
    out.extend_from_slice(reply.edits.appended());
    out.extend_from_slice(b"\r\n");
}

/// Writes the head of a reply that another one follows.
pub(super) fn interim(out: &mut Vec<u8>, bytes: &[u8], head: &ResponseHead, headers: &Headers) {
    let reply = Reply {
        version: Version::Http11,
        closes: false,
        chunked: false,
        switches: false,
        edits: &HeaderEdits::default(),
    };
    to_client(out, bytes, head, headers, &reply);
}

/// Writes a reply of the proxy's own.
pub(super) fn local(
    out: &mut Vec<u8>,
    reply: &LocalReply<'_>,
    version: Version,
    closes: bool,
    with_body: bool,
) {
    let status = reply.status;
    let edits = reply.route.map(|route| &route.response_edits);
    let stays = |name: &[u8]| edits.is_none_or(|edits| !edits.is_removed(name));
    out.extend_from_slice(b"HTTP/1.1 ");
    number(out, usize::from(status));
    out.push(b' ');
    out.extend_from_slice(reason(status).as_bytes());
    out.extend_from_slice(b"\r\n");
    if let Some(location) = &reply.location
        && stays(b"location")
    {
        line(out, b"location", location);
    }
    // RFC 9110 section 8.6: neither with 1xx nor with 204.
    let bodiless = status < 200 || status == 204;
    if !bodiless {
        if !reply.body.is_empty() && stays(b"content-type") {
            line(out, b"content-type", b"text/plain");
        }
        out.extend_from_slice(b"content-length: ");
        number(out, reply.body.len());
        out.extend_from_slice(b"\r\n");
    }
    connection(out, version, closes);
    out.extend_from_slice(edits.map_or(&[], HeaderEdits::appended));
    out.extend_from_slice(b"\r\n");
    if with_body && !bodiless && status != 304 {
        out.extend_from_slice(reply.body);
    }
}

/// The request line in HTTP/1.1, with the target as servers that are no proxies get it (RFC 9112 section 3.2).
fn request_line(out: &mut Vec<u8>, bytes: &[u8], head: &RequestHead, to: &route::Forward) {
    let path = match (head.form, head.path.of(bytes)) {
        (TargetForm::Absolute, path) => path,
        _ => head.target.of(bytes),
    };
    out.extend_from_slice(head.method.of(bytes));
    out.push(b' ');
    let (start, path) = to.path.apply(path);
    match start.first().or(path.first()) {
        None if head.method.of(bytes) == b"OPTIONS" => out.push(b'*'),
        None | Some(b'?') => out.push(b'/'),
        Some(_) => {}
    }
    out.extend_from_slice(start);
    out.extend_from_slice(path);
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// Copies the lines of the fields that stay. Those that stand side by side are copied at once.
fn copy(
    out: &mut Vec<u8>,
    bytes: &[u8],
    headers: &Headers,
    mut stays: impl FnMut(&HeaderField) -> bool,
) {
    let mut run = 0..0;
    for field in headers {
        if !stays(field) {
            continue;
        }
        let (start, end) = (field.line.start as usize, field.line.end as usize);
        if start != run.end {
            out.extend_from_slice(bytes.get(run).unwrap_or_default());
            run = start..start;
        }
        run.end = end;
    }
    out.extend_from_slice(bytes.get(run).unwrap_or_default());
}

fn switch(out: &mut Vec<u8>, upgrade: &[u8]) {
    out.extend_from_slice(b"connection: upgrade\r\n");
    line(out, b"upgrade", upgrade);
}

/// Said in one way only, whatever the capitals were: a body that is framed by chunks.
fn chunked(out: &mut Vec<u8>) {
    out.extend_from_slice(b"transfer-encoding: chunked\r\n");
}

/// What HTTP/1.1 takes for granted is not said.
fn connection(out: &mut Vec<u8>, version: Version, closes: bool) {
    match (version, closes) {
        (_, true) => out.extend_from_slice(b"connection: close\r\n"),
        (Version::Http10, false) => out.extend_from_slice(b"connection: keep-alive\r\n"),
        (Version::Http11, false) => {}
    }
}

fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// A number in decimal.
fn number(out: &mut Vec<u8>, number: usize) {
    // Into a Vec nothing can fail.
    let _ = std::io::Write::write_fmt(out, format_args!("{number}"));
}

/// The reason phrases of the statuses that the proxy answers with, and of those that a config may name (RFC 9110 section 15).
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        410 => "Gone",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        418 => "I'm a teapot",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
