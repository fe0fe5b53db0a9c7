//! What applications do with the current drivers, through the proxy in both modes and in both versions of the protocol: each
//! feature of the suites in `tests/drivers`, and every command counted that they say they have sent.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

#[path = "drivers/redis_suite.rs"]
mod redis_suite;

use std::net::SocketAddr;

use redis::ProtocolVersion;
use redis_suite::{Options, run_to_its_end};
use serde_json::Value;
use support::eventually;
use support::proxy::Proxy;
use support::redis::{Redis, ioredis, redis_py};

fn tapped(run: impl FnOnce(SocketAddr) -> Value) {
    let redis = Redis::start();
    let proxy = Proxy::tap_of("redis", redis.address());
    let did = run(proxy.address("redis"));
    expect_counted(&proxy, &did);
}

/// More than the connections that the suites need of their own at the same time, and fewer than they open.
const POOL: &str = "    pool: { max_connections: 8, wait_timeout: 20s }\n";

fn collapsed(run: impl FnOnce(SocketAddr) -> Value) {
    let redis = Redis::start();
    let proxy = Proxy::start(&collapse(redis.address()));
    let did = run(proxy.address("redis"));
    expect_counted(&proxy, &did);
    let stats = proxy.stats();
    stats.expect("cluster.redis.pool.active", 0);
    stats.expect("cluster.redis.upstream_cx_protocol_error", 0);
}

fn collapse(upstream: SocketAddr) -> String {
    format!(
        "listeners:\n  - name: redis\n    listen: 127.0.0.1:0\n    protocol: redis\n    redis: {{ mode: collapse }}\n    \
         cluster: redis\nclusters:\n  - name: redis\n    endpoints: [{upstream}]\n{POOL}"
    )
}

/// What the driver says it sent, by command, is what was counted; each with its time.
#[track_caller]
fn expect_counted(proxy: &Proxy, did: &Value) {
    eventually("all connections are closed", || {
        let stats = proxy.stats();
        let open = stats.value("listener.redis.downstream_cx_active")
            + stats.value("redis.redis.downstream_rq_active")
            + stats.value("cluster.redis.pool.active");
        (open == 0).then_some(())
    });
    let commands = did["commands"].as_object().unwrap();
    for (name, count) in commands {
        let count = count.as_i64().unwrap();
        let stats = proxy.stats();
        stats.expect(&format!("redis.redis.command.{name}.total"), count);
    }
    proxy.stats().expect("redis.redis.decoding_error", 0);
}

#[test]
fn redis_py_tapped_with_resp2() {
    tapped(|address| redis_py(address, &["--resp", "2"]));
}

#[test]
fn redis_py_tapped_with_resp3() {
    tapped(|address| redis_py(address, &["--resp", "3"]));
}

#[test]
fn ioredis_tapped_with_resp2() {
    tapped(|address| ioredis(address, &["--resp", "2"]));
}

#[test]
fn ioredis_tapped_with_resp3() {
    tapped(|address| ioredis(address, &["--resp", "3"]));
}

#[test]
fn rust_tapped_with_resp2() {
    tapped(|address| run_to_its_end(address, &Options::of(ProtocolVersion::RESP2)));
}

#[test]
fn rust_tapped_with_resp3() {
    tapped(|address| run_to_its_end(address, &Options::of(ProtocolVersion::RESP3)));
}

#[test]
fn redis_py_collapsed_with_resp2() {
    collapsed(|address| redis_py(address, &["--resp", "2"]));
}

#[test]
fn redis_py_collapsed_with_resp3() {
    collapsed(|address| redis_py(address, &["--resp", "3"]));
}

#[test]
fn ioredis_collapsed_with_resp2() {
    collapsed(|address| ioredis(address, &["--resp", "2"]));
}

#[test]
fn ioredis_collapsed_with_resp3() {
    collapsed(|address| ioredis(address, &["--resp", "3"]));
}

#[test]
fn rust_collapsed_with_resp2() {
    collapsed(|address| run_to_its_end(address, &Options::of(ProtocolVersion::RESP2)));
}

#[test]
fn rust_collapsed_with_resp3() {
    collapsed(|address| run_to_its_end(address, &Options::of(ProtocolVersion::RESP3)));
}
