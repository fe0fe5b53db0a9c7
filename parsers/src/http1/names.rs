//! Field names that mean something here.

/// A field name that matters to framing, to what a proxy does, or to what is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Known {
    /// Any other name.
    Other,
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
}

impl Known {
    /// What is known of a name, in whatever case.
    #[inline]
    pub fn of(name: &[u8]) -> Self {
        let (known, spelling): (Self, &[u8]) = match name.len() {
            2 => (Self::Te, b"te"),
            4 => (Self::Host, b"host"),
            6 => (Self::Expect, b"expect"),
            7 => match name.first() {
                Some(b'U' | b'u') => (Self::Upgrade, b"upgrade"),
                _ => (Self::Trailer, b"trailer"),
            },
            10 => match name.first() {
                Some(b'C' | b'c') => (Self::Connection, b"connection"),
                _ => (Self::KeepAlive, b"keep-alive"),
            },
            12 => (Self::ContentType, b"content-type"),
            14 => match name.first() {
                Some(b'C' | b'c') => (Self::ContentLength, b"content-length"),
                _ => (Self::Http2Settings, b"http2-settings"),
            },
            15 => (Self::XForwardedFor, b"x-forwarded-for"),
            16 => (Self::ProxyConnection, b"proxy-connection"),
            17 => match name.first() {
                Some(b'T' | b't') => (Self::TransferEncoding, b"transfer-encoding"),
                _ => (Self::XForwardedProto, b"x-forwarded-proto"),
            },
            _ => return Self::Other,
        };
        if name.eq_ignore_ascii_case(spelling) {
            known
        } else {
            Self::Other
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
