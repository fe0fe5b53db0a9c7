//! One client in mode collapse.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use narrows_parsers::redis::RequestDecoder;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::CollapseListener;
use super::client::{Client, Finishing};
use super::decide::{Answer, Stay};
use super::errors::Refusal;
use super::identity::Identity;
use super::rides::Rides;
use crate::exchange::{CloseReason, Outcome};
use crate::listener::sessions::{Alarm, SessionHandle, Ticks, Verdict};
use crate::protocols::redis::commands::RecentCommands;
use crate::protocols::redis::report::Application;
use crate::protocols::relay::{Ended, Scratch};
use crate::stats::Redis;
use crate::stream::Stream;

/// A client that holds up others, because it does not take its replies, has so long to take half of what is held for it.
const STALLED: Duration = Duration::from_secs(5);

/// Longest pause in a large request that is held until it is whole.
const SLOW: Duration = Duration::from_secs(20);

/// Requests of one client that may be under way before more is read of it.
const MAX_AHEAD: usize = 1024;

/// Bytes of replies that a client may have before more is read of it.
const MAX_REPLIES: usize = 64 * 1024;

/// Bytes of a request that is not whole: a larger one streams over a connection of the client's own, so that nobody waits behind it, once
/// its server is known.
pub(super) const MAX_HELD: usize = 64 * 1024;

/// One client connection.
pub struct Session<'a> {
    pub(super) listener: Rc<CollapseListener>,
    pub(super) stream: Stream,
    pub(super) handle: &'a SessionHandle,
    pub(super) scratch: Scratch,
    pub(super) client: Rc<Client>,
    pub(super) requests: RequestDecoder,
    pub(super) recent: RecentCommands,
    /// What has been read and not dealt with, from the first byte of a request on.
    pub(super) held: Vec<u8>,
    /// How many of them have been shown to the decoder.
    pub(super) seen: usize,
    /// When the first of them came.
    pub(super) began: Instant,
    /// When the last of them came.
    pub(super) read_at: Instant,
    /// What the request that is held first needs, when all before it have been answered.
    pub(super) need: Option<Need>,
    pub(super) identity: Identity,
    /// Another one for each session of this worker.
    pub(super) number: usize,
    pub(super) rides: Rides,
    pub(super) application: Option<Application>,
    /// MULTI has been said to the client, and to no server yet: which one depends on the keys that follow.
    pub(super) is_deferred: bool,
    /// What has to change in time.
    timed: Option<Timed>,
    end_of_stream: bool,
    /// Bytes that are held of a large request, and are counted.
    whole: usize,
    /// It waits for nothing but its client.
    is_reading: bool,
    pub(super) received: u64,
    pub(super) sent: u64,
    /// Exchanges on a connection of its own that were cut off.
    pub(super) cut: usize,
}

/// What a client has to go on with in time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Timed {
    /// It holds up others: it has to take half of what is held for it. However little it takes meanwhile, it is not given more time for
    /// that; so often it has taken so much.
    Replies(u32),
    /// So much is held of a large request.
    Request(usize),
}

impl Timed {
    fn longest(self) -> Duration {
        match self {
            Self::Replies(_) => STALLED,
            Self::Request(_) => SLOW,
        }
    }
}

/// What a session can't do without waiting.
pub(super) enum Need {
    /// Nothing more: a trunk is closing, and what goes over another one must not overtake what is on it.
    Rest,
    /// One of its own.
    Own(Stay),
    /// To know which server has which slots, of the cluster at this place.
    Slots(usize),
    /// An answer of the proxy.
    Answer(Answer),
    /// What came is no request.
    Refuse(Refusal),
    /// It is over.
    End(End),
}

/// Why a session can't go on.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) reason: CloseReason,
    pub(super) by_client: bool,
}

impl End {
    pub(super) fn by_us(reason: CloseReason) -> Self {
        Self {
            reason,
            by_client: false,
        }
    }

    fn by_client(reason: CloseReason) -> Self {
        Self {
            reason,
            by_client: true,
        }
    }
}

impl<'a> Session<'a> {
    /// A session with a client that has just connected.
    pub fn new(
        listener: Rc<CollapseListener>,
        stream: Stream,
        handle: &'a SessionHandle,
        scratch: Scratch,
    ) -> Self {
        let client = Client::new(Rc::clone(&listener.redis), Rc::clone(&listener.buffers));
        Self {
            stream,
            handle,
            scratch,
            client,
            requests: RequestDecoder::new(),
            recent: RecentCommands::default(),
            held: Vec::new(),
            seen: 0,
            began: Instant::now(),
            read_at: Instant::now(),
            need: None,
            identity: Identity::of_stranger(&listener.targets),
            number: listener.next_session(),
            rides: Rides::default(),
            application: None,
            listener,
            is_deferred: false,
            timed: None,
            end_of_stream: false,
            whole: 0,
            is_reading: false,
            received: 0,
            sent: 0,
            cut: 0,
        }
    }

