//! What the sessions of a listener need, in two halves: [`ListenerShared`] for the whole process,
//! [`ListenerContext`] for one worker, with every series looked up.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arc_swap::ArcSwap;

use crate::config::{ListenerConfig, MongoMode, Protocol};
use crate::protocols::mongo::collapse::{Buffers, CollapseListener};
use crate::protocols::mongo::{LongWaits, MongoListener, Notes};
use crate::protocols::tcp::TcpListenerStats;
use crate::stats::{
    Cluster as ClusterStat, ClusterEndpoint, Listener as ListenerStat, Scope, Shard,
};
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
}

/// The config of a listener and the cluster it leads to.
pub struct Policy {
    /// As configured.
    pub listener: ListenerConfig,
    /// Where its sessions go.
    pub cluster: Arc<Cluster>,
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
    /// `cluster.*`
    pub cluster: Scope<ClusterStat>,
    /// `cluster.*.endpoint.*`, in the order of the cluster's endpoints.
    pub endpoints: Vec<Scope<ClusterEndpoint>>,
    /// What the protocol keeps.
    pub protocol: ProtocolContext,
}

/// The protocol's own part.
pub enum ProtocolContext {
    /// Opaque bytes.
    Tcp(Rc<TcpListenerStats>),
    /// MongoDB, tapped.
    Mongo(Rc<MongoListener>),
    /// MongoDB, many clients over few connections.
    Collapse(Rc<CollapseListener>),
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
        let cluster_name = policy.cluster.name.as_bytes();
        let cluster: Scope<ClusterStat> = shard.scope(&[cluster_name]);
        let endpoints = policy
            .cluster
            .endpoints
            .iter()
            .map(|endpoint| shard.scope(&[cluster_name, endpoint.name.as_bytes()]))
            .collect();
        let protocol = match policy.listener.protocol {
            Protocol::Tcp => ProtocolContext::Tcp(Rc::new(TcpListenerStats {
                stats: shard.scope(&[name]),
            })),
            Protocol::Mongo(mode) => {
                let mongo = Rc::new(MongoListener::new(
                    shard,
                    &policy.listener.name,
                    cluster.clone(),
                    Arc::clone(&shared.long_waits),
                    Rc::clone(parts.notes),
                    policy.stats_enabled,
                ));
                match (mode, &policy.cluster.mongo) {
                    (MongoMode::Collapse, Some(upstream)) => {
                        ProtocolContext::Collapse(Rc::new(CollapseListener::new(
                            mongo,
                            &policy.cluster,
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
        };
        Self {
            stats: shard.scope(&[name]),
            cluster,
            endpoints,
            protocol,
            policy,
            shared: Arc::clone(shared),
        }
    }

    /// How this listener's sessions are spread over the endpoints.
    pub fn balance(&self) -> Balance {
        match self.protocol {
            ProtocolContext::Tcp(_) => Balance::LeastConnected,
            ProtocolContext::Mongo(_) | ProtocolContext::Collapse(_) => Balance::InOrder,
        }
    }
}
