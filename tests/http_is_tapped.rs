//! In mode tap HTTP passes byte for byte, and what passed is counted as in mode proxy: by caller, status and time, in both versions.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::{Value, json};
use socket2::SockRef;
use support::frames::Frames;
use support::http::Version::{Http1, Http2};
use support::http::{Caller, Origin, Version, WebServer, curl, exchange, output, plain};
use support::peer::{connect, scripted};
use support::proxy::Proxy;
use support::stats::Stats;
use support::{eventually, tool};

/// How often each thing is done.
const TIMES: i64 = 3;

#[test]
fn each_request_is_counted_once() {
    for version in [Http1, Http2] {
        let origin = Origin::start(version);
        let proxy = tap(origin.address());
        let mut caller = Caller::start();
        let address = proxy.address("edge");
        let mut ask = |line: &str, status: u64, name: &str, order: Value| {
            let mut order = order;
            order["over"] = "one".into();
            order["fields"] = json!([["x-caller", name]]);
            let answer = caller.ask(version, address, line, order);
            answer.expect(status);
            let report = origin.report();
            assert_eq!(report.body(), answer.sent(), "{version:?} {line}");
            assert_eq!(answer.body(), report.sent(), "{version:?} {line}");
        };
        for _ in 0..TIMES {
            ask("GET /bytes/10", 200, "checkout", plain());
            ask("GET /bytes/0", 200, "search", plain());
            ask("HEAD /bytes/10", 200, "search", plain());
            ask("GET /stream/100000", 200, "search", plain());
            ask("GET /trailers/10", 200, "search", plain());
            ask("GET /hints", 200, "search", plain());
            ask("GET /status/304", 304, "checkout", plain());
            ask("GET /status/404", 404, "checkout", plain());
            ask("GET /status/503", 503, "checkout", plain());
            let body = json!({"body": 100_000});
            ask("POST /echo", 200, "checkout", body);
            let pieces = json!({"body": 100_000, "length": false});
            ask("POST /echo", 200, "checkout", pieces);
        }
        expect_counts(&timed(&proxy, 11 * TIMES), version);
    }
}

fn expect_counts(stats: &Stats, version: Version) {
    let of = |name: &str| i64::from(version.name() == name);
    stats
        .expect("http.edge.downstream_rq_total", 11 * TIMES)
        .expect(
            "http.edge.downstream_rq_http1_total",
            11 * TIMES * of("http1"),
        )
        .expect(
            "http.edge.downstream_rq_http2_total",
            11 * TIMES * of("http2"),
        )
        .expect("http.edge.downstream_cx_total", 1)
        .expect("http.edge.downstream_cx_http1_total", of("http1"))
        .expect("http.edge.downstream_cx_http2_total", of("http2"))
        .expect("http.edge.rq_total", 11 * TIMES)
        .expect("http.edge.downstream_rq_2xx", 8 * TIMES)
        .expect("http.edge.downstream_rq_error", TIMES)
        .expect("http.edge.code.200.total", 8 * TIMES)
        .expect("http.edge.code.304.total", TIMES)
        .expect("http.edge.code.404.total", TIMES)
        .expect("http.edge.code.503.total", TIMES)
        .expect("http.edge.route.default.downstream_rq_total", 11 * TIMES)
        .expect("http.edge.caller.checkout.downstream_rq_total", 6 * TIMES)
        .expect("http.edge.caller.checkout.downstream_rq_5xx", TIMES)
        .expect("http.edge.caller.search.downstream_rq_total", 5 * TIMES)
        .expect("http.edge.http2.streams_active", 0)
        .expect("http.edge.decoding_error", 0)
        .expect("cluster.shop.upstream_rq_total", 11 * TIMES)
        .expect("cluster.shop.upstream_rq_completed", 11 * TIMES)
        .expect("cluster.shop.upstream_rq_2xx", 8 * TIMES)
        .expect("cluster.shop.code.404.total", TIMES)
        .expect("cluster.shop.upstream_rq_active", 0)
        .expect_count("http.edge.downstream_rq_time_ms", 11 * TIMES as u64)
        .expect_count("cluster.shop.upstream_rq_time_ms", 11 * TIMES as u64);
    // Two uploads and one download each round; the heads are small.
    for name in ["request_bytes", "response_bytes"] {
        let sum = stats.histogram(&format!("http.edge.{name}")).sum;
        let bodies = TIMES as f64
            * if name == "request_bytes" {
                200_000.0
            } else {
                100_000.0
            };
        assert!(
            (bodies * 0.99..bodies * 1.2).contains(&sum),
            "{name}: {sum}"
        );
    }
}

