//! The two sides of an exchange, whatever HTTP version each of them speaks.
//!
//! A message comes from a side in pieces and goes to the other as that has room: nothing is read that can't be passed on, so a side that
//! reads slowly stops the side that sends, and an exchange never holds more than one piece each way.

use std::task::{Context, Poll};

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, response};
use narrows_parsers::http1::Malformed;

use crate::listener::sessions::{Alarm, Ticks};

/// The next part of a message's body.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Bytes of the body; `last` when nothing follows them.
    Data {
        /// The bytes. Never empty, unless they are the last.
        bytes: Bytes,
        /// The message ends with them.
        last: bool,
    },
    /// The end, with fields after the body.
    Trailers(HeaderMap),
    /// The end.
    End,
}

/// Why a side can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The side gave the exchange up with this code; a closed HTTP/1 connection says `CANCEL`.
    Reset(Reason),
    /// Its connection ended or failed.
    Gone,
    /// It never looked at the request: another connection may be asked. REFUSED_STREAM, or a GOAWAY that leaves the stream out.
    Refused,
    /// It sent what is no message, for the reason this label names.
    Malformed(&'static str),
    /// It sent what is no HTTP/1.
    Unreadable(Malformed),
}

/// What a side sends, and what is sent to it.
pub(crate) trait Side {
    /// The next piece of the message that comes from this side. Once it was called for an attempt, there is no other attempt; not called again
    /// after the last one.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Broken>>;

    /// `length` bytes of what came have been passed on: the side may send as many more.
    fn passed_on(&mut self, length: usize);

    /// How many of `wanted` bytes may be put now; at least one.
    fn poll_room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<Result<usize, Broken>>;

    /// Sends bytes for which there is room. `last` ends the message with them.
    fn put(&mut self, bytes: Bytes, last: bool) -> Result<(), Broken>;

    /// Ends the message to this side.
    fn finish(&mut self, trailers: Option<HeaderMap>) -> Result<(), Broken>;

    /// Writes what has been put, as far as it is written here.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>>;
}

/// The client's side.
pub(crate) trait Downstream: Side {
    /// Sends the head of an interim reply (1xx).
    fn inform(&mut self, head: response::Parts);

    /// Sends the head of the reply; the whole reply when it is the `end`.
    fn reply(&mut self, head: response::Parts, end: bool) -> Result<(), Broken>;

    /// A part of what was sent has been written, and not all of it: nothing else may follow.
    fn is_in_the_middle(&self) -> bool;

    /// Ready when the client has given the exchange up.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Broken>;

    /// From now on the exchange is told when nothing moves for `patience`, and when `deadline` has passed.
    fn expect(&self, patience: Option<Ticks>, deadline: Option<Ticks>);

    /// Bytes moved.
    fn touch(&self);

    /// What the exchange is told.
    fn alarm(&self, cx: &Context<'_>) -> Option<Alarm>;
}

/// The server's side.
pub(crate) trait Upstream: Side {
    /// The next head of the reply.
    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Result<Reply, Broken>>;
}

/// A head from a server.
#[derive(Debug)]
pub(crate) enum Reply {
    /// 1xx, but 101.
    Interim(response::Parts),
    /// The reply itself; `end` when it has no body.
    Final {
        /// Status and fields.
        head: response::Parts,
        /// The head is the whole reply.
        end: bool,
    },
}
