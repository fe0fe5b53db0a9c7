//! Bodies: both framings both ways, none where there must be none, trailers, 100-continue, and replies that come before their request is
//! whole.

use std::io::{Read, Write};

use crate::peers::{
    OK, Server, ask, client, expect_closed, expect_open, field, proxy, read_exactly, read_head,
    read_to_end,
};

const CHUNKED_POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn chunks_and_trailers_pass_both_ways_as_they_are() {
    const BODY: &[u8] = b"5\r\nhello\r\n0003\r\n ab\r\n0\r\nX-Sum: 1\r\nX-More:2\r\n\r\n";
    let server = Server::scripted(|stream, _| {
        let body = read_exactly(stream, BODY.len());
        let head = b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(&[head, body.as_slice()].concat()).is_ok()
    });
    let proxy = proxy(&[server.address]);
    let mut stream = client(&proxy);
    for _ in 0..2 {
        stream.write_all(CHUNKED_POST.as_bytes()).unwrap();
        stream.write_all(BODY).unwrap();
        let head = read_head(&mut stream).unwrap();
        assert_eq!(field(&head, "transfer-encoding"), Some("chunked"));
        assert_eq!(field(&head, "trailer"), Some("X-Sum"));
        assert_eq!(read_exactly(&mut stream, BODY.len()), BODY);
        let told = server.head();
        assert_eq!(field(&told, "transfer-encoding"), Some("chunked"));
    }
    expect_open(&mut stream);
}

#[test]
fn trailers_that_may_not_stand_there_are_left_out_and_counted() {
    const BODY: &[u8] = b"2\r\nok\r\n0\r\nHost: b\r\nX-Sum: 1\r\nAuthorization: c\r\n\r\n";
    const LEFT: &[u8] = b"2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n";
    let server = Server::scripted(|stream, _| {
        assert_eq!(read_exactly(stream, LEFT.len()), LEFT);
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(&[head, BODY].concat()).is_ok()
    });
    let proxy = proxy(&[server.address]);
    let mut stream = client(&proxy);
    stream.write_all(CHUNKED_POST.as_bytes()).unwrap();
    stream.write_all(BODY).unwrap();
    read_head(&mut stream).unwrap();
    assert_eq!(read_exactly(&mut stream, LEFT.len()), LEFT);
    ask(
        &mut client(&proxy),
        "GET /next HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        0,
    );
    proxy.stats().expect("http.edge.http1.trailers_dropped", 4);
}

#[test]
fn replies_that_have_no_body_end_with_their_heads() {
    let server = Server::scripted(|stream, head| {
        let answer: &[u8] = match head.split(' ').next() {
            Some("HEAD") => b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
            Some("GET") => b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\nETag: x\r\n\r\n",
            _ => b"HTTP/1.1 204 No Content\r\n\r\n",
        };
        stream.write_all(answer).is_ok()
    });
    let proxy = proxy(&[server.address]);
    let mut stream = client(&proxy);
    for (method, status, length) in [
        ("HEAD", "200", Some("1000")),
        ("GET", "304", Some("1000")),
        ("DELETE", "204", None),
        ("HEAD", "200", Some("1000")),
    ] {
        let (head, _) = ask(
            &mut stream,
            &format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"),
            0,
        );
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert_eq!(field(&head, "content-length"), length);
    }
    expect_open(&mut stream);
}

