//! Huffman coded text (RFC 7541, section 5.2 and appendix B).

use super::lengths::LENGTHS;
use crate::Malformed;

/// Longest code, in bits.
const MAX_BITS: usize = 30;

/// Bits that are looked at first: those of every letter and digit.
const FAST_BITS: usize = 8;

static CODE: Code = Code::new();

/// The code, ready for decoding.
struct Code {
    /// For each first eight bits, the symbol that they start with; of no length if its code is longer.
    fast: [Symbol; 1 << FAST_BITS],
    /// The symbols in the order of their codes.
    symbols: [u16; LENGTHS.len()],
    /// For each length, the codes that have it.
    lengths: [Length; MAX_BITS + 1],
}

#[derive(Clone, Copy)]
struct Symbol {
    byte: u8,
    bits: u8,
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
    // No code is shorter than five bits.
    let most = input.len() * 8 / 5;
    out.resize(start + most, 0);
    let mut room = out.get_mut(start..).unwrap_or_default().iter_mut();
    let mut bits = Bits::default();
    let (words, tail) = input.as_chunks::<4>();
    for word in words {
        bits.add(u32::from_be_bytes(*word), 32);
        while bits.count >= 32 {
            put(&mut room, bits.symbol()?);
        }
    }
    for byte in tail {
        bits.add(u32::from(*byte) << 24, 8);
    }
    while let Some(byte) = bits.symbol()? {
        put(&mut room, Some(byte));
    }
    let left = room.len();
    out.truncate(start + most - left);
    bits.check_padding()
}

#[inline(always)]
fn put(room: &mut std::slice::IterMut<'_, u8>, byte: Option<u8>) {
    if let (Some(byte), Some(slot)) = (byte, room.next()) {
        *slot = byte;
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

    /// The next symbol, if all of its bits are there; with 32 bits they always are.
    #[inline(always)]
    fn symbol(&mut self) -> Result<Option<u8>, Malformed> {
        let first = self.bits >> (64 - FAST_BITS);
        match CODE.fast.get(first as usize) {
            Some(symbol) if symbol.bits > 0 => {
                Ok(self.take(symbol.bits.into()).then_some(symbol.byte))
            }
            _ => self.long_symbol(),
        }
    }

    /// The same for a symbol with a longer code.
    #[cold]
    fn long_symbol(&mut self) -> Result<Option<u8>, Malformed> {
        let code = (self.bits >> 32) as u32;
        let mut longer = CODE.lengths.iter().skip(FAST_BITS + 1);
        let length = longer.find(|length| code <= length.last);
        let symbol = length.and_then(|length| {
            let nth = (code - length.first) >> (32 - length.bits);
            Some((
                length.bits,
                CODE.symbols.get((length.place + nth) as usize)?,
            ))
        });
        let Some((bits, symbol)) = symbol else {
            return Err(Malformed::HpackHuffman);
        };
        if !self.take(bits) {
            return Ok(None);
        }
        // The last symbol means the end of a string, and must not be in one.
        u8::try_from(*symbol)
            .map(Some)
            .map_err(|_| Malformed::HpackHuffman)
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
            let step = 1 << (32 - bits);
            let first = next;
            let first_place = place;
            let mut symbol = 0;
            while symbol < LENGTHS.len() {
                if LENGTHS[symbol] as usize == bits {
                    symbols[place] = symbol as u16;
                    place += 1;
                    next += step;
                }
                symbol += 1;
            }
            lengths[bits] = Length {
                bits: bits as u32,
                first: first as u32,
                last: next.saturating_sub(1) as u32,
                place: first_place as u32,
            };
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
    ) -> [Symbol; 1 << FAST_BITS] {
        let mut fast = [Symbol { byte: 0, bits: 0 }; 1 << FAST_BITS];
        let mut index = 0;
        while index < fast.len() {
            let code = (index as u32) << (32 - FAST_BITS);
            let mut bits = 1;
            while bits <= FAST_BITS {
                let length = lengths[bits];
                if length.last > length.first && code <= length.last {
                    let nth = (code - length.first) >> (32 - bits);
                    fast[index] = Symbol {
                        byte: symbols[(length.place + nth) as usize] as u8,
                        bits: bits as u8,
                    };
                    break;
                }
                bits += 1;
            }
            index += 1;
        }
        fast
    }
}
