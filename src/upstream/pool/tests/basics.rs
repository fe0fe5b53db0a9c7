//! One worker.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, spawn_local, yield_now};

use super::super::*;
use super::support::{
    Cluster, Dialler, LONG, Server, config, deadline, echo, join, on_worker, until,
};
use crate::upstream::Endpoint;

async fn checkout(pool: &Rc<ClusterPool>, endpoint: &Arc<Endpoint>) -> Lease {
    checkout_as(pool, endpoint, 0).await
}

async fn checkout_as(pool: &Rc<ClusterPool>, endpoint: &Arc<Endpoint>, credential: u32) -> Lease {
    pool.checkout(endpoint, credential, Instant::now(), deadline(LONG))
        .await
        .expect("a connection")
}

fn waiting(
    pool: &Rc<ClusterPool>,
    endpoint: &Arc<Endpoint>,
    credential: u32,
) -> JoinHandle<Result<Lease, CheckoutError>> {
    let (pool, endpoint) = (Rc::clone(pool), Arc::clone(endpoint));
    spawn_local(async move {
        let now = Instant::now();
        pool.checkout(&endpoint, credential, now, deadline(LONG))
            .await
    })
}

#[test]
fn a_connection_that_came_back_is_lent_again_the_last_one_first() {
    on_worker(async {
        let (server, cluster) = (Server::start(), Cluster::new(config(4), Dialler::default()));
        let pool = join(&cluster.shared, &cluster.aggregator.own_shard());
        let now = Instant::now();
        assert!(pool.try_checkout(server.endpoint.id, 0, now).is_none());
        let mut first = checkout(&pool, &server.endpoint).await;
        let mut second = checkout(&pool, &server.endpoint).await;
        assert!(!first.is_reused() && first.max_wire() == 17);
        echo(&mut first, b'a').await.unwrap();
        echo(&mut second, b'b').await.unwrap();
        let address = second.stream().tcp().local_addr().unwrap();
        first.checkin(Instant::now());
        second.checkin(Instant::now());
        let mut again = pool.try_checkout(server.endpoint.id, 0, now).unwrap();
        assert!(again.is_reused());
        assert_eq!(again.stream().tcp().local_addr().unwrap(), address);
        assert!(pool.try_checkout(server.endpoint.id, 1, now).is_none());
        again.checkin(Instant::now());
        assert_eq!(server.state.accepted.load(Ordering::SeqCst), 2);
        cluster.assert_quiet();
    });
}

#[test]
fn no_more_than_the_limit_are_open_and_those_who_wait_are_served_in_order() {
    on_worker(async {
        let (server, cluster) = (Server::start(), Cluster::new(config(2), Dialler::default()));
        let pool = join(&cluster.shared, &cluster.aggregator.own_shard());
        let first = checkout(&pool, &server.endpoint).await;
        let second = checkout(&pool, &server.endpoint).await;
        let mut waiters: Vec<_> = (0..5)
            .map(|_| waiting(&pool, &server.endpoint, 0))
            .collect();
        until("five wait", || cluster.shared.waiting() == 5).await;
        // One leaves from the middle.
        waiters.remove(2).abort();
        until("four wait", || cluster.shared.waiting() == 4).await;
        let mut leases = vec![first, second];
        for waiter in waiters {
            assert!(!waiter.is_finished());
            leases.remove(0).checkin(Instant::now());
            leases.push(waiter.await.unwrap().unwrap());
        }
        drop(leases);
        cluster.assert_quiet();
        assert_eq!(cluster.dialler.tried.load(Ordering::SeqCst), 2);
        assert_eq!(cluster.shared.open(), 0, "dropped leases are closed");
    });
}

#[test]
fn a_lease_that_is_dropped_or_discarded_makes_room_for_who_waits() {
    on_worker(async {
        let (server, cluster) = (Server::start(), Cluster::new(config(1), Dialler::default()));
        let pool = join(&cluster.shared, &cluster.aggregator.own_shard());
        let lease = checkout(&pool, &server.endpoint).await;
        let waiter = waiting(&pool, &server.endpoint, 0);
        until("one waits", || cluster.shared.waiting() == 1).await;
        drop(lease);
        let lease = waiter.await.unwrap().unwrap();
        assert!(!lease.is_reused());
        let waiter = waiting(&pool, &server.endpoint, 0);
        until("one waits", || cluster.shared.waiting() == 1).await;
        lease.discard(CloseReason::UpstreamError);
        let lease = waiter.await.unwrap().unwrap();
        until("three were accepted", || {
            server.state.accepted.load(Ordering::SeqCst) == 3
        })
        .await;
        assert_eq!(server.state.most.load(Ordering::SeqCst), 1);
        lease.checkin(Instant::now());
        cluster.assert_quiet();
    });
}

