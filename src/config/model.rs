//! The resolved configuration: what the rest of the program reads. Every default is filled in,
//! every name refers to something that exists.

mod http;
mod redis;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::scram::Users;
use crate::secret::Secret;
use crate::tls::{ClientTls, ServerTls};

pub use http::{
    Domain, ForwardConfig, ForwardedConfig, ForwardedProto, HeaderEditsConfig, HeaderMatch,
    HttpClusterConfig, HttpConfig, HttpMode, HttpVersion, HttpVersions, PathMatch, RedirectConfig,
    RedirectPath, RespondConfig, RouteAction, RouteConfig, Scheme, Underscores, ValueMatch,
    VirtualHost, WeightedCluster,
};

pub use redis::{
    RedisAuth, RedisClusterConfig, RedisConfig, RedisCredential, RedisMode, RedisReads,
    RedisTopology,
};

/// Everything that can be configured, checked as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The HTTP server for operators.
    pub admin: AdminConfig,
    /// Worker threads, at least one.
    pub workers: usize,
    /// How long open sessions may finish their work after a drain has begun. Zero closes them at once.
    pub drain_timeout: Duration,
    /// The process log.
    pub log: LogConfig,
    /// Where clients connect to; names and addresses are unique.
    pub listeners: Vec<ListenerConfig>,
    /// Where listeners send to; names are unique.
    pub clusters: Vec<ClusterConfig>,
    /// What is measured and where it goes.
    pub stats: StatsConfig,
}

impl Config {
    /// The top-level keys in which `new` differs from this configuration although a reload cannot change them:
    /// they keep their values until the process is started again.
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let Self {
            admin,
            workers,
            drain_timeout: _,
            log,
            listeners: _,
            clusters: _,
            stats,
        } = self;
        let fixed = [
            ("admin", *admin == new.admin),
            ("workers", *workers == new.workers),
            ("log", *log == new.log),
            ("stats", *stats == new.stats),
        ];
        fixed
            .into_iter()
            .filter(|(_, same)| !same)
            .map(|(key, _)| key)
            .collect()
    }
}

/// The HTTP server for operators.
#[derive(Clone, Debug, PartialEq)]
pub struct AdminConfig {
    /// Address and port of the server.
    pub listen: SocketAddr,
}

/// The process log, on standard error.
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// How a line looks.
    pub format: LogFormat,
    /// The least severe level that is written.
    pub level: LogLevel,
}

/// How a line of the process log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Severity of a line of the process log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Something failed that was asked for.
    Error,
    /// Something is odd and may need a person.
    Warn,
    /// Starts, stops, reloads.
    Info,
    /// Every connection.
    Debug,
    /// Everything.
    Trace,
}

/// One address that clients connect to.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerConfig {
    /// Unique among listeners; part of stat names.
    pub name: String,
    /// Address and port; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// What clients speak here.
    pub protocol: Protocol,
    /// Names of the clusters that sessions are forwarded to, each once; they exist. One, but for HTTP in mode proxy:
    /// there they are all that its routes name, which may be none, and the routes refer to their places here; and for Redis
    /// with a mirror, whose cluster is the last.
    pub clusters: Vec<String>,
    /// A session without a byte in either direction for this long is closed; `None` is never.
    pub idle_timeout: Option<Duration>,
    /// Most sessions open at the same time; `None` is no limit.
    pub max_connections: Option<usize>,
    /// TLS with clients; `None` is plain connections.
    pub tls: Option<Arc<ServerTls>>,
    /// Who may use a MongoDB listener in mode collapse.
    pub mongo_auth: MongoAuth,
    /// Hellos of a MongoDB listener in mode collapse may be held until something changes.
    pub mongo_streams_hello: bool,
    /// What an HTTP listener does; `Some` for protocol http alone.
    pub http: Option<Arc<HttpConfig>>,
    /// What only Redis listeners use.
    pub redis: RedisConfig,
}

/// How clients of a MongoDB listener in mode collapse say who they are.
#[derive(Clone, Debug, PartialEq)]
pub enum MongoAuth {
    /// They need not.
    None,
    /// By SCRAM, which ends at the proxy.
    Scram {
        /// The file with the users and their verifiers.
        users_file: PathBuf,
        /// What was in it.
        users: Arc<Users>,
    },
}

/// What is spoken on a listener, and how it is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Bytes that are not looked into.
    Tcp,
    /// The MongoDB wire protocol.
    Mongo(MongoMode),
    /// HTTP/1 and HTTP/2.
    Http(HttpMode),
    /// RESP, the protocol of Redis.
    Redis(RedisMode),
}

/// How MongoDB connections are forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MongoMode {
    /// One upstream connection a client, bytes unchanged.
    Tap,
    /// Many clients over few upstream connections, an operation at a time.
    Collapse,
}

/// A named set of endpoints with its policy.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterConfig {
    /// Unique among clusters; part of stat names.
    pub name: String,
    /// At least one, without repetition.
    pub endpoints: Vec<Endpoint>,
    /// How long a connection attempt may take.
    pub connect_timeout: Duration,
    /// TLS with the endpoints; `None` is plain connections.
    pub tls: Option<Arc<ClientTls>>,
    /// Upstream connections that clients share.
    pub pool: PoolConfig,
    /// What only MongoDB listeners in mode collapse use.
    pub mongo: MongoClusterConfig,
    /// What only HTTP listeners use.
    pub http: HttpClusterConfig,
    /// What only Redis listeners in mode collapse use.
    pub redis: RedisClusterConfig,
}

