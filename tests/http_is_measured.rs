//! What `/stats` says of HTTP is exactly what happened: by route, caller, status and time, in both versions.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::io::{Read, Write};
use std::net::SocketAddr;

use serde_json::{Value, json};
use support::eventually;
use support::http::Version::{Http1, Http2};
use support::http::{Caller, Origin, Version, plain};
use support::peer::{connect, scripted};
use support::proxy::Proxy;
use support::stats::Stats;

const PAIRS: [(Version, Version); 4] = [
    (Http1, Http1),
    (Http1, Http2),
    (Http2, Http1),
    (Http2, Http2),
];

/// How often each thing is done.
const TIMES: i64 = 3;

#[test]
fn each_request_is_counted_once_where_it_belongs() {
    for (client, server) in PAIRS {
        let origin = Origin::start(server);
        let proxy = Proxy::start(&config(&origin, server));
        let mut caller = Caller::start();
        let address = proxy.address("edge");
        let mut ask = |line: &str, status: u64, order: Value| {
            caller.ask(client, address, line, order).expect(status);
        };
        let from = |name: &str| json!({"over": "one", "authority": "shop.example", "fields": [["x-caller", name]]});
        for _ in 0..TIMES {
            ask("GET /bytes/10", 200, from("checkout"));
            ask("GET /bytes/0", 200, from("search"));
            ask("GET /status/404", 404, from("search"));
            ask("GET /status/503", 503, from("checkout"));
            ask("GET /teapot", 418, from("checkout"));
            ask("GET /old/x", 301, from("checkout"));
            // Without a caller, without a route.
            ask(
                "GET /bytes/3",
                200,
                json!({"over": "one", "authority": "shop.example"}),
            );
            ask(
                "GET /bytes/3",
                404,
                json!({"over": "one", "authority": "other.example"}),
            );
        }
        expect_counts(&when_done(&proxy, 8 * TIMES), client, server);
    }
}

fn expect_counts(stats: &Stats, client: Version, server: Version) {
    let of = |side: Version, name: &str| if side.name() == name { 1 } else { 0 };
    stats
        .expect("http.edge.downstream_rq_total", 8 * TIMES)
        .expect("http.edge.downstream_rq_completed", 8 * TIMES)
        .expect("http.edge.downstream_rq_2xx", 3 * TIMES)
        .expect("http.edge.downstream_rq_3xx", TIMES)
        .expect("http.edge.downstream_rq_4xx", 3 * TIMES)
        .expect("http.edge.downstream_rq_5xx", TIMES)
        .expect(
            "http.edge.downstream_rq_http1_total",
            8 * TIMES * of(client, "http1"),
        )
        .expect(
            "http.edge.downstream_rq_http2_total",
            8 * TIMES * of(client, "http2"),
        )
        .expect("http.edge.downstream_cx_http1_total", of(client, "http1"))
        .expect("http.edge.downstream_cx_http2_total", of(client, "http2"))
        .expect("http.edge.no_route", TIMES)
        .expect("http.edge.rq_redirect", TIMES)
        .expect("http.edge.rq_direct_response", TIMES)
        .expect("http.edge.rq_total", 5 * TIMES)
        .expect("http.edge.code.200.total", 3 * TIMES)
        .expect("http.edge.code.301.total", TIMES)
        .expect("http.edge.code.404.total", 2 * TIMES)
        .expect("http.edge.code.418.total", TIMES)
        .expect("http.edge.code.503.total", TIMES)
        .expect("http.edge.route.bytes.downstream_rq_total", 3 * TIMES)
        .expect("http.edge.route.bytes.downstream_rq_2xx", 3 * TIMES)
        .expect("http.edge.route.statuses.downstream_rq_4xx", TIMES)
        .expect("http.edge.route.statuses.downstream_rq_5xx", TIMES)
        .expect("http.edge.route.statuses.downstream_rq_error", TIMES)
        .expect("http.edge.route.teapot.downstream_rq_total", TIMES)
        .expect("http.edge.route.old.downstream_rq_3xx", TIMES)
        .expect("http.edge.caller.checkout.downstream_rq_total", 4 * TIMES)
        .expect("http.edge.caller.search.downstream_rq_total", 2 * TIMES)
        .expect("http.edge.caller.checkout.downstream_rq_5xx", TIMES)
        .expect("cluster.shop.upstream_rq_total", 5 * TIMES)
        .expect("cluster.shop.upstream_rq_2xx", 3 * TIMES)
        .expect("cluster.shop.upstream_rq_4xx", TIMES)
        .expect("cluster.shop.upstream_rq_5xx", TIMES)
        .expect("cluster.shop.upstream_cx_http1_total", of(server, "http1"))
        .expect("cluster.shop.upstream_cx_http2_total", of(server, "http2"))
        .expect_count("http.edge.downstream_rq_time_ms", 8 * TIMES as u64)
        .expect_count(
            "http.edge.route.bytes.downstream_rq_time_ms",
            3 * TIMES as u64,
        )
        .expect_count(
            "http.edge.caller.search.downstream_rq_time_ms",
            2 * TIMES as u64,
        )
        .expect_count("cluster.shop.upstream_rq_time_ms", 5 * TIMES as u64);
}

