//! Every default and bound of the configuration, each with its source.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::model::{
    HttpClusterConfig, HttpMode, HttpVersion, HttpVersions, LogFormat, LogLevel,
    MongoClusterConfig, MongoMode, MongoTopology, PoolConfig, RedisClusterConfig, RedisMode,
    RedisReads, RedisTopology, StatsLimits, StatsdFlavor, Underscores,
};
use crate::tls::Version;

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

/// `timeout` of Redis is 0 unless it is set, and its clients keep silent connections.
pub(crate) const REDIS_IDLE_TIMEOUT: Option<Duration> = None;
/// The mode that changes no byte.
pub(crate) const REDIS_MODE: RedisMode = RedisMode::Tap;
/// A server by itself is what most have.
pub(crate) const REDIS_TOPOLOGY: RedisTopology = RedisTopology::Single;
/// What was written is there when it is read.
pub(crate) const REDIS_READS: RedisReads = RedisReads::Master;
/// Who mirrors wants to see the load as it is.
pub(crate) const REDIS_MIRROR_PERCENT: u32 = 100;
/// Each is held against each key until one fits; who needs more of them needs other tools.
pub(crate) const REDIS_KEY_PATTERNS_MAX: usize = 100;
/// Each key is held against all of them.
pub(crate) const REDIS_ROUTES_MAX: usize = 100;
/// A worker follows ten times as many, each with a hash and some hundred bytes.
pub(crate) const REDIS_HOT_KEYS_MAX: u64 = 1_000;

/// Envoy's `common_http_protocol_options.idle_timeout`: an HTTP connection without a request.
pub(crate) const HTTP_IDLE_TIMEOUT: Option<Duration> = Some(Duration::from_secs(3600));
/// Routes, retries and shared connections are what people put an HTTP proxy there for.
pub(crate) const HTTP_MODE: HttpMode = HttpMode::Proxy;
/// Envoy's `codec_type: AUTO`.
pub(crate) const HTTP_VERSIONS: HttpVersions = HttpVersions {
    http1: true,
    http2: true,
};
/// What Envoy recommends at the edge (`headers_with_underscores_action: REJECT_REQUEST`): a server that takes `_` for
/// `-` would see a header that nobody here has checked.
pub(crate) const HTTP_UNDERSCORES: Underscores = Underscores::Reject;
/// Envoy's `max_request_headers_kb`.
pub(crate) const HTTP_MAX_HEAD: usize = 60 * 1024;
/// What the parser reads (`MAX_HEAD_BYTES`).
pub(crate) const HTTP_HEAD_MAX: u64 = 60 * 1024;
/// Less would refuse what browsers send with a few cookies.
pub(crate) const HTTP_HEAD_MIN: u64 = 1024;
/// Envoy's `max_headers_count`.
pub(crate) const HTTP_MAX_HEADERS: usize = 100;
/// What the parser reads (`MAX_HEADERS`).
pub(crate) const HTTP_HEADERS_MAX: u64 = 100;
/// Envoy has none, so that whoever sends a byte a second holds a connection for hours; nginx waits 60 s, HAProxy's guide says
/// 5 to 10 s.
pub(crate) const HTTP_HEADER_TIMEOUT: Option<Duration> = Some(Duration::from_secs(10));
/// Envoy's `stream_idle_timeout`.
pub(crate) const HTTP_STREAM_IDLE_TIMEOUT: Option<Duration> = Some(Duration::from_secs(300));
/// Envoy's `request_timeout` is off: an upload may take its time as long as it moves.
pub(crate) const HTTP_REQUEST_TIMEOUT: Option<Duration> = None;
/// Envoy has none.
pub(crate) const HTTP_MAX_BODY: Option<u64> = None;
/// What the route to a listener's `cluster` is called.
pub(crate) const HTTP_DEFAULT_ROUTE: &str = "default";
/// Envoy's route `timeout`.
pub(crate) const HTTP_ROUTE_TIMEOUT: Option<Duration> = Some(Duration::from_secs(15));
/// Envoy's advice for the edge (`max_concurrent_streams: 100`), and the least that RFC 9113 section 6.5.2 recommends.
pub(crate) const HTTP_MAX_STREAMS: u32 = 100;
/// RFC 9113 section 5.1.1: stream identifiers have 31 bits.
pub(crate) const HTTP_STREAMS_MAX: u64 = (1 << 31) - 1;
/// More proxies in a row than any deployment has.
pub(crate) const HTTP_TRUSTED_HOPS_MAX: u64 = 32;
/// Redirects are mostly meant to stay: Envoy's `response_code: MOVED_PERMANENTLY`.
pub(crate) const HTTP_REDIRECT_STATUS: u16 = 301;
/// Fine enough for one request in a million.
pub(crate) const HTTP_WEIGHT_MAX: u64 = 1_000_000;
/// Envoy's bounds of a direct response's status: 1xx would announce another one.
pub(crate) const HTTP_RESPOND_STATUS_MIN: u64 = 200;
/// RFC 9110 section 15: there are five classes.
pub(crate) const HTTP_RESPOND_STATUS_MAX: u64 = 599;
/// Envoy's `max_direct_response_body_size_bytes`.
pub(crate) const HTTP_RESPOND_BODY_MAX: usize = 4096;
/// A header of an edit or a match; what is longer is a typing error, and would take the place of the request's own.
pub(crate) const HTTP_HEADER_MAX: usize = 4096;
/// Longer ones match nothing: RFC 9110 section 4.1 recommends that at least 8000 bytes of a target are read, and the parser reads 8 KiB.
pub(crate) const HTTP_PATH_MAX: usize = 8 * 1024;

