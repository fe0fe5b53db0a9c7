//! TLS with clients, by OpenSSL and by rustls: who is shown which certificate, who is let in, and what is counted.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout
)]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::certificates::{Authority, Files, Valid};
use support::openssl::{alpn, s_client};
use support::peer::{connect, echo, scripted};
use support::proxy::Proxy;
use support::{eventually, tls};

/// A listener `edge` with these settings of TLS, in front of `upstream`.
fn config(tls: &str, upstream: SocketAddr) -> String {
    format!(
        "listeners:\n  - {{ name: edge, listen: 127.0.0.1:0, protocol: tcp, cluster: plain, tls: {{ {tls} }} }}\n\
         clusters:\n  - {{ name: plain, endpoints: ['{upstream}'] }}\n"
    )
}

fn start(tls: &str, upstream: SocketAddr) -> (Proxy, SocketAddr) {
    // Identities are a matter of the debug log.
    let proxy = Proxy::start(&format!(
        "log: {{ level: debug }}\n{}",
        config(tls, upstream)
    ));
    let address = proxy.address("edge");
    (proxy, address)
}

fn certificates(files: &[&Files]) -> String {
    let listed: Vec<_> = files.iter().map(|files| files.listed()).collect();
    format!("certificates: [{}]", listed.join(", "))
}

#[track_caller]
fn expect(proxy: &Proxy, stats: &[(&str, i64)]) {
    for (name, value) in stats {
        let name = format!("listener.edge.ssl.{name}");
        eventually(&format!("{name} is {value}"), || {
            (proxy.stats().value(&name) == *value).then_some(())
        });
    }
}

#[test]
fn the_server_name_picks_the_certificate() {
    let authority = Authority::new("authority");
    let first = authority.issue(&["shop.example", "www.shop.example"]);
    let second = authority.issue(&["pay.example"]);
    let wildcard = authority.issue(&["*.dev.example"]);
    let (proxy, address) = start(&certificates(&[&first, &second, &wildcard]), echo());
    for (asked, shown) in [
        ("shop.example", "shop.example"),
        ("www.shop.example", "shop.example"),
        ("pay.example", "pay.example"),
        ("PAY.example", "pay.example"),
        ("a.dev.example", "*.dev.example"),
        // A wildcard is for one label, and not for its parent.
        ("a.b.dev.example", "shop.example"),
        ("dev.example", "shop.example"),
        ("other.example", "shop.example"),
    ] {
        let said = s_client(address, &["-servername", asked]);
        assert_eq!(
            said.common_name().as_deref(),
            Some(shown),
            "{asked}: {}",
            said.text
        );
    }
    let said = s_client(address, &["-noservername"]);
    assert_eq!(said.common_name().as_deref(), Some("shop.example"));
    expect(
        &proxy,
        &[
            ("handshake", 9),
            ("no_certificate", 9),
            ("versions.TLSv1.3.total", 9),
        ],
    );
}

#[test]
fn the_whole_chain_is_verified_by_openssl() {
    let authority = Authority::new("authority");
    let files = authority.issue(&["shop.example"]);
    let (_proxy, address) = start(&certificates(&[&files]), echo());
    let ca = authority.file();
    let arguments = [
        "-CAfile",
        ca.to_str().unwrap(),
        "-verify_hostname",
        "shop.example",
    ];
    let arguments = [
        &arguments[..],
        &["-servername", "shop.example", "-verify_return_error"],
    ]
    .concat();
    let said = s_client(address, &arguments);
    assert!(said.success, "{}", said.text);
    assert!(
        said.text.contains("Verify return code: 0 (ok)"),
        "{}",
        said.text
    );
}

