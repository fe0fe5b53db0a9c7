//! Prometheus' text format: base units, labels instead of name parts, classic buckets.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::stats::aggregate::{Aggregator, Sample, Value};
use crate::stats::catalogue::{Kind, Metric, ScopeRow, Unit};
use crate::stats::render::Filter;

/// Upper bounds of time buckets in microseconds: 1, 2.5, 5 steps from 100 µs, where a proxy's own
/// cost shows, to 10 s, and a minute for what hangs. The bounds OpenTelemetry advises for databases
/// have nothing below 1 ms.
const TIME_BOUNDS: [u64; 17] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 60_000_000,
];

/// The same where everything happens in microseconds: from 10 µs.
const SHORT_TIME_BOUNDS: [u64; 20] = [
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000,
    500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 60_000_000,
];

/// Upper bounds of sizes in bytes: powers of four from 64 to 64 MiB, above the largest message.
const SIZE_BOUNDS: [u64; 11] = [
    64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864,
];

/// Upper bounds of document counts: around the driver's first batch of 101, and decades.
const DOCUMENT_BOUNDS: [u64; 8] = [0, 1, 10, 101, 1_000, 10_000, 100_000, 1_000_000];

/// The whole page.
pub fn render(aggregator: &Aggregator, filter: &Filter) -> String {
    let mut families: BTreeMap<String, (&'static Metric, Vec<Sample<'_>>)> = BTreeMap::new();
    for sample in aggregator.samples() {
        if !filter.allows(&sample) {
            continue;
        }
        let name = family_name(sample.series.scope, sample.metric);
        let entry = families.entry(name).or_insert((sample.metric, Vec::new()));
        entry.1.push(sample);
    }
    let mut page = String::new();
    for (name, (metric, samples)) in &families {
        head(&mut page, name, metric);
        for sample in samples {
            series(&mut page, name, sample);
        }
    }
    page
}

/// `mongo.{listener}.cmd.{cmd}` and `reply_time_ms` make `narrows_mongo_cmd_reply_time_seconds`.
pub fn family_name(scope: &ScopeRow, metric: &Metric) -> String {
    let mut name = String::from("narrows");
    for part in scope
        .prefix
        .split('.')
        .filter(|part| !part.starts_with('{'))
    {
        name.push('_');
        name.push_str(part);
    }
    name.push('_');
    name.push_str(
        metric
            .name
            .trim_end_matches("_ms")
            .trim_end_matches("_total"),
    );
    let unit = match metric.unit {
        Unit::Milliseconds | Unit::Microseconds | Unit::Seconds => "_seconds",
        Unit::Bytes => "_bytes",
        Unit::Count | Unit::Documents => "",
    };
    if !name.ends_with(unit) {
        name.push_str(unit);
    }
    if metric.kind == Kind::Counter && !name.ends_with("_total") {
        name.push_str("_total");
    }
    name
}

fn head(page: &mut String, name: &str, metric: &Metric) {
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    let help = metric.help;
    write(
        page,
        format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"),
    );
}

fn series(page: &mut String, name: &str, sample: &Sample<'_>) {
    match sample.value {
        Value::Counter { total } => {
            name_with_labels(page, name, "", sample, None);
            write(page, format_args!(" {total}\n"));
        }
        Value::Gauge(value) => {
            name_with_labels(page, name, "", sample, None);
            match sample.metric.unit {
                unit @ (Unit::Milliseconds | Unit::Microseconds) => {
                    let value = base_unit(value.max(0).cast_unsigned(), unit);
                    write(page, format_args!(" {value}\n"));
                }
                _ => write(page, format_args!(" {value}\n")),
            }
        }
        Value::Histogram(intervals) => {
            let unit = sample.metric.unit;
            let all = &intervals.cumulative;
            let bounds = bounds(unit);
            for (bound, count) in bounds.iter().zip(all.at_most(bounds.iter().copied())) {
                name_with_labels(page, name, "_bucket", sample, Some(base_unit(*bound, unit)));
                write(page, format_args!(" {count}\n"));
            }
            name_with_labels(page, name, "_bucket", sample, Some(f64::INFINITY));
            write(page, format_args!(" {}\n", all.count()));
            name_with_labels(page, name, "_sum", sample, None);
            write(page, format_args!(" {}\n", base_unit(all.sum(), unit)));
            name_with_labels(page, name, "_count", sample, None);
            write(page, format_args!(" {}\n", all.count()));
        }
    }
}

fn bounds(unit: Unit) -> &'static [u64] {
    match unit {
        Unit::Milliseconds | Unit::Seconds => &TIME_BOUNDS,
        Unit::Microseconds => &SHORT_TIME_BOUNDS,
        Unit::Bytes => &SIZE_BOUNDS,
        Unit::Count | Unit::Documents => &DOCUMENT_BOUNDS,
    }
}

fn base_unit(value: u64, unit: Unit) -> f64 {
    match unit {
        Unit::Milliseconds | Unit::Microseconds => value as f64 / 1e6,
        Unit::Count | Unit::Bytes | Unit::Documents | Unit::Seconds => value as f64,
    }
}

fn name_with_labels(
    page: &mut String,
    name: &str,
    suffix: &str,
    sample: &Sample<'_>,
    le: Option<f64>,
) {
    page.push_str(name);
    page.push_str(suffix);
    let mut separator = '{';
    for (label, value) in sample.series.scope.labels().zip(&sample.series.labels) {
        page.push(separator);
        page.push_str(label);
        page.push_str("=\"");
        page.push_str(value);
        page.push('"');
        separator = ',';
    }
    if let Some(le) = le {
        page.push(separator);
        page.push_str("le=\"");
        match le.is_infinite() {
            true => page.push_str("+Inf"),
            false => write(page, format_args!("{le}")),
        }
        page.push('"');
        separator = ',';
    }
    if separator == ',' {
        page.push('}');
    }
}

fn write(page: &mut String, content: std::fmt::Arguments<'_>) {
    // Writing to a String can't fail.
    let _ = page.write_fmt(content);
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::stats::SCOPES;

    /// One family with two sets of labels would be counted twice by everybody who sums it.
    #[test]
    fn each_metric_is_a_family_of_its_own() {
        let mut families = HashMap::new();
        for scope in SCOPES {
            for metric in scope.metrics {
                let row = (scope.prefix, metric.name);
                let other = families.insert(family_name(scope, metric), row);
                assert_eq!(other, None, "{row:?} has the family of another");
            }
        }
    }
}
