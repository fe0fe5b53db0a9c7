//! Percentiles on `/stats` are those of what the upstream really did.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

mod support;

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use support::mongo::{Client, answer_to};
use support::peer::scripted;
use support::proxy::Proxy;
use support::stats::Histogram;
use support::wire::read_message;

const CONNECTIONS: usize = 16;
const FINDS_EACH: usize = 125;
const FINDS: usize = CONNECTIONS * FINDS_EACH;

/// From 2 ms to 60 ms, each doubling as likely as the next: as skewed as databases are.
const SHORTEST_MS: f64 = 2.0;
const LONGEST_MS: f64 = 60.0;

/// What is promised: 0.8 % is the width of a histogram's slot.
const EXACT_TO: f64 = 0.01;

/// The proxy sees a request later than its client and earlier than its upstream, so the truth is
/// known from both sides, as exactly as the machine is quiet: what the upstream measured is less,
/// and what the client measured is more. That holds for each find, and so for their order statistics.
#[test]
fn p50_to_p99_9_are_the_true_order_statistics_within_one_percent() {
    let waited = Arc::new(Mutex::new(Vec::new()));
    let proxy = Proxy::in_front_of("mongo", delaying(Arc::clone(&waited)));
    let mut client_saw = load(proxy.address("mongo"));
    let mut upstream_did = waited.lock().unwrap().clone();
    assert_eq!(upstream_did.len(), FINDS);
    client_saw.sort_by(f64::total_cmp);
    upstream_did.sort_by(f64::total_cmp);

    let stats = proxy.stats();
    for name in [
        "mongo.mongo.upstream_time_ms",
        "mongo.mongo.cmd.find.reply_time_ms",
        "mongo.mongo.collection.shop.carts.query.reply_time_ms",
        "mongo.mongo.collection.shop.carts.callsite.checkout.load_cart.query.reply_time_ms",
    ] {
        let shown = stats.histogram(name);
        assert_eq!(shown.count, FINDS as u64, "{name}");
        expect_between(name, shown, &upstream_did, &client_saw);
    }
}

#[track_caller]
fn expect_between(name: &str, shown: &Histogram, at_least: &[f64], at_most: &[f64]) {
    for percent in [50.0, 90.0, 99.0, 99.9] {
        let (low, high) = (rank(at_least, percent), rank(at_most, percent));
        let value = shown.at(percent);
        println!("P{percent}: upstream {low:.3} ms, shown {value:.3} ms, client {high:.3} ms");
        assert!(
            value >= low * (1.0 - EXACT_TO) && value <= high * (1.0 + EXACT_TO),
            "{name} P{percent} is {value} ms; upstream waited {low} ms, the client {high} ms"
        );
    }
    // The sum is no estimate; each value in it is cut to a microsecond.
    let cut = at_least.len() as f64 / 1_000.0;
    assert!(shown.sum >= at_least.iter().sum::<f64>() - cut);
    assert!(shown.sum <= at_most.iter().sum::<f64>());
}

/// The value at or below which this share of all values lies, by nearest rank.
fn rank(sorted: &[f64], percent: f64) -> f64 {
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted[rank - 1]
}

/// Answers each request after a delay of its own, and notes how long that took to its own clock.
fn delaying(waited: Arc<Mutex<Vec<f64>>>) -> SocketAddr {
    let answered = AtomicUsize::new(0);
    scripted(move |mut stream: TcpStream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while let Ok(request) = read_message(&mut reader) {
            let read = Instant::now();
            std::thread::sleep(delay(answered.fetch_add(1, Ordering::Relaxed)));
            let answer = answer_to(&request);
            waited.lock().unwrap().push(milliseconds(read));
            if stream.write_all(&answer).is_err() {
                return;
            }
        }
    })
}

/// Multiples of the golden ratio fall evenly and in no order between 0 and 1.
fn delay(number: usize) -> Duration {
    let share = (number as f64 * 0.618_033_988_749_895).fract();
    Duration::from_secs_f64(SHORTEST_MS * (LONGEST_MS / SHORTEST_MS).powf(share) / 1_000.0)
}

/// All finds, over several connections at once; how long each took to its client.
fn load(address: SocketAddr) -> Vec<f64> {
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                let timed = (0..FINDS_EACH).map(|_| {
                    let begun = Instant::now();
                    client.find("shop.carts", "checkout.load_cart");
                    milliseconds(begun)
                });
                timed.collect::<Vec<f64>>()
            })
        })
        .collect();
    clients
        .into_iter()
        .flat_map(|client| client.join().unwrap())
        .collect()
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1_000.0
}
