//! The two records that every report is a view of: [`Exchange`] (one request and its reply) and
//! [`ConnectionRecord`] (one downstream connection).

use std::time::{Duration, Instant};

use narrows_parsers::mongo::QueryClass;

use crate::config::HttpVersion;
use crate::protocols::http::Failure;

/// The moments of one exchange, as seen by the proxy.
///
/// * *total*: first byte of the request read → last byte of the reply written.
/// * *upstream*: last part of the request given to the upstream's socket → last byte of the reply read.
/// * *added* = total − upstream: what the proxy itself cost, with the time the request and the
///   reply spent in its hands.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// First byte of the request read from the client.
    pub start: Instant,
    /// What happened at the upstream; `None` where the proxy answered in its place.
    pub at_upstream: Option<AtUpstream>,
    /// Last byte of the reply written to the client.
    pub end: Instant,
}

/// The moments of one exchange on the upstream's side.
#[derive(Clone, Copy, Debug)]
pub struct AtUpstream {
    /// The last part of the request was given to the upstream's socket.
    pub request_written: Instant,
    /// First byte of the reply read from upstream.
    pub first_byte: Instant,
    /// Last byte of the reply read from upstream.
    pub last_byte: Instant,
}

impl Timing {
    /// From the first byte of the request to the last byte of the reply, client side.
    pub fn total(&self) -> Duration {
        self.end.saturating_duration_since(self.start)
    }

    /// From the request written to the last byte of the reply, server side; zero where the proxy answered.
    pub fn upstream(&self) -> Duration {
        self.at_upstream.map_or(Duration::ZERO, |at| {
            at.last_byte.saturating_duration_since(at.request_written)
        })
    }

    /// What the proxy added to the server's own time.
    pub fn added(&self) -> Duration {
        self.total().saturating_sub(self.upstream())
    }
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server answered, and its answer was not an error.
    Success,
    /// The server answered with an error, whose code is in the record.
    Error,
    /// The client asked for no reply, and none came.
    Unacknowledged,
    /// The client left before its reply had been written.
    ClientGone,
    /// The upstream connection ended before the reply was complete.
    UpstreamGone,
}

/// What kind of wait the time of an exchange is. Only [`Wait::Work`] enters the percentiles: the
/// others measure how long the client asked the server to wait, not how fast it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The server answers as soon as it can.
    Work,
    /// A monitoring hello that the server holds until its topology changes.
    AwaitableHello,
    /// A `getMore` on a change stream or a tailable cursor, held until there is data.
    Cursor,
}

/// One request and its reply: who and what are in the route that the protocol resolved, how it
/// went, how big, and how long are here. `P` is what only its protocol knows.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<P> {
    /// The moments; `None` where no reply was due, none came, or a connection became a tunnel.
    pub timing: Option<Timing>,
    /// How it ended.
    pub outcome: Outcome,
    /// The whole request on the wire, in bytes.
    pub request_bytes: u64,
    /// The whole reply on the wire, in bytes; every message of it when there were several.
    pub reply_bytes: u64,
    /// The protocol's own part.
    pub part: P,
}

/// What is known of a MongoDB operation.
#[derive(Clone, Copy, Debug)]
pub struct MongoPart {
    /// What kind of wait it was.
    pub wait: Wait,
    /// The server's error code, when it gave one.
    pub error_code: Option<i32>,
    /// How the request chose its documents, when it read by a filter.
    pub query_class: Option<QueryClass>,
    /// Documents that the reply carried.
    pub documents_returned: u64,
    /// Documents that the request wrote: the server's count where it gave one, else the number sent.
    pub documents_written: u64,
}

/// What is known of a command of Redis.
#[derive(Clone, Copy, Debug)]
pub struct RedisPart {
    /// It was one that waits for something to happen, such as BLPOP: its time is no measure of the server.
    pub blocked: bool,
}

/// A reply of the proxy's own that its config asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Configured {
    /// The client was sent elsewhere.
    Redirect,
    /// The route has a reply.
    Respond,
}

/// What is known of an HTTP request.
#[derive(Clone, Copy, Debug)]
pub struct HttpPart {
    /// What the client spoke.
    pub version: HttpVersion,
    /// The status of the reply, when one was begun.
    pub status: Option<u16>,
    /// Why the proxy answered in the upstream's place, or cut the reply off.
    pub failure: Option<Failure>,
    /// The config had the proxy answer.
    pub configured: Option<Configured>,
}

/// Why a downstream connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Both sides finished in order.
    Finished,
    /// The client reset the connection or its socket failed.
    ClientReset,
    /// The upstream reset the connection or its socket failed.
    UpstreamReset,
    /// Nothing moved for the listener's `idle_timeout`.
    IdleTimeout,
    /// The process is draining.
    Drained,
    /// The drain deadline passed, or the process was told to end at once.
    Aborted,
    /// No upstream connection could be had.
    NoUpstream,
    /// TLS could not be agreed on with the client.
    HandshakeFailed,
    /// The client sent what is no request of its protocol, where connections are shared and it could not be passed on unread.
    Malformed,
    /// The client neither took nor sent anything while an upstream connection was lent to it, or took too long over a request.
    ClientStalled,
    /// The last reply that this connection was to carry has been written.
    LastReply,
}

impl CloseReason {
    /// True when the proxy ended the connection rather than one of its peers.
    pub fn is_local(self) -> bool {
        matches!(
            self,
            Self::IdleTimeout
                | Self::Drained
                | Self::Aborted
                | Self::NoUpstream
                | Self::HandshakeFailed
                | Self::Malformed
                | Self::ClientStalled
                | Self::LastReply
        )
    }
}

/// One downstream connection, from accept to close.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionRecord {
    /// When it was accepted.
    pub start: Instant,
    /// When it was closed.
    pub end: Instant,
    /// Why it was closed.
    pub reason: CloseReason,
    /// Which side closed first, when a peer did.
    pub closed_by_client: bool,
    /// Exchanges that were cut off by the close.
    pub exchanges_cut: usize,
    /// Bytes read from the client.
    pub received_bytes: u64,
    /// Bytes written to the client.
    pub sent_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_is_what_is_left_of_total() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let timing = Timing {
            start,
            at_upstream: Some(AtUpstream {
                request_written: at(2),
                first_byte: at(7),
                last_byte: at(9),
            }),
            end: at(10),
        };
        assert_eq!(timing.total(), Duration::from_millis(10));
        assert_eq!(timing.upstream(), Duration::from_millis(7));
        assert_eq!(timing.added(), Duration::from_millis(3));
    }

    #[test]
    fn a_reply_that_overtakes_its_request_is_no_negative_time() {
        let start = Instant::now();
        let timing = Timing {
            start,
            at_upstream: Some(AtUpstream {
                request_written: start + Duration::from_millis(5),
                first_byte: start,
                last_byte: start + Duration::from_millis(1),
            }),
            end: start + Duration::from_millis(6),
        };
        assert_eq!(timing.upstream(), Duration::ZERO);
        assert_eq!(timing.added(), timing.total());
    }
}
