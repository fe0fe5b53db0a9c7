//! A cluster: a named set of endpoints with its policy, shared by all workers.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::http::SharedHttp;
use super::mongo::{Servers, SharedMongo};
use super::pool::SharedPool;
use super::redis::SharedRedis;
use crate::config::ClusterConfig;
use crate::tls::{ClientTls, EndpointTls, Tally};

/// A named set of endpoints.
pub struct Cluster {
    /// Its name in the config and in every stat.
    pub name: String,
    /// Its endpoints, in the order of the config. Never empty: the config refuses that.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// How long one attempt to connect may take.
    pub connect_timeout: Duration,
    /// TLS with its endpoints.
    pub tls: Option<Arc<ClientTls>>,
    /// How its handshakes go, whatever config they are made under.
    pub tls_tally: Arc<Tally>,
    /// What its clients share, when a MongoDB listener in mode collapse uses it.
    pub mongo: Option<SharedMongo>,
    /// What its clients share, when an HTTP listener in mode proxy uses it.
    pub http: Option<SharedHttp>,
    /// What its clients share, when a Redis listener in mode collapse uses it.
    pub redis: Option<SharedRedis>,
}

/// Which listeners share its connections among their clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharedBy {
    /// MongoDB listeners in mode collapse.
    pub mongo: bool,
    /// HTTP listeners in mode proxy.
    pub http: bool,
    /// Redis listeners in mode collapse.
    pub redis: bool,
}

/// How an endpoint is chosen for a new session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// The first that can be connected to. For clients that take what is behind the proxy for one
    /// server, and would look for their cursors on another.
    InOrder,
    /// The one with the fewest connections; the earlier one of equals.
    LeastConnected,
}

/// Tells endpoints apart for as long as the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EndpointId(u64);

/// One address of a cluster.
#[derive(Debug)]
pub struct Endpoint {
    /// Tells endpoints apart for as long as the process runs.
    pub id: EndpointId,
    /// Host and port as written; its name in every stat.
    pub name: String,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// TLS with it; `None` is plain connections.
    pub tls: Option<EndpointTls>,
    /// What the host name stands for now; empty until a name was looked up.
    addresses: ArcSwap<Vec<SocketAddr>>,
    /// Connections open to it from all workers. Touched when one opens or ends, never per request.
    active: AtomicUsize,
    /// Operations under way on it from all workers, where connections are shared.
    busy: AtomicUsize,
}

impl Cluster {
    /// A cluster as configured. Names are looked up later, by [`super::discovery`]. `tls_tally` is that of the cluster whose place it
    /// takes, if any.
    pub fn new(config: &ClusterConfig, shared_by: SharedBy, tls_tally: Arc<Tally>) -> Self {
        let tls = |host: &str| {
            let tls = config.tls.as_ref()?;
            Some(EndpointTls::new(tls, host, &tls_tally))
        };
        let endpoints: Vec<_> = config
            .endpoints
            .iter()
            .map(|endpoint| {
                let tls = tls(&endpoint.host);
                Arc::new(Endpoint::new(endpoint.host.clone(), endpoint.port, tls))
            })
            .collect();
        Self {
            name: config.name.clone(),
            mongo: shared_by
                .mongo
                .then(|| SharedMongo::new(config, endpoints.clone())),
            http: shared_by
                .http
                .then(|| SharedHttp::new(config, endpoints.clone())),
            redis: shared_by
                .redis
                .then(|| SharedRedis::new(config, endpoints.clone())),
            endpoints,
            connect_timeout: config.connect_timeout,
            tls: config.tls.clone(),
            tls_tally,
        }
    }

    /// What its servers are now, when a MongoDB listener in mode collapse uses it.
    pub fn servers(&self) -> Option<&Arc<Servers>> {
        self.mongo.as_ref().map(|shared| &shared.servers)
    }

    /// Which listeners share its connections among their clients.
    pub fn shared_by(&self) -> SharedBy {
        SharedBy {
            mongo: self.mongo.is_some(),
            http: self.http.is_some(),
            redis: self.redis.is_some(),
        }
    }

    /// The connections that its clients share, if they do: one pool for each protocol that uses it.
    pub fn pools(&self) -> impl Iterator<Item = &Arc<SharedPool>> {
        let mongo = self.mongo.as_ref().map(|shared| &shared.pool);
        let http = self.http.as_ref().map(|shared| &shared.pool);
        let redis = self.redis.as_ref().map(|shared| &shared.pool);
        mongo.into_iter().chain(http).chain(redis)
    }

    /// True while its pool is paused: operations wait until it is resumed.
    pub fn is_drained(&self) -> bool {
        self.pools().any(|pool| pool.is_paused())
    }