#[test]
fn a_connection_that_the_server_closed_or_spoke_on_is_not_lent() {
    on_worker(async {
        use tokio::io::AsyncWriteExt;
        let (server, cluster) = (Server::start(), Cluster::new(config(2), Dialler::default()));
        let pool = join(&cluster.shared, &cluster.aggregator.own_shard());
        let closed = checkout(&pool, &server.endpoint).await;
        let mut spoken = checkout(&pool, &server.endpoint).await;
        spoken.stream().write_all(b"x").await.unwrap();
        spoken.stream().readable().await.unwrap();
        spoken.checkin(Instant::now());
        assert!(
            pool.try_checkout(server.endpoint.id, 0, Instant::now())
                .is_none()
        );
        assert_eq!(cluster.shared.open(), 1);
        closed.checkin(Instant::now());
        server.state.close_all();
        until("the janitor has seen it", || {
            pool.tick(Instant::now());
            cluster.shared.open() == 0
        })
        .await;
        assert!(
            pool.try_checkout(server.endpoint.id, 0, Instant::now())
                .is_none()
        );
        cluster.assert_quiet();
    });
}

#[test]
fn the_queue_is_bounded_but_who_gets_a_connection_of_its_own_does_not_count() {
    on_worker(async {
        let limits = crate::config::PoolConfig {
            max_waiting: 1,
            ..config(1)
        };
        let (server, cluster) = (Server::start(), Cluster::new(limits, Dialler::default()));
        let pool = join(&cluster.shared, &cluster.aggregator.own_shard());
        cluster.set(crate::config::PoolConfig {
            max_waiting: 0,
            ..config(1)
        });
        let lease = checkout(&pool, &server.endpoint).await;
        let refused = waiting(&pool, &server.endpoint, 0).await.unwrap();
        let limit = 0;
        let cluster_name: Arc<str> = "orders".into();
        assert_eq!(
            refused.err(),
            Some(CheckoutError::QueueFull {
                cluster: cluster_name,
                limit
            })
        );
        cluster.set(crate::config::PoolConfig {
            max_waiting: 1,
            ..config(1)
        });
        let waiter = waiting(&pool, &server.endpoint, 0);
        yield_now().await;
        assert!(matches!(
            waiting(&pool, &server.endpoint, 0).await.unwrap(),
            Err(CheckoutError::QueueFull { limit: 1, .. })
        ));
        lease.checkin(Instant::now());
        waiter.await.unwrap().unwrap().checkin(Instant::now());
        cluster.assert_quiet();
    });
}

#[test]
fn who_waits_for_too_long_is_told_so_and_leaves_the_queue() {
    on_worker(async {
        let (server, cluster) = (Server::start(), Cluster::new(config(1), Dialler::default()));
        let pool = join(&cluster.shared, &cluster.aggregator.own_shard());
        let lease = checkout(&pool, &server.endpoint).await;
        let now = Instant::now();
        let soon = deadline(Duration::from_millis(20));
        let error = pool.checkout(&server.endpoint, 0, now, soon).await.err();
        let Some(CheckoutError::TimedOut {
            waited, limit: 1, ..
        }) = error
        else {
            panic!("{error:?}");
        };
        assert!(waited >= Duration::from_millis(20));
        assert_eq!(cluster.shared.waiting(), 0);
        lease.checkin(Instant::now());
        // A deadline that has passed is no obstacle when a connection is at hand.
        let past = deadline(Duration::ZERO);
        pool.checkout(&server.endpoint, 0, now, past)
            .await
            .unwrap()
            .checkin(now);
        cluster.assert_quiet();
    });
}

