//! What the whole process knows of one key: an endpoint, and the credential that is used there.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::opening::{Failures, OpenError};
use super::reason::CloseReason;
use super::shared::Member;
use super::tickets::{NOBODY, Ticket};
use crate::upstream::{Endpoint, EndpointId};
use arc_swap::{ArcSwap, Guard};

/// Connections of the same key are interchangeable, others are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) endpoint: EndpointId,
    pub(super) credential: u32,
}

/// One key, for all workers.
pub(super) struct KeyState {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) credential: u32,
    /// Connections open now, over all workers.
    pub(super) open: AtomicUsize,
    /// Connections being opened now, over all workers.
    opening: AtomicUsize,
    /// Connections of an earlier generation are closed when they come back.
    generation: AtomicU64,
    /// The endpoint is gone rather than failing.
    gone: AtomicBool,
    failing: AtomicBool,
    failures: Mutex<Failures>,
    shares: ArcSwap<Vec<Arc<Share>>>,
}

/// One worker's part of a key, for other threads to read. Each number has one writer.
pub(super) struct Share {
    pub(super) member: Arc<Member>,
    /// Its first waiter for whom no connection is being opened.
    pub(super) first: Ticket,
    pub(super) idle: AtomicUsize,
    pub(super) active: AtomicUsize,
    pub(super) waiting: AtomicUsize,
    pub(super) connecting: AtomicUsize,
    /// When the first of those that wait began to: microseconds on the clock of the shared pool,
    /// `u64::MAX` when nobody waits.
    pub(super) waiting_since: AtomicU64,
}

/// A place among the openings of one key.
pub(super) struct KeyOpening(Arc<KeyState>);

impl KeyState {
    pub(super) fn new(endpoint: Arc<Endpoint>, credential: u32) -> Self {
        Self {
            endpoint,
            credential,
            open: AtomicUsize::new(0),
            opening: AtomicUsize::new(0),
            generation: AtomicU64::new(0),
            gone: AtomicBool::new(false),
            failing: AtomicBool::new(false),
            failures: Mutex::default(),
            shares: ArcSwap::default(),
        }
    }

    pub(super) fn key(&self) -> Key {
        Key {
            endpoint: self.endpoint.id,
            credential: self.credential,
        }
    }

    /// From now on no connection that is open or being opened is lent again.
    pub(super) fn retire(&self, gone: bool) {
        self.gone.store(gone, Ordering::Relaxed);
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// The generation of a connection that is opened now.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Why a connection of that generation is not lent any more.
    pub(super) fn retired(&self, generation: u64) -> Option<CloseReason> {
        if self.generation.load(Ordering::Acquire) == generation {
            return None;
        }
        Some(match self.gone.load(Ordering::Relaxed) {
            true => CloseReason::EndpointGone,
            false => CloseReason::EndpointFailed,
        })
    }

    /// A place among the openings. After a failure there is one at a time: an endpoint that swallows
    /// what is sent to it must not hold all of `max_connecting` until each of them has timed out.
    pub(super) fn begin_opening(self: &Arc<Self>) -> Option<KeyOpening> {
        let others = self.opening.fetch_add(1, Ordering::SeqCst);
        let place = KeyOpening(Arc::clone(self));
        (others == 0 || !self.failing.load(Ordering::Relaxed)).then_some(place)
    }

    /// True when no connection is open or being opened anywhere.
    pub(super) fn has_none(&self) -> bool {
        self.open.load(Ordering::SeqCst) == 0 && self.opening.load(Ordering::SeqCst) == 0
    }

    /// Until when no other attempt may be made, and what the last one met.
    pub(super) fn refusal(&self, now: Instant) -> Option<(Instant, OpenError)> {
        if !self.failing.load(Ordering::Relaxed) {
            return None;
        }
        self.failures().refusal(now)
    }

    /// An opening failed.
    pub(super) fn failed(&self, now: Instant, error: OpenError) {
        self.failures().failed(now, error);
        self.failing.store(true, Ordering::Relaxed);
    }

    /// An opening succeeded; true when the one before had failed.
    pub(super) fn succeeded(&self) -> bool {
        let failed = self.failing.swap(false, Ordering::Relaxed);
        if failed {
            self.failures().succeeded();
        }
        failed
    }

    /// True when the last opening failed.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Makes a worker's part of it.
    pub(super) fn join(&self, member: &Arc<Member>) -> Arc<Share> {
        let share = Arc::new(Share {
            member: Arc::clone(member),
            first: Ticket::default(),
            idle: AtomicUsize::new(0),
            active: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            connecting: AtomicUsize::new(0),
            waiting_since: AtomicU64::new(u64::MAX),
        });
        self.shares.rcu(|shares| {
            let mut shares = Vec::clone(shares);
            shares.push(Arc::clone(&share));
            shares
        });
        share
    }

    /// Ends a worker's part of it.
    pub(super) fn leave(&self, share: &Arc<Share>) {
        share.first.publish(NOBODY);
        self.shares.rcu(|shares| {
            let mut shares = Vec::clone(shares);
            shares.retain(|other| !Arc::ptr_eq(other, share));
            shares
        });
    }

    /// Every worker's part of it.
    pub(super) fn shares(&self) -> Guard<Arc<Vec<Arc<Share>>>> {
        self.shares.load()
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        // Nothing under this lock leaves half a change behind.
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for KeyOpening {
    fn drop(&mut self) {
        self.0.opening.fetch_sub(1, Ordering::SeqCst);
    }
}
