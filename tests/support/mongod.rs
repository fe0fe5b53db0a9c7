//! A real mongod in a temporary folder, and programs of real drivers against it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::{eventually, free_port, tool, wait_for_exit};

/// A running mongod, ended with the test.
pub struct Mongod {
    child: Child,
    address: SocketAddr,
    directory: TempDir,
    arguments: Vec<String>,
}

impl Mongod {
    /// One server on its own.
    pub fn standalone() -> Self {
        Self::start(&[])
    }

    /// One server on its own that asks who its clients are.
    pub fn with_auth() -> Self {
        Self::start(&["--auth"])
    }

    /// A replica set of one, whose primary it is: it has transactions and change streams.
    pub fn replica_set() -> Self {
        Self::replica_set_named("rs")
    }

    /// The same, by another name.
    pub fn replica_set_named(name: &str) -> Self {
        let mongod = Self::start(&["--replSet", name]);
        let host = mongod.address.to_string();
        mongod.python("initiate.py", &[&host]);
        mongod
    }

    /// One server with these arguments more.
    pub fn start(arguments: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let child = spawn(address, &directory, &arguments);
        let mut mongod = Self {
            child,
            address,
            directory,
            arguments,
        };
        mongod.wait_until_listening();
        mongod
    }

    /// Ends it as a crash of the machine would (SIGKILL).
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Ends it in order (SIGTERM): a primary steps down first.
    pub fn stop(&mut self) {
        let status = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
        wait_for_exit(&mut self.child);
    }

    /// Starts it again, on its address and with its data.
    pub fn restart(&mut self) {
        self.kill();
        // What it said before is no sign of now.
        let _ = std::fs::remove_file(self.log());
        self.child = spawn(self.address, &self.directory, &self.arguments);
        self.wait_until_listening();
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("mongod.log")
    }

    /// Its own log says so: a connection to its port could be one to another server that was quicker.
    fn wait_until_listening(&mut self) {
        let log = self.log();
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

fn spawn(address: SocketAddr, directory: &TempDir, arguments: &[String]) -> Child {
    Command::new(tool("mongod"))
        .args(["--bind_ip", "127.0.0.1"])
        .args(["--port", &address.port().to_string()])
        .args(["--wiredTigerCacheSizeGB", "0.5", "--dbpath"])
        .arg(directory.path())
        .arg("--logpath")
        .arg(directory.path().join("mongod.log"))
        .args(["--setParameter", "enableTestCommands=1"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Runs one of `tests/drivers`, which has to succeed, and reads the JSON it prints.
pub fn python(program: &str, arguments: &[&str]) -> Value {
    json_of(program, driver(program, arguments))
}

/// The same, within TLS: the driver verifies by `ca`, and shows the certificate with its key that is in `shown`.
pub fn python_within_tls(
    program: &str,
    arguments: &[&str],
    ca: &Path,
    shown: Option<&Path>,
) -> Value {
    let mut command = driver(program, arguments);
    command.env("TLS_CA_FILE", ca);
    if let Some(shown) = shown {
        command.env("TLS_KEY_FILE", shown);
    }
    json_of(program, command)
}

/// The same for one of `tests/drivers/node`.
pub fn node(program: &str, arguments: &[&str]) -> Value {
    json_of(program, node_driver(program, arguments))
}

/// The same for one of `tests/drivers` that Node.js runs and that lies beside those of other languages.
pub fn node_beside(program: &str, arguments: &[&str]) -> Value {
    json_of(
        program,
        program_of("node", "tests/drivers", program, arguments),
    )
}

fn json_of(program: &str, mut command: Command) -> Value {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "{command:?} failed:\n{}{}",
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
    program_of("python", "tests/drivers", program, arguments)
}

/// One of `tests/drivers/node`, ready to be started.
pub fn node_driver(program: &str, arguments: &[&str]) -> Command {
    program_of("node", "tests/drivers/node", program, arguments)
}

fn program_of(interpreter: &str, folder: &str, program: &str, arguments: &[&str]) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(folder)
        .join(program);
    let mut command = Command::new(tool(interpreter));
    command.arg(path).args(arguments);
    command
}
