//! The lines of a head: request line, status line, field line.
//!
//! nom has the structure, one scan over the kinds of bytes has the work. A line that has not come whole is `Incomplete`, whatever is
//! wrong with what there is of it, except where the error is before the end of what there is.

use super::scan;
use crate::Malformed;
use nom::error::{ErrorKind, ParseError};
use nom::{Err, IResult, Needed, Parser};

/// What a parser of a line gives: what is left, and what was read.
pub(super) type Parsed<'b, T> = IResult<&'b [u8], T, Malformed>;

impl<I> ParseError<I> for Malformed {
    /// Every parser here names its own reason; nom's would be those of a line that is none.
    fn from_error_kind(_: I, _: ErrorKind) -> Self {
        Self::FieldName
    }

    fn append(_: I, _: ErrorKind, first: Self) -> Self {
        first
    }
}

/// The version of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// A request line; `method` and `target` as they came.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestLine<'b> {
    pub(super) method: &'b [u8],
    pub(super) target: &'b [u8],
    pub(super) version: Version,
}

/// A status line.
#[derive(Debug, Clone, Copy)]
pub(super) struct StatusLine<'b> {
    pub(super) version: Version,
    pub(super) status: u16,
    pub(super) reason: &'b [u8],
}

/// A field line; `value` without the blanks around it.
#[derive(Debug, Clone, Copy)]
pub(super) struct FieldLine<'b> {
    pub(super) name: &'b [u8],
    /// The name has a byte beside letters and hyphens, or may have one.
    pub(super) odd: bool,
    pub(super) value: &'b [u8],
    /// Bytes from the start of the line to the value.
    pub(super) value_at: usize,
}

/// `request-line = method SP request-target SP HTTP-version CRLF` (RFC 9112 section 3), with exactly those blanks.
pub(super) fn request_line(input: &[u8]) -> Parsed<'_, RequestLine<'_>> {
    let (rest, (method, _, target, _, version, _)) = (
        some(|input| scan::token(input).0, Malformed::Method),
        byte(b' ', Malformed::Method),
        some(scan::target, Malformed::Target),
        byte(b' ', Malformed::Target),
        version,
        |rest| crlf(rest, Malformed::HttpVersion),
    )
        .parse(input)?;
    Ok((
        rest,
        RequestLine {
            method,
            target,
            version,
        },
    ))
}

/// `status-line = HTTP-version SP status-code SP [ reason-phrase ] CRLF` (RFC 9112 section 4). Many servers leave the last blank out
/// with the phrase.
pub(super) fn status_line(input: &[u8]) -> Parsed<'_, StatusLine<'_>> {
    let (rest, (version, _, status, reason, _)) = (
        version,
        byte(b' ', Malformed::StatusLine),
        status,
        reason,
        |rest| crlf(rest, Malformed::StatusLine),
    )
        .parse(input)?;
    Ok((
        rest,
        StatusLine {
            version,
            status,
            reason,
        },
    ))
}

/// `field-line = field-name ":" OWS field-value OWS CRLF` (RFC 9112 section 5).
#[inline(always)]
pub(super) fn field_line(input: &[u8]) -> Parsed<'_, FieldLine<'_>> {
    let (rest, (name, odd)) = field_name(input)?;
    let rest = scan::trim_start(rest);
    let value_at = input.len() - rest.len();
    let (rest, value) = any(rest, scan::value)?;
    let (rest, ()) = crlf(rest, Malformed::FieldValue)?;
    let line = FieldLine {
        name,
        odd,
        value: scan::trim_end(value),
        value_at,
    };
    Ok((rest, line))
}

/// The name and its colon: no blank may be between them (RFC 9112 section 5.1).
#[inline(always)]
fn field_name(input: &[u8]) -> Parsed<'_, (&[u8], bool)> {
    let (length, odd) = scan::token(input);
    match input.split_at_checked(length) {
        Some((name @ [_, ..], [b':', rest @ ..])) => Ok((rest, (name, odd))),
        Some((name, rest)) => no_field_name(name, rest),
        None => incomplete(),
    }
}

#[cold]
fn no_field_name<'b, T>(name: &[u8], rest: &[u8]) -> Parsed<'b, T> {
    match (rest.first(), name.is_empty()) {
        (Some(b' ' | b'\t'), false) => failure(Malformed::SpaceBeforeColon),
        (Some(b' ' | b'\t'), true) => failure(Malformed::ObsFold),
        (Some(b'\n'), true) => failure(Malformed::BareLf),
        (Some(b'\r'), true) => failure(Malformed::BareCr),
        (Some(_), _) => failure(Malformed::FieldName),
        (None, _) => incomplete(),
    }
}

