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

/// Length of the token at the start, and whether it has a byte beside letters and hyphens.
#[inline(always)]
pub(super) fn token(bytes: &[u8]) -> (usize, bool) {
    run_by_words(bytes, TOKEN, |word| {
        let ascii = word & !TOPS;
        let letters = within(ascii | repeat(0x20), b'a', b'z');
        let others = (ascii ^ repeat(b'-')) + repeat(0x7f);
        (!letters & others | word) & TOPS
    })
}

/// Length of the request target at the start.
#[inline(always)]
pub(super) fn target(bytes: &[u8]) -> usize {
    let (length, _) = run_by_words(bytes, TARGET, |word| {
        (below(word, b'!') | equal(word, b'#') | equal(word, 0x7f) | word) & TOPS
    });
    length
}

/// Length of the field value at the start, with the blanks behind it.
#[inline(always)]
pub(super) fn value(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((block, behind)) = rest.split_first_chunk::<16>()
        && has_no_controls(block)
    {
        rest = behind;
    }
    let (length, _) = run_by_words(rest, VALUE, |word| {
        (below(word, b' ') | equal(word, 0x7f)) & TOPS
    });
    bytes.len() - rest.len() + length
}

/// Written so that it compiles to a few instructions over the whole block.
#[inline(always)]
fn has_no_controls(block: &[u8; 16]) -> bool {
    block.iter().fold(0, |controls, byte| {
        controls | u8::from(*byte < b' ') | u8::from(*byte == 0x7f)
    }) == 0
}

/// Length of the run of a kind. `suspects` marks, by its top bit, each byte of a word that may not be of the kind; of those only the
/// lowest has to be right. True beside the length if one of them was of the kind.
#[inline(always)]
fn run_by_words(bytes: &[u8], kind: u8, suspects: impl Fn(u64) -> u64) -> (usize, bool) {
    let mut odd = false;
    let mut rest = bytes;
    while let Some(word) = rest.first_chunk::<8>() {
        let suspects = suspects(u64::from_le_bytes(*word));
        let plain = if suspects == 0 {
            8
        } else {
            let plain = suspects.trailing_zeros() as usize / 8;
            if !rest.get(plain).is_some_and(|byte| is(*byte, kind)) {
                return (bytes.len() - rest.len() + plain, odd);
            }
            odd = true;
            plain + 1
        };
        rest = rest.get(plain..).unwrap_or_default();
    }
    (bytes.len() - rest.len() + run(rest, kind), true)
}

const TOPS: u64 = repeat(0x80);

/// A word of the same byte eight times.
const fn repeat(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The top bit of each byte that is below `bound`; wrong only above the lowest one that is. `bound` is below 0x80.
#[inline(always)]
fn below(word: u64, bound: u8) -> u64 {
    word.wrapping_sub(repeat(bound)) & !word
}

/// The top bit of each byte that is equal; wrong only above the lowest one that is.
#[inline(always)]
fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ repeat(byte), 1)
}

/// The top bit of each byte that is in the range; all are ASCII.
#[inline(always)]
fn within(word: u64, first: u8, last: u8) -> u64 {
    (word + repeat(0x80 - first)) & !(word + repeat(0x7f - last))
}

/// Bytes without control characters are `lower`, which has lower-case letters, digits and hyphens, in whatever case. A bit tells upper
/// from lower case; it tells such a byte from a control character too, and from nothing else.
#[inline(always)]
pub(super) fn is_word(bytes: &[u8], lower: &[u8]) -> bool {
    if bytes.len() != lower.len() {
        return false;
    }
    let same = |bytes: &[u8; 8], lower: &[u8; 8]| {
        u64::from_le_bytes(*bytes) | repeat(0x20) == u64::from_le_bytes(*lower)
    };
    match (bytes.last_chunk(), lower.last_chunk()) {
        (Some(bytes_end), Some(lower_end)) => {
            let (bytes, _) = bytes.as_chunks();
            let (lower, _) = lower.as_chunks();
            same(bytes_end, lower_end) && bytes.iter().zip(lower).all(|(a, b)| same(a, b))
        }
        _ => bytes.iter().zip(lower).all(|(a, b)| a | 0x20 == *b),
    }
}

/// Bytes without the blanks (space, tab) around them.
#[inline(always)]
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    trim_end(trim_start(bytes))
}

/// Bytes without the blanks in front of them.
#[inline(always)]
pub(super) fn trim_start(bytes: &[u8]) -> &[u8] {
    let rest = bytes.strip_prefix(b" ").unwrap_or(bytes);
    match rest {
        [b' ' | b'\t', ..] => trim_blanks(rest),
        _ => rest,
    }
}

/// The same, where there is more than one.
#[cold]
fn trim_blanks(bytes: &[u8]) -> &[u8] {
    let blanks = bytes
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    bytes.get(blanks..).unwrap_or_default()
}

/// Bytes without the blanks behind them.
#[inline(always)]
pub(super) fn trim_end(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [before @ .., b' ' | b'\t'] = rest {
        rest = before;
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every byte, in front of and behind what is plain, at each place of a word.
    #[test]
    fn words_and_bytes_agree() {
        for byte in 0..=u8::MAX {
            for second in [
                b'a',
                b'\r',
                b'#',
                0x00,
                0x7f,
                0x80,
                0xff,
                byte.wrapping_sub(1),
            ] {
                for at in 0..20 {
                    let mut bytes = [b'-'; 40];
                    bytes[at] = byte;
                    bytes[at + 1 + at % 7] = second;
                    for length in [40, at + 1, at + 9] {
                        let bytes = &bytes[..length];
                        assert_eq!(token(bytes).0, run(bytes, TOKEN), "{bytes:?}");
                        assert_eq!(target(bytes), run(bytes, TARGET), "{bytes:?}");
                        assert_eq!(value(bytes), run(bytes, VALUE), "{bytes:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_token_is_plain_without_underscores() {
        assert_eq!(token(b"Content-Length: 5\r\n"), (14, false));
        assert_eq!(token(b"Content_Length: 5\r\n"), (14, true));
        assert_eq!(token(b"Content_Length:").0, 14);
    }
}
