//! What a pool looks like now, for the admin pages: read from any thread, without stopping anyone.
//! Each number is right; they need not be of the very same moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::SharedPool;

/// A pool, over all workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSnapshot {
    /// Most connections there may be.
    pub max_connections: usize,
    /// Connections open or being opened.
    pub open: usize,
    /// Connections being opened.
    pub connecting: usize,
    /// Operations that wait for a connection.
    pub waiting: usize,
    /// Long waits under way.
    pub long_waits_active: usize,
    /// Operations that wait for the right to a long wait.
    pub long_waits_waiting: usize,
    /// Nothing is lent.
    pub paused: bool,
    /// The keys, by endpoint and credential.
    pub keys: Vec<KeySnapshot>,
}

/// One endpoint under one credential, over all workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySnapshot {
    /// The endpoint's name.
    pub endpoint: Arc<str>,
    /// The credential's index.
    pub credential: u32,
    /// Connections lent.
    pub active: usize,
    /// Connections that nobody uses.
    pub idle: usize,
    /// Connections being opened.
    pub connecting: usize,
    /// Operations that wait for one of its connections.
    pub waiting: usize,
    /// How long the first of these has waited.
    pub longest_wait: Option<Duration>,
    /// Connections open.
    pub total: usize,
}

impl PoolSnapshot {
    /// How long the first of those who wait has waited.
    pub fn longest_wait(&self) -> Option<Duration> {
        let waits = self.keys.iter().filter_map(|key| key.longest_wait);
        waits.max()
    }
}

impl SharedPool {
    /// What the pool looks like now.
    pub fn snapshot(&self, now: Instant) -> PoolSnapshot {
        let mut keys = BTreeMap::new();
        for key in self.keys().values() {
            let mut sum = KeySnapshot {
                endpoint: key.endpoint.name.as_str().into(),
                credential: key.credential,
                active: 0,
                idle: 0,
                connecting: 0,
                waiting: 0,
                longest_wait: None,
                total: key.open.load(Ordering::Relaxed),
            };
            for share in key.shares().iter() {
                sum.active += share.active.load(Ordering::Relaxed);
                sum.idle += share.idle.load(Ordering::Relaxed);
                sum.connecting += share.connecting.load(Ordering::Relaxed);
                sum.waiting += share.waiting.load(Ordering::Relaxed);
                let since = share.waiting_since.load(Ordering::Relaxed);
                if since != u64::MAX {
                    sum.longest_wait = sum.longest_wait.max(Some(self.elapsed(since, now)));
                }
            }
            keys.insert((Arc::clone(&sum.endpoint), sum.credential), sum);
        }
        PoolSnapshot {
            max_connections: self.max_connections(),
            open: self.open(),
            connecting: self.connecting(),
            waiting: self.waiting(),
            long_waits_active: self.long_waits.active(),
            long_waits_waiting: self.long_waits.waiting(),
            paused: self.is_paused(),
            keys: keys.into_values().collect(),
        }
    }
}
