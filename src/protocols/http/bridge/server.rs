//! A server of either version.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;

use super::h1_up::H1Server;
use super::h2_up::H2Server;
use super::side::{Broken, Piece, Reply, Side, Upstream};

/// The server's side of an exchange. It stands in the exchange's own state: a box would be an allocation a request.
#[allow(clippy::large_enum_variant)]
pub(super) enum Server {
    H1(H1Server),
    H2(H2Server),
}

impl Server {
    /// True when the connection has served before, and not a byte of a reply has come: the server may have closed it just as it was lent.
    pub(super) fn may_be_stale(&self) -> bool {
        match self {
            Self::H1(server) => server.may_be_stale(),
            // Whoever ends an HTTP/2 connection in order says which streams it has looked at.
            Self::H2(_) => false,
        }
    }
}

impl Side for Server {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Broken>> {
        match self {
            Self::H1(server) => server.poll_piece(cx),
            Self::H2(server) => server.poll_piece(cx),
        }
    }

    fn passed_on(&mut self, length: usize) {
        match self {
            Self::H1(server) => server.passed_on(length),
            Self::H2(server) => server.passed_on(length),
        }
    }

    fn poll_room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<Result<usize, Broken>> {
        match self {
            Self::H1(server) => server.poll_room(cx, wanted),
            Self::H2(server) => server.poll_room(cx, wanted),
        }
    }

    fn put(&mut self, bytes: Bytes, last: bool) -> Result<(), Broken> {
        match self {
            Self::H1(server) => server.put(bytes, last),
            Self::H2(server) => server.put(bytes, last),
        }
    }

    fn finish(&mut self, trailers: Option<HeaderMap>) -> Result<(), Broken> {
        match self {
            Self::H1(server) => server.finish(trailers),
            Self::H2(server) => server.finish(trailers),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        match self {
            Self::H1(server) => server.poll_flush(cx),
            Self::H2(server) => server.poll_flush(cx),
        }
    }
}

impl Upstream for Server {
    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Result<Reply, Broken>> {
        match self {
            Self::H1(server) => server.poll_reply(cx),
            Self::H2(server) => server.poll_reply(cx),
        }
    }
}
