//! What is reported of a message.

use super::header::{Compression, Header, Opcode};

/// What a client asked. Texts are as sent: not checked to be UTF-8, cut at the limits of this crate, empty when there is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request<'a> {
    /// The header as it is on the wire; its opcode is `Compressed` if the message was.
    pub header: Header,
    /// What kind of message it is inside.
    pub opcode: Opcode,
    /// How it was compressed, if it was.
    pub compression: Option<Compression>,
    /// The message was compressed and larger than what is inflated of one; fields that were not reached are empty.
    pub incomplete: bool,
    /// No reply will come: `moreToCome`, or one of the legacy opcodes that have none.
    pub more_to_come: bool,
    /// The server may answer with more than one message.
    pub exhaust_allowed: bool,
    /// A CRC-32C stands at the end of the message.
    pub checksum_present: bool,
    /// The command: first key of the body. For legacy opcodes the command that took their place.
    pub command: &'a [u8],
    /// The database.
    pub database: &'a [u8],
    /// The collection, for commands that work on one; for `explain` that of the explained command.
    pub collection: &'a [u8],
    /// The place in the caller's code, from `comment` or `$comment`.
    pub call_site: Option<&'a [u8]>,
    /// A W3C `traceparent` of 55 bytes, right in shape.
    pub trace_parent: Option<&'a [u8]>,
    /// What a handshake or a check of the server says of the client.
    pub hello: Option<Hello<'a>>,
    /// The command carries credentials or the like: nothing of its body may be shown.
    pub sensitive: bool,
    /// `lsid.id`: the logical session.
    pub lsid: Option<[u8; 16]>,
    /// `txnNumber`: of a retryable write or a transaction.
    pub txn_number: Option<i64>,
    /// `startTransaction: true`: the first command of a transaction.
    pub start_transaction: bool,
    /// `autocommit`; false within a transaction.
    pub autocommit: Option<bool>,
    /// Of a getMore: the cursor. Of a killCursors: the first one; drivers name no more than that.
    pub cursor_id: Option<i64>,
    /// `batchSize` of a find, getMore or aggregate, in documents.
    pub batch_size: Option<i64>,
    /// Of insert, update, delete, bulkWrite: the documents or statements sent. Of killCursors: the cursors.
    pub documents: u32,
    /// `$readPreference.mode`.
    pub read_preference: Option<&'a [u8]>,
    /// `maxTimeMS`, in milliseconds.
    pub max_time_ms: Option<i64>,
    /// The cursor stays open at the end of the collection.
    pub tailable: bool,
    /// A getMore on the cursor waits for data.
    pub await_data: bool,
    /// The cursor does not time out.
    pub no_cursor_timeout: bool,
    /// The aggregation opens a change stream.
    pub change_stream: bool,
    /// How well the query can be routed, for find, count, distinct, findAndModify.
    pub query_class: Option<QueryClass>,
}

/// What a hello (or isMaster) says of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello<'a> {
    /// `client.application.name`, at most 128 bytes.
    pub application: &'a [u8],
    /// `client.driver.name`.
    pub driver: &'a [u8],
    /// `client.driver.version`.
    pub driver_version: &'a [u8],
    /// The server may hold the reply back until something changes (`topologyVersion` and `maxAwaitTimeMS`).
    pub awaitable: bool,
    /// `loadBalanced: true`.
    pub load_balanced: bool,
}

/// How a query names the documents that it wants: what a router can do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QueryClass {
    /// By one `_id`.
    ById,
    /// By several `_id`s or a range of them.
    Several,
    /// Without `_id`: every shard may have to be asked.
    Scatter,
}

/// What a server answered. Texts as in [`Request`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reply<'a> {
    /// The header as it is on the wire; its opcode is `Compressed` if the message was.
    pub header: Header,
    /// What kind of message it is inside.
    pub opcode: Opcode,
    /// How it was compressed, if it was.
    pub compression: Option<Compression>,
    /// The message was compressed and larger than what is inflated of one; fields that were not reached are empty.
    pub incomplete: bool,
    /// Another reply follows without a request.
    pub more_to_come: bool,
    /// `ok`; none when the reply has no such field.
    pub ok: Option<bool>,
    /// `code` of the error.
    pub code: Option<i32>,
    /// `codeName` of the error.
    pub code_name: &'a [u8],
    /// `errorLabels` of the error.
    pub labels: ErrorLabels,
    /// The cursor; 0 when it is exhausted.
    pub cursor_id: Option<i64>,
    /// `cursor.ns`: database and collection of the cursor.
    pub namespace: &'a [u8],
    /// Documents returned in this batch.
    pub documents: Option<u32>,
    /// `n`: documents matched, inserted, deleted or counted.
    pub n: Option<i64>,
    /// `nModified`: documents changed by an update.
    pub n_modified: Option<i64>,
    /// Entries of `writeErrors`.
    pub write_errors: u32,
    /// `code` of the first entry of `writeErrors`.
    pub first_write_error: Option<i32>,
    /// `writeConcernError.code`.
    pub write_concern_error: Option<i32>,
    /// Of a killCursors: entries of `cursorsKilled`.
    pub cursors_killed: Option<u32>,
    /// The cursor asked for is not there: error 43, or the flag of an `OP_REPLY`.
    pub cursor_not_found: bool,
    /// The flag `QueryFailure` of an `OP_REPLY`.
    pub query_failure: bool,
}

/// The `errorLabels` of a reply that mean something to a driver.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ErrorLabels(u16);

impl ErrorLabels {
    const NAMES: [&'static str; 9] = [
        "TransientTransactionError",
        "UnknownTransactionCommitResult",
        "RetryableWriteError",
        "RetryableError",
        "SystemOverloadedError",
        "NoWritesPerformed",
        "ResumableChangeStreamError",
        "NetworkError",
        "NonResumableChangeStreamError",
    ];

    /// Adds a label by its name. Unknown ones are dropped: a reply may carry any text.
    pub(super) fn insert(&mut self, name: &[u8]) {
        if let Some(bit) = Self::NAMES
            .iter()
            .position(|known| known.as_bytes() == name)
        {
            self.0 |= 1 << bit;
        }
    }

    fn has(self, bit: u16) -> bool {
        self.0 & 1 << bit != 0
    }

    /// The labels that are set, by the names that servers use.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .into_iter()
            .zip(0..)
            .filter(move |(_, bit)| self.has(*bit))
            .map(|(name, _)| name)
    }

    /// None of the known labels is set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// `TransientTransactionError`: the whole transaction may be tried again.
    pub fn transient_transaction(self) -> bool {
        self.has(0)
    }

    /// `UnknownTransactionCommitResult`: the commit may be tried again.
    pub fn unknown_transaction_commit_result(self) -> bool {
        self.has(1)
    }

    /// `RetryableWriteError`
    pub fn retryable_write(self) -> bool {
        self.has(2)
    }

    /// `RetryableError`
    pub fn retryable(self) -> bool {
        self.has(3)
    }

    /// `SystemOverloadedError`
    pub fn system_overloaded(self) -> bool {
        self.has(4)
    }

    /// `NoWritesPerformed`
    pub fn no_writes_performed(self) -> bool {
        self.has(5)
    }

    /// `ResumableChangeStreamError`
    pub fn resumable_change_stream(self) -> bool {
        self.has(6)
    }

    /// `NetworkError`
    pub fn network(self) -> bool {
        self.has(7)
    }

    /// `NonResumableChangeStreamError`
    pub fn non_resumable_change_stream(self) -> bool {
        self.has(8)
    }
}
