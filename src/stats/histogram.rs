//! Distributions: recorded dense by a worker, kept sparse by the aggregator.
//!
//! Both use the slots of an HDR histogram with two significant digits: 256 values exactly, then
//! 128 slots for each doubling, so that a slot is at most 1/128 (0.78 %) of its value wide. A
//! quantile is the middle of its slot, and so at most 0.4 % off.

/// Values above are recorded as this one: 2^40 µs are 12 days, 2^40 bytes a tebibyte.
pub const MAX_VALUE: u64 = 1 << 40;

/// Slots below which a value is its own slot.
const EXACT: u64 = 256;
/// Slots for each doubling above.
const HALF: u64 = EXACT / 2;
/// Significant decimal digits asked of `hdrhistogram`; two give the layout above.
const DIGITS: u8 = 2;

/// A [`Recorded`] on the heap: it changes hands as a pointer, and an idle series keeps room for no
/// more than that.
pub type Boxed = Box<Recorded>;

/// What one worker recorded of one series since it was last gathered.
pub struct Recorded {
    histogram: hdrhistogram::Histogram<u32>,
    sum: u64,
    min: u64,
    max: u64,
}

impl Recorded {
    /// Empty, or `None` when the histogram crate refuses its own constant, which it does not.
    pub fn new() -> Option<Self> {
        let mut histogram = hdrhistogram::Histogram::new(DIGITS).ok()?;
        histogram.auto(true);
        Some(Self {
            histogram,
            sum: 0,
            min: u64::MAX,
            max: 0,
        })
    }

    /// Adds one value.
    #[inline]
    pub fn record(&mut self, value: u64) {
        let value = value.min(MAX_VALUE);
        // It grows to any value up to `MAX_VALUE`; the one error it knows is a value out of range.
        if self.histogram.record(value).is_err() {
            return;
        }
        self.sum = self.sum.saturating_add(value);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Makes it as new, keeping its memory.
    pub fn reset(&mut self) {
        self.histogram.reset();
        self.sum = 0;
        self.min = u64::MAX;
        self.max = 0;
    }
}

/// A distribution as the aggregator keeps it: only the slots that have something in them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    slots: Vec<u16>,
    counts: Vec<u64>,
    count: u64,
    sum: u64,
    min: u64,
    max: u64,
}

impl Distribution {
    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their exact sum, in the unit they were recorded in.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// Adds what a worker recorded.
    pub fn merge(&mut self, recorded: &Recorded) {
        let (mut slots, mut counts) = (Vec::new(), Vec::new());
        for value in recorded.histogram.iter_recorded() {
            slots.push(slot(value.value_iterated_to()));
            counts.push(value.count_at_value().into());
        }
        self.add(&Self {
            slots,
            counts,
            count: recorded.histogram.len(),
            sum: recorded.sum,
            min: recorded.min,
            max: recorded.max,
        });
    }

    /// Adds another distribution.
    pub fn add(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            self.clone_from(other);
            return;
        }
        for (slot, count) in other.filled() {
            match self.slots.binary_search(&slot) {
                Ok(place) => {
                    if let Some(here) = self.counts.get_mut(place) {
                        *here += count;
                    }
                }
                Err(place) => {
                    self.slots.insert(place, slot);
                    self.counts.insert(place, count);
                }
            }
        }
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// The slots that have something in them, from the lowest.
    pub fn filled(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.slots.iter().copied().zip(self.counts.iter().copied())
    }

    /// Slots with their middle value, inside the values that were really seen.
    pub fn midpoints(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        self.filled()
            .map(|(slot, count)| (self.middle(slot), count))
    }

