//! Limits: what lies at one passes, one beyond is refused with the status that says so.

use crate::arena::{Arena, replies, status};

/// Bytes of a head, of Envoy's `max_request_headers_kb`, and fields, of its `max_headers_count`.
const MAX_HEAD: usize = 60 * 1024;
const MAX_FIELDS: usize = 100;
const MAX_REQUEST_LINE: usize = 8 * 1024;

#[test]
fn a_head_at_the_limit_passes_and_a_byte_more_is_431() {
    let mut arena = Arena::new();
    let head = |size: usize| {
        let mut head = "GET /x HTTP/1.1\r\nHost: a\r\n".to_string();
        // Several fields, of which the last fills it up.
        for number in 0..6 {
            head += &format!("X-{number}: {}\r\n", "x".repeat(8_000));
        }
        head += "X: ";
        head += &"x".repeat(size - head.len() - 4);
        head + "\r\n\r\n"
    };
    assert_eq!(head(MAX_HEAD).len(), MAX_HEAD);
    for _ in 0..20 {
        let said = arena.send(head(MAX_HEAD).as_bytes());
        assert_eq!(status(&said), 200, "{said:?}");
        arena.recorder.clear();
        arena.expect_refused("a byte too many", head(MAX_HEAD + 1).as_bytes(), &[431]);
    }
    arena.expect_refused("a megabyte", head(1 << 20).as_bytes(), &[431, 0]);
    arena.memory_is_flat();
}

#[test]
fn a_hundred_fields_pass_and_one_more_is_431() {
    let mut arena = Arena::new();
    let head = |fields: usize| {
        let mut head = "GET /x HTTP/1.1\r\nHost: a\r\n".to_string();
        for number in 1..fields {
            head += &format!("X-{number}: 1\r\n");
        }
        head + "\r\n"
    };
    let said = arena.send(head(MAX_FIELDS).as_bytes());
    assert_eq!(status(&said), 200, "{said:?}");
    arena.recorder.clear();
    arena.expect_refused("a field too many", head(MAX_FIELDS + 1).as_bytes(), &[431]);
    arena.expect_refused("ten thousand fields", head(10_000).as_bytes(), &[431, 0]);
    arena.memory_is_flat();
}

#[test]
fn a_target_at_the_limit_passes_and_a_longer_one_is_414() {
    let mut arena = Arena::new();
    // The line with its CRLF, or without it: a few bytes to either side are nobody's business.
    let head = |line: usize| {
        let target = "x".repeat(line - "GET / HTTP/1.1".len());
        format!("GET /{target} HTTP/1.1\r\nHost: a\r\n\r\n")
    };
    let said = arena.send(head(MAX_REQUEST_LINE - 2).as_bytes());
    assert_eq!(status(&said), 200, "{said:?}");
    arena.recorder.clear();
    arena.expect_refused(
        "a line too long",
        head(MAX_REQUEST_LINE + 1).as_bytes(),
        &[414],
    );
    arena.expect_refused(
        "a line without end",
        "GET /"
            .to_string()
            .as_bytes()
            .iter()
            .copied()
            .chain([b'x'; 100_000])
            .collect::<Vec<_>>()
            .as_slice(),
        &[414, 0],
    );
    arena.memory_is_flat();
}

/// The numbers are the config's when it has some.
#[test]
fn limits_can_be_set() {
    let mut arena = Arena::with("max_head: 2KiB, max_headers: 5");
    let fields = |count: usize| {
        let fields: String = (1..count)
            .map(|number| format!("X-{number}: 1\r\n"))
            .collect();
        format!("GET /x HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
    };
    assert_eq!(status(&arena.send(fields(5).as_bytes())), 200);
    arena.recorder.clear();
    arena.expect_refused("a sixth field", fields(6).as_bytes(), &[431]);
    let padded = |size: usize| {
        let head = "GET /x HTTP/1.1\r\nHost: a\r\nX: ";
        format!("{head}{}\r\n\r\n", "x".repeat(size - head.len() - 4))
    };
    assert_eq!(status(&arena.send(padded(2048).as_bytes())), 200);
    arena.recorder.clear();
    arena.expect_refused("a byte too many", padded(2049).as_bytes(), &[431]);
}

#[test]
fn a_body_at_the_limit_passes_and_a_byte_more_is_413() {
    let mut arena = Arena::with("max_body: 10KiB");
    let sized = |size: usize| {
        format!(
            "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n{}",
            "x".repeat(size)
        )
    };
    let said = arena.send(sized(10 * 1024).as_bytes());
    assert_eq!(status(&said), 200, "{said:?}");
    assert_eq!(arena.arrived()[0].body.len(), 10 * 1024);
    arena.recorder.clear();
    // Said in advance: it is refused before a byte of it goes on.
    let before = arena
        .proxy
        .stats()
        .value("http.edge.downstream_rq_too_large");
    let said = arena.send(sized(10 * 1024 + 1).as_bytes());
    assert_eq!((status(&said), replies(&said)), (413, 1), "{said:?}");
    assert_eq!(arena.arrived(), []);
    arena.expect_counted("http.edge.downstream_rq_too_large", before);
    // In chunks it is found out on the way: the server is left with half a request.
    let chunked = |size: usize| {
        let chunks = format!("400\r\n{}\r\n", "x".repeat(1024)).repeat(size / 1024);
        format!(
            "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
        )
    };
    let said = arena.send(chunked(10 * 1024).as_bytes());
    assert_eq!(status(&said), 200, "{said:?}");
    arena.recorder.clear();
    let said = arena.send(chunked(11 * 1024).as_bytes());
    assert!(matches!(status(&said), 413 | 0), "{said:?}");
    assert_eq!(arena.arrived(), []);
    arena.expect_counted("http.edge.downstream_rq_too_large", before + 1);
    arena.bystander_is_served();
    arena.memory_is_flat();
}

#[test]
fn underscores_are_refused_dropped_or_passed_as_the_config_says() {
    let request = b"GET /x HTTP/1.1\r\nHost: a\r\nX_One: 1\r\nX-Two: 2\r\n\r\n";
    let mut arena = Arena::new();
    arena.expect_refused("an underscore", request, &[400]);
    for (choice, passes) in [("drop", false), ("allow", true)] {
        let arena = Arena::with(&format!("underscores: {choice}"));
        let said = arena.send(request);
        assert_eq!(status(&said), 200, "{choice}: {said:?}");
        let arrived = arena.arrived();
        assert_eq!(arrived[0].field("x_one").is_some(), passes, "{choice}");
        assert_eq!(arrived[0].field("x-two"), Some("2"), "{choice}");
    }
}
