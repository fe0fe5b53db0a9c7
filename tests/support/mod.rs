//! What the tests share: the real binary as a child process, real servers, scripted peers, and a
//! reader of `/stats` so that tests read like sentences.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

pub mod mongo;
pub mod mongod;
pub mod peer;
pub mod proxy;
pub mod stats;
pub mod statsd;
pub mod wire;

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up on it. Generous: a busy machine is no failure.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `probe` gives a value, looking again and again; fails with `what` when it never does.
#[track_caller]
pub fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How a process ended; it has to.
#[track_caller]
pub fn wait_for_exit(child: &mut Child) -> ExitStatus {
    eventually("the process ends", || child.try_wait().unwrap())
}

/// A port that was free a moment ago, for servers that can't choose one themselves.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// A program that `tests/support/setup.sh` has put into the cache.
pub fn tool(name: &str) -> PathBuf {
    let cache = std::env::var_os("NARROWS_CACHE").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".cache"),
        PathBuf::from,
    );
    let path = cache.join("bin").join(name);
    assert!(
        path.exists(),
        "{} is missing: run tests/support/setup.sh (or `make test`, which does)",
        path.display()
    );
    path
}
