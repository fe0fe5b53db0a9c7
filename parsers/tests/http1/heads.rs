//! What heads say, and which are refused.

use crate::read::{request, response, with_fields};
use narrows_parsers::Malformed;
use narrows_parsers::http1::{
    Framing, Known, RequestKind, Span, TargetForm, Version, list_members,
};

#[test]
fn a_request_is_taken_apart() {
    let bytes = b"POST /carts/17?full=1 HTTP/1.1\r\nHost: shop.example:8080\r\nContent-Length: 12\r\n\
        X-Long:  two words \t\r\nEmpty:\r\nConnection: keep-alive, Upgrade\r\nupgrade: websocket\r\nExpect: 100-continue\r\nX_Y: z\r\n\r\nhello, world";
    let (head, headers) = request(bytes).unwrap();
    assert_eq!(head.method.of(bytes), b"POST");
    assert_eq!(head.kind, RequestKind::Other);
    assert_eq!(head.target.of(bytes), b"/carts/17?full=1");
    assert_eq!(head.path, head.target);
    assert_eq!(head.form, TargetForm::Origin);
    assert_eq!(head.version, Version::Http11);
    assert_eq!(head.framing, Framing::Length(12));
    assert_eq!(head.host.unwrap().of(bytes), b"shop.example:8080");
    assert_eq!(head.authority, head.host);
    assert_eq!(&bytes[head.length as usize..], b"hello, world");
    assert!(head.keep_alive && head.upgrade && head.expect_continue && !head.expect_other);
    let text = |span: Span| std::str::from_utf8(span.of(bytes)).unwrap();
    let fields: Vec<_> = headers
        .iter()
        .map(|field| {
            (
                text(field.name),
                text(field.value),
                text(field.line),
                field.known,
            )
        })
        .collect();
    assert_eq!(fields.len(), 8);
    let host = (
        "Host",
        "shop.example:8080",
        "Host: shop.example:8080\r\n",
        Known::Host,
    );
    assert_eq!(fields[0], host);
    let long = (
        "X-Long",
        "two words",
        "X-Long:  two words \t\r\n",
        Known::Other,
    );
    assert_eq!(fields[2], long);
    assert_eq!(fields[3], ("Empty", "", "Empty:\r\n", Known::Other));
    assert_eq!(fields[5].3, Known::Upgrade);
    assert_eq!(
        headers
            .iter()
            .map(|field| field.underscore)
            .collect::<Vec<_>>(),
        [false, false, false, false, false, false, false, true]
    );
    assert_eq!(headers.named(bytes, b"x_y").unwrap().value.of(bytes), b"z");
    let options: Vec<_> = list_members(fields[4].1.as_bytes()).collect();
    assert_eq!(options, [b"keep-alive".as_slice(), b"Upgrade"]);
}

#[test]
fn a_reply_is_taken_apart() {
    let bytes = b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno!";
    let (head, headers) = response(bytes, RequestKind::Other).unwrap();
    assert_eq!((head.status, head.version), (404, Version::Http11));
    assert_eq!(head.reason.of(bytes), b"Not Found");
    assert_eq!(head.framing, Framing::Length(3));
    assert!(head.keep_alive && !head.is_interim());
    assert_eq!(headers.len(), 1);
    for bytes in [
        b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\n".as_slice(),
        b"HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\n",
    ] {
        let (head, _) = response(bytes, RequestKind::Other).unwrap();
        assert_eq!(head.reason.of(bytes), b"");
    }
}

