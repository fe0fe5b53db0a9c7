//! A server, a proxy in front of it, and what is asked of both.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::support::eventually;
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;
use crate::support::resp::{RedisClient, Value, encode};
use crate::support::stats::Stats;

/// A Redis whose clients share connections.
pub struct Collapsed {
    pub redis: Redis,
    pub proxy: Proxy,
}

impl Collapsed {
    pub fn start() -> Self {
        Self::with(&[], "")
    }

    /// The server has these lines in its config, the pool what stands between its braces.
    pub fn with(redis: &[&str], pool: &str) -> Self {
        let redis = Redis::with(redis);
        let proxy = Proxy::start(&config(redis.address(), pool));
        Self { redis, proxy }
    }

    pub fn address(&self) -> SocketAddr {
        self.proxy.address("redis")
    }

    /// A connection through the proxy.
    #[track_caller]
    pub fn client(&self) -> RedisClient {
        RedisClient::connect(self.address())
    }

    /// The connections that the server has, without the one that asks, by their fields.
    #[track_caller]
    pub fn at_server(&self) -> Vec<BTreeMap<String, String>> {
        at_server(&mut self.redis.client())
    }

    /// The server has so many connections, at last.
    #[track_caller]
    pub fn expect_at_server(&self, count: usize) {
        let mut direct = self.redis.client();
        eventually(&format!("{count} connections at the server"), || {
            (at_server(&mut direct).len() == count).then_some(())
        });
    }

    /// The statistics when all clients have left and nothing is under way.
    #[track_caller]
    pub fn at_rest(&self) -> Stats {
        at_rest(&self.proxy)
    }
}

/// A proxy with one worker, so that all clients meet.
pub fn config(upstream: SocketAddr, pool: &str) -> String {
    config_with(upstream, pool, "")
}

/// The same, with more in the config of the listener.
pub fn config_with(upstream: SocketAddr, pool: &str, listener: &str) -> String {
    format!(
        "workers: 1\nlisteners:\n  - name: redis\n    listen: 127.0.0.1:0\n    protocol: redis\n    redis: {{ mode: collapse }}\n    \
         cluster: redis\n{listener}clusters:\n  - name: redis\n    endpoints: [\"{upstream}\"]\n    pool: {{ {pool} }}\n"
    )
}

/// The connections of the server that this one is to, without itself.
#[track_caller]
pub fn at_server(direct: &mut RedisClient) -> Vec<BTreeMap<String, String>> {
    let me = direct.command(&["CLIENT", "ID"]).integer().to_string();
    let list = direct.command(&["CLIENT", "LIST"]).text();
    let fields = |line: &str| -> BTreeMap<String, String> {
        let pairs = line.split(' ').filter_map(|pair| pair.split_once('='));
        pairs
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect()
    };
    let all = list.lines().map(fields);
    all.filter(|client| client["id"] != me).collect()
}

/// The statistics when all clients have left and nothing is under way.
#[track_caller]
pub fn at_rest(proxy: &Proxy) -> Stats {
    eventually("all has ended and been gathered", || {
        let stats = proxy.stats();
        let open = [
            "listener.redis.downstream_cx_active",
            "redis.redis.downstream_rq_active",
            "cluster.redis.pool.active",
            "cluster.redis.pool.waiting",
        ];
        let is_at_rest = open.iter().all(|name| stats.value(name) == 0);
        (is_at_rest && is_gathered(&stats)).then_some(stats)
    })
}

/// A worker hands its histograms over later than its counters: all commands have been weighed when they have been counted.
pub fn is_gathered(stats: &Stats) -> bool {
    let commands = stats.value("redis.redis.downstream_rq_total");
    stats.count("redis.redis.request_bytes") == commands as u64
}

/// The same is said to the server and to the proxy, a line each time, and the same comes back; a last QUIT too, and then the end.
#[track_caller]
pub fn expect_alike(redis: &Redis, proxy: &Proxy, lines: &str) {
    let (mut direct, mut client) = (redis.client(), RedisClient::connect(proxy.address("redis")));
    let mut unlike = Vec::new();
    for line in lines.lines().chain(["QUIT"]) {
        let [wanted, given] = [&mut direct, &mut client].map(|each| without_id(say(each, line)));
        if wanted != given {
            unlike.push(format!("{line}\n  server {wanted:?}\n  proxy  {given:?}"));
        }
    }
    assert!(unlike.is_empty(), "{lines}\n{}", unlike.join("\n"));
    direct.expect_end();
    client.expect_end();
}

/// A reply to HELLO without the number of the connection.
pub fn without_id(said: Value) -> Value {
    match said {
        Value::Map(mut pairs) => {
            pairs.retain(|(name, _)| *name != Value::bulk("id"));
            Value::Map(pairs)
        }
        other => other,
    }
}

/// A command written as words between blanks.
pub fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

/// Sends such a command, and reads its reply.
#[track_caller]
pub fn say(client: &mut RedisClient, line: &str) -> Value {
    client.command(&words(line))
}

/// Commands, one a line, as clients send them.
pub fn commands(lines: &str) -> Vec<u8> {
    let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.flat_map(|line| encode(&words(line))).collect()
}

impl Collapsed {
    /// As [`Self::expect_at_server`], where only the one that asks may be open.
    #[track_caller]
    pub fn expect_at_server_of(&self, direct: &mut RedisClient, count: usize) {
        eventually(&format!("{count} connections at the server"), || {
            (at_server(direct).len() == count).then_some(())
        });
    }
}
