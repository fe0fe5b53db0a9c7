//! However a stream is cut, the outcome is the same.

use crate::samples;
use narrows_parsers::replay::{self, Outcome};

type Decode = fn(&[u8], &[usize]) -> Outcome;

type Samples = fn() -> Vec<Vec<u8>>;

const DIRECTIONS: [(Decode, Samples); 2] = [
    (replay::requests, samples::requests),
    (replay::replies, samples::replies),
];

fn same(stream: &[u8], sizes: &[usize], decode: Decode, whole: &Outcome) {
    let pieces = decode(stream, sizes);
    assert_eq!(pieces.messages, whole.messages, "pieces of {sizes:?}");
    assert_eq!(pieces.malformed, whole.malformed, "pieces of {sizes:?}");
    assert_eq!(
        pieces.between_messages, whole.between_messages,
        "pieces of {sizes:?}"
    );
}

#[test]
fn at_every_point_of_every_sample() {
    for (decode, samples) in DIRECTIONS {
        for sample in samples() {
            let whole = decode(&sample, &[]);
            assert_eq!(whole.messages.len(), 1, "{whole:?}");
            assert_eq!(whole.messages[0].0, sample.len());
            assert!(whole.between_messages);
            for at in 1..sample.len() {
                same(&sample, &[at, sample.len()], decode, &whole);
            }
            same(&sample, &[1], decode, &whole);
        }
    }
}

#[test]
fn pipelined_messages() {
    for (decode, samples) in DIRECTIONS {
        let stream = samples().concat();
        let whole = decode(&stream, &[]);
        assert_eq!(whole.messages.len(), samples().len());
        assert_eq!(whole.malformed, None);
        for size in [1, 2, 3, 7, 16, 17, 100, 1000] {
            same(&stream, &[size], decode, &whole);
        }
        same(&stream, &[1, 30, 5, 200], decode, &whole);
    }
}

#[test]
fn a_message_that_has_begun_is_pending() {
    for (decode, samples) in DIRECTIONS {
        for sample in samples() {
            for at in 1..sample.len() {
                let outcome = decode(&sample[..at], &[]);
                assert_eq!((outcome.messages.len(), outcome.malformed), (0, None));
                assert!(!outcome.between_messages, "{at}");
            }
        }
    }
}
