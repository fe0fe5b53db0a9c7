//! Several workers, each on a thread of its own.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::oneshot;

use super::super::*;
use super::support::{
    Cluster, Dialler, LONG, Server, Worker, config, deadline, echo, on_worker, until,
};
use crate::upstream::Endpoint;

/// A lease that a worker holds until it is told how to end it.
struct Held {
    got: oneshot::Receiver<Result<bool, CheckoutError>>,
    end: oneshot::Sender<End>,
    ended: oneshot::Receiver<()>,
}

enum End {
    Checkin,
    Drop,
}

impl Held {
    fn begin(worker: &Worker, endpoint: &Arc<Endpoint>, credential: u32) -> Self {
        let (say, got) = oneshot::channel();
        let (end, how) = oneshot::channel();
        let endpoint = Arc::clone(endpoint);
        let ended = worker.spawn(move |pool: Rc<ClusterPool>| async move {
            let now = Instant::now();
            let lease = pool.checkout(&endpoint, credential, now, deadline(LONG));
            match lease.await {
                Err(error) => {
                    let _ = say.send(Err(error));
                }
                Ok(mut lease) => {
                    let works = echo(&mut lease, b'h').await.is_ok();
                    let _ = say.send(Ok(works && lease.is_reused()));
                    match how.await {
                        Ok(End::Checkin) => lease.checkin(Instant::now()),
                        Ok(End::Drop) | Err(_) => drop(lease),
                    }
                }
            }
        });
        Self { got, end, ended }
    }

    /// Waits for it; true when the connection had been open before.
    async fn got(&mut self) -> bool {
        (&mut self.got).await.unwrap().expect("a connection")
    }

    async fn end(self, how: End) {
        assert!(self.end.send(how).is_ok());
        self.ended.await.unwrap();
    }
}

fn start(limits: crate::config::PoolConfig) -> (Server, Cluster, [Worker; 2]) {
    let mut cluster = Cluster::new(limits, Dialler::default());
    let seeds = [cluster.aggregator.worker(), cluster.aggregator.worker()];
    let workers = seeds.map(|seed| Worker::start(&cluster.shared, seed));
    (Server::start(), cluster, workers)
}

#[test]
fn an_idle_connection_is_taken_over_from_another_worker() {
    on_worker(async {
        let (server, mut cluster, [one, other]) = start(config(1));
        let mut first = Held::begin(&one, &server.endpoint, 0);
        assert!(!first.got().await);
        first.end(End::Checkin).await;
        let mut second = Held::begin(&other, &server.endpoint, 0);
        assert!(second.got().await, "the same connection");
        second.end(End::Checkin).await;
        assert_eq!(cluster.dialler.tried.load(Ordering::SeqCst), 1);
        assert_eq!(cluster.stat("pool.taken_over").await, 1);
        cluster.assert_quiet();
        one.join();
        other.join();
    });
}

#[test]
fn a_worker_that_had_to_take_one_over_opens_one_of_its_own() {
    on_worker(async {
        let (server, cluster, [one, other]) = start(config(8));
        let mut first = Held::begin(&one, &server.endpoint, 0);
        first.got().await;
        first.end(End::Checkin).await;
        let mut second = Held::begin(&other, &server.endpoint, 0);
        assert!(second.got().await);
        until("another one is open", || {
            cluster.shared.open() == 2 && cluster.shared.connecting() == 0
        })
        .await;
        second.end(End::Checkin).await;
        cluster.assert_quiet();
        one.join();
        other.join();
    });
}

#[test]
fn what_comes_back_on_one_worker_serves_who_waits_on_another() {
    on_worker(async {
        for end in [End::Checkin, End::Drop] {
            let (server, cluster, [one, other]) = start(config(1));
            let reused = matches!(end, End::Checkin);
            let mut first = Held::begin(&one, &server.endpoint, 0);
            first.got().await;
            let mut second = Held::begin(&other, &server.endpoint, 0);
            until("one waits", || cluster.shared.waiting() == 1).await;
            first.end(end).await;
            assert_eq!(second.got().await, reused);
            assert_eq!(server.state.most.load(Ordering::SeqCst), 1);
            second.end(End::Checkin).await;
            cluster.assert_quiet();
            one.join();
            other.join();
        }
    });
}

#[test]
fn an_idle_connection_of_another_key_on_another_worker_gives_up_its_place() {
    on_worker(async {
        let (server, mut cluster, [one, other]) = start(config(1));
        let mut first = Held::begin(&one, &server.endpoint, 0);
        first.got().await;
        first.end(End::Checkin).await;
        let mut second = Held::begin(&other, &server.endpoint, 1);
        assert!(!second.got().await);
        second.end(End::Checkin).await;
        assert_eq!(cluster.stat("pool.evicted").await, 1);
        // And one that comes back.
        let mut first = Held::begin(&one, &server.endpoint, 0);
        first.got().await;
        let mut second = Held::begin(&other, &server.endpoint, 1);
        until("one waits", || cluster.shared.waiting() == 1).await;
        first.end(End::Checkin).await;
        assert!(!second.got().await);
        second.end(End::Checkin).await;
        assert_eq!(server.state.most.load(Ordering::SeqCst), 1);
        cluster.assert_quiet();
        one.join();
        other.join();
    });
}

