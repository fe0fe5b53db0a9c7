//! decide: what is done with a request, by what it says of itself. One table of commands that are not the servers' to answer.

use std::time::Duration;

use narrows_parsers::mongo::{Compressor, Opcode, Request};

use super::super::errors::{Operation as Labelled, Refusal};
use super::super::lifecycle::TransactionKey;
use super::super::pins::{DatabaseKey, Pins};

/// What the session needs of a request when it is no longer looked at.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    /// Who answers.
    pub(super) who: Who,
    /// `requestID`, which the reply has to name.
    pub(super) request_id: i32,
    /// All of it has been read. If not, it is passed on as it comes, and what stands at its end is not known yet.
    pub(super) complete: bool,
    /// Bytes of the whole message.
    pub(super) length: usize,
    /// It came as `OP_QUERY` and is answered by `OP_REPLY`.
    pub(super) legacy: bool,
    /// The client wants no reply.
    pub(super) unacknowledged: bool,
    /// The server may answer with more than one message.
    pub(super) exhaust: bool,
    /// How it was compressed.
    pub(super) compressor: Option<Compressor>,
    /// What the labels of an error depend on.
    pub(super) labelled: Labelled,
    /// The logical session.
    pub(super) session: Option<[u8; 16]>,
    /// The transaction it belongs to.
    pub(super) transaction: Option<TransactionKey>,
    /// It is the first of its transaction.
    pub(super) begins: bool,
    /// The cursor it names.
    pub(super) cursor: Option<i64>,
    /// The database of that cursor.
    pub(super) database: DatabaseKey,
    /// The cursor that its reply opens is not timed out by the server.
    pub(super) keeps_cursor: bool,
    /// The server may hold its reply until something happens.
    pub(super) long_wait: bool,
    /// It may be served by others than the primary.
    pub(super) reads_elsewhere: bool,
    /// It carries credentials or the like, and must not be compressed either (compression specification).
    pub(super) sensitive: bool,
    /// `maxTimeMS`
    pub(super) max_time: Option<Duration>,
    /// The command, where a refusal may have to name it.
    pub(super) command: Box<[u8]>,
}

/// Who answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// A server.
    Upstream(Routed),
    /// The proxy: the handshake.
    Hello,
    /// The proxy: a login.
    Sasl,
    /// The proxy: a command that asks about the client's own connection.
    Own(OwnCommand),
    /// Nobody: it is refused.
    Refused(Reason),
    /// Nobody, and no reply is possible: a legacy write.
    Dropped,
    /// Not a request that any server would take. The connection is closed, as servers do.
    Unknown,
}

/// How the server is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Routed {
    /// By what the command reads or writes.
    Free,
    /// By its cursor.
    Cursor,
    /// Each cursor by itself.
    KillCursors,
    /// By its transaction, if that has a server; and else as a new command.
    EndOfTransaction,
    /// Any server will do.
    Anywhere,
}

/// A command about the client's own connection, which is not the one that a server sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnCommand {
    /// `connectionStatus`
    ConnectionStatus,
    /// `whatsmyuri`
    WhatsMyUri,
    /// `logout`
    Logout,
}