#[test]
fn the_time_is_the_servers() {
    for version in [Http1, Http2] {
        let origin = Origin::start(version);
        let proxy = tap(origin.address());
        let mut caller = Caller::start();
        let address = proxy.address("edge");
        caller
            .ask(version, address, "GET /slow/300", plain())
            .expect(200);
        caller
            .ask(version, address, "GET /drip/20", plain())
            .expect(200);
        let stats = timed(&proxy, 2);
        let between = |name: &str, percent: f64, wanted: std::ops::Range<f64>| {
            let seen = stats.histogram(&format!("http.edge.{name}")).at(percent);
            assert!(
                wanted.contains(&seen),
                "{version:?} {name} {percent}: {seen}"
            );
        };
        between("downstream_rq_time_ms", 0.0, 290.0..5_000.0);
        between("upstream_time_ms", 0.0, 290.0..5_000.0);
        // Twenty bytes, twenty milliseconds apart: the first is there long before the last.
        between("upstream_time_ms", 100.0, 370.0..5_000.0);
        between("first_byte_ms", 0.0, 0.0..290.0);
        between("added_time_ms", 0.0, 0.0..100.0);
    }
}

#[test]
fn what_breaks_off_is_counted_on_the_side_that_broke_it() {
    for version in [Http1, Http2] {
        let origin = Origin::start(version);
        let proxy = tap(origin.address());
        let mut caller = Caller::start();
        let address = proxy.address("edge");
        let cut = caller.ask(version, address, "GET /reset/100", plain());
        assert_ne!(cut.ended(), "complete");
        eventually("the reset is counted", || {
            (proxy.stats().value("http.edge.downstream_rq_tx_reset") == 1).then_some(())
        });
        // A client that leaves while the server thinks.
        drop(caller);
        let client = stuck(version, address);
        eventually("it is under way", || {
            (proxy.stats().value("http.edge.downstream_rq_active") == 1).then_some(())
        });
        // An end in order would be passed on to the server, which might still answer.
        let linger = SockRef::from(&client).set_linger(Some(Duration::ZERO));
        linger.unwrap();
        drop(client);
        eventually("it is counted as left", || {
            (proxy.stats().value("http.edge.downstream_rq_rx_reset") == 1).then_some(())
        });
        let stats = at_rest(&proxy, 2);
        stats
            .expect("http.edge.downstream_rq_error", 2)
            .expect("cluster.shop.upstream_rq_rx_reset", 1)
            .expect("cluster.shop.upstream_rq_active", 0);
    }
}

/// A client whose request is never answered.
fn stuck(version: Version, address: SocketAddr) -> TcpStream {
    match version {
        Http1 => {
            let mut client = connect(address);
            client
                .write_all(b"GET /stuck HTTP/1.1\r\nHost: a\r\n\r\n")
                .unwrap();
            client
        }
        Http2 => {
            let mut client = Frames::connect(address);
            client.get(1, "/stuck").unwrap();
            client.stream
        }
    }
}

