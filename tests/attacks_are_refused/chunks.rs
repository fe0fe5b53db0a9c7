//! Chunked bodies: RFC 9112 section 7.1, and every liberty that somebody has taken with it. The head has been
//! passed on by the time that a chunk turns out wrong: the server must be left with half a request, never with a whole one.

use std::io::Write;

use crate::arena::{Arena, SMUGGLED, read_to_end, replies, status};
use crate::support::peer::connect;

const REFUSED: &[(&str, &str)] = &[
    ("0x before a size", "0x5\r\nhello\r\n0\r\n\r\n"),
    ("0_ before a size", "0_5\r\nhello\r\n0\r\n\r\n"),
    ("a plus before a size", "+5\r\nhello\r\n0\r\n\r\n"),
    ("a minus before a size", "-5\r\nhello\r\n0\r\n\r\n"),
    ("a minus before hexadecimal", "-0x0\r\n\r\n"),
    ("a space before a size", " 5\r\nhello\r\n0\r\n\r\n"),
    ("a tab before a size", "\t5\r\nhello\r\n0\r\n\r\n"),
    (
        "letters behind a size",
        "5these-bytes\r\nhello\r\n0\r\n\r\n",
    ),
    ("a word for a size", "Z\r\nhello\r\n0\r\n\r\n"),
    ("INVALID!!!", "INVALID!!!\r\n"),
    ("no size", "\r\n\r\n"),
    ("no size but an extension", ";a=b\r\nhello\r\n0\r\n\r\n"),
    (
        "a size of 17 digits",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
    ),
    (
        "a size beyond 64 bits",
        "ffffffffffffffff5\r\nhello\r\n0\r\n\r\n",
    ),
    ("a fraction", "5.0\r\nhello\r\n0\r\n\r\n"),
    ("LF behind a size", "5\nhello\r\n0\r\n\r\n"),
    ("CR behind a size", "5\rhello\r\n0\r\n\r\n"),
    (
        "CRCR before an extension",
        "5\r\r;ABCD\r\nhello\r\n0\r\n\r\n",
    ),
    ("a CR within an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
    (
        "CRCR for CRLF behind an extension",
        "5;a=b\r\rhello\r\n0\r\n\r\n",
    ),
    ("an LF within an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
    ("a NUL within an extension", "5;a\0b\r\nhello\r\n0\r\n\r\n"),
    (
        "a chunk that is longer than it says",
        "3\r\nhello\r\n0\r\n\r\n",
    ),
    (
        "a chunk that is two bytes longer",
        "5\r\nhelloXX\r\n0\r\n\r\n",
    ),
    (
        "two other bytes for a chunk's CRLF",
        "5\r\nhelloXX0\r\n\r\n",
    ),
    ("LF behind a chunk", "5\r\nhello\n0\r\n\r\n"),
    ("CR behind a chunk", "5\r\nhello\r0\r\n\r\n"),
    (
        "an empty line between chunks",
        "5\r\nhello\r\n\r\n0\r\n\r\n",
    ),
    ("LF behind the last size", "5\r\nhello\r\n0\n\r\n"),
    ("LF for the last line", "5\r\nhello\r\n0\r\n\n"),
    ("two other bytes for the last CRLF", "5\r\nhello\r\n0\r\nXX"),
    ("a trailer without a colon", "5\r\nhello\r\n0\r\nX\r\n\r\n"),
    ("a trailer without a name", "5\r\nhello\r\n0\r\n: a\r\n\r\n"),
    (
        "a space before a trailer's colon",
        "5\r\nhello\r\n0\r\nX : a\r\n\r\n",
    ),
    ("a folded trailer", "5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n"),
    (
        "a bare LF in a trailer",
        "5\r\nhello\r\n0\r\nX: a\nY: b\r\n\r\n",
    ),
    (
        "a bare CR in a trailer",
        "5\r\nhello\r\n0\r\nX: a\rY: b\r\n\r\n",
    ),
    ("a NUL in a trailer", "5\r\nhello\r\n0\r\nX: a\0\r\n\r\n"),
    (
        "a request as a trailer's name",
        "5\r\nhello\r\n0\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
];

const HEAD: &str = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn chunks_that_can_be_read_in_two_ways_never_complete_a_request() {
    let mut arena = Arena::new();
    for (what, chunks) in REFUSED {
        // At once, and with the head gone ahead, so that the server has half of it already.
        for ahead in [false, true] {
            let before = arena.refused();
            let mut stream = connect(arena.address());
            let body = format!("{chunks}{SMUGGLED}");
            if ahead {
                let sent = arena.recorder.bytes();
                stream.write_all(HEAD.as_bytes()).unwrap();
                crate::support::eventually("the head has arrived", || {
                    (arena.recorder.bytes() > sent).then_some(())
                });
                let _ = stream.write_all(body.as_bytes());
            } else {
                let _ = stream.write_all(format!("{HEAD}{body}").as_bytes());
            }
            let said = read_to_end(&mut stream);
            // The kernel may drop a reply with bytes behind it that nobody has read.
            assert!(matches!(status(&said), 0 | 400), "{what}: {said:?}");
            assert!(replies(&said) <= 1, "{what}: {said:?}");
            crate::support::eventually(what, || (arena.refused() == before + 1).then_some(()));
            assert_eq!(arena.arrived(), [], "{what} completed a request");
            arena.bystander_is_served();
            arena.recorder.clear();
        }
    }
    arena.memory_is_flat();
}

/// What is allowed, and must not be passed on as it came.
#[test]
fn extensions_are_dropped_and_sizes_are_kept_in_their_meaning() {
    let mut arena = Arena::new();
    let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "e".repeat(500));
    let bodies = [
        ("an extension", "5;a=b\r\nhello\r\n0\r\n\r\n"),
        ("a quoted one", "5;a=\"b c\"\r\nhello\r\n0;last\r\n\r\n"),
        ("a long one", &long),
        ("zeros before a size", "0005\r\nhello\r\n000\r\n\r\n"),
        ("capitals", "5\r\nhello\r\n0\r\n\r\n"),
        ("two chunks", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
        ("a trailer", "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"),
        (
            "a trailer that is none",
            "5\r\nhello\r\n0\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\nHost: b\r\nX-Sum: 1\r\n\r\n",
        ),
    ];
    for (what, chunks) in bodies {
        let said = arena.send(format!("{HEAD}{chunks}{SMUGGLED}").as_bytes());
        let arrived = arena.arrived();
        if status(&said) == 400 {
            // Strictness is allowed, half a request is not.
            assert!(arrived.is_empty(), "{what}: {arrived:?}");
            continue;
        }
        assert_eq!(
            (status(&said), replies(&said)),
            (200, 2),
            "{what}: {said:?}"
        );
        assert_eq!(arrived[0].body, b"hello", "{what}");
        assert_eq!(arrived[1].line, "GET /smuggled HTTP/1.1", "{what}");
        let trailers: Vec<&str> = arrived[0]
            .trailers
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert!(
            trailers.iter().all(|name| *name == "x-sum"),
            "{what}: {trailers:?}"
        );
        arena.bystander_is_served();
        arena.recorder.clear();
    }
}

/// Go's CVE-2023-39326: extensions without end, of chunks of one byte.
#[test]
fn extensions_without_end_are_refused() {
    let mut arena = Arena::new();
    let before = arena.refused();
    let mut stream = connect(arena.address());
    stream.write_all(format!("{HEAD}1;").as_bytes()).unwrap();
    let extension = [b'e'; 16 * 1024];
    let mut sent = 0;
    while sent < 64 << 20 && stream.write_all(&extension).is_ok() {
        sent += extension.len();
    }
    assert!(sent < 64 << 20, "it reads for ever");
    crate::support::eventually("it is counted", || {
        (arena.refused() == before + 1).then_some(())
    });
    assert_eq!(arena.arrived(), []);
    arena.bystander_is_served();
    arena.memory_is_flat();
}

/// The same for trailers.
#[test]
fn trailers_without_end_are_refused() {
    let mut arena = Arena::new();
    let before = arena.refused();
    let mut stream = connect(arena.address());
    stream.write_all(format!("{HEAD}0\r\n").as_bytes()).unwrap();
    let trailer = b"X-Trailer: something of some length\r\n".repeat(400);
    let mut sent = 0;
    while sent < 64 << 20 && stream.write_all(&trailer).is_ok() {
        sent += trailer.len();
    }
    assert!(sent < 64 << 20, "it reads for ever");
    crate::support::eventually("it is counted", || {
        (arena.refused() == before + 1).then_some(())
    });
    assert_eq!(arena.arrived(), []);
    arena.bystander_is_served();
    arena.memory_is_flat();
}
