//! Keeps what sessions share in step with what the servers are: on the control thread, from one change to the next.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::timeout;

use super::{Deployment, SharedMongo};
use crate::protocols::mongo::pins::PinCounts;
use crate::stats::{Pins, Scope, Shard};
use crate::upstream::{Cluster, EndpointId};

/// How often unused pins are looked for when no server changes.
const TICK: Duration = Duration::from_secs(1);

/// Pause between two tries of a login that was refused: the longest back-off of the pool.
const LOGIN_RETRY: Duration = Duration::from_secs(2);

/// Follows the servers of a cluster for as long as anybody uses it. Connections to one that is gone, or was seen failing, are closed, and
/// what lived on one that is gone is forgotten.
pub async fn keep(cluster: Weak<Cluster>, mut changed: watch::Receiver<u64>, shard: Shard) {
    let mut keeper = Keeper::default();
    let stats = cluster
        .upgrade()
        .map(|cluster| shard.scope(&[cluster.name.as_bytes()]));
    let Some(stats) = stats else { return };
    loop {
        // Either is a reason to look; which one it was makes no difference.
        let _ = timeout(TICK, changed.changed()).await;
        let Some(cluster) = cluster.upgrade() else {
            return;
        };
        if let Some(shared) = &cluster.mongo {
            keeper.look(shared, &stats);
            keeper.try_login(shared).await;
        }
    }
}

#[derive(Default)]
struct Keeper {
    /// The servers as they were, and whether they could be used.
    known: Vec<(EndpointId, bool)>,
    reported: PinCounts,
    last_login: Option<Instant>,
}

impl Keeper {
    fn look(&mut self, shared: &SharedMongo, stats: &Scope<Pins>) {
        let deployment = Arc::clone(&shared.servers.now());
        self.retire(shared, &deployment);
        shared.pins.expire(Instant::now(), |endpoint| {
            deployment.member(endpoint).is_some()
        });
        self.report(shared.pins.counts(), stats);
    }

    /// A refused login is tried again even when no client asks for a connection: a load balancer that heeds `/ready` sends none.
    async fn try_login(&mut self, shared: &SharedMongo) {
        let due = self
            .last_login
            .is_none_or(|last| shared.login_refused().is_some() && last.elapsed() >= LOGIN_RETRY);
        let endpoint = {
            let deployment = shared.servers.now();
            let usable = deployment.usable().next();
            usable.map(|member| Arc::clone(&member.endpoint))
        };
        if let Some(endpoint) = endpoint.filter(|_| due) {
            self.last_login = Some(Instant::now());
            shared.try_login(endpoint).await;
        }
    }

    fn retire(&mut self, shared: &SharedMongo, deployment: &Deployment) {
        for (endpoint, was_usable) in &self.known {
            match deployment.member(*endpoint) {
                None => shared.pool.retire(*endpoint, true),
                Some(member) if *was_usable && !member.is_usable() => {
                    shared.pool.retire(*endpoint, false);
                }
                Some(_) => {}
            }
        }
        let members = deployment.members.iter();
        self.known = members
            .map(|member| (member.endpoint.id, member.is_usable()))
            .collect();
        let usable = deployment.usable();
        shared
            .pool
            .keep_open_to(usable.map(|member| Arc::clone(&member.endpoint)).collect());
    }

    fn report(&mut self, counts: PinCounts, stats: &Scope<Pins>) {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        stats.gauge_set(Pins::CURSORS, gauge(counts.cursors));
        stats.gauge_set(Pins::TRANSACTIONS, gauge(counts.transactions));
        stats.add(Pins::EXPIRED, counts.expired - self.reported.expired);
        stats.add(Pins::REFUSED, counts.refused - self.reported.refused);
        self.reported = counts;
    }
}
