//! What was sent is what is counted, and how long it took, wherever it went.

use std::net::UdpSocket;
use std::time::Duration;

use crate::collapsed::{Collapsed, commands, config, say};
use crate::support::eventually;
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;
use crate::support::resp::Value;
use crate::support::stats::Stats;

#[test]
fn every_command_is_counted_once_with_its_time() {
    let collapsed = Collapsed::start();
    let mut clients: Vec<_> = (0..5).map(|_| collapsed.client()).collect();
    let lines = "CLIENT SETNAME shop\nSET k x\nGET k\nGET k\nLPUSH k x\nNONSENSE\nCLIENT GETNAME\nAUTH x\nSELECT 1\nGET k\n\
                 MULTI\nGET k\nINCR n\nEXEC\nBLPOP none 0.2\nGET k";
    let count = lines.lines().count();
    for client in &mut clients {
        client.send_raw(&commands(lines));
    }
    for client in &mut clients {
        (0..count).for_each(|_| drop(client.reply()));
        say(client, "DEBUG SLEEP 0.05");
    }
    drop(clients);
    let (count, stats) = (count + 1, collapsed.at_rest());
    for (command, total, errors) in [
        ("client_setname", 5, 0),
        ("set", 5, 0),
        ("get", 25, 0),
        ("lpush", 5, 5),
        ("nonsense", 5, 5),
        ("multi", 5, 0),
        ("incr", 5, 0),
        ("exec", 5, 0),
        ("select", 5, 0),
        ("client_getname", 5, 0),
        ("auth", 5, 5),
        ("debug", 5, 0),
    ] {
        let of = |name: &str| format!("redis.redis.command.{command}.{name}");
        stats
            .expect(&of("total"), total)
            .expect(&of("error"), errors);
        stats.expect_count(&of("latency"), total as u64);
    }
    // What waited for something to happen is no time of the server's.
    stats
        .expect("redis.redis.command.blpop.total", 5)
        .expect("redis.redis.blocked", 5)
        .expect_count("redis.redis.command.blpop.latency", 0)
        .expect_count("redis.redis.blocked_time", 5)
        .expect("redis.redis.downstream_rq_total", 5 * count as i64)
        .expect("redis.redis.error", 15)
        .expect("redis.redis.error_prefix.WRONGTYPE.total", 5)
        .expect("redis.redis.app.shop.cx_total", 5)
        .expect("redis.redis.app.shop.cx_active", 0)
        .expect("redis.redis.decoding_error", 0);
    let shop = stats.value("redis.redis.app.shop.total");
    assert!(shop >= 5 * (count as i64 - 1), "{shop}");
    let slept = stats.histogram("redis.redis.command.debug.upstream_latency");
    assert!(slept.at(0.0) >= 49_000.0, "microseconds: {slept:?}");
    let waited = stats.histogram("redis.redis.blocked_time");
    assert!(waited.at(0.0) >= 190_000.0, "{waited:?}");
    let depth = stats.histogram("redis.redis.pipeline_depth");
    assert!(depth.count >= 5, "{depth:?}");
    // The page that the README names.
    let page = collapsed
        .proxy
        .get("/stats?format=json&filter=redis.*latency");
    let page = Stats::parse(&page);
    page.expect_count("redis.redis.latency", 5 * (count as u64 - 1));
    page.expect_count("redis.redis.command.get.latency", 25);
}

/// On a connection that is shared, a slow server is seen as one, and what waits behind in the proxy as well.
#[test]
fn the_time_on_a_shared_connection_is_the_servers() {
    let collapsed = Collapsed::start();
    let (mut client, mut other) = (collapsed.client(), collapsed.client());
    say(&mut client, "PING");
    collapsed.redis.command(&["CLIENT", "PAUSE", "200"]);
    client.send(&["GET", "k"]);
    other.send(&["STRLEN", "k"]);
    assert_eq!(client.reply(), Value::NilBulk);
    assert_eq!(other.reply(), Value::Integer(0));
    drop((client, other));
    let stats = collapsed.at_rest();
    for command in ["get", "strlen"] {
        let of = |name: &str| format!("redis.redis.command.{command}.{name}");
        for name in ["latency", "upstream_latency"] {
            let time = stats.histogram(&of(name));
            assert!(
                (100_000.0..10_000_000.0).contains(&time.at(0.0)),
                "{time:?}"
            );
        }
        let added = stats.histogram(&of("added_latency"));
        assert!(added.at(100.0) < 100_000.0, "{added:?}");
    }
}

