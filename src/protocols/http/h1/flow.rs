//! One direction of an exchange: a head that is written, and a body on its way from one side to the other.
//!
//! Bytes are read into the worker's scratch buffer and written on in the same poll; only what the other side does not take at once is
//! kept. So a body of any size passes through a bounded buffer, and a side that reads slowly stops the side that sends.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use narrows_parsers::http1::{Body, BodyStep, Framing, Headers, Malformed};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use crate::protocols::inbox::{Buffers, Inbox};
use crate::protocols::relay::Scratch;
use crate::stream::Stream;

/// One direction of an exchange.
pub(super) struct Flow {
    body: Body,
    /// Whether what stands around chunks is passed on: not to a client of HTTP/1.0.
    frames: bool,
    /// Bytes of the body that may still come, where that is limited.
    allowance: Option<u64>,
    /// What is to be written, from `at` on.
    out: Vec<u8>,
    at: usize,
    /// What has been written is kept: the message may have to be sent again.
    keeps: bool,
    /// The source has ended, and so the body.
    source_ended: bool,
    /// Trailer fields that were left out.
    pub(super) trailers_dropped: usize,
    /// Bytes of the body taken from the source.
    pub(super) taken: u64,
    /// Bytes written to the sink.
    pub(super) written: u64,
}

/// Why a flow does not go on.
#[derive(Debug)]
pub(super) enum Broken {
    /// The source failed, or ended before the body was whole.
    Source,
    /// The sink failed.
    Sink,
    /// The body is malformed.
    Malformed(Malformed),
    /// The body is larger than what is allowed.
    TooLarge,
}

/// What the worker lends to a flow for one poll.
#[derive(Clone, Copy)]
pub(super) struct Lent<'a> {
    pub(super) scratch: &'a Scratch,
    pub(super) headers: &'a RefCell<Headers>,
}

impl Flow {
    /// A message whose head is in `out`, with a body of that framing behind it.
    pub(super) fn new(out: Vec<u8>, framing: Framing) -> Self {
        Self {
            body: Body::new(framing),
            frames: true,
            allowance: None,
            out,
            at: 0,
            keeps: false,
            source_ended: false,
            trailers_dropped: 0,
            taken: 0,
            written: 0,
        }
    }

    /// The same, with a body that may have so many bytes.
    pub(super) fn at_most(self, allowance: Option<u64>) -> Self {
        Self { allowance, ..self }
    }

    /// A head that is kept until the body is more than what came with it, so that the message can be sent again.
    pub(super) fn start(&mut self, head: Vec<u8>) {
        self.out = head;
        self.keeps = true;
    }

    /// What is written in front of the body. Whatever waits to be written stays in front of it.
    pub(super) fn head(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// The body that follows the head.
    pub(super) fn set_body(&mut self, framing: Framing, frames: bool) {
        self.body = Body::new(framing);
        self.frames = frames;
    }

    /// The source has nothing more for this message.
    pub(super) fn has_all(&self) -> bool {
        self.body.is_done() || self.source_ended
    }

    /// Begins anew. False when what was written is not there any more.
    pub(super) fn rewind(&mut self) -> bool {
        let whole = self.keeps && self.body.is_done();
        if whole {
            self.at = 0;
            self.written = 0;
        }
        whole
    }

    /// Something waits for the sink to take it.
    pub(super) fn waits_for_sink(&self) -> bool {
        self.at < self.out.len()
    }

    /// What has not come yet of the body.
    pub(super) fn rest(&self) -> &Body {
        &self.body
    }

    /// What has not come yet of the body, to be passed over.
    pub(super) fn rest_mut(&mut self) -> &mut Body {
        &mut self.body
    }

    /// Gives its memory back.
    pub(super) fn recycle(&mut self, buffers: &Buffers) {
        buffers.give_back(std::mem::take(&mut self.out));
        self.at = 0;
    }

    /// Moves the message on until the sink has all of it.
    pub(super) fn poll(
        &mut self,
        source: &mut Stream,
        inbox: &mut Inbox,
        sink: &mut Stream,
        lent: Lent<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        loop {
            ready!(self.poll_write(sink, cx)).map_err(|_| Broken::Sink)?;
            if self.has_all() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_more(source, inbox, sink, lent, cx))?;
        }
    }

    /// Takes more of the body from the source, once all that was taken before has been written.
    pub(super) fn poll_more(
        &mut self,
        source: &mut Stream,
        inbox: &mut Inbox,
        sink: &mut Stream,
        lent: Lent<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        match self.take_from(inbox, lent.headers)? {
            true => Poll::Ready(Ok(())),
            false => self.poll_pass(source, inbox, sink, lent, cx),
        }
    }