fn version(input: &[u8]) -> Parsed<'_, Version> {
    let Some((version, rest)) = input.split_first_chunk::<8>() else {
        return cut(input, is_version_byte, Malformed::HttpVersion);
    };
    match version {
        b"HTTP/1.1" => Ok((rest, Version::Http11)),
        b"HTTP/1.0" => Ok((rest, Version::Http10)),
        other if other.iter().copied().enumerate().all(is_version_byte) => {
            failure(Malformed::UnsupportedVersion)
        }
        _ => failure(Malformed::HttpVersion),
    }
}

/// `HTTP-version = HTTP-name "/" DIGIT "." DIGIT` (RFC 9112 section 2.3), byte by byte.
fn is_version_byte((at, byte): (usize, u8)) -> bool {
    match b"HTTP/0.0".get(at) {
        Some(b'0') => byte.is_ascii_digit(),
        expected => expected == Some(&byte),
    }
}

/// Three digits. Below 100 there is no class whose framing would be known; 600 and above are read as if they were 5xx (RFC 9110
/// section 15).
fn status(input: &[u8]) -> Parsed<'_, u16> {
    let Some((digits, rest)) = input.split_first_chunk::<3>() else {
        return cut(input, is_status_byte, Malformed::StatusLine);
    };
    if !digits.iter().copied().enumerate().all(is_status_byte) {
        return failure(Malformed::StatusLine);
    }
    let status = digits
        .iter()
        .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    Ok((rest, status))
}

fn is_status_byte((at, byte): (usize, u8)) -> bool {
    byte.is_ascii_digit() && (at > 0 || byte != b'0')
}

/// Something of fixed length that is not whole: more of it is awaited as long as it could become right.
fn cut<'b, T>(
    input: &'b [u8],
    is_right: fn((usize, u8)) -> bool,
    reason: Malformed,
) -> Parsed<'b, T> {
    if input.iter().copied().enumerate().all(is_right) {
        incomplete()
    } else {
        failure(reason)
    }
}

fn reason(input: &[u8]) -> Parsed<'_, &[u8]> {
    match input.split_first() {
        Some((b' ', rest)) => any(rest, scan::value),
        Some((b'\r' | b'\n', _)) => Ok((input, &[])),
        Some(_) => failure(Malformed::StatusLine),
        None => incomplete(),
    }
}

/// One or more bytes, as far as `run` goes.
fn some<'b>(
    run: impl Fn(&[u8]) -> usize,
    reason: Malformed,
) -> impl Parser<&'b [u8], Output = &'b [u8], Error = Malformed> {
    move |input: &'b [u8]| match any(input, &run)? {
        (_, []) => failure(reason),
        parsed => Ok(parsed),
    }
}

/// This byte.
fn byte<'b>(
    expected: u8,
    reason: Malformed,
) -> impl Parser<&'b [u8], Output = (), Error = Malformed> {
    move |input: &'b [u8]| match input.split_first() {
        Some((first, rest)) if *first == expected => Ok((rest, ())),
        Some(_) => failure(reason),
        None => incomplete(),
    }
}

/// Any number of bytes, as far as `run` goes, up to one that is something else.
#[inline(always)]
fn any<'b>(input: &'b [u8], run: impl Fn(&[u8]) -> usize) -> Parsed<'b, &'b [u8]> {
    match input.split_at_checked(run(input)) {
        Some((_, [])) | None => incomplete(),
        Some((run, rest)) => Ok((rest, run)),
    }
}

/// The end of a line. A CR or LF alone is none (RFC 9112 section 2.2: a CR alone is invalid, and a recipient only MAY take a LF for an
/// end); what else stands there is a byte that may not be in the line.
#[inline(always)]
fn crlf(input: &[u8], reason: Malformed) -> Parsed<'_, ()> {
    match input {
        [b'\r', b'\n', rest @ ..] => Ok((rest, ())),
        _ => no_crlf(input, reason),
    }
}

#[cold]
fn no_crlf<'b>(input: &'b [u8], reason: Malformed) -> Parsed<'b, ()> {
    match input {
        [] | [b'\r'] => incomplete(),
        [b'\r', ..] => failure(Malformed::BareCr),
        [b'\n', ..] => failure(Malformed::BareLf),
        _ => failure(reason),
    }
}

fn failure<T>(reason: Malformed) -> Result<T, Err<Malformed>> {
    Err(Err::Failure(reason))
}

fn incomplete<T>() -> Result<T, Err<Malformed>> {
    Err(Err::Incomplete(Needed::Unknown))
}