#[test]
fn a_client_of_the_old_version_gets_no_chunks() {
    let server = Server::answering(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nX: 1\r\n\r\n",
    );
    let proxy = proxy(&[server.address]);
    let mut stream = client(&proxy);
    stream
        .write_all(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        .unwrap();
    let head = read_head(&mut stream).unwrap();
    assert_eq!(field(&head, "transfer-encoding"), None);
    assert_eq!(field(&head, "connection"), Some("close"));
    assert_eq!(read_to_end(&mut stream), "abcdefg");
}

#[test]
fn a_reply_that_ends_with_its_connection_does_so_for_the_client() {
    let server = Server::scripted(|stream, _| {
        stream
            .write_all(b"HTTP/1.0 200 OK\r\nX: y\r\n\r\nuntil")
            .unwrap();
        stream.write_all(b" the end").unwrap();
        false
    });
    let proxy = proxy(&[server.address]);
    let mut stream = client(&proxy);
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let head = read_head(&mut stream).unwrap();
    assert_eq!(head, "HTTP/1.1 200 OK\r\nX: y\r\nconnection: close\r\n\r\n");
    assert_eq!(read_to_end(&mut stream), "until the end");
}

#[test]
fn a_hundred_continue_is_the_servers_and_comes_before_the_body() {
    let server = Server::scripted(|stream, head| {
        assert_eq!(field(head, "expect"), Some("100-continue"));
        expect_open(stream);
        let interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
        stream.write_all(interim).unwrap();
        assert_eq!(read_exactly(stream, 4), b"body");
        stream.write_all(OK).is_ok()
    });
    let proxy = proxy(&[server.address]);
    let mut stream = client(&proxy);
    for _ in 0..2 {
        let head = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        assert_eq!(
            read_head(&mut stream).unwrap(),
            "HTTP/1.1 100 Continue\r\n\r\n"
        );
        let hints = read_head(&mut stream).unwrap();
        assert_eq!(hints, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
        let (head, body) = ask(&mut stream, "body", 2);
        assert_eq!(
            (head.starts_with("HTTP/1.1 200 "), body.as_str()),
            (true, "ok")
        );
    }
    expect_open(&mut stream);
}

#[test]
fn a_body_that_nobody_asked_for_is_not_waited_for() {
    let server = Server::answering(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    let proxy = proxy(&[server.address]);
    let mut stream = client(&proxy);
    let head = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    let (head, body) = ask(&mut stream, head, 2);
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    assert_eq!(body, "no");
    // The client may send the body all the same, or another request: what comes could be either, and is neither.
    assert_eq!(field(&head, "connection"), Some("close"));
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(read_to_end(&mut stream), "");
    server.head();
    server.expect_no_more();
}

#[test]
fn other_expectations_are_refused() {
    let server = Server::answering(OK);
    let proxy = proxy(&[server.address]);
    let request = "GET / HTTP/1.1\r\nHost: a\r\nExpect: the-unexpected\r\n\r\n";
    let (head, _) = ask(&mut client(&proxy), request, 0);
    assert!(head.starts_with("HTTP/1.1 417 "), "{head}");
    server.expect_no_more();
}

#[test]
fn both_directions_move_at_the_same_time() {
    // A server that sends back each piece as it comes, long before it has all of them.
    let server = Server::scripted(|stream, _| {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head).unwrap();
        loop {
            let size = read_exactly(stream, 3);
            let size_text = std::str::from_utf8(&size[..1]).unwrap();
            let length = usize::from_str_radix(size_text, 16).unwrap();
            let rest = read_exactly(stream, length + 2);
            stream.write_all(&[size, rest].concat()).unwrap();
            if length == 0 {
                return true;
            }
        }
    });
    let proxy = proxy(&[server.address]);
    let mut stream = client(&proxy);
    for _ in 0..2 {
        stream.write_all(CHUNKED_POST.as_bytes()).unwrap();
        read_head(&mut stream).unwrap();
        for chunk in ["3\r\nabc\r\n", "1\r\nd\r\n", "0\r\n\r\n"] {
            stream.write_all(chunk.as_bytes()).unwrap();
            assert_eq!(read_exactly(&mut stream, chunk.len()), chunk.as_bytes());
        }
    }
    expect_open(&mut stream);
    let stats = proxy.stats();
    stats.expect("http.edge.downstream_rq_response_before_rq_complete", 0);
    stats.expect("cluster.shop.upstream_cx_total", 1);
}

#[test]
fn a_reply_before_the_rest_of_a_short_request_costs_no_connection_of_the_client() {
    let server = Server::answering(OK);
    let proxy = proxy(&[server.address]);
    let mut stream = client(&proxy);
    let (head, _) = ask(
        &mut stream,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n",
        2,
    );
    assert_eq!(field(&head, "connection"), None);
    // The rest looks like a request, and is none.
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let rest = format!("{smuggled}{}", "x".repeat(100 - smuggled.len()));
    stream.write_all(rest.as_bytes()).unwrap();
    let (head, _) = ask(&mut stream, "GET /next HTTP/1.1\r\nHost: a\r\n\r\n", 2);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(server.head().starts_with("POST / "));
    assert!(server.head().starts_with("GET /next "));
    server.expect_no_more();
    let stats = proxy.stats();
    stats.expect("http.edge.downstream_rq_response_before_rq_complete", 1);
    // The server was left in the middle of a body.
    stats.expect("cluster.shop.upstream_cx_total", 2);
}

#[test]
fn a_reply_before_the_rest_of_a_long_request_ends_the_connection() {
    let server =
        Server::answering(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
    let proxy = proxy(&[server.address]);
    let mut stream = client(&proxy);
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\nbegin";
    let (head, body) = ask(&mut stream, request, 2);
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
    assert_eq!(
        (body.as_str(), field(&head, "connection")),
        ("no", Some("close"))
    );
    expect_closed(&mut stream);
}

#[test]
fn large_bodies_pass_in_both_framings() {
    const SIZE: usize = 3 << 20;
    let server = Server::scripted(|stream, head| {
        let length: usize = field(head, "content-length").unwrap().parse().unwrap();
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        // Back in chunks of another size than what is read at once.
        let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for piece in body.chunks(70_001) {
            answer.extend(format!("{:x}\r\n", piece.len()).into_bytes());
            answer.extend(piece);
            answer.extend(b"\r\n");
        }
        answer.extend(b"0\r\n\r\n");
        stream.write_all(&answer).is_ok()
    });
    let proxy = proxy(&[server.address]);
    let mut stream = client(&proxy);
    let body: Vec<u8> = (0..SIZE).map(|at| (at * 31 % 251) as u8).collect();
    for _ in 0..2 {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body).unwrap();
        read_head(&mut stream).unwrap();
        let mut back = Vec::new();
        loop {
            let mut size = String::new();
            while !size.ends_with("\r\n") {
                size.push(char::from(read_exactly(&mut stream, 1)[0]));
            }
            let size = usize::from_str_radix(size.trim_end(), 16).unwrap();
            back.extend(read_exactly(&mut stream, size));
            read_exactly(&mut stream, 2);
            if size == 0 {
                break;
            }
        }
        assert!(back == body);
    }
    expect_open(&mut stream);
}
