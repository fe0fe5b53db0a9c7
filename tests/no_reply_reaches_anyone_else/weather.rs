//! What the server and its connections go through, as far as clients may know it.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::ledger::Place;

/// A connection that was cut is found when it is read, which a client that does not take its replies may hold up for 5 s; on a
/// machine that has other things to do as well.
const LATE: Duration = Duration::from_secs(7);

/// Shared by all clients and by whoever makes the weather.
pub struct Weather {
    struck: Mutex<Option<Instant>>,
    is_down: AtomicBool,
    losses: AtomicU64,
    is_over: AtomicBool,
    garbage: Mutex<Vec<Place>>,
    wanted: Mutex<BTreeSet<String>>,
}

impl Weather {
    pub fn new() -> Self {
        Self {
            struck: Mutex::new(None),
            is_down: AtomicBool::new(false),
            losses: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            garbage: Mutex::default(),
            wanted: Mutex::default(),
        }
    }

    /// Connections are about to be cut, or have just been.
    pub fn strike(&self) {
        *self.struck.lock().unwrap() = Some(Instant::now());
    }

    /// The server is about to go, or has come back.
    pub fn down(&self, is_down: bool) {
        self.strike();
        self.is_down.store(is_down, Ordering::SeqCst);
    }

    /// A connection that was all right at `then` may have been cut.
    pub fn excuses(&self, then: Instant) -> bool {
        let struck = *self.struck.lock().unwrap();
        self.is_down.load(Ordering::SeqCst) || struck.is_some_and(|struck| struck + LATE >= then)
    }

    /// All data is about to be lost.
    pub fn lose(&self) {
        self.losses.fetch_add(1, Ordering::SeqCst);
    }

    pub fn losses(&self) -> u64 {
        self.losses.load(Ordering::SeqCst)
    }

    pub fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// Nobody will look there any more.
    pub fn discard(&self, place: Place) {
        self.garbage.lock().unwrap().push(place);
    }

    pub fn garbage(&self) -> Vec<Place> {
        std::mem::take(&mut self.garbage.lock().unwrap())
    }

    /// Somebody listens there, and wants messages from outside.
    pub fn want(&self, channel: &str) {
        self.wanted.lock().unwrap().insert(channel.to_string());
    }

    pub fn no_longer(&self, channel: &str) {
        self.wanted.lock().unwrap().remove(channel);
    }

    pub fn wanted(&self) -> Vec<String> {
        self.wanted.lock().unwrap().iter().cloned().collect()
    }
}
