//! A login with the password itself, as AUTH of Redis sends it, against the verifiers that are kept for SCRAM.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::hash::{hash, hmac, same};
use super::users::process_key;
use super::{Keys, MAX_MESSAGE_BYTES, Mechanism, User, Users, Verifier};
use crate::secret::Secret;

/// The logins of one listener on one worker.
///
/// A verifier is made to be costly to guess, some milliseconds of a core, and clients of Redis log in on every connection. So what was
/// right once is recognised by a keyed hash of it, which is worth nothing outside of this process.
pub struct PlainLogins {
    users: Arc<Users>,
    /// By user; no more than there are users.
    known: RefCell<HashMap<String, Vec<u8>>>,
    /// Who guesses waits for who guessed before, and not the worker for either.
    turns: Semaphore,
}

impl PlainLogins {
    /// Nobody has logged in yet.
    pub fn new(users: Arc<Users>) -> Self {
        Self {
            users,
            known: RefCell::default(),
            turns: Semaphore::new(1),
        }
    }

    /// The user, if this is the password. It takes as long whether there is such a user or not.
    pub async fn check(&self, name: &str, password: Secret) -> Option<Arc<User>> {
        if name.len() > MAX_MESSAGE_BYTES || password.reveal().len() > MAX_MESSAGE_BYTES {
            return None;
        }
        let mark = mark(name, &password);
        let mechanism = self.users.mechanisms(name).into_iter().next();
        let mechanism = mechanism.unwrap_or(Mechanism::ScramSha256);
        let (user, verifier) = self.users.verifier(name, mechanism);
        let is_known = |known: &Vec<u8>| same(known, &mark);
        if self.known.borrow().get(name).is_some_and(is_known) {
            return user;
        }
        let owned = name.to_owned();
        // It is never closed.
        let _turn = self.turns.acquire().await.ok()?;
        let hashing = tokio::task::spawn_blocking(move || fits(&verifier, &owned, &password));
        // Only a runtime that ends cancels it.
        if !hashing.await.unwrap_or(false) {
            return None;
        }
        let user = user?;
        self.known.borrow_mut().insert(name.to_owned(), mark);
        Some(user)
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

fn mark(name: &str, password: &Secret) -> Vec<u8> {
    let length = (name.len() as u64).to_le_bytes();
    let parts = [
        &b" password "[..],
        &length,
        name.as_bytes(),
        password.reveal().as_bytes(),
    ];
    hmac(Mechanism::ScramSha256, process_key(), &parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scram::MECHANISMS;

    fn logins() -> PlainLogins {
        let mut text = String::new();
        for (name, mechanism) in [("anna", MECHANISMS[0]), ("old", MECHANISMS[1])] {
            let password = Secret::new(format!("{name}'s"));
            let verifier = Verifier::new(mechanism, name, &password).unwrap();
            text.push_str(&format!("{name} {}\n", verifier.to_text()));
        }
        PlainLogins::new(Arc::new(Users::parse("users", &text).unwrap()))
    }

    #[tokio::test]
    async fn the_password_is_right_again_and_again_and_no_other_is() {
        let logins = logins();
        for _ in 0..2 {
            for (name, password, is_right) in [
                ("anna", "anna's", true),
                ("anna", "old's", false),
                ("anna", "", false),
                ("old", "old's", true),
                ("nobody", "anna's", false),
                ("ann", "aanna's", false),
            ] {
                let user = logins.check(name, Secret::new(password.to_owned())).await;
                let found = user.map(|user| user.name.clone());
                assert_eq!(found.as_deref(), is_right.then_some(name), "{name}");
            }
        }
        assert_eq!(logins.known.borrow().len(), 2);
        let long = "x".repeat(MAX_MESSAGE_BYTES + 1);
        assert!(logins.check("anna", Secret::new(long)).await.is_none());
    }
}
