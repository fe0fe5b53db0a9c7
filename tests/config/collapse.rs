//! The settings of mode collapse: who may use it, what it shares, and who it is to the servers.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use insta::assert_snapshot;
use narrows::config::{ConfigError, MongoAuth, MongoMode, Protocol, parse, to_json};
use tempfile::TempDir;

use super::{FULL, problems};

/// What stands behind it is the listener's `mongo`, then the cluster's own keys.
fn with(listener: &str, cluster: &str) -> String {
    format!(
        "\
listeners:
  - name: orders
    listen: 127.0.0.1:27117
    protocol: mongo
    cluster: orders
    mongo: {listener}
clusters:
  - name: orders
    endpoints: [127.0.0.1:27017]
{cluster}"
    )
}

fn cluster_problems(cluster: &str) -> ConfigError {
    problems(&with("{ mode: collapse }", cluster))
}

#[test]
fn who_may_use_a_listener() {
    for listener in ["{ mode: collapse }", "{ mode: collapse, auth: none }"] {
        let config = parse("narrows.yaml", &with(listener, "")).unwrap();
        let listener = &config.listeners[0];
        assert_eq!(listener.protocol, Protocol::Mongo(MongoMode::Collapse));
        assert_eq!(listener.mongo_auth, MongoAuth::None);
        assert_eq!(listener.idle_timeout, None);
    }
    assert_snapshot!(problems(
        "
listeners:
  - { name: a, listen: 127.0.0.1:1, protocol: mongo, cluster: a, mongo: { mode: tap, auth: none } }
  - { name: b, listen: 127.0.0.1:2, protocol: mongo, cluster: a, mongo: { auth: scram, users_file: hunter2 } }
  - { name: c, listen: 127.0.0.1:3, protocol: mongo, cluster: a, mongo: { mode: collapse, auth: scram } }
  - { name: d, listen: 127.0.0.1:4, protocol: mongo, cluster: a, mongo: { mode: collapse, users_file: tests/config/users } }
  - { name: e, listen: 127.0.0.1:5, protocol: mongo, cluster: a, mongo: { mode: collapse, auth: scram, users_file: no/such/file } }
  - { name: f, listen: 127.0.0.1:6, protocol: mongo, cluster: a, mongo: { mode: collapse, auth: scram, users_file: tests } }
  - { name: g, listen: 127.0.0.1:7, protocol: mongo, cluster: a, mongo: { mode: collapse, auth: scrum, users_file: '' } }
  - { name: h, listen: 127.0.0.1:8, protocol: mongo, cluster: a, mongo: { mode: colapse, auth: scram } }
  - { name: i, listen: 127.0.0.1:9, protocol: mongo, cluster: a, mongo: { mode: [], auth: {}, users: a } }
  - { name: j, listen: 127.0.0.1:10, protocol: tcp, cluster: a, mongo: { mode: collapse, auth: scram } }
clusters:
  - { name: a, endpoints: [127.0.0.1:27017] }
"
    ));
}

#[test]
fn hellos_are_streamed_unless_the_config_says_otherwise() {
    for (listener, streams) in [
        ("{ mode: collapse }", true),
        ("{ mode: collapse, hello: stream }", true),
        ("{ mode: collapse, hello: poll }", false),
    ] {
        let config = parse("narrows.yaml", &with(listener, "")).unwrap();
        assert_eq!(config.listeners[0].mongo_streams_hello, streams);
        let shown = to_json(&config);
        let word = if streams { "stream" } else { "poll" };
        assert_eq!(shown["listeners"][0]["mongo"]["hello"], word);
    }
    for (listener, message) in [
        ("{ hello: stream }", "hello belongs to mode collapse"),
        ("{ mode: collapse, hello: steam }", "did you mean `stream`?"),
    ] {
        let error = problems(&with(listener, ""));
        let [problem] = error.problems() else {
            panic!("{error}")
        };
        assert!(problem.message().contains(message), "{error}");
    }
}

