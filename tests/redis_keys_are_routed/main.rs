//! Keys go to clusters by their beginnings, and clients see one Redis.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod integrity;
#[path = "../nobody_gets_anothers_data/random.rs"]
mod random;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Command;

use support::eventually;
use support::proxy::Proxy;
use support::redis::Redis;
use support::resp::{RedisClient, Value, encode};
use support::users::add_user;
use tempfile::TempDir;

const CROSSED: &str = "CROSSSLOT Keys in request don't hash to the same slot";

/// Three clusters of one server each: `main` gets what no route names.
struct Routed {
    servers: BTreeMap<&'static str, Redis>,
    proxy: Proxy,
}

const NAMES: [&str; 3] = ["main", "users", "carts"];

fn config(servers: &BTreeMap<&'static str, Redis>, listener: &str, cluster: &str) -> String {
    let clusters = servers.iter().map(|(name, server)| {
        let address = server.address();
        format!("  - {{ name: {name}, endpoints: ['{address}'], pool: {{ wait_timeout: 2s }}{cluster} }}\n")
    });
    format!(
        "workers: 1\nlisteners:\n  - name: cache\n    listen: 127.0.0.1:0\n    protocol: redis\n    cluster: main\n    redis:\n      \
         mode: collapse\n      routes:\n        - {{ prefix: 'user:', cluster: users }}\n        - {{ prefix: 'user:old:', cluster: main }}\n        \
         - {{ prefix: 'cart:', cluster: carts }}\n{listener}clusters:\n{}",
        clusters.collect::<String>()
    )
}

impl Routed {
    fn start() -> Self {
        Self::with(&[], "", "")
    }

    fn with(redis: &[&str], listener: &str, cluster: &str) -> Self {
        let servers: BTreeMap<_, _> = NAMES.map(|name| (name, Redis::with(redis))).into();
        let proxy = Proxy::start(&config(&servers, listener, cluster));
        Self { servers, proxy }
    }

    fn client(&self) -> RedisClient {
        RedisClient::connect(self.proxy.address("cache"))
    }

    #[track_caller]
    fn expect_at(&self, server: &str, key: &str, value: &str) {
        for (name, redis) in &self.servers {
            let wanted = match *name == server {
                true => Value::bulk(value),
                false => Value::NilBulk,
            };
            assert_eq!(redis.command(&["GET", key]), wanted, "{key} at {name}");
        }
    }
}

#[test]
fn each_key_is_where_its_longest_prefix_says() {
    let routed = Routed::start();
    let mut client = routed.client();
    for (key, server) in [
        ("user:1", "users"),
        ("user:old:1", "main"),
        ("user:", "users"),
        ("user", "main"),
        ("cart:7", "carts"),
        ("other", "main"),
        ("", "main"),
    ] {
        assert_eq!(client.command(&["SET", key, key]), Value::ok());
        assert_eq!(client.command(&["GET", key]), Value::bulk(key));
        routed.expect_at(server, key, key);
    }
    let script = "return redis.call('INCR', KEYS[1])";
    let counted = client.command(&["EVAL", script, "1", "user:n"]);
    assert_eq!(counted, Value::Integer(1));
    routed.expect_at("users", "user:n", "1");
    client.send_raw(b"SET cart:typed 1\r\n");
    assert_eq!(client.reply(), Value::ok());
    routed.expect_at("carts", "cart:typed", "1");
    drop(client);
    let stats = eventually("all is counted", || {
        let stats = routed.proxy.stats();
        let times = NAMES.map(|name| stats.count(&format!("cluster.{name}.upstream_rq_time_ms")));
        (times == [8, 5, 3]).then_some(stats)
    });
    for (name, count) in [("main", 8), ("users", 5), ("carts", 3)] {
        let of = |metric: &str| format!("cluster.{name}.{metric}");
        stats
            .expect(&of("upstream_rq_total"), count)
            .expect(&of("upstream_rq_completed"), count);
    }
    stats.expect_count("redis.cache.latency", 16);
}

