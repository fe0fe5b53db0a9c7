//! The users of a listener: who may log in, and as whom to the servers.

pub(crate) mod edit;
mod file;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::hash::{hmac, length, random};
use super::verifier::{default_iterations, default_salt_bytes};
use super::{MECHANISMS, Mechanism, Verifier};
use crate::config::{ConfigError, Place, Problem, Span, did_you_mean, quoted};

/// Somebody who may log in.
#[derive(Debug, PartialEq)]
pub struct User {
    /// The name to log in with.
    pub name: String,
    /// The name of the credential that the user's operations run under, in the cluster of the listener; `None` is the
    /// cluster's first.
    pub credential: Option<String>,
    /// At least one, and at most one for each mechanism.
    verifiers: Vec<Verifier>,
}

/// Everybody who may log in.
#[derive(Debug, PartialEq)]
pub struct Users {
    origin: String,
    by_name: HashMap<String, Arc<User>>,
    /// Where the file names credentials.
    credentials: Vec<(String, Span)>,
    /// Where the file names users.
    names: Vec<(String, Span)>,
    /// What a client is told of a user who does not exist looks like one who does.
    models: [Model; MECHANISMS.len()],
}

/// What verifiers look like from outside.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Model {
    mechanism: Mechanism,
    used: bool,
    iterations: u32,
    salt_bytes: usize,
}

impl User {
    /// The mechanisms that the user can log in with, the preferred one first.
    pub fn mechanisms(&self) -> Vec<Mechanism> {
        MECHANISMS
            .into_iter()
            .filter(|mechanism| self.verifier(*mechanism).is_some())
            .collect()
    }

    fn verifier(&self, mechanism: Mechanism) -> Option<&Verifier> {
        self.verifiers
            .iter()
            .find(|verifier| verifier.mechanism == mechanism)
    }
}

impl Users {
    /// Reads a users file.
    ///
    /// # Errors
    /// Every mistake in it, with its place; or that it cannot be read, or could be written by others.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&path.display().to_string(), &file::read(path)?)
    }

    /// Reads the text of a users file; `origin` stands for it in messages.
    ///
    /// # Errors
    /// Every mistake in it, with its place.
    pub fn parse(origin: &str, text: &str) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let lines = file::parse(text, &mut problems);
        if !problems.is_empty() {
            return Err(file::error(origin, text, problems));
        }
        let mut users = Self {
            origin: origin.to_owned(),
            by_name: HashMap::new(),
            credentials: Vec::new(),
            names: Vec::new(),
            models: MECHANISMS.map(Model::new),
        };
        for line in lines {
            for model in &mut users.models {
                model.learn(&line.user);
            }
            users.names.push((line.user.name.clone(), line.name));
            if let (Some(name), Some(span)) = (&line.user.credential, line.credential) {
                users.credentials.push((name.clone(), span));
            }
            users
                .by_name
                .insert(line.user.name.clone(), Arc::new(line.user));
        }
        Ok(users)
    }

    /// Checks that every credential that the file names is one of these.
    ///
    /// # Errors
    /// Each one that is not, with its place.
    pub fn check_credentials(&self, known: &[&str]) -> Result<(), ConfigError> {
        let problems: Vec<Problem> = self
            .credentials
            .iter()
            .filter(|(name, _)| !known.contains(&name.as_str()))
            .map(|(name, span)| {
                let hint = did_you_mean(name, known).unwrap_or_default();
                let message = format!("the cluster has no credential {}{hint}", quoted(name));
                Problem::new(Place::Text(*span), message)
            })
            .collect();
        self.checked(problems)
    }

    /// Checks that every user can log in by this mechanism.
    ///
    /// # Errors
    /// Each one who can't, with its place.
    pub fn check_mechanism(&self, mechanism: Mechanism) -> Result<(), ConfigError> {
        let lacks = |name: &str| {
            let user = self.by_name.get(name);
            user.is_some_and(|user| user.verifier(mechanism).is_none())
        };
        let without = self.names.iter().filter(|(name, _)| lacks(name));
        let problems = without.map(|(name, span)| {
            let (name, mechanism) = (quoted(name), mechanism.name());
            let message = format!(
                "user {name} has no verifier of {mechanism}, which is needed here; `narrows user add` makes one"
            );
            Problem::new(Place::Text(*span), message)
        });
        self.checked(problems.collect())
    }

    fn checked(&self, problems: Vec<Problem>) -> Result<(), ConfigError> {
        match problems.is_empty() {
            true => Ok(()),
            false => Err(ConfigError::new(&self.origin, "", problems)),
        }
    }

    /// The mechanisms to name in `saslSupportedMechs`, the preferred one first: the user's, or those of all users for a name
    /// that nobody has.
    pub fn mechanisms(&self, name: &str) -> Vec<Mechanism> {
        match self.by_name.get(name) {
            Some(user) => user.mechanisms(),
            None => self.offered(),
        }
    }

    fn offered(&self) -> Vec<Mechanism> {
        let used = self.models.iter().filter(|model| model.used);
        used.map(|model| model.mechanism).collect()
    }

    /// There is a user of that name.
    pub fn is_name(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// True when nobody can log in.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// What to check a login against. For a name that nobody has, and for a mechanism that the user has not, it is one that no
    /// password fits, the same each time.
    pub(super) fn verifier(
        &self,
        name: &str,
        mechanism: Mechanism,
    ) -> (Option<Arc<User>>, Verifier) {
        let user = self.by_name.get(name);
        if let Some((user, verifier)) =
            user.and_then(|user| Some((user, user.verifier(mechanism)?)))
        {
            return (Some(Arc::clone(user)), verifier.clone());
        }
        let model = self
            .models
            .into_iter()
            .find(|model| model.mechanism == mechanism);
        let model = model.unwrap_or_else(|| Model::new(mechanism));
        (None, model.verifier(name))
    }
}

impl Model {
    fn new(mechanism: Mechanism) -> Self {
        Self {
            mechanism,
            used: false,
            iterations: default_iterations(mechanism),
            salt_bytes: default_salt_bytes(mechanism),
        }
    }

    fn learn(&mut self, user: &User) {
        if let (false, Some(verifier)) = (self.used, user.verifier(self.mechanism)) {
            self.used = true;
            self.iterations = verifier.iterations;
            self.salt_bytes = verifier.salt.len();
        }
    }

    fn verifier(self, name: &str) -> Verifier {
        // Two hashes, as the longest salt is longer than one.
        let made = |what: &[u8]| {
            let parts = [self.mechanism.name().as_bytes(), what, name.as_bytes()];
            hmac(Mechanism::ScramSha256, process_key(), &parts)
        };
        let mut salt = made(b" salt 1 ");
        salt.extend(made(b" salt 2 "));
        salt.truncate(self.salt_bytes);
        let key = |what| {
            let mut key = made(what);
            key.truncate(length(self.mechanism));
            key
        };
        Verifier {
            mechanism: self.mechanism,
            iterations: self.iterations,
            salt,
            stored_key: key(b" stored "),
            server_key: key(b" server "),
        }
    }
}

/// Made once, so that a reload does not change what is told of users who do not exist.
pub(super) fn process_key() -> &'static [u8; 32] {
    static KEY: OnceLock<[u8; 32]> = OnceLock::new();
    // Without random numbers no login comes this far: the nonce needs them too.
    KEY.get_or_init(|| random().unwrap_or_default())
}

#[cfg(test)]
mod tests;
