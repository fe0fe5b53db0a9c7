//! Sends those away who have waited for too long: one timer for all who wait on a worker. They come and go by the thousand a second and
//! mostly wait as long as each other, so a timer of their own would be set and unset at each operation and hardly ever ring.

use std::cell::Cell;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::waiting::State;
use super::{CheckoutError, ClusterPool};
use crate::stats::Pool;

/// When a worker looks next for those who have waited for too long.
#[derive(Default)]
pub(super) struct Alarm {
    /// Nobody's time is over before this; `None` while nobody looks, since nobody waited when somebody looked last.
    at: Cell<Option<Instant>>,
    /// Somebody's time is over earlier than that of all who came before.
    earlier: Rc<Notify>,
}

impl ClusterPool {
    /// Somebody waits until `deadline` at most.
    pub(super) fn send_away_at(self: &Rc<Self>, deadline: Instant) {
        match self.alarm.at.get() {
            Some(at) if at <= deadline => return,
            Some(_) => self.alarm.earlier.notify_one(),
            None => {
                tokio::task::spawn_local(watch(Rc::downgrade(self)));
            }
        }
        self.alarm.at.set(Some(deadline));
    }

    /// Sends those away whose time is over, and sets the alarm for those who still wait.
    fn send_away_late(self: &Rc<Self>) {
        let now = Instant::now();
        let mut state = self.state();
        let state = &mut *state;
        let mut next = None;
        for place in state.waiters.queued() {
            let Some(waiter) = state.waiters.get_mut(place) else {
                continue;
            };
            let (lane, since, deadline) = (waiter.lane, waiter.since, waiter.deadline);
            if deadline > now {
                next = Some(next.map_or(deadline, |next: Instant| next.min(deadline)));
                continue;
            }
            let error = CheckoutError::TimedOut {
                cluster: Arc::clone(self.shared().name()),
                waited: since.elapsed(),
                limit: self.shared().max_connections(),
            };
            self.stats.inc(Pool::WAIT_TIMEOUT);
            if let Some(at) = state.lanes.get_mut(lane) {
                let waiters = &mut state.waiters;
                waiters.settle(&mut at.waiters, place, State::Failed(error));
            }
            self.one_less_waits(state, lane);
        }
        self.alarm.at.set(next);
    }
}

/// Runs for as long as somebody waits.
async fn watch(pool: Weak<ClusterPool>) {
    loop {
        let (at, earlier) = match pool.upgrade() {
            Some(pool) => (pool.alarm.at.get(), Rc::clone(&pool.alarm.earlier)),
            None => return,
        };
        let Some(at) = at else {
            return;
        };
        tokio::select! {
            biased;
            () = earlier.notified() => {}
            () = sleep_until(at) => {
                if let Some(pool) = pool.upgrade() {
                    pool.send_away_late();
                }
            }
        }
    }
}
