//! Whole heads in a buffer.

use super::facts::Facts;
use super::field::{Headers, Span};
use super::framing::{self, Framing, RequestKind};
use super::line::{Parsed, RequestLine, StatusLine, Version, request_line, status_line};
use super::names::Known;
use super::scan::{self, TOKEN};
use super::section::{Bounds, FirstLine, Section, Whole};
use super::target::{Target, TargetForm, is_host};
use crate::Malformed;
use crate::limits::{MAX_HEAD_BYTES, MAX_HEADERS, MAX_REQUEST_LINE_BYTES};

/// Bytes in front of the reason phrase: `HTTP/1.1 200 `.
const REASON_AT: usize = 13;

/// What has been read of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadStep<H> {
    /// The head is not whole yet.
    NeedMore,
    /// The head is whole; its fields are in the [`Headers`].
    Head(H),
    /// The bytes are no head.
    Malformed(Malformed),
}

/// The head of a request. Spans are places in the buffer that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestHead {
    /// The method. An empty line in front of it was passed over if it does not start at 0.
    pub method: Span,
    /// What the method means to the framing of the reply.
    pub kind: RequestKind,
    /// The target, as it came.
    pub target: Span,
    /// How the target is written.
    pub form: TargetForm,
    /// Path and query within the target; empty in a target that has no path.
    pub path: Span,
    /// Who is addressed, with the port: from the target where that says it, else from `Host`. Empty when `Host` is; `None` without one,
    /// which HTTP/1.0 allows.
    pub authority: Option<Span>,
    /// The value of `Host`.
    pub host: Option<Span>,
    /// The version.
    pub version: Version,
    /// Bytes from the start of the buffer to the end of the head's empty line.
    pub length: u32,
    /// Where the body ends.
    pub framing: Framing,
    /// The client means to send another request after this one.
    pub keep_alive: bool,
    /// The client waits for 100 before it sends the body. Not in HTTP/1.0, which has no such reply.
    pub expect_continue: bool,
    /// `Expect` is something else than `100-continue`, or has something else besides.
    pub expect_other: bool,
    /// The client offers another protocol: an `Upgrade` that `Connection` names. Not in HTTP/1.0, where it means nothing.
    pub upgrade: bool,
}

/// The head of a reply. Spans are places in the buffer that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseHead {
    /// The version.
    pub version: Version,
    /// The status, 100 and above.
    pub status: u16,
    /// The reason phrase; often empty.
    pub reason: Span,
    /// Bytes from the start of the buffer to the end of the head's empty line.
    pub length: u32,
    /// Where the body ends, given what was asked.
    pub framing: Framing,
    /// The server means to answer another request after this one.
    pub keep_alive: bool,
    /// There is an `Upgrade` that `Connection` names.
    pub upgrade: bool,
}

impl ResponseHead {
    /// Another reply to the same request follows (RFC 9110 section 15.2); a switch of protocols is the last one.
    pub fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..200)
    }
}

/// How large a head may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head.
    pub bytes: usize,
    /// Field lines.
    pub fields: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            bytes: MAX_HEAD_BYTES,
            fields: MAX_HEADERS,
        }
    }
}

/// Reads the heads of one direction of a connection. It holds nothing of them but how far it has looked: when a head is not whole, it is
/// shown the same bytes with more behind them, and goes on where it stopped.
#[derive(Debug, Clone, Copy, Default)]
pub struct HeadParser {
    section: Section,
    limits: HeadLimits,
}

impl HeadParser {
    /// A parser with the default limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// A parser with these limits.
    pub fn with_limits(limits: HeadLimits) -> Self {
        Self {
            section: Section::default(),
            limits,
        }
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            bytes: self.limits.bytes,
            too_large: Malformed::HeadTooLarge,
            fields: self.limits.fields,
        }
    }

    /// Reads the head of a request at the start of `buf`. What is in `headers` is replaced.
    pub fn request(&mut self, buf: &[u8], headers: &mut Headers) -> HeadStep<RequestHead> {
        let bounds = self.bounds();
        match self.section.read::<RequestLine<'_>>(buf, &bounds, headers) {
            Ok(None) => HeadStep::NeedMore,
            Ok(Some(whole)) => match request_head(buf, &whole, headers) {
                Ok(head) => HeadStep::Head(head),
                Err(reason) => HeadStep::Malformed(reason),
            },
            Err(reason) => HeadStep::Malformed(reason),
        }
    }

    /// Reads the head of a reply at the start of `buf`, to a request of that kind. What is in `headers` is replaced.
    pub fn response(
        &mut self,
        buf: &[u8],
        headers: &mut Headers,
        request: RequestKind,
    ) -> HeadStep<ResponseHead> {
        let bounds = self.bounds();
        match self.section.read::<StatusLine<'_>>(buf, &bounds, headers) {
            Ok(None) => HeadStep::NeedMore,
            Ok(Some(whole)) => match response_head(buf, &whole, headers, request) {
                Ok(head) => HeadStep::Head(head),
                Err(reason) => HeadStep::Malformed(reason),
            },
            Err(reason) => HeadStep::Malformed(reason),
        }
    }
}

