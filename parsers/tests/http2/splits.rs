//! However a stream is cut, the outcome is the same.

use crate::samples;
use narrows_parsers::http2::{FRAME_HEAD_BYTES, FrameHead, FrameKind, PREFACE};
use narrows_parsers::replay::http2::{self, Outcome};

type Decode = fn(&[u8], &[usize]) -> Outcome;

type Samples = fn() -> Vec<Vec<u8>>;

const DIRECTIONS: [(Decode, Samples); 2] = [
    (http2::client, samples::requests),
    (http2::server, samples::replies),
];

fn same(stream: &[u8], sizes: &[usize], decode: Decode, whole: &Outcome) {
    let pieces = decode(stream, sizes);
    assert_eq!(pieces.events, whole.events, "pieces of {sizes:?}");
    assert_eq!(pieces.malformed, whole.malformed, "pieces of {sizes:?}");
    assert_eq!(
        pieces.between_frames, whole.between_frames,
        "pieces of {sizes:?}"
    );
}

#[test]
fn at_every_point_of_every_sample() {
    for (decode, samples) in DIRECTIONS {
        for sample in samples() {
            let whole = decode(&sample, &[]);
            assert_eq!(whole.malformed, None, "{whole:?}");
            assert!(whole.between_frames);
            for at in 1..sample.len() {
                same(&sample, &[at, sample.len()], decode, &whole);
            }
        }
    }
}

#[test]
fn in_pieces_of_every_size() {
    for (decode, samples) in DIRECTIONS {
        for sample in samples() {
            let whole = decode(&sample, &[]);
            for size in 1..sample.len() {
                same(&sample, &[size], decode, &whole);
            }
            same(&sample, &[1, 30, 5, 200], decode, &whole);
        }
    }
}

#[test]
fn a_frame_or_list_that_has_begun_is_pending() {
    for (decode, samples) in DIRECTIONS {
        for sample in samples() {
            let ends = ends(&sample);
            for at in 1..sample.len() {
                let outcome = decode(&sample[..at], &[]);
                assert_eq!(outcome.malformed, None);
                assert_eq!(outcome.between_frames, ends.contains(&at), "{at}");
            }
        }
    }
}

/// Where nothing is pending: behind the preface and behind each frame that does not leave a list of fields open.
fn ends(stream: &[u8]) -> Vec<usize> {
    let mut at = if stream.starts_with(PREFACE) {
        PREFACE.len()
    } else {
        0
    };
    let mut ends = vec![at];
    while let Some(head) = stream[at..].first_chunk() {
        let head = FrameHead::read(head);
        at += FRAME_HEAD_BYTES + head.length as usize;
        let has_fields = matches!(
            head.kind,
            FrameKind::Headers | FrameKind::PushPromise | FrameKind::Continuation
        );
        if !has_fields || head.has(FrameHead::END_HEADERS) {
            ends.push(at);
        }
    }
    ends
}
