//! What runs: listeners and clusters, and how a new config becomes of them what it says.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::timeout;

use crate::config::{
    ClusterConfig, Config, HttpMode, ListenerConfig, MongoMode, Protocol, RedisMode,
};
use crate::listener::{BindError, ListenerId, ListenerShared, Policy, bind_all};
use crate::protocols::http::route::RouteTable;
use crate::runtime::{Message, Workers};
use crate::stats::Shard;
use crate::upstream::mongo::{Monitoring, keeper};
use crate::upstream::{Cluster, SharedBy, discovery};

/// How long a start or a reload waits for the names of its endpoints, and for the first answers of MongoDB servers.
const FIRST_LOOK_UP: Duration = Duration::from_secs(2);

/// A listener that is served.
pub struct RunningListener {
    /// As configured.
    pub config: ListenerConfig,
    /// Where it really listens: the port that the kernel chose, when the config says 0.
    pub address: SocketAddr,
    /// What the workers share of it.
    pub shared: Arc<ListenerShared>,
}

/// A cluster, with the config it was made from.
struct RunningCluster {
    config: ClusterConfig,
    cluster: Arc<Cluster>,
    /// Asks its servers what they are, if a listener in mode collapse uses it.
    monitoring: Option<Monitoring>,
}

/// All listeners and clusters that run.
#[derive(Default)]
pub struct Topology {
    listeners: Vec<RunningListener>,
    clusters: Vec<RunningCluster>,
    /// Clusters of an earlier config, monitored until the last session that uses them has ended.
    former: Vec<(Weak<Cluster>, Monitoring)>,
    next_id: u64,
}

/// A listener of the new config, with sockets when nothing listens there yet.
struct Planned {
    config: ListenerConfig,
    sockets: Option<Vec<std::net::TcpListener>>,
}

