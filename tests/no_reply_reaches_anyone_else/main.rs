//! No reply reaches anybody but the client that asked for it, whatever happens: many clients of a Redis whose connections
//! they share, with values of their own; pipelines that are cut in the middle, transactions, waits, messages at every
//! point; a server that is killed and started again, and connections that it cuts. Every reply is judged.
//!
//! `NARROWS_CHAOS_SEED` repeats a run (the threads' interleaving aside), `NARROWS_CHAOS_SECONDS` and
//! `NARROWS_CHAOS_CLIENTS` make it longer and larger, `NARROWS_CHAOS_DIRECT=1` leaves out the proxy: what fails then is
//! the test's own fault.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout
)]

mod ask;
mod client;
mod hostile;
mod identity;
mod leaving;
mod ledger;
mod link;
mod plain;
#[path = "../nobody_gets_anothers_data/random.rs"]
mod random;
mod relay;
mod strikes;
mod subscriptions;
#[path = "../support/mod.rs"]
mod support;
mod transactions;
mod waits;
mod weather;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use client::Client;
use ledger::{Kind, Place};
use link::USERS;
use random::Random;
use strikes::{Strikes, admin, publish};
use support::eventually;
use support::proxy::Proxy;
use support::redis::Redis;
use support::resp::{RedisClient, Value};
use weather::Weather;

/// Password of the user who may see everything.
pub const ADMIN: &str = "sees-all";

#[test]
fn every_reply_is_the_right_clients_and_every_transaction_is_whole() {
    let seed = seed();
    let duration = Duration::from_secs(setting("SECONDS").unwrap_or(9));
    let clients = setting("CLIENTS").unwrap_or(40);
    let direct = setting("DIRECT").is_some();
    // Enough that most things can be done, and so few that clients wait for each other.
    let limit = 20 + clients / 4;
    let keeps = seed.is_multiple_of(2);
    println!("NARROWS_CHAOS_SEED={seed}");

    let mut redis = start_redis(keeps);
    let server = redis.address();
    let proxy = (!direct).then(|| Proxy::start(&format!("{}workers: 2\n", config(server, limit))));
    let address = proxy
        .as_ref()
        .map_or(server, |proxy| proxy.address("cache"));
    let weather = Arc::new(Weather::new());
    let publisher = publish(server, Arc::clone(&weather));
    let running: Vec<_> = (1..=clients)
        .map(|me| {
            let mut client = Client::new(me, address, seed, Arc::clone(&weather));
            client.is_direct = direct;
            let weather = Arc::clone(&weather);
            thread::spawn(move || {
                let result = client.run();
                if result.is_err() {
                    weather.end();
                }
                result.map(|()| client)
            })
        })
        .collect();
    let mut strikes = Strikes {
        redis: &mut redis,
        proxy: proxy.as_ref(),
        weather: &weather,
        random: Random::new(seed),
        limit,
        began: Instant::now(),
        keeps,
    };
    strikes.run(duration);
    let ended = running.into_iter().map(|each| each.join().unwrap());
    let (ended, wrong): (Vec<_>, Vec<_>) = ended.partition(Result::is_ok);
    let wrong: Vec<String> = wrong.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "seed {seed}: {}", wrong.join("\n"));
    publisher.join().unwrap();
    let ended: Vec<Client> = ended.into_iter().flatten().collect();
    check_what_is_left(server, &ended, seed);
    report(&ended);
    if let Some(proxy) = &proxy {
        expect_at_rest(proxy);
    }
}

/// Chosen by the clock, unless it is given.
pub fn seed() -> u64 {
    setting("SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.unwrap().as_nanos() as u64
    })
}

/// What the environment says.
pub fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(format!("NARROWS_CHAOS_{name}")).ok()?;
    Some(value.parse().unwrap())
}