#[test]
fn no_connection_is_closed_for_want_of_one_of_the_same_key() {
    const CLIENTS: usize = 40;
    const OPERATIONS: usize = 100;
    on_worker(async {
        let (server, mut cluster, [one, other]) = start(config(3));
        let mut ended = Vec::new();
        for worker in [&one, &other] {
            for _ in 0..CLIENTS {
                let endpoint = Arc::clone(&server.endpoint);
                ended.push(worker.spawn(move |pool: Rc<ClusterPool>| async move {
                    for _ in 0..OPERATIONS {
                        let now = Instant::now();
                        let lease = pool.checkout(&endpoint, 0, now, deadline(LONG));
                        let mut lease = lease.await.expect("a connection");
                        echo(&mut lease, b'h').await.expect("an echo");
                        lease.checkin(Instant::now());
                        // Thinks as long as others need to get ahead.
                        tokio::task::yield_now().await;
                    }
                }));
            }
        }
        for ended in ended {
            ended.await.unwrap();
        }
        assert!(
            cluster.stat("pool.taken_over").await > 0,
            "both shared them"
        );
        assert_eq!(cluster.stat("pool.evicted").await, 0);
        assert_eq!(cluster.dialler.tried.load(Ordering::SeqCst), 3);
        cluster.assert_quiet();
        one.join();
        other.join();
    });
}

#[test]
fn who_has_waited_longer_elsewhere_is_overtaken_for_two_rounds_at_most() {
    on_worker(async {
        let (server, cluster, [one, other]) = start(config(1));
        let mut first = Held::begin(&one, &server.endpoint, 0);
        first.got().await;
        let order: Arc<Mutex<Vec<&'static str>>> = Arc::default();
        let wait = |worker: &Worker, who: &'static str| {
            let (order, endpoint) = (Arc::clone(&order), Arc::clone(&server.endpoint));
            worker.spawn(move |pool: Rc<ClusterPool>| async move {
                let now = Instant::now();
                let lease = pool.checkout(&endpoint, 0, now, deadline(LONG));
                let lease = lease.await.unwrap();
                order.lock().unwrap().push(who);
                lease.checkin(Instant::now());
            })
        };
        let mut done = vec![wait(&other, "other")];
        until("one waits", || cluster.shared.waiting() == 1).await;
        for _ in 0..5 {
            done.push(wait(&one, "mine"));
        }
        until("six wait", || cluster.shared.waiting() == 6).await;
        first.end(End::Checkin).await;
        for done in done {
            done.await.unwrap();
        }
        let order = order.lock().unwrap();
        // Tickets 1 and 2 are within two rounds of one connection; ticket 3 is not.
        let (mine, other_one) = ("mine", "other");
        assert_eq!(*order, [mine, mine, other_one, mine, mine, mine]);
        cluster.assert_quiet();
        one.join();
        other.join();
    });
}

#[test]
fn pausing_and_retiring_reach_every_worker() {
    on_worker(async {
        let (server, cluster, [one, other]) = start(config(4));
        for worker in [&one, &other] {
            let mut held = Held::begin(worker, &server.endpoint, 0);
            held.got().await;
            held.end(End::Checkin).await;
        }
        until("nothing is being opened", || {
            cluster.shared.connecting() == 0
        })
        .await;
        cluster.shared.pause();
        until("all are closed", || cluster.shared.open() == 0).await;
        let mut waiters = [
            Held::begin(&one, &server.endpoint, 0),
            Held::begin(&other, &server.endpoint, 0),
        ];
        until("two wait", || cluster.shared.waiting() == 2).await;
        cluster.shared.resume();
        for waiter in &mut waiters {
            waiter.got().await;
        }
        cluster.shared.retire(server.endpoint.id, false);
        for waiter in waiters {
            waiter.end(End::Checkin).await;
        }
        until("all are closed", || cluster.shared.open() == 0).await;
        cluster.assert_quiet();
        one.join();
        other.join();
    });
}

#[test]
fn each_worker_keeps_its_part_of_min_idle() {
    on_worker(async {
        let limits = crate::config::PoolConfig {
            min_idle: 5,
            ..config(8)
        };
        let (server, mut cluster, [one, other]) = start(limits);
        let endpoint = Arc::clone(&server.endpoint);
        cluster.shared.keep_open_to(vec![endpoint]);
        for _ in 0..5 {
            for worker in [&one, &other] {
                let tick = worker.spawn(|pool| async move { pool.tick(Instant::now()) });
                tick.await.unwrap();
            }
            until("they are open", || cluster.shared.connecting() == 0).await;
        }
        let mut parts = Vec::new();
        for worker in [&one, &other] {
            let id = server.endpoint.id;
            let count = worker.spawn(move |pool| async move {
                let take = || pool.try_checkout(id, 0, Instant::now());
                let leases: Vec<_> = std::iter::from_fn(take).collect();
                let count = leases.len();
                for lease in leases {
                    lease.checkin(Instant::now());
                }
                count
            });
            parts.push(count.await.unwrap());
        }
        // Which worker joins first, and so has the larger part, is the scheduler's choice.
        parts.sort_unstable();
        assert_eq!(parts, [2, 3]);
        assert_eq!(cluster.stat("pool.opened.min_idle.total").await, 5);
        cluster.assert_quiet();
        one.join();
        other.join();
    });
}

#[test]
fn a_worker_that_leaves_gives_back_what_it_had() {
    on_worker(async {
        let (server, cluster, [one, other]) = start(config(1));
        let mut held = Held::begin(&one, &server.endpoint, 0);
        held.got().await;
        held.end(End::Checkin).await;
        one.join();
        assert_eq!(cluster.shared.open(), 0);
        let mut held = Held::begin(&other, &server.endpoint, 0);
        held.got().await;
        held.end(End::Checkin).await;
        cluster.assert_quiet();
        other.join();
    });
}
