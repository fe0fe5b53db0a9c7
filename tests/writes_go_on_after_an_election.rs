//! The primary of a replica set goes away: writes go on after the election, over the connections that the client has,
//! and reads from secondaries never stop.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use support::collapse;
use support::mongod::{Mongod, driver};
use support::replica_set::ReplicaSet;

/// Waits through an election, which takes two to four seconds in this set.
const POOL: &str = "max_connections: 8, wait_timeout: 20s";

/// How long writing is watched before and after.
const WATCHED: Duration = Duration::from_secs(2);

#[test]
fn when_the_primary_is_stopped_in_order() {
    expect_writes_to_go_on(Mongod::stop);
}

#[test]
fn when_the_primary_is_killed() {
    expect_writes_to_go_on(Mongod::kill);
}

fn expect_writes_to_go_on(end: impl FnOnce(&mut Mongod)) {
    let mut set = ReplicaSet::start(3);
    let seeds = set.addresses();
    // One seed is enough to find the others, also when it is the one that goes away.
    let (proxy, address) = collapse::start(&seeds[..1], POOL, "");
    let program = Program::start(&address.to_string());
    thread::sleep(WATCHED);
    let primary = set.primary();
    end(set.member(primary));
    let next = set.primary();
    assert_ne!(next, primary);
    thread::sleep(WATCHED);
    let did = program.end();

    assert_eq!(did["read_errors"], serde_json::json!([]), "{did:#}");
    // A write may have been under way when its server went: the driver tries again, and has to succeed.
    assert_eq!(did["write_errors"], serde_json::json!([]), "{did:#}");
    assert_eq!(did["after"]["cleared"], 0, "{did:#}");
    assert_eq!(did["after"]["created"], did["before"]["created"], "{did:#}");
    assert_eq!(did["after"]["failed_heartbeats"], 0, "{did:#}");
    collapse::expect_at_rest(&proxy);
}

/// `collapse/election.py` under way.
struct Program(Child);

impl Program {
    fn start(address: &str) -> Self {
        let mut child = driver("collapse/election.py", &[address])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        if line != "started\n" {
            said.read_to_string(&mut line).unwrap();
            panic!("election.py: {line}");
        }
        child.stderr = Some(said.into_inner());
        Self(child)
    }

    /// Ends its input, and reads what it prints.
    fn end(mut self) -> Value {
        drop(self.0.stdin.take());
        let output = self.0.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "election.py: {said}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}
