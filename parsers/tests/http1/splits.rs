//! However a stream is cut, the outcome is the same.

use crate::read::body;
use crate::samples;
use narrows_parsers::Malformed;
use narrows_parsers::http1::{
    Framing, HeadParser, HeadStep, Headers, MAX_HEAD_BYTES, MAX_HEADERS, MAX_REQUEST_LINE_BYTES,
    RequestKind,
};
use narrows_parsers::replay::Outcome;
use narrows_parsers::replay::http1::{self as replay, MOST_RETAINED_BYTES};

type Decode = fn(&[u8], &[usize]) -> Outcome;
type Samples = fn() -> Vec<Vec<u8>>;

fn replies(stream: &[u8], sizes: &[usize]) -> Outcome {
    replay::replies(stream, sizes, RequestKind::Other)
}

const DIRECTIONS: [(Decode, Samples); 2] = [
    (replay::requests, samples::request_streams),
    (replies, samples::reply_streams),
];

fn same(stream: &[u8], sizes: &[usize], decode: Decode, whole: &Outcome) {
    let pieces = decode(stream, sizes);
    assert_eq!(pieces.messages, whole.messages, "pieces of {sizes:?}");
    assert_eq!(pieces.malformed, whole.malformed, "pieces of {sizes:?}");
    assert_eq!(pieces.between_messages, whole.between_messages);
    assert!(pieces.most_retained <= MOST_RETAINED_BYTES);
}

#[test]
fn at_every_point_of_every_sample() {
    for (decode, samples) in DIRECTIONS {
        for sample in samples() {
            let whole = decode(&sample, &[]);
            assert_eq!(whole.malformed, None, "{}", sample.escape_ascii());
            assert_eq!(whole.messages[0].0.min(sample.len()), whole.messages[0].0);
            for at in 1..sample.len() {
                same(&sample, &[at, sample.len()], decode, &whole);
            }
            for size in [1, 2, 3, 7, 16, 17, 100] {
                same(&sample, &[size], decode, &whole);
            }
            same(&sample, &[1, 30, 5, 200], decode, &whole);
        }
    }
}

#[test]
fn every_message_of_a_stream_is_seen() {
    let requests = samples::request_streams();
    let whole = replay::requests(requests.last().unwrap(), &[]);
    // A head and an end each.
    assert_eq!(whole.messages.len(), 2 * (requests.len() - 1));
    assert!(whole.between_messages);
    let replies = samples::reply_streams();
    let whole = self::replies(replies.last().unwrap(), &[]);
    let ends = whole
        .messages
        .iter()
        .filter(|message| message.1.ends_with(" bytes\""))
        .count();
    // 204, 304, two with a length, four with chunks; 100 is interim.
    assert_eq!((whole.messages.len(), ends), (17, 8));
    assert!(whole.between_messages);
}

#[test]
fn a_message_that_has_begun_is_pending() {
    for sample in samples::request_streams().iter().rev().skip(1) {
        for at in 1..sample.len() {
            let outcome = replay::requests(&sample[..at], &[]);
            assert_eq!(outcome.malformed, None);
            assert!(
                !outcome.between_messages,
                "{at} of {}",
                sample.escape_ascii()
            );
        }
    }
}

/// Reads a head in pieces of one size: what came of it, and how many bytes had come by then.
fn in_pieces(bytes: &[u8], size: usize) -> (HeadStep<u32>, usize) {
    let mut parser = HeadParser::new();
    let mut headers = Headers::new();
    for end in (size..bytes.len() + size).step_by(size) {
        let end = end.min(bytes.len());
        match parser.request(&bytes[..end], &mut headers) {
            HeadStep::NeedMore => {}
            HeadStep::Malformed(reason) => return (HeadStep::Malformed(reason), end),
            HeadStep::Head(head) => return (HeadStep::Head(head.length), end),
        }
    }
    (HeadStep::NeedMore, bytes.len())
}

