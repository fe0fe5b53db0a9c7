//! However many names clients invent: series stop at the limit, memory stays flat, totals stay exact.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use bson::doc;
use support::mongo::{Client, Template, answering};
use support::proxy::{Proxy, one_listener};
use support::stats::Stats;

const LIMIT: usize = 100;

/// A worker hands a connection over when it is two ahead: of four, each of two workers has one.
const CONNECTIONS: usize = 4;

#[test]
fn a_million_collections_are_a_hundred_and_the_rest() {
    const NAMES: usize = 1_000_000;
    let proxy = limited("collections");
    let send = |numbers: std::ops::Range<usize>| {
        both_workers(&proxy, numbers, || Template::new("shop.c0000000", ""));
        proxy.stats()
    };
    let half = send(0..NAMES / 2);
    let resident_at_half = proxy.resident_bytes();
    let all = send(NAMES / 2..NAMES);
    let grown = proxy.resident_bytes().saturating_sub(resident_at_half);
    assert!(grown < 2 << 20, "half a million names cost {grown} bytes");

    assert_eq!(named(&all, "mongo.mongo.collection.shop.c"), LIMIT);
    assert_eq!(all.value("stats.series"), half.value("stats.series"));
    assert!(all.value("stats.folded.collections.total") > 0);
    expect_total(&all, NAMES);
    all.expect(
        "mongo.mongo.collection._other.query.total",
        (NAMES - LIMIT) as i64,
    )
    .expect_count(
        "mongo.mongo.collection._other.query.reply_time_ms",
        (NAMES - LIMIT) as u64,
    );
}

#[test]
fn call_sites_beyond_the_limit_are_one_in_each_collection() {
    const NAMES: usize = 100_000;
    let proxy = limited("call_sites");
    let send = |numbers: std::ops::Range<usize>| {
        both_workers(&proxy, numbers, || {
            Template::new("shop.carts", "site.n000000")
        });
        proxy.stats()
    };
    let half = send(0..NAMES / 2);
    let resident_at_half = proxy.resident_bytes();
    let all = send(NAMES / 2..NAMES);
    let grown = proxy.resident_bytes().saturating_sub(resident_at_half);
    assert!(grown < 2 << 20, "{NAMES} call sites cost {grown} bytes");

    let sites = "mongo.mongo.collection.shop.carts.callsite.";
    assert_eq!(named(&all, &format!("{sites}site.n")), LIMIT);
    assert_eq!(all.value("stats.series"), half.value("stats.series"));
    assert!(all.value("stats.folded.call_sites.total") > 0);
    expect_total(&all, NAMES);
    all.expect(
        "mongo.mongo.collection.shop.carts.query.total",
        NAMES as i64,
    )
    .expect(
        &format!("{sites}_other.query.total"),
        (NAMES - LIMIT) as i64,
    );
}

#[test]
fn applications_beyond_the_limit_are_one() {
    const NAMES: usize = 1_000;
    let proxy = limited("applications");
    let address = proxy.address("mongo");
    for number in 0..NAMES {
        let mut client = Client::connect(address);
        client.hello(&format!("shop-{number}"));
        client.find("shop.carts", "");
    }
    let stats = proxy.stats();
    assert_eq!(named(&stats, "mongo.mongo.app.shop-"), LIMIT);
    let rest = (NAMES - LIMIT) as i64;
    stats
        .expect("mongo.mongo.app._other.cx_total", rest)
        .expect("mongo.mongo.app._other.total", 2 * rest)
        .expect("stats.folded.applications.total", rest)
        .expect("mongo.mongo.total", 2 * NAMES as i64);
}

#[test]
fn commands_beyond_the_limit_are_one() {
    const NAMES: usize = 2_000;
    let proxy = limited("commands");
    let mut client = Client::connect(proxy.address("mongo"));
    for number in 0..NAMES {
        client.run(&doc! {format!("invented{number}"): 1, "$db": "shop"});
    }
    let stats = proxy.stats();
    assert_eq!(named(&stats, "mongo.mongo.cmd.invented"), LIMIT);
    stats
        .expect("mongo.mongo.cmd._other.total", (NAMES - LIMIT) as i64)
        .expect("mongo.mongo.total", NAMES as i64);
    assert!(stats.value("stats.folded.commands.total") > 0);
}

fn limited(limit: &str) -> Proxy {
    Proxy::start(&format!(
        "{}workers: 2\nstats: {{ limits: {{ {limit}: {LIMIT} }} }}\n",
        one_listener("mongo", answering())
    ))
}

/// One find for each number, over so many connections that two workers share them.
fn both_workers(
    proxy: &Proxy,
    numbers: std::ops::Range<usize>,
    template: impl Fn() -> Template + Sync,
) {
    let address = proxy.address("mongo");
    std::thread::scope(|scope| {
        for start in numbers.clone().take(CONNECTIONS) {
            let mut template = template();
            scope.spawn(move || {
                let mine = (start..numbers.end).step_by(CONNECTIONS);
                Client::connect(address).finds(&mut template, mine);
            });
        }
    });
}

/// How many names have operations counted under this prefix.
fn named(stats: &Stats, prefix: &str) -> usize {
    let totals = stats.values.iter().filter(|(name, value)| {
        name.starts_with(prefix) && name.ends_with(".total") && **value > 0
    });
    totals.count()
}

#[track_caller]
fn expect_total(stats: &Stats, finds: usize) {
    stats
        .expect("mongo.mongo.total", finds as i64)
        .expect("mongo.mongo.cmd.find.total", finds as i64)
        .expect("mongo.mongo.decoding_error", 0)
        .expect("mongo.mongo.op_query_active", 0)
        .expect_count("mongo.mongo.upstream_time_ms", finds as u64);
}
