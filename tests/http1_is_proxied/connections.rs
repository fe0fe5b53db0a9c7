//! Connections: what serves again and what does not, on both sides.

use std::io::Write;
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::peers::{
    OK, Server, ask, client, expect_closed, expect_open, field, proxy, proxy_with, read_exactly,
    read_head, read_to_end,
};
use crate::support::eventually;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn requests_sent_ahead_are_answered_in_their_order() {
    let server = Server::scripted(|stream, head| {
        let length = field(head, "content-length").map_or(0, |length| length.parse().unwrap());
        let body = read_exactly(stream, length);
        let path = head.split(' ').nth(1).unwrap();
        let text = format!("{path}={}", String::from_utf8(body).unwrap());
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        );
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let proxy = proxy(&[server.address]);
    let mut stream = client(&proxy);
    let mut requests = String::new();
    let mut expected = String::new();
    for number in 0..200 {
        let body = "b".repeat(number);
        requests +=
            &format!("PUT /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: {number}\r\n\r\n{body}");
        let text = format!("/{number}={body}");
        expected += &format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        );
    }
    stream.write_all(requests.as_bytes()).unwrap();
    let said = read_exactly(&mut stream, expected.len());
    assert_eq!(String::from_utf8(said).unwrap(), expected);
    let stats = proxy.stats();
    stats.expect("http.edge.downstream_rq_2xx", 200);
    stats.expect("cluster.shop.upstream_cx_total", 1);
}

#[test]
fn connections_are_kept_on_both_sides_until_somebody_wants_otherwise() {
    let server = Server::answering(OK);
    let proxy = proxy(&[server.address]);
    let mut stream = client(&proxy);
    for _ in 0..3 {
        ask(&mut stream, GET, 2);
    }
    let (head, _) = ask(
        &mut stream,
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n",
        2,
    );
    assert_eq!(field(&head, "connection"), Some("close"));
    expect_closed(&mut stream);
    ask(&mut client(&proxy), GET, 2);
    let stats = eventually("both are counted", || {
        let stats = proxy.stats();
        (stats.value("http.edge.downstream_cx_destroy") == 2).then_some(stats)
    });
    stats.expect("http.edge.downstream_cx_total", 2);
    stats.expect("http.edge.downstream_cx_destroy_local", 1);
    stats.expect("http.edge.downstream_cx_destroy_remote", 1);
    stats.expect("http.edge.downstream_rq_total", 5);
    stats.expect("cluster.shop.upstream_cx_total", 1);
    stats.expect("cluster.shop.pool.reused", 4);
}

#[test]
fn a_server_that_closes_is_not_asked_over_that_connection_again() {
    let server = Server::scripted(|stream, _| {
        let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
        stream.write_all(answer).unwrap();
        false
    });
    let proxy = proxy(&[server.address]);
    let mut stream = client(&proxy);
    for _ in 0..5 {
        let (head, _) = ask(&mut stream, GET, 2);
        // That is between the server and the proxy.
        assert_eq!(field(&head, "connection"), None);
    }
    let stats = proxy.stats();
    stats.expect("cluster.shop.upstream_cx_total", 5);
    stats.expect("cluster.shop.upstream_rq_retry", 0);
}

/// A server that closes its connection instead of answering the second request on it: what happens when it gives up an idle connection
/// at the moment at which it is used again.
fn forgetful() -> Server {
    static ANSWERED: AtomicUsize = AtomicUsize::new(0);
    Server::scripted(
        |stream, _| match ANSWERED.fetch_add(1, Ordering::SeqCst) % 2 {
            0 => stream.write_all(OK).is_ok(),
            _ => false,
        },
    )
}

#[test]
fn a_request_on_a_connection_that_dies_is_sent_again_if_that_does_no_harm() {
    let server = forgetful();
    let proxy = proxy(&[server.address]);
    let mut stream = client(&proxy);
    ask(&mut stream, GET, 2);
    let (head, _) = ask(&mut stream, GET, 2);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    // With its body, which is still there.
    let put = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    let (head, _) = ask(&mut stream, put, 2);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let stats = proxy.stats();
    stats.expect("cluster.shop.upstream_rq_retry", 2);
    stats.expect("cluster.shop.upstream_rq_retry_success", 2);
    stats.expect("http.edge.downstream_rq_2xx", 3);
    // Twice might be once too often.
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(post.as_bytes()).unwrap();
    let head = read_head(&mut stream).unwrap();
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    let stats = proxy.stats();
    stats.expect("cluster.shop.upstream_rq_retry", 2);
    stats.expect("http.edge.flag.UC.total", 1);
    stats.expect("cluster.shop.upstream_rq_rx_reset", 1);
}

