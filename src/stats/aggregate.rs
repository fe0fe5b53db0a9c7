//! Gathers the workers' shards on the control thread.
//!
//! Counters are read where they are. Histograms change hands: the aggregator asks, the worker takes
//! full ones out of their slots and sends them, and gets the last ones back, emptied. A worker
//! sends at most `BATCH` before it serves traffic again.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::catalogue::{Kind, StatsSelf};
use super::histogram::{Boxed, Distribution};
use super::registry::{Cells, Registry, Series};
use super::shard::{Gathered, Pool, Scope, Shard};

/// Histograms a worker hands over at a time: it takes microseconds to take 64 pointers.
const BATCH: usize = 64;

/// How long a scrape waits for one worker. Its histograms come with the next one then.
const PATIENCE: Duration = Duration::from_millis(250);

/// Everything that was counted, as it was when it was last gathered.
pub struct Aggregator {
    registry: Arc<Registry>,
    workers: Vec<Link>,
    own: Shard,
    stats: Scope<StatsSelf>,
    series: Vec<Gathering>,
}

/// One worker, from the aggregator's side.
struct Link {
    requests: mpsc::UnboundedSender<Request>,
    batches: mpsc::UnboundedReceiver<Batch>,
    emptied: Vec<Boxed>,
    /// Requests without an answer yet.
    awaited: usize,
}

/// What a worker needs to make its shard on its own thread.
pub struct WorkerSeed {
    registry: Arc<Registry>,
    requests: mpsc::UnboundedReceiver<Request>,
    batches: mpsc::UnboundedSender<Batch>,
}

struct Request {
    first: bool,
    emptied: Vec<Boxed>,
}

struct Batch {
    gathered: Vec<Gathered>,
    /// How many more there were when the worker looked.
    left: usize,
}

/// One series with all that is known of it.
struct Gathering {
    series: Arc<Series>,
    cells: Vec<Cells>,
    latched: Box<[u64]>,
    distributions: Box<[Intervals]>,
    /// Which distribution of which series each of its own is added to as well.
    rolls_up_into: Box<[Option<(usize, usize)>]>,
}

/// A distribution now, in the last whole interval, and since the start.
#[derive(Default)]
pub struct Intervals {
    current: Distribution,
    /// The last whole interval.
    pub interval: Distribution,
    /// Since the process started.
    pub cumulative: Distribution,
}

/// One metric of one series, ready to be shown.
pub struct Sample<'a> {
    /// Its series.
    pub series: &'a Series,
    /// Its place among the metrics of its scope.
    pub metric: &'static super::catalogue::Metric,
    /// Its value.
    pub value: Value<'a>,
}

/// What a metric's value is.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    /// The total, and what was added in the last whole interval.
    Counter {
        /// Since the process started.
        total: u64,
    },
    /// The sum over all workers.
    Gauge(i64),
    /// Interval and cumulative.
    Histogram(&'a Intervals),
}

impl Value<'_> {
    /// False when nothing was ever counted here.
    pub fn is_used(&self) -> bool {
        match self {
            Self::Counter { total } => *total > 0,
            Self::Gauge(value) => *value != 0,
            Self::Histogram(histogram) => histogram.cumulative.count() > 0,
        }
    }
}

impl Aggregator {
    /// Nothing was counted yet.
    pub fn new(registry: Arc<Registry>) -> Self {
        let own = Shard::new(Arc::clone(&registry));
        Self {
            stats: own.scope(&[]),
            own,
            registry,
            workers: Vec::new(),
            series: Vec::new(),
        }
    }

    /// A new worker, which makes its shard of what it gets.
    pub fn worker(&mut self) -> WorkerSeed {
        let (requests, inbox) = mpsc::unbounded_channel();
        let (batches, gathered) = mpsc::unbounded_channel();
        self.workers.push(Link {
            requests,
            batches: gathered,
            emptied: Vec::new(),
            awaited: 0,
        });
        WorkerSeed {
            registry: Arc::clone(&self.registry),
            requests: inbox,
            batches,
        }
    }

