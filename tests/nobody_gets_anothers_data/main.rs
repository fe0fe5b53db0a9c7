//! Nobody gets somebody else's data, whatever happens: many clients with documents of their own, random operations,
//! clients that leave in the middle, a server that is killed and started again; every reply is judged.
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

mod client;
mod ledger;
mod random;
#[path = "../support/mod.rs"]
mod support;
mod weather;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use bson::{Document, doc};
use client::{Client, DATABASE, THINGS};
use random::Random;
use support::collapse;
use support::commands::{Connection, batch, hello, is_ok, run};
use support::eventually;
use support::mongod::Mongod;
use support::proxy::Proxy;
use weather::Weather;

/// Upstream connections that clients share.
const LIMIT: i64 = 8;

/// A client that leaves may have its operation still running at the server, which looks at the connection when it is done.
const MOST_OVER_LIMIT: Duration = Duration::from_secs(2);

const KILLS: u32 = 3;

#[test]
fn every_reply_is_the_right_clients_and_every_acknowledged_write_is_kept() {
    let seed = setting("SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.unwrap().as_nanos() as u64
    });
    let duration = Duration::from_secs(setting("SECONDS").unwrap_or(15));
    let clients = setting("CLIENTS").unwrap_or(40) as i64;
    let direct = setting("DIRECT").is_some();
    println!("NARROWS_CHAOS_SEED={seed}");

    let mut mongod = Mongod::replica_set();
    prepare(mongod.address());
    let proxy = (!direct).then(|| start_proxy(&mongod));
    let address = match &proxy {
        Some(proxy) => proxy.address(collapse::ORDERS),
        None => mongod.address(),
    };
    let weather = Arc::new(Weather::new(direct));
    let running: Vec<_> = (1..=clients)
        .map(|number| {
            let mut client = Client::new(number, address, seed, Arc::clone(&weather));
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
    let watch = proxy
        .is_some()
        .then(|| watch_limit(mongod.address(), &weather));
    strike(&mut mongod, address, &weather, duration, seed);
    let ended: Vec<_> = running
        .into_iter()
        .map(|each| each.join().unwrap())
        .collect();
    let wrong: Vec<_> = ended
        .iter()
        .filter_map(|each| each.as_ref().err())
        .collect();
    assert!(wrong.is_empty(), "seed {seed}: {wrong:#?}");
    if let Some(watch) = watch {
        watch.join().unwrap();
    }
    let ended: Vec<Client> = ended.into_iter().flatten().collect();
    check_what_is_left(mongod.address(), &ended, seed);
    report(&ended);
    if let Some(proxy) = &proxy {
        collapse::expect_at_rest(proxy);
        let mut server = Connection::open(mongod.address()).unwrap();
        eventually("the server has no connection too many", || {
            let status = server.command("admin", &who_is_connected()).unwrap();
            (pooled(&status) <= LIMIT).then_some(())
        });
    }
}

fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(format!("NARROWS_CHAOS_{name}")).ok()?;
    Some(value.parse().unwrap())
}

fn start_proxy(mongod: &Mongod) -> Proxy {
    let pool = format!("max_connections: {LIMIT}, max_waiting: 10000, wait_timeout: 20s");
    let pins = "cursor_timeout: 5s, transaction_timeout: 5s";
    let config = collapse::config(&[mongod.address()], &pool, pins);
    Proxy::start(&format!("{config}workers: 2\n"))
}

fn prepare(mongod: SocketAddr) {
    let index = doc! {"key": {"owner": 1}, "name": "by_owner"};
    run(
        mongod,
        DATABASE,
        &doc! {"createIndexes": THINGS, "indexes": [index]},
    );
}

