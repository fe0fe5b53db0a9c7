//! What one worker keeps of a pool: a lane for each key.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use foldhash::fast::RandomState;
use slab::Slab;

use super::connection::Connection;
use super::keys::{Key, KeyState, Share};
use super::shared::{Member, SharedPool};
use super::stats::PoolStats;
use super::tickets::NOBODY;
use super::waiting::{List, Waiters};
use crate::stats::{ClusterEndpoint, Pool, Scope};
use crate::upstream::Endpoint;

/// One worker's state of a pool.
pub(super) struct Lanes {
    pub(super) lanes: Slab<Lane>,
    index: HashMap<Key, usize, RandomState>,
    pub(super) waiters: Waiters,
    /// Sums over the lanes.
    pub(super) idle: usize,
    active: usize,
    waiting: usize,
    connecting: usize,
    /// The first who needs a permit, as the other workers see it, with its lane.
    pub(super) published: Option<(u64, usize)>,
    /// No connection is kept any more.
    pub(super) winding_down: bool,
}

/// Connections and waiters of one key, on one worker.
pub(super) struct Lane {
    pub(super) key: Arc<KeyState>,
    pub(super) share: Arc<Share>,
    pub(super) endpoint_stats: Scope<ClusterEndpoint>,
    /// The one used last is at the end, and lent first: what is not needed becomes old.
    pub(super) idle: VecDeque<Connection>,
    pub(super) waiters: List,
    pub(super) active: usize,
    pub(super) opening: usize,
    /// Another worker was asked and has not answered yet.
    pub(super) asked: bool,
    /// No opening can begin until a timer says so: the last one failed a short while ago.
    pub(super) on_hold: bool,
    /// The first in need, as the other workers see it.
    published: u64,
}

/// A change of a lane's numbers.
pub(super) enum Change {
    Idle(isize),
    Active(isize),
    Waiting(isize),
    Opening(isize),
}

impl Lanes {
    pub(super) fn new() -> Self {
        Self {
            lanes: Slab::new(),
            index: HashMap::default(),
            waiters: Waiters::default(),
            idle: 0,
            active: 0,
            waiting: 0,
            connecting: 0,
            published: None,
            winding_down: false,
        }
    }

    /// The lane of a key, if there is one.
    pub(super) fn find(&self, key: Key) -> Option<usize> {
        self.index.get(&key).copied()
    }

    /// The lane of a key, made when the worker meets it for the first time.
    pub(super) fn lane(
        &mut self,
        shared: &SharedPool,
        member: &Arc<Member>,
        stats: &PoolStats,
        endpoint: &Arc<Endpoint>,
        credential: u32,
    ) -> usize {
        let key = Key {
            endpoint: endpoint.id,
            credential,
        };
        if let Some(lane) = self.find(key) {
            return lane;
        }
        let state = shared.key(endpoint, credential);
        let lane = self.lanes.insert(Lane {
            share: state.join(member),
            key: state,
            endpoint_stats: stats.endpoint(endpoint),
            idle: VecDeque::new(),
            waiters: List::new(),
            active: 0,
            opening: 0,
            asked: false,
            on_hold: false,
            published: NOBODY,
        });
        self.index.insert(key, lane);
        lane
    }

    /// Forgets lanes in which there is nothing.
    pub(super) fn forget_empty(&mut self) -> bool {
        let before = self.lanes.len();
        let index = &mut self.index;
        self.lanes.retain(|_, lane| {
            let used = lane.opening + lane.active + lane.idle.len() + lane.waiters.len() > 0;
            if !used {
                index.remove(&lane.key.key());
                lane.key.leave(&lane.share);
            }
            used
        });
        self.lanes.len() < before
    }

    /// The first waiter for whom no connection is being opened, and its lane; of lanes that are not
    /// among `skipped`.
    pub(super) fn in_need(&self, skipped: &[usize]) -> Option<(u64, usize)> {
        self.first_of(|place, _| !skipped.contains(&place))
    }

    /// The first for whom a connection could be opened.
    fn needs_permit(&self) -> Option<(u64, usize)> {
        self.first_of(|_, lane| !lane.on_hold)
    }

    fn first_of(&self, fits: impl Fn(usize, &Lane) -> bool) -> Option<(u64, usize)> {
        if self.waiting == 0 {
            return None;
        }
        self.lanes
            .iter()
            .filter(|(place, lane)| fits(*place, lane))
            .filter_map(|(place, lane)| Some((self.first_in_need(lane)?, place)))
            .min()
    }

    /// The ticket of the first waiter of a lane for whom no connection is being opened.
    fn first_in_need(&self, lane: &Lane) -> Option<u64> {
        if lane.waiters.len() <= lane.opening {
            return None;
        }
        let waiter = self.waiters.nth(&lane.waiters, lane.opening)?;
        Some(waiter.ticket)
    }

