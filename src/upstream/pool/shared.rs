//! The process-wide half of a pool: permits, tickets, who takes part, and what is closed to all.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};

use super::connection::Parcel;
use super::keys::{Key, KeyState, Share};
use super::long_waits::LongWaits;
use super::opening::Opener;
use super::tickets::{Padded, Ticket};
use crate::config::PoolConfig;
use crate::upstream::{Endpoint, EndpointId};

/// One cluster's pool, for all workers.
pub struct SharedPool {
    name: Arc<str>,
    policy: ArcSwap<PoolPolicy>,
    keys: Mutex<HashMap<Key, Arc<KeyState>>>,
    members: ArcSwap<Vec<Arc<Member>>>,
    warm: ArcSwap<Vec<Arc<Endpoint>>>,
    pub(super) long_waits: LongWaits,
    base: Instant,
    /// Read at each checkin, written when the config changes.
    flags: Padded<Flags>,
    /// Written whenever a connection is opened or closed.
    counts: Padded<Counts>,
    /// Written whenever somebody begins or ends to wait.
    queue: Padded<Queue>,
}

/// What the config says of a pool, and how its connections are opened.
pub struct PoolPolicy {
    /// The limits.
    pub config: PoolConfig,
    /// Dial, greeting, login.
    pub opener: Arc<dyn Opener>,
}

struct Flags {
    paused: AtomicBool,
    max_connections: AtomicUsize,
}

struct Counts {
    /// Connections open or being opened: the permits that are taken.
    open: AtomicUsize,
    connecting: AtomicUsize,
}

struct Queue {
    waiting: AtomicUsize,
    tickets: AtomicU64,
}

/// One worker, as the others see it.
pub(super) struct Member {
    /// Its first waiter for whom no connection is being opened, but could be.
    pub(super) first: Ticket,
    /// Idle connections, of all keys.
    idle: Padded<AtomicUsize>,
    post: Box<dyn Fn(Message) + Send + Sync>,
}

/// One connection's right to exist. Dropping it gives the right back without telling anybody: who
/// has a pool at hand uses [`super::ClusterPool`]'s `room_free`.
pub(super) struct Permit(Arc<SharedPool>);

/// One of `max_connecting` places.
pub(super) struct Connecting(Arc<SharedPool>);

/// Room for a connection: a permit, and perhaps the right to begin opening it now.
pub(super) struct Room {
    pub(super) permit: Permit,
    pub(super) connecting: Option<Connecting>,
}

/// What the pools of two workers, or the control thread, tell each other.
pub struct Message(pub(super) Kind);

pub(super) enum Kind {
    /// A waiter of `by` could use an idle connection of this key; with `evict`, the place of one of
    /// another key.
    Wanted {
        by: Arc<Share>,
        key: Key,
        evict: bool,
    },
    /// What was wanted is not given: look again.
    Denied { key: Key },
    /// A connection for the one who waits.
    Parcel(Parcel),
    /// Room for a connection of the one who waits; it may be the answer to what was wanted.
    Room { room: Room, answers: Option<Key> },
    /// Something became free that could not be given to anyone in particular.
    TryAgain,
    /// Paused, resumed, or other limits.
    Changed,
    /// This endpoint is not used any more.
    Retired(EndpointId),
}

impl SharedPool {
    /// An empty pool. `min_idle` connections are kept to `warm`.
    pub fn new(name: &str, policy: PoolPolicy, warm: Vec<Arc<Endpoint>>) -> Arc<Self> {
        let limits = &policy.config;
        Arc::new(Self {
            name: name.into(),
            keys: Mutex::default(),
            members: ArcSwap::default(),
            warm: ArcSwap::from_pointee(warm),
            long_waits: LongWaits::new(limits.max_long_waits),
            base: Instant::now(),
            flags: Padded(Flags {
                paused: AtomicBool::new(false),
                max_connections: AtomicUsize::new(limits.max_connections),
            }),
            counts: Padded(Counts {
                open: AtomicUsize::new(0),
                connecting: AtomicUsize::new(0),
            }),
            queue: Padded(Queue {
                waiting: AtomicUsize::new(0),
                tickets: AtomicU64::new(0),
            }),
            policy: ArcSwap::from_pointee(policy),
        })
    }

