//! Several workers on one thread, whose messages are delivered when a seed says so: any order in
//! which they can cross is tried, and can be repeated. Whenever nothing is under way any more,
//! nobody may wait while something is free.
//!
//! `NARROWS_POOL_SEED` begins elsewhere, `NARROWS_POOL_ROUNDS` runs longer.

use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio::task::yield_now;

use super::super::*;
use super::support::{
    Cluster, Dialler, LONG, Random, Server, config, deadline, describe, on_worker, rounds, until,
};
use crate::upstream::Endpoint;

/// Rounds of an ordinary run: a few seconds.
const ROUNDS: u64 = 500;

/// More messages than any situation needs.
const MOST_MESSAGES: usize = 1000;

type Waiting = Pin<Box<dyn Future<Output = Result<Lease, CheckoutError>>>>;

/// One worker: its pool, and what it has not read yet.
struct Worker {
    pool: Rc<ClusterPool>,
    inbox: Arc<Mutex<VecDeque<Message>>>,
}

struct World {
    random: Random,
    cluster: Cluster,
    gate: Arc<Semaphore>,
    endpoints: Vec<Arc<Endpoint>>,
    workers: Vec<Worker>,
    waiting: Vec<Waiting>,
    leases: Vec<Lease>,
    log: Vec<String>,
}

#[test]
fn nobody_waits_while_something_is_free() {
    let endpoints = [Server::start(), Server::start()];
    for seed in rounds(ROUNDS) {
        let endpoints = endpoints
            .each_ref()
            .map(|server| Arc::clone(&server.endpoint));
        on_worker(async {
            let mut world = World::new(seed, endpoints.to_vec());
            // Short ones, since whatever happens later wakes up whoever was forgotten.
            for _ in 0..world.random.between(5, 60) {
                world.step().await;
            }
            world.end(seed).await;
        });
    }
}

impl World {
    fn new(seed: u64, mut endpoints: Vec<Arc<Endpoint>>) -> Self {
        let mut random = Random(seed);
        let gate = Arc::new(Semaphore::new(0));
        let dialler = Dialler {
            gate: Some(Arc::clone(&gate)),
            ..Dialler::default()
        };
        let limits = crate::config::PoolConfig {
            max_connecting: random.between(1, 2) as usize,
            ..config(random.between(1, 4) as usize)
        };
        let cluster = Cluster::new(limits, dialler);
        endpoints.truncate(random.between(1, 2) as usize);
        let workers = (0..random.between(2, 3)).map(|_| {
            let inbox: Arc<Mutex<VecDeque<Message>>> = Arc::default();
            let post = Arc::clone(&inbox);
            let shard = cluster.aggregator.own_shard();
            let pool = ClusterPool::new(&cluster.shared, &shard, move |message| {
                post.lock().unwrap().push_back(message);
            });
            Worker { pool, inbox }
        });
        Self {
            workers: workers.collect(),
            random,
            cluster,
            gate,
            endpoints,
            waiting: Vec::new(),
            leases: Vec::new(),
            log: Vec::new(),
        }
    }

    async fn step(&mut self) {
        match self.random.below(100) {
            0..25 => self.check_out(),
            25..33 => self.cancel(),
            33..55 => self.give_back(),
            55..65 => self.let_one_open().await,
            65..67 => self.disturb(),
            _ => {
                let worker = self.random.below(self.workers.len() as u64) as usize;
                self.deliver(worker);
            }
        }
        // Not always: what is set aside for a waiter may lie there for a while.
        if self.random.percent(70) {
            self.poll();
        }
    }