/// Envoy's `cluster.connect_timeout`.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Every server has it.
pub(crate) const HTTP_CLUSTER_VERSION: HttpVersion = HttpVersion::Http1;
/// Envoy's circuit breaker `max_connections`.
pub(crate) const HTTP_POOL_MAX_CONNECTIONS: usize = 1024;
/// Envoy's circuit breaker `max_pending_requests`.
pub(crate) const HTTP_POOL_MAX_WAITING: usize = 1024;
/// HAProxy's `timeout queue`, which is its `timeout connect` unless it is set.
pub(crate) const HTTP_POOL_WAIT_TIMEOUT: Duration = CONNECT_TIMEOUT;
/// nginx's `keepalive_timeout` of an upstream. Most servers close a silent connection after 60 s or more; the side
/// that is later loses a request now and then.
pub(crate) const HTTP_POOL_IDLE_TIMEOUT: Option<Duration> = Some(Duration::from_secs(60));

/// MongoDB drivers' `maxPoolSize`.
pub(crate) const POOL_MAX_CONNECTIONS: usize = 100;
/// MongoDB drivers' `maxConnecting`: a server that is busy is not helped by a burst of logins.
pub(crate) const POOL_MAX_CONNECTING: usize = 2;
/// Twice what PgBouncer's users commonly allow; each costs a place in a queue.
pub(crate) const POOL_MAX_WAITING: usize = 10_000;
/// Well below the 30 s of a driver's `serverSelectionTimeoutMS`, so that the driver still has time to try again.
pub(crate) const POOL_WAIT_TIMEOUT: Duration = Duration::from_secs(2);
/// PgBouncer's `server_idle_timeout`.
pub(crate) const POOL_IDLE_TIMEOUT: Option<Duration> = Some(Duration::from_secs(600));
/// PgBouncer's `server_lifetime`.
pub(crate) const POOL_MAX_LIFETIME: Option<Duration> = Some(Duration::from_secs(3600));

/// What drivers and servers do since MongoDB 4.4: a client hears of a change at once. It costs each client process one more connection to
/// the proxy, and none upstream.
pub(crate) const MONGO_STREAMS_HELLO: bool = true;

/// MongoDB drivers' `localThresholdMS`.
pub(crate) const MONGO_LOCAL_THRESHOLD: Duration = Duration::from_millis(15);
/// The server's `cursorTimeoutMillis` is 10 minutes; a minute more, so that the server ends it first.
pub(crate) const MONGO_CURSOR_TIMEOUT: Duration = Duration::from_secs(660);
/// The server's `transactionLifetimeLimitSeconds` is 60; the same again for operators that raised it.
pub(crate) const MONGO_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(120);

/// Where `createUser` is mostly run, and drivers' `authSource` when a connection string names no database.
pub(crate) const MONGO_SOURCE: &str = "admin";

/// A quarter of the pool for operations that wait: half would let them slow all others down.
pub(crate) fn max_long_waits(max_connections: usize) -> usize {
    (max_connections / 4).max(1)
}

/// The pool of a cluster that HTTP listeners send to, as it is without a word in the config. Servers that answer HTTP
/// do not mind a burst of connections, and no request waits for something to happen while it holds one.
pub(crate) fn http_pool() -> PoolConfig {
    PoolConfig {
        max_connections: HTTP_POOL_MAX_CONNECTIONS,
        min_idle: 0,
        max_connecting: HTTP_POOL_MAX_CONNECTIONS,
        max_waiting: HTTP_POOL_MAX_WAITING,
        wait_timeout: HTTP_POOL_WAIT_TIMEOUT,
        idle_timeout: HTTP_POOL_IDLE_TIMEOUT,
        // nginx's `keepalive_time` is an hour too.
        max_lifetime: POOL_MAX_LIFETIME,
        max_long_waits: HTTP_POOL_MAX_CONNECTIONS,
    }
}

/// What HTTP listeners use of a cluster, as it is without a word in the config.
pub(crate) fn http_cluster() -> HttpClusterConfig {
    HttpClusterConfig {
        version: HTTP_CLUSTER_VERSION,
        max_streams: HTTP_MAX_STREAMS,
    }
}

