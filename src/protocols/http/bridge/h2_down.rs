//! A client that speaks HTTP/2: one stream of its connection.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Response, response};

use super::h2_halves::{Receiving, Sending, broken};
use super::side::{Broken, Downstream, Piece, Side};
use crate::listener::sessions::{Alarm, PartHandle, Ticks};

/// One request of an HTTP/2 client.
pub(crate) struct H2Client {
    body: Receiving,
    respond: SendResponse<Bytes>,
    reply: Option<Sending>,
    alarms: PartHandle,
}

impl H2Client {
    /// The stream of a request whose head has been taken from it.
    pub(crate) fn new(body: RecvStream, respond: SendResponse<Bytes>, alarms: PartHandle) -> Self {
        Self {
            alarms,
            body: Receiving::new(body),
            respond,
            reply: None,
        }
    }

    /// True when the request has no (more) body.
    pub(crate) fn request_is_over(&self) -> bool {
        self.body.is_end()
    }

    /// True once the head of the reply was sent.
    pub(crate) fn has_replied(&self) -> bool {
        self.reply.is_some()
    }

    /// The exchange is over: its alarms can be used for another one.
    pub(crate) fn into_alarms(self) -> PartHandle {
        self.alarms.rest();
        self.alarms
    }

    /// Gives the stream up.
    pub(crate) fn reset(&mut self, reason: Reason) {
        match &mut self.reply {
            Some(reply) => reply.reset(reason),
            None => self.respond.send_reset(reason),
        }
    }
}

impl Side for H2Client {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Broken>> {
        self.body.poll_piece(cx)
    }

    fn passed_on(&mut self, length: usize) {
        self.body.release(length);
    }

    fn poll_room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<Result<usize, Broken>> {
        match &mut self.reply {
            Some(reply) => reply.poll_room(cx, wanted),
            None => Poll::Ready(Err(Broken::Gone)),
        }
    }

    fn put(&mut self, bytes: Bytes, last: bool) -> Result<(), Broken> {
        self.reply.as_mut().ok_or(Broken::Gone)?.put(bytes, last)
    }

    fn finish(&mut self, trailers: Option<HeaderMap>) -> Result<(), Broken> {
        self.reply.as_mut().ok_or(Broken::Gone)?.finish(trailers)
    }

    /// The connection writes, for all its streams at once.
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }
}

impl Downstream for H2Client {
    fn inform(&mut self, head: response::Parts) {
        // A client that is gone is noticed by `poll_gone`.
        let _ = self
            .respond
            .send_informational(Response::from_parts(head, ()));
    }

    fn reply(&mut self, head: response::Parts, end: bool) -> Result<(), Broken> {
        let reply = self
            .respond
            .send_response(Response::from_parts(head, ()), end)
            .map_err(|error| broken(&error))?;
        self.reply = Some(Sending::new(reply));
        Ok(())
    }

    /// h2 writes frame by frame.
    fn is_in_the_middle(&self) -> bool {
        false
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Broken> {
        match &mut self.reply {
            Some(reply) => reply.poll_reset(cx),
            None => match ready!(self.respond.poll_reset(cx)) {
                Ok(reason) => Poll::Ready(Broken::Reset(reason)),
                Err(error) => Poll::Ready(broken(&error)),
            },
        }
    }

    fn expect(&self, patience: Option<Ticks>, deadline: Option<Ticks>) {
        self.alarms.expect(patience, deadline);
    }

    fn touch(&self) {
        self.alarms.touch();
    }

    fn alarm(&self, cx: &Context<'_>) -> Option<Alarm> {
        self.alarms.alarm(cx)
    }
}
