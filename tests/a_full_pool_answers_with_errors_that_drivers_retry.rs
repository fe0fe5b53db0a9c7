//! A pool that is full for longer than `wait_timeout`: each driver waits and tries again, as many times as it does for
//! an overloaded server, keeps its connections, and in the end names the cluster and the limit.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

#[path = "drivers/rust_suite.rs"]
#[allow(dead_code, reason = "only its counted client is used here")]
mod rust_suite;

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use bson::{Document, doc};
use rust_suite::Counted;
use serde_json::Value;
use support::collapse;
use support::commands::{Connection, code};
use support::eventually;
use support::mongod::{Mongod, node, python};
use support::proxy::Proxy;

const EXCEEDED_TIME_LIMIT: i64 = 262;

/// The first attempt and two more: a driver's `maxAdaptiveRetries` is 2.
const ATTEMPTS: i64 = 3;

/// Longer than all attempts of a driver take, each with its wait in the queue and its pause.
const HELD: Duration = Duration::from_secs(20);

/// A pool of one connection, which somebody holds.
struct FullPool {
    _mongod: Mongod,
    proxy: Proxy,
    address: SocketAddr,
    _holder: Connection,
}

fn full_pool() -> FullPool {
    let mongod = Mongod::replica_set();
    let pool = "max_connections: 1, wait_timeout: 300ms";
    let (proxy, address) = collapse::start(&[mongod.address()], pool, "");
    let mut holder = Connection::open(address).unwrap();
    holder.expect_ok("admin", &doc! {"ping": 1});
    let (_, sleep) = holder.request("admin", &sleep(), 0);
    holder.stream().write_all(&sleep).unwrap();
    eventually("the connection is lent", || {
        (proxy.stats().value("cluster.orders.pool.active") == 1).then_some(())
    });
    FullPool {
        _mongod: mongod,
        proxy,
        address,
        _holder: holder,
    }
}

/// A test command of the server: it holds its connection for as long as it is told.
fn sleep() -> Document {
    let milliseconds = i64::try_from(HELD.as_millis()).unwrap();
    doc! {"sleep": 1, "millis": milliseconds, "lock": "none"}
}

#[track_caller]
fn expect_retried(did: &Value) {
    for command in ["find", "insert"] {
        assert_eq!(did["commands"][command], ATTEMPTS, "{command}: {did:#}");
        expect_error(&did["errors"][command]);
    }
    assert_eq!(did["pools"]["cleared"], 0, "{did:#}");
    assert_eq!(did["pools"]["failed_heartbeats"], 0, "{did:#}");
}

#[track_caller]
fn expect_error(error: &Value) {
    assert_eq!(error["code"], EXCEEDED_TIME_LIMIT, "{error:#}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("`orders`"), "no cluster in {message}");
    let names_limit = message.contains("pool.max_connections is 1");
    assert!(names_limit, "no limit in {message}");
    let labels = error["labels"].as_array().unwrap();
    for label in [
        "SystemOverloadedError",
        "RetryableError",
        "NoWritesPerformed",
    ] {
        assert!(
            labels.iter().any(|each| each == label),
            "no {label}: {error:#}"
        );
    }
}

#[test]
fn pymongo_tries_three_times_and_keeps_its_connections() {
    let full = full_pool();
    expect_retried(&python(
        "collapse/full_pool.py",
        &[&full.address.to_string()],
    ));
}

#[test]
fn node_js_tries_three_times_and_keeps_its_connections() {
    let full = full_pool();
    expect_retried(&node("full_pool.js", &[&full.address.to_string()]));
}

#[tokio::test]
async fn the_rust_driver_tries_three_times_and_keeps_its_connections() {
    let full = full_pool();
    let counted = Counted::default();
    let client = counted.client(&full.address.to_string(), "", None).await;
    let carts = client.database("shop").collection::<Document>("carts");
    let errors = [
        carts.find_one(doc! {"_id": 1}).await.unwrap_err(),
        carts.insert_one(doc! {"_id": 1}).await.unwrap_err(),
    ];
    for error in errors {
        let said = error.to_string();
        assert!(said.contains("`orders`"), "no cluster in {said}");
        assert!(said.contains("pool.max_connections is 1"), "{said}");
        assert!(error.contains_label("SystemOverloadedError"));
    }
    assert_eq!(counted.of("command find"), ATTEMPTS);
    assert_eq!(counted.of("command insert"), ATTEMPTS);
    assert_eq!(counted.of("cleared"), 0);
    assert_eq!(counted.of("failed heartbeats"), 0);
}

#[test]
fn a_write_that_may_be_repeated_says_so_and_one_in_a_transaction_does_not() {
    let full = full_pool();
    let mut client = Connection::open(full.address).unwrap();
    let labels = |reply: &Document| -> Vec<String> {
        assert_eq!(code(reply), Some(262), "{reply}");
        let labels = reply.get_array("errorLabels").unwrap();
        labels
            .iter()
            .map(|label| label.as_str().unwrap().to_string())
            .collect()
    };
    let session = doc! {"id": bson::Uuid::from_bytes([7; 16])};
    let mut insert =
        doc! {"insert": "carts", "documents": [{"_id": 1}], "lsid": session, "txnNumber": 1_i64};
    let outside = labels(&client.command("shop", &insert).unwrap());
    assert!(
        outside.contains(&"RetryableWriteError".to_string()),
        "{outside:?}"
    );
    insert.extend(doc! {"txnNumber": 2_i64, "autocommit": false, "startTransaction": true});
    let inside = labels(&client.command("shop", &insert).unwrap());
    assert!(
        !inside.contains(&"RetryableWriteError".to_string()),
        "{inside:?}"
    );
    assert!(
        inside.contains(&"TransientTransactionError".to_string()),
        "{inside:?}"
    );
}

#[test]
fn whoever_comes_when_the_queue_is_full_is_told_at_once() {
    let mongod = Mongod::replica_set();
    let pool = "max_connections: 1, max_waiting: 1, wait_timeout: 20s";
    let (proxy, address) = collapse::start(&[mongod.address()], pool, "");
    let mut holders: Vec<Connection> = Vec::new();
    for gauge in ["active", "waiting"] {
        let mut holder = Connection::open(address).unwrap();
        let (_, bytes) = holder.request("admin", &sleep(), 0);
        holder.stream().write_all(&bytes).unwrap();
        holders.push(holder);
        eventually(gauge, || {
            let name = format!("cluster.orders.pool.{gauge}");
            (proxy.stats().value(&name) == 1).then_some(())
        });
    }
    let begun = std::time::Instant::now();
    let mut client = Connection::open(address).unwrap();
    let reply = client.command("shop", &doc! {"find": "carts"}).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "it had to wait");
    assert_eq!(code(&reply), Some(262), "{reply}");
    let message = reply.get_str("errmsg").unwrap();
    assert!(message.contains("`orders`"), "{message}");
    assert!(message.contains("pool.max_waiting"), "{message}");
}

/// A client that gives up gives its place back, and a place that is free again is used.
#[test]
fn the_pool_serves_again_when_whoever_held_it_has_gone() {
    let FullPool {
        _mongod,
        proxy,
        address,
        _holder,
    } = full_pool();
    drop(_holder);
    let mut client = Connection::open(address).unwrap();
    eventually("the pool serves again", || {
        let reply = client.command("shop", &doc! {"find": "carts"}).unwrap();
        code(&reply).is_none().then_some(())
    });
    collapse::expect_at_rest(&proxy);
}
