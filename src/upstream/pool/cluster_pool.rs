//! One worker's view of a pool: lend, take back, and what other threads ask of it.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::alarm::Alarm;
use super::connection::Connection;
use super::keys::Key;
use super::lanes::{Change, Lanes};
use super::reason::CloseReason;
use super::shared::{Member, Message, Permit, SharedPool};
use super::stats::{Ended, PoolStats, between};
use super::tickets::NOBODY;
use super::waiting::{Served, State};
use super::{CheckoutError, Lease};
use crate::stats::Shard;
use crate::upstream::{Endpoint, EndpointId};

/// A cluster's pool, as one worker uses it.
pub struct ClusterPool {
    shared: Arc<SharedPool>,
    pub(super) member: Arc<Member>,
    pub(super) stats: PoolStats,
    pub(super) alarm: Alarm,
    state: RefCell<Lanes>,
}

/// A waiter's place. Dropping it leaves the queue.
struct Place<'a> {
    pool: &'a Rc<ClusterPool>,
    place: usize,
}

impl ClusterPool {
    /// This worker takes part from now on. `post` gives a message to this worker, which hands it to
    /// [`Self::take`]; it is called by other threads.
    pub fn new(
        shared: &Arc<SharedPool>,
        shard: &Shard,
        post: impl Fn(Message) + Send + Sync + 'static,
    ) -> Rc<Self> {
        Rc::new(Self {
            stats: PoolStats::new(shard, shared.name()),
            member: shared.join(Box::new(post)),
            shared: Arc::clone(shared),
            alarm: Alarm::default(),
            state: RefCell::new(Lanes::new()),
        })
    }

    /// The process-wide half.
    pub fn shared(&self) -> &Arc<SharedPool> {
        &self.shared
    }

    /// An idle connection of this worker. No lock, no allocation, and no system call unless
    /// something has happened to the connection while it was idle.
    pub fn try_checkout(
        self: &Rc<Self>,
        endpoint: EndpointId,
        credential: u32,
        now: Instant,
    ) -> Option<Lease> {
        if self.shared.is_paused() {
            return None;
        }
        let mut state = self.state();
        let lane = state.find(Key {
            endpoint,
            credential,
        })?;
        let connection = self.pop_idle(&mut state, lane)?;
        self.count(&mut state, lane, Change::Active(1));
        drop(state);
        self.stats.lent(Duration::ZERO, true);
        Some(Lease::new(self, connection, lane, now, true))
    }

    /// A connection, as soon as there is one. Dropping the future leaves the queue; what was set
    /// aside for it goes to the next.
    ///
    /// # Errors
    /// Why there is none: see [`CheckoutError`].
    pub async fn checkout(
        self: &Rc<Self>,
        endpoint: &Arc<Endpoint>,
        credential: u32,
        now: Instant,
        deadline: tokio::time::Instant,
    ) -> Result<Lease, CheckoutError> {
        if let Some(lease) = self.try_checkout(endpoint.id, credential, now) {
            return Ok(lease);
        }
        let place = Place {
            pool: self,
            place: self.enqueue(endpoint, credential, now, deadline)?,
        };
        let (lane, served) = place.served().await?;
        self.stats.lent(between(now, served.at), served.reused);
        let (connection, reused) = (served.connection, served.reused);
        Ok(Lease::new(self, connection, lane, served.at, reused))
    }

    /// Keeps no connection from now on: idle ones are closed, lent ones when they come back. Whoever
    /// still needs one gets one.
    pub fn wind_down(self: &Rc<Self>) {
        let mut state = self.state();
        state.winding_down = true;
        self.close_idle(&mut state, CloseReason::Drained);
    }

    /// True when nothing is lent, idle, being opened or waited for on this worker.
    pub fn is_empty(&self) -> bool {
        self.state.borrow().is_empty()
    }

    /// A lease ended well.
    pub(super) fn checkin(
        self: &Rc<Self>,
        lane: usize,
        mut connection: Connection,
        since: Instant,
        now: Instant,
    ) {
        let mut state = self.state();
        self.count(&mut state, lane, Change::Active(-1));
        self.stats.used(between(since, now));
        connection.facts.idle_since = now;
        self.come_back(&mut state, lane, connection, true, now);
    }

