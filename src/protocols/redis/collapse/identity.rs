//! Who a client is, and what its connection would be if it had one: the same at every cluster that its requests may go to.

use std::rc::Rc;
use std::sync::Arc;

use super::errors::Refusal;
use super::session::Session;
use super::targets::Targets;
use super::trunks::Trunks;
use crate::upstream::redis::{Admitted, Profile, ProfileId};

/// What is known of a client.
#[derive(Default)]
pub(super) struct Identity {
    pub(super) profile: Profile,
    /// At the listener's own cluster.
    own: Admission,
    /// At those of its routes, in the order of their places, from 1 on.
    others: Box<[Admission]>,
    /// It has logged in to the proxy.
    pub(super) is_known: bool,
    /// What CLIENT SETNAME said.
    pub(super) name: Vec<u8>,
}

/// The numbers of a profile at one cluster, which are kept for it as long as there is this.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Admission {
    /// `None` is the profile of those who have said nothing, which every cluster knows.
    profile: Option<Arc<Admitted>>,
    /// The same on replicas, where commands that only read go to them.
    on_replicas: Option<Arc<Admitted>>,
}

/// The numbers of a profile at one cluster.
#[derive(Clone, Copy)]
pub(super) struct Ids {
    pub(super) id: ProfileId,
    /// On replicas, where commands that only read go to them.
    pub(super) replica: Option<ProfileId>,
}

impl Admission {
    fn of(trunks: &Trunks, admitted: Option<Arc<Admitted>>, profile: &Profile) -> Self {
        let redis = trunks.redis();
        Self {
            profile: admitted.filter(|admitted| admitted.id != ProfileId::default()),
            on_replicas: redis.and_then(|redis| redis.on_replicas(profile)),
        }
    }

    fn ids(&self) -> Ids {
        let profile = self.profile.as_ref();
        Ids {
            id: profile.map_or_else(ProfileId::default, |admitted| admitted.id),
            replica: self.on_replicas.as_ref().map(|admitted| admitted.id),
        }
    }
}

impl Identity {
    /// A client that has said nothing.
    pub(super) fn of_stranger(targets: &Targets) -> Self {
        let mut identity = Self::default();
        let admission = |trunks: &Rc<Trunks>| Admission::of(trunks, None, &identity.profile);
        identity.admit(targets.all().map(admission).collect());
        identity
    }

    /// Its numbers at the cluster at this place.
    pub(super) fn at(&self, place: usize) -> Ids {
        let other = place
            .checked_sub(1)
            .and_then(|place| self.others.get(place));
        other.unwrap_or(&self.own).ids()
    }

    /// Takes over the numbers of all clusters. True when they are others than before.
    fn admit(&mut self, all: Vec<Admission>) -> bool {
        let mut all = all.into_iter();
        let own = all.next().unwrap_or_default();
        let others: Box<[Admission]> = all.collect();
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
        let (mut admissions, mut hello) = (Vec::new(), None);
        for trunks in listener.targets.all() {
            // One that is down must not be in the way of the others.
            let known = match trunks.place() {
                0 => None,
                _ => trunks.redis().and_then(|redis| redis.known(&profile)),
            };
            let (admitted, reply) = match known {
                Some(admitted) => (admitted, None),
                None => trunks.probe(&profile, says_hello).await?,
            };
            admissions.push(Admission::of(trunks, Some(admitted), &profile));
            hello = hello.or(reply);
        }
        self.is_now(profile, admissions);
        Ok(hello)
    }

    /// Becomes one of a profile that servers of all clusters have taken before. False when they have not.
    pub(super) fn is_known_as(&mut self, profile: &Profile) -> bool {
        let admission = |trunks: &Rc<Trunks>| {
            let admitted = trunks.redis()?.known(profile)?;
            Some(Admission::of(trunks, Some(admitted), profile))
        };
        let admissions: Option<Vec<_>> = self.listener.targets.all().map(admission).collect();
        let Some(admissions) = admissions else {
            return false;
        };
        self.is_now(profile.clone(), admissions);
        true
    }

    fn is_now(&mut self, profile: Profile, admissions: Vec<Admission>) {
        if self.identity.admit(admissions) {
            self.rides.leave();
        }
        self.identity.profile = profile;
    }
}
