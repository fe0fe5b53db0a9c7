//! SUBSCRIBE and its like, MONITOR, invalidations: replies that are several, and values that are no reply.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::script::{Script, commands, run};
use crate::support::redis::Redis;
use crate::support::resp::{RedisClient, Value};
use crate::tapped::Tapped;

#[test]
fn a_subscription_is_confirmed_channel_by_channel() {
    // The same in both versions, but for what version 2 refuses to a subscriber.
    let scripts = [
        (
            "SUBSCRIBE a b c\nPING",
            4,
            "subscribe 1, ping 1",
            "subscribed 3, unsubscribed 0, pushes 0",
        ),
        (
            "SUBSCRIBE a a\nSUBSCRIBE a b\nPING\nUNSUBSCRIBE\nGET k",
            8,
            "subscribe 2, ping 1, unsubscribe 1, get 1",
            "subscribed 4, unsubscribed 2",
        ),
        (
            "SUBSCRIBE a b c\nUNSUBSCRIBE b x b\nUNSUBSCRIBE\nGET k",
            3 + 3 + 2 + 1,
            "subscribe 1, unsubscribe 2, get 1",
            "subscribed 3, unsubscribed 5",
        ),
        (
            "UNSUBSCRIBE\nPUNSUBSCRIBE\nSUNSUBSCRIBE\nUNSUBSCRIBE x y\nGET k",
            6,
            "unsubscribe 2, punsubscribe 1, sunsubscribe 1, get 1",
            "unsubscribed 5",
        ),
        (
            "SUBSCRIBE a b\nPSUBSCRIBE x* y* z*\nSSUBSCRIBE s t\nUNSUBSCRIBE\nPING\nSUNSUBSCRIBE\nPUNSUBSCRIBE x*\nPUNSUBSCRIBE\nGET k",
            2 + 3 + 2 + 2 + 1 + 2 + 1 + 2 + 1,
            "subscribe 1, psubscribe 1, ssubscribe 1, unsubscribe 1, ping 1, sunsubscribe 1, punsubscribe 2, get 1",
            "subscribed 7, unsubscribed 7",
        ),
        (
            "SUBSCRIBE a\nUNSUBSCRIBE\nPING\nSUBSCRIBE b\nUNSUBSCRIBE b\nGET k",
            6,
            "subscribe 2, unsubscribe 2, ping 1, get 1",
            "",
        ),
        (
            "SUBSCRIBE\nPING",
            2,
            "subscribe 1 1, ping 1",
            "subscribed 0",
        ),
        (
            "SUBSCRIBE a\nRESET\nUNSUBSCRIBE\nGET k",
            4,
            "subscribe 1, reset 1, unsubscribe 1, get 1",
            "",
        ),
        ("SUBSCRIBE a b\nQUIT", 3, "subscribe 1, quit 1", ""),
        // What looks like a confirmation, and is none.
        (
            "RPUSH l subscribe a b\nLRANGE l 0 -1\nDEL l\nPING",
            4,
            "rpush 1, lrange 1, del 1, ping 1",
            "subscribed 0",
        ),
        (
            "RPUSH l message a b\nLRANGE l 0 -1\nDEL l\nPING",
            4,
            "rpush 1, lrange 1, del 1, ping 1",
            "pushes 0",
        ),
    ];
    let in_version_2 = scripts.map(|(says, values, counts, also)| Script {
        says,
        values,
        counts,
        also,
    });
    let in_version_3 = scripts.map(|(says, values, counts, also)| Script {
        says: format!("HELLO 3\n{says}").leak(),
        values: values + 1,
        counts: format!("{counts}, hello 1").leak(),
        also,
    });
    let redis = Redis::start();
    run(&redis, &in_version_2);
    run(&redis, &in_version_3);
}

#[test]
fn a_subscriber_of_version_2_may_say_little() {
    let scripts = [
        (
            "SUBSCRIBE a\nGET k\nMULTI\nHELLO 3\nMONITOR\nPING\nPING x",
            7,
            "subscribe 1, get 1 1, multi 1 1, hello 1 1, monitor 1 1, ping 2",
        ),
        (
            "SUBSCRIBE a\nCLIENT REPLY OFF\nPING\nCLIENT REPLY SKIP\nPING\nCLIENT REPLY ON\nPING",
            7,
            "subscribe 1, client_reply 3 3, ping 3",
        ),
        (
            "HELLO 3\nSUBSCRIBE a\nGET k\nMULTI\nPING\nEXEC\nHELLO 2\nGET k\nPING\nUNSUBSCRIBE\nGET k",
            11,
            "hello 2, subscribe 1, get 3 1, multi 1, ping 2, exec 1, unsubscribe 1",
        ),
        (
            "HELLO 3\nSUBSCRIBE a\nRPUSH l message a b\nLRANGE l 0 -1\nDEL l\nPING",
            6,
            "hello 1, subscribe 1, rpush 1, lrange 1, del 1, ping 1",
        ),
        (
            "HELLO 3\nEVAL return{'subscribe','a',1} 0\nPING",
            3,
            "hello 1, eval 1, ping 1",
        ),
        (
            "HELLO 4\nHELLO x\nHELLO 3 SETNAME\nHELLO\nHELLO 3\nHELLO 2\nPING",
            7,
            "hello 6 3, ping 1",
        ),
    ];
    let scripts = scripts.map(|(says, values, counts)| Script {
        says,
        values,
        counts,
        also: "",
    });
    run(&Redis::start(), &scripts);
}