#[test]
fn commands_of_keys_in_several_clusters_are_cut_or_refused() {
    let routed = Routed::start();
    let mut client = routed.client();
    let set = [
        "MSET", "user:1", "u", "cart:1", "c", "other", "o", "user:2", "u2",
    ];
    assert_eq!(client.command(&set), Value::ok());
    routed.expect_at("users", "user:2", "u2");
    routed.expect_at("carts", "cart:1", "c");
    let all = ["user:1", "cart:1", "none", "other", "user:2", "cart:none"];
    let values = client.command(&[&["MGET"][..], &all].concat());
    let wanted = [Some("u"), Some("c"), None, Some("o"), Some("u2"), None];
    let wanted = wanted.map(|value| value.map_or(Value::NilBulk, Value::bulk));
    assert_eq!(values, Value::Array(wanted.to_vec()));
    let there = client.command(&[&["EXISTS"][..], &all].concat());
    assert_eq!(there, Value::Integer(4));
    let gone = client.command(&[&["DEL"][..], &all].concat());
    assert_eq!(gone, Value::Integer(4));
    for crossed in [
        &["SUNION", "user:s", "cart:s"][..],
        &["RENAME", "user:1", "cart:1"],
        &["EVAL", "return 1", "2", "user:1", "cart:1"],
        &["MSETNX", "user:1", "1", "cart:1", "1"],
        &["BLPOP", "user:l", "cart:l", "1"],
    ] {
        assert_eq!(client.command(crossed).error(), CROSSED, "{crossed:?}");
    }
    assert_eq!(client.command(&["SADD", "user:s", "a"]), Value::Integer(1));
    assert_eq!(
        client.command(&["SUNION", "user:s", "user:none"]),
        Value::bulks(&["a"])
    );
    // Large ones too, and of one key.
    let large = |key: &str| key.repeat(30_000);
    let names = ["user:a", "cart:a", "a"];
    let mut set = vec!["MSET".to_string()];
    set.extend(
        names
            .iter()
            .flat_map(|name| [name.to_string(), large(name)]),
    );
    client.send_raw(&encode(&set));
    assert_eq!(client.reply(), Value::ok());
    for (name, server) in [("user:a", "users"), ("cart:a", "carts"), ("a", "main")] {
        routed.expect_at(server, name, &large(name));
        let huge = name.repeat(500_000);
        assert_eq!(client.command(&["SET", name, &huge]), Value::ok());
        routed.expect_at(server, name, &huge);
    }
}

/// A server that is slow holds up nobody's replies but those behind its own.
#[test]
fn replies_come_in_the_order_of_their_requests() {
    let routed = Routed::start();
    let (mut client, mut other) = (routed.client(), routed.client());
    routed.servers["users"].command(&["CLIENT", "PAUSE", "300"]);
    let mut requests = Vec::new();
    for number in 0..300 {
        let prefix = ["user:", "cart:", ""][number % 3];
        let (key, value) = (format!("{prefix}{number}"), number.to_string());
        requests.extend(encode(&["SET", &key, &value, "GET"]));
        requests.extend(encode(&["GET", &key]));
    }
    client.send_raw(&requests);
    assert_eq!(other.command(&["SET", "cart:other", "1"]), Value::ok());
    for number in 0..300 {
        assert_eq!(client.reply(), Value::NilBulk);
        assert_eq!(client.reply(), Value::bulk(number.to_string()));
    }
}

#[test]
fn what_needs_a_connection_of_its_own_goes_where_its_key_is() {
    let routed = Routed::start();
    let (mut client, mut other) = (routed.client(), routed.client());
    client.send(&["BLPOP", "user:queue", "0"]);
    eventually("it waits at the server of its key", || {
        let info = routed.servers["users"].info("clients");
        (info["blocked_clients"] == "1").then_some(())
    });
    other.command(&["RPUSH", "user:queue", "x"]);
    assert_eq!(client.reply(), Value::bulks(&["user:queue", "x"]));
    // A client that leaves ends its wait, however much it has sent behind it.
    for behind in [100, 10_000, 100_000] {
        let leaves = routed.client();
        let mut requests = encode(&["BLPOP", "user:queue", "0"]);
        requests.extend(encode(&["GET", "cart:1"]).repeat(behind));
        // It may be closed before it has sent all.
        let _ = leaves.stream().write_all(&requests);
        drop(leaves);
        eventually(&format!("nobody waits, with {behind} behind"), || {
            let stats = routed.proxy.stats();
            // The one is that which clients share.
            (stats.value("cluster.users.pool.active") == 1
                && stats.value("listener.cache.downstream_cx_active") == 2)
                .then_some(())
        });
    }
    assert_eq!(other.command(&["LLEN", "user:queue"]), Value::Integer(0));
    // What has no key is of the listener's own cluster.
    client.command(&["SUBSCRIBE", "news"]);
    assert_eq!(other.command(&["PUBLISH", "news", "1"]), Value::Integer(1));
    assert_eq!(client.reply(), Value::bulks(&["message", "news", "1"]));
    assert_eq!(
        other.command(&["WAIT", "0", "0"]).error(),
        "ERR narrows: cluster main: wait is for one server, and here keys are on several"
    );
    let refused = other.command(&["MULTI"]);
    assert!(
        refused
            .error()
            .starts_with("ERR narrows: multi is for keys of one server"),
        "{refused:?}"
    );
    other.expect_end();
}

