//! What is seen of requests.

use crate::build::*;
use narrows_parsers::redis::RequestDecoder;
use narrows_parsers::replay::redis::{OwnedRequest, requests};
use narrows_parsers::{Malformed, Step};

/// The one request of a stream.
fn one(stream: &[u8]) -> OwnedRequest {
    let (outcome, pending) = requests(stream, &[]);
    assert_eq!((outcome.messages.len(), pending), (1, None));
    outcome.messages.into_iter().next().unwrap().1
}

fn texts(request: &OwnedRequest) -> Vec<&[u8]> {
    let arguments = request.arguments.iter();
    arguments.map(|(bytes, _)| bytes.as_slice()).collect()
}

#[test]
fn arguments_are_shown() {
    let stream = command("SET cart:1017 v EX 60");
    let seen = one(&stream);
    assert_eq!((seen.count, seen.bytes), (5, stream.len() as u64));
    assert_eq!(
        texts(&seen),
        [&b"SET"[..], b"cart:1017", b"v", b"EX", b"60"]
    );
    let mut decoder = RequestDecoder::new();
    match decoder.advance(&stream) {
        Step::Message { message, .. } => assert_eq!(message.command(), b"SET"),
        other => panic!("{other:?}"),
    };
}

/// Of a long argument the front is there, of many the first ten.
#[test]
fn what_is_long_is_cut() {
    let long = [b'x'; 300];
    let mut arguments = vec![&b"MSET"[..], &long, &long[..128], &long[..129]];
    arguments.resize(17, b"more");
    let stream = request(&arguments);
    let seen = one(&stream);
    assert_eq!((seen.count, seen.arguments.len()), (17, 10));
    let shown: Vec<_> = seen
        .arguments
        .iter()
        .map(|(bytes, length)| (bytes.len(), *length))
        .collect();
    assert_eq!(shown[..4], [(4, 4), (128, 300), (128, 128), (128, 129)]);
    let words = [&[b'x'; 300][..], b" a b c d e f g h i j k l\r\n"].concat();
    let seen = one(&words);
    assert_eq!(
        (seen.count, seen.bytes, seen.arguments.len()),
        (13, words.len() as u64, 10)
    );
    assert_eq!((seen.arguments[0].0.len(), seen.arguments[0].1), (128, 300));
}

#[test]
fn words_are_arguments() {
    for (line, words) in [
        ("get key\r\n", &["get", "key"][..]),
        ("get key\n", &["get", "key"]),
        (" \"MULTI\" \r\n", &["MULTI"]),
        ("set 'a b' \"\"\r\n", &["set", "a b", ""]),
        ("a\rb\r\n", &["a", "b"]),
        ("PING\x0b\r\n", &["PING\x0b"]),
    ] {
        let seen = one(line.as_bytes());
        let words: Vec<_> = words.iter().map(|word| word.as_bytes()).collect();
        assert_eq!(texts(&seen), words);
        assert_eq!(
            (seen.count, seen.bytes),
            (words.len() as u64, line.len() as u64)
        );
    }
}

#[test]
fn what_asks_for_nothing_is_passed_over() {
    for nothing in [
        "\r\n",
        "\n",
        "  \r\n",
        "*0\r\n",
        "*-1\r\n",
        "*-9223372036854775808\r\n",
    ] {
        let (outcome, pending) = requests(nothing.as_bytes(), &[]);
        assert_eq!(
            (outcome.messages.len(), outcome.malformed, pending),
            (0, None, None)
        );
        assert!(outcome.between_messages);
        let ping = command("PING");
        let stream = [nothing.repeat(3).as_bytes(), &ping].concat();
        for sizes in [&[][..], &[1], &[2], &[3, 1]] {
            let (outcome, _) = requests(&stream, sizes);
            assert_eq!(outcome.messages[0].0, stream.len());
            assert_eq!(outcome.messages[0].1.bytes, ping.len() as u64);
        }
    }
}