#[test]
fn a_monitor_sees_lines_between_its_replies() {
    let scripts = [
        (
            "MONITOR\nPING\nGET k\nECHO 12\nRESET\nPING",
            8,
            "monitor 1, ping 2, get 1 1, echo 1, reset 1",
            "pushes 2",
        ),
        // The second one gets no reply at all.
        (
            "MONITOR\nMONITOR\nPING\nRESET\nMONITOR\nPING",
            7,
            "monitor 3, ping 2, reset 1",
            "pushes 2, without_reply 1",
        ),
        (
            "MONITOR\nPING\nQUIT",
            4,
            "monitor 1, ping 1, quit 1",
            "pushes 1",
        ),
        (
            "HELLO 3\nMONITOR\nPING\nRESET\nPING",
            6,
            "hello 1, monitor 1, ping 2, reset 1",
            "pushes 1",
        ),
        (
            "MONITOR\nSUBSCRIBE a b\nPING\nMONITOR\nRESET\nPING",
            9,
            "monitor 2 1, subscribe 1, ping 2, reset 1",
            "pushes 2, subscribed 2",
        ),
        ("MONITOR x\nPING", 2, "monitor 1 1, ping 1", "pushes 0"),
    ];
    let scripts = scripts.map(|(says, values, counts, also)| Script {
        says,
        values,
        counts,
        also,
    });
    run(&Redis::start(), &scripts);
}

/// Confirmations, messages and replies, as they come by chance: what another client publishes goes between all of them.
#[test]
fn messages_come_between_confirmations() {
    const ROUNDS: i64 = 300;
    for version in [2, 3] {
        let tapped = Tapped::start();
        let published = Published::start(&tapped.redis);
        let mut client = match version {
            2 => tapped.client(),
            _ => tapped.client_resp3(),
        };
        let mut messages = 0;
        let round = commands(
            "SUBSCRIBE a b c\nPING\nPSUBSCRIBE a* b*\nSSUBSCRIBE a\nUNSUBSCRIBE\nPUNSUBSCRIBE b*\nPING\nPUNSUBSCRIBE\nSUNSUBSCRIBE\nECHO last",
        );
        for _ in 0..ROUNDS {
            // In one piece it would be one turn of the server's.
            for part in round.chunks(20) {
                client.send_raw(part);
            }
            loop {
                match client.next() {
                    Value::Bulk(text) if text == "last" => break,
                    Value::Array(parts) | Value::Push(parts)
                        if parts[0].text().ends_with("message") =>
                    {
                        messages += 1;
                    }
                    _ => {}
                }
            }
        }
        published.stop();
        drop(client);
        assert!(messages > 0, "nothing came between");
        let others = i64::from(version == 3);
        tapped
            .closed(10 * ROUNDS + others)
            .expect("redis.redis.pushes", messages)
            .expect("redis.redis.subscribed", 6 * ROUNDS)
            .expect("redis.redis.unsubscribed", 6 * ROUNDS)
            .expect("redis.redis.command.ping.success", 2 * ROUNDS)
            .expect("redis.redis.command.echo.success", ROUNDS)
            .expect("redis.redis.error", 0);
    }
}

/// Another client that publishes without end.
struct Published {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Published {
    fn start(redis: &Redis) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut client = redis.client();
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                client.send_raw(&commands("PUBLISH a x\nPUBLISH b y\nSPUBLISH a z"));
                (0..3).for_each(|_| drop(client.reply()));
            }
        });
        Self { stop, thread }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

