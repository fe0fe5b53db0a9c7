//! Heads and bodies, read whole.

use narrows_parsers::Malformed;
use narrows_parsers::http1::{
    Body, BodyStep, Framing, HeadParser, HeadStep, Headers, RequestHead, RequestKind, ResponseHead,
};

/// The head of a request that is whole.
pub(crate) fn request(bytes: &[u8]) -> Result<(RequestHead, Headers), Malformed> {
    let mut headers = Headers::new();
    match HeadParser::new().request(bytes, &mut headers) {
        HeadStep::Head(head) => Ok((head, headers)),
        HeadStep::Malformed(reason) => Err(reason),
        HeadStep::NeedMore => panic!("cut: {}", bytes.escape_ascii()),
    }
}

/// The head of a reply that is whole.
pub(crate) fn response(
    bytes: &[u8],
    request: RequestKind,
) -> Result<(ResponseHead, Headers), Malformed> {
    let mut headers = Headers::new();
    match HeadParser::new().response(bytes, &mut headers, request) {
        HeadStep::Head(head) => Ok((head, headers)),
        HeadStep::Malformed(reason) => Err(reason),
        HeadStep::NeedMore => panic!("cut: {}", bytes.escape_ascii()),
    }
}

/// A request of HTTP/1.1 with these field lines and a host.
pub(crate) fn with_fields(lines: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes()
}

/// What came of a body.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Read {
    /// The content.
    pub(crate) content: Vec<u8>,
    /// What is passed on to an HTTP/1 peer.
    pub(crate) forwarded: Vec<u8>,
    /// Bytes that belong to the message.
    pub(crate) length: usize,
    /// Trailer fields that were dropped.
    pub(crate) dropped: usize,
    /// How it ended: whole, cut, or malformed.
    pub(crate) end: Option<Result<(), Malformed>>,
}

/// Reads a body that comes in pieces of these sizes, over and over.
pub(crate) fn body(framing: Framing, bytes: &[u8], sizes: &[usize]) -> Read {
    let mut body = Body::new(framing);
    let mut trailers = Headers::new();
    let mut read = Read::default();
    let mut sizes = sizes.iter().cycle();
    let mut shown = 0;
    loop {
        let rest = &bytes[read.length..shown];
        match body.advance(rest, &mut trailers) {
            BodyStep::Forward(count) => {
                assert!(count > 0);
                read.content.extend_from_slice(&rest[..count]);
                read.forwarded.extend_from_slice(&rest[..count]);
                read.length += count;
            }
            BodyStep::Frame(count) => {
                assert!(count > 0);
                read.forwarded.extend_from_slice(&rest[..count]);
                read.length += count;
            }
            BodyStep::Drop(count) => {
                assert!(count > 0);
                read.length += count;
            }
            BodyStep::Trailers { consumed, dropped } => {
                for field in &trailers {
                    read.forwarded.extend_from_slice(field.line.of(rest));
                }
                read.forwarded.extend_from_slice(b"\r\n");
                read.length += consumed;
                read.dropped = dropped;
            }
            BodyStep::End => {
                assert!(body.is_done());
                read.end = Some(Ok(()));
                return read;
            }
            BodyStep::NeedMore if shown == bytes.len() => return read,
            BodyStep::NeedMore => {
                let size = sizes.next().copied().unwrap_or(bytes.len());
                shown = bytes.len().min(shown + size.max(1));
            }
            BodyStep::Malformed(reason) => {
                read.end = Some(Err(reason));
                return read;
            }
        }
    }
}
