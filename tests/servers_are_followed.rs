//! The monitors of mode collapse know what real servers are: alone or in a replica set, through elections, crashes and restarts.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use narrows::config::{self, MongoTopology};
use narrows::stats::{Aggregator, Registry};
use narrows::upstream::mongo::read_preference::Mode;
use narrows::upstream::mongo::{
    Deployment, DeploymentKind, MemberKind, Monitoring, ReadPreference, Servers, Want, select,
};
use narrows::upstream::{Cluster, SharedBy};
use support::mongod::Mongod;
use support::peer::{scripted, silent};
use support::proxy::Proxy;
use support::replica_set::ReplicaSet;
use support::{eventually, free_port};

/// The servers of a cluster, monitored on a thread as the control thread does.
struct Watched {
    servers: Arc<Servers>,
    end: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watched {
    fn start(topology: MongoTopology, seeds: &[String]) -> Self {
        let seeds: Vec<_> = seeds.iter().map(|seed| format!("{seed:?}")).collect();
        let yaml = format!(
            "listeners: [{{ name: c, listen: '127.0.0.1:0', protocol: mongo, cluster: c, mongo: {{ mode: collapse }} }}]\n\
             clusters: [{{ name: c, endpoints: [{}], connect_timeout: 2s }}]\n",
            seeds.join(", ")
        );
        let mut config = config::parse("test", &yaml).unwrap();
        config.clusters[0].mongo.topology = topology;
        let (started, servers) = mpsc::channel();
        let (end, ended) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build_local(tokio::runtime::LocalOptions::default())
                .unwrap();
            runtime.block_on(async move {
                let aggregator = Aggregator::new(Registry::new(&config.stats.limits));
                let shared_by = SharedBy {
                    mongo: true,
                    http: false,
                    redis: false,
                };
                let cluster = Cluster::new(&config.clusters[0], shared_by, Arc::default());
                let servers = Arc::clone(cluster.servers().unwrap());
                let _monitoring = Monitoring::start(&servers, &aggregator.own_shard());
                servers.settled().await;
                started.send(servers).unwrap();
                // Ends either way.
                let _ = ended.await;
            });
        });
        Self {
            servers: servers.recv_timeout(support::PATIENCE).unwrap(),
            end: Some(end),
            thread: Some(thread),
        }
    }

    fn auto(seeds: &[SocketAddr]) -> Self {
        let seeds: Vec<_> = seeds.iter().map(ToString::to_string).collect();
        Self::start(MongoTopology::Auto, &seeds)
    }

    fn now(&self) -> Arc<Deployment> {
        Arc::clone(&self.servers.now())
    }

    /// Where an operation would go.
    fn chosen(&self, want: &Want) -> Option<u16> {
        let now = self.now();
        Some(select(&now, want, Duration::from_secs(1))?.endpoint.port)
    }

    #[track_caller]
    fn until(&self, what: &str, is_so: impl Fn(&Deployment) -> bool) {
        let deadline = Instant::now() + support::PATIENCE;
        while !is_so(&self.now()) {
            assert!(Instant::now() < deadline, "never {what}: {}", self.now());
            // As a session does that waits for a server.
            self.servers.request_checks();
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        drop(self.end.take());
        let ended = self.thread.take().unwrap().join();
        if !std::thread::panicking() {
            ended.unwrap();
        }
    }
}

fn kind_of(deployment: &Deployment, port: u16) -> Option<MemberKind> {
    let mut members = deployment.members.iter();
    members
        .find(|member| member.endpoint.port == port)
        .map(|member| member.kind)
}

fn secondary() -> Want {
    Want::Read(ReadPreference::of(Mode::Secondary))
}

fn secondary_preferred() -> Want {
    Want::Read(ReadPreference::of(Mode::SecondaryPreferred))
}

#[test]
fn a_server_alone_is_known_and_its_crash_and_return_are_seen() {
    let mut mongod = Mongod::standalone();
    let port = mongod.address().port();
    let watched = Watched::auto(&[mongod.address()]);
    let now = watched.now();
    assert_eq!(now.kind, DeploymentKind::Standalone, "{now}");
    assert_eq!(now.wire_range(), Some((0, 17)));
    assert_eq!(now.session_timeout_minutes(), Some(30));
    assert_eq!(now.limits().unwrap().max_message, 48_000_000);
    assert!(now.members[0].round_trip > Duration::ZERO);
    assert_eq!(watched.chosen(&Want::Write), Some(port));

    mongod.kill();
    watched.until("unavailable", |now| !now.is_ready());
    watched.until("refused", |now| now.why_not().contains("refused"));
    assert_eq!(
        watched.now().wire_range(),
        Some((0, 17)),
        "what was known stays"
    );
    mongod.restart();
    watched.until("available again", Deployment::is_ready);
}

