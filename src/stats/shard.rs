//! What one worker writes. A cell has one writer, so adding to it is a plain load and store; a
//! histogram is the worker's alone until it is gathered, so recording takes no lock.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashTable;

use super::catalogue::{Cap, Counter, Gauge, Histogram, SCOPES, ScopeKind, ScopeRow, StatsFolded};
use super::histogram::{Boxed, Recorded};
use super::registry::{Admitted, Cells, Frozen, Registry, capped_value};
use super::sanitise::{self, OTHER};

/// One worker's statistics.
#[derive(Clone)]
pub struct Shard {
    inner: Rc<Inner>,
}

struct Inner {
    registry: Arc<Registry>,
    known: RefCell<HashTable<Rc<Known>>>,
    hasher: foldhash::fast::RandomState,
    frozen: RefCell<HashMap<(Cap, Box<str>), Frozen>>,
    pool: Rc<Pool>,
}

/// A series as this worker knows it.
struct Known {
    scope: usize,
    labels: Box<[Box<str>]>,
    id: u32,
    cells: Cells,
    histograms: Box<[RefCell<Option<Boxed>>]>,
    /// The other series that get what is recorded here.
    also: Option<Arc<[Also]>>,
    pool: Rc<Pool>,
}

/// A histogram of another series that gets the same values as the one at `place`.
#[derive(Clone, Copy)]
pub struct Also {
    pub(super) place: usize,
    pub(super) series: u32,
    pub(super) place_there: usize,
}

/// Histograms that are not in use, and series whose histograms are.
#[derive(Default)]
pub(super) struct Pool {
    free: RefCell<Vec<Boxed>>,
    /// The fewest free ones since they were last gathered: so many were not needed.
    unused: Cell<usize>,
    dirty: RefCell<Vec<(Rc<Known>, usize)>>,
}

/// A histogram on its way to the aggregator.
pub(super) struct Gathered {
    pub(super) series: u32,
    pub(super) place: usize,
    pub(super) also: Option<Arc<[Also]>>,
    pub(super) recorded: Boxed,
}

/// The series of one scope and one set of labels, for one worker.
pub struct Scope<K> {
    known: Rc<Known>,
    kind: PhantomData<K>,
}

impl<K> Clone for Scope<K> {
    fn clone(&self) -> Self {
        Self {
            known: Rc::clone(&self.known),
            kind: PhantomData,
        }
    }
}

impl<K: ScopeKind> Scope<K> {
    /// Adds one.
    pub fn inc(&self, counter: Counter<K>) {
        self.add(counter, 1);
    }

    /// Adds `n`.
    pub fn add(&self, counter: Counter<K>, n: u64) {
        self.change(counter.0, |value| value.wrapping_add(n));
    }

    /// Changes a gauge by `n`. Workers' shares are summed, so one worker's may be negative.
    pub fn gauge_add(&self, gauge: Gauge<K>, n: i64) {
        self.change(gauge.0, |value| value.wrapping_add_signed(n));
    }

    /// Sets this worker's share of a gauge.
    pub fn gauge_set(&self, gauge: Gauge<K>, value: i64) {
        self.change(gauge.0, |_| value.cast_unsigned());
    }

    /// Records one value: microseconds, bytes or documents, as the catalogue says.
    pub fn record(&self, histogram: Histogram<K>, value: u64) {
        let Some(slot) = self.known.histograms.get(histogram.0) else {
            return;
        };
        let mut slot = slot.borrow_mut();
        if slot.is_none() {
            *slot = self.known.pool.begin(&self.known, histogram.0);
        }
        if let Some(recorded) = slot.as_mut() {
            recorded.record(value);
        }
    }

    /// A number that this series alone has.
    pub fn id(&self) -> u32 {
        self.known.id
    }

    /// Says that `histogram` gets every value that `from` gets.
    pub fn gets<F>(&self, histogram: Histogram<K>, from: Histogram<F>) -> Also {
        Also {
            place: from.0,
            series: self.known.id,
            place_there: histogram.0,
        }
    }