/// Requests ahead of their replies, in pieces of a byte; replies with a length, with chunks, and until the end of the connection.
#[test]
fn requests_that_are_sent_ahead_are_paired_in_order() {
    let server = scripted(|mut stream| {
        let mut seen = Vec::new();
        let mut buffer = [0; 4096];
        while !seen.ends_with(b"last\r\n\r\n") {
            match stream.read(&mut buffer) {
                Ok(n @ 1..) => seen.extend(&buffer[..n]),
                _ => return,
            }
        }
        let replies = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc\
                       HTTP/1.1 404 No\r\nContent-Length: 100\r\n\r\n\
                       HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n\
                       HTTP/1.1 201 Made\r\n\r\nuntil the end";
        let _ = stream.write_all(replies.as_bytes());
    });
    let proxy = tap(server);
    let mut client = connect(proxy.address("edge"));
    let requests = "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n\
                    HEAD /b HTTP/1.1\r\nHost: a\r\n\r\n\
                    GET /c HTTP/1.1\r\nHost: a\r\n\r\n\
                    GET /d HTTP/1.1\r\nHost: last\r\n\r\n";
    for byte in requests.bytes() {
        client.write_all(&[byte]).unwrap();
    }
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("until the end"), "{answer}");
    drop(client);
    let stats = timed(&proxy, 4);
    for code in [200, 404, 500, 201] {
        stats.expect(&format!("http.edge.code.{code}.total"), 1);
    }
    stats
        .expect("http.edge.decoding_error", 0)
        .expect("http.edge.downstream_rq_rx_reset", 0)
        .expect_count("http.edge.downstream_rq_time_ms", 4);
}

/// What is no HTTP, or none that is taken alike by all, passes all the same; why nothing is counted any more is.
#[test]
fn what_can_not_be_followed_passes_and_is_counted_with_its_reason() {
    let cases: [(&[u8], &[u8], &str); 5] = [
        (b"\x16\x03\x01\x02\x00\x01", b"whatever", "tls"),
        (b"SSH-2.0-x\r\n", b"SSH-2.0-y\r\n", "method"),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n",
            "several_hosts",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nand more",
            "unexpected_reply",
        ),
        (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x01\x06\0\0\0\0\0!",
            b"whatever",
            "preface",
        ),
    ];
    for (said, answered, reason) in cases {
        let (send, got) = channel();
        let server = scripted(move |mut stream| {
            let mut seen = vec![0; said.len()];
            stream.read_exact(&mut seen).unwrap();
            let _ = send.send(seen);
            stream.write_all(answered).unwrap();
            // Until the client has it.
            let _ = stream.read(&mut [0]);
        });
        let proxy = tap(server);
        let mut client = connect(proxy.address("edge"));
        client.write_all(said).unwrap();
        let mut answer = vec![0; answered.len()];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(
            (got.recv().unwrap(), answer),
            (said.to_vec(), answered.to_vec())
        );
        proxy
            .stats()
            .expect("http.edge.decoding_error", 1)
            .expect(&format!("http.edge.decoding_error.{reason}.cx_total"), 1)
            .expect("http.edge.downstream_rq_active", 0);
        drop(client);
        let stats = at_rest(&proxy, i64::from(reason == "unexpected_reply"));
        stats.expect("cluster.shop.upstream_rq_active", 0);
    }
}

/// A client that sends more ahead than is remembered is no longer followed, and still served.
#[test]
fn a_client_that_sends_thousands_ahead_is_not_remembered() {
    const AHEAD: usize = 3_000;
    let server = scripted(|mut stream| {
        let mut seen = 0;
        let mut buffer = [0; 4096];
        let mut reply_to = 0;
        while let Ok(n @ 1..) = stream.read(&mut buffer) {
            seen += n;
            // Nothing is answered before all has come.
            while seen >= AHEAD * REQUEST.len() && reply_to < AHEAD {
                if stream.write_all(b"HTTP/1.1 204 No\r\n\r\n").is_err() {
                    return;
                }
                reply_to += 1;
            }
        }
    });
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let proxy = tap(server);
    let mut client = connect(proxy.address("edge"));
    client.write_all(&REQUEST.repeat(AHEAD)).unwrap();
    let mut answer = vec![0; AHEAD * b"HTTP/1.1 204 No\r\n\r\n".len()];
    client.read_exact(&mut answer).unwrap();
    proxy
        .stats()
        .expect("http.edge.decoding_error.too_many_outstanding.cx_total", 1)
        .expect("http.edge.downstream_rq_active", 0);
}

