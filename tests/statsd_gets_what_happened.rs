//! What happened arrives at a statsd daemon: completely, in valid lines, a few datagrams an interval.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::{Arc, Mutex};

use support::eventually;
use support::mongo::{Client, answering};
use support::proxy::{Proxy, one_listener};
use support::statsd::{Line, Lines};
use tempfile::TempDir;

const CALL_SITE_TIMES: &str = "narrows.mongo.collection.callsite.query.reply_time_ms";
const CALL_SITE_TAGS: [(&str, &str); 3] = [
    ("listener", "mongo"),
    ("collection", "shop.carts"),
    ("callsite", "checkout.load_cart"),
];

/// What a UDP datagram may carry through an Ethernet frame; what agents read from a Unix socket.
const UDP_BYTES: usize = 1_472;
const UNIX_BYTES: usize = 8_192;

/// What one proxy with one busy listener sends an interval: its series, a packet full each.
const MOST_DATAGRAMS: u64 = 50;

#[test]
fn the_weights_of_a_distribution_are_the_operations_interval_after_interval() {
    let began = std::time::Instant::now();
    let daemon = Daemon::udp();
    let proxy = proxy(&daemon.place, "datadog");
    let mut client = Client::connect(proxy.address("mongo"));
    let mut operations = 0;
    for round in 1..=4 {
        for _ in 0..250 * round {
            client.find("shop.carts", "checkout.load_cart");
            operations += 1;
        }
        eventually("the weights add up to the operations", || {
            let lines = daemon.dogstatsd();
            let times = lines.of(CALL_SITE_TIMES, &CALL_SITE_TAGS);
            let cut: u64 = times.iter().map(|line| line.weight_cut()).sum();
            let rounded: u64 = times.iter().map(|line| line.weight_rounded()).sum();
            assert!(cut <= operations && rounded <= operations);
            (cut == operations && rounded == operations).then_some(())
        });
    }
    let lines = daemon.dogstatsd();
    let times = lines.of(CALL_SITE_TIMES, &CALL_SITE_TAGS);
    assert!(times.iter().all(|line| line.kind == "d"));
    assert!(
        (times.len() as u64) < operations,
        "slots are sent, not values"
    );
    let datagrams = daemon.datagrams().len() as u64;
    // However long it took: so many an interval, whatever the number of operations.
    let intervals = began.elapsed().as_millis() as u64 / 200 + 2;
    assert!(
        datagrams < MOST_DATAGRAMS * intervals,
        "{datagrams} datagrams in {intervals} intervals for {operations} operations"
    );
}

#[test]
fn percentiles_can_be_made_of_the_weights_alone() {
    let daemon = Daemon::udp();
    let proxy = proxy(&daemon.place, "datadog");
    let mut client = Client::connect(proxy.address("mongo"));
    for _ in 0..600 {
        client.find("shop.carts", "checkout.load_cart");
    }
    let mut weighted = eventually("all have arrived", || {
        let lines = daemon.dogstatsd();
        let times = lines.of(CALL_SITE_TIMES, &CALL_SITE_TAGS);
        let weighted: Vec<_> = times
            .iter()
            .map(|line| (line.value, line.weight_cut()))
            .collect();
        (weighted.iter().map(|(_, weight)| weight).sum::<u64>() == 600).then_some(weighted)
    });
    weighted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let stats = proxy.stats();
    let shown = stats.histogram(
        "mongo.mongo.collection.shop.carts.callsite.checkout.load_cart.query.reply_time_ms",
    );
    for percent in [50.0, 90.0, 99.0] {
        let mut left = (percent / 100.0 * 600.0_f64).ceil() as u64;
        let (value, _) = weighted
            .iter()
            .find(|(_, weight)| {
                left = left.saturating_sub(*weight);
                left == 0
            })
            .unwrap();
        let expected = shown.at(percent);
        assert!(
            (value - expected).abs() <= expected * 0.01,
            "P{percent}: {value} by weights, {expected} on the page"
        );
    }
}