/// A request that comes in two parts began with the first; the one behind it did not.
#[test]
fn a_request_begins_with_its_own_first_byte() {
    let collapsed = Collapsed::start();
    let mut client = collapsed.client();
    client.send_raw(b"*1\r\n$4\r\nPI");
    eventually("it is there", || {
        let stats = collapsed.proxy.stats();
        (stats.value("listener.redis.downstream_cx_active") == 1).then_some(())
    });
    std::thread::sleep(Duration::from_millis(300));
    client.send_raw(b"NG\r\nGET k\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n1\r\n");
    (0..3).for_each(|_| drop(client.reply()));
    drop(client);
    let stats = collapsed.at_rest();
    let ping = stats.histogram("redis.redis.command.ping.latency");
    assert!(ping.at(0.0) >= 290_000.0, "{ping:?}");
    for command in ["get", "select"] {
        let time = stats.histogram(&format!("redis.redis.command.{command}.latency"));
        assert!(time.at(100.0) < 250_000.0, "{command}: {time:?}");
    }
}

#[test]
fn statsd_and_prometheus_have_it_too() {
    let redis = Redis::start();
    let daemon = UdpSocket::bind("127.0.0.1:0").unwrap();
    daemon
        .set_read_timeout(Some(crate::support::PATIENCE))
        .unwrap();
    let more = format!(
        "stats: {{ interval: 100ms, statsd: {{ address: \"{}\" }} }}\n",
        daemon.local_addr().unwrap()
    );
    let proxy = Proxy::start(&(config(redis.address(), "") + &more));
    let mut client = crate::support::resp::RedisClient::connect(proxy.address("redis"));
    say(&mut client, "GET k");
    let (mut told, mut buffer) = (String::new(), vec![0; 1 << 16]);
    while !told.contains("redis.redis.command.get.total:1|c") {
        let length = daemon.recv(&mut buffer).unwrap();
        told += std::str::from_utf8(&buffer[..length]).unwrap();
    }
    let page = proxy.get("/stats?format=prometheus");
    assert!(page.contains("narrows_redis_command_total{"), "{page}");
}

const SECRETS: [&str; 4] = [
    "pl4nted-passw0rd-0f-anna",
    "pl4nted-wr0ng-passw0rd",
    "pl4nted-value-4111-1111",
    "pl4nted-key-0f-somebody",
];

/// No password, no key and no value is in a log line, a stat or on a page.
#[test]
fn secrets_are_told_nowhere() {
    let [password, wrong, value, key] = SECRETS;
    let user = format!("user anna on >{password} ~* &* +@all");
    let redis = Redis::with(&[&user]);
    let proxy = Proxy::start(&(config(redis.address(), "") + "log: { level: trace }\n"));
    let mut client = crate::support::resp::RedisClient::connect(proxy.address("redis"));
    for line in [
        format!("AUTH anna {wrong}"),
        format!("AUTH {wrong}"),
        format!("HELLO 3 AUTH anna {wrong}"),
        format!("AUTH anna {password}"),
        format!("HELLO 3 AUTH anna {password} SETNAME shop"),
        format!("SET {key} {value}"),
        format!("LPUSH {key} {value}"),
        format!("NONSENSE {key} {value}"),
        "MULTI".to_string(),
        format!("GET {key}"),
        "EXEC".to_string(),
        format!("BLPOP {key} 0"),
        format!("SUBSCRIBE {key}"),
        format!("AUTH anna {wrong}"),
        format!("SELECT {value}"),
    ] {
        client.send_raw(&commands(&line));
        client.next();
    }
    // The password is taken away: the pool can open no more as this user.
    redis.command(&["ACL", "SETUSER", "anna", "resetpass", ">other"]);
    redis.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    redis.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    let mut late = crate::support::resp::RedisClient::connect(proxy.address("redis"));
    late.send_raw(format!("GET \"{value}\r\n").as_bytes());
    assert!(!late.reply().error().contains(value));
    assert_eq!(proxy.ask("POST", "/reload").0, 200);
    proxy.expect_logged("config reloaded");
    let pages = [
        "/stats",
        "/stats?format=json",
        "/stats?format=prometheus",
        "/metrics",
        "/config",
        "/clusters",
        "/clusters?format=json",
        "/listeners",
    ];
    let mut told: Vec<_> = pages.iter().map(|page| proxy.get(page)).collect();
    assert!(told[0].contains("redis.redis.app.shop"), "it was seen");
    told.push(proxy.log());
    for text in told {
        for secret in SECRETS {
            assert!(!text.contains(secret), "{secret} is told:\n{text}");
        }
    }
}
