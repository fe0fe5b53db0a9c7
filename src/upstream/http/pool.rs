//! One worker's view of a cluster: which endpoint a request goes to, and a connection to it.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::H1Connection;
use super::h2::H2Endpoint;
use crate::config::HttpClusterConfig;
use crate::listener::Target;
use crate::stats::{Cluster as ClusterStat, ClusterEndpoint, ClusterTwo, Scope};
use crate::upstream::pool::{CheckoutError, ClusterPool};
use crate::upstream::{Cluster, Endpoint};

/// A cluster, as the HTTP sessions of one worker use it.
pub struct HttpUpstream {
    /// The cluster.
    pub cluster: Arc<Cluster>,
    /// `cluster.*`
    pub stats: Scope<ClusterStat>,
    /// Its HTTP/2 connections.
    pub(super) two: Scope<ClusterTwo>,
    /// How its servers are spoken to.
    pub config: HttpClusterConfig,
    pub(super) pool: Rc<ClusterPool>,
    endpoints: Vec<Load>,
    /// Where the search for the least busy endpoint begins next: equals take turns.
    turn: Cell<usize>,
}

/// One endpoint, as this worker uses it. Each worker spreads its own requests evenly: no count is shared.
struct Load {
    stats: Scope<ClusterEndpoint>,
    busy: Cell<usize>,
    /// Where it is spoken to in HTTP/2.
    h2: Rc<H2Endpoint>,
}

/// A request that is under way at an endpoint, until it is dropped.
pub(super) struct Busy {
    upstream: Rc<HttpUpstream>,
    endpoint: usize,
}

/// A request that waits for a connection, until it is dropped.
pub(super) struct Pending<'a>(&'a Scope<ClusterStat>);

impl HttpUpstream {
    /// A cluster that an HTTP listener sends to. `pool` is this worker's part of its connections.
    pub fn new(
        target: &Target,
        config: HttpClusterConfig,
        pool: Rc<ClusterPool>,
        two: Scope<ClusterTwo>,
    ) -> Self {
        let load = |stats: &Scope<ClusterEndpoint>| Load {
            stats: stats.clone(),
            busy: Cell::new(0),
            h2: H2Endpoint::new(),
        };
        Self {
            stats: target.stats.clone(),
            endpoints: target.endpoints.iter().map(load).collect(),
            cluster: Arc::clone(&target.cluster),
            two,
            config,
            pool,
            turn: Cell::new(0),
        }
    }

    /// An idle connection to the endpoint that has the least to do.
    pub fn at_hand(self: &Rc<Self>, now: Instant) -> Option<H1Connection> {
        let (place, endpoint) = self.least_busy(&[])?;
        let lease = self.pool.try_checkout(endpoint.id, 0, now)?;
        Some(H1Connection::new(lease, Busy::new(self, place)))
    }

    /// A connection to the endpoint that has the least to do, or to the next one where that can't be reached.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn connection(self: &Rc<Self>, now: Instant) -> Result<H1Connection, CheckoutError> {
        let _pending = Pending::new(&self.stats);
        let waiting = self.pool.shared().policy().config.wait_timeout;
        let deadline = tokio::time::Instant::from_std(now + waiting);
        let mut tried = Vec::new();
        let mut last = None;
        while let Some((place, endpoint)) = self.least_busy(&tried) {
            let busy = Busy::new(self, place);
            match self.pool.checkout(endpoint, 0, now, deadline).await {
                Ok(lease) => return Ok(H1Connection::new(lease, busy)),
                Err(error @ (CheckoutError::Open { .. } | CheckoutError::Retired { .. })) => {
                    tried.push(place);
                    last = Some(error);
                }
                Err(error) => {
                    self.stats.inc(ClusterStat::UPSTREAM_RQ_PENDING_OVERFLOW);
                    return Err(error);
                }
            }
        }
        self.stats
            .inc(ClusterStat::UPSTREAM_RQ_PENDING_FAILURE_EJECT);
        self.stats.inc(ClusterStat::UPSTREAM_CX_NONE_HEALTHY);
        Err(last.unwrap_or_else(|| self.pool.retired(&self.cluster.name)))
    }

    /// The HTTP/2 connections to an endpoint.
    pub(super) fn h2(&self, place: usize) -> Option<&Rc<H2Endpoint>> {
        Some(&self.endpoints.get(place)?.h2)
    }

    /// The endpoint with the fewest requests of this worker, of those that `tried` does not name.
    pub(super) fn least_busy(&self, tried: &[usize]) -> Option<(usize, &Arc<Endpoint>)> {
        let count = self.endpoints.len();
        let first = self.turn.get();
        let place = (first..count)
            .chain(0..first.min(count))
            .filter(|place| !tried.contains(place))
            .min_by_key(|place| self.endpoints.get(*place).map(|load| load.busy.get()))?;
        Some((place, self.cluster.endpoints.get(place)?))
    }
}

impl<'a> Pending<'a> {
    pub(super) fn new(stats: &'a Scope<ClusterStat>) -> Self {
        stats.inc(ClusterStat::UPSTREAM_RQ_PENDING_TOTAL);
        stats.gauge_add(ClusterStat::UPSTREAM_RQ_PENDING_ACTIVE, 1);
        Self(stats)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0
            .gauge_add(ClusterStat::UPSTREAM_RQ_PENDING_ACTIVE, -1);
    }
}

impl Busy {
    /// A request that begins. The next one looks at the endpoint behind this one first.
    pub(super) fn new(upstream: &Rc<HttpUpstream>, endpoint: usize) -> Self {
        let behind = endpoint + 1;
        let count = upstream.endpoints.len();
        upstream.turn.set(if behind < count { behind } else { 0 });
        if let Some(load) = upstream.endpoints.get(endpoint) {
            load.busy.set(load.busy.get() + 1);
            load.stats.gauge_add(ClusterEndpoint::RQ_ACTIVE, 1);
        }
        upstream.stats.gauge_add(ClusterStat::UPSTREAM_RQ_ACTIVE, 1);
        Self {
            upstream: Rc::clone(upstream),
            endpoint,
        }
    }

    pub(super) fn upstream(&self) -> &Rc<HttpUpstream> {
        &self.upstream
    }

    pub(super) fn endpoint(&self) -> Option<&Scope<ClusterEndpoint>> {
        let load = self.upstream.endpoints.get(self.endpoint)?;
        Some(&load.stats)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let upstream = &self.upstream;
        if let Some(load) = upstream.endpoints.get(self.endpoint) {
            load.busy.set(load.busy.get().saturating_sub(1));
            load.stats.gauge_add(ClusterEndpoint::RQ_ACTIVE, -1);
        }
        upstream
            .stats
            .gauge_add(ClusterStat::UPSTREAM_RQ_ACTIVE, -1);
    }
}
