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

pub mod certificates;
pub mod collapse;
pub mod commands;
pub mod frames;
pub mod http;
pub mod mongo;
pub mod mongod;
pub mod openssl;
pub mod peer;
pub mod proxy;
pub mod recorder;
pub mod redis;
pub mod redis_cluster;
pub mod replica_set;
pub mod resp;
pub mod stats;
pub mod statsd;
pub mod tls;
pub mod users;
pub mod wire;

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
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

/// A port that is free now, for servers that can't choose one themselves. It lies below those that
/// the kernel gives to outgoing connections (32,768 and above on Linux), so that no client of another
/// test can get it in the meantime; and no two calls of one test program give the same.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const FIRST: u32 = 20_000;
    const PORTS: u32 = 12_000;
    loop {
        // Test programs that run side by side begin at different places.
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (std::process::id().wrapping_mul(37) + step) % PORTS;
        let port = u16::try_from(port).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
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