#[test]
fn clients_have_to_show_a_good_certificate_where_it_is_required() {
    let authority = Authority::new("authority");
    let stranger = Authority::new("authority");
    let server = authority.issue(&["shop.example"]);
    let clients = Authority::new("clients");
    let settings = format!(
        "{}, client_certificates: required, client_ca: '{}'",
        certificates(&[&server]),
        clients.file().display()
    );
    let (proxy, address) = start(&settings, echo());
    let served = |files: Option<&Files>| {
        let config = tls::client(&authority.file(), files);
        let mut stream = tls::stream(&config, address, "shop.example");
        let mut answer = [0; 5];
        stream
            .write_all(b"hello")
            .and_then(|()| stream.read_exact(&mut answer))
            .map(|()| answer)
    };

    let good = clients.issue(&["billing"]);
    assert_eq!(served(Some(&good)).unwrap(), *b"hello");
    proxy.expect_logged("client=\"billing\"");
    expect(
        &proxy,
        &[
            ("handshake", 1),
            ("no_certificate", 0),
            ("connection_error", 0),
        ],
    );

    assert!(served(None).is_err());
    expect(
        &proxy,
        &[
            ("fail_verify_no_cert", 1),
            ("failures.no_certificate.total", 1),
        ],
    );

    let expired = clients.issue_valid(&["old"], Valid::UntilLastYear);
    assert!(served(Some(&expired)).is_err());
    expect(
        &proxy,
        &[("fail_verify_error", 1), ("failures.expired.total", 1)],
    );
    proxy.expect_logged("the peer's certificate has expired");

    let early = clients.issue_valid(&["early"], Valid::FromNextCentury);
    assert!(served(Some(&early)).is_err());
    expect(
        &proxy,
        &[
            ("fail_verify_error", 2),
            ("failures.not_yet_valid.total", 1),
        ],
    );

    let unknown = stranger.issue(&["billing"]);
    assert!(served(Some(&unknown)).is_err());
    expect(
        &proxy,
        &[
            ("fail_verify_error", 3),
            ("failures.unknown_authority.total", 1),
        ],
    );
    proxy.expect_logged("not from an authority that is known here");

    // OpenSSL is told why.
    let (certificate, key) = (expired.certificate.display(), expired.key.display());
    let shown = [
        "-cert",
        &certificate.to_string(),
        "-key",
        &key.to_string(),
        "-tls1_2",
    ];
    let said = s_client(address, &shown);
    assert!(
        !said.success && said.text.contains("certificate expired"),
        "{}",
        said.text
    );

    assert_eq!(served(Some(&good)).unwrap(), *b"hello");
    expect(&proxy, &[("handshake", 2), ("connection_error", 0)]);
    // Nobody takes up a session unverified.
    expect(&proxy, &[("session_reused", 0)]);
}

#[test]
fn clients_may_show_a_certificate_where_it_is_optional() {
    let authority = Authority::new("authority");
    let server = authority.issue(&["shop.example"]);
    let settings = format!(
        "{}, client_certificates: optional, client_ca: '{}'",
        certificates(&[&server]),
        authority.file().display()
    );
    let (proxy, address) = start(&settings, echo());
    assert!(s_client(address, &[]).success);
    expect(&proxy, &[("handshake", 1), ("no_certificate", 1)]);
    let shown = |files: &Files| {
        let (certificate, key) = (files.certificate.display(), files.key.display());
        s_client(
            address,
            &[
                "-cert",
                &certificate.to_string(),
                "-key",
                &key.to_string(),
                "-tls1_2",
            ],
        )
    };
    assert!(shown(&authority.issue(&["reports"])).success);
    expect(&proxy, &[("handshake", 2), ("no_certificate", 1)]);
    proxy.expect_logged("client=\"reports\"");
    let stranger = Authority::new("stranger");
    assert!(!shown(&stranger.issue(&["reports"])).success);
    expect(&proxy, &[("handshake", 2), ("fail_verify_error", 1)]);
}

#[test]
fn versions_are_those_that_the_config_allows() {
    let authority = Authority::new("authority");
    let files = authority.issue(&["shop.example"]);
    let (proxy, address) = start(&certificates(&[&files]), echo());
    for version in ["-tls1_2", "-tls1_3"] {
        let said = s_client(address, &[version]);
        assert!(said.success, "{}", said.text);
    }
    // OpenSSL's own policy has to let it try.
    let said = s_client(address, &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]);
    assert!(!said.success, "{}", said.text);
    expect(
        &proxy,
        &[
            ("versions.TLSv1.2.total", 1),
            ("versions.TLSv1.3.total", 1),
            ("failures.no_shared_version.total", 1),
            ("connection_error", 1),
        ],
    );

    let (proxy, address) = start(
        &format!("{}, min_version: '1.3'", certificates(&[&files])),
        echo(),
    );
    assert!(s_client(address, &["-tls1_3"]).success);
    let said = s_client(address, &["-tls1_2"]);
    assert!(
        !said.success && said.text.contains("protocol version"),
        "{}",
        said.text
    );
    expect(
        &proxy,
        &[("handshake", 1), ("failures.no_shared_version.total", 1)],
    );
}

