//! However a stream is cut, the outcome is the same.

use crate::samples;
use narrows_parsers::replay::Outcome;
use narrows_parsers::replay::redis::{self, OwnedReply, OwnedRequest};
use std::fmt::Debug;

/// What came of a stream, and what is pending at its end.
type Seen<M, P> = (Outcome<M>, P);

fn same<M: Debug + PartialEq, P: Debug + PartialEq>(
    stream: &[u8],
    sizes: &[usize],
    decode: fn(&[u8], &[usize]) -> Seen<M, P>,
    whole: &Seen<M, P>,
) {
    let pieces = decode(stream, sizes);
    assert_eq!(pieces.0.messages, whole.0.messages, "pieces of {sizes:?}");
    assert_eq!(pieces.0.malformed, whole.0.malformed, "pieces of {sizes:?}");
    assert_eq!(
        (pieces.0.between_messages, &pieces.1),
        (whole.0.between_messages, &whole.1),
        "pieces of {sizes:?}"
    );
}

fn at_every_point<M: Debug + PartialEq, P: Debug + PartialEq>(
    samples: &[Vec<u8>],
    decode: fn(&[u8], &[usize]) -> Seen<M, P>,
) {
    for sample in samples {
        let whole = decode(sample, &[]);
        let ends: Vec<_> = whole.0.messages.iter().map(|(end, _)| *end).collect();
        assert_eq!(ends, [sample.len()], "{}", sample.escape_ascii());
        assert!(whole.0.between_messages);
        for at in 1..sample.len() {
            same(sample, &[at, sample.len()], decode, &whole);
        }
        for size in 1..sample.len().min(40) {
            same(sample, &[size], decode, &whole);
        }
    }
}

/// What has begun is pending, and what is known of it depends on what has come of it alone.
fn cut_at_every_point<M: Debug + PartialEq, P: Debug + PartialEq>(
    samples: &[Vec<u8>],
    decode: fn(&[u8], &[usize]) -> Seen<M, P>,
) {
    for sample in samples {
        for at in 1..sample.len() {
            let start = &sample[..at];
            let whole = decode(start, &[]);
            assert_eq!((whole.0.messages.len(), whole.0.malformed), (0, None));
            same(start, &[1], decode, &whole);
            same(start, &[at / 2, at], decode, &whole);
        }
    }
}

fn one_after_the_other<M: Debug + PartialEq, P: Debug + PartialEq>(
    samples: &[Vec<u8>],
    decode: fn(&[u8], &[usize]) -> Seen<M, P>,
) {
    let stream = samples.concat();
    let whole = decode(&stream, &[]);
    assert_eq!(whole.0.malformed, None);
    let mut begins = 0;
    assert_eq!(whole.0.messages.len(), samples.len());
    for (sample, (ends, message)) in samples.iter().zip(&whole.0.messages) {
        assert_eq!(*ends, begins + sample.len());
        assert_eq!(*message, decode(sample, &[]).0.messages[0].1);
        begins = *ends;
    }
    for size in [1, 2, 3, 7, 16, 17, 100, 1000] {
        same(&stream, &[size], decode, &whole);
    }
    same(&stream, &[1, 30, 5, 200], decode, &whole);
}

#[test]
fn requests_at_every_point_of_every_sample() {
    at_every_point::<OwnedRequest, _>(&samples::requests(), redis::requests);
}

#[test]
fn replies_at_every_point_of_every_sample() {
    at_every_point::<OwnedReply, _>(&samples::replies(), redis::replies);
}

#[test]
fn requests_that_are_cut() {
    cut_at_every_point(&samples::requests(), redis::requests);
}

#[test]
fn replies_that_are_cut() {
    cut_at_every_point(&samples::replies(), redis::replies);
    for sample in samples::replies() {
        for at in 1..sample.len() {
            assert!(!redis::replies(&sample[..at], &[]).0.between_messages);
        }
    }
}

#[test]
fn pipelined_requests() {
    one_after_the_other(&samples::requests(), redis::requests);
}

#[test]
fn replies_and_pushes_one_after_the_other() {
    one_after_the_other(&samples::replies(), redis::replies);
}