/// What comes behind a request that has a connection of its own is for whichever cluster it is for.
#[test]
fn nothing_goes_along_with_what_is_in_front_of_it() {
    let routed = Routed::start();
    let mut client = routed.client();
    let large = "x".repeat(2 << 20);
    for (number, first) in [
        &["SET", "page", &large][..],
        &["SET", "cart:page", &large],
        &["BLPOP", "list", "0.05"],
        &["CLIENT", "UNPAUSE"],
        &["SUBSTR", "page"],
    ]
    .into_iter()
    .enumerate()
    {
        let value = number.to_string();
        let mut requests = encode(first);
        for key in ["user:behind", "cart:behind", "behind"] {
            requests.extend(encode(&["SET", key, &value]));
        }
        // Larger than what is kept back, too.
        requests.extend(encode(&["SET", "user:page", &large]));
        requests.extend(encode(&["GET", "user:behind"]));
        client.send_raw(&requests);
        client.reply();
        (0..4).for_each(|_| assert_eq!(client.reply(), Value::ok(), "behind {first:?}"));
        assert_eq!(client.reply(), Value::bulk(&value));
        routed.expect_at("users", "user:behind", &value);
        routed.expect_at("carts", "cart:behind", &value);
        routed.expect_at("main", "behind", &value);
        routed.expect_at("users", "user:page", &large);
    }
    for about in [
        &["CLIENT", "ID"][..],
        &["CLIENT", "TRACKING", "ON"],
        &["CLIENT", "REPLY", "OFF"],
        &["READONLY"],
        &["DEBUG", "SLEEP", "0"],
    ] {
        let refused = client.command(about);
        assert!(
            refused
                .error()
                .ends_with("is for one server, and here keys are on several"),
            "{about:?}: {refused:?}"
        );
    }
    assert_eq!(client.command(&["GET", "user:behind"]), Value::bulk("4"));
}

/// It is where PUBLISH goes, whatever key is named behind it; and it can do nothing else then.
#[test]
fn a_subscriber_is_no_more_than_that() {
    let routed = Routed::start();
    let mut other = routed.client();
    assert_eq!(other.command(&["SET", "user:k", "1"]), Value::ok());
    for behind in [
        &["GET", "user:k"][..],
        &["SET", "user:k", "2"],
        &["MULTI"],
        &["SSUBSCRIBE", "user:shard"],
        &["NONSENSE"],
    ] {
        let mut client = RedisClient::connect_resp3(routed.proxy.address("cache"));
        let mut requests = encode(&["SUBSCRIBE", "news"]);
        requests.extend(encode(&["PSUBSCRIBE", "n*"]));
        requests.extend(encode(&["PING"]));
        client.send_raw(&requests);
        (0..2).for_each(|_| drop(client.push()));
        assert_eq!(client.reply(), Value::Simple("PONG".into()));
        assert_eq!(other.command(&["PUBLISH", "news", "1"]), Value::Integer(2));
        (0..2).for_each(|_| drop(client.push()));
        client.send(behind);
        client.expect_end();
        eventually("nobody is subscribed", || {
            (other.command(&["PUBLISH", "news", "1"]) == Value::Integer(0)).then_some(())
        });
    }
    let mut client = routed.client();
    let mut requests = encode(&["SUBSCRIBE", "news"]);
    requests.extend(encode(&["GET", "user:k"]));
    client.send_raw(&requests);
    assert_eq!(other.command(&["GET", "user:k"]), Value::bulk("1"));
    while let Ok(said) = client.try_reply() {
        assert_eq!(said.elements()[0], Value::bulk("subscribe"));
    }
}

