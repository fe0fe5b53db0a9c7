//! The task of a trunk: opens its connection, writes what sessions put into it, and gives each reply to the client that it belongs to.
//!
//! A reply belongs to the first request that waits. There is nothing else on such a connection: no push, no second reply, no reply that
//! nobody waits for. Whatever does not fit ends the connection, and those of all clients that wait on it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use narrows_parsers::Step;
use narrows_parsers::redis::{Kind, ReplyDecoder};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::asked::{Answered, Asked};
use super::errors::Refusal;
use super::redirect;
use super::trunk::{Trunk, Waiting};
use super::trunks::Trunks;
use crate::exchange::Outcome;
use crate::protocols::relay::Scratch;
use crate::stats::Cluster;
use crate::upstream::pool::{CloseReason, Lease, Tenure};

/// How often a connection that nobody speaks on looks whether its pool still wants it.
const REVIEW: Duration = Duration::from_secs(1);

/// Longest error that is held until it is whole: what it says may be for the proxy.
const MAX_ERROR: usize = 64 * 1024;

/// A trunk whose connection is open.
pub(super) struct Carrier {
    trunk: Rc<Trunk>,
    trunks: Rc<Trunks>,
    lease: Lease,
    tenure: Option<Tenure>,
    replies: ReplyDecoder,
    scratch: Scratch,
    review: Interval,
    /// When the first byte of the reply came that is being read.
    reply_began: Instant,
    /// A part of it has been given to its client.
    is_partly_given: bool,
    /// What has come of an error.
    error: Vec<u8>,
}

/// Why a trunk ends.
enum End {
    /// Nobody uses it: it goes back to the pool.
    Unused,
    /// In order, with nothing under way.
    Retired(CloseReason),
    /// The server ended it, or it failed.
    Lost,
    /// What came does not fit.
    Doubt,
}

/// Opens the connection of a trunk and carries requests and replies until it ends, or nobody uses it any more.
pub(super) async fn carry(trunk: Rc<Trunk>, trunks: Rc<Trunks>, scratch: Scratch) {
    match trunks.lease(trunk.endpoint.as_ref(), trunk.profile).await {
        Ok(lease) => {
            trunk.opened(lease.endpoint());
            Carrier::new(&trunk, &trunks, lease, scratch).run().await;
        }
        Err(error) => {
            tracing::debug!(cluster = %trunks.cluster().name, %error, "no connection for clients to share");
            trunk.close();
            trunks.failed(trunk.profile);
            let refusal = Refusal::from(error);
            let waiting = std::mem::take(&mut trunk.queue.borrow_mut().waiting);
            for asked in waiting.into_iter().filter_map(Waiting::asked) {
                asked.refuse(&refusal, &trunks.cluster().name);
            }
        }
    }
    trunk.close();
    for session in std::mem::take(&mut trunk.queue.borrow_mut().sessions) {
        session.wake();
    }
    trunks.forget(&trunk);
}