#[test]
fn what_was_set_aside_for_a_waiter_that_left_goes_to_the_next() {
    on_worker(async {
        let (server, cluster) = (Server::start(), Cluster::new(config(1), Dialler::default()));
        let pool = join(&cluster.shared, &cluster.aggregator.own_shard());
        let lease = checkout(&pool, &server.endpoint).await;
        let (first, second) = (
            waiting(&pool, &server.endpoint, 0),
            waiting(&pool, &server.endpoint, 0),
        );
        until("two wait", || cluster.shared.waiting() == 2).await;
        lease.checkin(Instant::now());
        assert_eq!(cluster.shared.waiting(), 1);
        first.abort();
        let lease = second.await.unwrap().unwrap();
        assert!(lease.is_reused());
        let third = waiting(&pool, &server.endpoint, 0);
        until("one waits", || cluster.shared.waiting() == 1).await;
        lease.checkin(Instant::now());
        third.abort();
        let _ = third.await;
        cluster.assert_quiet();
        assert_eq!(
            cluster.shared.open(),
            1,
            "nobody else wanted it: it is idle"
        );
    });
}

#[test]
fn an_opening_goes_on_without_its_waiter_and_serves_whoever_is_first() {
    on_worker(async {
        let gate = Arc::new(Semaphore::new(0));
        let dialler = Dialler {
            gate: Some(Arc::clone(&gate)),
            ..Dialler::default()
        };
        let (server, cluster) = (Server::start(), Cluster::new(config(8), dialler));
        let pool = join(&cluster.shared, &cluster.aggregator.own_shard());
        let mut waiters: Vec<_> = (0..4)
            .map(|_| waiting(&pool, &server.endpoint, 0))
            .collect();
        until("two are being opened", || {
            cluster.dialler.tried.load(Ordering::SeqCst) == 2
        })
        .await;
        assert_eq!((cluster.shared.connecting(), cluster.shared.open()), (2, 2));
        waiters.remove(0).abort();
        gate.add_permits(1);
        let lease = waiters.remove(0).await.unwrap().unwrap();
        until("the third is being opened", || {
            cluster.dialler.tried.load(Ordering::SeqCst) == 3
        })
        .await;
        // What comes back in the meantime serves one who waits.
        lease.checkin(Instant::now());
        let lease = waiters.remove(0).await.unwrap().unwrap();
        gate.add_permits(2);
        let last = waiters.remove(0).await.unwrap().unwrap();
        until("all openings have ended", || {
            cluster.shared.connecting() == 0
        })
        .await;
        lease.checkin(Instant::now());
        last.checkin(Instant::now());
        cluster.assert_quiet();
        assert_eq!(cluster.shared.open(), 3);
    });
}

#[test]
fn an_idle_connection_of_another_key_gives_up_its_place() {
    on_worker(async {
        let (one, other) = (Server::start(), Server::start());
        let cluster = Cluster::new(config(2), Dialler::default());
        let pool = join(&cluster.shared, &cluster.aggregator.own_shard());
        let (a, b) = (
            checkout(&pool, &one.endpoint).await,
            checkout_as(&pool, &one.endpoint, 1).await,
        );
        a.checkin(Instant::now());
        b.checkin(Instant::now());
        let c = checkout(&pool, &other.endpoint).await;
        until("one each", || {
            (one.state.open(), other.state.open()) == (1, 1)
        })
        .await;
        // The one that came back first has gone.
        assert!(
            pool.try_checkout(one.endpoint.id, 0, Instant::now())
                .is_none()
        );
        let b = pool
            .try_checkout(one.endpoint.id, 1, Instant::now())
            .unwrap();
        // One that comes back gives up its place for who waits for another key.
        let waiter = waiting(&pool, &one.endpoint, 0);
        until("one waits", || cluster.shared.waiting() == 1).await;
        c.checkin(Instant::now());
        let d = waiter.await.unwrap().unwrap();
        until("both to the first", || {
            (one.state.open(), other.state.open()) == (2, 0)
        })
        .await;
        b.checkin(Instant::now());
        d.checkin(Instant::now());
        cluster.assert_quiet();
    });
}

