//! A connection to a server that the plain requests of many clients go over, one behind the other.
//!
//! Sessions put whole requests into a [`Trunk`], also while it is being opened; its own task, the [`Carrier`](super::carrier::Carrier),
//! writes what has gathered and reads what comes back. The task runs behind all sessions that were ready when the first of them woke it,
//! so what clients sent at the same time goes out in one write.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Instant;

use super::asked::{Asked, What};
use super::client::{Client, Request};
use super::split::Merge;
use crate::upstream::Endpoint;
use crate::upstream::redis::ProfileId;

/// Bytes of requests that wait to be written. With more, no session reads on: what a server does not take is left with the clients.
const MAX_QUEUED: usize = 1024 * 1024;

/// Below so many, sessions go on.
const MUCH_QUEUED: usize = MAX_QUEUED / 2;

/// Requests that may wait where nobody waits for their replies.
const MAX_UNHEARD: usize = 10_000;

/// A buffer that has grown beyond this is not kept when it is empty.
const KEPT_BYTES: usize = 64 * 1024;

/// A connection, as sessions see it.
pub(super) struct Trunk {
    /// Where it leads; `None` for the first endpoint that can be reached.
    pub(super) endpoint: Option<Arc<Endpoint>>,
    /// What it is like.
    pub(super) profile: ProfileId,
    /// Which of the listener's clusters it leads to.
    pub(super) place: usize,
    pub(super) queue: RefCell<Queue>,
    /// Sessions that send over it.
    pub(super) users: Cell<usize>,
    is_closing: Cell<bool>,
    /// Where it leads, once it is open.
    connected: RefCell<Option<Arc<Endpoint>>>,
    /// Requests are kept until they are answered, as they may have to be sent elsewhere.
    keeps: bool,
}

/// What is under way.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) bytes: Vec<u8>,
    /// How many of them have been written.
    pub(super) gone: usize,
    /// Bytes of all requests so far.
    queued: u64,
    pub(super) waiting: VecDeque<Waiting>,
    /// Requests, from the first that waits, that have been written to their end.
    written: usize,
    pub(super) carrier: Option<Waker>,
    pub(super) sessions: Vec<Waker>,
}

/// What a reply is for.
pub(super) enum Waiting {
    /// A request of a client.
    Asked(Asked),
    /// Something whose reply nobody gets: what a request behind it needs, or one for the mirror.
    Unheard,
}

/// One session's use of a trunk, until it is dropped.
pub(super) struct Ride(Rc<Trunk>);

impl Ride {
    pub(super) fn on(trunk: &Rc<Trunk>) -> Self {
        trunk.users.set(trunk.users.get() + 1);
        Self(Rc::clone(trunk))
    }

    pub(super) fn trunk(&self) -> &Trunk {
        &self.0
    }
}

impl Drop for Ride {
    fn drop(&mut self) {
        let users = self.0.users.get().saturating_sub(1);
        self.0.users.set(users);
        if users == 0 {
            self.0.wake();
        }
    }
}

impl Trunk {
    pub(super) fn new(
        endpoint: Option<Arc<Endpoint>>,
        profile: ProfileId,
        place: usize,
        keeps: bool,
    ) -> Rc<Self> {
        Rc::new(Self {
            endpoint,
            profile,
            place,
            queue: RefCell::default(),
            users: Cell::new(0),
            is_closing: Cell::new(false),
            connected: RefCell::default(),
            keeps,
        })
    }

    /// A new request, with all its bytes.
    pub(super) fn send(&self, client: &Rc<Client>, request: Request, bytes: &[u8]) {
        client.listener.active(1);
        let what = What::Whole {
            client: Rc::clone(client),
            number: client.asked(),
            request,
        };
        self.send_what(what, bytes);
    }

    /// A part of a new request.
    pub(super) fn send_part(&self, merge: &Rc<Merge>, number: usize, bytes: &[u8]) {
        self.send_what(What::Part(Rc::clone(merge), number), bytes);
    }

    fn send_what(&self, what: What, bytes: &[u8]) {
        let kept = self.keeps.then(|| bytes.into());
        self.push(Asked::new(what, kept), bytes);
    }

    /// A request whose reply nobody gets. False when too much waits already.
    pub(super) fn send_unheard(&self, bytes: &[u8]) -> bool {
        let mut queue = self.queue.borrow_mut();
        let is_full =
            queue.bytes.len() - queue.gone > MAX_QUEUED || queue.waiting.len() > MAX_UNHEARD;
        if is_full || !self.is_open() {
            return false;
        }
        let is_first = queue.push(bytes);
        queue.waiting.push_back(Waiting::Unheard);
        drop(queue);
        if is_first {
            self.wake();
        }
        true
    }

