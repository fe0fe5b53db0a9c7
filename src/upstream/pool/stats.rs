//! What a worker counts of one pool.

use std::cell::OnceCell;
use std::time::{Duration, Instant};

use super::opening::OpenErrorKind;
use super::reason::{CloseReason, OpenReason};
use crate::stats::{
    Cluster, ClusterEndpoint, Counter, Gauge, Pool, PoolClosed, PoolOpened, Scope, Shard,
};
use crate::upstream::Endpoint;

/// The series of one pool, for one worker.
pub(super) struct PoolStats {
    shard: Shard,
    cluster_name: Box<[u8]>,
    pool: Scope<Pool>,
    cluster: Scope<Cluster>,
    opened: [OnceCell<Scope<PoolOpened>>; OpenReason::ALL.len()],
    closed: [OnceCell<Scope<PoolClosed>>; CloseReason::ALL.len()],
}

/// How a connection ended.
pub(super) struct Ended {
    pub(super) reason: CloseReason,
    /// It was lent at that time.
    pub(super) in_use: bool,
    pub(super) length: Duration,
    pub(super) received: u64,
    pub(super) sent: u64,
}

impl PoolStats {
    /// Looks the series up.
    pub(super) fn new(shard: &Shard, cluster: &str) -> Self {
        let name = cluster.as_bytes();
        Self {
            shard: shard.clone(),
            cluster_name: name.into(),
            pool: shard.scope(&[name]),
            cluster: shard.scope(&[name]),
            opened: Default::default(),
            closed: Default::default(),
        }
    }

    /// The series of an endpoint.
    pub(super) fn endpoint(&self, endpoint: &Endpoint) -> Scope<ClusterEndpoint> {
        self.shard
            .scope(&[&self.cluster_name, endpoint.name.as_bytes()])
    }

    /// Adds one.
    pub(super) fn inc(&self, counter: Counter<Pool>) {
        self.pool.inc(counter);
    }

    /// Brings a gauge up to date.
    pub(super) fn set(&self, gauge: Gauge<Pool>, value: usize) {
        self.pool
            .gauge_set(gauge, i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// A connection was lent; its operation waited for so long.
    pub(super) fn lent(&self, waited: Duration, reused: bool) {
        self.pool.inc(Pool::CHECKOUTS);
        if reused {
            self.pool.inc(Pool::REUSED);
        }
        self.pool.record(Pool::WAIT_TIME_MS, micros(waited));
    }

    /// A connection came back, or ended in use.
    pub(super) fn used(&self, time: Duration) {
        self.pool.record(Pool::USE_TIME_MS, micros(time));
    }

    /// A connection was opened, in so much time; the dial alone took `dialled`.
    pub(super) fn opened(
        &self,
        endpoint: &Scope<ClusterEndpoint>,
        reason: OpenReason,
        took: Duration,
        dialled: Duration,
    ) {
        self.pool.record(Pool::CONNECT_TIME_MS, micros(took));
        self.cluster
            .record(Cluster::UPSTREAM_CX_CONNECT_MS, micros(dialled));
        self.cluster.inc(Cluster::UPSTREAM_CX_TOTAL);
        self.cluster.gauge_add(Cluster::UPSTREAM_CX_ACTIVE, 1);
        endpoint.inc(ClusterEndpoint::CX_TOTAL);
        endpoint.gauge_add(ClusterEndpoint::CX_ACTIVE, 1);
        if let Some(cell) = self.opened.get(reason.index()) {
            cell.get_or_init(|| self.by_reason(reason.label()))
                .inc(PoolOpened::TOTAL);
        }
    }

    /// An opening failed.
    pub(super) fn open_failed(&self, endpoint: &Scope<ClusterEndpoint>, kind: OpenErrorKind) {
        self.pool.inc(Pool::OPEN_FAILED);
        self.cluster.inc(match kind {
            OpenErrorKind::TimedOut => Cluster::UPSTREAM_CX_CONNECT_TIMEOUT,
            _ => Cluster::UPSTREAM_CX_CONNECT_FAIL,
        });
        endpoint.inc(ClusterEndpoint::CX_CONNECT_FAIL);
    }

    /// A connection was closed. Workers' shares of a gauge are summed, so it does not matter which
    /// of them opened it.
    pub(super) fn closed(&self, endpoint: &Scope<ClusterEndpoint>, ended: &Ended) {
        let cluster = &self.cluster;
        cluster.gauge_add(Cluster::UPSTREAM_CX_ACTIVE, -1);
        endpoint.gauge_add(ClusterEndpoint::CX_ACTIVE, -1);
        cluster.inc(Cluster::UPSTREAM_CX_DESTROY);
        cluster.inc(match ended.reason.is_remote() {
            true => Cluster::UPSTREAM_CX_DESTROY_REMOTE,
            false => Cluster::UPSTREAM_CX_DESTROY_LOCAL,
        });
        if ended.in_use {
            cluster.inc(Cluster::UPSTREAM_CX_DESTROY_WITH_ACTIVE_RQ);
        }
        if ended.reason == CloseReason::IdleTimeout {
            cluster.inc(Cluster::UPSTREAM_CX_IDLE_TIMEOUT);
        }
        if ended.reason == CloseReason::Evicted {
            self.pool.inc(Pool::EVICTED);
        }
        cluster.record(Cluster::UPSTREAM_CX_LENGTH_MS, micros(ended.length));
        cluster.add(Cluster::UPSTREAM_CX_RX_BYTES_TOTAL, ended.received);
        cluster.add(Cluster::UPSTREAM_CX_TX_BYTES_TOTAL, ended.sent);
        if let Some(cell) = self.closed.get(ended.reason.index()) {
            cell.get_or_init(|| self.by_reason(ended.reason.label()))
                .inc(PoolClosed::TOTAL);
        }
    }

    /// A long wait began.
    pub(super) fn long_wait_began(&self) {
        self.pool.gauge_add(Pool::LONG_WAITS_ACTIVE, 1);
    }

    /// A long wait ended.
    pub(super) fn long_wait_ended(&self) {
        self.pool.gauge_add(Pool::LONG_WAITS_ACTIVE, -1);
    }

    fn by_reason<K: crate::stats::ScopeKind>(&self, label: &str) -> Scope<K> {
        self.shard.scope(&[&self.cluster_name, label.as_bytes()])
    }
}

/// Time between two moments, for a histogram.
pub(super) fn between(from: Instant, to: Instant) -> Duration {
    to.saturating_duration_since(from)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
