//! Collapse mode: many clients over few upstream connections.
//!
//! accept → decode → decide: a [`Session`] reads requests and says of each what it needs (`decide`). Most need nothing but a server: they
//! go over a connection that all clients of the worker share, one behind the other (`forward`, `trunk`), and what clients sent at the same
//! time goes out in one write. What is about the client's own connection is answered here (`answer`). What changes the connection that it comes
//! on, or holds it up, gets one of its own until nothing of that is left (`own`).
//!
//! A client's replies come in the order of its requests: whatever can't go over the shared connection waits until all before it has been
//! answered, and all behind it waits as well.
//!
//! Nobody ever gets another client's data: see `trunk` for what ends a shared connection, and `own` for when one is given back.

mod answer;
mod carrier;
mod client;
mod decide;
mod errors;
mod forward;
mod mirror;
mod own;
mod redirect;
mod rides;
mod route;
mod session;
mod split;
mod trunk;
mod trunks;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use super::RedisListener;
use crate::config::RedisAuth;
use crate::listener::Target;
use crate::protocols::inbox::Buffers;
use crate::scram::PlainLogins;
use crate::upstream::pool::ClusterPool;
use mirror::Mirror;
use trunks::Trunks;

pub use session::Session;

/// What the sessions of one listener in mode collapse share on one worker.
pub struct CollapseListener {
    pub(super) redis: Rc<RedisListener>,
    trunks: Rc<Trunks>,
    buffers: Rc<Buffers>,
    sessions: Cell<usize>,
    mirror: Option<Mirror>,
    /// Where clients log in that have to log in to the proxy.
    logins: Option<Rc<PlainLogins>>,
}

impl CollapseListener {
    /// A listener as one worker serves it. `pool` is this worker's part of the connections of `target`. The mirror gets that many of 100
    /// requests too.
    pub fn new(
        redis: Rc<RedisListener>,
        target: &Target,
        pool: Rc<ClusterPool>,
        buffers: Rc<Buffers>,
        mirror: Option<(&Target, Rc<ClusterPool>, u32)>,
        auth: &RedisAuth,
    ) -> Self {
        let trunks = |target: &Target, pool| {
            let cluster = &target.cluster;
            Trunks::new(cluster, pool, target.stats.clone())
        };
        Self {
            redis,
            trunks: Rc::new(trunks(target, pool)),
            mirror: mirror
                .map(|(target, pool, percent)| Mirror::new(trunks(target, pool), percent)),
            buffers,
            sessions: Cell::new(0),
            logins: match auth {
                RedisAuth::Server => None,
                RedisAuth::Users { users, .. } => {
                    Some(Rc::new(PlainLogins::new(Arc::clone(users))))
                }
            },
        }
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
