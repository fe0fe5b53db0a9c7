//! Many rounds of random work on several workers. Nobody ticks, so whoever is forgotten waits for
//! ever and is seen. Each round is drawn from a seed, which a failure prints.
//!
//! `NARROWS_POOL_SEED` begins elsewhere, `NARROWS_POOL_ROUNDS` runs longer.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::task::yield_now;

use super::super::*;
use super::support::{
    Cluster, Dialler, LONG, Random, Server, Worker, config, deadline, describe, echo, on_worker,
    rounds,
};
use crate::upstream::Endpoint;

/// Rounds of an ordinary run: a few seconds.
const ROUNDS: u64 = 30;

/// The longest anybody may wait: openings fail at random, and the pauses after that are the longest
/// thing there is.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What the tasks of a round share.
struct Round {
    seed: u64,
    endpoints: Vec<Arc<Endpoint>>,
    credentials: u64,
    /// Percent of the operations for which something goes wrong.
    trouble: u64,
    /// Sockets that are lent now.
    in_use: Mutex<HashSet<RawFd>>,
    longest_wait: Mutex<Duration>,
    served: AtomicUsize,
}

#[test]
fn nothing_is_lost_shared_or_forgotten() {
    for seed in rounds(ROUNDS) {
        let outcome = std::panic::catch_unwind(|| on_worker(round(seed)));
        if let Err(panic) = outcome {
            #[expect(clippy::print_stderr, reason = "what repeats the failure")]
            {
                eprintln!("NARROWS_POOL_SEED={seed}");
            }
            std::panic::resume_unwind(panic);
        }
    }
}

async fn round(seed: u64) {
    let mut random = Random(seed);
    let max_connections = random.between(1, 5) as usize;
    let limits = crate::config::PoolConfig {
        max_connecting: random.between(1, 2) as usize,
        max_waiting: if random.percent(20) { 2 } else { 1000 },
        ..config(max_connections)
    };
    let troubled = random.percent(70);
    let dialler = Dialler::default();
    if troubled && random.percent(50) {
        let one_in = random.between(3, 9) as usize;
        dialler.fails_one_in.store(one_in, Ordering::SeqCst);
    }
    let mut cluster = Cluster::new(limits, dialler);
    let state = Arc::default();
    let servers: Vec<_> = (0..random.between(1, 2))
        .map(|_| Server::start_beside(&state))
        .collect();
    let round = Arc::new(Round {
        seed,
        endpoints: servers
            .iter()
            .map(|server| Arc::clone(&server.endpoint))
            .collect(),
        credentials: random.between(1, 2),
        trouble: if troubled { random.between(5, 40) } else { 0 },
        in_use: Mutex::default(),
        longest_wait: Mutex::default(),
        served: AtomicUsize::new(0),
    });
    let workers: Vec<_> = (0..random.between(1, 3))
        .map(|_| Worker::start(&cluster.shared, cluster.aggregator.worker()))
        .collect();
    let mut tasks = Vec::new();
    for worker in &workers {
        for _ in 0..random.between(1, 8) {
            let (round, random) = (Arc::clone(&round), Random(random.next()));
            let operations = 40;
            tasks.push(worker.spawn(move |pool| client(pool, round, random, operations)));
        }
    }
    if troubled && random.percent(50) {
        disturb(&cluster, &round, &mut random).await;
    }
    for task in tasks {
        task.await.expect("a client that did not panic");
    }
    come_to_rest(&cluster, &workers).await;
    check(&mut cluster, &round, max_connections, &state).await;
    for worker in workers {
        worker.join();
    }
    assert_eq!(cluster.shared.open(), 0);
}

/// Waits until every worker has read what the others have sent it, and no opening is under way: an
/// idle connection may still be on its way to somebody who has left.
async fn come_to_rest(cluster: &Cluster, workers: &[Worker]) {
    let begun = Instant::now();
    let mut calm = 0;
    let mut before = None;
    // What one worker sends while it reads may make the next one send something, and so on.
    while calm < 2 * workers.len() + 2 {
        assert!(begun.elapsed() < LONG, "{before:?}");
        for worker in workers {
            let turns = async {
                for _ in 0..4 {
                    yield_now().await
                }
            };
            worker.spawn(move |_| turns).await.unwrap();
        }
        let now = (
            cluster.shared.connecting(),
            cluster.shared.snapshot(begun).keys,
        );
        calm = match before.as_ref() == Some(&now) && now.0 == 0 {
            true => calm + 1,
            false => 0,
        };
        before = Some(now);
    }
}

