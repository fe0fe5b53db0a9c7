//! The bodies of `OP_COMPRESSED` messages, inflated in pieces under a budget.
//!
//! `uncompressedSize` is a claim: nothing is allocated by it, and output that passes it or falls short of it is refused. What inflates
//! to more than the budget is inflated up to it and reported as incomplete.

mod snappy;
mod zlib;
mod zstd;

use super::header::{COMPRESSED_HEAD_BYTES, Compression, Compressor, HEADER_BYTES, Header, Opcode};
use crate::Malformed;
use crate::limits::{INFLATED_PIECE_BYTES, MAX_MESSAGE_BYTES};

/// How much was inflated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inflated {
    /// All, and it was as much as announced.
    Whole,
    /// The start: the data at hand, or the budget, ended first.
    Start,
}

/// Opens a whole `OP_COMPRESSED` message: the message inside, with a header of its own and the ids of the one around it. The result grows
/// with what comes out, up to what a message may have.
///
/// # Errors
/// When the message is not what it says it is.
pub fn inflate_message(message: &[u8]) -> Result<Vec<u8>, Malformed> {
    let header = Header::read(message).ok_or(Malformed::Truncated)?;
    if header.opcode != Opcode::Compressed || header.length as usize != message.len() {
        return Err(Malformed::MessageLength);
    }
    let rest = message.get(HEADER_BYTES..).unwrap_or_default();
    let (head, data) = rest
        .split_at_checked(COMPRESSED_HEAD_BYTES)
        .ok_or(Malformed::Truncated)?;
    let (opcode, compression) = Compression::parse(head, data.len() as u32)?;
    if opcode == Opcode::Compressed {
        return Err(Malformed::NestedCompression);
    }
    if compression.claimed > MAX_MESSAGE_BYTES - HEADER_BYTES as u32 {
        return Err(Malformed::ClaimedSize);
    }
    // What is inside keeps the ids; its opcode stands first in the head.
    let mut inflated = Vec::from((compression.claimed + HEADER_BYTES as u32).to_le_bytes());
    inflated.extend_from_slice(message.get(4..12).unwrap_or_default());
    inflated.extend_from_slice(head.get(..4).unwrap_or_default());
    let budget = compression.claimed as usize;
    let ended = inflate(compression, data, budget, &mut |piece| {
        inflated.extend_from_slice(piece);
        Ok(())
    })?;
    match ended {
        Inflated::Whole => Ok(inflated),
        Inflated::Start => Err(Malformed::SizeMismatch),
    }
}

/// Inflates `data`, the start of a body or all of it, up to a budget in bytes, and hands it on in pieces.
pub(super) fn inflate(
    compression: Compression,
    data: &[u8],
    budget: usize,
    sink: &mut dyn FnMut(&[u8]) -> Result<(), Malformed>,
) -> Result<Inflated, Malformed> {
    let mut output = Output {
        claimed: compression.claimed as usize,
        budget,
        given: 0,
        sink,
    };
    let whole_input = data.len() == compression.compressed as usize;
    let ended = match compression.compressor {
        Compressor::Noop => {
            output.give(data)?;
            whole_input
        }
        Compressor::Snappy => snappy::inflate(data, whole_input, &mut output)?,
        Compressor::Zlib => zlib::inflate(data, whole_input, &mut output)?,
        Compressor::Zstd => zstd::inflate(data, whole_input, &mut output)?,
    };
    match ended {
        true if output.given != output.claimed => Err(Malformed::SizeMismatch),
        true if output.given <= budget => Ok(Inflated::Whole),
        _ => Ok(Inflated::Start),
    }
}

/// Where inflated bytes go.
struct Output<'s> {
    claimed: usize,
    budget: usize,
    given: usize,
    sink: &'s mut dyn FnMut(&[u8]) -> Result<(), Malformed>,
}

impl Output<'_> {
    /// Hands bytes on, up to the budget.
    fn give(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        if bytes.len() > self.claimed - self.given {
            return Err(Malformed::SizeMismatch);
        }
        let within = bytes
            .get(..self.budget.saturating_sub(self.given))
            .unwrap_or(bytes);
        self.given += bytes.len();
        within
            .chunks(INFLATED_PIECE_BYTES)
            .try_for_each(|piece| (self.sink)(piece))
    }

    /// The budget is used up, and more was announced.
    fn is_full(&self) -> bool {
        self.given >= self.budget && self.given < self.claimed
    }
}
