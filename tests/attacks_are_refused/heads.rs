//! Heads that two programs could read in two ways: RFC 9112, and what the HTTP Garden and Http11Probe have
//! found servers and proxies to disagree about.

use crate::arena::{Arena, SMUGGLED, replies, status};

/// Of a POST whose other fields are in order: these lines more.
const REFUSED_FIELDS: &[(&str, &str)] = &[
    // Content-Length: RFC 9110 section 8.6, digits only.
    ("a length with a plus", "Content-Length: +5\r\n"),
    ("a length with a minus", "Content-Length: -5\r\n"),
    ("a length with an underscore", "Content-Length: 1_0\r\n"),
    ("a length in hexadecimal", "Content-Length: 0x5\r\n"),
    ("a length with a letter behind", "Content-Length: 5Z\r\n"),
    ("a length with a space within", "Content-Length: 5 5\r\n"),
    ("a length with a fraction", "Content-Length: 5.0\r\n"),
    ("a length of nothing", "Content-Length:\r\n"),
    ("a length of a space", "Content-Length: \r\n"),
    (
        "a length beyond 64 bits",
        "Content-Length: 18446744073709551616\r\n",
    ),
    (
        "a length of 30 digits",
        "Content-Length: 000000000000000000000000000005x\r\n",
    ),
    ("a length in other digits", "Content-Length: \u{665}\r\n"),
    (
        "two lengths, the first longer",
        "Content-Length: 5\r\nContent-Length: 0\r\n",
    ),
    (
        "two lengths, the first shorter",
        "Content-Length: 0\r\nContent-Length: 5\r\n",
    ),
    ("two lengths in one line", "Content-Length: 5, 0\r\n"),
    (
        "an empty length before one",
        "Content-Length:\r\nContent-Length: 5\r\n",
    ),
    ("a comma before a length", "Content-Length: ,5\r\n"),
    // Both framings: RFC 9112 section 6.1.
    (
        "chunked behind a length",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    ),
    (
        "chunked before a length",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    ),
    (
        "something else and a length",
        "Transfer-Encoding: identity\r\nContent-Length: 5\r\n",
    ),
    (
        "chunked behind a comma, and a length",
        "Transfer-Encoding: ,chunked\r\nContent-Length: 5\r\n",
    ),
    // Transfer-Encoding: section 6.1, chunked at the end and once.
    (
        "a coding that is not known",
        "Transfer-Encoding: xchunked\r\n",
    ),
    ("another that is not known", "Transfer-Encoding: blegh\r\n"),
    ("identity", "Transfer-Encoding: identity\r\n"),
    (
        "chunked before another",
        "Transfer-Encoding: chunked, identity\r\n",
    ),
    (
        "chunked before gzip",
        "Transfer-Encoding: chunked, gzip\r\n",
    ),
    (
        "chunked twice in a line",
        "Transfer-Encoding: chunked, chunked\r\n",
    ),
    (
        "chunked twice",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    ),
    (
        "chunked, then another line",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    ),
    (
        "another line, then chunked, then one",
        "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: y\r\n",
    ),
    ("a coding of nothing", "Transfer-Encoding:\r\n"),
    (
        "a vertical tab before chunked",
        "Transfer-Encoding: \u{b}chunked\r\n",
    ),
    (
        "a vertical tab behind chunked",
        "Transfer-Encoding: chunked\u{b}\r\n",
    ),
    (
        "a form feed before chunked",
        "Transfer-Encoding: \u{c}chunked\r\n",
    ),
    ("chunked in quotes", "Transfer-Encoding: \"chunked\"\r\n"),
    (
        "chunked with a parameter",
        "Transfer-Encoding: chunked;q=1\r\n",
    ),
    ("chunked with dots", "Transfer-Encoding: chunked...\r\n"),
    // Section 5.1: no space between name and colon.
    ("a space before the colon", "Content-Length : 5\r\n"),
    ("a tab before the colon", "Transfer-Encoding\t: chunked\r\n"),
    ("a space before a colon of nothing", "X : 1\r\n"),
    // Section 5.2: no line folding.
    ("a folded line", "X: a\r\n b\r\n"),
    ("a line folded with a tab", "X: a\r\n\tb\r\n"),
    ("a folded coding", "Transfer-Encoding:\r\n chunked\r\n"),
    (
        "a name over two lines",
        "Transfer-\r\nEncoding: chunked\r\n",
    ),
    // Section 2.2: lines end with CRLF.
    (
        "a bare LF behind a field",
        "X: a\nTransfer-Encoding: chunked\r\n",
    ),
    (
        "a bare CR within a value",
        "X: a\rTransfer-Encoding: chunked\r\n",
    ),
    ("a bare CR at the end of a value", "X: a\r\r\n"),
    ("a bare CR before a name", "\rX: a\r\n"),
    ("a CR within a name", "X\rY: a\r\n"),
    ("LF, LF and a request", "X:\n\nGET /smuggled HTTP/1.1\r\n"),
    ("a NUL within a value", "X: a\0b\r\n"),
    ("a NUL at the end of a value", "X: a\0\r\n"),
    ("a NUL within a name", "X\0Y: a\r\n"),
    ("a control character in a value", "X: a\u{1}b\r\n"),
    ("DEL in a value", "X: a\u{7f}b\r\n"),
    // Names: RFC 9110 section 5.1.
    ("a line without a colon", "Content-Length 5\r\n"),
    ("a word", "X\r\n"),
    ("no name", ": a\r\n"),
    ("nothing but a colon", ":\r\n"),
    ("a space within a name", "X Y: a\r\n"),
    ("parentheses in a name", "X(Y): a\r\n"),
    ("an at sign in a name", "X@: a\r\n"),
    ("a bracket in a name", "X[0]: a\r\n"),
    ("a quote in a name", "X\"Y: a\r\n"),
    ("a slash in a name", "X/Y: a\r\n"),
    ("a letter beyond ASCII in a name", "\u{ef}oo: a\r\n"),
    ("a line separator in a name", "Content-Length\u{85}: 5\r\n"),
    // Servers that make one of both: Envoy's headers_with_underscores_action at the edge.
    ("an underscore for a hyphen", "Content_Length: 5\r\n"),
    ("another underscore", "Transfer_Encoding: chunked\r\n"),
    // Host: RFC 9112 section 3.2.
    ("a second host", "Host: b\r\n"),
    ("a second host that is the same", "Host: a\r\n"),
];