impl Topology {
    /// Makes the new config run: first everything that can fail, then the change.
    ///
    /// # Errors
    /// When an address can't be bound. Nothing has changed then.
    pub async fn apply(
        &mut self,
        config: &Config,
        workers: &Workers,
        shard: &Shard,
    ) -> Result<(), BindError> {
        let planned = self.bind_new(config, workers.peers.len())?;
        let clusters = self.plan_clusters(config, shard);
        // A name server or a database that does not answer delays nothing more than this; the asking goes on.
        if timeout(FIRST_LOOK_UP, ready(&clusters)).await.is_err() {
            tracing::warn!("not every endpoint could be looked up and asked yet");
        }

        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.listeners)
            .into_iter()
            .partition(|running| {
                planned
                    .iter()
                    .any(|plan| plan.sockets.is_none() && same_place(&plan.config, running))
            });
        for running in gone {
            tracing::info!(listener = %running.config.name, address = %running.address, "no longer listening");
            workers.tell(|| Message::Unlisten(Arc::clone(&running.shared)));
        }
        self.listeners = kept;
        let replaced = std::mem::replace(&mut self.clusters, clusters);
        self.former
            .extend(replaced.into_iter().filter_map(|running| {
                let monitoring = running.monitoring?;
                monitoring.hide();
                Some((Arc::downgrade(&running.cluster), monitoring))
            }));
        for plan in planned {
            self.install(plan, config.stats.enabled, workers);
        }
        Ok(())
    }

    /// The listeners that run.
    pub fn listeners(&self) -> &[RunningListener] {
        &self.listeners
    }

    /// The clusters that run.
    pub fn clusters(&self) -> Vec<Arc<Cluster>> {
        self.clusters
            .iter()
            .map(|running| Arc::clone(&running.cluster))
            .collect()
    }

    /// The clusters of this name: the one that runs, and those of earlier configs that sessions still use.
    pub fn clusters_named(&self, name: &str) -> Vec<Arc<Cluster>> {
        let former = self
            .former
            .iter()
            .filter_map(|(cluster, _)| cluster.upgrade());
        let all = self.clusters().into_iter().chain(former);
        all.filter(|cluster| cluster.name == name).collect()
    }

    fn bind_new(&self, config: &Config, workers: usize) -> Result<Vec<Planned>, BindError> {
        let plan = |listener: &ListenerConfig| {
            let runs = self
                .listeners
                .iter()
                .any(|running| same_place(listener, running));
            let sockets = match runs {
                true => None,
                false => Some(bind_all(&listener.name, listener.listen, workers)?),
            };
            Ok(Planned {
                config: listener.clone(),
                sockets,
            })
        };
        config.listeners.iter().map(plan).collect()
    }

    /// Ends the monitoring of former clusters that no session uses any more.
    pub fn forget_former(&mut self) {
        self.former
            .retain(|(cluster, _)| cluster.strong_count() > 0);
    }

    /// A cluster whose config and use are the same, but for the limits of its pool, stays: its endpoints keep their state, its servers are
    /// asked on, and no connection is opened or closed beyond what the new limits ask for.
    fn plan_clusters(&mut self, config: &Config, shard: &Shard) -> Vec<RunningCluster> {
        let plan = |wanted: &ClusterConfig| {
            let shared_by = shared_by(config, &wanted.name);
            let same = |running: &RunningCluster| {
                let but_for_limits = ClusterConfig {
                    pool: running.config.pool.clone(),
                    ..wanted.clone()
                };
                running.config == but_for_limits && running.cluster.shared_by() == shared_by
            };
            if let Some(index) = self.clusters.iter().position(same) {
                let mut running = self.clusters.swap_remove(index);
                if running.config.pool != wanted.pool {
                    running.cluster.set_limits(wanted);
                }
                running.config = wanted.clone();
                return running;
            }
            let named = |running: &&RunningCluster| running.config.name == wanted.name;
            let before = self.clusters.iter().find(named);
            let tally = before.map(|running| Arc::clone(&running.cluster.tls_tally));
            let cluster = Arc::new(Cluster::new(wanted, shared_by, tally.unwrap_or_default()));
            if let Some(tls) = &wanted.tls {
                tls.warn(&wanted.name);
            }
            // Whoever drains a cluster resumes it; a reload in between is no reason to use its servers again.
            let was_drained = |running: &RunningCluster| {
                running.config.name == wanted.name && running.cluster.is_drained()
            };
            if self.clusters.iter().any(was_drained) {
                cluster.pools().for_each(|pool| pool.pause());
            }
            if let Some(servers) = cluster.servers() {
                let (cluster, changed) = (Arc::downgrade(&cluster), servers.changed());
                tokio::task::spawn_local(keeper::keep(cluster, changed, shard.clone()));
            }
            RunningCluster {
                config: wanted.clone(),
                monitoring: cluster
                    .servers()
                    .map(|servers| Monitoring::start(servers, shard)),
                cluster,
            }
        };
        config.clusters.iter().map(plan).collect()
    }

    /// What has not changed stays as it is, with the sessions that clients can take up again.
    fn keep_tls(&self, config: &mut ListenerConfig) {
        let running = self.listeners.iter().find(|it| same_place(config, it));
        match running {
            Some(running) if running.config.tls == config.tls => {
                config.tls.clone_from(&running.config.tls);
            }
            _ => {
                if let Some(tls) = &config.tls {
                    tls.warn(&config.name);
                }
            }
        }
    }

    fn install(&mut self, mut plan: Planned, stats_enabled: bool, workers: &Workers) {
        let named = |name: &String| {
            self.clusters
                .iter()
                .find(|running| running.config.name == *name)
                .map(|running| Arc::clone(&running.cluster))
        };
        let Some(clusters) = plan.config.clusters.iter().map(named).collect() else {
            tracing::error!(listener = %plan.config.name, clusters = %plan.config.clusters.join(","), "unknown cluster: not served");
            return;
        };
        self.keep_tls(&mut plan.config);
        let http = plan.config.http.as_ref();
        let policy = Policy {
            listener: plan.config.clone(),
            clusters,
            routes: http.map(|http| Arc::new(RouteTable::new(http))),
            stats_enabled,
        };
        match plan.sockets {
            None => {
                let running = self
                    .listeners
                    .iter_mut()
                    .find(|running| same_place(&plan.config, running));
                if let Some(running) = running {
                    running.shared.policy.store(Arc::new(policy));
                    running.config = plan.config;
                }
            }
            Some(sockets) => self.listen(plan.config, policy, sockets, workers),
        }
    }

    fn listen(
        &mut self,
        config: ListenerConfig,
        policy: Policy,
        sockets: Vec<std::net::TcpListener>,
        workers: &Workers,
    ) {
        let address = sockets
            .first()
            .and_then(|socket| socket.local_addr().ok())
            .unwrap_or(config.listen);
        let shared = Arc::new(ListenerShared::new(ListenerId(self.next_id), policy));
        self.next_id += 1;
        for (peer, socket) in workers.peers.iter().zip(sockets) {
            peer.send(Message::Listen {
                shared: Arc::clone(&shared),
                socket,
            });
        }
        tracing::info!(listener = %config.name, %address, protocol = %config.protocol, clusters = %config.clusters.join(","), "listening");
        self.listeners.push(RunningListener {
            config,
            address,
            shared,
        });
    }
}

/// Looks every name up, and waits until each MongoDB server has answered or failed once.
async fn ready(clusters: &[RunningCluster]) {
    let clusters: Vec<_> = clusters
        .iter()
        .map(|running| Arc::clone(&running.cluster))
        .collect();
    discovery::refresh(&clusters).await;
    for servers in clusters.iter().filter_map(|cluster| cluster.servers()) {
        servers.settled().await;
    }
}

fn shared_by(config: &Config, cluster: &str) -> SharedBy {
    let users = || {
        let listeners = config.listeners.iter();
        listeners.filter(|listener| listener.clusters.iter().any(|name| name == cluster))
    };
    SharedBy {
        mongo: users().any(|user| user.protocol == Protocol::Mongo(MongoMode::Collapse)),
        http: users().any(|user| user.protocol == Protocol::Http(HttpMode::Proxy)),
        redis: users().any(|user| user.protocol == Protocol::Redis(RedisMode::Collapse)),
    }
}

/// A listener is known by its address, so that renaming it drops no connection; one that lets the
/// kernel choose its port is known by its name.
fn same_place(config: &ListenerConfig, running: &RunningListener) -> bool {
    config.listen == running.config.listen
        && (config.listen.port() != 0 || config.name == running.config.name)
}
