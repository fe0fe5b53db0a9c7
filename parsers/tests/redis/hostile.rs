//! What an attacker sends: memory stays flat, and work stays in proportion to the bytes.

use crate::build::*;
use crate::samples;
use narrows_parsers::redis::{ReplyDecoder, RequestDecoder};
use narrows_parsers::replay::redis::{IDLE_BYTES, MOST_RETAINED_BYTES, replies, requests};
use narrows_parsers::{Malformed, Step};
use std::time::{Duration, Instant};

/// Values within values that are open at once.
const DEPTH: usize = 8192;

fn refused_reply(stream: &[u8]) -> Malformed {
    let (whole, _) = replies(stream, &[]);
    let (pieces, _) = replies(stream, &[7]);
    assert_eq!(
        (whole.messages.len(), whole.malformed),
        (pieces.messages.len(), pieces.malformed)
    );
    assert!(whole.most_retained.max(pieces.most_retained) <= MOST_RETAINED_BYTES);
    whole.malformed.unwrap_or_else(|| panic!("{whole:?}"))
}

/// More is wanted, and hardly anything is held for it.
fn waits<M>((outcome, _): (narrows_parsers::replay::Outcome<M>, impl Sized)) {
    assert_eq!((outcome.messages.len(), outcome.malformed), (0, None));
    assert!(!outcome.between_messages);
    assert!(
        outcome.most_retained <= IDLE_BYTES,
        "{}",
        outcome.most_retained
    );
}

#[test]
fn a_decoder_is_small() {
    let both = size_of::<RequestDecoder>() + size_of::<ReplyDecoder>();
    assert!(both <= 512, "{both}");
    assert_eq!(
        RequestDecoder::new().retained_bytes() + ReplyDecoder::new().retained_bytes(),
        0
    );
}

/// What is whole in the bytes shown costs no memory at all.
#[test]
fn whole_messages_are_not_copied() {
    let (outcome, _) = requests(&command("SET cart:1017 v EX 60").repeat(100), &[]);
    assert_eq!((outcome.messages.len(), outcome.most_retained), (100, 0));
    let reply = aggregate(
        '*',
        &[bulk(b"a"), bulk(b"b"), line(':', "1"), aggregate('*', &[])],
    );
    let (outcome, _) = replies(
        &[reply, bulk(&[7; 1000]), line('+', "OK")]
            .concat()
            .repeat(100),
        &[],
    );
    assert_eq!((outcome.messages.len(), outcome.most_retained), (300, 0));
}

#[test]
fn depth_has_an_end() {
    for nest in [
        "*1\r\n",
        "*2\r\n",
        "%1\r\n",
        "~1\r\n",
        "*?\r\n",
        "%?\r\n",
        "|1\r\n",
        "*1\r\n|1\r\n",
    ] {
        assert_eq!(
            refused_reply(nest.repeat(1_000_000).as_bytes()),
            Malformed::RespDepth
        );
    }
    // What it took is given back.
    let mut decoder = ReplyDecoder::new();
    let nest = "*1\r\n".repeat(1_000_000);
    assert!(matches!(
        decoder.advance(nest.as_bytes()),
        Step::Malformed(_)
    ));
    assert_eq!(decoder.retained_bytes(), 0);
    assert!(matches!(
        RequestDecoder::new().advance(nest.as_bytes()),
        Step::Malformed(Malformed::RespType)
    ));
}

/// `EVAL "local t = {} for i = 1, 100000 do t = {t} end return t" 0` is answered with 7995 arrays and an error within them.
#[test]
fn as_deep_as_a_script_answers() {
    let reply = |depth: usize| {
        [
            "*1\r\n".repeat(depth).as_bytes(),
            b"-ERR reached lua stack limit\r\n",
        ]
        .concat()
    };
    for depth in [7995, DEPTH] {
        let deep = reply(depth);
        for sizes in [&[][..], &[1], &[1000]] {
            let (outcome, _) = replies(&[&deep[..], b"+OK\r\n"].concat(), sizes);
            assert_eq!((outcome.messages.len(), outcome.malformed), (2, None));
            assert!(outcome.most_retained <= MOST_RETAINED_BYTES);
        }
        let mut decoder = ReplyDecoder::new();
        assert!(matches!(decoder.advance(&deep), Step::Message { .. }));
        assert!(
            decoder.retained_bytes() <= IDLE_BYTES,
            "{}",
            decoder.retained_bytes()
        );
    }
    assert_eq!(refused_reply(&reply(DEPTH + 1)), Malformed::RespDepth);
}

