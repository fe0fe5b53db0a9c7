//! Collapse mode: many clients over few upstream connections.
//!
//! accept → decode → decide: a [`Session`] reads requests and says of each what it needs (`decide`). Most need nothing but a server: they
//! go over a connection that all clients of the worker share, one behind the other (`forward`, `trunk`), and what clients sent at the same
//! time goes out in one write. What is about the client's own connection is answered here (`answer`). What changes the connection that it comes
//! on, or holds it up, gets one of its own until nothing of that is left (`own`).
//!
//! Where keys are on several servers, each request is given its cluster first (`targets`), then its server (`route`), or is cut (`split`).
//!
//! A client's replies come in the order of its requests: whatever can't go over the shared connection waits until all before it has been
//! answered, and all behind it waits as well.
//!
//! Nobody ever gets another client's data: see `trunk` for what ends a shared connection, and `own` for when one is given back.

mod answer;
mod asked;
mod carrier;
mod client;
mod decide;
mod errors;
mod forward;
mod identity;
mod local;
mod logins;
mod mirror;
mod own;
mod redirect;
mod rides;
mod route;
mod session;
mod split;
mod targets;
mod trunk;
mod trunks;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use super::RedisListener;
use crate::config::{RedisAuth, RedisConfig};
use crate::listener::{ListenerShared, Target};
use crate::protocols::inbox::Buffers;
use crate::upstream::pool::ClusterPool;
use logins::Logins;
use mirror::Mirror;
use targets::Targets;
use trunks::Trunks;

pub use session::Session;

/// A cluster that a listener sends to, and this worker's part of its connections.
pub struct Upstream<'a> {
    /// The cluster.
    pub target: &'a Target,
    /// The connections.
    pub pool: Rc<ClusterPool>,
}

/// The clusters that a listener sends to.
pub struct Upstreams<'a> {
    /// Its own.
    pub own: Upstream<'a>,
    /// Those of its routes, in the order of their places, from 1 on.
    pub routed: Vec<Upstream<'a>>,
    /// The one that gets a share of the requests too.
    pub mirror: Option<Upstream<'a>>,
}

/// What the sessions of one listener in mode collapse share on one worker.
pub struct CollapseListener {
    pub(super) redis: Rc<RedisListener>,
    targets: Targets,
    buffers: Rc<Buffers>,
    sessions: Cell<usize>,
    /// Bytes of large requests that are held until they are whole.
    whole: Cell<usize>,
    mirror: Option<Mirror>,
    /// Where clients log in that have to log in to the proxy.
    logins: Option<Rc<Logins>>,
}

impl CollapseListener {
    /// A listener as one worker serves it.
    pub fn new(
        redis: Rc<RedisListener>,
        upstreams: Upstreams<'_>,
        buffers: Rc<Buffers>,
        config: &RedisConfig,
        shared: &Arc<ListenerShared>,
    ) -> Self {
        let trunks = |place, upstream: &Upstream<'_>| {
            let Upstream { target, pool } = upstream;
            Trunks::new(
                &target.cluster,
                place,
                Rc::clone(pool),
                target.stats.clone(),
            )
        };
        let others = upstreams.routed.iter().enumerate();
        let others = others.map(|(place, upstream)| Rc::new(trunks(place + 1, upstream)));
        let own = Rc::new(trunks(0, &upstreams.own));
        let mirror = upstreams.mirror.as_ref().zip(config.mirror);
        Self {
            redis,
            targets: Targets::new(own, others.collect(), &config.routes),
            mirror: mirror.map(|(upstream, percent)| Mirror::new(trunks(0, upstream), percent)),
            buffers,
            sessions: Cell::new(0),
            whole: Cell::new(0),
            logins: match &config.auth {
                RedisAuth::Server => None,
                RedisAuth::Users { .. } => Some(Rc::new(Logins::new(Arc::clone(shared)))),
            },
        }
    }

    /// So many bytes of large requests are held, of which so many have been counted.
    fn hold_whole(&self, now: usize, before: usize) {
        self.whole
            .set((self.whole.get() + now).saturating_sub(before));
    }

    /// Bytes of large requests that are held until they are whole.
    fn held_whole(&self) -> usize {
        self.whole.get()
    }

    /// The number of a session that begins.
    fn next_session(&self) -> usize {
        let number = self.sessions.get();
        self.sessions.set(number.wrapping_add(1));
        number
    }

    /// Its series.
    pub fn redis(&self) -> &RedisListener {
        &self.redis
    }
}
