//! Huffman coded text (RFC 7541, section 5.2 and appendix B).

use super::lengths::LENGTHS;
use crate::Malformed;

/// Longest code, in bits.
const MAX_BITS: usize = 30;

/// Bits that are looked up at once: two of any letters and digits are in them, mostly.
const FAST_BITS: usize = 11;

static CODE: Code = Code::new();

/// The code, ready for decoding.
struct Code {
    /// For each first bits, what they start with.
    fast: [Start; 1 << FAST_BITS],
    /// The symbols in the order of their codes.
    symbols: [u16; LENGTHS.len()],
    /// For each length, the codes that have it.
    lengths: [Length; MAX_BITS + 1],
}

/// One or two symbols that bits start with.
#[derive(Clone, Copy)]
struct Start {
    symbols: [u8; 2],
    /// Bits of the first one; 0 if its code is longer.
    first: u8,
    /// Bits of both, or of the first one if the second one's code is longer.
    both: u8,
}

/// The codes of one length, written as the first bits of 32.
#[derive(Clone, Copy)]
struct Length {
    bits: u32,
    first: u32,
    last: u32,
    /// Place of the first symbol.
    place: u32,
}

/// Appends what `input` says. Takes room for the longest text that so many bytes can be.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let start = out.len();
    // No code is shorter than five bits, and two symbols are written at a time.
    out.resize(start + input.len() * 8 / 5 + 1, 0);
    let mut text = Text {
        room: out.get_mut(start..).unwrap_or_default(),
        length: 0,
    };
    let mut bits = Bits::default();
    let (words, tail) = input.as_chunks::<4>();
    for word in words {
        bits.add(u32::from_be_bytes(*word), 32);
        while bits.count >= 32 {
            bits.step(&mut text)?;
        }
    }
    for byte in tail {
        bits.add(u32::from(*byte) << 24, 8);
    }
    while bits.step(&mut text)? {}
    bits.check_padding()?;
    let length = text.length;
    out.truncate(start + length);
    Ok(())
}

/// What has been decoded.
struct Text<'t> {
    room: &'t mut [u8],
    length: usize,
}

impl Text<'_> {
    /// Writes two symbols, of which the first `count` are meant.
    #[inline(always)]
    fn put(&mut self, symbols: [u8; 2], count: usize) {
        if let Some(room) = self.room.get_mut(self.length..self.length + 2) {
            room.copy_from_slice(&symbols);
            self.length += count;
        }
    }
}

/// Bits that have been read and not been used, the next one on top; zeros follow the last one.
#[derive(Default)]
struct Bits {
    bits: u64,
    count: u32,
}

impl Bits {
    /// Adds the first `count` bits of a word, whose others are zero. Fewer than 32 are there before.
    #[inline(always)]
    fn add(&mut self, word: u32, count: u32) {
        self.bits |= u64::from(word) << 32 >> self.count;
        self.count += count;
    }

    /// Decodes one or two symbols. False when there are not enough bits for one; 32 always are.
    #[inline(always)]
    fn step(&mut self, text: &mut Text<'_>) -> Result<bool, Malformed> {
        let next = (self.bits >> (64 - FAST_BITS)) as usize;
        match CODE.fast.get(next) {
            Some(start) if start.first > 0 => {
                if self.take(start.both.into()) {
                    text.put(start.symbols, 1 + usize::from(start.both > start.first));
                    Ok(true)
                } else {
                    let is_there = self.take(start.first.into());
                    text.put(start.symbols, usize::from(is_there));
                    Ok(is_there)
                }
            }
            _ => self.long_step(text),
        }
    }

    /// The same for one symbol with a longer code.
    #[cold]
    fn long_step(&mut self, text: &mut Text<'_>) -> Result<bool, Malformed> {
        let code = (self.bits >> 32) as u32;
        let mut longer = CODE.lengths.iter().skip(FAST_BITS + 1);
        let (bits, symbol) = longer
            .find(|length| code <= length.last)
            .and_then(|length| Some((length.bits, length.symbol(code, &CODE.symbols)?)))
            .ok_or(Malformed::HpackHuffman)?;
        if !self.take(bits) {
            return Ok(false);
        }
        // The last symbol means the end of a string, and must not be in one.
        let symbol = u8::try_from(symbol).map_err(|_| Malformed::HpackHuffman)?;
        text.put([symbol, 0], 1);
        Ok(true)
    }