impl<'b> FirstLine<'b> for RequestLine<'b> {
    const AFTER_EMPTY_LINE: bool = true;
    const BOUND: (usize, Malformed) = (MAX_REQUEST_LINE_BYTES, Malformed::TargetTooLong);

    fn begins(first: u8) -> Result<(), Malformed> {
        if scan::is(first, TOKEN) {
            Ok(())
        } else {
            Err(Malformed::Method)
        }
    }

    fn parse(input: &'b [u8]) -> Parsed<'b, Self> {
        request_line(input)
    }
}

impl<'b> FirstLine<'b> for StatusLine<'b> {
    const AFTER_EMPTY_LINE: bool = false;
    const BOUND: (usize, Malformed) = (MAX_REQUEST_LINE_BYTES, Malformed::StatusLine);

    fn begins(first: u8) -> Result<(), Malformed> {
        if first == b'H' {
            Ok(())
        } else {
            Err(Malformed::HttpVersion)
        }
    }

    fn parse(input: &'b [u8]) -> Parsed<'b, Self> {
        status_line(input)
    }
}

fn request_head(
    buf: &[u8],
    whole: &Whole<RequestLine<'_>>,
    headers: &Headers,
) -> Result<RequestHead, Malformed> {
    let line = &whole.first;
    let facts = Facts::of(buf, headers)?;
    let target = Target::of(line.target, line.method)?;
    let kind = RequestKind::of(line.method);
    let framing = framing::of_request(line.version, kind, &facts)?;
    let current = line.version == Version::Http11;
    // RFC 9112 section 3.2: none, several, or one with an invalid value.
    match facts.host {
        None if current => return Err(Malformed::MissingHost),
        Some(_) if headers.is_repeated(Known::Host) => return Err(Malformed::SeveralHosts),
        Some(host) if !is_host(host.of(buf)) => return Err(Malformed::Host),
        _ => {}
    }
    let start = whole.at;
    let target_at = start + line.method.len() + 1;
    let target_end = target_at + line.target.len();
    let authority_at = target_at + target.authority_at;
    let authority = match target.form {
        TargetForm::Absolute | TargetForm::Authority => Some(Span::new(
            authority_at,
            authority_at + target.authority.len(),
        )),
        TargetForm::Origin | TargetForm::Asterisk => facts.host,
    };
    Ok(RequestHead {
        method: Span::new(start, start + line.method.len()),
        kind,
        target: Span::new(target_at, target_end),
        form: target.form,
        path: Span::new(target_at + target.path_at, target_end),
        authority,
        host: facts.host,
        version: line.version,
        length: whole.length as u32,
        framing,
        keep_alive: facts.keeps_alive(line.version),
        expect_continue: facts.expect_continue && current,
        expect_other: facts.expect_other,
        upgrade: facts.upgrade && facts.connection_upgrade && current,
    })
}

fn response_head(
    buf: &[u8],
    whole: &Whole<StatusLine<'_>>,
    headers: &Headers,
    request: RequestKind,
) -> Result<ResponseHead, Malformed> {
    let line = &whole.first;
    let facts = Facts::of(buf, headers)?;
    let framing = framing::of_response(line.version, line.status, request, &facts)?;
    Ok(ResponseHead {
        version: line.version,
        status: line.status,
        reason: Span::new(REASON_AT, REASON_AT + line.reason.len()),
        length: whole.length as u32,
        framing,
        keep_alive: facts.keeps_alive(line.version) && framing != Framing::UntilClose,
        upgrade: facts.upgrade && facts.connection_upgrade,
    })
}