    /// The same series, with histograms of its own whose values also count for other series: each
    /// is recorded once, and added to all of them when it is gathered.
    pub fn shared_with(&self, also: &[Also]) -> Self {
        let known = &self.known;
        Self {
            known: Rc::new(Known {
                scope: known.scope,
                labels: known.labels.clone(),
                id: known.id,
                cells: Arc::clone(&known.cells),
                histograms: known
                    .histograms
                    .iter()
                    .map(|_| RefCell::new(None))
                    .collect(),
                also: Some(also.into()),
                pool: Rc::clone(&known.pool),
            }),
            kind: PhantomData,
        }
    }

    /// True when a name was one too many, and this is the series of all such names.
    pub fn is_folded(&self) -> bool {
        let caps = SCOPES.get(self.known.scope).map_or(&[][..], |row| row.caps);
        caps.iter().any(|(place, _)| {
            self.known
                .labels
                .get(*place)
                .is_some_and(|label| &**label == OTHER)
        })
    }

    fn change(&self, place: usize, change: impl FnOnce(u64) -> u64) {
        if let Some(cell) = self.known.cells.get(place) {
            // This thread is the only writer: no other store can come between.
            cell.store(change(cell.load(Ordering::Relaxed)), Ordering::Relaxed);
        }
    }
}

impl Shard {
    /// A shard for the calling thread.
    pub(super) fn new(registry: Arc<Registry>) -> Self {
        Self {
            inner: Rc::new(Inner {
                registry,
                known: RefCell::default(),
                hasher: foldhash::fast::RandomState::default(),
                frozen: RefCell::default(),
                pool: Rc::default(),
            }),
        }
    }

    pub(super) fn pool(&self) -> &Rc<Pool> {
        &self.inner.pool
    }

    /// The series of one scope with these labels: one for each placeholder, as they come from the
    /// wire. The same labels give the same series.
    pub fn scope<K: ScopeKind>(&self, labels: &[&[u8]]) -> Scope<K> {
        Scope {
            known: self.known(K::INDEX, labels),
            kind: PhantomData,
        }
    }

    fn known(&self, scope: usize, raw: &[&[u8]]) -> Rc<Known> {
        if let Some(known) = self.find(scope, raw) {
            return known;
        }
        let mut labels: Box<[Box<str>]> = raw
            .iter()
            .map(|raw| sanitise::label(raw).into_boxed_str())
            .collect();
        let row = SCOPES.get(scope);
        self.fold_what_is_frozen(row, &mut labels);
        if let Some(known) = self.find_safe(scope, &labels) {
            return known;
        }
        self.make(scope, row, labels)
    }

    /// Looks a series up by labels as they come, if they need no change to be safe.
    fn find(&self, scope: usize, raw: &[&[u8]]) -> Option<Rc<Known>> {
        let hash = self.hash(scope, raw.iter().copied());
        let known = self.inner.known.borrow();
        let is_it = |known: &Rc<Known>| {
            known.scope == scope
                && known.labels.len() == raw.len()
                && known
                    .labels
                    .iter()
                    .zip(raw)
                    .all(|(a, b)| a.as_bytes() == *b)
        };
        known.find(hash, is_it).map(Rc::clone)
    }

    fn find_safe(&self, scope: usize, labels: &[Box<str>]) -> Option<Rc<Known>> {
        let hash = self.hash(scope, labels.iter().map(|label| label.as_bytes()));
        let known = self.inner.known.borrow();
        let is_it = |known: &Rc<Known>| known.scope == scope && *known.labels == *labels;
        known.find(hash, is_it).map(Rc::clone)
    }

    /// Replaces names that a frozen cap does not know. No lock, no growth.
    fn fold_what_is_frozen(&self, row: Option<&ScopeRow>, labels: &mut [Box<str>]) {
        for (place, cap) in row.map_or(&[][..], |row| row.caps) {
            if labels.get(*place).is_none_or(|label| &**label == OTHER) {
                continue;
            }
            let (owner, value) = capped_value(labels, *place);
            let folded = {
                let frozen = self.inner.frozen.borrow();
                frozen
                    .get(&(*cap, owner))
                    .is_some_and(|names| !names.contains(&value))
            };
            if folded {
                self.fold(*cap, *place, labels);
            }
        }
    }

    fn fold(&self, cap: Cap, place: usize, labels: &mut [Box<str>]) {
        if let Some(label) = labels.get_mut(place) {
            *label = OTHER.into();
        }
        let folded: Scope<StatsFolded> = self.scope(&[cap.name().as_bytes()]);
        folded.inc(StatsFolded::TOTAL);
    }

