//! Which series exist, and the caps on labels that clients choose.
//!
//! The registry is asked only when a worker meets a series for the first time. A cap that is
//! reached is frozen: the worker gets the names that made it, and decides about all others alone,
//! so that a flood of names takes no lock and no memory.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::catalogue::{Cap, SCOPES, ScopeRow};
use super::sanitise::OTHER;
use crate::config::StatsLimits;

/// The values a capped label may have, once there are as many as the limit allows.
pub(super) type Frozen = Arc<HashSet<Box<str>>>;

/// One set of series: a scope with its labels.
pub struct Series {
    /// Its number in the order of creation.
    pub id: u32,
    /// Its scope.
    pub scope: &'static ScopeRow,
    /// One value for each placeholder, safe for every sink.
    pub labels: Box<[Box<str>]>,
}

/// The counters and gauges of a series, as one worker writes them.
pub(super) type Cells = Arc<[AtomicU64]>;

/// Every series of the process.
pub struct Registry {
    limits: [usize; Cap::ALL.len()],
    state: Mutex<State>,
}

/// A scope's place in the catalogue, and the labels.
type SeriesKey = (usize, Box<[Box<str>]>);

#[derive(Default)]
struct State {
    series: HashMap<SeriesKey, Arc<Series>>,
    capped: HashMap<(Cap, Box<str>), Capped>,
    announced: Vec<(Arc<Series>, Cells)>,
}

#[derive(Default)]
struct Capped {
    values: HashSet<Box<str>>,
    frozen: Option<Frozen>,
}

/// What the registry says of a set of labels.
pub(super) enum Admitted {
    /// They are, or have become, a series; these are the caller's own cells of it.
    Series(Arc<Series>, Cells),
    /// The label at `place` is one too many; these are the names there may be.
    Full { place: usize, frozen: Frozen },
}

impl Registry {
    /// No series yet.
    pub fn new(limits: &StatsLimits) -> Arc<Self> {
        Arc::new(Self {
            limits: Cap::ALL.map(|cap| match cap {
                Cap::Commands => limits.commands,
                Cap::Collections => limits.collections,
                Cap::CallSites => limits.call_sites,
                Cap::Applications => limits.applications,
                Cap::ErrorCodes => limits.error_codes,
                Cap::Drivers => limits.drivers,
                Cap::Callers => limits.callers,
                Cap::GrpcMethods => limits.grpc_methods,
                Cap::StatusCodes => limits.status_codes,
            }),
            state: Mutex::default(),
        })
    }

    /// The series of these labels, made if it does not exist and the caps allow it.
    pub(super) fn admit(&self, scope: usize, labels: &[Box<str>]) -> Option<Admitted> {
        let row = SCOPES.get(scope)?;
        let mut state = self.state();
        for (place, cap) in row.caps {
            if labels.get(*place).is_none_or(|label| &**label == OTHER) {
                continue;
            }
            if let Some(frozen) = self.full(&mut state, *cap, *place, labels) {
                return Some(Admitted::Full {
                    place: *place,
                    frozen,
                });
            }
        }
        let next = u32::try_from(state.series.len()).ok()?;
        let series = state
            .series
            .entry((scope, labels.into()))
            .or_insert_with(|| {
                Arc::new(Series {
                    id: next,
                    scope: row,
                    labels: labels.into(),
                })
            });
        let series = Arc::clone(series);
        let cells: Cells = (0..row.cells()).map(|_| AtomicU64::new(0)).collect();
        state
            .announced
            .push((Arc::clone(&series), Arc::clone(&cells)));
        Some(Admitted::Series(series, cells))
    }

    /// Enters a value under its cap; the frozen names when there is no room for it.
    fn full(
        &self,
        state: &mut State,
        cap: Cap,
        place: usize,
        labels: &[Box<str>],
    ) -> Option<Frozen> {
        let limit = self.limits.get(cap.index()).copied().unwrap_or(usize::MAX);
        let (owner, value) = capped_value(labels, place);
        let capped = state.capped.entry((cap, owner)).or_default();
        if capped.values.contains(&value) {
            return None;
        }
        if capped.values.len() < limit {
            capped.values.insert(value);
            return None;
        }
        let frozen = capped
            .frozen
            .get_or_insert_with(|| Arc::new(capped.values.clone()));
        Some(Arc::clone(frozen))
    }

    /// Cells that came since the last call.
    pub(super) fn announced(&self) -> Vec<(Arc<Series>, Cells)> {
        std::mem::take(&mut self.state().announced)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock leaves half a change behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Caps are counted for each value of the first label (the listener); call sites by collection
/// and name.
pub(super) fn capped_value(labels: &[Box<str>], place: usize) -> (Box<str>, Box<str>) {
    let owner = labels.first().cloned().unwrap_or_default();
    let value = labels.get(1..=place).unwrap_or_default().join("\n");
    (owner, value.into())
}