    /// Serves the client to its end. Says how that came, and how many requests it cut off.
    pub async fn run(&mut self) -> (Ended, usize) {
        let end = loop {
            let need = std::future::poll_fn(|cx| self.poll(cx)).await;
            // What is rare is not to make every session larger.
            let outcome = match need {
                Need::Rest => Ok(()),
                Need::Own(stay) => Box::pin(self.own(stay)).await,
                Need::Slots(place) => Box::pin(self.know_slots(place)).await,
                Need::Answer(answer) => Box::pin(self.answer(answer)).await,
                Need::Refuse(refusal) => Err(self.refuse_and_close(&refusal, 0)),
                Need::End(end) => Err(end),
            };
            if let Err(end) = outcome {
                break end;
            }
        };
        self.end(end).await
    }

    /// The next thing that has to be waited for. Until then requests are read, decided on and sent, and replies written.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Need> {
        self.client.wakes(cx);
        self.count_whole();
        self.set_alarm();
        if let Some(end) = self.verdict(cx) {
            return Poll::Ready(Need::End(end));
        }
        let polled = self.go_as_far_as_can_be(cx);
        if polled.is_pending() {
            self.set_alarm();
        }
        polled
    }

    fn go_as_far_as_can_be(&mut self, cx: &mut Context<'_>) -> Poll<Need> {
        self.is_reading = false;
        loop {
            if self.client.is_broken() {
                self.stream.reset_on_close();
                let end = End::by_us(CloseReason::UpstreamReset);
                return Poll::Ready(Need::End(end));
            }
            if let Err(end) = self.write(cx) {
                return Poll::Ready(Need::End(end));
            }
            let answered = self.client.waiting() == 0;
            let written = self.client.held() == 0 && !self.stream.needs_flush();
            // What comes over a connection of its own goes straight to the client, and must not overtake what is held for it.
            let is_next = |need: &mut Need| answered && (written || !matches!(need, Need::Own(_)));
            if let Some(need) = self.need.take_if(is_next) {
                return Poll::Ready(need);
            }
            if self.need.is_some() {
                return Poll::Pending;
            }
            if self.seen < self.held.len() && self.may_go_on(cx) {
                self.go_on();
                continue;
            }
            if self.end_of_stream {
                return match answered && written {
                    true => Poll::Ready(Need::End(End::by_client(CloseReason::Finished))),
                    false => Poll::Pending,
                };
            }
            if !self.may_go_on(cx) {
                return Poll::Pending;
            }
            match self.poll_read(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(end)) => return Poll::Ready(Need::End(end)),
                // The last reply has just been written: nobody will wake it again.
                Poll::Pending if self.handle.is_draining() && self.is_idle() => {
                    let end = End::by_us(CloseReason::Drained);
                    return Poll::Ready(Need::End(end));
                }
                Poll::Pending => {
                    self.is_reading = true;
                    return Poll::Pending;
                }
            }
        }
    }

    fn verdict(&mut self, cx: &Context<'_>) -> Option<End> {
        let reason = match self.handle.verdict(cx) {
            Verdict::Idle => CloseReason::IdleTimeout,
            Verdict::Abort => CloseReason::Aborted,
            Verdict::Drain if self.is_idle() => CloseReason::Drained,
            Verdict::Go | Verdict::Drain => match (self.handle.alarm(), self.timed) {
                (Some(Alarm::Late), Some(Timed::Replies(_))) => CloseReason::ClientStalled,
                (Some(Alarm::Late), Some(Timed::Request(_))) => CloseReason::IdleTimeout,
                _ => return None,
            },
        };
        Some(End::by_us(reason))
    }

    /// From now on its client has so long to go on.
    fn set_alarm(&mut self) {
        let timed = match self.client.blocking() {
            Some(taken) => Some(Timed::Replies(taken)),
            None => {
                let is_awaited = self.is_reading && self.whole > 0;
                is_awaited.then_some(Timed::Request(self.whole))
            }
        };
        if timed != self.timed {
            self.timed = timed;
            let deadline = timed.map(|timed| Ticks::of(timed.longest()));
            self.handle.expect(None, deadline);
        }
    }

    fn is_idle(&self) -> bool {
        self.client.waiting() == 0
            && self.client.held() == 0
            && self.held.is_empty()
            && self.need.is_none()
    }

    /// False while enough is under way. Whatever ends that wakes the session.
    fn may_go_on(&self, cx: &Context<'_>) -> bool {
        self.client.waiting() < MAX_AHEAD
            && self.client.kept() < MAX_REPLIES
            && !self.rides.are_full(cx)
    }

    /// report: what has been written to its end is a whole exchange.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        let mut wrote = false;
        while self.client.held() > 0 {
            let stream = &mut self.stream;
            let written =
                self.client
                    .write(|bytes| match Pin::new(&mut *stream).poll_write(cx, bytes) {
                        Poll::Ready(Ok(0)) => Err(Poll::Ready(())),
                        Poll::Ready(Ok(count)) => Ok(count),
                        Poll::Ready(Err(_)) => Err(Poll::Ready(())),
                        Poll::Pending => Err(Poll::Pending),
                    });
            match written {
                Ok(count) => self.sent += count as u64,
                Err(Poll::Ready(())) => return Err(End::by_client(CloseReason::ClientReset)),
                Err(Poll::Pending) => break,
            }
            wrote = true;
        }
        if self.stream.needs_flush() {
            let flushed = Pin::new(&mut self.stream).poll_flush(cx);
            if matches!(flushed, Poll::Ready(Err(_))) {
                return Err(End::by_client(CloseReason::ClientReset));
            }
        }
        if wrote {
            self.handle.touch();
            self.report_written();
        }
        Ok(())
    }

    fn report_written(&self) {
        let now = Instant::now();
        while let Some(mut finished) = self.client.next_finished() {
            finished.timing.end = now;
            finished.exchange.timing = Some(finished.timing);
            self.report(&finished);
        }
    }

    fn report(&self, finished: &Finishing) {
        let application = self.application.as_ref();
        let listener = &self.listener.redis;
        listener.report_of(&finished.exchange, &finished.request, application);
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let scratch = Rc::clone(&self.scratch);
        let mut buffer = scratch.borrow_mut();
        let mut read = ReadBuf::new(&mut buffer);
        match Pin::new(&mut self.stream).poll_read(cx, &mut read) {
            Poll::Ready(Ok(())) => {}
            // TLS that ended without notice between two requests can't have cut one.
            Poll::Ready(Err(error))
                if error.kind() == io::ErrorKind::UnexpectedEof && self.is_idle() => {}
            Poll::Ready(Err(_)) => {
                return Poll::Ready(Err(End::by_client(CloseReason::ClientReset)));
            }
            Poll::Pending => return Poll::Pending,
        }
        let bytes = read.filled();
        if bytes.is_empty() {
            self.end_of_stream = true;
            return Poll::Ready(Ok(()));
        }
        self.handle.touch();
        self.received += bytes.len() as u64;
        let before = self.client.waiting();
        self.take(bytes);
        self.count_whole();
        let ahead = self.client.waiting();
        if ahead > before {
            let stats = &self.listener.redis.stats;
            stats.record(Redis::PIPELINE_DEPTH, ahead as u64);
        }
        Poll::Ready(Ok(()))
    }

    /// What is beyond what every client may hold is counted for all of them together.
    pub(super) fn count_whole(&mut self) {
        let now = self.held.len().saturating_sub(MAX_HELD);
        if now != self.whole {
            self.listener.hold_whole(now, self.whole);
            self.whole = now;
        }
    }

    /// Deals with what has been read, and holds what is left.
    fn take(&mut self, bytes: &[u8]) {
        self.read_at = Instant::now();
        if !self.held.is_empty() {
            self.held.extend_from_slice(bytes);
            return self.go_on();
        }
        self.began = self.read_at;
        self.seen = 0;
        let used = self.process(bytes);
        let rest = bytes.get(used..).unwrap_or_default();
        if !rest.is_empty() {
            self.held = self.listener.buffers.take();
            self.held.extend_from_slice(rest);
        }
    }

    /// Deals with what is held.
    pub(super) fn go_on(&mut self) {
        let held = std::mem::take(&mut self.held);
        let used = self.process(&held);
        self.held = held;
        self.used(used);
    }

    /// The first bytes that are held have been dealt with.
    pub(super) fn used(&mut self, count: usize) {
        self.held.drain(..count.min(self.held.len()));
        if self.held.is_empty() {
            let buffer = std::mem::take(&mut self.held);
            self.listener.buffers.give_back(buffer);
        }
    }

    /// Waits until it is known which server has which slots. If none says so, the first request that is held is told why.
    async fn know_slots(&mut self, place: usize) -> Result<(), End> {
        let trunks = Rc::clone(self.listener.targets.at(place));
        let known = trunks.know_slots(self.identity.at(place).id).await;
        if let Err(refusal) = known {
            self.refuse_first(&refusal, place);
        }
        Ok(())
    }

    async fn end(&mut self, end: End) -> (Ended, usize) {
        if matches!(
            end.reason,
            CloseReason::LastReply | CloseReason::Malformed | CloseReason::NoUpstream
        ) {
            Box::pin(self.write_the_rest()).await;
        }
        self.stream.announce_end();
        self.client.leave();
        let unwritten = self.client.unwritten();
        let cut = self.cut + self.client.waiting() + unwritten.len();
        for mut finished in unwritten {
            finished.exchange.outcome = Outcome::ClientGone;
            self.report(&finished);
        }
        let ended = Ended {
            reason: end.reason,
            by_client: end.by_client,
            received: self.received,
            sent: self.sent,
        };
        (ended, cut)
    }

    /// The last words for a client, if it takes them in time.
    async fn write_the_rest(&mut self) {
        let write = std::future::poll_fn(|cx| match self.write(cx) {
            Ok(()) if self.client.held() > 0 || self.stream.needs_flush() => Poll::Pending,
            Ok(()) | Err(_) => Poll::Ready(()),
        });
        let _ = tokio::time::timeout(STALLED, write).await;
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.client.leave();
        self.listener.hold_whole(0, self.whole);
    }
}