#[test]
fn fields_that_can_be_read_in_two_ways_are_refused() {
    let mut arena = Arena::new();
    for (what, lines) in REFUSED_FIELDS {
        // A server that reads it as a length, one that reads it as chunks, and one that sees neither.
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n0\r\n\r\n{SMUGGLED}");
        arena.expect_refused(what, &latin1(&request), &[400, 501]);
    }
    arena.memory_is_flat();
    let stats = arena.proxy.stats();
    let attacks = REFUSED_FIELDS.len() as i64;
    stats.expect(
        "http.edge.downstream_rq_4xx",
        attacks - stats.value("http.edge.downstream_rq_5xx"),
    );
    stats.expect("http.edge.downstream_cx_protocol_error", attacks);
}

/// Request lines and hosts; whole heads.
const REFUSED_HEADS: &[(&str, &str)] = &[
    (
        "two spaces behind the method",
        "GET  / HTTP/1.1\r\nHost: a\r\n",
    ),
    (
        "two spaces behind the target",
        "GET /  HTTP/1.1\r\nHost: a\r\n",
    ),
    ("a space at the end", "GET / HTTP/1.1 \r\nHost: a\r\n"),
    ("a space at the beginning", " GET / HTTP/1.1\r\nHost: a\r\n"),
    (
        "a space within the target",
        "GET /a b HTTP/1.1\r\nHost: a\r\n",
    ),
    ("a tab for a space", "GET\t/ HTTP/1.1\r\nHost: a\r\n"),
    ("LF for a space", "GET /\nHTTP/1.1\r\nHost: a\r\n"),
    ("LF at the end of the line", "GET / HTTP/1.1\nHost: a\r\n"),
    ("nothing but LF", "GET / HTTP/1.1\nHost: a\n\n"),
    (
        "a control character in the target",
        "GET /\u{1} HTTP/1.1\r\nHost: a\r\n",
    ),
    ("a NUL in the target", "GET /\0 HTTP/1.1\r\nHost: a\r\n"),
    ("a CR in the target", "GET /\rX HTTP/1.1\r\nHost: a\r\n"),
    ("a target without a slash", "GET x HTTP/1.1\r\nHost: a\r\n"),
    ("a target of a mark", "GET ! HTTP/1.1\r\nHost: a\r\n"),
    ("no target", "GET HTTP/1.1\r\nHost: a\r\n"),
    ("no version", "GET /\r\nHost: a\r\n"),
    ("version 0.9", "GET / HTTP/0.9\r\nHost: a\r\n"),
    ("version 1.2", "GET / HTTP/1.2\r\nHost: a\r\n"),
    ("version 1.32", "GET / HTTP/1.32\r\nHost: a\r\n"),
    ("version 1.", "GET / HTTP/1.\r\nHost: a\r\n"),
    ("version 01.1", "GET / HTTP/01.1\r\nHost: a\r\n"),
    ("version 2.0", "GET / HTTP/2.0\r\nHost: a\r\n"),
    (
        "a version that overflows",
        "GET / HTTP/4294967297.257\r\nHost: a\r\n",
    ),
    (
        "a version in small letters",
        "GET / http/1.1\r\nHost: a\r\n",
    ),
    (
        "CRs within the version",
        "GET / HTTP/\r\r1.1\r\nHost: a\r\n",
    ),
    ("another protocol", "GET / FTP/1.1\r\nHost: a\r\n"),
    (
        "a method with marks",
        "G=\":<>(e),[T];?\" / HTTP/1.1\r\nHost: a\r\n",
    ),
    ("a method of a NUL", "\0 / HTTP/1.1\r\nHost: a\r\n"),
    (
        "two empty lines first",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n",
    ),
    ("an LF first", "\nGET / HTTP/1.1\r\nHost: a\r\n"),
    (
        "a field before the first",
        "GET / HTTP/1.1\r\n X: a\r\nHost: a\r\n",
    ),
    (
        "a tab before the first field",
        "GET / HTTP/1.1\r\n\tContent-Length: 1\r\nHost: a\r\n",
    ),
    ("no host", "GET / HTTP/1.1\r\n"),
    ("a host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n"),
    ("a host with a slash", "GET / HTTP/1.1\r\nHost: a/b\r\n"),
    ("a host with a NUL", "GET / HTTP/1.1\r\nHost: a\0.b\r\n"),
    (
        "a host with user and password",
        "GET / HTTP/1.1\r\nHost: x:y@a\r\n",
    ),
    ("two hosts in a line", "GET / HTTP/1.1\r\nHost: a, b\r\n"),
    (
        "a host with a port that is none",
        "GET / HTTP/1.1\r\nHost: a:b\r\n",
    ),
    (
        "a host beyond ASCII",
        "GET / HTTP/1.1\r\nHost: \u{ff}a\u{ff}\r\n",
    ),
    (
        "TE in version 1.0",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n",
    ),
    (
        "a folded CRLF",
        "GET / HTTP/1.1\r\nHost: a\r\n\rZGET /smuggled: HTTP/1.1\r\nHost: a\r\n",
    ),
    (
        "CONNECT, which is not allowed",
        "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n",
    ),
];

