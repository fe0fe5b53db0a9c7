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
/// which holds up everybody on it: such a client has [`super::STALLED`] to go on.
const MAX_HELD: usize = 1024 * 1024;

/// Below so many, reading goes on.
const MUCH_HELD: usize = MAX_HELD / 2;

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
    /// Who writes to it.
    session: RefCell<Option<Waker>>,
    /// Who waits until it has taken something.
    blocked: RefCell<Option<Waker>>,
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
}

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

impl Client {
    pub(super) fn new(listener: Rc<RedisListener>, buffers: Rc<Buffers>) -> Rc<Self> {
        Rc::new(Self {
            listener,
            buffers,
            replies: RefCell::default(),
            waiting: Cell::new(0),
            is_broken: Cell::new(false),
            is_gone: Cell::new(false),
            session: RefCell::default(),
            blocked: RefCell::default(),
        })
    }

    /// A request is under way.
    pub(super) fn asked(&self) {
        self.waiting.set(self.waiting.get() + 1);
    }

    /// Requests whose reply has not come whole.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.get()
    }

    /// A part of a reply has come; `whole` when it was the last, with what is reported of the exchange once it is written.
    pub(super) fn reply(
        &self,
        bytes: &[u8],
        whole: Option<(Request, Exchange<RedisPart>, Timing)>,
    ) {
        let mut replies = self.replies.borrow_mut();
        if replies.bytes.capacity() == 0 {
            replies.bytes = self.buffers.take();
        }
        // Its session has been told of what is there already.
        let is_first = replies.bytes.is_empty();
        replies.bytes.extend_from_slice(bytes);
        replies.came += bytes.len() as u64;
        let end = replies.came;
        if let Some((request, exchange, timing)) = whole {
            self.waiting.set(self.waiting.get().saturating_sub(1));
            replies.finishing.push_back(Finishing {
                request,
                exchange,
                timing,
                end,
            });
        }
        drop(replies);
        if is_first {
            self.wake();
        }
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
            *self.blocked.borrow_mut() = Some(cx.waker().clone());
        }
        is_full
    }

    /// True while somebody waits until it has taken something.
    pub(super) fn is_blocking(&self) -> bool {
        self.blocked.borrow().is_some()
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
            waker.wake();
        }
    }
}
