//! Whether the server is there, as far as clients may expect it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counts each change: an even number is fine weather, an odd one is a server that is away.
pub struct Weather {
    changes: AtomicU64,
    over: AtomicBool,
    may_close: bool,
}

impl Weather {
    /// `may_close` says whether clients have to expect that their connections end with the server.
    pub fn new(may_close: bool) -> Self {
        Self {
            changes: AtomicU64::new(0),
            over: AtomicBool::new(false),
            may_close,
        }
    }

    pub fn change(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    pub fn now(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// The server was there all the time since `then`.
    pub fn was_fine(&self, then: u64) -> bool {
        then.is_multiple_of(2) && self.now() == then
    }

    pub fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    pub fn may_close(&self) -> bool {
        self.may_close
    }
}