#[test]
fn a_replica_set_is_found_from_one_seed_and_followed_through_elections() {
    let mut set = ReplicaSet::start(3);
    let old = set.primary();
    let addresses = set.addresses();
    let ports: Vec<_> = addresses.iter().map(SocketAddr::port).collect();
    let watched = Watched::auto(&addresses[2..]);
    watched.until("all members usable", |now| now.usable().count() == 3);
    assert_eq!(watched.chosen(&Want::Write), Some(ports[old]));
    let reads: Vec<_> = (0..10)
        .filter_map(|_| watched.chosen(&secondary()))
        .collect();
    assert!(
        reads.len() == 10 && !reads.contains(&ports[old]),
        "{reads:?}"
    );

    // Stopped in order: it steps down first, and the others elect at once.
    set.member(old).stop();
    watched.until("a new primary", |now| {
        now.primary()
            .is_some_and(|primary| primary.endpoint.port != ports[old])
    });
    let new = set.primary();
    watched.until("the elected one", |_| {
        watched.chosen(&Want::Write) == Some(ports[new])
    });
    assert_eq!(
        kind_of(&watched.now(), ports[old]),
        Some(MemberKind::Unknown)
    );
    set.member(old).restart();
    watched.until("back as a secondary", |now| {
        kind_of(now, ports[old]) == Some(MemberKind::Secondary)
    });

    // Killed: the others have to miss it first. Reads that may go to a secondary go on all the time.
    set.member(new).kill();
    watched.until("without the killed one", |now| {
        kind_of(now, ports[new]) == Some(MemberKind::Unknown)
    });
    watched.until("a third primary", |_| {
        assert!(watched.chosen(&secondary_preferred()).is_some());
        watched
            .chosen(&Want::Write)
            .is_some_and(|port| port != ports[new])
    });
    set.member(new).restart();
    watched.until("whole again", |now| now.usable().count() == 3);
}

#[test]
fn a_seed_that_is_called_otherwise_in_its_set_is_replaced() {
    let mongod = Mongod::replica_set();
    let port = mongod.address().port();
    let watched = Watched::start(MongoTopology::Auto, &[format!("localhost:{port}")]);
    let now = watched.now();
    let names: Vec<_> = now
        .members
        .iter()
        .map(|member| &*member.endpoint.name)
        .collect();
    assert_eq!(names, [format!("127.0.0.1:{port}")]);
    assert_eq!(watched.chosen(&Want::Write), Some(port));
}

#[test]
fn servers_alone_are_together_only_as_routers() {
    let (a, b) = (Mongod::standalone(), Mongod::standalone());
    let seeds = [a.address(), b.address()];
    let watched = Watched::auto(&seeds);
    assert!(!watched.now().is_ready());
    assert!(
        watched.now().why_not().contains("topology: routers"),
        "{}",
        watched.now()
    );

    let watched = Watched::start(MongoTopology::Routers, &seeds.map(|seed| seed.to_string()));
    assert_eq!(watched.now().usable().count(), 2, "{}", watched.now());
    let chosen: Vec<_> = (0..4)
        .filter_map(|_| watched.chosen(&Want::Write))
        .collect();
    assert!(
        seeds.iter().all(|seed| chosen.contains(&seed.port())),
        "{chosen:?}"
    );
}

#[test]
fn what_is_no_mongodb_is_named_with_what_is_wrong() {
    let http = scripted(|mut stream| {
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    });
    let hanging_up = scripted(|mut stream| drop(stream.read(&mut [0; 1024])));
    let mute = silent();
    let nobody = SocketAddr::from(([127, 0, 0, 1], free_port()));
    for (address, wanted) in [
        (http, "is this a MongoDB server?"),
        (hanging_up, "closed without an answer to hello"),
        (mute, "no answer to hello within 2s"),
        (nobody, "refused"),
    ] {
        let watched = Watched::auto(&[address]);
        let why_not = watched.now().why_not();
        let named = format!("cluster `c`: {address} can't be used (");
        assert!(why_not.starts_with(&named), "{why_not}");
        assert!(why_not.contains(wanted), "{why_not}");
    }
    let watched = Watched::start(MongoTopology::Auto, &["no-such-host.invalid:27017".into()]);
    assert!(
        watched.now().why_not().contains("no address is known"),
        "{}",
        watched.now()
    );
}

