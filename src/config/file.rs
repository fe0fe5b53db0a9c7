//! The configuration as it is written. The comments become the descriptions of the JSON Schema.
//!
//! Values are kept as they stand; `resolve.rs` gives them a meaning, and misses what must be there. To serde every key
//! is optional, so that a missing one does not hide the other mistakes.

use schemars::JsonSchema;
use serde::Deserialize;

use super::choices::{LOG_FORMATS, LOG_LEVELS, MONGO_MODES, PROTOCOLS, STATSD_FLAVORS};
use super::defaults;
use super::field::Field;
use super::values::duration_text;

/// Configuration of Narrows. Durations are written as a whole number with a unit: `500ms`, `5s`, `2m`, `1h`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Narrows configuration", extend("required" = ["listeners", "clusters"]))]
pub(crate) struct File {
    /// The HTTP server for operators. Cannot be changed by a reload.
    #[serde(default)]
    pub(crate) admin: Field<AdminFile>,
    /// Worker threads. Default: one a core. Cannot be changed by a reload.
    #[serde(default)]
    #[schemars(range(min = 1, max = defaults::WORKERS_MAX))]
    pub(crate) workers: Field<u64>,
    /// How long open sessions may finish their work after SIGTERM; `0s` closes them at once.
    /// Can be changed by a reload.
    #[serde(default)]
    #[schemars(regex(pattern = DURATION), extend("default" = duration_text(defaults::DRAIN_TIMEOUT)))]
    pub(crate) drain_timeout: Field<String>,
    /// The process log, on standard error. Cannot be changed by a reload.
    #[serde(default)]
    pub(crate) log: Field<LogFile>,
    /// Where clients connect to. Can be changed by a reload.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(crate) listeners: Field<Vec<Field<ListenerFile>>>,
    /// Where listeners send to. Can be changed by a reload.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(crate) clusters: Field<Vec<Field<ClusterFile>>>,
    /// What is measured and where it goes. Cannot be changed by a reload.
    #[serde(default)]
    pub(crate) stats: Field<StatsFile>,
}

/// The HTTP server for operators.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Admin")]
pub(crate) struct AdminFile {
    /// IP address and port. Whoever reaches it can read all stats and reload the configuration.
    /// Cannot be changed by a reload.
    #[serde(default)]
    #[schemars(extend("default" = defaults::ADMIN_LISTEN.to_string()))]
    pub(crate) listen: Field<String>,
}

/// The process log.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Log")]
pub(crate) struct LogFile {
    /// How a line looks: `text` for people, `json` for one object a line. Cannot be changed by a reload.
    #[serde(default)]
    #[schemars(extend("enum" = LOG_FORMATS.available(), "default" = LOG_FORMATS.word(defaults::LOG_FORMAT)))]
    pub(crate) format: Field<String>,
    /// The least severe level that is written. Cannot be changed by a reload.
    #[serde(default)]
    #[schemars(extend("enum" = LOG_LEVELS.available(), "default" = LOG_LEVELS.word(defaults::LOG_LEVEL)))]
    pub(crate) level: Field<String>,
}

/// One address that clients connect to.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Listener", extend("required" = ["name", "listen", "protocol", "cluster"]))]
pub(crate) struct ListenerFile {
    /// Part of stat names, unique among listeners: letters, digits, `_` and `-`, at most 64.
    /// A reload takes another name for another listener.
    #[serde(default)]
    #[schemars(regex(pattern = NAME))]
    pub(crate) name: Field<String>,
    /// IP address and port, such as `0.0.0.0:27017` or `[::]:27017`. Port 0 lets the system choose.
    /// Can be changed by a reload.
    #[serde(default)]
    pub(crate) listen: Field<String>,
    /// What clients speak here. Can be changed by a reload, for new sessions.
    #[serde(default)]
    #[schemars(extend("enum" = PROTOCOLS.available()))]
    pub(crate) protocol: Field<String>,
    /// Name of the cluster that sessions are forwarded to. Can be changed by a reload, for new sessions.
    #[serde(default)]
    pub(crate) cluster: Field<String>,
    /// A session without a byte in either direction for this long is closed; `0s` is never.
    /// Default: `1h` for protocol tcp, `0s` for protocol mongo, whose drivers keep silent connections.
    /// Can be changed by a reload, for new sessions.
    #[serde(default)]
    #[schemars(regex(pattern = DURATION))]
    pub(crate) idle_timeout: Field<String>,
    /// Most sessions open at the same time; more are closed at once. 0 is no limit.
    /// Can be changed by a reload, for new sessions.
    #[serde(default)]
    #[schemars(range(max = defaults::CONNECTIONS_MAX), extend("default" = 0))]
    pub(crate) max_connections: Field<u64>,
    /// Only with protocol mongo.
    #[serde(default)]
    pub(crate) mongo: Field<MongoFile>,
}