#[test]
fn request_lines_and_hosts_that_are_none_are_refused() {
    let mut arena = Arena::new();
    for (what, head) in REFUSED_HEADS {
        let request = format!("{head}\r\n{SMUGGLED}");
        let statuses = [400, 403, 405, 426, 501, 505];
        arena.expect_refused(what, &latin1(&request), &statuses);
    }
    arena.memory_is_flat();
}

/// What may be passed on or refused, as long as it has one meaning: the target, and the body that it must have then.
const ONE_MEANING: &[(&str, &str, &str, &str)] = &[
    (
        "chunked in capitals",
        "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "/x",
        "hello",
    ),
    (
        "chunked with spaces around",
        "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \t chunked \t\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "/x",
        "hello",
    ),
    (
        "gzip before chunked",
        "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "/x",
        "hello",
    ),
    (
        "a no-break space around chunked",
        "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \u{a0}chunked\u{a0}\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "/x",
        "hello",
    ),
    (
        "a length with zeros before",
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 005\r\n\r\nhello",
        "/x",
        "hello",
    ),
    (
        "a length with spaces around",
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: \t 5 \t\r\n\r\nhello",
        "/x",
        "hello",
    ),
    (
        "the same length twice",
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "/x",
        "hello",
    ),
    (
        "a GET with a body",
        "GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "/x",
        "hello",
    ),
    (
        "a HEAD with a body",
        "HEAD /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "/x",
        "hello",
    ),
    (
        "OPTIONS with a body",
        "OPTIONS /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "/x",
        "hello",
    ),
    (
        "a GET in chunks",
        "GET /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "/x",
        "hello",
    ),
    (
        "one empty line first",
        "\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
        "/x",
        "",
    ),
    (
        "a method that nobody knows",
        "BREW /x HTTP/1.1\r\nHost: a\r\n\r\n",
        "/x",
        "",
    ),
    (
        "version 1.0 without a host",
        "GET /x HTTP/1.0\r\n\r\n",
        "/x",
        "",
    ),
    (
        "bytes beyond ASCII in a value",
        "GET /x HTTP/1.1\r\nHost: a\r\nX: \u{e4}\u{ff}\r\n\r\n",
        "/x",
        "",
    ),
    (
        "a tab within a value",
        "GET /x HTTP/1.1\r\nHost: a\r\nX: a\tb\r\n\r\n",
        "/x",
        "",
    ),
    (
        "the whole URL as the target",
        "GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n",
        "/x",
        "",
    ),
    (
        "another host in the target",
        "GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n",
        "/x",
        "",
    ),
    (
        "a fragment in the target",
        "GET /x#y HTTP/1.1\r\nHost: a\r\n\r\n",
        "/x",
        "",
    ),
    (
        "Content-Length named as a hop's field",
        "POST /x HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\nContent-Length: 5\r\n\r\nhello",
        "/x",
        "hello",
    ),
    (
        "Transfer-Encoding named as a hop's field",
        "POST /x HTTP/1.1\r\nHost: a\r\nConnection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "/x",
        "hello",
    ),
    (
        "Host named as a hop's field",
        "GET /x HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\n",
        "/x",
        "",
    ),
    (
        "an upgrade to h2c",
        "GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n",
        "/x",
        "",
    ),
    (
        "TE that asks for more than trailers",
        "GET /x HTTP/1.1\r\nHost: a\r\nTE: gzip, chunked, trailers\r\nConnection: te\r\n\r\n",
        "/x",
        "",
    ),
    (
        "an expectation that nobody knows",
        "POST /x HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nContent-Length: 5\r\n\r\nhello",
        "/x",
        "hello",
    ),
    (
        "an expectation with more behind",
        "POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, y\r\nContent-Length: 5\r\n\r\nhello",
        "/x",
        "hello",
    ),
    (
        "an expectation with a length of nothing",
        "POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
        "/x",
        "",
    ),
];