#[test]
fn a_failure_is_told_to_the_first_and_the_endpoint_is_left_alone_for_a_while() {
    on_worker(async {
        let (server, cluster) = (Server::start(), Cluster::new(config(4), Dialler::default()));
        let pool = join(&cluster.shared, &cluster.aggregator.own_shard());
        cluster.dialler.fails.store(true, Ordering::SeqCst);
        let first = waiting(&pool, &server.endpoint, 0).await.unwrap();
        let Some(CheckoutError::Open { error, .. }) = first.err() else {
            panic!("no error");
        };
        assert_eq!(error.kind, OpenErrorKind::Refused);
        let tried = cluster.dialler.tried.load(Ordering::SeqCst);
        let again = waiting(&pool, &server.endpoint, 0).await.unwrap();
        assert!(matches!(again.err(), Some(CheckoutError::Open { .. })));
        assert_eq!(cluster.dialler.tried.load(Ordering::SeqCst), tried);
        // Another credential is another matter.
        cluster.dialler.fails.store(false, Ordering::SeqCst);
        checkout_as(&pool, &server.endpoint, 1)
            .await
            .checkin(Instant::now());
        // After the pause it is tried again.
        let lease = loop {
            match waiting(&pool, &server.endpoint, 0).await.unwrap() {
                Ok(lease) => break lease,
                Err(CheckoutError::Open { .. }) => {
                    tokio::time::sleep(Duration::from_millis(5)).await
                }
                Err(error) => panic!("{error}"),
            }
        };
        lease.checkin(Instant::now());
        cluster.assert_quiet();
        assert_eq!(cluster.shared.open(), 2);
    });
}

#[test]
fn while_others_are_open_a_failed_opening_fails_nobody() {
    on_worker(async {
        let (server, cluster) = (Server::start(), Cluster::new(config(4), Dialler::default()));
        let pool = join(&cluster.shared, &cluster.aggregator.own_shard());
        let lease = checkout(&pool, &server.endpoint).await;
        cluster.dialler.fails.store(true, Ordering::SeqCst);
        let waiter = waiting(&pool, &server.endpoint, 0);
        until("it was tried", || {
            cluster.dialler.tried.load(Ordering::SeqCst) == 2
        })
        .await;
        until("it has failed", || cluster.shared.connecting() == 0).await;
        assert!(!waiter.is_finished());
        lease.checkin(Instant::now());
        let lease = waiter.await.unwrap().unwrap();
        // Who waits when the pause is over has an attempt made for it, without anything happening.
        let waiter = waiting(&pool, &server.endpoint, 0);
        cluster.dialler.fails.store(false, Ordering::SeqCst);
        waiter.await.unwrap().unwrap().checkin(Instant::now());
        lease.checkin(Instant::now());
        cluster.assert_quiet();
    });
}

#[test]
fn a_paused_pool_lends_nothing_and_closes_what_comes_back() {
    on_worker(async {
        let (server, cluster) = (Server::start(), Cluster::new(config(4), Dialler::default()));
        let pool = join(&cluster.shared, &cluster.aggregator.own_shard());
        let (lent, idle) = (
            checkout(&pool, &server.endpoint).await,
            checkout(&pool, &server.endpoint).await,
        );
        idle.checkin(Instant::now());
        cluster.shared.pause();
        assert!(
            pool.try_checkout(server.endpoint.id, 0, Instant::now())
                .is_none()
        );
        until("the idle one is closed", || cluster.shared.open() == 1).await;
        let waiter = waiting(&pool, &server.endpoint, 0);
        until("one waits", || cluster.shared.waiting() == 1).await;
        lent.checkin(Instant::now());
        assert_eq!(cluster.shared.open(), 0);
        yield_now().await;
        assert!(!waiter.is_finished());
        cluster.shared.resume();
        waiter.await.unwrap().unwrap().checkin(Instant::now());
        cluster.assert_quiet();
    });
}