    /// The limits have changed, and nothing else.
    pub fn set_limits(&self, config: &ClusterConfig) {
        if let Some(shared) = &self.mongo {
            shared.set_limits(config);
        }
        if let Some(shared) = &self.http {
            shared.set_limits(config);
        }
        if let Some(shared) = &self.redis {
            shared.set_limits(config);
        }
    }

    /// Its endpoints, and those that only their fellows name: members of its replica set, servers of its Redis Cluster.
    pub fn all_endpoints(&self) -> Vec<Arc<Endpoint>> {
        let mut all = self.endpoints.clone();
        let named = self.redis.iter().flat_map(|redis| redis.endpoints());
        for endpoint in self
            .servers()
            .into_iter()
            .flat_map(|servers| servers.endpoints())
            .chain(named)
        {
            if !all.iter().any(|known| known.id == endpoint.id) {
                all.push(endpoint);
            }
        }
        all
    }

    /// The endpoint to connect to next, among those that `tried` does not name.
    pub fn choose(&self, balance: Balance, tried: &[usize]) -> Option<(usize, &Arc<Endpoint>)> {
        let mut left = self
            .endpoints
            .iter()
            .enumerate()
            .filter(|(index, _)| !tried.contains(index));
        match balance {
            Balance::InOrder => left.next(),
            Balance::LeastConnected => left.min_by_key(|(_, endpoint)| endpoint.active()),
        }
    }
}

impl Endpoint {
    /// An endpoint at a host and port. A host name has to be looked up before it can be used.
    pub fn new(host: String, port: u16, tls: Option<EndpointTls>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let literal = host.parse::<IpAddr>().ok();
        let name = match literal {
            Some(IpAddr::V6(_)) => format!("[{host}]:{port}"),
            _ => format!("{host}:{port}"),
        };
        let known = literal
            .map(|ip| SocketAddr::new(ip, port))
            .into_iter()
            .collect();
        Self {
            id: EndpointId(NEXT.fetch_add(1, Ordering::Relaxed)),
            name,
            host,
            port,
            tls,
            addresses: ArcSwap::from_pointee(known),
            active: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
        }
    }

    /// True when the host is a name that has to be looked up.
    pub fn is_named(&self) -> bool {
        self.host.parse::<IpAddr>().is_err()
    }

    /// The addresses to try, in order.
    pub fn addresses(&self) -> Arc<Vec<SocketAddr>> {
        self.addresses.load_full()
    }

    /// Takes over what a look-up found.
    pub fn set_addresses(&self, found: Vec<SocketAddr>) {
        self.addresses.store(Arc::new(found));
    }

    /// Connections open now.
    pub fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    /// Counts one connection until the returned guard is dropped.
    pub fn occupy(self: &Arc<Self>) -> Occupied {
        self.active.fetch_add(1, Ordering::Relaxed);
        Occupied(Arc::clone(self))
    }

    /// Operations under way on connections that clients share.
    pub fn busy(&self) -> usize {
        self.busy.load(Ordering::Relaxed)
    }

    /// Counts one operation more under way; [`Self::end_operation`] has to follow.
    pub fn begin_operation(&self) {
        self.busy.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one operation less.
    pub fn end_operation(&self) {
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One connection's share of its endpoint's load.
pub struct Occupied(Arc<Endpoint>);

impl Drop for Occupied {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(hosts: &[&str]) -> Cluster {
        Cluster {
            name: "c".into(),
            endpoints: hosts
                .iter()
                .map(|host| Arc::new(Endpoint::new((*host).into(), 1, None)))
                .collect(),
            connect_timeout: Duration::from_secs(1),
            tls: None,
            tls_tally: Arc::default(),
            mongo: None,
            http: None,
            redis: None,
        }
    }

    #[test]
    fn the_least_connected_endpoint_is_chosen_and_tried_ones_are_left_out() {
        let cluster = cluster(&["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
        let first = cluster.endpoints[0].occupy();
        let _second = cluster.endpoints[1].occupy();
        let choose = |tried: &[usize]| {
            let chosen = cluster.choose(Balance::LeastConnected, tried);
            chosen.map(|(index, _)| index)
        };
        assert_eq!(choose(&[]), Some(2));
        assert_eq!(choose(&[2]), Some(0));
        drop(first);
        assert_eq!(choose(&[]), Some(0));
        assert_eq!(choose(&[0, 1, 2]), None);
        let in_order = cluster.choose(Balance::InOrder, &[0]);
        assert_eq!(in_order.map(|(index, _)| index), Some(1));
    }

    #[test]
    fn a_literal_address_needs_no_look_up() {
        assert_eq!(
            *Endpoint::new("::1".into(), 27017, None).addresses(),
            ["[::1]:27017".parse().unwrap()]
        );
        assert!(Endpoint::new("mongo-1".into(), 27017, None).is_named());
    }
}
