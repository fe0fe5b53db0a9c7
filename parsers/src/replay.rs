//! What must hold for any bytes at all, checked by the fuzz targets and by tests that replay their corpora.

pub mod http1;
pub mod http2;
pub mod redis;

use crate::limits::COMPRESSED_BYTES;
use crate::mongo::{Malformed, ReplyDecoder, RequestDecoder, Step};
use std::fmt::Debug;

/// Memory that a decoder may hold at any time, in bytes: the collected start of a compressed message, and the texts of one message.
pub const MOST_RETAINED_BYTES: usize = COMPRESSED_BYTES + 8 * 1024;

/// What came of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome<M = String> {
    /// Each message, with the place in the stream where it ends.
    pub messages: Vec<(usize, M)>,
    /// Why decoding stopped, if it did.
    pub malformed: Option<Malformed>,
    /// The stream ends between two messages.
    pub between_messages: bool,
    /// The most memory that was held, in bytes.
    pub most_retained: usize,
}

/// Decodes a stream of requests that comes in pieces of these sizes, over and over.
pub fn requests(stream: &[u8], sizes: &[usize]) -> Outcome {
    let mut decoder = RequestDecoder::new();
    let outcome = run(stream, sizes, |bytes| {
        let step = owned(decoder.advance(bytes));
        (step, decoder.retained_bytes())
    });
    Outcome {
        between_messages: decoder.is_between_messages(),
        ..outcome
    }
}

/// Decodes a stream of replies that comes in pieces of these sizes, over and over.
pub fn replies(stream: &[u8], sizes: &[usize]) -> Outcome {
    let mut decoder = ReplyDecoder::new();
    let outcome = run(stream, sizes, |bytes| {
        let step = owned(decoder.advance(bytes));
        (step, decoder.retained_bytes())
    });
    Outcome {
        between_messages: decoder.is_between_messages(),
        ..outcome
    }
}

/// Decodes a stream of requests in pieces and whole. The first bytes of `data` choose the pieces: a count, then so many sizes.
///
/// # Errors
/// Says which of the things that must hold does not.
pub fn check_requests(data: &[u8]) -> Result<(), String> {
    check(data, requests, MOST_RETAINED_BYTES)
}

/// The same for replies.
///
/// # Errors
/// Says which of the things that must hold does not.
pub fn check_replies(data: &[u8]) -> Result<(), String> {
    check(data, replies, MOST_RETAINED_BYTES)
}

/// The sizes of pieces that data starts with, and the stream behind them.
fn pieces(data: &[u8]) -> (Vec<usize>, &[u8]) {
    let Some((count, rest)) = data.split_first() else {
        return (Vec::new(), data);
    };
    let (sizes, stream) = rest
        .split_at_checked(usize::from(count % 8))
        .unwrap_or((&[], rest));
    let sizes = sizes.iter().map(|size| usize::from(*size) + 1).collect();
    (sizes, stream)
}

fn check(
    data: &[u8],
    decode: impl Fn(&[u8], &[usize]) -> Outcome,
    most_retained: usize,
) -> Result<(), String> {
    let (sizes, stream) = pieces(data);
    let whole = decode(stream, &[]);
    let pieces = decode(stream, &sizes);
    for outcome in [&whole, &pieces] {
        if outcome.most_retained > most_retained {
            return Err(format!("{} bytes are held", outcome.most_retained));
        }
    }
    let (whole, pieces) = (
        Outcome {
            most_retained: 0,
            ..whole
        },
        Outcome {
            most_retained: 0,
            ..pieces
        },
    );
    if whole != pieces {
        return Err(format!(
            "in pieces of {sizes:?}: {pieces:#?}\nwhole: {whole:#?}"
        ));
    }
    Ok(())
}

fn owned<M: Debug>(step: Step<M>) -> Step<String> {
    match step {
        Step::NeedMore => Step::NeedMore,
        Step::Message { consumed, message } => Step::Message {
            consumed,
            message: format!("{message:?}"),
        },
        Step::Malformed(reason) => Step::Malformed(reason),
    }
}

/// Feeds a stream in pieces; no sizes mean one piece.
fn run<M>(
    stream: &[u8],
    sizes: &[usize],
    mut advance: impl FnMut(&[u8]) -> (Step<M>, usize),
) -> Outcome<M> {
    let mut outcome = Outcome {
        messages: Vec::new(),
        malformed: None,
        between_messages: false,
        most_retained: 0,
    };
    let mut sizes = sizes.iter().cycle();
    let mut left = stream;
    while !left.is_empty() {
        let size = sizes
            .next()
            .map_or(left.len(), |size| (*size).clamp(1, left.len()));
        let (mut piece, after) = left.split_at(size);
        left = after;
        loop {
            let (step, retained) = advance(piece);
            outcome.most_retained = outcome.most_retained.max(retained);
            match step {
                Step::NeedMore => break,
                Step::Message { consumed, message } => {
                    piece = piece.get(consumed..).unwrap_or_default();
                    outcome
                        .messages
                        .push((stream.len() - left.len() - piece.len(), message));
                }
                Step::Malformed(reason) => {
                    outcome.malformed = Some(reason);
                    return outcome;
                }
            }
        }
    }
    outcome
}
