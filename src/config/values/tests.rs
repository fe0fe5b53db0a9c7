use super::*;

#[test]
fn durations() {
    let cases = [
        ("0s", 0),
        ("500ms", 500),
        ("1s", 1000),
        ("90s", 90_000),
        ("5m", 300_000),
        ("1h", 3_600_000),
    ];
    for (text, millis) in cases {
        assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
    }
    assert_eq!(duration("8760h"), Ok(DURATION_MAX));
}

#[test]
fn what_is_not_a_duration() {
    let cases = [
        ("", "such as"),
        ("5", "did you mean `5s`?"),
        ("s", "no number"),
        ("1.5s", "such as"),
        ("-1s", "such as"),
        ("5 s", "such as"),
        ("5S", "such as"),
        ("8761h", "longer than a year"),
        ("18446744073709551615h", "longer than a year"),
        ("18446744073709551616s", "longer than a year"),
        ("µs", "such as"),
    ];
    for (text, part) in cases {
        let message = duration(text).expect_err(text);
        assert!(message.contains(part), "{text}: {message}");
    }
}

#[test]
fn a_printed_duration_reads_back() {
    for millis in [0, 1, 999, 1000, 1500, 60_000, 61_000, 3_600_000, 5_400_000] {
        let printed = duration_text(Duration::from_millis(millis));
        assert_eq!(
            duration(&printed),
            Ok(Duration::from_millis(millis)),
            "{printed}"
        );
    }
    assert_eq!(duration_text(Duration::from_millis(5_400_000)), "90m");
    assert_eq!(duration_text(Duration::ZERO), "0s");
}

#[test]
fn endpoints() {
    let cases = [
        ("db1:27017", "db1", 27017),
        ("db_1.example.com:1", "db_1.example.com", 1),
        ("db1.example.com.:65535", "db1.example.com.", 65535),
        ("10.0.0.1:80", "10.0.0.1", 80),
        ("[::1]:80", "::1", 80),
        ("[0:0:0:0:0:0:0:1]:80", "::1", 80),
    ];
    for (text, host, port) in cases {
        let expected = Endpoint {
            host: host.to_owned(),
            port,
        };
        assert_eq!(endpoint(text), Ok(expected), "{text}");
    }
}

#[test]
fn what_is_not_an_endpoint() {
    let long = format!("{}:1", "a".repeat(64));
    let cases = [
        ("", "has no port"),
        ("db1", "has no port"),
        ("[::1]", "has no port"),
        ("db1:", "is not a port"),
        ("db1:0", "port 0"),
        ("db1:65536", "is not a port"),
        ("db1:27017x", "is not a port"),
        (":27017", "no host"),
        ("-db:1", "is not a host name"),
        ("a..b:1", "is not a host name"),
        ("a b:1", "is not a host name"),
        ("10.0.0:1", "is not a host name"),
        ("10.0.0.256:1", "is not a host name"),
        (&long, "is not a host name"),
        ("[db1]:1", "is not an IPv6 address"),
        ("::1:27017", "in brackets"),
        ("mongodb://db1:27017", "is a URL"),
        ("a:1,b:2", "more than one address"),
        ("user@db1:1", "holds credentials"),
    ];
    for (text, part) in cases {
        let message = endpoint(text).expect_err(text);
        assert!(message.contains(part), "{text}: {message}");
    }
}

#[test]
fn credentials_are_refused_and_not_repeated() {
    for text in [
        "mongodb://root:hunter2@db1:27017",
        "root:hunter2@db1:27017",
        "mongodb+srv://root:hun@ter2@db1/x",
    ] {
        let message = endpoint(text).expect_err(text);
        assert!(message.contains("holds credentials"), "{message}");
        assert!(
            !message.contains("hun") && !message.contains("ter2"),
            "{message}"
        );
    }
}

#[test]
fn listen_addresses() {
    for text in ["127.0.0.1:0", "[::]:27017", "0.0.0.0:65535"] {
        assert_eq!(
            listen_address(text).map(|address| address.to_string()),
            Ok(text.to_owned())
        );
    }
    let cases = [
        ("localhost:1", "such as `127.0.0.1:1`"),
        (":1", "such as `0.0.0.0:1`"),
        ("*:1", "such as `0.0.0.0:1`"),
        ("db1:1", "such as `127.0.0.1:1` or `0.0.0.0:1`"),
        ("127.0.0.1", "has no port"),
        ("127.0.0.1:65536", "is not a port"),
        ("mongo://127.0.0.1:1", "is a URL"),
    ];
    for (text, part) in cases {
        let message = listen_address(text).expect_err(text);
        assert!(message.contains(part), "{text}: {message}");
    }
}

#[test]
fn statsd_addresses() {
    let udp = StatsdAddress::Udp {
        host: "::1".to_owned(),
        port: 8125,
    };
    assert_eq!(udp.to_string(), "[::1]:8125");
    assert_eq!(statsd_address("[::1]:8125"), Ok(udp));
    let unix = StatsdAddress::Unix(PathBuf::from("/run/statsd.sock"));
    assert_eq!(unix.to_string(), "unix:///run/statsd.sock");
    assert_eq!(statsd_address("unix:///run/statsd.sock"), Ok(unix));
    assert!(
        statsd_address("unix://run/statsd.sock")
            .expect_err("relative")
            .contains("absolute path")
    );
    assert!(
        statsd_address(&format!("unix:///{}", "a".repeat(107)))
            .expect_err("long")
            .contains("at most 107 bytes")
    );
    assert!(
        statsd_address("127.0.0.1")
            .expect_err("no port")
            .contains("has no port")
    );
}

#[test]
fn names() {
    assert_eq!(name("orders-2_a"), Ok("orders-2_a".to_owned()));
    assert_eq!(prefix("a.b"), Ok("a.b".to_owned()));
    for text in ["", "a.b", "a b", "ä", "a:b", &"a".repeat(65)] {
        assert!(name(text).is_err(), "{text}");
    }
    assert!(prefix("a|b").is_err());
}
