//! What other workers and the control thread have to say to a worker's pool.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::ClusterPool;
use super::connection::Parcel;
use super::keys::{Key, Share};
use super::lanes::{Change, Lanes};
use super::reason::CloseReason;
use super::shared::{Kind, Member, Message};
use super::waiting::State;
use crate::stats::Pool;
use crate::upstream::EndpointId;

impl Message {
    /// Answers in place of a pool that is gone. A connection or a permit that it brings is given up.
    pub fn refuse(self) {
        if let Kind::Wanted { by, key, .. } = self.0 {
            by.member.tell(Kind::Denied { key });
        }
    }
}

impl ClusterPool {
    /// What another thread has to say to this worker's pool.
    pub fn take(self: &Rc<Self>, message: Message) {
        let mut state = self.state();
        let state = &mut *state;
        match message.0 {
            Kind::Wanted { by, key, evict } => return self.wanted(state, &by, key, evict),
            Kind::Denied { key } => self.answered(state, key),
            Kind::Parcel(parcel) => self.received(state, parcel),
            Kind::Room { room, answers } => {
                if let Some(key) = answers {
                    self.answered(state, key);
                }
                self.room_free(state, room);
            }
            Kind::TryAgain => {}
            Kind::Changed => self.changed(state),
            Kind::Retired(endpoint) => self.endpoint_retired(state, endpoint),
        }
        state.publish_again(&self.member);
        self.look_for_free(state);
    }

    fn answered(&self, state: &mut Lanes, key: Key) {
        if let Some(lane) = state.find(key).and_then(|lane| state.lanes.get_mut(lane)) {
            lane.asked = false;
        }
    }

    /// A connection of another worker.
    fn received(self: &Rc<Self>, state: &mut Lanes, parcel: Parcel) {
        let (endpoint, credential) = (Arc::clone(&parcel.key().endpoint), parcel.key().credential);
        let (shared, stats) = (self.shared(), &self.stats);
        let lane = state.lane(shared, &self.member, stats, &endpoint, credential);
        self.answered(state, parcel.key().key());
        match parcel.unpack() {
            Ok(connection) => {
                self.stats.inc(Pool::TAKEN_OVER);
                let was_needed = state
                    .lanes
                    .get(lane)
                    .is_some_and(|lane| lane.waiters.len() > 0);
                self.come_back(state, lane, connection, true, Instant::now());
                if was_needed {
                    self.grow(state, lane);
                }
            }
            Err((error, permit)) => {
                tracing::warn!(cluster = %self.shared().name(), %error, "an upstream connection of another worker could not be taken over");
                self.room_free(state, permit);
            }
        }
    }

    /// Where a connection had to come from another worker one of this worker's own is opened, if
    /// there are permits left: else a few connections would travel between the threads for ever.
    fn grow(self: &Rc<Self>, state: &mut Lanes, lane: usize) {
        let served = state
            .lanes
            .get(lane)
            .is_some_and(|lane| lane.opening == 0 && lane.waiters.len() == 0);
        if served && !state.winding_down && self.shared().has_permit() {
            // It is for later: not to have it now is no harm.
            let _ = self.begin_opening(state, lane, None);
        }
    }

    fn changed(self: &Rc<Self>, state: &mut Lanes) {
        if self.shared().is_paused() {
            self.close_idle(state, CloseReason::Drained);
        }
        while self.shared().open() > self.shared().max_connections()
            && let Some(lane) = state.least_used(None)
        {
            self.close_least_used(state, lane, CloseReason::ConfigChanged);
        }
    }

    fn endpoint_retired(self: &Rc<Self>, state: &mut Lanes, endpoint: EndpointId) {
        let lanes: Vec<usize> = state
            .lanes
            .iter()
            .filter(|(_, lane)| lane.key.endpoint.id == endpoint)
            .map(|(place, _)| place)
            .collect();
        for place in lanes {
            self.close_retired(state, place);
            while let Some(lane) = state.lanes.get(place)
                && let Some(first) = state.waiters.first(&lane.waiters)
                && lane.key.retired(first.generation).is_some()
            {
                let error = self.retired(&lane.key.endpoint.name);
                self.settle_first(state, place, State::Failed(error));
            }
        }
    }

    fn close_retired(self: &Rc<Self>, state: &mut Lanes, place: usize) {
        loop {
            let Some(lane) = state.lanes.get_mut(place) else {
                return;
            };
            let retired = lane.idle.iter().enumerate().find_map(|(index, idle)| {
                Some((index, idle.facts.key.retired(idle.facts.generation)?))
            });
            let Some((index, reason)) = retired else {
                return;
            };
            if let Some(connection) = lane.idle.remove(index) {
                self.count(state, place, Change::Idle(-1));
                let permit = self.close(state, place, connection, reason, false);
                self.room_free(state, permit);
            }
        }
    }

    /// Another worker's waiter could use an idle connection of this key, or the place of any. It is
    /// answered in any case: until then, whoever comes there waits for the answer.
    fn wanted(self: &Rc<Self>, state: &mut Lanes, by: &Arc<Share>, key: Key, evict: bool) {
        let given = match evict {
            false => self.give_connection(state, by, key),
            true => self.give_place(state, &by.member, key),
        };
        if given.is_none() {
            by.member.tell(Kind::Denied { key });
        }
    }

    fn give_connection(
        self: &Rc<Self>,
        state: &mut Lanes,
        by: &Arc<Share>,
        key: Key,
    ) -> Option<()> {
        let lane = state.find(key)?;
        // Unless it was served by now, or something is on its way.
        let ticket = by.first.get().filter(|_| !self.shared().is_paused())?;
        let has_some = !state.lanes.get(lane)?.idle.is_empty();
        if !has_some || !by.first.claim(ticket) {
            return None;
        }
        let connection = self.pop_idle(state, lane)?;
        self.send(state, lane, connection, &by.member);
        Some(())
    }

    fn give_place(&self, state: &mut Lanes, to: &Arc<Member>, key: Key) -> Option<()> {
        let ticket = to.first.get().filter(|_| !self.shared().is_paused())?;
        // One of the key itself is not closed, but sent: whoever is told that there is nothing asks for it.
        let own = state.find(key);
        if state.least_used(own).is_none() || self.shared().has_permit() {
            return None;
        }
        let connecting = self.shared().begin_connecting()?;
        let evicted = match to.first.claim(ticket) {
            true => self.evict(state, own, connecting),
            false => Err(connecting),
        };
        match evicted {
            Ok(room) => {
                let answers = Some(key);
                to.tell(Kind::Room { room, answers });
                Some(())
            }
            Err(connecting) => {
                drop(connecting);
                self.spare(None);
                None
            }
        }
    }
}
