//! What becomes of heads: what is taken away, what is added, and what stays as it is to the byte.

use std::io::Write;

use crate::peers::{OK, Server, ask, client, field, proxy, read_head};

#[test]
fn a_head_stays_as_it_is_but_for_what_belongs_to_the_hop() {
    let server = Server::answering(OK);
    let proxy = proxy(&[server.address]);
    let mut client = client(&proxy);
    let request = "GET /a%20b?c=d&e HTTP/1.1\r\n\
        hOsT: Shop.example:80\r\n\
        Connection: keep-alive, X-Mine, close\r\n\
        X-Mine: for this hop\r\n\
        Keep-Alive: timeout=5\r\n\
        Proxy-Connection: keep-alive\r\n\
        Proxy-Authorization: Basic Zm9v\r\n\
        TE: trailers\r\n\
        Accept:  a,\tb  \r\n\
        X-Twice: 1\r\n\
        X-Twice: 2\r\n\
        X-Empty:\r\n\r\n";
    ask(&mut client, request, 2);
    assert_eq!(
        server.head(),
        "GET /a%20b?c=d&e HTTP/1.1\r\n\
         hOsT: Shop.example:80\r\n\
         Accept:  a,\tb  \r\n\
         X-Twice: 1\r\n\
         X-Twice: 2\r\n\
         X-Empty:\r\n\
         x-forwarded-for: 127.0.0.1\r\n\
         x-forwarded-proto: http\r\n\r\n"
    );
}

#[test]
fn what_connection_names_is_taken_away_unless_it_is_meant_for_everybody() {
    let server = Server::answering(OK);
    let proxy = proxy(&[server.address]);
    let mut client = client(&proxy);
    let request = "POST / HTTP/1.1\r\n\
        Host: a\r\n\
        Connection: host, content-length, authorization, cookie, x-forwarded-for, X-Other\r\n\
        Authorization: secret\r\n\
        Cookie: a=b\r\n\
        X-Forwarded-For: 10.0.0.1\r\n\
        x-other: gone\r\n\
        Content-Length: 2\r\n\r\nhi";
    client.write_all(request.as_bytes()).unwrap();
    let head = server.head();
    assert_eq!(field(&head, "host"), Some("a"));
    assert_eq!(field(&head, "content-length"), Some("2"));
    assert_eq!(field(&head, "authorization"), Some("secret"));
    assert_eq!(field(&head, "cookie"), Some("a=b"));
    assert_eq!(field(&head, "x-forwarded-for"), Some("10.0.0.1, 127.0.0.1"));
    assert_eq!(field(&head, "x-other"), None);
    assert_eq!(field(&head, "connection"), None);
}

#[test]
fn several_forwarded_fors_become_one_and_the_proto_is_ours() {
    let server = Server::answering(OK);
    let proxy = proxy(&[server.address]);
    let mut client = client(&proxy);
    let request = "GET / HTTP/1.1\r\n\
        Host: a\r\n\
        X-Forwarded-For: 10.0.0.1, 10.0.0.2\r\n\
        X-Forwarded-Proto: https\r\n\
        X-FORWARDED-FOR: 10.0.0.3\r\n\r\n";
    ask(&mut client, request, 2);
    let head = server.head();
    let forwarded = field(&head, "x-forwarded-for");
    assert_eq!(forwarded, Some("10.0.0.1, 10.0.0.2, 10.0.0.3, 127.0.0.1"));
    assert_eq!(field(&head, "x-forwarded-proto"), Some("http"));
}

