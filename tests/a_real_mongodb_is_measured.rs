//! Real drivers through the proxy to a real mongod: what they did is what `/stats` says, exactly.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::process::{Command, Stdio};

use serde_json::Value;
use support::mongod::{Mongod, python};
use support::proxy::Proxy;
use support::stats::Stats;
use support::{eventually, tool};

/// Runs a program through a proxy of its own, and returns what it did and what was counted.
fn through_proxy(mongod: &Mongod, program: &str, arguments: &[&str]) -> (Proxy, Value, Stats) {
    let proxy = Proxy::in_front_of("mongo", mongod.address());
    let address = proxy.address("mongo").to_string();
    let arguments: Vec<&str> = std::iter::once(address.as_str())
        .chain(arguments.iter().copied())
        .collect();
    let did = python(program, &arguments);
    // The program has ended; the proxy has seen the end of its last connection.
    eventually("all connections are closed", || {
        (proxy.stats().value("listener.mongo.downstream_cx_active") == 0).then_some(())
    });
    let stats = proxy.stats();
    (proxy, did, stats)
}

/// Every operation that the driver's own monitor counted, and no other, is in the stats.
#[track_caller]
fn expect_same_operations(did: &Value, stats: &Stats) {
    let operations = did["operations"].as_array().unwrap();
    assert!(!operations.is_empty());
    let mut by_command = std::collections::BTreeMap::<&str, i64>::new();
    let mut by_site = std::collections::BTreeMap::<(&str, &str), i64>::new();
    for operation in operations {
        let count = operation["count"].as_i64().unwrap();
        *by_command
            .entry(operation["command"].as_str().unwrap())
            .or_default() += count;
        if let (Some(collection), Some(site)) = (
            operation["collection"].as_str(),
            operation["callsite"].as_str(),
        ) {
            *by_site.entry((collection, site)).or_default() += count;
        }
    }
    for (command, count) in by_command {
        stats.expect(&format!("mongo.mongo.cmd.{command}.total"), count);
    }
    for ((collection, site), count) in by_site {
        stats.expect(
            &format!("mongo.mongo.collection.{collection}.callsite.{site}.query.total"),
            count,
        );
    }
    stats.expect("mongo.mongo.decoding_error", 0);
    stats.expect("mongo.mongo.unpaired_replies", 0);
    stats.expect("mongo.mongo.op_query_active", 0);
}

#[test]
fn everyday_operations_are_counted_by_command_collection_and_call_site() {
    let mongod = Mongod::standalone();
    let (proxy, did, stats) = through_proxy(&mongod, "crud.py", &[]);
    expect_same_operations(&did, &stats);
    let errors = did["errors"].as_object().unwrap();
    assert!(!errors.is_empty());
    for (code, count) in errors {
        stats.expect(
            &format!("mongo.mongo.error_code.{code}.total"),
            count.as_i64().unwrap(),
        );
    }
    // Finds over several batches, one of them given up half-way.
    let stats = eventually("the last cursor is noted", || {
        let stats = proxy.stats();
        (stats.value("mongo.mongo.cursors_opened") > 0
            && stats.value("mongo.mongo.cursors_open") == 0)
            .then_some(stats)
    });
    stats.expect("mongo.mongo.cursors_timed_out", 0).expect(
        "mongo.mongo.cursors_closed",
        stats.value("mongo.mongo.cursors_opened"),
    );
    let (status, checked) = promtool(&proxy.get("/metrics"));
    assert!(status, "promtool: {checked}");
}

#[test]
fn a_call_site_has_its_percentiles_in_milliseconds() {
    let mongod = Mongod::standalone();
    let (proxy, _, stats) = through_proxy(&mongod, "exact.py", &["500"]);
    let name = "mongo.mongo.collection.shop.carts.callsite.checkout.load_cart.query";
    stats.expect(&format!("{name}.total"), 500);
    let text = proxy.get("/stats?filter=callsite");
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{name}.reply_time_ms: ")))
        .unwrap_or_else(|| panic!("no line in:\n{text}"));
    let p99 = line.split("P99(").nth(1).unwrap();
    let cumulative = p99.split([',', ')']).nth(1).unwrap();
    let (whole, decimals) = cumulative.split_once('.').unwrap();
    assert!(
        whole.parse::<u64>().is_ok() && decimals.len() == 3,
        "{line}"
    );
    assert_eq!(stats.histogram(&format!("{name}.reply_time_ms")).count, 500);
}

