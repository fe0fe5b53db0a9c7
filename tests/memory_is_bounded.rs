//! What is kept in memory, and what it costs to look at it. Bytes are the same in every build; how
//! long a scrape may take is the promise of a release build, and a debug build has a looser bound.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

mod support;

use std::io::{BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use bson::doc;
use support::mongo::{Client, Template, answering};
use support::peer::{connect, scripted};
use support::proxy::{Proxy, one_listener};
use support::recorder::Recorder;
use support::redis::Redis;
use support::resp::RedisClient;
use support::stats::Stats;
use support::wire::{op_msg, read_message, request_id};

const MOST_RESIDENT: u64 = 64 << 20;
const LONGEST_SCRAPE: Duration =
    Duration::from_millis(if cfg!(debug_assertions) { 1_000 } else { 100 });

/// Call sites that are met, each with seven series, three of them histograms.
const CALL_SITES: usize = 1_500;
/// Those of them that stay in use.
const LIVE: usize = 670;
const ROUNDS: usize = 60;

#[test]
fn ten_thousand_series_with_two_thousand_live_histograms_are_small_and_quick_to_scrape() {
    // No interval ends by itself: all that is live stays so.
    let proxy = Proxy::start(&format!(
        "{}stats: {{ interval: 5m, limits: {{ call_sites: {CALL_SITES} }} }}\n",
        one_listener("mongo", answering_at_length())
    ));
    let mut client = Client::connect(proxy.address("mongo"));
    let mut template = Template::new("shop.carts", "site.n000000");
    client.finds(&mut template, 0..CALL_SITES);
    for _ in 0..ROUNDS {
        client.finds(&mut template, 0..LIVE);
    }
    // The histograms are in the worker's hands until now.
    let resident_live = proxy.resident_bytes();
    // A look waits no longer than it must for a worker that gets no core: what it missed is in the next one.
    let stats = support::eventually("all that was recorded is gathered", || {
        let stats = proxy.stats();
        (live(&stats) >= 2_000).then_some(stats)
    });
    expect_load(&stats);
    proxy.get("/stats");
    let (took, page) = fastest_scrape(&proxy);
    let resident = proxy.resident_bytes().max(resident_live);
    println!(
        "{} series: {resident} bytes resident; {} bytes scraped in {took:?}",
        stats.value("stats.series"),
        page.len()
    );
    assert!(page.contains("callsite=\"site.n001499\""));
    assert!(resident < MOST_RESIDENT, "{resident} bytes resident");
    assert!(took < LONGEST_SCRAPE, "a scrape took {took:?}");
}

#[test]
fn an_idle_connection_costs_kilobytes_and_gives_them_back() {
    expect_small("mongo", answering(), "", |address| {
        let mut client = Client::connect(address);
        client.find("shop.carts", "checkout.load_cart");
        client
    });
}

#[test]
fn an_idle_http_connection_costs_kilobytes_and_gives_them_back() {
    let server = Recorder::start();
    expect_small("http", server.address(), "", |address| {
        let mut client = connect(address);
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: a browser\r\n\r\n")
            .unwrap();
        let mut said = Vec::new();
        let mut buffer = [0; 512];
        while !said.ends_with(b"\r\n\r\nok") {
            let read = client.read(&mut buffer).unwrap();
            assert!(read > 0);
            said.extend(&buffer[..read]);
        }
        client
    });
}

#[test]
fn an_idle_redis_connection_costs_kilobytes_and_gives_them_back() {
    let redis = Redis::start();
    for mode in ["tap", "collapse"] {
        let more = format!(", redis: {{ mode: {mode} }}");
        expect_small("redis", redis.address(), &more, |address| {
            let mut client = RedisClient::connect(address);
            client.command(&["SET", "key", "value"]);
            client
        });
    }
}

/// Opens thousands of connections with a request each, twice. `more` belongs to the listener.
#[track_caller]
fn expect_small<C>(
    protocol: &str,
    server: SocketAddr,
    more: &str,
    connect: impl Fn(SocketAddr) -> C,
) {
    const CONNECTIONS: usize = 2_000;
    const MOST_EACH: u64 = 6 << 10;
    allow_descriptors(8 * CONNECTIONS);
    let proxy = Proxy::start(&format!(
        "workers: 2\nlisteners:\n  - {{ name: it, listen: 127.0.0.1:0, protocol: {protocol}, cluster: them{more} }}\n\
         clusters:\n  - {{ name: them, endpoints: ['{server}'] }}\n",
    ));
    let address = proxy.address("it");
    let connected = |count| -> Vec<C> { (0..count).map(|_| connect(address)).collect() };
    // What the first connections bring into being is not the cost of one more.
    let _early = connected(50);
    let before = proxy.resident_bytes();
    let clients = connected(CONNECTIONS);
    let each = proxy.resident_bytes().saturating_sub(before) / CONNECTIONS as u64;
    println!("{each} bytes a connection of {protocol}{more}");
    assert!(each < MOST_EACH, "{each} bytes a connection{more}");

    drop(clients);
    let active = match protocol {
        "http" => "http.it.downstream_cx_active",
        _ => "listener.it.downstream_cx_active",
    };
    support::eventually("all are closed", || {
        (proxy.stats().value(active) == 50).then_some(())
    });
    let full = proxy.resident_bytes();
    drop(connected(CONNECTIONS));
    let grown = proxy.resident_bytes().saturating_sub(full);
    println!("{grown} bytes more for as many again");
    assert!(
        grown < 1 << 20,
        "memory is not used again: {grown} bytes more"
    );
}

fn expect_load(stats: &Stats) {
    let series = stats.value("stats.series");
    assert!(series >= 10_000, "{series} series");
    let finds = CALL_SITES + ROUNDS * LIVE;
    stats.expect("mongo.mongo.total", finds as i64);
}

/// Histograms of a value that was recorded again and again.
fn live(stats: &Stats) -> usize {
    let histograms = stats.histograms.values();
    histograms
        .filter(|histogram| histogram.count > ROUNDS as u64)
        .count()
}

/// The fastest of several scrapes: what it costs when nothing else wants the core.
fn fastest_scrape(proxy: &Proxy) -> (Duration, String) {
    let scrape = |_| {
        let begun = Instant::now();
        let page = proxy.get("/stats?format=prometheus");
        (begun.elapsed(), page)
    };
    (0..5).map(scrape).min_by_key(|(took, _)| *took).unwrap()
}

/// Answers each request with a document, of sizes between 100 bytes and 20 KB as they come.
fn answering_at_length() -> SocketAddr {
    scripted(|mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut answered: usize = 0;
        while let Ok(request) = read_message(&mut reader) {
            let size = 100 + answered * 7_919 % 20_000;
            answered += 1;
            let document = doc! {"_id": 1, "padding": "x".repeat(size)};
            let cursor = doc! {"id": 0_i64, "ns": "shop.carts", "firstBatch": [document]};
            let answer = op_msg(1, request_id(&request), &doc! {"cursor": cursor, "ok": 1.0});
            if stream.write_all(&answer).is_err() {
                return;
            }
        }
    })
}

/// Lets this process and its children have so many sockets open.
fn allow_descriptors(count: usize) {
    let status = Command::new("prlimit")
        .args(["--pid", &std::process::id().to_string()])
        .arg(format!("--nofile={count}:"))
        .status()
        .unwrap();
    assert!(status.success(), "{count} open files are not allowed here");
}
