//! Pins: which server a cursor or a transaction lives on.
//!
//! A driver may go on with either over any connection of its pool, and so on any worker. The table is therefore the cluster's, not the
//! worker's. It is asked only by operations that have a cursor or a transaction, never by others, and is cut into shards so that two
//! workers seldom meet at one lock, which is held for one look-up.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::lifecycle::TransactionKey;
use crate::upstream::EndpointId;

/// Parts of the table; more than workers that could meet.
const SHARDS: usize = 32;

/// Cursors and transactions remembered by one shard, each: 32 times this is far above what servers keep open (a server's own session
/// cache ends at a million), and bounds what clients can make the proxy remember.
const MAX_PER_SHARD: usize = 8_192;

/// Cursors and transactions of one cluster.
pub struct Pins {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    cursor_timeout: Duration,
    transaction_timeout: Duration,
    expired: AtomicU64,
    refused: AtomicU64,
}

#[derive(Default)]
struct Shard {
    cursors: HashMap<CursorKey, Pin>,
    transactions: HashMap<[u8; 16], (i64, Pin)>,
}

/// A database, as cursors are told apart by it: its name's hash, with a key of this table's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DatabaseKey(u64);

/// Ids are unique on a server, not over servers: the database tells most of the others apart.
type CursorKey = (DatabaseKey, i64);

#[derive(Clone, Copy)]
struct Pin {
    endpoint: EndpointId,
    used: Instant,
    keeps: bool,
}

/// How many pins there are, and what became of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PinCounts {
    /// Cursors pinned now.
    pub cursors: usize,
    /// Transactions pinned now.
    pub transactions: usize,
    /// Pins that nobody used any more.
    pub expired: u64,
    /// Pins that were not made because there were too many.
    pub refused: u64,
}

impl Pins {
    /// No pins yet. What nobody uses for the given times is forgotten.
    pub fn new(cursor_timeout: Duration, transaction_timeout: Duration) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            cursor_timeout,
            transaction_timeout,
            expired: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// How a database is named in the other calls.
    pub fn database(&self, name: &[u8]) -> DatabaseKey {
        DatabaseKey(self.hasher.hash_one(name))
    }

    /// The server of a cursor, which is in use from now on.
    pub fn cursor(&self, database: DatabaseKey, id: i64, now: Instant) -> Option<EndpointId> {
        let mut shard = self.cursor_shard(database, id);
        let pin = shard.cursors.get_mut(&(database, id))?;
        pin.used = now;
        Some(pin.endpoint)
    }

    /// A reply left a cursor open. `keeps` for one that the server does not time out.
    pub fn pin_cursor(
        &self,
        database: DatabaseKey,
        id: i64,
        endpoint: EndpointId,
        keeps: bool,
        now: Instant,
    ) {
        let key = (database, id);
        let mut shard = self.cursor_shard(database, id);
        if shard.cursors.len() >= MAX_PER_SHARD && !shard.cursors.contains_key(&key) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let keeps = keeps || shard.cursors.get(&key).is_some_and(|pin| pin.keeps);
        let pin = Pin {
            endpoint,
            used: now,
            keeps,
        };
        shard.cursors.insert(key, pin);
    }

    /// A cursor has ended.
    pub fn release_cursor(&self, database: DatabaseKey, id: i64) {
        self.cursor_shard(database, id)
            .cursors
            .remove(&(database, id));
    }

    /// The server of a transaction, which is in use from now on.
    pub fn transaction(&self, key: &TransactionKey, now: Instant) -> Option<EndpointId> {
        let mut shard = self.shard(self.hasher.hash_one(key.session));
        let (number, pin) = shard.transactions.get_mut(&key.session)?;
        if *number != key.number {
            return None;
        }
        pin.used = now;
        Some(pin.endpoint)
    }

