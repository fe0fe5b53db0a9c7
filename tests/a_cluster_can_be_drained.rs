//! A cluster is drained before its servers are worked on: what runs ends, connections are closed, what comes waits.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bson::{Document, doc};
use serde_json::Value;
use support::collapse::{self, ORDERS};
use support::commands::{Connection, batch, code};
use support::eventually;
use support::mongod::Mongod;
use support::proxy::Proxy;

const DRAIN: &str = "/clusters/orders/drain";
const RESUME: &str = "/clusters/orders/resume";
const DRAINED: &str = "cluster `orders` is drained";

const SECONDS: &str = "narrows_cluster_pool_longest_wait_seconds{cluster=\"orders\"}";

/// How long an operation runs that a drain has to wait for.
const RUNNING: Duration = Duration::from_secs(3);

/// A test command of the server.
fn sleep() -> Document {
    let milliseconds = i64::try_from(RUNNING.as_millis()).unwrap();
    doc! {"sleep": 1, "millis": milliseconds, "lock": "none"}
}

fn ping() -> Document {
    doc! {"ping": 1}
}

#[track_caller]
fn post(proxy: &Proxy, path: &str) -> String {
    let (status, body) = proxy.ask("POST", path);
    assert_eq!(status, 200, "POST {path}: {body}");
    body
}

/// The one cluster of `/clusters?format=json`.
fn cluster(proxy: &Proxy) -> Value {
    let page: Value = serde_json::from_str(&proxy.get("/clusters?format=json")).unwrap();
    page["clusters"][0].clone()
}

#[track_caller]
fn expect_fact(proxy: &Proxy, fact: &str) {
    eventually(fact, || {
        let facts = proxy.get("/clusters");
        facts.lines().any(|line| line == fact).then_some(())
    });
}

/// Connections at the server over which operations go: the monitors have names of their own.
fn pooled(mongod: &Mongod) -> Vec<Document> {
    let mut server = Connection::open(mongod.address()).unwrap();
    let stages = [
        doc! {"$currentOp": {"allUsers": true, "idleConnections": true}},
        doc! {"$match": {"appName": "narrows orders"}},
        doc! {"$project": {"connectionId": 1, "command": {"hello": 1, "isMaster": 1}}},
    ];
    let command = doc! {"aggregate": 1, "pipeline": stages.to_vec(), "cursor": {}};
    batch(&server.expect_ok("admin", &command)).0
}

/// Sends a command whose reply somebody will wait for.
fn begin(client: &mut Connection, command: &Document) -> i32 {
    let (id, bytes) = client.request("admin", command, 0);
    client.stream().write_all(&bytes).unwrap();
    id
}

