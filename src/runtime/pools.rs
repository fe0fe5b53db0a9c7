//! The pools of one worker: one for each cluster whose connections clients share.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Instant;

use super::{Message, Peer};
use crate::stats::Shard;
use crate::upstream::pool::{self, ClusterPool, SharedPool};

/// The pools of one worker.
pub(super) struct Pools {
    shard: Shard,
    peers: Arc<[Peer]>,
    index: usize,
    pools: RefCell<Vec<Rc<ClusterPool>>>,
}

impl Pools {
    pub(super) fn new(shard: Shard, peers: Arc<[Peer]>, index: usize) -> Self {
        Self {
            shard,
            peers,
            index,
            pools: RefCell::default(),
        }
    }

    /// This worker's part of a pool: made when it is first needed.
    pub(super) fn get(&self, shared: &Arc<SharedPool>) -> Rc<ClusterPool> {
        let mut pools = self.pools.borrow_mut();
        let known = pools.iter().find(|pool| Arc::ptr_eq(pool.shared(), shared));
        if let Some(known) = known {
            return Rc::clone(known);
        }
        let (peers, index) = (Arc::clone(&self.peers), self.index);
        // The pool holds the way to its workers: only a weak way back, or neither would ever end.
        let to = Arc::downgrade(shared);
        let made = ClusterPool::new(shared, &self.shard, move |message| {
            if let Some(peer) = peers.get(index) {
                peer.send(Message::Pool(Weak::clone(&to), message));
            }
        });
        pools.push(Rc::clone(&made));
        made
    }

    /// Gives a message to the pool it is for. One for a pool that is gone closes what it brings.
    pub(super) fn take(&self, to: &Weak<SharedPool>, message: pool::Message) {
        let pools = self.pools.borrow();
        let to = pools
            .iter()
            .find(|pool| std::ptr::eq(Arc::as_ptr(pool.shared()), to.as_ptr()));
        let to = to.map(Rc::clone);
        drop(pools);
        match to {
            Some(pool) => pool.take(message),
            None => message.refuse(),
        }
    }

    /// Looks after all of them. One that no listener and no session uses any more is wound down.
    pub(super) fn tick(&self) {
        let mut pools = self.pools.borrow_mut();
        if pools.is_empty() {
            return;
        }
        let now = Instant::now();
        pools.retain(|pool| {
            let is_used = Rc::strong_count(pool) > 1;
            if !is_used {
                pool.wind_down();
            }
            pool.tick(now);
            is_used || !pool.is_empty()
        });
    }

    /// The process ends: no connection is kept.
    pub(super) fn wind_down(&self) {
        for pool in self.pools.borrow().iter() {
            pool.wind_down();
        }
    }
}
