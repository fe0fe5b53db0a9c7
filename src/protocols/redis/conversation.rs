//! Which request a reply answers. RESP has no ids: it follows from the order, and from what earlier requests did to the connection.
//!
//! What a request does is settled when its turn comes, with all earlier replies seen: whether a MULTI was taken decides what a SUBSCRIBE
//! behind it is answered with, and nobody can know that before.

mod facts;
mod state;

use std::collections::VecDeque;

use narrows_parsers::redis::command::Class;
use narrows_parsers::redis::{Kind, Reply};

use facts::Asks;
use state::{Replies, State};

pub(super) use facts::Facts;
pub(super) use state::Confirmation;

/// The requests of one connection that wait for a reply, and what is known of the connection. `T` is what its owner keeps of a request.
pub(super) struct Conversation<T> {
    waiting: VecDeque<Asked<T>>,
    /// Confirmations that the first request waits for yet, when it has begun to get them.
    confirmations: Option<u64>,
    state: State,
    /// Something has been asked that stays with the connection.
    is_changed: bool,
    /// A request has been sent, ever.
    has_begun: bool,
}

struct Asked<T> {
    request: Facts,
    with: T,
}

/// What a reply is.
pub(super) enum Heard<T> {
    /// The last one that this request waited for.
    Answer {
        /// What its owner kept.
        with: T,
        /// It has only been queued.
        queued: bool,
        /// It is the last confirmation of a subscription, or of its end.
        confirms: Option<Confirmation>,
    },
    /// One of several confirmations to the first request.
    Part(Confirmation),
    /// Nobody's: a message, an invalidation, a line of MONITOR; the end of a subscription that nobody asked for.
    Aside(Option<Confirmation>),
    /// Nobody can say any more which reply is whose.
    Lost(&'static str),
}

/// A request whose turn has come, and that gets no reply.
pub(super) enum Silent<T> {
    /// What its owner kept.
    Over(T),
    /// Nobody can say any more which reply is whose.
    Lost(&'static str),
}

/// A reply that no request waits for, or none that the first one could get.
const UNEXPECTED: &str = "unexpected_reply";
/// A transaction changed which replies come, in the middle of its own.
const STATE_IN_TRANSACTION: &str = "state_in_transaction";
/// What changes which replies come was sent while there were none: nobody says whether it was done, and servers confirm a subscription all
/// the same or not, by their version (redis/redis#11875).
const STATE_WITHOUT_REPLY: &str = "state_without_reply";

/// Room for requests that is kept when none waits: what a long pipeline took is given back.
const KEPT: usize = 32;

impl<T> Conversation<T> {
    /// A connection on which nothing has been said.
    pub(super) fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            confirmations: None,
            state: State::default(),
            is_changed: false,
            has_begun: false,
        }
    }

    /// A connection whose server speaks this version, and has been told MULTI perhaps.
    pub(super) fn going_on(version_3: bool, queuing: bool) -> Self {
        let state = State {
            version_3,
            queuing,
            ..State::default()
        };
        Self {
            state,
            ..Self::new()
        }
    }

    /// The connection is as it was before anything was said on it, so that somebody else might go on with it.
    pub(super) fn is_as_it_was(&self) -> bool {
        self.is_at_rest() && !self.is_changed
    }

    /// A request has been sent.
    pub(super) fn asked(&mut self, request: Facts, with: T) {
        self.is_changed |= request.stays();
        self.has_begun = true;
        self.waiting.push_back(Asked { request, with });
    }

