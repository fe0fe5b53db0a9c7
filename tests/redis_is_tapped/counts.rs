//! Commands, errors, types, keys, names: what is counted is what the server counts, and what the client has said.

use std::collections::BTreeMap;

use crate::script::{Script, commands, run};
use crate::support::eventually;
use crate::support::proxy::{Proxy, one_listener};
use crate::support::redis::Redis;
use crate::support::resp::{RedisClient, Value, encode};
use crate::tapped::{Tapped, by_command, closed, label};

/// A bit of everything, with no command that is refused: those the server does not count.
const EVERYTHING: &str = "
    PING
    SET user:1 a
    SET user:2 b EX 100
    GET user:1
    gEt user:3
    MSET a 1 b 2 c 3
    MGET a b c d
    INCR a
    INCRBYFLOAT a 0.5
    LPUSH l 1 2 3
    LRANGE l 0 -1
    LPOP l
    HSET h f v g w
    HGETALL h
    ZADD z 1 a 2 b
    ZRANGE z 0 -1 WITHSCORES
    SADD s a b
    SMEMBERS s
    XADD x * f v
    XLEN x
    XREAD COUNT 1 STREAMS x 0
    SETRANGE r 3 x
    PFADD p a
    EVAL return{KEYS[1],ARGV[1]} 1 a b
    EVAL return{err='MINE'} 0
    SCRIPT EXISTS x
    OBJECT ENCODING a
    CLIENT SETNAME checkout
    CLIENT GETNAME
    CLIENT NO-EVICT OFF
    CONFIG GET maxmemory
    MEMORY USAGE a
    COMMAND COUNT
    ACL WHOAMI
    SELECT 3
    SELECT 0
    ECHO x
    TYPE a
    DEL a b nothing
    INCR s
    HSET l a b
    EVALSHA aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 0
    XADD x 0 f v
    FLUSHDB";

#[test]
fn every_command_is_counted_as_the_server_counts_it() {
    for times in [1, 20] {
        let tapped = Tapped::start();
        let before = tapped.redis.calls();
        let mut client = tapped.client();
        let lines = EVERYTHING.lines().filter(|line| !line.trim().is_empty());
        let count = lines.count() * times;
        client.send_raw(&commands(EVERYTHING).repeat(times));
        let replies: Vec<Value> = (0..count).map(|_| client.reply()).collect();
        drop(client);
        let stats = tapped.closed(count as i64);
        let mut server: BTreeMap<String, i64> = BTreeMap::new();
        for (name, calls) in tapped.redis.calls() {
            let more = calls - before.get(&name).copied().unwrap_or(0);
            server.insert(label(&name), more);
        }
        // The questions about it.
        server.remove("info");
        server.retain(|_, calls| *calls > 0);
        assert_eq!(by_command(&stats, "total"), server);
        let failed = |reply: &&Value| matches!(reply, Value::Error(_));
        let errors = replies.iter().filter(failed).count() as i64;
        assert_eq!(errors, 5 * times as i64, "{replies:#?}");
        let each = times as i64;
        stats
            .expect("redis.redis.error", errors)
            .expect("redis.redis.error_prefix.WRONGTYPE.total", 2 * each)
            .expect("redis.redis.error_prefix.NOSCRIPT.total", each)
            .expect("redis.redis.error_prefix.MINE.total", each)
            .expect("redis.redis.error_prefix.ERR.total", each)
            .expect("redis.redis.command.incr.error", each)
            .expect("redis.redis.command.incr.success", each)
            .expect("redis.redis.reply.error.total", errors)
            .expect("redis.redis.without_reply", 0)
            .expect("redis.redis.pushes", 0)
            .expect("cluster.redis.upstream_rq_total", count as i64)
            .expect("cluster.redis.upstream_rq_completed", count as i64 - errors)
            .expect_count("redis.redis.command.get.latency", 2 * each as u64)
            .expect_count("redis.redis.latency", count as u64)
            .expect_count("redis.redis.upstream_latency", count as u64)
            .expect_count("redis.redis.added_latency", count as u64)
            .expect_count("redis.redis.reply_bytes", count as u64);
        expect_types(&stats, &replies);
    }
}