#[test]
fn at_the_limits() {
    let line = |length: usize| {
        let target = "a".repeat(length - "GET / HTTP/1.1\r\n".len());
        format!("GET /{target} HTTP/1.1\r\nHost: a\r\n\r\n")
    };
    let fields = |count: usize| {
        let lines: String = (1..count)
            .map(|index| format!("X-{index}: a\r\n"))
            .collect();
        format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
    };
    let head = |length: usize| {
        let start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
        let value = "b".repeat(length - start.len() - 4);
        format!("{start}{value}\r\n\r\n")
    };
    let cases = [
        (line(MAX_REQUEST_LINE_BYTES), None),
        (
            line(MAX_REQUEST_LINE_BYTES + 1),
            Some(Malformed::TargetTooLong),
        ),
        (fields(MAX_HEADERS), None),
        (fields(MAX_HEADERS + 1), Some(Malformed::TooManyFields)),
        (head(MAX_HEAD_BYTES), None),
        (head(MAX_HEAD_BYTES + 1), Some(Malformed::HeadTooLarge)),
        (format!("\r\n{}", line(MAX_REQUEST_LINE_BYTES)), None),
        (
            format!("\r\n{}", line(MAX_REQUEST_LINE_BYTES + 1)),
            Some(Malformed::TargetTooLong),
        ),
    ];
    for (bytes, refused) in cases {
        let expected = refused.map_or(HeadStep::Head(bytes.len() as u32), HeadStep::Malformed);
        for size in [bytes.len(), 1, 7, 1000, bytes.len() - 1] {
            assert_eq!(
                in_pieces(bytes.as_bytes(), size).0,
                expected,
                "pieces of {size}"
            );
        }
    }
}

#[test]
fn what_never_ends_is_refused_at_the_limit() {
    for (start, limit, reason) in [
        ("GET /", MAX_REQUEST_LINE_BYTES, Malformed::TargetTooLong),
        (
            "GET / HTTP/1.1\r\nA",
            MAX_HEAD_BYTES,
            Malformed::HeadTooLarge,
        ),
        (
            "GET / HTTP/1.1\r\nA: b",
            MAX_HEAD_BYTES,
            Malformed::HeadTooLarge,
        ),
    ] {
        let bytes = [start.as_bytes(), &b"x".repeat(2 * limit)].concat();
        for size in [1, 999] {
            let (step, seen) = in_pieces(&bytes, size);
            assert_eq!(step, HeadStep::Malformed(reason));
            assert!((limit..limit + size).contains(&seen), "{seen} of {limit}");
        }
    }
}

#[test]
fn what_begins_wrong_is_refused_at_once() {
    for bytes in [
        b"\x16\x03\x01\x02\x00".as_slice(),
        b"\0",
        b"\r\n\r",
        b" GET",
    ] {
        assert_eq!(
            in_pieces(bytes, 1).0,
            HeadStep::Malformed(Malformed::Method)
        );
    }
    let mut headers = Headers::new();
    let step = HeadParser::new().response(b"ICY", &mut headers, RequestKind::Other);
    assert_eq!(step, HeadStep::Malformed(Malformed::HttpVersion));
}

#[test]
fn a_bad_line_is_refused_when_it_is_whole() {
    let bytes = b"GET / HTTP/1.1\r\nHost: a\r\nA b: c\r\nmore";
    let (step, seen) = in_pieces(bytes, 1);
    assert_eq!(step, HeadStep::Malformed(Malformed::SpaceBeforeColon));
    assert_eq!(seen, bytes.len() - "more".len());
}

#[test]
fn chunked_bodies_at_every_point() {
    for sample in samples::CHUNKED {
        let whole = body(Framing::Chunked, sample.as_bytes(), &[]);
        assert_eq!(whole.end, Some(Ok(())));
        for at in 1..sample.len() {
            assert_eq!(
                body(Framing::Chunked, sample.as_bytes(), &[at, sample.len()]),
                whole
            );
        }
        assert_eq!(body(Framing::Chunked, sample.as_bytes(), &[1]), whole);
    }
}
