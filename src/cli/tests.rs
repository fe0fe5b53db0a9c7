use std::time::Duration;

use super::*;
use crate::config::{Endpoint, MongoAuth, MongoMode, Protocol, StatsdAddress, StatsdFlavor};

#[test]
fn the_definition_is_consistent() {
    use clap::CommandFactory as _;
    Cli::command().debug_assert();
}

#[test]
fn commands() {
    let run = |args| Command::Run(args);
    let cases: [(&str, Command); 6] = [
        (
            "run -c a.yaml",
            run(RunArgs {
                config: Some("a.yaml".into()),
                ..RunArgs::default()
            }),
        ),
        (
            "run --config a.yaml",
            run(RunArgs {
                config: Some("a.yaml".into()),
                ..RunArgs::default()
            }),
        ),
        (
            "check -c a.yaml",
            Command::Check(CheckArgs {
                config: "a.yaml".into(),
            }),
        ),
        ("schema", Command::Schema),
        (
            "user add --file u ann --credential app --mechanism SCRAM-SHA-1",
            Command::User(UserArgs {
                action: UserAction::Add(AddArgs {
                    file: "u".into(),
                    name: "ann".to_owned(),
                    credential: Some("app".to_owned()),
                    mechanism: vec![MechanismName::ScramSha1],
                    replace: false,
                }),
            }),
        ),
        (
            "run --listen mongo://127.0.0.1:1 --to a:2 --mode tap --max-connections 3 --workers 4 --admin b:5 --statsd c:6",
            run(RunArgs {
                config: None,
                listen: Some("mongo://127.0.0.1:1".to_owned()),
                to: Some("a:2".to_owned()),
                mode: Some("tap".to_owned()),
                max_connections: Some(3),
                workers: Some(4),
                admin: Some("b:5".to_owned()),
                statsd: Some("c:6".to_owned()),
            }),
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(parse(line).expect(line).command, expected, "{line}");
    }
}

#[test]
fn bad_usage_exits_with_2() {
    let cases = [
        "",
        "bogus",
        "run",
        "run -c a.yaml --listen mongo://127.0.0.1:1 --to a:2",
        "run -c a.yaml --to a:2",
        "run -c a.yaml --workers 2",
        "run --listen mongo://127.0.0.1:1",
        "run --to a:2",
        "run --listen tcp://127.0.0.1:1 --to a:2 --workers many",
        "run --listen tcp://127.0.0.1:1 --listen tcp://127.0.0.1:2 --to a:2",
        "check",
        "schema -c a.yaml",
        "user",
        "user add ann",
        "user add --file u",
        "user add --file u ann --mechanism PLAIN",
        "user remove --file u",
        "user list",
    ];
    for line in cases {
        assert_eq!(parse(line).expect_err(line).exit_code(), 2, "{line}");
    }
    for line in ["--version", "--help", "run --help"] {
        assert_eq!(parse(line).expect_err(line).exit_code(), 0, "{line}");
    }
}

#[test]
fn flags_make_one_listener_and_one_cluster() {
    let config =
        resolved("run --listen mongo://127.0.0.1:27117 --to db1:27017,[::1]:27018").unwrap();
    let [listener] = config.listeners.as_slice() else {
        panic!("{:?}", config.listeners)
    };
    assert_eq!(listener.name, "mongo");
    assert_eq!(listener.listen.to_string(), "127.0.0.1:27117");
    assert_eq!(listener.protocol, Protocol::Mongo(MongoMode::Tap));
    assert_eq!(listener.clusters, ["mongo"]);
    assert_eq!(listener.idle_timeout, None);
    let [cluster] = config.clusters.as_slice() else {
        panic!("{:?}", config.clusters)
    };
    assert_eq!(cluster.name, "mongo");
    let endpoint = |host: &str, port| Endpoint {
        host: host.to_owned(),
        port,
    };
    assert_eq!(
        cluster.endpoints,
        [endpoint("db1", 27017), endpoint("::1", 27018)]
    );
    assert_eq!(cluster.connect_timeout, Duration::from_secs(5));
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:9900");
    assert_eq!(config.stats.statsd, None);
}

#[test]
fn flags_replace_defaults() {
    let line = "run --listen tcp://[::1]:0 --to 10.0.0.1:80 --workers 3 --admin 0.0.0.0:1 --statsd localhost:8125";
    let config = resolved(line).unwrap();
    assert_eq!(config.listeners[0].protocol, Protocol::Tcp);
    assert_eq!(
        config.listeners[0].idle_timeout,
        Some(Duration::from_secs(3600))
    );
    assert_eq!(config.workers, 3);
    assert_eq!(config.admin.listen.to_string(), "0.0.0.0:1");
    let statsd = config.stats.statsd.unwrap();
    assert_eq!(
        statsd.address,
        StatsdAddress::Udp {
            host: "localhost".to_owned(),
            port: 8125
        }
    );
    assert_eq!(
        (statsd.prefix.as_str(), statsd.flavor),
        ("narrows", StatsdFlavor::Plain)
    );
}

#[test]
fn collapse_shares_connections() {
    let line = "run --listen mongo://127.0.0.1:27117 --to db1:27017 --mode collapse";
    let config = resolved(line).unwrap();
    let listener = &config.listeners[0];
    assert_eq!(listener.protocol, Protocol::Mongo(MongoMode::Collapse));
    assert_eq!(listener.mongo_auth, MongoAuth::None);
    assert_eq!(listener.idle_timeout, None);
    assert_eq!(config.clusters[0].pool.max_connections, 100);

    let config = resolved(&format!("{line} --max-connections 32")).unwrap();
    let pool = &config.clusters[0].pool;
    assert_eq!((pool.max_connections, pool.max_long_waits), (32, 8));
}

#[test]
fn http_is_a_proxy_unless_a_tap_is_asked_for() {
    let line = "run --listen http://127.0.0.1:8080 --to web1:80,web2:80";
    let config = resolved(line).unwrap();
    let listener = &config.listeners[0];
    assert_eq!(listener.protocol, Protocol::Http(HttpMode::Proxy));
    assert_eq!(
        (listener.name.as_str(), &listener.clusters[..]),
        ("http", &["http".to_owned()][..])
    );
    let http = listener.http.as_ref().unwrap();
    let names: Vec<_> = http.routes().map(|route| route.name.as_str()).collect();
    assert_eq!((http.mode, names), (HttpMode::Proxy, vec!["default"]));
    assert_eq!(config.clusters[0].pool.max_connections, 1024);

    let config = resolved(&format!("{line} --mode proxy --max-connections 32")).unwrap();
    assert_eq!(config.clusters[0].pool.max_connections, 32);

    let config = resolved(&format!("{line} --mode tap")).unwrap();
    let listener = &config.listeners[0];
    assert_eq!(listener.protocol, Protocol::Http(HttpMode::Tap));
    let http = listener.http.as_ref().unwrap();
    let names: Vec<_> = http.routes().map(|route| route.name.as_str()).collect();
    assert_eq!(names, ["default"]);
    assert_eq!(listener.clusters, ["http"]);
}

#[test]
fn what_is_not_there_yet_is_called_that() {
    let cases = [
        (
            "--listen redis://127.0.0.1:1 --mode proxy",
            "--mode: error: unknown mode `proxy` (available: tap, collapse)",
        ),
        (
            "--listen mongo://127.0.0.1:1 --mode proxy",
            "--mode: error: unknown mode `proxy` (available: tap, collapse)",
        ),
        (
            "--listen mongo://127.0.0.1:1 --mode colapse --max-connections 8",
            "--mode: error: unknown mode `colapse` (available: tap, collapse); did you mean `collapse`?",
        ),
        (
            "--listen mongo://127.0.0.1:1 --max-connections 8",
            "--max-connections: error: mode tap makes one upstream",
        ),
        (
            "--listen mongo://127.0.0.1:1 --mode tap --max-connections 8",
            "--max-connections: error: mode tap makes one upstream",
        ),
        (
            "--listen mongo://127.0.0.1:1 --mode collapse --max-connections 0",
            "--max-connections: error: has to be at least 1",
        ),
        (
            "--listen tcp://127.0.0.1:1 --mode tap",
            "--mode: error: protocol tcp has no modes",
        ),
        (
            "--listen tcp://127.0.0.1:1 --max-connections 8",
            "--max-connections: error: protocol tcp makes one",
        ),
        (
            "--listen http://127.0.0.1:1 --mode collapse --max-connections 8",
            "--mode: error: unknown mode `collapse` (available: tap, proxy)",
        ),
        (
            "--listen http://127.0.0.1:1 --mode tap --max-connections 8",
            "--max-connections: error: mode tap makes one upstream",
        ),
        (
            "--listen monog://127.0.0.1:1",
            "(available: http, mongo, redis, tcp); did you mean `mongo`?",
        ),
        (
            "--listen 127.0.0.1:1",
            "--listen: error: `127.0.0.1:1` is not of the form PROTOCOL://HOST:PORT",
        ),
    ];
    for (flags, expected) in cases {
        let error = resolved(&format!("run {flags} --to db:1")).expect_err(flags);
        assert_eq!(error.total(), 1, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("narrows").chain(line.split_whitespace()))
}

fn resolved(line: &str) -> Result<Config, ConfigError> {
    match parse(line).expect(line).command {
        Command::Run(args) => args.resolve(),
        other => panic!("{other:?}"),
    }
}
