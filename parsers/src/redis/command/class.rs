//! What a command does to the connection that it comes on.

use super::options::StreamOptions;
use std::time::Duration;

/// What a proxy has to know before it lets a command share a connection with those of other clients.
///
/// What concerns the server as a whole (FAILOVER, REPLICAOF, CONFIG SET, ...) is plain: the connection stays as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// One reply, at once, and the connection is as before: it may be shared.
    Plain,
    /// May wait for something to happen. All that is behind it on the connection waits too. [`Command::wait`] says how long.
    ///
    /// [`Command::wait`]: super::Command::wait
    Blocking(Timeout),
    /// From here to EXEC or DISCARD, commands are queued.
    Multi,
    /// Ends what MULTI began, and what WATCH did.
    Exec,
    /// Ends what MULTI began, and what WATCH did.
    Discard,
    /// The connection remembers keys until EXEC, DISCARD or UNWATCH.
    Watch,
    /// Ends what WATCH did.
    Unwatch,
    /// Messages come on this connection from now on. One reply per channel.
    Subscribe(Audience),
    /// One reply per channel; without arguments one per channel that was subscribed to, or a single one.
    Unsubscribe(Audience),
    /// The connection shows everything that the server does from now on.
    Monitor,
    /// The connection becomes one between servers.
    Sync,
    /// The connection acts for another user.
    Auth,
    /// The connection has another version of the protocol; perhaps another user and another name.
    Hello,
    /// The connection has another database.
    Select,
    /// The connection becomes as it was when it was opened, without a user even.
    Reset,
    /// One reply, then the server closes.
    Quit,
    /// CLIENT REPLY: replies are left out from now on, or the next one is.
    ClientReply,
    /// CLIENT TRACKING: invalidations come on this connection or are sent to another.
    ClientTracking,
    /// CLIENT CACHING: about the next command only.
    ClientCaching,
    /// CLIENT SETNAME: the connection has another name.
    ClientSetname,
    /// CLIENT SETINFO: the connection has the name or version of another library.
    ClientSetinfo,
    /// CLIENT NO-EVICT: the connection is spared, or no longer.
    ClientNoEvict,
    /// CLIENT NO-TOUCH: commands of this connection leave the age of keys alone, or no longer.
    ClientNoTouch,
    /// CLIENT CAPA: the connection tells what it understands, redirections for example.
    ClientCapa,
    /// CLIENT IMPORT-SOURCE: the connection loads data that comes from elsewhere.
    ClientImportSource,
    /// CLIENT GETNAME: the reply is about the connection.
    ClientGetname,
    /// CLIENT GETREDIR: the reply is about the connection.
    ClientGetredir,
    /// CLIENT ID: the reply is about the connection.
    ClientId,
    /// CLIENT INFO: the reply is about the connection.
    ClientInfo,
    /// CLIENT TRACKINGINFO: the reply is about the connection.
    ClientTrackinginfo,
    /// CLIENT LIST: the reply is about the connections of the server, which are those of the proxy.
    ClientList,
    /// CLIENT KILL: closes connections, this one or shared ones perhaps.
    ClientKill,
    /// CLIENT PAUSE: all connections wait for some time.
    ClientPause,
    /// CLIENT UNPAUSE: ends what CLIENT PAUSE began.
    ClientUnpause,
    /// CLIENT UNBLOCK: ends the waiting of another connection, by its id.
    ClientUnblock,
    /// A subcommand of CLIENT that is unknown here: those of later servers are likely to be about the connection too.
    ClientOther,
    /// The next command, and only that, may go to a slot that is on its way to this server.
    Asking,
    /// The connection may read from a replica of a cluster.
    Readonly,
    /// Ends what READONLY began.
    Readwrite,
    /// SCRIPT DEBUG: the next EVAL turns the connection into a debugger's.
    ScriptDebug,
    /// DEBUG: may sleep, crash, or send replies of kinds that nothing else has.
    Debug,
    /// The server goes away. If it does there is no reply.
    Shutdown,
}

/// What is subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Audience {
    /// Channels by their names: SUBSCRIBE.
    Channel,
    /// Channels by patterns: PSUBSCRIBE.
    Pattern,
    /// Channels that belong to a slot of a cluster: SSUBSCRIBE.
    Shard,
}

