//! What comes from an HTTP/1 side, as pieces.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use narrows_parsers::http1::{Body, BodyStep, Framing, Headers};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::side::{Broken, Piece};
use super::to_h2;
use crate::protocols::relay::Scratch;
use crate::stream::Stream;

/// A read that brought this much is followed by one straight into a buffer of the body's own; smaller ones go through the worker's, and
/// what came is copied into a buffer that is just large enough.
const MUCH: usize = 8 * 1024;

/// The size of such a buffer: two frames of HTTP/2's default size, so that a body in flight holds little more than its sockets.
const BULK: usize = 32 * 1024;

/// Bytes of one HTTP/1 peer.
pub(super) struct In {
    scratch: Scratch,
    /// Read, and not yet passed on.
    carry: BytesMut,
    body: Body,
    trailers: Option<HeaderMap>,
    much: bool,
    ended: bool,
    read: u64,
}

impl In {
    /// A message whose head has not come yet. `carry` is what has been read of it.
    pub(super) fn new(scratch: Scratch, carry: BytesMut) -> Self {
        Self {
            scratch,
            carry,
            body: Body::new(Framing::None),
            trailers: None,
            much: false,
            ended: false,
            read: 0,
        }
    }

    /// What has been read and not been passed on.
    pub(super) fn carry(&self) -> &[u8] {
        &self.carry
    }

    /// Takes a head out of what has been read.
    pub(super) fn take(&mut self, length: usize) -> Bytes {
        self.carry.split_to(length.min(self.carry.len())).freeze()
    }

    /// The body of this framing follows.
    pub(super) fn body(&mut self, framing: Framing) {
        self.body = Body::new(framing);
    }

    /// This body follows.
    pub(super) fn set_body(&mut self, body: Body) {
        self.body = body;
    }

    /// The message has come to its end.
    pub(super) fn is_done(&self) -> bool {
        self.body.is_done()
    }

    /// Bytes read since this was made.
    pub(super) fn read(&self) -> u64 {
        self.read
    }

    /// What is left: the beginning of the next message, and what has not come of this one.
    pub(super) fn into_rest(self) -> (BytesMut, Body) {
        (self.carry, self.body)
    }

    /// The next piece of the body.
    pub(super) fn poll_piece(
        &mut self,
        stream: &mut Stream,
        headers: &mut Headers,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Piece, Broken>> {
        loop {
            if let Some(fields) = self.trailers.take() {
                return Poll::Ready(Ok(Piece::Trailers(fields)));
            }
            match self.step(headers)? {
                Step::Data(bytes) => {
                    let last = self.skip_framing(headers)?;
                    return Poll::Ready(Ok(Piece::Data { bytes, last }));
                }
                Step::End => return Poll::Ready(Ok(Piece::End)),
                Step::Trailers => {}
                Step::NeedMore if self.ended => {
                    return Poll::Ready(match self.body.may_end() {
                        true => Ok(Piece::End),
                        false => Err(Broken::Gone),
                    });
                }
                Step::NeedMore => {
                    ready!(self.poll_read(stream, cx)).map_err(|_| Broken::Gone)?;
                }
            }
        }
    }

    /// Reads what has come. `ended` is set at the end of the stream.
    pub(super) fn poll_read(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let count = match self.much {
            true => {
                self.carry.reserve(BULK);
                ready!(pin!(stream.read_buf(&mut self.carry)).poll(cx))?
            }
            false => {
                let mut scratch = self.scratch.borrow_mut();
                let mut buffer = ReadBuf::new(&mut scratch);
                ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
                self.carry.extend_from_slice(buffer.filled());
                buffer.filled().len()
            }
        };
        self.much = count >= MUCH;
        self.ended = count == 0;
        self.read += count as u64;
        Poll::Ready(Ok(()))
    }

    /// The stream has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// What the next bytes are, framing left out.
    fn step(&mut self, headers: &mut Headers) -> Result<Step, Broken> {
        loop {
            match self.body.advance(&self.carry, headers) {
                BodyStep::Forward(count) => {
                    return Ok(Step::Data(self.carry.split_to(count).freeze()));
                }
                BodyStep::Frame(count) | BodyStep::Drop(count) => self.carry.advance(count),
                BodyStep::Trailers { consumed, .. } => {
                    let section = self.carry.split_to(consumed).freeze();
                    let fields = to_h2::trailers(&section, headers)
                        .map_err(|no_form| Broken::Malformed(no_form.0))?;
                    self.trailers = Some(fields);
                    return Ok(Step::Trailers);
                }
                BodyStep::End => return Ok(Step::End),
                BodyStep::NeedMore => return Ok(Step::NeedMore),
                BodyStep::Malformed(reason) => return Err(Broken::Unreadable(reason)),
            }
        }
    }

    /// Takes framing off that has come already. True when the message ends here.
    fn skip_framing(&mut self, headers: &mut Headers) -> Result<bool, Broken> {
        loop {
            match self.peek(headers) {
                Peeked::Framing(count) => self.carry.advance(count),
                Peeked::End => return Ok(true),
                Peeked::Other => return Ok(false),
            }
        }
    }

    /// What comes next, if it is framing: data is left for the next piece.
    fn peek(&mut self, headers: &mut Headers) -> Peeked {
        let mut body = self.body.clone();
        match body.advance(&self.carry, headers) {
            BodyStep::Frame(count) | BodyStep::Drop(count) => {
                self.body = body;
                Peeked::Framing(count)
            }
            BodyStep::End => Peeked::End,
            _ => Peeked::Other,
        }
    }
}

enum Step {
    Data(Bytes),
    Trailers,
    End,
    NeedMore,
}

enum Peeked {
    Framing(usize),
    End,
    Other,
}