    /// Asks the registry, and folds one label after the other until it agrees.
    fn make(&self, scope: usize, row: Option<&ScopeRow>, mut labels: Box<[Box<str>]>) -> Rc<Known> {
        loop {
            match self.inner.registry.admit(scope, &labels) {
                Some(Admitted::Full { place, frozen }) => {
                    let cap = row
                        .and_then(|row| row.caps.iter().find(|(capped, _)| *capped == place))
                        .map(|(_, cap)| *cap);
                    let Some(cap) = cap else {
                        return self.detached(scope, row, labels);
                    };
                    let (owner, _) = capped_value(&labels, place);
                    self.inner.frozen.borrow_mut().insert((cap, owner), frozen);
                    self.fold(cap, place, &mut labels);
                    if let Some(known) = self.find_safe(scope, &labels) {
                        return known;
                    }
                }
                Some(Admitted::Series(series, cells)) => {
                    let known = Rc::new(Known {
                        scope,
                        labels,
                        id: series.id,
                        cells,
                        histograms: slots(series.scope),
                        also: None,
                        pool: Rc::clone(&self.inner.pool),
                    });
                    self.remember(&known);
                    return known;
                }
                None => return self.detached(scope, row, labels),
            }
        }
    }

    /// A series that nobody reads: for a catalogue that contradicts itself, which a test excludes.
    fn detached(&self, scope: usize, row: Option<&ScopeRow>, labels: Box<[Box<str>]>) -> Rc<Known> {
        let cells = row.map_or(0, ScopeRow::cells);
        Rc::new(Known {
            scope,
            labels,
            id: u32::MAX,
            cells: (0..cells).map(|_| AtomicU64::new(0)).collect(),
            histograms: Box::default(),
            also: None,
            pool: Rc::clone(&self.inner.pool),
        })
    }

    fn remember(&self, known: &Rc<Known>) {
        let hash = self.hash_of(known);
        self.inner
            .known
            .borrow_mut()
            .insert_unique(hash, Rc::clone(known), |known| self.hash_of(known));
    }

    fn hash_of(&self, known: &Known) -> u64 {
        self.hash(
            known.scope,
            known.labels.iter().map(|label| label.as_bytes()),
        )
    }

    fn hash<'a>(&self, scope: usize, labels: impl Iterator<Item = &'a [u8]>) -> u64 {
        use std::hash::Hasher;
        let mut hasher = self.inner.hasher.build_hasher();
        hasher.write_usize(scope);
        for label in labels {
            hasher.write(label);
            hasher.write_u8(b'\n');
        }
        hasher.finish()
    }
}

fn slots(row: &ScopeRow) -> Box<[RefCell<Option<Boxed>>]> {
    (0..row.histograms()).map(|_| RefCell::new(None)).collect()
}

impl Pool {
    fn begin(&self, known: &Rc<Known>, place: usize) -> Option<Boxed> {
        self.dirty.borrow_mut().push((Rc::clone(known), place));
        let mut free = self.free.borrow_mut();
        let recycled = free.pop();
        self.unused.set(self.unused.get().min(free.len()));
        recycled.or_else(|| Recorded::new().map(Box::new))
    }

    /// Begins to gather: what was free all the time since is given back to the system.
    pub(super) fn begin_gathering(&self) -> usize {
        let mut free = self.free.borrow_mut();
        let keep = free.len() - self.unused.get().min(free.len());
        free.truncate(keep);
        self.unused.set(usize::MAX);
        self.dirty.borrow().len()
    }

    /// Takes up to `most` histograms, the ones that have waited longest, and gives others back.
    pub(super) fn gather(&self, most: usize, back: Vec<Boxed>) -> Vec<Gathered> {
        self.free.borrow_mut().extend(back);
        let mut dirty = self.dirty.borrow_mut();
        let most = most.min(dirty.len());
        dirty
            .drain(..most)
            .filter_map(|(known, place)| {
                let recorded = known.histograms.get(place)?.borrow_mut().take()?;
                Some(Gathered {
                    series: known.id,
                    place,
                    also: known.also.clone(),
                    recorded,
                })
            })
            .collect()
    }
}
