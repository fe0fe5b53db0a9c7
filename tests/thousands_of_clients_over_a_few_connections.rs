//! Thousands of clients that think between their operations, over 32 connections: the server has never more than those
//! and the monitor's, no operation fails, and it takes no longer than with a connection for each.
//!
//! `NARROWS_LOAD_CLIENTS` sets how many, and `NARROWS_LOAD_ROUNDS` how often, directly and through the pool in turn; with `NARROWS_BINARY`
//! naming a release build, use 5000 and 3. Clients, proxy and server share the machine: where that is too small for the load a percentile
//! moves much from round to round, and medians are compared.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

mod support;

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bson::{Document, doc};
use support::collapse;
use support::commands::{Connection, code, connections_of, hello, reply_to, run};
use support::mongod::Mongod;
use support::wire::op_msg;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const LIMIT: i64 = 32;
const MONITORS: i64 = 2;
const THINK: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_secs(8);

/// How many clients connect at the same time.
const OPENING: usize = 64;

/// A debug build, and a client that shares two cores with the proxy and the server, add this much to a percentile.
const NOISE: Duration = Duration::from_millis(if cfg!(debug_assertions) { 50 } else { 5 });
const MOST_RESIDENT: u64 = 60 << 20;

#[tokio::test]
async fn the_server_sees_the_pool_and_clients_see_no_difference() {
    let clients = setting("CLIENTS", 500);
    allow_descriptors(2 * clients + 2_000);
    let mongod = Mongod::standalone();
    let carts: Vec<Document> = (0..1_000)
        .map(|id| doc! {"_id": id, "text": "x".repeat(200)})
        .collect();
    run(
        mongod.address(),
        "shop",
        &doc! {"insert": "carts", "documents": carts},
    );
    let pool = format!("max_connections: {LIMIT}");
    let (proxy, address) = collapse::start(&[mongod.address()], &pool, "");
    let (mut direct, mut pooled, mut most) = (Vec::new(), Vec::new(), 0);
    for _ in 0..setting("ROUNDS", 1) {
        let (p99, seen) = watched_load(mongod.address(), mongod.address(), clients).await;
        direct.push(p99);
        assert!(
            seen >= i64::try_from(clients).unwrap(),
            "{seen} connections"
        );
        let (p99, seen) = watched_load(address, mongod.address(), clients).await;
        pooled.push(p99);
        most = most.max(seen);
    }
    let resident = proxy.resident_bytes();
    println!(
        "{clients} clients: p99 {direct:?} directly, {pooled:?} through the pool; most connections {most}; {resident} bytes resident"
    );
    assert!(most <= LIMIT + MONITORS, "{most} connections at the server");
    let (direct, pooled) = (median(direct), median(pooled));
    assert!(pooled <= direct + NOISE, "{pooled:?}, directly {direct:?}");
    assert!(resident < MOST_RESIDENT, "{resident} bytes resident");
    collapse::expect_at_rest(&proxy);
}

/// What the environment says, or else a default.
fn setting(name: &str, default: usize) -> usize {
    let set = std::env::var(format!("NARROWS_LOAD_{name}"));
    set.map_or(default, |set| set.parse().unwrap())
}

fn median(mut values: Vec<Duration>) -> Duration {
    values.sort_unstable();
    values[values.len() / 2]
}

/// The load, at this address, and the most connections that the server had meanwhile. Asking for them costs the server some of its
/// time, so that both ways have to be watched if they are to be compared.
async fn watched_load(address: SocketAddr, server: SocketAddr, clients: usize) -> (Duration, i64) {
    let mut server = Connection::open(server).unwrap();
    // Connections of before have to be gone.
    support::eventually("the server has no client but the proxy", || {
        (connections_of(&mut server) <= LIMIT + MONITORS).then_some(())
    });
    let watch = Watch::start(server);
    let p99 = load(address, clients).await;
    (p99, watch.end())
}

/// That many clients, each with a find every half a second: the 99th percentile of its time. Any error at all ends the test.
async fn load(address: SocketAddr, clients: usize) -> Duration {
    let mut opened = Vec::with_capacity(clients);
    while opened.len() < clients {
        let next = (opened.len()..clients)
            .take(OPENING)
            .map(|_| Client::greet(address));
        opened.extend(futures_util::future::join_all(next).await);
    }
    let start = Instant::now();
    let mut running = JoinSet::new();
    for (number, client) in opened.into_iter().enumerate() {
        // They begin one after the other, all within one time of thinking.
        let at = start + THINK.mul_f64(number as f64 / clients as f64);
        running.spawn(client.find_repeatedly(at, start + MEASURED));
    }
    let mut times: Vec<Duration> = running.join_all().await.concat();
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

struct Client {
    stream: TcpStream,
    next_id: i32,
}

impl Client {
    async fn greet(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Self { stream, next_id: 1 };
        let mut hello = hello("thousands");
        hello.insert("$db", "admin");
        client.ask(&hello).await;
        client
    }

    async fn find_repeatedly(mut self, begin: Instant, end: Instant) -> Vec<Duration> {
        tokio::time::sleep_until(begin.into()).await;
        let mut times = Vec::new();
        while Instant::now() < end {
            let id = self.next_id % 1_000;
            let find = doc! {"find": "carts", "filter": {"_id": id}, "limit": 1, "$db": "shop"};
            let begun = Instant::now();
            self.ask(&find).await;
            times.push(begun.elapsed());
            tokio::time::sleep(THINK).await;
        }
        times
    }

    async fn ask(&mut self, command: &Document) {
        let id = self.next_id;
        self.next_id += 1;
        self.stream
            .write_all(&op_msg(id, 0, command))
            .await
            .unwrap();
        let mut reply = vec![0; 16];
        self.stream.read_exact(&mut reply).await.unwrap();
        let length = i32::from_le_bytes(reply[..4].try_into().unwrap());
        reply.resize(usize::try_from(length).unwrap(), 0);
        self.stream.read_exact(&mut reply[16..]).await.unwrap();
        let reply = reply_to(id, &reply).unwrap();
        assert_eq!(code(&reply), None, "{reply}");
    }
}

/// Looks at the server's own count of connections all the time.
struct Watch {
    over: Arc<AtomicBool>,
    thread: thread::JoinHandle<i64>,
}

impl Watch {
    fn start(mut server: Connection) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let mut most = 0;
            while !until.load(Ordering::SeqCst) {
                most = most.max(connections_of(&mut server));
                thread::sleep(Duration::from_millis(20));
            }
            most
        });
        Self { over, thread }
    }

    fn end(self) -> i64 {
        self.over.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
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