#[test]
fn a_retired_endpoint_is_left_by_all() {
    on_worker(async {
        let (server, cluster) = (Server::start(), Cluster::new(config(2), Dialler::default()));
        let pool = join(&cluster.shared, &cluster.aggregator.own_shard());
        let (lent, idle) = (
            checkout(&pool, &server.endpoint).await,
            checkout(&pool, &server.endpoint).await,
        );
        idle.checkin(Instant::now());
        cluster.shared.retire(server.endpoint.id, false);
        // Even before the message arrives.
        assert!(
            pool.try_checkout(server.endpoint.id, 0, Instant::now())
                .is_none()
        );
        lent.checkin(Instant::now());
        assert_eq!(cluster.shared.open(), 0);
        let (a, b) = (
            checkout(&pool, &server.endpoint).await,
            checkout(&pool, &server.endpoint).await,
        );
        let waiter = waiting(&pool, &server.endpoint, 0);
        until("one waits", || cluster.shared.waiting() == 1).await;
        cluster.shared.retire(server.endpoint.id, true);
        assert!(matches!(
            waiter.await.unwrap().err(),
            Some(CheckoutError::Retired { .. })
        ));
        a.checkin(Instant::now());
        b.checkin(Instant::now());
        cluster.assert_quiet();
        assert_eq!(cluster.shared.open(), 0);
    });
}

#[test]
fn old_and_unused_connections_are_closed_and_a_few_are_kept() {
    on_worker(async {
        let limits = crate::config::PoolConfig {
            min_idle: 2,
            idle_timeout: Some(Duration::from_secs(60)),
            max_lifetime: Some(Duration::from_secs(600)),
            ..config(4)
        };
        let (server, cluster) = (Server::start(), Cluster::new(limits, Dialler::default()));
        let pool = join(&cluster.shared, &cluster.aggregator.own_shard());
        let leases = [
            checkout(&pool, &server.endpoint).await,
            checkout(&pool, &server.endpoint).await,
            checkout(&pool, &server.endpoint).await,
        ];
        let now = Instant::now();
        for lease in leases {
            lease.checkin(now);
        }
        pool.tick(now + Duration::from_secs(59));
        assert_eq!(cluster.shared.open(), 3);
        pool.tick(now + Duration::from_secs(60));
        assert_eq!(cluster.shared.open(), 2);
        pool.tick(now + Duration::from_secs(539));
        assert_eq!(
            cluster.shared.open(),
            2,
            "no life is shorter than nine tenths"
        );
        // At checkin, too.
        let lease = pool.try_checkout(server.endpoint.id, 0, now).unwrap();
        lease.checkin(now + Duration::from_secs(601));
        assert_eq!(cluster.shared.open(), 1);
        cluster
            .shared
            .keep_open_to(vec![Arc::clone(&server.endpoint)]);
        pool.tick(now + Duration::from_secs(601));
        for _ in 0..3 {
            until("it is open", || cluster.shared.connecting() == 0).await;
            pool.tick(Instant::now());
        }
        until("it is open", || cluster.shared.connecting() == 0).await;
        assert_eq!(cluster.shared.open(), 2, "as many as are to be kept");
        cluster.assert_quiet();
    });
}

#[test]
fn a_lower_limit_closes_what_is_too_much_and_a_higher_one_serves_who_waits() {
    on_worker(async {
        let (server, cluster) = (Server::start(), Cluster::new(config(3), Dialler::default()));
        let pool = join(&cluster.shared, &cluster.aggregator.own_shard());
        let (a, b, c) = (
            checkout(&pool, &server.endpoint).await,
            checkout(&pool, &server.endpoint).await,
            checkout(&pool, &server.endpoint).await,
        );
        a.checkin(Instant::now());
        cluster.set(config(1));
        until("the idle one is closed", || cluster.shared.open() == 2).await;
        b.checkin(Instant::now());
        assert_eq!(cluster.shared.open(), 1);
        let waiter = waiting(&pool, &server.endpoint, 0);
        until("one waits", || cluster.shared.waiting() == 1).await;
        cluster.set(config(2));
        let d = waiter.await.unwrap().unwrap();
        c.checkin(Instant::now());
        d.checkin(Instant::now());
        cluster.assert_quiet();
    });
}

