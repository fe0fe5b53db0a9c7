//! What clients that share a connection have to have in common: user, database, version of the protocol.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Profiles that a cluster knows at most, and so many may be in use: each has been accepted by a server, so there are as many as users times
/// databases.
const MAX_PROFILES: usize = 4096;

/// Those of clients that log in, at most: a user without a password is one that takes any, so there may be more than users. Clients that do
/// not log in must not be refused a database, or a version, for that.
const MAX_LOGINS: usize = MAX_PROFILES - 1024;

/// A version of RESP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// RESP2, which a connection begins with.
    #[default]
    Two,
    /// RESP3.
    Three,
}

impl Version {
    /// As HELLO has it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Two => "2",
            Self::Three => "3",
        }
    }
}

/// Who a client is, as it said by AUTH or HELLO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The user; `None` for the default one.
    pub username: Option<Box<[u8]>>,
    /// The password.
    pub password: Password,
}

/// A password as it came from the wire.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Box<[u8]>);

impl Password {
    /// Takes it over.
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The password itself, for the one place that sends it.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Connections of the same profile are interchangeable, others are not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// The version of the protocol.
    pub version: Version,
    /// The database that SELECT chose.
    pub database: u32,
    /// Who the client is; `None` until it has said so.
    pub credential: Option<Credential>,
    /// For a replica of a Redis Cluster, which is told READONLY: it answers for its master's slots then.
    pub reads_replica: bool,
}

/// The number of a profile at one cluster. It is never another one's, also when nobody has it any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProfileId(pub u32);

/// A profile that a server has accepted. It keeps its number for as long as somebody has this.
#[derive(Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Its number.
    pub id: ProfileId,
    pub(super) profile: Profile,
}

/// The profiles of one cluster. They are looked up when a client says who it is, never for a request.
pub(super) struct Profiles {
    known: Mutex<Known>,
}

struct Known {
    /// The number of the next one.
    next: u32,
    /// What was asked for last stands last. It stays though nobody uses it, as those who will are told by it which connections are theirs; when
    /// there are too many, the first that nobody uses goes: passwords change, and some are good for an hour only.
    all: Vec<Arc<Admitted>>,
}

impl Profiles {
    /// The one of a client that has said nothing, which is number 0.
    pub(super) fn new() -> Self {
        let mut known = Known {
            next: 0,
            all: Vec::new(),
        };
        known.add(&Profile::default());
        Self {
            known: Mutex::new(known),
        }
    }

    pub(super) fn get(&self, id: ProfileId) -> Option<Arc<Admitted>> {
        let known = self.lock();
        known.all.iter().find(|known| known.id == id).cloned()
    }

    /// A profile that is known, if it is.
    pub(super) fn find(&self, profile: &Profile) -> Option<Arc<Admitted>> {
        self.lock().find(profile)
    }

    /// A profile that a server has accepted; `None` when too many are in use.
    pub(super) fn admit(&self, profile: &Profile) -> Option<Arc<Admitted>> {
        let mut known = self.lock();
        if let Some(found) = known.find(profile) {
            return Some(found);
        }
        let is_login = profile.credential.is_some();
        if is_login && known.logins() >= MAX_LOGINS && !known.forget_unused(is_a_login) {
            return None;
        }
        if known.all.len() >= MAX_PROFILES && !known.forget_unused(|_| true) {
            return None;
        }
        Some(known.add(profile))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Nothing under this lock leaves half a change behind.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_a_login(profile: &Profile) -> bool {
    profile.credential.is_some()
}

impl Known {
    fn find(&mut self, profile: &Profile) -> Option<Arc<Admitted>> {
        let mut all = self.all.iter();
        let place = all.position(|known| known.profile == *profile)?;
        let found = self.all.remove(place);
        self.all.push(Arc::clone(&found));
        Some(found)
    }

    fn add(&mut self, profile: &Profile) -> Arc<Admitted> {
        let id = ProfileId(self.next);
        self.next += 1;
        let made = Arc::new(Admitted {
            id,
            profile: profile.clone(),
        });
        self.all.push(Arc::clone(&made));
        made
    }

    fn logins(&self) -> usize {
        let logins = self.all.iter().filter(|known| is_a_login(&known.profile));
        logins.count()
    }

    /// Forgets the one of that kind that was asked for longest ago and that nobody uses. False when there is none.
    fn forget_unused(&mut self, kind: impl Fn(&Profile) -> bool) -> bool {
        let unused = |known: &Arc<Admitted>| {
            Arc::strong_count(known) == 1
                && known.id != ProfileId::default()
                && kind(&known.profile)
        };
        let place = self.all.iter().position(unused);
        place.map(|place| self.all.remove(place)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(database: u32) -> Profile {
        Profile {
            database,
            ..Profile::default()
        }
    }

    fn login(number: usize) -> Profile {
        Profile {
            credential: Some(Credential {
                username: Some(b"default"[..].into()),
                password: Password::new(format!("secret {number}").as_bytes()),
            }),
            ..Profile::default()
        }
    }

    #[test]
    fn a_profile_keeps_its_number_and_others_get_others() {
        let profiles = Profiles::new();
        let number = |profile: &Profile| profiles.admit(profile).unwrap().id.0;
        assert_eq!(profiles.find(&Profile::default()).unwrap().id.0, 0);
        assert_eq!(profiles.find(&of(1)), None);
        assert_eq!([1, 2, 1].map(|database| number(&of(database))), [1, 2, 1]);
        assert_eq!(profiles.get(ProfileId(2)).unwrap().profile, of(2));
        let secret = login(1);
        assert_eq!(number(&secret), 3);
        assert!(!format!("{:?}", profiles.get(ProfileId(3))).contains("secret"));
    }

    #[test]
    fn logins_leave_room_for_those_who_do_not_log_in() {
        let profiles = Profiles::new();
        let all: Vec<_> = (0..MAX_LOGINS)
            .map(|number| profiles.admit(&login(number)).unwrap())
            .collect();
        assert_eq!(profiles.admit(&login(MAX_LOGINS)), None);
        assert!(profiles.admit(&login(0)).is_some(), "it is known");
        assert!(profiles.admit(&of(1)).is_some());
        drop(all);
        assert!(profiles.admit(&login(MAX_LOGINS)).is_some());
    }

    #[test]
    fn there_is_an_end_to_those_in_use() {
        let profiles = Profiles::new();
        let mut all: Vec<_> = (1..MAX_PROFILES as u32)
            .map(|database| profiles.admit(&of(database)).unwrap())
            .collect();
        assert_eq!(profiles.admit(&of(u32::MAX)), None);
        assert_eq!(profiles.admit(&of(7)).unwrap().id, ProfileId(7));
        let left = all.remove(100);
        let number = left.id;
        drop(left);
        let last = profiles.admit(&of(u32::MAX)).unwrap();
        assert_eq!(last.id.0, MAX_PROFILES as u32, "a number of its own");
        assert_eq!(profiles.get(number), None);
    }

    /// More logins than there may be, each with a password of its own, a few of them at the same time.
    #[test]
    fn passwords_that_change_all_the_time_are_forgotten_again() {
        let profiles = Profiles::new();
        let mut used = std::collections::VecDeque::new();
        for number in 0..20_000 {
            used.push_back(profiles.admit(&login(number)).unwrap());
            if used.len() > 10 {
                used.pop_front();
            }
        }
        assert!(profiles.lock().all.len() <= MAX_LOGINS + 1);
        for known in &used {
            assert!(profiles.get(known.id).is_some(), "it is in use");
        }
    }
}
