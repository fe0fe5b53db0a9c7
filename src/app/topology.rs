//! What runs: listeners and clusters, and how a new config becomes of them what it says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::config::{ClusterConfig, Config, ListenerConfig};
use crate::listener::{BindError, ListenerId, ListenerShared, Policy, bind_all};
use crate::runtime::{Message, Workers};
use crate::upstream::{Cluster, discovery};

/// How long a start or a reload waits for the names of its endpoints.
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
}

/// All listeners and clusters that run.
#[derive(Default)]
pub struct Topology {
    listeners: Vec<RunningListener>,
    clusters: Vec<RunningCluster>,
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
    pub async fn apply(&mut self, config: &Config, workers: &Workers) -> Result<(), BindError> {
        let planned = self.bind_new(config, workers.peers.len())?;
        let clusters = self.plan_clusters(config);
        let made: Vec<_> = clusters
            .iter()
            .map(|running| Arc::clone(&running.cluster))
            .collect();
        // A name server that does not answer delays nothing more than this; the look-ups go on.
        if timeout(FIRST_LOOK_UP, discovery::refresh(&made))
            .await
            .is_err()
        {
            tracing::warn!("not every endpoint could be looked up yet");
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
        self.clusters = clusters;
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

    /// A cluster whose config is the same stays: its endpoints keep their state.
    fn plan_clusters(&self, config: &Config) -> Vec<RunningCluster> {
        let plan = |config: &ClusterConfig| {
            let same = self
                .clusters
                .iter()
                .find(|running| running.config == *config)
                .map(|running| Arc::clone(&running.cluster));
            RunningCluster {
                cluster: same.unwrap_or_else(|| Arc::new(Cluster::new(config))),
                config: config.clone(),
            }
        };
        config.clusters.iter().map(plan).collect()
    }

    fn install(&mut self, plan: Planned, stats_enabled: bool, workers: &Workers) {
        let Some(cluster) = self
            .clusters
            .iter()
            .find(|running| running.config.name == plan.config.cluster)
            .map(|running| Arc::clone(&running.cluster))
        else {
            tracing::error!(listener = %plan.config.name, cluster = %plan.config.cluster, "unknown cluster: not served");
            return;
        };
        let policy = Policy {
            listener: plan.config.clone(),
            cluster,
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
        tracing::info!(listener = %config.name, %address, protocol = %config.protocol, cluster = %config.cluster, "listening");
        self.listeners.push(RunningListener {
            config,
            address,
            shared,
        });
    }
}

/// A listener is known by its address, so that renaming it drops no connection; one that lets the
/// kernel choose its port is known by its name.
fn same_place(config: &ListenerConfig, running: &RunningListener) -> bool {
    config.listen == running.config.listen
        && (config.listen.port() != 0 || config.name == running.config.name)
}
