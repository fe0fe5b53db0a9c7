//! snappy, raw format ("Snappy compressed format description", 2011-10-05). Decoded here because only the start of a long body is at
//! hand, and a decoder of whole bodies refuses that.

use super::Output;
use crate::Malformed;
use std::cell::RefCell;

/// Output buffer that a thread keeps, in bytes.
const KEPT_BYTES: usize = 128 * 1024;

thread_local! {
    // A copy may reach back to the start, so the output is kept whole, one a thread.
    static DECODED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// True when the data has been decoded to its end, false when the data or the budget ended first.
pub(super) fn inflate(
    data: &[u8],
    whole_input: bool,
    output: &mut Output<'_>,
) -> Result<bool, Malformed> {
    let (length, data) = varint(data).ok_or(Malformed::CorruptCompression)?;
    if length as usize != output.claimed {
        return Err(Malformed::SizeMismatch);
    }
    DECODED.with(|decoded| {
        let decoded = &mut *decoded
            .try_borrow_mut()
            .map_err(|_| Malformed::CorruptCompression)?;
        decoded.clear();
        let ended = decode(data, whole_input, output.claimed, output.budget, decoded)?;
        output.give(decoded)?;
        decoded.clear();
        decoded.shrink_to(KEPT_BYTES);
        Ok(ended)
    })
}

/// The length of the output: a little-endian varint of at most 32 bits.
fn varint(data: &[u8]) -> Option<(u32, &[u8])> {
    let mut value = 0u64;
    for (index, byte) in data.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((u32::try_from(value).ok()?, data.get(index + 1..)?));
        }
    }
    None
}

fn decode(
    mut data: &[u8],
    whole_input: bool,
    claimed: usize,
    budget: usize,
    decoded: &mut Vec<u8>,
) -> Result<bool, Malformed> {
    while !data.is_empty() {
        if decoded.len() >= budget && decoded.len() < claimed {
            return Ok(false);
        }
        let Some((element, rest)) = element(data) else {
            return if whole_input {
                Err(Malformed::CorruptCompression)
            } else {
                Ok(false)
            };
        };
        let length = match element {
            Element::Literal(bytes) => bytes.len(),
            Element::Copy { length, .. } => length,
        };
        if length > claimed - decoded.len() {
            return Err(Malformed::SizeMismatch);
        }
        match element {
            Element::Literal(bytes) => decoded.extend_from_slice(bytes),
            Element::Copy { offset, length } => copy(offset, length, decoded)?,
        }
        data = rest;
    }
    Ok(whole_input)
}

enum Element<'d> {
    Literal(&'d [u8]),
    Copy { offset: usize, length: usize },
}

/// Takes the next element. None when not all of it is there.
fn element(data: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&tag, data) = data.split_first()?;
    let high = usize::from(tag >> 2);
    match tag & 3 {
        0 => {
            // Of 60 to 63, the length follows in 1 to 4 bytes.
            let extra = high.saturating_sub(59);
            let (length, data) = if extra == 0 {
                (high, data)
            } else {
                little_endian(data, extra)?
            };
            let (bytes, rest) = data.split_at_checked(length.checked_add(1)?)?;
            Some((Element::Literal(bytes), rest))
        }
        1 => {
            let (low, rest) = little_endian(data, 1)?;
            Some((
                Element::Copy {
                    offset: (high >> 3) << 8 | low,
                    length: (high & 7) + 4,
                },
                rest,
            ))
        }
        wide => {
            let (offset, rest) = little_endian(data, if wide == 2 { 2 } else { 4 })?;
            Some((
                Element::Copy {
                    offset,
                    length: high + 1,
                },
                rest,
            ))
        }
    }
}

fn little_endian(data: &[u8], count: usize) -> Option<(usize, &[u8])> {
    let (bytes, rest) = data.split_at_checked(count)?;
    Some((
        bytes
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | usize::from(*byte)),
        rest,
    ))
}

/// Repeats what was decoded `offset` bytes ago. The repeated bytes may reach into themselves.
fn copy(offset: usize, length: usize, decoded: &mut Vec<u8>) -> Result<(), Malformed> {
    if offset == 0 || offset > decoded.len() {
        return Err(Malformed::CorruptCompression);
    }
    let mut left = length;
    while left > 0 {
        let start = decoded.len() - offset;
        let now = left.min(offset);
        decoded.extend_from_within(start..start + now);
        left -= now;
    }
    Ok(())
}
