//! A Redis Cluster of real servers behind a listener in mode collapse: a client that knows nothing of clusters uses it as if it
//! were one server, whatever becomes of the servers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use support::eventually;
use support::proxy::Proxy;
use support::redis_cluster::RedisCluster;
use support::resp::{RedisClient, Value, encode};

const KEYS: usize = 300;

fn start(replicas: usize) -> (RedisCluster, Proxy, SocketAddr) {
    let cluster = RedisCluster::start(replicas);
    let seed = cluster.masters()[0];
    let proxy = Proxy::start(&config(seed, ""));
    let address = proxy.address("redis");
    (cluster, proxy, address)
}

fn config(seed: SocketAddr, options: &str) -> String {
    format!(
        "workers: 2\nlisteners:\n  - name: redis\n    listen: 127.0.0.1:0\n    protocol: redis\n    cluster: redis\n    \
         redis: {{ mode: collapse }}\nclusters:\n  - name: redis\n    endpoints: [{seed}]\n    redis: {{ topology: cluster, {options} }}\n"
    )
}

fn key(number: usize) -> String {
    format!("key:{number}")
}

#[test]
fn keys_are_spread_and_replies_come_in_order() {
    let (cluster, proxy, address) = start(0);
    let mut client = RedisClient::connect(address);
    let mut pipeline = Vec::new();
    for number in 0..KEYS {
        pipeline.extend(encode(&["SET", &key(number), &format!("value {number}")]));
        pipeline.extend(encode(&["GET", &key(number)]));
        pipeline.extend(encode(&["ECHO", &number.to_string()]));
    }
    client.send_raw(&pipeline);
    for number in 0..KEYS {
        assert_eq!(client.reply(), Value::ok());
        assert_eq!(client.reply(), Value::bulk(format!("value {number}")));
        assert_eq!(client.reply(), Value::bulk(number.to_string()));
    }
    let mut all = 0;
    for node in 0..3 {
        let held = cluster.node(node).command(&["DBSIZE"]).integer();
        assert!(held > KEYS as i64 / 6, "node {node} has {held}");
        all += held;
    }
    assert_eq!(all, KEYS as i64);
    let stats = proxy.stats();
    stats
        .expect("redis.redis.error", 0)
        .expect("redis.redis.moved", 0);
}

#[test]
fn transactions_and_waits_go_to_the_server_of_their_keys() {
    let (_cluster, proxy, address) = start(0);
    let mut client = RedisClient::connect(address);
    for number in 0..20 {
        let (count, list) = (format!("{{{number}}}:count"), format!("{{{number}}}:list"));
        // One by one: what the keys are is not known when MULTI has to be answered.
        assert_eq!(client.command(&["MULTI"]), Value::ok());
        assert_eq!(
            client.command(&["INCR", &count]),
            Value::Simple("QUEUED".into())
        );
        assert_eq!(
            client.command(&["RPUSH", &list, "a"]),
            Value::Simple("QUEUED".into())
        );
        let done = Value::Array(vec![Value::Integer(1), Value::Integer(1)]);
        assert_eq!(client.command(&["EXEC"]), done);
        // All at once.
        let mut pipeline = encode(&["MULTI"]);
        pipeline.extend(encode(&["INCR", &count]));
        pipeline.extend(encode(&["EXEC"]));
        pipeline.extend(encode(&["GET", &count]));
        client.send_raw(&pipeline);
        assert_eq!(client.reply(), Value::ok());
        assert_eq!(client.reply(), Value::Simple("QUEUED".into()));
        assert_eq!(client.reply(), Value::Array(vec![Value::Integer(2)]));
        assert_eq!(client.reply(), Value::bulk("2"));
        assert_eq!(client.command(&["WATCH", &count]), Value::ok());
        assert_eq!(client.command(&["UNWATCH"]), Value::ok());
        let popped = client.command(&["BLPOP", &list, "1"]);
        assert_eq!(popped, Value::bulks(&[list.as_str(), "a"]));
    }
    assert_eq!(client.command(&["MULTI"]), Value::ok());
    assert_eq!(client.command(&["EXEC"]), Value::Array(Vec::new()));
    assert_eq!(client.command(&["MULTI"]), Value::ok());
    assert_eq!(client.command(&["DISCARD"]), Value::ok());
    let crossed = client.command(&["SINTER", "a", "b"]);
    assert!(crossed.error().starts_with("CROSSSLOT"), "{crossed:?}");
    proxy.stats().expect("redis.redis.moved", 0);
}

