//! The configuration as it is written. The comments become the descriptions of the JSON Schema.
//!
//! Values are kept as they stand; `resolve.rs` gives them a meaning, and misses what must be there. To serde every key
//! is optional, so that a missing one does not hide the other mistakes.

mod http;
mod redis;
mod tls;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::choices::{
    AuthName, LOG_FORMATS, LOG_LEVELS, MONGO_AUTHS, MONGO_COMPRESSORS, MONGO_HELLOS,
    MONGO_MECHANISMS, MONGO_MODES, MONGO_TOPOLOGIES, PROTOCOLS, STATSD_FLAVORS,
};
use super::defaults;
use super::field::Field;
use super::model::MongoTopology;
use super::values::{duration_or_never, duration_text};

pub(crate) use http::{
    ForwardedFile, HeaderEditsFile, HeaderMatchFile, HttpClusterFile, HttpFile, RedirectFile,
    RespondFile, RouteFile, VirtualHostFile, WeightedClusterFile,
};
pub(crate) use redis::{RedisClusterFile, RedisFile, RedisRouteFile};
pub(crate) use tls::{CertificateFile, ClusterTlsFile, ListenerTlsFile};

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
#[schemars(rename = "Listener", extend(
    "required" = ["name", "listen", "protocol"],
    "anyOf" = [{ "required": ["cluster"] }, { "required": ["http"] }]
))]
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
    /// Name of the cluster that sessions are forwarded to. With protocol http in mode proxy: that requests are sent to
    /// which no route takes; not needed when there are `virtual_hosts`. Can be changed by a reload, for new sessions.
    #[serde(default)]
    pub(crate) cluster: Field<String>,
    /// A session without a byte in either direction for this long is closed; `0s` is never. Default: `1h` for protocols
    /// http and tcp, `0s` for protocols mongo and redis, whose drivers keep silent connections.
    /// Can be changed by a reload, for new sessions.
    #[serde(default)]
    #[schemars(regex(pattern = DURATION))]
    pub(crate) idle_timeout: Field<String>,
    /// Most sessions open at the same time; more are closed at once. 0 is no limit.
    /// Can be changed by a reload, for new sessions.
    #[serde(default)]
    #[schemars(range(max = defaults::CONNECTIONS_MAX), extend("default" = 0))]
    pub(crate) max_connections: Field<u64>,
    /// TLS with clients. Default: none. Can be changed by a reload, for new sessions.
    #[serde(default)]
    pub(crate) tls: Field<ListenerTlsFile>,
    /// Only with protocol mongo.
    #[serde(default)]
    pub(crate) mongo: Field<MongoFile>,
    /// Only with protocol http.
    #[serde(default)]
    pub(crate) http: Field<HttpFile>,
    /// Only with protocol redis.
    #[serde(default)]
    pub(crate) redis: Field<RedisFile>,
}

/// How MongoDB connections are handled.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Mongo")]
pub(crate) struct MongoFile {
    /// `tap`: one upstream connection a client, bytes unchanged. `collapse`: many clients over few upstream
    /// connections, an operation at a time. Can be changed by a reload, for new sessions.
    #[serde(default)]
    #[schemars(extend("enum" = MONGO_MODES.available(), "default" = MONGO_MODES.word(defaults::MONGO_MODE)))]
    pub(crate) mode: Field<String>,
    /// Only with mode collapse. `none`: whoever reaches the listener may use it. `scram`: clients log in to the proxy,
    /// as a user of `users_file`. Can be changed by a reload, for new sessions.
    #[serde(default)]
    #[schemars(extend("enum" = MONGO_AUTHS.available(), "default" = MONGO_AUTHS.word(AuthName::None)))]
    pub(crate) auth: Field<String>,
    /// Path of the file with the users and their verifiers; required with `auth: scram`, and refused without it.
    /// Read at the start and at each reload.
    #[serde(default)]
    pub(crate) users_file: Field<String>,
    /// Only with mode collapse. `stream`: drivers that can do so hear of changes at once, for which each client process
    /// keeps one connection more to the proxy. `poll`: they ask every ten seconds; `topologyVersion` is not offered.
    /// Can be changed by a reload, for new sessions.
    #[serde(default)]
    #[schemars(extend("enum" = MONGO_HELLOS.available(), "default" = MONGO_HELLOS.word(defaults::MONGO_STREAMS_HELLO)))]
    pub(crate) hello: Field<String>,
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
    /// TLS with the endpoints. Default: none. Can be changed by a reload, for new connections.
    #[serde(default)]
    pub(crate) tls: Field<ClusterTlsFile>,
    /// Upstream connections that clients share: those of HTTP listeners in mode proxy and of MongoDB and Redis listeners
    /// in mode collapse. Not for clusters that only listeners with protocol tcp send to.
    #[serde(default)]
    pub(crate) pool: Field<PoolFile>,
    /// What only MongoDB listeners in mode collapse use. Not for clusters that only listeners of other protocols send
    /// to.
    #[serde(default)]
    pub(crate) mongo: Field<MongoClusterFile>,
    /// What only HTTP listeners use. Not for clusters that only listeners of other protocols send to.
    #[serde(default)]
    pub(crate) http: Field<HttpClusterFile>,
    /// What only Redis listeners in mode collapse use. Not for clusters that only listeners of other protocols send to.
    #[serde(default)]
    pub(crate) redis: Field<RedisClusterFile>,
}

