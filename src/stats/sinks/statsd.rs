//! statsd, once an interval, from the control thread: what is aggregated here goes out as a few
//! lines, never as a datagram a request.
//!
//! The plain flavour knows no histogram that can be combined over hosts, so it gets this host's
//! percentiles, under names that say so. DogStatsD gets weighted distributions: one line for each
//! slot, whose sample rate carries the count, so that percentiles combine over hosts.

mod datagrams;

use std::io;
use std::sync::Arc;

use cadence::prelude::*;
use cadence::{MetricBuilder, StatsdClient};

use self::datagrams::{Datagrams, Handle, Socket};

use crate::config::{StatsdAddress, StatsdConfig, StatsdFlavor};
use crate::stats::aggregate::{Aggregator, Sample, Value};
use crate::stats::catalogue::{StatsSelf, Unit};
use crate::stats::histogram::Distribution;
use crate::stats::render::in_unit;
use crate::stats::shard::{Scope, Shard};

/// This host's percentiles, for daemons that can't combine distributions.
const HOST_QUANTILES: [(f64, &str); 5] = [
    (0.5, "host_p50"),
    (0.9, "host_p90"),
    (0.99, "host_p99"),
    (0.999, "host_p999"),
    (1.0, "host_max"),
];

/// A statsd daemon, which need not be there.
pub struct Statsd {
    config: StatsdConfig,
    daemon: Option<Daemon>,
    stats: Scope<StatsSelf>,
}

/// A daemon whose address is known.
struct Daemon {
    client: StatsdClient,
    datagrams: Arc<Datagrams>,
    flavor: StatsdFlavor,
}

impl Statsd {
    /// A sink to the configured daemon. Its name is looked up with the first flush, and again with
    /// each one until it is known.
    pub fn new(config: StatsdConfig, shard: &Shard) -> Self {
        Self {
            config,
            daemon: None,
            stats: shard.scope(&[]),
        }
    }

    /// Sends what the last whole interval brought.
    pub async fn flush(&mut self, aggregator: &mut Aggregator) {
        if self.daemon.is_none() {
            self.connect().await;
        }
        let Some(daemon) = &self.daemon else {
            self.stats.inc(StatsSelf::STATSD_DROPPED);
            return;
        };
        aggregator.latch(|sample, gained| daemon.sample(&sample, gained));
        let sent = daemon.datagrams.finish();
        self.stats.add(StatsSelf::STATSD_SENT, sent.lines);
        self.stats.add(StatsSelf::STATSD_DROPPED, sent.dropped);
    }

    async fn connect(&mut self) {
        match Daemon::connect(&self.config).await {
            Ok(daemon) => self.daemon = Some(daemon),
            Err(error) => {
                tracing::warn!(address = %self.config.address, %error, "stats.statsd: nothing is sent; trying again");
            }
        }
    }
}

impl Daemon {
    async fn connect(config: &StatsdConfig) -> io::Result<Self> {
        let socket = match &config.address {
            StatsdAddress::Unix(path) => Socket::unix(path.clone())?,
            StatsdAddress::Udp { host, port } => {
                let mut found = tokio::net::lookup_host((host.as_str(), *port)).await?;
                Socket::udp(found.next().ok_or(io::ErrorKind::AddrNotAvailable)?)?
            }
        };
        let datagrams = Arc::new(Datagrams::new(socket));
        let handle = Handle(Arc::clone(&datagrams));
        Ok(Self {
            client: StatsdClient::from_sink(&config.prefix, handle),
            datagrams,
            flavor: config.flavor,
        })
    }

    fn sample(&self, sample: &Sample<'_>, gained: u64) {
        let name = self.name(sample);
        match sample.value {
            Value::Counter { .. } if gained == 0 => {}
            Value::Counter { .. } => {
                let gained = i64::try_from(gained).unwrap_or(i64::MAX);
                send(self.tagged(self.client.count_with_tags(&name, gained), sample));
            }
            // A sign would make it a change of the daemon's value instead of the value.
            Value::Gauge(value) => {
                if sample.value.is_used() || sample.series.labels.is_empty() {
                    let (value, unit) = (value.max(0).cast_unsigned(), sample.metric.unit);
                    let gauge = match unit {
                        Unit::Milliseconds => self
                            .client
                            .gauge_with_tags(&name, in_unit(value as f64, unit)),
                        _ => self.client.gauge_with_tags(&name, value),
                    };
                    send(self.tagged(gauge, sample));
                }
            }
            Value::Histogram(intervals) if intervals.interval.count() == 0 => {}
            Value::Histogram(intervals) => match self.flavor {
                StatsdFlavor::Plain => self.host(&name, &intervals.interval, sample),
                StatsdFlavor::Datadog => {
                    self.distribution(&name, &intervals.interval, sample);
                }
            },
        }
    }

