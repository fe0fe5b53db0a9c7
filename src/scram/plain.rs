//! A login with the password itself, as AUTH of Redis sends it, against the verifiers that are kept for SCRAM.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::hash::{hash, hmac, same};
use super::users::process_key;
use super::{Keys, MAX_MESSAGE_BYTES, Mechanism, User, Users, Verifier};
use crate::secret::Secret;

/// The mechanism whose verifiers are used: with one alone, the time that a login takes tells nothing of its user.
pub const PLAIN_MECHANISM: Mechanism = Mechanism::ScramSha256;

/// Logins that wait for their turn on a worker.
const MAX_WAITING: usize = 100;

/// Longest wait for a turn.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Passwords that are remembered, when users come and go with each reload.
const MAX_KNOWN: usize = 10_000;

/// The logins of one listener on one worker.
///
/// A verifier is made to be costly to guess, some milliseconds of a core, and clients of Redis log in on every connection. So what was
/// right once is recognised by a keyed hash of it and of the verifier, which is worth nothing outside of this process.
pub struct PlainLogins {
    /// By user.
    known: RefCell<HashMap<String, Vec<u8>>>,
    /// Who guesses waits for who guessed before, and not the worker for either.
    turns: Semaphore,
    waiting: Cell<usize>,
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainError {
    /// There is no such user with this password.
    Wrong,
    /// Too many are being checked.
    Busy,
}

impl PlainError {
    /// Why, for the log of the proxy.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Wrong => "no such user with this password",
            Self::Busy => "too many are being checked",
        }
    }
}

impl Default for PlainLogins {
    fn default() -> Self {
        Self {
            known: RefCell::default(),
            turns: Semaphore::new(1),
            waiting: Cell::new(0),
        }
    }
}

impl PlainLogins {
    /// The user, if this is the password. It takes as long whether there is such a user or not.
    ///
    /// # Errors
    /// See [`PlainError`].
    pub async fn check(
        &self,
        users: &Users,
        name: &str,
        password: Secret,
    ) -> Result<Arc<User>, PlainError> {
        if name.len() > MAX_MESSAGE_BYTES || password.reveal().len() > MAX_MESSAGE_BYTES {
            return Err(PlainError::Wrong);
        }
        let (user, verifier) = users.verifier(name, PLAIN_MECHANISM);
        let mark = mark(name, &password, &verifier);
        let is_known = |known: &Vec<u8>| same(known, &mark);
        if self.known.borrow().get(name).is_some_and(is_known) {
            return user.ok_or(PlainError::Wrong);
        }
        let _turn = self.turn().await?;
        // Who had the turn before may have been the same.
        if self.known.borrow().get(name).is_some_and(is_known) {
            return user.ok_or(PlainError::Wrong);
        }
        let owned = name.to_owned();
        let hashing = tokio::task::spawn_blocking(move || fits(&verifier, &owned, &password));
        // Only a runtime that ends cancels it.
        if !hashing.await.unwrap_or(false) {
            return Err(PlainError::Wrong);
        }
        let user = user.ok_or(PlainError::Wrong)?;
        let mut known = self.known.borrow_mut();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(name.to_owned(), mark);
        Ok(user)
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>, PlainError> {
        if self.waiting.get() >= MAX_WAITING {
            return Err(PlainError::Busy);
        }
        let _waiting = Waiting::begin(&self.waiting);
        let turn = tokio::time::timeout(LONGEST_WAIT, self.turns.acquire()).await;
        // It is never closed.
        turn.ok().and_then(Result::ok).ok_or(PlainError::Busy)
    }
}

/// One that waits, until it is dropped.
struct Waiting<'a>(&'a Cell<usize>);

impl<'a> Waiting<'a> {
    fn begin(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

fn fits(verifier: &Verifier, name: &str, password: &Secret) -> bool {
    let Verifier {
        mechanism,
        iterations,
        salt,
        stored_key,
        ..
    } = verifier;
    Keys::derive(*mechanism, name, password, salt, *iterations)
        .is_ok_and(|keys| same(&hash(*mechanism, &keys.client), stored_key))
}

fn mark(name: &str, password: &Secret, verifier: &Verifier) -> Vec<u8> {
    let length = (name.len() as u64).to_le_bytes();
    let parts = [
        &b" password "[..],
        &verifier.stored_key,
        &length,
        name.as_bytes(),
        password.reveal().as_bytes(),
    ];
    hmac(Mechanism::ScramSha256, process_key(), &parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(passwords: &[(&str, &str)]) -> Users {
        let lines = passwords.iter().map(|(name, password)| {
            let password = Secret::new((*password).to_owned());
            let verifier = Verifier::new(PLAIN_MECHANISM, name, &password).unwrap();
            format!("{name} {}\n", verifier.to_text())
        });
        Users::parse("users", &lines.collect::<String>()).unwrap()
    }

    async fn check(
        logins: &PlainLogins,
        users: &Users,
        name: &str,
        password: &str,
    ) -> Result<String, PlainError> {
        let password = Secret::new(password.to_owned());
        let user = logins.check(users, name, password).await?;
        Ok(user.name.clone())
    }

    #[tokio::test]
    async fn the_password_is_right_again_and_again_and_no_other_is() {
        let users = users(&[("anna", "anna's"), ("bert", "bert's")]);
        let logins = PlainLogins::default();
        for _ in 0..2 {
            for (name, password, is_right) in [
                ("anna", "anna's", true),
                ("anna", "bert's", false),
                ("anna", "", false),
                ("bert", "bert's", true),
                ("nobody", "anna's", false),
                ("ann", "aanna's", false),
            ] {
                let found = check(&logins, &users, name, password).await;
                let wanted = match is_right {
                    true => Ok(name.to_owned()),
                    false => Err(PlainError::Wrong),
                };
                assert_eq!(found, wanted, "{name}");
            }
        }
        assert_eq!(logins.known.borrow().len(), 2);
        let long = "x".repeat(MAX_MESSAGE_BYTES + 1);
        let found = check(&logins, &users, "anna", &long).await;
        assert_eq!(found, Err(PlainError::Wrong));
    }

    #[tokio::test]
    async fn who_is_removed_or_has_a_new_password_is_not_remembered() {
        let logins = PlainLogins::default();
        let before = users(&[("anna", "old"), ("bert", "bert's")]);
        for (name, password) in [("anna", "old"), ("bert", "bert's")] {
            assert!(check(&logins, &before, name, password).await.is_ok());
        }
        let after = users(&[("anna", "new")]);
        for (name, password) in [("anna", "old"), ("bert", "bert's")] {
            let found = check(&logins, &after, name, password).await;
            assert_eq!(found, Err(PlainError::Wrong), "{name}");
        }
        assert!(check(&logins, &after, "anna", "new").await.is_ok());
    }

    #[tokio::test]
    async fn too_many_guesses_at_the_same_time_are_refused() {
        let users = users(&[("anna", "anna's")]);
        let logins = PlainLogins::default();
        let guesses = (0..2 * MAX_WAITING).map(|_| check(&logins, &users, "anna", "wrong"));
        let results = futures_util::future::join_all(guesses).await;
        let busy = results
            .iter()
            .filter(|result| **result == Err(PlainError::Busy));
        assert!(busy.count() >= MAX_WAITING - 1);
        assert_eq!(logins.waiting.get(), 0);
        assert!(check(&logins, &users, "anna", "anna's").await.is_ok());
    }
}