    /// The control thread's own shard.
    pub fn own_shard(&self) -> Shard {
        self.own.clone()
    }

    /// Gathers what was counted up to now.
    pub async fn refresh(&mut self) {
        let mut workers = std::mem::take(&mut self.workers);
        for worker in &mut workers {
            if timeout(PATIENCE, self.gather(worker)).await.is_err() {
                self.stats.inc(StatsSelf::STALE_SHARDS);
            }
        }
        self.workers = workers;
        self.gather_own();
        self.take_announced();
        self.stats.gauge_set(
            StatsSelf::SERIES,
            i64::try_from(self.count_series()).unwrap_or(i64::MAX),
        );
    }

    /// Ends the interval: what came in it is the last whole one from now on.
    pub fn rotate(&mut self) {
        for gathering in &mut self.series {
            for intervals in &mut gathering.distributions {
                intervals.interval = std::mem::take(&mut intervals.current);
            }
        }
    }

    /// Every metric of every series, in the order in which the series came.
    pub fn samples(&self) -> impl Iterator<Item = Sample<'_>> {
        self.series.iter().flat_map(Gathering::samples)
    }

    /// What each counter has gained since this was last asked, and every other metric as it is.
    /// Only one reader may use it: statsd.
    pub fn latch(&mut self, mut each: impl FnMut(Sample<'_>, u64)) {
        for gathering in &mut self.series {
            let totals: Vec<u64> = (0..gathering.latched.len())
                .map(|place| gathering.total(place))
                .collect();
            for (sample, place) in gathering.samples().zip(gathering.cell_places()) {
                let gained = place.map_or(0, |place| {
                    let total = totals.get(place).copied().unwrap_or(0);
                    total.wrapping_sub(gathering.latched.get(place).copied().unwrap_or(0))
                });
                each(sample, gained);
            }
            gathering.latched = totals.into();
        }
    }

    async fn gather(&mut self, worker: &mut Link) {
        let mut first = true;
        loop {
            if worker.awaited == 0 {
                let emptied = std::mem::take(&mut worker.emptied);
                if worker.requests.send(Request { first, emptied }).is_err() {
                    return;
                }
                worker.awaited = 1;
            }
            let Some(batch) = worker.batches.recv().await else {
                return;
            };
            worker.awaited = 0;
            first = false;
            // A series is announced before anything is recorded to it.
            self.take_announced();
            for gathered in batch.gathered {
                worker.emptied.push(self.merge(gathered));
            }
            if batch.left == 0 {
                return;
            }
        }
    }

    fn gather_own(&mut self) {
        let pool = Rc::clone(self.own.pool());
        let mut left = pool.begin_gathering();
        let mut emptied = Vec::new();
        self.take_announced();
        while left > 0 {
            let gathered = pool.gather(BATCH, std::mem::take(&mut emptied));
            left = left.saturating_sub(BATCH);
            for gathered in gathered {
                emptied.push(self.merge(gathered));
            }
        }
        pool.gather(0, emptied);
    }

    fn merge(&mut self, gathered: Gathered) -> Boxed {
        let mut recorded = gathered.recorded;
        let mut new = Distribution::default();
        new.merge(&recorded);
        self.add_with_wider(gathered.series, gathered.place, &new);
        for also in gathered.also.iter().flat_map(|also| also.iter()) {
            if also.place == gathered.place {
                self.add_with_wider(also.series, also.place_there, &new);
            }
        }
        recorded.reset();
        recorded
    }

    /// Adds to a series, and to the one that it rolls up into.
    fn add_with_wider(&mut self, series: u32, place: usize, new: &Distribution) {
        let id = usize::try_from(series).unwrap_or(usize::MAX);
        self.add(id, place, new);
        let wider = self
            .series
            .get(id)
            .and_then(|gathering| *gathering.rolls_up_into.get(place)?);
        if let Some((id, place)) = wider {
            self.add(id, place, new);
        }
    }

    fn add(&mut self, series: usize, place: usize, new: &Distribution) {
        let intervals = self
            .series
            .get_mut(series)
            .and_then(|gathering| gathering.distributions.get_mut(place));
        if let Some(intervals) = intervals {
            intervals.current.add(new);
            intervals.cumulative.add(new);
        }
    }

    fn take_announced(&mut self) {
        for (series, cells) in self.registry.announced() {
            let id = usize::try_from(series.id).unwrap_or(usize::MAX);
            // Series are numbered in the order in which they are announced.
            if id == self.series.len() {
                let rolls_up_into = self.rolls_up_into(&series);
                self.series.push(Gathering::new(series, rolls_up_into));
            }
            if let Some(gathering) = self.series.get_mut(id) {
                gathering.cells.push(cells);
            }
        }
    }

    /// The wider series comes before the narrower ones: a listener's own before its commands'.
    fn rolls_up_into(&self, narrow: &Series) -> Box<[Option<(usize, usize)>]> {
        let mut places = vec![None; narrow.scope.histograms()];
        let (Some(rollup), Some(into)) = (&narrow.scope.rollup, narrow.scope.rolls_up_into())
        else {
            return places.into();
        };
        let wide = self.series.iter().position(|gathering| {
            let wide = &gathering.series;
            wide.scope.prefix == into.prefix && narrow.labels.starts_with(&wide.labels)
        });
        for (from, to) in rollup.histograms {
            let place = narrow.scope.histogram(from);
            if let Some(place) = place.and_then(|place| places.get_mut(place)) {
                *place = wide.zip(into.histogram(to));
            }
        }
        places.into()
    }

    fn count_series(&self) -> usize {
        self.series
            .iter()
            .map(|gathering| gathering.series.scope.metrics.len())
            .sum()
    }
}

