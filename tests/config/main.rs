//! A configuration is either taken as a whole or refused with every mistake in it, each at its place.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy.toml lets tests do so, but not what tests call"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use insta::assert_snapshot;
use narrows::cli::{Cli, Command};
use narrows::config::{
    AdminConfig, ClusterConfig, Config, ConfigError, Endpoint, HttpClusterConfig, HttpVersion,
    ListenerConfig, LogConfig, LogFormat, LogLevel, MongoAuth, MongoClusterConfig, MongoCompressor,
    MongoCredential, MongoMechanism, MongoMode, MongoTopology, PasswordSource, PoolConfig,
    Protocol, RedisAuth, RedisClusterConfig, RedisConfig, RedisCredential, RedisMode, RedisReads,
    RedisTopology, StatsConfig, StatsLimits, StatsdAddress, StatsdConfig, StatsdFlavor, load,
    parse, to_json,
};
use narrows::protocols::redis::KeyPattern;
use narrows::scram::Users;
use narrows::secret::Secret;

mod collapse;
mod http;
mod random;
mod redis;
mod schema;
mod tls;

/// Every key of the format, none at its default.
const FULL: &str = "
admin: { listen: '[::1]:9901' }
workers: 3
drain_timeout: 10s
log: { format: json, level: debug }
listeners:
  - name: orders
    listen: 127.0.0.1:27117
    protocol: mongo
    cluster: orders
    idle_timeout: 5m
    max_connections: 1000
    tls:
      certificates:
        - { certificate: tests/config/tls/certificate.pem, key: tests/config/tls/key.pem }
      client_certificates: required
      client_ca: tests/config/tls/ca.pem
      min_version: '1.3'
      alpn: [mongodb]
    mongo: { mode: collapse, auth: scram, users_file: tests/config/users, hello: poll }
  - name: legacy
    listen: 0.0.0.0:0
    protocol: tcp
    cluster: legacy
    idle_timeout: 0s
  - { name: cache, listen: 127.0.0.1:6380, protocol: redis, cluster: cache, redis: { mode: collapse, key_patterns: ['user:*', '*:cart'], hot_keys: 20, routes: [{ prefix: 'a:', cluster: cache }], mirror: { cluster: shadow, percent: 5 } } }
clusters:
  - name: orders
    endpoints: [10.0.0.1:27017, 'mongos-2.example.com:27017']
    connect_timeout: 1500ms
    tls:
      ca: tests/config/tls/ca.pem
      server_name: shop.example
      certificate: tests/config/tls/certificate.pem
      key: tests/config/tls/key.pem
      min_version: '1.3'
    pool:
      max_connections: 32
      min_idle: 4
      max_connecting: 3
      max_waiting: 500
      wait_timeout: 800ms
      idle_timeout: 5m
      max_lifetime: 0s
      max_long_waits: 6
    mongo:
      topology: routers
      local_threshold: 20ms
      compression: [zstd, snappy]
      cursor_timeout: 20m
      transaction_timeout: 5m
      credentials:
        - name: app
          username: narrows
          password_file: tests/config/password
          source: users
          mechanism: SCRAM-SHA-1
        - { name: reports, username: reader, password_env: CARGO_PKG_NAME }
  - name: legacy
    endpoints:
      - '[::1]:5432'
    tls: { verify: false }
  - name: cache
    endpoints: ['127.0.0.1:6379']
    pool: { max_connections: 8 }
    redis: { topology: cluster, read_from: replica, username: narrows, password_file: tests/config/password }
  - name: shadow
    endpoints: ['127.0.0.1:6378']
stats:
  enabled: false
  interval: 10s
  limits: { commands: 1, collections: 2, call_sites: 3, applications: 4, error_codes: 5, drivers: 6, callers: 7, grpc_methods: 8, status_codes: 9 }
  statsd: { address: 'unix:///run/statsd.sock', prefix: shop.proxy, flavor: datadog }
";

