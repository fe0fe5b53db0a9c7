//! A client that speaks HTTP/1, while its request is answered by a server that speaks HTTP/2.

use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, Version, response};
use narrows_parsers::http1::{Body, RequestKind};

use super::h1_in::In;
use super::h1_out::Out;
use super::side::{Broken, Downstream, Piece, Side};
use super::to_h1::{self, Framing};
use crate::listener::sessions::{Alarm, SessionHandle, Ticks, Verdict};
use crate::protocols::http::HttpListener;
use crate::protocols::relay::Scratch;
use crate::stream::Stream;

/// Bytes that are read ahead of a client while its request is under way, as where both sides speak HTTP/1.
const READ_AHEAD_BYTES: usize = 64 * 1024;

/// One request of an HTTP/1 client.
pub(crate) struct H1Client<'s> {
    stream: &'s mut Stream,
    handle: &'s SessionHandle,
    listener: &'s HttpListener,
    input: In,
    out: Out,
    asked: Asked,
    closes: bool,
    took_body: bool,
}

/// What the reply has to know of its request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) kind: RequestKind,
    pub(crate) version: Version,
    /// The client means to send another request.
    pub(crate) keep_alive: bool,
    /// The client waits for 100 before it sends the body.
    pub(crate) expects: bool,
}

/// What is left when the exchange is over.
pub(crate) struct Left {
    /// What has been read and not been used.
    pub(crate) bytes: BytesMut,
    /// What has not come of the request.
    pub(crate) body: Body,
    /// Bytes written to the client.
    pub(crate) written: u64,
    /// The client's connection ends with the reply.
    pub(crate) closes: bool,
}

impl<'s> H1Client<'s> {
    /// A request whose head has been read, with this body, of which `read` has come.
    pub(crate) fn new(
        stream: &'s mut Stream,
        handle: &'s SessionHandle,
        listener: &'s HttpListener,
        scratch: Scratch,
        asked: Asked,
        body: Body,
        read: &[u8],
    ) -> Self {
        let mut input = In::new(scratch, BytesMut::from(read));
        input.set_body(body);
        Self {
            stream,
            handle,
            listener,
            input,
            out: Out::new(),
            closes: !asked.keep_alive,
            asked,
            took_body: false,
        }
    }

    /// The exchange is over.
    pub(crate) fn end(self) -> Left {
        let (bytes, body) = self.input.into_rest();
        Left {
            bytes,
            body,
            written: self.out.written(),
            closes: self.closes,
        }
    }

    /// How the body of the reply is framed.
    fn framing(&self, head: &response::Parts, end: bool) -> Framing {
        let bodiless = self.asked.kind == RequestKind::Head
            || head.status.is_informational()
            || head.status == StatusCode::NO_CONTENT
            || head.status == StatusCode::NOT_MODIFIED;
        match to_h1::content_length(&head.headers) {
            _ if bodiless => Framing::None,
            _ if end => Framing::Length(0),
            Some(length) => Framing::Length(length),
            None if self.asked.version == Version::HTTP_11 => Framing::Chunked,
            None => Framing::UntilClose,
        }
    }

    /// A reply comes so early that the rest of its request is left unread, as where both sides speak HTTP/1.
    fn will_not_be_read(&self, status: StatusCode) -> bool {
        !self.input.is_done() && (self.asked.expects && !self.took_body || status.as_u16() >= 300)
    }
}

impl Side for H1Client<'_> {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Broken>> {
        let mut headers = self.listener.headers.borrow_mut();
        let piece = self.input.poll_piece(self.stream, &mut headers, cx);
        drop(headers);
        self.took_body |= piece.is_ready();
        piece
    }

    fn passed_on(&mut self, _: usize) {}

    fn poll_room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<Result<usize, Broken>> {
        self.out
            .poll_room(self.stream, cx, wanted)
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
            .poll_write(self.stream, cx)
            .map_err(|_| Broken::Gone)
    }
}

impl Downstream for H1Client<'_> {
    fn inform(&mut self, head: response::Parts) {
        // HTTP/1.0 has no such replies.
        if self.asked.version == Version::HTTP_11 {
            self.out.interim(|text| to_h1::write_interim(&head, text));
        }
    }

    fn reply(&mut self, head: response::Parts, end: bool) -> Result<(), Broken> {
        let framing = self.framing(&head, end);
        self.closes |= framing == Framing::UntilClose
            || self.handle.is_draining()
            || self.will_not_be_read(head.status);
        let (closes, version) = (self.closes, self.asked.version);
        self.out.head(framing, |text| {
            to_h1::write_reply(&head, framing, closes, version, text);
        });
        Ok(())
    }

    fn is_in_the_middle(&self) -> bool {
        !self.out.is_empty()
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Broken> {
        if matches!(self.handle.verdict(cx), Verdict::Abort | Verdict::Idle) {
            return Poll::Ready(Broken::Gone);
        }
        // A client may leave when it has what was announced, before a server of HTTP/2 has said that nothing follows.
        if self.out.is_whole() {
            return Poll::Pending;
        }
        // While the request comes, whoever reads it looks at the client.
        while self.input.is_done() && self.input.carry().len() < READ_AHEAD_BYTES {
            let read = ready!(self.input.poll_read(self.stream, cx));
            if read.is_err() || self.input.has_ended() {
                return Poll::Ready(Broken::Gone);
            }
        }
        Poll::Pending
    }

    fn expect(&self, patience: Option<Ticks>, deadline: Option<Ticks>) {
        self.handle.expect(patience, deadline);
    }

    fn touch(&self) {
        self.handle.touch();
    }

    fn alarm(&self, _: &Context<'_>) -> Option<Alarm> {
        // Who waits is woken by `poll_gone`.
        self.handle.alarm()
    }
}
