//! A pooled connection, and how it travels from one worker to another.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::keys::KeyState;
use super::opening::Opened;
use super::reason::CloseReason;
use super::shared::Permit;
use crate::config::MongoCompressor;
use crate::stream::{Detached, Stream};
use crate::upstream::Occupied;

/// A connection of the pool, on the worker whose event queue its socket is in.
pub(super) struct Connection {
    pub(super) stream: Stream,
    // Behind the socket: a permit is given back only when the socket is closed.
    pub(super) facts: Box<Facts>,
}

/// What is known of a connection, wherever it is.
pub(super) struct Facts {
    pub(super) key: Arc<KeyState>,
    /// The key's generation when the connection was opened: an older one is not lent again.
    pub(super) generation: u64,
    pub(super) since: Instant,
    /// When it reaches its own share of `max_lifetime`.
    pub(super) expires: Option<Instant>,
    /// When it came back last.
    pub(super) idle_since: Instant,
    pub(super) max_wire: i32,
    pub(super) compressor: Option<MongoCompressor>,
    speaks_first: bool,
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) permit: Permit,
    _open: OpenCount,
    _occupied: Occupied,
}

/// A connection between two workers: out of the one's event queue, not yet in the other's.
pub(super) struct Parcel {
    stream: Detached,
    facts: Box<Facts>,
}

/// One of the open connections of a key.
struct OpenCount(Arc<KeyState>);

impl Connection {
    /// Makes an opened socket a connection of the pool.
    pub(super) fn new(
        key: &Arc<KeyState>,
        generation: u64,
        opened: Opened,
        permit: Permit,
        lifetime: Option<Duration>,
        now: Instant,
    ) -> Self {
        Self {
            stream: opened.stream,
            facts: Box::new(Facts {
                key: Arc::clone(key),
                generation,
                since: now,
                expires: lifetime.and_then(|lifetime| now.checked_add(lifetime)),
                idle_since: now,
                max_wire: opened.max_wire,
                compressor: opened.compressor,
                speaks_first: opened.speaks_first,
                received: 0,
                sent: 0,
                permit,
                _open: OpenCount::new(key),
                _occupied: key.endpoint.occupy(),
            }),
        }
    }

    /// Why the connection must not be lent, if so. Costs a system call only when the event queue
    /// has reported something since the last read: tokio remembers what it has seen.
    pub(super) fn fault(&mut self) -> Option<CloseReason> {
        if let Some(retired) = self.facts.key.retired(self.facts.generation) {
            return Some(retired);
        }
        // What it has said must not be read here; if it has gone, whoever the connection is lent to will find out.
        if self.facts.speaks_first {
            return None;
        }
        let mut byte = [0];
        match self.stream.try_read(&mut byte) {
            Ok(0) => Some(CloseReason::ServerClosed),
            // A server that speaks without being asked: the next client would take it for its reply.
            Ok(_) => Some(CloseReason::ProtocolError),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(_) => Some(CloseReason::ServerClosed),
        }
    }

    /// True when it has reached its share of `max_lifetime`.
    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.facts.expires.is_some_and(|expires| now >= expires)
    }

    /// Closes the socket; its permit may be used for another one from now on.
    pub(super) fn close(mut self) -> Permit {
        self.stream.announce_end();
        drop(self.stream);
        self.facts.permit
    }

    /// Takes the socket out of this worker's event queue. What is left after a failure is the permit.
    pub(super) fn pack(self) -> Result<Parcel, (io::Error, Permit)> {
        match self.stream.detach() {
            Ok(stream) => Ok(Parcel {
                stream,
                facts: self.facts,
            }),
            Err(error) => Err((error, self.facts.permit)),
        }
    }
}

impl Parcel {
    /// Puts the socket into this worker's event queue. What is left after a failure is the permit.
    pub(super) fn unpack(self) -> Result<Connection, (io::Error, Permit)> {
        match self.stream.attach() {
            Ok(stream) => Ok(Connection {
                stream,
                facts: self.facts,
            }),
            Err(error) => Err((error, self.facts.permit)),
        }
    }

    /// What it is a connection to.
    pub(super) fn key(&self) -> &Arc<KeyState> {
        &self.facts.key
    }
}

impl OpenCount {
    fn new(key: &Arc<KeyState>) -> Self {
        key.open.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(key))
    }
}

impl Drop for OpenCount {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}
