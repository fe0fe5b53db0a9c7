//! The scenarios of specs:server-discovery-and-monitoring, by hello documents.

use bson::oid::ObjectId;
use bson::raw::{RawArrayBuf, RawDocumentBuf};
use bson::rawdoc;

use super::*;

struct Scene {
    state: State,
    now: Instant,
}

impl Scene {
    fn new(topology: MongoTopology, seeds: &[&str]) -> Self {
        let seeds = seeds
            .iter()
            .map(|name| {
                let (host, port) = name.rsplit_once(':').unwrap();
                Arc::new(Endpoint::new(host.into(), port.parse().unwrap(), None))
            })
            .collect();
        Self {
            state: State::new("c".into(), topology, seeds),
            now: Instant::now(),
        }
    }

    fn auto(seeds: &[&str]) -> Self {
        Self::new(MongoTopology::Auto, seeds)
    }

    fn id(&self, name: &str) -> EndpointId {
        let mut members = self.state.deployment.members.iter();
        members
            .find(|member| member.endpoint.name == name)
            .unwrap_or_else(|| panic!("{name} is not known: {}", self.state.deployment))
            .endpoint
            .id
    }

    fn says(&mut self, name: &str, reply: &RawDocumentBuf) -> Vec<String> {
        let answer = Answer::read(reply).unwrap();
        self.takes(name, Ok(answer))
    }

    fn fails(&mut self, name: &str) -> Vec<String> {
        self.takes(name, Err("refused".into()))
    }

    fn takes(&mut self, name: &str, outcome: Result<Answer, String>) -> Vec<String> {
        let id = self.id(name);
        let changes = self.state.take(id, outcome, None, self.now);
        changes.iter().map(text).collect()
    }

    fn members(&self) -> Vec<String> {
        let members = self.state.deployment.members.iter();
        members
            .map(|member| format!("{} {}", member.endpoint.name, member.kind))
            .collect()
    }

    fn why_not(&self) -> String {
        self.state.deployment.why_not()
    }
}

fn text(change: &Change) -> String {
    match change {
        Change::Joined(endpoint) => format!("{} joined", endpoint.name),
        Change::Left(endpoint) => format!("{} left", endpoint.name),
        Change::Up(endpoint, kind) => format!("{} up as {kind}", endpoint.name),
        Change::Down(endpoint, _) => format!("{} down", endpoint.name),
        Change::NewPrimary { endpoint, replaces } => {
            format!(
                "{} elected{}",
                endpoint.name,
                if *replaces { " instead" } else { "" }
            )
        }
        Change::NoPrimary => "no primary".into(),
    }
}

fn of_set(set: &str, hosts: &[&str]) -> RawDocumentBuf {
    let mut list = RawArrayBuf::new();
    for host in hosts {
        list.push(*host);
    }
    rawdoc! { "ok": 1, "setName": set, "hosts": list, "setVersion": 1, "maxWireVersion": 17, "logicalSessionTimeoutMinutes": 30 }
}

fn primary(hosts: &[&str], election: u8) -> RawDocumentBuf {
    let mut reply = of_set("rs", hosts);
    reply.append(bson::cstr!("isWritablePrimary"), true);
    let id = ObjectId::from_bytes([election; 12]);
    reply.append(bson::cstr!("electionId"), id);
    reply
}

fn secondary(hosts: &[&str]) -> RawDocumentBuf {
    let mut reply = of_set("rs", hosts);
    reply.append(bson::cstr!("secondary"), true);
    reply
}

const THREE: &[&str] = &["a:1", "b:1", "c:1"];

