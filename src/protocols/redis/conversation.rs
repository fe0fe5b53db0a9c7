//! Which request a reply answers. RESP has no ids: it follows from the order, and from what earlier requests did to the connection.
//!
//! What a request does is settled when its turn comes, with all earlier replies seen: whether a MULTI was taken decides what a SUBSCRIBE
//! behind it is answered with, and nobody can know that before.

use std::collections::VecDeque;

use narrows_parsers::redis::command::{Audience, Class, Command};
use narrows_parsers::redis::{Kind, Reply, Request};

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

/// What of a request decides how it is answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    class: Class,
    /// Arguments behind the command's name.
    arguments: u64,
    option: Asks,
    /// No server takes so many arguments, or so few: it is answered with an error, and does nothing.
    is_refused: bool,
}

/// What the first option of a request asks for, where that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    Nothing,
    RepliesOn,
    RepliesOff,
    SkipReply,
    Version(u8),
}

/// What the requests have done to the connection, as far as their replies have told.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Between MULTI and EXEC.
    queuing: bool,
    /// Something is queued that will change which replies come.
    queued_change: bool,
    /// WATCH has been said, and nothing that ends it.
    watching: bool,
    replies: Replies,
    /// CLIENT REPLY has been passed over as one without a reply, and nothing has come since that shows whether it was taken.
    is_unsure: bool,
    version_3: bool,
    monitor: bool,
    channels: u64,
    patterns: u64,
    shards: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Replies {
    #[default]
    On,
    Off,
    /// The next request gets none.
    Skip,
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

impl Facts {
    /// What `request` is, which has this command if it is known. Unknown ones are answered like any other.
    pub(super) fn of(request: &Request<'_>, command: Option<&Command>) -> Self {
        let class = command.map_or(Class::Plain, |command| command.class);
        let option = match class {
            Class::ClientReply => client_reply(request),
            Class::Hello => hello(request),
            _ => Asks::Nothing,
        };
        Self {
            class,
            arguments: request.count.saturating_sub(1),
            option,
            is_refused: command.is_some_and(|command| {
                !command.accepts(usize::try_from(request.count).unwrap_or(usize::MAX))
            }),
        }
    }

    /// What the connection becomes that nobody can follow from then on; `None` for all but a few requests.
    pub(super) fn leaves(&self) -> Option<&'static str> {
        match self.class {
            Class::Sync => Some("replication"),
            Class::ScriptDebug => Some("script_debug"),
            _ => None,
        }
    }
}

fn client_reply(request: &Request<'_>) -> Asks {
    let mode = match (request.count, request.argument(2)) {
        (3, Some(mode)) => mode.bytes,
        _ => return Asks::Nothing,
    };
    let words: [(&[u8], Asks); 3] = [
        (b"on", Asks::RepliesOn),
        (b"off", Asks::RepliesOff),
        (b"skip", Asks::SkipReply),
    ];
    let word = words
        .iter()
        .find(|(word, _)| mode.eq_ignore_ascii_case(word));
    word.map_or(Asks::Nothing, |(_, asks)| *asks)
}

fn hello(request: &Request<'_>) -> Asks {
    match request.argument(1).map(|version| version.bytes) {
        Some(b"2") => Asks::Version(2),
        Some(b"3") => Asks::Version(3),
        _ => Asks::Nothing,
    }
}

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

impl Facts {
    /// What it does to the connection outlasts a transaction and a wait, even if it fails: nobody else is to have the connection.
    fn stays(&self) -> bool {
        !matches!(
            self.class,
            Class::Plain
                | Class::Blocking(_)
                | Class::Multi
                | Class::Exec
                | Class::Discard
                | Class::Watch
                | Class::Unwatch
                | Class::ClientGetname
                | Class::ClientList
        )
    }

    /// Carried out within a transaction, it would change which replies come.
    fn changes_replies(&self) -> bool {
        matches!(
            self.class,
            Class::ClientReply
                | Class::Hello
                | Class::Monitor
                | Class::Subscribe(_)
                | Class::Unsubscribe(_)
        )
    }

    /// Without its reply nobody knows what the connection is then.
    fn has_to_be_heard(&self) -> bool {
        let changes = matches!(
            self.class,
            Class::Hello | Class::Subscribe(_) | Class::Unsubscribe(_)
        );
        changes && !self.is_refused
    }
}

impl State {
    /// A request whose turn has come gets no reply.
    fn is_silent(&self, request: Facts) -> bool {
        let is_quiet = self.replies != Replies::On;
        match (request.class, request.option) {
            // It turns replies on before it answers, unless the very next one is to be left out.
            (Class::Reset, _) if !request.is_refused => self.replies == Replies::Skip,
            // In a transaction they are queued like all else.
            _ if self.queuing || self.refuses(request) => is_quiet,
            (_, Asks::RepliesOn) => false,
            (_, Asks::RepliesOff | Asks::SkipReply) => true,
            // The second MONITOR of a connection is passed over.
            (Class::Monitor, _) if self.monitor && !request.is_refused => true,
            _ => is_quiet,
        }
    }