/// Upstream connections that clients share. Each bound holds for the whole cluster, over all endpoints, users and workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// Most connections open at the same time, at least 1. Monitoring connections are not among them.
    pub max_connections: usize,
    /// Connections that are kept open although nobody needs them; at most `max_connections`.
    pub min_idle: usize,
    /// Most connections being opened at the same time, at least 1.
    pub max_connecting: usize,
    /// Most operations that wait for a connection; the next one is refused.
    pub max_waiting: usize,
    /// Longest wait of an operation for a connection.
    pub wait_timeout: Duration,
    /// A connection that nobody has used for this long is closed; `None` is never.
    pub idle_timeout: Option<Duration>,
    /// A connection older than this is closed when it comes back, up to a tenth earlier; `None` is never.
    pub max_lifetime: Option<Duration>,
    /// Most connections lent at the same time to operations that wait for something to happen (change streams, tailable
    /// cursors); at least 1, and below `max_connections` unless that is 1.
    pub max_long_waits: usize,
}

/// What only MongoDB listeners in mode collapse use.
#[derive(Clone, Debug, PartialEq)]
pub struct MongoClusterConfig {
    /// What the endpoints are to each other.
    pub topology: MongoTopology,
    /// Among endpoints that fit, those are used whose round trip is at most this much longer than the shortest.
    pub local_threshold: Duration,
    /// Compressors that are offered upstream, the preferred one first; none is no compression.
    pub compressors: Vec<MongoCompressor>,
    /// Who the proxy is to the servers; the first is used for clients that no user is known of. None is no login.
    pub credentials: Vec<MongoCredential>,
    /// A cursor nobody has asked for this long is forgotten.
    pub cursor_timeout: Duration,
    /// A transaction nobody has used for this long is forgotten.
    pub transaction_timeout: Duration,
}

/// What the endpoints of a MongoDB cluster are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MongoTopology {
    /// What they say themselves: mongos routers, members (seeds) of one replica set, or one standalone server.
    Auto,
    /// Any of them can serve anything, as mongos routers can; members of a replica set are not followed.
    Routers,
}

/// A compressor of MongoDB messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MongoCompressor {
    /// Fast, little gain.
    Snappy,
    /// Slow, more gain.
    Zlib,
    /// In between.
    Zstd,
}

/// Who the proxy is to the servers of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct MongoCredential {
    /// Unique in its cluster; what the users of a listener refer to, and part of stat names.
    pub name: String,
    /// The user's name at the server.
    pub username: String,
    /// The password, read when the configuration was.
    pub password: Secret,
    /// Where it was read from.
    pub password_source: PasswordSource,
    /// The database that the user was created in.
    pub source: String,
    /// The mechanism to use; `None` takes SCRAM-SHA-256 if the server has it for this user, and else SCRAM-SHA-1.
    pub mechanism: Option<MongoMechanism>,
}

/// Where a password is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordSource {
    /// A file that holds nothing else.
    File(PathBuf),
    /// An environment variable, by its name.
    Environment(String),
}

/// A SASL mechanism of MongoDB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MongoMechanism {
    /// `SCRAM-SHA-1`
    ScramSha1,
    /// `SCRAM-SHA-256`
    ScramSha256,
}

/// One upstream address. `Display` prints `host:port`, with brackets round an IPv6 address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// IP address (without brackets) or DNS name.
    pub host: String,
    /// Never 0.
    pub port: u16,
}

/// What is measured and where it goes.
#[derive(Clone, Debug, PartialEq)]
pub struct StatsConfig {
    /// `false` only to find out what measuring costs.
    pub enabled: bool,
    /// Length of one interval: percentiles of the last interval, statsd flushes.
    pub interval: Duration,
    /// How many values of a label that clients choose are kept apart.
    pub limits: StatsLimits,
    /// The statsd daemon to send to, if any.
    pub statsd: Option<StatsdConfig>,
}

/// How many values of a label are kept apart; the rest is counted as `_other`. All are at least 1.
#[derive(Clone, Debug, PartialEq)]
pub struct StatsLimits {
    /// Commands a listener.
    pub commands: usize,
    /// Collections a listener.
    pub collections: usize,
    /// Pairs of collection and call site a listener.
    pub call_sites: usize,
    /// Client applications a listener.
    pub applications: usize,
    /// Error codes a listener.
    pub error_codes: usize,
    /// Drivers a listener.
    pub drivers: usize,
    /// Call sites of HTTP requests a listener.
    pub callers: usize,
    /// Methods of gRPC services a listener.
    pub grpc_methods: usize,
    /// Status codes of HTTP replies a listener, and of gRPC a method.
    pub status_codes: usize,
}

/// A statsd daemon.
#[derive(Clone, Debug, PartialEq)]
pub struct StatsdConfig {
    /// Where datagrams go.
    pub address: StatsdAddress,
    /// First part of every name.
    pub prefix: String,
    /// Which dialect the daemon understands.
    pub flavor: StatsdFlavor,
}

/// Where statsd datagrams go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatsdAddress {
    /// UDP.
    Udp {
        /// IP address (without brackets) or DNS name.
        host: String,
        /// Never 0.
        port: u16,
    },
    /// A Unix datagram socket, by its absolute path.
    Unix(PathBuf),
}

/// Dialect of statsd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatsdFlavor {
    /// Dotted names, as the original daemon reads them.
    Plain,
    /// Tags and distributions, as DogStatsD reads them.
    Datadog,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Mongo(_) => "mongo",
            Self::Http(_) => "http",
            Self::Redis(_) => "redis",
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_authority(f, &self.host, self.port)
    }
}

impl fmt::Display for StatsdAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp { host, port } => write_authority(f, host, *port),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

fn write_authority(f: &mut fmt::Formatter<'_>, host: &str, port: u16) -> fmt::Result {
    if host.contains(':') {
        write!(f, "[{host}]:{port}")
    } else {
        write!(f, "{host}:{port}")
    }
}
