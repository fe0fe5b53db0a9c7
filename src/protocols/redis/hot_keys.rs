//! Which keys are asked for most: an estimate in bounded memory, by the Space-Saving algorithm ("Efficient Computation of Frequent and Top-k
//! Elements in Data Streams", Metwally, Agrawal and El Abbadi, 2005). Off unless the config asks for it, as names of keys are data.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use narrows_parsers::redis::Text;

/// Keys that a worker follows for each that is shown. A key that has a share above one of `followed` is among them, and its count is off by no
/// more than that share.
const FOLLOWED: usize = 10;

/// The hot keys of one listener, over all workers.
#[derive(Default)]
pub struct HotKeys {
    workers: Mutex<Vec<Weak<Followed>>>,
}

/// Those of one worker. It alone counts; the lock is for whoever looks, now and then.
pub struct Followed(Mutex<Window>);

/// The last whole interval, and what has come since.
struct Window {
    current: Sketch,
    last: Sketch,
}

/// How often each of the keys came that came most often.
struct Sketch {
    room: usize,
    /// All requests that have a key.
    total: u64,
    entries: Vec<Entry>,
    /// The entries, the most frequent one first.
    order: Vec<usize>,
    places: HashMap<Arc<[u8]>, usize>,
}

struct Entry {
    key: Arc<[u8]>,
    count: u64,
    /// How much of the count may be another key's, whose place it took.
    over: u64,
    /// Where it stands in the order.
    rank: usize,
}

/// A key, and how often it was asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct HotKey {
    /// Its bytes; of a long key its front, with `...` behind it.
    pub key: Vec<u8>,
    /// No less often than this.
    pub at_least: u64,
    /// No more often than this.
    pub at_most: u64,
}

/// What was asked for most.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Hottest {
    /// All requests that have a key.
    pub requests: u64,
    /// The keys, that first which came most often.
    pub keys: Vec<HotKey>,
}

impl HotKeys {
    /// Begins to count for one more worker, as exactly as the first `shown` keys need.
    pub fn follow(&self, shown: usize) -> Arc<Followed> {
        let sketch = || Sketch::new(shown.saturating_mul(FOLLOWED));
        let followed = Arc::new(Followed(Mutex::new(Window {
            current: sketch(),
            last: sketch(),
        })));
        let mut workers = locked(&self.workers);
        workers.retain(|worker| worker.strong_count() > 0);
        workers.push(Arc::downgrade(&followed));
        followed
    }

    /// Ends the interval.
    pub fn rotate(&self) {
        for worker in self.workers() {
            let window = &mut *locked(&worker.0);
            let next = Sketch::new(window.current.room);
            window.last = std::mem::replace(&mut window.current, next);
        }
    }

    /// The first `shown` keys of the last whole interval and of what has come since.
    pub fn hottest(&self, shown: usize) -> Hottest {
        let mut sums = HashMap::<Vec<u8>, Sum>::new();
        let (mut requests, mut unseen) = (0, 0);
        for worker in self.workers() {
            let window = &*locked(&worker.0);
            for sketch in [&window.last, &window.current] {
                requests += sketch.total;
                unseen += sketch.most_unseen();
                for entry in &sketch.entries {
                    let sum = sums.entry(entry.key.to_vec()).or_default();
                    sum.count += entry.count;
                    sum.over += entry.over;
                    sum.seen += sketch.most_unseen();
                }
            }
        }
        let mut keys: Vec<_> = sums
            .into_iter()
            .map(|(key, sum)| HotKey {
                key,
                at_least: sum.count - sum.over,
                at_most: sum.count + (unseen - sum.seen),
            })
            .collect();
        keys.sort_by(|one, other| {
            let by_count = (other.at_least, other.at_most).cmp(&(one.at_least, one.at_most));
            by_count.then_with(|| one.key.cmp(&other.key))
        });
        keys.truncate(shown);
        Hottest { requests, keys }
    }

    fn workers(&self) -> Vec<Arc<Followed>> {
        let workers = locked(&self.workers);
        workers.iter().filter_map(Weak::upgrade).collect()
    }
}

/// What is known of one key over all sketches.
#[derive(Default)]
struct Sum {
    count: u64,
    over: u64,
    /// What the sketches that have it could hide of a key that they have not.
    seen: u64,
}

impl Followed {
    /// A request has this key.
    pub(super) fn count(&self, key: &Text<'_>) {
        let mut window = locked(&self.0);
        match key.is_cut() {
            false => window.current.count(key.bytes),
            true => window.current.count(&[key.bytes, b"..."].concat()),
        }
    }
}

