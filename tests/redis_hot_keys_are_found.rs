//! The keys that are asked for most are found among many others, in both modes; and where nobody asked for that no key is told.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use serde_json::Value;
use support::eventually;
use support::proxy::Proxy;
use support::redis::Redis;
use support::resp::{RedisClient, encode};

/// Keys that are asked for once each, many more than are followed.
const COLD: usize = 20_000;

/// Keys, and how often they are asked for.
const HOT: [(&str, u64); 3] = [
    ("user:anna", 3_000),
    ("user:bert", 2_000),
    ("cart:1", 1_000),
];

/// No interval ends by itself.
fn start(redis: &Redis, settings: &str) -> Proxy {
    start_with(redis, settings, "5m")
}

fn start_with(redis: &Redis, settings: &str, interval: &str) -> Proxy {
    Proxy::start(&format!(
        "workers: 2\nstats: {{ interval: {interval} }}\n\
         listeners:\n  - {{ name: cache, listen: 127.0.0.1:0, protocol: redis, cluster: cache, redis: {{ {settings} }} }}\n\
         clusters:\n  - {{ name: cache, endpoints: ['{}'] }}\n",
        redis.address()
    ))
}

fn page(proxy: &Proxy) -> Value {
    serde_json::from_str(&proxy.get("/hot_keys")).unwrap()
}

/// Several clients, so that both workers have some, and the hot keys among the cold ones.
fn ask(proxy: &Proxy) -> u64 {
    let mut keys: Vec<String> = (0..COLD).map(|number| format!("cold:{number}")).collect();
    for (key, count) in HOT {
        for turn in 0..count {
            let place = (turn as usize * 7_919) % keys.len();
            keys.insert(place, key.to_string());
        }
    }
    std::thread::scope(|scope| {
        for part in keys.chunks(keys.len() / 8) {
            scope.spawn(move || {
                let mut client = RedisClient::connect(proxy.address("cache"));
                for keys in part.chunks(500) {
                    let requests = keys.iter().flat_map(|key| encode(&["GET", key]));
                    client.send_raw(&requests.collect::<Vec<_>>());
                    keys.iter().for_each(|_| drop(client.reply()));
                }
                client.command(&["PING"]);
            });
        }
    });
    keys.len() as u64
}

#[test]
fn the_hottest_keys_are_found_in_both_modes() {
    let redis = Redis::start();
    for mode in ["tap", "collapse"] {
        let proxy = start(&redis, &format!("mode: {mode}, hot_keys: 3"));
        let asked = ask(&proxy);
        let page = page(&proxy);
        let [listener] = &page["hot_keys"].as_array().unwrap()[..] else {
            panic!("{page}");
        };
        assert_eq!(listener["listener"], "cache");
        assert_eq!(listener["requests"], asked, "{mode}");
        let shown = listener["keys"].as_array().unwrap();
        let names: Vec<_> = shown
            .iter()
            .map(|hot| hot["key"].as_str().unwrap())
            .collect();
        assert_eq!(names, HOT.map(|(key, _)| key), "{mode}: {page}");
        for (hot, (_, count)) in shown.iter().zip(HOT) {
            let bound = |name: &str| hot[name].as_u64().unwrap();
            assert!(
                bound("at_least") <= count && count <= bound("at_most"),
                "{page}"
            );
        }
    }
}

#[test]
fn what_was_hot_is_forgotten() {
    let redis = Redis::start();
    let proxy = start(&redis, "hot_keys: 5");
    let mut client = RedisClient::connect(proxy.address("cache"));
    client.command(&["GET", "k"]);
    client.command(&["GET", &"l".repeat(1_000)]);
    let keys = page(&proxy)["hot_keys"][0]["keys"].clone();
    assert_eq!(keys[0]["key"], "k");
    assert_eq!(keys[1]["key"], "l".repeat(128) + "...");
    let proxy = start_with(&redis, "hot_keys: 5", "100ms");
    let mut client = RedisClient::connect(proxy.address("cache"));
    client.command(&["GET", "k"]);
    eventually("two intervals have ended", || {
        (page(&proxy)["hot_keys"][0]["requests"] == 0).then_some(())
    });
}

#[test]
fn no_key_is_told_where_nobody_asked_for_it() {
    let redis = Redis::start();
    let proxy = start(&redis, "mode: tap");
    RedisClient::connect(proxy.address("cache")).command(&["GET", "secret-name"]);
    assert_eq!(proxy.get("/hot_keys"), "{\"hot_keys\":[]}");
    assert!(!proxy.get("/stats").contains("secret-name"));
}