#[test]
fn targets_have_four_forms() {
    let cases: [(&str, TargetForm, &str, &str); 7] = [
        ("GET /a?b HTTP/1.1", TargetForm::Origin, "h", "/a?b"),
        (
            "GET http://x.example/a?b HTTP/1.1",
            TargetForm::Absolute,
            "x.example",
            "/a?b",
        ),
        (
            "GET HTTPS://x.example:1?b HTTP/1.1",
            TargetForm::Absolute,
            "x.example:1",
            "?b",
        ),
        (
            "GET http://[::1]:80 HTTP/1.1",
            TargetForm::Absolute,
            "[::1]:80",
            "",
        ),
        ("OPTIONS * HTTP/1.1", TargetForm::Asterisk, "h", "*"),
        (
            "CONNECT x.example:443 HTTP/1.1",
            TargetForm::Authority,
            "x.example:443",
            "",
        ),
        (
            "CONNECT [::1]:443 HTTP/1.1",
            TargetForm::Authority,
            "[::1]:443",
            "",
        ),
    ];
    for (line, form, authority, path) in cases {
        let bytes = format!("{line}\r\nHost: h\r\n\r\n").into_bytes();
        let (head, _) = request(&bytes).unwrap();
        assert_eq!(head.form, form, "{line}");
        assert_eq!(
            head.authority.unwrap().of(&bytes),
            authority.as_bytes(),
            "{line}"
        );
        assert_eq!(head.path.of(&bytes), path.as_bytes(), "{line}");
        assert_eq!(head.host.unwrap().of(&bytes), b"h");
    }
    for target in [
        "a",
        "*",
        "http:///a",
        "http://",
        "http://u@x/",
        "http://:80/",
        "ftp://x/",
        "http:x",
        "/a#b",
        "?",
        "http://[::1/",
        "http://x:8a/",
        "",
    ] {
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(
            request(bytes.as_bytes()).unwrap_err(),
            Malformed::Target,
            "{target}"
        );
    }
    for target in [
        "x",
        "x:",
        ":1",
        "x:y",
        "/",
        "*",
        "http://x:1",
        "x:1/",
        "[::1]",
        "a:b:1",
    ] {
        let bytes = format!("CONNECT {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(
            request(bytes.as_bytes()).unwrap_err(),
            Malformed::Target,
            "{target}"
        );
    }
}

#[test]
fn lines_that_are_none() {
    let cases: [(&str, Malformed); 31] = [
        (" GET / HTTP/1.1\r\n", Malformed::Method),
        ("\r\n\r\nGET / HTTP/1.1\r\n", Malformed::Method),
        ("\nGET / HTTP/1.1\r\n", Malformed::Method),
        ("\rGET / HTTP/1.1\r\n", Malformed::Method),
        ("GET\t/ HTTP/1.1\r\n", Malformed::Method),
        ("G(T / HTTP/1.1\r\n", Malformed::Method),
        ("GET  / HTTP/1.1\r\n", Malformed::Target),
        ("GET /\t HTTP/1.1\r\n", Malformed::Target),
        ("GET /\u{e9} HTTP/1.1\r\n", Malformed::Target),
        ("GET /\0 HTTP/1.1\r\n", Malformed::Target),
        ("GET /\r\n", Malformed::Target),
        ("GET / \r\n", Malformed::HttpVersion),
        ("GET / HTTP/1.1 \r\n", Malformed::HttpVersion),
        ("GET /  HTTP/1.1\r\n", Malformed::HttpVersion),
        ("GET / http/1.1\r\n", Malformed::HttpVersion),
        ("GET / HTTP/11\r\n", Malformed::HttpVersion),
        ("GET / HTTP/2.0\r\n", Malformed::UnsupportedVersion),
        ("GET / HTTP/1.2\r\n", Malformed::UnsupportedVersion),
        ("GET / HTTP/1.1\n", Malformed::BareLf),
        ("GET / HTTP/1.1\rX\n", Malformed::BareCr),
        ("GET / HTTP/1.1\r\n A: b\r\n", Malformed::ObsFold),
        ("GET / HTTP/1.1\r\nA: b\r\n c\r\n", Malformed::ObsFold),
        ("GET / HTTP/1.1\r\nA: b\r\n\tc\r\n", Malformed::ObsFold),
        ("GET / HTTP/1.1\r\nA : b\r\n", Malformed::SpaceBeforeColon),
        ("GET / HTTP/1.1\r\nA b\r\n", Malformed::SpaceBeforeColon),
        ("GET / HTTP/1.1\r\n: b\r\n", Malformed::FieldName),
        ("GET / HTTP/1.1\r\nA\r\n", Malformed::FieldName),
        ("GET / HTTP/1.1\r\nA\0: b\r\n", Malformed::FieldName),
        ("GET / HTTP/1.1\r\nA: b\0c\r\n", Malformed::FieldValue),
        ("GET / HTTP/1.1\r\nA: b\rc\r\n", Malformed::BareCr),
        ("GET / HTTP/1.1\r\nA: b\n", Malformed::BareLf),
    ];
    for (start, reason) in cases {
        let bytes = format!("{start}Host: a\r\n\r\n");
        assert_eq!(request(bytes.as_bytes()).unwrap_err(), reason, "{start:?}");
    }
    for (bytes, reason) in [
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", Malformed::HttpVersion),
        ("HTTP/1.1  200 OK\r\n\r\n", Malformed::StatusLine),
        ("HTTP/1.1 20 OK\r\n\r\n", Malformed::StatusLine),
        ("HTTP/1.1 099 OK\r\n\r\n", Malformed::StatusLine),
        ("HTTP/1.1 2000 OK\r\n\r\n", Malformed::StatusLine),
        ("HTTP/1.1 200 O\0K\r\n\r\n", Malformed::StatusLine),
        ("HTTP/3.0 200 OK\r\n\r\n", Malformed::UnsupportedVersion),
        ("HTTP/1.1 200 OK\n\r\n", Malformed::BareLf),
        ("ICY 200 OK\r\n\r\n", Malformed::HttpVersion),
    ] {
        let read = response(bytes.as_bytes(), RequestKind::Other);
        assert_eq!(read.unwrap_err(), reason, "{bytes:?}");
    }
}