#[test]
fn what_is_passed_on_has_one_meaning() {
    let mut arena = Arena::new();
    for (what, request, target, body) in ONE_MEANING {
        let all = latin1(&format!("{request}{SMUGGLED}"));
        let said = arena.send(&all);
        let arrived = arena.arrived();
        match status(&said) {
            200 => {
                // It, and then the request that was sent behind it.
                assert_eq!(arrived.len(), replies(&said), "{what}: {arrived:?}");
                let first = &arrived[0];
                let got = first.line.split(' ').nth(1).unwrap();
                assert_eq!(got.split('#').next().unwrap(), *target, "{what}");
                assert_eq!(first.body, body.as_bytes(), "{what}");
                for name in ["upgrade", "http2-settings"] {
                    assert_eq!(first.field(name), None, "{what}");
                }
                if what.starts_with("another host") {
                    // RFC 9112 section 3.2.2: the target's host replaces the field's.
                    assert_eq!(first.field("host"), Some("b"), "{what}");
                }
                if let Some(second) = arrived.get(1) {
                    assert_eq!(second.line, "GET /smuggled HTTP/1.1", "{what}");
                }
            }
            400 | 417 | 501 => {
                assert_eq!(replies(&said), 1, "{what}: {said:?}");
                assert_eq!(arrived, [], "{what}");
            }
            _ => panic!("{what}: {said:?}"),
        }
        arena.bystander_is_served();
        arena.recorder.clear();
    }
    arena.memory_is_flat();
}

/// What the table calls refused is refused in whatever pieces it comes.
#[test]
fn a_head_in_single_bytes_is_judged_the_same() {
    use std::io::Write;
    let mut arena = Arena::new();
    for (what, lines) in REFUSED_FIELDS.iter().step_by(7) {
        let request = latin1(&format!(
            "POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n0\r\n\r\n{SMUGGLED}"
        ));
        let before = arena.refused();
        let mut stream = crate::support::peer::connect(arena.address());
        for byte in request {
            if stream.write_all(&[byte]).is_err() {
                break;
            }
        }
        let said = crate::arena::read_to_end(&mut stream);
        // A reset that overtakes the reply is the kernel's: bytes were left that the proxy would not read.
        assert!(matches!(status(&said), 0 | 400 | 501), "{what}: {said:?}");
        arena.expect_counted_once_more(before, what);
        assert_eq!(arena.arrived(), [], "{what}");
    }
    arena.bystander_is_served();
}

impl Arena {
    #[track_caller]
    fn expect_counted_once_more(&self, before: i64, what: &str) {
        crate::support::eventually(what, || (self.refused() == before + 1).then_some(()));
    }
}

/// A byte a character: the payloads are written with the characters that have these bytes' numbers.
fn latin1(text: &str) -> Vec<u8> {
    text.chars()
        .flat_map(|each| match u8::try_from(u32::from(each)) {
            Ok(byte) => vec![byte],
            Err(_) => each.to_string().into_bytes(),
        })
        .collect()
}
