//! Who a client is, and what its connection would be if it had one: the same at every cluster that its requests may go to.

use std::rc::Rc;

use super::errors::Refusal;
use super::session::Session;
use super::targets::Targets;
use super::trunks::Trunks;
use crate::upstream::redis::{Profile, ProfileId};

/// What is known of a client.
#[derive(Default)]
pub(super) struct Identity {
    pub(super) profile: Profile,
    /// At the listener's own cluster.
    own: Ids,
    /// At those of its routes, in the order of their places, from 1 on.
    others: Box<[Ids]>,
    /// It has logged in to the proxy.
    pub(super) is_known: bool,
    /// What CLIENT SETNAME said.
    pub(super) name: Vec<u8>,
}

/// The numbers of a profile at one cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ids {
    pub(super) id: ProfileId,
    /// The same on replicas, where commands that only read go to them.
    pub(super) replica: Option<ProfileId>,
}

impl Ids {
    fn of(trunks: &Trunks, id: ProfileId, profile: &Profile) -> Self {
        let redis = trunks.redis();
        Self {
            id,
            replica: redis.and_then(|redis| redis.on_replicas(profile)),
        }
    }
}

impl Identity {
    /// A client that has said nothing.
    pub(super) fn of_stranger(targets: &Targets) -> Self {
        let mut identity = Self::default();
        let ids = |trunks: &Rc<Trunks>| Ids::of(trunks, ProfileId::default(), &identity.profile);
        identity.set_ids(targets.all().map(ids).collect());
        identity
    }

    /// Its numbers at the cluster at this place.
    pub(super) fn at(&self, place: usize) -> Ids {
        let other = place
            .checked_sub(1)
            .and_then(|place| self.others.get(place));
        other.copied().unwrap_or(self.own)
    }

    /// Takes over the numbers of all clusters. True when they are others than before.
    fn set_ids(&mut self, all: Vec<Ids>) -> bool {
        let mut all = all.into_iter();
        let own = all.next().unwrap_or_default();
        let others: Box<[Ids]> = all.collect();
        let are_new = own != self.own || others != self.others;
        self.own = own;
        self.others = others;
        are_new
    }
}

impl Session<'_> {
    /// Asks a server of each cluster whether it takes a client that is like this; from then on it is. Returns the reply to HELLO of the
    /// listener's own.
    pub(super) async fn introduce(
        &mut self,
        profile: Profile,
        says_hello: bool,
    ) -> Result<Option<Vec<u8>>, Refusal> {
        let listener = Rc::clone(&self.listener);
        let (mut ids, mut hello) = (Vec::new(), None);
        for trunks in listener.targets.all() {
            let (id, reply) = trunks.probe(&profile, says_hello).await?;
            ids.push(Ids::of(trunks, id, &profile));
            hello = hello.or(reply);
        }
        self.is_now(profile, ids);
        Ok(hello)
    }

    /// The numbers of a profile that servers of all clusters have taken before.
    pub(super) fn known(&self, profile: &Profile) -> Option<Vec<Ids>> {
        let ids = |trunks: &Rc<Trunks>| {
            let id = trunks.redis()?.known(profile)?;
            Some(Ids::of(trunks, id, profile))
        };
        self.listener.targets.all().map(ids).collect()
    }

    pub(super) fn is_now(&mut self, profile: Profile, ids: Vec<Ids>) {
        if self.identity.set_ids(ids) {
            self.rides.leave();
        }
        self.identity.profile = profile;
    }
}
