//! A series for each status code.

use std::cell::OnceCell;

use crate::stats::{Counter, Scope, ScopeKind, Shard};

/// Statuses whose series are found without a search: from 100 to 599. Others are no statuses (RFC 9110 section 15), but come.
const FIRST: u16 = 100;
const COUNT: usize = 500;

/// The series of all status codes of one owner: a listener, or a cluster. Each is looked up when it is first met.
pub struct Codes<K> {
    shard: Shard,
    owner: Box<[u8]>,
    known: Box<[OnceCell<Scope<K>>]>,
}

impl<K: ScopeKind> Codes<K> {
    /// None has been met yet.
    pub fn new(shard: &Shard, owner: &str) -> Self {
        Self {
            shard: shard.clone(),
            owner: owner.as_bytes().into(),
            known: (0..COUNT).map(|_| OnceCell::new()).collect(),
        }
    }

    /// Adds one to a counter of a status.
    pub fn inc(&self, status: u16, counter: Counter<K>) {
        let place = status.checked_sub(FIRST);
        match place.and_then(|place| self.known.get(usize::from(place))) {
            Some(known) => known.get_or_init(|| self.series(status)).inc(counter),
            None => self.series(status).inc(counter),
        }
    }

    fn series(&self, status: u16) -> Scope<K> {
        let label = status.to_string();
        self.shard.scope(&[&self.owner, label.as_bytes()])
    }
}
