//! The current drivers, with nothing changed but the address, through a pool of four connections: every feature of the
//! suites in `tests/drivers`, no pool cleared, no heartbeat failed, and what they did is what `/stats` says.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

#[path = "drivers/rust_suite.rs"]
mod rust_suite;

use std::collections::BTreeMap;

use serde_json::Value;
use support::collapse::{self, ORDERS};
use support::eventually;
use support::mongod::{Mongod, node, python};
use support::proxy::Proxy;

/// Fewer than any of the suites has cursors, transactions and threads at the same time.
const POOL: &str = "max_connections: 4, max_long_waits: 2, wait_timeout: 20s";

fn start(mongod: &Mongod) -> (Proxy, String) {
    let (proxy, address) = collapse::start(&[mongod.address()], POOL, "");
    (proxy, address.to_string())
}

/// What the driver says it sent, by command, is what was counted; and nothing is left in the pool's hands.
#[track_caller]
fn expect_same_operations(proxy: &Proxy, did: &Value) {
    let commands: BTreeMap<String, i64> = did["commands"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, count)| (name.clone(), count.as_i64().unwrap()))
        .collect();
    eventually("all connections are closed", || {
        let stats = proxy.stats();
        (stats.value(&format!("listener.{ORDERS}.downstream_cx_active")) == 0).then_some(())
    });
    let stats = proxy.stats();
    for (name, count) in commands {
        // A name that no server knows is folded with others of its kind.
        if name != "noSuchCommand" {
            stats.expect(&format!("mongo.{ORDERS}.cmd.{name}.total"), count);
        }
    }
    stats.expect(&format!("mongo.{ORDERS}.decoding_error"), 0);
    collapse::expect_at_rest(proxy);
}

#[test]
fn pymongo() {
    let mongod = Mongod::replica_set();
    let (proxy, address) = start(&mongod);
    let did = python("collapse/suite.py", &[&address, "proxy"]);
    expect_same_operations(&proxy, &did);
}

#[test]
fn pymongo_load_balanced() {
    let mongod = Mongod::replica_set();
    let (proxy, address) = start(&mongod);
    let did = python(
        "collapse/suite.py",
        &[&address, "proxy", "loadBalanced=true"],
    );
    expect_same_operations(&proxy, &did);
}

#[test]
fn pymongo_with_each_compressor() {
    let mongod = Mongod::replica_set();
    for compressor in ["snappy", "zlib", "zstd"] {
        let (proxy, address) = start(&mongod);
        let option = format!("compressors={compressor}");
        let did = python("collapse/suite.py", &[&address, "proxy", &option]);
        expect_same_operations(&proxy, &did);
        expect_compressed(&proxy, compressor);
    }
}

#[test]
fn node_js() {
    let mongod = Mongod::replica_set();
    let (proxy, address) = start(&mongod);
    let did = node("suite.js", &[&address, "proxy"]);
    expect_same_operations(&proxy, &did);
}

#[test]
fn node_js_load_balanced() {
    let mongod = Mongod::replica_set();
    let (proxy, address) = start(&mongod);
    let did = node("suite.js", &[&address, "proxy", "loadBalanced=true"]);
    expect_same_operations(&proxy, &did);
}

#[test]
fn node_js_with_each_compressor() {
    let mongod = Mongod::replica_set();
    for compressor in ["snappy", "zlib"] {
        let (proxy, address) = start(&mongod);
        let option = format!("compressors={compressor}");
        let did = node("suite.js", &[&address, "proxy", &option]);
        expect_same_operations(&proxy, &did);
        expect_compressed(&proxy, compressor);
    }
}

#[tokio::test]
async fn rust() {
    let mongod = Mongod::replica_set();
    let (proxy, address) = start(&mongod);
    let did = rust_suite::run(&address, "", true).await;
    expect_same_operations(&proxy, &did);
}

#[tokio::test]
async fn rust_load_balanced() {
    let mongod = Mongod::replica_set();
    let (proxy, address) = start(&mongod);
    let did = rust_suite::run(&address, "loadBalanced=true", true).await;
    expect_same_operations(&proxy, &did);
}

#[tokio::test]
async fn rust_with_each_compressor() {
    let mongod = Mongod::replica_set();
    for compressor in ["snappy", "zlib", "zstd"] {
        let (proxy, address) = start(&mongod);
        let did = rust_suite::run(&address, &format!("compressors={compressor}"), true).await;
        expect_same_operations(&proxy, &did);
        expect_compressed(&proxy, compressor);
    }
}

/// The suite of the Rust driver is right by itself: straight to the server, it does the same.
#[tokio::test]
async fn the_rust_suite_without_a_proxy() {
    let mongod = Mongod::replica_set();
    rust_suite::run(&mongod.address().to_string(), "", false).await;
}

#[track_caller]
fn expect_compressed(proxy: &Proxy, compressor: &str) {
    let name = format!("mongo.{ORDERS}.compression.{compressor}.messages");
    let messages = proxy.stats().value(&name);
    assert!(messages > 100, "{messages} messages with {compressor}");
}
