//! Clients share connections, but for what is about a connection: for that each has its own, which is given back clean, or closed.

use std::time::Duration;

use crate::collapsed::{Collapsed, commands, config, say};
use crate::support::eventually;
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;
use crate::support::resp::{RedisClient, Value};

#[test]
fn each_worker_has_one_connection_for_all_clients() {
    let redis = Redis::start();
    let two = config(redis.address(), "").replace("workers: 1", "workers: 2");
    let collapsed = Collapsed {
        proxy: Proxy::start(&two),
        redis,
    };
    let mut clients: Vec<_> = (0..50).map(|_| collapsed.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(&["SET", &format!("k{number}"), &number.to_string()]);
        client.send(&["GET", &format!("k{number}")]);
    }
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.reply(), Value::ok());
        assert_eq!(client.reply(), Value::bulk(number.to_string()));
    }
    let count = collapsed.at_server().len();
    assert!((1..=2).contains(&count), "{count} connections");
    let stats = collapsed.proxy.stats();
    stats
        .expect("cluster.redis.pool.active", count as i64)
        .expect("cluster.redis.upstream_cx_total", count as i64)
        .expect("listener.redis.downstream_cx_active", 50);
    drop(clients);
    collapsed
        .at_rest()
        .expect("cluster.redis.upstream_rq_total", 100);
}

/// What a connection of one's own is for, and that it is given back, with the number of replies.
#[test]
fn a_connection_is_ones_own_for_so_long_and_then_given_back_clean() {
    let collapsed = Collapsed::start();
    let mut other = collapsed.client();
    say(&mut other, "SET other 1");
    for (begins, replies, ends, more) in [
        ("WATCH k", 1, "UNWATCH", 1),
        ("WATCH k", 1, "MULTI\nEXEC", 2),
        ("WATCH k\nMULTI\nPING", 3, "DISCARD", 1),
        ("MULTI\nSET k x\nGET k", 3, "EXEC", 1),
        ("MULTI\nNONSENSE", 2, "EXEC", 1),
        ("MULTI\nWATCH k\nMULTI", 3, "DISCARD", 1),
        ("BLPOP list 0", 0, "", 1),
    ] {
        println!("{begins:?} {ends:?}");
        let mut client = collapsed.client();
        client.send_raw(&commands(begins));
        (0..replies).for_each(|_| drop(client.reply()));
        collapsed.expect_at_server(2);
        let active = || collapsed.proxy.stats().value("cluster.redis.pool.active");
        eventually("it is lent", || (active() == 2).then_some(()));
        match ends {
            "" => drop(say(&mut other, "RPUSH list x")),
            ends => client.send_raw(&commands(ends)),
        }
        (0..more).for_each(|_| drop(client.reply()));
        eventually("it is given back", || (active() == 1).then_some(()));
        expect_clean(&collapsed);
        // Its client goes on, over what it shares; the next one is lent the same again.
        assert_eq!(say(&mut client, "GET other"), Value::bulk("1"));
    }
    let total = collapsed
        .proxy
        .stats()
        .value("cluster.redis.upstream_cx_total");
    assert_eq!(total, 2, "the same connection served all of them");
}

/// No name, no database, no transaction, no subscription is left of who had them before.
#[track_caller]
fn expect_clean(collapsed: &Collapsed) {
    for client in collapsed.at_server() {
        for (field, clean) in [
            ("name", ""),
            ("db", "0"),
            ("sub", "0"),
            ("psub", "0"),
            ("multi", "-1"),
            ("resp", "2"),
            ("user", "default"),
        ] {
            assert_eq!(client[field], clean, "{field} of {client:?}");
        }
        assert!(client["flags"] == "N", "{client:?}");
    }
}

/// A key that somebody has watched does not fail the transaction of who comes after.
#[test]
fn nobody_watches_for_somebody_else() {
    let collapsed = Collapsed::with(&[], "max_connections: 2");
    for ends in ["UNWATCH", "MULTI\nEXEC", "MULTI\nDISCARD"] {
        let (mut first, mut second) = (collapsed.client(), collapsed.client());
        assert_eq!(say(&mut first, "WATCH k"), Value::ok());
        first.send_raw(&commands(ends));
        ends.lines().for_each(|_| drop(first.reply()));
        say(&mut second, "SET k x");
        assert_eq!(say(&mut second, "MULTI"), Value::ok());
        say(&mut second, "PING").text();
        assert_eq!(say(&mut second, "EXEC").elements().len(), 1);
    }
    // Whoever does watch, is told.
    let (mut first, mut second) = (collapsed.client(), collapsed.client());
    assert_eq!(say(&mut first, "WATCH k"), Value::ok());
    say(&mut second, "SET k y");
    first.send_raw(&commands("MULTI\nPING\nEXEC"));
    (0..2).for_each(|_| drop(first.reply()));
    assert_eq!(first.reply(), Value::NilArray);
}