    /// The cluster's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What the config says now.
    pub fn policy(&self) -> Guard<Arc<PoolPolicy>> {
        self.policy.load()
    }

    /// Takes a new config over. Connections above a lower limit are closed as they come back.
    pub fn set_policy(&self, policy: PoolPolicy) {
        let limits = &policy.config;
        self.flags
            .0
            .max_connections
            .store(limits.max_connections, Ordering::SeqCst);
        self.long_waits.set_limit(limits.max_long_waits);
        self.policy.store(Arc::new(policy));
        self.tell_all(|| Kind::Changed);
    }

    /// The endpoints that `min_idle` connections are kept to, from now on.
    pub fn keep_open_to(&self, endpoints: Vec<Arc<Endpoint>>) {
        self.warm.store(Arc::new(endpoints));
    }

    pub(super) fn warm(&self) -> Guard<Arc<Vec<Arc<Endpoint>>>> {
        self.warm.load()
    }

    /// Lends nothing until [`Self::resume`]: whoever comes waits. Idle connections are closed now,
    /// lent ones when they come back.
    pub fn pause(&self) {
        if !self.flags.0.paused.swap(true, Ordering::SeqCst) {
            tracing::info!(cluster = %self.name, "pool paused");
            self.tell_all(|| Kind::Changed);
        }
    }

    /// Lends again.
    pub fn resume(&self) {
        if self.flags.0.paused.swap(false, Ordering::SeqCst) {
            tracing::info!(cluster = %self.name, "pool resumed");
            self.tell_all(|| Kind::Changed);
        }
    }

    /// True between [`Self::pause`] and [`Self::resume`].
    pub fn is_paused(&self) -> bool {
        self.flags.0.paused.load(Ordering::SeqCst)
    }

    /// Closes the connections to an endpoint, the lent ones when they come back, and sends away
    /// those who wait for one. `gone`: it is no longer part of the cluster, rather than failing. An
    /// endpoint that failed may be used again at once: new connections are opened to it.
    pub fn retire(&self, endpoint: EndpointId, gone: bool) {
        let mut known = false;
        for key in self.keys().values() {
            if key.endpoint.id == endpoint {
                key.retire(gone);
                known = true;
            }
        }
        if known {
            self.tell_all(|| Kind::Retired(endpoint));
        }
    }

    /// Connections open or being opened.
    pub fn open(&self) -> usize {
        self.counts.0.open.load(Ordering::SeqCst)
    }

    /// Connections being opened.
    pub fn connecting(&self) -> usize {
        self.counts.0.connecting.load(Ordering::SeqCst)
    }

    /// Operations that wait for a connection.
    pub fn waiting(&self) -> usize {
        self.queue.0.waiting.load(Ordering::SeqCst)
    }

    /// Most connections there may be.
    pub fn max_connections(&self) -> usize {
        self.flags.0.max_connections.load(Ordering::Relaxed)
    }

    /// Idle connections over all workers.
    pub(super) fn idle(&self) -> usize {
        self.members.load().iter().map(|member| member.idle()).sum()
    }

    /// A permit, when there is one left.
    pub(super) fn permit(self: &Arc<Self>) -> Option<Permit> {
        let limit = self.max_connections();
        take_one(&self.counts.0.open, limit).then(|| Permit(Arc::clone(self)))
    }

    /// True when there is a permit left.
    pub(super) fn has_permit(&self) -> bool {
        self.open() < self.max_connections()
    }

