//! A server that speaks HTTP/2: one stream of a connection that other exchanges use too.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use http::{HeaderMap, Request, StatusCode};

use super::h2_halves::{Receiving, Sending, broken};
use super::side::{Broken, Piece, Reply, Side, Upstream};
use crate::upstream::http::H2Stream;

/// One request to an HTTP/2 server.
pub(crate) struct H2Server {
    request: Sending,
    reply: Awaited,
    /// The place on the connection. Last: it is free when the others have been dropped.
    _place: H2Stream,
}

enum Awaited {
    Head(ResponseFuture),
    Body(Receiving),
}

impl H2Server {
    /// Sends the head of a request; the whole request when it is the `end`.
    pub(crate) fn send(place: H2Stream, head: Request<()>, end: bool) -> Result<Self, Broken> {
        let (reply, request) = place.send(head, end).map_err(|error| broken(&error))?;
        Ok(Self {
            request: Sending::new(request),
            reply: Awaited::Head(reply),
            _place: place,
        })
    }
}

impl Side for H2Server {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Broken>> {
        match &mut self.reply {
            Awaited::Body(body) => body.poll_piece(cx),
            Awaited::Head(_) => Poll::Pending,
        }
    }

    fn passed_on(&mut self, length: usize) {
        if let Awaited::Body(body) = &mut self.reply {
            body.release(length);
        }
    }

    fn poll_room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<Result<usize, Broken>> {
        self.request.poll_room(cx, wanted)
    }

    fn put(&mut self, bytes: Bytes, last: bool) -> Result<(), Broken> {
        self.request.put(bytes, last)
    }

    fn finish(&mut self, trailers: Option<HeaderMap>) -> Result<(), Broken> {
        self.request.finish(trailers)
    }

    /// The connection writes, for all its streams at once.
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }
}

impl Upstream for H2Server {
    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Result<Reply, Broken>> {
        let Awaited::Head(reply) = &mut self.reply else {
            return Poll::Pending;
        };
        if let Poll::Ready(Some(interim)) = reply.poll_informational(cx) {
            let (head, ()) = interim.map_err(|error| broken(&error))?.into_parts();
            return Poll::Ready(match head.status {
                // RFC 9113 §8.6: HTTP/2 has no 101.
                StatusCode::SWITCHING_PROTOCOLS => Err(Broken::Malformed("http2_101")),
                _ => Ok(Reply::Interim(head)),
            });
        }
        let (head, body) = ready!(Pin::new(reply).poll(cx))
            .map_err(|error| broken(&error))?
            .into_parts();
        let body = Receiving::new(body);
        let end = body.is_end();
        self.reply = Awaited::Body(body);
        Poll::Ready(Ok(Reply::Final { head, end }))
    }
}
