//! What the known fields of a head say.

use super::field::{Headers, Span};
use super::line::Version;
use super::list::{has_member, list_members};
use super::names::Known;
use super::scan;
use crate::Malformed;

/// What `Transfer-Encoding` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// `chunked` and nothing else.
    Chunked,
    /// A coding in front of `chunked` that nobody here undoes.
    Unknown,
}

/// What the fields of one head say, taken together.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Facts {
    pub(super) host: Option<Span>,
    pub(super) content_length: Option<u64>,
    pub(super) encoding: Option<Encoding>,
    /// `Connection` has `close`.
    pub(super) close: bool,
    /// `Connection` has `keep-alive`.
    pub(super) keep_alive: bool,
    /// `Connection` has `upgrade`.
    pub(super) connection_upgrade: bool,
    /// There is an `Upgrade`.
    pub(super) upgrade: bool,
    /// `Expect` has `100-continue`.
    pub(super) expect_continue: bool,
    /// `Expect` has something else.
    pub(super) expect_other: bool,
}

impl Facts {
    /// Gathers them.
    pub(super) fn of(buf: &[u8], headers: &Headers) -> Result<Self, Malformed> {
        let mut facts = Self::default();
        for field in headers {
            let value = || field.value.of(buf);
            match field.known {
                Known::Host => facts.add_host(field.value)?,
                Known::ContentLength => facts.add_content_length(value())?,
                Known::TransferEncoding => facts.add_transfer_encoding(value())?,
                Known::Connection => facts.add_connection(value()),
                Known::Upgrade => facts.upgrade = true,
                Known::Expect => facts.add_expect(value()),
                _ => {}
            }
        }
        Ok(facts)
    }

    /// The connection may serve another message after this one (RFC 9112 section 9.3).
    pub(super) fn keeps_alive(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }

    /// RFC 9112 section 3.2: more than one line is refused.
    fn add_host(&mut self, value: Span) -> Result<(), Malformed> {
        match self.host.replace(value) {
            None => Ok(()),
            Some(_) => Err(Malformed::SeveralHosts),
        }
    }

    /// `Content-Length = 1*DIGIT` (RFC 9110 section 8.6). A list of the same value may be repaired; it is refused, because nobody who
    /// means well sends one.
    fn add_content_length(&mut self, value: &[u8]) -> Result<(), Malformed> {
        if self.content_length.is_some() {
            return Err(Malformed::SeveralContentLengths);
        }
        if value.is_empty() {
            return Err(Malformed::ContentLength);
        }
        let mut length = 0_u64;
        for byte in value {
            let digit = match byte {
                b'0'..=b'9' => u64::from(byte - b'0'),
                b',' => return Err(Malformed::SeveralContentLengths),
                _ => return Err(Malformed::ContentLength),
            };
            length = length
                .checked_mul(10)
                .and_then(|length| length.checked_add(digit))
                .ok_or(Malformed::ContentLength)?;
        }
        self.content_length = Some(length);
        Ok(())
    }

    /// RFC 9112 section 6.1: `chunked` once, and at the end. Spread over several lines it is refused.
    fn add_transfer_encoding(&mut self, value: &[u8]) -> Result<(), Malformed> {
        if self.encoding.is_some() {
            return Err(Malformed::TransferEncoding);
        }
        if value.eq_ignore_ascii_case(b"chunked") {
            self.encoding = Some(Encoding::Chunked);
            return Ok(());
        }
        let chunked = list_members(value)
            .filter(|coding| coding.eq_ignore_ascii_case(b"chunked"))
            .count();
        let is_last = list_members(value)
            .last()
            .is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"));
        let are_tokens = value.split(|byte| *byte == b',').all(|member| {
            let (_, member) = scan::trim(member);
            !member.is_empty() && scan::run(member, scan::TOKEN) == member.len()
        });
        if chunked != 1 || !is_last || !are_tokens {
            return Err(Malformed::TransferEncoding);
        }
        self.encoding = Some(Encoding::Unknown);
        Ok(())
    }

    fn add_connection(&mut self, value: &[u8]) {
        for option in list_members(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            self.connection_upgrade |= option.eq_ignore_ascii_case(b"upgrade");
        }
    }

    fn add_expect(&mut self, value: &[u8]) {
        self.expect_continue |= has_member(value, b"100-continue");
        self.expect_other |= !value.eq_ignore_ascii_case(b"100-continue");
    }
}