/// Twenty bytes, twenty milliseconds apart: the first is there long before the last.
#[test]
fn the_first_byte_and_the_last_have_a_time_each() {
    for (client, server) in PAIRS {
        let origin = Origin::start(server);
        let proxy = Proxy::start(&config(&origin, server));
        let mut caller = Caller::start();
        let order = json!({"authority": "shop.example"});
        let address = proxy.address("edge");
        caller
            .ask(client, address, "GET /drip/20", order.clone())
            .expect(200);
        caller
            .ask(client, address, "GET /slow/300", order)
            .expect(200);
        let stats = when_done(&proxy, 2);
        let at = |name: &str| stats.histogram(name).at(100.0);
        let drip = "http.edge.route.drip";
        let total = at(&format!("{drip}.downstream_rq_time_ms"));
        assert!(
            (380.0..5_000.0).contains(&total),
            "{client:?} {server:?} {total}"
        );
        let first = at(&format!("{drip}.first_byte_ms"));
        assert!(
            first < total - 200.0,
            "{client:?} {server:?}: first {first}, total {total}"
        );
        let upstream = at(&format!("{drip}.upstream_time_ms"));
        assert!(upstream <= total * 1.01 && upstream > 370.0, "{upstream}");
        let added = at(&format!("{drip}.added_time_ms"));
        assert!(added < 200.0, "{client:?} {server:?}: {added} added");

        let slow = "http.edge.route.slow";
        let first = at(&format!("{slow}.first_byte_ms"));
        assert!(
            (290.0..5_000.0).contains(&first),
            "{client:?} {server:?} {first}"
        );
    }
}

/// An interim reply is no first byte of the reply.
#[test]
fn what_comes_before_the_reply_does_not_begin_it() {
    for tap in [false, true] {
        let server = scripted(|mut stream| {
            let mut buffer = [0; 4096];
            while let Ok(1..) = stream.read(&mut buffer) {
                stream
                    .write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n")
                    .unwrap();
                std::thread::sleep(std::time::Duration::from_millis(300));
                stream.write_all(b"HTTP/1.1 204 No\r\n\r\n").unwrap();
            }
        });
        let proxy = match tap {
            true => Proxy::tap_of("http", server),
            false => Proxy::in_front_of("http", server),
        };
        let mut client = connect(proxy.address("http"));
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        let stats = when_done_of(&proxy, "http", 1);
        let first = stats.histogram("http.http.first_byte_ms").at(0.0);
        assert!((290.0..5_000.0).contains(&first), "tap {tap}: {first}");
    }
}

