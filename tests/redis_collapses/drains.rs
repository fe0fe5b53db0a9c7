//! The end of a process, the rest of a cluster, and clients that say nothing.

use std::io::ErrorKind;
use std::time::Duration;

use crate::collapsed::{Collapsed, commands, config_with, say};
use crate::support::eventually;
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;
use crate::support::resp::{RedisClient, Value};

#[track_caller]
fn post(proxy: &Proxy, path: &str) {
    let (status, body) = proxy.ask("POST", path);
    assert_eq!(status, 200, "POST {path}: {body}");
}

/// True when no reply comes for a while.
fn is_silent(client: &RedisClient) -> bool {
    let stream = client.stream();
    stream
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let peeked = stream.peek(&mut [0]);
    stream
        .set_read_timeout(Some(crate::support::PATIENCE))
        .unwrap();
    peeked.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

#[test]
fn what_is_under_way_ends_before_the_process() {
    let mut collapsed = Collapsed::start();
    let mut idle = collapsed.client();
    let mut waits = collapsed.client();
    let mut queues = collapsed.client();
    let mut asks = collapsed.client();
    for client in [&mut idle, &mut waits, &mut queues, &mut asks] {
        assert_eq!(say(client, "SET k x"), Value::ok());
    }
    assert_eq!(say(&mut queues, "MULTI"), Value::ok());
    waits.send(&["BLPOP", "list", "0"]);
    collapsed.expect_at_server(3);
    collapsed
        .redis
        .command(&["CLIENT", "PAUSE", "500", "WRITE"]);
    asks.send(&["INCR", "n"]);
    eventually("all are under way", || {
        let active = collapsed
            .proxy
            .stats()
            .value("redis.redis.downstream_rq_active");
        (active == 2).then_some(())
    });
    collapsed.proxy.signal("TERM");
    idle.expect_end();
    assert_eq!(asks.reply(), Value::Integer(1));
    asks.expect_end();
    assert_eq!(
        say(&mut queues, "GET k"),
        Value::Simple("QUEUED".to_string())
    );
    assert_eq!(say(&mut queues, "EXEC"), Value::bulks(&["x"]));
    queues.expect_end();
    collapsed.redis.command(&["RPUSH", "list", "x"]);
    assert_eq!(waits.reply(), Value::bulks(&["list", "x"]));
    waits.expect_end();
    assert_eq!(collapsed.proxy.wait().code(), Some(0));
    collapsed.expect_at_server(0);
}

#[test]
fn a_cluster_rests_and_goes_on() {
    let collapsed = Collapsed::with(&[], "wait_timeout: 25s");
    let mut client = collapsed.client();
    let mut holds = collapsed.client();
    assert_eq!(say(&mut client, "SET k x"), Value::ok());
    assert_eq!(say(&mut holds, "MULTI"), Value::ok());
    post(&collapsed.proxy, "/clusters/redis/drain");
    // What is lent is let finish, the rest is closed.
    collapsed.expect_at_server(1);
    client.send(&["GET", "k"]);
    let mut other = collapsed.client();
    other.send_raw(&commands("MULTI\nGET k\nEXEC"));
    assert!(is_silent(&client), "it waits");
    assert!(is_silent(&other), "it waits");
    assert_eq!(say(&mut holds, "EXEC"), Value::Array(vec![]));
    collapsed.expect_at_server(0);
    assert!(
        collapsed
            .proxy
            .get("/ready")
            .contains("cluster `redis` is drained")
    );
    post(&collapsed.proxy, "/clusters/redis/resume");
    assert_eq!(client.reply(), Value::bulk("x"));
    (0..2).for_each(|_| drop(other.reply()));
    assert_eq!(other.reply(), Value::bulks(&["x"]));
}

#[test]
fn a_client_that_says_nothing_is_closed() {
    let redis = Redis::start();
    let config = config_with(redis.address(), "", "    idle_timeout: 1s\n");
    let proxy = Proxy::start(&config);
    let connect = || RedisClient::connect(proxy.address("redis"));
    let (mut idle, mut subscribes, mut busy) = (connect(), connect(), connect());
    assert_eq!(say(&mut idle, "GET k"), Value::NilBulk);
    subscribes.send(&["SUBSCRIBE", "c"]);
    assert_eq!(subscribes.next().elements().len(), 3);
    let closed = || {
        proxy
            .stats()
            .value("listener.redis.downstream_cx_idle_timeout")
    };
    eventually("both are closed", || {
        assert_eq!(say(&mut busy, "GET k"), Value::NilBulk);
        (closed() == 2).then_some(())
    });
    idle.expect_end();
    subscribes.expect_end();
    assert_eq!(say(&mut busy, "GET k"), Value::NilBulk);
}
