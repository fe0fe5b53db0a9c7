//! Which series a request belongs to: looked up once, then found again by comparing two numbers and the caller's name.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::rc::Rc;

use hashbrown::HashTable;

use crate::stats::{Cluster, ClusterCode, HttpCaller, HttpRoute, Scope, Shard};
use crate::upstream::http::Codes;

/// Combinations of route, cluster and caller that a worker remembers for one listener. Beyond it one is made for each use, from
/// series that are folded into `_other` by then.
const MAX_SERIES: usize = 16_384;

/// Combinations for which a worker records each value once: see the MongoDB routes, whose bound this is.
const MAX_SHARED: usize = 128;

/// A caller's name beyond this is cut: longer ones would not be told apart in stats, but would take memory.
const MAX_CALLER_BYTES: usize = 128;

/// The route of requests that no route takes.
const UNROUTED: &str = "_none";

/// Where a request belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The route's number; `None` for requests that no route takes.
    pub route: Option<usize>,
    /// The cluster's place in the listener's list; `None` where the proxy answers.
    pub cluster: Option<usize>,
    /// Who calls; empty when nobody says.
    pub caller: &'a [u8],
}

/// As much of a caller's name as is looked at.
pub(super) fn cut_caller(name: &[u8]) -> &[u8] {
    name.get(..MAX_CALLER_BYTES).unwrap_or(name)
}

/// The series that every exchange of one place is added to.
pub struct Series {
    route_number: Option<usize>,
    cluster: Option<usize>,
    caller_name: Box<[u8]>,
    /// The route.
    pub route: Scope<HttpRoute>,
    /// Who calls, if somebody says so.
    pub caller: Option<Scope<HttpCaller>>,
    /// The cluster, if the route leads to one.
    pub upstream: Option<Rc<ClusterSeries>>,
    /// What is recorded to `route` is gathered for the caller and the cluster too.
    pub is_shared: bool,
}

/// What is counted of a cluster, exchange by exchange.
pub struct ClusterSeries {
    /// `cluster.*`
    pub stats: Scope<Cluster>,
    codes: Codes<ClusterCode>,
}

/// All series of one listener on one worker.
pub(super) struct AllSeries {
    shard: Shard,
    listener: Box<[u8]>,
    /// The names of the routes, by their numbers.
    routes: Vec<Box<str>>,
    /// The clusters, in the order that routes name them by.
    clusters: Vec<Rc<ClusterSeries>>,
    table: RefCell<HashTable<Rc<Series>>>,
    shared: RefCell<HashMap<[Option<u32>; 3], Scope<HttpRoute>>>,
    hasher: foldhash::fast::RandomState,
}

impl Series {
    /// Where it belongs.
    pub fn place(&self) -> Place<'_> {
        Place {
            route: self.route_number,
            cluster: self.cluster,
            caller: &self.caller_name,
        }
    }
}

impl ClusterSeries {
    /// The series of a cluster.
    pub fn new(shard: &Shard, name: &str, stats: Scope<Cluster>) -> Self {
        Self {
            stats,
            codes: Codes::new(shard, name),
        }
    }

    /// A reply with this status came, or was given in the cluster's place.
    pub fn code(&self, status: u16) {
        self.codes.inc(status, ClusterCode::TOTAL);
    }
}

impl AllSeries {
    pub(super) fn new(
        shard: &Shard,
        listener: &str,
        routes: Vec<Box<str>>,
        clusters: Vec<Rc<ClusterSeries>>,
    ) -> Self {
        Self {
            shard: shard.clone(),
            listener: listener.as_bytes().into(),
            routes,
            clusters,
            table: RefCell::default(),
            shared: RefCell::default(),
            hasher: foldhash::fast::RandomState::default(),
        }
    }

    /// The series of a place.
    pub(super) fn find(&self, place: Place<'_>) -> Rc<Series> {
        let hash = self.hash(place);
        let mut table = self.table.borrow_mut();
        if let Some(series) = table.find(hash, |series| series.place() == place) {
            return Rc::clone(series);
        }
        let series = Rc::new(self.make(place));
        if table.len() < MAX_SERIES {
            table.insert_unique(hash, Rc::clone(&series), |series| self.hash(series.place()));
        }
        series
    }

    fn make(&self, place: Place<'_>) -> Series {
        let name = place.route.and_then(|number| self.routes.get(number));
        let name = name.map_or(UNROUTED, |name| name);
        let route = self.shard.scope(&[&self.listener, name.as_bytes()]);
        let caller =
            (!place.caller.is_empty()).then(|| self.shard.scope(&[&self.listener, place.caller]));
        let upstream = place.cluster.and_then(|place| self.clusters.get(place));
        let upstream = upstream.cloned();
        let shared = self.shared(&route, caller.as_ref(), upstream.as_deref());
        Series {
            route_number: place.route,
            cluster: place.cluster,
            caller_name: place.caller.into(),
            is_shared: shared.is_some(),
            route: shared.unwrap_or(route),
            caller,
            upstream,
        }
    }

    /// The route's series for requests that also belong to these, unless there are too many.
    fn shared(
        &self,
        route: &Scope<HttpRoute>,
        caller: Option<&Scope<HttpCaller>>,
        upstream: Option<&ClusterSeries>,
    ) -> Option<Scope<HttpRoute>> {
        let cluster = upstream.map(|upstream| &upstream.stats);
        let key = [
            Some(route.id()),
            caller.map(Scope::id),
            cluster.map(Scope::id),
        ];
        let mut shared = self.shared.borrow_mut();
        if let Some(known) = shared.get(&key) {
            return Some(known.clone());
        }
        if shared.len() >= MAX_SHARED {
            return None;
        }
        let mut also = Vec::new();
        also.extend(
            cluster.map(|stats| stats.gets(Cluster::UPSTREAM_RQ_TIME, HttpRoute::UPSTREAM_TIME_MS)),
        );
        if let Some(stats) = caller {
            also.extend([
                stats.gets(
                    HttpCaller::DOWNSTREAM_RQ_TIME_MS,
                    HttpRoute::DOWNSTREAM_RQ_TIME_MS,
                ),
                stats.gets(HttpCaller::UPSTREAM_TIME_MS, HttpRoute::UPSTREAM_TIME_MS),
                stats.gets(HttpCaller::REQUEST_BYTES, HttpRoute::REQUEST_BYTES),
                stats.gets(HttpCaller::RESPONSE_BYTES, HttpRoute::RESPONSE_BYTES),
            ]);
        }
        let made = route.shared_with(&also);
        shared.insert(key, made.clone());
        Some(made)
    }

    fn hash(&self, place: Place<'_>) -> u64 {
        self.hasher
            .hash_one((place.route, place.cluster, place.caller))
    }
}