/// What cannot be left out.
const MINIMAL: &str = "
listeners:
  - { name: orders, listen: 127.0.0.1:27117, protocol: mongo, cluster: orders }
clusters:
  - { name: orders, endpoints: [127.0.0.1:27017] }
";

fn full() -> Config {
    // What is in it has tests of its own.
    let parsed = parse("narrows.yaml", FULL).unwrap();
    let (listener_tls, cluster_tls) = (&parsed.listeners[0].tls, &parsed.clusters[0].tls);
    let endpoint = |host: &str, port| Endpoint {
        host: host.to_owned(),
        port,
    };
    Config {
        admin: AdminConfig {
            listen: "[::1]:9901".parse().unwrap(),
        },
        workers: 3,
        drain_timeout: Duration::from_secs(10),
        log: LogConfig {
            format: LogFormat::Json,
            level: LogLevel::Debug,
        },
        listeners: vec![
            ListenerConfig {
                name: "orders".to_owned(),
                listen: "127.0.0.1:27117".parse().unwrap(),
                protocol: Protocol::Mongo(MongoMode::Collapse),
                clusters: vec!["orders".to_owned()],
                idle_timeout: Some(Duration::from_secs(300)),
                max_connections: Some(1000),
                tls: listener_tls.clone(),
                mongo_auth: MongoAuth::Scram {
                    users_file: PathBuf::from("tests/config/users"),
                    users: Arc::new(Users::load(Path::new("tests/config/users")).unwrap()),
                },
                mongo_streams_hello: false,
                http: None,
                redis: RedisConfig::default(),
            },
            ListenerConfig {
                name: "legacy".to_owned(),
                listen: "0.0.0.0:0".parse().unwrap(),
                protocol: Protocol::Tcp,
                clusters: vec!["legacy".to_owned()],
                idle_timeout: None,
                max_connections: None,
                tls: None,
                mongo_auth: MongoAuth::None,
                mongo_streams_hello: true,
                http: None,
                redis: RedisConfig::default(),
            },
            ListenerConfig {
                name: "cache".to_owned(),
                listen: "127.0.0.1:6380".parse().unwrap(),
                protocol: Protocol::Redis(RedisMode::Collapse),
                clusters: vec!["cache".to_owned(), "shadow".to_owned()],
                idle_timeout: None,
                max_connections: None,
                tls: None,
                mongo_auth: MongoAuth::None,
                mongo_streams_hello: true,
                http: None,
                redis: RedisConfig {
                    key_patterns: ["user:*", "*:cart"]
                        .map(|pattern| KeyPattern::new(pattern).unwrap())
                        .to_vec(),
                    hot_keys: Some(20),
                    routes: vec![(b"a:"[..].into(), 0)],
                    auth: RedisAuth::Server,
                    mirror: Some(5),
                },
            },
        ],
        clusters: vec![
            ClusterConfig {
                name: "orders".to_owned(),
                endpoints: vec![
                    endpoint("10.0.0.1", 27017),
                    endpoint("mongos-2.example.com", 27017),
                ],
                tls: cluster_tls.clone(),
                connect_timeout: Duration::from_millis(1500),
                pool: PoolConfig {
                    max_connections: 32,
                    min_idle: 4,
                    max_connecting: 3,
                    max_waiting: 500,
                    wait_timeout: Duration::from_millis(800),
                    idle_timeout: Some(Duration::from_secs(300)),
                    max_lifetime: None,
                    max_long_waits: 6,
                },
                mongo: full_mongo(),
                http: default_http(),
                redis: default_redis(),
            },
            ClusterConfig {
                name: "legacy".to_owned(),
                endpoints: vec![endpoint("::1", 5432)],
                tls: parsed.clusters[1].tls.clone(),
                connect_timeout: Duration::from_secs(5),
                pool: default_pool(),
                mongo: default_mongo(),
                http: default_http(),
                redis: default_redis(),
            },
            ClusterConfig {
                name: "cache".to_owned(),
                endpoints: vec![endpoint("127.0.0.1", 6379)],
                tls: None,
                connect_timeout: Duration::from_secs(5),
                pool: PoolConfig {
                    max_connections: 8,
                    min_idle: 0,
                    max_connecting: 64,
                    max_waiting: 10_000,
                    wait_timeout: Duration::from_secs(2),
                    idle_timeout: Some(Duration::from_secs(600)),
                    max_lifetime: Some(Duration::from_secs(3600)),
                    max_long_waits: 6,
                },
                mongo: default_mongo(),
                http: default_http(),
                redis: RedisClusterConfig {
                    topology: RedisTopology::Cluster,
                    read_from: RedisReads::Replica,
                    credential: Some(RedisCredential {
                        username: Some("narrows".to_owned()),
                        password: Secret::new("pl4nted".to_owned()),
                        password_source: PasswordSource::File(PathBuf::from(
                            "tests/config/password",
                        )),
                    }),
                },
            },
            ClusterConfig {
                name: "shadow".to_owned(),
                endpoints: vec![endpoint("127.0.0.1", 6378)],
                tls: None,
                connect_timeout: Duration::from_secs(5),
                pool: PoolConfig {
                    max_connections: 1000,
                    max_connecting: 64,
                    max_long_waits: 750,
                    ..default_pool()
                },
                mongo: default_mongo(),
                http: default_http(),
                redis: default_redis(),
            },
        ],
        stats: StatsConfig {
            enabled: false,
            interval: Duration::from_secs(10),
            limits: StatsLimits {
                commands: 1,
                collections: 2,
                call_sites: 3,
                applications: 4,
                error_codes: 5,
                drivers: 6,
                callers: 7,
                grpc_methods: 8,
                status_codes: 9,
            },
            statsd: Some(StatsdConfig {
                address: StatsdAddress::Unix(PathBuf::from("/run/statsd.sock")),
                prefix: "shop.proxy".to_owned(),
                flavor: StatsdFlavor::Datadog,
            }),
        },
    }
}

