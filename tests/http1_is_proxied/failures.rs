//! What the proxy says in the place of a server, and how it is counted.

use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::peers::{
    OK, Server, ask, client, field, proxy, proxy_with, read_exactly, read_head, read_to_end,
};
use crate::support::proxy::Proxy;
use crate::support::{eventually, free_port};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn nobody() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

#[test]
fn a_server_that_is_not_there_is_503_and_the_next_one_is_asked() {
    let proxy_alone = proxy(&[nobody()]);
    let mut stream = client(&proxy_alone);
    for number in 1..4 {
        stream.write_all(GET.as_bytes()).unwrap();
        let head = read_head(&mut stream).unwrap();
        assert!(
            head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"),
            "{head}"
        );
        // The connection goes on, and the reply says how long it is.
        let length = field(&head, "content-length").unwrap().parse().unwrap();
        let text = String::from_utf8(read_exactly(&mut stream, length)).unwrap();
        assert_eq!(text, "the upstream can't be connected to\n");
        let stats = proxy_alone.stats();
        stats.expect("http.edge.downstream_rq_5xx", number);
        stats.expect("http.edge.flag.UF.total", number);
        stats.expect("cluster.shop.upstream_rq_5xx", number);
        stats.expect("cluster.shop.upstream_rq_pending_failure_eject", number);
    }
    let server = Server::answering(OK);
    let proxy = proxy(&[nobody(), server.address]);
    let mut stream = client(&proxy);
    for _ in 0..6 {
        let (head, _) = ask(&mut stream, GET, 2);
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    }
    proxy.stats().expect("http.edge.downstream_rq_5xx", 0);
}

