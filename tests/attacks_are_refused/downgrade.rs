//! From HTTP/2 to HTTP/1.1: fields that were bytes in a frame become lines of a head, and whatever could end such a
//! line, or say another length than the stream's, must be stopped on the way (RFC 9113 sections 8.2 and 8.3).

use crate::arena::{Arena, refused};
use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, End, Frames, HEADERS, PROTOCOL_ERROR, block,
    request_fields,
};

type Field = (&'static str, &'static [u8]);

/// Fields of a request that is in order otherwise.
const REFUSED_FIELDS: &[(&str, Field)] = &[
    ("CRLF in a value", ("x", b"a\r\nTransfer-Encoding: chunked")),
    (
        "a head's end in a value",
        ("x", b"a\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a"),
    ),
    ("CR in a value", ("x", b"a\rb")),
    ("LF in a value", ("x", b"a\nb")),
    ("NUL in a value", ("x", b"a\0b")),
    ("CRLF in a name", ("x: 1\r\ntransfer-encoding", b"chunked")),
    ("LF in a name", ("x\ny", b"a")),
    ("a colon in a name", ("x: y", b"a")),
    ("a colon at the end of a name", ("x:", b"a")),
    ("a space in a name", ("x y", b"a")),
    ("a tab in a name", ("x\ty", b"a")),
    ("a NUL in a name", ("x\0", b"a")),
    ("a capital in a name", ("X-Capital", b"a")),
    ("no name", ("", b"a")),
    ("a letter beyond ASCII in a name", ("x\u{e4}", b"a")),
    ("connection", ("connection", b"close")),
    ("transfer-encoding", ("transfer-encoding", b"chunked")),
    ("keep-alive", ("keep-alive", b"timeout=5")),
    ("proxy-connection", ("proxy-connection", b"keep-alive")),
    ("upgrade", ("upgrade", b"websocket")),
    ("te that asks for more than trailers", ("te", b"gzip")),
    ("a pseudo field that nobody knows", (":proto", b"x")),
    ("a pseudo field of replies", (":status", b"200")),
    ("a pseudo field behind a plain one", (":path", b"/smuggled")),
    ("a length that is none", ("content-length", b"x")),
    ("a length with a plus", ("content-length", b"+0")),
    (
        "a length beyond 64 bits",
        ("content-length", b"18446744073709551616"),
    ),
    ("another host", ("host", b"b")),
    ("an underscore for a hyphen", ("content_length", b"5")),
];

#[test]
fn fields_that_would_become_something_else_in_a_head_are_refused() {
    let mut arena = Arena::new();
    for (what, (name, value)) in REFUSED_FIELDS {
        let mut fields: Vec<(Vec<u8>, Vec<u8>)> = owned(&request_fields("GET", "/x"));
        fields.push((name.as_bytes().to_vec(), value.to_vec()));
        expect_refused(&mut arena, what, &fields);
    }
    arena.memory_is_flat();
}

/// The four pseudo fields, one of them wrong; and what is left out or there twice.
#[test]
fn pseudo_fields_that_are_none_are_refused() {
    let mut arena = Arena::new();
    let good = request_fields("GET", "/x");
    let wrong: &[(&str, &str, &str)] = &[
        (
            "a request in the method",
            ":method",
            "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\nGET",
        ),
        ("a space in the method", ":method", "GET /smuggled"),
        ("an empty method", ":method", ""),
        (
            "a request in the path",
            ":path",
            "/x HTTP/1.1\r\nHost: a\r\n\r\nGET /smuggled",
        ),
        ("a space in the path", ":path", "/x HTTP/1.1"),
        ("a tab in the path", ":path", "/x\tHTTP/1.1"),
        ("an empty path", ":path", ""),
        ("a path without a slash", ":path", "x"),
        ("a control character in the path", ":path", "/\u{1}"),
        (
            "CRLF in the authority",
            ":authority",
            "a\r\nTransfer-Encoding: chunked",
        ),
        ("a space in the authority", ":authority", "a b"),
        ("a slash in the authority", ":authority", "a/smuggled"),
        ("user and password in the authority", ":authority", "x:y@a"),
        ("CRLF in the scheme", ":scheme", "http\r\nX: a"),
        ("CONNECT, which is not allowed", ":method", "CONNECT"),
    ];
    for (what, name, value) in wrong {
        let fields: Vec<(&str, &str)> = good
            .iter()
            .map(|(key, old)| (*key, if key == name { *value } else { *old }))
            .collect();
        expect_refused(&mut arena, what, &owned(&fields));
    }
    for left_out in [":method", ":path", ":scheme"] {
        let fields: Vec<(&str, &str)> = good
            .iter()
            .copied()
            .filter(|(key, _)| *key != left_out)
            .collect();
        expect_refused(&mut arena, &format!("no {left_out}"), &owned(&fields));
    }
    for twice in [":method", ":path", ":authority"] {
        let mut fields = good.clone();
        fields.push(*good.iter().find(|(key, _)| *key == twice).unwrap());
        expect_refused(&mut arena, &format!("{twice} twice"), &owned(&fields));
    }
    let mut two = good.clone();
    two.push(("content-length", "0"));
    two.push(("content-length", "5"));
    expect_refused(&mut arena, "two lengths", &owned(&two));
    arena.memory_is_flat();
}

