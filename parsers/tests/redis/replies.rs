//! What is seen of replies.

use crate::build::*;
use narrows_parsers::redis::{Kind, Reply, ReplyDecoder};
use narrows_parsers::replay::redis::{OwnedReply, replies};
use narrows_parsers::{Malformed, Step};

/// The one reply of a stream.
fn one(stream: &[u8], look: impl FnOnce(Reply<'_>)) {
    let mut decoder = ReplyDecoder::new();
    match decoder.advance(stream) {
        Step::Message { consumed, message } => {
            assert_eq!(
                (consumed, message.bytes),
                (stream.len(), stream.len() as u64)
            );
            look(message);
        }
        other => panic!("{}: {other:?}", stream.escape_ascii()),
    }
}

#[test]
fn each_type_is_told() {
    for (stream, kind, elements, integer, text) in [
        (&b"+OK\r\n"[..], Kind::Simple, 0, None, Some(&b"OK"[..])),
        (b"-ERR no\r\n", Kind::Error, 0, None, Some(b"ERR no")),
        (b":-7\r\n", Kind::Integer, 0, Some(-7), None),
        (b":+7\r\n", Kind::Integer, 0, Some(7), None),
        (b"$2\r\nab\r\n", Kind::Bulk, 0, None, Some(b"ab")),
        (b"$0\r\n\r\n", Kind::Bulk, 0, None, Some(b"")),
        (b"$-1\r\n", Kind::Null, 0, None, None),
        (b"*-1\r\n", Kind::Null, 0, None, None),
        (b"_\r\n", Kind::Null, 0, None, None),
        (b"#t\r\n", Kind::Boolean, 0, None, None),
        (b",1.5\r\n", Kind::Double, 0, None, None),
        (b"(123\r\n", Kind::BigNumber, 0, None, None),
        (b"!5\r\nERR a\r\n", Kind::BulkError, 0, None, Some(b"ERR a")),
        (b"=5\r\ntxt:a\r\n", Kind::Verbatim, 0, None, Some(b"txt:a")),
        (b"*0\r\n", Kind::Array, 0, None, None),
        (b"*3\r\n$-1\r\n:1\r\n:2\r\n", Kind::Array, 3, Some(2), None),
        (b"%1\r\n+a\r\n+b\r\n", Kind::Map, 2, None, Some(b"a")),
        (b"~1\r\n*1\r\n+a\r\n", Kind::Set, 1, None, Some(b"a")),
        (b">2\r\n+a\r\n:3\r\n", Kind::Push, 2, Some(3), Some(b"a")),
        (b"*?\r\n:1\r\n.\r\n", Kind::Array, 0, Some(1), None),
        (
            b"$?\r\n;2\r\nab\r\n;1\r\nc\r\n;0\r\n",
            Kind::Bulk,
            0,
            None,
            Some(b"abc"),
        ),
        (
            b"*2\r\n$?\r\n;1\r\na\r\n;0\r\n+b\r\n",
            Kind::Array,
            2,
            None,
            Some(b"a"),
        ),
        // What an attribute says is not what the reply says.
        (
            b"|1\r\n+a\r\n:1\r\n+OK\r\n",
            Kind::Simple,
            0,
            None,
            Some(b"OK"),
        ),
        (
            b"|1\r\n+a\r\n*1\r\n:1\r\n*1\r\n|1\r\n+b\r\n:2\r\n:3\r\n",
            Kind::Array,
            1,
            Some(3),
            None,
        ),
        (
            b"|1\r\n$?\r\n;1\r\na\r\n;0\r\n:1\r\n$-1\r\n",
            Kind::Null,
            0,
            None,
            None,
        ),
    ] {
        for sizes in [&[][..], &[1], &[2], &[7, 1]] {
            let (outcome, _) = replies(stream, sizes);
            let expected = OwnedReply {
                kind,
                elements,
                integer,
                text: text.map(|text| (text.to_vec(), text.len() as u64)),
                bytes: stream.len() as u64,
            };
            assert_eq!(outcome.messages, [(stream.len(), expected)], "{sizes:?}");
        }
    }
}

#[test]
fn errors_have_a_prefix() {
    for (stream, prefix) in [
        (&b"-WRONGTYPE Operation against\r\n"[..], &b"WRONGTYPE"[..]),
        (b"-MOVED 3999 127.0.0.1:6381\r\n", b"MOVED"),
        (b"-ERR\r\n", b"ERR"),
        (b"-\r\n", b""),
        (b"!21\r\nSYNTAX invalid syntax\r\n", b"SYNTAX"),
        (b"+ERR no error\r\n", b""),
        (b"*1\r\n-ERR within\r\n", b""),
    ] {
        one(stream, |reply| {
            assert_eq!(reply.error_prefix(), prefix);
            assert_eq!(
                reply.is_error(),
                matches!(reply.kind, Kind::Error | Kind::BulkError)
            );
        });
    }
    one(b">1\r\n$10\r\ninvalidate\r\n", |push| {
        assert_eq!(push.name(), b"invalidate")
    });
    one(b":1\r\n", |reply| assert_eq!(reply.name(), b""));
}

#[test]
fn of_a_long_text_the_front_is_kept() {
    let long = [b'x'; 1000];
    for stream in [
        bulk(&long),
        counted('!', &long),
        line('+', &"x".repeat(1000)),
        streamed_text(&[&long[..100], &long[..900]]),
    ] {
        for sizes in [&[][..], &[1], &[100]] {
            let (outcome, _) = replies(&stream, sizes);
            let text = outcome.messages[0].1.text.as_ref().unwrap();
            assert_eq!((text.0.as_slice(), text.1), (&long[..128], 1000));
        }
    }
}

#[test]
fn what_is_pending_is_told() {
    for (start, kind) in [
        (&b""[..], None),
        (b"+OK\r\n", None),
        (b"+", Some(Kind::Simple)),
        (b"$3\r\nab", Some(Kind::Bulk)),
        (b">2\r\n+message\r\n", Some(Kind::Push)),
        // An attribute is no reply.
        (b"|1\r\n+a\r\n+b\r\n", None),
        (b"|1\r\n+a\r\n+b\r\n>", Some(Kind::Push)),
    ] {
        let (outcome, pending) = replies(start, &[]);
        assert_eq!(pending, kind);
        let ended = start.is_empty() || start == b"+OK\r\n";
        assert_eq!(outcome.between_messages, ended);
    }
}

#[test]
fn what_is_no_reply_is_malformed() {
    for (stream, reason) in [
        (&b"OK\r\n"[..], Malformed::RespType),
        (b"\r\n", Malformed::RespType),
        (b"\0", Malformed::RespType),
        (b";1\r\n", Malformed::RespType),
        // The end of something that has not begun, that says how many it has, or that lacks what an attribute speaks of.
        (b".\r\n", Malformed::RespType),
        (b"*1\r\n.\r\n", Malformed::RespType),
        (b"|1\r\n+a\r\n+b\r\n.\r\n", Malformed::RespType),
        (b"*?\r\n|1\r\n+a\r\n+b\r\n.\r\n", Malformed::RespType),
        // "always at top level"
        (b"*1\r\n>1\r\n+a\r\n", Malformed::RespType),
        (b"|1\r\n+a\r\n>1\r\n+a\r\n", Malformed::RespType),
        (b"$-2\r\n", Malformed::RespNumber),
        (b"$-0\r\n\r\n", Malformed::RespNumber),
        (b"$+1\r\na\r\n", Malformed::RespNumber),
        (b"$01\r\na\r\n", Malformed::RespNumber),
        (b"$\r\n", Malformed::RespNumber),
        (b"!-1\r\n", Malformed::RespNumber),
        (b"!?\r\n", Malformed::RespNumber),
        (b"=-1\r\n", Malformed::RespNumber),
        (b"*-2\r\n", Malformed::RespNumber),
        (b"%-1\r\n", Malformed::RespNumber),
        (b"~-1\r\n", Malformed::RespNumber),
        (b">-1\r\n", Malformed::RespNumber),
        (b">?\r\n", Malformed::RespNumber),
        (b"|-1\r\n", Malformed::RespNumber),
        (b"|?\r\n", Malformed::RespNumber),
        (b"$?\r\n;-1\r\n", Malformed::RespNumber),
        (b"$?\r\n;?\r\n", Malformed::RespNumber),
        (b"$?\r\n$1\r\n", Malformed::RespType),
        (b":\r\n", Malformed::RespNumber),
        (b":1.5\r\n", Malformed::RespNumber),
        (b":?\r\n", Malformed::RespNumber),
        (b":9223372036854775808\r\n", Malformed::RespNumber),
        (b":-9223372036854775809\r\n", Malformed::RespNumber),
        (b"$1\r\nab\r\n", Malformed::RespLineEnd),
        (b"$1\r\na\n", Malformed::RespLineEnd),
        (b"+a\rb\r\n", Malformed::RespLineEnd),
        (b"_x\r\n", Malformed::RespLineEnd),
        (b"#x\r\n", Malformed::RespType),
        (b"#tt\r\n", Malformed::RespLineEnd),
        (b"*?\r\n.\n", Malformed::RespLineEnd),
    ] {
        for sizes in [&[][..], &[1], &[3]] {
            let (outcome, pending) = replies(stream, sizes);
            assert_eq!(
                (outcome.messages.len(), outcome.malformed),
                (0, Some(reason)),
                "{}",
                stream.escape_ascii()
            );
            assert_eq!((pending, outcome.between_messages), (None, false));
        }
        let after = [b"+OK\r\n", stream].concat();
        let (outcome, _) = replies(&after, &[]);
        assert_eq!(
            (outcome.messages.len(), outcome.malformed),
            (1, Some(reason))
        );
    }
}