#[test]
fn application_protocols_are_agreed_on() {
    let authority = Authority::new("authority");
    let files = authority.issue(&["shop.example"]);
    let (proxy, address) = start(
        &format!("{}, alpn: [h2, http/1.1]", certificates(&[&files])),
        echo(),
    );
    assert_eq!(alpn(address, "http/1.1,h2").as_deref(), Some("h2"));
    assert_eq!(alpn(address, "http/1.1").as_deref(), Some("http/1.1"));
    assert!(s_client(address, &[]).text.contains("No ALPN negotiated"));
    assert_eq!(alpn(address, "spdy/1"), None);
    expect(
        &proxy,
        &[("handshake", 3), ("failures.no_shared_protocol.total", 1)],
    );
    proxy.expect_logged("alpn=\"h2\"");

    // Where none are configured, what is offered is not looked at.
    let (_proxy, address) = start(&certificates(&[&files]), echo());
    let said = s_client(address, &["-alpn", "h2"]);
    assert!(
        said.success && said.text.contains("No ALPN negotiated"),
        "{}",
        said.text
    );
}

#[test]
fn a_session_is_taken_up_again() {
    let authority = Authority::new("authority");
    let files = authority.issue(&["shop.example"]);
    let (proxy, address) = start(&certificates(&[&files]), echo());
    let folder = tempfile::tempdir().unwrap();
    let session = folder.path().join("session").display().to_string();
    let first = s_client(address, &["-tls1_2", "-sess_out", &session]);
    assert!(first.text.contains("New, TLSv1.2"), "{}", first.text);
    let again = s_client(address, &["-tls1_2", "-sess_in", &session]);
    assert!(again.text.contains("Reused, TLSv1.2"), "{}", again.text);
    expect(&proxy, &[("session_reused", 1)]);
    let config = tls::client(&authority.file(), None);
    for _ in 0..2 {
        let mut stream = tls::stream(&config, address, "shop.example");
        stream.write_all(b"x").unwrap();
        // Tickets of TLS 1.3 come with the first bytes.
        stream.read_exact(&mut [0]).unwrap();
    }
    expect(&proxy, &[("session_reused", 2)]);
    expect(&proxy, &[("handshake", 4)]);
}

#[test]
fn what_is_no_tls_is_turned_away_and_others_are_served_meanwhile() {
    let authority = Authority::new("authority");
    let files = authority.issue(&["shop.example"]);
    let (proxy, address) = start(&certificates(&[&files]), echo());
    let mut silent = connect(address);
    let mut slow = connect(address);
    slow.write_all(&[22, 3, 1]).unwrap();
    let begun = Instant::now();

    let mut plain = connect(address);
    plain
        .write_all(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    // An alert, or a reset if the rest of the request came too late to be read.
    let _ = plain.read_to_end(&mut answer);
    assert!(answer.first().is_none_or(|kind| *kind == 21), "{answer:?}");
    expect(&proxy, &[("failures.not_tls.total", 1)]);
    drop(connect(address));
    expect(&proxy, &[("failures.closed.total", 1)]);
    assert!(s_client(address, &[]).success);

    // Those who do not get to the point are sent away after ten seconds.
    for stream in [&mut silent, &mut slow] {
        let _ = stream.read(&mut [0]);
    }
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_secs(9), "{waited:?}");
    expect(
        &proxy,
        &[
            ("failures.timed_out.total", 2),
            ("connection_error", 4),
            ("handshake", 1),
        ],
    );
    eventually("nobody is left", || {
        (proxy.stats().value("listener.edge.downstream_cx_active") == 0).then_some(())
    });
}

#[test]
fn a_stream_that_is_cut_is_a_reset_upstream_and_one_that_ends_is_an_end() {
    let (tell, ended) = mpsc::channel();
    let upstream = scripted(move |mut stream| {
        let result = stream.read_to_end(&mut Vec::new());
        tell.send(result.map_err(|error| error.kind())).unwrap();
    });
    let authority = Authority::new("authority");
    let files = authority.issue(&["shop.example"]);
    let (_proxy, address) = start(&certificates(&[&files]), upstream);
    let config = tls::client(&authority.file(), None);

    let mut stream = tls::stream(&config, address, "shop.example");
    stream.write_all(b"all of it").unwrap();
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    assert_eq!(ended.recv().unwrap(), Ok(9));

    let mut stream = tls::stream(&config, address, "shop.example");
    stream.write_all(b"a part of").unwrap();
    stream.sock.shutdown(Shutdown::Write).unwrap();
    assert_eq!(ended.recv().unwrap(), Err(ErrorKind::ConnectionReset));
}

