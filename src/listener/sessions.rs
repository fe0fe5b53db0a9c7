//! The sessions of one worker: how they are told to end, and how idle ones are found.
//!
//! A session never sets a timer. It notes the worker's coarse tick when bytes move, and the
//! worker's janitor walks the table once a tick: that costs a few nanoseconds a session and second,
//! where a timer would cost a clock read and a heap operation a request.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use slab::Slab;
use tokio::sync::Notify;

/// How often the janitor walks, and so how exact an idle timeout is.
pub const TICK: Duration = Duration::from_millis(250);

/// What a session should do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Go,
    /// End as soon as no exchange is under way.
    Drain,
    /// End: nothing moved for the idle timeout.
    Idle,
    /// End at once.
    Abort,
}

/// What a session wanted to be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// Nothing moved for as long as was said.
    Idle,
    /// The time that was set has come.
    Late,
}

/// A time in ticks of the janitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticks(u32);

impl Ticks {
    /// A time, rounded up so that it is never cut short.
    pub fn of(time: Duration) -> Self {
        let ticks = time.as_millis().div_ceil(TICK.as_millis());
        Self(u32::try_from(ticks).unwrap_or(u32::MAX / 2))
    }
}

/// All sessions of one worker.
#[derive(Default)]
pub struct SessionTable {
    /// How many there are, for other threads to see.
    count: Arc<AtomicUsize>,
    tick: Cell<u32>,
    sessions: RefCell<Slab<Rc<Session>>>,
    /// What sessions do several of at the same time: each has alarms of its own.
    parts: RefCell<Slab<Rc<Session>>>,
    order: Cell<Option<Verdict>>,
    emptied: Notify,
}

struct Session {
    waker: RefCell<Option<Waker>>,
    verdict: Cell<Verdict>,
    last_moved: Cell<u32>,
    idle_ticks: Option<u32>,
    /// When nothing moves for so long, [`Alarm::Idle`] is rung.
    patience: Cell<Option<u32>>,
    /// At this tick [`Alarm::Late`] is rung.
    deadline: Cell<Option<u32>>,
    alarm: Cell<Option<Alarm>>,
}

impl SessionTable {
    /// No sessions yet. `count` is kept up to date with how many there are.
    pub fn new(count: Arc<AtomicUsize>) -> Self {
        Self {
            count,
            ..Self::default()
        }
    }

    /// Enters a session; it leaves the table when the handle is dropped.
    pub fn enter(self: &Rc<Self>, idle_timeout: Option<Duration>) -> SessionHandle {
        let session = Rc::new(self.new_session(idle_timeout));
        let mut sessions = self.sessions.borrow_mut();
        let key = sessions.insert(Rc::clone(&session));
        self.count.store(sessions.len(), Ordering::Relaxed);
        SessionHandle {
            table: Rc::clone(self),
            session,
            key,
        }
    }

    fn new_session(&self, idle_timeout: Option<Duration>) -> Session {
        Session {
            waker: RefCell::new(None),
            verdict: Cell::new(self.order.get().unwrap_or(Verdict::Go)),
            last_moved: Cell::new(self.tick.get()),
            idle_ticks: idle_timeout.map(|timeout| Ticks::of(timeout).0),
            patience: Cell::default(),
            deadline: Cell::default(),
            alarm: Cell::default(),
        }
    }

    /// True when there is no session.
    pub fn is_empty(&self) -> bool {
        self.sessions.borrow().is_empty()
    }

    /// One walk of the janitor: sessions on which nothing moved for too long are told to end.
    pub fn walk(&self) {
        let now = self.tick.get().wrapping_add(1);
        self.tick.set(now);
        for (_, session) in self.sessions.borrow().iter() {
            let still = now.wrapping_sub(session.last_moved.get());
            if session.idle_ticks.is_some_and(|limit| still > limit) {
                session.order(Verdict::Idle);
            }
            session.watch(now, still);
        }
        for (_, part) in self.parts.borrow().iter() {
            part.watch(now, now.wrapping_sub(part.last_moved.get()));
        }
    }

