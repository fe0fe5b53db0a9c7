//! Who waits on this worker: one list for each lane, in the order of their tickets. Leaving from
//! anywhere in a list takes the same short time, however long the list is.

use std::task::Waker;
use std::time::Instant;

use slab::Slab;
use tokio::time::Instant as Deadline;

use super::CheckoutError;
use super::connection::Connection;

const NONE: usize = usize::MAX;

/// All waiters of one worker and cluster.
#[derive(Default)]
pub(super) struct Waiters {
    slab: Slab<Waiter>,
}

/// The waiters of one lane.
pub(super) struct List {
    first: usize,
    last: usize,
    len: usize,
}

/// One operation that waits.
pub(super) struct Waiter {
    pub(super) ticket: u64,
    pub(super) lane: usize,
    pub(super) since: Instant,
    /// It is sent away then.
    pub(super) deadline: Deadline,
    /// The key's generation when it came: an endpoint that is retired sends older ones away.
    pub(super) generation: u64,
    pub(super) state: State,
    before: usize,
    behind: usize,
}

/// How far a waiter is.
pub(super) enum State {
    /// In its list.
    Queued(Option<Waker>),
    /// A connection is set aside for it.
    Served(Served),
    /// It gets nothing.
    Failed(CheckoutError),
    /// Its future has it.
    Taken,
}

/// A connection that is set aside for a waiter.
pub(super) struct Served {
    pub(super) connection: Connection,
    pub(super) reused: bool,
    pub(super) at: Instant,
}

impl List {
    /// Nobody waits.
    pub(super) fn new() -> Self {
        Self {
            first: NONE,
            last: NONE,
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl Waiters {
    /// Puts a waiter at the end of a list.
    pub(super) fn push(
        &mut self,
        list: &mut List,
        lane: usize,
        ticket: u64,
        since: Instant,
        deadline: Deadline,
        generation: u64,
    ) -> usize {
        let place = self.slab.insert(Waiter {
            ticket,
            lane,
            since,
            deadline,
            generation,
            state: State::Queued(None),
            before: list.last,
            behind: NONE,
        });
        match self.slab.get_mut(list.last) {
            Some(last) => last.behind = place,
            None => list.first = place,
        }
        list.last = place;
        list.len += 1;
        place
    }

    /// The first of a list.
    pub(super) fn first(&self, list: &List) -> Option<&Waiter> {
        self.slab.get(list.first)
    }

    /// The one behind the first `skipped` of a list.
    pub(super) fn nth(&self, list: &List, skipped: usize) -> Option<&Waiter> {
        let mut waiter = self.first(list);
        for _ in 0..skipped {
            waiter = self.slab.get(waiter?.behind);
        }
        waiter
    }

    /// Takes the first out of its list and says how it went.
    pub(super) fn settle_first(&mut self, list: &mut List, outcome: State) {
        self.settle(list, list.first, outcome);
    }

    /// Takes one out of its list, wherever it stands, and says how it went.
    pub(super) fn settle(&mut self, list: &mut List, place: usize, outcome: State) {
        self.unlink(list, place);
        let Some(waiter) = self.slab.get_mut(place) else {
            return;
        };
        if let State::Queued(Some(waker)) = std::mem::replace(&mut waiter.state, outcome) {
            waker.wake();
        }
    }

    /// Takes a waiter out of its list, wherever it stands.
    pub(super) fn unlink(&mut self, list: &mut List, place: usize) {
        let Some(waiter) = self.slab.get(place) else {
            return;
        };
        let (before, behind) = (waiter.before, waiter.behind);
        match self.slab.get_mut(before) {
            Some(waiter) => waiter.behind = behind,
            None => list.first = behind,
        }
        match self.slab.get_mut(behind) {
            Some(waiter) => waiter.before = before,
            None => list.last = before,
        }
        list.len -= 1;
    }

    /// The places of all that are in a list.
    pub(super) fn queued(&self) -> Vec<usize> {
        let waiters = self.slab.iter();
        waiters
            .filter(|(_, waiter)| matches!(waiter.state, State::Queued(_)))
            .map(|(place, _)| place)
            .collect()
    }

    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut Waiter> {
        self.slab.get_mut(place)
    }

    /// Forgets a waiter that is in no list.
    pub(super) fn remove(&mut self, place: usize) -> Option<Waiter> {
        self.slab.try_remove(place)
    }

    /// Nobody waits, and nothing is set aside for anybody.
    pub(super) fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tickets(waiters: &Waiters, list: &List) -> Vec<u64> {
        (0..)
            .map_while(|skipped| waiters.nth(list, skipped))
            .map(|waiter| waiter.ticket)
            .collect()
    }

    #[test]
    fn whoever_leaves_the_others_keep_their_order() {
        let (now, late) = (Instant::now(), Deadline::now());
        for leaving in 0..4 {
            let mut waiters = Waiters::default();
            let mut other = List::new();
            waiters.push(&mut other, 1, 100, now, late, 0);
            let mut list = List::new();
            let places: Vec<_> = (0..4)
                .map(|ticket| waiters.push(&mut list, 0, ticket, now, late, 0))
                .collect();
            waiters.unlink(&mut list, places[leaving]);
            waiters.remove(places[leaving]);
            let mut left: Vec<u64> = (0..4).collect();
            left.remove(leaving);
            assert_eq!(tickets(&waiters, &list), left);
            assert_eq!(list.len(), 3);
            waiters.push(&mut list, 0, 9, now, late, 0);
            left.push(9);
            assert_eq!(tickets(&waiters, &list), left);
            while let Some(first) = waiters.first(&list).map(|first| first.ticket) {
                assert_eq!(first, left.remove(0));
                waiters.settle_first(&mut list, State::Queued(None));
            }
            assert_eq!((list.len(), left.len()), (0, 0));
            assert_eq!(tickets(&waiters, &other), [100]);
        }
    }
}
