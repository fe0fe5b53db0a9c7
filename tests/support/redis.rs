//! A real Redis in a temporary folder.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::mongod::{node_beside, python};
use super::resp::{RedisClient, Value};
use super::{eventually, free_port, tool};

/// A running redis-server, ended with the test.
pub struct Redis {
    child: Child,
    address: SocketAddr,
    directory: TempDir,
}

impl Redis {
    /// One server that keeps nothing on disk.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// One server with these lines more in its config, which win over the others: `appendonly yes` keeps its data over a
    /// restart, `requirepass` or `user` asks who its clients are.
    pub fn with(config: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut lines = vec![
            format!("port {}", address.port()),
            "bind 127.0.0.1".to_string(),
            format!("dir {}", directory.path().display()),
            "logfile log".to_string(),
            "save \"\"".to_string(),
            "enable-debug-command local".to_string(),
        ];
        lines.extend(config.iter().map(ToString::to_string));
        std::fs::write(directory.path().join("config"), lines.join("\n")).unwrap();
        let child = spawn(&directory);
        let mut redis = Self {
            child,
            address,
            directory,
        };
        redis.wait_until_ready();
        redis
    }

    /// Ends it as a crash of the machine would (SIGKILL).
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again, on its address and with what it has kept.
    pub fn restart(&mut self) {
        self.kill();
        // What it said before is no sign of now.
        let _ = std::fs::remove_file(self.log());
        self.child = spawn(&self.directory);
        self.wait_until_ready();
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A connection straight to it.
    pub fn client(&self) -> RedisClient {
        RedisClient::connect(self.address)
    }

    /// One command on a connection of its own.
    #[track_caller]
    pub fn command<A: AsRef<[u8]>>(&self, arguments: &[A]) -> Value {
        self.client().command(arguments)
    }

    /// What redis-cli prints for these arguments; it has to succeed.
    #[track_caller]
    pub fn cli(&self, arguments: &[&str]) -> String {
        cli(self.address, arguments)
    }

    /// The fields of `INFO` of this section.
    #[track_caller]
    pub fn info(&self, section: &str) -> BTreeMap<String, String> {
        fields(&self.command(&["INFO", section]).text())
    }

    /// How often each command came, by the server's own count: `get`, and `client_setname` for one within another. It
    /// counts what scripts call as well, but neither what is queued and then dropped nor names that it does not know.
    #[track_caller]
    pub fn calls(&self) -> BTreeMap<String, i64> {
        let stats = self.info("commandstats").into_iter();
        let calls = stats.map(|(name, value)| {
            let name = name.strip_prefix("cmdstat_").unwrap().replace('|', "_");
            let numbers = value.split(',').filter_map(|field| {
                let (field, number) = field.split_once('=')?;
                let counts = matches!(field, "calls" | "rejected_calls");
                counts.then(|| number.parse::<i64>().unwrap())
            });
            (name, numbers.sum())
        });
        calls.collect()
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// Its own log says so: a connection to its port could be one to another server that was quicker, and one that asks for
    /// a password answers while it still loads.
    fn wait_until_ready(&mut self) {
        let log = self.log();
        let child = &mut self.child;
        eventually("Redis is ready", || {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            if let Some(status) = child.try_wait().unwrap() {
                panic!("redis-server ended with {status}: {said}");
            }
            said.contains("Ready to accept connections").then_some(())
        });
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(directory: &TempDir) -> Child {
    Command::new(tool("redis-server"))
        .arg(directory.path().join("config"))
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// What redis-cli prints when it talks to this address.
#[track_caller]
pub fn cli(address: SocketAddr, arguments: &[&str]) -> String {
    let output = Command::new(tool("redis-cli"))
        .args(["-h", &address.ip().to_string()])
        .args(["-p", &address.port().to_string()])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "redis-cli {arguments:?}: {printed}{errors}"
    );
    printed.trim_end().to_string()
}

/// Runs the suite of redis-py, and gives what it did: `{"commands": {"get": 3}, "connections": 9, "features": ["strings"]}`.
pub fn redis_py(address: SocketAddr, options: &[&str]) -> serde_json::Value {
    let address = address.to_string();
    python("redis/suite.py", &[&[address.as_str()], options].concat())
}

/// The same of ioredis.
pub fn ioredis(address: SocketAddr, options: &[&str]) -> serde_json::Value {
    let address = address.to_string();
    node_beside("redis/suite.js", &[&[address.as_str()], options].concat())
}

/// The lines `name:value` of a text such as INFO's.
pub fn fields(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}
