//! Things that outlive an exchange and a connection: cursors and transactions.
//!
//! A driver may continue a cursor or a transaction on any connection of its pool, so on any worker.
//! Workers therefore only note what began and ended; the notes travel to the control thread once a
//! tick, and the [`Tracker`] there pairs them: no request ever takes a lock or sends a message.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::stats::{Mongo, Scope};

/// A cursor the server may have ended without a word: its own `cursorTimeoutMillis` is 10 minutes.
pub const CURSOR_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// A transaction the server must have ended: `transactionLifetimeLimitSeconds` is 60 by default; the
/// same again for operators that raised it a little.
pub const TRANSACTION_LIFETIME: Duration = Duration::from_secs(120);

/// Notes one worker keeps between two ticks. A flood of cursors beyond it is not tracked.
pub const MAX_NOTES: usize = 65_536;

/// Cursors or transactions tracked at once, for one listener.
const MAX_TRACKED: usize = 100_000;

/// A server session's id and the transaction's number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TransactionKey {
    /// `lsid.id`.
    pub session: [u8; 16],
    /// `txnNumber`.
    pub number: i64,
}

/// What a worker saw begin or end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A reply named a cursor that is still open.
    CursorOpened(i64),
    /// A cursor was used up or killed.
    CursorClosed(i64),
    /// The server did not know a cursor any more.
    CursorLost(i64),
    /// The first command of a transaction.
    TransactionBegan(TransactionKey),
    /// `commitTransaction` succeeded.
    TransactionCommitted(TransactionKey),
    /// `abortTransaction`, or an error that ended the transaction.
    TransactionAborted(TransactionKey),
}

/// An event, where and when.
#[derive(Clone, Debug)]
pub struct Note {
    /// The listener's name.
    pub listener: Arc<str>,
    /// When it happened.
    pub at: Instant,
    /// What happened.
    pub event: Event,
}

/// Open cursors and transactions of one listener.
pub struct Tracker {
    stats: Scope<Mongo>,
    cursors: HashMap<i64, Instant>,
    transactions: HashMap<TransactionKey, Instant>,
}

impl Tracker {
    /// Nothing is open yet.
    pub fn new(stats: Scope<Mongo>) -> Self {
        Self {
            stats,
            cursors: HashMap::new(),
            transactions: HashMap::new(),
        }
    }

    /// Takes a note in.
    pub fn take(&mut self, at: Instant, event: Event) {
        match event {
            Event::CursorOpened(id) => {
                if self.cursors.len() < MAX_TRACKED && self.cursors.insert(id, at).is_none() {
                    self.stats.inc(Mongo::CURSORS_OPENED);
                    self.stats.gauge_add(Mongo::CURSORS_OPEN, 1);
                }
            }
            Event::CursorClosed(id) => {
                if self.cursors.remove(&id).is_some() {
                    self.stats.inc(Mongo::CURSORS_CLOSED);
                    self.stats.gauge_add(Mongo::CURSORS_OPEN, -1);
                }
            }
            Event::CursorLost(id) => {
                self.stats.inc(Mongo::CURSORS_TIMED_OUT);
                if self.cursors.remove(&id).is_some() {
                    self.stats.gauge_add(Mongo::CURSORS_OPEN, -1);
                }
            }
            Event::TransactionBegan(key) => self.transaction_began(at, key),
            Event::TransactionCommitted(key) => {
                self.transaction_ended(at, key, Mongo::TXN_COMMITTED);
            }
            Event::TransactionAborted(key) => self.transaction_ended(at, key, Mongo::TXN_ABORTED),
        }
    }

    /// Forgets what the server must have ended by now.
    pub fn expire(&mut self, now: Instant) {
        let before = self.cursors.len();
        self.cursors
            .retain(|_, opened| now.saturating_duration_since(*opened) < CURSOR_LIFETIME);
        let gone = before - self.cursors.len();
        self.stats.add(Mongo::CURSORS_TIMED_OUT, gone as u64);
        self.stats.gauge_add(Mongo::CURSORS_OPEN, -(gone as i64));

        let before = self.transactions.len();
        self.transactions
            .retain(|_, began| now.saturating_duration_since(*began) < TRANSACTION_LIFETIME);
        let gone = before - self.transactions.len();
        self.stats.add(Mongo::TXN_TIMED_OUT, gone as u64);
        self.stats.gauge_add(Mongo::TXN_OPEN, -(gone as i64));
    }

    fn transaction_began(&mut self, at: Instant, key: TransactionKey) {
        // A driver that retries the first command begins the same transaction again.
        if self.transactions.len() < MAX_TRACKED && self.transactions.insert(key, at).is_none() {
            self.stats.inc(Mongo::TXN_STARTED);
            self.stats.gauge_add(Mongo::TXN_OPEN, 1);
        }
    }

    fn transaction_ended(
        &mut self,
        at: Instant,
        key: TransactionKey,
        how: crate::stats::Counter<Mongo>,
    ) {
        // A commit may be repeated by the driver: only the first ends the transaction.
        let Some(began) = self.transactions.remove(&key) else {
            return;
        };
        self.stats.inc(how);
        self.stats.gauge_add(Mongo::TXN_OPEN, -1);
        let time = at.saturating_duration_since(began).as_micros();
        self.stats
            .record(Mongo::TXN_TIME_MS, u64::try_from(time).unwrap_or(u64::MAX));
    }
}
