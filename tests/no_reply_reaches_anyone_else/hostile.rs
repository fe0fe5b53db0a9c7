//! Servers that do what none should: clients whose replies nobody can tell any more are closed, all others go on, and
//! nobody ever sees what was made up, or what another one asked for.

use std::io::{BufReader, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::ask::{brief, expect};
use crate::link::{Broken, Link};
use crate::random::Random;
use crate::relay::{MARK, Relay};
use crate::support::eventually;
use crate::support::peer::scripted;
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;
use crate::support::resp::{RedisClient, Value, encode, read_value};
use crate::{config, seed, setting};

const PROTOCOL_ERRORS: &str = "cluster.cache.upstream_cx_protocol_error";

/// What clients do meanwhile.
struct Traffic {
    relay: Relay,
    is_over: AtomicBool,
    answered: AtomicU64,
    told: AtomicU64,
    closed: AtomicU64,
}

#[test]
fn what_a_server_makes_up_reaches_nobody() {
    let seed = seed();
    println!("NARROWS_CHAOS_SEED={seed}");
    let duration = Duration::from_secs(setting("SECONDS").unwrap_or(6));
    let clients = setting("CLIENTS").unwrap_or(24);
    let redis = Redis::start();
    let relay = Relay::start(redis.address(), seed, true);
    let proxy = Proxy::start(&format!("{}workers: 2\n", config(relay.address, 32)));
    let address = proxy.address("cache");
    let traffic = Arc::new(Traffic {
        relay,
        is_over: AtomicBool::new(false),
        answered: AtomicU64::new(0),
        told: AtomicU64::new(0),
        closed: AtomicU64::new(0),
    });
    let running: Vec<_> = (0..clients)
        .map(|me| {
            let traffic = Arc::clone(&traffic);
            thread::spawn(move || {
                let result = traffic.of_client(me, address, Random::new(seed ^ me << 32));
                if result.is_err() {
                    traffic.is_over.store(true, Ordering::SeqCst);
                }
                result
            })
        })
        .collect();
    let end = Instant::now() + duration;
    while Instant::now() < end && !traffic.is_over.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(20));
    }
    traffic.is_over.store(true, Ordering::SeqCst);
    let wrong: Vec<_> = running
        .into_iter()
        .filter_map(|each| each.join().unwrap().err())
        .collect();
    assert!(wrong.is_empty(), "seed {seed}: {}", wrong.join("\n"));
    let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
    let (spoilt, ended) = (traffic.relay.spoilt(), traffic.relay.ended());
    println!(
        "{} answered, {} told, {} closed; {spoilt} connections spoilt, {ended} ended",
        count(&traffic.answered),
        count(&traffic.told),
        count(&traffic.closed)
    );
    assert!(spoilt > 0 && ended > 0, "nothing happened");
    // Each was found, once, and nothing else was taken for one.
    eventually("each spoilt connection is counted", || {
        (proxy.stats().value(PROTOCOL_ERRORS) >= spoilt as i64).then_some(())
    });
    proxy.stats().expect(PROTOCOL_ERRORS, spoilt as i64);
    crate::expect_nothing_lent(&proxy);
}

impl Traffic {
    fn of_client(
        &self,
        me: u64,
        address: std::net::SocketAddr,
        mut random: Random,
    ) -> Result<(), String> {
        let mut number = 0;
        let mut link = None;
        while !self.is_over.load(Ordering::SeqCst) {
            let mut open = match link.take() {
                Some(open) => open,
                None => {
                    let open = Link::open(address);
                    let open = open.map_err(|broken| format!("{broken:?}"))?;
                    // Several connections upstream: others go on while one of them ends.
                    let database = random.below(3).to_string();
                    open.send(&["SELECT", &database]);
                    open
                }
            };
            if open.said_nothing() {
                match open.reply() {
                    Ok(Value::Simple(_)) => {}
                    Ok(Value::Error(text)) if text.starts_with("ERR narrows: ") => {}
                    Ok(other) => return Err(format!("SELECT: {}", brief(&other))),
                    Err(broken) => return Err(format!("SELECT: {broken:?}")),
                }
            }
            if self.pipeline(me, &mut number, &mut open, &mut random)? {
                link = Some(open);
            }
        }
        Ok(())
    }

