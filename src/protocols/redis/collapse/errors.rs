//! The errors that the proxy itself answers with: one table.
//!
//! All have the prefix `ERR`, as whatever else a driver might read into another one (`LOADING`, `CLUSTERDOWN`, `TRYAGAIN`) is not what
//! happened. Names of commands and what servers said are the only parts that come from outside; nothing of them can end the line.

use std::time::Duration;

use crate::upstream::pool::CheckoutError;
use crate::upstream::redis::ProbeError;

/// Why the proxy answers in the server's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// `pool.max_waiting` wait already.
    QueueFull {
        /// The limit.
        limit: usize,
    },
    /// No connection became free in time.
    WaitTimeout {
        /// How long it was waited.
        waited: Duration,
        /// The limit that was met.
        limit: usize,
    },
    /// A connection could not be opened.
    CannotConnect {
        /// What happened.
        why: String,
    },
    /// What a server said when it was asked to take a client: its own error.
    Server {
        /// Its line, with the `-`.
        line: Vec<u8>,
    },
    /// The server's connection ended before the request was sent.
    LostBefore {
        /// Which server.
        endpoint: String,
    },
    /// The server's connection ended when the request, or a part of it, had been sent.
    LostAfter {
        /// Which server.
        endpoint: String,
    },
    /// It is for one server, and there are several.
    OneServer {
        /// The command.
        command: &'static str,
    },
    /// Its keys are on several servers, and it can't be cut.
    Crossed,
    /// Nobody can say where its keys are.
    Unplaced,
    /// A transaction, where keys are dealt out by their hash or their beginning.
    Spread {
        /// The command.
        command: &'static str,
    },
    /// AUTH, where each of several clusters has users of its own.
    SeveralClusters,
    /// The replies to its parts do not fit what was asked.
    Unfit,
    /// The replies to its parts are too large to be held until all have come.
    MergedTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// It has to be whole to be given a server, and so many others are held already.
    TooMuchHeld,
    /// It has to be whole to be given a server, and is too large for that.
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// What the client sent is no request.
    Protocol {
        /// Why.
        why: String,
    },
    /// Its client has to log in first.
    LogInFirst,
    /// HELLO of a client that has to log in first.
    HelloFirst,
    /// No user has this password.
    WrongPassword,
    /// Too many logins are being checked.
    Busy,
    /// CLIENT SETNAME with a name that no server takes.
    ClientName,
}

impl Refusal {
    /// The reply, for a cluster of that name.
    pub(super) fn reply(&self, cluster: &str) -> Vec<u8> {
        let text = match self {
            Self::QueueFull { limit } => format!(
                "-ERR narrows: cluster {cluster}: {limit} requests wait for a connection, and no more may"
            ),
            Self::WaitTimeout { waited, limit } => format!(
                "-ERR narrows: cluster {cluster}: no connection became free within {} ms, and there may be no more than {limit}",
                waited.as_millis()
            ),
            Self::CannotConnect { why } => {
                format!("-ERR narrows: cluster {cluster}: no connection can be opened: {why}")
            }
            Self::Server { line } => String::from_utf8_lossy(line).into_owned(),
            Self::LostBefore { endpoint } => format!(
                "-ERR narrows: cluster {cluster}: the connection to {endpoint} was lost; the command was not sent"
            ),
            Self::LostAfter { endpoint } => format!(
                "-ERR narrows: cluster {cluster}: the connection to {endpoint} was lost; the command may have been carried out"
            ),
            Self::OneServer { command } => format!(
                "-ERR narrows: cluster {cluster}: {command} is for one server, and here keys are on several"
            ),
            // As Redis says it: drivers know it.
            Self::Crossed => "-CROSSSLOT Keys in request don't hash to the same slot".to_owned(),
            Self::Unplaced => "-ERR narrows: keys are on several servers here, and which arguments of this command are keys is not known, or there \
                 are too many"
                .to_owned(),
            Self::Spread { command } => format!(
                "-ERR narrows: {command} is for keys of one server, and here they are dealt out"
            ),
            Self::SeveralClusters => "-ERR narrows: keys go to several clusters here, each with users of its own, so that none of them can say who a \
                 client is; with `auth: users` clients log in to the proxy"
                .to_owned(),
            Self::Unfit => "-ERR narrows: the replies of the servers do not fit the request".to_owned(),
            Self::MergedTooLarge { limit } => format!(
                "-ERR narrows: cluster {cluster}: a command of keys on several servers may have {limit} bytes of replies"
            ),
            Self::TooMuchHeld => format!(
                "-ERR narrows: cluster {cluster}: too many large requests are held until they are whole; try again"
            ),
            Self::TooLarge { limit } => format!(
                "-ERR narrows: cluster {cluster}: where keys are on several servers, a request may have {limit} bytes unless it has one key"
            ),
            // As Redis says it, so that whoever reads it finds it explained.
            Self::Protocol { why } => format!("-ERR Protocol error: {why}"),
            // These three too.
            Self::LogInFirst => "-NOAUTH Authentication required.".to_owned(),
            Self::HelloFirst => "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> \
                 option can be used to authenticate the client and select the RESP protocol version at the same time"
                .to_owned(),
            Self::Busy => "-ERR narrows: too many logins are being checked; try again".to_owned(),
            Self::WrongPassword => {
                "-WRONGPASS invalid username-password pair or user is disabled.".to_owned()
            }
            Self::ClientName => {
                "-ERR Client names cannot contain spaces, newlines or special characters."
                    .to_owned()
            }
        };
        let mut reply: Vec<u8> = text.bytes().map(of_a_line).collect();
        reply.extend_from_slice(b"\r\n");
        reply
    }
}

fn of_a_line(byte: u8) -> u8 {
    match byte {
        b'\r' | b'\n' => b' ',
        byte => byte,
    }
}

impl From<CheckoutError> for Refusal {
    fn from(error: CheckoutError) -> Self {
        match error {
            CheckoutError::QueueFull { limit, .. } => Self::QueueFull { limit },
            CheckoutError::TimedOut { waited, limit, .. } => Self::WaitTimeout { waited, limit },
            CheckoutError::Open { error, .. } => Self::CannotConnect {
                why: error.to_string(),
            },
            CheckoutError::Retired { endpoint, .. } => Self::CannotConnect {
                why: format!("{endpoint} is no longer used"),
            },
        }
    }
}

impl From<ProbeError> for Refusal {
    fn from(error: ProbeError) -> Self {
        match error {
            ProbeError::Refused(line) => Self::Server { line },
            error => Self::CannotConnect {
                why: error.to_string(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_server_said_ends_the_line() {
        let why = "a\r\n+OK\r\n".to_owned();
        let reply = Refusal::CannotConnect { why }.reply("c");
        let end = reply.iter().position(|byte| *byte == b'\n');
        assert_eq!(end, Some(reply.len() - 1));
        assert!(reply.starts_with(b"-ERR narrows: cluster c: "));
    }
}