    /// Dotted with the labels in it, or the template alone when the daemon takes tags.
    fn name(&self, sample: &Sample<'_>) -> String {
        match self.flavor {
            StatsdFlavor::Plain => plain_name(sample),
            StatsdFlavor::Datadog => template_name(sample),
        }
    }

    fn host(&self, name: &str, interval: &Distribution, sample: &Sample<'_>) {
        let unit = sample.metric.unit;
        for (share, suffix) in HOST_QUANTILES {
            if let Some(value) = interval.quantile(share) {
                let name = format!("{name}.{suffix}");
                send(self.client.gauge_with_tags(&name, in_unit(value, unit)));
            }
        }
        let count = i64::try_from(interval.count()).unwrap_or(i64::MAX);
        let name = format!("{name}.count");
        send(self.client.count_with_tags(&name, count));
    }

    fn distribution(&self, name: &str, interval: &Distribution, sample: &Sample<'_>) {
        for (value, count) in interval.midpoints() {
            let value = in_unit(value, sample.metric.unit);
            let mut line = self.client.distribution_with_tags(name, value);
            if count > 1 {
                line = line.with_sampling_rate(rate(count));
            }
            send(self.tagged(line, sample));
        }
    }

    fn tagged<'m, 'c, T>(
        &self,
        mut line: MetricBuilder<'m, 'c, T>,
        sample: &'m Sample<'_>,
    ) -> MetricBuilder<'m, 'c, T>
    where
        T: cadence::Metric + From<String>,
    {
        if self.flavor == StatsdFlavor::Datadog {
            for (label, value) in sample.series.scope.labels().zip(&sample.series.labels) {
                line = line.with_tag(label, value);
            }
        }
        line
    }
}

/// Formats a line and gives it to the datagrams, which count what becomes of it.
fn send<T: cadence::Metric + From<String>>(line: MetricBuilder<'_, '_, T>) {
    // The one error that is left is a value that cadence can't write; it is no secret and no name.
    if let Err(error) = line.try_send() {
        tracing::debug!(%error, "a statsd line could not be written");
    }
}

/// A sample rate of which a reader makes exactly `count` again, whether it rounds `1/rate` or cuts
/// its decimals off (1/(1/49) is a little less than 49 in binary fractions).
pub fn rate(count: u64) -> f64 {
    let count = count as f64;
    let mut rate = 1.0 / count;
    while 1.0 / rate < count {
        rate = rate.next_down();
    }
    rate
}

/// Plain statsd and Graphite behind it take `.` as a level: a label may not add levels of its own.
fn plain_name(sample: &Sample<'_>) -> String {
    let mut name = String::new();
    let mut labels = sample.series.labels.iter();
    for part in sample.series.scope.prefix.split('.') {
        match part.starts_with('{') {
            true => name.extend(
                labels
                    .next()
                    .map_or("", |label| label)
                    .chars()
                    .map(|c| match c {
                        '.' | ':' | '/' => '_',
                        safe => safe,
                    }),
            ),
            false => name.push_str(part),
        }
        name.push('.');
    }
    name + sample.metric.name
}

fn template_name(sample: &Sample<'_>) -> String {
    let mut name = String::new();
    for part in sample.series.scope.prefix.split('.') {
        if !part.starts_with('{') {
            name.push_str(part);
            name.push('.');
        }
    }
    name + sample.metric.name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_gives_its_count_back_to_those_who_round_and_those_who_cut() {
        for count in 1..200_000u64 {
            let written = format!("{}", rate(count));
            let read: f64 = written.parse().unwrap();
            assert_eq!((1.0 / read) as u64, count, "cut");
            assert_eq!((1.0 / read).round() as u64, count, "rounded");
        }
    }
}
