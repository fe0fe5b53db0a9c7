//! The errors that the proxy itself answers with: one table of what is said, with which code and labels, and why a driver then does the
//! right thing.
//!
//! Two rules stand above all: a client's socket is never closed to say "no capacity", and neither 91 nor 11600 is ever sent, because
//! either makes a driver throw its whole pool away.

use std::time::Duration;

use bson::raw::{RawArrayBuf, RawDocumentBuf};

use crate::upstream::mongo::BadReadPreference;

/// Why the proxy answers in the server's place. What varies in the text is the cluster and the limit that was met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `pool.max_waiting` operations wait already.
    QueueFull {
        /// The limit.
        limit: usize,
    },
    /// No connection became free in time.
    WaitTimeout {
        /// How long it was waited.
        waited: Duration,
        /// `pool.max_connections`.
        limit: usize,
    },
    /// More bytes of large requests are held than the proxy allows.
    TooMuchHeld {
        /// The limit in bytes.
        limit: usize,
    },
    /// The cluster was drained for as long as the operation could wait.
    Drained {
        /// How long the operation waited.
        waited: Duration,
    },
    /// No server can take the operation.
    NoServer {
        /// What is wrong with each.
        why: String,
    },
    /// A connection could not be opened: refused, no answer, or no login.
    CannotConnect {
        /// What happened.
        why: String,
    },
    /// The server's connection ended after the request, or a part of it, had been sent.
    UpstreamLost {
        /// Which server.
        endpoint: String,
    },
    /// The server of a cursor is gone, or nobody knows the cursor.
    CursorNotFound {
        /// Its id.
        id: i64,
    },
    /// The server of a transaction is gone, or nobody knows the transaction.
    TransactionLost {
        /// `txnNumber`.
        number: i64,
    },
    /// Nobody has logged in on this connection.
    Unauthorized {
        /// The command.
        command: String,
    },
    /// A command that would lie when connections are shared.
    NotThroughAPool {
        /// The command.
        command: String,
        /// What to do instead.
        instead: &'static str,
    },
    /// A request of before MongoDB 3.6, which current servers do not take either.
    LegacyOpcode {
        /// The opcode's name.
        opcode: &'static str,
    },
    /// `$readPreference` can't be understood.
    BadReadPreference(BadReadPreference),
}

/// What an operation is, as far as the labels of an error depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operation {
    /// It carries a `txnNumber`.
    pub numbered: bool,
    /// It belongs to a transaction (`autocommit: false`).
    pub in_transaction: bool,
    /// It is a `commitTransaction`.
    pub commits: bool,
    /// It is an `abortTransaction`.
    pub aborts: bool,
    /// It reads from a change stream.
    pub watches: bool,
}

/// A row of the table.
struct Row {
    code: i32,
    name: &'static str,
    /// Nothing was sent upstream: a driver that knows back-pressure waits and tries again, whatever the command is.
    overload: bool,
    /// The operation may or may not have been carried out.
    unknown: bool,
}

impl Refusal {
    /// Codes and names from `error_codes.yml` of the server.
    fn row(&self) -> Row {
        let (code, name, overload, unknown) = match self {
            // 262 rather than 450 or 462: drivers of before back-pressure retry reads by code, and know only this one.
            Self::QueueFull { .. }
            | Self::WaitTimeout { .. }
            | Self::Drained { .. }
            | Self::TooMuchHeld { .. } => (262, "ExceededTimeLimit", true, false),
            Self::NoServer { .. } | Self::CannotConnect { .. } => {
                (6, "HostUnreachable", true, false)
            }
            Self::UpstreamLost { .. } => (6, "HostUnreachable", false, true),
            Self::CursorNotFound { .. } => (43, "CursorNotFound", false, false),
            Self::TransactionLost { .. } => (251, "NoSuchTransaction", false, false),
            Self::Unauthorized { .. } => (13, "Unauthorized", false, false),
            Self::NotThroughAPool { .. } => (59, "CommandNotFound", false, false),
            Self::LegacyOpcode { .. } => (352, "UnsupportedOpQueryCommand", false, false),
            Self::BadReadPreference(bad) => (bad.code, bad.code_name, false, false),
        };
        Row {
            code,
            name,
            overload,
            unknown,
        }
    }

    fn message(&self, cluster: &str) -> String {
        match self {
            Self::QueueFull { limit } => format!(
                "cluster `{cluster}`: {limit} operations wait for a connection already (pool.max_waiting); try again later"
            ),
            Self::WaitTimeout { waited, limit } => format!(
                "cluster `{cluster}`: no connection became free within {} ms (pool.wait_timeout; pool.max_connections is {limit})",
                waited.as_millis()
            ),
            Self::Drained { waited } => format!(
                "cluster `{cluster}` is drained, and was not resumed within {} ms (pool.wait_timeout)",
                waited.as_millis()
            ),
            Self::TooMuchHeld { limit } => format!(
                "cluster `{cluster}`: large requests of more than {limit} bytes are held already; try again later"
            ),
            Self::NoServer { why } => format!("cluster `{cluster}`: no server is available: {why}"),
            Self::CannotConnect { why } => {
                format!("cluster `{cluster}`: no connection could be opened: {why}")
            }
            Self::UpstreamLost { endpoint } => format!(
                "cluster `{cluster}`: the connection to {endpoint} ended before its reply was complete"
            ),
            Self::CursorNotFound { id } => format!("cursor id {id} not found"),
            Self::TransactionLost { number } => format!(
                "cluster `{cluster}`: transaction {number} has ended, or the server that ran it is gone"
            ),
            Self::Unauthorized { command } => format!("command {command} requires authentication"),
            Self::NotThroughAPool { command, instead } => format!(
                "{command} means one connection, and connections are shared here; {instead}"
            ),
            Self::LegacyOpcode { opcode } => {
                format!("{opcode} is not served; the client's driver is too old")
            }
            Self::BadReadPreference(bad) => format!("$readPreference: {bad}"),
        }
    }

