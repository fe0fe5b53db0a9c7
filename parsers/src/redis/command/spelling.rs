//! Names as numbers, so that finding one is a multiplication and a comparison of words.

/// A name of up to 24 bytes in lower case, and what it is a subcommand of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spelling {
    /// The first and the last bytes, which may overlap, and those between.
    words: [u64; 3],
    /// The length, without which the words would not tell `a` from `aa`, and the index of the container.
    rest: u64,
}

/// How many places there are. More than twice as many as commands, so that most are found at the first place.
pub(super) const PLACES: usize = 1 << PLACE_BITS;

const PLACE_BITS: u32 = 10;

/// The place to look at next.
#[inline]
pub(super) const fn next(place: usize) -> usize {
    (place + 1) % PLACES
}

impl Spelling {
    /// The container of what is no subcommand.
    pub(super) const TOP: u16 = u16::MAX;

    /// That of no name.
    pub(super) const NONE: Self = Self {
        words: [0; 3],
        rest: 0,
    };

    /// A name that is empty or longer than all of the table has none.
    #[inline]
    pub(super) const fn of(name: &[u8], container: u16) -> Option<Self> {
        let Some([first, last, between]) = words(name) else {
            return None;
        };
        Some(Self {
            words: [lower(first), lower(last), lower(between)],
            rest: name.len() as u64 | (container as u64) << 8,
        })
    }

    /// Where to look first. The multiplier is that of Fibonacci hashing: 2^64 over the golden ratio.
    #[inline]
    pub(super) const fn place(&self) -> usize {
        let [first, last, between] = self.words;
        let mixed = first ^ last.rotate_left(29) ^ between.rotate_left(47) ^ self.rest << 40;
        (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - PLACE_BITS)) as usize
    }
}

/// The bytes of a name, read by overlapping words rather than one by one. With the length they are unambiguous.
#[inline]
const fn words(name: &[u8]) -> Option<[u64; 3]> {
    match name {
        [a] => Some([*a as u64, 0, 0]),
        [a, b] => Some([u16::from_le_bytes([*a, *b]) as u64, 0, 0]),
        [a, b, c] => Some([u32::from_le_bytes([*a, *b, *c, 0]) as u64, 0, 0]),
        _ => long_words(name),
    }
}

#[inline]
const fn long_words(name: &[u8]) -> Option<[u64; 3]> {
    if name.len() <= 8
        && let Some(first) = name.first_chunk()
        && let Some(last) = name.last_chunk()
    {
        let word = u32::from_le_bytes(*first) as u64 | (u32::from_le_bytes(*last) as u64) << 32;
        return Some([word, 0, 0]);
    }
    if name.len() <= 24
        && let Some((first, behind)) = name.split_first_chunk()
        && let Some(last) = name.last_chunk()
    {
        let between = match behind.first_chunk() {
            Some(between) => u64::from_le_bytes(*between),
            None => 0,
        };
        return Some([
            u64::from_le_bytes(*first),
            u64::from_le_bytes(*last),
            between,
        ]);
    }
    None
}

/// Each byte that is an upper-case letter becomes the lower-case one, and no other byte changes.
#[inline]
const fn lower(word: u64) -> u64 {
    let ascii = word & !TOPS;
    let from_a = ascii + repeat(0x80 - b'A');
    let above_z = ascii + repeat(0x7f - b'Z');
    word | (from_a & !above_z & !word & TOPS) >> 2
}

const TOPS: u64 = repeat(0x80);

/// A word of the same byte eight times.
const fn repeat(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_alone_have_a_case() {
        for byte in 0..=u8::MAX {
            for beside in [0, b'A', b'z', 0x7f, 0xff] {
                let bytes = [beside, byte, beside, byte, byte, beside, beside, byte];
                assert_eq!(
                    lower(u64::from_le_bytes(bytes)).to_le_bytes(),
                    bytes.map(|byte| byte.to_ascii_lowercase())
                );
            }
        }
    }

    /// Whatever byte is changed, at whatever length.
    #[test]
    fn every_byte_counts() {
        let name = b"abcdefghijklmnopqrstuvwxyz";
        for length in 1..=24 {
            let spelling = Spelling::of(&name[..length], 7).unwrap();
            for at in 0..length {
                let mut other = *name;
                other[at] = b'-';
                assert_ne!(Spelling::of(&other[..length], 7), Some(spelling));
            }
            assert_ne!(Spelling::of(&name[..length], 8), Some(spelling));
            assert_ne!(
                Spelling::of(&[b'a'; 24][..length], 7),
                Spelling::of(&[b'a'; 24][..length - 1], 7)
            );
        }
        assert_eq!(Spelling::of(&name[..25], 7), None);
        assert_eq!(Spelling::of(b"", 7), None);
    }
}