/// Each reply is of the type that the client has seen.
fn expect_types(stats: &crate::support::stats::Stats, replies: &[Value]) {
    let mut types: BTreeMap<&str, i64> = BTreeMap::new();
    for reply in replies {
        let kind = match reply {
            Value::Simple(_) => "simple",
            Value::Error(_) => "error",
            Value::Integer(_) => "integer",
            Value::Bulk(_) => "bulk",
            Value::NilBulk | Value::NilArray | Value::Null => "null",
            Value::Array(_) => "array",
            Value::Map(_) => "map",
            Value::Set(_) => "set",
            Value::Double(_) => "double",
            Value::Boolean(_) => "boolean",
            Value::BigNumber(_) => "big_number",
            Value::Verbatim(_) => "verbatim",
            Value::Push(_) => "push",
            Value::BulkError(_) => "bulk_error",
            Value::Attributed(_, value) => match **value {
                Value::Bulk(_) => "bulk",
                _ => panic!("{reply:?}"),
            },
        };
        *types.entry(kind).or_default() += 1;
    }
    let counted = stats.values.iter().filter_map(|(name, value)| {
        let kind = name.strip_prefix("redis.redis.reply.")?;
        Some((kind.strip_suffix(".total")?, *value))
    });
    let counted: BTreeMap<&str, i64> = counted.filter(|(_, count)| *count > 0).collect();
    assert_eq!(counted, types);
}

#[test]
fn replies_of_version_3_have_their_types() {
    let tapped = Tapped::start();
    let mut client = tapped.client();
    let kinds = [
        "string", "integer", "double", "null", "array", "set", "map", "attrib", "bignum", "true",
        "verbatim",
    ];
    client.send(&["HELLO", "3"]);
    for kind in kinds {
        client.send(&["DEBUG", "PROTOCOL", kind]);
    }
    client.send(&["GET", "none"]);
    client.send(&["LATENCY", "DOCTOR"]);
    let replies: Vec<Value> = (0..kinds.len() + 3).map(|_| client.reply()).collect();
    drop(client);
    let stats = tapped.closed(replies.len() as i64);
    expect_types(&stats, &replies);
    assert!(
        stats.value("redis.redis.reply.double.total") == 1,
        "{replies:?}"
    );
}

#[test]
fn unknown_commands_have_their_own_names() {
    let scripts = [
        (
            "NOSUCH a\nnosuch b\nOther.Cmd",
            3,
            "nosuch 2 2, other.cmd 1 1",
        ),
        (
            "CLIENT NOSUCH\nCLIENT\nCONFIG nosuch x",
            3,
            "client_nosuch 1 1, client 1 1, config_nosuch 1 1",
        ),
        // SETINFO came with 7.2.
        (
            "CLIENT SETINFO LIB-NAME redis-rs\nCLIENT SETINFO lib-ver 1",
            2,
            "client_setinfo 2 2",
        ),
        ("HELLO\nGET\nSET k\nGET a b", 4, "hello 1, get 2 2, set 1 1"),
    ];
    let scripts = scripts.map(|(says, values, counts)| Script {
        says,
        values,
        counts,
        also: match says.contains("SETINFO") {
            true => "driver.redis-rs.cx_total 1",
            false => "",
        },
    });
    run(&Redis::start(), &scripts);
}