    /// The value below or at which this share of all values lies (nearest rank); `None` when empty.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        self.quantiles(&[share]).next().flatten()
    }

    /// Several quantiles, given from the lowest, in one pass.
    pub fn quantiles(&self, shares: &[f64]) -> impl Iterator<Item = Option<f64>> {
        let mut filled = self.filled();
        let mut below = 0;
        let mut last = None;
        shares.iter().map(move |share| {
            if self.count == 0 {
                return None;
            }
            if *share <= 0.0 {
                return Some(self.min as f64);
            }
            if *share >= 1.0 {
                return Some(self.max as f64);
            }
            let rank = (share * self.count as f64).ceil() as u64;
            while below < rank {
                let Some((slot, count)) = filled.next() else {
                    break;
                };
                below += count;
                last = Some(slot);
            }
            last.map(|slot| self.middle(slot))
        })
    }

    /// How many values are at most `bound`; a slot that the bound cuts counts as below it.
    pub fn at_most(&self, bounds: impl Iterator<Item = u64>) -> impl Iterator<Item = u64> {
        let mut filled = self.filled().peekable();
        let mut total = 0;
        bounds.map(move |bound| {
            let last = slot(bound);
            while let Some((_, count)) = filled.next_if(|(slot, _)| *slot <= last) {
                total += count;
            }
            total
        })
    }

    fn middle(&self, slot: u16) -> f64 {
        let (low, high) = bounds(slot);
        let middle = (low as f64 + high as f64) / 2.0;
        middle.clamp(self.min as f64, self.max as f64)
    }
}

/// The slot of a value.
pub fn slot(value: u64) -> u16 {
    let value = value.min(MAX_VALUE);
    let doublings = u64::from(64 - (value | (EXACT - 1)).leading_zeros() - EXACT.trailing_zeros());
    // At most 33 * 128 + 255 for MAX_VALUE.
    (doublings * HALF + (value >> doublings)) as u16
}

/// The lowest and highest value of a slot.
pub fn bounds(slot: u16) -> (u64, u64) {
    let slot = u64::from(slot);
    if slot < EXACT {
        return (slot, slot);
    }
    let doublings = slot / HALF - 1;
    let low = (slot - doublings * HALF) << doublings;
    (low, low + (1 << doublings) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn slots_are_those_of_the_histogram_crate(value in 0..MAX_VALUE) {
            let mut histogram = hdrhistogram::Histogram::<u32>::new(DIGITS).unwrap();
            histogram.auto(true);
            histogram.record(value).unwrap();
            let (low, high) = bounds(slot(value));
            prop_assert_eq!(low, histogram.lowest_equivalent(value));
            prop_assert_eq!(high, histogram.highest_equivalent(value));
        }

        #[test]
        fn merging_in_any_split_gives_the_same(values in prop::collection::vec(0..10_000_000u64, 1..400), cut in 0..400usize) {
            let whole = distribution(&values);
            let cut = cut.min(values.len());
            let mut parts = distribution(&values[..cut]);
            parts.add(&distribution(&values[cut..]));
            prop_assert_eq!(whole, parts);
        }

        #[test]
        fn quantiles_are_close_to_the_true_ones(mut values in prop::collection::vec(1..50_000_000u64, 1..2_000)) {
            let distribution = distribution(&values);
            values.sort_unstable();
            for share in [0.0, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0] {
                let rank = ((share * values.len() as f64).ceil() as usize).max(1);
                let truth = values[rank - 1] as f64;
                let found = distribution.quantile(share).unwrap();
                prop_assert!((found - truth).abs() <= truth * 0.004 + 0.5, "{share}: {found} for {truth}");
            }
        }
    }

    #[test]
    fn counts_below_a_bound_grow_to_the_total() {
        let distribution = distribution(&[1, 10, 100, 1_000, 10_000]);
        let below: Vec<u64> = distribution
            .at_most([0, 10, 999, 20_000].into_iter())
            .collect();
        assert_eq!(below, [0, 2, 3, 5]);
    }

    #[test]
    fn what_was_reset_is_as_new() {
        let mut recorded = Recorded::new().unwrap();
        recorded.record(7);
        recorded.reset();
        recorded.record(9);
        let mut distribution = Distribution::default();
        distribution.merge(&recorded);
        assert_eq!((distribution.count(), distribution.sum()), (1, 9));
        assert_eq!(distribution.quantile(0.0), Some(9.0));
    }

    fn distribution(values: &[u64]) -> Distribution {
        let mut recorded = Recorded::new().unwrap();
        for value in values {
            recorded.record(*value);
        }
        let mut distribution = Distribution::default();
        if !values.is_empty() {
            distribution.merge(&recorded);
        }
        distribution
    }
}