    /// The error document of a reply.
    pub fn document(&self, cluster: &str, operation: Operation) -> RawDocumentBuf {
        let row = self.row();
        let message = format!("narrows: {}", self.message(cluster));
        let labels = self.labels(&row, operation);
        failure(row.code, row.name, &message, &labels)
    }

    /// Labels are what drivers decide by; each stands for a promise.
    fn labels(&self, row: &Row, operation: Operation) -> Vec<&'static str> {
        let mut labels = Vec::new();
        if row.overload {
            // Client back-pressure specification: any command is retried, after a pause, if it has both.
            labels.extend(["SystemOverloadedError", "RetryableError"]);
            // "NoWritesPerformed": only when nothing was sent.
            labels.push("NoWritesPerformed");
        }
        // Retryable writes specification, wire version 9 and above: a write is retried by this label alone; in a transaction only
        // commitTransaction and abortTransaction are.
        let ends = operation.commits || operation.aborts;
        let retryable = operation.numbered && (!operation.in_transaction || ends);
        if (row.overload || row.unknown) && retryable {
            labels.push("RetryableWriteError");
        }
        let failed = row.overload || row.unknown || matches!(self, Self::TransactionLost { .. });
        if operation.in_transaction && failed {
            // Transactions specification: a commit whose outcome is not known is never transient.
            labels.push(
                match operation.commits && !matches!(self, Self::TransactionLost { .. }) {
                    true => "UnknownTransactionCommitResult",
                    false => "TransientTransactionError",
                },
            );
        }
        if operation.watches && (failed || matches!(self, Self::CursorNotFound { .. })) {
            labels.push("ResumableChangeStreamError");
        }
        labels
    }
}

/// A reply that a command failed.
pub fn failure(code: i32, name: &str, message: &str, labels: &[&str]) -> RawDocumentBuf {
    let mut document = RawDocumentBuf::new();
    document.append(bson::cstr!("ok"), 0.0);
    document.append(bson::cstr!("errmsg"), message);
    document.append(bson::cstr!("code"), code);
    document.append(bson::cstr!("codeName"), name);
    if !labels.is_empty() {
        let mut list = RawArrayBuf::new();
        for label in labels {
            list.push(*label);
        }
        document.append(bson::cstr!("errorLabels"), list);
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(refusal: &Refusal, operation: Operation) -> Vec<&'static str> {
        refusal.labels(&refusal.row(), operation)
    }

    const WRITE: Operation = Operation {
        numbered: true,
        in_transaction: false,
        commits: false,
        aborts: false,
        watches: false,
    };

    #[test]
    fn a_full_pool_is_retried_by_every_driver_and_never_clears_one() {
        let full = Refusal::WaitTimeout {
            waited: Duration::from_millis(2000),
            limit: 32,
        };
        let document = full.document("orders", WRITE);
        assert_eq!(document.get_i32("code").unwrap(), 262);
        let message = document.get_str("errmsg").unwrap();
        assert!(
            message.contains("`orders`") && message.contains("32"),
            "{message}"
        );
        assert_eq!(
            labels(&full, WRITE),
            [
                "SystemOverloadedError",
                "RetryableError",
                "NoWritesPerformed",
                "RetryableWriteError"
            ]
        );
        assert_eq!(labels(&full, Operation::default()).len(), 3);
    }

    #[test]
    fn a_write_that_may_have_happened_is_not_said_not_to_have() {
        let lost = Refusal::UpstreamLost {
            endpoint: "a:1".into(),
        };
        assert_eq!(labels(&lost, WRITE), ["RetryableWriteError"]);
        assert!(labels(&lost, Operation::default()).is_empty());
    }

    #[test]
    fn a_transaction_gets_its_own_labels() {
        let lost = Refusal::UpstreamLost {
            endpoint: "a:1".into(),
        };
        let within = Operation {
            in_transaction: true,
            ..WRITE
        };
        assert_eq!(labels(&lost, within), ["TransientTransactionError"]);
        let commit = Operation {
            commits: true,
            ..within
        };
        assert_eq!(
            labels(&lost, commit),
            ["RetryableWriteError", "UnknownTransactionCommitResult"]
        );
        let gone = Refusal::TransactionLost { number: 4 };
        assert_eq!(labels(&gone, commit), ["TransientTransactionError"]);
    }
}