#[test]
fn invalidations_are_nobodys_reply() {
    let tapped = Tapped::start();
    let mut other = tapped.redis.client();
    let mut client = tapped.client_resp3();
    for how in [
        "CLIENT TRACKING ON",
        "CLIENT TRACKING OFF\nCLIENT TRACKING ON BCAST PREFIX k",
    ] {
        client.send_raw(&commands(how));
        (0..how.lines().count()).for_each(|_| assert_eq!(client.reply(), Value::ok()));
        client.command(&["GET", "k"]);
        other.command(&["SET", "k", "v"]);
        let invalidated = Value::Push(vec![Value::bulk("invalidate"), Value::bulks(&["k"])]);
        assert_eq!(client.push(), invalidated);
    }
    // Its own change comes in front of, or behind, the reply.
    client.send_raw(&commands("SET k w\nMULTI\nSET k x\nGET k\nEXEC\nGET k"));
    (0..6).for_each(|_| drop(client.reply()));
    assert_eq!(client.command(&["PING"]), Value::Simple("PONG".into()));
    let stats = tapped.at_rest(1 + 2 + 3 + 6 + 1);
    stats.expect("redis.redis.command.get.success", 4);
    // The server tells of several changes at once.
    let pushes = stats.value("redis.redis.pushes");
    assert!((3..=5).contains(&pushes), "{pushes}");
    stats.expect("redis.redis.reply.push.total", pushes);
    // Version 2 gets them as messages of a subscription, by way of another connection.
    let mut subscriber = tapped.client();
    let id = subscriber.command(&["CLIENT", "ID"]).integer().to_string();
    subscriber.command(&["SUBSCRIBE", "__redis__:invalidate"]);
    let mut tracked = tapped.client();
    tracked.command(&["CLIENT", "TRACKING", "ON", "REDIRECT", &id]);
    tracked.command(&["GET", "k"]);
    other.command(&["SET", "k", "v"]);
    assert_eq!(subscriber.next().elements()[2], Value::bulks(&["k"]));
    tracked.command(&["GET", "k"]);
    other.command(&["FLUSHALL"]);
    assert_eq!(subscriber.next().elements()[2], Value::NilBulk);
    subscriber.command(&["PING"]);
    drop((client, subscriber, tracked));
    // All keys are gone for the first client too.
    let stats = tapped.closed(13 + 3 + 3);
    assert!(stats.value("redis.redis.pushes") >= pushes + 2);
}

/// A slot that leaves its server takes its subscriptions with it, and nobody had asked for that.
#[test]
fn a_subscription_may_end_by_itself() {
    for version in [2, 3] {
        let bus = format!("cluster-port {}", crate::support::free_port());
        let tapped = Tapped::with(&["cluster-enabled yes", &bus]);
        let redis = &tapped.redis;
        redis.cli(&["cluster", "addslotsrange", "0", "16383"]);
        crate::support::eventually("the cluster is whole", || {
            redis
                .command(&["CLUSTER", "INFO"])
                .text()
                .contains("cluster_state:ok")
                .then_some(())
        });
        let mut client = match version {
            2 => tapped.client(),
            _ => tapped.client_resp3(),
        };
        client.send(&["SSUBSCRIBE", "{a}1", "{a}2", "{a}3"]);
        (0..3).for_each(|_| drop(client.next()));
        let slot = redis
            .command(&["CLUSTER", "KEYSLOT", "{a}1"])
            .integer()
            .to_string();
        redis.cli(&["cluster", "delslots", &slot]);
        (0..3).for_each(|_| assert_eq!(client.next().elements()[0], Value::bulk("sunsubscribe")));
        client.send_raw(&commands("SUNSUBSCRIBE\nPING"));
        assert_eq!(client.next().elements()[0], Value::bulk("sunsubscribe"));
        assert_eq!(client.next(), Value::Simple("PONG".into()));
        drop(client);
        tapped
            .closed(3 + i64::from(version == 3))
            .expect("redis.redis.pushes", 3)
            .expect("redis.redis.unsubscribed", 4)
            .expect("redis.redis.command.sunsubscribe.success", 1)
            .expect("redis.redis.command.ping.success", 1);
    }
}

/// Rights are asked for before a channel is: one error for all of them.
#[test]
fn a_subscription_may_be_refused() {
    let user = "user default on nopass ~* +@all resetchannels &open";
    let redis = Redis::with(&[user]);
    run(
        &redis,
        &[Script {
            says: "SUBSCRIBE open shut other\nSUBSCRIBE open\nPING\nPSUBSCRIBE *\nUNSUBSCRIBE\nGET k",
            values: 6,
            counts: "subscribe 2 1, ping 1, psubscribe 1 1, unsubscribe 1, get 1",
            also: "error_prefix.NOPERM.total 2, subscribed 1",
        }],
    );
}

/// Lines that other clients cause.
#[test]
fn a_monitor_sees_what_others_do() {
    let tapped = Tapped::start();
    let mut monitor: RedisClient = tapped.client();
    monitor.command(&["MONITOR"]);
    let mut other = tapped.redis.client();
    other.send_raw(&commands("SET k v\n").repeat(1_000));
    for _ in 0..20 {
        monitor.send(&["PING"]);
    }
    let mut pongs = 0;
    let mut lines = 0;
    while pongs < 20 || lines < 1_020 {
        match monitor.next() {
            Value::Simple(text) if text == "PONG" => pongs += 1,
            Value::Simple(line) => {
                assert!(line.as_bytes()[0].is_ascii_digit(), "{line}");
                lines += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    drop(monitor);
    tapped
        .closed(21)
        .expect("redis.redis.pushes", 1_020)
        .expect("redis.redis.command.ping.success", 20);
}
