//! The little of JSON (RFC 8259) that is needed to find one string in an object. Nothing is built, and nesting is counted.

use std::ops::Range;

/// The place of a string field of the outermost object, between its quotes and with its escapes.
pub(super) fn string_field(text: &[u8], name: &[u8]) -> Option<Range<usize>> {
    let mut scan = Scan { text, at: 0 };
    scan.token(b'{')?;
    loop {
        let key = scan.string()?;
        scan.token(b':')?;
        let is_wanted = text.get(key) == Some(name);
        if is_wanted && scan.peek() == Some(b'"') {
            return scan.string();
        }
        if is_wanted {
            return None;
        }
        scan.value()?;
        scan.token(b',')?;
    }
}

struct Scan<'t> {
    text: &'t [u8],
    at: usize,
}

impl Scan<'_> {
    /// The next byte that is not white space, without taking it.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.get(self.at..)?;
        self.at += rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
        self.text.get(self.at).copied()
    }

    fn token(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// A string: the place between its quotes.
    fn string(&mut self) -> Option<Range<usize>> {
        self.token(b'"')?;
        let start = self.at;
        loop {
            let rest = self.text.get(self.at..)?;
            let stop = self.at + memchr::memchr2(b'"', b'\\', rest)?;
            if self.text.get(stop) == Some(&b'"') {
                self.at = stop + 1;
                return Some(start..stop);
            }
            self.at = stop + 2;
        }
    }

    /// Passes over a value, up to the comma or the brace that follows it.
    fn value(&mut self) -> Option<()> {
        let mut depth = 0usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b',' | b'}' | b']' if depth == 0 => return Some(()),
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
        }
    }
}

/// Resolves the escapes of a string (section 7). One that is not valid stays as it is.
pub(super) fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(stop) = memchr::memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at(stop);
        text.extend_from_slice(plain);
        let taken = match escape.get(1) {
            Some(b'u') => unescape_unicode(escape, &mut text),
            Some(letter) => letter_escape(*letter).map(|byte| {
                text.push(byte);
                2
            }),
            None => None,
        };
        let taken = taken.unwrap_or_else(|| {
            text.push(b'\\');
            1
        });
        rest = escape.get(taken..).unwrap_or_default();
    }
    text.extend_from_slice(rest);
    text
}

fn letter_escape(letter: u8) -> Option<u8> {
    Some(match letter {
        b'"' | b'\\' | b'/' => letter,
        b'b' => 0x08,
        b'f' => 0x0C,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        _ => return None,
    })
}

/// Resolves `\uXXXX`, or two of them that make a surrogate pair. The length of what was resolved.
fn unescape_unicode(escape: &[u8], text: &mut Vec<u8>) -> Option<usize> {
    let first = code_unit(escape)?;
    let second = escape
        .get(6..)
        .filter(|rest| rest.starts_with(b"\\u"))
        .and_then(code_unit);
    let units = [first, second.unwrap_or_default()];
    let character = char::decode_utf16(units).next()?.ok()?;
    text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Some(6 * character.len_utf16())
}

fn code_unit(escape: &[u8]) -> Option<u16> {
    let digits = escape
        .get(2..6)
        .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