fn default_redis() -> RedisClusterConfig {
    RedisClusterConfig {
        topology: RedisTopology::Single,
        read_from: RedisReads::Master,
        credential: None,
    }
}

fn full_mongo() -> MongoClusterConfig {
    MongoClusterConfig {
        topology: MongoTopology::Routers,
        local_threshold: Duration::from_millis(20),
        compressors: vec![MongoCompressor::Zstd, MongoCompressor::Snappy],
        credentials: vec![
            MongoCredential {
                name: "app".to_owned(),
                username: "narrows".to_owned(),
                password: Secret::new("pl4nted".to_owned()),
                password_source: PasswordSource::File(PathBuf::from("tests/config/password")),
                source: "users".to_owned(),
                mechanism: Some(MongoMechanism::ScramSha1),
            },
            MongoCredential {
                name: "reports".to_owned(),
                username: "reader".to_owned(),
                password: Secret::new("narrows".to_owned()),
                password_source: PasswordSource::Environment("CARGO_PKG_NAME".to_owned()),
                source: "admin".to_owned(),
                mechanism: None,
            },
        ],
        cursor_timeout: Duration::from_secs(1200),
        transaction_timeout: Duration::from_secs(300),
    }
}

fn default_pool() -> PoolConfig {
    PoolConfig {
        max_connections: 100,
        min_idle: 0,
        max_connecting: 2,
        max_waiting: 10_000,
        wait_timeout: Duration::from_secs(2),
        idle_timeout: Some(Duration::from_secs(600)),
        max_lifetime: Some(Duration::from_secs(3600)),
        max_long_waits: 25,
    }
}

fn default_mongo() -> MongoClusterConfig {
    MongoClusterConfig {
        topology: MongoTopology::Auto,
        local_threshold: Duration::from_millis(15),
        compressors: Vec::new(),
        credentials: Vec::new(),
        cursor_timeout: Duration::from_secs(660),
        transaction_timeout: Duration::from_secs(120),
    }
}

