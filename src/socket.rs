//! What every connection of the proxy has in common, and the process's share of descriptors.

use std::io;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// A peer that is gone without a word is noticed after this long without traffic: what MongoDB's
/// production notes advise for `tcp_keepalive_time`, and below the idle limits of common firewalls.
const KEEPALIVE: Duration = Duration::from_secs(120);

/// It is then given up after three unanswered probes, half a minute later. Linux's own nine probes at 75 s would let an operation wait for
/// a dead server for another eleven minutes.
const PROBE_INTERVAL: Duration = Duration::from_secs(10);
const PROBES: u32 = 3;

/// Readies a fresh connection: small messages leave at once, and a dead peer is noticed.
///
/// # Errors
/// When the connection is gone already.
pub fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(PROBE_INTERVAL)
        .with_retries(PROBES);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Makes the close of this connection a reset instead of an orderly end.
pub fn reset_on_close(stream: &TcpStream) {
    if let Err(error) = SockRef::from(stream).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "a reset could not be handed on; the connection is closed instead");
    }
}

/// Allows the process as many open files as the system lets it have: a tapped connection is two,
/// and the usual soft limit of 1,024 is meant for programs that use `select`. Returns how many.
pub fn raise_descriptor_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files could not be raised");
            limit.current
        }
    }
}
