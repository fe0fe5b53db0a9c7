//! Where a connection or a permit goes that became free. The proof that nobody is forgotten is in
//! the module's own text.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::ClusterPool;
use super::attempt::NotBegun;
use super::connection::Connection;
use super::keys::{KeyState, Share};
use super::lanes::{Change, Lanes};
use super::reason::CloseReason;
use super::shared::{Connecting, Kind, Member, Room};
use super::waiting::{Served, State};

/// Tickets by which a waiter of another worker or key must be older to be served first: as many as
/// are served while each connection comes back twice. So whoever waits is overtaken for at most two
/// rounds of the pool, and under an even load no connection changes its thread.
fn slack(max_connections: usize) -> u64 {
    u64::try_from(max_connections).map_or(u64::MAX, |rounds| rounds.saturating_mul(2))
}

/// Who has the oldest ticket of those that need a permit.
enum First {
    Here(usize),
    Elsewhere(Arc<Member>, u64),
}

impl ClusterPool {
    /// A connection is free that was not idle just now: lent, opened, or another worker's.
    pub(super) fn come_back(
        self: &Rc<Self>,
        state: &mut Lanes,
        lane: usize,
        connection: Connection,
        reused: bool,
        now: Instant,
    ) {
        match self.must_close(state, lane, &connection, now) {
            Some(reason) => {
                let permit = self.close(state, lane, connection, reason, false);
                self.room_free(state, permit);
            }
            None => self.place(state, lane, connection, reused, now),
        }
    }

    fn must_close(
        &self,
        state: &Lanes,
        lane: usize,
        connection: &Connection,
        now: Instant,
    ) -> Option<CloseReason> {
        let facts = &connection.facts;
        if let Some(retired) = facts.key.retired(facts.generation) {
            return Some(retired);
        }
        if self.shared().is_paused() {
            return Some(CloseReason::Drained);
        }
        if connection.is_expired(now) {
            return Some(CloseReason::MaxLifetime);
        }
        if self.shared().open() > self.shared().max_connections() {
            return Some(CloseReason::ConfigChanged);
        }
        // Who waits here may still have it.
        let wanted = || {
            state
                .lanes
                .get(lane)
                .is_some_and(|lane| lane.waiters.len() > 0)
        };
        (state.winding_down && !wanted()).then_some(CloseReason::Drained)
    }

    /// To the first waiter of its lane, or to somebody who has waited for much longer, or idle.
    fn place(
        self: &Rc<Self>,
        state: &mut Lanes,
        lane: usize,
        connection: Connection,
        reused: bool,
        now: Instant,
    ) {
        let waiters = state.lanes.get(lane).map(|lane| &lane.waiters);
        let Some(mine) = waiters.and_then(|list| state.waiters.first(list)) else {
            return self.keep(state, lane, connection);
        };
        let slack = slack(self.shared().max_connections());
        let Some(limit) = mine.ticket.checked_sub(slack) else {
            return self.give(state, lane, connection, reused, now);
        };
        if let Some((share, ticket)) = self.first_elsewhere(&connection.facts.key, limit)
            && share.first.claim(ticket)
        {
            return self.send(state, lane, connection, &share.member);
        }
        // A connection that was only just opened serves somebody first: or two keys could go on
        // opening connections in turn that the other one closes.
        let first = self.first_in_need(state, limit).filter(|_| reused);
        let unserved = match first.filter(|first| !self.needs_key_of(state, first, lane)) {
            Some(first) => self.make_way(state, lane, connection, first),
            None => Some(connection),
        };
        if let Some(connection) = unserved {
            self.give(state, lane, connection, reused, now);
        }
    }

    /// True for whoever waits for a connection of this lane's key. Closing one of them in order to open another would serve nobody: one
    /// is on its way already, or the one that is free can be sent.
    fn needs_key_of(&self, state: &Lanes, first: &First, lane: usize) -> bool {
        match first {
            First::Here(other) => *other == lane,
            First::Elsewhere(member, ticket) => state.lanes.get(lane).is_some_and(|lane| {
                let shares = lane.key.shares();
                shares
                    .iter()
                    .any(|share| Arc::ptr_eq(&share.member, member) && share.first.is(*ticket))
            }),
        }
    }

    /// Closes a connection for somebody who has waited for longer and needs one of another key. The
    /// connection comes back where that can't be.
    fn make_way(
        self: &Rc<Self>,
        state: &mut Lanes,
        lane: usize,
        connection: Connection,
        first: First,
    ) -> Option<Connection> {
        // Without a place among the openings it would be closed in vain.
        let Some(connecting) = self.shared().begin_connecting() else {
            return Some(connection);
        };
        if let First::Elsewhere(member, ticket) = &first
            && !member.first.claim(*ticket)
        {
            drop(connecting);
            self.spare(None);
            return Some(connection);
        }
        let room = Room {
            permit: self.close(state, lane, connection, CloseReason::Evicted, false),
            connecting: Some(connecting),
        };
        match first {
            First::Elsewhere(member, _) => member.tell(Kind::Room {
                room,
                answers: None,
            }),
            First::Here(other) => {
                if let Err((_, Some(room))) = self.begin_opening(state, other, Some(room)) {
                    self.room_free(state, room);
                }
            }
        }
        None
    }