#[test]
fn a_connection_has_the_name_that_it_took_last() {
    let tapped = Tapped::start();
    let named = |name: &str, active: i64| {
        let gauge = format!("redis.redis.app.{name}.cx_active");
        eventually(&gauge, || {
            (tapped.proxy.stats().value(&gauge) == active).then_some(())
        });
    };
    let mut client = tapped.client();
    client.command(&["PING"]);
    client.command(&["CLIENT", "SETNAME", "one"]);
    client.command(&["GET", "k"]);
    named("one", 1);
    client.command(&["HELLO", "3", "SETNAME", "two"]);
    named("one", 0);
    named("two", 1);
    client.command(&["INCR", "k", "x"]);
    let mut second = tapped.client();
    second.command(&["HELLO", "2", "AUTH", "default", "any", "SETNAME", "two"]);
    named("two", 2);
    // The name goes with the rest of what the connection was, or by itself.
    client.command(&["RESET"]);
    named("two", 1);
    client.command(&["PING"]);
    second.command(&["CLIENT", "SETNAME", ""]);
    named("two", 0);
    second.command(&["CLIENT", "SETNAME", "three"]);
    named("three", 1);
    drop((client, second));
    named("three", 0);
    tapped
        .closed(10)
        .expect("redis.redis.app.one.cx_total", 1)
        .expect("redis.redis.app.two.cx_total", 2)
        .expect("redis.redis.app.one.total", 2)
        .expect("redis.redis.app.two.total", 3)
        .expect("redis.redis.app.two.error", 1)
        .expect("redis.redis.app.three.total", 1)
        .expect_count("redis.redis.app.one.upstream_latency", 2);
}

#[test]
fn keys_are_counted_and_weighed_and_sorted_by_the_patterns_of_the_config() {
    let redis = Redis::start();
    let config = one_listener("redis", redis.address()).replace(
        "    protocol: redis\n",
        "    protocol: redis\n    redis: { mode: tap, key_patterns: [\"user:*\", \"*:cart\", \"?\"] }\n",
    );
    let proxy = Proxy::start(&config);
    let mut client = RedisClient::connect(proxy.address("redis"));
    let said = "
        SET user:1 a
        GET user:1:cart
        INCR user:1
        GET a:cart
        MGET a user:1 user:2
        DEL other
        GET bb
        PING
        EVAL return{} 2 user:3 b x
        XREAD COUNT 1 STREAMS s t 0 0
        XREADGROUP GROUP g c COUNT 1 BLOCK 1 NOACK STREAMS s >
        GET";
    client.send_raw(&commands(said));
    client.send(&["GET", &format!("user:{}", "k".repeat(995))]);
    client.send(&["SET", &"k".repeat(1_000), "v"]);
    (0..14).for_each(|_| drop(client.reply()));
    drop(client);
    let stats = closed(&proxy, 14);
    stats
        .expect("redis.redis.key_pattern.user:*.total", 5)
        .expect("redis.redis.key_pattern.user:*.error", 1)
        .expect("redis.redis.key_pattern.*:cart.total", 1)
        // `?` is nothing that the name of a statistic may have.
        .expect("redis.redis.key_pattern._.total", 2)
        .expect("redis.redis.key_pattern._.error", 0)
        .expect(
            "redis.redis.keys",
            1 + 1 + 1 + 1 + 3 + 1 + 1 + 2 + 2 + 1 + 1 + 1,
        )
        // The key of XREADGROUP is its eleventh argument, of which nothing is kept.
        .expect_count("redis.redis.key_bytes", 11)
        .expect_count("redis.redis.key_pattern.user:*.upstream_latency", 5)
        .expect_count("redis.redis.key_pattern.user:*.request_bytes", 5)
        .expect("redis.redis.decoding_error", 0);
    assert_eq!(stats.histogram("redis.redis.key_bytes").at(0.0), 1.0);
    assert!(stats.histogram("redis.redis.key_bytes").at(100.0) >= 995.0);
}

