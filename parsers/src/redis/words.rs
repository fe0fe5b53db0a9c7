//! Words of an inline request, cut as `sdssplitargs` of Redis cuts them: a name in quotes is a name like any other, and what a line does to
//! its connection must not depend on how it is typed.

use super::limits::ARGUMENTS;
use super::texts::Texts;
use crate::Malformed;

/// Cuts a line into words, a byte at a time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Words {
    state: State,
    count: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Blank,
    Word,
    /// Within double quotes.
    Double,
    /// Behind a backslash in them.
    Escaped,
    /// Behind `\x`, and behind its first digit.
    Hex,
    HexDigit(u8),
    /// Within single quotes.
    Single,
    SingleEscaped,
    /// Behind a quote that closes: "closing quote must be followed by a space or nothing at all".
    Closed,
}

impl Words {
    /// The next byte of the line. The line feed that ends it is one too.
    pub(super) fn take(&mut self, byte: u8, words: &mut Texts<ARGUMENTS>) -> Result<(), Malformed> {
        // A server that reads lines as C strings stops at a zero, and nobody can say what it does with the rest.
        if byte == 0 {
            return Err(Malformed::RespInline);
        }
        self.state = match (self.state, byte) {
            (State::Blank, b' ' | b'\t'..=b'\r') => State::Blank,
            (State::Blank, _) => {
                self.count += 1;
                // Escapes make words something else than what is shown.
                words.begin(&[]);
                self.in_word(byte, words)
            }
            (State::Word, b' ' | b'\n' | b'\r' | b'\t') => State::Blank,
            (State::Word, _) => self.in_word(byte, words),
            (State::Double | State::Single | State::Escaped | State::SingleEscaped, b'\n')
            | (State::Hex | State::HexDigit(_), b'\n') => return Err(Malformed::RespInline),
            (State::Double, b'\\') => State::Escaped,
            (State::Double, b'"') | (State::Single, b'\'') => State::Closed,
            (State::Double, _) => self.add(byte, words, State::Double),
            (State::Escaped, b'x') => State::Hex,
            (State::Escaped, _) => self.add(unescaped(byte), words, State::Double),
            (State::Hex, _) if byte.is_ascii_hexdigit() => State::HexDigit(byte),
            (State::HexDigit(first), _) if byte.is_ascii_hexdigit() => {
                let value = (hex(first) << 4) | hex(byte);
                self.add(value, words, State::Double)
            }
            // No two digits: an `x`, and what followed it.
            (State::Hex, _) => {
                self.add(b'x', words, State::Double);
                self.state = State::Double;
                return self.take(byte, words);
            }
            (State::HexDigit(first), _) => {
                self.add(b'x', words, State::Double);
                self.add(first, words, State::Double);
                self.state = State::Double;
                return self.take(byte, words);
            }
            (State::Single, b'\\') => State::SingleEscaped,
            (State::Single, _) => self.add(byte, words, State::Single),
            (State::SingleEscaped, b'\'') => self.add(byte, words, State::Single),
            (State::SingleEscaped, _) => {
                self.add(b'\\', words, State::Single);
                self.state = State::Single;
                return self.take(byte, words);
            }
            (State::Closed, b' ' | b'\t'..=b'\r') => State::Blank,
            (State::Closed, _) => return Err(Malformed::RespInline),
        };
        Ok(())
    }

    /// The line has ended: how many words it had.
    pub(super) fn end(&mut self) -> Result<u64, Malformed> {
        match std::mem::take(self) {
            Self {
                state: State::Blank,
                count,
            } => Ok(count),
            _ => Err(Malformed::RespInline),
        }
    }

    fn in_word(&self, byte: u8, words: &mut Texts<ARGUMENTS>) -> State {
        match byte {
            b'"' => State::Double,
            b'\'' => State::Single,
            _ => self.add(byte, words, State::Word),
        }
    }

    fn add(&self, byte: u8, words: &mut Texts<ARGUMENTS>, then: State) -> State {
        if self.count <= words.len() as u64 {
            words.add(&[byte]);
        }
        then
    }
}

fn unescaped(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        _ => byte,
    }
}

/// The value of a digit, which it is.
fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20).wrapping_sub(b'a').wrapping_add(10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(line: &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
        let mut words = Words::default();
        let mut texts = Texts::default();
        for byte in line.iter().chain(b"\n") {
            words.take(*byte, &mut texts)?;
        }
        let count = words.end()?;
        assert_eq!(count, texts.len() as u64);
        Ok((0..texts.len())
            .filter_map(|index| texts.of(&[]).get(index))
            .map(|text| text.bytes.to_vec())
            .collect())
    }

    #[test]
    fn words_are_cut_as_redis_cuts_them() {
        for (line, words) in [
            (&b"get key\r"[..], &[&b"get"[..], b"key"][..]),
            (b"  get\tkey  ", &[b"get", b"key"]),
            (b"\"multi\"", &[b"multi"]),
            (b"set 'a b' \"c\\x41\\n\\q\"", &[b"set", b"a b", b"cA\nq"]),
            (
                b"set k \"\\xZ\" 'it\\'s' 'a\\n'",
                &[b"set", b"k", b"xZ", b"it's", b"a\\n"],
            ),
            (b"mu\"lt\"", &[b"mult"]),
            (b"\r", &[]),
        ] {
            let words: Vec<_> = words.iter().map(|word| word.to_vec()).collect();
            assert_eq!(cut(line), Ok(words));
        }
        for line in [
            &b"get \"key"[..],
            b"get 'key",
            b"get \"a\"b",
            b"get a\0b",
            b"\"\\",
        ] {
            assert_eq!(cut(line), Err(Malformed::RespInline));
        }
    }
}
