//! What the servers of a MongoDB cluster are now: which of them live, what they are to each other, which one is the primary.
//!
//! The control thread asks them ([`monitor`]), follows what they answer ([`hello`], `state`), and publishes it; workers read it
//! without a lock ([`deployment`]) and choose from it ([`selection`]).

pub mod deployment;
pub mod hello;
pub mod keeper;
pub mod login;
pub mod monitor;
mod names;
pub mod read_preference;
pub mod selection;
mod shared;
mod state;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

use super::cluster::{Endpoint, EndpointId};
use crate::config::{ClusterConfig, MongoTopology};

pub use deployment::{Deployment, DeploymentKind, Limits, Member, MemberKind};
pub use monitor::Monitoring;
pub use read_preference::{BadReadPreference, ReadPreference};
pub use selection::{Want, select};
pub use shared::SharedMongo;

/// The servers of one cluster, shared by the control thread, which writes, and the workers, which read.
pub struct Servers {
    /// Among servers that fit, those are used whose round trip is at most this much longer than the shortest.
    pub local_threshold: Duration,
    cluster: Arc<str>,
    topology: MongoTopology,
    connect_timeout: Duration,
    seeds: Vec<Arc<Endpoint>>,
    now: ArcSwap<Deployment>,
    changed: watch::Sender<u64>,
}

impl Servers {
    /// The endpoints of a cluster, of which nothing is known before [`Monitoring::start`].
    pub fn new(config: &ClusterConfig, endpoints: Vec<Arc<Endpoint>>) -> Arc<Self> {
        let cluster = Arc::from(config.name.as_str());
        let unknown = Deployment::unknown(Arc::clone(&cluster), &endpoints);
        Arc::new(Self {
            local_threshold: config.mongo.local_threshold,
            cluster,
            topology: config.mongo.topology,
            connect_timeout: config.connect_timeout,
            seeds: endpoints,
            now: ArcSwap::from_pointee(unknown),
            changed: watch::Sender::new(0),
        })
    }

    /// What is known now. Cheap: no lock, no allocation.
    pub fn now(&self) -> Guard<Arc<Deployment>> {
        self.now.load()
    }

    /// Told after every answer and every failure; the number only grows. Who finds no server waits here and looks again.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Has a server asked at once over a new connection, because an operation found it other than it should be: gone, or not
    /// the primary. From any thread, as often as it happens: a server is asked at most every [`monitor::MIN_HEARTBEAT`].
    pub fn request_check(&self, endpoint: EndpointId) {
        if let Some(member) = self.now().member(endpoint) {
            member.check.notify_one();
        }
    }

    /// Has every server asked of which there will be no news by itself, because an operation waits for one that fits. As above.
    pub fn request_checks(&self) {
        // "Server selection … MUST request an immediate check"; a server that streams its state needs none.
        for member in self.now().members.iter().filter(|member| !member.streams) {
            member.check.notify_one();
        }
    }

    /// All servers as they are known now, discovered ones included, for look-ups of their names.
    pub fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.now()
            .members
            .iter()
            .map(|member| Arc::clone(&member.endpoint))
            .collect()
    }

    /// Waits until every server has answered or failed at least once.
    pub async fn settled(&self) {
        let mut changed = self.changed();
        // Fails only when `self` is gone.
        while !self.now().is_settled() && changed.changed().await.is_ok() {}
    }

    fn publish(&self, deployment: Deployment) {
        self.now.store(Arc::new(deployment));
        self.changed
            .send_modify(|number| *number = number.wrapping_add(1));
    }
}