#[test]
fn counts_are_claims() {
    for count in ["2147483647", "4294967295"] {
        for kind in ['*', '%', '~', '>', '|'] {
            let claim = line(kind, count);
            waits(replies(&claim, &[]));
            waits(replies(&claim, &[1]));
            waits(replies(
                &[claim, b"+a\r\n".repeat(100_000)].concat(),
                &[4096],
            ));
        }
    }
    for count in [
        "4294967296",
        "4611686018427387904",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551617",
    ] {
        for kind in ['*', '%', '~', '>', '|'] {
            assert_eq!(refused_reply(&line(kind, count)), Malformed::RespNumber);
        }
        for kind in ['*', '%', '~', '|'] {
            assert_eq!(
                refused_reply(&aggregate('*', &[line(kind, count)])),
                Malformed::RespNumber
            );
        }
    }
    waits(requests(b"*2147483647\r\n", &[]));
    waits(requests(
        &[b"*2147483647\r\n", &bulk(b"argument").repeat(100_000)[..]].concat(),
        &[4096],
    ));
    // Claims within claims.
    waits(replies(&b"*2147483647\r\n".repeat(10), &[]));
}

#[test]
fn lengths_are_claims() {
    for length in ["512000000", "2147483648", "9223372036854775807"] {
        let claim = line('$', length);
        waits(replies(&claim, &[]));
        waits(replies(&[&claim[..], &[b'x'; 1_000_000]].concat(), &[1000]));
        let claim = [&b"*1\r\n"[..], &claim].concat();
        waits(requests(&claim, &[]));
        waits(requests(
            &[&claim[..], &[b'x'; 1_000_000]].concat(),
            &[1000],
        ));
    }
    for kind in ['!', '=', ';'] {
        let claim = line(kind, "9223372036854775807");
        let claim = if kind == ';' {
            [b"$?\r\n", &claim[..]].concat()
        } else {
            claim
        };
        waits(replies(&[&claim[..], &[b'x'; 1_000_000]].concat(), &[1000]));
    }
}

/// On a connection that others share, what the server closes it for is not let through.
#[test]
fn an_argument_that_is_longer_than_the_server_takes() {
    for (length, is_refused) in [(5, false), (6, true), (600_000_000, true)] {
        let stream = format!("*2\r\n$1\r\na\r\n${length}\r\nabcdef\r\n");
        for size in [1, 3, stream.len()] {
            let mut decoder = RequestDecoder::with_longest_argument(5);
            let refused = stream.as_bytes().chunks(size).any(|piece| {
                matches!(
                    decoder.advance(piece),
                    Step::Malformed(Malformed::RespNumber)
                )
            });
            assert_eq!(refused, is_refused, "{stream} {size}");
            if !is_refused {
                break;
            }
        }
    }
}

#[test]
fn lines_and_streams_without_end() {
    let endless = [
        (b"+".to_vec(), b"x".to_vec()),
        (b"-".to_vec(), b"x".to_vec()),
        (b",".to_vec(), b"1".to_vec()),
        (b"(".to_vec(), b"1".to_vec()),
        (b"*?\r\n".to_vec(), b"+a\r\n".to_vec()),
        (b"%?\r\n".to_vec(), b"+a\r\n:1\r\n".to_vec()),
        (b"~?\r\n".to_vec(), b"$1\r\na\r\n".to_vec()),
        (b"$?\r\n".to_vec(), b";1\r\na\r\n".to_vec()),
        (vec![], b"|1\r\n+a\r\n+b\r\n".to_vec()),
        (b"*1\r\n".to_vec(), b"|0\r\n".to_vec()),
    ];
    for (start, more) in endless {
        let stream = [start, more.repeat(200_000)].concat();
        waits(replies(&stream, &[]));
        waits(replies(&stream, &[1000]));
    }
    // Numbers have an end.
    for kind in ['*', '$', ':', '%', '|'] {
        assert_eq!(
            refused_reply(&line(kind, &"1".repeat(100_000))),
            Malformed::RespNumber
        );
        assert_eq!(
            refused_reply(&line(kind, &"0".repeat(100_000))),
            Malformed::RespNumber
        );
    }
    // What asks for nothing may come for ever.
    for nothing in ["*0\r\n", "\r\n", "\n", "*-1\r\n", "   \r\n"] {
        let (outcome, pending) = requests(nothing.repeat(200_000).as_bytes(), &[1000]);
        assert_eq!(
            (outcome.messages.len(), outcome.malformed, pending),
            (0, None, None)
        );
        assert!(outcome.most_retained <= IDLE_BYTES);
    }
}

