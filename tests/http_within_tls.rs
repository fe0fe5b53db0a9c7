//! HTTP within TLS, by OpenSSL, curl and a browser: the version is agreed on by ALPN, on both sides of the proxy.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::net::SocketAddr;

use serde_json::json;
use support::certificates::Authority;
use support::eventually;
use support::http::Version::{Http1, Http2};
use support::http::{Caller, Origin, Version, curl, plain};
use support::openssl::{alpn, s_client};
use support::proxy::Proxy;

const NAME: &str = "shop.example";
const BODY: u64 = 10_000_000;

/// TLS ends here. `more` belongs to the listener, `cluster` to the cluster.
fn edge(
    authority: &Authority,
    more: &str,
    upstream: SocketAddr,
    cluster: &str,
) -> (Proxy, SocketAddr) {
    let files = authority.issue(&[NAME, "127.0.0.1"]);
    let proxy = Proxy::start(&format!(
        "listeners:\n  - {{ name: edge, listen: 127.0.0.1:0, protocol: http, cluster: shop, tls: {{ certificates: [{}] }}{more} }}\n\
         clusters:\n  - {{ name: shop, endpoints: ['{upstream}']{cluster} }}\n",
        files.listed()
    ));
    let address = proxy.address("edge");
    (proxy, address)
}

#[test]
fn versions_are_agreed_on_as_the_listener_serves_them() {
    let authority = Authority::new("authority");
    let origin = Origin::start(Http1);
    for (versions, offers, agreed) in [
        ("", "h2,http/1.1", Some("h2")),
        ("", "http/1.1,h2", Some("h2")),
        ("", "http/1.1", Some("http/1.1")),
        (
            ", http: { versions: [http1] }",
            "h2,http/1.1",
            Some("http/1.1"),
        ),
        (", http: { versions: [http2] }", "h2,http/1.1", Some("h2")),
        (", http: { versions: [http1] }", "h2", None),
        (", http: { versions: [http2] }", "http/1.1", None),
    ] {
        let (proxy, address) = edge(&authority, versions, origin.address(), "");
        assert_eq!(
            alpn(address, offers).as_deref(),
            agreed,
            "{versions} {offers}"
        );
        let refused = proxy
            .stats()
            .value("listener.edge.ssl.failures.no_shared_protocol.total");
        assert_eq!(refused, i64::from(agreed.is_none()), "{versions} {offers}");
    }
    // Who offers nothing speaks HTTP/1.1, or says otherwise with its first bytes.
    let (_proxy, address) = edge(&authority, "", origin.address(), "");
    assert!(s_client(address, &[]).text.contains("No ALPN negotiated"));
}

#[test]
fn curl_speaks_either_version() {
    let authority = Authority::new("authority");
    for server in [Http1, Http2] {
        let origin = Origin::start(server);
        let cluster = format!(", http: {{ version: {} }}", server.name());
        let (proxy, address) = edge(&authority, "", origin.address(), &cluster);
        let resolve = format!("{NAME}:{}:127.0.0.1", address.port());
        let url = format!("https://{NAME}:{}/bytes/{BODY}", address.port());
        let ca = authority.file().display().to_string();
        for (flag, version) in [
            ("--http2", "2"),
            ("--http1.1", "1.1"),
            ("--http2-prior-knowledge", "2"),
        ] {
            let printed = curl(&[
                "--cacert",
                &ca,
                "--resolve",
                &resolve,
                flag,
                "--output",
                "/dev/null",
                "--write-out",
                "%{http_version} %{http_code} %{size_download} %{ssl_verify_result}",
                &url,
            ]);
            assert_eq!(printed, format!("{version} 200 {BODY} 0"));
            let report = origin.report();
            assert_eq!(report.field("x-forwarded-proto").as_deref(), Some("https"));
        }
        let stats = proxy.stats();
        stats
            .expect("http.edge.downstream_cx_ssl_total", 3)
            .expect("http.edge.downstream_cx_http2_total", 2)
            .expect("http.edge.downstream_cx_http1_total", 1)
            .expect("http.edge.code.200.total", 3);
    }
}

/// Plain to TLS to plain again, through two of the proxies: every combination of versions, on each of the three ways.
#[test]
fn requests_go_on_within_tls() {
    let authority = Authority::new("authority");
    let mut caller = Caller::start();
    for (client, between, server) in combinations() {
        let origin = Origin::start(server);
        let cluster = format!(", http: {{ version: {} }}", server.name());
        let (ends, address) = edge(&authority, "", origin.address(), &cluster);
        let begins = Proxy::start(&format!(
            "listeners:\n  - {{ name: door, listen: 127.0.0.1:0, protocol: http, cluster: far }}\n\
             clusters:\n  - {{ name: far, endpoints: ['{address}'], http: {{ version: {} }}, tls: {{ ca: '{}' }} }}\n",
            between.name(),
            authority.file().display()
        ));
        let door = begins.address("door");
        let case = format!("{client:?} {between:?} {server:?}");
        for length in [true, false] {
            let order = json!({ "body": BODY, "length": length });
            let answer = caller.ask(client, door, "POST /mirror", order);
            assert_eq!(answer.expect(200).body(), answer.sent(), "{case}");
            assert_eq!(origin.report().length(), BODY, "{case}");
        }
        let answer = caller.ask(client, door, &format!("GET /bytes/{BODY}"), plain());
        assert_eq!(answer.expect(200).body(), origin.report().sent(), "{case}");
        let answer = caller.ask(client, door, "GET /trailers/1000", plain());
        assert_eq!(answer.expect(200).length(), 1000, "{case}");
        let _ = origin.report();
        let spoken = match between {
            Http1 => "http.edge.downstream_cx_http1_total",
            Http2 => "http.edge.downstream_cx_http2_total",
        };
        // A connection that was being opened when another became free comes into being behind the last answer.
        let stats = eventually("every handshake is one of a connection", || {
            let stats = ends.stats();
            let made = stats.value("listener.edge.ssl.handshake");
            (made > 0 && stats.value(spoken) == made).then_some(stats)
        });
        stats.expect("listener.edge.ssl.connection_error", 0);
        begins.stats().expect("cluster.far.ssl.connection_error", 0);
    }
}

fn combinations() -> Vec<(Version, Version, Version)> {
    let both = [Http1, Http2];
    let pairs = both
        .into_iter()
        .flat_map(|client| both.map(|between| (client, between)));
    pairs
        .flat_map(|(client, between)| both.map(|server| (client, between, server)))
        .collect()
}

#[test]
fn a_server_that_is_not_believed_is_a_503() {
    let authority = Authority::new("authority");
    let stranger = Authority::new("stranger");
    let origin = Origin::start(Http1);
    let (_ends, address) = edge(&authority, "", origin.address(), "");
    for version in [Http1, Http2] {
        let begins = Proxy::start(&format!(
            "listeners:\n  - {{ name: door, listen: 127.0.0.1:0, protocol: http, cluster: far }}\n\
             clusters:\n  - {{ name: far, endpoints: ['{address}'], http: {{ version: {} }}, tls: {{ ca: '{}' }} }}\n",
            version.name(),
            stranger.file().display()
        ));
        let answer = Caller::start().ask(Http1, begins.address("door"), "GET /bytes/1", plain());
        answer.expect(503);
        begins.expect_logged("not from an authority that is known here");
        let stats = begins.stats();
        assert!(stats.value("cluster.far.ssl.failures.unknown_authority.total") > 0);
        assert_eq!(stats.value("cluster.far.ssl.handshake"), 0);
    }
    origin.expect_no_report();
}
