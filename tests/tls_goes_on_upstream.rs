//! TLS with servers: the bytes that go through two of the proxies, plain to TLS and TLS to plain; and servers that are not believed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;
use support::certificates::{Authority, Files, Valid};
use support::peer::{connect, echo, scripted};
use support::proxy::{Proxy, resident_bytes};
use support::stats::Stats;
use support::{eventually, tls};

/// TLS ends here.
fn server(files: &Files, more: &str, upstream: SocketAddr) -> (Proxy, SocketAddr) {
    let proxy = Proxy::start(&format!(
        "listeners:\n  - {{ name: edge, listen: 127.0.0.1:0, protocol: tcp, cluster: plain, tls: {{ certificates: [{}]{more} }} }}\n\
         clusters:\n  - {{ name: plain, endpoints: ['{upstream}'] }}\n",
        files.listed()
    ));
    let address = proxy.address("edge");
    (proxy, address)
}

/// TLS begins here.
fn client(tls: &str, upstream: SocketAddr) -> (Proxy, SocketAddr) {
    let proxy = Proxy::start(&format!(
        "listeners:\n  - {{ name: door, listen: 127.0.0.1:0, protocol: tcp, cluster: far }}\n\
         clusters:\n  - {{ name: far, endpoints: ['{upstream}'], tls: {{ {tls} }} }}\n"
    ));
    let address = proxy.address("door");
    (proxy, address)
}

fn ca(file: &Path) -> String {
    format!("ca: '{}'", file.display())
}

/// Bytes that repeat with no period that is a size of TLS.
fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at * 7 + at / 251) as u8).collect()
}

#[test]
fn bytes_go_through_unchanged_both_ways_and_ends_of_stream_too() {
    let authority = Authority::new("authority");
    let files = authority.issue(&["127.0.0.1"]);
    for version in ["1.2", "1.3"] {
        // Answers when all has come, and only then.
        let upstream = scripted(|mut stream| {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            all.reverse();
            stream.write_all(&all).unwrap();
        });
        let (ends, address) = server(&files, "", upstream);
        let settings = format!("{}, min_version: '{version}'", ca(&authority.file()));
        let (begins, address) = client(&settings, address);
        for count in [0, 1, 16_384, 16_385, 20_000_000] {
            let sent = bytes(count);
            let mut stream = connect(address);
            let mut writing = stream.try_clone().unwrap();
            let to_send = sent.clone();
            let writer = std::thread::spawn(move || {
                writing.write_all(&to_send).unwrap();
                writing.shutdown(Shutdown::Write).unwrap();
            });
            let mut got = Vec::new();
            stream.read_to_end(&mut got).unwrap();
            writer.join().unwrap();
            got.reverse();
            assert!(got == sent, "{count} bytes: {} came back", got.len());
        }
        expect(
            &begins.stats(),
            "cluster.far.ssl",
            &[("handshake", 5), ("connection_error", 0)],
        );
        let ended =
            || (ends.stats().value("listener.edge.downstream_cx_active") == 0).then_some(());
        eventually("all are closed", ended);
        expect(&ends.stats(), "listener.edge.ssl", &[("handshake", 5)]);
    }
}

#[test]
fn a_side_that_does_not_read_stops_the_side_that_sends() {
    const MOST_MORE: u64 = 8 << 20;
    let authority = Authority::new("authority");
    let files = authority.issue(&["127.0.0.1"]);
    let (go, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let upstream = scripted(move |mut stream| {
        wait.lock().unwrap().recv().unwrap();
        let mut all = 0;
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            all += count;
        }
        stream.write_all(all.to_string().as_bytes()).unwrap();
    });
    let (ends, address) = server(&files, "", upstream);
    let (begins, address) = client(&ca(&authority.file()), address);
    let before = [ends.pid(), begins.pid()].map(resident_bytes);
    let mut stream = connect(address);
    stream
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let mut sent = 0;
    let chunk = bytes(1 << 20);
    while let Ok(count) = stream.write(&chunk) {
        sent += count;
        assert!(sent < 1 << 30, "nothing stops it");
    }
    for (before, pid) in before.into_iter().zip([ends.pid(), begins.pid()]) {
        let grown = resident_bytes(pid).saturating_sub(before);
        assert!(grown < MOST_MORE, "{grown} bytes more");
    }
    go.send(()).unwrap();
    stream.set_write_timeout(None).unwrap();
    stream.write_all(&chunk).unwrap();
    sent += chunk.len();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut counted = String::new();
    stream.read_to_string(&mut counted).unwrap();
    assert_eq!(counted, sent.to_string());
}

