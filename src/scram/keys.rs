//! What a client computes from a password: a few milliseconds of work, so it is done beside the worker, and once.

use std::sync::{Arc, Mutex, PoisonError};

use super::hash::{hmac, prepared, salted_password};
use super::{Challenge, Mechanism, ScramError};
use crate::secret::Secret;

/// Keys kept of one user. Members of a replica set and routers of a cluster share their users, so that there is one for each
/// mechanism, and a few more while a password changes.
const MAX_KEPT: usize = 8;

/// `ClientKey` and `ServerKey`: as secret as the password they come from.
pub struct Keys {
    pub(super) client: Vec<u8>,
    pub(super) server: Vec<u8>,
}

impl Keys {
    /// Derives the keys, which takes a core a few milliseconds for ten thousand iterations.
    ///
    /// # Errors
    /// When SASLprep refuses the password.
    pub fn derive(
        mechanism: Mechanism,
        username: &str,
        password: &Secret,
        salt: &[u8],
        iterations: u32,
    ) -> Result<Self, ScramError> {
        let password = prepared(mechanism, username, password)?;
        let salted = salted_password(mechanism, &password, salt, iterations);
        Ok(Self {
            client: hmac(mechanism, &salted, &[b"Client Key"]),
            server: hmac(mechanism, &salted, &[b"Server Key"]),
        })
    }
}

/// The keys of one user with one password, by what servers ask them to be derived with. Shared by all workers; touched once a
/// login.
pub struct KeyCache {
    username: String,
    password: Secret,
    kept: Mutex<Vec<(Inputs, Arc<Keys>)>>,
}

#[derive(Clone, PartialEq, Eq)]
struct Inputs {
    mechanism: Mechanism,
    salt: Vec<u8>,
    iterations: u32,
}

impl KeyCache {
    /// A cache that has nothing yet.
    pub fn new(username: &str, password: Secret) -> Arc<Self> {
        Arc::new(Self {
            username: username.to_owned(),
            password,
            kept: Mutex::default(),
        })
    }

    /// The user's name.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The keys that a server asks for. Those that are not known are computed on a thread that may block, and are kept even
    /// when nobody waits for them any longer.
    ///
    /// # Errors
    /// When SASLprep refuses the password.
    pub async fn keys(self: &Arc<Self>, challenge: &Challenge) -> Result<Arc<Keys>, ScramError> {
        let inputs = Inputs {
            mechanism: challenge.mechanism,
            salt: challenge.salt.clone(),
            iterations: challenge.iterations,
        };
        if let Some(keys) = self.known(&inputs) {
            return Ok(keys);
        }
        let cache = Arc::clone(self);
        tokio::task::spawn_blocking(move || cache.derive(inputs))
            .await
            // Only a runtime that ends cancels it.
            .unwrap_or(Err(ScramError::Random))
    }

    fn known(&self, inputs: &Inputs) -> Option<Arc<Keys>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().find(|(known, _)| known == inputs)?;
        Some(Arc::clone(&found.1))
    }

    fn derive(&self, inputs: Inputs) -> Result<Arc<Keys>, ScramError> {
        let keys = Arc::new(Keys::derive(
            inputs.mechanism,
            &self.username,
            &self.password,
            &inputs.salt,
            inputs.iterations,
        )?);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_KEPT {
            kept.remove(0);
        }
        kept.push((inputs, Arc::clone(&keys)));
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scram::ScramClient;

    fn challenge(salt: &str) -> Challenge {
        let client = ScramClient::new(Mechanism::ScramSha256, "user").unwrap();
        let first = String::from_utf8(client.first()).unwrap();
        let nonce = first.rsplit_once("r=").unwrap().1;
        let server_first = format!("r={nonce}more,s={salt},i=4096");
        client.challenge(server_first.as_bytes()).unwrap()
    }

    #[tokio::test(flavor = "current_thread")]
    async fn keys_are_derived_once_and_the_cache_is_bounded() {
        let cache = KeyCache::new("user", Secret::new("pencil".to_owned()));
        let first = cache.keys(&challenge("AAAA")).await.unwrap();
        let again = cache.keys(&challenge("AAAA")).await.unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        for salt in 0..MAX_KEPT {
            cache.keys(&challenge(&format!("AAB{salt}"))).await.unwrap();
        }
        assert_eq!(cache.kept.lock().unwrap().len(), MAX_KEPT);
        let forgotten = cache.keys(&challenge("AAAA")).await.unwrap();
        assert!(!Arc::ptr_eq(&first, &forgotten));
    }
}
