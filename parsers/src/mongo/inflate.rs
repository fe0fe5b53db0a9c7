//! The bodies of `OP_COMPRESSED` messages, inflated in pieces under a budget.
//!
//! `uncompressedSize` is a claim: nothing is allocated by it, and output that passes it or falls short of it is refused. What inflates
//! to more than the budget is inflated up to it and reported as incomplete.

mod snappy;
mod zlib;
mod zstd;

use super::header::{Compression, Compressor};
use crate::Malformed;
use crate::limits::{INFLATED_BYTES, INFLATED_PIECE_BYTES};

/// How much was inflated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inflated {
    /// All, and it was as much as announced.
    Whole,
    /// The start: the data at hand, or the budget, ended first.
    Start,
}

/// Inflates `data`, the start of a body or all of it, and hands it on in pieces.
pub(super) fn inflate(
    compression: Compression,
    data: &[u8],
    sink: &mut dyn FnMut(&[u8]) -> Result<(), Malformed>,
) -> Result<Inflated, Malformed> {
    let mut output = Output {
        claimed: compression.claimed as usize,
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
        true if output.given <= INFLATED_BYTES => Ok(Inflated::Whole),
        _ => Ok(Inflated::Start),
    }
}

/// Where inflated bytes go.
struct Output<'s> {
    claimed: usize,
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
            .get(..INFLATED_BYTES.saturating_sub(self.given))
            .unwrap_or(bytes);
        self.given += bytes.len();
        within
            .chunks(INFLATED_PIECE_BYTES)
            .try_for_each(|piece| (self.sink)(piece))
    }

    /// The budget is used up, and more was announced.
    fn is_full(&self) -> bool {
        self.given >= INFLATED_BYTES && self.given < self.claimed
    }
}