/// A server whose users see nothing of each other.
pub fn start_redis(keeps: bool) -> Redis {
    let users = USERS.map(|(user, password)| {
        let password = match password {
            "" => "nopass".to_string(),
            password => format!(">{password}"),
        };
        // A server that reads its log carries out transactions as this user.
        let keys = match user {
            "default" if keeps => "",
            user => user,
        };
        let prefix = format!("{keys}:").trim_start_matches(':').to_string();
        format!("user {user} on {password} ~{prefix}* &* +@all")
    });
    let admin = format!("user admin on >{ADMIN} ~* &* +@all");
    let mut lines: Vec<&str> = users.iter().map(String::as_str).collect();
    lines.push(&admin);
    if keeps {
        // With less, a reply may go out before what it tells has been written.
        lines.extend(["appendonly yes", "appendfsync always"]);
    }
    Redis::with(&lines)
}

/// One listener in mode collapse before this server, with so many connections at most.
pub fn config(server: SocketAddr, limit: u64) -> String {
    let long = limit / 2;
    let pool = format!("max_connections: {limit}, max_long_waits: {long}, wait_timeout: 1s");
    format!(
        "listeners:\n  - {{ name: cache, listen: 127.0.0.1:0, protocol: redis, cluster: cache, redis: {{ mode: collapse }} }}\n\
         clusters:\n  - {{ name: cache, endpoints: [\"{server}\"], pool: {{ {pool} }} }}\n"
    )
}

/// What each client was told, compared with what the server has.
fn check_what_is_left(server: SocketAddr, clients: &[Client], seed: u64) {
    let mut server = admin(server);
    let mut database = 0;
    for client in clients {
        for place in client.ledger.places() {
            if place.database != database {
                database = place.database;
                server.command(&["SELECT", &database.to_string()]);
            }
            if let Err(wrong) = check_place(&mut server, client, place) {
                panic!("seed {seed}: after all, client {}: {wrong}", client.me);
            }
        }
    }
}

fn check_place(server: &mut RedisClient, client: &Client, place: &Place) -> Result<(), String> {
    let mut get = |place: &Place| {
        let value = server.command(&["GET", &place.key]);
        plain::content_of(&value, &Value::NilBulk, place)
    };
    let content = match Kind::of(place) {
        Kind::Small | Kind::Big => get(place)?,
        Kind::Pair => {
            let [one, two] = plain::parts(place);
            let (first, second) = (get(&one)?, get(&two)?);
            if first != second {
                return Err(format!("{place:?} is half: {first:?} and {second:?}"));
            }
            first
        }
        Kind::Hash => {
            let value = server.command(&["HGET", &place.key, "one"]);
            plain::content_of(&value, &Value::NilBulk, place)?
        }
        Kind::List => {
            let value = server.command(&["LINDEX", &place.key, "0"]);
            plain::content_of(&value, &Value::NilBulk, place)?
        }
    };
    client.ledger.check(place, content)
}

/// Nothing is lent, awaited or under way any more, and nothing came that did not fit.
fn expect_at_rest(proxy: &Proxy) {
    expect_nothing_lent(proxy);
    let stats = proxy.stats();
    // Connections that end, at any point, are no error of the protocol.
    stats.expect("cluster.cache.upstream_cx_protocol_error", 0);
    stats.expect("redis.cache.decoding_error.unexpected_reply.cx_total", 0);
}

/// Nothing is lent, awaited or under way any more.
pub fn expect_nothing_lent(proxy: &Proxy) {
    const REST: [&str; 5] = [
        "cluster.cache.pool.active",
        "cluster.cache.pool.waiting",
        "cluster.cache.pool.connecting",
        "cluster.cache.pool.long_waits_active",
        "redis.cache.downstream_rq_active",
    ];
    eventually("everything lent is given back", || {
        let stats = proxy.stats();
        REST.iter().all(|name| stats.value(name) == 0).then_some(())
    });
    let log = proxy.log();
    assert!(!log.contains("panicked"), "{log}");
}

fn report(clients: &[Client]) {
    let mut done = BTreeMap::<&str, u64>::new();
    for (name, count) in clients.iter().flat_map(|client| &client.done) {
        *done.entry(name).or_default() += count;
    }
    println!("{done:?}");
    assert!(done.values().sum::<u64>() > 100, "hardly anything was done");
}