/// What can't be undone is kept to the end, and nobody gets the connection then.
#[test]
fn what_cannot_be_undone_is_closed_with_its_client() {
    let collapsed = Collapsed::start();
    let mut other = collapsed.client();
    say(&mut other, "PING");
    for (line, has_reply) in [
        ("SUBSCRIBE c", true),
        ("PSUBSCRIBE c*", true),
        ("SSUBSCRIBE c", true),
        ("MONITOR", true),
        ("CLIENT TRACKING ON BCAST", true),
        ("CLIENT REPLY OFF", false),
        ("CLIENT ID", true),
        ("CLIENT NO-EVICT ON", true),
        ("CLIENT INFO", true),
        ("DEBUG SLEEP 0", true),
        ("WATCH k\nSELECT 3\nUNWATCH", true),
        ("WATCH k\nCLIENT SETNAME me\nUNWATCH", true),
        ("MULTI\nSELECT 3\nEXEC", true),
        ("MULTI\nCLIENT SETNAME me\nEXEC", true),
        ("WATCH k\nHELLO 3\nUNWATCH", true),
    ] {
        println!("{line:?}");
        let mut client = collapsed.client();
        client.send_raw(&commands("CLIENT SETNAME mine"));
        assert_eq!(client.reply(), Value::ok());
        client.send_raw(&commands(line));
        if has_reply {
            line.lines().for_each(|_| drop(client.next()));
        }
        collapsed.expect_at_server(2);
        // It goes on, on its own connection.
        if line.starts_with("CLIENT") && has_reply {
            assert_eq!(say(&mut client, "ECHO x"), Value::bulk("x"));
            let names: Vec<_> = collapsed
                .at_server()
                .iter()
                .map(|each| each["name"].clone())
                .collect();
            assert!(names.contains(&"mine".to_string()), "{names:?}");
        }
        collapsed
            .proxy
            .stats()
            .expect("cluster.redis.pool.active", 2);
        drop(client);
        collapsed.expect_at_server(1);
    }
    expect_clean(&collapsed);
}

#[test]
fn who_subscribes_hears_and_who_invalidates_is_heard() {
    let collapsed = Collapsed::start();
    let mut other = collapsed.client();
    let mut subscriber = collapsed.client();
    assert_eq!(say(&mut subscriber, "SUBSCRIBE c").elements().len(), 3);
    assert_eq!(say(&mut other, "PUBLISH c hello"), Value::Integer(1));
    assert_eq!(subscriber.reply(), Value::bulks(&["message", "c", "hello"]));

    let mut cache = RedisClient::connect_resp3(collapsed.address());
    assert_eq!(say(&mut cache, "CLIENT TRACKING ON"), Value::ok());
    assert_eq!(say(&mut cache, "GET k"), Value::Null);
    assert_eq!(say(&mut other, "SET k x"), Value::ok());
    let push = cache.push();
    assert_eq!(push.elements()[0], Value::bulk("invalidate"));

    let mut quiet = collapsed.client();
    quiet.send_raw(&commands(
        "CLIENT REPLY SKIP\nSET a 1\nGET a\nCLIENT REPLY OFF\nSET a 2\nCLIENT REPLY ON",
    ));
    assert_eq!(quiet.reply(), Value::bulk("1"));
    assert_eq!(quiet.reply(), Value::ok());
    assert_eq!(say(&mut quiet, "GET a"), Value::bulk("2"));
}

/// Whoever leaves in the middle takes what was under way along.
#[test]
fn a_client_that_leaves_ends_its_wait_and_its_transaction() {
    let collapsed = Collapsed::start();
    let mut other = collapsed.client();
    say(&mut other, "PING");
    let mut waits = collapsed.client();
    waits.send(&["BLPOP", "list", "0"]);
    let blocked = |count: &str| {
        eventually("so many wait", || {
            let clients = collapsed.redis.info("clients");
            (clients["blocked_clients"] == count).then_some(())
        });
    };
    blocked("1");
    drop(waits);
    blocked("0");
    assert_eq!(say(&mut other, "RPUSH list x"), Value::Integer(1));
    assert_eq!(say(&mut other, "LLEN list"), Value::Integer(1));

    let mut queues = collapsed.client();
    queues.send_raw(&commands("MULTI\nSET k x"));
    (0..2).for_each(|_| drop(queues.reply()));
    drop(queues);
    collapsed.expect_at_server(1);
    assert_eq!(say(&mut other, "GET k"), Value::NilBulk);
    let stats = collapsed.proxy.stats();
    stats.expect("redis.redis.blocked", 1);
    // It waited, and lost nothing.
    stats.expect("redis.redis.command.blpop.error", 0);
}

/// A connection that nobody uses is closed after a while, and one that is old as well.
#[test]
fn connections_that_nobody_uses_are_closed() {
    let collapsed = Collapsed::with(&[], "idle_timeout: 1s");
    let mut client = collapsed.client();
    client.send_raw(&commands("PING\nMULTI\nEXEC"));
    (0..3).for_each(|_| drop(client.reply()));
    collapsed.expect_at_server(1);
    client
        .stream()
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    drop(client);
    collapsed.expect_at_server(0);
}
