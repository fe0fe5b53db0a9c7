//! From the handle that a session holds to what the pages show.

use std::sync::Arc;

use super::render::{self, Filter};
use super::sinks::prometheus;
use super::*;
use crate::config::StatsLimits;

fn aggregator(collections: usize) -> Aggregator {
    let limits = StatsLimits {
        commands: 100,
        collections,
        call_sites: 100,
        applications: 100,
        error_codes: 100,
        drivers: 100,
        callers: 100,
        grpc_methods: 100,
        status_codes: 100,
    };
    Aggregator::new(Registry::new(&limits))
}

fn local(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())
        .unwrap()
        .block_on(test);
}

fn only(name: &str) -> Filter {
    Filter {
        name: Some(crate::pattern::compile(name).unwrap()),
        ..Filter::default()
    }
}

#[test]
fn the_same_labels_are_the_same_series() {
    local(async {
        let mut aggregator = aggregator(10);
        let shard = aggregator.own_shard();
        for _ in 0..3 {
            let find: Scope<MongoCommand> = shard.scope(&[b"m", b"find"]);
            find.inc(MongoCommand::TOTAL);
        }
        let other: Scope<MongoCommand> = shard.scope(&[b"m", b"insert"]);
        other.add(MongoCommand::TOTAL, 7);
        aggregator.refresh().await;
        let text = render::text(&aggregator, &only(r"cmd\..*\.total$"));
        assert_eq!(
            text,
            "mongo.m.cmd.find.total: 3\nmongo.m.cmd.insert.total: 7\n"
        );
    });
}

#[test]
fn percentiles_are_of_the_last_interval_and_of_all_time() {
    local(async {
        let mut aggregator = aggregator(10);
        let find: Scope<MongoCommand> = aggregator.own_shard().scope(&[b"m", b"find"]);
        let line = "mongo.m.cmd.find.reply_time_ms: ";
        let shown = |aggregator: &Aggregator| render::text(aggregator, &only("find.reply_time_ms"));
        assert_eq!(shown(&aggregator), "", "nobody has looked yet");
        aggregator.refresh().await;
        assert_eq!(shown(&aggregator), format!("{line}No recorded values\n"));
        find.record(MongoCommand::REPLY_TIME_MS, 1_500);
        aggregator.refresh().await;
        assert!(shown(&aggregator).starts_with(&format!("{line}P0(nan,1.500) P25(nan,1.500)")));
        aggregator.rotate();
        assert!(shown(&aggregator).contains("P99(1.500,1.500) P99.5(1.500,1.500)"));
        find.record(MongoCommand::REPLY_TIME_MS, 3_000);
        aggregator.refresh().await;
        aggregator.rotate();
        assert!(
            shown(&aggregator).contains("P0(3.000,1.500)"),
            "{}",
            shown(&aggregator)
        );
        aggregator.rotate();
        assert!(
            shown(&aggregator).contains("P100(nan,3.000)"),
            "{}",
            shown(&aggregator)
        );
    });
}

#[test]
fn a_listeners_histograms_are_those_of_its_commands() {
    local(async {
        let mut aggregator = aggregator(10);
        let shard = aggregator.own_shard();
        let _listeners: [Scope<Mongo>; 2] = [shard.scope(&[b"a"]), shard.scope(&[b"b"])];
        for (listener, command, micros) in [
            (b"a", "find", 100),
            (b"a", "insert", 200),
            (b"b", "find", 50),
        ] {
            let scope: Scope<MongoCommand> = shard.scope(&[listener, command.as_bytes()]);
            scope.record(MongoCommand::REPLY_TIME_MS, micros);
        }
        aggregator.refresh().await;
        assert_eq!(
            count_and_sum(&aggregator, r"^mongo\.a\.upstream_time_ms"),
            (2, 0.3)
        );
        assert_eq!(
            count_and_sum(&aggregator, r"^mongo\.b\.upstream_time_ms"),
            (1, 0.05)
        );
    });
}

/// What is recorded once is in each series that shares it, along with what was recorded there alone.
#[test]
fn shared_values_are_in_every_series_they_belong_to() {
    local(async {
        let mut aggregator = aggregator(10);
        let shard = aggregator.own_shard();
        let _listener: Scope<Mongo> = shard.scope(&[b"m"]);
        let find: Scope<MongoCommand> = shard.scope(&[b"m", b"find"]);
        let [carts, users] =
            [&b"d.carts"[..], b"d.users"].map(|name| shard.scope::<MongoCollection>(&[b"m", name]));
        let upstream = MongoCommand::REPLY_TIME_MS;
        let [in_carts, in_users] = [&carts, &users].map(|stats| {
            let also = [stats.gets(MongoCollection::REPLY_TIME_MS, upstream)];
            find.shared_with(&also)
        });
        for (stats, micros) in [(&in_carts, 100), (&in_users, 200), (&find, 400)] {
            stats.inc(MongoCommand::TOTAL);
            stats.record(upstream, micros);
            stats.record(MongoCommand::ADDED_TIME_MS, 1);
        }
        carts.record(MongoCollection::REPLY_TIME_MS, 800);
        aggregator.refresh().await;
        for (name, expected) in [
            (r"cmd\.find\.reply_time_ms", (3, 0.7)),
            (r"cmd\.find\.added_time_ms", (3, 0.003)),
            (r"^mongo\.m\.upstream_time_ms", (3, 0.7)),
            (r"d\.carts\.query\.reply_time_ms", (2, 0.9)),
            (r"d\.users\.query\.reply_time_ms", (1, 0.2)),
        ] {
            assert_eq!(count_and_sum(&aggregator, name), expected, "{name}");
        }
        let total = render::text(&aggregator, &only(r"cmd\.find\.total$"));
        assert_eq!(total, "mongo.m.cmd.find.total: 3\n");
    });
}