#[test]
fn members_are_discovered_from_a_primary_and_from_a_secondary() {
    let mut scene = Scene::auto(&["a:1"]);
    assert_eq!(
        scene.says("a:1", &primary(THREE, 1)),
        [
            "b:1 joined",
            "c:1 joined",
            "a:1 up as primary",
            "a:1 elected"
        ]
    );
    assert_eq!(scene.state.deployment.kind, DeploymentKind::ReplicaSet);
    assert!(!scene.state.deployment.is_settled());

    let mut scene = Scene::auto(&["b:1"]);
    let changes = scene.says("b:1", &secondary(THREE));
    assert_eq!(changes, ["a:1 joined", "c:1 joined", "b:1 up as secondary"]);
    assert_eq!(scene.fails("a:1"), ["a:1 down"]);
    assert_eq!(scene.fails("a:1"), [""; 0], "told once");
    assert_eq!(
        scene.members(),
        ["b:1 secondary", "a:1 unknown", "c:1 unknown"]
    );
    let wanted = "cluster `c` (replica set `rs`): b:1 is secondary; a:1 can't be used (refused); c:1 has not answered yet";
    assert_eq!(scene.why_not(), wanted);
}

#[test]
fn a_new_primary_replaces_the_old_one_and_its_list_counts() {
    let mut scene = Scene::auto(THREE);
    scene.says("a:1", &primary(THREE, 1));
    scene.says("b:1", &secondary(THREE));
    let changes = scene.says("b:1", &primary(&["a:1", "b:1", "d:1"], 2));
    assert_eq!(
        changes,
        ["d:1 joined", "c:1 left", "a:1 down", "b:1 elected instead"]
    );
    assert_eq!(
        scene.members(),
        ["a:1 unknown", "b:1 primary", "d:1 unknown"]
    );
    // The old one steps down, and comes back as a secondary; what it lists does not count while there is a primary.
    assert_eq!(
        scene.says("a:1", &secondary(THREE)),
        ["a:1 up as secondary"]
    );
    assert_eq!(
        scene.members(),
        ["a:1 secondary", "b:1 primary", "d:1 unknown"]
    );
    assert_eq!(scene.fails("b:1"), ["b:1 down", "no primary"]);
    // The same one again is no change of primary.
    let again = scene.says("b:1", &primary(&["a:1", "b:1", "d:1"], 3));
    assert_eq!(again, ["b:1 up as primary"]);
}

#[test]
fn a_stale_primary_is_not_believed() {
    let mut scene = Scene::auto(THREE);
    scene.says("b:1", &primary(THREE, 2));
    assert_eq!(scene.says("a:1", &primary(THREE, 1)), ["a:1 down"]);
    assert_eq!(
        scene.members(),
        ["a:1 unknown", "b:1 primary", "c:1 unknown"]
    );
    // Not even when the newer one has gone.
    scene.fails("b:1");
    scene.says("a:1", &primary(THREE, 1));
    assert_eq!(
        scene.members(),
        ["a:1 unknown", "b:1 unknown", "c:1 unknown"]
    );
    scene.says("a:1", &primary(THREE, 3));
    assert_eq!(
        scene.members(),
        ["a:1 primary", "b:1 unknown", "c:1 unknown"]
    );
}

#[test]
fn before_wire_version_17_the_version_of_the_config_counts_first() {
    let older = |election: u8, version: i32, wire: i32| {
        let reply = rawdoc! { "ok": 1, "setName": "rs", "hosts": ["a:1", "b:1"], "isWritablePrimary": true,
        "electionId": ObjectId::from_bytes([election; 12]), "setVersion": version, "maxWireVersion": wire };
        Answer::read(&reply).unwrap()
    };
    let cases = [
        ((2, 1), (1, 2), 13, true),
        ((1, 2), (2, 1), 13, false),
        ((1, 1), (2, 1), 13, true),
        ((2, 1), (1, 1), 13, false),
        ((2, 1), (1, 2), 17, false),
        ((1, 2), (2, 1), 17, true),
        ((1, 1), (1, 1), 17, true),
    ];
    for (first, then, wire, believed) in cases {
        let mut election = Election::default();
        assert!(election.admit(&older(first.0, first.1, wire)));
        assert_eq!(
            election.admit(&older(then.0, then.1, wire)),
            believed,
            "{first:?} {then:?} {wire}"
        );
    }
}