    /// Uses bits, if so many are there.
    #[inline(always)]
    fn take(&mut self, bits: u32) -> bool {
        if bits > self.count {
            return false;
        }
        self.bits <<= bits;
        self.count -= bits;
        true
    }

    /// Up to seven ones fill the last byte.
    fn check_padding(&self) -> Result<(), Malformed> {
        if self.count < 8 && self.bits.leading_ones() == self.count {
            Ok(())
        } else {
            Err(Malformed::HpackHuffman)
        }
    }
}

// Evaluated by the compiler, which refuses an index out of range.
#[allow(clippy::indexing_slicing)]
impl Code {
    const fn new() -> Self {
        let mut symbols = [0; LENGTHS.len()];
        let mut lengths = [Length {
            bits: 0,
            first: 0,
            last: 0,
            place: 0,
        }; MAX_BITS + 1];
        let mut place = 0;
        // Where the next code starts; after the last one it is 2^32.
        let mut next: u64 = 0;
        let mut bits = 1;
        while bits <= MAX_BITS {
            lengths[bits] = Length {
                bits: bits as u32,
                first: next as u32,
                last: 0,
                place: place as u32,
            };
            let mut symbol = 0;
            while symbol < LENGTHS.len() {
                if LENGTHS[symbol] as usize == bits {
                    symbols[place] = symbol as u16;
                    place += 1;
                    next += 1 << (32 - bits);
                }
                symbol += 1;
            }
            lengths[bits].last = next.saturating_sub(1) as u32;
            bits += 1;
        }
        assert!(next == 1 << 32, "the code is complete");
        Self {
            fast: Self::fast(&symbols, &lengths),
            symbols,
            lengths,
        }
    }

    const fn fast(
        symbols: &[u16; LENGTHS.len()],
        lengths: &[Length; MAX_BITS + 1],
    ) -> [Start; 1 << FAST_BITS] {
        let mut fast = [Start {
            symbols: [0; 2],
            first: 0,
            both: 0,
        }; 1 << FAST_BITS];
        let mut index = 0;
        while index < fast.len() {
            let code = (index as u32) << (32 - FAST_BITS);
            let (first, bits) = short_symbol(code, FAST_BITS, symbols, lengths);
            let (second, more) = short_symbol(code << bits, FAST_BITS - bits, symbols, lengths);
            fast[index] = Start {
                symbols: [first, second],
                first: bits as u8,
                both: (bits + more) as u8,
            };
            index += 1;
        }
        fast
    }
}

/// The symbol that a code of at most `most` bits is, and its bits; none if it is longer.
#[allow(clippy::indexing_slicing)] // evaluated by the compiler
const fn short_symbol(
    code: u32,
    most: usize,
    symbols: &[u16; LENGTHS.len()],
    lengths: &[Length; MAX_BITS + 1],
) -> (u8, usize) {
    let mut bits = 1;
    while bits <= most {
        let length = lengths[bits];
        // Codes of no symbol are none.
        if length.last > length.first && code <= length.last {
            let nth = (code - length.first) >> (32 - bits);
            return (symbols[(length.place + nth) as usize] as u8, bits);
        }
        bits += 1;
    }
    (0, 0)
}

impl Length {
    /// The symbol of a code of this length.
    fn symbol(&self, code: u32, symbols: &[u16; LENGTHS.len()]) -> Option<u16> {
        let nth = code.checked_sub(self.first)? >> (32 - self.bits);
        symbols.get((self.place + nth) as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes of RFC 7541, appendix B, one of each length that appears there at a group's edge.
    #[test]
    fn codes_of_the_appendix() {
        let codes: [(u16, u32, u32); 8] = [
            (b'0'.into(), 0x0, 5),
            (b' '.into(), 0x14, 6),
            (b'X'.into(), 0xfc, 8),
            (b'!'.into(), 0x3f8, 10),
            (b'<'.into(), 0x7ffc, 15),
            (0xd0, 0x7fff2, 19),
            (0xff, 0x3ffffee, 26),
            (END, 0x3fff_ffff, 30),
        ];
        for (symbol, code, bits) in codes {
            let length = CODE.lengths.get(bits as usize).unwrap();
            assert_eq!(
                length.symbol(code << (32 - bits), &CODE.symbols),
                Some(symbol)
            );
        }
    }

    const END: u16 = 256;
}