#[test]
fn keys_are_found_wherever_they_stand_or_refused() {
    let routed = Routed::start();
    let mut client = routed.client();
    client.command(&["GEOADD", "geo", "15", "37", "here"]);
    client.command(&["RPUSH", "l", "1"]);
    client.command(&["XADD", "user:stream", "1-1", "a", "1"]);
    for crossed in [
        "GEORADIUS geo 15 37 200 km COUNT 5 ANY ASC STORE user:dest",
        "SORT l BY nosort LIMIT 0 10 GET # ALPHA STORE user:dest",
        "ZUNIONSTORE user:dest 1 geo WEIGHTS 1 AGGREGATE MAX",
    ] {
        let words: Vec<_> = crossed.split(' ').collect();
        assert_eq!(client.command(&words).error(), CROSSED, "{crossed}");
        client.send_raw(format!("{crossed}\r\n").as_bytes());
        assert!(matches!(client.reply(), Value::Error(_)), "{crossed}");
    }
    let many = "XREAD COUNT 1 COUNT 1 COUNT 1 COUNT 1 COUNT 1 STREAMS user:stream 0";
    let words: Vec<_> = many.split(' ').collect();
    assert_eq!(client.command(&words).elements().len(), 1);
    assert_eq!(client.command(&["EXISTS", "user:dest"]), Value::Integer(0));

    let unplaced = |client: &mut RedisClient| {
        let refused = client.reply();
        assert!(
            refused
                .error()
                .contains("which arguments of this command are keys"),
            "{refused:?}"
        );
    };
    client.send_raw(b"MSET k1 1 k2 2 k3 3 k4 4 k5 5 user:k6 6\r\n");
    unplaced(&mut client);
    client.send_raw(format!("GET {}\r\n", "k".repeat(200)).as_bytes());
    unplaced(&mut client);
    client.send(&["JSON.SET", "user:doc", "$", "1"]);
    unplaced(&mut client);
    client.send(&["OBJECT", "NEWEST", "user:1"]);
    unplaced(&mut client);
    let all: Vec<_> = ["EXISTS".to_string()]
        .into_iter()
        .chain((0..100_001).map(|number| format!("user:{number}")))
        .collect();
    client.send(&all);
    unplaced(&mut client);
    client.send(&all[..100_001]);
    assert_eq!(client.reply(), Value::Integer(0));
}

/// A server that hangs must not have the proxy hold what the others answer without a bound.
#[test]
fn replies_that_wait_for_another_part_have_a_bound() {
    let routed = Routed::start();
    let mut client = routed.client();
    let large = "x".repeat(1 << 20);
    assert_eq!(client.command(&["SET", "large", &large]), Value::ok());
    let before = routed.proxy.resident_bytes();
    let signal = |name: &str| {
        let pid = routed.servers["users"].pid().to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .unwrap()
                .success()
        );
    };
    signal("-STOP");
    let requests: Vec<_> = (0..400)
        .flat_map(|_| encode(&["MGET", "large", "user:1"]))
        .collect();
    client.send_raw(&requests);
    let mut other = routed.client();
    // Behind the replies to all of them.
    assert_eq!(other.command(&["GET", "none"]), Value::NilBulk);
    let grown = routed.proxy.resident_bytes().saturating_sub(before);
    assert!(grown < 160 << 20, "{grown} bytes");
    signal("-CONT");
    let (mut whole, mut refused) = (0, 0);
    for _ in 0..400 {
        match client.reply() {
            Value::Array(values) => {
                assert_eq!(values, [Value::bulk(&large), Value::NilBulk]);
                whole += 1;
            }
            other => {
                assert!(
                    other.error().contains("may have 67108864 bytes of replies"),
                    "{other:?}"
                );
                refused += 1;
            }
        }
    }
    assert!(
        whole > 20 && refused > 200,
        "{whole} whole, {refused} refused"
    );
    // All of it is free again.
    assert_eq!(
        client
            .command(&["MGET", "large", "user:1"])
            .elements()
            .len(),
        2
    );
}