/// Why a command is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It means one connection.
    OneConnection(&'static str),
    /// It came in a message of before MongoDB 3.6.
    Legacy(&'static str),
}

/// Commands that the servers must not get, or that would lie: each means the one connection it comes over.
fn by_name(command: &[u8]) -> Option<Who> {
    const LAST_ERROR: &str = "writes are acknowledged by their own replies (writeConcern)";
    const LOGIN: &str = "log in by SCRAM, which this listener ends itself";
    Some(match command {
        b"hello" | b"isMaster" | b"ismaster" => Who::Hello,
        b"saslStart" | b"saslContinue" => Who::Sasl,
        b"connectionStatus" => Who::Own(OwnCommand::ConnectionStatus),
        b"whatsmyuri" => Who::Own(OwnCommand::WhatsMyUri),
        b"logout" => Who::Own(OwnCommand::Logout),
        b"getLastError" | b"getlasterror" | b"getPrevError" | b"resetError" => {
            Who::Refused(Reason::OneConnection(LAST_ERROR))
        }
        b"authenticate" | b"getnonce" => Who::Refused(Reason::OneConnection(LOGIN)),
        _ => return None,
    })
}

/// How a command is routed that a server answers.
fn routed(command: &[u8]) -> Routed {
    match command {
        b"getMore" => Routed::Cursor,
        b"killCursors" => Routed::KillCursors,
        b"commitTransaction" | b"abortTransaction" => Routed::EndOfTransaction,
        b"endSessions" | b"refreshSessions" | b"ping" | b"buildInfo" | b"buildinfo" => {
            Routed::Anywhere
        }
        _ => Routed::Free,
    }
}

/// Commands that a primary alone can carry out, whatever read preference they bring.
fn writes(command: &[u8]) -> bool {
    matches!(
        command,
        b"insert"
            | b"update"
            | b"delete"
            | b"bulkWrite"
            | b"findAndModify"
            | b"findandmodify"
            | b"commitTransaction"
            | b"abortTransaction"
    )
}

impl Operation {
    /// What is done with a request. `long_wait` when its cursor is one that the server may hold it on.
    pub(super) fn of(request: &Request<'_>, pins: &Pins, long_wait: bool) -> Self {
        let who = who(request);
        let transaction = match (request.autocommit, request.lsid, request.txn_number) {
            (Some(false), Some(session), Some(number)) => Some(TransactionKey { session, number }),
            _ => None,
        };
        Self {
            who,
            request_id: request.header.request_id,
            complete: true,
            length: request.header.length as usize,
            legacy: request.opcode != Opcode::Msg,
            unacknowledged: request.more_to_come,
            exhaust: request.exhaust_allowed,
            compressor: request
                .compression
                .map(|compression| compression.compressor),
            labelled: Labelled {
                numbered: request.txn_number.is_some(),
                in_transaction: transaction.is_some(),
                commits: request.command == b"commitTransaction",
                aborts: request.command == b"abortTransaction",
                watches: long_wait || request.change_stream,
            },
            session: request.lsid,
            transaction,
            begins: request.start_transaction && transaction.is_some(),
            cursor: request.cursor_id,
            database: request
                .cursor_id
                .map(|_| pins.database(request.database))
                .unwrap_or_default(),
            keeps_cursor: request.no_cursor_timeout,
            long_wait,
            reads_elsewhere: request
                .read_preference
                .is_some_and(|mode| mode != b"primary")
                && !writes(request.command),
            sensitive: request.sensitive,
            max_time: request
                .max_time_ms
                .and_then(|ms| u64::try_from(ms).ok())
                .filter(|ms| *ms > 0)
                .map(Duration::from_millis),
            command: match who {
                Who::Refused(_) => request.command.into(),
                _ => Box::default(),
            },
        }
    }
}

fn who(request: &Request<'_>) -> Who {
    let by_name = by_name(request.command);
    match (request.opcode, by_name) {
        (Opcode::Query, Some(Who::Hello)) => Who::Hello,
        (Opcode::Query | Opcode::GetMore, _) => {
            Who::Refused(Reason::Legacy(request.opcode.label()))
        }
        (Opcode::Insert | Opcode::Update | Opcode::Delete | Opcode::KillCursors, _) => Who::Dropped,
        (Opcode::Msg, Some(who)) => who,
        (Opcode::Msg, None) => Who::Upstream(routed(request.command)),
        _ => Who::Unknown,
    }
}

impl Operation {
    /// True for what can be passed on before its end has come: nothing of it has to be changed.
    pub(super) fn streams(&self) -> bool {
        matches!(self.who, Who::Upstream(Routed::Free))
            && !self.exhaust
            && self.compressor.is_none()
    }
}

impl Reason {
    /// The refusal of a command for this reason.
    pub(super) fn refusal(self, command: &[u8]) -> Refusal {
        match self {
            Self::OneConnection(instead) => Refusal::NotThroughAPool {
                command: String::from_utf8_lossy(command).into_owned(),
                instead,
            },
            Self::Legacy(opcode) => Refusal::LegacyOpcode { opcode },
        }
    }
}
