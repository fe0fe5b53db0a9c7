//! MongoDB: what a worker keeps for one listener, and the tap that watches a connection.
//!
//! The series of a listener are looked up when the worker takes the listener over; those of an
//! operation when it is first seen (`route`); the request path only adds.

pub mod collapse;
pub mod compress;
pub mod errors;
pub mod handshake;
pub mod lifecycle;
mod long_waits;
mod pairs;
pub mod pins;
mod report;
mod rewrite;
mod route;
pub mod sasl;
mod tap;
pub mod wire;

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use narrows_parsers::mongo::{Compression, Compressor, Hello, Opcode, Reply, Request};

use crate::stats::{
    Cluster, Mongo, MongoCompression, MongoDecodingError, MongoDriver, MongoError, Scope, Shard,
};
use lifecycle::{Event, MAX_NOTES, Note};
use pairs::Continues;
use report::Application;
use route::{Route, Routes, Verb};

pub use long_waits::LongWaits;
pub use tap::Tap;

/// Notes for the control thread, gathered by all listeners of one worker.
pub type Notes = Rc<RefCell<Vec<Note>>>;

/// Everything the sessions of one Mongo listener share on one worker.
pub struct MongoListener {
    /// The totals of the listener.
    pub stats: Scope<Mongo>,
    enabled: bool,
    cluster: Scope<Cluster>,
    shard: Shard,
    name: Arc<str>,
    routes: Routes,
    long_waits: Arc<LongWaits>,
    notes: Notes,
    compression: [OnceCell<Scope<MongoCompression>>; 4],
    errors: RefCell<HashMap<i32, Scope<MongoError>>>,
}

impl MongoListener {
    /// Looks the listener's own series up. `enabled` is false when all stats are switched off.
    pub fn new(
        shard: &Shard,
        name: &str,
        cluster: Scope<Cluster>,
        long_waits: Arc<LongWaits>,
        notes: Notes,
        enabled: bool,
    ) -> Self {
        Self {
            stats: shard.scope(&[name.as_bytes()]),
            enabled,
            routes: Routes::new(shard.clone(), name, cluster.clone()),
            cluster,
            shard: shard.clone(),
            name: name.into(),
            long_waits,
            notes,
            compression: Default::default(),
            errors: RefCell::default(),
        }
    }

    /// A message could not be decoded; its connection is no longer observed.
    fn decoding_error(&self, reason: &'static str) {
        self.stats.inc(Mongo::DECODING_ERROR);
        let by_reason: Scope<MongoDecodingError> =
            self.shard.scope(&[self.name.as_bytes(), reason.as_bytes()]);
        by_reason.inc(MongoDecodingError::CX_TOTAL);
    }

    /// The application and the driver that a handshake named.
    fn application(&self, hello: &Hello<'_>) -> Application {
        let listener = self.name.as_bytes();
        let driver: Scope<MongoDriver> = self.shard.scope(&[listener, hello.driver]);
        driver.inc(MongoDriver::CX_TOTAL);
        Application::enter(self.shard.scope(&[listener, hello.application]))
    }

    /// Counts what a request is, before anybody knows how it goes.
    fn request_seen(&self, route: &Route, request: &Request<'_>) {
        if !self.enabled {
            return;
        }
        self.cluster.inc(Cluster::UPSTREAM_RQ_TOTAL);
        self.opcode(request.header.opcode);
        if request.header.opcode == Opcode::Compressed {
            self.opcode(request.opcode);
        }
        self.compression(request.compression.as_ref(), request.incomplete);
        if route.verb == Verb::Find {
            self.find_seen(request);
        }
    }

    fn find_seen(&self, request: &Request<'_>) {
        for (is, counter) in [
            (request.tailable, Mongo::OP_QUERY_TAILABLE_CURSOR),
            (request.no_cursor_timeout, Mongo::OP_QUERY_NO_CURSOR_TIMEOUT),
            (request.await_data, Mongo::OP_QUERY_AWAIT_DATA),
            (request.exhaust_allowed, Mongo::OP_QUERY_EXHAUST),
            (request.max_time_ms.is_none(), Mongo::OP_QUERY_NO_MAX_TIME),
        ] {
            if is {
                self.stats.inc(counter);
            }
        }
    }

