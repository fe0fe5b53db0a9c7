//! What of a request decides how it is answered, and what it does to its connection.

use narrows_parsers::redis::Request;
use narrows_parsers::redis::command::{Class, Command};

/// What of a request decides how it is answered.
#[derive(Clone, Copy, Debug)]
pub(in crate::protocols::redis) struct Facts {
    pub(super) class: Class,
    /// Arguments behind the command's name.
    pub(super) arguments: u64,
    pub(super) option: Asks,
    /// No server takes so many arguments, or so few: it is answered with an error, and does nothing.
    pub(super) is_refused: bool,
}

/// What the first option of a request asks for, where that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    Nothing,
    RepliesOn,
    RepliesOff,
    SkipReply,
    Version(u8),
}

impl Facts {
    /// What `request` is, which has this command if it is known. Unknown ones are answered like any other.
    pub(in crate::protocols::redis) fn of(
        request: &Request<'_>,
        command: Option<&Command>,
    ) -> Self {
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
    pub(in crate::protocols::redis) fn leaves(&self) -> Option<&'static str> {
        match self.class {
            Class::Sync => Some("replication"),
            Class::ScriptDebug => Some("script_debug"),
            _ => None,
        }
    }

    /// What it does to the connection outlasts a transaction and a wait, even if it fails: nobody else is to have the connection.
    pub(super) fn stays(&self) -> bool {
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
                | Class::ClientUnpause
        )
    }

    /// Carried out within a transaction, it would change which replies come.
    pub(super) fn changes_replies(&self) -> bool {
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
    pub(super) fn has_to_be_heard(&self) -> bool {
        let changes = matches!(
            self.class,
            Class::Hello | Class::Subscribe(_) | Class::Unsubscribe(_)
        );
        changes && !self.is_refused
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