#[test]
fn inline_requests_have_64_kib() {
    for line in ["x", " ", "a ", "\"a\" "] {
        let most = line.repeat(65_536 / line.len());
        let fits = [&most.as_bytes()[..65_535], b"\n"].concat();
        for sizes in [&[][..], &[1], &[1000]] {
            let (outcome, _) = requests(&fits, sizes);
            assert_eq!(outcome.malformed, None);
            assert!(outcome.most_retained <= IDLE_BYTES);
            let (outcome, _) = requests(&[most.as_bytes(), b"\n"].concat(), sizes);
            assert_eq!(outcome.malformed, Some(Malformed::RespInline));
            let (outcome, _) = requests(most.repeat(3).as_bytes(), sizes);
            assert_eq!(outcome.malformed, Some(Malformed::RespInline));
        }
    }
    // Each line has as many.
    let line = ["x".repeat(60_000).as_bytes(), b"\r\n"].concat();
    let (outcome, _) = requests(&line.repeat(3), &[1000]);
    assert_eq!((outcome.messages.len(), outcome.malformed), (3, None));
}

#[test]
fn a_reason_is_final() {
    let mut decoder = RequestDecoder::new();
    assert!(matches!(
        decoder.advance(b"*x"),
        Step::Malformed(Malformed::RespNumber)
    ));
    assert!(matches!(
        decoder.advance(&command("PING")),
        Step::Malformed(Malformed::RespNumber)
    ));
    assert!(decoder.pending().is_none());
    assert_eq!(
        (decoder.retained_bytes(), decoder.is_between_messages()),
        (0, false)
    );
    let mut decoder = ReplyDecoder::new();
    assert_eq!(decoder.advance(b"?"), Step::Malformed(Malformed::RespType));
    assert_eq!(
        decoder.advance(b"+OK\r\n"),
        Step::Malformed(Malformed::RespType)
    );
    assert_eq!(
        (decoder.retained_bytes(), decoder.is_between_messages()),
        (0, false)
    );
    assert_eq!(decoder.pending_kind(), None);
}

#[test]
fn every_byte_of_every_sample_changed() {
    for sample in samples::requests() {
        changed(&sample, |bad, sizes| {
            let (outcome, pending) = requests(bad, sizes);
            (outcome.messages, outcome.malformed, pending)
        });
    }
    for sample in samples::replies() {
        changed(&sample, |bad, sizes| {
            let (outcome, pending) = replies(bad, sizes);
            (outcome.messages, outcome.malformed, pending)
        });
    }
}

fn changed<S: std::fmt::Debug + PartialEq>(sample: &[u8], decode: impl Fn(&[u8], &[usize]) -> S) {
    for at in 0..sample.len() {
        for change in [1, 0x80, 0xFF] {
            let mut bad = sample.to_vec();
            bad[at] ^= change;
            assert_eq!(decode(&bad, &[]), decode(&bad, &[3, 1, 50]));
        }
    }
}

/// A byte at a time costs each byte once: ten times as many take ten times as long, not a hundred times.
#[test]
fn work_is_in_proportion() {
    let drip = |size: usize| {
        let reply = aggregate(
            '*',
            &[
                bulk(&vec![b'x'; size]),
                line('+', &"y".repeat(size)),
                aggregate('*', &vec![bulk(b"z"); size / 8]),
            ],
        );
        let request = request(&[&b"SET"[..], &vec![b'x'; size], &vec![b'y'; size]]);
        let begins = Instant::now();
        assert_eq!(replies(&reply, &[1]).0.messages.len(), 1);
        assert_eq!(requests(&request, &[1]).0.messages.len(), 1);
        begins.elapsed()
    };
    let least = |size| (0..5).map(|_| drip(size)).min().unwrap();
    let (few, many) = (least(20_000), least(200_000));
    assert!(
        many < 40 * few.max(Duration::from_micros(100)),
        "{few:?} {many:?}"
    );
}
