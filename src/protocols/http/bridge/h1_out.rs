//! What is on its way to an HTTP/1 side: heads and framing in a buffer, a large piece of a body beside it, written together.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use tokio::io::AsyncWrite;

use super::side::Broken;
use super::to_h1::{self, Framing};
use crate::stream::Stream;

/// Pieces up to this size are copied behind the head they follow: the copy costs less than another part of a vectored write.
const COPIED: usize = 1024;

/// More than this is written before more is taken: a quarter of what a socket takes at once by default (`tcp_wmem`).
const MUCH: usize = 16 * 1024;

/// The room of the buffer that is kept: a usual head.
const KEPT: usize = 4 * 1024;

/// Bytes for one HTTP/1 peer.
#[derive(Debug)]
pub(super) struct Out {
    /// Heads, framing, and small pieces; written up to `at`.
    text: Vec<u8>,
    at: usize,
    /// Follows `text`.
    body: Bytes,
    /// Follows `body`.
    tail: &'static [u8],
    framing: Framing,
    /// The stream ends when all has been written.
    ends: bool,
    /// Bytes that the announced length still promises.
    promised: u64,
    written: u64,
}

impl Out {
    /// Nothing is to be written yet.
    pub(super) fn new() -> Self {
        Self {
            text: Vec::new(),
            at: 0,
            body: Bytes::new(),
            tail: b"",
            framing: Framing::None,
            ends: false,
            promised: 0,
            written: 0,
        }
    }

    /// Takes a head, whose body is framed like this.
    pub(super) fn head(&mut self, framing: Framing, write: impl FnOnce(&mut Vec<u8>)) {
        self.text.reserve(512);
        write(&mut self.text);
        self.framing = framing;
        self.promised = match framing {
            Framing::Length(length) => length,
            _ => 0,
        };
    }

    /// Takes text that is no part of a message with a body: an interim head.
    pub(super) fn interim(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.text);
    }

    /// Bytes written since this was made.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// All has been written.
    pub(super) fn is_empty(&self) -> bool {
        self.at == self.text.len() && self.body.is_empty() && self.tail.is_empty()
    }

    /// All has been written that its head has announced: the peer takes the message for whole, though its end may not have come here yet.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.framing, Framing::Length(_)) && self.promised == 0 && self.is_empty()
    }

    /// How much of `wanted` may be put.
    pub(super) fn poll_room(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        wanted: usize,
    ) -> Poll<io::Result<usize>> {
        let is_open = self.body.is_empty() && self.tail.is_empty();
        if !is_open || self.text.len() - self.at > MUCH {
            ready!(self.poll_write(stream, cx))?;
        }
        Poll::Ready(Ok(wanted))
    }

    /// Takes a piece of the body. There is room.
    ///
    /// # Errors
    /// When it is not as long as its head has said.
    pub(super) fn put(&mut self, bytes: Bytes, last: bool) -> Result<(), Broken> {
        match self.framing {
            Framing::Tunnel => self.ends = last,
            Framing::Length(_) => self.keep_promise(bytes.len(), last)?,
            Framing::None if !bytes.is_empty() => return Err(Broken::Malformed("body_unexpected")),
            _ => {}
        }
        let is_chunk = self.framing == Framing::Chunked && !bytes.is_empty();
        if is_chunk {
            to_h1::write_chunk_size(bytes.len(), &mut self.text);
        }
        let tail: &[u8] = match (self.framing, is_chunk, last) {
            (Framing::Chunked, true, true) => b"\r\n0\r\n\r\n",
            (Framing::Chunked, true, false) => b"\r\n",
            (Framing::Chunked, false, true) => b"0\r\n\r\n",
            _ => b"",
        };
        if bytes.len() <= COPIED {
            self.text.extend_from_slice(&bytes);
            self.text.extend_from_slice(tail);
        } else {
            self.body = bytes;
            self.tail = tail;
        }
        Ok(())
    }

    /// Ends the message.
    ///
    /// # Errors
    /// When it is not as long as its head has said.
    pub(super) fn finish(&mut self, trailers: Option<&HeaderMap>) -> Result<(), Broken> {
        match self.framing {
            Framing::Length(_) => self.keep_promise(0, true),
            Framing::Chunked if self.body.is_empty() && self.tail.is_empty() => {
                to_h1::write_last_chunk(trailers, &mut self.text);
                Ok(())
            }
            // A large piece waits in front: its tail is the end of a chunk.
            Framing::Chunked => {
                self.text.drain(..self.at);
                self.at = 0;
                self.text.extend_from_slice(&std::mem::take(&mut self.body));
                self.text.extend_from_slice(std::mem::take(&mut self.tail));
                to_h1::write_last_chunk(trailers, &mut self.text);
                Ok(())
            }
            Framing::Tunnel => {
                self.ends = true;
                Ok(())
            }
            Framing::None | Framing::UntilClose => Ok(()),
        }
    }

    /// Writes all there is.
    pub(super) fn poll_write(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let text = self.text.get(self.at..).unwrap_or_default();
            let parts = [
                IoSlice::new(text),
                IoSlice::new(&self.body),
                IoSlice::new(self.tail),
            ];
            let count = match self.body.is_empty() && self.tail.is_empty() {
                true => ready!(Pin::new(&mut *stream).poll_write(cx, text))?,
                false => ready!(Pin::new(&mut *stream).poll_write_vectored(cx, &parts))?,
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.took(count);
        }
        self.text.clear();
        self.text.shrink_to(KEPT);
        self.at = 0;
        match (self.ends, stream.needs_flush()) {
            (true, _) => Pin::new(stream).poll_shutdown(cx),
            (false, true) => Pin::new(stream).poll_flush(cx),
            (false, false) => Poll::Ready(Ok(())),
        }
    }

    fn took(&mut self, count: usize) {
        self.written += count as u64;
        let of_text = count.min(self.text.len() - self.at);
        self.at += of_text;
        let of_body = (count - of_text).min(self.body.len());
        self.body.advance(of_body);
        let of_tail = count - of_text - of_body;
        self.tail = self.tail.get(of_tail..).unwrap_or_default();
    }

    fn keep_promise(&mut self, length: usize, last: bool) -> Result<(), Broken> {
        let broken = Broken::Malformed("content_length_mismatch");
        self.promised = self.promised.checked_sub(length as u64).ok_or(broken)?;
        match last && self.promised > 0 {
            true => Err(broken),
            false => Ok(()),
        }
    }
}
