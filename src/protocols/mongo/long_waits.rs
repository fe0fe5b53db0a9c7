//! Cursors that the server may hold a `getMore` on: change streams and tailable cursors.
//!
//! How long such a `getMore` takes says how long nothing happened, not how fast the server is, so
//! it has to be told apart. The cursor may be continued on any connection of the client's pool, and
//! so on any worker: the set is shared. It changes when such a cursor opens or ends, which is rare;
//! it is read, without a lock, by every `getMore`.

use std::collections::VecDeque;

use arc_swap::ArcSwap;

/// Cursors remembered for one listener; the oldest is forgotten first. A client that dies never
/// says that its cursors are done.
const MAX_CURSORS: usize = 4_096;

/// The ids of such cursors, of one listener.
#[derive(Default)]
pub struct LongWaits {
    ids: ArcSwap<VecDeque<i64>>,
}

impl LongWaits {
    /// True when a `getMore` on this cursor may be held by the server.
    pub fn contains(&self, id: i64) -> bool {
        self.ids.load().contains(&id)
    }

    /// Remembers a cursor.
    pub fn insert(&self, id: i64) {
        self.ids.rcu(|ids| {
            let mut ids = VecDeque::clone(ids);
            if ids.len() >= MAX_CURSORS {
                ids.pop_front();
            }
            ids.push_back(id);
            ids
        });
    }

    /// Forgets a cursor, if it was one of these.
    pub fn remove(&self, id: i64) {
        if self.contains(id) {
            self.ids.rcu(|ids| {
                let mut ids = VecDeque::clone(ids);
                ids.retain(|known| *known != id);
                ids
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_goes_first() {
        let waits = LongWaits::default();
        for id in 0..=MAX_CURSORS as i64 {
            waits.insert(id);
        }
        assert!(!waits.contains(0));
        assert!(waits.contains(1) && waits.contains(MAX_CURSORS as i64));
        waits.remove(1);
        assert!(!waits.contains(1));
    }
}
