//! At most so many in so much time, for each key. Time is an argument.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// How often each key may pass. Keys are never forgotten: there must be a bounded number of them.
pub(super) struct RateLimit<K> {
    windows: HashMap<K, Window>,
}

/// The time since a key first passed after a pause.
struct Window {
    since: Instant,
    passed: u32,
    held_back: u64,
}

impl<K> Default for RateLimit<K> {
    fn default() -> Self {
        Self {
            windows: HashMap::new(),
        }
    }
}

impl<K: Copy + Eq + Hash> RateLimit<K> {
    /// Whether `key` may pass now.
    pub(super) fn admit(&mut self, key: K, now: Instant) -> bool {
        let fresh = Window {
            since: now,
            passed: 0,
            held_back: 0,
        };
        let window = self.windows.entry(key).or_insert(fresh);
        if window.is_over(now) {
            *window = Window {
                since: now,
                passed: 0,
                held_back: 0,
            };
        }
        let admitted = window.passed < MAX_PASSED;
        if admitted {
            window.passed += 1;
        } else {
            window.held_back += 1;
        }
        admitted
    }

    /// The keys that have been held back in a window that is over, and how often; each window is reported once.
    pub(super) fn ended(&mut self, now: Instant) -> Vec<(K, u64)> {
        let over = self
            .windows
            .iter_mut()
            .filter(|(_, window)| window.held_back > 0 && window.is_over(now));
        over.map(|(key, window)| (*key, std::mem::take(&mut window.held_back)))
            .collect()
    }
}

impl Window {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= WINDOW
    }
}

/// Enough to see what happens and to whom, at most one line every two seconds on average.
const MAX_PASSED: u32 = 5;
const WINDOW: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_pass_in_ten_seconds_and_the_rest_is_counted() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut limit = RateLimit::default();
        let passed = (0..1000).filter(|_| limit.admit("a", after(1))).count();
        assert_eq!(passed, 5);
        assert!(
            !limit.admit("a", after(10)),
            "the window is ten seconds from its first line"
        );
        assert_eq!(limit.ended(after(10)), []);
        assert_eq!(limit.ended(after(11)), [("a", 996)]);
        assert_eq!(limit.ended(after(11)), [], "reported once");
        assert!(limit.admit("a", after(11)));
    }

    #[test]
    fn keys_do_not_share() {
        let now = Instant::now();
        let mut limit = RateLimit::default();
        while limit.admit("a", now) {}
        assert!(limit.admit("b", now));
        assert_eq!(limit.ended(now + WINDOW), [("a", 1)]);
    }

    #[test]
    fn a_slow_line_always_passes() {
        let start = Instant::now();
        let mut limit = RateLimit::default();
        assert!((0..100).all(|n| limit.admit("a", start + Duration::from_secs(2 * n))));
        assert_eq!(limit.ended(start + Duration::from_secs(1000)), []);
    }
}
