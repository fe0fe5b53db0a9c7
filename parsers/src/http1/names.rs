//! Field names that mean something here.

use super::scan;

/// A field name that matters to framing, to what a proxy does, or to what is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Known {
    /// `Connection`
    Connection,
    /// `Content-Length`
    ContentLength,
    /// `Content-Type`
    ContentType,
    /// `Expect`
    Expect,
    /// `Host`
    Host,
    /// `HTTP2-Settings`: part of an upgrade to HTTP/2 (RFC 7540 section 3.2.1), and for one hop only.
    Http2Settings,
    /// `Keep-Alive`
    KeepAlive,
    /// `Proxy-Connection`
    ProxyConnection,
    /// `TE`
    Te,
    /// `Trailer`
    Trailer,
    /// `Transfer-Encoding`
    TransferEncoding,
    /// `Upgrade`
    Upgrade,
    /// `X-Forwarded-For`
    XForwardedFor,
    /// `X-Forwarded-Proto`
    XForwardedProto,
    /// Any other name.
    Other,
}

/// The names, each at the place that [`place_of`] gives it.
static NAMES: [Option<(Known, &[u8])>; PLACES] = names();

const PLACES: usize = 32;

/// No two names have the same: the first letter less the length.
const fn place_of(first: u8, length: usize) -> usize {
    ((first | 0x20) as usize).wrapping_sub(length) % PLACES
}

const fn names() -> [Option<(Known, &'static [u8])>; PLACES] {
    let mut names = [None; PLACES];
    let mut left = Known::SPELLINGS.as_slice();
    while let [(known, spelling), rest @ ..] = left {
        if let [first, ..] = spelling
            && let (_, [place, ..]) = names.split_at_mut(place_of(*first, spelling.len()))
        {
            *place = Some((*known, *spelling));
        }
        left = rest;
    }
    names
}

impl Known {
    /// How many names there are beside [`Known::Other`].
    pub(super) const COUNT: usize = Self::SPELLINGS.len();

    /// A bit of its own for each name; none for [`Known::Other`].
    #[inline(always)]
    pub(super) fn bit(self) -> u16 {
        1_u16.unbounded_shl(self as u32) & ((1 << Self::COUNT) - 1)
    }

    /// Every name but [`Known::Other`], in lower case.
    const SPELLINGS: [(Self, &'static [u8]); 14] = [
        (Self::Connection, b"connection"),
        (Self::ContentLength, b"content-length"),
        (Self::ContentType, b"content-type"),
        (Self::Expect, b"expect"),
        (Self::Host, b"host"),
        (Self::Http2Settings, b"http2-settings"),
        (Self::KeepAlive, b"keep-alive"),
        (Self::ProxyConnection, b"proxy-connection"),
        (Self::Te, b"te"),
        (Self::Trailer, b"trailer"),
        (Self::TransferEncoding, b"transfer-encoding"),
        (Self::Upgrade, b"upgrade"),
        (Self::XForwardedFor, b"x-forwarded-for"),
        (Self::XForwardedProto, b"x-forwarded-proto"),
    ];

    /// What is known of a name, in whatever case. The name has no control characters.
    #[inline(always)]
    pub fn of(name: &[u8]) -> Self {
        let Some(first) = name.first() else {
            return Self::Other;
        };
        match NAMES.get(place_of(*first, name.len())) {
            Some(Some((known, spelling))) if scan::is_word(name, spelling) => *known,
            _ => Self::Other,
        }
    }

    /// The field is about one connection and never passed on (RFC 9110 section 7.6.1). Those that `Connection` names are too.
    pub fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::Http2Settings
                | Self::KeepAlive
                | Self::ProxyConnection
                | Self::Te
                | Self::TransferEncoding
                | Self::Upgrade
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found() {
        for (known, spelling) in Known::SPELLINGS {
            assert_eq!(Known::of(spelling), known);
            assert_eq!(Known::of(&spelling.to_ascii_uppercase()), known);
            assert_eq!(Known::of(&[spelling, b"x"].concat()), Known::Other);
            assert_eq!(Known::of(&spelling[1..]), Known::Other);
        }
        assert_eq!(Known::of(b""), Known::Other);
        assert_eq!(Known::of(b"content_length"), Known::Other);
    }
}
