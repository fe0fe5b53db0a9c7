//! WAIT means what its client has written, though another connection wrote that.

use std::process::Command;

use crate::collapsed::{Collapsed, say};
use crate::support::eventually;
use crate::support::redis::Redis;

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

fn signal(name: &str, redis: &Redis) {
    let mut kill = Command::new("kill");
    kill.args([&format!("-{name}"), &redis.pid().to_string()]);
    assert!(kill.status().unwrap().success());
}