fn count_and_sum(aggregator: &Aggregator, name: &str) -> (u64, f64) {
    let json = render::json(aggregator, &only(name));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let found = &json["stats"][0]["histograms"]["computed_quantiles"][0];
    (
        found["count"].as_u64().unwrap(),
        found["sum"].as_f64().unwrap(),
    )
}

#[test]
fn names_beyond_the_cap_are_one_series_and_are_counted() {
    local(async {
        let mut aggregator = aggregator(3);
        let shard = aggregator.own_shard();
        for i in 0..1_000 {
            let name = format!("d.c{i}");
            let scope: Scope<MongoCollection> = shard.scope(&[b"m", name.as_bytes()]);
            scope.inc(MongoCollection::TOTAL);
            assert_eq!(scope.is_folded(), i >= 3);
        }
        aggregator.refresh().await;
        let text = render::text(&aggregator, &only(r"query\.total|folded\.collections"));
        let expected = "mongo.m.collection._other.query.total: 997\n\
                        mongo.m.collection.d.c0.query.total: 1\n\
                        mongo.m.collection.d.c1.query.total: 1\n\
                        mongo.m.collection.d.c2.query.total: 1\n\
                        stats.folded.collections.total: 997\n";
        assert_eq!(text, expected);
    });
}

#[test]
fn prometheus_gets_base_units_and_cumulative_buckets() {
    local(async {
        let mut aggregator = aggregator(10);
        let find: Scope<MongoCommand> = aggregator.own_shard().scope(&[b"m", b"find"]);
        find.record(MongoCommand::REPLY_TIME_MS, 90);
        find.record(MongoCommand::REPLY_TIME_MS, 2_000_000);
        aggregator.refresh().await;
        let page = prometheus::render(&aggregator, &only("find.reply_time_ms"));
        for line in [
            "# TYPE narrows_mongo_cmd_reply_time_seconds histogram",
            "narrows_mongo_cmd_reply_time_seconds_bucket{listener=\"m\",cmd=\"find\",le=\"0.0001\"} 1",
            "narrows_mongo_cmd_reply_time_seconds_bucket{listener=\"m\",cmd=\"find\",le=\"1\"} 1",
            "narrows_mongo_cmd_reply_time_seconds_bucket{listener=\"m\",cmd=\"find\",le=\"2.5\"} 2",
            "narrows_mongo_cmd_reply_time_seconds_bucket{listener=\"m\",cmd=\"find\",le=\"+Inf\"} 2",
            "narrows_mongo_cmd_reply_time_seconds_sum{listener=\"m\",cmd=\"find\"} 2.00009",
            "narrows_mongo_cmd_reply_time_seconds_count{listener=\"m\",cmd=\"find\"} 2",
        ] {
            assert!(
                page.lines().any(|found| found == line),
                "{line} is not in\n{page}"
            );
        }
    });
}

/// Two workers record while the aggregator gathers again and again: nothing is lost or counted twice.
#[test]
fn what_workers_record_meanwhile_is_all_there_in_the_end() {
    const EACH: u64 = 20_000;
    local(async {
        let mut aggregator = aggregator(10);
        let finished = Arc::new(tokio::sync::Semaphore::new(0));
        let (end, _) = tokio::sync::broadcast::channel::<()>(1);
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (seed, finished) = (aggregator.worker(), Arc::clone(&finished));
                let mut ended = end.subscribe();
                std::thread::spawn(move || {
                    local(async move {
                        let find: Scope<MongoCommand> = seed.plant().scope(&[b"m", b"find"]);
                        for value in 0..EACH {
                            find.inc(MongoCommand::TOTAL);
                            find.record(MongoCommand::REPLY_SIZE, value);
                            if value % 100 == 0 {
                                tokio::task::yield_now().await;
                            }
                        }
                        finished.add_permits(1);
                        ended.recv().await.unwrap();
                    });
                })
            })
            .collect();
        while finished.available_permits() < 2 {
            aggregator.refresh().await;
        }
        aggregator.refresh().await;
        let json = render::json(&aggregator, &only(r"find\.(total|reply_size)$"));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["stats"][0]["value"], 2 * EACH);
        let histogram = &json["stats"][1]["histograms"]["computed_quantiles"][0];
        assert_eq!(histogram["count"], 2 * EACH);
        assert_eq!(
            histogram["sum"].as_f64().unwrap(),
            (EACH * (EACH - 1)) as f64
        );
        end.send(()).unwrap();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}
