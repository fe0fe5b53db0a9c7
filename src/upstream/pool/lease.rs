//! A lease: one connection, for one operation, for nobody else.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::connection::Connection;
use super::keys::KeyState;
use super::reason::CloseReason;
use super::stats::Ended;
use super::{ClusterPool, SharedPool};
use crate::config::MongoCompressor;
use crate::stream::Stream;
use crate::upstream::Endpoint;

/// A connection that is lent. Only [`Self::checkin`] puts it back; a lease that is dropped closes
/// its connection, since nobody has said that it is between two messages.
pub struct Lease {
    // First: when a lease is dropped, its socket is closed before the pool hears of it.
    connection: Connection,
    loan: Loan,
}

/// What the pool has to be told of when the lease ends.
struct Loan {
    /// `None` when the pool knows.
    pool: Option<Rc<ClusterPool>>,
    lane: usize,
    since: Instant,
    opened: Instant,
    reused: bool,
    /// Of the connection's whole life.
    received: u64,
    sent: u64,
}

impl Lease {
    pub(super) fn new(
        pool: &Rc<ClusterPool>,
        connection: Connection,
        lane: usize,
        since: Instant,
        reused: bool,
    ) -> Self {
        Self {
            loan: Loan {
                pool: Some(Rc::clone(pool)),
                lane,
                since,
                opened: connection.facts.since,
                reused,
                received: connection.facts.received,
                sent: connection.facts.sent,
            },
            connection,
        }
    }

    /// The connection itself, between two messages when it is lent.
    pub fn stream(&mut self) -> &mut Stream {
        &mut self.connection.stream
    }

    /// What it is connected to.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.connection.facts.key.endpoint
    }

    /// The `maxWireVersion` the server gave when the connection was opened.
    pub fn max_wire(&self) -> i32 {
        self.connection.facts.max_wire
    }

    /// The compressor that was agreed on when the connection was opened.
    pub fn compressor(&self) -> Option<MongoCompressor> {
        self.connection.facts.compressor
    }

    /// When the lease began.
    pub fn since(&self) -> Instant {
        self.loan.since
    }

    /// When the connection was opened.
    pub fn opened(&self) -> Instant {
        self.loan.opened
    }

    /// True when the connection has served before: if it fails before a byte of the reply came, the
    /// server may have closed it just as it was lent.
    pub fn is_reused(&self) -> bool {
        self.loan.reused
    }

    /// True when no operation has been sent over it yet.
    pub fn is_unused(&self) -> bool {
        self.loan.sent == 0
    }

    /// How long the connection may be kept; `None` when its pool is gone.
    pub fn tenure(&self) -> Option<Tenure> {
        let facts = &self.connection.facts;
        Some(Tenure {
            shared: Arc::clone(self.loan.pool.as_ref()?.shared()),
            key: Arc::clone(&facts.key),
            generation: facts.generation,
            expires: facts.expires,
        })
    }

    /// Counts bytes that moved on it: from the server, and to it.
    pub fn moved(&mut self, received: u64, sent: u64) {
        self.loan.received = self.loan.received.saturating_add(received);
        self.loan.sent = self.loan.sent.saturating_add(sent);
    }

    /// Gives the connection back: the whole reply was read, nothing more will come.
    pub fn checkin(self, now: Instant) {
        let (since, lane) = (self.loan.since, self.loan.lane);
        if let Some((pool, connection)) = self.end() {
            pool.checkin(lane, connection, since, now);
        }
    }

    /// Closes the connection.
    pub fn discard(self, reason: CloseReason) {
        let (since, lane) = (self.loan.since, self.loan.lane);
        if let Some((pool, connection)) = self.end() {
            pool.discard(lane, connection, since, reason);
        }
    }

    /// The connection, which the pool is told of by the caller.
    fn end(self) -> Option<(Rc<ClusterPool>, Connection)> {
        let Self {
            mut connection,
            mut loan,
        } = self;
        connection.facts.received = loan.received;
        connection.facts.sent = loan.sent;
        Some((loan.pool.take()?, connection))
    }
}

/// How long a connection may be kept by somebody who does not give it back between two uses.
pub struct Tenure {
    shared: Arc<SharedPool>,
    key: Arc<KeyState>,
    generation: u64,
    expires: Option<Instant>,
}

impl Tenure {
    /// Why the connection is to serve nobody any more who does not use it already.
    pub fn ended(&self, now: Instant) -> Option<CloseReason> {
        if self.shared.is_paused() {
            return Some(CloseReason::Drained);
        }
        if self.expires.is_some_and(|expires| now >= expires) {
            return Some(CloseReason::MaxLifetime);
        }
        self.key.retired(self.generation)
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            let ended = Ended {
                reason: CloseReason::Abandoned,
                in_use: true,
                length: self.opened.elapsed(),
                received: self.received,
                sent: self.sent,
            };
            pool.abandoned(self.lane, self.since, &ended);
        }
    }
}
