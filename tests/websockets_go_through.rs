//! WebSockets, by a library and by a real browser: the tunnel opens with the server's 101 and not
//! before, and what passes through it is counted as bytes, not as requests.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use support::certificates::Authority;
use support::http::Origin;
use support::mongod::python;
use support::openssl::alpn;
use support::peer::{connect, scripted};
use support::proxy::Proxy;
use support::{eventually, tool};
use tempfile::TempDir;

/// Connections that client.py opens and that become tunnels.
const TUNNELS: i64 = 53;

#[test]
fn a_websocket_passes_messages_of_every_kind_both_ways() {
    let server = Origin::program("websocket/server.py", &[]);
    expect_messages_both_ways(&Proxy::in_front_of("http", server.address()));
}

/// Who only watches sees where the messages of HTTP end.
#[test]
fn a_websocket_passes_a_tap() {
    let server = Origin::program("websocket/server.py", &[]);
    let proxy = Proxy::tap_of("http", server.address());
    expect_messages_both_ways(&proxy);
    proxy.stats().expect("http.http.decoding_error", 0);
}

#[track_caller]
fn expect_messages_both_ways(proxy: &Proxy) {
    let found = python("websocket/client.py", &[&proxy.address("http").to_string()]);
    assert_eq!(
        found,
        json!({
            "messages": {
                "subprotocol": "chat.v1", "compressed": true, "text": true, "binary": true,
                "pieces": true, "ping": true, "many": true, "code": 1000,
            },
            "plain": true,
            "left": {"code": 4001, "reason": "on purpose"},
            "refused": 403,
            "many": 50,
        })
    );
    eventually("all tunnels are closed", || {
        (proxy.stats().value("http.http.downstream_cx_active") == 0).then_some(())
    });
    proxy
        .stats()
        .expect("http.http.downstream_cx_upgrades_total", TUNNELS)
        .expect("http.http.downstream_cx_upgrades_active", 0)
        .expect("http.http.code.101.total", TUNNELS)
        .expect("http.http.code.403.total", 1)
        .expect("http.http.downstream_rq_active", 0)
        .expect("cluster.http.upstream_cx_active", 0);
}

/// Chromium loads a page through the proxy, and the page opens a WebSocket through it.
#[test]
fn a_browser_opens_a_websocket() {
    let server = Origin::program("websocket/server.py", &[]);
    let proxy = Proxy::in_front_of("http", server.address());
    let address = proxy.address("http");
    let browser = Browser::open(&format!("http://{address}/page"), &[]);
    let found = browser.found(&server);
    assert_eq!(found["protocol"], "http/1.1", "{found}");
    assert_eq!(found["echoed"], json!([true, true, true]));
    assert_eq!(
        (&found["code"], &found["clean"]),
        (&json!(1000), &json!(true))
    );
    assert_eq!(found["subprotocol"], "chat.v1");
    proxy
        .stats()
        .expect("http.http.downstream_cx_upgrades_total", 1);
}

/// Within TLS the page comes by HTTP/2, as openssl finds it too, and the WebSocket by HTTP/1.1 beside it.
#[test]
fn a_browser_and_openssl_agree_with_the_proxy_on_the_protocol() {
    let server = Origin::program("websocket/server.py", &[]);
    let authority = Authority::new("authority");
    let files = authority.issue(&["shop.example"]);
    let proxy = Proxy::start(&format!(
        "listeners:\n\
         - {{ name: edge, listen: 127.0.0.1:0, protocol: http, cluster: shop, tls: {{ certificates: [{}] }} }}\n\
         clusters:\n\
         - {{ name: shop, endpoints: [\"{}\"] }}\n",
        files.listed(),
        server.address()
    ));
    let address = proxy.address("edge");
    assert_eq!(alpn(address, "h2,http/1.1").as_deref(), Some("h2"));
    assert_eq!(alpn(address, "http/1.1").as_deref(), Some("http/1.1"));
    // The authority is this test's own.
    let url = format!("https://{address}/page");
    let browser = Browser::open(&url, &["--ignore-certificate-errors"]);
    let found = browser.found(&server);
    assert_eq!(found["protocol"], "h2", "{found}");
    assert_eq!(found["echoed"], json!([true, true, true]));
    assert_eq!(found["code"], 1000);
    proxy
        .stats()
        .expect("http.edge.downstream_cx_upgrades_total", 1);
    assert!(proxy.stats().value("http.edge.downstream_cx_http2_total") >= 1);
    assert!(proxy.stats().value("http.edge.downstream_cx_ssl_total") >= 2);
}

/// CVE-2026-2833: a request that follows the upgrade at once must wait for the server's word.
#[test]
fn what_follows_an_upgrade_that_is_refused_is_the_next_request() {
    let server = Origin::program("websocket/server.py", &[]);
    let proxy = Proxy::in_front_of("http", server.address());
    let mut client = connect(proxy.address("http"));
    let upgrade = "Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let next = "GET /found?{} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    write!(client, "GET /refused HTTP/1.1\r\n{upgrade}{next}").unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("HTTP/1.1 403 "), "{said}");
    assert!(said.contains("not here\n"), "{said}");
    // Either it is answered as a request of its own, or the connection ends: a tunnel it is not.
    if let Some((_, rest)) = said
        .split_once("not here\n")
        .filter(|(_, rest)| !rest.is_empty())
    {
        assert!(rest.starts_with("HTTP/1.1 200 "), "{said}");
    }
    let stats = proxy.stats();
    stats.expect("http.http.downstream_cx_upgrades_total", 0);
}

/// Bytes that a client sends before the 101 wait there, and are the tunnel's when it comes.
#[test]
fn bytes_that_come_before_the_101_are_held_back_until_then() {
    let server = scripted(|mut stream| {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        // Nothing more may come before the answer.
        stream
            .set_read_timeout(Some(std::time::Duration::from_millis(300)))
            .unwrap();
        let early = stream.read(&mut byte).is_ok();
        stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
        write!(stream, "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: own\r\nX-Early: {early}\r\n\r\nfirst").unwrap();
        let mut said = [0; 6];
        stream.read_exact(&mut said).unwrap();
        stream.write_all(&said).unwrap();
    });
    let proxy = Proxy::in_front_of("http", server);
    let mut client = connect(proxy.address("http"));
    client
        .write_all(
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: own\r\n\r\nhello!",
        )
        .unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).unwrap();
    let (head, rest) = said.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{said}");
    assert!(
        head.to_ascii_lowercase().contains("x-early: false"),
        "{said}"
    );
    assert!(head.to_ascii_lowercase().contains("upgrade: own"), "{said}");
    assert_eq!(rest, "firsthello!");
}

/// A running Chromium.
struct Browser {
    child: Child,
    _profile: TempDir,
}

impl Browser {
    fn open(url: &str, arguments: &[&str]) -> Self {
        let profile = TempDir::new().unwrap();
        let child = Command::new(tool("chromium"))
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
            ])
            // It asks nobody but the page's server.
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            // It stays open without somebody who drives it.
            .arg("--remote-debugging-port=0")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(arguments)
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            _profile: profile,
        }
    }

    /// What its page has found, by way of the page's server.
    fn found(&self, server: &Origin) -> Value {
        loop {
            let report = server.report().0;
            if let Some(found) = report.get("found") {
                return found.clone();
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