/// Nobody uses a connection that is shared, whose replies would tell that slots have moved.
#[test]
fn transactions_and_waits_find_a_slot_that_has_moved() {
    let (cluster, _proxy, address) = start(0);
    let mut client = RedisClient::connect(address);
    let transaction = |client: &mut RedisClient| {
        let mut pipeline = encode(&["MULTI"]);
        pipeline.extend(encode(&["SET", "k", "1"]));
        pipeline.extend(encode(&["EXEC"]));
        client.send_raw(&pipeline);
        (0..2).for_each(|_| drop(client.reply()));
        client.reply()
    };
    let done = Value::Array(vec![Value::ok()]);
    assert_eq!(transaction(&mut client), done);
    let wait = |client: &mut RedisClient| client.command(&["BLPOP", "{j}list", "0.05"]);
    for (key, ask) in [
        ("k", transaction as fn(&mut RedisClient) -> Value),
        ("j", wait),
    ] {
        let from = cluster.master_of(key);
        let slot = cluster.slot(key).to_string();
        let to = cluster.id((from + 1) % 3).to_string();
        cluster.node(from).command(&["DEL", key]);
        for node in 0..3 {
            cluster
                .node(node)
                .command(&["CLUSTER", "SETSLOT", &slot, "NODE", &to]);
        }
        let before = ask(&mut client);
        assert!(matches!(before, Value::Error(_)), "{before:?}");
        eventually("it is where the slot is now", || {
            (!matches!(ask(&mut client), Value::Error(_))).then_some(())
        });
    }
}

#[test]
fn commands_of_several_keys_are_cut_where_they_may_be() {
    let (_cluster, proxy, address) = start(0);
    let mut client = RedisClient::connect(address);
    let keys: Vec<_> = (0..50).map(key).collect();
    let mut set = vec!["MSET".to_string()];
    set.extend(
        keys.iter()
            .flat_map(|key| [key.clone(), format!("of {key}")]),
    );
    let with = |name: &str, keys: &[String]| {
        let mut command = vec![name.to_string()];
        command.extend_from_slice(keys);
        command
    };
    // In one go, with what is not cut between them: replies come in the order of the requests.
    let mut wanted = keys.clone();
    wanted.insert(25, "missing".to_string());
    let mut pipeline = encode(&set);
    pipeline.extend(encode(&with("MGET", &wanted)));
    pipeline.extend(encode(&["ECHO", "between"]));
    pipeline.extend(encode(&with("EXISTS", &wanted)));
    pipeline.extend(encode(&with("TOUCH", &keys[..10])));
    pipeline.extend(encode(&with("UNLINK", &keys[..20])));
    pipeline.extend(encode(&with("DEL", &keys)));
    pipeline.extend(encode(&with("MGET", &keys[..2])));
    client.send_raw(&pipeline);
    assert_eq!(client.reply(), Value::ok());
    let values = wanted.iter().map(|key| match key.as_str() {
        "missing" => Value::NilBulk,
        key => Value::bulk(format!("of {key}")),
    });
    assert_eq!(client.reply(), Value::Array(values.collect()));
    assert_eq!(client.reply(), Value::bulk("between"));
    assert_eq!(client.reply(), Value::Integer(50));
    assert_eq!(client.reply(), Value::Integer(10));
    assert_eq!(client.reply(), Value::Integer(20));
    assert_eq!(client.reply(), Value::Integer(30));
    assert_eq!(client.reply(), Value::Array(vec![Value::NilBulk; 2]));
    let mut client = RedisClient::connect_resp3(address);
    let missing = client.command(&["MGET", "a", "b"]);
    assert_eq!(missing, Value::Array(vec![Value::Null; 2]));
    // What no server would take is not cut: nothing of it is done.
    let refused = client.command(&["MSET", "a", "1", "b"]);
    assert!(refused.error().starts_with("CROSSSLOT"), "{refused:?}");
    assert_eq!(client.command(&["EXISTS", "a"]), Value::Integer(0));
    let stats = proxy.stats();
    stats.expect("redis.redis.command.mget.total", 3);
    stats.expect("redis.redis.downstream_rq_active", 0);
}

/// Clients that write and read without a pause until they are told to stop; each reply has to be right.
fn under_load(address: SocketAddr, clients: usize, change: impl FnOnce(&AtomicU64)) -> u64 {
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for number in 0..clients {
            let (stop, done) = (&stop, &done);
            scope.spawn(move || {
                let mut client = RedisClient::connect(address);
                let mut round = 0;
                while !stop.load(Ordering::Relaxed) {
                    for place in (number..KEYS).step_by(clients) {
                        let value = format!("{number} {place} {round}");
                        let mut pipeline = encode(&["SET", &key(place), &value]);
                        pipeline.extend(encode(&["GET", &key(place)]));
                        client.send_raw(&pipeline);
                        assert_eq!(client.reply(), Value::ok());
                        assert_eq!(client.reply(), Value::bulk(&value));
                        done.fetch_add(2, Ordering::Relaxed);
                    }
                    round += 1;
                }
            });
        }
        change(&done);
        stop.store(true, Ordering::Relaxed);
    });
    done.into_inner()
}