/// Kills the server three times in that time and starts it again, then tells all clients to end.
fn strike(
    mongod: &mut Mongod,
    address: SocketAddr,
    weather: &Weather,
    duration: Duration,
    seed: u64,
) {
    let mut random = Random::new(seed);
    for _ in 0..KILLS {
        pause(weather, duration / (KILLS + 1));
        if weather.is_over() {
            return;
        }
        weather.change();
        mongod.kill();
        thread::sleep(Duration::from_millis(random.below(1_500)));
        mongod.restart();
        eventually("the server serves again", || serves(address).then_some(()));
        // Connections that the crash has broken are found one by one.
        thread::sleep(Duration::from_secs(1));
        weather.change();
    }
    pause(weather, duration / (KILLS + 1));
    weather.end();
}

fn pause(weather: &Weather, time: Duration) {
    let end = Instant::now() + time;
    while !weather.is_over() && Instant::now() < end {
        thread::sleep(Duration::from_millis(20));
    }
}

fn serves(address: SocketAddr) -> bool {
    let write = doc! {"insert": "trials", "documents": [{"tried": 1}]};
    Connection::open(address)
        .and_then(|mut connection| {
            connection.command("admin", &hello("trial"))?;
            connection.command(DATABASE, &write)
        })
        .is_ok_and(|reply| is_ok(&reply))
}

/// Looks at the server's own count of connections all the time.
fn watch_limit(mongod: SocketAddr, weather: &Arc<Weather>) -> thread::JoinHandle<()> {
    let weather = Arc::clone(weather);
    thread::spawn(move || {
        let mut server: Option<Connection> = None;
        let mut over_since: Option<Instant> = None;
        while !weather.is_over() {
            thread::sleep(Duration::from_millis(50));
            let since = weather.now();
            let Some(open) = &mut server else {
                server = Connection::open(mongod).ok();
                continue;
            };
            let Ok(status) = open.command("admin", &who_is_connected()) else {
                server = None;
                continue;
            };
            let count = pooled(&status);
            if count <= LIMIT || !weather.was_fine(since) {
                over_since = None;
                continue;
            }
            let since = *over_since.get_or_insert_with(Instant::now);
            if since.elapsed() > MOST_OVER_LIMIT {
                weather.end();
                panic!("the server has {count} connections of the pool");
            }
        }
    })
}

/// Every connection of the server: a server of a replica set has some to itself, so that a plain count would not do.
fn who_is_connected() -> Document {
    let all =
        doc! {"$currentOp": {"allUsers": true, "idleConnections": true, "idleSessions": false}};
    let names = doc! {"$project": {"client": 1, "appName": 1}};
    doc! {"aggregate": 1, "pipeline": [all, names], "cursor": {"batchSize": 100_000}}
}

/// Those that the proxy has for its clients.
fn pooled(connected: &Document) -> i64 {
    let (operations, _) = batch(connected);
    let ours = operations.iter().filter(|each| {
        each.get_str("appName")
            .is_ok_and(|name| name == "narrows orders")
    });
    let clients: BTreeSet<_> = ours
        .filter_map(|each| each.get_str("client").ok())
        .collect();
    clients.len() as i64
}

/// What each client was told, compared with what the server has.
fn check_what_is_left(mongod: SocketAddr, clients: &[Client], seed: u64) {
    let mut server = Connection::open(mongod).unwrap();
    for client in clients {
        let mine = doc! {"owner": client.number()};
        let find = doc! {"find": THINGS, "filter": mine, "batchSize": 1_000_000};
        let (mut found, mut cursor) = batch(&server.expect_ok(DATABASE, &find));
        while cursor != 0 {
            let more = doc! {"getMore": cursor, "collection": THINGS};
            let (more, next) = batch(&server.expect_ok(DATABASE, &more));
            found.extend(more);
            cursor = next;
        }
        if let Err(wrong) = client.ledger.check_all(&found) {
            panic!("seed {seed}: after all: {wrong}");
        }
    }
}

fn report(clients: &[Client]) {
    let mut done = BTreeMap::<&str, u64>::new();
    for (name, count) in clients.iter().flat_map(|client| &client.done) {
        *done.entry(name).or_default() += count;
    }
    println!("{done:?}");
    assert!(done.values().sum::<u64>() > 100, "hardly anything was done");
}