#[test]
fn a_seed_gives_way_to_the_name_it_has_in_its_set() {
    let mut scene = Scene::auto(&["127.0.0.1:1"]);
    let mut reply = secondary(&["localhost:1", "b:1"]);
    reply.append(bson::cstr!("me"), "LocalHost:1");
    let changes = scene.says("127.0.0.1:1", &reply);
    assert_eq!(
        changes,
        ["localhost:1 joined", "b:1 joined", "127.0.0.1:1 left"]
    );
    let mut scene = Scene::auto(&["127.0.0.1:1"]);
    scene.says("127.0.0.1:1", &primary(&["localhost:1"], 1));
    assert_eq!(scene.members(), ["localhost:1 unknown"]);
    // A name is the same whatever its case.
    let mut scene = Scene::auto(&["Mongo-A:1"]);
    scene.says("Mongo-A:1", &primary(&["mongo-a:1"], 1));
    assert_eq!(scene.members(), ["Mongo-A:1 primary"]);
}

#[test]
fn another_set_is_not_mixed_in() {
    let mut scene = Scene::auto(&["a:1", "x:1"]);
    scene.says("a:1", &primary(&["a:1", "x:1"], 1));
    let mut other = of_set("other", &["x:1", "y:1"]);
    other.append(bson::cstr!("isWritablePrimary"), true);
    assert_eq!(scene.says("x:1", &other), ["x:1 down"]);
    assert_eq!(scene.members(), ["a:1 primary", "x:1 unknown"]);
    assert!(scene.why_not().contains("replica set `other`, not of `rs`"));
    // One that was only named by others goes.
    scene.says("a:1", &primary(&["a:1", "z:1"], 1));
    assert_eq!(scene.says("z:1", &other), ["z:1 left"]);
    for odd in [rawdoc! { "ok": 1 }, rawdoc! { "ok": 1, "msg": "isdbgrid" }] {
        scene.says("a:1", &primary(&["a:1", "z:1"], 1));
        assert_eq!(scene.says("z:1", &odd), ["z:1 left"]);
    }
}

#[test]
fn a_standalone_server_stands_alone() {
    let standalone = rawdoc! { "ok": 1, "maxWireVersion": 17 };
    let mut scene = Scene::auto(&["a:1"]);
    assert_eq!(scene.says("a:1", &standalone), ["a:1 up as standalone"]);
    assert_eq!(scene.state.deployment.kind, DeploymentKind::Standalone);
    // Restarted as a member of a replica set.
    let initial = rawdoc! { "ok": 1, "isreplicaset": true };
    assert_eq!(scene.says("a:1", &initial), ["a:1 down"]);
    scene.says("a:1", &primary(&["a:1"], 1));
    assert_eq!(scene.state.deployment.kind, DeploymentKind::ReplicaSet);

    let mut scene = Scene::auto(&["a:1", "b:1"]);
    scene.says("a:1", &standalone);
    assert!(!scene.state.deployment.is_ready());
    assert!(
        scene.why_not().contains("topology: routers"),
        "{}",
        scene.why_not()
    );
}

#[test]
fn routers_are_alike_and_others_are_none() {
    let router = rawdoc! { "ok": 1, "msg": "isdbgrid", "maxWireVersion": 21, "logicalSessionTimeoutMinutes": 30 };
    let mut scene = Scene::auto(THREE);
    scene.says("a:1", &router);
    scene.says("b:1", &secondary(&["b:1"]));
    scene.says("c:1", &rawdoc! { "ok": 1 });
    assert_eq!(scene.state.deployment.kind, DeploymentKind::Sharded);
    assert_eq!(
        scene.members(),
        ["a:1 router", "b:1 unknown", "c:1 unknown"]
    );
    assert_eq!(scene.says("b:1", &router), ["b:1 up as router"]);

    let mut scene = Scene::new(MongoTopology::Routers, THREE);
    scene.says("a:1", &rawdoc! { "ok": 1, "maxWireVersion": 13 });
    scene.says("b:1", &primary(&["x:1"], 1));
    assert_eq!(scene.members(), ["a:1 router", "b:1 router", "c:1 unknown"]);
}