#[test]
fn one_empty_line_in_front_is_passed_over() {
    let bytes = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let (head, headers) = request(bytes).unwrap();
    assert_eq!(head.method.start, 2);
    assert_eq!(head.target.of(bytes), b"/");
    assert_eq!(head.length as usize, bytes.len());
    assert_eq!(headers.as_slice()[0].line.of(bytes), b"Host: a\r\n");
}

#[test]
fn one_host_exactly() {
    let http = |version: &str, lines: &str| format!("GET / {version}\r\n{lines}\r\n").into_bytes();
    assert_eq!(
        request(&http("HTTP/1.1", "")).unwrap_err(),
        Malformed::MissingHost
    );
    assert_eq!(request(&http("HTTP/1.0", "")).unwrap().0.host, None);
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        let several = http(version, "Host: a\r\nhost: a\r\n");
        assert_eq!(request(&several).unwrap_err(), Malformed::SeveralHosts);
        for host in [
            "a b", "a/b", "u@a", "a:b", "a:1:2", "[::1", "a]", "\"a\"", "a#", "a\\b", "[a]b",
        ] {
            let bytes = http(version, &format!("Host: {host}\r\n"));
            assert_eq!(request(&bytes).unwrap_err(), Malformed::Host, "{host}");
        }
        for host in [
            "",
            "a",
            "a.b-c_d:8080",
            "127.0.0.1:",
            "[fe80::1]:80",
            "a%20b",
        ] {
            assert!(
                request(&http(version, &format!("Host: {host}\r\n"))).is_ok(),
                "{host}"
            );
        }
    }
}