#[test]
fn a_target_with_a_host_is_told_to_the_server_in_two_parts() {
    let server = Server::answering(OK);
    let proxy = proxy(&[server.address]);
    let mut client = client(&proxy);
    let cases = [
        (
            "GET http://b.example:81/x?y HTTP/1.1",
            "GET /x?y HTTP/1.1",
            "b.example:81",
        ),
        (
            "GET http://b.example HTTP/1.1",
            "GET / HTTP/1.1",
            "b.example",
        ),
        (
            "GET http://b.example?q HTTP/1.1",
            "GET /?q HTTP/1.1",
            "b.example",
        ),
        (
            "OPTIONS http://b.example HTTP/1.1",
            "OPTIONS * HTTP/1.1",
            "b.example",
        ),
        ("OPTIONS * HTTP/1.1", "OPTIONS * HTTP/1.1", "a"),
    ];
    for (asked, told, host) in cases {
        ask(&mut client, &format!("{asked}\r\nHost: a\r\n\r\n"), 2);
        let head = server.head();
        assert_eq!(head.lines().next(), Some(told));
        assert_eq!(field(&head, "host"), Some(host), "{asked}");
    }
}

#[test]
fn a_reply_stays_as_it_is_but_for_what_belongs_to_the_hop() {
    let server = Server::answering(
        b"HTTP/1.1 299 Very Fine\r\n\
          Server: x\r\n\
          Connection: X-Mine\r\n\
          X-Mine: 1\r\n\
          Keep-Alive: timeout=5\r\n\
          Set-Cookie: a\r\n\
          set-cookie: b\r\n\
          Proxy-Authenticate: Basic\r\n\
          Upgrade: h2c\r\n\
          Content-Length: 0\r\n\r\n",
    );
    let proxy = proxy(&[server.address]);
    let (head, _) = ask(&mut client(&proxy), "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0);
    assert_eq!(
        head,
        "HTTP/1.1 299 Very Fine\r\nServer: x\r\nSet-Cookie: a\r\nset-cookie: b\r\nContent-Length: 0\r\n\r\n"
    );
}

#[test]
fn a_client_of_the_old_version_is_served() {
    let server = Server::answering(OK);
    let proxy = proxy(&[server.address]);
    let mut stream = client(&proxy);
    // Without a host, which HTTP/1.1 asks for: it is said that there is none.
    let (head, _) = ask(
        &mut stream,
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        2,
    );
    assert_eq!(field(&head, "connection"), Some("keep-alive"));
    let told = server.head();
    assert!(told.starts_with("GET / HTTP/1.1\r\nhost: \r\n"), "{told}");
    let (head, _) = ask(&mut stream, "GET / HTTP/1.0\r\nHost: b\r\n\r\n", 2);
    assert_eq!(field(&head, "connection"), Some("close"));
    assert_eq!(field(&server.head(), "host"), Some("b"));
    crate::peers::expect_closed(&mut stream);
}

#[test]
fn every_split_of_heads_and_bodies_is_the_same_request() {
    let server = Server::scripted(|stream, head| {
        let body = crate::peers::read_exactly(stream, 4);
        assert_eq!(
            (body.as_slice(), head.starts_with("PUT ")),
            (&b"body"[..], true)
        );
        stream.write_all(OK).is_ok()
    });
    let proxy = proxy(&[server.address]);
    let mut stream = client(&proxy);
    let request = b"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
    for cut in 1..request.len() {
        stream.write_all(&request[..cut]).unwrap();
        // The pause lets the proxy see the first part alone, mostly; the outcome is the same either way.
        std::thread::yield_now();
        stream.write_all(&request[cut..]).unwrap();
        let head = read_head(&mut stream).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{cut}: {head}");
        assert_eq!(crate::peers::read_exactly(&mut stream, 2), b"ok");
    }
}

#[test]
fn a_reply_in_single_bytes_is_the_same_reply() {
    let server =
        Server::scripted(|stream, _| OK.iter().all(|byte| stream.write_all(&[*byte]).is_ok()));
    let proxy = proxy(&[server.address]);
    let mut stream = client(&proxy);
    for _ in 0..3 {
        let (head, body) = ask(&mut stream, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 2);
        assert_eq!(
            (head.as_str(), body.as_str()),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "ok")
        );
    }
}