/// What is let through has one meaning in HTTP/1.1.
#[test]
fn fields_that_pass_are_lines_of_their_own() {
    let mut arena = Arena::new();
    let mut fields = owned(&request_fields("GET", "/x"));
    for (name, value) in [
        ("x-space", "  a  "),
        ("x-tab", "\ta\t"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("te", "trailers"),
        ("content-length", "0"),
    ] {
        fields.push((name.into(), value.into()));
    }
    let mut client = Frames::connect(arena.address());
    client
        .send(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields))
        .unwrap();
    let end = client.end_of(1);
    let arrived = arena.arrived();
    // Spaces around a value may be refused (RFC 9113 section 8.2.1), or removed.
    if end == End::Reply(200) {
        assert_eq!(arrived.len(), 1);
        assert_eq!(arrived[0].field("x-space"), Some("a"));
        assert_eq!(arrived[0].field("cookie"), Some("a=1; b=2"));
    } else {
        assert!(end.is_refusal(), "{end:?}");
        assert_eq!(arrived, []);
    }
    arena.bystander_is_served();
}

/// The length that was said, and another one that comes.
#[test]
fn a_body_of_another_length_than_it_said_never_completes() {
    let mut arena = Arena::new();
    for (said, sent) in [(5, 4), (5, 6), (0, 5), (1_000_000, 10)] {
        let mut fields = owned(&request_fields("POST", "/x"));
        fields.push((b"content-length".to_vec(), said.to_string().into_bytes()));
        let mut client = Frames::connect(arena.address());
        client
            .send(HEADERS, END_HEADERS, 1, &block(&fields))
            .unwrap();
        client.send(DATA, END_STREAM, 1, &vec![b'x'; sent]).unwrap();
        let end = client.end_of(1);
        assert!(end.is_refusal(), "{sent} for {said}: {end:?}");
        assert_eq!(arena.arrived(), [], "{sent} for {said}");
        arena.bystander_is_served();
        arena.recorder.clear();
    }
    // And no body at all where one was said.
    let mut fields = owned(&request_fields("POST", "/x"));
    fields.push((b"content-length".to_vec(), b"5".to_vec()));
    expect_refused(&mut arena, "a length and no body", &fields);
}

/// A body that looks like requests stays a body: chunks are the proxy's, or the length is.
#[test]
fn a_body_that_looks_like_a_request_is_a_body() {
    let mut arena = Arena::new();
    let body = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for length in [None, Some(body.len())] {
        let mut fields = owned(&request_fields("POST", "/x"));
        if let Some(length) = length {
            fields.push((b"content-length".to_vec(), length.to_string().into_bytes()));
        }
        let mut client = Frames::connect(arena.address());
        client
            .send(HEADERS, END_HEADERS, 1, &block(&fields))
            .unwrap();
        client.send(DATA, END_STREAM, 1, body).unwrap();
        assert_eq!(client.end_of(1), End::Reply(200));
        let arrived = arena.arrived();
        assert_eq!(arrived.len(), 1, "{arrived:?}");
        assert_eq!(arrived[0].body, body);
        arena.bystander_is_served();
        arena.recorder.clear();
    }
}

