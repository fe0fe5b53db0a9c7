//! What the sessions of a listener need, in two halves: [`ListenerShared`] for the whole process,
//! [`ListenerContext`] for one worker, with every series looked up.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arc_swap::ArcSwap;

use crate::config::{HttpMode, ListenerConfig, MongoMode, Protocol, RedisMode};
use crate::protocols::http::route::RouteTable;
use crate::protocols::http::series::ClusterSeries;
use crate::protocols::http::{self, HttpListener};
use crate::protocols::inbox::Buffers;
use crate::protocols::mongo::collapse::CollapseListener;
use crate::protocols::mongo::{LongWaits, MongoListener, Notes};
use crate::protocols::redis::collapse::{CollapseListener as RedisCollapse, Upstream, Upstreams};
use crate::protocols::redis::{self, HotKeys, RedisListener};
use crate::protocols::tcp::TcpListenerStats;
use crate::stats::{
    Cluster as ClusterStat, ClusterEndpoint, Listener as ListenerStat, Scope, Shard,
};
use crate::tls::Tally;
use crate::upstream::http::HttpUpstream;
use crate::upstream::pool::{ClusterPool, SharedPool};
use crate::upstream::{Balance, Cluster};

/// Tells listeners apart for as long as the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(pub u64);

/// One listener, for all workers. A reload swaps its policy; the sockets stay.
pub struct ListenerShared {
    /// Its id.
    pub id: ListenerId,
    /// What the config says now.
    pub policy: ArcSwap<Policy>,
    /// Sessions over all workers, for `max_connections`.
    pub sessions: AtomicUsize,
    /// Cursors that may be waited on.
    pub long_waits: Arc<LongWaits>,
    /// The keys that are asked for most, of a Redis listener that counts them.
    pub hot_keys: HotKeys,
    /// How TLS handshakes go, whatever policy they are made under.
    pub tls_tally: Arc<Tally>,
}

/// The config of a listener and the clusters it leads to.
pub struct Policy {
    /// As configured.
    pub listener: ListenerConfig,
    /// Where its sessions go, in the order of the config's `clusters`.
    pub clusters: Vec<Arc<Cluster>>,
    /// Which of its requests go where, when it is an HTTP listener.
    pub routes: Option<Arc<RouteTable>>,
    /// False when all stats are switched off.
    pub stats_enabled: bool,
}

impl ListenerShared {
    /// A new listener.
    pub fn new(id: ListenerId, policy: Policy) -> Self {
        Self {
            id,
            policy: ArcSwap::from_pointee(policy),
            sessions: AtomicUsize::new(0),
            long_waits: Arc::default(),
            hot_keys: HotKeys::default(),
            tls_tally: Arc::default(),
        }
    }
}

/// One listener, as one worker sees it under one policy.
pub struct ListenerContext {
    /// The policy all of this was made for.
    pub policy: Arc<Policy>,
    /// The whole listener.
    pub shared: Arc<ListenerShared>,
    /// `listener.*`
    pub stats: Scope<ListenerStat>,
    /// Where its sessions go, in the order of the policy's clusters.
    pub targets: Vec<Target>,
    /// What the protocol keeps.
    pub protocol: ProtocolContext,
}

/// A cluster that a listener sends to, with its series.
pub struct Target {
    /// The cluster.
    pub cluster: Arc<Cluster>,
    /// `cluster.*`
    pub stats: Scope<ClusterStat>,
    /// `cluster.*.endpoint.*`, in the order of the cluster's endpoints.
    pub endpoints: Vec<Scope<ClusterEndpoint>>,
}

impl Target {
    fn new(cluster: &Arc<Cluster>, shard: &Shard) -> Self {
        let name = cluster.name.as_bytes();
        let endpoints = cluster.endpoints.iter();
        Self {
            stats: shard.scope(&[name]),
            endpoints: endpoints
                .map(|endpoint| shard.scope(&[name, endpoint.name.as_bytes()]))
                .collect(),
            cluster: Arc::clone(cluster),
        }
    }
}

/// The protocol's own part.
pub enum ProtocolContext {
    /// Opaque bytes.
    Tcp(Rc<TcpListenerStats>),
    /// MongoDB, tapped.
    Mongo(Rc<MongoListener>),
    /// MongoDB, many clients over few connections.
    Collapse(Rc<CollapseListener>),
    /// HTTP, each request where its route says.
    Http(Rc<HttpListener>),
    /// HTTP, tapped.
    HttpTap(Rc<HttpListener>),
    /// Redis, tapped.
    Redis(Rc<RedisListener>),
    /// Redis, many clients over few connections.
    RedisCollapse(Rc<RedisCollapse>),
}

/// What a listener is given by its worker.
pub struct WorkerParts<'a> {
    /// Where the worker counts.
    pub shard: &'a Shard,
    /// What it notes for the control thread.
    pub notes: &'a Notes,
    /// Its buffers for what clients send.
    pub buffers: &'a Rc<Buffers>,
    /// Its part of a pool.
    pub pool: &'a dyn Fn(&Arc<SharedPool>) -> Rc<ClusterPool>,
}

