//! Several servers, each with a share of the keys, as twemproxy deals them out: what the one has written the other finds.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use support::proxy::Proxy;
use support::redis::Redis;
use support::resp::{RedisClient, Value, encode};
use support::{eventually, free_port, tool};
use tempfile::TempDir;

const KEYS: usize = 2000;

/// The number comes first: of keys that differ in their last bytes alone, this hash makes neighbours.
fn key(number: usize) -> String {
    format!("{number}:{{user}}")
}

fn start(servers: &[Redis]) -> (Proxy, SocketAddr) {
    start_with(servers, "")
}

fn start_with(servers: &[Redis], more: &str) -> (Proxy, SocketAddr) {
    let endpoints: Vec<_> = servers
        .iter()
        .map(|server| server.address().to_string())
        .collect();
    let proxy = Proxy::start(&format!(
        "{more}listeners:\n  - name: redis\n    listen: 127.0.0.1:0\n    protocol: redis\n    cluster: redis\n    \
         redis: {{ mode: collapse }}\nclusters:\n  - name: redis\n    endpoints: [{}]\n    redis: {{ topology: ketama }}\n",
        endpoints.join(", ")
    ));
    let address = proxy.address("redis");
    (proxy, address)
}

/// A running twemproxy, ended with the test.
struct Twemproxy {
    child: Child,
    address: SocketAddr,
    _directory: TempDir,
}

