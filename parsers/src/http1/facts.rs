//! What the known fields of a head say.

use super::field::{Headers, Span};
use super::line::Version;
use super::list::{has_member, list_members};
use super::names::Known;
use super::scan::{self, is_word};
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
    #[inline]
    pub(super) fn of(buf: &[u8], headers: &Headers) -> Result<Self, Malformed> {
        let mut facts = Self {
            host: headers.find(Known::Host).map(|host| host.value),
            upgrade: headers.find(Known::Upgrade).is_some(),
            ..Self::default()
        };
        if let Some(length) = headers.find(Known::ContentLength) {
            if headers.is_repeated(Known::ContentLength) {
                return Err(Malformed::SeveralContentLengths);
            }
            facts.content_length = Some(content_length(length.value.of(buf))?);
        }
        if let Some(encoding) = headers.find(Known::TransferEncoding) {
            if headers.is_repeated(Known::TransferEncoding) {
                return Err(Malformed::TransferEncoding);
            }
            facts.encoding = Some(transfer_encoding(encoding.value.of(buf))?);
        }
        headers.each(buf, Known::Connection, |value| facts.add_connection(value));
        headers.each(buf, Known::Expect, |value| facts.add_expect(value));
        Ok(facts)
    }

    /// The connection may serve another message after this one (RFC 9112 section 9.3).
    pub(super) fn keeps_alive(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }

    fn add_connection(&mut self, value: &[u8]) {
        for option in list_members(value) {
            self.close |= is_word(option, b"close");
            self.keep_alive |= is_word(option, b"keep-alive");
            self.connection_upgrade |= is_word(option, b"upgrade");
        }
    }

    fn add_expect(&mut self, value: &[u8]) {
        self.expect_continue |= has_member(value, b"100-continue");
        self.expect_other |= !is_word(value, b"100-continue");
    }
}

/// `Content-Length = 1*DIGIT` (RFC 9110 section 8.6). A list of the same value may be repaired; it is refused, because nobody who means
/// well sends one.
fn content_length(value: &[u8]) -> Result<u64, Malformed> {
    if value.is_empty() {
        return Err(Malformed::ContentLength);
    }
    value.iter().try_fold(0_u64, |length, byte| {
        let digit = match byte {
            b'0'..=b'9' => u64::from(byte - b'0'),
            b',' => return Err(Malformed::SeveralContentLengths),
            _ => return Err(Malformed::ContentLength),
        };
        length
            .checked_mul(10)
            .and_then(|length| length.checked_add(digit))
            .ok_or(Malformed::ContentLength)
    })
}

/// RFC 9112 section 6.1: `chunked` once, and at the end.
fn transfer_encoding(value: &[u8]) -> Result<Encoding, Malformed> {
    const CHUNKED: &[u8] = b"chunked";
    if is_word(value, CHUNKED) {
        return Ok(Encoding::Chunked);
    }
    let is_chunked = |coding: &&[u8]| is_word(coding, CHUNKED);
    let are_tokens = value.split(|byte| *byte == b',').all(|member| {
        let member = scan::trim(member);
        !member.is_empty() && scan::run(member, scan::TOKEN) == member.len()
    });
    if are_tokens
        && list_members(value).filter(is_chunked).count() == 1
        && list_members(value).last().as_ref().is_some_and(is_chunked)
    {
        return Ok(Encoding::Unknown);
    }
    Err(Malformed::TransferEncoding)
}
