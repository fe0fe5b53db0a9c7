//! report: one [`Exchange`] added to every series it belongs to.

use std::time::Duration;

use super::RedisListener;
use super::commands::Series;
use crate::exchange::{Exchange, Outcome, RedisPart, Timing};
use crate::stats::{Cluster, Redis, RedisApp, RedisCommand, RedisKeys, Scope};

/// The application that a connection is named after.
pub(super) struct Application {
    stats: Scope<RedisApp>,
}

impl Application {
    pub(super) fn enter(stats: Scope<RedisApp>) -> Self {
        stats.inc(RedisApp::CX_TOTAL);
        stats.gauge_add(RedisApp::CX_ACTIVE, 1);
        Self { stats }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.stats.gauge_add(RedisApp::CX_ACTIVE, -1);
    }
}

/// Who sent an exchange, and what it was about, beyond its command.
#[derive(Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) application: Option<&'a Application>,
    pub(super) pattern: Option<&'a Scope<RedisKeys>>,
}

impl RedisListener {
    /// Adds a finished exchange to its series.
    pub(super) fn report(&self, exchange: &Exchange<RedisPart>, series: &Series, about: About<'_>) {
        if !self.enabled {
            return;
        }
        let failed = has_failed(exchange);
        let work = exchange.timing.filter(|_| !exchange.part.blocked);
        let upstream = work.map(|timing| micros(timing.upstream()));
        self.report_totals(exchange, failed);
        report_command(&series.stats, exchange, failed, work);
        if let Some(stats) = about.pattern {
            stats.inc(RedisKeys::TOTAL);
            if failed {
                stats.inc(RedisKeys::ERROR);
            }
            stats.record(RedisKeys::REQUEST_BYTES, exchange.request_bytes);
            stats.record(RedisKeys::REPLY_BYTES, exchange.reply_bytes);
            if let Some(upstream) = upstream {
                stats.record(RedisKeys::UPSTREAM_LATENCY, upstream);
            }
        }
        if let Some(Application { stats }) = about.application {
            stats.inc(RedisApp::TOTAL);
            if failed {
                stats.inc(RedisApp::ERROR);
            }
            if let Some(upstream) = upstream {
                stats.record(RedisApp::UPSTREAM_LATENCY, upstream);
            }
        }
        if !failed {
            series.cluster.inc(Cluster::UPSTREAM_RQ_COMPLETED);
        }
    }

    /// The listener's histograms are those of its commands, added up when they are gathered.
    fn report_totals(&self, exchange: &Exchange<RedisPart>, failed: bool) {
        let stats = &self.stats;
        stats.inc(Redis::DOWNSTREAM_RQ_TOTAL);
        if failed {
            stats.inc(Redis::ERROR);
        }
        if exchange.outcome == Outcome::Unacknowledged {
            stats.inc(Redis::WITHOUT_REPLY);
        }
        if exchange.part.blocked {
            stats.inc(Redis::BLOCKED);
            if let Some(timing) = exchange.timing {
                stats.record(Redis::BLOCKED_TIME, micros(timing.upstream()));
            }
        }
    }
}

fn report_command(
    stats: &Scope<RedisCommand>,
    exchange: &Exchange<RedisPart>,
    failed: bool,
    work: Option<Timing>,
) {
    stats.inc(RedisCommand::TOTAL);
    stats.inc(match failed {
        true => RedisCommand::ERROR,
        false => RedisCommand::SUCCESS,
    });
    stats.record(RedisCommand::REQUEST_BYTES, exchange.request_bytes);
    if exchange.timing.is_some() {
        stats.record(RedisCommand::REPLY_BYTES, exchange.reply_bytes);
    }
    if let Some(timing) = work {
        let (total, upstream) = (micros(timing.total()), micros(timing.upstream()));
        stats.record(RedisCommand::LATENCY, total);
        stats.record(RedisCommand::UPSTREAM_LATENCY, upstream);
        stats.record(RedisCommand::ADDED_LATENCY, total.saturating_sub(upstream));
    }
}

/// True for what an operator would call an error. A client that leaves while it only waits for something to happen has lost nothing.
fn has_failed(exchange: &Exchange<RedisPart>) -> bool {
    match exchange.outcome {
        Outcome::Success | Outcome::Unacknowledged => false,
        Outcome::Error | Outcome::UpstreamGone => true,
        Outcome::ClientGone => !exchange.part.blocked,
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
