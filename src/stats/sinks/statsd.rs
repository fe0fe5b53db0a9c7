//! statsd, once an interval, from the control thread: what is aggregated here goes out as a few
//! lines, never as a datagram a request.
//!
//! The plain flavour knows no histogram that can be combined over hosts, so it gets this host's
//! percentiles, under names that say so. DogStatsD gets weighted distributions: one line for each
//! slot, whose sample rate carries the count, so that percentiles combine over hosts.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;

use cadence::prelude::*;
use cadence::{BufferedUdpMetricSink, BufferedUnixMetricSink, MetricBuilder, StatsdClient};

use crate::config::{StatsdAddress, StatsdConfig, StatsdFlavor};
use crate::stats::aggregate::{Aggregator, Sample, Value};
use crate::stats::catalogue::StatsSelf;
use crate::stats::histogram::Distribution;
use crate::stats::render::in_unit;
use crate::stats::shard::{Scope, Shard};

/// Largest UDP payload that fits one Ethernet frame with room for tunnels.
const UDP_BYTES: usize = 1_432;

/// Largest datagram that DogStatsD agents read from a Unix socket by default.
const UNIX_BYTES: usize = 8_192;

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
    client: Option<StatsdClient>,
    stats: Scope<StatsSelf>,
}

/// A daemon whose socket could be made.
struct Lines<'a> {
    client: &'a StatsdClient,
    flavor: StatsdFlavor,
}

impl Statsd {
    /// A sink to the configured daemon. Its name is looked up with the first flush, and again with
    /// each one until it is known.
    pub fn new(config: StatsdConfig, shard: &Shard) -> Self {
        Self {
            config,
            client: None,
            stats: shard.scope(&[]),
        }
    }

    /// Sends what the last whole interval brought.
    pub async fn flush(&mut self, aggregator: &mut Aggregator) {
        if self.client.is_none() {
            self.connect().await;
        }
        let Some(client) = &self.client else {
            self.stats.inc(StatsSelf::STATSD_DROPPED);
            return;
        };
        let lines = Lines {
            client,
            flavor: self.config.flavor,
        };
        let mut tally = Tally::default();
        aggregator.latch(|sample, gained| lines.sample(&sample, gained, &mut tally));
        // A datagram that is not full goes out now rather than with the next interval.
        if client.flush().is_err() {
            tally.dropped += 1;
        }
        self.stats.add(StatsSelf::STATSD_SENT, tally.sent);
        self.stats.add(StatsSelf::STATSD_DROPPED, tally.dropped);
    }

    async fn connect(&mut self) {
        let prefix = &self.config.prefix;
        let client = match &self.config.address {
            StatsdAddress::Udp { host, port } => udp(prefix, host, *port).await,
            StatsdAddress::Unix(path) => unix(prefix, path),
        };
        match client {
            Ok(client) => self.client = Some(client),
            Err(error) => {
                tracing::warn!(address = %self.config.address, %error, "stats.statsd: nothing is sent; trying again");
            }
        }
    }
}

impl Lines<'_> {
    fn sample(&self, sample: &Sample<'_>, gained: u64, tally: &mut Tally) {
        let name = self.name(sample);
        match sample.value {
            Value::Counter { .. } if gained == 0 => {}
            Value::Counter { .. } => {
                let gained = i64::try_from(gained).unwrap_or(i64::MAX);
                tally.took(self.tagged(self.client.count_with_tags(&name, gained), sample));
            }
            Value::Gauge(value) => {
                if sample.value.is_used() || sample.series.labels.is_empty() {
                    tally.took(
                        self.tagged(self.client.gauge_with_tags(&name, value as f64), sample),
                    );
                }
            }
            Value::Histogram(intervals) if intervals.interval.count() == 0 => {}
            Value::Histogram(intervals) => match self.flavor {
                StatsdFlavor::Plain => self.host(&name, &intervals.interval, sample, tally),
                StatsdFlavor::Datadog => {
                    self.distribution(&name, &intervals.interval, sample, tally);
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

    fn host(&self, name: &str, interval: &Distribution, sample: &Sample<'_>, tally: &mut Tally) {
        let unit = sample.metric.unit;
        for (share, suffix) in HOST_QUANTILES {
            if let Some(value) = interval.quantile(share) {
                let name = format!("{name}.{suffix}");
                tally.took(self.client.gauge_with_tags(&name, in_unit(value, unit)));
            }
        }
        let count = i64::try_from(interval.count()).unwrap_or(i64::MAX);
        let name = format!("{name}.count");
        tally.took(self.client.count_with_tags(&name, count));
    }

    fn distribution(
        &self,
        name: &str,
        interval: &Distribution,
        sample: &Sample<'_>,
        tally: &mut Tally,
    ) {
        for (value, count) in interval.midpoints() {
            let value = in_unit(value, sample.metric.unit);
            let mut line = self.client.distribution_with_tags(name, value);
            if count > 1 {
                line = line.with_sampling_rate(rate(count));
            }
            tally.took(self.tagged(line, sample));
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

#[derive(Default)]
struct Tally {
    sent: u64,
    dropped: u64,
}

impl Tally {
    fn took<T: cadence::Metric + From<String>>(&mut self, line: MetricBuilder<'_, '_, T>) {
        match line.try_send() {
            Ok(_) => self.sent += 1,
            Err(_) => self.dropped += 1,
        }
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

async fn udp(prefix: &str, host: &str, port: u16) -> io::Result<StatsdClient> {
    let target = tokio::net::lookup_host((host, port))
        .await?
        .next()
        .ok_or(io::ErrorKind::AddrNotAvailable)?;
    let any: SocketAddr = match target {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.set_nonblocking(true)?;
    let sink = BufferedUdpMetricSink::with_capacity(target, socket, UDP_BYTES)
        .map_err(io::Error::other)?;
    Ok(StatsdClient::from_sink(prefix, sink))
}

fn unix(prefix: &str, path: &std::path::Path) -> io::Result<StatsdClient> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    let sink = BufferedUnixMetricSink::with_capacity(path, socket, UNIX_BYTES);
    Ok(StatsdClient::from_sink(prefix, sink))
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
