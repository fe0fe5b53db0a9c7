//! Who needs a connection: queue, and look for what is free.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::attempt::NotBegun;
use super::lanes::{Change, Lanes};
use super::opening::OpenError;
use super::shared::Kind;
use super::waiting::State;
use super::{CheckoutError, ClusterPool};
use crate::stats::Pool;
use crate::upstream::Endpoint;

impl ClusterPool {
    /// Puts an operation into the queue.
    pub(super) fn enqueue(
        self: &Rc<Self>,
        endpoint: &Arc<Endpoint>,
        credential: u32,
        now: Instant,
        deadline: tokio::time::Instant,
    ) -> Result<usize, CheckoutError> {
        let shared = self.shared();
        let mut state = self.state();
        let state = &mut *state;
        let lane = state.lane(shared, &self.member, &self.stats, endpoint, credential);
        let Some(at) = state.lanes.get_mut(lane) else {
            // The line above has made it.
            return Err(self.retired(&endpoint.name));
        };
        // As PgBouncer does: "server login has been failing" sends clients away only while there is
        // no connection that could serve them.
        if at.key.open.load(Ordering::SeqCst) == 0
            && let Some((_, error)) = at.key.refusal(now)
        {
            return Err(self.open_error(error));
        }
        // Who only waits for a connection of its own to be opened is no queue.
        let own = at.opening == at.waiters.len() && shared.has_permit() && shared.may_connect();
        let limit = match own {
            true => usize::MAX,
            false => shared.policy().config.max_waiting,
        };
        let ticket = shared.begin_waiting(limit).map_err(|limit| {
            self.stats.inc(Pool::QUEUE_FULL);
            CheckoutError::QueueFull {
                cluster: Arc::clone(shared.name()),
                limit,
            }
        })?;
        let generation = at.key.generation();
        let place = state
            .waiters
            .push(&mut at.waiters, lane, ticket, now, deadline, generation);
        self.count(state, lane, Change::Waiting(1));
        state.show_first(lane, shared);
        state.publish(lane, &self.member);
        self.send_away_at(deadline);
        self.look_for_free(state);
        Ok(place)
    }

    /// A waiter's future is gone, whatever has become of it.
    pub(super) fn leave(self: &Rc<Self>, place: usize) {
        let mut state = self.state();
        let state = &mut *state;
        let Some(waiter) = state.waiters.get_mut(place) else {
            return;
        };
        let lane = waiter.lane;
        match std::mem::replace(&mut waiter.state, State::Taken) {
            State::Queued(_) => {
                if let Some(at) = state.lanes.get_mut(lane) {
                    state.waiters.unlink(&mut at.waiters, place);
                }
                state.waiters.remove(place);
                self.one_less_waits(state, lane);
            }
            State::Served(served) => {
                state.waiters.remove(place);
                self.count(state, lane, Change::Active(-1));
                let (connection, reused, at) = (served.connection, served.reused, served.at);
                self.come_back(state, lane, connection, reused, at);
            }
            State::Failed(_) | State::Taken => {
                state.waiters.remove(place);
            }
        }
    }

    /// For each waiter that nothing is under way for: an idle connection elsewhere, a new one, or
    /// the place of an idle one of another key. Called after the waiters were published.
    pub(super) fn look_for_free(self: &Rc<Self>, state: &mut Lanes) {
        if self.shared().is_paused() || !self.anything_free(state) {
            return;
        }
        // Lanes for which nothing more can be done now.
        let mut skipped = Vec::new();
        while let Some((_, lane)) = state.in_need(&skipped) {
            if !self.find_one_for(state, lane) {
                skipped.push(lane);
            }
        }
    }

    /// True when something was done for the first in need of a lane, and the next may be tried.
    fn find_one_for(self: &Rc<Self>, state: &mut Lanes, lane: usize) -> bool {
        // There is one while the pool was paused for so short a time that nothing was closed.
        if let Some(connection) = self.pop_idle(state, lane) {
            self.give(state, lane, connection, true, Instant::now());
            return true;
        }
        if self.ask(state, lane, false) {
            return false;
        }
        match self.begin_opening(state, lane, None) {
            Ok(()) => true,
            Err((NotBegun::NoPermit, _)) => {
                let room = self.make_room(state, lane);
                // Where no place among the openings is free, a place in the pool is of no use yet.
                if !room && self.shared().may_connect() {
                    self.ask(state, lane, true);
                }
                room
            }
            Err(_) => false,
        }
    }

    /// False when every permit is taken and no connection is idle: the usual state of a busy pool.
    fn anything_free(&self, state: &Lanes) -> bool {
        self.shared().has_permit() || state.idle > 0 || self.idle_elsewhere()
    }

    fn idle_elsewhere(&self) -> bool {
        self.members()
            .iter()
            .any(|member| self.is_other(member) && member.idle() > 0)
    }

    /// Asks another worker for an idle connection of this key, or with `evict` for the place of any.
    /// False when there is nobody to ask.
    fn ask(&self, state: &mut Lanes, lane: usize, evict: bool) -> bool {
        let Some(at) = state.lanes.get_mut(lane) else {
            return false;
        };
        if at.asked {
            return true;
        }
        if !self.idle_elsewhere() {
            return false;
        }
        let wanted = Kind::Wanted {
            by: Arc::clone(&at.share),
            key: at.key.key(),
            evict,
        };
        if evict {
            let members = self.members();
            let others = members.iter().filter(|member| self.is_other(member));
            let richest = others.max_by_key(|member| member.idle());
            if let Some(richest) = richest.filter(|member| member.idle() > 0) {
                at.asked = true;
                richest.tell(wanted);
            }
        } else {
            let shares = at.key.shares();
            let others = shares.iter().filter(|share| self.is_other(&share.member));
            let richest = others.max_by_key(|share| share.idle.load(Ordering::SeqCst));
            if let Some(richest) = richest.filter(|share| share.idle.load(Ordering::SeqCst) > 0) {
                at.asked = true;
                richest.member.tell(wanted);
            }
        }
        at.asked
    }

    /// Closes an idle connection of this worker that is of another key, and opens one in its place.
    fn make_room(self: &Rc<Self>, state: &mut Lanes, lane: usize) -> bool {
        if state.idle == 0 {
            return false;
        }
        let Some(connecting) = self.shared().begin_connecting() else {
            return false;
        };
        match self.evict(state, Some(lane), connecting) {
            Ok(room) => match self.begin_opening(state, lane, Some(room)) {
                Ok(()) => return true,
                Err((_, Some(room))) => self.room_free(state, room),
                Err(_) => {}
            },
            Err(connecting) => {
                drop(connecting);
                self.spare(None);
            }
        }
        false
    }

    /// The error of whoever wants a connection to an endpoint that is not used any more.
    pub(crate) fn retired(&self, endpoint: &str) -> CheckoutError {
        CheckoutError::Retired {
            cluster: Arc::clone(self.shared().name()),
            endpoint: endpoint.into(),
        }
    }

    pub(crate) fn open_error(&self, error: OpenError) -> CheckoutError {
        CheckoutError::Open {
            cluster: Arc::clone(self.shared().name()),
            error,
        }
    }
}
