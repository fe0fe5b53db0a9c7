//! Which fields may stand in a trailer section.

use super::names::Known;

/// Names, beside the known ones, that mean something else, or something dangerous, when they come behind the body: framing, routing, authentication, what the
/// body is, and what a proxy in front has said of the client (RFC 9110 section 6.5.1).
const FORBIDDEN: [&[u8]; 23] = [
    b"age",
    b"authorization",
    b"cache-control",
    b"content-encoding",
    b"content-range",
    b"cookie",
    b"date",
    b"expires",
    b"forwarded",
    b"location",
    b"max-forwards",
    b"pragma",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"range",
    b"retry-after",
    b"set-cookie",
    b"vary",
    b"via",
    b"warning",
    b"www-authenticate",
    b"x-forwarded-host",
    b"x-real-ip",
];

/// A field of that name may be merged into the message when it comes behind the body.
pub fn may_trail(name: &[u8]) -> bool {
    Known::of(name) == Known::Other && may_be_trailer(name)
}

/// A field of that name, which is no known one, may be merged into the message.
pub(super) fn may_be_trailer(name: &[u8]) -> bool {
    !FORBIDDEN
        .iter()
        .any(|forbidden| name.eq_ignore_ascii_case(forbidden))
}
