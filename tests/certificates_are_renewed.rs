//! New certificates in the same files: a reload takes them over, under load, and nobody notices but new clients.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use support::certificates::{Authority, Files, Valid};
use support::peer::{connect, echo};
use support::proxy::Proxy;
use support::tls::{self, TlsStream, shown};
use support::{eventually, openssl};

fn config(files: &Files, upstream: SocketAddr) -> String {
    format!(
        "workers: 2\nlisteners:\n  - {{ name: edge, listen: 127.0.0.1:0, protocol: tcp, cluster: plain, tls: {{ certificates: [{}] }} }}\n\
         clusters:\n  - {{ name: plain, endpoints: ['{upstream}'] }}\n",
        files.listed()
    )
}

fn in_file(files: &Files) -> Vec<u8> {
    CertificateDer::from_pem_file(&files.certificate)
        .unwrap()
        .to_vec()
}

fn say(stream: &mut TlsStream) {
    stream.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");
}

fn expect_reloaded(proxy: &Proxy) {
    let (status, answer) = proxy.ask("POST", "/reload");
    assert_eq!(status, 200, "{answer}");
}

#[test]
fn a_reload_under_load_drops_nothing_and_new_connections_see_the_new_certificate() {
    const RELOADS: u64 = 10;
    let authority = Authority::new("authority");
    let folder = tempfile::tempdir().unwrap();
    let renew = || authority.issue_at(&folder.path().join("edge"), &["shop.example"], Valid::Now);
    let files = renew();
    let proxy = Proxy::start(&config(&files, echo()));
    let address = proxy.address("edge");
    let client = tls::client(&authority.file(), None);

    let first = in_file(&files);
    let mut old = tls::stream(&client, address, "shop.example");
    say(&mut old);
    assert_eq!(shown(&old), first);

    let done = AtomicBool::new(false);
    let connections = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| keep_connecting(&client, address, &done, &connections));
        }
        // Long-lived ones talk on through all of it.
        for _ in 0..4 {
            scope.spawn(|| {
                let mut stream = tls::stream(&client, address, "shop.example");
                while !done.load(Ordering::Relaxed) {
                    say(&mut stream);
                }
            });
        }
        for reload in 0..RELOADS {
            renew();
            let before = connections.load(Ordering::Relaxed);
            expect_reloaded(&proxy);
            // A fresh client, which has no session to take up.
            let mut fresh = tls::stream(
                &tls::client(&authority.file(), None),
                address,
                "shop.example",
            );
            say(&mut fresh);
            assert_eq!(shown(&fresh), in_file(&files), "reload {reload}");
            eventually("others connect too", || {
                (connections.load(Ordering::Relaxed) > before + 10).then_some(())
            });
        }
        done.store(true, Ordering::Relaxed);
    });
    say(&mut old);
    assert_eq!(shown(&old), first, "who is connected keeps what it has");
    assert_ne!(first, in_file(&files));
    drop(old);
    eventually("all are closed", || {
        (proxy.stats().value("listener.edge.downstream_cx_active") == 0).then_some(())
    });
    let stats = proxy.stats();
    let made = 1 + 4 + RELOADS + connections.load(Ordering::Relaxed);
    stats
        .expect("listener.edge.ssl.handshake", i64::try_from(made).unwrap())
        .expect("listener.edge.ssl.connection_error", 0)
        .expect(
            "listener.edge.downstream_cx_total",
            i64::try_from(made).unwrap(),
        )
        .expect(
            "server.config.reload_success",
            i64::try_from(RELOADS).unwrap(),
        );
}

