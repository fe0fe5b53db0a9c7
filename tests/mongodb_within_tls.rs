//! MongoDB within TLS on both sides: PyMongo, a mongod that takes nothing else, and the proxy in between in both modes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::io::{Read, Write};
use std::path::Path;

use bson::doc;
use serde_json::Value;
use support::certificates::{Authority, Files};
use support::collapse;
use support::mongod::{Mongod, python_within_tls};
use support::peer::connect;
use support::proxy::Proxy;
use support::{eventually, tls, wire};

/// The names of a server on this machine, for drivers and for members of its set.
const HERE: [&str; 2] = ["localhost", "127.0.0.1"];

/// A replica set of one that speaks TLS alone.
fn mongod(authority: &Authority, more: &[&str]) -> Mongod {
    let files = authority.issue(&HERE);
    let (both, ca) = (
        files.both.display().to_string(),
        authority.file().display().to_string(),
    );
    let tls = [
        "--replSet",
        "rs",
        "--tlsMode",
        "requireTLS",
        "--tlsCertificateKeyFile",
        &both,
    ];
    let arguments = [&tls[..], &["--tlsCAFile", &ca], more].concat();
    let mongod = Mongod::start(&arguments);
    let host = mongod.address().to_string();
    python_within_tls(
        "initiate.py",
        &[&host],
        &authority.file(),
        Some(&files.both),
    );
    mongod
}

const WITHOUT_CERTIFICATES: &[&str] = &["--tlsAllowConnectionsWithoutCertificates"];

/// A proxy in front of it, within TLS on both sides.
fn start(mongod: &Mongod, files: &Files, listener: &str, cluster: &str, more: &str) -> Proxy {
    Proxy::start(&format!(
        "workers: 2\n\
         listeners:\n  - {{ name: orders, listen: 127.0.0.1:0, protocol: mongo, cluster: orders, mongo: {{ {listener} }}, tls: {{ certificates: [{}] }} }}\n\
         clusters:\n  - {{ name: orders, endpoints: ['{}'], tls: {{ {cluster} }}{more} }}\n",
        files.listed(),
        mongod.address()
    ))
}

fn ca(file: &Path) -> String {
    format!("ca: '{}'", file.display())
}

#[track_caller]
fn expect_closed(proxy: &Proxy) {
    eventually("all connections are closed", || {
        (proxy.stats().value("listener.orders.downstream_cx_active") == 0).then_some(())
    });
}

#[test]
fn in_mode_tap_operations_are_counted_as_ever() {
    let authority = Authority::new("authority");
    let mongod = mongod(&authority, WITHOUT_CERTIFICATES);
    let files = authority.issue(&HERE);
    let proxy = start(&mongod, &files, "mode: tap", &ca(&authority.file()), "");
    let address = proxy.address("orders").to_string();
    let did = python_within_tls("crud.py", &[&address], &authority.file(), None);
    expect_closed(&proxy);
    let stats = proxy.stats();
    for operation in did["operations"].as_array().unwrap() {
        let command = operation["command"].as_str().unwrap();
        assert!(
            stats.value(&format!("mongo.orders.cmd.{command}.total")) > 0,
            "{command}"
        );
    }
    stats.expect("mongo.orders.decoding_error", 0);
    let clients = stats.value("listener.orders.ssl.handshake");
    assert!(clients > 0);
    stats
        .expect("cluster.orders.ssl.handshake", clients)
        .expect("listener.orders.ssl.connection_error", 0)
        .expect("cluster.orders.ssl.connection_error", 0);
}

#[test]
fn in_mode_collapse_every_feature_of_the_driver_works() {
    let authority = Authority::new("authority");
    let mongod = mongod(&authority, WITHOUT_CERTIFICATES);
    let files = authority.issue(&HERE);
    let pool = ", pool: { max_connections: 4, max_long_waits: 2, wait_timeout: 20s }, mongo: { cursor_timeout: 5s, transaction_timeout: 5s }";
    let proxy = start(
        &mongod,
        &files,
        "mode: collapse",
        &ca(&authority.file()),
        pool,
    );
    let address = proxy.address("orders").to_string();
    let did = python_within_tls(
        "collapse/suite.py",
        &[&address, "proxy"],
        &authority.file(),
        None,
    );
    expect_closed(&proxy);
    let stats = proxy.stats();
    for (command, count) in did["commands"].as_object().unwrap() {
        if command != "noSuchCommand" {
            stats.expect(
                &format!("mongo.orders.cmd.{command}.total"),
                count.as_i64().unwrap(),
            );
        }
    }
    collapse::expect_at_rest(&proxy);
    let stats = proxy.stats();
    stats.expect("mongo.orders.decoding_error", 0);
    assert!(stats.value("cluster.orders.pool.reused") > 100);
    assert!(
        stats.value("cluster.orders.ssl.handshake") < 40,
        "{stats:?}"
    );
    stats.expect("cluster.orders.ssl.connection_error", 0);
    for (reason, count) in [
        ("protocol_error", 0),
        ("abandoned", 0),
        ("upstream_error", 2),
    ] {
        // The suite has the server close two connections.
        stats.expect(&format!("cluster.orders.pool.closed.{reason}.total"), count);
    }
}