#[test]
fn a_fresh_connection_that_dies_is_an_error() {
    let server = Server::scripted(|_, _| false);
    let proxy = proxy(&[server.address]);
    let mut stream = client(&proxy);
    stream.write_all(GET.as_bytes()).unwrap();
    let head = read_head(&mut stream).unwrap();
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    server.head();
    server.expect_no_more();
}

#[test]
fn a_server_that_closes_an_idle_connection_costs_nobody_a_request() {
    let server = Server::scripted(|stream, _| {
        stream.write_all(OK).unwrap();
        stream.shutdown(Shutdown::Both).unwrap();
        false
    });
    let proxy = proxy(&[server.address]);
    let mut stream = client(&proxy);
    for number in 1..4 {
        let (head, _) = ask(&mut stream, GET, 2);
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        eventually("the end is seen", || {
            let closed = proxy.stats().value("cluster.shop.upstream_cx_destroy");
            (closed == number).then_some(())
        });
    }
    proxy.stats().expect("cluster.shop.upstream_rq_retry", 0);
}

#[test]
fn a_client_that_leaves_takes_its_request_with_it() {
    let server = Server::scripted(|stream, _| {
        // No answer; the end of the connection is what this waits for.
        read_to_end(stream);
        false
    });
    let proxy = proxy(&[server.address]);
    let mut stream = client(&proxy);
    stream.write_all(GET.as_bytes()).unwrap();
    server.head();
    drop(stream);
    let stats = eventually("the request is given up", || {
        let stats = proxy.stats();
        (stats.value("http.edge.downstream_rq_rx_reset") == 1).then_some(stats)
    });
    stats.expect("http.edge.flag.DC.total", 1);
    stats.expect("http.edge.downstream_rq_active", 0);
    stats.expect("cluster.shop.upstream_rq_active", 0);
    stats.expect("cluster.shop.upstream_cx_active", 0);
    stats.expect("cluster.shop.upstream_rq_tx_reset", 1);
}

#[test]
fn no_more_connections_than_allowed_and_who_waits_is_served() {
    let server = Server::scripted(|stream, _| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        stream.write_all(OK).is_ok()
    });
    let proxy = proxy_with(&[server.address], ", pool: { max_connections: 2 }");
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let mut stream = client(&proxy);
            std::thread::spawn(move || {
                for _ in 0..10 {
                    let (head, _) = ask(&mut stream, GET, 2);
                    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
                }
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    let stats = proxy.stats();
    stats.expect("cluster.shop.upstream_cx_total", 2);
    stats.expect("http.edge.downstream_rq_2xx", 80);
}

#[test]
fn requests_are_spread_over_servers_by_what_these_have_to_do() {
    let servers = [
        Server::answering(OK),
        Server::answering(OK),
        Server::answering(OK),
    ];
    let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
    let proxy = proxy(&addresses);
    let mut stream = client(&proxy);
    for _ in 0..30 {
        ask(&mut stream, GET, 2);
    }
    let stats = proxy.stats();
    for address in addresses {
        stats.expect(&format!("cluster.shop.endpoint.{address}.rq_total"), 10);
    }
}

#[test]
fn a_drain_ends_idle_connections_and_tells_the_others() {
    let (go, wait) = std::sync::mpsc::channel();
    let wait = std::sync::Mutex::new(wait);
    let server = Server::scripted(move |stream, _| {
        wait.lock().unwrap().recv().unwrap();
        stream.write_all(OK).is_ok()
    });
    let mut proxy = proxy(&[server.address]);
    let mut idle = client(&proxy);
    go.send(()).unwrap();
    ask(&mut idle, GET, 2);
    let mut busy = client(&proxy);
    busy.write_all(GET.as_bytes()).unwrap();
    server.head();
    server.head();
    proxy.signal("TERM");
    expect_closed(&mut idle);
    expect_open(&mut busy);
    go.send(()).unwrap();
    let head = read_head(&mut busy).unwrap();
    assert_eq!(field(&head, "connection"), Some("close"));
    assert_eq!(read_to_end(&mut busy), "ok");
    assert!(proxy.wait().success());
}