/// Trailers with what belongs into heads.
#[test]
fn trailers_do_not_bring_framing_or_routing() {
    let mut arena = Arena::new();
    let bad: &[&[(&str, &str)]] = &[
        &[("x", "a\r\nX-Other: b")],
        &[("transfer-encoding", "chunked")],
        &[("X-Capital", "a")],
    ];
    for trailers in bad {
        let mut client = Frames::connect(arena.address());
        client
            .send(
                HEADERS,
                END_HEADERS,
                1,
                &block(&request_fields("POST", "/x")),
            )
            .unwrap();
        client.send(DATA, 0, 1, b"hello").unwrap();
        client
            .send(HEADERS, END_HEADERS | END_STREAM, 1, &block(trailers))
            .unwrap();
        let end = client.end_of(1);
        assert!(end.is_refusal(), "{trailers:?}: {end:?}");
        assert_eq!(arena.arrived(), [], "{trailers:?}");
        arena.bystander_is_served();
        arena.recorder.clear();
    }
    // A path, a length or a host among them is dropped, or the whole refused.
    let mut client = Frames::connect(arena.address());
    client
        .send(
            HEADERS,
            END_HEADERS,
            1,
            &block(&request_fields("POST", "/x")),
        )
        .unwrap();
    client.send(DATA, 0, 1, b"hello").unwrap();
    let trailers = block(&[
        (":path", "/smuggled"),
        ("content-length", "50"),
        ("host", "b"),
        ("x-sum", "1"),
    ]);
    client
        .send(HEADERS, END_HEADERS | END_STREAM, 1, &trailers)
        .unwrap();
    let end = client.end_of(1);
    for request in arena.arrived() {
        assert_eq!(end, End::Reply(200));
        assert_eq!(request.line, "POST /x HTTP/1.1");
        assert_eq!(request.body, b"hello");
        assert!(
            request.trailers.iter().all(|(name, _)| name == "x-sum"),
            "{request:?}"
        );
    }
}

/// Kind, flags, stream and payload of a frame.
type Sent<'a> = (u8, u8, u32, &'a [u8]);

/// Frames of a block must follow each other; what comes between is an error of the connection.
#[test]
fn frames_out_of_their_order_end_the_connection() {
    let mut arena = Arena::new();
    let block = block(&request_fields("GET", "/x"));
    let (first, rest) = block.split_at(5);
    let attacks: [(&str, Vec<Sent<'_>>); 6] = [
        (
            "DATA within a block",
            vec![
                (HEADERS, 0, 1, first),
                (DATA, 0, 1, b"x"),
                (CONTINUATION, END_HEADERS, 1, rest),
            ],
        ),
        (
            "another stream within a block",
            vec![(HEADERS, 0, 1, first), (CONTINUATION, END_HEADERS, 3, rest)],
        ),
        (
            "CONTINUATION of nothing",
            vec![(CONTINUATION, END_HEADERS, 1, &block)],
        ),
        ("DATA of no stream", vec![(DATA, END_STREAM, 0, b"x")]),
        (
            "DATA of a stream that is idle",
            vec![(DATA, END_STREAM, 7, b"x")],
        ),
        (
            "a request on an even stream",
            vec![(HEADERS, END_HEADERS | END_STREAM, 2, &block)],
        ),
    ];
    for (what, frames) in attacks {
        let mut client = Frames::connect(arena.address());
        for (kind, flags, stream, payload) in frames {
            let _ = client.send(kind, flags, stream, payload);
        }
        let code = client.drain();
        assert!(
            code.is_none_or(|code| code == PROTOCOL_ERROR),
            "{what}: {code:?}"
        );
        assert_eq!(arena.arrived(), [], "{what}");
        arena.bystander_is_served();
    }
}

#[track_caller]
fn expect_refused(arena: &mut Arena, what: &str, fields: &[(Vec<u8>, Vec<u8>)]) {
    let before = refusals(arena);
    let mut client = Frames::connect(arena.address());
    client
        .send(HEADERS, END_HEADERS | END_STREAM, 1, &block(fields))
        .unwrap();
    let end = client.end_of(1);
    assert!(end.is_refusal(), "{what}: {end:?}");
    crate::support::eventually("it is counted", || {
        (refusals(arena) == before + 1).then_some(())
    });
    assert_eq!(arena.arrived(), [], "{what} reached the server");
    arena.bystander_is_served();
    arena.recorder.clear();
}

/// Requests that were refused, by the proxy or by h2.
fn refusals(arena: &Arena) -> i64 {
    let stats = arena.proxy.stats();
    refused(&stats)
        + stats.value("http.edge.http2.streams_refused")
        + stats.value("http.edge.http2.rx_messaging_error")
}

fn owned(fields: &[(&str, &str)]) -> Vec<(Vec<u8>, Vec<u8>)> {
    fields
        .iter()
        // A byte a character.
        .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
        .collect()
}
