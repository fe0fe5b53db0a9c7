//! Conversations written down: what a client says, how many values come back, and how each command is to be counted.

use std::collections::BTreeMap;
use std::io::Write;

use crate::support::proxy::Proxy;
use crate::support::redis::Redis;
use crate::support::resp::{RedisClient, Value, encode};
use crate::support::stats::Stats;
use crate::tapped::{by_command, closed};

/// What one client says, and what comes of it.
pub struct Script {
    /// One command a line, its words between blanks.
    pub says: &'static str,
    /// Values that come back, pushes among them; then the connection ends.
    pub values: usize,
    /// `ping 2, get 1 1`: how often each command counts, and how often as failed.
    pub counts: &'static str,
    /// Further values of the listener's: `pushes 2`.
    pub also: &'static str,
}

/// Runs each through a proxy of its own: all in one piece, and a byte at a time.
#[track_caller]
pub fn run(redis: &Redis, scripts: &[Script]) {
    for script in scripts {
        for piece in [usize::MAX, 1] {
            println!("{:?} in pieces of {piece}", script.says);
            let proxy = Proxy::tap_of("redis", redis.address());
            let values = said(&proxy, script.says, piece, script.values);
            let counts = Counts::of(script.counts);
            let stats = closed(&proxy, counts.totals.values().sum());
            let context = format!("{}\nwas answered with {values:#?}", script.says);
            assert_eq!(by_command(&stats, "total"), counts.totals, "{context}");
            assert_eq!(by_command(&stats, "error"), counts.errors, "{context}");
            stats.expect("redis.redis.decoding_error", 0);
            stats.expect("redis.redis.error", counts.errors.values().sum());
            expect_also(&stats, script.also);
        }
    }
}

/// Runs what can't be followed: its bytes pass, and it is counted why.
#[track_caller]
pub fn run_blind(redis: &Redis, scripts: &[(&str, usize, &str)]) {
    for (says, values, reason) in scripts {
        println!("{says:?}");
        let proxy = Proxy::tap_of("redis", redis.address());
        said(&proxy, says, usize::MAX, *values);
        expect_blind(&proxy, reason);
        // No error was taken for the reply to what had none.
        proxy.stats().expect("redis.redis.error", 0);
    }
}

/// One connection was given up, for this reason, and all have ended.
#[track_caller]
pub fn expect_blind(proxy: &Proxy, reason: &str) {
    crate::support::eventually("the connection has ended", || {
        let active = proxy.stats().value("listener.redis.downstream_cx_active");
        (active == 0).then_some(())
    });
    let reason = format!("redis.redis.decoding_error.{reason}.cx_total");
    proxy
        .stats()
        .expect(&reason, 1)
        .expect("redis.redis.decoding_error", 1)
        .expect("redis.redis.downstream_rq_active", 0);
}

/// Says all of it, and reads so many values and then the end.
#[track_caller]
fn said(proxy: &Proxy, says: &str, piece: usize, values: usize) -> Vec<Value> {
    let mut client = RedisClient::connect(proxy.address("redis"));
    let bytes = commands(says);
    for piece in bytes.chunks(piece.min(bytes.len())) {
        // The server may have closed, as some scripts make it.
        if client.stream().write_all(piece).is_err() {
            break;
        }
    }
    let values = (0..values).map(|_| client.next()).collect();
    let _ = client.stream().shutdown(std::net::Shutdown::Write);
    client.expect_end();
    values
}

/// Commands, one a line, as clients send them.
pub fn commands(says: &str) -> Vec<u8> {
    let lines = says.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .flat_map(|line| encode(&line.split(' ').collect::<Vec<_>>()))
        .collect()
}

#[track_caller]
pub fn expect_also(stats: &Stats, also: &str) {
    for (name, value) in pairs(also) {
        stats.expect(&format!("redis.redis.{name}"), value);
    }
}

struct Counts {
    totals: BTreeMap<String, i64>,
    errors: BTreeMap<String, i64>,
}

impl Counts {
    fn of(text: &str) -> Self {
        let mut totals = BTreeMap::new();
        let mut errors = BTreeMap::new();
        for part in text.split(", ") {
            let words: Vec<&str> = part.split(' ').collect();
            totals.insert(words[0].to_string(), words[1].parse().unwrap());
            if let Some(failed) = words.get(2) {
                errors.insert(words[0].to_string(), failed.parse().unwrap());
            }
        }
        Self { totals, errors }
    }
}

/// `name value, name value`.
fn pairs(text: &str) -> impl Iterator<Item = (&str, i64)> {
    let parts = text.split(", ").filter(|part| !part.is_empty());
    parts.map(|part| {
        let (name, value) = part.split_once(' ').unwrap();
        (name, value.parse().unwrap())
    })
}