/// Where a blocking command says how long it waits at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Timeout {
    /// Seconds, in argument 1.
    First,
    /// Seconds, in the last argument.
    Last,
    /// Milliseconds, behind the option BLOCK. Without it, nothing waits.
    Block,
    /// Milliseconds, in the last argument: WAIT and WAITAOF. They ask about what the same connection has written before.
    Replicas,
}

/// How long a request may be kept waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// It is not.
    No,
    /// So long at most.
    AtMost(Duration),
    /// Until something happens.
    Forever,
}

impl Timeout {
    pub(super) fn wait<'a>(
        self,
        arguments: usize,
        argument: impl Fn(usize) -> Option<&'a [u8]>,
    ) -> Wait {
        let last = arguments.saturating_sub(1);
        let time = match self {
            Self::First => seconds(argument(1)),
            Self::Last => seconds(argument(last)),
            Self::Replicas => milliseconds(argument(last)),
            Self::Block => match StreamOptions::of(arguments, &argument) {
                StreamOptions {
                    block: Some(at), ..
                } => milliseconds(argument(at)),
                StreamOptions {
                    streams: Some(_), ..
                } => return Wait::No,
                // It may be behind what can be seen: options may be repeated.
                _ => None,
            },
        };
        // Zero is forever. So is what is no time: if the server doesn't refuse it, there is no telling how long it waits.
        match time {
            Some(time) if !time.is_zero() => Wait::AtMost(time),
            _ => Wait::Forever,
        }
    }
}

fn seconds(argument: Option<&[u8]>) -> Option<Duration> {
    let seconds = str::from_utf8(argument?).ok()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn milliseconds(argument: Option<&[u8]>) -> Option<Duration> {
    let milliseconds = str::from_utf8(argument?).ok()?.parse().ok()?;
    Some(Duration::from_millis(milliseconds))
}

#[cfg(test)]
mod tests {
    use super::Wait::{AtMost, Forever, No};
    use super::*;
    use crate::redis::command::find;

    fn wait(request: &str) -> Wait {
        let words: Vec<&[u8]> = request.split(' ').map(str::as_bytes).collect();
        let command = find(words[0], words.get(1).copied()).unwrap();
        command.wait(words.len(), |at| words.get(at).copied())
    }

    fn ms(milliseconds: u64) -> Wait {
        AtMost(Duration::from_millis(milliseconds))
    }

    #[test]
    fn timeouts_are_where_each_command_has_them() {
        assert_eq!(wait("GET k"), No);
        assert_eq!(wait("BLPOP a b 1.5"), ms(1500));
        assert_eq!(wait("BRPOPLPUSH a b 2"), ms(2000));
        assert_eq!(wait("BLMOVE a b LEFT RIGHT 0.01"), ms(10));
        assert_eq!(wait("BZPOPMIN a 0"), Forever);
        assert_eq!(wait("BLMPOP 3 1 a LEFT COUNT 5"), ms(3000));
        assert_eq!(wait("BZMPOP 0 1 a MIN"), Forever);
        assert_eq!(wait("WAIT 1 250"), ms(250));
        assert_eq!(wait("WAITAOF 1 0 0"), Forever);
        assert_eq!(wait("XREAD COUNT 5 BLOCK 100 STREAMS a 0"), ms(100));
        assert_eq!(wait("xreadgroup group g c block 0 streams a >"), Forever);
        assert_eq!(wait("XREAD COUNT 5 STREAMS block 0"), No);
        assert_eq!(wait("XREADGROUP GROUP block 5 STREAMS a >"), No);
    }

    #[test]
    fn what_is_no_time_is_forever() {
        for time in ["", "x", "-1", "nan", "inf", "1e400", "1e300", "\u{661}"] {
            assert_eq!(wait(&format!("BLPOP a {time}")), Forever, "{time}");
            assert_eq!(
                wait(&format!("XREAD BLOCK {time} STREAMS a 0")),
                Forever,
                "{time}"
            );
        }
        assert_eq!(wait("BLPOP"), Forever);
        assert_eq!(wait("XREAD BLOCK"), Forever);
        let counts = "COUNT 1 ".repeat(70);
        let behind = format!("XREAD {counts}BLOCK 5 STREAMS a 0");
        assert_eq!(wait(&behind), Forever);
        assert_eq!(wait("WAIT 1 18446744073709551616"), Forever);
    }
}
