//! A share of what clients ask goes to another cluster as well; nothing of that reaches them, whatever becomes of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::net::SocketAddr;

use support::eventually;
use support::proxy::Proxy;
use support::redis::Redis;
use support::resp::{RedisClient, Value, encode};

fn start(redis: &Redis, shadow: SocketAddr, percent: u32) -> (Proxy, RedisClient) {
    let proxy = Proxy::start(&format!(
        "workers: 1\nlisteners:\n  - name: redis\n    listen: 127.0.0.1:0\n    protocol: redis\n    cluster: redis\n    \
         redis: {{ mode: collapse, mirror: {{ cluster: shadow, percent: {percent} }} }}\n\
         clusters:\n  - {{ name: redis, endpoints: [{}] }}\n  - {{ name: shadow, endpoints: [{shadow}] }}\n",
        redis.address()
    ));
    let client = RedisClient::connect(proxy.address("redis"));
    (proxy, client)
}

fn set(client: &mut RedisClient, count: usize) {
    let mut pipeline = Vec::new();
    for number in 0..count {
        pipeline.extend(encode(&[
            "SET",
            &format!("key:{number}"),
            &number.to_string(),
        ]));
    }
    client.send_raw(&pipeline);
    for _ in 0..count {
        assert_eq!(client.reply(), Value::ok());
    }
}

#[test]
fn the_share_that_is_asked_for_is_carried_out_there_too() {
    let (redis, shadow) = (Redis::start(), Redis::start());
    let (proxy, mut client) = start(&redis, shadow.address(), 25);
    set(&mut client, 1000);
    eventually("a quarter is there", || {
        (shadow.command(&["DBSIZE"]).integer() == 250).then_some(())
    });
    // What is there says another thing, and nobody hears of it.
    shadow.command(&["FLUSHALL"]);
    for number in 0..100 {
        let value = client.command(&["GET", &format!("key:{number}")]);
        assert_eq!(value, Value::bulk(number.to_string()));
    }
    // Another database, and a transaction.
    assert_eq!(client.command(&["SELECT", "1"]), Value::ok());
    set(&mut client, 100);
    for command in ["MULTI", "EXEC"] {
        assert!(!matches!(client.command(&[command]), Value::Error(_)));
    }
    let stats = proxy.stats();
    stats.expect("redis.redis.mirrored", 275);
    stats.expect("redis.redis.mirror_dropped", 0);
    assert_eq!(shadow.calls().get("get").copied(), Some(25));
    assert_eq!(shadow.calls().get("multi"), None);
}

#[test]
fn a_mirror_that_is_not_there_harms_nobody() {
    let (redis, mut shadow) = (Redis::start(), Redis::start());
    let address = shadow.address();
    shadow.kill();
    let (proxy, mut client) = start(&redis, address, 100);
    set(&mut client, 1000);
    shadow.restart();
    eventually("what comes later is mirrored", || {
        set(&mut client, 1);
        (shadow.command(&["EXISTS", "key:0"]) == Value::Integer(1)).then_some(())
    });
    shadow.kill();
    set(&mut client, 1000);
    proxy.stats().expect("redis.redis.error", 0);
}
