//! Where the body of a message ends (RFC 9112 section 6).

use super::facts::{Encoding, Facts};
use super::line::Version;
use crate::Malformed;

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// There is no body.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks, up to one of size 0 and the trailer section behind it.
    Chunked,
    /// All bytes until the connection ends; replies only.
    UntilClose,
    /// No message follows any more: the connection is a tunnel from here on. Replies only: 101, and 2xx to CONNECT.
    Tunnel,
}

/// What a request is, as far as the framing of its reply hangs on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestKind {
    /// HEAD: the reply has no body, whatever its fields say.
    Head,
    /// CONNECT: a reply of 2xx makes a tunnel.
    Connect,
    /// Any other method.
    Other,
}

impl RequestKind {
    /// Methods are case-sensitive (RFC 9110 section 9.1).
    pub fn of(method: &[u8]) -> Self {
        match method {
            b"HEAD" => Self::Head,
            b"CONNECT" => Self::Connect,
            _ => Self::Other,
        }
    }
}

/// Of a request: by its fields alone, never by its method.
pub(super) fn of_request(
    version: Version,
    kind: RequestKind,
    facts: &Facts,
) -> Result<Framing, Malformed> {
    let framing = announced(version, facts)?.unwrap_or(Framing::None);
    match (kind, framing) {
        // RFC 9110 section 9.3.6: a CONNECT has no content, and what follows it may be the tunnel's.
        (RequestKind::Connect, Framing::Chunked | Framing::Length(1..)) => {
            Err(Malformed::ContentInConnect)
        }
        (_, Framing::Length(0)) => Ok(Framing::None),
        (_, framing) => Ok(framing),
    }
}

/// Of a reply to a request of that kind. What is contradictory is refused even where the status means that no body follows.
pub(super) fn of_response(
    version: Version,
    status: u16,
    request: RequestKind,
    facts: &Facts,
) -> Result<Framing, Malformed> {
    let announced = announced(version, facts)?;
    // RFC 9112 section 6.1: no server sends Transfer-Encoding with 1xx or 204; one that does would send chunks too.
    if matches!(status, 100..200 | 204) && announced == Some(Framing::Chunked) {
        return Err(Malformed::EncodingWithoutBody);
    }
    Ok(match (status, request) {
        (101, _) | (200..300, RequestKind::Connect) => Framing::Tunnel,
        (100..200 | 204 | 304, _) | (_, RequestKind::Head) => Framing::None,
        _ => match announced {
            Some(Framing::Length(0)) => Framing::None,
            Some(framing) => framing,
            None => Framing::UntilClose,
        },
    })
}

/// What Content-Length and Transfer-Encoding say together.
fn announced(version: Version, facts: &Facts) -> Result<Option<Framing>, Malformed> {
    match (facts.encoding, facts.content_length) {
        (None, None) => Ok(None),
        (None, Some(length)) => Ok(Some(Framing::Length(length))),
        // RFC 9112 section 6.1: a server MAY reject such a request; whoever reads one field only sees another message.
        (Some(_), Some(_)) => Err(Malformed::LengthAndEncoding),
        // RFC 9112 section 6.1: the framing of such a message is faulty.
        (Some(_), None) if version == Version::Http10 => Err(Malformed::EncodingInHttp10),
        (Some(Encoding::Chunked), None) => Ok(Some(Framing::Chunked)),
        (Some(Encoding::Unknown), None) => Err(Malformed::UnknownCoding),
    }
}
