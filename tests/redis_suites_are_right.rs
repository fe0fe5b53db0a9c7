//! The suites of the Redis drivers do what they say, straight to a server, alone and all at the same time; and what they say
//! they have sent is what came.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

#[path = "drivers/redis_suite.rs"]
mod redis_suite;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use redis::ProtocolVersion;
use redis_suite::{Options, run_to_its_end};
use serde_json::Value;
use support::redis::{Redis, ioredis, redis_py};
use support::redis_cluster::RedisCluster;
use support::resp;

/// Called by scripts too, or queued and never run; or unknown to servers of some or of all versions.
const NOT_COMPARED: [&str; 10] = [
    "client_maint_notifications",
    "client_nosuch",
    "client_setinfo",
    "del",
    "get",
    "incr",
    "incrby",
    "lpush",
    "nosuchcommand",
    "set",
];

#[track_caller]
fn expect_counted(redis: &Redis, suites: &[Value]) {
    let mut sent = BTreeMap::<&str, i64>::new();
    for (name, count) in suites
        .iter()
        .flat_map(|did| did["commands"].as_object().unwrap())
    {
        *sent.entry(name).or_default() += count.as_i64().unwrap();
    }
    let came = redis.calls();
    for (name, sent) in sent {
        let came = came.get(name).copied().unwrap_or(0);
        if !NOT_COMPARED.contains(&name) {
            assert_eq!(came, sent, "{name}");
        }
    }
    // The count of commands was asked for on one connection more, and this is on another.
    let opened: i64 = suites
        .iter()
        .map(|did| did["connections"].as_i64().unwrap())
        .sum();
    assert_eq!(
        redis.info("stats")["total_connections_received"],
        (opened + 2).to_string()
    );
}

/// The whole list, on a server of its own.
fn alone(run: impl FnOnce(SocketAddr) -> Value) {
    let redis = Redis::start();
    let did = run(redis.address());
    expect_counted(&redis, &[did]);
    assert_eq!(redis.cli(&["INFO", "keyspace"]), "# Keyspace");
}

#[test]
fn redis_py_with_resp2() {
    alone(|address| redis_py(address, &["--resp", "2"]));
}

#[test]
fn redis_py_with_resp3() {
    alone(|address| redis_py(address, &["--resp", "3"]));
}

#[test]
fn ioredis_with_resp2() {
    alone(|address| ioredis(address, &["--resp", "2"]));
}

#[test]
fn ioredis_with_resp3() {
    alone(|address| ioredis(address, &["--resp", "3"]));
}

#[test]
fn rust_with_resp2() {
    alone(|address| run_to_its_end(address, &Options::of(ProtocolVersion::RESP2)));
}

#[test]
fn rust_with_resp3() {
    alone(|address| run_to_its_end(address, &Options::of(ProtocolVersion::RESP3)));
}

#[test]
fn all_at_the_same_time_as_a_user_with_a_password() {
    let redis = Redis::with(&["user ann on >secret ~* &* +@all"]);
    let address = redis.address();
    let suites = std::thread::scope(|scope| {
        let mut running = Vec::new();
        for resp in ["2", "3"] {
            let options = [
                "--resp",
                resp,
                "--user",
                "ann",
                "--password",
                "secret",
                "--big-mb",
                "8",
            ];
            running.push(scope.spawn(move || redis_py(address, &options)));
            running.push(scope.spawn(move || ioredis(address, &options)));
        }
        for protocol in [ProtocolVersion::RESP2, ProtocolVersion::RESP3] {
            let options = Options {
                login: Some(("ann".to_string(), "secret".to_string())),
                big_mb: 8,
                ..Options::of(protocol)
            };
            running.push(scope.spawn(move || run_to_its_end(address, &options)));
        }
        let suites = running.into_iter().map(|suite| suite.join().unwrap());
        suites.collect::<Vec<_>>()
    });
    expect_counted(&redis, &suites);
}

#[test]
fn a_cluster_is_whole_and_each_of_its_servers_can_be_replaced() {
    let mut cluster = RedisCluster::start(1);
    let master = cluster.master_of("a");
    let set = cluster.node(master).command(&["SET", "a", "1"]);
    assert_eq!(set, resp::Value::ok());
    let (other, slot) = ((master + 1) % 3, cluster.slot("a"));
    let elsewhere = cluster.node(other).command(&["GET", "a"]);
    let moved = format!("MOVED {slot} {}", cluster.node(master).address());
    assert_eq!(elsewhere.error(), moved);
    cluster.node_mut(other).restart();
    cluster.wait_until_whole();
}
