//! Why a connection could not be opened.

use std::fmt;
use std::io;

use super::super::super::connect::ConnectError;
use crate::scram::{Mechanism, ScramError};

/// Why no connection could be opened. `Display` names endpoint and credential, and no secret.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It could not be connected to, for want of an address or because the system says so.
    #[error(transparent)]
    Connect(ConnectError),
    /// The time was over before the connection was ready.
    #[error("{endpoint}: no answer to {step} within connect_timeout")]
    TimedOut {
        /// The endpoint's name.
        endpoint: String,
        /// What was not answered.
        step: Step,
    },
    /// The connection ended before it was ready.
    #[error("{endpoint}: the connection failed during {step}: {source}")]
    Lost {
        /// The endpoint's name.
        endpoint: String,
        /// What was going on.
        step: Step,
        /// What the system said.
        source: io::Error,
    },
    /// What answers does not speak as a MongoDB server does.
    #[error("{endpoint}: {reason}; is this a MongoDB server?")]
    NotMongo {
        /// The endpoint's name.
        endpoint: String,
        /// What is odd.
        reason: &'static str,
    },
    /// The server refuses the hello.
    #[error("{endpoint}: the server refuses hello: {refusal}")]
    Hello {
        /// The endpoint's name.
        endpoint: String,
        /// In the server's words.
        refusal: Refusal,
    },
    /// The server has no mechanism for the user that the proxy has too.
    #[error("{endpoint}: login with {who} failed: the mechanism is not available there")]
    MechanismUnavailable {
        /// The endpoint's name.
        endpoint: String,
        /// Whose login.
        who: Box<Who>,
    },
    /// The server refuses the login: the user or the password is wrong.
    #[error("{endpoint}: login with {who} failed: {refusal}")]
    Refused {
        /// The endpoint's name.
        endpoint: String,
        /// Whose login.
        who: Box<Who>,
        /// In the server's words.
        refusal: Refusal,
    },
    /// The login ended on our side: the password cannot be used, or the server is not to be trusted.
    #[error("{endpoint}: login with {who} given up: {source}")]
    Scram {
        /// The endpoint's name.
        endpoint: String,
        /// Whose login.
        who: Box<Who>,
        /// What is wrong.
        source: ScramError,
    },
}

impl OpenError {
    /// True when the server is there and well, and it is the login that fails: trying again soon, or at another endpoint,
    /// is of no use.
    pub fn is_login(&self) -> bool {
        matches!(
            self,
            Self::MechanismUnavailable { .. } | Self::Refused { .. } | Self::Scram { .. }
        )
    }

    /// True when `connect_timeout` passed.
    pub fn is_timeout(&self) -> bool {
        matches!(
            self,
            Self::TimedOut { .. } | Self::Connect(ConnectError::TimedOut(_))
        )
    }
}

/// Whose login it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// The credential's name in the config.
    pub credential: String,
    /// The user's name at the server.
    pub username: String,
    /// The database that the user was created in.
    pub source: String,
    /// The mechanism in use.
    pub mechanism: Mechanism,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            credential,
            username,
            source,
            mechanism,
        } = self;
        let mechanism = mechanism.name();
        write!(
            f,
            "credential `{credential}` (user `{username}` of database `{source}`, {mechanism})"
        )
    }
}

/// What is going on while a connection is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// TCP.
    Connect,
    /// The handshake.
    Hello,
    /// SCRAM.
    Login,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::Hello => "hello",
            Self::Login => "login",
        })
    }
}

/// A server's reply that is not `ok`. `Display` is on one line, and short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// MongoDB's error number; 0 when there is none.
    pub code: i32,
    /// The server's words, without control characters.
    pub message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.message, self.code)
    }
}
