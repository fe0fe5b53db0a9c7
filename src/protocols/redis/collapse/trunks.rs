//! The trunks of one listener on one worker: one for each server and profile, opened when the first client needs it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::Guard;

use super::carrier::carry;
use super::errors::Refusal;
use super::route::Routes;
use super::trunk::Trunk;
use crate::protocols::relay::Scratch;
use crate::stats::{Cluster as ClusterStat, Scope};
use crate::upstream::pool::{CheckoutError, ClusterPool, Lease};
use crate::upstream::redis::{Admitted, Profile, ProfileId, SharedRedis, SlotMap};
use crate::upstream::{Cluster, Endpoint};

/// Replies to HELLO that are remembered: drivers open many connections that say the same, and few that differ.
const MAX_HELLOS: usize = 64;

/// What trunks are made of.
pub(super) struct Trunks {
    cluster: Arc<Cluster>,
    /// Which of the listener's clusters that is.
    place: usize,
    pool: Rc<ClusterPool>,
    stats: Scope<ClusterStat>,
    open: RefCell<Vec<Rc<Trunk>>>,
    /// Replies to HELLO of connections like a trunk; forgotten with it.
    hellos: RefCell<Vec<(ProfileId, Rc<[u8]>)>>,
}

impl Trunks {
    pub(super) fn new(
        cluster: &Arc<Cluster>,
        place: usize,
        pool: Rc<ClusterPool>,
        stats: Scope<ClusterStat>,
    ) -> Self {
        Self {
            cluster: Arc::clone(cluster),
            place,
            pool,
            stats,
            open: RefCell::default(),
            hellos: RefCell::default(),
        }
    }

    /// The trunk that leads there, which is opened if need be: what is put into it meanwhile waits for that. `None` is the first endpoint
    /// that can be reached.
    pub(super) fn trunk(
        self: &Rc<Self>,
        endpoint: Option<&Arc<Endpoint>>,
        profile: ProfileId,
        scratch: &Scratch,
    ) -> Rc<Trunk> {
        let is_it = |trunk: &&Rc<Trunk>| {
            trunk.leads_to(endpoint) && trunk.profile == profile && trunk.is_open()
        };
        if let Some(trunk) = self.open.borrow().iter().find(is_it) {
            return Rc::clone(trunk);
        }
        let keeps = self.redis().is_some_and(SharedRedis::is_cluster);
        let trunk = Trunk::new(endpoint.map(Arc::clone), profile, self.place, keeps);
        self.open.borrow_mut().push(Rc::clone(&trunk));
        let carried = carry(Rc::clone(&trunk), Rc::clone(self), Rc::clone(scratch));
        tokio::task::spawn_local(carried);
        trunk
    }

    /// A trunk has ended.
    pub(super) fn forget(&self, trunk: &Rc<Trunk>) {
        self.open
            .borrow_mut()
            .retain(|other| !Rc::ptr_eq(other, trunk));
        self.hellos
            .borrow_mut()
            .retain(|(profile, _)| *profile != trunk.profile);
    }

    /// A connection could not be opened, or was lost, or what it led to is elsewhere: another server may have what that had.
    pub(super) fn failed(self: &Rc<Self>, profile: ProfileId) {
        if self.redis().is_some_and(SharedRedis::is_cluster) {
            self.refresh(profile);
        }
    }

    /// Has the servers of a Redis Cluster asked for their slots now and then.
    pub(super) fn review(self: &Rc<Self>, profile: ProfileId) {
        if self.redis().is_some_and(SharedRedis::is_stale) {
            self.refresh(profile);
        }
    }

    /// Has the servers of a Redis Cluster asked for their slots, unless that is under way.
    pub(super) fn refresh(self: &Rc<Self>, profile: ProfileId) {
        if self.redis().is_some_and(SharedRedis::begins_refresh) {
            let trunks = Rc::clone(self);
            tokio::task::spawn_local(async move { trunks.refreshed(profile).await });
        }
    }

    async fn refreshed(&self, profile: ProfileId) {
        if let Some(redis) = self.redis()
            && let Err(error) = redis.refresh(profile).await
        {
            tracing::warn!(cluster = %self.cluster.name, %error, "no server says which slots it has; what was known stays");
        }
    }

    /// Returns when it is known which server has which slots, where that matters.
    ///
    /// # Errors
    /// Why it is not.
    pub(super) async fn know_slots(&self, profile: ProfileId) -> Result<(), Refusal> {
        match self.redis().filter(|redis| redis.is_cluster()) {
            None => Ok(()),
            Some(redis) => {
                let known = redis.know_slots(profile).await;
                known.map_err(|error| Refusal::CannotConnect {
                    why: error.to_string(),
                })
            }
        }
    }

