//! What the control thread holds, and what it can be asked.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use super::AppError;
use super::pool_stats::PoolStats;
use super::server_stats::ServerStats;
use super::tls_stats::TlsStats;
use super::topology::Topology;
use crate::config::{self, Config, ConfigError};
use crate::listener::BindError;
use crate::protocols::mongo::lifecycle::{Note, Tracker};
use crate::runtime::Workers;
use crate::stats::{Aggregator, Registry, Shard, Statsd};
use crate::upstream::{Cluster, Endpoint};

/// Everything the control thread owns.
pub struct Control {
    /// The config that is being served.
    pub config: Config,
    /// What runs.
    pub topology: Topology,
    /// All statistics.
    pub aggregator: Aggregator,
    source: Option<PathBuf>,
    workers: Arc<Workers>,
    shard: Shard,
    server: ServerStats,
    pools: PoolStats,
    tls: TlsStats,
    statsd: Option<Statsd>,
    trackers: HashMap<Arc<str>, Tracker>,
    draining: bool,
}

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The process was started from arguments.
    #[error("there is no config file to read again: the process was started with --listen")]
    NoFile,
    /// The new file has mistakes.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A new listener can't be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Something was changed that only a restart can change.
    #[error("{0} can't be changed by a reload; restart the process instead")]
    NeedsRestart(String),
    /// The process is about to end.
    #[error("the process is draining")]
    Draining,
}

impl Control {
    /// Starts workers and listeners. Also returns what the workers will note.
    ///
    /// # Errors
    /// When threads, addresses or the statsd sink are not to be had.
    pub async fn start(
        config: Config,
        source: Option<PathBuf>,
    ) -> Result<(Self, mpsc::UnboundedReceiver<Vec<Note>>), AppError> {
        let registry = Registry::new(&config.stats.limits);
        let mut aggregator = Aggregator::new(registry);
        let (notes, gathered) = mpsc::unbounded_channel();
        let mut seeds = Vec::new();
        for _ in 0..config.workers {
            seeds.push(aggregator.worker());
        }
        let workers = Workers::start(seeds, &notes).map_err(|source| AppError::System {
            what: "a worker thread can't be started",
            source,
        })?;
        let shard = aggregator.own_shard();
        let server = ServerStats::new(&shard, config.workers);
        let tls = TlsStats::new(&shard);
        let statsd = config
            .stats
            .statsd
            .as_ref()
            .map(|statsd| Statsd::new(statsd.clone(), &shard));
        let mut topology = Topology::default();
        topology.apply(&config, &workers, &shard).await?;
        let control = Self {
            config,
            topology,
            aggregator,
            source,
            workers: Arc::new(workers),
            shard,
            server,
            pools: PoolStats::default(),
            tls,
            statsd,
            trackers: HashMap::new(),
            draining: false,
        };
        Ok((control, gathered))
    }

    /// Reads the config file again and serves what it says, or changes nothing.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub async fn reload(&mut self) -> Result<(), ReloadError> {
        let result = self.try_reload().await;
        self.server.reloaded(result.is_ok());
        result
    }

    async fn try_reload(&mut self) -> Result<(), ReloadError> {
        if self.draining {
            return Err(ReloadError::Draining);
        }
        let path = self.source.as_deref().ok_or(ReloadError::NoFile)?;
        let new = config::load(path)?;
        let fixed = self.config.needs_restart(&new);
        if !fixed.is_empty() {
            let quoted: Vec<_> = fixed.iter().map(|key| format!("`{key}`")).collect();
            return Err(ReloadError::NeedsRestart(quoted.join(", ")));
        }
        // Of what is about to go, all that it has counted is kept.
        self.tls.update(&self.topology, &self.shard);
        self.topology
            .apply(&new, &self.workers, &self.shard)
            .await?;
        self.config = new;
        Ok(())
    }

    /// As [`Self::reload`]; what came of it goes to the log.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub async fn reload_and_log(&mut self) -> Result<(), ReloadError> {
        let result = self.reload().await;
        match &result {
            Ok(()) => tracing::info!("config reloaded"),
            Err(error) => tracing::error!("config not reloaded, the old one stays: {error}"),
        }
        result
    }

    /// Ends the interval: percentiles of "now" begin again, and statsd gets what changed.
    pub async fn flush(&mut self) {
        self.refresh().await;
        self.topology.forget_former();
        let now = Instant::now();
        for tracker in self.trackers.values_mut() {
            tracker.expire(now);
        }
        self.aggregator.rotate();
        for running in self.topology.listeners() {
            running.shared.hot_keys.rotate();
        }
        if let Some(statsd) = &mut self.statsd {
            statsd.flush(&mut self.aggregator).await;
        }
    }

    /// Gathers what the workers have counted up to now.
    pub async fn refresh(&mut self) {
        self.server.update(&self.workers, self.draining);
        self.pools.update(&self.topology.clusters(), &self.shard);
        self.tls.update(&self.topology, &self.shard);
        self.aggregator.refresh().await;
    }

    /// Takes in what a worker noted of cursors and transactions.
    pub fn take_notes(&mut self, gathered: Vec<Note>) {
        for note in gathered {
            let shard = &self.shard;
            self.trackers
                .entry(Arc::clone(&note.listener))
                .or_insert_with(|| Tracker::new(shard.scope(&[note.listener.as_bytes()])))
                .take(note.at, note.event);
        }
    }

    /// The clusters that run.
    pub fn clusters(&self) -> Vec<Arc<Cluster>> {
        self.topology.clusters()
    }

    /// False when a worker thread has died.
    pub fn workers_alive(&self) -> bool {
        self.workers.all_alive()
    }

    /// From now on `/ready` says no. The caller drains the workers it gets.
    pub fn begin_drain(&mut self) -> Arc<Workers> {
        self.draining = true;
        Arc::clone(&self.workers)
    }

    /// Why no traffic should be sent here; `None` when all is well.
    pub fn not_ready(&self) -> Option<String> {
        if self.draining {
            return Some("draining".into());
        }
        let clusters = self.topology.clusters();
        // Who drains a cluster wants its clients to wait, which they can't where no traffic is sent to.
        let mut wanted = clusters.iter().filter(|cluster| !cluster.is_drained());
        wanted.find_map(|cluster| unusable(cluster))
    }
}

/// Why nothing can be sent to a cluster; `None` when something can, as far as is known.
fn unusable(cluster: &Cluster) -> Option<String> {
    if let Some(servers) = cluster.servers() {
        let deployment = servers.now();
        let refused = cluster
            .mongo
            .as_ref()
            .and_then(|shared| shared.login_refused());
        return match refused {
            _ if !deployment.is_ready() => Some(deployment.why_not()),
            refused => refused.map(|why| format!("cluster `{}`: {why}", cluster.name)),
        };
    }
    let known = |endpoint: &Arc<Endpoint>| !endpoint.addresses().is_empty();
    (!cluster.endpoints.iter().any(known)).then(|| {
        format!(
            "cluster `{}`: no endpoint has a known address",
            cluster.name
        )
    })
}
