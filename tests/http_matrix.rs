//! HTTP/1.1 and HTTP/2, each to each: whatever one side says reaches the other as it was meant, body
//! and trailers, early and late, whole or broken off.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::net::SocketAddr;

use serde_json::{Value, json};
use support::http::Version::{Http1, Http2};
use support::http::{Caller, Origin, Report, Version, order_of, plain};
use support::proxy::Proxy;

const SIZES: [u64; 4] = [0, 1, 64 * 1024, 100_000_000];
const PAIRS: [(Version, Version); 4] = [
    (Http1, Http1),
    (Http1, Http2),
    (Http2, Http1),
    (Http2, Http2),
];

#[test]
fn downloads_arrive_whole_with_their_length_and_without() {
    let mut world = World::new();
    for (client, server) in PAIRS {
        for size in SIZES {
            let (answer, report) =
                world.ask(client, server, &format!("GET /bytes/{size}"), plain());
            answer.expect(200);
            assert_eq!(answer.body(), report.sent(), "{client:?} {server:?}");
            assert_eq!(answer.length(), size);
            assert_eq!(answer.field("content-length").unwrap(), size.to_string());

            let (answer, report) =
                world.ask(client, server, &format!("GET /stream/{size}"), plain());
            answer.expect(200);
            assert_eq!(answer.body(), report.sent(), "{client:?} {server:?}");
            assert_eq!(answer.length(), size);
            if client == Http1 {
                assert_eq!(answer.text("framing"), "chunked", "{size} {answer:?}");
            }
        }
    }
}

#[test]
fn uploads_arrive_whole_with_their_length_and_without() {
    let mut world = World::new();
    for (client, server) in PAIRS {
        for size in SIZES {
            for length in [true, false] {
                let order = json!({"body": size, "length": length});
                let (answer, report) = world.ask(client, server, "POST /echo", order);
                answer.expect(200);
                assert_eq!(report.body(), answer.sent(), "{client:?} {server:?}");
                assert_eq!(report.length(), size);
                if length {
                    assert_eq!(report.field("content-length").unwrap(), size.to_string());
                    assert_eq!(report.field("transfer-encoding"), None);
                } else if server == Http1 && size > 0 {
                    assert_eq!(report.field("content-length"), None);
                    assert_eq!(report.field("transfer-encoding").unwrap(), "chunked");
                }
            }
        }
    }
}

/// Both directions of one exchange at once, pieces coming back while others are on their way.
#[test]
fn bodies_pass_both_ways_at_the_same_time() {
    let mut world = World::new();
    for (client, server) in PAIRS {
        let order = json!({"body": 5_000_000, "piece": 10_000, "length": false});
        let (answer, report) = world.ask(client, server, "POST /mirror", order);
        answer.expect(200);
        assert_eq!(answer.body(), answer.sent(), "{client:?} {server:?}");
        assert_eq!(report.body(), answer.sent());
    }
}

/// What belongs to a connection ends with it; what is meant for the one who answers, or vouches for the client, can't be taken away so.
#[test]
fn connection_takes_nothing_away_that_is_meant_for_the_server() {
    let mut world = World::new();
    for server in [Http1, Http2] {
        let fields = json!([
            [
                "connection",
                "authorization, cookie, x-forwarded-for, x-forwarded-proto, x-other"
            ],
            ["authorization", "secret"],
            ["cookie", "a=b"],
            ["x-forwarded-for", "10.0.0.1"],
            ["x-other", "gone"]
        ]);
        let (answer, report) = world.ask(Http1, server, "GET /bytes/1", json!({"fields": fields}));
        answer.expect(200);
        assert_eq!(
            report.field("authorization").as_deref(),
            Some("secret"),
            "{server:?}"
        );
        assert_eq!(report.field("cookie").as_deref(), Some("a=b"));
        assert_eq!(
            report.field("x-forwarded-for").as_deref(),
            Some("10.0.0.1, 127.0.0.1")
        );
        assert_eq!(report.field("x-forwarded-proto").as_deref(), Some("http"));
        assert_eq!(report.field("x-other"), None);
    }
}