    /// False when the connection has ended.
    fn pipeline(
        &self,
        me: u64,
        number: &mut u64,
        link: &mut Link,
        random: &mut Random,
    ) -> Result<bool, String> {
        let count = 1 + random.below(12);
        let mut expected = Vec::new();
        let mut bytes = Vec::new();
        for _ in 0..count {
            *number += 1;
            let token = format!("c{me}#{number};");
            let script = "return {ARGV[1],ARGV[1]}";
            let key = format!("c{me}");
            let (request, reply) = match random.below(4) {
                0 => (vec!["SET", &key, &token], Value::ok()),
                1 => (
                    vec!["EVAL", script, "0", &token],
                    Value::bulks(&[&token; 2]),
                ),
                2 => (vec!["PING", &token], Value::bulk(&token)),
                _ => (vec!["ECHO", &token], Value::bulk(&token)),
            };
            bytes.extend(encode(&request));
            expected.push((token, reply));
        }
        link.send_raw(&bytes);
        for (token, expected) in expected {
            match link.reply() {
                Ok(Value::Error(text)) if text.starts_with("ERR narrows: cluster cache: ") => {
                    self.told.fetch_add(1, Ordering::SeqCst);
                }
                Ok(reply) => {
                    expect(&reply, &expected).map_err(|why| format!("{token}: {why}"))?;
                    if !self.relay.may_answer(&token) {
                        return Err(format!("{token} was answered, behind what was made up"));
                    }
                    self.answered.fetch_add(1, Ordering::SeqCst);
                }
                Err(Broken::Closed) if link.pushes.is_empty() => {
                    self.closed.fetch_add(1, Ordering::SeqCst);
                    return Ok(false);
                }
                Err(broken) => return Err(format!("{token}: {broken:?}, {:?}", link.pushes)),
            }
            link.remember(token);
        }
        match link.pushes.as_slice() {
            [] => Ok(true),
            pushes => Err(format!("made up: {pushes:?}")),
        }
    }
}

/// Stops the proxy, and returns when each of its threads has: what comes from now on comes at once, when it goes on.
fn freeze(proxy: &Proxy) {
    proxy.signal("STOP");
    eventually("every thread has stopped", || {
        let threads = std::fs::read_dir(format!("/proc/{}/task", proxy.pid())).unwrap();
        let mut states = threads.map(|thread| {
            let stat = std::fs::read_to_string(thread.unwrap().path().join("stat")).unwrap();
            let (_, after) = stat.rsplit_once(')').unwrap();
            after.trim_start().starts_with('T')
        });
        states.all(|is_stopped| is_stopped).then_some(())
    });
}