    /// "Only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context": what would change the connection is
    /// answered with an error.
    fn refuses(&self, request: Facts) -> bool {
        let is_unfit = matches!(request.class, Class::ClientReply | Class::Monitor);
        is_unfit && self.is_subscribed() && !self.version_3
    }

    /// The confirmation that a reply or a push is.
    fn confirmation(&self, reply: &Reply<'_>) -> Option<Confirmation> {
        let kind = match self.version_3 {
            true => Kind::Push,
            false => Kind::Array,
        };
        let is_one = reply.kind == kind && reply.elements == 3 && reply.integer.is_some();
        is_one.then(|| Confirmation::named(reply.name())).flatten()
    }

    fn is_queued(&self, reply: &Reply<'_>) -> bool {
        self.queuing && reply.kind == Kind::Simple && reply.name() == b"QUEUED"
    }

    /// Whether a request can be answered like that. What is known of the connection hangs on some; they are looked at closely.
    fn may_answer(&self, request: Facts, reply: &Reply<'_>) -> bool {
        if reply.is_error() {
            // It may be the one to CLIENT REPLY, which then was not taken.
            return !(self.is_unsure && may_refuse_client_reply(reply));
        }
        let is_simple = |text: &[u8]| reply.kind == Kind::Simple && reply.name() == text;
        match request.class {
            Class::Exec => matches!(reply.kind, Kind::Array | Kind::Null),
            Class::Discard => is_simple(b"OK"),
            Class::Reset => is_simple(b"RESET"),
            Class::Quit => true,
            _ if self.queuing => self.is_queued(reply),
            Class::Multi | Class::Watch | Class::Unwatch | Class::Monitor | Class::ClientReply => {
                is_simple(b"OK")
            }
            Class::Hello => matches!(reply.kind, Kind::Map | Kind::Array),
            // One confirmation per channel, or an error.
            Class::Subscribe(_) | Class::Unsubscribe(_) => false,
            _ => true,
        }
    }

    /// A push; a message, which version 2 sends as an array; a line of MONITOR, which begins with the time.
    fn is_aside(&self, reply: &Reply<'_>) -> bool {
        match reply.kind {
            Kind::Push => true,
            Kind::Array if self.version_3 || !self.is_subscribed() => false,
            // The end of a subscription that was asked for comes when it is its turn.
            Kind::Array => {
                let confirms = self.confirmation(reply);
                is_message(reply.name()) || confirms.is_some_and(Confirmation::ends)
            }
            Kind::Simple => self.monitor && reply.name().first().is_some_and(u8::is_ascii_digit),
            _ => false,
        }
    }

    fn is_subscribed(&self) -> bool {
        self.channels > 0 || self.patterns > 0 || self.shards > 0
    }

    fn count(&mut self, audience: Audience) -> &mut u64 {
        match audience {
            Audience::Channel => &mut self.channels,
            Audience::Pattern => &mut self.patterns,
            Audience::Shard => &mut self.shards,
        }
    }

    /// A confirmation says how many subscriptions there are now: to channels and patterns together, and to shard channels apart.
    fn count_subscriptions(&mut self, audience: Audience, now: Option<i64>) {
        let now = now.and_then(|now| u64::try_from(now).ok()).unwrap_or(0);
        match audience {
            Audience::Channel => self.channels = now.saturating_sub(self.patterns),
            Audience::Pattern => self.patterns = now.saturating_sub(self.channels),
            Audience::Shard => self.shards = now,
        }
    }
}

/// Those for want of rights, and those that say what they are about.
fn may_refuse_client_reply(error: &Reply<'_>) -> bool {
    let is_client = |word: &[u8]| word.eq_ignore_ascii_case(b"client");
    matches!(error.error_prefix(), b"NOPERM" | b"NOAUTH" | b"BUSY")
        || error.name().windows(b"client".len()).any(is_client)
}

fn is_message(name: &[u8]) -> bool {
    matches!(name, b"message" | b"pmessage" | b"smessage")
}

/// What SUBSCRIBE and its like are answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Confirmation {
    Begins(Audience),
    Ends(Audience),
}

impl Confirmation {
    fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"subscribe" => Self::Begins(Audience::Channel),
            b"psubscribe" => Self::Begins(Audience::Pattern),
            b"ssubscribe" => Self::Begins(Audience::Shard),
            b"unsubscribe" => Self::Ends(Audience::Channel),
            b"punsubscribe" => Self::Ends(Audience::Pattern),
            b"sunsubscribe" => Self::Ends(Audience::Shard),
            _ => return None,
        })
    }

    fn wanted(class: Class) -> Option<Self> {
        match class {
            Class::Subscribe(audience) => Some(Self::Begins(audience)),
            Class::Unsubscribe(audience) => Some(Self::Ends(audience)),
            _ => None,
        }
    }

    fn audience(self) -> Audience {
        match self {
            Self::Begins(audience) | Self::Ends(audience) => audience,
        }
    }

    /// A server also says it of its own accord: when a slot leaves it, or when it takes a right away.
    pub(super) fn ends(self) -> bool {
        matches!(self, Self::Ends(_))
    }
}