/// How MongoDB connections are handled.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Mongo")]
pub(crate) struct MongoFile {
    /// `tap`: one upstream connection a client, bytes unchanged. Can be changed by a reload, for new sessions.
    #[serde(default)]
    #[schemars(extend("enum" = MONGO_MODES.available(), "default" = MONGO_MODES.word(defaults::MONGO_MODE)))]
    pub(crate) mode: Field<String>,
}

/// A named set of endpoints with its policy.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Cluster", extend("required" = ["name", "endpoints"]))]
pub(crate) struct ClusterFile {
    /// Part of stat names, unique among clusters: letters, digits, `_` and `-`, at most 64.
    /// A reload takes another name for another cluster.
    #[serde(default)]
    #[schemars(regex(pattern = NAME))]
    pub(crate) name: Field<String>,
    /// `host:port` each, with an IP address (IPv6 in brackets) or a DNS name. For sharded Mongo: the mongos routers.
    /// Can be changed by a reload, for new connections.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(crate) endpoints: Field<Vec<Field<String>>>,
    /// How long a connection attempt may take. Can be changed by a reload, for new connections.
    #[serde(default)]
    #[schemars(regex(pattern = DURATION), extend("default" = duration_text(defaults::CONNECT_TIMEOUT)))]
    pub(crate) connect_timeout: Field<String>,
}

/// What is measured and where it goes.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Stats")]
pub(crate) struct StatsFile {
    /// `false` only to find out what measuring costs. Cannot be changed by a reload.
    #[serde(default)]
    #[schemars(extend("default" = true))]
    pub(crate) enabled: Field<bool>,
    /// Length of one interval, from `100ms` to `5m`: percentiles of the last interval, statsd flushes.
    /// Cannot be changed by a reload.
    #[serde(default)]
    #[schemars(regex(pattern = DURATION), extend("default" = duration_text(defaults::STATS_INTERVAL)))]
    pub(crate) interval: Field<String>,
    /// How many values of a label that clients choose are kept apart. Cannot be changed by a reload.
    #[serde(default)]
    pub(crate) limits: Field<LimitsFile>,
    /// The statsd daemon to send to. Default: none. Cannot be changed by a reload.
    #[serde(default)]
    pub(crate) statsd: Field<StatsdFile>,
}

/// How many values of a label are kept apart, for each listener; the rest is counted as `_other`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StatsLimits")]
pub(crate) struct LimitsFile {
    /// Commands. Cannot be changed by a reload.
    #[serde(default)]
    #[schemars(range(min = 1, max = MAX), extend("default" = defaults::STATS_LIMITS.commands))]
    pub(crate) commands: Field<u64>,
    /// Collections, with their databases. Cannot be changed by a reload.
    #[serde(default)]
    #[schemars(range(min = 1, max = MAX), extend("default" = defaults::STATS_LIMITS.collections))]
    pub(crate) collections: Field<u64>,
    /// Pairs of collection and call site. Cannot be changed by a reload.
    #[serde(default)]
    #[schemars(range(min = 1, max = MAX), extend("default" = defaults::STATS_LIMITS.call_sites))]
    pub(crate) call_sites: Field<u64>,
    /// Client applications. Cannot be changed by a reload.
    #[serde(default)]
    #[schemars(range(min = 1, max = MAX), extend("default" = defaults::STATS_LIMITS.applications))]
    pub(crate) applications: Field<u64>,
    /// Error codes. Cannot be changed by a reload.
    #[serde(default)]
    #[schemars(range(min = 1, max = MAX), extend("default" = defaults::STATS_LIMITS.error_codes))]
    pub(crate) error_codes: Field<u64>,
    /// Drivers. Cannot be changed by a reload.
    #[serde(default)]
    #[schemars(range(min = 1, max = MAX), extend("default" = defaults::STATS_LIMITS.drivers))]
    pub(crate) drivers: Field<u64>,
}

/// A statsd daemon. It gets one burst of datagrams an interval, never one a request.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Statsd", extend("required" = ["address"]))]
pub(crate) struct StatsdFile {
    /// `host:port` for UDP, or `unix:///path` for a datagram socket. Cannot be changed by a reload.
    #[serde(default)]
    pub(crate) address: Field<String>,
    /// First part of every name: letters, digits, `_`, `-` and `.`, at most 64. Cannot be changed by a reload.
    #[serde(default)]
    #[schemars(regex(pattern = PREFIX), extend("default" = defaults::STATSD_PREFIX))]
    pub(crate) prefix: Field<String>,
    /// `plain`: dotted names, percentiles as gauges. `datadog`: tags, latencies as distributions that combine over
    /// hosts. Cannot be changed by a reload.
    #[serde(default)]
    #[schemars(extend("enum" = STATSD_FLAVORS.available(), "default" = STATSD_FLAVORS.word(defaults::STATSD_FLAVOR)))]
    pub(crate) flavor: Field<String>,
}

const DURATION: &str = "^[0-9]+(ms|s|m|h)$";
const NAME: &str = "^[A-Za-z0-9_-]{1,64}$";
const PREFIX: &str = "^[A-Za-z0-9_.-]{1,64}$";
const MAX: u64 = defaults::STATS_LIMIT_MAX;