    /// Writes what waits for it.
    pub(super) fn poll_write(
        &mut self,
        sink: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(rest) = self.out.get(self.at..).filter(|rest| !rest.is_empty()) {
            let count = ready!(Pin::new(&mut *sink).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.at += count;
            self.written += count as u64;
        }
        if !(self.keeps && self.body.is_done()) {
            self.out.clear();
            self.at = 0;
            self.keeps = false;
        }
        match sink.needs_flush() {
            true => Pin::new(sink).poll_flush(cx),
            false => Poll::Ready(Ok(())),
        }
    }

    /// Takes what has come of the body already. False when there is nothing that helps.
    pub(super) fn take_from(
        &mut self,
        inbox: &mut Inbox,
        headers: &RefCell<Headers>,
    ) -> Result<bool, Broken> {
        let length = inbox.bytes().len();
        if length == 0 || self.has_all() {
            return Ok(false);
        }
        let bytes = inbox.message_mut(length);
        let sifted = self.sift(bytes, &mut headers.borrow_mut())?;
        let kept = bytes.get(..sifted.kept).unwrap_or_default();
        self.out.extend_from_slice(kept);
        inbox.consume(sifted.taken);
        Ok(sifted.taken > 0)
    }

    /// Reads what comes, and writes it on in the same breath.
    fn poll_pass(
        &mut self,
        source: &mut Stream,
        inbox: &mut Inbox,
        sink: &mut Stream,
        lent: Lent<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        let mut scratch = lent.scratch.borrow_mut();
        let mut read = ReadBuf::new(&mut scratch);
        let polled = ready!(Pin::new(source).poll_read(cx, &mut read));
        polled.map_err(|_| Broken::Source)?;
        let count = read.filled().len();
        if count == 0 {
            if !self.body.may_end() {
                return Poll::Ready(Err(Broken::Source));
            }
            self.source_ended = true;
            return Poll::Ready(Ok(()));
        }
        let bytes = scratch.get_mut(..count).unwrap_or_default();
        if !inbox.is_empty() {
            // Part of a trailer section, of which more has come now.
            inbox.push(bytes);
            return Poll::Ready(Ok(()));
        }
        let sifted = self.sift(bytes, &mut lent.headers.borrow_mut())?;
        let behind = bytes.get(sifted.taken..).unwrap_or_default();
        if !behind.is_empty() {
            inbox.push(behind);
        }
        let mut rest = bytes.get(..sifted.kept).unwrap_or_default();
        while !rest.is_empty() {
            match Pin::new(&mut *sink).poll_write(cx, rest) {
                Poll::Ready(Ok(count @ 1..)) => {
                    self.written += count as u64;
                    rest = rest.get(count..).unwrap_or_default();
                }
                Poll::Ready(_) => return Poll::Ready(Err(Broken::Sink)),
                Poll::Pending => {
                    self.out.extend_from_slice(rest);
                    break;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Goes through bytes of the body, and moves those that are passed on to the front.
    fn sift(&mut self, bytes: &mut [u8], headers: &mut Headers) -> Result<Sifted, Broken> {
        let mut sifted = Sifted { kept: 0, taken: 0 };
        loop {
            let rest = bytes.get(sifted.taken..).unwrap_or_default();
            match self.body.advance(rest, headers) {
                BodyStep::Forward(count) => {
                    self.allow(count)?;
                    sifted.keep(bytes, count);
                }
                BodyStep::Frame(count) if self.frames => sifted.keep(bytes, count),
                BodyStep::Frame(count) | BodyStep::Drop(count) => sifted.taken += count,
                BodyStep::Trailers { consumed, dropped } => {
                    self.trailers_dropped += dropped;
                    match (self.frames, dropped) {
                        (false, _) => sifted.taken += consumed,
                        (true, 0) => sifted.keep(bytes, consumed),
                        (true, _) => sifted.keep_trailers(bytes, consumed, headers),
                    }
                }
                BodyStep::End | BodyStep::NeedMore => break,
                BodyStep::Malformed(reason) => return Err(Broken::Malformed(reason)),
            }
        }
        self.taken += sifted.taken as u64;
        Ok(sifted)
    }

    fn allow(&mut self, count: usize) -> Result<(), Broken> {
        if let Some(allowance) = &mut self.allowance {
            *allowance = allowance
                .checked_sub(count as u64)
                .ok_or(Broken::TooLarge)?;
        }
        Ok(())
    }
}

/// How far bytes have been gone through. What is kept stands at their front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sifted {
    kept: usize,
    taken: usize,
}

impl Sifted {
    /// Keeps the next bytes.
    fn keep(&mut self, bytes: &mut [u8], count: usize) {
        self.keep_span(bytes, self.taken, count);
        self.taken += count;
    }

    /// Keeps the lines of the trailer fields that may stand there, and the empty line.
    fn keep_trailers(&mut self, bytes: &mut [u8], consumed: usize, headers: &Headers) {
        let section = self.taken;
        for field in headers {
            self.keep_span(bytes, section + field.line.start as usize, field.line.len());
        }
        self.taken += consumed;
        self.keep_span(bytes, self.taken.saturating_sub(2), 2);
    }

    fn keep_span(&mut self, bytes: &mut [u8], from: usize, count: usize) {
        if from != self.kept && from + count <= bytes.len() {
            bytes.copy_within(from..from + count, self.kept);
        }
        self.kept += count;
    }
}
