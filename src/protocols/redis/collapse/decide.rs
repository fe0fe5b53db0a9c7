//! decide: what a request needs.

use narrows_parsers::redis::Request;
use narrows_parsers::redis::command::{Class, Command, Timeout};

use crate::protocols::redis::commands::Series;

/// Who answers a request, and over which connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// A server, over the connection that clients share.
    Share,
    /// A server, over a connection of the client's own.
    Own(Stay),
    /// The proxy.
    Answer(Answer),
    /// Nobody: a server would close the connection that it came on.
    Close,
}

/// For how long a client has a connection of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stay {
    /// A transaction, or one request.
    Short,
    /// One request, which may wait for as long as it likes.
    Waits,
    /// WAIT or WAITAOF, which wait for what their own connection has written: for all that the server has been sent by then.
    Replicas,
    /// Until it leaves.
    Kept,
}

/// What the proxy answers itself, as it is about the client's connection and that has no counterpart upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Auth,
    Hello,
    Select,
    Reset,
    Quit,
    SetName,
    GetName,
    SetInfo,
    /// Whatever it is: its client has to log in first.
    LogInFirst,
    /// A command whose keys are on several servers.
    Crossed,
    /// A command of which nobody can say where its keys are.
    Unplaced,
    /// What is for one server where there are several, by its name.
    Refuse(&'static str),
}

impl Plan {
    /// What `request` needs, which is one of these commands.
    pub(super) fn of(series: &Series, request: &Request<'_>) -> Self {
        // "Forward unknown commands": those of modules do nothing to their connection.
        let Some(command) = series.command else {
            return match is_of_http(request.command()) {
                true => Self::Close,
                false => Self::Share,
            };
        };
        if command.class == Class::Plain && !ends_what_runs(command) {
            return Self::Share;
        }
        let count = usize::try_from(request.count).unwrap_or(usize::MAX);
        // The server will refuse it. If a later one does not, nobody else is to be concerned.
        if !command.accepts(count) {
            return Self::Own(Stay::Short);
        }
        // What is no number of a database is for the server to refuse, in its words. What it takes for one all the same is its client's own.
        if command.class == Class::Select && !names_database(request) {
            return Self::Own(Stay::Short);
        }
        Self::of_class(command, || series.blocks(request))
    }

    /// A client may ask for it that has not said who it is.
    pub(super) fn is_for_strangers(self) -> bool {
        use Answer::{Auth, Hello, Quit, Reset};
        matches!(
            self,
            Self::Close | Self::Answer(Auth | Hello | Quit | Reset)
        )
    }

    fn of_class(command: &'static Command, blocks: impl FnOnce() -> bool) -> Self {
        match command.class {
            // Behind a command that is paused, on the same connection, nobody would read it.
            Class::Plain | Class::ClientUnpause => Self::Own(Stay::Short),
            // They are about all connections of the server, or of another one. EXEC and its like find nothing to end.
            Class::ClientList
            | Class::ClientKill
            | Class::ClientPause
            | Class::ClientUnblock
            | Class::Exec
            | Class::Discard
            | Class::Unwatch => Self::Share,
            Class::Blocking(Timeout::Replicas) => Self::Own(Stay::Replicas),
            Class::Blocking(_) if !blocks() => Self::Share,
            Class::Multi | Class::Watch => Self::Own(Stay::Short),
            Class::Auth => Self::Answer(Answer::Auth),
            Class::Hello => Self::Answer(Answer::Hello),
            Class::Select => Self::Answer(Answer::Select),
            Class::Reset => Self::Answer(Answer::Reset),
            Class::Quit => Self::Answer(Answer::Quit),
            Class::ClientSetname => Self::Answer(Answer::SetName),
            Class::ClientGetname => Self::Answer(Answer::GetName),
            Class::ClientSetinfo => Self::Answer(Answer::SetInfo),
            Class::Blocking(_) => Self::Own(Stay::Waits),
            Class::Subscribe(_)
            | Class::Unsubscribe(_)
            | Class::Monitor
            | Class::Sync
            | Class::ClientReply
            | Class::ClientTracking
            | Class::ClientCaching
            | Class::ClientNoEvict
            | Class::ClientNoTouch
            | Class::ClientCapa
            | Class::ClientImportSource
            | Class::ClientGetredir
            | Class::ClientId
            | Class::ClientInfo
            | Class::ClientTrackinginfo
            | Class::ClientOther
            | Class::Asking
            | Class::Readonly
            | Class::Readwrite
            | Class::ScriptDebug
            | Class::Debug
            | Class::Shutdown => Self::Own(Stay::Kept),
        }
    }
}

/// What a browser sends that is made to speak to a Redis: "Possible SECURITY ATTACK detected", upon which Redis closes the connection.
fn is_of_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

/// The number is written as Redis writes numbers: servers do not agree on others.
fn names_database(request: &Request<'_>) -> bool {
    let written = request.argument(1).map(|text| text.bytes);
    written.and_then(database).is_some()
}

/// The number of a database, if it is written as Redis writes numbers.
pub(super) fn database(written: &[u8]) -> Option<u32> {
    let text = str::from_utf8(written).ok()?;
    let number: u32 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// SCRIPT KILL and FUNCTION KILL end what runs on another connection: behind the script, on the same one, nobody would read them.
fn ends_what_runs(command: &Command) -> bool {
    matches!(command.name, "script_kill" | "function_kill")
}
