//! Microseconds: what the server took, and what only waited.

use std::time::{Duration, Instant};

use crate::script::commands;
use crate::support::eventually;
use crate::support::resp::Value;
use crate::support::stats::{Histogram, Stats};
use crate::tapped::Tapped;

#[test]
fn the_time_is_the_servers_in_microseconds() {
    let tapped = Tapped::start();
    let mut client = tapped.client();
    client.command(&["DEBUG", "SLEEP", "0.05"]);
    for _ in 0..10 {
        client.command(&["GET", "k"]);
    }
    drop(client);
    tapped.closed(11);
    let page = tapped.proxy.get("/stats?format=json&filter=redis.*latency");
    let stats = Stats::parse(&page);
    for name in ["latency", "upstream_latency"] {
        let slept = stats.histogram(&format!("redis.redis.command.debug.{name}"));
        assert_eq!(slept.count, 1);
        between(slept, 0.0, 49_000.0..5_000_000.0);
        stats.expect_count(&format!("redis.redis.command.get.{name}"), 10);
        stats.expect_count(&format!("redis.redis.{name}"), 11);
    }
    between(
        stats.histogram("redis.redis.command.get.upstream_latency"),
        0.0,
        1.0..50_000.0,
    );
    between(
        stats.histogram("redis.redis.command.debug.added_latency"),
        0.0,
        0.0..40_000.0,
    );
    // Nothing else than times is asked for.
    assert!(stats.histograms.keys().all(|name| name.contains("latency")));
    assert!(
        stats
            .histograms
            .keys()
            .any(|name| name == "redis.redis.latency")
    );
}

#[test]
fn what_waits_for_something_to_happen_is_counted_apart() {
    let tapped = Tapped::start();
    let mut client = tapped.client();
    // Timed out.
    assert_eq!(client.command(&["BLPOP", "none", "0.2"]), Value::NilArray);
    assert_eq!(
        client.command(&["XREAD", "BLOCK", "100", "STREAMS", "none", "$"]),
        Value::NilArray
    );
    assert_eq!(client.command(&["WAIT", "1", "50"]).integer(), 0);
    // Served, by another client, and at once.
    client.send(&["BLMOVE", "from", "to", "LEFT", "RIGHT", "0"]);
    blocked(&tapped, 1);
    tapped.redis.command(&["RPUSH", "from", "x"]);
    assert_eq!(client.reply(), Value::bulk("x"));
    assert_eq!(
        client.command(&["BLPOP", "to", "0"]),
        Value::bulks(&["to", "x"])
    );
    // Refused, and woken up.
    client.command(&["SET", "s", "x"]).text();
    client.command(&["BLPOP", "s", "0"]).error();
    let id = client.command(&["CLIENT", "ID"]).integer().to_string();
    client.send(&["BZPOPMIN", "none", "0"]);
    blocked(&tapped, 1);
    tapped.redis.command(&["CLIENT", "UNBLOCK", &id, "ERROR"]);
    assert!(client.reply().error().starts_with("UNBLOCKED"));
    // These do not wait.
    client.command(&["XREAD", "STREAMS", "none", "0"]);
    client.send_raw(&commands("MULTI\nBLPOP none 0\nEXEC"));
    (0..3).for_each(|_| drop(client.reply()));
    drop(client);
    let stats = tapped.closed(13);
    stats
        .expect("redis.redis.blocked", 7)
        .expect("redis.redis.error", 2)
        .expect("redis.redis.command.blpop.total", 4)
        .expect("redis.redis.command.blpop.error", 1)
        .expect("redis.redis.error_prefix.UNBLOCKED.total", 1)
        .expect_count("redis.redis.blocked_time", 7)
        .expect_count("redis.redis.latency", 6)
        .expect_count("redis.redis.upstream_latency", 6)
        .expect_count("redis.redis.command.blpop.upstream_latency", 1)
        .expect_count("redis.redis.command.xread.upstream_latency", 1)
        .expect_count("redis.redis.command.wait.upstream_latency", 0);
    between(
        stats.histogram("redis.redis.blocked_time"),
        100.0,
        190_000.0..10_000_000.0,
    );
}

/// What is sent behind a command that waits, waits too, and is not slower for it.
#[test]
fn what_waits_behind_is_not_slow() {
    let tapped = Tapped::start();
    let mut client = tapped.client();
    let begun = Instant::now();
    client.send_raw(&commands("GET a\nBLPOP none 0.3\nGET a\nECHO x"));
    (0..4).for_each(|_| drop(client.reply()));
    assert!(begun.elapsed() > Duration::from_millis(280));
    drop(client);
    let stats = tapped.closed(4);
    for name in ["latency", "upstream_latency", "added_latency"] {
        between(
            stats.histogram(&format!("redis.redis.{name}")),
            100.0,
            0.0..250_000.0,
        );
    }
    between(
        stats.histogram("redis.redis.blocked_time"),
        100.0,
        280_000.0..10_000_000.0,
    );
}

/// A request that comes in two parts began with the first; the one behind it did not.
#[test]
fn a_request_begins_with_its_own_first_byte() {
    let tapped = Tapped::start();
    let mut client = tapped.client();
    client.send_raw(b"*1\r\n$4\r\nPI");
    eventually("the connection is there", || {
        let stats = tapped.proxy.stats();
        (stats.value("cluster.redis.upstream_cx_active") == 1).then_some(())
    });
    std::thread::sleep(Duration::from_millis(300));
    client.send_raw(b"NG\r\nGET k\r\n");
    (0..2).for_each(|_| drop(client.reply()));
    drop(client);
    let stats = tapped.closed(2);
    between(
        stats.histogram("redis.redis.command.ping.latency"),
        0.0,
        290_000.0..10_000_000.0,
    );
    between(
        stats.histogram("redis.redis.command.get.latency"),
        0.0,
        0.0..250_000.0,
    );
    between(
        stats.histogram("redis.redis.command.ping.upstream_latency"),
        0.0,
        0.0..250_000.0,
    );
}

/// So many clients of the server wait.
fn blocked(tapped: &Tapped, count: i64) {
    eventually("it waits", || {
        let clients = tapped.redis.info("clients");
        (clients["blocked_clients"] == count.to_string()).then_some(())
    });
}

#[track_caller]
fn between(histogram: &Histogram, percent: f64, wanted: std::ops::Range<f64>) {
    let seen = histogram.at(percent);
    assert!(
        wanted.contains(&seen),
        "{seen} at {percent} in {histogram:?}"
    );
}
