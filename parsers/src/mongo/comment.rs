//! Comments: where the place in the caller's code, and sometimes a trace context, are found.

mod json;

use crate::limits::{CALL_SITE_BYTES, TRACE_PARENT_BYTES};
use memchr::memmem;
use std::ops::Range;

/// Where a comment names the place in the caller's code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CallSite {
    /// In this part of the comment.
    Part(Range<usize>),
    /// In this text, which the comment holds with escapes.
    Unescaped(Vec<u8>),
}

/// Finds the call site in a string comment: `callingFunction` of a JSON object, or the text without what tracers append to it.
pub(super) fn call_site(comment: &[u8]) -> Option<CallSite> {
    let start = comment
        .iter()
        .position(|byte| !byte.is_ascii_whitespace())?;
    if comment.get(start) == Some(&b'{') {
        return json::string_field(comment, b"callingFunction")
            .map(|raw| calling_function(comment, raw));
    }
    let text = without_carriers(comment.get(start..)?);
    (!text.is_empty()).then(|| CallSite::Part(start..start + clip(text, CALL_SITE_BYTES).len()))
}

fn calling_function(comment: &[u8], raw: Range<usize>) -> CallSite {
    let text = comment.get(raw.clone()).unwrap_or_default();
    if !text.contains(&b'\\') {
        return CallSite::Part(raw.start..raw.start + clip(text, CALL_SITE_BYTES).len());
    }
    let mut unescaped = json::unescape(text);
    unescaped.truncate(clip(&unescaped, CALL_SITE_BYTES).len());
    CallSite::Unescaped(unescaped)
}

/// Finds a `traceparent` in a string comment, in whatever notation: `traceparent='…'`, `traceparent: …`, `"traceparent":"…"`.
pub(super) fn trace_parent(comment: &[u8]) -> Option<Range<usize>> {
    // Most comments are too short to hold one, and a search costs more to prepare than such a comment to read.
    if comment.len() <= TRACE_PARENT.len() + usize::from(TRACE_PARENT_BYTES) {
        return None;
    }
    memmem::find_iter(comment, TRACE_PARENT).find_map(|at| {
        let after = at + TRACE_PARENT.len();
        let punctuation = comment
            .get(after..)?
            .iter()
            .position(|byte| !b"=:'\" ".contains(byte))?;
        let start = after + punctuation;
        let part = start..start + usize::from(TRACE_PARENT_BYTES);
        is_trace_parent(comment.get(part.clone())?).then_some(part)
    })
}

/// Version, trace-id, parent-id and trace-flags in lower-case hexadecimal; version ff and ids that are all zero are invalid (W3C Trace
/// Context, section 3.2.2).
pub(super) fn is_trace_parent(text: &[u8]) -> bool {
    let mut fields = text.split(|byte| *byte == b'-');
    let mut field = |length: usize| {
        fields.next().filter(|field| {
            field.len() == length
                && field
                    .iter()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })
    };
    let is_zero = |id: &[u8]| id.iter().all(|byte| *byte == b'0');
    let (Some(version), Some(trace), Some(parent), Some(_)) =
        (field(2), field(32), field(16), field(2))
    else {
        return false;
    };
    text.len() == usize::from(TRACE_PARENT_BYTES)
        && version != b"ff"
        && !is_zero(trace)
        && !is_zero(parent)
}

const TRACE_PARENT: &[u8] = b"traceparent";

/// Names after which the rest of a comment is what a tracer has appended: W3C Trace Context, Jaeger, Zipkin B3, Datadog, and the keys
/// of Datadog's database monitoring.
const CARRIERS: [&[u8]; 17] = [
    TRACE_PARENT,
    b"tracestate",
    b"uber-trace-id",
    b"b3",
    b"x-b3-traceid",
    b"x-b3-spanid",
    b"x-b3-sampled",
    b"x-datadog-trace-id",
    b"x-datadog-parent-id",
    b"x-datadog-sampling-priority",
    b"dddb",
    b"dddbs",
    b"dde",
    b"ddh",
    b"ddps",
    b"ddpv",
    b"ddprs",
];

/// Cuts off what tracers append.
fn without_carriers(text: &[u8]) -> &[u8] {
    let mut text = trim(before_carrier(text));
    while let Some(shorter) = without_pair(text) {
        text = trim(shorter);
    }
    text
}

/// Cuts at the first word that is the name of a carrier and is followed by `:` or `=`.
fn before_carrier(text: &[u8]) -> &[u8] {
    if memchr::memchr2(b':', b'=', text).is_none() {
        return text;
    }
    let mut start = 0;
    for word in text.split(|byte| is_separator(*byte)) {
        let name_end = word.iter().position(|byte| matches!(byte, b':' | b'='));
        if let Some(name) = name_end.and_then(|end| word.get(..end))
            && CARRIERS
                .iter()
                .any(|carrier| name.eq_ignore_ascii_case(carrier))
        {
            return text.get(..start).unwrap_or(text);
        }
        start += word.len() + 1;
    }
    text
}

/// Cuts a last `key='value'` off (the form of sqlcommenter, which escapes a quote within a value).
fn without_pair(text: &[u8]) -> Option<&[u8]> {
    let inside = text.strip_suffix(b"'")?;
    let quote = memchr::memrchr(b'\'', inside)?;
    let key = inside.get(..quote)?.strip_suffix(b"=")?;
    let key_start = key
        .iter()
        .rposition(|byte| is_separator(*byte))
        .map_or(0, |at| at + 1);
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.%".contains(byte);
    let name = key.get(key_start..)?;
    (!name.is_empty() && name.iter().all(is_name)).then(|| key.get(..key_start).unwrap_or_default())
}

fn is_separator(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b',' | b';' | b'*' | b'|')
}

/// Cuts the white space, separators and comment marks off that stood between a text and what was appended.
fn trim(text: &[u8]) -> &[u8] {
    let end = text
        .iter()
        .rposition(|byte| !(byte.is_ascii_whitespace() || b",;|".contains(byte)));
    let text = text
        .get(..end.map_or(0, |last| last + 1))
        .unwrap_or_default();
    text.strip_suffix(b"/*")
        .or(text.strip_suffix(b"*/"))
        .map_or(text, trim)
}

/// The longest start of a text within a limit that does not cut a UTF-8 character.
pub(super) fn clip(text: &[u8], limit: usize) -> &[u8] {
    let Some(within) = text.get(..limit) else {
        return text;
    };
    // A character that is cut has its first byte among the last three, and would need what follows.
    let is_cut = text.get(limit).is_some_and(|next| next & 0xC0 == 0x80);
    let lead = within
        .iter()
        .rev()
        .take(4)
        .position(|byte| byte & 0xC0 != 0x80);
    match lead {
        Some(back) if is_cut => within.get(..limit - back - 1).unwrap_or(within),
        _ => within,
    }
}

#[cfg(test)]
mod tests;
