//! A proxy between attackers and a server that keeps every byte, with a bystander who wants to be served.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::support::eventually;
use crate::support::peer::connect;
use crate::support::proxy::Proxy;
use crate::support::recorder::{Recorder, Seen};
use crate::support::stats::Stats;

/// How much resident memory may move without being an attack's doing.
const NOISE: u64 = 3 << 20;
/// How long somebody else may have to wait meanwhile. A debug build on a busy machine is no failure.
const UNAFFECTED: Duration = Duration::from_secs(5);

/// What an attacker's request asks for behind the one that is to be misread.
pub const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
const LAST: &str = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

pub struct Arena {
    pub proxy: Proxy,
    pub recorder: Recorder,
    bystander: TcpStream,
    resident: u64,
}

impl Arena {
    pub fn new() -> Self {
        Self::with("")
    }

    /// `http`: settings of the listener's section of that name, one line.
    pub fn with(http: &str) -> Self {
        Self::in_front_of(Recorder::start(), http)
    }

    pub fn in_front_of(recorder: Recorder, http: &str) -> Self {
        let http = match http {
            "" => String::new(),
            some => format!(", http: {{ {some} }}"),
        };
        let proxy = Proxy::start(&format!(
            "workers: 1\n\
             listeners:\n\
             - {{ name: edge, listen: 127.0.0.1:0, protocol: http, cluster: shop{http} }}\n\
             clusters:\n\
             - {{ name: shop, endpoints: [\"{}\"] }}\n",
            recorder.address()
        ));
        let bystander = connect(proxy.address("edge"));
        let mut arena = Self {
            proxy,
            recorder,
            bystander,
            resident: 0,
        };
        // What the first requests bring into being is nobody's attack.
        for _ in 0..50 {
            arena.bystander_is_served();
        }
        arena.resident = arena.proxy.resident_bytes();
        arena.recorder.clear();
        arena
    }

    pub fn address(&self) -> SocketAddr {
        self.proxy.address("edge")
    }

    /// Somebody else, over a connection that was there before, gets an answer at once.
    #[track_caller]
    pub fn bystander_is_served(&mut self) {
        let begun = Instant::now();
        self.bystander
            .write_all(b"GET /bystander HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        let mut byte = [0; 512];
        while !answer.ends_with(b"\r\n\r\nok") {
            let read = self.bystander.read(&mut byte).unwrap();
            assert!(read > 0, "the bystander's connection was closed");
            answer.extend(&byte[..read]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 "));
        assert!(
            begun.elapsed() < UNAFFECTED,
            "served after {:?}",
            begun.elapsed()
        );
    }

    #[track_caller]
    pub fn memory_is_flat(&self) {
        let grown = self.proxy.resident_bytes().saturating_sub(self.resident);
        assert!(grown < NOISE, "memory grew by {grown} bytes");
    }

    /// What reached the server, but for the bystander's and the last; each byte in one meaning.
    #[track_caller]
    pub fn arrived(&self) -> Vec<Seen> {
        let mut seen = self.recorder.requests();
        seen.retain(|request| {
            !["GET /bystander HTTP/1.1", "GET /last HTTP/1.1"].contains(&request.line.as_str())
        });
        seen
    }

    /// Sends it, and behind it a request that asks for the connection's end; what comes back, without the answer to that.
    pub fn send(&self, bytes: &[u8]) -> String {
        let said = self.send_and_stay(&[bytes, LAST.as_bytes()].concat());
        match said.rfind("HTTP/1.1 200 ") {
            Some(at) if replies(&said) > 1 => said[..at].to_string(),
            _ => said,
        }
    }

    /// Sends it, and reads what comes back until the proxy closes: one that takes an attack for a request waits, and the
    /// test fails.
    pub fn send_and_stay(&self, bytes: &[u8]) -> String {
        let mut stream = connect(self.address());
        let _ = stream.write_all(bytes);
        read_to_end(&mut stream)
    }

    /// How many requests were refused, whatever the reason.
    pub fn refused(&self) -> i64 {
        refused(&self.proxy.stats())
    }

    /// A request that must be answered with this status and nothing more, close the connection, be counted
    /// with a reason, and not reach the server.
    #[track_caller]
    pub fn expect_refused(&mut self, what: &str, bytes: &[u8], statuses: &[u16]) {
        let before = self.refused();
        let said = self.send_and_stay(bytes);
        assert!(statuses.contains(&status(&said)), "{what}: {said:?}");
        assert_eq!(replies(&said), 1, "{what}: {said:?}");
        assert!(
            said.to_ascii_lowercase().contains("connection: close"),
            "{what}: the client is not told of the end: {said:?}"
        );
        eventually(what, || (self.refused() > before).then_some(()));
        assert_eq!(self.refused(), before + 1, "{what} is counted once");
        assert_eq!(self.arrived(), [], "{what} reached the server");
        self.bystander_is_served();
        self.recorder.clear();
    }

    /// Waits until a counter has moved past what it was.
    #[track_caller]
    pub fn expect_counted(&self, name: &str, before: i64) {
        eventually(name, || {
            (self.proxy.stats().value(name) > before).then_some(())
        });
    }
}

pub fn refused(stats: &Stats) -> i64 {
    let of = stats.values.iter();
    of.filter(|(name, _)| name.starts_with("http.edge.refused."))
        .map(|(_, value)| value)
        .sum()
}

/// The status of the first reply; 0 when there was none.
pub fn status(said: &str) -> u16 {
    let word = said
        .strip_prefix("HTTP/1.1 ")
        .or_else(|| said.strip_prefix("HTTP/1.0 "));
    word.and_then(|rest| rest.get(..3)?.parse().ok())
        .unwrap_or(0)
}

/// How many replies there are.
pub fn replies(said: &str) -> usize {
    said.matches("HTTP/1.").count()
}

pub fn read_to_end(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    // A reset behind the reply is an end as well.
    let _ = stream.read_to_end(&mut said);
    String::from_utf8_lossy(&said).into_owned()
}
