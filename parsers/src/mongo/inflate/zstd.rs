//! zstd (RFC 8878).
//!
//! The frame header is read here and replaced by one of our own, for two reasons. A decoder reserves the window that the header asks
//! for; here it gets what the budget needs and no more. And a decoder gives nothing away of a frame that has not ended until the window is full; the
//! start of a frame is closed here with an empty last block.

use super::Output;
use crate::Malformed;
use nom::number::complete::{le_u8, le_u16, le_u24, le_u32, le_u64};
use nom::{IResult, Parser, bytes::complete::take};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::panic::{AssertUnwindSafe, catch_unwind};

const MAGIC: u32 = 0xFD2F_B528;

/// The smallest window that allows for all blocks: a block is never larger than the window or 128 KiB (section 3.1.1.2.4).
const SMALLEST_WINDOW: usize = 128 * 1024;

/// A raw block of no bytes that is the last one (section 3.1.1.2).
const EMPTY_LAST_BLOCK: [u8; 3] = [1, 0, 0];

/// True when the frame has ended, false when the data or the budget ended first.
pub(super) fn inflate(
    data: &[u8],
    whole_input: bool,
    output: &mut Output<'_>,
) -> Result<bool, Malformed> {
    let Ok((blocks, content_size)) = frame_header(data) else {
        return if whole_input {
            Err(Malformed::CorruptCompression)
        } else {
            Ok(false)
        };
    };
    if content_size.is_some_and(|size| size != output.claimed as u64) {
        return Err(Malformed::SizeMismatch);
    }
    // The decoder asserts what it holds to be true of its input. Should it be wrong there, that must not end the process.
    let decoded = catch_unwind(AssertUnwindSafe(|| {
        decode(blocks, output.claimed.min(output.budget))
    }));
    let (ended, bytes) = decoded.unwrap_or(Err(Malformed::CorruptCompression))?;
    if !ended && whole_input && bytes.len() < output.claimed.min(output.budget) {
        return Err(Malformed::CorruptCompression);
    }
    output.give(&bytes)?;
    Ok(ended)
}

/// Reads a frame header: what follows it, and the size of the content if it is there.
fn frame_header(data: &[u8]) -> IResult<&[u8], Option<u64>, ()> {
    let (data, _) = le_u32
        .map_opt(|magic| (magic == MAGIC).then_some(()))
        .parse(data)?;
    let (data, descriptor) = le_u8(data)?;
    let single_segment = descriptor & 0x20 != 0;
    let (data, _window) = take(usize::from(!single_segment)).parse(data)?;
    // No driver and no server uses a dictionary; without it the content cannot be read.
    let dictionary_bytes = [0usize, 1, 2, 4]
        .get(usize::from(descriptor & 3))
        .copied()
        .unwrap_or(0);
    let (data, _) = take(dictionary_bytes)
        .map_opt(|id: &[u8]| id.iter().all(|b| *b == 0).then_some(()))
        .parse(data)?;
    match (descriptor >> 6, single_segment) {
        (0, false) => Ok((data, None)),
        (0, true) => le_u8.map(|size| Some(size.into())).parse(data),
        // A size of 2 bytes counts from 256 (section 3.1.1.1.4).
        (1, _) => le_u16.map(|size| Some(u64::from(size) + 256)).parse(data),
        (2, _) => le_u32.map(|size| Some(size.into())).parse(data),
        _ => le_u64.map(Some).parse(data),
    }
}

/// Decodes blocks up to the end of the frame, of the data, or of the budget.
fn decode(mut blocks: &[u8], wanted: usize) -> Result<(bool, Vec<u8>), Malformed> {
    let window = wanted.next_power_of_two().max(SMALLEST_WINDOW);
    // The header has the logarithm of the window less 10 (section 3.1.1.1.2).
    let exponent = window.ilog2() as u8 - 10;
    let mut decoder = FrameDecoder::new();
    let own_header = [MAGIC.to_le_bytes().as_slice(), &[0, exponent << 3]].concat();
    decoder
        .init(own_header.as_slice())
        .map_err(|_| Malformed::CorruptCompression)?;
    let mut ended = false;
    while !ended {
        // What is beyond the window can be collected: the output has passed the budget, or the claim.
        if decoder.can_collect() > 0 {
            break;
        }
        let Some((block, rest)) = block(blocks) else {
            break;
        };
        ended = decode_block(&mut decoder, block)?;
        blocks = rest;
    }
    if !ended {
        decode_block(&mut decoder, &EMPTY_LAST_BLOCK)?;
    }
    let mut decoded = Vec::new();
    decoder
        .collect_to_writer(&mut decoded)
        .map_err(|_| Malformed::CorruptCompression)?;
    Ok((ended, decoded))
}

fn decode_block(decoder: &mut FrameDecoder, block: &[u8]) -> Result<bool, Malformed> {
    let one = BlockDecodingStrategy::UptoBlocks(1);
    decoder
        .decode_blocks(block, one)
        .map_err(|_| Malformed::CorruptCompression)
}

/// Splits the next block off. None when not all of it is there.
fn block(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, head) = le_u24::<_, ()>(data).ok()?;
    let size = head >> 3;
    // The size of an RLE block says how often its one byte is repeated (section 3.1.1.2.2).
    let on_wire = if head >> 1 & 3 == 1 { 1 } else { size as usize };
    data.split_at_checked(3 + on_wire)
}