/// Sizes to the byte, of a client that knows what it sends.
#[test]
fn bytes_are_counted_to_the_byte() {
    let reply = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n";
    let server = scripted(move |mut stream| {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut buffer) {
            if buffer[..n].ends_with(b"!") && write!(stream, "{reply}{}", "y".repeat(100)).is_err()
            {
                return;
            }
        }
    });
    let proxy = Proxy::in_front_of("http", server);
    let mut client = connect(proxy.address("http"));
    let request = format!(
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{}!",
        "x".repeat(999)
    );
    let mut received = 0;
    for _ in 0..10 {
        client.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        while !answer.ends_with(&[b'y'; 100]) {
            let read = client.read(&mut buffer).unwrap();
            assert!(read > 0);
            answer.extend(&buffer[..read]);
        }
        received += answer.len();
    }
    drop(client);
    let stats = when_done_of(&proxy, "http", 10);
    let sum = |name: &str| stats.histogram(name).sum.round() as usize;
    // The histograms keep two digits of each value; that the sum is near is all they promise.
    let near = |seen: usize, exact: usize| seen.abs_diff(exact) * 100 <= exact;
    assert!(
        near(sum("http.http.request_bytes"), 10 * request.len()),
        "{}",
        sum("http.http.request_bytes")
    );
    assert!(
        near(sum("http.http.response_bytes"), received),
        "{}",
        sum("http.http.response_bytes")
    );
    eventually("the connection is counted", || {
        (proxy.stats().value("http.http.downstream_cx_active") == 0).then_some(())
    });
    proxy
        .stats()
        .expect(
            "http.http.downstream_cx_rx_bytes_total",
            (10 * request.len()) as i64,
        )
        .expect("http.http.downstream_cx_tx_bytes_total", received as i64);
}

/// Who asks is a field that clients choose: beyond the limit they are one.
#[test]
fn callers_beyond_the_limit_are_one() {
    const CALLERS: usize = 5_000;
    const LIMIT: usize = 100;
    let server = support::recorder::Recorder::start();
    let proxy = Proxy::start(&format!(
        "workers: 1\n\
         listeners:\n\
         - {{ name: edge, listen: 127.0.0.1:0, protocol: http, cluster: shop, http: {{ caller_header: x-caller }} }}\n\
         clusters:\n\
         - {{ name: shop, endpoints: [\"{}\"] }}\n\
         stats: {{ limits: {{ callers: {LIMIT} }} }}\n",
        server.address()
    ));
    let mut client = connect(proxy.address("edge"));
    for number in 0..CALLERS {
        // Names that would be something else in another sink, among them.
        write!(
            client,
            "GET /x HTTP/1.1\r\nHost: a\r\nX-Caller: c{number}:1|c\r\n\r\n"
        )
        .unwrap();
        let mut answer = Vec::new();
        let mut buffer = [0; 512];
        while !answer.ends_with(b"\r\n\r\nok") {
            let read = client.read(&mut buffer).unwrap();
            assert!(read > 0);
            answer.extend(&buffer[..read]);
        }
    }
    let stats = when_done(&proxy, CALLERS as i64);
    let named = stats
        .values
        .keys()
        .filter(|name| {
            name.starts_with("http.edge.caller.c") && name.ends_with(".downstream_rq_total")
        })
        .count();
    assert_eq!(named, LIMIT);
    stats
        .expect(
            "http.edge.caller._other.downstream_rq_total",
            (CALLERS - LIMIT) as i64,
        )
        .expect("http.edge.downstream_rq_total", CALLERS as i64);
    assert!(stats.value("stats.folded.callers.total") > 0);
}