fn default_http() -> HttpClusterConfig {
    HttpClusterConfig {
        version: HttpVersion::Http1,
        max_streams: 100,
    }
}

fn problems(text: &str) -> ConfigError {
    match parse("narrows.yaml", text.trim_start_matches('\n')) {
        Ok(config) => panic!("taken: {config:?}"),
        Err(error) => error,
    }
}

#[test]
fn every_key_is_read() {
    assert_eq!(parse("narrows.yaml", FULL), Ok(full()));
    let windows = format!("\u{FEFF}{}", FULL.replace('\n', "\r\n"));
    assert_eq!(parse("narrows.yaml", &windows), Ok(full()));
}

#[test]
fn what_is_left_out_has_its_default() {
    let config = parse("narrows.yaml", MINIMAL).unwrap();
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:9900");
    assert!(config.workers >= 1);
    assert_eq!(config.drain_timeout, Duration::from_secs(30));
    assert_eq!(
        config.log,
        LogConfig {
            format: LogFormat::Text,
            level: LogLevel::Info
        }
    );
    assert_eq!(config.listeners[0].idle_timeout, None);
    assert_eq!(config.listeners[0].max_connections, None);
    assert_eq!(config.listeners[0].mongo_auth, MongoAuth::None);
    assert!(config.listeners[0].mongo_streams_hello);
    assert_eq!(config.clusters[0].connect_timeout, Duration::from_secs(5));
    assert_eq!(config.clusters[0].pool, default_pool());
    assert_eq!(config.clusters[0].mongo, default_mongo());
    assert!(config.stats.enabled);
    assert_eq!(config.stats.interval, Duration::from_secs(5));
    assert_eq!(config.stats.limits.collections, 1000);
    assert_eq!(config.stats.statsd, None);
    let tcp = parse("narrows.yaml", &MINIMAL.replace("mongo", "tcp")).unwrap();
    assert_eq!(
        tcp.listeners[0].idle_timeout,
        Some(Duration::from_secs(3600))
    );
}

#[test]
fn what_operators_are_shown_is_a_config_that_means_the_same() {
    for text in [FULL, MINIMAL] {
        let config = parse("narrows.yaml", text).unwrap();
        let shown = to_json(&config).to_string();
        assert_eq!(parse("shown", &shown), Ok(config));
    }
}

#[test]
fn a_reload_says_what_it_cannot_change() {
    let old = parse("narrows.yaml", MINIMAL).unwrap();
    assert_eq!(old.needs_restart(&old), Vec::<&str>::new());
    let new = parse("narrows.yaml", FULL).unwrap();
    assert_eq!(
        old.needs_restart(&Config {
            workers: old.workers + 1,
            ..new
        }),
        ["admin", "workers", "log", "stats"]
    );
    let moved = parse(
        "narrows.yaml",
        &MINIMAL.replace("27117", "27118").replace("27017", "27018"),
    )
    .unwrap();
    assert_eq!(old.needs_restart(&moved), Vec::<&str>::new());
}

#[test]
fn four_mistakes_are_four_problems_at_their_places() {
    let error = problems(
        "
listeners:
  - name: orders
    lisen: 127.0.0.1:27117
    listen: 127.0.0.1:27117
    protocol: mongo
    cluster: ordres
    idle_timeout: 5
clusters:
  - name: orders
    endpoints: [127.0.0.1:27017]
  - name: users
    endpoints: []
",
    );
    let places: Vec<_> = error
        .problems()
        .iter()
        .map(|problem| problem.position())
        .collect();
    assert_eq!(
        places,
        [Some((3, 5)), Some((6, 14)), Some((7, 19)), Some((12, 16))]
    );
    assert_snapshot!(error);
}