#[test]
fn what_is_offered_is_what_all_can_do_and_stays_while_nobody_answers() {
    let mut scene = Scene::new(MongoTopology::Routers, &["a:1", "b:1"]);
    assert_eq!(scene.state.deployment.wire_range(), None);
    scene.says("a:1", &rawdoc! { "ok": 1, "minWireVersion": 0, "maxWireVersion": 21, "logicalSessionTimeoutMinutes": 30, "maxWriteBatchSize": 10 });
    scene.says("b:1", &rawdoc! { "ok": 1, "minWireVersion": 6, "maxWireVersion": 17, "logicalSessionTimeoutMinutes": 20, "maxBsonObjectSize": 5 });
    for _ in 0..2 {
        let deployment = &scene.state.deployment;
        assert_eq!(deployment.wire_range(), Some((0, 17)));
        assert_eq!(deployment.session_timeout_minutes(), Some(20));
        let limits = deployment.limits().unwrap();
        assert_eq!((limits.max_bson, limits.max_batch), (5, 10));
        scene.fails("a:1");
        scene.says("b:1", &rawdoc! { "ok": 1, "maxWireVersion": 17, "maxBsonObjectSize": 5, "maxWriteBatchSize": 10, "logicalSessionTimeoutMinutes": 20 });
        scene.fails("b:1");
    }
    assert!(!scene.state.deployment.is_ready());
}

#[test]
fn when_nothing_lives_for_long_the_seeds_are_asked_as_at_the_start() {
    let mut scene = Scene::auto(&["seed:1"]);
    scene.says("seed:1", &primary(&["a:1"], 9));
    assert_eq!(scene.members(), ["a:1 unknown"]);
    scene.says("a:1", &primary(&["a:1"], 9));
    scene.now += FORGET_AFTER * 2;
    assert_eq!(
        scene.fails("a:1"),
        ["a:1 down", "no primary"],
        "it lived until now"
    );
    scene.now += FORGET_AFTER * 2;
    assert_eq!(scene.fails("a:1"), ["seed:1 joined"]);
    // Made anew: another name, and elections from one on.
    let mut anew = of_set("new", &["b:1"]);
    anew.append(bson::cstr!("isWritablePrimary"), true);
    anew.append(bson::cstr!("electionId"), ObjectId::from_bytes([1; 12]));
    scene.says("seed:1", &anew);
    scene.says("b:1", &anew);
    assert_eq!(scene.members(), ["b:1 primary"]);
}

#[test]
fn the_number_of_members_is_bounded() {
    let mut scene = Scene::auto(&["a:1"]);
    for round in 0..10 {
        let hosts: Vec<_> = (0..50).map(|n| format!("h{round}-{n}:1")).collect();
        let hosts: Vec<_> = hosts.iter().map(String::as_str).collect();
        scene.says("a:1", &secondary(&hosts));
    }
    assert_eq!(scene.members().len(), MAX_MEMBERS + 1);
}

#[test]
fn round_trips_are_averaged_and_forgotten_with_the_connection() {
    let mut scene = Scene::auto(&["a:1"]);
    let id = scene.id("a:1");
    let mut sample = |millis: Option<u64>, lives: bool| {
        let answer = Answer::read(&rawdoc! { "ok": 1 }).unwrap();
        let outcome = if lives {
            Ok(answer)
        } else {
            Err("gone".into())
        };
        scene
            .state
            .take(id, outcome, millis.map(Duration::from_millis), scene.now);
        scene.state.deployment.members[0].round_trip.as_micros()
    };
    assert_eq!(sample(Some(10), true), 10_000);
    assert_eq!(sample(Some(20), true), 12_000);
    assert_eq!(sample(None, true), 12_000);
    assert_eq!(sample(None, false), 0);
    assert_eq!(sample(Some(30), true), 30_000);
}