/// A client that leaves, a server that is gone, one that is silent.
#[test]
fn what_goes_wrong_is_counted_as_what_it_was() {
    let origin = Origin::start(Http1);
    let nowhere = SocketAddr::from(([127, 0, 0, 1], support::free_port()));
    let proxy = Proxy::start(&format!(
        "listeners:\n\
         - {{ name: gone, listen: 127.0.0.1:0, protocol: http, cluster: gone }}\n\
         - name: edge\n\
         \x20 listen: 127.0.0.1:0\n\
         \x20 protocol: http\n\
         \x20 http:\n\
         \x20   virtual_hosts:\n\
         \x20   - name: all\n\
         \x20     domains: [\"*\"]\n\
         \x20     routes:\n\
         \x20     - {{ name: quick, prefix: /slow/, cluster: shop, timeout: 300ms }}\n\
         \x20     - {{ name: rest, prefix: /, cluster: shop }}\n\
         clusters:\n\
         - {{ name: gone, endpoints: [\"{nowhere}\"] }}\n\
         - {{ name: shop, endpoints: [\"{}\"] }}\n",
        origin.address()
    ));
    let mut caller = Caller::start();
    caller
        .ask(Http1, proxy.address("gone"), "GET /", plain())
        .expect(503);
    caller
        .ask(Http1, proxy.address("edge"), "GET /slow/20000", plain())
        .expect(504);
    let mut leaving = connect(proxy.address("edge"));
    leaving
        .write_all(b"GET /stuck HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    eventually("it is under way", || {
        (proxy.stats().value("cluster.shop.upstream_rq_active") == 1).then_some(())
    });
    drop(leaving);
    let stats = eventually("it is given up", || {
        let stats = proxy.stats();
        (stats.value("http.edge.downstream_rq_rx_reset") == 1).then_some(stats)
    });
    stats
        .expect("cluster.gone.upstream_cx_connect_fail", 1)
        .expect("http.gone.downstream_rq_5xx", 1)
        .expect("http.edge.code.504.total", 1)
        .expect("cluster.shop.upstream_rq_timeout", 1)
        .expect("http.edge.route.quick.downstream_rq_5xx", 1)
        .expect("http.edge.downstream_rq_active", 0);
    // Its connection is not used again for somebody else.
    eventually("its connection is closed", || {
        (proxy.stats().value("cluster.shop.upstream_cx_active") == 0).then_some(())
    });
}

fn when_done(proxy: &Proxy, requests: i64) -> Stats {
    when_done_of(proxy, "edge", requests)
}

/// All statistics, once so many requests have ended: the client may have its reply before it is counted.
fn when_done_of(proxy: &Proxy, listener: &str, requests: i64) -> Stats {
    eventually("all requests are counted", || {
        let stats = proxy.stats();
        let total = stats.value(&format!("http.{listener}.downstream_rq_total"));
        let active = stats.value(&format!("http.{listener}.downstream_rq_active"));
        let recorded = stats.count(&format!("http.{listener}.downstream_rq_time_ms"));
        (total == requests && active == 0 && recorded == requests as u64).then_some(stats)
    })
}

fn config(origin: &Origin, version: Version) -> String {
    format!(
        "workers: 1\n\
         listeners:\n\
         - name: edge\n\
         \x20 listen: 127.0.0.1:0\n\
         \x20 protocol: http\n\
         \x20 http:\n\
         \x20   caller_header: x-caller\n\
         \x20   virtual_hosts:\n\
         \x20   - name: shop\n\
         \x20     domains: [shop.example]\n\
         \x20     routes:\n\
         \x20     - {{ name: bytes, prefix: /bytes/, cluster: shop }}\n\
         \x20     - {{ name: statuses, regex: \"^/status/[0-9]+$\", cluster: shop }}\n\
         \x20     - {{ name: drip, prefix: /drip/, cluster: shop }}\n\
         \x20     - {{ name: slow, prefix: /slow/, cluster: shop }}\n\
         \x20     - {{ name: teapot, path: /teapot, respond: {{ status: 418, body: short and stout }} }}\n\
         \x20     - {{ name: old, prefix: /old/, redirect: {{ status: 301, host: new.example }} }}\n\
         clusters:\n\
         - {{ name: shop, endpoints: [\"{}\"], http: {{ version: {} }} }}\n",
        origin.address(),
        version.name()
    )
}