/// A pool of one connection, which clients on two workers want in turn: what is known of TLS travels with its socket.
#[test]
fn a_connection_goes_from_one_worker_to_another_within_tls() {
    const ROUNDS: i64 = 200;
    let authority = Authority::new("authority");
    let mongod = mongod(&authority, WITHOUT_CERTIFICATES);
    let files = authority.issue(&HERE);
    let pool = ", pool: { max_connections: 1 }";
    let proxy = start(
        &mongod,
        &files,
        "mode: collapse",
        &ca(&authority.file()),
        pool,
    );
    let config = tls::client(&authority.file(), None);
    let address = proxy.address("orders");
    // Connections are dealt out over the workers as they come.
    let mut clients: Vec<_> = (0..4)
        .map(|_| tls::stream(&config, address, "localhost"))
        .collect();
    for round in 0..ROUNDS {
        for client in &mut clients {
            let find = doc! { "find": "carts", "filter": { "_id": round }, "$db": "shop" };
            client.write_all(&wire::op_msg(1, 0, &find)).unwrap();
            let reply = wire::read_message(client).unwrap();
            assert!(reply.len() > 16 && reply.windows(10).any(|part| part == b"firstBatch"));
        }
    }
    let stats = proxy.stats();
    stats.expect("mongo.orders.cmd.find.total", 4 * ROUNDS);
    let moved = stats.value("cluster.orders.pool.taken_over");
    assert!(moved > ROUNDS, "it moved {moved} times");
    stats.expect("cluster.orders.pool.opened.demand.total", 1);
}

#[test]
fn mongod_asks_for_a_certificate_and_gets_the_proxys() {
    let authority = Authority::new("authority");
    let mongod = mongod(&authority, &[]);
    let files = authority.issue(&HERE);
    let own = authority.issue(&["narrows"]);
    let shown = format!(
        "{}, certificate: '{}', key: '{}'",
        ca(&authority.file()),
        own.certificate.display(),
        own.key.display()
    );
    for mode in ["mode: tap", "mode: collapse"] {
        let proxy = start(&mongod, &files, mode, &shown, "");
        let address = proxy.address("orders").to_string();
        python_within_tls("exact.py", &[&address, "20"], &authority.file(), None);
        proxy
            .stats()
            .expect("cluster.orders.ssl.connection_error", 0);
    }
    // Without one, what mongod says of it is said on.
    let proxy = start(
        &mongod,
        &files,
        "mode: collapse",
        &ca(&authority.file()),
        "",
    );
    proxy.expect_logged("server is not available");
}

#[test]
fn a_server_that_is_not_believed_is_said_clearly() {
    let authority = Authority::new("authority");
    let stranger = Authority::new("stranger");
    let mongod = mongod(&authority, WITHOUT_CERTIFICATES);
    let files = authority.issue(&HERE);
    let proxy = start(&mongod, &files, "mode: collapse", &ca(&stranger.file()), "");
    let said = "TLS: the peer's certificate is not from an authority that is known here";
    proxy.expect_logged(said);
    let (status, page) = proxy.ask("GET", "/ready");
    assert_eq!(status, 503);
    assert!(page.contains(said), "{page}");
    assert!(proxy.get("/clusters").contains(said));

    let named = format!("{}, server_name: db.example", ca(&authority.file()));
    let proxy = start(&mongod, &files, "mode: collapse", &named, "");
    proxy.expect_logged("certificate not valid for name");
    let failures = proxy.stats().value("cluster.orders.ssl.fail_verify_san");
    assert!(failures > 0);
    assert_eq!(
        proxy.stats().value("cluster.orders.ssl.fail_verify_error"),
        0
    );
}

/// Without TLS of its own, a tap passes a client's TLS on to the server, sees nothing of it, and says so.
#[test]
fn tls_through_a_plain_listener_passes_unseen() {
    let authority = Authority::new("authority");
    let mongod = mongod(&authority, WITHOUT_CERTIFICATES);
    let proxy = Proxy::in_front_of("mongo", mongod.address());
    let address = proxy.address("mongo").to_string();
    let did: Value = python_within_tls("exact.py", &[&address, "20"], &authority.file(), None);
    assert!(did["commands"].as_i64().unwrap() >= 20);
    let stats = proxy.stats();
    let connections = stats.value("listener.mongo.downstream_cx_total");
    stats
        .expect("mongo.mongo.decoding_error.tls.cx_total", connections)
        .expect("mongo.mongo.total", 0);
}

/// The other way round: who speaks MongoDB in plain text to a listener with TLS is turned away.
#[test]
fn plain_text_at_a_listener_with_tls_is_turned_away() {
    let authority = Authority::new("authority");
    let mongod = mongod(&authority, WITHOUT_CERTIFICATES);
    let files = authority.issue(&HERE);
    for mode in ["mode: tap", "mode: collapse"] {
        let proxy = start(&mongod, &files, mode, &ca(&authority.file()), "");
        let mut client = connect(proxy.address("orders"));
        client
            .write_all(&wire::op_msg(1, 0, &doc! { "hello": 1, "$db": "admin" }))
            .unwrap();
        // An alert or a reset, and nothing else.
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer);
        assert!(answer.first().is_none_or(|kind| *kind == 21), "{answer:?}");
        eventually("it is counted", || {
            let failed = "listener.orders.ssl.failures.not_tls.total";
            (proxy.stats().value(failed) == 1).then_some(())
        });
        proxy.stats().expect("mongo.orders.total", 0);
    }
}
