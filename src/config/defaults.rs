//! Every default and bound of the configuration, each with its source.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::model::{LogFormat, LogLevel, MongoMode, StatsLimits, StatsdFlavor};

/// Loopback: what operators may see and do is not for the network unless they say so
/// (linkerd's 127.0.0.1:4191 and Caddy's localhost:2019 do the same).
pub(crate) const ADMIN_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9900);

/// What Kubernetes grants between SIGTERM and SIGKILL (`terminationGracePeriodSeconds`).
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// People read it first; collectors ask for JSON.
pub(crate) const LOG_FORMAT: LogFormat = LogFormat::Text;
/// Starts, stops and reloads, but nothing a connection.
pub(crate) const LOG_LEVEL: LogLevel = LogLevel::Info;

/// Envoy's `tcp_proxy.idle_timeout`.
pub(crate) const TCP_IDLE_TIMEOUT: Option<Duration> = Some(Duration::from_secs(3600));
/// Drivers keep connections open for as long as their pool likes, and a change stream may be silent for days.
pub(crate) const MONGO_IDLE_TIMEOUT: Option<Duration> = None;
/// The mode that changes no byte.
pub(crate) const MONGO_MODE: MongoMode = MongoMode::Tap;

/// Envoy's `cluster.connect_timeout`.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Envoy's `stats_flush_interval`.
pub(crate) const STATS_INTERVAL: Duration = Duration::from_secs(5);
/// Shorter ones cost more than they show: a worker hands its histograms over once an interval.
pub(crate) const STATS_INTERVAL_MIN: Duration = Duration::from_millis(100);
/// Envoy's bound of `stats_flush_interval`.
pub(crate) const STATS_INTERVAL_MAX: Duration = Duration::from_secs(300);

/// Wide enough for real deployments, and small enough that a client which invents names costs megabytes at most.
/// Commands: a server knows about 170. Codes: about 400 exist, a deployment meets few.
pub(crate) const STATS_LIMITS: StatsLimits = StatsLimits {
    commands: 200,
    collections: 1000,
    call_sites: 2000,
    applications: 500,
    error_codes: 200,
    drivers: 50,
};
/// A cap has to be one: OpenTelemetry's SDK stops at 2,000 an instrument, this leaves room for 500 times that.
pub(crate) const STATS_LIMIT_MAX: u64 = 1_000_000;

/// The name that everybody greps for.
pub(crate) const STATSD_PREFIX: &str = "narrows";
/// What every statsd daemon understands.
pub(crate) const STATSD_FLAVOR: StatsdFlavor = StatsdFlavor::Plain;

/// More threads than any machine has cores is a typing error.
pub(crate) const WORKERS_MAX: u64 = 1024;
/// The process's table of open files ends here (`/proc/sys/fs/nr_open` of Linux).
pub(crate) const CONNECTIONS_MAX: u64 = 1_048_576;
/// A year. Tokio's timer reaches 2^36 ms, a little over two.
pub(crate) const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
/// Names become parts of stat names; a longer one would not fit a dashboard.
pub(crate) const NAME_MAX: usize = 64;
/// RFC 1035 section 2.3.4: "names 255 octets or less", which is 253 characters in text form.
pub(crate) const HOST_MAX: usize = 253;
/// RFC 1035 section 2.3.4: "labels 63 octets or less".
pub(crate) const HOST_LABEL_MAX: usize = 63;
/// `sun_path` of Linux's `sockaddr_un` is 108 bytes with its closing NUL.
pub(crate) const UNIX_PATH_MAX: usize = 107;