impl Twemproxy {
    fn start(servers: &[Redis]) -> Self {
        let directory = TempDir::new().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let path = directory.path().join("config");
        let mut config = std::fs::File::create(&path).unwrap();
        writeln!(config, "all:\n  listen: {address}\n  hash: fnv1a_64\n  distribution: ketama\n  redis: true\n  servers:").unwrap();
        for server in servers {
            writeln!(config, "   - {}:1", server.address()).unwrap();
        }
        let child = Command::new(tool("nutcracker"))
            .arg("-c")
            .arg(&path)
            .args(["-s", &free_port().to_string(), "-a", "127.0.0.1"])
            .arg("-o")
            .arg(directory.path().join("log"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("twemproxy listens", || {
            std::net::TcpStream::connect(address).ok()
        });
        Self {
            child,
            address,
            _directory: directory,
        }
    }
}

impl Drop for Twemproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn twemproxy_finds_what_was_written_here_and_the_other_way_round() {
    let servers = [
        Redis::start(),
        Redis::start(),
        Redis::start(),
        Redis::start(),
    ];
    let twemproxy = Twemproxy::start(&servers);
    let (_proxy, address) = start(&servers);
    for (writes, reads) in [(address, twemproxy.address), (twemproxy.address, address)] {
        let (mut writer, mut reader) = (RedisClient::connect(writes), RedisClient::connect(reads));
        for number in 0..KEYS {
            let value = format!("{writes} {number}");
            assert_eq!(writer.command(&["SET", &key(number), &value]), Value::ok());
            assert_eq!(reader.command(&["GET", &key(number)]), Value::bulk(&value));
        }
    }
    for server in &servers {
        let share = server.command(&["DBSIZE"]).integer();
        assert!(share > KEYS as i64 / 16, "{share}");
    }
}

#[test]
fn commands_of_several_keys_are_cut_or_refused() {
    let servers = [Redis::start(), Redis::start(), Redis::start()];
    let (proxy, address) = start(&servers);
    let mut client = RedisClient::connect(address);
    let keys: Vec<_> = (0..100).map(key).collect();
    let with = |name: &str| {
        let mut command = vec![name.to_string()];
        command.extend_from_slice(&keys);
        command
    };
    let mut set = vec!["MSET".to_string()];
    set.extend(
        keys.iter()
            .flat_map(|key| [key.clone(), format!("of {key}")]),
    );
    let mut pipeline = encode(&set);
    pipeline.extend(encode(&with("MGET")));
    pipeline.extend(encode(&with("DEL")));
    client.send_raw(&pipeline);
    assert_eq!(client.reply(), Value::ok());
    let values = keys.iter().map(|key| Value::bulk(format!("of {key}")));
    assert_eq!(client.reply(), Value::Array(values.collect()));
    assert_eq!(client.reply(), Value::Integer(100));
    // No server would refuse it: each would take the keys of others for missing.
    let crossed = client.command(&with("SUNION"));
    assert_eq!(
        crossed.error(),
        "CROSSSLOT Keys in request don't hash to the same slot"
    );
    let crossed = client.command(&["EVAL", "return 1", "2", &keys[0], &keys[1]]);
    let same_server = crossed == Value::Integer(1);
    assert!(same_server || crossed.error().starts_with("CROSSSLOT"));
    client.send(&["RPUSH", "list", "a"]);
    assert_eq!(client.reply(), Value::Integer(1));
    assert_eq!(
        client.command(&["BLPOP", "list", "1"]),
        Value::bulks(&["list", "a"])
    );
    let mut waits = with("BLPOP");
    waits.push("1".to_string());
    assert!(client.command(&waits).error().starts_with("CROSSSLOT"));
    // What would follow must not be done by itself.
    let refused = client.command(&["MULTI"]);
    assert!(
        refused
            .error()
            .starts_with("ERR narrows: multi is for keys of one server"),
        "{refused:?}"
    );
    client.expect_end();
    proxy.stats().expect("redis.redis.downstream_rq_active", 0);
}

/// Larger than what is held of a request of one key, which streams.
#[test]
fn large_requests_of_several_keys_are_cut_too() {
    let servers = [Redis::start(), Redis::start(), Redis::start()];
    let (proxy, address) = start(&servers);
    let mut client = RedisClient::connect(address);
    let keys: Vec<_> = (0..20).map(key).collect();
    let value = |key: &str| key.repeat(10_000);
    let mut set = vec!["MSET".to_string()];
    set.extend(keys.iter().flat_map(|key| [key.clone(), value(key)]));
    client.send_raw(&encode(&set));
    assert_eq!(client.reply(), Value::ok());
    for key in &keys {
        assert_eq!(client.command(&["GET", key]), Value::bulk(value(key)));
    }
    // Small keys, and many of them.
    let names = (0..20_000).map(key);
    let command: Vec<_> = ["DEL".to_string()].into_iter().chain(names).collect();
    assert_eq!(client.command(&command), Value::Integer(20));
    let union: Vec<_> = ["SUNION".to_string()]
        .into_iter()
        .chain((0..20_000).map(key))
        .collect();
    assert!(client.command(&union).error().starts_with("CROSSSLOT"));
    drop(client);
    // There is an end to it: nothing of it may be done then.
    let mut client = RedisClient::connect(address);
    // No more than it takes, as what is not read when a connection is closed resets it.
    let huge = "x".repeat(64 << 20);
    client.send_raw(b"*5\r\n$4\r\nMSET\r\n$1\r\na\r\n$68157440\r\n");
    client.send_raw(huge.as_bytes());
    let refused = client.reply();
    assert!(
        refused.error().contains("may have 67108864 bytes"),
        "{refused:?}"
    );
    client.expect_end();
    let mut client = RedisClient::connect(address);
    assert_eq!(client.command(&["GET", "a"]), Value::NilBulk);
    drop(client);
    eventually("nothing is under way", || {
        (proxy.stats().value("redis.redis.downstream_rq_active") == 0).then_some(())
    });
}

/// Clients that begin large requests and do not end them hold neither the memory nor the patience of the proxy.
#[test]
fn large_requests_that_do_not_end_are_bounded_together() {
    const CLIENTS: usize = 7;
    let servers = [Redis::start(), Redis::start()];
    let (proxy, address) = start_with(&servers, "workers: 1\n");
    let part = "x".repeat(60 << 20);
    let mut refused = 0;
    let mut held = Vec::new();
    for number in 0..CLIENTS {
        let mut client = RedisClient::connect(address);
        let begin = format!("*5\r\n$4\r\nMSET\r\n$1\r\n{number}\r\n$999999999\r\n");
        client.send_raw(begin.as_bytes());
        // The proxy may close it meanwhile.
        let sent = client.stream().write_all(part.as_bytes());
        match sent {
            Ok(()) => held.push(client),
            Err(_) => refused += 1,
        }
    }
    assert!(refused >= 1 && held.len() >= 3, "{refused} refused");
    let resident = proxy.resident_bytes();
    assert!(resident < 450 << 20, "{resident} bytes");
    let mut other = RedisClient::connect(address);
    assert_eq!(other.command(&["MSET", "a", "1", "b", "2"]), Value::ok());
    eventually("all that does not go on is closed", || {
        let stats = proxy.stats();
        (stats.value("listener.redis.downstream_cx_active") == 1).then_some(())
    });
    assert_eq!(other.command(&["EXISTS", "0", "1", "2"]), Value::Integer(0));
    drop(held);
}

#[test]
fn nothing_goes_along_with_what_is_in_front_of_it() {
    let servers = [Redis::start(), Redis::start(), Redis::start()];
    let (_proxy, address) = start(&servers);
    let mut client = RedisClient::connect(address);
    let large = "x".repeat(300_000);
    let mut requests = encode(&["SET", &key(0), &large]);
    requests.extend((1..50).flat_map(|number| encode(&["SET", &key(number), &number.to_string()])));
    requests.extend(encode(&["BLPOP", "list", "0.05"]));
    requests
        .extend((50..99).flat_map(|number| encode(&["SET", &key(number), &number.to_string()])));
    client.send_raw(&requests);
    (0..50).for_each(|_| assert_eq!(client.reply(), Value::ok()));
    assert_eq!(client.reply(), Value::NilArray);
    (50..99).for_each(|_| assert_eq!(client.reply(), Value::ok()));
    // What a server refuses leaves nothing behind.
    for refused in [
        &["SELECT", "x"][..],
        &["SELECT"],
        &["AUTH"],
        &["SUBSCRIBE"],
        &["MONITOR", "x"],
    ] {
        let mut requests = encode(refused);
        requests.extend(encode(&["GET", &key(1)]));
        client.send_raw(&requests);
        assert!(matches!(client.reply(), Value::Error(_)), "{refused:?}");
        assert_eq!(client.reply(), Value::bulk("1"), "behind {refused:?}");
    }
    // Nobody knows what comes behind a request that does not end as it should.
    let mut torn = RedisClient::connect(address);
    let begin = format!(
        "*3\r\n$3\r\nSET\r\n$4\r\ntorn\r\n$100000\r\n{}xx",
        "x".repeat(100_000)
    );
    let mut requests = begin.into_bytes();
    requests.extend((0..20).flat_map(|number| encode(&["SET", &format!("behind {number}"), "1"])));
    torn.send_raw(&requests);
    while torn.try_reply().is_ok() {}
    let behind = servers
        .iter()
        .map(|server| server.cli(&["--scan", "--pattern", "behind*"]));
    assert_eq!(behind.collect::<String>(), "");
    // Nor is it lost when its client has said all that it has to say.
    let mut last = RedisClient::connect(address);
    let mut requests = encode(&["SET", &key(0), &large]);
    requests.extend(encode(&["GET", &key(1)]));
    requests.extend(encode(&["GET", &key(2)]));
    last.send_raw(&requests);
    last.finish();
    assert_eq!(last.reply(), Value::ok());
    assert_eq!(last.reply(), Value::bulk("1"));
    assert_eq!(last.reply(), Value::bulk("2"));
    last.expect_end();
    let mut other = RedisClient::connect(address);
    for number in 1..99 {
        assert_eq!(
            other.command(&["GET", &key(number)]),
            Value::bulk(number.to_string())
        );
    }
    assert!(
        client
            .command(&["CLIENT", "ID"])
            .error()
            .contains("is for one server")
    );
    assert!(
        client
            .command(&["JSON.GET", "a"])
            .error()
            .contains("which arguments of this command are keys")
    );
    client.send_raw(format!("GET {}\r\n", "k".repeat(200)).as_bytes());
    assert!(
        client
            .reply()
            .error()
            .contains("which arguments of this command are keys")
    );
}

#[test]
fn whoever_has_not_said_who_it_is_is_the_user_of_the_config() {
    let redis = Redis::with(&["requirepass other", "user narrows on >pl4nted ~* &* +@all"]);
    let directory = TempDir::new().unwrap();
    let password = directory.path().join("password");
    std::fs::write(&password, "pl4nted\n").unwrap();
    let proxy = Proxy::start(&format!(
        "listeners:\n  - name: redis\n    listen: 127.0.0.1:0\n    protocol: redis\n    cluster: redis\n    \
         redis: {{ mode: collapse }}\nclusters:\n  - name: redis\n    endpoints: [{}]\n    \
         redis: {{ username: narrows, password_file: {} }}\n",
        redis.address(),
        password.display()
    ));
    let mut client = RedisClient::connect(proxy.address("redis"));
    assert_eq!(client.command(&["ACL", "WHOAMI"]), Value::bulk("narrows"));
    assert_eq!(client.command(&["AUTH", "other"]), Value::ok());
    assert_eq!(client.command(&["ACL", "WHOAMI"]), Value::bulk("default"));
    let mut client = RedisClient::connect_resp3(proxy.address("redis"));
    assert_eq!(client.command(&["ACL", "WHOAMI"]), Value::bulk("narrows"));
    let config = proxy.get("/config");
    assert!(
        config.contains("narrows") && !config.contains("pl4nted"),
        "{config}"
    );
}