#[test]
fn framing_of_requests() {
    let cases: [(&str, Result<Framing, Malformed>); 32] = [
        ("", Ok(Framing::None)),
        ("Content-Length: 0\r\n", Ok(Framing::None)),
        ("Content-Length: 17\r\n", Ok(Framing::Length(17))),
        ("Content-Length:\t017 \r\n", Ok(Framing::Length(17))),
        (
            "Content-Length: 18446744073709551615\r\n",
            Ok(Framing::Length(u64::MAX)),
        ),
        (
            "Content-Length: 18446744073709551616\r\n",
            Err(Malformed::ContentLength),
        ),
        ("Content-Length: \r\n", Err(Malformed::ContentLength)),
        ("Content-Length: +1\r\n", Err(Malformed::ContentLength)),
        ("Content-Length: -1\r\n", Err(Malformed::ContentLength)),
        ("Content-Length: 0x1\r\n", Err(Malformed::ContentLength)),
        ("Content-Length: 1 1\r\n", Err(Malformed::ContentLength)),
        ("Content-Length: 1_0\r\n", Err(Malformed::ContentLength)),
        ("Content-Length: 1.0\r\n", Err(Malformed::ContentLength)),
        ("Content-Length: \u{661}\r\n", Err(Malformed::ContentLength)),
        (
            "Content-Length: 1, 1\r\n",
            Err(Malformed::SeveralContentLengths),
        ),
        (
            "Content-Length: 1\r\nContent-Length: 1\r\n",
            Err(Malformed::SeveralContentLengths),
        ),
        (
            "Content-Length: 1\r\ncontent-length: 2\r\n",
            Err(Malformed::SeveralContentLengths),
        ),
        ("Transfer-Encoding: chunked\r\n", Ok(Framing::Chunked)),
        ("TRANSFER-ENCODING: Chunked \r\n", Ok(Framing::Chunked)),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
            Err(Malformed::LengthAndEncoding),
        ),
        (
            "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
            Err(Malformed::LengthAndEncoding),
        ),
        (
            "Transfer-Encoding: gzip, chunked\r\n",
            Err(Malformed::UnknownCoding),
        ),
        (
            "Transfer-Encoding: gzip;q=1, chunked\r\n",
            Err(Malformed::TransferEncoding),
        ),
        (
            "Transfer-Encoding: chunked, gzip\r\n",
            Err(Malformed::TransferEncoding),
        ),
        (
            "Transfer-Encoding: chunked, chunked\r\n",
            Err(Malformed::TransferEncoding),
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            Err(Malformed::TransferEncoding),
        ),
        (
            "Transfer-Encoding: identity\r\n",
            Err(Malformed::TransferEncoding),
        ),
        (
            "Transfer-Encoding: xchunked\r\n",
            Err(Malformed::TransferEncoding),
        ),
        (
            "Transfer-Encoding: \"chunked\"\r\n",
            Err(Malformed::TransferEncoding),
        ),
        (
            "Transfer-Encoding: ,chunked\r\n",
            Err(Malformed::TransferEncoding),
        ),
        (
            "Transfer-Encoding: chunked;x=1\r\n",
            Err(Malformed::TransferEncoding),
        ),
        ("Transfer-Encoding: \r\n", Err(Malformed::TransferEncoding)),
    ];
    for (lines, framing) in cases {
        let read = request(&with_fields(lines)).map(|(head, _)| head.framing);
        assert_eq!(read, framing, "{lines:?}");
    }
    for (bytes, reason) in [
        (
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
            Malformed::EncodingInHttp10,
        ),
        (
            "CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n",
            Malformed::ContentInConnect,
        ),
        (
            "CONNECT a:1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            Malformed::ContentInConnect,
        ),
    ] {
        assert_eq!(request(bytes.as_bytes()).unwrap_err(), reason, "{bytes:?}");
    }
}