#[test]
fn sizes_are_those_on_the_wire() {
    let tapped = Tapped::start();
    let mut client = tapped.client();
    let value = "v".repeat(1_000_000);
    let set = encode(&["SET", "k", &value]);
    client.send_raw(&set);
    client.send_raw(b"GET k\r\n");
    assert_eq!(client.reply(), Value::ok());
    assert_eq!(client.reply(), Value::bulk(&value));
    client.send(&["SUBSCRIBE", "aa", "bb"]);
    (0..2).for_each(|_| drop(client.next()));
    drop(client);
    let stats = tapped.closed(3);
    let close_to = |name: &str, wanted: usize| {
        let seen = stats.histogram(&format!("redis.redis.command.{name}")).sum;
        let wanted = wanted as f64;
        assert!(
            (seen - wanted).abs() <= wanted * 0.01,
            "{name}: {seen}, not {wanted}"
        );
    };
    close_to("set.request_bytes", set.len());
    close_to("set.reply_bytes", b"+OK\r\n".len());
    close_to("get.request_bytes", b"GET k\r\n".len());
    close_to("get.reply_bytes", b"$1000000\r\n".len() + 1_000_000 + 2);
    let one = b"*3\r\n$9\r\nsubscribe\r\n$2\r\naa\r\n:1\r\n".len();
    close_to("subscribe.reply_bytes", 2 * one);
}

#[test]
fn inline_commands_are_commands() {
    let tapped = Tapped::start();
    let mut client = tapped.client();
    let said = b"PING\r\n  \r\n\r\nSET \"a key\" 'it\\'s'\nget \"a\\x20key\"\r\n\"multi\"\nECHO 'a b'\nEXEC\n*0\r\n*-1\r\nCLIENT SETNAME me\nQUIT\n";
    client.send_raw(said);
    let replies: Vec<Value> = (0..8).map(|_| client.reply()).collect();
    assert_eq!(replies[2], Value::bulk("it's"));
    assert_eq!(replies[5], Value::bulks(&["a b"]));
    client.expect_end();
    drop(client);
    tapped
        .closed(8)
        .expect("redis.redis.command.get.success", 1)
        .expect("redis.redis.command.multi.success", 1)
        .expect("redis.redis.command.exec.success", 1)
        .expect("redis.redis.app.me.cx_total", 1)
        .expect("redis.redis.error", 0);
}

#[test]
fn ten_thousand_commands_may_be_sent_ahead() {
    const COMMANDS: usize = 10_000;
    let tapped = Tapped::start();
    let client = tapped.client();
    let mut sender = RedisClient::over(client.stream().try_clone().unwrap());
    let sent = std::thread::spawn(move || {
        for number in 0..COMMANDS {
            match number % 10 {
                0 => sender.send(&["LPUSH", "string", "x"]),
                1 => sender.send(&["SET", "string", &"x".repeat(number % 700)]),
                _ => sender.send(&["GET", "string"]),
            }
        }
    });
    let mut client = client;
    let failed = (0..COMMANDS).filter(|_| matches!(client.reply(), Value::Error(_)));
    let failed = failed.count() as i64;
    sent.join().unwrap();
    drop(client);
    let count = COMMANDS as i64;
    tapped
        .closed(count)
        .expect("redis.redis.command.lpush.total", count / 10)
        .expect("redis.redis.command.lpush.error", failed)
        .expect("redis.redis.error", failed)
        .expect("redis.redis.command.get.success", count / 10 * 8)
        .expect_count("redis.redis.latency", COMMANDS as u64);
    assert!(failed >= count / 10 - 1);
}

/// How many commands are under way: all of them when they come in one piece, and one where each waits for the one before.
#[test]
fn the_depth_of_a_pipeline_is_seen() {
    let tapped = Tapped::start();
    let mut client = tapped.client();
    for _ in 0..5 {
        client.command(&["PING"]);
    }
    tapped.at_rest(5);
    client.send_raw(&encode(&["PING"]).repeat(50));
    (0..50).for_each(|_| drop(client.reply()));
    drop(client);
    let stats = tapped.closed(55);
    let depth = stats.histogram("redis.redis.pipeline_depth");
    assert_eq!(depth.at(0.0), 1.0, "{depth:?}");
    assert!((49.0..=51.0).contains(&depth.at(100.0)), "{depth:?}");
    assert_eq!(depth.count, 6, "{depth:?}");
}
