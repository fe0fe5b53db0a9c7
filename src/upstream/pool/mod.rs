//! Upstream connections that many clients share.
//!
//! A connection is lent for one operation at a time. Connections to the same endpoint under the
//! same credential (a *key*) are interchangeable; each worker keeps the idle ones it used last, in
//! a *lane* for each key, and lends them without a lock, an allocation or an await.
//!
//! What must not multiply with the workers is process-wide ([`SharedPool`]): one *permit* for each
//! connection that is open or being opened, `max_connecting`, the number of those who wait, and
//! the *tickets* that say who came first.
//!
//! # Who gets what
//!
//! Whoever finds no idle connection draws a ticket and queues on its own worker. Then, in this
//! order: a worker with an idle connection of the key sends it over; with a free permit one is
//! opened; an idle connection of another key gives up its place. A connection that comes back goes
//!
//! * to the first waiter of its lane, unless somebody on another worker, or for another key, has
//!   waited for much longer (`placing::slack`): connections should not travel between threads, or be
//!   closed, for the order's sake;
//! * else to the worker whose waiter for this key has the oldest ticket;
//! * else it is idle, and gives up its place to whoever needs one for another key.
//!
//! A connection that is being opened belongs to nobody: whoever is first when it is ready gets it,
//! and the one it was opened for may have been served by then.
//!
//! # Why no wake-up is lost
//!
//! A worker *publishes* two kinds of tickets: for each key the first of its waiters *in need*, that
//! is for whom no connection is being opened (`Share::first`), to whom a connection of the key can be
//! sent; and the first of all these for whom one could be opened (`Member::first`), to whom a permit
//! can be sent. There are two sides to every meeting:
//!
//! * who needs: counted as waiting, tickets published, **then** look for what is free (idle counts of
//!   all workers, permits, places among the openings);
//! * who frees: made visible (idle count, permit count, opening count), **then** look whether anybody
//!   waits, and which tickets are published.
//!
//! All of these are sequentially consistent, so of two that meet at least one sees the other. What
//! is seen as idle elsewhere is asked for by message; the worker that is asked gives it, or says
//! that it is gone, and then the asker looks again. In between, that worker may lend its connection
//! to someone else, but when that one comes back the published ticket is seen.
//!
//! Who sends something for a published ticket *claims* it first, so that one waiter does not attract
//! the connections of all workers. While it is claimed others overlook it; so the worker that
//! receives publishes again whoever is first by then, and again looks for what is free. What others
//! freed meanwhile is visible by then, because they overlooked the ticket after freeing it. Whoever
//! has claimed a ticket sends something in any case, be it only "try again".
//!
//! Two kinds of waiters hold no permit back. Those for whom a connection is being opened are not in
//! need; when the opening ends the worker publishes them if they still wait, and looks for what is
//! free. Those whose endpoint can't be reached just now are *on hold*: no permit is sent for them
//! until a timer publishes them again, and looks. A place among the openings is sent to nobody; who
//! gives one back tells all workers with somebody in need to look again.
//!
//! # Cancelling
//!
//! A waiter that is dropped leaves its list; what had been set aside for it is given to the next as
//! if it came back. An opening goes on without its waiter. A lease that is dropped closes its
//! connection. Permits, counts and places are guards, so that none outlives what it stands for.

mod alarm;
mod attempt;
mod cluster_pool;
mod connection;
mod demand;
mod inbox;
mod keys;
mod lanes;
mod lease;
mod long_waits;
mod opening;
mod placing;
mod reason;
mod shared;
mod snapshot;
mod stats;
#[cfg(test)]
mod tests;
mod tickets;
mod upkeep;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

pub use cluster_pool::ClusterPool;
pub use lease::{Lease, Tenure};
pub use long_waits::LongWaitPermit;
pub use opening::{OpenError, OpenErrorKind, Opened, Opener, Opening};
pub use reason::{CloseReason, OpenReason};
pub use shared::{Message, PoolPolicy, SharedPool};
pub use snapshot::{KeySnapshot, PoolSnapshot};

/// Why no connection could be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckoutError {
    /// `max_waiting` operations wait already.
    #[error(
        "cluster `{cluster}`: {limit} operations wait for a connection, and no more may (pool.max_waiting)"
    )]
    QueueFull {
        /// The cluster.
        cluster: Arc<str>,
        /// `max_waiting`.
        limit: usize,
    },
    /// None came back in time.
    #[error(
        "cluster `{cluster}`: no connection became free within {} ms, and there may be no more than {limit}",
        waited.as_millis()
    )]
    TimedOut {
        /// The cluster.
        cluster: Arc<str>,
        /// How long the operation waited.
        waited: Duration,
        /// `max_connections`, or `max_long_waits` where that was what it waited for.
        limit: usize,
    },
    /// None could be opened, and none is open that could come back.
    #[error("cluster `{cluster}`: {error}")]
    Open {
        /// The cluster.
        cluster: Arc<str>,
        /// What the last attempt met.
        error: OpenError,
    },
    /// The endpoint failed, or left the cluster, while the operation waited: choose another one.
    #[error("cluster `{cluster}`: {endpoint} is no longer used")]
    Retired {
        /// The cluster.
        cluster: Arc<str>,
        /// The endpoint's name.
        endpoint: Arc<str>,
    },
}
