//! Fifty change-stream watchers over a pool of eight: finds take as long as without them, and every watcher is told of a
//! change within seconds.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bson::{Bson, doc};
use support::collapse;
use support::commands::{Connection, batch, run};
use support::eventually;
use support::mongod::Mongod;

const WATCHERS: usize = 50;
const POOL: &str = "max_connections: 8, max_long_waits: 4, wait_timeout: 20s";

/// How long a watcher waits at the server each time. Fifty of them over four connections come round in three seconds.
const AWAIT_MS: i64 = 250;

/// An event has come to everybody by then, on a busy machine too.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// Finds while watchers wait, to finds alone. Starved they would be hundreds of milliseconds late.
const FACTOR: u32 = 4;
const NOISE: Duration = Duration::from_millis(20);

#[test]
fn finds_flow_while_fifty_watch() {
    let mongod = Mongod::replica_set();
    run(mongod.address(), "shop", &doc! {"create": "orders"});
    let (proxy, address) = collapse::start(&[mongod.address()], POOL, "");
    let alone = p99_of_finds(address);

    let watching = Watching::start(address);
    let with_watchers = p99_of_finds(address);
    println!("p99 of finds: {alone:?} alone, {with_watchers:?} with {WATCHERS} watchers");
    assert!(
        with_watchers <= FACTOR * alone + NOISE,
        "p99 of finds is {with_watchers:?} with watchers, {alone:?} without"
    );

    let order = doc! {"insert": "orders", "documents": [{"_id": "news"}]};
    let begun = Instant::now();
    Connection::open(address).unwrap().expect_ok("shop", &order);
    eventually("every watcher is told", || {
        (watching.told.load(Ordering::SeqCst) == WATCHERS).then_some(())
    });
    println!("all were told within {:?}", begun.elapsed());
    assert!(begun.elapsed() < TOLD_WITHIN);
    watching.end();
    collapse::expect_at_rest(&proxy);
}

/// Four clients look up one document again and again.
fn p99_of_finds(address: SocketAddr) -> Duration {
    let finds = move || {
        let mut client = Connection::open(address).unwrap();
        let find = doc! {"find": "carts", "filter": {"_id": 1}};
        let end = Instant::now() + Duration::from_secs(3);
        let mut times = Vec::new();
        while Instant::now() < end {
            let begun = Instant::now();
            client.expect_ok("shop", &find);
            times.push(begun.elapsed());
            thread::sleep(Duration::from_millis(2));
        }
        times
    };
    let clients: Vec<_> = (0..4).map(|_| thread::spawn(finds)).collect();
    let mut times: Vec<Duration> = clients
        .into_iter()
        .flat_map(|client| client.join().unwrap())
        .collect();
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

struct Watching {
    told: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Watching {
    /// Returns when all watchers have their cursors.
    fn start(address: SocketAddr) -> Self {
        let (open, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let over = Arc::new(AtomicBool::new(false));
        let threads = (0..WATCHERS).map(|_| {
            let (open, told, over) = (Arc::clone(&open), Arc::clone(&told), Arc::clone(&over));
            thread::spawn(move || watch(address, &open, &told, &over))
        });
        let threads = threads.collect();
        eventually("all watch", || {
            (open.load(Ordering::SeqCst) == WATCHERS).then_some(())
        });
        Self {
            told,
            over,
            threads,
        }
    }

    fn end(self) {
        self.over.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

fn watch(address: SocketAddr, open: &AtomicUsize, told: &AtomicUsize, over: &AtomicBool) {
    let mut client = Connection::open(address).unwrap();
    let stream = Bson::from(vec![doc! {"$changeStream": {}}]);
    let watch = doc! {"aggregate": "orders", "pipeline": stream, "cursor": {}};
    let (_, cursor) = batch(&client.expect_ok("shop", &watch));
    open.fetch_add(1, Ordering::SeqCst);
    let more = doc! {"getMore": cursor, "collection": "orders", "maxTimeMS": AWAIT_MS};
    while !over.load(Ordering::SeqCst) {
        let (changes, _) = batch(&client.expect_ok("shop", &more));
        told.fetch_add(changes.len(), Ordering::SeqCst);
    }
    client.expect_ok("shop", &doc! {"killCursors": "orders", "cursors": [cursor]});
}