/// Trailers that frame, route or vouch for somebody stay behind, whoever speaks what.
#[test]
fn trailers_that_must_not_be_any_are_left_out() {
    let mut world = World::new();
    for (client, server) in PAIRS {
        let order = json!({
            "fields": [["te", "trailers"]], "body": 3, "length": false,
            "trailers": [["x-sum", "1"], ["x-forwarded-for", "10.0.0.1"], ["forwarded", "for=x"], ["authorization", "y"]],
        });
        let (answer, report) = world.ask(client, server, "POST /echo", order);
        answer.expect(200);
        assert_eq!(
            report.trailer("x-sum").as_deref(),
            Some("1"),
            "{client:?} {server:?}"
        );
        for name in ["x-forwarded-for", "forwarded", "authorization"] {
            assert_eq!(report.trailer(name), None, "{client:?} {server:?}");
        }
    }
}

#[test]
fn trailers_pass_both_ways() {
    let mut world = World::new();
    for (client, server) in PAIRS {
        let fields = json!([["te", "trailers"]]);
        let order =
            json!({"fields": fields, "body": 3, "length": false, "trailers": [["x-sum", "1"]]});
        let (answer, report) = world.ask(client, server, "POST /mirror", order);
        answer.expect(200);
        assert_eq!(
            report.trailer("x-sum").as_deref(),
            Some("1"),
            "{client:?} {server:?} {report:?}"
        );
        assert_eq!(
            answer.trailer("x-sum").as_deref(),
            Some("1"),
            "{client:?} {server:?} {answer:?}"
        );

        let (answer, _) = world.ask(
            client,
            server,
            "GET /trailers/10",
            json!({"fields": fields}),
        );
        answer.expect(200);
        assert_eq!(
            answer.trailer("x-checksum").as_deref(),
            Some("abc"),
            "{client:?} {server:?}"
        );
        assert_eq!(answer.length(), 10);
        // A body of nothing has trailers too.
        let (answer, _) = world.ask(client, server, "GET /trailers/0", json!({"fields": fields}));
        answer.expect(200);
        assert_eq!(
            answer.trailer("x-checksum").as_deref(),
            Some("abc"),
            "{client:?} {server:?}"
        );
    }
}

#[test]
fn a_client_that_waits_for_100_gets_it_from_the_server() {
    let mut world = World::new();
    for (client, server) in PAIRS {
        let order = json!({"body": 65_536, "expect": true});
        let (answer, report) = world.ask(client, server, "POST /continue", order);
        answer.expect(200);
        assert_eq!(answer.interims(), [100], "{client:?} {server:?}");
        assert_eq!(report.body(), answer.sent());
        assert_eq!(report.field("expect").unwrap(), "100-continue");
    }
}

/// The body is never sent then: what comes next must not be taken for it.
#[test]
fn a_refused_expectation_leaves_a_clean_connection_or_none() {
    let mut world = World::new();
    for (client, server) in PAIRS {
        for _ in 0..3 {
            let order = json!({"body": 65_536, "expect": true, "linger": 0.01});
            let (answer, report) = world.ask(client, server, "POST /expectation", order);
            answer.expect(417);
            assert_eq!(answer.interims(), [0; 0], "{client:?} {server:?}");
            assert_eq!(report.length(), 0);
        }
        let (answer, report) = world.ask(client, server, "GET /bytes/9", plain());
        answer.expect(200);
        assert_eq!(
            (report.line().as_str(), report.length()),
            ("GET /bytes/9", 0)
        );
    }
}

#[test]
fn early_hints_come_before_the_reply() {
    let mut world = World::new();
    for (client, server) in PAIRS {
        let (answer, _) = world.ask(client, server, "GET /hints", plain());
        answer.expect(200);
        assert_eq!(answer.interims(), [103], "{client:?} {server:?}");
        assert_eq!(answer.length(), 10);
    }
}