    /// Tells every session, and every later one, to end in the given way.
    pub fn end_all(&self, verdict: Verdict) {
        self.order.set(Some(verdict));
        for (_, session) in self.sessions.borrow().iter() {
            session.order(verdict);
        }
    }

    /// Returns when no session is left.
    pub async fn wait_until_empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.is_empty() {
                return;
            }
            emptied.await;
        }
    }
}

impl Session {
    fn order(&self, verdict: Verdict) {
        if self.verdict.get() == Verdict::Abort {
            return;
        }
        self.verdict.set(verdict);
        self.wake();
    }

    /// Rings what the session wanted to be told of, once.
    fn watch(&self, now: u32, still: u32) {
        let is_late = |deadline: u32| now.wrapping_sub(deadline) < u32::MAX / 2;
        let alarm = if self.deadline.get().is_some_and(is_late) {
            self.deadline.set(None);
            Alarm::Late
        } else if self.patience.get().is_some_and(|limit| still > limit) {
            self.patience.set(None);
            Alarm::Idle
        } else {
            return;
        };
        self.alarm.set(Some(alarm));
        self.wake();
    }

    fn expect(&self, now: u32, patience: Option<Ticks>, deadline: Option<Ticks>) {
        self.last_moved.set(now);
        self.patience.set(patience.map(|ticks| ticks.0));
        // The tick that is under way is not a whole one.
        let deadline = deadline.map(|ticks| now.wrapping_add(ticks.0).wrapping_add(1));
        self.deadline.set(deadline);
        self.alarm.set(None);
    }