/// Upstream connections that clients share. Each bound holds for the whole cluster, over all endpoints and workers.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Pool")]
pub(crate) struct PoolFile {
    /// Most connections open at the same time. The few that watch MongoDB servers are not among them.
    /// Default: 100 for MongoDB, 1000 for Redis, 1024 for HTTP. Can be changed by a reload.
    #[serde(default)]
    #[schemars(range(min = 1, max = MAX_CONNECTIONS))]
    pub(crate) max_connections: Field<u64>,
    /// Connections that are kept open although nobody needs them; at most `max_connections`. Not for HTTP.
    /// Can be changed by a reload.
    #[serde(default)]
    #[schemars(range(max = MAX_CONNECTIONS), extend("default" = 0))]
    pub(crate) min_idle: Field<u64>,
    /// Most connections that are being opened at the same time. Not for HTTP. Default: 2 for MongoDB, 64 for Redis.
    /// Can be changed by a reload.
    #[serde(default)]
    #[schemars(range(min = 1, max = MAX_CONNECTIONS))]
    pub(crate) max_connecting: Field<u64>,
    /// Most operations that wait for a connection; the next one gets an error at once.
    /// Default: 10000 for MongoDB and Redis, 1024 for HTTP. Can be changed by a reload.
    #[serde(default)]
    #[schemars(range(max = MAX_CONNECTIONS))]
    pub(crate) max_waiting: Field<u64>,
    /// Longest wait of an operation for a connection; then it gets an error.
    /// Default: `2s` for MongoDB and Redis, `5s` for HTTP. Can be changed by a reload.
    #[serde(default)]
    #[schemars(regex(pattern = DURATION))]
    pub(crate) wait_timeout: Field<String>,
    /// A connection that nobody has used for this long is closed; `0s` is never.
    /// Default: `10m` for MongoDB and Redis, `1m` for HTTP. Can be changed by a reload.
    #[serde(default)]
    #[schemars(regex(pattern = DURATION))]
    pub(crate) idle_timeout: Field<String>,
    /// A connection older than this is closed when it comes back, up to a tenth earlier; `0s` is never.
    /// Can be changed by a reload.
    #[serde(default)]
    #[schemars(regex(pattern = DURATION), extend("default" = duration_or_never(defaults::POOL_MAX_LIFETIME)))]
    pub(crate) max_lifetime: Field<String>,
    /// Most connections lent at the same time to operations that wait for something to happen (change streams and tailable
    /// cursors; with Redis, subscribers, blocking commands, and whoever keeps a connection); less than `max_connections`
    /// unless that is 1. Not for HTTP. Default: a quarter of `max_connections`, with Redis three quarters, at least 1.
    /// Can be changed by a reload.
    #[serde(default)]
    #[schemars(range(min = 1, max = MAX_CONNECTIONS))]
    pub(crate) max_long_waits: Field<u64>,
}