#[test]
fn users_name_credentials_that_the_cluster_has() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("users");
    let users = std::fs::read_to_string("tests/config/users").unwrap();
    std::fs::write(&path, users.replace("\nann ", "\nann reports ")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let listener = format!(
        "{{ mode: collapse, auth: scram, users_file: '{}' }}",
        path.display()
    );
    let cluster = |name: &str| {
        format!(
            "    mongo: {{ credentials: [{{ name: {name}, username: a, password_env: CARGO_PKG_NAME }}] }}\n"
        )
    };
    parse("narrows.yaml", &with(&listener, &cluster("reports"))).unwrap();
    for cluster in [cluster("report"), String::new()] {
        let error = problems(&with(&listener, &cluster));
        let [problem] = error.problems() else {
            panic!("{error}")
        };
        let missing = "the cluster has no credential `reports`";
        assert!(problem.message().contains(missing), "{error}");
        assert_eq!(problem.position(), Some((6, 55)), "{error}");
    }
    // One whose own name can't be read may be the one that is meant.
    let error = problems(&with(&listener, &cluster("a.b")));
    assert!(!error.to_string().contains("no credential"), "{error}");
}

#[test]
fn bad_pools() {
    assert_snapshot!(cluster_problems(
        "    pool:
      max_connections: 0
      min_idle: 2000000
      max_connecting: 0
      max_waiting: 2000000
      wait_timeout: 0s
      idle_timeout: 5
      max_lifetime: never
      max_long_waits: 0
      max_conections: 5
"
    ));
    assert_snapshot!(
        "bounds_of_a_pool_against_each_other",
        problems(
            "
listeners:
  - { name: a, listen: 127.0.0.1:1, protocol: mongo, cluster: a, mongo: { mode: collapse } }
clusters:
  - name: a
    endpoints: [127.0.0.1:27017]
    pool: { max_connections: 8, min_idle: 9, max_long_waits: 8 }
  - name: b
    endpoints: [127.0.0.1:27017]
    pool: { max_connections: 1, max_long_waits: 2 }
  - name: c
    endpoints: [127.0.0.1:27017]
    pool: { min_idle: 101, max_long_waits: 100 }
  - name: d
    endpoints: [127.0.0.1:27017]
    pool: { max_connections: many, min_idle: 101, max_long_waits: 100 }
"
        )
    );
}

#[test]
fn the_share_of_long_waits_follows_the_size_of_the_pool() {
    for (max, share) in [(1, 1), (2, 1), (7, 1), (8, 2), (32, 8), (1000, 250)] {
        let cluster = format!("    pool: {{ max_connections: {max} }}\n");
        let config = parse("narrows.yaml", &with("{ mode: collapse }", &cluster)).unwrap();
        assert_eq!(config.clusters[0].pool.max_long_waits, share, "{max}");
    }
    let cluster =
        "    pool: { max_connections: 1, min_idle: 1, max_waiting: 0, max_long_waits: 1 }\n";
    let config = parse("narrows.yaml", &with("{ mode: collapse }", cluster)).unwrap();
    assert_eq!(config.clusters[0].pool.max_waiting, 0);
}

#[test]
fn zero_is_never_where_that_makes_sense() {
    let cluster =
        "    pool: { idle_timeout: 0s, max_lifetime: 0s }\n    mongo: { local_threshold: 0s }\n";
    let config = parse("narrows.yaml", &with("{ mode: collapse }", cluster)).unwrap();
    let cluster = &config.clusters[0];
    assert_eq!(cluster.pool.idle_timeout, None);
    assert_eq!(cluster.pool.max_lifetime, None);
    assert_eq!(cluster.mongo.local_threshold, Duration::ZERO);
}

