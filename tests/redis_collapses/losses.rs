//! A server that is lost: whoever waits is told whether the command was sent, and all goes on when it is back.

use crate::collapsed::{Collapsed, commands, say};
use crate::support::eventually;
use crate::support::resp::Value;

/// The error for a command that had been sent, of `at`.
fn lost(at: std::net::SocketAddr) -> String {
    format!(
        "ERR narrows: cluster redis: the connection to {at} was lost; the command may have been carried out"
    )
}

#[test]
fn who_waits_is_told_and_the_next_command_works() {
    let mut collapsed = Collapsed::with(&["appendonly yes", "appendfsync always"], "");
    let address = collapsed.redis.address();
    let mut clients: Vec<_> = (0..8).map(|_| collapsed.client()).collect();
    let mut waits = collapsed.client();
    let mut queues = collapsed.client();
    assert_eq!(say(&mut clients[0], "SET k x"), Value::ok());
    waits.send(&["BLPOP", "none", "0"]);
    say(&mut queues, "MULTI");
    collapsed.expect_at_server(3);
    // From here on the server does nothing.
    let pid = collapsed.redis.pid().to_string();
    let stopped = std::process::Command::new("kill")
        .args(["-STOP", &pid])
        .status();
    assert!(stopped.unwrap().success());
    for client in &mut clients {
        client.send_raw(&commands("GET k\nINCR n"));
    }
    eventually("they are under way", || {
        let active = collapsed
            .proxy
            .stats()
            .value("redis.redis.downstream_rq_active");
        (active == 17).then_some(())
    });
    collapsed.redis.kill();
    for client in &mut clients {
        assert_eq!(client.reply().error(), lost(address));
        assert_eq!(client.reply().error(), lost(address));
    }
    waits.expect_end();
    queues.expect_end();
    // While it is away, all are told so.
    let said = say(&mut clients[0], "GET k");
    assert!(
        said.error().contains("no connection can be opened"),
        "{said:?}"
    );
    collapsed.redis.restart();
    for client in &mut clients {
        eventually("it works again", || {
            (say(client, "GET k") == Value::bulk("x")).then_some(())
        });
    }
    drop((clients, waits, queues));
    let stats = collapsed.at_rest();
    assert_eq!(stats.value("cluster.redis.upstream_cx_protocol_error"), 0);
}

/// A connection that somebody has closed at the server: the next command opens another.
#[test]
fn a_connection_that_the_server_closes_is_replaced() {
    let collapsed = Collapsed::start();
    let mut client = collapsed.client();
    for _ in 0..5 {
        assert_eq!(say(&mut client, "SET k x"), Value::ok());
        say(&mut client, "MULTI");
        assert_eq!(say(&mut client, "EXEC"), Value::Array(vec![]));
        let mut direct = collapsed.redis.client();
        say(&mut direct, "CLIENT KILL TYPE normal SKIPME yes");
        collapsed.expect_at_server_of(&mut direct, 0);
        let said = say(&mut client, "GET k");
        // The end may not have been heard of yet.
        if said != Value::bulk("x") {
            assert!(said.error().contains("was lost"), "{said:?}");
        }
        // A pooled one that is dead is not lent, or is found out before anything is sent.
        let said = say(&mut client, "MULTI");
        assert_eq!(said, Value::ok());
        say(&mut client, "PING").text();
        assert_eq!(say(&mut client, "EXEC").elements().len(), 1);
    }
}