/// What only MongoDB listeners in mode collapse use.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MongoCluster")]
pub(crate) struct MongoClusterFile {
    /// `auto`: the endpoints are what they say they are: mongos routers, members of one replica set, whose other
    /// members are found, or one standalone server. `routers`: any of them can serve anything. Can be changed by a
    /// reload.
    #[serde(default)]
    #[schemars(extend("enum" = MONGO_TOPOLOGIES.available(), "default" = MONGO_TOPOLOGIES.word(MongoTopology::Auto)))]
    pub(crate) topology: Field<String>,
    /// Among the servers that fit an operation, those are used whose round trip is at most this much longer than the
    /// shortest. Can be changed by a reload.
    #[serde(default)]
    #[schemars(regex(pattern = DURATION), extend("default" = duration_text(defaults::MONGO_LOCAL_THRESHOLD)))]
    pub(crate) local_threshold: Field<String>,
    /// Compressors that are offered to the servers, the preferred one first. Default: none. Can be changed by a reload,
    /// for new connections.
    #[serde(default)]
    #[schemars(extend("items" = json!({ "type": "string", "enum": MONGO_COMPRESSORS.available() })))]
    pub(crate) compression: Field<Vec<Field<String>>>,
    /// Who the proxy is to the servers. The first one is used for clients that do not log in. Default: none, no login.
    /// Can be changed by a reload.
    #[serde(default)]
    pub(crate) credentials: Field<Vec<Field<CredentialFile>>>,
    /// A cursor that nobody has asked for this long is forgotten. Can be changed by a reload.
    #[serde(default)]
    #[schemars(regex(pattern = DURATION), extend("default" = duration_text(defaults::MONGO_CURSOR_TIMEOUT)))]
    pub(crate) cursor_timeout: Field<String>,
    /// A transaction that nobody has used for this long is forgotten. Can be changed by a reload.
    #[serde(default)]
    #[schemars(regex(pattern = DURATION), extend("default" = duration_text(defaults::MONGO_TRANSACTION_TIMEOUT)))]
    pub(crate) transaction_timeout: Field<String>,
}

/// Who the proxy is to the servers. One of `password_file` and `password_env` says where the password is.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Credential", extend(
    "required" = ["name", "username"],
    "oneOf" = [{ "required": ["password_file"] }, { "required": ["password_env"] }]
))]
pub(crate) struct CredentialFile {
    /// What the users of a listener refer to, and part of stat names; unique in its cluster: letters, digits, `_` and
    /// `-`, at most 64. Can be changed by a reload.
    #[serde(default)]
    #[schemars(regex(pattern = NAME))]
    pub(crate) name: Field<String>,
    /// The user's name at the server. Can be changed by a reload.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(crate) username: Field<String>,
    /// Path of a file with the password and nothing else; a line end behind it is cut. Read at the start and at each
    /// reload.
    #[serde(default)]
    pub(crate) password_file: Field<String>,
    /// Name of an environment variable with the password. Another variable can be named by a reload.
    #[serde(default)]
    pub(crate) password_env: Field<String>,
    /// The database that the user was created in. Can be changed by a reload.
    #[serde(default)]
    #[schemars(length(min = 1), extend("default" = defaults::MONGO_SOURCE))]
    pub(crate) source: Field<String>,
    /// The mechanism of the login. Default: SCRAM-SHA-256 if the server has it for this user, else SCRAM-SHA-1.
    /// Can be changed by a reload.
    #[serde(default)]
    #[schemars(extend("enum" = MONGO_MECHANISMS.available()))]
    pub(crate) mechanism: Field<String>,
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
    /// Call sites of HTTP requests. Cannot be changed by a reload.
    #[serde(default)]
    #[schemars(range(min = 1, max = MAX), extend("default" = defaults::STATS_LIMITS.callers))]
    pub(crate) callers: Field<u64>,
    /// Methods of gRPC services. Cannot be changed by a reload.
    #[serde(default)]
    #[schemars(range(min = 1, max = MAX), extend("default" = defaults::STATS_LIMITS.grpc_methods))]
    pub(crate) grpc_methods: Field<u64>,
    /// Status codes of HTTP replies, and those of gRPC for each method. Cannot be changed by a reload.
    #[serde(default)]
    #[schemars(range(min = 1, max = MAX), extend("default" = defaults::STATS_LIMITS.status_codes))]
    pub(crate) status_codes: Field<u64>,
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
const MAX_CONNECTIONS: u64 = defaults::CONNECTIONS_MAX;