    /// A lease ended badly.
    pub(super) fn discard(
        self: &Rc<Self>,
        lane: usize,
        connection: Connection,
        since: Instant,
        reason: CloseReason,
    ) {
        let mut state = self.state();
        self.count(&mut state, lane, Change::Active(-1));
        self.stats.used(since.elapsed());
        let permit = self.close(&mut state, lane, connection, reason, true);
        self.room_free(&mut state, permit);
    }

    /// A lease was dropped; its connection is closed and its permit given back already.
    pub(super) fn abandoned(self: &Rc<Self>, lane: usize, since: Instant, ended: &Ended) {
        let mut state = self.state();
        self.count(&mut state, lane, Change::Active(-1));
        self.stats.used(since.elapsed());
        if let Some(lane) = state.lanes.get(lane) {
            self.stats.closed(&lane.endpoint_stats, ended);
        }
        if self.shared.waiting() > 0
            && let Some(permit) = self.shared.permit()
        {
            self.room_free(&mut state, permit);
        }
    }

    /// An idle connection that is as it should be. Others are closed.
    pub(super) fn pop_idle(self: &Rc<Self>, state: &mut Lanes, lane: usize) -> Option<Connection> {
        loop {
            let mut connection = state.lanes.get_mut(lane)?.idle.pop_back()?;
            self.count(state, lane, Change::Idle(-1));
            let Some(fault) = connection.fault() else {
                return Some(connection);
            };
            let permit = self.close(state, lane, connection, fault, false);
            self.room_free(state, permit);
        }
    }

    /// Closes a connection. The caller passes its permit on, with [`Self::room_free`].
    pub(super) fn close(
        &self,
        state: &mut Lanes,
        lane: usize,
        connection: Connection,
        reason: CloseReason,
        in_use: bool,
    ) -> Permit {
        if let Some(lane) = state.lanes.get(lane) {
            let ended = Ended {
                reason,
                in_use,
                length: connection.facts.since.elapsed(),
                received: connection.facts.received,
                sent: connection.facts.sent,
            };
            self.stats.closed(&lane.endpoint_stats, &ended);
        }
        connection.close()
    }

    /// Closes all that is idle.
    pub(super) fn close_idle(self: &Rc<Self>, state: &mut Lanes, reason: CloseReason) {
        while let Some(lane) = state.least_used(None) {
            self.close_least_used(state, lane, reason);
        }
    }

    /// Closes the idle connection of a lane that has been unused for the longest.
    pub(super) fn close_least_used(
        self: &Rc<Self>,
        state: &mut Lanes,
        lane: usize,
        reason: CloseReason,
    ) {
        let idle = state.lanes.get_mut(lane).map(|lane| &mut lane.idle);
        if let Some(connection) = idle.and_then(|idle| idle.pop_front()) {
            self.count(state, lane, Change::Idle(-1));
            let permit = self.close(state, lane, connection, reason, false);
            self.room_free(state, permit);
        }
    }

    pub(super) fn count(&self, state: &mut Lanes, lane: usize, change: Change) {
        state.count(lane, &change, &self.member, &self.stats);
    }

    /// The worker's state. No method that is called with it borrows it again.
    pub(super) fn state(&self) -> RefMut<'_, Lanes> {
        self.state.borrow_mut()
    }

    /// The state, when it is not in use: for guards that may be dropped anywhere.
    pub(super) fn try_state(&self) -> Option<RefMut<'_, Lanes>> {
        self.state.try_borrow_mut().ok()
    }
}

impl Drop for ClusterPool {
    fn drop(&mut self) {
        self.member.first.publish(NOBODY);
        self.member.publish_idle(0);
        self.shared.leave(&self.member);
        self.state.borrow_mut().leave();
    }
}

impl Place<'_> {
    /// Waits for what becomes of it.
    async fn served(&self) -> Result<(usize, Served), CheckoutError> {
        std::future::poll_fn(|cx| {
            let mut state = self.pool.state();
            let Some(waiter) = state.waiters.get_mut(self.place) else {
                return Poll::Pending;
            };
            let lane = waiter.lane;
            match std::mem::replace(&mut waiter.state, State::Taken) {
                State::Queued(known) => {
                    let waker = known
                        .filter(|known| known.will_wake(cx.waker()))
                        .unwrap_or_else(|| cx.waker().clone());
                    waiter.state = State::Queued(Some(waker));
                    Poll::Pending
                }
                State::Served(served) => Poll::Ready(Ok((lane, served))),
                State::Failed(error) => Poll::Ready(Err(error)),
                State::Taken => Poll::Pending,
            }
        })
        .await
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.pool.leave(self.place);
    }
}