impl ListenerContext {
    /// Looks every series up.
    pub fn new(shared: &Arc<ListenerShared>, parts: &WorkerParts<'_>) -> Self {
        let shard = parts.shard;
        let policy = shared.policy.load_full();
        let name = policy.listener.name.as_bytes();
        let targets: Vec<_> = policy
            .clusters
            .iter()
            .map(|cluster| Target::new(cluster, shard))
            .collect();
        let protocol = match (policy.listener.protocol, targets.first()) {
            (Protocol::Mongo(mode), Some(target)) => {
                let mongo = Rc::new(MongoListener::new(
                    shard,
                    &policy.listener.name,
                    target.stats.clone(),
                    Arc::clone(&shared.long_waits),
                    Rc::clone(parts.notes),
                    policy.stats_enabled,
                ));
                match (mode, &target.cluster.mongo) {
                    (MongoMode::Collapse, Some(upstream)) => {
                        ProtocolContext::Collapse(Rc::new(CollapseListener::new(
                            mongo,
                            &target.cluster,
                            upstream,
                            (parts.pool)(&upstream.pool),
                            Rc::clone(parts.buffers),
                            &policy.listener,
                        )))
                    }
                    // A cluster has what collapse needs whenever a listener of that mode uses it.
                    _ => ProtocolContext::Mongo(mongo),
                }
            }
            (Protocol::Http(mode), _)
                if let (Some(config), Some(routes)) = (&policy.listener.http, &policy.routes) =>
            {
                let listener = Rc::new(HttpListener::new(http::Parts {
                    name: &policy.listener.name,
                    config: Arc::clone(config),
                    // Regular expressions have scratch space that workers would take turns at.
                    routes: Arc::new(RouteTable::clone(routes)),
                    upstreams: targets
                        .iter()
                        .map(|target| http_upstream(target, parts))
                        .collect(),
                    clusters: targets
                        .iter()
                        .map(|target| cluster_series(target, shard))
                        .collect(),
                    shard,
                    buffers: Rc::clone(parts.buffers),
                    idle_timeout: policy.listener.idle_timeout,
                    enabled: policy.stats_enabled,
                }));
                match mode {
                    HttpMode::Proxy => ProtocolContext::Http(listener),
                    HttpMode::Tap => ProtocolContext::HttpTap(listener),
                }
            }
            (Protocol::Redis(mode), Some(target)) => {
                let routed = redis_routed(&policy.listener, &targets);
                let routed = routed.iter().map(|target| target.stats.clone());
                let redis = Rc::new(RedisListener::new(
                    shard,
                    &policy.listener.name,
                    redis::Clusters {
                        name: &target.cluster.name,
                        own: &target.stats,
                        routed: &routed.collect::<Vec<_>>(),
                    },
                    &policy.listener.redis,
                    &shared.hot_keys,
                    policy.stats_enabled,
                ));
                match (mode, redis_upstreams(&policy.listener, &targets, parts)) {
                    (RedisMode::Collapse, Some(upstreams)) => {
                        ProtocolContext::RedisCollapse(Rc::new(RedisCollapse::new(
                            redis,
                            upstreams,
                            Rc::clone(parts.buffers),
                            &policy.listener.redis,
                            shared,
                        )))
                    }
                    // A cluster has what collapse needs whenever a listener of that mode uses it.
                    _ => ProtocolContext::Redis(redis),
                }
            }
            // The config has a cluster for every listener that is not HTTP, and routes for every one that is.
            (Protocol::Tcp | Protocol::Mongo(_) | Protocol::Http(_) | Protocol::Redis(_), _) => {
                ProtocolContext::Tcp(Rc::new(TcpListenerStats {
                    stats: shard.scope(&[name]),
                }))
            }
        };
        Self {
            stats: shard.scope(&[name]),
            targets,
            protocol,
            policy,
            shared: Arc::clone(shared),
        }
    }

    /// How this listener's sessions are spread over the endpoints.
    pub fn balance(&self) -> Balance {
        match self.protocol {
            ProtocolContext::Tcp(_) | ProtocolContext::Http(_) | ProtocolContext::HttpTap(_) => {
                Balance::LeastConnected
            }
            ProtocolContext::Mongo(_)
            | ProtocolContext::Collapse(_)
            | ProtocolContext::Redis(_)
            | ProtocolContext::RedisCollapse(_) => Balance::InOrder,
        }
    }
}

/// The clusters of the routes of a Redis listener: between its own and that of the mirror, which is the last.
fn redis_routed<'t>(listener: &ListenerConfig, targets: &'t [Target]) -> &'t [Target] {
    let end = targets.len() - usize::from(listener.redis.mirror.is_some()).min(targets.len());
    targets.get(1..end).unwrap_or_default()
}

/// The clusters that a Redis listener sends to, and this worker's part of each; `None` unless all of them have connections to share.
fn redis_upstreams<'t>(
    listener: &ListenerConfig,
    targets: &'t [Target],
    parts: &WorkerParts<'_>,
) -> Option<Upstreams<'t>> {
    let upstream = |target: &'t Target| {
        let shared = target.cluster.redis.as_ref()?;
        let pool = (parts.pool)(&shared.pool);
        Some(Upstream { target, pool })
    };
    let routed = redis_routed(listener, targets).iter().map(upstream);
    Some(Upstreams {
        own: upstream(targets.first()?)?,
        routed: routed.collect::<Option<_>>()?,
        mirror: match listener.redis.mirror {
            Some(_) => Some(upstream(targets.last()?)?),
            None => None,
        },
    })
}

/// What is counted of a cluster that an HTTP listener sends to.
fn cluster_series(target: &Target, shard: &Shard) -> Rc<ClusterSeries> {
    let name = &target.cluster.name;
    Rc::new(ClusterSeries::new(shard, name, target.stats.clone()))
}

/// This worker's part of a cluster that an HTTP listener sends to.
fn http_upstream(target: &Target, parts: &WorkerParts<'_>) -> Option<Rc<HttpUpstream>> {
    let shared = target.cluster.http.as_ref()?;
    let pool = (parts.pool)(&shared.pool);
    let config = shared.config.clone();
    let two = parts.shard.scope(&[target.cluster.name.as_bytes()]);
    Some(Rc::new(HttpUpstream::new(target, config, pool, two)))
}