    /// One of the places of connections that are being opened.
    pub(super) fn begin_connecting(self: &Arc<Self>) -> Option<Connecting> {
        let limit = self.policy.load().config.max_connecting;
        take_one(&self.counts.0.connecting, limit).then(|| Connecting(Arc::clone(self)))
    }

    /// True when another connection may be opened at this time, permits aside.
    pub(super) fn may_connect(&self) -> bool {
        self.connecting() < self.policy.load().config.max_connecting
    }

    /// Counts one more waiter, if the limit allows: its ticket.
    ///
    /// # Errors
    /// The limit.
    pub(super) fn begin_waiting(&self, limit: usize) -> Result<u64, usize> {
        match take_one(&self.queue.0.waiting, limit) {
            true => Ok(self.queue.0.tickets.fetch_add(1, Ordering::Relaxed)),
            false => Err(limit),
        }
    }

    /// A waiter has got something, or left.
    pub(super) fn end_waiting(&self) {
        self.queue.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    /// The state of a key, made when it is met for the first time.
    pub(super) fn key(&self, endpoint: &Arc<Endpoint>, credential: u32) -> Arc<KeyState> {
        let key = Key {
            endpoint: endpoint.id,
            credential,
        };
        let mut keys = self.keys();
        let state = keys
            .entry(key)
            .or_insert_with(|| Arc::new(KeyState::new(Arc::clone(endpoint), credential)));
        Arc::clone(state)
    }

    /// Forgets keys that no worker uses, but for their failures while these count.
    pub(super) fn forget_unused(&self, now: Instant) {
        self.keys()
            .retain(|_, key| Arc::strong_count(key) > 1 || key.refusal(now).is_some());
    }

    /// Every key that is known.
    pub(super) fn keys(&self) -> MutexGuard<'_, HashMap<Key, Arc<KeyState>>> {
        // Nothing under this lock leaves half a change behind.
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The workers that take part.
    pub(super) fn members(&self) -> Guard<Arc<Vec<Arc<Member>>>> {
        self.members.load()
    }

    /// A worker takes part from now on.
    pub(super) fn join(&self, post: Box<dyn Fn(Message) + Send + Sync>) -> Arc<Member> {
        let member = Arc::new(Member {
            first: Ticket::default(),
            idle: Padded(AtomicUsize::new(0)),
            post,
        });
        self.members.rcu(|members| {
            let mut members = Vec::clone(members);
            members.push(Arc::clone(&member));
            members
        });
        member
    }

    /// A worker takes part no longer.
    pub(super) fn leave(&self, member: &Arc<Member>) {
        self.members.rcu(|members| {
            let mut members = Vec::clone(members);
            members.retain(|other| !Arc::ptr_eq(other, member));
            members
        });
    }

    fn tell_all(&self, what: impl Fn() -> Kind) {
        for member in self.members.load().iter() {
            member.tell(what());
        }
    }

    /// A moment on this pool's own clock.
    pub(super) fn micros(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.base).as_micros();
        u64::try_from(since).unwrap_or(u64::MAX)
    }

    /// How long it is since a moment on this pool's own clock.
    pub(super) fn elapsed(&self, since: u64, now: Instant) -> Duration {
        Duration::from_micros(self.micros(now).saturating_sub(since))
    }
}

impl Member {
    pub(super) fn tell(&self, what: Kind) {
        (self.post)(Message(what));
    }

    pub(super) fn idle(&self) -> usize {
        self.idle.0.load(Ordering::SeqCst)
    }

    pub(super) fn publish_idle(&self, idle: usize) {
        self.idle.0.store(idle, Ordering::SeqCst);
    }
}

impl From<Permit> for Room {
    fn from(permit: Permit) -> Self {
        Self {
            permit,
            connecting: None,
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.counts.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        self.0.counts.0.connecting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Adds one, unless that would be more than `limit`.
fn take_one(count: &AtomicUsize, limit: usize) -> bool {
    count
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |taken| {
            (taken < limit).then_some(taken + 1)
        })
        .is_ok()
}
