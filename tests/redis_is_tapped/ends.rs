//! How connections end, with commands under way and without.

use std::net::TcpStream;
use std::time::Duration;

use socket2::SockRef;

use crate::script::commands;
use crate::support::eventually;
use crate::support::resp::{RedisClient, Value};
use crate::tapped::Tapped;

#[test]
fn a_server_that_goes_away_as_told_has_no_reply_to_give() {
    let tapped = Tapped::start();
    let mut client = tapped.client();
    client.command(&["PING"]);
    client.command(&["SHUTDOWN", "ABORT"]).error();
    client.send(&["SHUTDOWN", "NOSAVE"]);
    client.expect_end();
    drop(client);
    tapped
        .closed(3)
        .expect("redis.redis.command.shutdown.total", 2)
        .expect("redis.redis.command.shutdown.error", 1)
        .expect("redis.redis.without_reply", 1)
        .expect("redis.redis.error", 1);
}

#[test]
fn commands_whose_server_dies_have_failed() {
    let mut tapped = Tapped::start();
    let mut client = tapped.client();
    client.command(&["PING"]);
    client.send_raw(&commands("BLPOP none 0\nGET k\nGET k"));
    eventually("they are under way", || {
        let stats = tapped.proxy.stats();
        (stats.value("redis.redis.downstream_rq_active") == 3).then_some(())
    });
    tapped.redis.kill();
    client.expect_end();
    drop(client);
    tapped
        .closed(4)
        .expect("redis.redis.command.blpop.error", 1)
        .expect("redis.redis.command.get.error", 2)
        .expect("redis.redis.command.ping.success", 1)
        .expect("redis.redis.cx_destroy_remote_with_active_rq", 1)
        .expect("redis.redis.error", 3);
}

/// Who only waited for something to happen has lost nothing by leaving.
#[test]
fn a_client_that_leaves_while_it_waits_has_not_failed() {
    for resets in [false, true] {
        let tapped = Tapped::start();
        let mut client = tapped.client();
        client.send(&["BLPOP", "none", "0"]);
        under_way(&tapped, 1);
        leave(client.stream(), resets);
        drop(client);
        tapped
            .closed(1)
            .expect("redis.redis.command.blpop.total", 1)
            .expect("redis.redis.blocked", 1)
            .expect("redis.redis.error", 0)
            .expect_count("redis.redis.blocked_time", 0);
        eventually("the server has noticed", || {
            let clients = tapped.redis.info("clients");
            (clients["blocked_clients"] == "0").then_some(())
        });
    }
}

#[test]
fn a_client_that_leaves_while_the_server_works_has() {
    let tapped = Tapped::start();
    let mut client = tapped.client();
    client.command(&["SUBSCRIBE", "a"]);
    client.command(&["UNSUBSCRIBE"]);
    client.send_raw(&commands("DEBUG SLEEP 0.5\nGET k"));
    under_way(&tapped, 2);
    leave(client.stream(), true);
    drop(client);
    tapped
        .closed(4)
        .expect("redis.redis.command.debug.error", 1)
        .expect("redis.redis.command.get.error", 1)
        .expect("redis.redis.cx_destroy_remote_with_active_rq", 1)
        .expect("redis.redis.error", 2);
}

/// "ERR max number of clients reached", before anything was asked.
#[test]
fn a_server_that_takes_no_connection_is_heard() {
    let tapped = Tapped::with(&["maxclients 1"]);
    let mut first = tapped.client();
    first.command(&["PING"]);
    let mut second = tapped.client();
    assert!(second.reply().error().contains("max number of clients"));
    second.expect_end();
    drop((first, second));
    tapped
        .closed(1)
        .expect("redis.redis.error_prefix.ERR.total", 1)
        .expect("redis.redis.error", 0);
}

