//! TLS: files are read and checked with the config that names them.

use insta::assert_snapshot;
use narrows::config::{Config, ConfigError, parse, to_json};
use narrows::tls::{ClientCertificates, Version};

use super::{FULL, problems};

const CERTIFICATE: &str =
    "{ certificate: tests/config/tls/certificate.pem, key: tests/config/tls/key.pem }";

fn with(listener: &str, cluster: &str) -> String {
    format!(
        "\
listeners:
  - name: edge
    listen: 127.0.0.1:27117
    protocol: tcp
    cluster: shop
{listener}
clusters:
  - name: shop
    endpoints: [db1:27017]
{cluster}
"
    )
}

fn listener(tls: &str) -> Config {
    parse("narrows.yaml", &with(&format!("    tls: {tls}"), "")).unwrap()
}

fn cluster(tls: &str) -> Config {
    parse("narrows.yaml", &with("", &format!("    tls: {tls}"))).unwrap()
}

fn cluster_problems(tls: &str) -> ConfigError {
    problems(&with("", &format!("    tls: {tls}")))
}

#[test]
fn what_is_written_is_what_is_in_force() {
    let config = parse("narrows.yaml", FULL).unwrap();
    let listener = config.listeners[0].tls.as_ref().unwrap().settings();
    let ClientCertificates::Required(authorities) = &listener.clients else {
        panic!("{:?}", listener.clients)
    };
    assert_eq!(
        authorities.facts[0].identity(),
        Some("Narrows test authority")
    );
    assert_eq!(listener.min_version, Version::Tls13);
    assert_eq!(listener.alpn, ["mongodb"]);
    let facts = &listener.certificates[0].facts;
    assert_eq!(facts.common_name.as_deref(), Some("shop.example"));
    let names: Vec<_> = facts
        .alternative_names
        .iter()
        .map(|name| name.value.as_str())
        .collect();
    assert_eq!(names, ["shop.example", "*.shop.example"]);

    let cluster = config.clusters[0].tls.as_ref().unwrap().settings();
    assert_eq!(cluster.server_name.as_deref(), Some("shop.example"));
    assert!(cluster.authorities.as_ref().unwrap().file.is_some());
    assert_eq!(cluster.certificate.as_ref().unwrap().facts, *facts);
    let unverified = config.clusters[1].tls.as_ref().unwrap().settings();
    assert!(unverified.authorities.is_none());
}

#[test]
fn a_certificate_is_all_that_a_listener_needs() {
    for version in ["1.2", "'1.2'", "\"1.2\""] {
        let config = listener(&format!(
            "{{ certificates: [{CERTIFICATE}], min_version: {version} }}"
        ));
        let settings = config.listeners[0].tls.as_ref().unwrap().settings();
        assert_eq!(settings.clients, ClientCertificates::None);
        assert_eq!(settings.min_version, Version::Tls12);
        assert_eq!(settings.alpn, Vec::<String>::new());
        let shown = to_json(&config);
        let tls = &shown["listeners"][0]["tls"];
        assert_eq!(tls["client_certificates"], "none");
        assert_eq!(tls["min_version"], "1.2");
    }
}

#[test]
fn an_empty_mapping_is_tls_with_what_the_machine_trusts() {
    let config = cluster("{}");
    let settings = config.clusters[0].tls.as_ref().unwrap().settings();
    let authorities = settings.authorities.as_ref().unwrap();
    assert_eq!(authorities.file, None);
    assert_eq!(settings.server_name, None);
    assert_eq!(to_json(&config)["clusters"][0]["tls"]["verify"], true);
}