    fn check_out(&mut self) {
        let worker = self.random.below(self.workers.len() as u64) as usize;
        let endpoint = self.random.below(self.endpoints.len() as u64) as usize;
        self.log.push(format!("check out {worker} {endpoint}"));
        let pool = Rc::clone(&self.workers[worker].pool);
        let endpoint = Arc::clone(&self.endpoints[endpoint]);
        let mut checkout: Waiting = Box::pin(async move {
            let now = Instant::now();
            pool.checkout(&endpoint, 0, now, deadline(LONG)).await
        });
        // The first poll draws the ticket.
        match checkout
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(lease) => self.leases.push(lease.unwrap()),
            Poll::Pending => self.waiting.push(checkout),
        }
    }

    fn cancel(&mut self) {
        if !self.waiting.is_empty() {
            let which = self.random.below(self.waiting.len() as u64) as usize;
            self.log.push(format!("cancel {which}"));
            drop(self.waiting.remove(which));
        }
    }

    fn give_back(&mut self) {
        if !self.leases.is_empty() {
            let which = self.random.below(self.leases.len() as u64) as usize;
            let lease = self.leases.remove(which);
            let well = self.random.percent(75);
            self.log.push(format!("give back {which}, {well}"));
            match well {
                true => lease.checkin(Instant::now()),
                false => lease.discard(CloseReason::ClientGone),
            }
        }
    }

    /// One of the openings under way comes to its end.
    async fn let_one_open(&mut self) {
        // They reach the gate when their task first runs.
        yield_now().await;
        if self.cluster.dialler.at_gate.load(Ordering::SeqCst) == 0 {
            return;
        }
        self.log.push("open".into());
        let dialler = Arc::clone(&self.cluster.dialler);
        let passed = || dialler.passed.load(Ordering::SeqCst);
        let before = passed();
        self.gate.add_permits(1);
        until("it is open", || passed() > before).await;
        yield_now().await;
    }

    fn disturb(&mut self) {
        let shared = &self.cluster.shared;
        self.log.push("disturb".into());
        match (shared.is_paused(), self.random.percent(50)) {
            (true, _) => shared.resume(),
            (false, true) => shared.pause(),
            (false, false) => {
                let which = self.random.below(self.endpoints.len() as u64) as usize;
                shared.retire(self.endpoints[which].id, false);
            }
        }
    }

    fn deliver(&mut self, which: usize) -> bool {
        let worker = &self.workers[which];
        let message = worker.inbox.lock().unwrap().pop_front();
        let is_some = message.is_some();
        if let Some(message) = message {
            self.log
                .push(format!("deliver {} to {which}", name(&message)));
            worker.pool.take(message);
        }
        is_some
    }

    fn poll(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        for mut waiting in std::mem::take(&mut self.waiting) {
            match waiting.as_mut().poll(&mut context) {
                Poll::Pending => self.waiting.push(waiting),
                Poll::Ready(Ok(lease)) => self.leases.push(lease),
                Poll::Ready(Err(CheckoutError::Retired { .. })) => {}
                Poll::Ready(Err(error)) => panic!("{error}"),
            }
        }
    }

    /// Lets everything that is under way come to its end, without giving anything back.
    async fn settle(&mut self, seed: u64) {
        let before = self.log.len();
        loop {
            assert!(
                self.log.len() < before + MOST_MESSAGES,
                "NARROWS_POOL_SEED={seed}: messages without end\n{:#?}\n{}",
                &self.log[before..before + 60],
                self.describe(),
            );
            let delivered = (0..self.workers.len()).any(|worker| self.deliver(worker));
            self.poll();
            if !delivered {
                if self.cluster.shared.connecting() == 0 {
                    return;
                }
                self.let_one_open().await;
            }
        }
    }

    fn describe(&self) -> String {
        let pools = self.workers.iter().map(|worker| describe(&worker.pool));
        pools.collect::<Vec<_>>().join("\n")
    }

    async fn end(mut self, seed: u64) {
        self.cluster.shared.resume();
        loop {
            self.settle(seed).await;
            let shared = &self.cluster.shared;
            let (waiting, lent) = (self.waiting.len(), self.leases.len());
            let all_lent = lent == shared.max_connections();
            assert!(
                waiting == 0 || all_lent,
                "NARROWS_POOL_SEED={seed}: {waiting} wait, {lent} are lent\n{:#?}\n{}",
                self.log,
                self.describe(),
            );
            if waiting == 0 && lent == 0 {
                break;
            }
            self.give_back();
        }
        self.cluster.assert_quiet();
    }
}

fn name(message: &Message) -> &'static str {
    use super::super::shared::Kind;
    match &message.0 {
        Kind::Wanted { evict: false, .. } => "wanted: a connection",
        Kind::Wanted { evict: true, .. } => "wanted: a place",
        Kind::Denied { .. } => "denied",
        Kind::Parcel(_) => "a connection",
        Kind::Room { .. } => "room",
        Kind::TryAgain => "try again",
        Kind::Changed => "changed",
        Kind::Retired(_) => "retired",
    }
}
