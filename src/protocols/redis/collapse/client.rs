//! A client, as its session and the connection that its requests went to both see it: replies come in on the one side, and go out on the
//! other.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Instant;

use crate::exchange::{Exchange, RedisPart, Timing};
use crate::protocols::inbox::Buffers;
use crate::protocols::redis::RedisListener;
use crate::protocols::redis::commands::Series;
use crate::stats::{RedisKeys, Scope};

/// Bytes of replies that are held for a client that does not read. With more, the connection that its replies come on is not read either,
/// which holds up everybody on it: such a client has [`super::session::STALLED`] to go on.
const MAX_HELD: usize = 1024 * 1024;

/// Below so many, reading goes on.
const MUCH_HELD: usize = MAX_HELD / 2;

/// Bytes of replies that came before one that has to be written first. They can't hold their connection up, as what is awaited may come
/// behind them; a client that has more is closed.
const MAX_EARLY: usize = 16 * 1024 * 1024;

/// Bytes of replies that wait for other parts of them: a command whose keys are on several servers is answered as a whole. With more, it is
/// answered with an error.
pub(super) const MAX_MERGING: usize = 64 * 1024 * 1024;

/// One client.
pub(super) struct Client {
    pub(super) listener: Rc<RedisListener>,
    buffers: Rc<Buffers>,
    replies: RefCell<Replies>,
    /// Requests whose reply has not come whole.
    waiting: Cell<usize>,
    /// Nobody can say which reply it would get next, or how its last one goes on.
    is_broken: Cell<bool>,
    is_gone: Cell<bool>,
    /// Bytes of replies that wait for other parts of them.
    merging: Cell<usize>,
    /// A request of it goes round to another server; until it has its reply, none behind it may be sent.
    is_redirected: Cell<bool>,
    /// Who writes to it.
    session: RefCell<Option<Waker>>,
    /// Who waits until it has taken something.
    blocked: RefCell<Option<Waker>>,
    /// How often it has, so that somebody could go on.
    unblocked: Cell<u32>,
}

/// Replies on their way to a client.
#[derive(Default)]
struct Replies {
    bytes: Vec<u8>,
    /// How many of them have been written.
    gone: usize,
    /// Bytes that have come for this client, since it connected.
    came: u64,
    /// Exchanges that end when their reply has been written.
    finishing: VecDeque<Finishing>,
    /// The number of the request whose reply is to be written next.
    next: u64,
    /// Replies that came before it, by their distance to it: from another server. Empty where there is only one.
    early: VecDeque<Early>,
    early_bytes: usize,
}

/// A reply that is not to be written yet.
#[derive(Default)]
struct Early {
    bytes: Vec<u8>,
    whole: Option<Whole>,
}

/// What is reported of an exchange whose reply has come whole.
type Whole = (Request, Exchange<RedisPart>, Timing);

/// An exchange that ends when its reply has been written.
pub(super) struct Finishing {
    pub(super) request: Request,
    pub(super) exchange: Exchange<RedisPart>,
    pub(super) timing: Timing,
    /// Where the reply ends, among all bytes for this client.
    end: u64,
}

/// What is kept of a request when its bytes are gone.
pub(super) struct Request {
    pub(super) series: Rc<Series>,
    pub(super) pattern: Option<Rc<Scope<RedisKeys>>>,
    pub(super) start: Instant,
    pub(super) bytes: u64,
}

impl Replies {
    /// Adds to what is to be written.
    fn push(&mut self, bytes: &[u8], whole: Option<Whole>, buffers: &Buffers) {
        if self.bytes.capacity() == 0 {
            self.bytes = buffers.take();
        }
        self.bytes.extend_from_slice(bytes);
        self.came += bytes.len() as u64;
        let Some((request, exchange, timing)) = whole else {
            return;
        };
        self.next += 1;
        self.finishing.push_back(Finishing {
            request,
            exchange,
            timing,
            end: self.came,
        });
    }

    /// Keeps what came too early.
    fn keep(&mut self, distance: usize, bytes: &[u8], whole: Option<Whole>) {
        // No longer than there are requests under way.
        while self.early.len() <= distance {
            self.early.push_back(Early::default());
        }
        if let Some(early) = self.early.get_mut(distance) {
            early.bytes.extend_from_slice(bytes);
            early.whole = whole.or(early.whole.take());
            self.early_bytes += bytes.len();
        }
    }

    /// Adds what is no longer too early.
    fn push_early(&mut self, buffers: &Buffers) {
        while let Some(early) = self.early.front_mut() {
            let bytes = std::mem::take(&mut early.bytes);
            let whole = early.whole.take();
            let is_whole = whole.is_some();
            self.early_bytes -= bytes.len();
            self.push(&bytes, whole, buffers);
            if !is_whole {
                return;
            }
            self.early.pop_front();
        }
    }
}

impl Client {
    pub(super) fn new(listener: Rc<RedisListener>, buffers: Rc<Buffers>) -> Rc<Self> {
        Rc::new(Self {
            listener,
            buffers,
            replies: RefCell::default(),
            waiting: Cell::new(0),
            is_broken: Cell::new(false),
            is_gone: Cell::new(false),
            merging: Cell::new(0),
            is_redirected: Cell::new(false),
            session: RefCell::default(),
            blocked: RefCell::default(),
            unblocked: Cell::new(0),
        })
    }

    /// A request is under way. Returns its number.
    pub(super) fn asked(&self) -> u64 {
        let waiting = self.waiting.get();
        self.waiting.set(waiting + 1);
        self.replies.borrow().next + waiting as u64
    }