#[test]
fn transactions_are_followed_to_their_end() {
    let mongod = Mongod::replica_set();
    let (proxy, did, stats) = through_proxy(&mongod, "transactions.py", &[]);
    expect_same_operations(&did, &stats);
    let expected = did["transactions"].as_object().unwrap();
    let stats = eventually("the last transaction is noted", || {
        let stats = proxy.stats();
        (stats.value("mongo.mongo.txn_started") == expected["started"].as_i64().unwrap()
            && stats.value("mongo.mongo.txn_open") == 0)
            .then_some(stats)
    });
    stats.expect(
        "mongo.mongo.txn_committed",
        expected["committed"].as_i64().unwrap(),
    );
    stats.expect(
        "mongo.mongo.txn_aborted",
        expected["aborted"].as_i64().unwrap(),
    );
    stats.expect_count(
        "mongo.mongo.txn_time_ms",
        expected["started"].as_u64().unwrap(),
    );
}

#[test]
fn waiting_for_changes_is_counted_apart_from_work() {
    let mongod = Mongod::replica_set();
    let (_proxy, did, stats) = through_proxy(&mongod, "change_stream.py", &[]);
    expect_same_operations(&did, &stats);
    let waits = stats.value("mongo.mongo.cursor_waits");
    assert!(waits > 0, "no wait was seen");
    let get_mores = stats.value("mongo.mongo.cmd.getMore.total");
    let timed = stats.count("mongo.mongo.cmd.getMore.reply_time_ms");
    assert_eq!(timed, u64::try_from(get_mores - waits).unwrap());
}

#[test]
fn each_compressor_is_understood() {
    let mongod = Mongod::standalone();
    for compressor in ["snappy", "zlib", "zstd"] {
        let (_proxy, did, stats) = through_proxy(&mongod, "compression.py", &[compressor]);
        expect_same_operations(&did, &stats);
        assert!(stats.value(&format!("mongo.mongo.compression.{compressor}.messages")) > 0);
        assert!(stats.value("mongo.mongo.op_compressed") > 0);
    }
}

#[test]
fn unacknowledged_writes_are_counted_without_a_reply() {
    let mongod = Mongod::standalone();
    let (_proxy, did, stats) = through_proxy(&mongod, "unacknowledged.py", &[]);
    expect_same_operations(&did, &stats);
    stats.expect(
        "mongo.mongo.unacknowledged",
        did["unacknowledged"].as_i64().unwrap(),
    );
}

#[test]
fn messages_of_48_megabytes_stream_through() {
    let mongod = Mongod::standalone();
    let proxy = Proxy::in_front_of("mongo", mongod.address());
    let address = proxy.address("mongo").to_string();
    python("exact.py", &[&address, "10"]);
    let before = proxy.resident_bytes();
    let did = python("big.py", &[&address]);
    let grown = proxy.resident_bytes().saturating_sub(before);
    assert!(grown < 1 << 20, "memory grew by {grown} bytes");
    let stats = proxy.stats();
    let largest = stats.histogram("mongo.mongo.request_size").at(100.0);
    assert!(largest > 40e6, "the largest request had {largest} bytes");
    let returned = stats.histogram("mongo.mongo.reply_size").at(100.0);
    assert!(returned > 15e6, "the largest reply had {returned} bytes");
    stats.expect("mongo.mongo.decoding_error", 0);
    assert!(did["operations"].is_array());
}

#[tokio::test]
async fn the_rust_driver_is_measured_too() {
    use mongodb::bson::{Document, doc};
    let mongod = Mongod::standalone();
    let proxy = Proxy::in_front_of("mongo", mongod.address());
    let uri = format!(
        "mongodb://{}/?directConnection=true&appName=rust-shop",
        proxy.address("mongo")
    );
    let client = mongodb::Client::with_uri_str(uri).await.unwrap();
    let carts = client.database("shop").collection::<Document>("carts");
    let documents = (0..250).map(|i| doc! {"_id": i});
    carts.insert_many(documents).await.unwrap();
    for i in 0..40 {
        let found = carts
            .find_one(doc! {"_id": i})
            .comment("rust.load_cart")
            .await
            .unwrap();
        assert!(found.is_some());
    }
    carts
        .update_one(doc! {"_id": 1}, doc! {"$set": {"a": 1}})
        .await
        .unwrap();
    carts.insert_one(doc! {"_id": 1}).await.unwrap_err();
    let stats = proxy.stats();
    stats
        .expect("mongo.mongo.cmd.insert.total", 2)
        .expect("mongo.mongo.cmd.find.total", 40)
        .expect("mongo.mongo.cmd.update.total", 1)
        .expect("mongo.mongo.error_code.11000.total", 1)
        .expect(
            "mongo.mongo.collection.shop.carts.callsite.rust.load_cart.query.total",
            40,
        )
        .expect("mongo.mongo.documents_returned", 40)
        .expect("mongo.mongo.documents_written", 251);
    assert!(stats.value("mongo.mongo.app.rust-shop.total") > 40);
}

/// What `promtool check metrics` says of a page.
fn promtool(page: &str) -> (bool, String) {
    use std::io::Write;
    let mut child = Command::new(tool("promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(page.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into(),
    )
}