/// What is pending shows what has come of it.
#[test]
fn a_request_that_is_on_its_way() {
    let mut decoder = RequestDecoder::new();
    assert!(decoder.pending().is_none());
    for piece in [
        &b"*0\r\n*3\r\n$3\r\nSET\r\n$1"[..],
        b"\r\nk\r\n$1000\r\nab",
        b"cd",
    ] {
        assert!(matches!(decoder.advance(piece), Step::NeedMore));
    }
    let pending = OwnedRequest::from(decoder.pending().unwrap());
    assert_eq!(texts(&pending), [&b"SET"[..], b"k", b"abcd"]);
    assert_eq!((pending.count, pending.bytes), (3, 31));
    assert!(!decoder.is_between_messages());
}

/// In what Redis refuses, and the words it has for that (`networking.c`).
#[test]
fn what_redis_refuses_is_malformed() {
    for (stream, reason) in [
        // "invalid multibulk length"
        (&b"*\r\n"[..], Malformed::RespNumber),
        (b"*-\r\n", Malformed::RespNumber),
        (b"*-0\r\n", Malformed::RespNumber),
        (b"*+1\r\n", Malformed::RespNumber),
        (b"*01\r\n", Malformed::RespNumber),
        (b"*00\r\n", Malformed::RespNumber),
        (b"* 1\r\n", Malformed::RespNumber),
        (b"*1 \r\n", Malformed::RespNumber),
        (b"*1a\r\n", Malformed::RespNumber),
        (b"*?\r\n", Malformed::RespNumber),
        (b"*2147483648\r\n", Malformed::RespNumber),
        (b"*-9223372036854775809\r\n", Malformed::RespNumber),
        (b"*99999999999999999999999999\r\n", Malformed::RespNumber),
        // "invalid bulk length"
        (b"*1\r\n$-1\r\n", Malformed::RespNumber),
        (b"*1\r\n$-0\r\n\r\n", Malformed::RespNumber),
        (b"*1\r\n$\r\n", Malformed::RespNumber),
        (b"*1\r\n$+4\r\n", Malformed::RespNumber),
        (b"*1\r\n$04\r\n", Malformed::RespNumber),
        (b"*1\r\n$?\r\n", Malformed::RespNumber),
        (b"*1\r\n$9223372036854775808\r\n", Malformed::RespNumber),
        // "expected '$', got ':'"
        (b"*1\r\n:4\r\n", Malformed::RespType),
        (b"*1\r\n*1\r\n$4\r\nPING\r\n", Malformed::RespType),
        (b"*1\r\n+PING\r\n", Malformed::RespType),
        // "unbalanced quotes in request"
        (b"get \"a\r\n", Malformed::RespInline),
        (b"get 'a\r\n", Malformed::RespInline),
        (b"get \"a\"b\r\n", Malformed::RespInline),
        // It would wait for a line end, and then refuse; or take two other bytes for one.
        (b"*1\0\r\n", Malformed::RespNumber),
        (b"PI\0NG\r\n", Malformed::RespInline),
        (b"*1\rX", Malformed::RespNumber),
        (b"*1\n", Malformed::RespNumber),
        (b"*1\r\n$4\r\nPINGxx", Malformed::RespLineEnd),
        (b"*1\r\n$4\r\nPING\rx", Malformed::RespLineEnd),
        (b"*1\r\n$4\r\nPING\n", Malformed::RespLineEnd),
    ] {
        for sizes in [&[][..], &[1], &[5]] {
            let (outcome, pending) = requests(stream, sizes);
            assert_eq!(
                (outcome.messages.len(), outcome.malformed),
                (0, Some(reason)),
                "{}",
                stream.escape_ascii()
            );
            assert_eq!(pending, None);
        }
        // What came before it is seen.
        let after = [&command("PING")[..], b"ping\r\n", stream].concat();
        let (outcome, _) = requests(&after, &[]);
        assert_eq!(
            (outcome.messages.len(), outcome.malformed),
            (2, Some(reason))
        );
    }
}
