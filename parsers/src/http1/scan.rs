//! What a byte may be part of, and how far bytes of one kind go.

/// May stand in a token: a method, a field name (RFC 9110 section 5.6.2).
pub(super) const TOKEN: u8 = 1;

/// May stand in a request target. RFC 3986 has fewer of them; browsers send the rest of visible ASCII as it was typed. A fragment is
/// never sent (RFC 9112 section 3.2).
pub(super) const TARGET: u8 = 2;

/// May stand in a field value: visible, space, tab, or not ASCII (RFC 9110 section 5.5).
pub(super) const VALUE: u8 = 4;

/// May stand in a host's name: unreserved, percent-encoded, or a sub-delimiter (RFC 3986 section 3.2.2).
pub(super) const NAME: u8 = 8;

/// May stand between the brackets of an address (RFC 3986 section 3.2.2).
pub(super) const ADDRESS: u8 = 16;

/// The kinds of each byte.
static KINDS: [u8; 256] = kinds();

const fn kinds() -> [u8; 256] {
    let mut kinds = [0; 256];
    let mut left = kinds.as_mut_slice();
    let mut byte = 0;
    while let [first, rest @ ..] = left {
        *first = kinds_of(byte);
        byte = byte.wrapping_add(1);
        left = rest;
    }
    kinds
}

const fn kinds_of(byte: u8) -> u8 {
    let mut kinds = 0;
    if byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
    {
        kinds |= TOKEN;
    }
    if byte.is_ascii_graphic() && byte != b'#' {
        kinds |= TARGET;
    }
    if byte.is_ascii_graphic() || byte == b' ' || byte == b'\t' || byte >= 0x80 {
        kinds |= VALUE;
    }
    let unreserved = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let delimiter = matches!(
        byte,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
    );
    if unreserved || delimiter || byte == b'%' {
        kinds |= NAME;
    }
    if unreserved || delimiter || byte == b':' {
        kinds |= ADDRESS;
    }
    kinds
}

/// The byte is of this kind.
#[inline]
pub(super) fn is(byte: u8, kind: u8) -> bool {
    KINDS
        .get(usize::from(byte))
        .is_some_and(|kinds| kinds & kind != 0)
}

/// How many bytes at the start are of this kind.
#[inline]
pub(super) fn run(bytes: &[u8], kind: u8) -> usize {
    bytes
        .iter()
        .position(|byte| !is(*byte, kind))
        .unwrap_or(bytes.len())
}

/// Bytes without the blanks (space, tab) around them, and how many stood in front.
#[inline]
pub(super) fn trim(bytes: &[u8]) -> (usize, &[u8]) {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let front = bytes.iter().take_while(|byte| blank(byte)).count();
    let rest = bytes.get(front..).unwrap_or_default();
    let behind = rest.iter().rev().take_while(|byte| blank(byte)).count();
    (front, rest.get(..rest.len() - behind).unwrap_or_default())
}