/// Several in a row over one connection: a reply without a body must not be waited for, nor leave one behind.
#[test]
fn replies_without_a_body_keep_the_connection() {
    let mut world = World::new();
    for (client, server) in PAIRS {
        let name = format!("{client:?} {server:?}");
        let over = json!({"over": name});
        for _ in 0..3 {
            let (answer, _) = world.ask(client, server, "HEAD /bytes/1000", over.clone());
            answer.expect(200);
            assert_eq!(
                answer.field("content-length").as_deref(),
                Some("1000"),
                "{name}"
            );

            let (answer, _) = world.ask(client, server, "HEAD /stream/1000", over.clone());
            answer.expect(200);
            assert_eq!(answer.field("content-length"), None, "{name}");

            let (answer, _) = world.ask(client, server, "GET /status/304", over.clone());
            answer.expect(304);
            assert_eq!(answer.field("etag").as_deref(), Some("\"one\""), "{name}");
            assert_eq!(answer.field("transfer-encoding"), None, "{name}");

            let (answer, _) = world.ask(client, server, "GET /status/204", over.clone());
            answer.expect(204);
            assert_eq!(answer.field("content-length"), None, "{name}");
            assert_eq!(answer.field("transfer-encoding"), None, "{name}");

            let (answer, _) = world.ask(client, server, "GET /bytes/10", over.clone());
            answer.expect(200);
            assert_eq!(answer.length(), 10, "{name}");
        }
    }
    let stats = world.proxy.stats();
    for listener in ["to-http1", "to-http2"] {
        // One connection a version.
        stats.expect(&format!("http.{listener}.downstream_cx_total"), 2);
        stats.expect(&format!("http.{listener}.downstream_rq_total"), 30);
    }
}

/// The server answers before it has the request. Nothing of the body may be taken for what comes next.
#[test]
fn an_early_reply_arrives_and_the_next_request_is_clean() {
    let mut world = World::new();
    for (client, server) in PAIRS {
        // A server that reads on nevertheless, one that stops, and a client that sends slowly.
        let orders = [
            ("POST /early/413", json!({"body": 1_000_000})),
            ("POST /refuse/413", json!({"body": 3_000_000})),
            (
                "POST /refuse/403",
                json!({"body": 3_000_000, "length": false}),
            ),
            (
                "POST /early/200",
                json!({"body": 1_000, "piece": 100, "pause": 0.01}),
            ),
        ];
        for (line, order) in orders {
            let status: u64 = line.rsplit('/').next().unwrap().parse().unwrap();
            let (answer, _) = world.ask(client, server, line, order);
            assert_eq!(
                answer.status(),
                status,
                "{client:?} {server:?} {line} {answer:?}"
            );
            assert!(
                matches!(answer.text("text"), "early\n" | "refused\n"),
                "{answer:?}"
            );
            for _ in 0..2 {
                let (answer, report) = world.ask(client, server, "GET /bytes/9", plain());
                answer.expect(200);
                assert_eq!(
                    (report.line().as_str(), report.length()),
                    ("GET /bytes/9", 0)
                );
            }
        }
    }
}

#[test]
fn a_reply_that_breaks_off_is_never_made_to_look_whole() {
    let mut world = World::new();
    for (client, server) in PAIRS {
        for line in ["GET /reset/5000", "GET /cut/5000"] {
            let (answer, report) = world.ask(client, server, line, plain());
            assert_ne!(
                answer.ended(),
                "complete",
                "{client:?} {server:?} {line} {answer:?}"
            );
            assert_eq!(
                answer.status(),
                200,
                "{client:?} {server:?} {line} {answer:?}"
            );
            assert!(answer.length() <= 5_000);
            assert_eq!(report.ended(), "aborted here");
            let (answer, _) = world.ask(client, server, "GET /bytes/9", plain());
            answer.expect(200);
        }
    }
}

#[test]
fn a_request_that_breaks_off_is_never_made_to_look_whole() {
    let mut world = World::new();
    for (client, server) in PAIRS {
        for length in [true, false] {
            let order = json!({"body": 1_000_000, "length": length, "cut": 100_000});
            let (answer, report) = world.ask(client, server, "POST /mirror", order);
            assert_ne!(
                answer.ended(),
                "complete",
                "{client:?} {server:?} {answer:?}"
            );
            assert_ne!(
                report.ended(),
                "complete",
                "{client:?} {server:?} {report:?}"
            );
            assert!(report.length() <= 100_000);
            let (answer, _) = world.ask(client, server, "GET /bytes/9", plain());
            answer.expect(200);
        }
    }
}

