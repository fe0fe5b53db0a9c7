//! zlib (RFC 1950).

use super::Output;
use crate::Malformed;
use crate::limits::INFLATED_PIECE_BYTES;
use flate2::{Decompress, FlushDecompress, Status};
use std::cell::RefCell;

thread_local! {
    // The state of an inflater is 40 KB; one a thread, as a message is inflated in one go, instead of one a connection or a message.
    static STATE: RefCell<State> = RefCell::new(State {
        inflater: Decompress::new(true),
        piece: vec![0; INFLATED_PIECE_BYTES].into_boxed_slice(),
    });
}

struct State {
    inflater: Decompress,
    piece: Box<[u8]>,
}

/// True when the stream has ended, false when the data or the budget ended first.
pub(super) fn inflate(
    data: &[u8],
    whole_input: bool,
    output: &mut Output<'_>,
) -> Result<bool, Malformed> {
    STATE.with(|state| {
        let State { inflater, piece } = &mut *state
            .try_borrow_mut()
            .map_err(|_| Malformed::CorruptCompression)?;
        inflater.reset(true);
        loop {
            let (read, written) = (inflater.total_in(), inflater.total_out());
            let rest = data.get(read as usize..).unwrap_or_default();
            let status = inflater
                .decompress(rest, piece, FlushDecompress::None)
                .map_err(|_| Malformed::CorruptCompression)?;
            let new = (inflater.total_out() - written) as usize;
            output.give(piece.get(..new).unwrap_or_default())?;
            if status == Status::StreamEnd {
                return Ok(true);
            }
            if output.is_full() {
                return Ok(false);
            }
            if inflater.total_in() == read && new == 0 {
                return if whole_input {
                    Err(Malformed::CorruptCompression)
                } else {
                    Ok(false)
                };
            }
        }
    })
}