/// True when no reply comes for a while.
fn is_silent(client: &mut Connection) -> bool {
    let stream = client.stream();
    stream
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let read = stream.peek(&mut [0]);
    stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
    read.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

#[test]
fn what_runs_ends_and_what_waits_is_served_when_it_goes_on() {
    let mongod = Mongod::standalone();
    let pool = "max_connections: 4, wait_timeout: 25s";
    let (proxy, address) = collapse::start(&[mongod.address()], pool, "");
    let [mut busy, mut other] = [(); 2].map(|()| Connection::open(address).unwrap());
    let running = begin(&mut busy, &sleep());
    expect_fact(
        &proxy,
        &format!("orders::{}::_none::active::1", mongod.address()),
    );
    other.expect_ok("admin", &ping());
    expect_fact(&proxy, "orders::pool::open::2");

    let begun = Instant::now();
    assert!(post(&proxy, DRAIN).contains(DRAINED));
    expect_fact(&proxy, "orders::pool::open::1");
    assert!(begun.elapsed() < RUNNING, "the idle one is closed at once");
    expect_fact(&proxy, "orders::pool::paused::true");
    assert!(post(&proxy, DRAIN).contains(DRAINED));
    proxy.expect_logged("pool paused");
    assert_eq!(proxy.log().matches("pool paused").count(), 1);
    assert_eq!(
        proxy.get("/ready"),
        format!("LIVE\n{DRAINED}: its operations wait\n")
    );

    let waiting = begin(&mut other, &ping());
    eventually("the one that waits is seen", || {
        let stats = proxy.stats();
        let longest = stats.value("cluster.orders.pool.longest_wait_ms");
        (stats.value("cluster.orders.pool.waiting") == 1 && longest > 0).then_some(())
    });
    assert_eq!(proxy.stats().value("cluster.orders.pool.paused"), 1);
    let metrics = proxy.get("/metrics");
    let seconds = metrics
        .lines()
        .find_map(|line| line.strip_prefix(SECONDS)?.trim().parse::<f64>().ok());
    assert!((0.0..30.0).contains(&seconds.unwrap()) && seconds.unwrap() > 0.0);
    let seen = cluster(&proxy);
    assert_eq!(seen["pool"]["waiting"], 1);
    assert!(seen["pool"]["longest_wait_ms"].as_f64().unwrap() > 0.0);

    assert_eq!(code(&busy.receive(running).unwrap()), None);
    expect_fact(&proxy, "orders::pool::open::0");
    eventually("the server has no connection of the pool", || {
        pooled(&mongod).is_empty().then_some(())
    });

    post(&proxy, RESUME);
    assert_eq!(code(&other.receive(waiting).unwrap()), None);
    post(&proxy, RESUME);
    proxy.expect_logged("pool resumed");
    assert_eq!(proxy.log().matches("pool resumed").count(), 1);
    assert_eq!(proxy.get("/ready"), "LIVE\n");
    assert_eq!(pooled(&mongod).len(), 1);
    expect_fact(&proxy, "orders::pool::paused::false");
    collapse::expect_at_rest(&proxy);
}

#[test]
fn who_waits_for_too_long_is_told_why_and_servers_may_be_restarted() {
    let mut mongod = Mongod::standalone();
    let pool = "max_connections: 4, wait_timeout: 300ms";
    let (proxy, address) = collapse::start(&[mongod.address()], pool, "");
    let mut client = Connection::open(address).unwrap();
    client.expect_ok("admin", &ping());
    post(&proxy, DRAIN);
    let reply = client.command("admin", &ping()).unwrap();
    assert_eq!(code(&reply), Some(262), "{reply}");
    let message = reply.get_str("errmsg").unwrap();
    assert!(message.contains(DRAINED), "{message}");
    let labels = reply.get_array("errorLabels").unwrap();
    assert!(labels.contains(&"SystemOverloadedError".into()), "{reply}");

    mongod.kill();
    expect_fact(
        &proxy,
        &format!("orders::{}::usable::false", mongod.address()),
    );
    assert!(proxy.get("/ready").contains(DRAINED));
    mongod.restart();
    expect_fact(
        &proxy,
        &format!("orders::{}::usable::true", mongod.address()),
    );
    post(&proxy, RESUME);
    client.expect_ok("admin", &ping());
}

#[test]
fn a_reload_does_not_end_a_drain_and_old_sessions_are_resumed_too() {
    let mongod = Mongod::standalone();
    let pool = "max_connections: 4, wait_timeout: 25s";
    let listen = SocketAddr::from(([127, 0, 0, 1], support::free_port()));
    let config = |mongo| {
        let config = collapse::config(&[mongod.address()], pool, mongo);
        config.replace("127.0.0.1:0", &listen.to_string())
    };
    let proxy = Proxy::start(&config(""));
    let mut old = Connection::open(listen).unwrap();
    old.expect_ok("admin", &ping());
    post(&proxy, DRAIN);
    // Another cluster takes the place of the first, which the old session goes on to use.
    proxy.write_config(&config("local_threshold: 20ms"));
    assert_eq!(proxy.ask("POST", "/reload").0, 200);
    let new = Connection::open(listen).unwrap();
    let mut clients = [old, new].map(|mut client| {
        let id = begin(&mut client, &ping());
        (client, id)
    });
    expect_fact(&proxy, "orders::pool::waiting::1");
    assert!(proxy.get("/ready").contains(DRAINED));
    for (client, _) in &mut clients {
        assert!(is_silent(client), "it is served although it is drained");
    }
    post(&proxy, RESUME);
    for (client, id) in &mut clients {
        assert_eq!(code(&client.receive(*id).unwrap()), None);
    }
}

#[test]
fn only_what_has_a_pool_can_be_drained_and_only_by_post() {
    let mongod = Mongod::standalone();
    let proxy = Proxy::in_front_of("mongo", mongod.address());
    let (status, body) = proxy.ask("POST", DRAIN);
    assert_eq!(status, 404, "{body}");
    assert!(body.contains("the clusters are: mongo\n"), "{body}");
    let (status, body) = proxy.ask("POST", "/clusters/mongo/drain");
    assert_eq!(status, 409, "{body}");
    assert!(body.contains("no connections that clients share"), "{body}");
    for change in ["drain", "resume"] {
        let path = format!("/clusters/mongo/{change}");
        assert_eq!(proxy.ask("GET", &path).0, 405);
    }
    assert!(!proxy.get("/clusters").contains("pool"));
    assert_eq!(proxy.ask("GET", "/clusters?format=xml").0, 400);
    assert_eq!(proxy.ask("GET", "/clusters?fromat=json").0, 400);
}

#[test]
fn the_page_shows_servers_connections_and_pins() {
    let mongod = Mongod::replica_set();
    let (proxy, address) = collapse::start(&[mongod.address()], "max_connections: 4", "");
    let mut client = Connection::open(address).unwrap();
    let documents: Vec<_> = (0..10).map(|id| doc! {"_id": id}).collect();
    client.expect_ok("shop", &doc! {"insert": "carts", "documents": documents});
    client.expect_ok("shop", &doc! {"find": "carts", "batchSize": 2});

    let server = mongod.address();
    for fact in [
        "replica_set::rs",
        "pool::max_connections::4",
        "pool::waiting::0",
        "pins::cursors::1",
        "pins::transactions::0",
        &format!("{server}::kind::primary"),
        &format!("{server}::usable::true"),
        &format!("{server}::_none::idle::1"),
        &format!("{server}::_none::total::1"),
    ] {
        expect_fact(&proxy, &format!("{ORDERS}::{fact}"));
    }
    let cluster = cluster(&proxy);
    assert_eq!(cluster["name"], ORDERS);
    assert_eq!(cluster["pool"]["paused"], false);
    assert_eq!(cluster["pins"]["cursors"], 1);
    let endpoint = &cluster["endpoints"][0];
    assert_eq!(endpoint["name"], server.to_string());
    assert_eq!(endpoint["server"]["kind"], "primary");
    assert!(endpoint["server"]["round_trip_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(endpoint["connections"][0]["credential"], Value::Null);
    assert_eq!(endpoint["connections"][0]["idle"], 1);
}
