//! What clients that share a connection have to have in common: user, database, version of the protocol.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Profiles that a cluster knows at most: each has been accepted by a server, so there are as many as users times databases.
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

/// A profile that is known, by its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProfileId(pub u16);

/// The profiles of one cluster. They are looked up when a client says who it is, never for a request.
pub(super) struct Profiles {
    known: Mutex<Vec<Arc<Profile>>>,
}

impl Profiles {
    /// The one of a client that has said nothing, which is number 0.
    pub(super) fn new() -> Self {
        Self {
            known: Mutex::new(vec![Arc::default()]),
        }
    }

    pub(super) fn get(&self, id: ProfileId) -> Option<Arc<Profile>> {
        self.lock().get(usize::from(id.0)).map(Arc::clone)
    }

    /// The number of a profile, if it has one.
    pub(super) fn find(&self, profile: &Profile) -> Option<ProfileId> {
        let place = self.lock().iter().position(|known| **known == *profile)?;
        u16::try_from(place).ok().map(ProfileId)
    }

    /// The number of a profile that a server has accepted; `None` when there are too many.
    pub(super) fn admit(&self, profile: &Profile) -> Option<ProfileId> {
        if let Some(known) = self.find(profile) {
            return Some(known);
        }
        let mut known = self.lock();
        let place = known.len();
        let is_login = |profile: &Profile| profile.credential.is_some();
        let logins = || known.iter().filter(|known| is_login(known)).count();
        if place >= MAX_PROFILES || (is_login(profile) && logins() >= MAX_LOGINS) {
            return None;
        }
        known.push(Arc::new(profile.clone()));
        u16::try_from(place).ok().map(ProfileId)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Profile>>> {
        // Nothing under this lock leaves half a change behind.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const _: () = assert!(MAX_PROFILES <= u16::MAX as usize);

#[cfg(test)]
mod tests {
    use super::*;

    fn of(database: u32) -> Profile {
        Profile {
            database,
            ..Profile::default()
        }
    }

    #[test]
    fn a_profile_keeps_its_number_and_others_get_others() {
        let profiles = Profiles::new();
        assert_eq!(profiles.find(&Profile::default()), Some(ProfileId(0)));
        assert_eq!(profiles.find(&of(1)), None);
        assert_eq!(profiles.admit(&of(1)), Some(ProfileId(1)));
        assert_eq!(profiles.admit(&of(2)), Some(ProfileId(2)));
        assert_eq!(profiles.admit(&of(1)), Some(ProfileId(1)));
        assert_eq!(*profiles.get(ProfileId(2)).unwrap(), of(2));
        let secret = Profile {
            credential: Some(Credential {
                username: None,
                password: Password::new(b"canary"),
            }),
            ..Profile::default()
        };
        assert_eq!(profiles.admit(&secret), Some(ProfileId(3)));
        assert!(!format!("{secret:?}").contains("canary"));
    }

    #[test]
    fn logins_leave_room_for_those_who_do_not_log_in() {
        let profiles = Profiles::new();
        let login = |number: usize| Profile {
            credential: Some(Credential {
                username: Some(b"default"[..].into()),
                password: Password::new(number.to_string().as_bytes()),
            }),
            ..Profile::default()
        };
        for number in 0..MAX_LOGINS {
            assert!(profiles.admit(&login(number)).is_some());
        }
        assert_eq!(profiles.admit(&login(MAX_LOGINS)), None);
        assert!(profiles.admit(&login(0)).is_some(), "it is known");
        assert!(profiles.admit(&of(1)).is_some());
    }

    #[test]
    fn there_is_an_end_to_them() {
        let profiles = Profiles::new();
        for database in 1..MAX_PROFILES as u32 {
            assert!(profiles.admit(&of(database)).is_some());
        }
        assert_eq!(profiles.admit(&of(u32::MAX)), None);
        assert_eq!(profiles.admit(&of(7)), Some(ProfileId(7)));
    }
}
