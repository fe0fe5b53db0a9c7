//! One opening, from its place and permit to the connection or the error.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

use super::ClusterPool;
use super::connection::Connection;
use super::keys::{KeyOpening, KeyState};
use super::lanes::{Change, Lanes};
use super::opening::{OpenError, Opened};
use super::reason::OpenReason;
use super::shared::{Connecting, Permit, Room};
use super::waiting::State;

/// How often a lane looks whether it may open a connection, while another worker makes the one
/// attempt there is after a failure.
const PROBE_INTERVAL: Duration = Duration::from_millis(100);

/// Why no opening was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotBegun {
    /// The pool is paused.
    Paused,
    /// The last attempt failed a short while ago, or the one after it is under way.
    Failing,
    /// `max_connections` are open.
    NoPermit,
    /// `max_connecting` are being opened.
    Busy,
}

/// An opening that is under way. Dropped before its end it counts as ended.
struct Attempt {
    pool: Rc<ClusterPool>,
    lane: usize,
    key: Arc<KeyState>,
    generation: u64,
    reason: OpenReason,
    begun: Instant,
    taken: Option<Taken>,
}

/// What an opening holds.
struct Taken {
    permit: Permit,
    connecting: Connecting,
    place: KeyOpening,
}

impl ClusterPool {
    /// Begins to open a connection for the waiters of a lane, in that room or another.
    pub(super) fn begin_opening(
        self: &Rc<Self>,
        state: &mut Lanes,
        lane: usize,
        room: Option<Room>,
    ) -> Result<(), (NotBegun, Option<Room>)> {
        self.begin(state, lane, room, OpenReason::Demand)
    }

    pub(super) fn begin(
        self: &Rc<Self>,
        state: &mut Lanes,
        lane: usize,
        room: Option<Room>,
        reason: OpenReason,
    ) -> Result<(), (NotBegun, Option<Room>)> {
        let now = Instant::now();
        let at = state.lanes.get(lane);
        let Some(at) = at.filter(|_| !self.shared().is_paused()) else {
            return Err((NotBegun::Paused, room));
        };
        let key = Arc::clone(&at.key);
        if at.on_hold {
            return Err((NotBegun::Failing, room));
        }
        if let Some((until, _)) = key.refusal(now) {
            self.hold(state, lane, until);
            return Err((NotBegun::Failing, room));
        }
        // Looked at first, so that places among the openings are hardly ever taken in vain.
        if room.is_none() && !self.shared().has_permit() {
            return Err((NotBegun::NoPermit, None));
        }
        let Some(place) = key.begin_opening() else {
            self.hold(state, lane, now + PROBE_INTERVAL);
            return Err((NotBegun::Failing, room));
        };
        let (permit, connecting) = self.complete(room)?;
        self.count(state, lane, Change::Opening(1));
        state.publish(lane, &self.member);
        let attempt = Attempt {
            pool: Rc::clone(self),
            lane,
            generation: key.generation(),
            key,
            reason,
            begun: now,
            taken: Some(Taken {
                permit,
                connecting,
                place,
            }),
        };
        tokio::task::spawn_local(attempt.run());
        Ok(())
    }

    /// Room with both of its parts.
    fn complete(
        &self,
        room: Option<Room>,
    ) -> Result<(Permit, Connecting), (NotBegun, Option<Room>)> {
        let (permit, connecting) = match room {
            Some(room) => (Some(room.permit), room.connecting),
            None => (None, None),
        };
        let Some(connecting) = connecting.or_else(|| self.shared().begin_connecting()) else {
            return Err((NotBegun::Busy, permit.map(Room::from)));
        };
        match permit.or_else(|| self.shared().permit()) {
            Some(permit) => Ok((permit, connecting)),
            None => {
                drop(connecting);
                // Somebody may just have found no place because of this one.
                self.spare(None);
                Err((NotBegun::NoPermit, None))
            }
        }
    }

    /// No opening begins in a lane until then: its waiters claim no permit, and wait for what comes
    /// back.
    fn hold(self: &Rc<Self>, state: &mut Lanes, lane: usize, until: Instant) {
        let Some(at) = state.lanes.get_mut(lane) else {
            return;
        };
        at.on_hold = true;
        let key = at.key.key();
        state.publish(lane, &self.member);
        let pool = Rc::clone(self);
        tokio::task::spawn_local(async move {
            sleep_until(until.into()).await;
            let mut state = pool.state();
            let state = &mut *state;
            if let Some(lane) = state.find(key) {
                if let Some(at) = state.lanes.get_mut(lane) {
                    at.on_hold = false;
                }
                state.publish(lane, &pool.member);
                pool.look_for_free(state);
            }
        });
    }
}

impl Attempt {
    async fn run(self) {
        let pool = Rc::clone(&self.pool);
        let opener = Arc::clone(&pool.shared().policy().opener);
        let opening = opener.open(Arc::clone(&self.key.endpoint), self.key.credential);
        let result = opening.await;
        self.finish(result);
    }

    fn finish(mut self, result: Result<Opened, OpenError>) {
        let Some(taken) = self.taken.take() else {
            return;
        };
        let mut state = self.pool.state();
        let state = &mut *state;
        self.pool.count(state, self.lane, Change::Opening(-1));
        state.publish(self.lane, &self.pool.member);
        match result {
            Ok(opened) => self.succeeded(state, opened, taken),
            Err(error) => self.failed(state, error, taken),
        }
        self.pool.connecting_free(state);
    }

    fn succeeded(&self, state: &mut Lanes, opened: Opened, taken: Taken) {
        let (pool, lane, key) = (&self.pool, self.lane, &self.key);
        let now = Instant::now();
        if key.succeeded() {
            tracing::info!(cluster = %pool.shared().name(), endpoint = %key.endpoint.name, "upstream connections can be opened again");
        }
        if let Some(lane) = state.lanes.get(lane) {
            let took = now.saturating_duration_since(self.begun);
            let stats = &lane.endpoint_stats;
            pool.stats
                .opened(stats, self.reason, took, opened.dialled_in);
        }
        let lifetime = pool.draw_lifetime();
        let connection = Connection::new(key, self.generation, opened, taken.permit, lifetime, now);
        // Only now: while it is neither open nor being opened, the key would look as if it had none.
        drop((taken.place, taken.connecting));
        pool.come_back(state, lane, connection, false, now);
    }

    fn failed(&self, state: &mut Lanes, error: OpenError, taken: Taken) {
        let (pool, lane, key) = (&self.pool, self.lane, &self.key);
        if !key.is_failing() {
            tracing::warn!(cluster = %pool.shared().name(), endpoint = %key.endpoint.name, %error, "no upstream connection can be opened");
        }
        key.failed(Instant::now(), error.clone());
        drop((taken.place, taken.connecting));
        if let Some(lane) = state.lanes.get(lane) {
            pool.stats.open_failed(&lane.endpoint_stats, error.kind);
        }
        // While others are open, or about to be, one of them will serve it.
        if key.has_none() {
            let error = pool.open_error(error);
            pool.settle_first(state, lane, State::Failed(error));
        }
        pool.room_free(state, taken.permit);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.taken.take().is_some()
            && let Some(mut state) = self.pool.try_state()
        {
            self.pool.count(&mut state, self.lane, Change::Opening(-1));
        }
    }
}
