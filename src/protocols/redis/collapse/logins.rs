//! Where clients log in that have to log in to the proxy.

use std::sync::Arc;

use crate::config::RedisAuth;
use crate::listener::ListenerShared;
use crate::scram::{PlainError, PlainLogins, Users};
use crate::secret::Secret;

/// The users of one listener, and who of them a worker has met.
pub(super) struct Logins {
    listener: Arc<ListenerShared>,
    plain: PlainLogins,
}

impl Logins {
    pub(super) fn new(listener: Arc<ListenerShared>) -> Self {
        Self {
            listener,
            plain: PlainLogins::default(),
        }
    }

    /// Whether this is a user's password, by the config that is in force: who is no user any more does not log in on a connection that has
    /// been open for long either.
    ///
    /// # Errors
    /// See [`PlainError`].
    pub(super) async fn check(&self, name: &[u8], password: &[u8]) -> Result<(), PlainError> {
        let users = self.users().ok_or(PlainError::Wrong)?;
        let name = str::from_utf8(name).map_err(|_| PlainError::Wrong)?;
        let password = str::from_utf8(password).map_err(|_| PlainError::Wrong)?;
        let password = Secret::new(password.to_owned());
        self.plain.check(&users, name, password).await.map(drop)
    }

    /// There is a user of that name.
    pub(super) fn is_name(&self, name: &[u8]) -> bool {
        let users = self.users();
        let name = str::from_utf8(name).ok();
        users.is_some_and(|users| name.is_some_and(|name| users.is_name(name)))
    }

    fn users(&self) -> Option<Arc<Users>> {
        match &self.listener.policy.load().listener.redis.auth {
            RedisAuth::Users { users, .. } => Some(Arc::clone(users)),
            RedisAuth::Server => None,
        }
    }
}