#[test]
fn databases_versions_and_users_are_the_same_everywhere() {
    let routed = Routed::start();
    let mut client = routed.client();
    assert!(matches!(client.command(&["HELLO", "3"]), Value::Map(_)));
    for key in ["user:h", "cart:h", "h"] {
        assert_eq!(client.command(&["HSET", key, "a", "1"]), Value::Integer(1));
        assert!(matches!(client.command(&["HGETALL", key]), Value::Map(_)));
        assert_eq!(client.command(&["GET", "user:none"]), Value::Null);
    }
    assert_eq!(client.command(&["SELECT", "5"]), Value::ok());
    for (key, server) in [("user:5", "users"), ("cart:5", "carts"), ("5", "main")] {
        assert_eq!(client.command(&["SET", key, "five"]), Value::ok());
        let mut direct = routed.servers[server].client();
        assert_eq!(direct.command(&["GET", key]), Value::NilBulk);
        direct.command(&["SELECT", "5"]);
        assert_eq!(direct.command(&["GET", key]), Value::bulk("five"));
    }
    assert!(
        client
            .command(&["SELECT", "99"])
            .error()
            .starts_with("ERR DB index")
    );
    assert_eq!(client.command(&["GET", "cart:5"]), Value::bulk("five"));
    for login in [&["AUTH", "secret"][..], &["HELLO", "3", "AUTH", "a", "b"]] {
        let refused = client.command(login);
        assert!(refused.error().contains("`auth: users`"), "{refused:?}");
    }
    assert_eq!(client.command(&["GET", "user:5"]), Value::bulk("five"));
}

#[test]
fn users_of_the_proxy_are_the_config_s_at_each_cluster() {
    let folder = TempDir::new().unwrap();
    let (users, password) = (folder.path().join("users"), folder.path().join("password"));
    add_user(&users, "anna", "anna-secret", None);
    std::fs::write(&password, "upstream-secret\n").unwrap();
    let routed = Routed::with(
        &["requirepass upstream-secret"],
        &format!(
            "      auth: users\n      users_file: '{}'\n",
            users.display()
        ),
        &format!(", redis: {{ password_file: '{}' }}", password.display()),
    );
    let mut client = routed.client();
    assert!(
        client
            .command(&["GET", "user:1"])
            .error()
            .starts_with("NOAUTH")
    );
    assert_eq!(
        client.command(&["AUTH", "anna", "anna-secret"]),
        Value::ok()
    );
    let set = ["MSET", "user:1", "1", "cart:1", "1", "1", "1"];
    assert_eq!(client.command(&set), Value::ok());
    assert_eq!(client.command(&["GET", "cart:1"]), Value::bulk("1"));
}

#[test]
fn a_cluster_that_is_lost_takes_no_other_with_it() {
    let mut routed = Routed::start();
    let mut client = routed.client();
    let set = ["MSET", "user:1", "1", "1", "1"];
    assert_eq!(client.command(&set), Value::ok());
    let mut third = RedisClient::connect_resp3(routed.proxy.address("cache"));
    assert_eq!(third.command(&["SELECT", "1"]), Value::ok());
    routed.servers.get_mut("users").unwrap().kill();
    let lost = eventually("the loss is noticed", || {
        let reply = client.command(&["GET", "user:1"]);
        matches!(reply, Value::Error(_)).then_some(reply)
    });
    assert!(lost.error().contains("cluster users"), "{lost:?}");
    let waited = client.command(&["BLPOP", "user:list", "1"]);
    assert!(waited.error().contains("cluster users"), "{waited:?}");
    // What its servers took before need not be asked of them again.
    let mut other = RedisClient::connect_resp3(routed.proxy.address("cache"));
    assert_eq!(other.command(&["SELECT", "1"]), Value::ok());
    assert_eq!(other.command(&["SET", "1", "in 1"]), Value::ok());
    assert_eq!(client.command(&["GET", "1"]), Value::bulk("1"));
    assert_eq!(client.command(&["SET", "cart:1", "1"]), Value::ok());
    let values = client.command(&["MGET", "user:1", "1"]);
    assert!(values.error().contains("cluster users"), "{values:?}");
    routed.servers.get_mut("users").unwrap().restart();
    eventually("it is served again", || {
        (client.command(&["SET", "user:1", "2"]) == Value::ok()).then_some(())
    });
    routed.expect_at("users", "user:1", "2");
}

#[test]
fn a_reload_deals_keys_out_anew() {
    let routed = Routed::start();
    let mut before = routed.client();
    assert_eq!(before.command(&["SET", "cart:1", "1"]), Value::ok());
    let config = config(&routed.servers, "", "").replace("prefix: 'cart:'", "prefix: 'basket:'");
    routed.proxy.write_config(&config);
    let (status, body) = routed.proxy.ask("POST", "/reload");
    assert_eq!(status, 200, "{body}");
    let mut after = routed.client();
    assert_eq!(after.command(&["GET", "cart:1"]), Value::NilBulk);
    assert_eq!(after.command(&["SET", "basket:1", "b"]), Value::ok());
    routed.expect_at("carts", "basket:1", "b");
    assert_eq!(before.command(&["GET", "cart:1"]), Value::bulk("1"));
}