/// curl, h2load, nginx and nghttpd, and every byte of a file.
#[test]
fn real_peers_notice_nothing() {
    let servers = [
        (WebServer::nginx(), "--http1.1", Http1),
        (WebServer::nghttpd(), "--http2-prior-knowledge", Http2),
    ];
    for (server, argument, version) in servers {
        let content: Vec<u8> = (0..5_000_000u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(server.files().join("file"), &content).unwrap();
        std::fs::write(server.files().join("small"), "x".repeat(64)).unwrap();
        let proxy = tap(server.address());
        let url = |name: &str| format!("http://{}/{name}", proxy.address("edge"));
        let got = server.files().join("got");
        curl(&[
            argument,
            "--fail",
            "--output",
            got.to_str().unwrap(),
            &url("file"),
        ]);
        assert!(std::fs::read(&got).unwrap() == content, "{argument}");
        curl(&[argument, "--output", "/dev/null", &url("nothing")]);
        let mut load = Command::new(tool("h2load"));
        load.args([
            "--requests=2000",
            "--clients=4",
            "--max-concurrent-streams=16",
        ]);
        if version == Http1 {
            load.arg("--h1");
        }
        let said = output(load.arg(url("small")));
        assert!(
            said.contains("2000 succeeded, 0 failed, 0 errored"),
            "{said}"
        );
        let stats = timed(&proxy, 2002);
        stats
            .expect("http.edge.code.200.total", 2001)
            .expect("http.edge.code.404.total", 1)
            .expect("http.edge.downstream_cx_total", 6)
            .expect("http.edge.decoding_error", 0)
            .expect_count("http.edge.downstream_rq_time_ms", 2002);
    }
}

/// A drain waits for the reply that is under way, and not for clients that only keep their connection.
#[test]
fn a_drain_ends_connections_between_two_requests() {
    let origin = Origin::start(Http1);
    let mut proxy = tap(origin.address());
    let address = proxy.address("edge");
    let mut idle = connect(address);
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    idle.write_all(request("/status/204").as_bytes()).unwrap();
    eventually("it has its reply", || {
        (proxy.stats().value("http.edge.downstream_rq_2xx") == 1).then_some(())
    });
    let slow = std::thread::spawn(move || exchange(address, request("/slow/700").as_bytes()));
    eventually("it is under way", || {
        (proxy.stats().value("http.edge.downstream_rq_active") == 1).then_some(())
    });
    proxy.signal("TERM");
    assert!(proxy.wait().success());
    assert!(slow.join().unwrap().starts_with("HTTP/1.1 200"));
}

fn tap(server: SocketAddr) -> Proxy {
    Proxy::start(&format!(
        "listeners:\n\
         - {{ name: edge, listen: 127.0.0.1:0, protocol: http, cluster: shop, http: {{ mode: tap, caller_header: x-caller }} }}\n\
         clusters:\n\
         - {{ name: shop, endpoints: [\"{server}\"] }}\n"
    ))
}

/// The statistics once so many requests have been seen and none is under way.
fn at_rest(proxy: &Proxy, requests: i64) -> Stats {
    eventually("all requests have ended", || {
        let stats = proxy.stats();
        is_at_rest(&stats, requests).then_some(stats)
    })
}

/// The same once the times of all of them are there: a worker hands its histograms over later than its counters.
fn timed(proxy: &Proxy, requests: i64) -> Stats {
    eventually("all requests have been timed", || {
        let stats = proxy.stats();
        let recorded = stats.count("http.edge.downstream_rq_time_ms");
        (is_at_rest(&stats, requests) && recorded == requests as u64).then_some(stats)
    })
}

fn is_at_rest(stats: &Stats, requests: i64) -> bool {
    stats.value("http.edge.downstream_rq_total") == requests
        && stats.value("http.edge.downstream_rq_active") == 0
}
