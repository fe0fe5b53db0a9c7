//! Whatever happens, a reply is the right client's.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::random::Random;
use crate::support::eventually;
use crate::support::resp::{RedisClient, Value, encode};
use crate::{NAMES, Routed};

/// Many clients with values of their own over all clusters, some pipelines cut in the middle, one server killed again and again: whatever is
/// answered is the right client's, at the right place of the pipeline.
#[test]
fn no_reply_reaches_anyone_else_while_a_cluster_comes_and_goes() {
    const CLIENTS: usize = 40;
    let mut routed = Routed::start();
    let address = routed.proxy.address("cache");
    let ended = AtomicBool::new(false);
    let judged = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for me in 0..CLIENTS {
            let (ended, judged) = (&ended, &judged);
            scope.spawn(move || {
                let mut random = Random::new(me as u64);
                while !ended.load(Ordering::Relaxed) {
                    let count = random_client(address, me, &mut random);
                    judged.fetch_add(count, Ordering::Relaxed);
                }
            });
        }
        let users = routed.servers.get_mut("users").unwrap();
        for round in 1..=4 {
            eventually("much has been judged", || {
                (judged.load(Ordering::Relaxed) > round * 40_000).then_some(())
            });
            users.restart();
        }
        ended.store(true, Ordering::Relaxed);
    });
    let stats = eventually("nothing is under way", || {
        let stats = routed.proxy.stats();
        (stats.value("redis.cache.downstream_rq_active") == 0).then_some(stats)
    });
    for name in NAMES {
        stats.expect(&format!("cluster.{name}.upstream_cx_protocol_error"), 0);
    }
}

/// One connection of client `me`, with a few pipelines. Returns how many replies were judged; a connection that is lost has no more.
fn random_client(address: SocketAddr, me: usize, random: &mut Random) -> usize {
    let mut client = RedisClient::connect(address);
    let key = |number: u64| {
        let prefix = ["user:", "cart:", "", "user:old:"][number as usize % 4];
        format!("{prefix}{me}:{number}")
    };
    let is_own = |value: &Value, key: &str| {
        *value == Value::NilBulk || value.text().starts_with(&format!("{key}="))
    };
    let mut judged = 0;
    for _ in 0..random.below(20) {
        let mut asked: Vec<Vec<String>> = Vec::new();
        for _ in 0..=random.below(30) {
            let mut keys: Vec<_> = (0..=random.below(5))
                .map(|_| key(random.below(12)))
                .collect();
            keys.dedup();
            let valued = |key: &String| [key.clone(), format!("{key}={}", "x".repeat(20))];
            asked.push(match random.below(4) {
                0 => [vec!["SET".to_string()], valued(&keys[0]).to_vec()].concat(),
                1 => vec!["GET".to_string(), keys[0].clone()],
                2 => [vec!["MGET".to_string()], keys].concat(),
                _ => [
                    vec!["MSET".to_string()],
                    keys.iter().flat_map(valued).collect(),
                ]
                .concat(),
            });
        }
        client.send_raw(
            &asked
                .iter()
                .flat_map(|asked| encode(asked))
                .collect::<Vec<_>>(),
        );
        let leaves = random.below(20) == 0;
        for asked in &asked {
            if leaves && random.below(10) == 0 {
                return judged;
            }
            let Ok(reply) = client.try_reply() else {
                return judged;
            };
            let keys = &asked[1..];
            let fits = match (asked[0].as_str(), &reply) {
                (_, Value::Error(why)) => why.contains("cluster users"),
                ("SET" | "MSET", reply) => *reply == Value::ok(),
                ("GET", reply) => is_own(reply, &keys[0]),
                (_, Value::Array(values)) => {
                    let mut pairs = values.iter().zip(keys);
                    values.len() == keys.len() && pairs.all(|(value, key)| is_own(value, key))
                }
                _ => false,
            };
            assert!(fits, "client {me}: {asked:?} was answered {reply:?}");
            judged += 1;
        }
    }
    judged
}