#[test]
fn servers_that_are_not_believed_get_nothing() {
    let authority = Authority::new("authority");
    let stranger = Authority::new("stranger");
    let impostor = Authority::new("authority");
    let good = ca(&authority.file());
    let here = authority.issue(&["127.0.0.1"]);
    let elsewhere = authority.issue(&["db.example"]);
    let expired = authority.issue_valid(&["127.0.0.1", "expired"], Valid::UntilLastYear);
    for (files, settings, reason, logged, stat) in [
        (
            &elsewhere,
            good.clone(),
            "wrong_name",
            "certificate not valid for name",
            "fail_verify_san",
        ),
        (
            &here,
            ca(&stranger.file()),
            "unknown_authority",
            "not from an authority that is known here",
            "fail_verify_error",
        ),
        (
            &here,
            ca(&impostor.file()),
            "bad_signature",
            "not signed by the authority of that name",
            "fail_verify_error",
        ),
        (
            &expired,
            good.clone(),
            "expired",
            "certificate has expired",
            "fail_verify_error",
        ),
        // The machine's own authorities have not signed it.
        (
            &here,
            String::new(),
            "unknown_authority",
            "known here",
            "fail_verify_error",
        ),
    ] {
        let (read, reading) = mpsc::channel();
        let upstream = scripted(move |mut stream| {
            let mut came = Vec::new();
            let _ = stream.read_to_end(&mut came);
            let _ = read.send(came);
        });
        let (ends, address) = server(files, "", upstream);
        let (begins, address) = client(&settings, address);
        let mut stream = connect(address);
        let _ = stream.write_all(b"a secret");
        assert!(
            stream.read(&mut [0]).map_or(true, |count| count == 0),
            "{reason}"
        );
        begins.expect_logged(logged);
        begins.expect_logged("no upstream connection; the client's is closed");
        let failures = format!("failures.{reason}.total");
        let counts = [
            (failures.as_str(), 1),
            (stat, 1),
            ("handshake", 0),
            ("connection_error", 0),
        ];
        expect(&begins.stats(), "cluster.far.ssl", &counts);
        begins
            .stats()
            .expect("cluster.far.upstream_cx_connect_fail", 1);
        // The server gets an alert, and nothing else.
        eventually("the server is told", || {
            let failed = "listener.edge.ssl.connection_error";
            (ends.stats().value(failed) == 1).then_some(())
        });
        assert!(reading.try_recv().is_err());
    }
}

#[test]
fn the_name_can_be_said_and_verification_can_be_switched_off() {
    let authority = Authority::new("authority");
    let files = authority.issue(&["db.example"]);
    let (ends, address) = server(&files, "", echo());
    let named = format!("{}, server_name: db.example", ca(&authority.file()));
    for settings in [named.as_str(), "verify: false"] {
        let (proxy, address) = client(settings, address);
        let mut stream = connect(address);
        stream.write_all(b"hello").unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"hello");
        if settings == "verify: false" {
            proxy.expect_logged("certificates of servers are not verified");
        }
    }
    expect(&ends.stats(), "listener.edge.ssl", &[("handshake", 2)]);
}

