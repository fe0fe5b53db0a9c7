//! A real mongod in a temporary folder, and programs of real drivers against it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::{eventually, free_port, tool};

/// A running mongod, ended with the test.
pub struct Mongod {
    child: Child,
    address: SocketAddr,
    directory: TempDir,
}

impl Mongod {
    /// One server on its own.
    pub fn standalone() -> Self {
        Self::start(&[])
    }

    /// A replica set of one, whose primary it is: it has transactions and change streams.
    pub fn replica_set() -> Self {
        let mongod = Self::start(&["--replSet", "rs"]);
        let host = mongod.address.to_string();
        mongod.python("initiate.py", &[&host]);
        mongod
    }

    fn start(arguments: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let port = free_port();
        let child = Command::new(tool("mongod"))
            .args(["--bind_ip", "127.0.0.1", "--port", &port.to_string()])
            .args(["--wiredTigerCacheSizeGB", "0.5", "--dbpath"])
            .arg(directory.path())
            .arg("--logpath")
            .arg(directory.path().join("mongod.log"))
            .args(["--setParameter", "enableTestCommands=1"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut mongod = Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            directory,
        };
        mongod.wait_until_listening();
        mongod
    }

    /// Its own log says so: a connection to its port could be one to another server that was quicker.
    fn wait_until_listening(&mut self) {
        let log = self.directory.path().join("mongod.log");
        let child = &mut self.child;
        eventually("mongod listens", || {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            if let Some(status) = child.try_wait().unwrap() {
                panic!("mongod ended with {status}: {said}");
            }
            said.contains("Waiting for connections").then_some(())
        });
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs a driver program straight against the server.
    pub fn python(&self, program: &str, arguments: &[&str]) -> Value {
        python(program, arguments)
    }
}

impl Drop for Mongod {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs one of `tests/drivers`, which has to succeed, and reads the JSON it prints.
pub fn python(program: &str, arguments: &[&str]) -> Value {
    let output = driver(program, arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?} failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!(
            "{program} printed no JSON ({error}): {}",
            String::from_utf8_lossy(&output.stdout)
        )
    })
}

/// One of `tests/drivers`, ready to be started.
pub fn driver(program: &str, arguments: &[&str]) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/drivers")
        .join(program);
    let mut command = Command::new(tool("python"));
    command.arg(path).args(arguments);
    command
}
