//! The proxy under test: the real binary, its log, its admin pages.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::stats::Stats;
use super::{PATIENCE, eventually};

/// A running `narrows`.
pub struct Proxy {
    child: Child,
    log: Arc<Mutex<String>>,
    directory: TempDir,
    admin: SocketAddr,
}

impl Proxy {
    /// Starts it with this config. `admin` and `log` are added; ports may be 0.
    pub fn start(config: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("narrows.yaml");
        std::fs::write(&path, with_admin(config)).unwrap();
        let mut command = binary();
        command.args(["run", "-c"]).arg(path);
        Self::spawn(command, directory)
    }

    /// Starts it in front of `upstream`, as the quick start of the README does.
    pub fn quick(protocol: &str, upstream: SocketAddr) -> Self {
        let mut command = binary();
        command
            .args(["run", "--listen", &format!("{protocol}://127.0.0.1:0")])
            .args(["--to", &upstream.to_string(), "--admin", "127.0.0.1:0"]);
        Self::spawn(command, TempDir::new().unwrap())
    }

    /// A one-listener config in front of `upstream`.
    pub fn in_front_of(protocol: &str, upstream: SocketAddr) -> Self {
        Self::start(&one_listener(protocol, upstream))
    }

    /// The same in mode tap, which is not every protocol's own.
    pub fn tap_of(protocol: &str, upstream: SocketAddr) -> Self {
        let listener = format!("    protocol: {protocol}\n");
        let mode = format!("{listener}    {protocol}: {{ mode: tap }}\n");
        Self::start(&one_listener(protocol, upstream).replace(&listener, &mode))
    }

    fn spawn(mut command: Command, directory: TempDir) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().unwrap();
        let copy = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = copy.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let admin = eventually("the admin address is logged", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("narrows ended with {status}:\n{}", log.lock().unwrap());
            }
            address_in(&log.lock().unwrap(), "admin listening")
        });
        Self {
            child,
            log,
            directory,
            admin,
        }
    }

    /// Where a listener listens.
    pub fn address(&self, listener: &str) -> SocketAddr {
        self.listeners()[listener]
    }

    /// Where all listeners listen, by name.
    pub fn listeners(&self) -> HashMap<String, SocketAddr> {
        let listeners = self.get("/listeners");
        listeners
            .lines()
            .map(|line| {
                let mut parts = line.split("::");
                let name = parts.next().unwrap().to_string();
                (name, parts.next().unwrap().parse().unwrap())
            })
            .collect()
    }

    /// The body of an admin page, which has to be there.
    pub fn get(&self, path: &str) -> String {
        let (status, body) = self.ask("GET", path);
        assert_eq!(status, 200, "GET {path}: {body}");
        body
    }

    /// Status and body of an admin request.
    pub fn ask(&self, method: &str, path: &str) -> (u16, String) {
        http(self.admin, method, path)
    }

    /// All statistics, as they are now.
    pub fn stats(&self) -> Stats {
        Stats::parse(&self.get("/stats?format=json"))
    }

    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until this is in the log, which comes through a pipe and so later than what it tells.
    #[track_caller]
    pub fn expect_logged(&self, text: &str) {
        eventually(text, || self.log().contains(text).then_some(()));
    }

    pub fn config_path(&self) -> PathBuf {
        self.directory.path().join("narrows.yaml")
    }

    /// Replaces the config file; a reload has to be asked for.
    pub fn write_config(&self, config: &str) {
        std::fs::write(self.config_path(), with_admin(config)).unwrap();
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.pid().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// How it ended; it has to.
    pub fn wait(&mut self) -> ExitStatus {
        eventually("narrows ends", || self.child.try_wait().unwrap())
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> u64 {
        resident_bytes(self.pid())
    }

    /// Resident memory that is no file's, in bytes.
    pub fn allocated_bytes(&self) -> u64 {
        allocated_bytes(self.pid())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended already, as some tests want it to.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of narrows ---\n{}", self.log());
        }
    }
}

/// The binary under test: what cargo has built for the tests, or another build of it (a release
/// one, say) that `NARROWS_BINARY` names.
pub fn binary() -> Command {
    Command::new(
        std::env::var_os("NARROWS_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_narrows").into()),
    )
}

/// A config with one listener and one cluster, both of the protocol's name.
pub fn one_listener(protocol: &str, upstream: SocketAddr) -> String {
    format!(
        "listeners:\n  - name: {protocol}\n    listen: 127.0.0.1:0\n    protocol: {protocol}\n    cluster: {protocol}\n\
         clusters:\n  - name: {protocol}\n    endpoints: [\"{upstream}\"]\n"
    )
}

fn with_admin(config: &str) -> String {
    format!("admin: {{ listen: 127.0.0.1:0 }}\n{config}")
}

/// Resident memory of any process, in bytes.
pub fn resident_bytes(pid: u32) -> u64 {
    bytes_of(pid, "VmRSS:")
}

/// The part of it that is no file's: the first use of a function brings its page in, which is no growth.
pub fn allocated_bytes(pid: u32) -> u64 {
    bytes_of(pid, "RssAnon:")
}

fn bytes_of(pid: u32, line: &str) -> u64 {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"));
    let status = status.unwrap();
    let line = status.lines().find(|each| each.starts_with(line)).unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        * 1024
}

/// One HTTP request over a connection of its own.
pub fn http(address: SocketAddr, method: &str, path: &str) -> (u16, String) {
    http_as(&address.to_string(), address, method, path)
}

/// One HTTP request to a server that is called `host`.
pub fn http_as(host: &str, address: SocketAddr, method: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
    let body = match head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked")
    {
        true => unchunk(body),
        false => body.to_string(),
    };
    (status, body)
}

fn unchunk(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        body.push_str(&after[..size]);
        rest = after[size..].trim_start_matches("\r\n");
        if size == 0 {
            break;
        }
    }
    body
}

/// The `address=` of the first log line with this text.
fn address_in(log: &str, text: &str) -> Option<SocketAddr> {
    let line = log.lines().find(|line| line.contains(text))?;
    let after = line.split_once("address=")?.1;
    after.split_whitespace().next()?.parse().ok()
}