    /// Requests whose reply has not come whole.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.get()
    }

    /// A part of the reply to request `number` has come; `whole` when it was the last, with what is reported of the exchange once it is
    /// written. Replies are written in the order of the requests, whichever server is the first to answer.
    pub(super) fn reply(&self, number: u64, bytes: &[u8], whole: Option<Whole>) {
        let mut replies = self.replies.borrow_mut();
        if whole.is_some() {
            self.waiting.set(self.waiting.get().saturating_sub(1));
        }
        // Its session has been told of what is there already.
        let is_first = replies.bytes.is_empty();
        if number == replies.next && replies.early.is_empty() {
            replies.push(bytes, whole, &self.buffers);
        } else {
            let distance = usize::try_from(number.saturating_sub(replies.next));
            replies.keep(distance.unwrap_or(usize::MAX), bytes, whole);
            replies.push_early(&self.buffers);
        }
        let too_much = replies.early_bytes > MAX_EARLY;
        drop(replies);
        if too_much {
            self.is_broken.set(true);
        }
        if is_first || too_much {
            self.wake();
        }
    }

    /// So many bytes more wait for other parts of their reply. False, and they are not counted, when that would be too much.
    pub(super) fn begin_merging(&self, count: usize) -> bool {
        let merging = self.merging.get().saturating_add(count);
        let fits = merging <= MAX_MERGING;
        if fits {
            self.merging.set(merging);
        }
        fits
    }

    /// So many bytes do not wait any more.
    pub(super) fn end_merging(&self, count: usize) {
        self.merging.set(self.merging.get().saturating_sub(count));
    }

    /// Says something that answers no request.
    pub(super) fn say(&self, bytes: &[u8]) {
        self.replies.borrow_mut().push(bytes, None, &self.buffers);
        self.wake();
    }

    /// One of its requests is sent to another server than it was sent to first.
    pub(super) fn redirected(&self) {
        self.is_redirected.set(true);
    }

    /// True while what it sends next has to wait, so that it does not overtake.
    pub(super) fn has_to_wait(&self) -> bool {
        if self.waiting() == 0 {
            self.is_redirected.set(false);
        }
        self.is_redirected.get()
    }

    /// Its connection has to be closed: what it would get next is not known to be its own.
    pub(super) fn break_off(&self) {
        self.is_broken.set(true);
        self.wake();
    }

    pub(super) fn is_broken(&self) -> bool {
        self.is_broken.get()
    }

    /// Its session has ended.
    pub(super) fn leave(&self) {
        self.is_gone.set(true);
        self.unblock();
    }

    pub(super) fn is_gone(&self) -> bool {
        self.is_gone.get()
    }

    /// True when it has to take something before more is read for it. The caller is woken when it has.
    pub(super) fn blocks(&self, cx: &Context<'_>) -> bool {
        let is_full = !self.is_gone() && self.held() > MAX_HELD;
        if is_full {
            let known = self.blocked.replace(Some(cx.waker().clone()));
            // From now on its time is measured: its session has to hear of it, which waits for nothing but room in the socket.
            if known.is_none() {
                self.wake();
            }
        }
        is_full
    }

    /// While somebody waits until it has taken something: the how manieth time it is.
    pub(super) fn blocking(&self) -> Option<u32> {
        let is_blocking = self.blocked.borrow().is_some();
        is_blocking.then(|| self.unblocked.get())
    }

    /// Bytes that are to be written, or wait for what belongs to them.
    pub(super) fn kept(&self) -> usize {
        self.held() + self.merging.get()
    }

    /// Bytes that are to be written.
    pub(super) fn held(&self) -> usize {
        let replies = self.replies.borrow();
        replies.bytes.len() - replies.gone
    }

    /// Gives what is to be written to `write`, which says how much it took.
    pub(super) fn write<E>(
        &self,
        write: impl FnOnce(&[u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let mut replies = self.replies.borrow_mut();
        let count = write(replies.bytes.get(replies.gone..).unwrap_or_default())?;
        replies.gone += count;
        if replies.gone >= replies.bytes.len() {
            self.buffers.give_back(std::mem::take(&mut replies.bytes));
            replies.gone = 0;
        } else if replies.gone > MAX_HELD {
            // It need not be empty ever: what has been written is not kept until then.
            let gone = std::mem::take(&mut replies.gone);
            replies.bytes.drain(..gone);
        }
        drop(replies);
        if self.held() < MUCH_HELD {
            self.unblock();
        }
        Ok(count)
    }

    /// The next exchange whose reply has been written to its end.
    pub(super) fn next_finished(&self) -> Option<Finishing> {
        let mut replies = self.replies.borrow_mut();
        let written = replies.came - (replies.bytes.len() - replies.gone) as u64;
        let first = replies.finishing.front()?;
        (first.end <= written).then(|| replies.finishing.pop_front())?
    }

    /// The exchanges whose reply has not been written.
    pub(super) fn unwritten(&self) -> VecDeque<Finishing> {
        std::mem::take(&mut self.replies.borrow_mut().finishing)
    }

    /// Its session is woken from now on by what comes for it.
    pub(super) fn wakes(&self, cx: &Context<'_>) {
        let mut session = self.session.borrow_mut();
        match session.as_ref() {
            Some(known) if known.will_wake(cx.waker()) => {}
            _ => *session = Some(cx.waker().clone()),
        }
    }

    fn wake(&self) {
        if let Some(session) = self.session.borrow().as_ref() {
            session.wake_by_ref();
        }
    }

    fn unblock(&self) {
        if let Some(waker) = self.blocked.borrow_mut().take() {
            self.unblocked.set(self.unblocked.get().wrapping_add(1));
            waker.wake();
        }
    }
}