impl Gathering {
    fn new(series: Arc<Series>, rolls_up_into: Box<[Option<(usize, usize)>]>) -> Self {
        Self {
            cells: Vec::new(),
            latched: vec![0; series.scope.cells()].into(),
            distributions: (0..series.scope.histograms())
                .map(|_| Intervals::default())
                .collect(),
            rolls_up_into,
            series,
        }
    }

    fn samples(&self) -> impl Iterator<Item = Sample<'_>> {
        let mut distributions = self.distributions.iter();
        let mut places = 0..;
        self.series.scope.metrics.iter().filter_map(move |metric| {
            let value = match metric.kind {
                Kind::Histogram => Value::Histogram(distributions.next()?),
                Kind::Counter => Value::Counter {
                    total: self.total(places.next()?),
                },
                Kind::Gauge => Value::Gauge(self.total(places.next()?).cast_signed()),
            };
            Some(Sample {
                series: &self.series,
                metric,
                value,
            })
        })
    }

    /// For each metric its place among the cells; `None` for histograms.
    fn cell_places(&self) -> impl Iterator<Item = Option<usize>> {
        let mut places = 0..;
        self.series
            .scope
            .metrics
            .iter()
            .map(move |metric| match metric.kind {
                Kind::Histogram => None,
                Kind::Counter | Kind::Gauge => places.next(),
            })
    }

    fn total(&self, place: usize) -> u64 {
        self.cells
            .iter()
            .filter_map(|cells| cells.get(place))
            .fold(0, |sum, cell| {
                sum.wrapping_add(cell.load(Ordering::Relaxed))
            })
    }
}

impl WorkerSeed {
    /// Makes the shard of the calling thread, and serves the aggregator from a local task.
    pub fn plant(self) -> Shard {
        let shard = Shard::new(self.registry);
        let pool = Rc::clone(shard.pool());
        tokio::task::spawn_local(serve(pool, self.requests, self.batches));
        shard
    }
}

async fn serve(
    pool: Rc<Pool>,
    mut requests: mpsc::UnboundedReceiver<Request>,
    batches: mpsc::UnboundedSender<Batch>,
) {
    let mut left = 0;
    while let Some(request) = requests.recv().await {
        if request.first {
            left = pool.begin_gathering();
        }
        let most = left.min(BATCH);
        left -= most;
        let gathered = pool.gather(most, request.emptied);
        if batches.send(Batch { gathered, left }).is_err() {
            return;
        }
    }
}