    /// A connection to this endpoint, or to the first one that can be reached.
    ///
    /// # Errors
    /// Why there is none: of several endpoints, what the last one met.
    pub(super) async fn lease(
        &self,
        endpoint: Option<&Arc<Endpoint>>,
        profile: ProfileId,
    ) -> Result<Lease, CheckoutError> {
        let now = Instant::now();
        let waiting = self.pool.shared().policy().config.wait_timeout;
        let deadline = tokio::time::Instant::from_std(now + waiting);
        let mut last = None;
        let candidates = match endpoint {
            Some(endpoint) => std::slice::from_ref(endpoint),
            None => &self.cluster.endpoints,
        };
        for endpoint in candidates {
            match self.pool.checkout(endpoint, profile.0, now, deadline).await {
                Err(error @ (CheckoutError::Open { .. } | CheckoutError::Retired { .. })) => {
                    last = Some(error);
                }
                outcome => return outcome,
            }
        }
        self.stats.inc(ClusterStat::UPSTREAM_CX_NONE_HEALTHY);
        Err(last.unwrap_or_else(|| self.pool.retired(&self.cluster.name)))
    }

    /// Asks a server whether it takes a client that is like this, one after the other until one can be asked. Gives what the
    /// profile is from now on, and the reply to HELLO.
    ///
    /// # Errors
    /// What the server says, or why there is none to ask.
    pub(super) async fn probe(
        &self,
        profile: &Profile,
        says_hello: bool,
    ) -> Result<(Arc<Admitted>, Option<Vec<u8>>), Refusal> {
        let mut last = Refusal::CannotConnect {
            why: "it has no endpoint".to_owned(),
        };
        let Some(shared) = self.redis() else {
            return Err(last);
        };
        for endpoint in &self.cluster.endpoints {
            match shared.probe(endpoint, profile, says_hello).await {
                Ok((admitted, greeted)) => {
                    if let Some(reply) = &greeted.hello {
                        self.set_hello(admitted.id, reply);
                    }
                    return Ok((admitted, greeted.hello));
                }
                Err(error) => {
                    last = error.into();
                    if matches!(last, Refusal::Server { .. }) {
                        break;
                    }
                }
            }
        }
        Err(last)
    }

    /// The server that the shared connection of this profile leads to, where that is the first that could be reached.
    pub(super) fn shared_endpoint(&self, profile: ProfileId) -> Option<Arc<Endpoint>> {
        let open = self.open.borrow();
        let is_it = |trunk: &&Rc<Trunk>| {
            trunk.leads_to(None) && trunk.profile == profile && trunk.is_open()
        };
        open.iter().find(is_it)?.connected()
    }

    /// The reply to HELLO of a connection of this profile, if one is open and it is known.
    pub(super) fn hello(&self, profile: ProfileId) -> Option<Rc<[u8]>> {
        let open = self.open.borrow();
        let is_like_it = |trunk: &&Rc<Trunk>| trunk.profile == profile && trunk.is_open();
        open.iter().find(is_like_it)?;
        let hellos = self.hellos.borrow();
        let known = hellos.iter().find(|(known, _)| *known == profile);
        known.map(|(_, reply)| Rc::clone(reply))
    }

    /// Keeps the reply to HELLO.
    fn set_hello(&self, profile: ProfileId, reply: &[u8]) {
        let mut hellos = self.hellos.borrow_mut();
        hellos.retain(|(known, _)| *known != profile);
        hellos.push((profile, reply.into()));
        if hellos.len() > MAX_HELLOS {
            hellos.remove(0);
        }
    }

    /// Which of the listener's clusters they lead to.
    pub(super) fn place(&self) -> usize {
        self.place
    }

    pub(super) fn pool(&self) -> &Rc<ClusterPool> {
        &self.pool
    }

    pub(super) fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// What its clients share over all workers.
    pub(super) fn redis(&self) -> Option<&SharedRedis> {
        self.cluster.redis.as_ref()
    }

    /// Which server of a Redis Cluster has which slots; `None` where there is none.
    pub(super) fn slots(&self) -> Option<Guard<Option<Arc<SlotMap>>>> {
        let redis = self.redis().filter(|redis| redis.is_cluster());
        redis.map(|redis| redis.slots())
    }

    /// Where requests go now, by what [`Self::slots`] says. With a number, those that only read go to a replica.
    pub(super) fn routes<'t>(
        &'t self,
        slots: Option<&'t Guard<Option<Arc<SlotMap>>>>,
        replica: Option<usize>,
    ) -> Routes<'t> {
        match (
            self.redis().and_then(SharedRedis::ring),
            slots.map(|slots| &**slots),
        ) {
            (Some(ring), _) => Routes::Ring(ring),
            (None, None) => Routes::One,
            (None, Some(None)) => Routes::Unknown,
            (None, Some(Some(map))) => Routes::Slots(map, replica),
        }
    }

    pub(super) fn stats(&self) -> &Scope<ClusterStat> {
        &self.stats
    }
}