#[test]
fn unknown_keys() {
    assert_snapshot!(problems(&format!("{MINIMAL}
Admin: {{ listen: 127.0.0.1:1 }}
drain-timeout: 3s
statistics: {{}}
bandwidth: 5
stats: {{ limit: {{}}, limits: {{ callsites: 3 }}, statsd: {{ address: a:1, flavour: plain, password: hunter2 }} }}
")));
}

#[test]
fn wrong_types() {
    assert_snapshot!(problems("
admin: 127.0.0.1:9900
workers: many
drain_timeout: [30s]
log: [text]
listeners:
  - orders
  - name: { a: b }
    listen:
    protocol: ~
    cluster: null
    max_connections: -1
  - { name: a, listen: 127.0.0.1:1, protocol: tcp, cluster: a, max_connections: 99999999999999999999, mongo: tap }
clusters: 127.0.0.1:27017
stats: { enabled: yes, interval: {}, limits: { commands: 1.5, drivers: '5' }, statsd: }
"));
}

#[test]
fn missing_keys() {
    assert_snapshot!(problems(
        "
listeners:
  - name: a
  - { listen: 127.0.0.1:1 }
  - {}
clusters:
  - connect_timeout: 1s
stats:
  statsd: { prefix: a }
"
    ));
    assert_snapshot!("missing_everything", problems("# nothing here\n"));
    assert_snapshot!("empty_lists", problems("listeners: []\nclusters: []\n"));
}

#[test]
fn bad_values() {
    assert_snapshot!(problems("
admin: { listen: localhost:9900 }
workers: 0
drain_timeout: 10 minutes
log: { format: jsno, level: verbose }
listeners:
  - { name: a.b, listen: 127.0.0.1, protocol: mongodb, cluster: a }
  - { name: '', listen: '::1:80', protocol: htpp, cluster: a }
  - { name: c, listen: 127.0.0.1:70000, protocol: redis, cluster: a, max_connections: 2000000, redis: { mode: tapp, key_patterns: ['', 'a[b]'], hot_keys: 2000 }, mongo: {} }
  - { name: d, listen: 127.0.0.1:4, protocol: mongo, cluster: a, mongo: { mode: colapse } }
  - { name: e, listen: 127.0.0.1:5, protocol: tcp, cluster: a, mongo: { mode: tap }, idle_timeout: 9000h }
clusters:
  - { name: a, endpoints: [db1, 'db1:0', 'db 1:1', 'a:1,b:1', '::1:1', 'mongodb://db1:1'], connect_timeout: 0s }
stats:
  interval: 1ms
  limits: { commands: 0, collections: 1000001, call_sites: 0, applications: 0, error_codes: 0, drivers: 0 }
  statsd: { address: 'unix://relative', prefix: 'a|b', flavor: dogstatsd }
"));
}

#[test]
fn clashes() {
    assert_snapshot!(problems(
        "
listeners:
  - { name: a, listen: 127.0.0.1:1, protocol: tcp, cluster: a }
  - { name: a, listen: 127.0.0.1:2, protocol: tcp, cluster: b }
  - { name: b, listen: 127.0.0.1:1, protocol: tcp, cluster: a }
  - { name: c, listen: 0.0.0.0:2, protocol: tcp, cluster: a }
  - { name: d, listen: 127.0.0.1:9900, protocol: tcp, cluster: a }
  - { name: e, listen: 127.0.0.1:0, protocol: tcp, cluster: a }
  - { name: f, listen: 127.0.0.1:0, protocol: tcp, cluster: a }
  - { name: g, listen: '[::]:1', protocol: tcp, cluster: a }
clusters:
  - { name: a, endpoints: [db:1, db:2, db:1] }
  - { name: a, endpoints: [db:1] }
"
    ));
}

#[test]
fn what_yaml_allows_and_a_config_does_not() {
    assert_snapshot!(problems(
        "
log: &log { level: !!str info, level: debug }
workers: *log
? [a, b]
: c
<<: 5
listeners: []
clusters: []
"
    ));
    assert_snapshot!(
        "second_document",
        problems(&format!("{MINIMAL}---\nworkers: 1\n"))
    );
    assert_snapshot!("not_a_mapping", problems("- a\n- b\n"));
}

#[test]
fn a_syntax_error_is_one_problem() {
    assert_snapshot!(problems(
        "listeners:\n  - name: a\n   listen: b\nworkers: nonsense\n"
    ));
    assert_snapshot!(
        "unclosed_quote",
        problems("workers: 'three\nlisteners: []\n")
    );
    assert_snapshot!("tab", problems("log:\n\tlevel: info\n"));
    assert_snapshot!("control_character", problems("workers: 1\nlog: \0\n"));
}

#[test]
fn passwords_are_refused_and_never_shown() {
    let error = problems(
        &format!(
            "{MINIMAL}
  - name: users
    endpoints:
      - mongodb://root:hunter2@db1:27017,db2:27017/admin
      - mongodb://root:hun/ter@2@db1:27017   # hunter2@db2
      - root:hunter2@db1:27017
    user: hunter2@db
    password: hunter2
    uri: \"mongodb://root:hunter2@db1
      continued
stats: {{ statsd: {{ address: 'udp://root:hunter2@db1:8125' }} }}
"
        )
        .replace("\"mongodb", "mongodb"),
    );
    let printed = error.to_string();
    assert!(
        !printed.contains("hunter2") && !printed.contains("ter@2"),
        "{printed}"
    );
    assert_snapshot!(printed);
    let syntax = problems("endpoints: [mongodb://root:hunter2@db1:27017\n").to_string();
    assert!(!syntax.contains("hunter2"), "{syntax}");
}

#[test]
fn flags_are_checked_like_a_file() {
    let line = "narrows run --listen mongo://localhost:27117 --to db1,mongodb://root:hunter2@db2:27017 --workers 0 \
                --max-connections 32 --admin nowhere --statsd :0";
    let Command::Run(args) = Cli::try_parse_from(line.split_whitespace())
        .unwrap()
        .command
    else {
        panic!("not a run")
    };
    assert_snapshot!(args.resolve().unwrap_err());
}

#[test]
fn files() {
    let folder = tempfile::tempdir().unwrap();
    let write = |bytes: &[u8]| {
        let path = folder.path().join("narrows.yaml");
        std::fs::write(&path, bytes).unwrap();
        path
    };
    assert_eq!(load(&write(FULL.as_bytes())), Ok(full()));
    let refused = |path: PathBuf| {
        let printed = load(&path).unwrap_err().to_string();
        printed.replace(&folder.path().display().to_string(), "")
    };
    assert_snapshot!("not_utf8", refused(write(b"workers: 1\nlog: \xFF\n")));
    assert_snapshot!("too_large", refused(write(&vec![b'#'; (1 << 20) + 1])));
    assert_snapshot!("no_file", refused(folder.path().join("other.yaml")));
    assert_snapshot!("a_folder", refused(folder.path().to_owned()));
}

#[test]
fn limits_of_the_tree() {
    let deep = problems(&format!("a: {}", "[".repeat(70)));
    assert_eq!(deep.problems()[0].message(), "nested deeper than 64 levels");
    let many = problems(&format!("a: [{}]", "1,".repeat(200_000)));
    assert_eq!(many.problems()[0].message(), "more than 100000 values");
    let bomb = problems("a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n");
    assert!(
        bomb.problems()
            .iter()
            .any(|problem| problem.message().starts_with("aliases")),
        "{bomb}"
    );
}

#[test]
fn a_flood_of_problems_is_cut() {
    let unknown: String = (0..5000).map(|n| format!("key{n}: 1\n")).collect();
    let error = problems(&format!("{MINIMAL}{unknown}"));
    assert_eq!((error.total(), error.problems().len()), (5000, 100));
    assert!(
        error
            .to_string()
            .ends_with("... and 4900 more\n5000 problems in narrows.yaml; nothing was changed")
    );
}