#[test]
fn a_client_is_told_that_the_end_is_the_end() {
    let authority = Authority::new("authority");
    let files = authority.issue(&["shop.example"]);
    let upstream = scripted(|mut stream| stream.write_all(b"bye").unwrap());
    let (_proxy, address) = start(&certificates(&[&files]), upstream);
    let config = tls::client(&authority.file(), None);
    let mut stream = tls::stream(&config, address, "shop.example");
    let mut answer = Vec::new();
    // Without an announcement this would be an error.
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"bye");

    let idle = config_with_idle_timeout(&files);
    let proxy = Proxy::start(&idle);
    let mut stream = tls::stream(&config, proxy.address("edge"), "shop.example");
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

fn config_with_idle_timeout(files: &Files) -> String {
    config(&certificates(&[files]), echo())
        .replace("protocol: tcp,", "protocol: tcp, idle_timeout: 500ms,")
}

#[test]
fn when_certificates_expire_is_a_stat_and_a_page() {
    let authority = Authority::new("clients of all kinds");
    let files = authority.issue(&["shop.example", "www.shop.example"]);
    let expired = authority.issue_valid(&["old.example"], Valid::UntilLastYear);
    let settings = format!(
        "{}, client_certificates: optional, client_ca: '{}'",
        certificates(&[&files, &expired]),
        authority.file().display()
    );
    let (proxy, _) = start(&settings, echo());
    let seconds = |name: &str| {
        let name = format!("listener.edge.ssl.certificate.{name}.expiration_unix_time_seconds");
        proxy.stats().value(&name)
    };
    // 2001-01-01
    assert_eq!(seconds("old.example"), 978_307_200);
    // rcgen's own choice is the year 4096.
    assert!(seconds("shop.example") > 4_000_000_000);
    assert!(proxy.stats().value("server.first_cert_expires_in") < -9_000 * 24 * 3600);
    proxy.expect_logged("the certificate has expired");

    let page: Value = serde_json::from_str(&proxy.get("/certs")).unwrap();
    let certificates = page["certificates"].as_array().unwrap();
    assert_eq!(certificates.len(), 2, "{page:#}");
    let first = &certificates[0];
    assert_eq!(first["listener"], "edge");
    assert_eq!(first["ca_cert"][0]["subject"], "clients of all kinds");
    let shown = &first["cert_chain"][0];
    assert_eq!(shown["path"], files.certificate.to_str().unwrap());
    assert_eq!(shown["subject"], "shop.example");
    assert_eq!(shown["subject_alt_names"][1]["dns"], "www.shop.example");
    assert!(shown["days_until_expiration"].as_i64().unwrap() > 1000);
    let certificate = files.certificate.to_str().unwrap();
    let serial = std::process::Command::new(support::tool("openssl"))
        .args(["x509", "-noout", "-serial", "-in", certificate])
        .output()
        .unwrap();
    let serial = String::from_utf8(serial.stdout).unwrap();
    assert_eq!(
        format!("serial={}\n", shown["serial_number"].as_str().unwrap()),
        serial
    );
    let old = &certificates[1]["cert_chain"][0];
    assert_eq!(old["expiration_time"], "2001-01-01T00:00:00Z");
    assert_eq!(old["valid_from"], "2000-01-01T00:00:00Z");
    assert!(old["days_until_expiration"].as_i64().unwrap() < -9_000);
}

#[test]
fn an_idle_connection_costs_kilobytes() {
    const CONNECTIONS: usize = 1_000;
    const MOST_EACH: u64 = 16 << 10;
    let authority = Authority::new("authority");
    let files = authority.issue(&["shop.example"]);
    let (proxy, address) = start(&certificates(&[&files]), echo());
    let client = tls::client(&authority.file(), None);
    let connected = |count: usize| -> Vec<_> {
        let connect = |_| {
            let mut stream = tls::stream(&client, address, "shop.example");
            // More than one record, and more than is read at once.
            let said = vec![7; 40_000];
            stream.write_all(&said).unwrap();
            let mut answer = vec![0; said.len()];
            stream.read_exact(&mut answer).unwrap();
            stream
        };
        (0..count).map(connect).collect()
    };
    // What the first connections bring into being is not the cost of one more.
    let _early = connected(50);
    let before = proxy.resident_bytes();
    let _clients = connected(CONNECTIONS);
    let each = proxy.resident_bytes().saturating_sub(before) / CONNECTIONS as u64;
    println!("{each} bytes a connection within TLS");
    assert!(each < MOST_EACH, "{each} bytes a connection");
}