impl Sketch {
    fn new(room: usize) -> Self {
        Self {
            room,
            total: 0,
            entries: Vec::new(),
            order: Vec::new(),
            places: HashMap::new(),
        }
    }

    fn count(&mut self, key: &[u8]) {
        self.total += 1;
        let known = self.places.get(key).copied();
        let place = known.or_else(|| self.take_in(key));
        if let Some(place) = place {
            self.rise(place);
        }
    }

    /// Gives a new key a place: a free one, or that of the rarest key, whose count it takes over.
    fn take_in(&mut self, key: &[u8]) -> Option<usize> {
        let key: Arc<[u8]> = key.into();
        let place = if self.entries.len() < self.room {
            let place = self.entries.len();
            self.entries.push(Entry {
                key: Arc::clone(&key),
                count: 0,
                over: 0,
                rank: place,
            });
            self.order.push(place);
            place
        } else {
            let place = *self.order.last()?;
            let entry = self.entries.get_mut(place)?;
            self.places.remove(&entry.key);
            entry.key = Arc::clone(&key);
            entry.over = entry.count;
            place
        };
        self.places.insert(key, place);
        Some(place)
    }

    /// Counts one more: the entry changes places with the first of those that had the same count.
    fn rise(&mut self, place: usize) {
        let Some((count, rank)) = self.entries.get(place).map(|it| (it.count, it.rank)) else {
            return;
        };
        let entries = &self.entries;
        let is_above = |other: &usize| entries.get(*other).is_some_and(|it| it.count > count);
        let first = self.order.partition_point(is_above).min(rank);
        self.order.swap(first, rank);
        for rank in [first, rank] {
            let entry = self.order.get(rank).copied();
            if let Some(entry) = entry.and_then(|place| self.entries.get_mut(place)) {
                entry.rank = rank;
            }
        }
        if let Some(entry) = self.entries.get_mut(place) {
            entry.count += 1;
        }
    }

    /// How often a key may have come that has no place.
    fn most_unseen(&self) -> u64 {
        if self.entries.len() < self.room {
            return 0;
        }
        let last = self.order.last().and_then(|place| self.entries.get(*place));
        last.map_or(0, |entry| entry.count)
    }
}

/// Counting can't panic in the middle; and if it could, an estimate is an estimate.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn exact(keys: &[u8]) -> HashMap<u8, u64> {
        let mut counts = HashMap::new();
        for key in keys {
            *counts.entry(*key).or_default() += 1;
        }
        counts
    }

    proptest! {
        /// Whatever comes in whatever order: bounds hold, the order is by count, and nothing frequent is missing.
        #[test]
        fn the_estimate_is_within_its_bounds(
            streams in prop::collection::vec(prop::collection::vec(0..60u8, 0..800), 1..4),
            shown in 1..4usize,
            rotated in 0..4usize,
        ) {
            let hot = HotKeys::default();
            let workers: Vec<_> = streams.iter().map(|_| hot.follow(shown)).collect();
            for (number, (worker, stream)) in workers.iter().zip(&streams).enumerate() {
                for key in stream {
                    locked(&worker.0).current.count(&[*key]);
                }
                if number == rotated {
                    hot.rotate();
                }
            }
            let all = streams.concat();
            let counts = exact(&all);
            let hottest = hot.hottest(60);
            prop_assert_eq!(hottest.requests, all.len() as u64);
            for hot in &hottest.keys {
                let count = counts[&hot.key[0]];
                prop_assert!(hot.at_least <= count && count <= hot.at_most, "{hot:?} {count}");
            }
            for (key, count) in counts {
                // Each sketch may hide no more than its share.
                let room = (shown * FOLLOWED) as u64;
                let hidden: u64 = streams.iter().map(|stream| stream.len() as u64 / room).sum();
                let is_there = hottest.keys.iter().any(|hot| hot.key == [key]);
                prop_assert!(is_there || count <= hidden, "{key} came {count} times");
            }
        }
    }

    #[test]
    fn an_interval_is_forgotten_after_the_next() {
        let hot = HotKeys::default();
        let worker = hot.follow(2);
        locked(&worker.0).current.count(b"a");
        hot.rotate();
        locked(&worker.0).current.count(b"b");
        let keys = |hot: &HotKeys| -> Vec<_> {
            let hottest = hot.hottest(2);
            hottest.keys.into_iter().map(|hot| hot.key).collect()
        };
        assert_eq!(keys(&hot), [b"a", b"b"]);
        hot.rotate();
        assert_eq!(keys(&hot), [b"b"]);
        hot.rotate();
        assert_eq!(hot.hottest(2), Hottest::default());
        drop(worker);
        assert_eq!(hot.workers().len(), 0);
    }
}
