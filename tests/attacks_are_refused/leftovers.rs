//! Bodies that somebody did not read: 0.CL, CL.0 and their kin (Pingora's CVE-2025-4366, "HTTP/1.1 must die").
//! Whatever is left of one request must not become the beginning of the next, at the proxy or at the server.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use crate::arena::{Arena, SMUGGLED, read_to_end, replies, status};
use crate::support::peer::{connect, scripted};
use crate::support::proxy::Proxy;

/// The proxy answers by itself, and the body that it does not need looks like a request.
#[test]
fn a_body_behind_a_reply_of_the_proxys_own_is_no_request() {
    let proxy = Proxy::start(
        "listeners:\n\
         - name: edge\n\
         \x20 listen: 127.0.0.1:0\n\
         \x20 protocol: http\n\
         \x20 http:\n\
         \x20   virtual_hosts:\n\
         \x20   - name: all\n\
         \x20     domains: [\"*\"]\n\
         \x20     routes:\n\
         \x20     - { name: teapot, path: /teapot, respond: { status: 418, body: short and stout } }\n\
         \x20     - { name: smuggled, path: /smuggled, respond: { status: 299, body: oh no } }\n\
         \x20     - { name: old, prefix: /old/, redirect: { status: 301, host: b } }\n\
         clusters: [{ name: unused, endpoints: [\"127.0.0.1:1\"] }]\n",
    );
    for line in [
        "POST /teapot",
        "GET /teapot",
        "POST /old/x",
        "POST /nothing",
        "HEAD /teapot",
    ] {
        let length = SMUGGLED.len();
        let mut client = connect(proxy.address("edge"));
        // The body comes later than the reply.
        write!(
            client,
            "{line} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
        )
        .unwrap();
        let mut first = [0; 12];
        client.read_exact(&mut first).unwrap();
        let _ = client.write_all(SMUGGLED.as_bytes());
        let _ = client.write_all(b"GET /teapot HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let said = read_to_end(&mut client);
        assert!(
            !said.contains("299") && !said.contains("oh no"),
            "{line}: {said:?}"
        );
        // Either the connection was closed, or the request behind the body was answered.
        assert!(
            replies(&said) == 0 || said.contains("short and stout"),
            "{line}: {said:?}"
        );
    }
    proxy
        .stats()
        .expect("http.edge.route.smuggled.downstream_rq_total", 0)
        .expect("http.edge.downstream_cx_protocol_error", 0);
}

/// The server answers without the body. What it has not read must not be in its connection for the next.
#[test]
fn a_server_that_answers_early_does_not_get_the_rest_as_a_request() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let record = Arc::clone(&seen);
    // Takes each head for a request without a body, as a server does that answers from a cache or refuses.
    let server = scripted(move |mut stream| {
        let mut head = Vec::new();
        let mut byte = [0];
        while stream.read_exact(&mut byte).is_ok() {
            head.push(byte[0]);
            if head.ends_with(b"\r\n\r\n") {
                record
                    .lock()
                    .unwrap()
                    .push(String::from_utf8_lossy(&head).into_owned());
                head.clear();
                if stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    .is_err()
                {
                    return;
                }
            }
        }
    });
    let proxy = Proxy::in_front_of("http", server);
    let address = proxy.address("http");
    for number in 0..20 {
        let mut attacker = connect(address);
        let length = SMUGGLED.len();
        write!(
            attacker,
            "POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
        )
        .unwrap();
        let mut reply = [0; 12];
        attacker.read_exact(&mut reply).unwrap();
        let _ = attacker.write_all(SMUGGLED.as_bytes());
        drop(attacker);
        let mut victim = connect(address);
        victim
            .write_all(b"GET /victim HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .unwrap();
        let said = read_to_end(&mut victim);
        assert_eq!((status(&said), replies(&said)), (200, 1), "{said:?}");
    }
    // The server itself takes a body for a request when it gets one on the connection that asked: what counts
    // is that no victim's request came behind one, or got the answer to it.
    let seen = seen.lock().unwrap();
    for pair in seen.windows(2) {
        let behind = pair[0].starts_with("GET /smuggled") && pair[1].starts_with("GET /victim");
        assert!(!behind || !pair[1].contains("smuggled"), "{seen:?}");
    }
}

/// CL.0 by way of Expect: the client says that it waits, the server refuses, the client sends nevertheless.
#[test]
fn a_body_that_was_refused_is_no_request() {
    let seen: Arc<Mutex<Vec<u8>>> = Arc::default();
    let record = Arc::clone(&seen);
    let server = scripted(move |mut stream| {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut buffer) {
            let mut all = record.lock().unwrap();
            all.extend(&buffer[..n]);
            if !all.ends_with(b"\r\n\r\n") {
                continue;
            }
            let answer: &[u8] = if all.windows(7).any(|part| part == b"Expect:") {
                b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n"
            } else {
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            };
            all.clear();
            if stream.write_all(answer).is_err() {
                return;
            }
        }
    });
    let proxy = Proxy::in_front_of("http", server);
    let mut client = connect(proxy.address("http"));
    let length = SMUGGLED.len();
    write!(
        client,
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
    )
    .unwrap();
    let mut first = [0; 12];
    client.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 417");
    let _ = client.write_all(SMUGGLED.as_bytes());
    let said = read_to_end_soon(&mut client);
    assert_eq!(replies(&said), 0, "the refused body was answered: {said:?}");
}

/// Two requests at once whose first the proxy refuses: the second is not looked at.
#[test]
fn nothing_behind_a_refused_request_is_looked_at() {
    let arena = Arena::new();
    let said = arena.send_and_stay(
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n{}",
            SMUGGLED.repeat(50)
        )
        .as_bytes(),
    );
    assert_eq!((status(&said), replies(&said)), (400, 1), "{said:?}");
    assert_eq!(arena.arrived(), []);
}

/// Requests in a row without waiting are answered in their order, each with its own.
#[test]
fn requests_in_a_row_are_answered_in_their_order() {
    let server = scripted(|mut stream| {
        let mut head = Vec::new();
        let mut byte = [0];
        while stream.read_exact(&mut byte).is_ok() {
            head.push(byte[0]);
            if head.ends_with(b"\r\n\r\n") {
                let said = String::from_utf8_lossy(&head).into_owned();
                let target = said.split(' ').nth(1).unwrap();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}",
                    target.len()
                );
                if stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
                head.clear();
            }
        }
    });
    let proxy = Proxy::in_front_of("http", server);
    let mut client = connect(proxy.address("http"));
    let mut requests = String::new();
    for number in 0..200 {
        let last = if number == 199 {
            "Connection: close\r\n"
        } else {
            ""
        };
        requests += &format!("GET /{number} HTTP/1.1\r\nHost: a\r\n{last}\r\n");
    }
    client.write_all(requests.as_bytes()).unwrap();
    let said = read_to_end(&mut client);
    let order: Vec<&str> = said
        .lines()
        .filter_map(|line| line.strip_prefix('/'))
        .collect();
    let order: Vec<usize> = order
        .iter()
        .map(|line| line.split("HTTP").next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(order, (0..200).collect::<Vec<_>>());
}

/// What comes within a second: the proxy need not close, but must not answer.
fn read_to_end_soon(stream: &mut std::net::TcpStream) -> String {
    stream
        .set_read_timeout(Some(std::time::Duration::from_secs(1)))
        .unwrap();
    let _ = stream.write_all(b"");
    read_to_end(stream)
}