    /// A request that has been sent elsewhere before; behind what it needs to be taken.
    pub(super) fn resend(&self, mut asked: Asked, prelude: &[u8]) {
        let Some(bytes) = asked.kept.take() else {
            return;
        };
        asked.redirects += 1;
        asked.written = None;
        if !prelude.is_empty() {
            let mut queue = self.queue.borrow_mut();
            queue.push(prelude);
            queue.waiting.push_back(Waiting::Unheard);
        }
        asked.kept = Some(bytes.clone());
        self.push(asked, &bytes);
        self.wake();
    }

    fn push(&self, mut asked: Asked, bytes: &[u8]) {
        let mut queue = self.queue.borrow_mut();
        asked.start = queue.queued;
        let is_first = queue.push(bytes);
        asked.end = queue.queued;
        queue.waiting.push_back(Waiting::Asked(asked));
        drop(queue);
        if is_first {
            self.wake();
        }
    }

    /// True when it leads there.
    pub(super) fn leads_to(&self, endpoint: Option<&Arc<Endpoint>>) -> bool {
        let id = |endpoint: &Arc<Endpoint>| endpoint.id;
        self.endpoint.as_ref().map(id) == endpoint.map(id)
    }

    /// It has been opened, to this server.
    pub(super) fn opened(&self, endpoint: &Arc<Endpoint>) {
        *self.connected.borrow_mut() = Some(Arc::clone(endpoint));
    }

    /// Where it leads, once it is open.
    pub(super) fn connected(&self) -> Option<Arc<Endpoint>> {
        self.connected.borrow().clone()
    }

    /// True when it takes requests.
    pub(super) fn is_open(&self) -> bool {
        !self.is_closing.get()
    }

    /// It takes no more requests.
    pub(super) fn close(&self) {
        self.is_closing.set(true);
    }

    /// True when too much waits to be written. The caller is woken when that has changed.
    pub(super) fn is_full(&self, cx: &Context<'_>) -> bool {
        let mut queue = self.queue.borrow_mut();
        let is_full = self.is_open() && queue.bytes.len() - queue.gone > MAX_QUEUED;
        if is_full {
            queue.sessions.push(cx.waker().clone());
        }
        is_full
    }

    /// Nothing is under way.
    pub(super) fn is_at_rest(&self) -> bool {
        let queue = self.queue.borrow();
        queue.waiting.is_empty() && queue.bytes.is_empty()
    }

    fn wake(&self) {
        if let Some(carrier) = self.queue.borrow().carrier.as_ref() {
            carrier.wake_by_ref();
        }
    }
}

impl Queue {
    /// Adds to what is to be written. True when that was nothing before.
    fn push(&mut self, bytes: &[u8]) -> bool {
        let is_first = self.bytes.is_empty();
        self.bytes.extend_from_slice(bytes);
        self.queued += bytes.len() as u64;
        is_first
    }

    /// So many bytes more have been given to the socket, in a write that began at `now`.
    pub(super) fn wrote(&mut self, count: usize, now: Instant) {
        self.gone += count;
        let written = self.bytes_written();
        while let Some(waiting) = self.waiting.get_mut(self.written) {
            if let Waiting::Asked(asked) = waiting {
                if asked.end > written {
                    break;
                }
                asked.written = Some(now);
            }
            self.written += 1;
        }
        if self.gone >= self.bytes.len() {
            match self.bytes.capacity() > KEPT_BYTES {
                true => self.bytes = Vec::new(),
                false => self.bytes.clear(),
            }
            self.gone = 0;
        } else if self.gone > MAX_QUEUED {
            // A server that is slower than its clients never takes all: what it has taken is not kept until then.
            self.bytes.drain(..std::mem::take(&mut self.gone));
        }
        if self.bytes.len() - self.gone < MUCH_QUEUED {
            self.sessions.drain(..).for_each(Waker::wake);
        }
    }

    /// The first that waits has been written to its end: it may be answered.
    pub(super) fn is_written(&self) -> bool {
        self.written > 0
    }

    /// Bytes given to the socket so far.
    pub(super) fn bytes_written(&self) -> u64 {
        self.queued - (self.bytes.len() - self.gone) as u64
    }

    /// The first that waits has its reply.
    pub(super) fn next_answered(&mut self) -> Option<Waiting> {
        self.written = self.written.saturating_sub(1);
        self.waiting.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that takes a little less than what comes, all the time.
    #[test]
    fn what_has_been_written_is_not_kept() {
        let mut queue = Queue::default();
        let piece = vec![0; 64 * 1024];
        for round in 0..1000 {
            queue.push(&piece);
            queue.wrote(piece.len() - usize::from(round < 10), Instant::now());
            assert!(queue.bytes.len() <= 2 * MAX_QUEUED);
        }
        let left = queue.bytes.len() - queue.gone;
        assert_eq!(left, 10);
        assert_eq!(queue.bytes_written(), 1000 * piece.len() as u64 - 10);
    }
}