#[test]
fn what_counters_gain_adds_up_to_their_totals() {
    let daemon = Daemon::udp();
    let proxy = proxy(&daemon.place, "datadog");
    for _ in 0..5 {
        let mut client = Client::connect(proxy.address("mongo"));
        for _ in 0..30 {
            client.find("shop.carts", "checkout.load_cart");
            client.find("shop.items", "");
        }
    }
    let listener = ("listener", "mongo");
    for (name, tags, total) in [
        ("narrows.mongo.total", &[listener][..], 300.0),
        (
            "narrows.mongo.cmd.total",
            &[listener, ("cmd", "find")],
            300.0,
        ),
        (
            "narrows.mongo.collection.query.total",
            &[listener, ("collection", "shop.items")],
            150.0,
        ),
        (
            "narrows.mongo.collection.callsite.query.total",
            &CALL_SITE_TAGS,
            150.0,
        ),
        ("narrows.listener.downstream_cx_total", &[listener], 5.0),
        (
            "narrows.cluster.upstream_rq_total",
            &[("cluster", "mongo")],
            300.0,
        ),
    ] {
        eventually(name, || {
            let lines = daemon.dogstatsd();
            let gained = lines.of(name, tags);
            assert!(gained.iter().all(|line| line.kind == "c"));
            let sum: f64 = gained.iter().map(|line| line.value).sum();
            assert!(sum <= total, "{name}: {sum} of {total}");
            (sum == total).then_some(())
        });
    }
}

#[test]
fn plain_daemons_get_dotted_names_and_this_hosts_percentiles() {
    let daemon = Daemon::udp();
    let proxy = proxy(&daemon.place, "plain");
    let mut client = Client::connect(proxy.address("mongo"));
    for _ in 0..200 {
        client.find("shop.carts", "checkout.load_cart");
    }
    // A dot in a label would be one more level in Graphite.
    let query = "narrows.mongo.mongo.collection.shop_carts.callsite.checkout_load_cart.query";
    eventually("all operations are counted", || {
        let lines = daemon.plain();
        let sum = |suffix: &str| -> f64 {
            let lines = lines.of(&format!("{query}.{suffix}"), &[]);
            assert!(lines.iter().all(|line| line.kind == "c"));
            lines.iter().map(|line| line.value).sum()
        };
        (sum("total") == 200.0 && sum("reply_time_ms.count") == 200.0).then_some(())
    });
    let lines = daemon.plain();
    for quantile in ["host_p50", "host_p90", "host_p99", "host_p999", "host_max"] {
        let gauges = lines.of(&format!("{query}.reply_time_ms.{quantile}"), &[]);
        assert!(!gauges.is_empty(), "{quantile}");
        assert!(
            gauges
                .iter()
                .all(|line| line.kind == "g" && line.value > 0.0)
        );
    }
}

#[test]
fn a_unix_socket_gets_the_same() {
    let folder = TempDir::new().unwrap();
    let daemon = Daemon::unix(&folder.path().join("dsd.sock"));
    let proxy = proxy(&daemon.place, "datadog");
    let mut client = Client::connect(proxy.address("mongo"));
    for _ in 0..500 {
        client.find("shop.carts", "checkout.load_cart");
    }
    eventually("the weights add up to the operations", || {
        let lines = daemon.dogstatsd();
        let times = lines.of(CALL_SITE_TIMES, &CALL_SITE_TAGS);
        (times.iter().map(|line| line.weight_cut()).sum::<u64>() == 500).then_some(())
    });
}

