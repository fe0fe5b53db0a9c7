//! A server, a proxy in front of it, and what is asked of both.

use std::collections::BTreeMap;

use crate::support::eventually;
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;
use crate::support::resp::RedisClient;
use crate::support::stats::Stats;

/// A Redis that is tapped.
pub struct Tapped {
    pub redis: Redis,
    pub proxy: Proxy,
}

impl Tapped {
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// The server has these lines in its config.
    pub fn with(config: &[&str]) -> Self {
        let redis = Redis::with(config);
        let proxy = Proxy::tap_of("redis", redis.address());
        Self { redis, proxy }
    }

    /// A connection through the proxy.
    #[track_caller]
    pub fn client(&self) -> RedisClient {
        RedisClient::connect(self.proxy.address("redis"))
    }

    /// The same in version 3, by a HELLO that counts.
    #[track_caller]
    pub fn client_resp3(&self) -> RedisClient {
        RedisClient::connect_resp3(self.proxy.address("redis"))
    }

    /// The statistics when all connections have ended: every command counts, and all of them were followed.
    #[track_caller]
    pub fn closed(&self, commands: i64) -> Stats {
        let stats = closed(&self.proxy, commands);
        stats.expect("redis.redis.decoding_error", 0);
        stats
    }

    /// The same while they are open.
    #[track_caller]
    pub fn at_rest(&self, commands: i64) -> Stats {
        let stats = eventually("all commands have ended", || {
            let stats = self.proxy.stats();
            let ended = stats.value("redis.redis.downstream_rq_total") >= commands
                && stats.value("redis.redis.downstream_rq_active") == 0;
            (ended && is_gathered(&stats)).then_some(stats)
        });
        stats
            .expect("redis.redis.downstream_rq_total", commands)
            .expect("redis.redis.decoding_error", 0);
        stats
    }
}

/// The statistics of a proxy whose connections have ended, with so many commands counted and none under way.
#[track_caller]
pub fn closed(proxy: &Proxy, commands: i64) -> Stats {
    eventually("all connections have ended", || {
        let active = proxy.stats().value("listener.redis.downstream_cx_active");
        (active == 0).then_some(())
    });
    let stats = eventually("all has been gathered", || {
        Some(proxy.stats()).filter(is_gathered)
    });
    stats
        .expect("redis.redis.downstream_rq_total", commands)
        .expect("redis.redis.downstream_rq_active", 0);
    stats
}

/// A worker hands its histograms over later than its counters: all commands have been weighed when they have been counted.
fn is_gathered(stats: &Stats) -> bool {
    let commands = stats.value("redis.redis.downstream_rq_total");
    stats.count("redis.redis.request_bytes") == commands as u64
}

/// What is counted of each command under this name.
pub fn by_command(stats: &Stats, counter: &str) -> BTreeMap<String, i64> {
    let values = stats.values.iter().filter_map(|(name, value)| {
        let rest = name.strip_prefix("redis.redis.command.")?;
        let (command, last) = rest.rsplit_once('.')?;
        (last == counter && *value != 0).then(|| (command.to_string(), *value))
    });
    values.collect()
}

/// The name that stats have for a command of the server's: `client_setname` for `client|setname`.
pub fn label(command: &str) -> String {
    command.replace(['|', '-'], "_")
}