#[test]
fn a_head_request_gets_the_head_of_an_error() {
    let proxy = proxy(&[nobody()]);
    let mut stream = client(&proxy);
    for _ in 0..2 {
        let (head, _) = ask(&mut stream, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", 0);
        assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
        assert_eq!(field(&head, "content-length"), Some("35"));
    }
}

#[test]
fn a_reply_that_breaks_off_is_reset_and_not_taken_for_whole() {
    let cases: [&'static [u8]; 3] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ];
    for case in cases {
        let server = Server::scripted(move |stream, _| {
            stream.write_all(case).unwrap();
            false
        });
        let proxy = proxy(&[server.address]);
        let mut stream = client(&proxy);
        stream.write_all(GET.as_bytes()).unwrap();
        let mut said = Vec::new();
        let end = std::io::Read::read_to_end(&mut stream, &mut said);
        assert!(end.is_err(), "{:?}", String::from_utf8_lossy(&said));
        let stats = eventually("it is counted", || {
            let stats = proxy.stats();
            (stats.value("http.edge.downstream_rq_tx_reset") == 1).then_some(stats)
        });
        stats.expect("http.edge.downstream_rq_error", 1);
        stats.expect("http.edge.flag.UC.total", 1);
        stats.expect("cluster.shop.upstream_rq_rx_reset", 1);
        stats.expect_count("http.edge.upstream_time_ms", 0);
    }
}

#[test]
fn what_is_no_http_is_502() {
    let server = Server::answering(b"SSH-2.0-OpenSSH_9.2\r\n\r\n");
    let proxy = proxy(&[server.address]);
    let mut stream = client(&proxy);
    stream.write_all(GET.as_bytes()).unwrap();
    let head = read_head(&mut stream).unwrap();
    assert!(head.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{head}");
    let stats = proxy.stats();
    stats.expect("http.edge.flag.UPE.total", 1);
    stats.expect("cluster.shop.upstream_cx_protocol_error", 1);
    stats.expect("cluster.shop.pool.closed.protocol_error.total", 1);
}

#[test]
fn a_queue_that_is_full_is_503() {
    let server = Server::scripted(|stream, _| {
        read_to_end(stream);
        false
    });
    let pool = ", pool: { max_connections: 1, max_waiting: 1, wait_timeout: 60s }";
    let proxy = proxy_with(&[server.address], pool);
    let mut first = client(&proxy);
    first.write_all(GET.as_bytes()).unwrap();
    server.head();
    let mut second = client(&proxy);
    second.write_all(GET.as_bytes()).unwrap();
    eventually("one waits", || {
        (proxy.stats().value("cluster.shop.pool.waiting") == 1).then_some(())
    });
    let mut third = client(&proxy);
    third.write_all(GET.as_bytes()).unwrap();
    let head = read_head(&mut third).unwrap();
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    let stats = proxy.stats();
    stats.expect("http.edge.flag.UO.total", 1);
    stats.expect("cluster.shop.upstream_rq_pending_overflow", 1);
    drop(second);
    eventually("who leaves waits no more", || {
        (proxy.stats().value("cluster.shop.upstream_rq_cancelled") == 1).then_some(())
    });
}

/// The route's time is the client's: waiting for a connection is a part of it.
#[test]
fn a_request_that_waits_for_a_connection_is_504_when_its_time_is_over() {
    let server = Server::scripted(|stream, _| {
        read_to_end(stream);
        false
    });
    let proxy = Proxy::start(&format!(
        "workers: 1\n\
         listeners:\n- name: edge\n  listen: 127.0.0.1:0\n  protocol: http\n  http:\n    virtual_hosts:\n    - name: all\n      domains: [\"*\"]\n      routes:\n      \
         - {{ name: patient, path: /patient, cluster: shop, timeout: 0s }}\n      \
         - {{ name: quick, prefix: /, cluster: shop, timeout: 300ms }}\n\
         clusters:\n- {{ name: shop, endpoints: [\"{}\"], pool: {{ max_connections: 1, wait_timeout: 60s }} }}\n",
        server.address
    ));
    let mut patient = client(&proxy);
    write!(patient, "GET /patient HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    server.head();
    let mut quick = client(&proxy);
    let begun = Instant::now();
    quick.write_all(GET.as_bytes()).unwrap();
    let head = read_head(&mut quick).unwrap();
    assert!(head.starts_with("HTTP/1.1 504 "), "{head}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    let stats = proxy.stats();
    stats
        .expect("http.edge.flag.UT.total", 1)
        .expect("cluster.shop.upstream_rq_cancelled", 0)
        .expect("cluster.shop.pool.waiting", 0);
}

/// Who sends what is no body is refused, and the server that waited for it has done nothing wrong.
#[test]
fn a_fault_of_the_client_is_not_counted_against_the_server() {
    let server = Server::scripted(|stream, _| {
        read_to_end(stream);
        false
    });
    let proxy = proxy(&[server.address]);
    let mut stream = client(&proxy);
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    server.head();
    stream.write_all(b"zz\r\n").unwrap();
    let head = read_head(&mut stream).unwrap();
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    let stats = proxy.stats();
    let endpoint = format!("cluster.shop.endpoint.{}", server.address).replace(['.', ':'], "_");
    let errors = stats.values.iter().filter(|(name, _)| {
        name.replace(['.', ':'], "_").starts_with(&endpoint) && name.ends_with(".rq_error")
    });
    assert_eq!(errors.map(|(_, value)| value).sum::<i64>(), 0);
    stats
        .expect("http.edge.downstream_rq_4xx", 1)
        .expect("cluster.shop.upstream_rq_4xx", 0);
}

#[test]
fn what_was_counted_adds_up() {
    let server = Server::scripted(|stream, head| {
        let status = head.split(['/', ' ']).nth(2).unwrap();
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 3\r\n\r\nabc");
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let proxy = proxy(&[server.address]);
    let mut stream = client(&proxy);
    for (status, times) in [(200, 5), (201, 1), (301, 2), (404, 3), (500, 4)] {
        for _ in 0..times {
            ask(
                &mut stream,
                &format!("GET /{status} HTTP/1.1\r\nHost: a\r\n\r\n"),
                3,
            );
        }
    }
    let stats = proxy.stats();
    for (name, value) in [
        ("2xx", 6),
        ("3xx", 2),
        ("4xx", 3),
        ("5xx", 4),
        ("total", 15),
        ("error", 4),
    ] {
        stats.expect(&format!("http.edge.downstream_rq_{name}"), value);
        stats.expect(
            &format!("http.edge.route.default.downstream_rq_{name}"),
            value,
        );
        if name != "error" {
            stats.expect(&format!("cluster.shop.upstream_rq_{name}"), value);
        }
    }
    stats.expect("http.edge.code.201.total", 1);
    stats.expect("cluster.shop.code.201.total", 1);
    stats.expect("cluster.shop.upstream_rq_completed", 15);
    let endpoint = format!("cluster.shop.endpoint.{}", server.address);
    stats.expect(&format!("{endpoint}.rq_success"), 11);
    stats.expect(&format!("{endpoint}.rq_error"), 4);
    for histogram in [
        "downstream_rq_time_ms",
        "first_byte_ms",
        "upstream_time_ms",
        "added_time_ms",
        "request_bytes",
        "response_bytes",
    ] {
        stats.expect_count(&format!("http.edge.{histogram}"), 15);
        stats.expect_count(&format!("http.edge.route.default.{histogram}"), 15);
    }
    stats.expect_count("cluster.shop.upstream_rq_time_ms", 15);
    let (asked, answered) = (
        "GET /200 HTTP/1.1\r\nHost: a\r\n\r\n",
        "HTTP/1.1 200 X\r\nContent-Length: 3\r\n\r\nabc",
    );
    let sum = |name: &str| stats.histogram(name).sum;
    assert_eq!(sum("http.edge.request_bytes"), (asked.len() * 15) as f64);
    assert_eq!(
        sum("http.edge.response_bytes"),
        (answered.len() * 15) as f64
    );
    // What the server took and what the proxy added is all there is.
    let parts = sum("http.edge.upstream_time_ms") + sum("http.edge.added_time_ms");
    assert!((parts - sum("http.edge.downstream_rq_time_ms")).abs() < 0.1);
}