#[test]
fn a_daemon_that_is_gone_costs_a_counter_until_it_is_back() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("dsd.sock");
    let daemon = UnixDatagram::bind(&path).unwrap();
    let proxy = proxy(&format!("unix://{}", path.display()), "datadog");
    let mut client = Client::connect(proxy.address("mongo"));
    daemon.set_read_timeout(Some(support::PATIENCE)).unwrap();
    daemon.recv(&mut [0; UNIX_BYTES]).unwrap();
    drop(daemon);
    std::fs::remove_file(&path).unwrap();
    expect_dropped_lines_and_traffic(&proxy, &mut client);

    let daemon = Daemon::unix(&path);
    let before = proxy.stats().value("mongo.mongo.total");
    client.find("shop.carts", "checkout.load_cart");
    eventually("lines arrive again", || {
        let lines = daemon.dogstatsd();
        let times = lines.of(CALL_SITE_TIMES, &CALL_SITE_TAGS);
        (!times.is_empty()).then_some(())
    });
    assert_eq!(proxy.stats().value("mongo.mongo.total"), before + 1);
}

#[test]
fn a_daemon_that_does_not_read_costs_a_counter() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("dsd.sock");
    let _daemon = UnixDatagram::bind(&path).unwrap();
    let proxy = proxy(&format!("unix://{}", path.display()), "datadog");
    let mut client = Client::connect(proxy.address("mongo"));
    expect_dropped_lines_and_traffic(&proxy, &mut client);
}

#[test]
fn a_udp_port_without_a_daemon_costs_nothing() {
    let gone = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let proxy = proxy(&gone.to_string(), "datadog");
    let mut client = Client::connect(proxy.address("mongo"));
    eventually("lines were sent into the void", || {
        client.find("shop.carts", "checkout.load_cart");
        (proxy.stats().value("stats.statsd_sent") > 100).then_some(())
    });
    assert_eq!(proxy.ask("GET", "/ready").0, 200);
}

/// Operations are answered and counted while lines are dropped.
fn expect_dropped_lines_and_traffic(proxy: &Proxy, client: &mut Client) {
    let mut operations = proxy.stats().value("mongo.mongo.total");
    eventually("lines are dropped, and counted as such", || {
        client.find("shop.carts", "checkout.load_cart");
        operations += 1;
        (proxy.stats().value("stats.statsd_dropped") > 0).then_some(())
    });
    for _ in 0..200 {
        client.find("shop.carts", "checkout.load_cart");
        operations += 1;
    }
    proxy.stats().expect("mongo.mongo.total", operations);
    assert_eq!(proxy.ask("GET", "/ready").0, 200);
}

/// A proxy that reports five times a second, so that a test sees several intervals.
fn proxy(daemon: &str, flavor: &str) -> Proxy {
    let statsd = format!("{{ address: \"{daemon}\", flavor: {flavor} }}");
    Proxy::start(&format!(
        "{}stats: {{ interval: 200ms, statsd: {statsd} }}\n",
        one_listener("mongo", answering())
    ))
}

/// A statsd daemon that keeps what it gets.
struct Daemon {
    place: String,
    datagrams: Arc<Mutex<Vec<String>>>,
}

impl Daemon {
    fn udp() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let place: SocketAddr = socket.local_addr().unwrap();
        Self::keep(place.to_string(), UDP_BYTES, move |buffer| {
            socket.recv(buffer)
        })
    }

    fn unix(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        let place = format!("unix://{}", path.display());
        Self::keep(place, UNIX_BYTES, move |buffer| socket.recv(buffer))
    }

    /// Reads until the process ends. A datagram that is too large is kept as what it is: invalid.
    fn keep(
        place: String,
        most: usize,
        receive: impl Fn(&mut [u8]) -> std::io::Result<usize> + Send + 'static,
    ) -> Self {
        let datagrams = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&datagrams);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(length) = receive(&mut buffer) {
                let text = match length <= most {
                    true => String::from_utf8_lossy(&buffer[..length]).into_owned(),
                    false => format!("a datagram of {length} bytes"),
                };
                kept.lock().unwrap().push(text);
            }
        });
        Self { place, datagrams }
    }

    fn datagrams(&self) -> Vec<String> {
        self.datagrams.lock().unwrap().clone()
    }

    fn dogstatsd(&self) -> Lines {
        Lines::parse(&self.datagrams(), Line::dogstatsd)
    }

    fn plain(&self) -> Lines {
        Lines::parse(&self.datagrams(), Line::plain)
    }
}