    /// The lane whose idle connection has been unused for the longest; not `except`.
    pub(super) fn least_used(&self, except: Option<usize>) -> Option<usize> {
        if self.idle == 0 {
            return None;
        }
        self.lanes
            .iter()
            .filter(|(place, _)| Some(*place) != except)
            .filter_map(|(place, lane)| Some((lane.idle.front()?.facts.idle_since, place)))
            .min()
            .map(|(_, place)| place)
    }

    /// Counts a change and lets others see it.
    pub(super) fn count(
        &mut self,
        place: usize,
        change: &Change,
        member: &Member,
        stats: &PoolStats,
    ) {
        let Some(lane) = self.lanes.get_mut(place) else {
            return;
        };
        match *change {
            Change::Idle(by) => {
                self.idle = self.idle.saturating_add_signed(by);
                lane.share.idle.store(lane.idle.len(), Ordering::Relaxed);
                member.publish_idle(self.idle);
                stats.set(Pool::IDLE, self.idle);
            }
            Change::Active(by) => {
                lane.active = lane.active.saturating_add_signed(by);
                self.active = self.active.saturating_add_signed(by);
                lane.share.active.store(lane.active, Ordering::Relaxed);
                stats.set(Pool::ACTIVE, self.active);
            }
            Change::Waiting(by) => {
                self.waiting = self.waiting.saturating_add_signed(by);
                lane.share
                    .waiting
                    .store(lane.waiters.len(), Ordering::Relaxed);
                stats.set(Pool::WAITING, self.waiting);
            }
            Change::Opening(by) => {
                lane.opening = lane.opening.saturating_add_signed(by);
                self.connecting = self.connecting.saturating_add_signed(by);
                lane.share.connecting.store(lane.opening, Ordering::Relaxed);
                stats.set(Pool::CONNECTING, self.connecting);
            }
        }
    }

    /// Lets others see since when the first of a lane waits.
    pub(super) fn show_first(&self, place: usize, shared: &SharedPool) {
        let Some(lane) = self.lanes.get(place) else {
            return;
        };
        let since = self
            .waiters
            .first(&lane.waiters)
            .map_or(u64::MAX, |first| shared.micros(first.since));
        lane.share.waiting_since.store(since, Ordering::Relaxed);
    }

    /// Publishes who is in need in a lane, and on this worker, if that has changed.
    ///
    /// The worker's ticket is withdrawn while its lane's changes: whoever sees a worker's ticket and not the same one in a lane of
    /// some key knows that it is for another key, or can't claim it any more.
    pub(super) fn publish(&mut self, place: usize, member: &Member) {
        let needs_permit = self.needs_permit();
        let changed = needs_permit != self.published;
        if changed {
            member.first.publish(NOBODY);
        }
        let first = self
            .lanes
            .get(place)
            .and_then(|lane| self.first_in_need(lane));
        let first = first.unwrap_or(NOBODY);
        if let Some(lane) = self.lanes.get_mut(place)
            && lane.published != first
        {
            lane.published = first;
            lane.share.first.publish(first);
        }
        if changed {
            self.show_need(needs_permit, member);
        }
    }

    /// Publishes who is in need anywhere, even if another worker has claimed it.
    pub(super) fn publish_again(&mut self, member: &Member) {
        member.first.publish(NOBODY);
        let places: Vec<usize> = self.lanes.iter().map(|(place, _)| place).collect();
        for place in places {
            let first = self
                .lanes
                .get(place)
                .and_then(|lane| self.first_in_need(lane));
            if let Some(lane) = self.lanes.get_mut(place) {
                lane.published = first.unwrap_or(NOBODY);
                lane.share.first.publish(lane.published);
            }
        }
        self.show_need(self.needs_permit(), member);
    }

    fn show_need(&mut self, needs_permit: Option<(u64, usize)>, member: &Member) {
        self.published = needs_permit;
        let ticket = needs_permit.map_or(NOBODY, |(ticket, _)| ticket);
        member.first.publish(ticket);
    }

    /// Ends this worker's part in every key.
    pub(super) fn leave(&mut self) {
        for lane in self.lanes.drain() {
            lane.key.leave(&lane.share);
        }
        self.index.clear();
    }

    /// Connections being opened by this worker, and idle ones.
    pub(super) fn at_hand(&self) -> usize {
        self.connecting + self.idle
    }

    /// True when nothing is lent, idle, being opened or waited for.
    pub(super) fn is_empty(&self) -> bool {
        self.idle + self.active + self.waiting + self.connecting == 0 && self.waiters.is_empty()
    }
}

impl Lane {
    /// When the idle connection that is used least came back.
    pub(super) fn oldest_idle(&self) -> Option<Instant> {
        Some(self.idle.front()?.facts.idle_since)
    }
}