#[test]
fn bad_listeners() {
    assert_snapshot!(problems(
        "
listeners:
  - { name: a, listen: 127.0.0.1:1, protocol: tcp, cluster: a, tls: {} }
  - { name: b, listen: 127.0.0.1:2, protocol: tcp, cluster: a, tls: { certificates: [] } }
  - name: c
    listen: 127.0.0.1:3
    protocol: tcp
    cluster: a
    tls:
      certificates:
        - {}
        - { certificate: no/such/file, key: no/such/file }
        - { certificate: tests/config/tls, key: /dev/zero }
        - { certificate: tests/config/tls/key.pem, key: tests/config/tls/certificate.pem }
        - { certificate: tests/config/main.rs, key: tests/config/main.rs }
        - { certificate: tests/config/tls/certificate.pem, key: tests/config/tls/other.key.pem }
        - { certificate: tests/config/tls/certificate.pem, key: tests/config/tls/encrypted.pem }
        - certificate: tests/config/tls/certificate.pem
          key: |
            -----BEGIN PRIVATE KEY-----
            c2VjcmV0
            -----END PRIVATE KEY-----
        - { certificate: tests/config/tls/certificate.pem, keys: tests/config/tls/key.pem }
  - name: d
    listen: 127.0.0.1:4
    protocol: tcp
    cluster: a
    tls:
      certificates: [{ certificate: tests/config/tls/certificate.pem, key: tests/config/tls/key.pem }]
      client_certificates: needed
      client_ca: tests/config/tls/ca.pem
      min_version: 1.1
      alpn: ['', h2, h2]
  - name: e
    listen: 127.0.0.1:5
    protocol: tcp
    cluster: a
    tls:
      certificates: [{ certificate: tests/config/tls/certificate.pem, key: tests/config/tls/key.pem }]
      client_ca: tests/config/tls/ca.pem
  - name: f
    listen: 127.0.0.1:6
    protocol: tcp
    cluster: a
    tls:
      certificates: [{ certificate: tests/config/tls/certificate.pem, key: tests/config/tls/key.pem }]
      client_certificates: optional
  - name: g
    listen: 127.0.0.1:7
    protocol: tcp
    cluster: a
    tls:
      certificates: [{ certificate: tests/config/tls/certificate.pem, key: tests/config/tls/key.pem }]
      client_certificates: required
      client_ca: tests/config/tls/key.pem
clusters:
  - { name: a, endpoints: [127.0.0.1:27017] }
"
    ));
}

#[test]
fn bad_clusters() {
    for (tls, message) in [
        (
            "{ verify: false, ca: tests/config/tls/ca.pem }",
            "leave out one of them",
        ),
        ("{ ca: no/such/file }", "cannot be read"),
        ("{ server_name: 'a b' }", "not a host name"),
        (
            "{ certificate: tests/config/tls/certificate.pem }",
            "missing key `key`",
        ),
        (
            "{ key: tests/config/tls/key.pem }",
            "missing key `certificate`",
        ),
        (
            "{ certificate: tests/config/tls/certificate.pem, key: tests/config/tls/other.key.pem }",
            "not that of the certificate",
        ),
        ("{ min_version: '1.0' }", "unknown version of TLS"),
        ("{ verify: perhaps }", "expected `true` or `false`"),
        ("{ verfy: true }", "did you mean `verify`"),
    ] {
        let error = cluster_problems(tls);
        let [problem] = error.problems() else {
            panic!("{error}")
        };
        assert!(problem.message().contains(message), "{tls}: {error}");
    }
}

#[test]
fn nothing_of_a_key_is_shown() {
    let config = parse("narrows.yaml", FULL).unwrap();
    let key = std::fs::read_to_string("tests/config/tls/key.pem").unwrap();
    let secret = key.lines().nth(1).unwrap();
    for told in [
        to_json(&config).to_string(),
        format!("{config:?}"),
        format!("{config:#?}"),
    ] {
        assert!(told.contains("tests/config/tls/key.pem"), "{told}");
        assert!(!told.contains(secret), "{told}");
    }
}

#[test]
fn another_key_in_the_same_file_is_another_config() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let text = with(
        &format!(
            "    tls: {{ certificates: [{{ certificate: '{}', key: '{}' }}] }}",
            path("certificate.pem"),
            path("key.pem")
        ),
        &format!("    tls: {{ ca: '{}' }}", path("ca.pem")),
    );
    let make = |name: &str| {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        std::fs::write(path("certificate.pem"), made.cert.pem()).unwrap();
        std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).unwrap();
        std::fs::write(path("ca.pem"), made.cert.pem()).unwrap();
        parse("narrows.yaml", &text).unwrap()
    };
    let first = make("shop.example");
    assert_eq!(parse("narrows.yaml", &text).unwrap(), first);
    let second = make("shop.example");
    assert_ne!(second.listeners[0].tls, first.listeners[0].tls);
    assert_ne!(second.clusters[0].tls, first.clusters[0].tls);
    assert_eq!(first.needs_restart(&second), Vec::<&str>::new());
}