    /// A transaction has begun on a server. It takes the place of an earlier one of the same session.
    pub fn pin_transaction(&self, key: &TransactionKey, endpoint: EndpointId, now: Instant) {
        let mut shard = self.shard(self.hasher.hash_one(key.session));
        let known = shard.transactions.contains_key(&key.session);
        if shard.transactions.len() >= MAX_PER_SHARD && !known {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let pin = Pin {
            endpoint,
            used: now,
            keeps: false,
        };
        shard.transactions.insert(key.session, (key.number, pin));
    }

    /// The session does something else: whatever transaction it had is over.
    pub fn release_transaction(&self, session: &[u8; 16]) {
        self.shard(self.hasher.hash_one(session))
            .transactions
            .remove(session);
    }

    /// Forgets what nobody has used for too long, and what lived on a server that is not among `endpoints` any more.
    pub fn expire(&self, now: Instant, exists: impl Fn(EndpointId) -> bool) {
        let mut gone = 0;
        for shard in &self.shards {
            let mut shard = lock(shard);
            let before = shard.cursors.len() + shard.transactions.len();
            let unused = |pin: &Pin| now.saturating_duration_since(pin.used);
            // The server keeps a noCursorTimeout cursor as long as its session, for half an hour (localLogicalSessionTimeoutMinutes).
            let limit = |pin: &Pin| match pin.keeps {
                true => self.cursor_timeout.max(NO_TIMEOUT_CURSOR),
                false => self.cursor_timeout,
            };
            shard
                .cursors
                .retain(|_, pin| unused(pin) < limit(pin) && exists(pin.endpoint));
            let timeout = self.transaction_timeout;
            shard
                .transactions
                .retain(|_, (_, pin)| unused(pin) < timeout && exists(pin.endpoint));
            gone += before - shard.cursors.len() - shard.transactions.len();
        }
        self.expired.fetch_add(gone as u64, Ordering::Relaxed);
    }

    /// How many there are.
    pub fn counts(&self) -> PinCounts {
        let mut counts = PinCounts {
            expired: self.expired.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            ..PinCounts::default()
        };
        for shard in &self.shards {
            let shard = lock(shard);
            counts.cursors += shard.cursors.len();
            counts.transactions += shard.transactions.len();
        }
        counts
    }

    fn cursor_shard(&self, database: DatabaseKey, id: i64) -> MutexGuard<'_, Shard> {
        self.shard(database.0 ^ id.cast_unsigned())
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        let [first, ..] = &self.shards;
        let index = usize::try_from(hash % SHARDS as u64).unwrap_or(0);
        lock(self.shards.get(index).unwrap_or(first))
    }
}

/// How long the server may keep a cursor that was asked for with `noCursorTimeout`.
const NO_TIMEOUT_CURSOR: Duration = Duration::from_secs(31 * 60);

/// Nothing under these locks leaves half a change behind.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Endpoint;

    fn pins() -> Pins {
        Pins::new(Duration::from_secs(10), Duration::from_secs(5))
    }

    fn endpoint() -> EndpointId {
        Endpoint::new("127.0.0.1".into(), 1, None).id
    }

    #[test]
    fn a_cursor_is_found_by_database_and_id_until_it_ends_or_nobody_uses_it() {
        let (pins, now) = (pins(), Instant::now());
        let (one, other) = (endpoint(), endpoint());
        let (shop, bank) = (pins.database(b"shop"), pins.database(b"bank"));
        pins.pin_cursor(shop, 7, one, false, now);
        pins.pin_cursor(bank, 7, other, false, now);
        assert_eq!(pins.cursor(shop, 7, now), Some(one));
        assert_eq!(pins.cursor(bank, 7, now), Some(other));
        assert_eq!(pins.cursor(shop, 8, now), None);
        pins.release_cursor(bank, 7);
        assert_eq!(pins.cursor(bank, 7, now), None);
        let later = now + Duration::from_secs(9);
        assert_eq!(pins.cursor(shop, 7, later), Some(one));
        pins.expire(later + Duration::from_secs(9), |_| true);
        assert_eq!(pins.counts().cursors, 1);
        pins.expire(later + Duration::from_secs(10), |_| true);
        assert_eq!(
            pins.counts(),
            PinCounts {
                expired: 1,
                ..PinCounts::default()
            }
        );
    }

    #[test]
    fn a_transaction_is_known_by_its_number_and_goes_with_its_server() {
        let (pins, now) = (pins(), Instant::now());
        let server = endpoint();
        let key = |number| TransactionKey {
            session: [3; 16],
            number,
        };
        pins.pin_transaction(&key(1), server, now);
        assert_eq!(pins.transaction(&key(1), now), Some(server));
        assert_eq!(pins.transaction(&key(2), now), None);
        pins.pin_transaction(&key(2), server, now);
        assert_eq!(pins.transaction(&key(1), now), None);
        assert_eq!(pins.counts().transactions, 1);
        pins.expire(now, |known| known != server);
        assert_eq!(pins.transaction(&key(2), now), None);
    }

    #[test]
    fn a_flood_of_cursors_stops_at_the_limit() {
        let (pins, now) = (pins(), Instant::now());
        let server = endpoint();
        let shop = pins.database(b"shop");
        let most = SHARDS * MAX_PER_SHARD;
        for id in 0..2 * most as i64 {
            pins.pin_cursor(shop, id, server, false, now);
        }
        let counts = pins.counts();
        assert!(counts.cursors <= most);
        assert_eq!(counts.cursors as u64 + counts.refused, 2 * most as u64);
    }
}