    /// Sets a connection aside for the first waiter of its lane.
    pub(super) fn give(
        self: &Rc<Self>,
        state: &mut Lanes,
        lane: usize,
        mut connection: Connection,
        reused: bool,
        now: Instant,
    ) {
        if let Some(fault) = connection.fault() {
            let permit = self.close(state, lane, connection, fault, false);
            return self.room_free(state, permit);
        }
        let served = State::Served(Served {
            connection,
            reused,
            at: now,
        });
        self.count(state, lane, Change::Active(1));
        self.settle_first(state, lane, served);
    }

    /// Ends the wait of the first of a lane.
    pub(super) fn settle_first(&self, state: &mut Lanes, lane: usize, outcome: State) {
        let Some(list) = state.lanes.get_mut(lane).map(|lane| &mut lane.waiters) else {
            return;
        };
        if list.len() > 0 {
            state.waiters.settle_first(list, outcome);
            self.one_less_waits(state, lane);
        }
    }

    /// After a waiter has left its list.
    pub(super) fn one_less_waits(&self, state: &mut Lanes, lane: usize) {
        self.shared().end_waiting();
        self.count(state, lane, Change::Waiting(-1));
        state.show_first(lane, self.shared());
        state.publish(lane, &self.member);
    }

    /// Makes a connection idle; if somebody is in need who can't have seen that, it is for them.
    fn keep(self: &Rc<Self>, state: &mut Lanes, lane: usize, connection: Connection) {
        let Some(kept) = state.lanes.get_mut(lane) else {
            return;
        };
        let key = Arc::clone(&kept.key);
        kept.idle.push_back(connection);
        self.count(state, lane, Change::Idle(1));
        if self.shared().waiting() == 0 {
            return;
        }
        while let Some((share, ticket)) = self.first_elsewhere(&key, u64::MAX) {
            if share.first.claim(ticket) {
                return match self.pop_idle(state, lane) {
                    Some(connection) => self.send(state, lane, connection, &share.member),
                    None => share.member.tell(Kind::TryAgain),
                };
            }
        }
        self.make_room_for_others(state);
    }

    /// Something is idle here: whoever needs a permit may have its place.
    fn make_room_for_others(self: &Rc<Self>, state: &mut Lanes) {
        while !self.shared().has_permit() {
            let Some(first) = self.first_in_need(state, u64::MAX) else {
                return;
            };
            let places = state.lanes.iter().map(|(place, _)| place);
            let mut theirs = places.filter(|place| self.needs_key_of(state, &first, *place));
            let theirs = theirs.next();
            let (member, ticket) = match first {
                First::Here(_) => return self.look_for_free(state),
                First::Elsewhere(member, ticket) => (member, ticket),
            };
            // They look again when they have got what is on its way, and see what is idle here.
            if state.least_used(theirs).is_none() {
                return;
            }
            // Whoever waits for a place among the openings is told when one is free.
            let Some(connecting) = self.shared().begin_connecting() else {
                return;
            };
            let claimed = member.first.claim(ticket);
            let evicted = match claimed {
                true => self.evict(state, theirs, connecting),
                false => Err(connecting),
            };
            match evicted {
                Ok(room) => {
                    let answers = None;
                    return member.tell(Kind::Room { room, answers });
                }
                Err(connecting) => {
                    drop(connecting);
                    self.spare(None);
                    if claimed {
                        return member.tell(Kind::TryAgain);
                    }
                }
            }
        }
    }

    /// Sends a connection to a worker of which a ticket was claimed.
    pub(super) fn send(
        self: &Rc<Self>,
        state: &mut Lanes,
        lane: usize,
        mut connection: Connection,
        to: &Arc<Member>,
    ) {
        let answers = Some(connection.facts.key.key());
        if let Some(fault) = connection.fault() {
            let permit = self.close(state, lane, connection, fault, false);
            let room = permit.into();
            return to.tell(Kind::Room { room, answers });
        }
        match connection.pack() {
            Ok(parcel) => to.tell(Kind::Parcel(parcel)),
            Err((error, permit)) => {
                tracing::warn!(cluster = %self.shared().name(), %error, "an upstream connection could not be handed over; it is closed");
                let room = permit.into();
                to.tell(Kind::Room { room, answers });
            }
        }
    }

