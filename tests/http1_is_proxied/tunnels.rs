//! Connections that change their protocol: only when both sides have agreed.

use std::io::Write;
use std::net::Shutdown;

use crate::peers::{
    OK, Server, ask, client, expect_open, field, proxy, read_exactly, read_head, read_to_end,
};
use crate::support::eventually;

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n";

#[test]
fn a_connection_that_switches_becomes_a_tunnel() {
    let server = Server::scripted(|stream, head| {
        assert_eq!(field(head, "connection"), Some("upgrade"));
        assert_eq!(field(head, "upgrade"), Some("websocket"));
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nX: y\r\n\r\nfirst";
        stream.write_all(answer).unwrap();
        let mut count = 0;
        while let [byte] = read_up_to_one(stream)[..] {
            stream.write_all(&[byte, byte]).unwrap();
            count += 1;
        }
        stream
            .write_all(format!("{count} came").as_bytes())
            .unwrap();
        false
    });
    let proxy = proxy(&[server.address]);
    let mut stream = client(&proxy);
    // What is sent behind the request is the tunnel's, if there is one.
    stream.write_all(format!("{UPGRADE}ab").as_bytes()).unwrap();
    let head = read_head(&mut stream).unwrap();
    assert!(
        head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"),
        "{head}"
    );
    assert_eq!(field(&head, "upgrade"), Some("WebSocket"));
    assert_eq!(field(&head, "connection"), Some("upgrade"));
    assert_eq!(read_exactly(&mut stream, 9), b"firstaabb");
    stream.write_all(b"c").unwrap();
    assert_eq!(read_exactly(&mut stream, 2), b"cc");
    let stats = proxy.stats();
    stats.expect("http.edge.downstream_cx_upgrades_total", 1);
    stats.expect("http.edge.downstream_cx_upgrades_active", 1);
    // One side may end before the other.
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut stream), "3 came");
    let stats = eventually("it has ended", || {
        let stats = proxy.stats();
        (stats.value("http.edge.downstream_cx_upgrades_active") == 0).then_some(stats)
    });
    stats.expect("http.edge.downstream_rq_1xx", 1);
    // How long a tunnel is open is no latency.
    stats.expect_count("http.edge.downstream_rq_time_ms", 0);
}

fn read_up_to_one(stream: &mut std::net::TcpStream) -> Vec<u8> {
    let mut byte = [0];
    let count = std::io::Read::read(stream, &mut byte).unwrap_or(0);
    byte[..count].to_vec()
}

#[test]
fn a_server_that_does_not_switch_answers_one_request_after_the_other() {
    let server = Server::answering(OK);
    let proxy = proxy(&[server.address]);
    let mut stream = client(&proxy);
    let both = format!("{UPGRADE}GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    let (head, _) = ask(&mut stream, &both, 2);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let (head, _) = ask(&mut stream, "", 2);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(server.head().starts_with("GET /chat "));
    let next = server.head();
    assert!(next.starts_with("GET /next "), "{next}");
    assert_eq!(field(&next, "upgrade"), None);
    expect_open(&mut stream);
}

#[test]
fn a_switch_that_nobody_asked_for_is_502() {
    let server = Server::answering(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n",
    );
    let proxy = proxy(&[server.address]);
    for request in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", UPGRADE] {
        let mut stream = client(&proxy);
        stream.write_all(request.as_bytes()).unwrap();
        let head = read_head(&mut stream).unwrap();
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    }
    proxy
        .stats()
        .expect("http.edge.downstream_cx_upgrades_total", 0);
}

#[test]
fn http2_and_tls_are_not_switched_to() {
    let server = Server::answering(OK);
    let proxy = proxy(&[server.address]);
    let mut stream = client(&proxy);
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c, TLS/1.0\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    ask(&mut stream, request, 2);
    let head = server.head();
    for name in ["upgrade", "connection", "http2-settings"] {
        assert_eq!(field(&head, name), None);
    }
}

#[test]
fn connect_is_refused_unless_it_is_allowed() {
    let server = Server::answering(OK);
    let proxy = proxy(&[server.address]);
    let mut stream = client(&proxy);
    let request = "CONNECT b.example:443 HTTP/1.1\r\nHost: b.example:443\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let head = read_head(&mut stream).unwrap();
    assert!(head.starts_with("HTTP/1.1 405 "), "{head}");
    assert_eq!(field(&head, "connection"), Some("close"));
    server.expect_no_more();
    proxy.stats().expect("http.edge.refused.connect.total", 1);
}
