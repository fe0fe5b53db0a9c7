//! The trunks of one listener on one worker: one for each profile, opened when the first client needs it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Notify;

use super::errors::Refusal;
use super::trunk::{Carrier, Ride, Trunk};
use crate::protocols::relay::Scratch;
use crate::stats::{Cluster as ClusterStat, Scope};
use crate::upstream::Cluster;
use crate::upstream::pool::{CheckoutError, ClusterPool, Lease};
use crate::upstream::redis::ProfileId;

/// What trunks are made of.
pub(super) struct Trunks {
    cluster: Arc<Cluster>,
    pool: Rc<ClusterPool>,
    stats: Scope<ClusterStat>,
    places: RefCell<Vec<Option<Rc<Place>>>>,
}

/// The trunk of one profile.
#[derive(Default)]
struct Place {
    trunk: RefCell<Option<Rc<Trunk>>>,
    is_opening: Cell<bool>,
    /// What the last opening met, for those who waited for it.
    failure: RefCell<Option<Refusal>>,
    /// How often one has been opened, or could not be.
    openings: Cell<u64>,
    changed: Notify,
    /// The reply to HELLO of a connection like the trunk; forgotten with it.
    hello: RefCell<Option<Rc<[u8]>>>,
}

impl Trunks {
    pub(super) fn new(
        cluster: &Arc<Cluster>,
        pool: Rc<ClusterPool>,
        stats: Scope<ClusterStat>,
    ) -> Self {
        Self {
            cluster: Arc::clone(cluster),
            pool,
            stats,
            places: RefCell::default(),
        }
    }

    /// The trunk of a profile, if it is open.
    pub(super) fn at_hand(&self, profile: ProfileId) -> Option<Ride> {
        let place = self.place(profile);
        let trunk = place.trunk.borrow();
        let open = trunk.as_ref().filter(|trunk| trunk.is_open())?;
        Some(Ride::on(open))
    }

    /// The trunk of a profile, opened if need be. Clients that come meanwhile wait for the same opening, which goes on when one of them
    /// leaves.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn get(
        self: &Rc<Self>,
        profile: ProfileId,
        scratch: &Scratch,
    ) -> Result<Ride, Refusal> {
        let place = self.place(profile);
        loop {
            if let Some(ride) = self.at_hand(profile) {
                return Ok(ride);
            }
            let seen = place.openings.get();
            let changed = place.changed.notified();
            if !place.is_opening.replace(true) {
                let (trunks, scratch) = (Rc::clone(self), Rc::clone(scratch));
                tokio::task::spawn_local(async move { trunks.open(profile, scratch).await });
            }
            changed.await;
            if place.openings.get() != seen
                && let Some(failure) = place.failure.borrow().clone()
            {
                return Err(failure);
            }
        }
    }

    async fn open(self: Rc<Self>, profile: ProfileId, scratch: Scratch) {
        let place = self.place(profile);
        let lease = self.lease(profile).await;
        place.is_opening.set(false);
        place.openings.set(place.openings.get() + 1);
        place.hello.take();
        match lease {
            Ok(lease) => {
                let carrier = Carrier::new(lease, self.stats.clone(), scratch);
                // Until those who waited have taken their places on it.
                let ride = Ride::on(carrier.trunk());
                *place.trunk.borrow_mut() = Some(Rc::clone(carrier.trunk()));
                place.failure.take();
                tokio::task::spawn_local(carrier.run());
                place.changed.notify_waiters();
                tokio::task::yield_now().await;
                drop(ride);
            }
            Err(error) => {
                tracing::debug!(cluster = %self.cluster.name, %error, "no connection for clients to share");
                *place.failure.borrow_mut() = Some(error.into());
                place.changed.notify_waiters();
            }
        }
    }

    /// A connection to the first endpoint that can be reached.
    ///
    /// # Errors
    /// Why there is none: of several endpoints, what the last one met.
    pub(super) async fn lease(&self, profile: ProfileId) -> Result<Lease, CheckoutError> {
        let now = Instant::now();
        let waiting = self.pool.shared().policy().config.wait_timeout;
        let deadline = tokio::time::Instant::from_std(now + waiting);
        let mut last = None;
        for endpoint in &self.cluster.endpoints {
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

    /// The reply to HELLO of a connection of this profile, if one is open and it is known.
    pub(super) fn hello(&self, profile: ProfileId) -> Option<Rc<[u8]>> {
        let place = self.place(profile);
        let is_open = place
            .trunk
            .borrow()
            .as_ref()
            .is_some_and(|trunk| trunk.is_open());
        place.hello.borrow().clone().filter(|_| is_open)
    }

    /// Keeps the reply to HELLO.
    pub(super) fn set_hello(&self, profile: ProfileId, reply: &[u8]) {
        *self.place(profile).hello.borrow_mut() = Some(reply.into());
    }

    pub(super) fn pool(&self) -> &Rc<ClusterPool> {
        &self.pool
    }

    pub(super) fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    fn place(&self, profile: ProfileId) -> Rc<Place> {
        let mut places = self.places.borrow_mut();
        let index = usize::from(profile.0);
        if places.len() <= index {
            places.resize_with(index + 1, || None);
        }
        match places.get_mut(index) {
            Some(place) => Rc::clone(place.get_or_insert_default()),
            None => Rc::default(),
        }
    }
}
