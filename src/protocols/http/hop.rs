//! Which fields are for one hop only: those that `Connection` names, and those for proxies (RFC 9110 section 7.6.1).

use narrows_parsers::http1::{HeaderField, Headers, Known, list_members};

/// Names in `Connection` that are looked at. Nobody who means well has more than three.
const MAX_NAMED: usize = 32;

/// Fields that are meant for the one who answers, or for the one who asked, whatever `Connection` says. RFC 9110 section 7.6.1: "A sender
/// MUST NOT send a connection option corresponding to a field that is intended for all recipients of the content"; a client that
/// does so wants the next hop not to see what it should.
const END_TO_END: [&[u8]; 7] = [
    b"authorization",
    b"cache-control",
    b"content-encoding",
    b"content-range",
    b"cookie",
    b"forwarded",
    b"set-cookie",
];

/// The fields that `Connection` says are for this hop only.
pub(super) struct Named<'a> {
    bytes: &'a [u8],
    headers: &'a Headers,
    any: bool,
}

impl<'a> Named<'a> {
    pub(super) fn of(bytes: &'a [u8], headers: &'a Headers) -> Self {
        let names_some = |field: &HeaderField| {
            let value = field.value.of(bytes);
            field.known == Known::Connection
                && !is_usual(value)
                && list_members(value).any(|name| !is_usual(name))
        };
        let any = headers.iter().any(names_some);
        Self {
            bytes,
            headers,
            any,
        }
    }

    /// True when the field is for this hop only. What the proxy itself knows the meaning of is not for others to take away.
    pub(super) fn has(&self, field: &HeaderField) -> bool {
        if field.known != Known::Other {
            return false;
        }
        let name = field.name.of(self.bytes);
        is_for_proxies(name)
            || self.any
                && names(self.bytes, self.headers).any(|named| named.eq_ignore_ascii_case(name))
                && !END_TO_END
                    .iter()
                    .any(|kept| name.eq_ignore_ascii_case(kept))
    }
}

/// What is for proxies is for this one (RFC 9110 section 11.7).
fn is_for_proxies(name: &[u8]) -> bool {
    matches!(name, [b'p' | b'P', rest @ ..] if rest.get(..5).is_some_and(|rest| rest.eq_ignore_ascii_case(b"roxy-")))
}

/// True for what `Connection` says besides names.
fn is_usual(option: &[u8]) -> bool {
    [b"keep-alive".as_slice(), b"close", b"upgrade"]
        .iter()
        .any(|usual| option.eq_ignore_ascii_case(usual))
}

fn names<'a>(bytes: &'a [u8], headers: &'a Headers) -> impl Iterator<Item = &'a [u8]> {
    headers
        .iter()
        .filter(|field| field.known == Known::Connection)
        .flat_map(move |field| list_members(field.value.of(bytes)))
        .take(MAX_NAMED)
}