#[test]
fn a_drain_ends_connections_between_commands() {
    for signal in [true, false] {
        let mut tapped = Tapped::start();
        let mut idle = tapped.client();
        idle.command(&["PING"]);
        let mut subscriber = tapped.client();
        subscriber.command(&["SUBSCRIBE", "a"]);
        let mut transaction = tapped.client();
        transaction.send_raw(&commands("MULTI\nSET k v"));
        (0..2).for_each(|_| drop(transaction.reply()));
        let mut watching = tapped.client();
        watching.command(&["WATCH", "k"]);
        let mut waiting = tapped.client();
        waiting.send(&["BLPOP", "list", "0"]);
        under_way(&tapped, 1);
        match signal {
            true => tapped.proxy.signal("TERM"),
            false => assert_eq!(tapped.proxy.ask("POST", "/drain").0, 200),
        }
        idle.expect_end();
        subscriber.expect_end();
        tapped.proxy.stats().expect("redis.redis.cx_drain_close", 2);
        assert_eq!(
            transaction.command(&["GET", "k"]),
            Value::Simple("QUEUED".into())
        );
        let done = Value::Array(vec![Value::ok(), Value::bulk("v")]);
        assert_eq!(transaction.command(&["EXEC"]), done);
        transaction.expect_end();
        assert_eq!(watching.command(&["UNWATCH"]), Value::ok());
        watching.expect_end();
        tapped.redis.command(&["RPUSH", "list", "x"]);
        assert_eq!(waiting.reply(), Value::bulks(&["list", "x"]));
        waiting.expect_end();
        assert!(tapped.proxy.wait().success());
    }
}

/// A connection that is not followed may be in the middle of anything.
#[test]
fn a_drain_waits_for_what_is_not_followed() {
    let tapped = Tapped::start();
    let mut client = tapped.client();
    client.send_raw(&commands("SCRIPT DEBUG NO"));
    assert_eq!(client.reply(), Value::ok());
    let mut idle = tapped.client();
    idle.command(&["PING"]);
    tapped.proxy.signal("TERM");
    idle.expect_end();
    assert_eq!(client.command(&["PING"]), Value::Simple("PONG".into()));
    tapped.proxy.stats().expect("redis.redis.cx_drain_close", 1);
}

/// Memory that a long pipeline took does not stay with its connection.
#[test]
fn a_connection_gives_back_what_a_pipeline_took() {
    const CONNECTIONS: usize = 60;
    let tapped = Tapped::start();
    let pipeline = commands("PING").repeat(5_000);
    let clients = |count: usize| -> Vec<RedisClient> {
        let connect = |_| {
            let mut client = tapped.client();
            client.send_raw(&pipeline);
            (0..5_000).for_each(|_| drop(client.reply()));
            client
        };
        (0..count).map(connect).collect()
    };
    let _early = clients(10);
    let before = tapped.proxy.allocated_bytes();
    let _clients = clients(CONNECTIONS);
    let grown = tapped.proxy.allocated_bytes().saturating_sub(before);
    let each = grown / CONNECTIONS as u64;
    // What is not given back is more than a megabyte.
    assert!(each < 128 << 10, "{each} bytes a connection");
}

#[test]
fn an_idle_connection_costs_kilobytes() {
    const CONNECTIONS: usize = 1_500;
    const MOST_EACH: u64 = 6 << 10;
    let status = std::process::Command::new("prlimit")
        .args(["--pid", &std::process::id().to_string()])
        .arg(format!("--nofile={}:", 8 * CONNECTIONS))
        .status();
    assert!(status.unwrap().success());
    let tapped = Tapped::start();
    let clients = |count: usize| -> Vec<RedisClient> {
        let connect = |number: usize| {
            let mut client = tapped.client();
            client.command(&["CLIENT", "SETNAME", "shop"]);
            client.command(&["GET", &format!("user:{number}")]);
            client
        };
        (0..count).map(connect).collect()
    };
    let _early = clients(50);
    let before = tapped.proxy.allocated_bytes();
    let _clients = clients(CONNECTIONS);
    let grown = tapped.proxy.allocated_bytes().saturating_sub(before);
    let each = grown / CONNECTIONS as u64;
    println!("{each} bytes a Redis connection");
    assert!(each < MOST_EACH, "{each} bytes a connection");
}

fn under_way(tapped: &Tapped, commands: i64) {
    eventually("they are under way", || {
        let active = tapped
            .proxy
            .stats()
            .value("redis.redis.downstream_rq_active");
        (active == commands).then_some(())
    });
}

/// A client that resets does not wait for what may come yet.
fn leave(stream: &TcpStream, resets: bool) {
    if resets {
        SockRef::from(stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
}