#[test]
fn a_check_that_is_asked_for_comes_at_once() {
    let hellos = Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = Arc::clone(&hellos);
    // Answers nothing awaitable: left alone, it would be asked every ten seconds.
    let address = scripted(move |mut stream| {
        while let Ok(request) = support::wire::read_message(&mut stream) {
            noted.lock().unwrap().push(Instant::now());
            let reply = bson::doc! { "ok": 1, "maxWireVersion": 17 };
            let id = support::wire::request_id(&request);
            if stream
                .write_all(&support::wire::op_msg(1, id, &reply))
                .is_err()
            {
                return;
            }
        }
    });
    let watched = Watched::auto(&[address]);
    let count = || hellos.lock().unwrap().len();
    assert_eq!(count(), 1);
    let id = watched.now().members[0].endpoint.id;
    let began = Instant::now();
    for asked in 2..5 {
        watched.servers.request_check(id);
        eventually("it is asked", || (count() >= asked).then_some(()));
    }
    assert!(began.elapsed() < Duration::from_secs(9));
    let times = hellos.lock().unwrap().clone();
    let apart = times
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .min()
        .unwrap();
    // Timers count in whole milliseconds.
    assert!(apart >= Duration::from_millis(498), "{apart:?}");
}

#[test]
fn a_process_tells_of_its_servers_in_log_stats_and_ready() {
    let mut mongod = Mongod::standalone();
    let address = mongod.address();
    let proxy = Proxy::start(&format!(
        "listeners: [{{ name: db, listen: '127.0.0.1:0', protocol: mongo, cluster: db, mongo: {{ mode: collapse }} }}]\n\
         clusters: [{{ name: db, endpoints: ['{address}'] }}]\n"
    ));
    // It has waited for the first answer before anybody could connect.
    assert_eq!(proxy.ask("GET", "/ready").0, 200);
    proxy.expect_logged("server is available");
    let stats = proxy.stats();
    assert_eq!(stats.value("cluster.db.membership_total"), 1);
    assert_eq!(stats.value("cluster.db.membership_healthy"), 1);
    let endpoint = format!("cluster.db.endpoint.{address}");
    assert!(
        stats.value(&format!("{endpoint}.monitor_success")) >= 1,
        "{stats:?}"
    );
    assert!(stats.histogram(&format!("{endpoint}.round_trip_ms")).count >= 1);

    mongod.kill();
    let (_, reason) = eventually("/ready says no", || {
        Some(proxy.ask("GET", "/ready")).filter(|(status, _)| *status == 503)
    });
    assert!(
        reason.contains(&format!("cluster `db`: {address} can't be used")),
        "{reason}"
    );
    assert_eq!(proxy.stats().value("cluster.db.membership_healthy"), 0);
    proxy.expect_logged("server is not available");
    assert_eq!(proxy.log().matches("server is not available").count(), 1);
    mongod.restart();
    eventually("/ready says yes", || {
        (proxy.ask("GET", "/ready").0 == 200).then_some(())
    });
}

#[test]
fn a_reload_keeps_what_is_known_or_learns_it_anew() {
    let mongod = Mongod::standalone();
    let address = mongod.address();
    let config = |connect: &str, wait: &str| {
        format!(
            "listeners: [{{ name: db, listen: '127.0.0.1:0', protocol: mongo, cluster: db, mongo: {{ mode: collapse }} }}]\n\
             clusters: [{{ name: db, endpoints: ['{address}'], connect_timeout: {connect}, pool: {{ wait_timeout: {wait} }} }}]\n"
        )
    };
    let proxy = Proxy::start(&config("1s", "1s"));
    let available = || proxy.log().matches("server is available").count();
    let reloads = [
        ("1s", "1s", 1),
        ("1s", "2s", 1),
        ("2s", "2s", 2),
        ("2s", "2s", 2),
    ];
    for (connect, wait, wanted) in reloads {
        proxy.write_config(&config(connect, wait));
        assert_eq!(proxy.ask("POST", "/reload").0, 200);
        assert_eq!(proxy.ask("GET", "/ready").0, 200);
        eventually("asked anew only if more than the limits changed", || {
            (available() == wanted).then_some(())
        });
        let stats = proxy.stats();
        assert_eq!(stats.value("cluster.db.membership_total"), 1);
        assert_eq!(stats.value("cluster.db.membership_healthy"), 1);
    }
    // Without a listener in this mode nobody asks.
    let tapped = config("2s", "2s").replace("collapse", "tap");
    proxy.write_config(&tapped);
    assert_eq!(proxy.ask("POST", "/reload").0, 200);
    assert_eq!(proxy.stats().value("cluster.db.membership_total"), 0);
}