#[test]
fn long_waits_have_a_share_of_their_own() {
    on_worker(async {
        let cluster = Cluster::new(config(4), Dialler::default());
        let pool = join(&cluster.shared, &cluster.aggregator.own_shard());
        let (a, b) = (
            pool.try_acquire_long_wait().unwrap(),
            pool.try_acquire_long_wait().unwrap(),
        );
        assert!(pool.try_acquire_long_wait().is_none());
        let waiter = spawn_local({
            let pool = Rc::clone(&pool);
            async move { pool.acquire_long_wait(Instant::now(), deadline(LONG)).await }
        });
        until("one waits", || pool.long_waiters() == 1).await;
        let soon = deadline(Duration::from_millis(5));
        let late = pool.acquire_long_wait(Instant::now(), soon).await;
        assert!(matches!(
            late.err(),
            Some(CheckoutError::TimedOut { limit: 2, .. })
        ));
        drop(a);
        let a = waiter.await.unwrap().unwrap();
        // A lower limit takes effect as they come back.
        cluster.set(config(2));
        drop(a);
        assert!(pool.try_acquire_long_wait().is_none());
        cluster.set(config(4));
        let a = pool.try_acquire_long_wait().unwrap();
        assert!(pool.try_acquire_long_wait().is_none());
        drop((a, b));
        cluster.assert_quiet();
    });
}

#[test]
fn a_pool_that_winds_down_keeps_nothing_but_serves_who_still_comes() {
    on_worker(async {
        let (server, cluster) = (Server::start(), Cluster::new(config(2), Dialler::default()));
        let pool = join(&cluster.shared, &cluster.aggregator.own_shard());
        let (lent, idle) = (
            checkout(&pool, &server.endpoint).await,
            checkout(&pool, &server.endpoint).await,
        );
        idle.checkin(Instant::now());
        pool.wind_down();
        assert_eq!(cluster.shared.open(), 1);
        let late = checkout(&pool, &server.endpoint).await;
        lent.checkin(Instant::now());
        late.checkin(Instant::now());
        assert_eq!(cluster.shared.open(), 0);
        assert!(pool.is_empty());
    });
}

#[test]
fn what_happened_is_counted_by_reason() {
    on_worker(async {
        let (server, mut cluster) = (Server::start(), Cluster::new(config(1), Dialler::default()));
        let pool = join(&cluster.shared, &cluster.aggregator.own_shard());
        let mut lease = checkout(&pool, &server.endpoint).await;
        lease.moved(3, 5);
        let soon = deadline(Duration::from_millis(1));
        let late = pool.checkout(&server.endpoint, 0, Instant::now(), soon);
        assert!(late.await.is_err());
        lease.checkin(Instant::now());
        let mut lease = checkout(&pool, &server.endpoint).await;
        lease.moved(4, 6);
        drop(lease);
        let mut lease = checkout(&pool, &server.endpoint).await;
        lease.moved(1, 1);
        lease.discard(CloseReason::UpstreamError);
        cluster.dialler.fails.store(true, Ordering::SeqCst);
        assert!(waiting(&pool, &server.endpoint, 0).await.unwrap().is_err());
        let by_endpoint = format!("endpoint.{}", server.endpoint.name);
        for (name, value) in [
            ("pool.checkouts", 3),
            ("pool.reused", 1),
            ("pool.wait_timeout", 1),
            ("pool.open_failed", 1),
            ("pool.opened.demand.total", 2),
            ("pool.closed.abandoned.total", 1),
            ("pool.closed.upstream_error.total", 1),
            ("upstream_cx_total", 2),
            ("upstream_cx_active", 0),
            ("upstream_cx_destroy", 2),
            ("upstream_cx_destroy_local", 1),
            ("upstream_cx_destroy_remote", 1),
            ("upstream_cx_destroy_with_active_rq", 2),
            ("upstream_cx_connect_fail", 1),
            ("upstream_cx_rx_bytes_total", 8),
            ("upstream_cx_tx_bytes_total", 12),
        ] {
            assert_eq!(cluster.stat(name).await, value, "{name}");
        }
        let shown = cluster.text().await;
        for line in [
            format!("cluster.orders.{by_endpoint}.cx_total: 2"),
            format!("cluster.orders.{by_endpoint}.cx_connect_fail: 1"),
        ] {
            assert!(shown.contains(&line), "{line} is not in\n{shown}");
        }
        cluster.aggregator.rotate();
        let shown = cluster.text().await;
        for histogram in ["wait_time_ms", "use_time_ms", "connect_time_ms"] {
            let line = format!("cluster.orders.pool.{histogram}: P0(");
            assert!(shown.contains(&line), "{line} is not in\n{shown}");
        }
    });
}