/// Everything is back where it belongs.
async fn check(
    cluster: &mut Cluster,
    round: &Round,
    max_connections: usize,
    state: &super::support::ServerState,
) {
    let most = state.most.load(Ordering::SeqCst);
    assert!(
        most <= max_connections,
        "{most} open, {max_connections} allowed"
    );
    let longest = *round.longest_wait.lock().unwrap();
    assert!(longest < LONGEST_WAIT, "somebody waited for {longest:?}");
    assert!(round.in_use.lock().unwrap().is_empty());
    cluster.assert_quiet();
    let open = i64::try_from(cluster.shared.open()).unwrap();
    for (gauge, value) in [
        ("pool.active", 0),
        ("pool.waiting", 0),
        ("pool.connecting", 0),
        ("pool.idle", open),
        ("upstream_cx_active", open),
    ] {
        assert_eq!(cluster.stat(gauge).await, value, "{gauge}");
    }
    let (opened, closed) = (
        cluster.stats("pool.opened.").await,
        cluster.stats("pool.closed.").await,
    );
    assert_eq!(opened - closed, open);
    let served = i64::try_from(round.served.load(Ordering::SeqCst)).unwrap();
    assert!(served > 0 && cluster.stat("pool.checkouts").await >= served);
}

/// The operator and the monitors, at random.
async fn disturb(cluster: &Cluster, round: &Round, random: &mut Random) {
    for _ in 0..random.between(1, 6) {
        tokio::time::sleep(Duration::from_micros(random.between(100, 5_000))).await;
        match random.below(3) {
            0 => {
                cluster.shared.pause();
                tokio::time::sleep(Duration::from_micros(random.below(2_000))).await;
                cluster.shared.resume();
            }
            1 => {
                let endpoint = random.below(round.endpoints.len() as u64) as usize;
                cluster
                    .shared
                    .retire(round.endpoints[endpoint].id, random.percent(50));
            }
            _ => {
                let mut limits = cluster.shared.policy().config.clone();
                limits.max_connecting = random.between(1, 2) as usize;
                cluster.set(limits);
            }
        }
    }
}

/// One client: operations one after the other, some of which go wrong.
async fn client(pool: Rc<ClusterPool>, round: Arc<Round>, mut random: Random, operations: usize) {
    for _ in 0..operations {
        let endpoint = random.below(round.endpoints.len() as u64) as usize;
        let endpoint = Arc::clone(&round.endpoints[endpoint]);
        let credential = random.below(round.credentials) as u32;
        let wrong = random.percent(round.trouble);
        let patience = match wrong && random.percent(40) {
            true => Duration::from_micros(random.below(3_000)),
            false => LONG,
        };
        let begun = Instant::now();
        let checkout = pool.checkout(&endpoint, credential, begun, deadline(patience));
        let checkout = std::pin::pin!(checkout);
        let lease = if wrong && random.percent(40) {
            // Gone while it waits, after so many turns of the worker.
            let turns = random.below(6);
            tokio::select! {
                biased;
                lease = checkout => lease,
                () = async { for _ in 0..turns { yield_now().await } } => continue,
            }
        } else {
            checkout.await
        };
        if patience == LONG {
            let mut longest = round.longest_wait.lock().unwrap();
            *longest = longest.max(begun.elapsed());
        }
        match lease {
            Ok(lease) => {
                round.served.fetch_add(1, Ordering::SeqCst);
                operation(lease, &round, &mut random, wrong).await;
            }
            Err(CheckoutError::TimedOut { .. }) if patience < LONG => {}
            Err(CheckoutError::Open { .. }) => {
                tokio::time::sleep(Duration::from_millis(random.below(20))).await;
            }
            Err(CheckoutError::QueueFull { .. } | CheckoutError::Retired { .. }) => {
                yield_now().await;
            }
            Err(error) => panic!("seed {}: {error}\n{}", round.seed, describe(&pool)),
        }
    }
}

/// One operation on a lease that nobody else may have.
async fn operation(mut lease: Lease, round: &Round, random: &mut Random, wrong: bool) {
    let socket = lease.stream().tcp().as_raw_fd();
    assert!(round.in_use.lock().unwrap().insert(socket), "lent twice");
    let byte = b'a' + random.below(8) as u8;
    if random.percent(30) {
        yield_now().await;
    }
    let done = echo(&mut lease, byte).await;
    if random.percent(10) {
        let pause = Duration::from_micros(random.below(2_000));
        tokio::time::sleep(pause).await;
    }
    let how = if wrong { random.below(4) } else { 4 };
    let quit = how == 0 && lease.stream().write_all(b"Q").await.is_ok();
    assert!(round.in_use.lock().unwrap().remove(&socket));
    match done {
        // The server closed it: that is noticed at once or when it is lent again.
        Err(error) if is_gone(&error) => lease.discard(CloseReason::UpstreamError),
        Err(error) => panic!("{error}"),
        Ok(()) if quit => lease.checkin(Instant::now()),
        Ok(()) if how == 1 => lease.discard(CloseReason::ClientGone),
        Ok(()) if how == 2 => drop(lease),
        Ok(()) => lease.checkin(Instant::now()),
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}