/// So many commands more have been answered.
fn wait_for(done: &AtomicU64, more: u64) {
    let until = done.load(Ordering::Relaxed) + more;
    eventually("commands are answered", || {
        (done.load(Ordering::Relaxed) >= until).then_some(())
    });
}

#[test]
fn a_slot_moves_under_load_and_no_client_hears_of_it() {
    let (cluster, proxy, address) = start(0);
    let done = under_load(address, 8, |done| {
        wait_for(done, 2_000);
        for number in [1, 2, 3] {
            let name = key(number);
            let slot = cluster.slot(&name).to_string();
            let from = cluster.master_of(&name);
            let to = (from + 1) % 3;
            let ask = |node: usize, arguments: &[&str]| {
                let reply = cluster.node(node).command(arguments);
                assert_eq!(reply, Value::ok(), "{arguments:?}");
            };
            ask(
                to,
                &["CLUSTER", "SETSLOT", &slot, "IMPORTING", cluster.id(from)],
            );
            ask(
                from,
                &["CLUSTER", "SETSLOT", &slot, "MIGRATING", cluster.id(to)],
            );
            // While it is on its way: keys that are gone already, and keys that are not.
            wait_for(done, 2_000);
            let keys = cluster
                .node(from)
                .command(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]);
            let (host, port) = (
                cluster.node(to).address().ip().to_string(),
                cluster.node(to).address().port().to_string(),
            );
            for name in keys.elements() {
                let name = name.text();
                ask(from, &["MIGRATE", &host, &port, &name, "0", "5000"]);
                wait_for(done, 500);
            }
            for node in [to, from, (from + 2) % 3] {
                ask(node, &["CLUSTER", "SETSLOT", &slot, "NODE", cluster.id(to)]);
            }
            wait_for(done, 2_000);
        }
    });
    let stats = proxy.stats();
    assert!(done > 10_000);
    assert!(stats.value("redis.redis.ask") > 0, "nothing was on its way");
    assert!(stats.value("redis.redis.moved") > 0, "nothing moved");
    stats.expect("redis.redis.error_prefix.ERR.total", 0);
}

#[test]
fn what_only_reads_goes_to_replicas_where_it_may() {
    let cluster = RedisCluster::start(1);
    // A replica is named when it has got something.
    eventually("replicas are named", || {
        let slots = cluster.node(0).command(&["CLUSTER", "SLOTS"]);
        let has_replica = |range: &Value| range.elements().len() > 3;
        slots.elements().iter().all(has_replica).then_some(())
    });
    let seed = cluster.masters()[0];
    let proxy = Proxy::start(&config(seed, "read_from: replica"));
    let mut client = RedisClient::connect(proxy.address("redis"));
    for number in 0..30 {
        assert_eq!(client.command(&["SET", &key(number), "1"]), Value::ok());
    }
    // Replicas are a little behind.
    for number in 0..30 {
        eventually("the replica has it", || {
            (client.command(&["GET", &key(number)]) == Value::bulk("1")).then_some(())
        });
    }
    let calls =
        |node: usize, name: &str| cluster.node(node).calls().get(name).copied().unwrap_or(0);
    let of = |nodes: std::ops::Range<usize>, name: &str| {
        nodes.map(|node| calls(node, name)).sum::<i64>()
    };
    assert_eq!(of(0..3, "set"), 30);
    proxy.stats().expect("redis.redis.moved", 0);
    assert_eq!(of(0..3, "get"), 0);
    assert!(of(3..6, "get") >= 30);
    proxy.stats().expect("redis.redis.moved", 0);
}

#[test]
fn a_master_dies_and_its_replica_takes_over() {
    let (mut cluster, proxy, address) = start(1);
    let mut client = RedisClient::connect(address);
    for number in 0..KEYS {
        let set = client.command(&["SET", &key(number), &number.to_string()]);
        assert_eq!(set, Value::ok());
    }
    let dead = cluster.master_of(&key(0));
    let waited = cluster.node(dead).command(&["WAIT", "1", "5000"]).integer();
    assert_eq!(waited, 1);
    cluster.node_mut(dead).kill();
    eventually("the replica answers", || {
        let value = client.command(&["GET", &key(0)]);
        (value == Value::bulk("0")).then_some(())
    });
    // All of its keys, over the same client connection.
    for number in 0..KEYS {
        let value = client.command(&["GET", &key(number)]);
        assert_eq!(value, Value::bulk(number.to_string()));
        let set = client.command(&["SET", &key(number), "again"]);
        assert_eq!(set, Value::ok());
    }
    assert!(
        proxy.stats().value("redis.redis.error") > 0,
        "nothing was lost"
    );
}
