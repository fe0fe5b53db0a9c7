//! What is done for a pool four times a second, by the worker's janitor.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::ClusterPool;
use super::lanes::{Change, Lanes};
use super::reason::{CloseReason, OpenReason};

/// A connection's share of `max_lifetime` is drawn from the last tenth, so that those that were
/// opened together are not closed together.
const LIFETIME_JITTER: u64 = 10;

impl ClusterPool {
    /// Closes what is old, unused or closed by the server, and opens what `min_idle` asks for.
    pub fn tick(self: &Rc<Self>, now: Instant) {
        let mut state = self.state();
        let state = &mut *state;
        if state.idle > 0 {
            self.weed(state, now);
        }
        if !state.winding_down && !self.shared().is_paused() {
            self.keep_warm(state);
        }
        if state.forget_empty() {
            self.shared().forget_unused(now);
        }
    }

    /// Closes idle connections that have no future.
    fn weed(self: &Rc<Self>, state: &mut Lanes, now: Instant) {
        let places: Vec<usize> = state.lanes.iter().map(|(place, _)| place).collect();
        for place in places {
            let count = state.lanes.get(place).map_or(0, |lane| lane.idle.len());
            // Each is looked at once: from the front, and put back at the end.
            for _ in 0..count {
                let idle = state.lanes.get_mut(place).map(|lane| &mut lane.idle);
                let Some(mut connection) = idle.and_then(|idle| idle.pop_front()) else {
                    break;
                };
                let old = connection.is_expired(now);
                let reason = old.then_some(CloseReason::MaxLifetime);
                match reason.or_else(|| connection.fault()) {
                    None => {
                        if let Some(lane) = state.lanes.get_mut(place) {
                            lane.idle.push_back(connection);
                        }
                    }
                    Some(reason) => {
                        self.count(state, place, Change::Idle(-1));
                        let permit = self.close(state, place, connection, reason, false);
                        self.room_free(state, permit);
                    }
                }
            }
        }
        self.close_unused(state, now);
    }

    /// Closes what nobody has used for `idle_timeout`, down to `min_idle`.
    fn close_unused(self: &Rc<Self>, state: &mut Lanes, now: Instant) {
        let (timeout, min_idle) = {
            let policy = self.shared().policy();
            (policy.config.idle_timeout, policy.config.min_idle)
        };
        let Some(timeout) = timeout else {
            return;
        };
        while let Some(place) = state.least_used(None)
            && let Some(since) = state.lanes.get(place).and_then(|lane| lane.oldest_idle())
            && now.saturating_duration_since(since) >= timeout
            && self.shared().idle() > min_idle
        {
            self.close_least_used(state, place, CloseReason::IdleTimeout);
        }
    }

    /// Opens one connection, if this worker has less than its share of `min_idle`.
    fn keep_warm(self: &Rc<Self>, state: &mut Lanes) {
        let shared = self.shared();
        let min_idle = shared.policy().config.min_idle;
        if min_idle == 0 || shared.idle() + shared.connecting() >= min_idle {
            return;
        }
        if state.at_hand() >= self.share_of(min_idle) {
            return;
        }
        let warm = shared.warm();
        // The first credential is the one of clients that no user is known of.
        let poorest = warm
            .iter()
            .min_by_key(|endpoint| shared.key(endpoint, 0).open.load(Ordering::SeqCst));
        let Some(endpoint) = poorest else {
            return;
        };
        let lane = state.lane(shared, &self.member, &self.stats, endpoint, 0);
        // What can't be had now is tried again at the next tick.
        let _ = self.begin(state, lane, None, OpenReason::MinIdle);
    }

    /// This worker's part of a number: they add up to it.
    fn share_of(&self, number: usize) -> usize {
        let members = self.members();
        let place = members
            .iter()
            .position(|member| !self.is_other(member))
            .unwrap_or(0);
        let count = members.len().max(1);
        number / count + usize::from(place < number % count)
    }

    /// How long a connection that is opened now may live.
    pub(super) fn draw_lifetime(&self) -> Option<Duration> {
        let longest = self.shared().policy().config.max_lifetime?;
        // The standard library's hasher is seeded anew for each state.
        let random = RandomState::new().build_hasher().finish();
        let tenth = longest / u32::try_from(LIFETIME_JITTER).unwrap_or(u32::MAX);
        let part = u32::try_from(random % 1000).unwrap_or(0);
        Some(longest - tenth * part / 1000)
    }
}
