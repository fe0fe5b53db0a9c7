//! accept → decode: the next request of a client, as it comes.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use narrows_parsers::mongo::{RequestDecoder, Step, inflate_message};
use tokio::io::{AsyncRead as _, ReadBuf};

use super::operation::{Operation, Who};
use super::{End, Session};
use crate::exchange::CloseReason;
use crate::listener::sessions::Verdict;
use crate::protocols::inbox::Inbox;
use crate::protocols::relay::Scratch;
use crate::stream::Stream;

/// A request that is larger is passed on as it comes, when nothing speaks against it: as much as is read at once in tap mode.
const STREAM_BYTES: usize = 64 * 1024;

/// Bytes that are read ahead of a client while its operation is under way: drivers send nothing then, but for requests that follow an
/// unacknowledged write. A client that sends more has to wait.
const READ_AHEAD_BYTES: usize = 64 * 1024;

impl Session<'_> {
    /// Reads until a request is whole.
    pub(super) async fn next_request(&mut self) -> Result<Operation, End> {
        loop {
            if let Some(operation) = self.decode()? {
                return Ok(operation);
            }
            if self.inbox.seen() >= STREAM_BYTES
                && let Some(operation) = self.begun()
            {
                return Ok(operation);
            }
            if self.inbox.is_over_budget() {
                self.overflowed = true;
                return self.skip_rest().await;
            }
            self.fill().await?;
        }
    }

    /// A large request of which enough is known to pass it on.
    fn begun(&self) -> Option<Operation> {
        // Where there is one server, it need not be chosen.
        let chooses = self.listener.servers.now().members.len() > 1;
        let pending = self.requests.pending(chooses)?;
        let mut operation = Operation::of(&pending, &self.listener.pins, false);
        operation.complete = false;
        (operation.streams() && self.identity.may_operate()).then_some(operation)
    }

    /// Reads a request to its end without keeping it.
    pub(super) async fn skip_rest(&mut self) -> Result<Operation, End> {
        loop {
            self.pass_seen();
            if self.inbox.unseen().is_empty() {
                self.fill().await?;
            }
            if let Some(operation) = self.decode()? {
                return Ok(operation);
            }
        }
    }

    /// Lets go of the bytes of the request that have been decoded, before its end has come.
    pub(super) fn pass_seen(&mut self) {
        let seen = self.inbox.seen();
        self.inbox.consume(seen);
        self.gone += seen;
    }

    /// Looks at what has come. `None` when it is not a whole request yet.
    pub(super) fn decode(&mut self) -> Result<Option<Operation>, End> {
        let unseen = self.inbox.unseen();
        if unseen.is_empty() {
            return Ok(None);
        }
        if self.requests.is_between_messages() {
            self.pairs.request_begins();
        }
        let (seen, operation) = match self.requests.advance(unseen) {
            Step::NeedMore => (unseen.len(), None),
            Step::Malformed(reason) => {
                self.listener.mongo.decoding_error(reason.label());
                return Err(End::by_us(CloseReason::Malformed));
            }
            Step::Message { consumed, message } => {
                let long_waits = &self.listener.mongo.long_waits;
                let waits = message.command == b"getMore"
                    && message.cursor_id.is_some_and(|id| long_waits.contains(id));
                let mut operation = Operation::of(&message, &self.listener.pins, waits);
                if matches!(operation.who, Who::Upstream(_)) && !self.identity.may_operate() {
                    operation.command = message.command.into();
                }
                self.requests_read += 1;
                if self.pairs.request(&message, self.requests_read).is_err() {
                    return Err(End::by_us(CloseReason::Malformed));
                }
                let opened = message.incomplete;
                (consumed, Some((operation, opened)))
            }
        };
        self.inbox.saw(seen);
        match operation {
            None => Ok(None),
            Some((operation, false)) => Ok(Some(operation)),
            Some((operation, true)) => self.decode_opened(operation).map(Some),
        }
    }

    /// The decoder inflates no more than statistics need. Where an operation goes is decided by all of it.
    fn decode_opened(&self, compressed: Operation) -> Result<Operation, End> {
        let malformed = End::by_us(CloseReason::Malformed);
        if self.gone > 0 {
            return Ok(compressed);
        }
        let message = inflate_message(self.message(&compressed)).map_err(|_| malformed)?;
        let mut decoder = RequestDecoder::new();
        let Step::Message { message, .. } = decoder.advance(&message) else {
            return Err(malformed);
        };
        Ok(Operation {
            length: compressed.length,
            compressor: compressed.compressor,
            ..Operation::of(&message, &self.listener.pins, false)
        })
    }

    /// Waits for bytes of the client. Between two requests it may be told to end.
    pub(super) async fn fill(&mut self) -> Result<(), End> {
        let quiet = self.inbox.is_empty() && self.gone == 0;
        poll_fn(|cx| {
            match self.handle.verdict(cx) {
                Verdict::Abort => return Poll::Ready(Err(End::by_us(CloseReason::Aborted))),
                Verdict::Idle => return Poll::Ready(Err(End::by_us(CloseReason::IdleTimeout))),
                Verdict::Drain if quiet => {
                    return Poll::Ready(Err(End::by_us(CloseReason::Drained)));
                }
                Verdict::Drain | Verdict::Go => {}
            }
            let read = ready!(poll_read(
                &mut self.client,
                &self.scratch,
                &mut self.inbox,
                cx
            ));
            Poll::Ready(read.map(|count| {
                self.received += count as u64;
                self.handle.touch();
            }))
        })
        .await
    }

    /// Ready when the client has left while its operation is under way. What it sends meanwhile is kept.
    pub(super) fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        while self.inbox.unseen().len() < READ_AHEAD_BYTES {
            match ready!(poll_read(
                &mut self.client,
                &self.scratch,
                &mut self.inbox,
                cx
            )) {
                Ok(count) => self.received += count as u64,
                Err(end) => return Poll::Ready(end),
            }
        }
        Poll::Pending
    }

    /// As [`Self::poll_left`], to wait for; also ready when the process ends at once.
    pub(super) async fn left(&mut self) -> End {
        poll_fn(|cx| match self.handle.verdict(cx) {
            Verdict::Abort => Poll::Ready(End::by_us(CloseReason::Aborted)),
            _ => self.poll_left(cx),
        })
        .await
    }
}

/// Reads some bytes; an end of the stream is an end of the session, for no driver closes one half of its connection only.
///
/// The worker's scratch buffer has room for more than what has come: tokio then knows that there is no more, and asks the system no
/// second time.
fn poll_read(
    client: &mut Stream,
    scratch: &Scratch,
    inbox: &mut Inbox,
    cx: &mut Context<'_>,
) -> Poll<Result<usize, End>> {
    let mut scratch = scratch.borrow_mut();
    let mut read = ReadBuf::new(&mut scratch);
    match ready!(Pin::new(client).poll_read(cx, &mut read)) {
        // Between messages, whose length is known, an end of TLS without notice tells no less.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
        read => read.map_err(|_| End::CLIENT_RESET)?,
    }
    match read.filled() {
        [] => Poll::Ready(Err(End::CLIENT_FINISHED)),
        bytes => {
            inbox.push(bytes);
            Poll::Ready(Ok(bytes.len()))
        }
    }
}