/// Streams side by side on one connection, long ones and short ones.
#[test]
fn many_streams_of_one_connection_are_answered_each_with_its_own() {
    let mut world = World::new();
    for server in [Http1, Http2] {
        let address = world.address(server);
        let sizes: Vec<u64> = (0..60).map(|n| n * n * 53).collect();
        let order = |size: &u64| {
            order_of(
                Http2,
                address,
                &format!("GET /bytes/{size}"),
                json!({"over": format!("{server:?}")}),
            )
        };
        let answers = world.caller.ask_at_once(sizes.iter().map(order).collect());
        for (answer, size) in answers.iter().zip(&sizes) {
            answer.expect(200);
            assert_eq!(answer.length(), *size);
        }
        for _ in &sizes {
            world.origin(server).report();
        }
    }
    let stats = world.proxy.stats();
    stats.expect("http.to-http1.downstream_cx_total", 1);
    stats.expect("http.to-http2.downstream_cx_total", 1);
    // An HTTP/2 server gets them over one connection.
    let opened = stats.value("cluster.http2.upstream_cx_total");
    assert!(opened <= 2, "{opened} connections to the server");
}

/// What one hop says to the next is not passed on, and what the client's address was is added.
#[test]
fn fields_pass_but_for_those_of_the_hop() {
    let mut world = World::new();
    for (client, server) in PAIRS {
        let mut fields = vec![
            json!(["x-one", "1"]),
            json!(["x-two", "a"]),
            json!(["x-two", "b"]),
            json!(["cookie", "a=1; b=2"]),
        ];
        if client == Http1 {
            fields.extend([
                json!(["connection", "x-hop, keep-alive"]),
                json!(["x-hop", "1"]),
                json!(["keep-alive", "timeout=5"]),
                json!(["proxy-connection", "keep-alive"]),
            ]);
        }
        let order = json!({"fields": fields, "authority": "shop.example"});
        let (answer, report) = world.ask(client, server, "GET /bytes/3?q=a%20b&c", order);
        answer.expect(200);
        assert_eq!(report.line(), "GET /bytes/3?q=a%20b&c");
        let host = if server == Http1 {
            "host"
        } else {
            ":authority"
        };
        assert_eq!(
            report.field(host).as_deref(),
            Some("shop.example"),
            "{report:?}"
        );
        assert_eq!(report.field("x-one").as_deref(), Some("1"));
        assert_eq!(report.field("x-two").as_deref(), Some("a, b"));
        assert_eq!(
            report
                .field("cookie")
                .map(|all| all.replace("; ", ", "))
                .as_deref(),
            Some("a=1, b=2")
        );
        assert_eq!(
            report.field("x-forwarded-for").as_deref(),
            Some("127.0.0.1")
        );
        assert_eq!(report.field("x-forwarded-proto").as_deref(), Some("http"));
        for gone in ["x-hop", "keep-alive", "proxy-connection"] {
            assert_eq!(report.field(gone), None, "{client:?} {server:?} {report:?}");
        }
    }
}

/// A listener to each version of origin; a caller that speaks both.
struct World {
    proxy: Proxy,
    http1: Origin,
    http2: Origin,
    caller: Caller,
}

impl World {
    fn new() -> Self {
        let (http1, http2) = (Origin::start(Http1), Origin::start(Http2));
        let config = format!(
            "listeners:\n\
             - {{ name: to-http1, listen: 127.0.0.1:0, protocol: http, cluster: http1 }}\n\
             - {{ name: to-http2, listen: 127.0.0.1:0, protocol: http, cluster: http2 }}\n\
             clusters:\n\
             - {{ name: http1, endpoints: [\"{}\"] }}\n\
             - {{ name: http2, endpoints: [\"{}\"], http: {{ version: http2 }} }}\n",
            http1.address(),
            http2.address(),
        );
        Self {
            proxy: Proxy::start(&config),
            http1,
            http2,
            caller: Caller::start(),
        }
    }

    fn address(&self, server: Version) -> SocketAddr {
        self.proxy.address(&format!("to-{}", server.name()))
    }

    fn origin(&self, server: Version) -> &Origin {
        match server {
            Http1 => &self.http1,
            Http2 => &self.http2,
        }
    }

    /// One exchange, as the client and as the server saw it.
    #[track_caller]
    fn ask(
        &mut self,
        client: Version,
        server: Version,
        line: &str,
        order: Value,
    ) -> (Report, Report) {
        let address = self.address(server);
        let answer = self.caller.ask(client, address, line, order);
        let report = self.origin(server).report();
        (answer, report)
    }
}
