use std::sync::Arc;
use std::time::Instant;

use super::*;
use crate::upstream::cluster::Endpoint;
use crate::upstream::mongo::deployment::LastWrite;

const THRESHOLD: Duration = Duration::from_millis(15);

/// Members as `kind tag round-trip-ms behind-seconds`.
fn deployment(kind: DeploymentKind, members: &[(MemberKind, &str, u64, i64)]) -> Deployment {
    let endpoints: Vec<_> = (1..=members.len())
        .map(|port| {
            Arc::new(Endpoint::new(
                "127.0.0.1".into(),
                u16::try_from(port).unwrap(),
                None,
            ))
        })
        .collect();
    let mut deployment = Deployment::unknown("c".into(), &endpoints);
    deployment.kind = kind;
    for (member, (kind, tag, millis, behind)) in deployment.members.iter_mut().zip(members) {
        member.kind = *kind;
        member.tags = vec![("dc".into(), (*tag).into()), ("all".into(), "yes".into())];
        member.round_trip = Duration::from_millis(*millis);
        member.last_write = Some(LastWrite {
            date_ms: 1_000_000 - behind * 1000,
            seen: Instant::now(),
        });
    }
    deployment.derive();
    deployment
}

/// The ports that are chosen over many choices.
fn chosen(deployment: &Deployment, want: &Want) -> Vec<u16> {
    let mut ports: Vec<_> = (0..20)
        .filter_map(|_| Some(select(deployment, want, THRESHOLD)?.endpoint.port))
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn read(mode: Mode, tag_sets: &[&[(&str, &str)]], max_staleness: Option<u64>) -> Want {
    let tag = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Want::Read(ReadPreference {
        mode,
        tag_sets: tag_sets
            .iter()
            .map(|tags| tags.iter().map(tag).collect())
            .collect(),
        max_staleness: max_staleness.map(Duration::from_secs),
    })
}

use MemberKind::{Mongos, Other, Primary, Secondary, Standalone, Unknown};

#[test]
fn each_mode_chooses_among_its_members() {
    let whole = deployment(
        DeploymentKind::ReplicaSet,
        &[
            (Secondary, "a", 1, 0),
            (Primary, "a", 1, 0),
            (Secondary, "b", 1, 0),
            (Other, "a", 1, 0),
            (Unknown, "a", 1, 0),
        ],
    );
    let headless = deployment(
        DeploymentKind::ReplicaSet,
        &[
            (Secondary, "a", 1, 0),
            (Unknown, "a", 1, 0),
            (Other, "b", 1, 0),
        ],
    );
    let lonely = deployment(
        DeploymentKind::ReplicaSet,
        &[(Primary, "a", 1, 0), (Other, "a", 1, 0)],
    );
    for (want, of_whole, of_headless, of_lonely) in [
        (Want::Write, &[2][..], &[][..], &[1][..]),
        (read(Mode::Primary, &[], None), &[2], &[], &[1]),
        (read(Mode::PrimaryPreferred, &[], None), &[2], &[1], &[1]),
        (read(Mode::Secondary, &[], None), &[1, 3], &[1], &[]),
        (
            read(Mode::SecondaryPreferred, &[], None),
            &[1, 3],
            &[1],
            &[1],
        ),
        (read(Mode::Nearest, &[], None), &[1, 2, 3], &[1], &[1]),
        (Want::Any, &[1, 2, 3], &[1], &[1]),
    ] {
        assert_eq!(chosen(&whole, &want), of_whole, "{want}");
        assert_eq!(chosen(&headless, &want), of_headless, "{want}");
        assert_eq!(chosen(&lonely, &want), of_lonely, "{want}");
    }
}

#[test]
fn tag_sets_are_tried_in_order() {
    let set = deployment(
        DeploymentKind::ReplicaSet,
        &[
            (Primary, "p", 1, 0),
            (Secondary, "a", 1, 0),
            (Secondary, "b", 1, 0),
        ],
    );
    let both: &[(&str, &str)] = &[("dc", "b"), ("all", "yes")];
    for (want, wanted) in [
        (read(Mode::Secondary, &[both], None), &[3][..]),
        (
            read(
                Mode::Secondary,
                &[&[("dc", "x")], &[("dc", "a")], both],
                None,
            ),
            &[2],
        ),
        (read(Mode::Secondary, &[&[("dc", "x")]], None), &[]),
        (read(Mode::Secondary, &[&[("dc", "x")], &[]], None), &[2, 3]),
        (
            read(Mode::SecondaryPreferred, &[&[("dc", "p")]], None),
            &[1],
        ),
        (read(Mode::PrimaryPreferred, &[&[("dc", "a")]], None), &[1]),
        (read(Mode::Nearest, &[&[("dc", "p")]], None), &[1]),
        (read(Mode::Nearest, &[&[("all", "yes")]], None), &[1, 2, 3]),
    ] {
        assert_eq!(chosen(&set, &want), wanted, "{want:?}");
    }
}

#[test]
fn a_stale_secondary_does_not_serve() {
    // The heartbeat of 10 s counts as staleness, as the specification says.
    let set = deployment(
        DeploymentKind::ReplicaSet,
        &[
            (Primary, "p", 1, 0),
            (Secondary, "a", 1, 79),
            (Secondary, "b", 1, 85),
        ],
    );
    assert_eq!(chosen(&set, &read(Mode::Secondary, &[], Some(90))), [2]);
    assert_eq!(chosen(&set, &read(Mode::Secondary, &[], Some(120))), [2, 3]);
    let headless = deployment(
        DeploymentKind::ReplicaSet,
        &[(Secondary, "a", 1, 10), (Secondary, "b", 1, 100)],
    );
    assert_eq!(chosen(&headless, &read(Mode::Nearest, &[], Some(90))), [1]);
    let mut untold = deployment(
        DeploymentKind::ReplicaSet,
        &[(Primary, "p", 1, 0), (Secondary, "a", 1, 0)],
    );
    untold.members[1].last_write = None;
    untold.derive();
    assert_eq!(
        chosen(&untold, &read(Mode::SecondaryPreferred, &[], Some(90))),
        [1]
    );
}

#[test]
fn a_secondary_asked_later_is_not_taken_for_fresher() {
    let mut set = deployment(
        DeploymentKind::ReplicaSet,
        &[(Primary, "p", 1, 0), (Secondary, "a", 1, 0)],
    );
    let seen = set.members[0].last_write.unwrap().seen;
    set.members[1].last_write.as_mut().unwrap().seen = seen + Duration::from_secs(5);
    set.derive();
    assert_eq!(set.members[1].staleness, Some(Duration::from_secs(15)));
    set.members[1].last_write.as_mut().unwrap().seen = seen;
    set.members[0].last_write.as_mut().unwrap().seen = seen + Duration::from_secs(5);
    set.derive();
    assert_eq!(
        set.members[1].staleness,
        Some(Duration::from_secs(10)),
        "it can't be ahead of the primary"
    );
}

#[test]
fn far_servers_wait_outside_of_the_window() {
    let routers = deployment(
        DeploymentKind::Sharded,
        &[
            (Mongos, "", 20, 0),
            (Mongos, "", 5, 0),
            (Mongos, "", 21, 0),
            (Unknown, "", 0, 0),
        ],
    );
    assert_eq!(chosen(&routers, &Want::Write), [1, 2]);
    // The nearest one that fits makes the window, not the nearest of all.
    let set = deployment(
        DeploymentKind::ReplicaSet,
        &[
            (Primary, "p", 1, 0),
            (Secondary, "a", 40, 0),
            (Secondary, "b", 50, 0),
            (Secondary, "b", 60, 0),
        ],
    );
    assert_eq!(chosen(&set, &read(Mode::Secondary, &[], None)), [2, 3]);
}

#[test]
fn the_least_loaded_is_chosen_and_equals_share() {
    let routers = deployment(
        DeploymentKind::Sharded,
        &[
            (Mongos, "", 1, 0),
            (Unknown, "", 1, 0),
            (Mongos, "", 1, 0),
            (Unknown, "", 1, 0),
            (Mongos, "", 1, 0),
        ],
    );
    let busy = &routers.members[2].endpoint;
    busy.begin_operation();
    assert_eq!(chosen(&routers, &Want::Any), [1, 5]);
    busy.end_operation();
    let mut counts = [0; 6];
    for _ in 0..300 {
        let port = select(&routers, &Want::Any, THRESHOLD)
            .unwrap()
            .endpoint
            .port;
        counts[usize::from(port)] += 1;
    }
    assert_eq!(counts, [0, 100, 0, 100, 0, 100]);
}

#[test]
fn a_preference_means_nothing_outside_of_a_replica_set() {
    let alone = deployment(DeploymentKind::Standalone, &[(Standalone, "a", 1, 0)]);
    let strict = read(Mode::Secondary, &[&[("dc", "x")]], Some(90));
    assert_eq!(chosen(&alone, &strict), [1]);
    let routers = deployment(DeploymentKind::Sharded, &[(Mongos, "a", 1, 0)]);
    assert_eq!(chosen(&routers, &strict), [1]);
    let none = deployment(DeploymentKind::Unknown, &[(Unknown, "a", 1, 0)]);
    assert_eq!(chosen(&none, &Want::Any), [0_u16; 0]);
}