/// Each round, the made up reply and the next request come at the same moment, as the proxy sees it: it slept.
#[test]
fn a_reply_that_nobody_waits_for_is_not_the_next_ones() {
    let redis = Redis::start();
    let relay = Relay::start(redis.address(), 0, false);
    let proxy = Proxy::start(&format!("{}workers: 2\n", config(relay.address, 32)));
    let address = proxy.address("cache");
    let mut links: Vec<Link> = Vec::new();
    let mut spoilt = 0;
    for round in 0..20 {
        while links.len() < 8 {
            let mut link = Link::open(address).unwrap();
            link.send(&["ECHO", "first;"]);
            assert_eq!(link.reply().unwrap(), Value::bulk("first;"));
            links.push(link);
        }
        // Those that ended in the last round are gone on either side.
        eventually("the connections are those of now", || {
            let open = proxy.stats().value("cluster.cache.upstream_cx_active");
            (open == relay.open() as i64).then_some(())
        });
        freeze(&proxy);
        // Which of the two the proxy hears of first is up to their order here.
        let first = (round % 2 == 0).then(|| relay.say_to_all());
        let tokens: Vec<String> = (0..links.len())
            .map(|me| format!("c{me}#{round};"))
            .collect();
        for (link, token) in links.iter().zip(&tokens) {
            link.send(&["ECHO", token]);
        }
        spoilt += first.unwrap_or_else(|| relay.say_to_all());
        proxy.signal("CONT");
        let mut answered = Vec::new();
        for (mut link, token) in links.into_iter().zip(tokens) {
            match link.reply() {
                Ok(Value::Error(text)) if text.starts_with("ERR narrows: ") => answered.push(link),
                Ok(reply) => {
                    assert_ne!(reply, Value::bulk(MARK), "round {round}");
                    assert_eq!(reply, Value::bulk(&token), "round {round}");
                    answered.push(link);
                }
                Err(Broken::Closed) => {}
                Err(Broken::Wrong(why)) => panic!("round {round}: {why}"),
            }
        }
        links = answered;
        eventually("all of them are found", || {
            (proxy.stats().value(PROTOCOL_ERRORS) >= spoilt as i64).then_some(())
        });
    }
    assert!(spoilt >= 20);
}

/// A reply that came in parts is over: it is nothing to do with the next request that its client gets none for.
#[test]
fn whoever_waits_when_a_server_ends_is_told() {
    let (seen, next) = mpsc::channel();
    let next = Mutex::new(next);
    let server = scripted(move |stream| {
        let mut requests = BufReader::new(&stream);
        read_value(&mut requests).unwrap();
        (&stream).write_all(b"$8\r\nin ").unwrap();
        next.lock().unwrap().recv().unwrap();
        (&stream).write_all(b"parts\r\n").unwrap();
        read_value(&mut requests).unwrap();
    });
    let proxy = Proxy::start(&format!("{}workers: 1\n", config(server, 32)));
    let mut client = RedisClient::connect(proxy.address("cache"));
    client.send(&["GET", "a"]);
    assert_eq!(client.read_raw(7), b"$8\r\nin ");
    seen.send(()).unwrap();
    assert_eq!(client.read_raw(7), b"parts\r\n");
    let reply = client.command(&["GET", "b"]);
    let error = reply.error();
    assert!(
        error.ends_with("the command may have been carried out"),
        "{error}"
    );
}

/// Redis ends connections on which somebody speaks HTTP, without a word. It is not to end those of others.
#[test]
fn whoever_is_thrown_out_goes_alone() {
    let redis = Redis::start();
    let proxy = Proxy::start(&format!("{}workers: 1\n", config(redis.address(), 32)));
    let address = proxy.address("cache");
    let mut others: Vec<RedisClient> = (0..4).map(|_| RedisClient::connect(address)).collect();
    for request in [
        "POST / HTTP/1.1\r\n",
        "Host: example.com\r\n",
        "*1\r\n$4\r\npost\r\n",
    ] {
        let mut client = RedisClient::connect(address);
        assert_eq!(client.command(&["ECHO", "me"]), Value::bulk("me"));
        // What all of them say goes out together.
        freeze(&proxy);
        others[0].send(&["ECHO", "before"]);
        client.send_raw(request.as_bytes());
        for other in &mut others[1..] {
            other.send(&["ECHO", "behind"]);
        }
        proxy.signal("CONT");
        assert_eq!(others[0].reply(), Value::bulk("before"), "{request:?}");
        for other in &mut others[1..] {
            assert_eq!(other.reply(), Value::bulk("behind"), "{request:?}");
        }
        let reply = client.reply();
        assert!(reply.error().starts_with("ERR Protocol error"), "{reply:?}");
        client.expect_end();
    }
}