#[test]
fn framing_of_replies() {
    const GET: RequestKind = RequestKind::Other;
    const LENGTH: &str = "Content-Length: 5\r\n";
    const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
    let cases = [
        (200, LENGTH, GET, Ok(Framing::Length(5))),
        (200, CHUNKED, GET, Ok(Framing::Chunked)),
        (200, "", GET, Ok(Framing::UntilClose)),
        (200, "Content-Length: 0\r\n", GET, Ok(Framing::None)),
        (200, LENGTH, RequestKind::Head, Ok(Framing::None)),
        (200, CHUNKED, RequestKind::Head, Ok(Framing::None)),
        (200, "", RequestKind::Head, Ok(Framing::None)),
        (200, LENGTH, RequestKind::Connect, Ok(Framing::Tunnel)),
        (407, LENGTH, RequestKind::Connect, Ok(Framing::Length(5))),
        (100, "", GET, Ok(Framing::None)),
        (103, "Link: a\r\n", GET, Ok(Framing::None)),
        (101, "", GET, Ok(Framing::Tunnel)),
        (204, LENGTH, GET, Ok(Framing::None)),
        (204, CHUNKED, GET, Err(Malformed::EncodingWithoutBody)),
        (103, CHUNKED, GET, Err(Malformed::EncodingWithoutBody)),
        (304, LENGTH, GET, Ok(Framing::None)),
        (304, CHUNKED, GET, Ok(Framing::None)),
        (
            200,
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            GET,
            Err(Malformed::LengthAndEncoding),
        ),
        (
            304,
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            GET,
            Err(Malformed::LengthAndEncoding),
        ),
        (
            200,
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            GET,
            Err(Malformed::SeveralContentLengths),
        ),
        (
            200,
            "Transfer-Encoding: gzip, chunked\r\n",
            GET,
            Err(Malformed::UnknownCoding),
        ),
    ];
    for (status, lines, kind, framing) in cases {
        let bytes = format!("HTTP/1.1 {status} X\r\n{lines}\r\n");
        let read = response(bytes.as_bytes(), kind).map(|(head, _)| head.framing);
        assert_eq!(read, framing, "{status} {lines:?} {kind:?}");
    }
    let old = format!("HTTP/1.0 200 OK\r\n{CHUNKED}\r\n");
    assert_eq!(
        response(old.as_bytes(), GET).unwrap_err(),
        Malformed::EncodingInHttp10
    );
}

#[test]
fn connections_that_go_on() {
    let cases = [
        ("HTTP/1.1", "", true),
        ("HTTP/1.1", "Connection: close\r\n", false),
        ("HTTP/1.1", "Connection: x, CLOSE\r\n", false),
        ("HTTP/1.1", "Connection: x\r\nConnection: close\r\n", false),
        ("HTTP/1.1", "Connection: closed\r\n", true),
        ("HTTP/1.0", "", false),
        ("HTTP/1.0", "Connection: Keep-Alive\r\n", true),
        ("HTTP/1.0", "Connection: keep-alive, close\r\n", false),
    ];
    for (version, lines, keep_alive) in cases {
        let bytes = format!("GET / {version}\r\nHost: a\r\n{lines}\r\n");
        assert_eq!(
            request(bytes.as_bytes()).unwrap().0.keep_alive,
            keep_alive,
            "{bytes}"
        );
        let bytes = format!("{version} 200 OK\r\nContent-Length: 1\r\n{lines}\r\n");
        let (head, _) = response(bytes.as_bytes(), RequestKind::Other).unwrap();
        assert_eq!(head.keep_alive, keep_alive, "{bytes}");
    }
    let until_close = response(b"HTTP/1.1 200 OK\r\n\r\n", RequestKind::Other)
        .unwrap()
        .0;
    assert!(!until_close.keep_alive);
}

#[test]
fn expectations_and_upgrades_mean_nothing_in_http_1_0() {
    let bytes =
        b"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: h2c\r\nExpect: 100-continue\r\n\r\n";
    let (head, _) = request(bytes).unwrap();
    assert!(!head.upgrade && !head.expect_continue);
    let alone = request(&with_fields("Upgrade: h2c\r\n")).unwrap().0;
    assert!(!alone.upgrade);
    for (value, expects, other) in [
        ("100-Continue", true, false),
        ("100-continue, x", true, true),
        ("x", false, true),
        ("", false, true),
    ] {
        let (head, _) = request(&with_fields(&format!("Expect: {value}\r\n"))).unwrap();
        assert_eq!(
            (head.expect_continue, head.expect_other),
            (expects, other),
            "{value}"
        );
    }
}
