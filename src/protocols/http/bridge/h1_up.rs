//! A server that speaks HTTP/1: a connection that is lent for this exchange alone.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, request};
use narrows_parsers::http1::{Framing as Framed, HeadLimits, HeadParser, HeadStep, Headers, RequestKind, ResponseHead};

use super::h1_in::In;
use super::h1_out::Out;
use super::side::{Broken, Piece, Reply, Side, Upstream};
use super::to_h1::{self, Framing};
use super::to_h2;
use crate::protocols::relay::Scratch;
use crate::upstream::http::H1Connection;
use crate::upstream::pool::CloseReason;

/// What the HTTP/1 sides of a worker share: its read buffer, and room for the fields of the head that is being looked at.
#[derive(Clone)]
pub(crate) struct Tools {
    pub(crate) scratch: Scratch,
    pub(crate) headers: Rc<RefCell<Headers>>,
}

/// One request to an HTTP/1 server.
pub(crate) struct H1Server {
    connection: H1Connection,
    tools: Tools,
    out: Out,
    input: In,
    parser: HeadParser,
    kind: RequestKind,
    /// The head of the reply has come, and said that another request may follow.
    keep_alive: bool,
    replied: bool,
}

impl H1Server {
    /// A request on this connection. `target` and `host` are what routing made of them.
    pub(crate) fn new(
        connection: H1Connection,
        tools: Tools,
        head: &request::Parts,
        target: &[u8],
        host: &[u8],
        framing: Framing,
        limits: HeadLimits,
    ) -> Self {
        let mut out = Out::new();
        out.head(framing, |text| {
            to_h1::write_request(head, target, host, framing, text);
        });
        Self {
            input: In::new(Rc::clone(&tools.scratch), BytesMut::new()),
            connection,
            tools,
            out,
            parser: HeadParser::with_limits(limits),
            kind: RequestKind::of(head.method.as_str().as_bytes()),
            keep_alive: false,
            replied: false,
        }
    }

    /// Writes the head, which is the whole request. Those with a body are written with the first piece of it.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.poll_flush(cx)
    }

    /// True when the connection has served before, and not a byte of a reply has come: the server may have closed it just as it was lent.
    pub(crate) fn may_be_stale(&self) -> bool {
        self.connection.is_reused() && self.input.read() == 0
    }

    /// The exchange is over: the connection may serve again if nothing of it is left.
    pub(crate) fn end(mut self, request_is_whole: bool) {
        self.connection.moved(self.input.read(), self.out.written());
        let clean = request_is_whole
            && self.replied
            && self.keep_alive
            && self.input.is_done()
            && self.input.carry().is_empty()
            && self.out.is_empty();
        match clean {
            true => self.connection.give_back(Instant::now()),
            false => self.connection.discard(CloseReason::Abandoned),
        }
    }

    /// The head of the reply, if it is whole.
    fn head(&mut self) -> Result<Option<ResponseHead>, Broken> {
        let mut headers = self.tools.headers.borrow_mut();
        match self
            .parser
            .response(self.input.carry(), &mut headers, self.kind)
        {
            HeadStep::Head(head) => Ok(Some(head)),
            HeadStep::NeedMore => Ok(None),
            HeadStep::Malformed(reason) => Err(Broken::Malformed(reason.label())),
        }
    }

    /// What the head becomes in HTTP/2.
    fn reply(&mut self, head: &ResponseHead) -> Result<Reply, Broken> {
        let bytes = self.input.take(head.length as usize);
        let headers = self.tools.headers.borrow();
        let parts = to_h2::reply(head.status, &bytes, &headers)
            .map_err(|no_form| Broken::Malformed(no_form.0))?;
        if head.is_interim() {
            return Ok(Reply::Interim(parts));
        }
        // Nothing was offered that a server could switch to.
        if parts.status == StatusCode::SWITCHING_PROTOCOLS || head.framing == Framed::Tunnel {
            return Err(Broken::Malformed("unasked_upgrade"));
        }
        self.replied = true;
        self.keep_alive = head.keep_alive;
        self.input.body(head.framing);
        Ok(Reply::Final {
            head: parts,
            end: head.framing == Framed::None,
        })
    }
}

impl Side for H1Server {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Broken>> {
        let mut headers = self.tools.headers.borrow_mut();
        self.input
            .poll_piece(self.connection.stream(), &mut headers, cx)
    }

    fn passed_on(&mut self, _: usize) {}

    fn poll_room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<Result<usize, Broken>> {
        self.out
            .poll_room(self.connection.stream(), cx, wanted)
            .map_err(|_| Broken::Gone)
    }

    fn put(&mut self, bytes: Bytes, last: bool) -> Result<(), Broken> {
        self.out.put(bytes, last)
    }

    fn finish(&mut self, trailers: Option<HeaderMap>) -> Result<(), Broken> {
        self.out.finish(trailers.as_ref())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.out
            .poll_write(self.connection.stream(), cx)
            .map_err(|_| Broken::Gone)
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
            ready!(self.input.poll_read(self.connection.stream(), cx)).map_err(|_| Broken::Gone)?;
        }
    }
}
