//! A server that speaks HTTP/1: a connection that is lent for this exchange alone.

use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};
use narrows_parsers::http1::{Framing as Framed, HeadParser, HeadStep, RequestKind, ResponseHead};

use super::h1_in::In;
use super::h1_out::Out;
use super::side::{Broken, Piece, Reply, Side, Upstream};
use super::to_h1::Framing;
use super::to_h2;
use crate::protocols::http::HttpListener;
use crate::protocols::relay::Scratch;
use crate::upstream::http::H1Connection;
use crate::upstream::pool::CloseReason;

/// One request to an HTTP/1 server.
pub(crate) struct H1Server {
    /// `None` when it has been given back: the whole reply has been read.
    connection: Option<H1Connection>,
    listener: Rc<HttpListener>,
    out: Out,
    input: In,
    parser: HeadParser,
    kind: RequestKind,
    /// The head of the reply has come, and said that another request may follow.
    keep_alive: bool,
    request_ended: bool,
    /// The connection can't be written to, or read from.
    failed: bool,
}

impl H1Server {
    /// A request on this connection, whose head `write` writes.
    pub(crate) fn new(
        connection: H1Connection,
        listener: &Rc<HttpListener>,
        scratch: Scratch,
        method: &Method,
        framing: Framing,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Self {
        let mut out = Out::new();
        out.head(framing, write);
        Self {
            connection: Some(connection),
            listener: Rc::clone(listener),
            out,
            input: In::new(scratch, BytesMut::new()),
            parser: HeadParser::new(),
            kind: RequestKind::of(method.as_str().as_bytes()),
            request_ended: matches!(framing, Framing::None | Framing::Tunnel),
            keep_alive: false,
            failed: false,
        }
    }

    /// True when the connection has served before, and not a byte of a reply has come: the server may have closed it just as it was lent.
    pub(crate) fn may_be_stale(&self) -> bool {
        let connection = self.connection.as_ref();
        connection.is_some_and(H1Connection::is_reused) && self.input.read() == 0
    }

    /// Gives the connection back once the whole reply has been read: before the client has it all, for others may wait.
    fn settle(&mut self) {
        if !self.input.is_done() {
            return;
        }
        let reason = if !self.input.carry().is_empty() {
            tracing::warn!("an upstream sent more than its reply; its connection is closed");
            CloseReason::ProtocolError
        } else if !self.request_ended || !self.out.is_empty() {
            CloseReason::Abandoned
        } else if !self.keep_alive {
            CloseReason::ServerClosed
        } else {
            if let Some(mut connection) = self.connection.take() {
                connection.moved(self.input.read(), self.out.written());
                connection.give_back(Instant::now());
            }
            return;
        };
        self.let_go(reason);
    }

    /// Closes the connection, if it is still lent.
    pub(crate) fn let_go(&mut self, reason: CloseReason) {
        if let Some(mut connection) = self.connection.take() {
            connection.moved(self.input.read(), self.out.written());
            connection.discard(reason);
        }
    }

    /// The head of the reply, if it is whole.
    fn head(&mut self) -> Result<Option<ResponseHead>, Broken> {
        let mut headers = self.listener.headers.borrow_mut();
        match self
            .parser
            .response(self.input.carry(), &mut headers, self.kind)
        {
            HeadStep::Head(head) => Ok(Some(head)),
            HeadStep::NeedMore => Ok(None),
            HeadStep::Malformed(reason) => Err(Broken::Unreadable(reason)),
        }
    }

    /// What the head becomes in HTTP/2.
    fn reply(&mut self, head: &ResponseHead) -> Result<Reply, Broken> {
        let bytes = self.input.take(head.length as usize);
        let headers = self.listener.headers.borrow();
        let parts = to_h2::reply(head.status, &bytes, &headers)
            .map_err(|no_form| Broken::Malformed(no_form.0))?;
        if head.is_interim() {
            return Ok(Reply::Interim(parts));
        }
        // Nothing was offered that a server could switch to.
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Broken::Malformed("unasked_upgrade"));
        }
        self.keep_alive = head.keep_alive;
        self.input.body(head.framing);
        drop(headers);
        let end = head.framing == Framed::None;
        if end {
            self.settle();
        }
        Ok(Reply::Final { head: parts, end })
    }
}

impl Side for H1Server {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Broken>> {
        let connection = self.connection.as_mut().ok_or(Broken::Gone)?;
        let mut headers = self.listener.headers.borrow_mut();
        let piece = self.input.poll_piece(connection.stream(), &mut headers, cx);
        drop(headers);
        if let Poll::Ready(Ok(_)) = piece {
            self.settle();
        }
        piece
    }

    fn passed_on(&mut self, _: usize) {}

    fn poll_room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<Result<usize, Broken>> {
        let connection = self.connection.as_mut().ok_or(Broken::Gone)?;
        let room = ready!(self.out.poll_room(connection.stream(), cx, wanted));
        self.failed |= room.is_err();
        Poll::Ready(room.map_err(|_| Broken::Gone))
    }

    fn put(&mut self, bytes: Bytes, last: bool) -> Result<(), Broken> {
        self.request_ended |= last;
        self.out.put(bytes, last)
    }

    fn finish(&mut self, trailers: Option<HeaderMap>) -> Result<(), Broken> {
        self.request_ended = true;
        self.out.finish(trailers.as_ref())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        match &mut self.connection {
            Some(connection) => {
                let written = ready!(self.out.poll_write(connection.stream(), cx));
                self.failed |= written.is_err();
                Poll::Ready(written.map_err(|_| Broken::Gone))
            }
            // The reply came first.
            None => Poll::Ready(Ok(())),
        }
    }
}

impl Upstream for H1Server {
    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Result<Reply, Broken>> {
        loop {
            if !self.input.carry().is_empty()
                && let Some(head) = self.head()?
            {
                return Poll::Ready(self.reply(&head));
            }
            if self.input.has_ended() {
                return Poll::Ready(Err(Broken::Gone));
            }
            let connection = self.connection.as_mut().ok_or(Broken::Gone)?;
            let read = ready!(self.input.poll_read(connection.stream(), cx));
            self.failed |= read.is_err();
            read.map_err(|_| Broken::Gone)?;
        }
    }
}

impl Drop for H1Server {
    fn drop(&mut self) {
        let untouched = self.out.written() == 0 && self.input.read() == 0;
        match self.connection.take() {
            // Its client gave the request up at once: who does so again and again must not cost a connection each time.
            Some(connection) if untouched && !self.failed && !self.input.has_ended() => {
                connection.give_back(Instant::now());
            }
            connection => {
                self.connection = connection;
                self.let_go(CloseReason::Abandoned);
            }
        }
    }
}