/// A tenth of Redis' own `maxclients`: subscribers and those that block have a connection each.
pub(crate) const REDIS_POOL_MAX_CONNECTIONS: usize = 1000;
/// Redis takes a thousand connections in one turn of its loop (`MAX_ACCEPTS_PER_CALL`), and a greeting costs it little.
pub(crate) const REDIS_POOL_MAX_CONNECTING: usize = 64;

/// The pool of a cluster that Redis listeners send to, as it is without a word in the config. Plain requests of all clients go over one
/// connection a worker; a quarter is left for transactions when subscribers have taken what they may.
pub(crate) fn redis_pool() -> PoolConfig {
    PoolConfig {
        max_connections: REDIS_POOL_MAX_CONNECTIONS,
        max_connecting: REDIS_POOL_MAX_CONNECTING,
        max_long_waits: redis_max_long_waits(REDIS_POOL_MAX_CONNECTIONS),
        ..pool()
    }
}

/// Three quarters of the pool for clients that keep a connection.
pub(crate) fn redis_max_long_waits(max_connections: usize) -> usize {
    (max_connections / 4 * 3).max(1)
}

/// What Redis listeners use of a cluster, as it is without a word in the config.
pub(crate) fn redis_cluster() -> RedisClusterConfig {
    RedisClusterConfig {
        topology: REDIS_TOPOLOGY,
        read_from: REDIS_READS,
        credential: None,
    }
}

/// A pool as it is without a word in the config.
pub(crate) fn pool() -> PoolConfig {
    PoolConfig {
        max_connections: POOL_MAX_CONNECTIONS,
        min_idle: 0,
        max_connecting: POOL_MAX_CONNECTING,
        max_waiting: POOL_MAX_WAITING,
        wait_timeout: POOL_WAIT_TIMEOUT,
        idle_timeout: POOL_IDLE_TIMEOUT,
        max_lifetime: POOL_MAX_LIFETIME,
        max_long_waits: max_long_waits(POOL_MAX_CONNECTIONS),
    }
}

/// A MongoDB cluster as it is without a word in the config.
pub(crate) fn mongo_cluster() -> MongoClusterConfig {
    MongoClusterConfig {
        topology: MongoTopology::Auto,
        local_threshold: MONGO_LOCAL_THRESHOLD,
        compressors: Vec::new(),
        credentials: Vec::new(),
        cursor_timeout: MONGO_CURSOR_TIMEOUT,
        transaction_timeout: MONGO_TRANSACTION_TIMEOUT,
    }
}

/// RFC 9325 section 3.1.1: "Implementations MUST NOT negotiate TLS version 1.1", and "MUST support TLS 1.2".
pub(crate) const TLS_MIN_VERSION: Version = Version::Tls12;
/// RFC 7301 section 3.1: a protocol name is `opaque ProtocolName<1..2^8-1>`.
pub(crate) const ALPN_MAX: usize = 255;

/// Envoy's `stats_flush_interval`.
pub(crate) const STATS_INTERVAL: Duration = Duration::from_secs(5);
/// Shorter ones cost more than they show: a worker hands its histograms over once an interval.
pub(crate) const STATS_INTERVAL_MIN: Duration = Duration::from_millis(100);
/// Envoy's bound of `stats_flush_interval`.
pub(crate) const STATS_INTERVAL_MAX: Duration = Duration::from_secs(300);

/// Wide enough for real deployments, and small enough that a client which invents names costs megabytes at most.
/// Commands: a server knows about 170. Error codes: about 400 exist, a deployment meets few. Status codes: IANA's registry has 63.
pub(crate) const STATS_LIMITS: StatsLimits = StatsLimits {
    commands: 200,
    collections: 1000,
    call_sites: 2000,
    applications: 500,
    error_codes: 200,
    drivers: 50,
    callers: 500,
    grpc_methods: 500,
    status_codes: 100,
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
/// Longer than any password; a file that holds more is another one.
pub(crate) const PASSWORD_MAX: usize = 1024;
/// MongoDB's manual, "MongoDB Limits and Thresholds": "Database names cannot be empty and must be less than 64 bytes."
pub(crate) const DATABASE_MAX: usize = 63;
/// A year. Tokio's timer reaches 2^36 ms, a little over two.
pub(crate) const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
/// A petabyte; larger numbers would only overflow somewhere.
pub(crate) const SIZE_MAX: u64 = 1 << 50;
/// Names become parts of stat names; a longer one would not fit a dashboard.
pub(crate) const NAME_MAX: usize = 64;
/// RFC 1035 section 2.3.4: "names 255 octets or less", which is 253 characters in text form.
pub(crate) const HOST_MAX: usize = 253;
/// RFC 1035 section 2.3.4: "labels 63 octets or less".
pub(crate) const HOST_LABEL_MAX: usize = 63;
/// `sun_path` of Linux's `sockaddr_un` is 108 bytes with its closing NUL.
pub(crate) const UNIX_PATH_MAX: usize = 107;