impl Carrier {
    fn new(trunk: &Rc<Trunk>, trunks: &Rc<Trunks>, lease: Lease, scratch: Scratch) -> Self {
        let mut review = interval(REVIEW);
        review.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            trunk: Rc::clone(trunk),
            trunks: Rc::clone(trunks),
            tenure: lease.tenure(),
            lease,
            replies: ReplyDecoder::new(),
            scratch,
            review,
            reply_began: Instant::now(),
            is_partly_given: false,
            error: Vec::new(),
        }
    }

    async fn run(mut self) {
        let end = std::future::poll_fn(|cx| self.poll(cx)).await;
        self.trunk.close();
        match end {
            End::Unused => self.lease.checkin(Instant::now()),
            End::Retired(reason) => self.lease.discard(reason),
            End::Lost => {
                self.give_up();
                self.trunks.failed(self.trunk.profile);
                self.lease.discard(CloseReason::UpstreamError);
            }
            End::Doubt => {
                self.break_off();
                self.lease.discard(CloseReason::ProtocolError);
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.wakes(cx);
        // Before anything is written: what has come by now is no reply to it.
        while let Poll::Ready(read) = self.poll_read(cx) {
            if let Err(end) = read {
                return Poll::Ready(end);
            }
        }
        if let Poll::Ready(Err(end)) = self.poll_write(cx) {
            return Poll::Ready(end);
        }
        while self.review.poll_tick(cx).is_ready() {
            self.trunks.review(self.trunk.profile);
            let tenure = self.tenure.as_ref();
            if let Some(reason) = tenure.and_then(|tenure| tenure.ended(Instant::now())) {
                self.trunk.close();
                if self.is_at_rest() {
                    return Poll::Ready(End::Retired(reason));
                }
            }
        }
        match self.trunk.users.get() == 0 && self.is_at_rest() {
            true => Poll::Ready(End::Unused),
            false => Poll::Pending,
        }
    }

    fn wakes(&self, cx: &Context<'_>) {
        let carrier = &mut self.trunk.queue.borrow_mut().carrier;
        match carrier.as_ref() {
            Some(known) if known.will_wake(cx.waker()) => {}
            _ => *carrier = Some(cx.waker().clone()),
        }
    }

    fn is_at_rest(&self) -> bool {
        self.trunk.is_at_rest() && self.replies.is_between_messages()
    }

    /// Writes what has gathered. The clock is read before the write: the server may have answered by the time it returns.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let Self { trunk, lease, .. } = self;
        let queue = &mut *trunk.queue.borrow_mut();
        while !queue.bytes.is_empty() {
            let now = Instant::now();
            let rest = queue.bytes.get(queue.gone..).unwrap_or_default();
            let count = match Pin::new(lease.stream()).poll_write(cx, rest) {
                Poll::Ready(Ok(count @ 1..)) => count,
                Poll::Ready(_) => return Poll::Ready(Err(End::Lost)),
                Poll::Pending => return Poll::Pending,
            };
            lease.moved(0, count as u64);
            queue.wrote(count, now);
        }
        if lease.stream().needs_flush() {
            match Pin::new(lease.stream()).poll_flush(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(End::Lost)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        if let Some(Waiting::Asked(first)) = self.trunk.queue.borrow().waiting.front()
            && first.client().blocks(cx)
        {
            return Poll::Pending;
        }
        let scratch = Rc::clone(&self.scratch);
        let mut buffer = scratch.borrow_mut();
        let mut read = ReadBuf::new(&mut buffer);
        match Pin::new(self.lease.stream()).poll_read(cx, &mut read) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(Err(End::Lost)),
            Poll::Pending => return Poll::Pending,
        }
        let bytes = read.filled();
        if bytes.is_empty() {
            return Poll::Ready(Err(End::Lost));
        }
        self.lease.moved(bytes.len() as u64, 0);
        Poll::Ready(self.deliver(bytes))
    }

    /// Gives each reply to the client whose request is the first that waits.
    fn deliver(&mut self, bytes: &[u8]) -> Result<(), End> {
        let read_at = Instant::now();
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.replies.is_between_messages() {
                self.reply_began = read_at;
                if !self.trunk.queue.borrow().is_written() {
                    return Err(End::Doubt);
                }
            }
            match self.replies.advance(rest) {
                Step::Malformed(_) => return Err(End::Doubt),
                Step::NeedMore => return self.hand_on(rest),
                // Nothing but replies comes on a connection that clients share.
                Step::Message { message, .. } if message.kind == Kind::Push => {
                    return Err(End::Doubt);
                }
                Step::Message { consumed, message } => {
                    let next = self.trunk.queue.borrow_mut().next_answered();
                    let (reply, after) = rest.split_at_checked(consumed).unwrap_or_default();
                    rest = after;
                    // What is lost from here on is another one's.
                    self.is_partly_given = false;
                    let mut error = std::mem::take(&mut self.error);
                    let reply = match error.is_empty() {
                        true => reply,
                        false => {
                            error.extend_from_slice(reply);
                            &error
                        }
                    };
                    let answered = Answered {
                        outcome: match message.is_error() {
                            true => Outcome::Error,
                            false => Outcome::Success,
                        },
                        bytes: message.bytes,
                        first_byte: self.reply_began,
                        last_byte: read_at,
                    };
                    match next {
                        None => return Err(End::Doubt),
                        Some(Waiting::Unheard) => {}
                        Some(Waiting::Asked(asked)) => {
                            let from = self.lease.endpoint();
                            asked.client().listener.reply_seen(&message);
                            match message.is_error() && !self.is_partly_given {
                                false => asked.answer(reply, answered),
                                true => redirect::answer_error(
                                    &self.trunks,
                                    (from, self.trunk.profile),
                                    asked,
                                    reply,
                                    &message,
                                    answered,
                                    &self.scratch,
                                ),
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// A part of a reply goes to its client at once, but for an error's: what that says may be for the proxy. Nothing that is not a reply
    /// is given to anybody, not even its beginning.
    fn hand_on(&mut self, part: &[u8]) -> Result<(), End> {
        let kind = self.replies.pending_kind();
        if kind == Some(Kind::Push) {
            return Err(End::Doubt);
        }
        let queue = self.trunk.queue.borrow();
        match queue.waiting.front() {
            None => Err(End::Doubt),
            Some(Waiting::Unheard) => Ok(()),
            Some(Waiting::Asked(first)) => {
                let is_held = kind == Some(Kind::Error) && !self.is_partly_given;
                if is_held && self.error.len() + part.len() <= MAX_ERROR {
                    self.error.extend_from_slice(part);
                    return Ok(());
                }
                if !first.client().is_gone() {
                    // So long a one is a script's, which may make any.
                    let error = std::mem::take(&mut self.error);
                    if !error.is_empty() {
                        first.hand_on(&error);
                    }
                    first.hand_on(part);
                    self.is_partly_given = true;
                }
                Ok(())
            }
        }
    }

    /// The connection is gone: whoever waits is told, unless a part of a reply has been given to it.
    fn give_up(&self) {
        let (waiting, written) = self.take_waiting();
        let mut is_partly_given = self.is_partly_given;
        for asked in waiting.into_iter().filter_map(Waiting::asked) {
            if std::mem::take(&mut is_partly_given) {
                asked.cut();
                continue;
            }
            let endpoint = self.lease.endpoint().name.clone();
            let refusal = match asked.start < written {
                true => Refusal::LostAfter { endpoint },
                false => Refusal::LostBefore { endpoint },
            };
            asked.refuse(&refusal, &self.trunks.cluster().name);
        }
    }

    /// Nobody knows whose the next reply is: nobody gets one. What has not been sent has none coming, and its client is told so.
    fn break_off(&self) {
        let (trunks, endpoint) = (&self.trunks, &self.lease.endpoint().name);
        trunks.stats().inc(Cluster::UPSTREAM_CX_PROTOCOL_ERROR);
        tracing::warn!(cluster = %trunks.cluster().name, %endpoint, "a server sent what no request asked for; its connection and those of the clients that waited on it are closed");
        let (waiting, written) = self.take_waiting();
        for asked in waiting.into_iter().filter_map(Waiting::asked) {
            match asked.start < written {
                true => asked.cut(),
                false => {
                    let endpoint = endpoint.clone();
                    asked.refuse(&Refusal::LostBefore { endpoint }, &trunks.cluster().name);
                }
            }
        }
    }

    /// All that wait, and how many bytes of requests have been written.
    fn take_waiting(&self) -> (VecDeque<Waiting>, u64) {
        let queue = &mut *self.trunk.queue.borrow_mut();
        (std::mem::take(&mut queue.waiting), queue.bytes_written())
    }
}

impl Waiting {
    fn asked(self) -> Option<Asked> {
        match self {
            Self::Asked(asked) => Some(asked),
            Self::Unheard => None,
        }
    }
}
