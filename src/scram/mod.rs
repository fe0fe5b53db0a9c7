//! SCRAM-SHA-1 and SCRAM-SHA-256 (RFC 5802, RFC 7677) as MongoDB speaks them: the proxy is a client towards servers
//! ([`ScramClient`]) and, for listeners that ask who their clients are, a server ([`ScramServer`]) that keeps verifiers
//! instead of passwords ([`Users`]).
//!
//! Two things are MongoDB's own: SCRAM-SHA-1 takes the hexadecimal MD5 of `user:mongo:password` for the password, and user
//! names are not prepared. There is no channel binding.

mod client;
mod hash;
mod keys;
mod message;
mod plain;
mod server;
mod users;
mod verifier;

pub use client::{Challenge, ExpectedSignature, ScramClient};
pub use keys::{KeyCache, Keys};
pub use plain::{PLAIN_MECHANISM, PlainError, PlainLogins};
pub use server::{AuthFailed, ScramServer};
pub use users::{User, Users};
pub use verifier::Verifier;

pub(crate) use users::edit;

pub use crate::config::MongoMechanism as Mechanism;

/// Every mechanism, the preferred one first.
pub const MECHANISMS: [Mechanism; 2] = [Mechanism::ScramSha256, Mechanism::ScramSha1];

/// Fewest iterations that either side accepts: "this specification recommends [...] at least 4096" (RFC 5802 section 5.1),
/// and MongoDB's drivers "MUST enforce a minimum iteration count of 4096" (authentication specification).
pub const MIN_ITERATIONS: u32 = 4096;

/// Most iterations that either side accepts: above the 600,000 that OWASP advises for PBKDF2 with SHA-256, and below a second
/// of a core's time, which is what a server can make its client spend.
pub const MAX_ITERATIONS: u32 = 1_000_000;

/// Longest message of a peer that is looked at, in bytes. Those of real peers have about 150; the longest part that a peer is
/// free to choose is a user name.
pub const MAX_MESSAGE_BYTES: usize = 4096;

impl Mechanism {
    /// Its name in SASL.
    pub fn name(self) -> &'static str {
        match self {
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::ScramSha256 => "SCRAM-SHA-256",
        }
    }

    /// The mechanism of that name, if it is one of these.
    pub fn by_name(name: &str) -> Option<Self> {
        MECHANISMS
            .into_iter()
            .find(|mechanism| mechanism.name() == name)
    }
}

/// Why keys could not be made, or a login as a client failed before the server judged it, or the server is not who it says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    /// SASLprep (RFC 4013) refuses the password.
    #[error("the password holds characters that SASLprep (RFC 4013) does not allow")]
    Password,
    /// The system has no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// The server's message is not what RFC 5802 says.
    #[error("the server's {0}")]
    Malformed(&'static str),
    /// The server would have keys derived in a way that is too weak, or takes too long.
    #[error("the server asks for {0} iterations; from 4096 to 1000000 are accepted")]
    Iterations(u64),
    /// The server does not know the keys either: it is not the server that the user was created at.
    #[error("the server did not prove that it knows the user")]
    Signature,
}
