//! Leases for operations that wait for something to happen (change streams, tailable cursors) have
//! a bounded share of the pool, so that watchers can't starve queries.
//!
//! Here a semaphore that all workers share is good enough: it takes its lock only when somebody has
//! to wait, and a long wait lasts for as long as a server holds a `getMore`.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use super::{CheckoutError, ClusterPool};

/// `max_long_waits` of one cluster, over all workers. Fair: whoever began to wait first is first.
pub(super) struct LongWaits {
    semaphore: Arc<Semaphore>,
    limit: AtomicUsize,
    active: AtomicUsize,
    waiting: AtomicUsize,
    /// Permits to be taken out of use when they come back, because the limit was lowered.
    surplus: AtomicUsize,
}

/// The right to use one lease for an operation that may take long. Take it before the lease, give
/// it back after.
pub struct LongWaitPermit {
    pool: Rc<ClusterPool>,
    permit: Option<OwnedSemaphorePermit>,
}

impl LongWaits {
    pub(super) fn new(limit: usize) -> Self {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        Self {
            semaphore: Arc::new(Semaphore::new(limit)),
            limit: AtomicUsize::new(limit),
            active: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            surplus: AtomicUsize::new(0),
        }
    }

    /// Called by one thread only, the one that reads the config.
    pub(super) fn set_limit(&self, limit: usize) {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        let before = self.limit.swap(limit, Ordering::SeqCst);
        if limit > before {
            let mut more = limit - before;
            while more > 0 && take(&self.surplus) {
                more -= 1;
            }
            self.semaphore.add_permits(more);
        } else {
            let fewer = before - limit;
            let forgotten = self.semaphore.forget_permits(fewer);
            self.surplus.fetch_add(fewer - forgotten, Ordering::SeqCst);
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    pub(super) fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn give_back(&self, permit: OwnedSemaphorePermit) {
        if take(&self.surplus) {
            permit.forget();
        }
    }
}

impl ClusterPool {
    /// The right to one long wait, if one is free and nobody waits for it.
    pub fn try_acquire_long_wait(self: &Rc<Self>) -> Option<LongWaitPermit> {
        let semaphore = Arc::clone(&self.shared().long_waits.semaphore);
        let permit = semaphore.try_acquire_owned().ok()?;
        Some(LongWaitPermit::new(self, permit))
    }

    /// Waits for the right to one long wait. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// [`CheckoutError::TimedOut`] when there is none until the deadline.
    pub async fn acquire_long_wait(
        self: &Rc<Self>,
        now: Instant,
        deadline: tokio::time::Instant,
    ) -> Result<LongWaitPermit, CheckoutError> {
        let long_waits = &self.shared().long_waits;
        let waiting = Waiting::new(&long_waits.waiting);
        let acquire = Arc::clone(&long_waits.semaphore).acquire_owned();
        let acquired = timeout_at(deadline, acquire).await;
        drop(waiting);
        match acquired {
            Ok(Ok(permit)) => Ok(LongWaitPermit::new(self, permit)),
            // The semaphore is never closed; both mean that there was none.
            Ok(Err(_)) | Err(_) => Err(CheckoutError::TimedOut {
                cluster: Arc::clone(self.shared().name()),
                waited: now.elapsed(),
                limit: long_waits.limit(),
            }),
        }
    }

    /// How many wait for the right to a long wait, over all workers: while there are any, whoever
    /// has it should give it back in good time.
    pub fn long_waiters(&self) -> usize {
        self.shared().long_waits.waiting()
    }
}

impl LongWaitPermit {
    fn new(pool: &Rc<ClusterPool>, permit: OwnedSemaphorePermit) -> Self {
        let active = &pool.shared().long_waits.active;
        active.fetch_add(1, Ordering::Relaxed);
        pool.stats.long_wait_began();
        Self {
            pool: Rc::clone(pool),
            permit: Some(permit),
        }
    }
}

impl Drop for LongWaitPermit {
    fn drop(&mut self) {
        let long_waits = &self.pool.shared().long_waits;
        long_waits.active.fetch_sub(1, Ordering::Relaxed);
        self.pool.stats.long_wait_ended();
        if let Some(permit) = self.permit.take() {
            long_waits.give_back(permit);
        }
    }
}

/// One who waits, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Takes one away, if there is one.
fn take(count: &AtomicUsize) -> bool {
    count
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            left.checked_sub(1)
        })
        .is_ok()
}
