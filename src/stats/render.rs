//! `/stats` for people and scripts: Envoy's text and JSON forms.

use std::fmt::Write;

use regex::bytes::Regex;
use serde::Serialize;

use super::aggregate::{Aggregator, Intervals, Sample, Value};
use super::catalogue::{Kind, Unit};

/// The quantiles Envoy shows, as shares.
pub const QUANTILES: [f64; 10] = [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1.0];

/// The same as percents, as they are written.
const PERCENTS: [&str; 10] = [
    "0", "25", "50", "75", "90", "95", "99", "99.5", "99.9", "100",
];

/// Which metrics are asked for.
#[derive(Default)]
pub struct Filter {
    /// The dotted name has to match somewhere.
    pub name: Option<Regex>,
    /// Leave out what was never used.
    pub used_only: bool,
    /// Only this kind.
    pub kind: Option<Kind>,
}

impl Filter {
    /// True when this sample is asked for. Its name is only made when it is needed.
    pub fn allows(&self, sample: &Sample<'_>) -> bool {
        self.kind.is_none_or(|kind| kind == sample.metric.kind)
            && (!self.used_only || sample.value.is_used())
            && self
                .name
                .as_ref()
                .is_none_or(|regex| regex.is_match(dotted_name(sample).as_bytes()))
    }
}

/// All that the filter allows, by name.
fn chosen<'a>(aggregator: &'a Aggregator, filter: &Filter) -> Vec<(String, Sample<'a>)> {
    let mut chosen: Vec<_> = aggregator
        .samples()
        .filter(|sample| filter.allows(sample))
        .map(|sample| (dotted_name(&sample), sample))
        .collect();
    chosen.sort_by(|(a, _), (b, _)| a.cmp(b));
    chosen
}

/// The name in `/stats`: the template with its labels filled in.
pub fn dotted_name(sample: &Sample<'_>) -> String {
    let mut name = String::new();
    let mut labels = sample.series.labels.iter();
    for part in sample.series.scope.prefix.split('.') {
        match part.starts_with('{') {
            true => name.push_str(labels.next().map_or("", |label| label)),
            false => name.push_str(part),
        }
        name.push('.');
    }
    name.push_str(sample.metric.name);
    name
}

/// `name: value` a line; histograms as `P50(interval,cumulative)`.
pub fn text(aggregator: &Aggregator, filter: &Filter) -> String {
    let mut text = String::new();
    for (name, sample) in chosen(aggregator, filter) {
        text.push_str(&name);
        text.push_str(": ");
        match sample.value {
            Value::Counter { total } => write(&mut text, format_args!("{total}")),
            Value::Gauge(value) if sample.metric.unit == Unit::Milliseconds => {
                number_text(&mut text, Some(value as f64), sample.metric.unit);
            }
            Value::Gauge(value) => write(&mut text, format_args!("{value}")),
            Value::Histogram(intervals) => quantiles_text(&mut text, intervals, sample.metric.unit),
        }
        text.push('\n');
    }
    text
}

fn quantiles_text(text: &mut String, intervals: &Intervals, unit: Unit) {
    if intervals.cumulative.count() == 0 {
        text.push_str("No recorded values");
        return;
    }
    let interval = intervals.interval.quantiles(&QUANTILES);
    let cumulative = intervals.cumulative.quantiles(&QUANTILES);
    for (i, ((percent, interval), cumulative)) in
        PERCENTS.iter().zip(interval).zip(cumulative).enumerate()
    {
        let gap = if i == 0 { "" } else { " " };
        write(text, format_args!("{gap}P{percent}("));
        number_text(text, interval, unit);
        text.push(',');
        number_text(text, cumulative, unit);
        text.push(')');
    }
}

fn number_text(text: &mut String, value: Option<f64>, unit: Unit) {
    match value {
        None => text.push_str("nan"),
        Some(value) if unit == Unit::Milliseconds => {
            write(text, format_args!("{:.3}", value / 1_000.0));
        }
        Some(value) => write(text, format_args!("{value:.0}")),
    }
}

fn write(text: &mut String, content: std::fmt::Arguments<'_>) {
    // Writing to a String can't fail.
    let _ = text.write_fmt(content);
}

/// The JSON page. Written from these, because a tree of JSON values of some thousand histograms
/// takes ten times the memory of the page, and the allocator keeps it.
#[derive(Serialize)]
struct Page {
    stats: Vec<Entry>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Entry {
    Counter { name: String, value: u64 },
    Gauge { name: String, value: i64 },
    Time { name: String, value: f64 },
    Histograms { histograms: Histograms },
}

#[derive(Serialize)]
struct Histograms {
    supported_quantiles: [f64; QUANTILES.len()],
    computed_quantiles: Vec<Histogram>,
}

#[derive(Serialize)]
struct Histogram {
    name: String,
    values: Vec<Quantile>,
    count: u64,
    sum: f64,
}

#[derive(Serialize)]
struct Quantile {
    interval: Option<f64>,
    cumulative: Option<f64>,
}

/// Envoy's JSON form, with the exact count and sum of each histogram beside its quantiles.
pub fn json(aggregator: &Aggregator, filter: &Filter) -> String {
    let mut stats = Vec::new();
    let mut computed_quantiles = Vec::new();
    for (name, sample) in chosen(aggregator, filter) {
        match sample.value {
            Value::Counter { total } => stats.push(Entry::Counter { name, value: total }),
            Value::Gauge(value) if sample.metric.unit == Unit::Milliseconds => {
                let value = in_unit(value as f64, sample.metric.unit);
                stats.push(Entry::Time { name, value });
            }
            Value::Gauge(value) => stats.push(Entry::Gauge { name, value }),
            Value::Histogram(intervals) => {
                computed_quantiles.push(histogram_json(name, intervals, sample.metric.unit));
            }
        }
    }
    stats.push(Entry::Histograms {
        histograms: Histograms {
            supported_quantiles: QUANTILES.map(|share| (share * 1_000.0).round() / 10.0),
            computed_quantiles,
        },
    });
    // Strings and numbers can't fail to be written; a number that is none becomes null.
    serde_json::to_string(&Page { stats }).unwrap_or_default()
}

fn histogram_json(name: String, intervals: &Intervals, unit: Unit) -> Histogram {
    let shown = |value: Option<f64>| value.map(|value| in_unit(value, unit));
    let interval = intervals.interval.quantiles(&QUANTILES);
    let cumulative = intervals.cumulative.quantiles(&QUANTILES);
    Histogram {
        name,
        values: interval
            .zip(cumulative)
            .map(|(interval, cumulative)| Quantile {
                interval: shown(interval),
                cumulative: shown(cumulative),
            })
            .collect(),
        count: intervals.cumulative.count(),
        sum: in_unit(intervals.cumulative.sum() as f64, unit),
    }
}

/// A recorded value in the unit that its name promises.
pub(super) fn in_unit(value: f64, unit: Unit) -> f64 {
    match unit {
        Unit::Milliseconds => value / 1_000.0,
        Unit::Count | Unit::Bytes | Unit::Documents | Unit::Microseconds | Unit::Seconds => value,
    }
}