#[test]
fn the_proxy_shows_its_own_certificate_where_it_is_asked_for() {
    let authority = Authority::new("authority");
    let files = authority.issue(&["127.0.0.1"]);
    let own = authority.issue(&["narrows"]);
    let required = format!(
        ", client_certificates: required, client_ca: '{}'",
        authority.file().display()
    );
    let (ends, address) = server(&files, &required, echo());
    let shown = format!(
        "{}, certificate: '{}', key: '{}'",
        ca(&authority.file()),
        own.certificate.display(),
        own.key.display()
    );
    let (begins, door) = client(&shown, address);
    let mut stream = connect(door);
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    expect(
        &ends.stats(),
        "listener.edge.ssl",
        &[("handshake", 1), ("no_certificate", 0)],
    );
    let page: Value = serde_json::from_str(&begins.get("/certs")).unwrap();
    let certificate = &page["certificates"][0];
    assert_eq!(certificate["cluster"], "far");
    assert_eq!(certificate["cert_chain"][0]["subject"], "narrows");
    assert_eq!(certificate["ca_cert"][0]["subject"], "authority");
    let expires = "cluster.far.ssl.certificate.narrows.expiration_unix_time_seconds";
    assert!(begins.stats().value(expires) > 4_000_000_000);

    // Without one, the client is closed as soon as the server says so.
    let (_begins, door) = client(&ca(&authority.file()), address);
    let mut stream = connect(door);
    let _ = stream.write_all(b"x");
    assert!(stream.read(&mut [0]).map_or(true, |count| count == 0));
    eventually("it is counted", || {
        let refused = "listener.edge.ssl.fail_verify_no_cert";
        (ends.stats().value(refused) == 1).then_some(())
    });
}

#[test]
fn what_a_client_speaks_is_offered_to_the_server() {
    let authority = Authority::new("authority");
    let files = authority.issue(&["127.0.0.1"]);
    let inner = Proxy::start(&format!(
        "log: {{ level: debug }}\nlisteners:\n  - {{ name: edge, listen: 127.0.0.1:0, protocol: tcp, cluster: plain, tls: {{ certificates: [{}], alpn: [b, a] }} }}\n\
         clusters:\n  - {{ name: plain, endpoints: ['{}'] }}\n",
        files.listed(),
        echo()
    ));
    let outer = Proxy::start(&format!(
        "listeners:\n  - {{ name: door, listen: 127.0.0.1:0, protocol: tcp, cluster: far, tls: {{ certificates: [{}], alpn: [a, b] }} }}\n\
         clusters:\n  - {{ name: far, endpoints: ['{}'], tls: {{ {} }} }}\n",
        files.listed(),
        inner.address("edge"),
        ca(&authority.file())
    ));
    let agreed = support::openssl::alpn(outer.address("door"), "a,b");
    assert_eq!(agreed.as_deref(), Some("a"));
    inner.expect_logged("alpn=\"a\"");
    let config = tls::client(&authority.file(), None);
    let mut stream = tls::stream(&config, outer.address("door"), "127.0.0.1");
    stream.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");
}

#[test]
fn a_server_that_does_not_answer_is_given_up_in_time() {
    let authority = Authority::new("authority");
    let proxy = Proxy::start(&format!(
        "listeners:\n  - {{ name: door, listen: 127.0.0.1:0, protocol: tcp, cluster: far }}\n\
         clusters:\n  - {{ name: far, endpoints: ['{}'], connect_timeout: 300ms, tls: {{ {} }} }}\n",
        support::peer::silent(),
        ca(&authority.file())
    ));
    let mut stream = connect(proxy.address("door"));
    assert!(stream.read(&mut [0]).map_or(true, |count| count == 0));
    proxy.expect_logged("no answer within connect_timeout");
    let stats = proxy.stats();
    stats.expect("cluster.far.upstream_cx_connect_timeout", 1);
    expect(
        &stats,
        "cluster.far.ssl",
        &[("failures.timed_out.total", 1), ("connection_error", 1)],
    );
}

#[track_caller]
fn expect(stats: &Stats, scope: &str, counts: &[(&str, i64)]) {
    for (name, count) in counts {
        stats.expect(&format!("{scope}.{name}"), *count);
    }
}
