//! Servers that lie. A reply that can be read in two ways is refused with 502 and its connection is not used again;
//! what a server says beyond its reply is nobody's.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::arena::{read_to_end, replies, status};
use crate::support::eventually;
use crate::support::peer::{connect, scripted};
use crate::support::proxy::Proxy;

/// Heads that make no sense: the client gets a 502 and none of it.
const REFUSED: &[(&str, &[u8])] = &[
    ("no HTTP", b"hello\r\n\r\n"),
    ("another version", b"HTTP/3.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("a status of two digits", b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("a status of four", b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("a status of letters", b"HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok"),
    ("both framings", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    ("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"),
    ("a length with a plus", b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok"),
    ("a length of nothing", b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok"),
    ("a space before a colon", b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok"),
    ("a folded line", b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok"),
    ("a bare LF", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
    ("a bare CR in a value", b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok"),
    ("a NUL in a value", b"HTTP/1.1 200 OK\r\nX: a\0\r\nContent-Length: 2\r\n\r\nok"),
    ("a line without a colon", b"HTTP/1.1 200 OK\r\nX\r\nContent-Length: 2\r\n\r\nok"),
    ("chunked before another", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    ("a tunnel that nobody asked for", b"HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nok"),
    ("an end without a word", b""),
];

#[test]
fn replies_that_can_be_read_in_two_ways_become_502() {
    for (what, answer) in REFUSED {
        let answer: &'static [u8] = answer;
        let used = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&used);
        let server = scripted(move |mut stream| {
            counter.fetch_add(1, Ordering::Relaxed);
            while read_head(&mut stream).is_some() {
                if answer.is_empty() || stream.write_all(answer).is_err() {
                    return;
                }
            }
        });
        let proxy = Proxy::in_front_of("http", server);
        let mut client = connect(proxy.address("http"));
        for _ in 0..2 {
            client
                .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                .unwrap();
            let said = read_reply(&mut client);
            assert!(matches!(status(&said), 502 | 503), "{what}: {said:?}");
            assert!(!said.contains("Set-Cookie"), "{what}: {said:?}");
        }
        assert!(
            used.load(Ordering::Relaxed) >= 2,
            "{what}: the connection was used again"
        );
        let stats = proxy.stats();
        stats.expect("http.http.downstream_rq_5xx", 2);
        if !answer.is_empty() {
            let errors = stats.value("cluster.http.upstream_cx_protocol_error");
            assert!(errors >= 2, "{what}: {errors} counted");
        }
    }
}

/// A second reply behind the first, for the next one who asks.
#[test]
fn what_a_server_says_unasked_reaches_nobody() {
    let server = scripted(|mut stream| {
        while read_head(&mut stream).is_some() {
            let two = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
            if stream.write_all(two).is_err() {
                return;
            }
        }
    });
    let proxy = Proxy::in_front_of("http", server);
    for _ in 0..20 {
        let mut client = connect(proxy.address("http"));
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .unwrap();
        let said = read_to_end(&mut client);
        assert!(said.ends_with("\r\n\r\nok"), "{said:?}");
        assert_eq!(replies(&said), 1);
    }
}

/// The same, a moment later, when the connection is idle.
#[test]
fn what_an_idle_connection_says_reaches_nobody() {
    let said_more = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&said_more);
    let server = scripted(move |mut stream| {
        while read_head(&mut stream).is_some() {
            for body in [
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
            ] {
                std::thread::sleep(std::time::Duration::from_millis(20));
                if stream.write_all(body.as_bytes()).is_err() {
                    return;
                }
            }
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    let proxy = Proxy::in_front_of("http", server);
    for number in 1..=10 {
        let mut client = connect(proxy.address("http"));
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .unwrap();
        let said = read_to_end(&mut client);
        assert!(said.ends_with("\r\n\r\nok"), "{said:?}");
        // A request that goes out before it comes could not be told from the one that it answers.
        eventually("the server says more", || {
            (said_more.load(Ordering::Relaxed) == number).then_some(())
        });
    }
}

/// Chunks of a server that are none: the client's reply breaks off, it is never completed.
#[test]
fn chunks_of_a_server_that_are_none_break_the_reply_off() {
    let wrong: &[&[u8]] = &[
        b"0x2\r\nok\r\n0\r\n\r\n",
        b"-2\r\nok\r\n0\r\n\r\n",
        b"2\r\nokXX0\r\n\r\n",
        b"2\nok\n0\n\n",
        b"2\r\nok\r\n\r\n",
        b"2;a\rb\r\nok\r\n0\r\n\r\n",
        b"11111111111111111\r\nok\r\n0\r\n\r\n",
        b"2\r\nok\r\n0\r\nX : a\r\n\r\n",
    ];
    for chunks in wrong {
        let chunks: &'static [u8] = chunks;
        let server = scripted(move |mut stream| {
            while read_head(&mut stream).is_some() {
                let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                if stream.write_all(&[head, chunks].concat()).is_err() {
                    return;
                }
            }
        });
        let proxy = Proxy::in_front_of("http", server);
        let mut client = connect(proxy.address("http"));
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        let said = read_to_end(&mut client);
        let whole = status(&said) == 200 && said.ends_with("0\r\n\r\n");
        assert!(
            !whole,
            "{:?} became {said:?}",
            String::from_utf8_lossy(chunks)
        );
    }
}

/// 1xx without end: the client may get them, memory does not grow, and the request ends at its timeout at the latest.
#[test]
fn interim_replies_without_end_cost_no_memory() {
    let server = scripted(|mut stream| {
        if read_head(&mut stream).is_none() {
            return;
        }
        let hints =
            b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n".repeat(200);
        let mut sent = 0;
        while sent < 256 << 20 && stream.write_all(&hints).is_ok() {
            sent += hints.len();
        }
    });
    let proxy = Proxy::in_front_of("http", server);
    let before = proxy.resident_bytes();
    let mut client = connect(proxy.address("http"));
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut buffer = vec![0; 64 * 1024];
    let mut read = 0;
    // It may also end it: Envoy calls that a response flood.
    while let Ok(n @ 1..) = client.read(&mut buffer) {
        read += n;
        if read > 64 << 20 {
            break;
        }
    }
    let grown = proxy.resident_bytes().saturating_sub(before);
    assert!(grown < 2 << 20, "memory grew by {grown} bytes");
}

/// A head without end from a server is a limit as well.
#[test]
fn a_reply_whose_head_does_not_end_becomes_502() {
    let server = scripted(|mut stream| {
        if read_head(&mut stream).is_none() {
            return;
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        let line = b"X-Field: something of some length to fill a head with\r\n".repeat(50);
        while stream.write_all(&line).is_ok() {}
    });
    let proxy = Proxy::in_front_of("http", server);
    let mut client = connect(proxy.address("http"));
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let said = read_reply(&mut client);
    assert_eq!(status(&said), 502, "{said:?}");
}

/// Up to the empty line, byte by byte.
fn read_head(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    Some(head)
}

/// One reply with its body by length; what came when the other side closes before.
fn read_reply(stream: &mut std::net::TcpStream) -> String {
    let Some(head) = read_head(stream) else {
        return String::new();
    };
    let head = String::from_utf8_lossy(&head).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let length = name
            .eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse())?;
        length.ok()
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).unwrap();
    head + &String::from_utf8_lossy(&body)
}