fn keep_connecting(
    client: &Arc<ClientConfig>,
    address: SocketAddr,
    done: &AtomicBool,
    connections: &AtomicU64,
) {
    while !done.load(Ordering::Relaxed) {
        let mut stream = tls::stream(client, address, "shop.example");
        say(&mut stream);
        connections.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_reload_that_changes_no_file_keeps_the_sessions_of_clients() {
    let authority = Authority::new("authority");
    let folder = tempfile::tempdir().unwrap();
    let renew = || authority.issue_at(&folder.path().join("edge"), &["shop.example"], Valid::Now);
    let files = renew();
    let proxy = Proxy::start(&config(&files, echo()));
    let address = proxy.address("edge");
    let client = tls::client(&authority.file(), None);
    let connect = || say(&mut tls::stream(&client, address, "shop.example"));
    let reused = || proxy.stats().value("listener.edge.ssl.session_reused");
    connect();
    expect_reloaded(&proxy);
    connect();
    assert_eq!(reused(), 1);
    renew();
    expect_reloaded(&proxy);
    connect();
    assert_eq!(
        reused(),
        1,
        "a session of another certificate is not taken up"
    );
    connect();
    assert_eq!(reused(), 2);
}

#[test]
fn files_that_do_not_fit_change_nothing() {
    let authority = Authority::new("authority");
    let files = authority.issue(&["shop.example"]);
    let proxy = Proxy::start(&config(&files, echo()));
    let address = proxy.address("edge");
    let key = std::fs::read(&files.key).unwrap();
    // As it is for a moment, while somebody renews them one after the other.
    let other = authority.issue(&["other.example"]);
    std::fs::copy(&other.key, &files.key).unwrap();
    let (status, answer) = proxy.ask("POST", "/reload");
    assert_eq!(status, 400);
    assert!(
        answer.contains("the private key is not that of the certificate"),
        "{answer}"
    );
    proxy.signal("HUP");
    eventually("it is counted", || {
        (proxy.stats().value("server.config.reload_failure") == 2).then_some(())
    });
    assert_eq!(
        openssl::s_client(address, &[]).common_name().as_deref(),
        Some("shop.example")
    );
    std::fs::write(&files.key, key).unwrap();
    expect_reloaded(&proxy);
}

#[test]
fn tls_can_come_and_go_with_a_reload() {
    let authority = Authority::new("authority");
    let files = authority.issue(&["shop.example"]);
    let within = config(&files, echo());
    let tls_key = within.find(", tls:").unwrap();
    let end = within[tls_key..].find("] }").unwrap() + tls_key + 3;
    let plain = format!("{}{}", &within[..tls_key], &within[end..]);
    let proxy = Proxy::start(&plain);
    let address = proxy.address("edge");
    let mut old = connect(address);
    old.write_all(b"x").unwrap();
    old.read_exact(&mut [0]).unwrap();

    proxy.write_config(&within);
    expect_reloaded(&proxy);
    let client = tls::client(&authority.file(), None);
    say(&mut tls::stream(&client, address, "shop.example"));
    old.write_all(b"x").unwrap();
    old.read_exact(&mut [0]).unwrap();

    proxy.write_config(&plain);
    expect_reloaded(&proxy);
    let mut new = connect(address);
    new.write_all(b"x").unwrap();
    new.read_exact(&mut [0]).unwrap();
    // What was counted stays; what expires is no longer anybody's.
    let stats = proxy.stats();
    stats.expect("listener.edge.ssl.handshake", 1).expect(
        "listener.edge.ssl.certificate.shop.example.expiration_unix_time_seconds",
        0,
    );
    assert_eq!(proxy.get("/certs"), r#"{"certificates":[]}"#);
}

#[test]
fn a_clusters_new_authority_is_for_new_connections() {
    let old = Authority::new("old");
    let new = Authority::new("new");
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::copy(old.file(), &ca).unwrap();
    let inner = Proxy::start(&config(&old.issue(&["127.0.0.1"]), echo()));
    let address = inner.address("edge");
    let proxy = Proxy::start(&format!(
        "listeners:\n  - {{ name: door, listen: 127.0.0.1:0, protocol: tcp, cluster: far }}\n\
         clusters:\n  - {{ name: far, endpoints: ['{address}'], tls: {{ ca: '{}' }} }}\n",
        ca.display()
    ));
    let mut kept = connect(proxy.address("door"));
    kept.write_all(b"x").unwrap();
    kept.read_exact(&mut [0]).unwrap();

    std::fs::copy(new.file(), &ca).unwrap();
    expect_reloaded(&proxy);
    let mut refused = connect(proxy.address("door"));
    assert!(refused.read(&mut [0]).map_or(true, |count| count == 0));
    kept.write_all(b"x").unwrap();
    kept.read_exact(&mut [0]).unwrap();
    proxy
        .stats()
        .expect("cluster.far.ssl.handshake", 1)
        .expect("cluster.far.ssl.failures.unknown_authority.total", 1);
}