    /// There is room for a connection: for whoever has waited for the longest.
    pub(super) fn room_free(self: &Rc<Self>, state: &mut Lanes, room: impl Into<Room>) {
        let mut room: Room = room.into();
        loop {
            match self.first_in_need(state, u64::MAX) {
                Some(First::Elsewhere(member, ticket)) => {
                    if room.connecting.is_none() {
                        room.connecting = self.shared().begin_connecting();
                    }
                    if room.connecting.is_none() {
                        return self.spare(Some(room));
                    }
                    if member.first.claim(ticket) {
                        let answers = None;
                        return member.tell(Kind::Room { room, answers });
                    }
                }
                Some(First::Here(lane)) => match self.begin_opening(state, lane, Some(room)) {
                    Ok(()) => return,
                    // On hold now: the next is somebody else.
                    Err((NotBegun::Failing, Some(back))) => room = back,
                    Err((_, back)) => return self.spare(back),
                },
                None => {
                    drop(room);
                    // Who came just before has seen no room, and is published by now.
                    if self.shared().waiting() == 0 || self.first_in_need(state, u64::MAX).is_none()
                    {
                        return;
                    }
                    match self.shared().permit() {
                        Some(permit) => room = permit.into(),
                        None => return,
                    }
                }
            }
        }
    }

    /// Gives up what can't be used for want of a place among the openings, or of anything to close.
    /// Whoever gives back such a place looks for those in need; they may have done so just before.
    pub(super) fn spare(&self, room: Option<Room>) {
        drop(room);
        if self.shared().waiting() > 0 && self.shared().may_connect() {
            self.wake_others();
            self.member.tell(Kind::TryAgain);
        }
    }

    /// A place among the openings is free, which is nobody's in particular.
    pub(super) fn connecting_free(self: &Rc<Self>, state: &mut Lanes) {
        if self.shared().waiting() == 0 {
            return;
        }
        let theirs = self.wake_others();
        match state.published {
            Some((mine, _)) if theirs.is_some_and(|theirs| theirs < mine) => {
                // They were first: not before they have had their message.
                self.member.tell(Kind::TryAgain);
            }
            _ => self.look_for_free(state),
        }
    }

    /// Has the other workers look for what is free; returns the oldest ticket among them.
    fn wake_others(&self) -> Option<u64> {
        let mut oldest: Option<u64> = None;
        for member in self.members().iter().filter(|member| self.is_other(member)) {
            if let Some(ticket) = member.first.get() {
                member.tell(Kind::TryAgain);
                oldest = Some(oldest.map_or(ticket, |oldest| oldest.min(ticket)));
            }
        }
        oldest
    }

    /// The oldest ticket below `limit` of those who need a permit.
    fn first_in_need(&self, state: &Lanes, limit: u64) -> Option<First> {
        let mine = state.published.filter(|(ticket, _)| *ticket < limit);
        let limit = mine.map_or(limit, |(ticket, _)| ticket);
        let members = self.members();
        let theirs = members
            .iter()
            .filter(|member| self.is_other(member))
            .filter_map(|member| Some((member.first.get()?, member)))
            .filter(|(ticket, _)| *ticket < limit)
            .min_by_key(|(ticket, _)| *ticket);
        match theirs {
            Some((ticket, member)) => Some(First::Elsewhere(Arc::clone(member), ticket)),
            None => mine.map(|(_, lane)| First::Here(lane)),
        }
    }

    /// The oldest ticket below `limit` of those who wait for this key on another worker.
    fn first_elsewhere(&self, key: &KeyState, limit: u64) -> Option<(Arc<Share>, u64)> {
        let shares = key.shares();
        shares
            .iter()
            .filter(|share| self.is_other(&share.member))
            .filter_map(|share| Some((share.first.get()?, share)))
            .filter(|(ticket, _)| *ticket < limit)
            .min_by_key(|(ticket, _)| *ticket)
            .map(|(ticket, share)| (Arc::clone(share), ticket))
    }

    /// All workers that take part, this one too: see [`Self::is_other`].
    pub(super) fn members(&self) -> arc_swap::Guard<Arc<Vec<Arc<Member>>>> {
        self.shared().members()
    }

    pub(super) fn is_other(&self, member: &Arc<Member>) -> bool {
        !Arc::ptr_eq(member, &self.member)
    }

    /// Closes the idle connection that is needed least, so that another can be opened.
    pub(super) fn evict(
        &self,
        state: &mut Lanes,
        except: Option<usize>,
        connecting: Connecting,
    ) -> Result<Room, Connecting> {
        let lane = state.least_used(except);
        let idle = lane.and_then(|lane| Some(&mut state.lanes.get_mut(lane)?.idle));
        let (Some(lane), Some(connection)) = (lane, idle.and_then(|idle| idle.pop_front())) else {
            return Err(connecting);
        };
        self.count(state, lane, Change::Idle(-1));
        Ok(Room {
            permit: self.close(state, lane, connection, CloseReason::Evicted, false),
            connecting: Some(connecting),
        })
    }
}