    /// Requests that wait for a reply.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// A request that waits, by its place.
    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.waiting.get_mut(index).map(|asked| &mut asked.with)
    }

    /// All that wait are given up.
    pub(super) fn give_up(&mut self) -> impl Iterator<Item = (Class, T)> {
        self.confirmations = None;
        let waiting = std::mem::take(&mut self.waiting);
        waiting
            .into_iter()
            .map(|asked| (asked.request.class, asked.with))
    }

    /// Nothing waits, and nothing has been begun that a later request ends.
    pub(super) fn is_at_rest(&self) -> bool {
        self.waiting.is_empty() && !self.state.queuing && !self.state.watching
    }

    /// The next request that gets no reply, when its turn has come. To be asked after each request and each reply until there is none.
    pub(super) fn next_silent(&mut self) -> Option<Silent<T>> {
        let first = self.waiting.front()?.request;
        if !self.state.is_silent(first) {
            return None;
        }
        let ends_transaction = matches!(first.class, Class::Exec | Class::Discard);
        let is_queued = self.state.queuing && !ends_transaction;
        if is_queued {
            self.state.queued_change |= first.changes_replies();
        } else if first.class == Class::Exec && self.state.queued_change {
            return Some(Silent::Lost(STATE_IN_TRANSACTION));
        } else if first.has_to_be_heard() {
            return Some(Silent::Lost(STATE_WITHOUT_REPLY));
        }
        let was_skip = self.state.replies == Replies::Skip;
        let is_done = !is_queued && !first.is_refused && !self.state.refuses(first);
        self.took(first, is_done);
        if was_skip && first.option != Asks::SkipReply && self.state.replies == Replies::Skip {
            self.state.replies = Replies::On;
        }
        self.take_first().map(Silent::Over)
    }

    /// What `reply` is.
    pub(super) fn heard(&mut self, reply: &Reply<'_>) -> Heard<T> {
        let confirms = self.state.confirmation(reply);
        let Some(first) = self.waiting.front().map(|asked| asked.request) else {
            return self.unasked(reply, confirms);
        };
        let wanted = Confirmation::wanted(first.class).filter(|_| !self.state.queuing);
        if let (Some(wanted), Some(confirms)) = (wanted, confirms)
            && wanted == confirms
        {
            return self.confirmed(first, confirms, reply.integer);
        }
        if self.state.is_aside(reply) {
            return self.aside(confirms, reply.integer);
        }
        // Between its confirmations a request gets no other reply; and a reply that looks like one may be one that came too late.
        let is_out_of_turn = confirms.is_some() || self.confirmations.is_some();
        if is_out_of_turn || !self.state.may_answer(first, reply) {
            return Heard::Lost(UNEXPECTED);
        }
        self.state.is_unsure = false;
        let queued = self.state.is_queued(reply);
        if queued {
            self.state.queued_change |= first.changes_replies();
        } else {
            if first.class == Class::Exec && reply.kind == Kind::Array && self.state.queued_change {
                return Heard::Lost(STATE_IN_TRANSACTION);
            }
            self.took(first, !reply.is_error());
        }
        self.answer(queued, None)
    }

    /// What comes while no request waits.
    fn unasked(&mut self, reply: &Reply<'_>, confirms: Option<Confirmation>) -> Heard<T> {
        // "ERR max number of clients reached": a server that does not take the connection says so, and closes it.
        let is_refusal = !self.has_begun && reply.is_error();
        let ends = confirms.is_some_and(Confirmation::ends);
        match is_refusal || ends || self.state.is_aside(reply) {
            true => self.aside(confirms, reply.integer),
            false => Heard::Lost(UNEXPECTED),
        }
    }

    /// Nobody's; but it may tell how many subscriptions there are left.
    fn aside(&mut self, confirms: Option<Confirmation>, subscriptions: Option<i64>) -> Heard<T> {
        if let Some(confirms) = confirms {
            self.state
                .count_subscriptions(confirms.audience(), subscriptions);
        }
        Heard::Aside(confirms)
    }

    fn answer(&mut self, queued: bool, confirms: Option<Confirmation>) -> Heard<T> {
        self.confirmations = None;
        match self.take_first() {
            Some(with) => Heard::Answer {
                with,
                queued,
                confirms,
            },
            None => Heard::Lost(UNEXPECTED),
        }
    }

    fn take_first(&mut self) -> Option<T> {
        let first = self.waiting.pop_front();
        if self.waiting.is_empty() && self.waiting.capacity() > KEPT {
            self.waiting = VecDeque::new();
        }
        first.map(|asked| asked.with)
    }

    /// "One reply per channel": a message with the first element `subscribe` for each.
    fn confirmed(
        &mut self,
        request: Facts,
        confirms: Confirmation,
        subscriptions: Option<i64>,
    ) -> Heard<T> {
        let state = &mut self.state;
        let audience = confirms.audience();
        state.count_subscriptions(audience, subscriptions);
        let left = match confirms {
            // Without arguments all of them go, one by one; one reply comes where there were none.
            Confirmation::Ends(_) if request.arguments == 0 => *state.count(audience),
            _ => self
                .confirmations
                .unwrap_or(request.arguments)
                .saturating_sub(1),
        };
        if left == 0 {
            return self.answer(false, Some(confirms));
        }
        self.confirmations = Some(left);
        Heard::Part(confirms)
    }

    /// A request has been carried out, unless it failed.
    fn took(&mut self, request: Facts, succeeded: bool) {
        let state = &mut self.state;
        // "EXEC without MULTI" fails, and leaves nothing queued; so does a transaction that is refused, for whatever reason.
        if request.class == Class::Exec {
            state.queuing = false;
            state.queued_change = false;
            state.watching = false;
        }
        if !succeeded {
            return;
        }
        match (request.class, request.option) {
            (Class::Multi, _) => state.queuing = true,
            (Class::Discard, _) => {
                state.queuing = false;
                state.queued_change = false;
                state.watching = false;
            }
            (Class::Watch, _) => state.watching = true,
            (Class::Unwatch, _) => state.watching = false,
            (Class::Monitor, _) => state.monitor = true,
            (Class::Hello, Asks::Version(version)) => state.version_3 = version == 3,
            (Class::Reset, _) => *state = State::default(),
            (_, Asks::RepliesOn) => state.replies = Replies::On,
            (_, Asks::RepliesOff) => {
                state.replies = Replies::Off;
                state.is_unsure = true;
            }
            (_, Asks::SkipReply) if state.replies != Replies::Off => {
                state.replies = Replies::Skip;
                state.is_unsure = true;
            }
            _ => {}
        }
    }
}
