//! What a server keeps of a password: enough to check a login, not enough to log in elsewhere without guessing.

use std::fmt;

use super::hash::{base64, from_base64, hash, length, random};
use super::{Keys, MAX_ITERATIONS, MIN_ITERATIONS, Mechanism, ScramError};
use crate::secret::Secret;

/// Longest salt that a users file may hold, in bytes. MongoDB takes 16 and 28.
const MAX_SALT_BYTES: usize = 64;

/// What RFC 5802 section 3 calls the authentication information of a user. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    /// The mechanism it is for.
    pub mechanism: Mechanism,
    pub(super) iterations: u32,
    pub(super) salt: Vec<u8>,
    pub(super) stored_key: Vec<u8>,
    pub(super) server_key: Vec<u8>,
}

impl Verifier {
    /// Makes the verifier of a password, with a fresh salt. Takes a core a few milliseconds.
    ///
    /// # Errors
    /// When SASLprep refuses the password, or the system has no random numbers.
    pub fn new(
        mechanism: Mechanism,
        username: &str,
        password: &Secret,
    ) -> Result<Self, ScramError> {
        let iterations = default_iterations(mechanism);
        let mut salt = random::<28>()?.to_vec();
        salt.truncate(default_salt_bytes(mechanism));
        let keys = Keys::derive(mechanism, username, password, &salt, iterations)?;
        Ok(Self {
            mechanism,
            iterations,
            salt,
            stored_key: hash(mechanism, &keys.client),
            server_key: keys.server,
        })
    }

    /// Reads `MECHANISM$ITERATIONS:SALT$STOREDKEY:SERVERKEY`, all but the first two in base64.
    ///
    /// # Errors
    /// A sentence that says what is wrong and repeats nothing of the verifier but its mechanism and its iterations.
    pub fn parse(text: &str) -> Result<Self, String> {
        let shape =
            || "a verifier has the form MECHANISM$ITERATIONS:SALT$STOREDKEY:SERVERKEY".to_owned();
        let mut parts = text.split('$');
        let (Some(name), Some(salted), Some(keys), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(shape());
        };
        let mechanism = Mechanism::by_name(name).ok_or_else(|| {
            "the mechanism of a verifier is SCRAM-SHA-256 or SCRAM-SHA-1".to_owned()
        })?;
        let (iterations, salt) = salted.split_once(':').ok_or_else(shape)?;
        let (stored_key, server_key) = keys.split_once(':').ok_or_else(shape)?;
        let key = |text, what| {
            from_base64(text)
                .filter(|key| key.len() == length(mechanism))
                .ok_or_else(|| {
                    let bytes = length(mechanism);
                    format!("the {what} of a {name} verifier is {bytes} bytes in base64")
                })
        };
        Ok(Self {
            mechanism,
            iterations: parse_iterations(iterations)?,
            salt: from_base64(salt)
                .filter(|salt| (1..=MAX_SALT_BYTES).contains(&salt.len()))
                .ok_or_else(|| {
                    format!("the salt of a verifier is 1 to {MAX_SALT_BYTES} bytes in base64")
                })?,
            stored_key: key(stored_key, "stored key")?,
            server_key: key(server_key, "server key")?,
        })
    }

    /// The text that [`parse`](Self::parse) reads.
    pub fn to_text(&self) -> String {
        format!(
            "{}${}:{}${}:{}",
            self.mechanism.name(),
            self.iterations,
            base64(&self.salt),
            base64(&self.stored_key),
            base64(&self.server_key)
        )
    }
}

/// Of new verifiers: the defaults of MongoDB's `scramIterationCount` and `scramSHA256IterationCount`.
pub(super) fn default_iterations(mechanism: Mechanism) -> u32 {
    match mechanism {
        Mechanism::ScramSha1 => 10_000,
        Mechanism::ScramSha256 => 15_000,
    }
}

/// Of new verifiers, in bytes: what MongoDB takes, a hash without the four bytes that PBKDF2 adds.
pub(super) fn default_salt_bytes(mechanism: Mechanism) -> usize {
    length(mechanism) - 4
}

fn parse_iterations(text: &str) -> Result<u32, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| text.parse().ok())
        .flatten()
        .filter(|count| (MIN_ITERATIONS..=MAX_ITERATIONS).contains(count))
        .ok_or_else(|| {
            format!("the iterations of a verifier are from {MIN_ITERATIONS} to {MAX_ITERATIONS}")
        })
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}$***", self.mechanism.name())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scram::MECHANISMS;

    #[test]
    fn a_verifier_is_read_as_it_was_written_and_not_shown() {
        for mechanism in MECHANISMS {
            let password = Secret::new("pencil".to_owned());
            let verifier = Verifier::new(mechanism, "user", &password).unwrap();
            assert_eq!(Verifier::parse(&verifier.to_text()), Ok(verifier.clone()));
            assert_eq!(format!("{verifier:?}"), format!("{}$***", mechanism.name()));
            let other = Verifier::new(mechanism, "user", &password).unwrap();
            assert_ne!(other.salt, verifier.salt);
        }
    }

    #[test]
    fn what_is_no_verifier_is_refused_with_a_reason() {
        let key = base64(&[7; 32]);
        let cases = [
            ("SCRAM-SHA-256".to_owned(), "has the form"),
            (format!("SCRAM-SHA-256$15000:AAAA${key}"), "has the form"),
            (
                format!("SCRAM-SHA-256$15000:AAAA${key}:{key}$"),
                "has the form",
            ),
            (
                format!("SCRAM-SHA-512$15000:AAAA${key}:{key}"),
                "the mechanism",
            ),
            (format!("SCRAM-SHA-256$15000:${key}:{key}"), "the salt"),
            (format!("SCRAM-SHA-256$15000:A*A=${key}:{key}"), "the salt"),
            (
                format!("SCRAM-SHA-256$+15000:AAAA${key}:{key}"),
                "the iterations",
            ),
            (
                format!("SCRAM-SHA-256$4095:AAAA${key}:{key}"),
                "the iterations",
            ),
            (
                format!("SCRAM-SHA-256$1000001:AAAA${key}:{key}"),
                "the iterations",
            ),
            (
                format!("SCRAM-SHA-256$15000:AAAA$AAAA:{key}"),
                "the stored key",
            ),
            (format!("SCRAM-SHA-1$15000:AAAA${key}:{key}"), "is 20 bytes"),
        ];
        for (text, expected) in cases {
            let error = Verifier::parse(&text).expect_err(&text);
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains(&key), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*", parts in proptest::collection::vec("[A-Za-z0-9+/=:$-]*", 0..5)) {
            let _ = Verifier::parse(&text);
            let _ = Verifier::parse(&format!("SCRAM-SHA-1${}", parts.join("$")));
        }
    }
}
