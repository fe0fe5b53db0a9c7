//! What the pools of all clusters are, where only a clock or the whole pool can tell.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::stats::{Pool, Scope, Shard};
use crate::upstream::Cluster;

/// The series of every cluster that has, or had, a pool.
#[derive(Default)]
pub(super) struct PoolStats {
    known: HashMap<String, Scope<Pool>>,
}

impl PoolStats {
    /// Brings the gauges up to date.
    pub(super) fn update(&mut self, clusters: &[Arc<Cluster>], shard: &Shard) {
        let now = Instant::now();
        // A cluster that is gone has no waiters.
        for stats in self.known.values() {
            set(stats, Duration::ZERO, false);
        }
        for cluster in clusters {
            let Some(pool) = cluster.pools().next() else {
                continue;
            };
            let stats = self
                .known
                .entry(cluster.name.clone())
                .or_insert_with(|| shard.scope(&[cluster.name.as_bytes()]));
            let snapshot = pool.snapshot(now);
            set(
                stats,
                snapshot.longest_wait().unwrap_or_default(),
                snapshot.paused,
            );
        }
    }
}

fn set(stats: &Scope<Pool>, longest_wait: Duration, paused: bool) {
    let micros = i64::try_from(longest_wait.as_micros()).unwrap_or(i64::MAX);
    stats.gauge_set(Pool::LONGEST_WAIT_MS, micros);
    stats.gauge_set(Pool::PAUSED, i64::from(paused));
}
