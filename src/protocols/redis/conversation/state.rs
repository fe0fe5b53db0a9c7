//! What the requests have done to a connection, as far as their replies have told, and which replies fit that.

use narrows_parsers::redis::command::{Audience, Class};
use narrows_parsers::redis::{Kind, Reply};

use super::facts::{Asks, Facts};

/// What the requests have done to the connection, as far as their replies have told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    /// Between MULTI and EXEC.
    pub(super) queuing: bool,
    /// Something is queued that will change which replies come.
    pub(super) queued_change: bool,
    /// WATCH has been said, and nothing that ends it.
    pub(super) watching: bool,
    pub(super) replies: Replies,
    /// CLIENT REPLY has been passed over as one without a reply, and nothing has come since that shows whether it was taken.
    pub(super) is_unsure: bool,
    pub(super) version_3: bool,
    pub(super) monitor: bool,
    pub(super) channels: u64,
    pub(super) patterns: u64,
    pub(super) shards: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Replies {
    #[default]
    On,
    Off,
    /// The next request gets none.
    Skip,
}

impl State {
    /// A request whose turn has come gets no reply.
    pub(super) fn is_silent(&self, request: Facts) -> bool {
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
    pub(super) fn refuses(&self, request: Facts) -> bool {
        let is_unfit = matches!(request.class, Class::ClientReply | Class::Monitor);
        is_unfit && self.is_subscribed() && !self.version_3
    }

    /// The confirmation that a reply or a push is.
    pub(super) fn confirmation(&self, reply: &Reply<'_>) -> Option<Confirmation> {
        let kind = match self.version_3 {
            true => Kind::Push,
            false => Kind::Array,
        };
        let is_one = reply.kind == kind && reply.elements == 3 && reply.integer.is_some();
        is_one.then(|| Confirmation::named(reply.name())).flatten()
    }

    pub(super) fn is_queued(&self, reply: &Reply<'_>) -> bool {
        self.queuing && reply.kind == Kind::Simple && reply.name() == b"QUEUED"
    }

    /// Whether a request can be answered like that. What is known of the connection hangs on some; they are looked at closely.
    pub(super) fn may_answer(&self, request: Facts, reply: &Reply<'_>) -> bool {
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
    pub(super) fn is_aside(&self, reply: &Reply<'_>) -> bool {
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

    pub(super) fn is_subscribed(&self) -> bool {
        self.channels > 0 || self.patterns > 0 || self.shards > 0
    }

    pub(super) fn count(&mut self, audience: Audience) -> &mut u64 {
        match audience {
            Audience::Channel => &mut self.channels,
            Audience::Pattern => &mut self.patterns,
            Audience::Shard => &mut self.shards,
        }
    }

    /// A confirmation says how many subscriptions there are now: to channels and patterns together, and to shard channels apart.
    pub(super) fn count_subscriptions(&mut self, audience: Audience, now: Option<i64>) {
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
pub(in crate::protocols::redis) enum Confirmation {
    Begins(Audience),
    Ends(Audience),
}

impl Confirmation {
    pub(super) fn named(name: &[u8]) -> Option<Self> {
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

    pub(super) fn wanted(class: Class) -> Option<Self> {
        match class {
            Class::Subscribe(audience) => Some(Self::Begins(audience)),
            Class::Unsubscribe(audience) => Some(Self::Ends(audience)),
            _ => None,
        }
    }

    pub(super) fn audience(self) -> Audience {
        match self {
            Self::Begins(audience) | Self::Ends(audience) => audience,
        }
    }

    /// A server also says it of its own accord: when a slot leaves it, or when it takes a right away.
    pub(in crate::protocols::redis) fn ends(self) -> bool {
        matches!(self, Self::Ends(_))
    }
}
