//! WAIT means what its client has written, though another connection wrote that.

use std::process::Command;

use crate::collapsed::{Collapsed, commands, config, say};
use crate::support::eventually;
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;
use crate::support::resp::{RedisClient, Value};

#[test]
fn wait_is_for_what_its_client_has_written() {
    let collapsed = Collapsed::start();
    let master = collapsed.redis.address();
    let replica = Redis::with(&[&format!("replicaof {} {}", master.ip(), master.port())]);
    let mut client = collapsed.client();
    say(&mut client, "SET key 1");
    eventually("the replica has what was written", || {
        (say(&mut client, "WAIT 1 1000").integer() == 1).then_some(())
    });
    signal("STOP", &replica);
    say(&mut client, "SET key 2");
    assert_eq!(say(&mut client, "WAIT 1 100").integer(), 0);
    signal("CONT", &replica);
    assert_eq!(say(&mut client, "WAIT 1 0").integer(), 1);
    assert_eq!(replica.command(&["GET", "key"]).text(), "2");
    drop(client);
    let blocked = collapsed.at_rest().value("redis.redis.blocked");
    assert!(blocked >= 3, "{blocked}");
}

/// Of several servers that could serve everything: the one that has what was written, though another one comes first and is back.
#[test]
fn what_needs_a_connection_of_its_own_is_asked_of_the_server_that_others_share() {
    let (mut first, second) = (Redis::start(), Redis::start());
    first.kill();
    let both = format!("{}\", \"{}", first.address(), second.address());
    let config = config(second.address(), "");
    let proxy = Proxy::start(&config.replace(&second.address().to_string(), &both));
    let mut client = RedisClient::connect(proxy.address("redis"));
    assert_eq!(say(&mut client, "SET before 1"), Value::ok());
    first.restart();
    let address = first.address();
    let replica = Redis::with(&[&format!("replicaof {} {}", address.ip(), address.port())]);
    eventually("the first has a replica", || {
        (first.command(&["WAIT", "1", "100"]).integer() == 1).then_some(())
    });
    assert_eq!(say(&mut client, "SET behind 1"), Value::ok());
    assert_eq!(say(&mut client, "WAIT 1 100"), Value::Integer(0));
    client.send_raw(&commands("MULTI\nSET transacted 1\nEXEC"));
    (0..3).for_each(|_| drop(client.reply()));
    let large = "x".repeat(200_000);
    client.command(&["SET", "large", &large]);
    for key in ["before", "behind", "transacted", "large"] {
        assert_eq!(client.command(&["EXISTS", key]), Value::Integer(1), "{key}");
    }
    assert_eq!(first.command(&["DBSIZE"]), Value::Integer(0));
    drop(replica);
}

fn signal(name: &str, redis: &Redis) {
    let mut kill = Command::new("kill");
    kill.args([&format!("-{name}"), &redis.pid().to_string()]);
    assert!(kill.status().unwrap().success());
}