#[test]
fn bad_mongo_clusters() {
    assert_snapshot!(cluster_problems(
        "    mongo:
      topology: replicaset
      local_threshold: 15
      compression: [snapy, zlib, lz4, zlib, [zstd]]
      cursor_timeout: 0s
      transaction_timeout: 0s
      credentials: narrows
      local_treshold: 1s
"
    ));
}

#[test]
fn bad_credentials() {
    assert_snapshot!(cluster_problems(
        "    mongo:
      credentials:
        - {}
        - name: a.b
          username: ''
          password_file: no/such/file
          source: ''
          mechanism: SCRAM-SHA256
        - name: app
          username: \"a\\0b\"
          password_env: NARROWS_TEST_THAT_IS_NOT_SET
          source: $external
        - name: app
          username: narrows
          password_file: tests/config/password
          password_env: CARGO_PKG_NAME
          mechanism: PLAIN
        - name: folder
          username: narrows
          password_file: tests
        - name: lines
          username: narrows
          password_file: tests/config/main.rs
        - name: empty
          username: narrows
          password_file: /dev/null
        - name: nothing
          username: narrows
          password_env: ''
"
    ));
}

#[test]
fn a_password_is_refused_where_its_place_is_wanted() {
    let error = cluster_problems(
        "    mongo:
      credentials:
        - name: written
          username: narrows
          password: hunter2
        - { name: flow, username: narrows, pwd: hunter2, source: admin }
        - name: file
          username: narrows
          password_file: hunter2
        - name: env
          username: narrows
          password_env: hunter2
        - name: quoted
          username: narrows
          Password: 'hunter2'
          password_flie: hunter2
        - name: url
          username: narrows:hunter2@db1
          source: narrows:hunter2@db1/admin
          password_file: mongodb://narrows:hunter2@db1
        - { name: list, username: narrows, password_file: [hunter2] }
",
    );
    let printed = error.to_string();
    assert!(!printed.contains("hunter2"), "{printed}");
    assert_snapshot!(printed);
}

#[test]
fn a_password_that_was_read_is_not_shown() {
    let config = parse("narrows.yaml", FULL).unwrap();
    let shown = to_json(&config).to_string();
    let credentials = &config.clusters[0].mongo.credentials;
    assert_eq!(credentials[0].password.reveal(), "pl4nted");
    for told in [shown, format!("{config:?}"), format!("{config:#?}")] {
        assert!(told.contains("tests/config/password"), "{told}");
        assert!(!told.contains("pl4nted"), "{told}");
    }
}

#[test]
fn settings_of_the_pool_are_for_clusters_that_have_one() {
    let text = |protocol: &str| {
        format!(
            "
listeners:
  - {{ name: a, listen: 127.0.0.1:1, protocol: tcp, cluster: a }}
  - {{ name: b, listen: 127.0.0.1:2, protocol: {protocol}, cluster: a }}
clusters:
  - {{ name: a, endpoints: [127.0.0.1:27017], pool: {{ max_connections: 8 }}, mongo: {{ topology: routers }} }}
  - {{ name: unused, endpoints: [127.0.0.1:27017], pool: {{ max_connections: 8 }} }}
"
        )
    };
    let config = parse("narrows.yaml", &text("mongo")).unwrap();
    let shown = to_json(&config);
    assert_eq!(shown["clusters"][0]["pool"]["max_connections"], 8);
    assert_eq!(shown["clusters"][1]["pool"]["max_connections"], 8);
    assert_snapshot!(problems(&text("tcp")));
}

#[test]
fn a_reload_can_change_all_of_it() {
    let old = parse("narrows.yaml", &with("{ mode: tap }", "")).unwrap();
    let new = with(
        "{ mode: collapse, auth: scram, users_file: tests/config/users }",
        "    pool: { max_connections: 8 }
    mongo: { credentials: [{ name: a, username: a, password_env: CARGO_PKG_NAME }] }
",
    );
    let new = parse("narrows.yaml", &new).unwrap();
    assert_eq!(old.needs_restart(&new), Vec::<&str>::new());
}
