//! Integers (RFC 7541, section 5.1).

use super::Stop;
use crate::Malformed;
use crate::http2::limits::MAX_INTEGER_BYTES;

/// The integer at a place, whose first byte has it in its last `PREFIX` bits, and where it ends.
#[inline]
pub(super) fn integer<const PREFIX: u32>(bytes: &[u8], at: usize) -> Result<(usize, usize), Stop> {
    let most = (1_usize << PREFIX) - 1;
    let first = *bytes.get(at).ok_or(Stop::Needs(at + 1))?;
    let value = usize::from(first) & most;
    if value < most {
        return Ok((value, at + 1));
    }
    longer(bytes, at, value)
}

fn longer(bytes: &[u8], at: usize, prefix: usize) -> Result<(usize, usize), Stop> {
    let mut value = prefix;
    for place in 1..MAX_INTEGER_BYTES {
        let byte = *bytes.get(at + place).ok_or(Stop::Needs(at + place + 1))?;
        value += usize::from(byte & 0x7f) << (7 * (place - 1));
        if byte & 0x80 == 0 {
            return Ok((value, at + place + 1));
        }
    }
    Err(Malformed::HpackInteger.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole<const PREFIX: u32>(bytes: &[u8]) -> Option<(usize, usize)> {
        integer::<PREFIX>(bytes, 0).ok()
    }

    #[test]
    fn c_1_examples() {
        for mark in [0, 0b1010_0000] {
            assert_eq!(whole::<5>(&[mark | 10]), Some((10, 1)));
            assert_eq!(
                whole::<5>(&[mark | 31, 0b1001_1010, 0b0000_1010]),
                Some((1337, 3))
            );
        }
        assert_eq!(whole::<8>(&[42]), Some((42, 1)));
    }

    #[test]
    fn what_is_missing() {
        for at in 0..3 {
            let bytes = &[0, 31, 0x9a, 0x0a][..=at];
            let Err(Stop::Needs(needed)) = integer::<5>(bytes, 1) else {
                panic!("{at}")
            };
            assert_eq!(needed, at + 2);
        }
    }
}
