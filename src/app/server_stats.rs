//! `server.*`: what the process says of itself.

use std::time::Instant;

use crate::runtime::Workers;
use crate::stats::{Scope, Server, ServerConfig, Shard};

/// Envoy's `server.state`: 0 live, 1 draining.
const STATE_LIVE: i64 = 0;
const STATE_DRAINING: i64 = 1;

/// The series of the process.
pub(super) struct ServerStats {
    started: Instant,
    server: Scope<Server>,
    config: Scope<ServerConfig>,
}

impl ServerStats {
    /// Looks the series up.
    pub(super) fn new(shard: &Shard, workers: usize) -> Self {
        let server: Scope<Server> = shard.scope(&[]);
        server.gauge_set(
            Server::CONCURRENCY,
            i64::try_from(workers).unwrap_or(i64::MAX),
        );
        Self {
            started: Instant::now(),
            server,
            config: shard.scope(&[]),
        }
    }

    /// A reload was tried.
    pub(super) fn reloaded(&self, changed: bool) {
        self.config.inc(if changed {
            ServerConfig::RELOAD_SUCCESS
        } else {
            ServerConfig::RELOAD_FAILURE
        });
    }

    /// Brings the gauges up to date.
    pub(super) fn update(&self, workers: &Workers, draining: bool) {
        let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        let server = &self.server;
        let uptime = self.started.elapsed().as_secs();
        server.gauge_set(Server::UPTIME, i64::try_from(uptime).unwrap_or(i64::MAX));
        server.gauge_set(Server::LIVE, i64::from(!draining));
        server.gauge_set(
            Server::STATE,
            if draining { STATE_DRAINING } else { STATE_LIVE },
        );
        server.gauge_set(Server::TOTAL_CONNECTIONS, gauge(workers.sessions()));
        if let Some(bytes) = resident_bytes() {
            server.gauge_set(Server::MEMORY_PHYSICAL_SIZE, gauge(bytes));
        }
    }
}

/// Resident memory, from `/proc/self/status`; `None` where there is no such file.
fn resident_bytes() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: usize = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}