    /// Counts what a reply is, whatever it answers.
    fn reply_seen(&self, reply: &Reply<'_>) {
        if !self.enabled {
            return;
        }
        self.opcode(reply.header.opcode);
        if reply.header.opcode == Opcode::Compressed {
            self.opcode(reply.opcode);
        }
        self.compression(reply.compression.as_ref(), reply.incomplete);
        self.stats.inc(Mongo::REPLIES);
        if reply.cursor_not_found {
            self.stats.inc(Mongo::OP_REPLY_CURSOR_NOT_FOUND);
        }
        if reply.query_failure {
            self.stats.inc(Mongo::OP_REPLY_QUERY_FAILURE);
        }
        if reply.cursor_id.is_some_and(|id| id != 0) {
            self.stats.inc(Mongo::OP_REPLY_VALID_CURSOR);
        }
    }

    /// Notes what the reply began or ended beyond its exchange: cursors and transactions.
    fn follow(&self, route: &Route, reply: &Reply<'_>, request: &Continues, at: Instant) {
        let failed = reply.ok == Some(false);
        match (reply.cursor_id, request.cursor) {
            (Some(0), Some(asked)) => self.cursor_ended(at, Event::CursorClosed(asked), asked),
            (Some(opened), None) if opened != 0 => {
                if request.opens_long_wait {
                    self.long_waits.insert(opened);
                }
                self.note(at, Event::CursorOpened(opened));
            }
            (None, Some(asked)) if reply.cursor_not_found => {
                self.cursor_ended(at, Event::CursorLost(asked), asked);
            }
            (None, Some(asked)) if failed || route.verb == Verb::KillCursors => {
                self.cursor_ended(at, Event::CursorClosed(asked), asked);
            }
            _ => {}
        }
        let Some(key) = request.transaction else {
            return;
        };
        match route.verb {
            Verb::CommitTransaction if !failed => self.note(at, Event::TransactionCommitted(key)),
            Verb::AbortTransaction => self.note(at, Event::TransactionAborted(key)),
            // "Drivers [...] unpin [...] on TransientTransactionError": the server has ended it.
            _ if reply.labels.transient_transaction() => {
                self.note(at, Event::TransactionAborted(key));
            }
            _ => {}
        }
    }

    fn cursor_ended(&self, at: Instant, event: Event, id: i64) {
        self.long_waits.remove(id);
        self.note(at, event);
    }

    fn note(&self, at: Instant, event: Event) {
        let mut notes = self.notes.borrow_mut();
        if notes.len() < MAX_NOTES {
            notes.push(Note {
                listener: Arc::clone(&self.name),
                at,
                event,
            });
        }
    }

    fn error_code(&self, code: i32) {
        if let Some(known) = self.errors.borrow().get(&code) {
            return known.inc(MongoError::TOTAL);
        }
        let label = code.to_string();
        let stats: Scope<MongoError> = self.shard.scope(&[self.name.as_bytes(), label.as_bytes()]);
        stats.inc(MongoError::TOTAL);
        // A folded code is looked up again each time: remembering it would grow with the flood.
        if !stats.is_folded() {
            self.errors.borrow_mut().insert(code, stats);
        }
    }

    fn opcode(&self, opcode: Opcode) {
        self.stats.inc(match opcode {
            Opcode::Reply => Mongo::OP_REPLY,
            Opcode::Update => Mongo::OP_UPDATE,
            Opcode::Insert => Mongo::OP_INSERT,
            Opcode::Query => Mongo::OP_QUERY,
            Opcode::GetMore => Mongo::OP_GET_MORE,
            Opcode::Delete => Mongo::OP_DELETE,
            Opcode::KillCursors => Mongo::OP_KILL_CURSORS,
            Opcode::Compressed => Mongo::OP_COMPRESSED,
            Opcode::Msg => Mongo::OP_MSG,
            Opcode::Command => Mongo::OP_COMMAND,
            Opcode::CommandReply => Mongo::OP_COMMAND_REPLY,
            Opcode::Unknown(_) => Mongo::OP_UNKNOWN,
        });
    }

    fn compression(&self, compression: Option<&Compression>, over_budget: bool) {
        let Some(compression) = compression else {
            return;
        };
        let place = match compression.compressor {
            Compressor::Noop => 0,
            Compressor::Snappy => 1,
            Compressor::Zlib => 2,
            Compressor::Zstd => 3,
        };
        let Some(cell) = self.compression.get(place) else {
            return;
        };
        let stats = cell.get_or_init(|| {
            let name = compression.compressor.label();
            self.shard.scope(&[self.name.as_bytes(), name.as_bytes()])
        });
        stats.inc(MongoCompression::MESSAGES);
        stats.add(
            MongoCompression::COMPRESSED_BYTES,
            compression.compressed.into(),
        );
        stats.add(
            MongoCompression::UNCOMPRESSED_BYTES,
            compression.claimed.into(),
        );
        if over_budget {
            stats.inc(MongoCompression::OVER_BUDGET);
        }
    }
}