    fn wakes(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match waker.as_ref() {
            Some(known) if known.will_wake(cx.waker()) => {}
            _ => *waker = Some(cx.waker().clone()),
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}

/// A session's own place in the table.
pub struct SessionHandle {
    table: Rc<SessionTable>,
    session: Rc<Session>,
    key: usize,
}

impl SessionHandle {
    /// Bytes moved: the session is not idle.
    pub fn touch(&self) {
        self.session.last_moved.set(self.table.tick.get());
    }

    /// What to do next. The caller is woken when that changes.
    pub fn verdict(&self, cx: &Context<'_>) -> Verdict {
        self.session.wakes(cx);
        self.session.verdict.get()
    }

    /// From now on the session is told when nothing moves for `patience`, and when `deadline` has passed. What it was to be told before
    /// is forgotten.
    pub fn expect(&self, patience: Option<Ticks>, deadline: Option<Ticks>) {
        self.session
            .expect(self.table.tick.get(), patience, deadline);
    }

    /// One of several things that the session does at the same time. It has alarms of its own.
    pub fn part(&self) -> PartHandle {
        let part = Rc::new(self.table.new_session(None));
        let key = self.table.parts.borrow_mut().insert(Rc::clone(&part));
        PartHandle {
            table: Rc::clone(&self.table),
            part,
            key,
        }
    }

    /// What the session is told, once. The caller is woken by whatever wakes it for [`Self::verdict`].
    pub fn alarm(&self) -> Option<Alarm> {
        self.session.alarm.take()
    }

    /// True when the session should end at its next quiet moment.
    pub fn is_draining(&self) -> bool {
        self.session.verdict.get() == Verdict::Drain
    }

    /// Ready when the session is told to end at once, or to end as soon as it is quiet: for phases
    /// in which nothing is under way.
    pub async fn told_to_end(&self) -> Verdict {
        std::future::poll_fn(|cx| match self.verdict(cx) {
            Verdict::Go => std::task::Poll::Pending,
            verdict => std::task::Poll::Ready(verdict),
        })
        .await
    }
}

/// A part of a session, such as one request of several: it is told of its own time only, and ends with its session.
pub struct PartHandle {
    table: Rc<SessionTable>,
    part: Rc<Session>,
    key: usize,
}

impl PartHandle {
    /// Bytes moved: the part is not idle.
    pub fn touch(&self) {
        self.part.last_moved.set(self.table.tick.get());
    }

    /// As [`SessionHandle::expect`].
    pub fn expect(&self, patience: Option<Ticks>, deadline: Option<Ticks>) {
        self.part.expect(self.table.tick.get(), patience, deadline);
    }

    /// What the part is told, once. The caller is woken by it.
    pub fn alarm(&self, cx: &Context<'_>) -> Option<Alarm> {
        self.part.wakes(cx);
        self.part.alarm.take()
    }

    /// Nobody waits for its alarms any more: it can be used again.
    pub fn rest(&self) {
        self.expect(None, None);
        self.part.waker.take();
    }
}

impl Drop for PartHandle {
    fn drop(&mut self) {
        self.table.parts.borrow_mut().try_remove(self.key);
    }
}

impl Drop for SessionHandle {
    fn drop(&mut self) {
        let mut sessions = self.table.sessions.borrow_mut();
        sessions.try_remove(self.key);
        self.table.count.store(sessions.len(), Ordering::Relaxed);
        if sessions.is_empty() {
            self.table.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_session_is_told_after_its_timeout_and_a_busy_one_is_not() {
        let table = Rc::new(SessionTable::default());
        let idle = table.enter(Some(Duration::from_secs(1)));
        let busy = table.enter(Some(Duration::from_secs(1)));
        let patient = table.enter(None);
        let cx = Context::from_waker(Waker::noop());
        for _ in 0..4 {
            table.walk();
            busy.touch();
            assert_eq!(idle.verdict(&cx), Verdict::Go);
        }
        table.walk();
        assert_eq!(idle.verdict(&cx), Verdict::Idle);
        assert_eq!(busy.verdict(&cx), Verdict::Go);
        assert_eq!(patient.verdict(&cx), Verdict::Go);
    }

    #[test]
    fn a_session_is_told_what_it_wanted_to_know_once_and_not_too_early() {
        let table = Rc::new(SessionTable::default());
        let handle = table.enter(None);
        let second = Some(Ticks::of(Duration::from_secs(1)));
        handle.expect(second, None);
        for _ in 0..4 {
            table.walk();
            assert_eq!(handle.alarm(), None);
        }
        table.walk();
        assert_eq!(handle.alarm(), Some(Alarm::Idle));
        table.walk();
        assert_eq!(handle.alarm(), None);
        handle.expect(None, second);
        for _ in 0..4 {
            table.walk();
            handle.touch();
            assert_eq!(handle.alarm(), None);
        }
        table.walk();
        assert_eq!(handle.alarm(), Some(Alarm::Late));
        handle.expect(second, second);
        handle.expect(None, None);
        for _ in 0..9 {
            table.walk();
            assert_eq!(handle.alarm(), None);
        }
    }

    #[test]
    fn a_part_has_alarms_of_its_own() {
        let table = Rc::new(SessionTable::default());
        let session = table.enter(None);
        let (quick, slow) = (session.part(), session.part());
        let cx = Context::from_waker(Waker::noop());
        let ticks = |n: u32| Some(Ticks::of(TICK * n));
        quick.expect(None, ticks(1));
        slow.expect(ticks(3), None);
        table.walk();
        assert_eq!(quick.alarm(&cx), None);
        table.walk();
        assert_eq!(quick.alarm(&cx), Some(Alarm::Late));
        table.walk();
        table.walk();
        assert_eq!(slow.alarm(&cx), Some(Alarm::Idle));
        assert_eq!(session.alarm(), None);
        drop((quick, slow));
        assert!(table.parts.borrow().is_empty());
    }

    #[test]
    fn a_drain_reaches_sessions_that_come_later_and_an_abort_stays() {
        let table = Rc::new(SessionTable::default());
        let early = table.enter(None);
        table.end_all(Verdict::Drain);
        let late = table.enter(None);
        let cx = Context::from_waker(Waker::noop());
        assert!(early.is_draining() && late.is_draining());
        table.end_all(Verdict::Abort);
        table.end_all(Verdict::Drain);
        assert_eq!(early.verdict(&cx), Verdict::Abort);
        assert!(!table.is_empty());
        drop((early, late));
        assert!(table.is_empty());
    }
}
