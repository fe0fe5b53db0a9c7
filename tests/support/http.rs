//! Real HTTP peers: an origin that does what the path asks for, a caller that does what it is told,
//! nginx, nghttpd, curl and nghttp.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::mongod::driver;
use super::peer::connect;
use super::{PATIENCE, eventually, free_port, tool};

/// The version of HTTP that a side speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Http1,
    Http2,
}

impl Version {
    pub fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
        }
    }
}

/// A server among `tests/drivers` that says its port first, and then what it got.
pub struct Origin {
    child: Child,
    address: SocketAddr,
    reports: Mutex<Receiver<Value>>,
}

impl Origin {
    /// `http/origin.py`: what it does with a request, the path says.
    pub fn start(version: Version) -> Self {
        Self::program("http/origin.py", &[version.name()])
    }

    pub fn program(program: &str, arguments: &[&str]) -> Self {
        let mut child = driver(program, arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let port = read_json(&mut lines)["port"].as_u64().unwrap();
        let (send, reports) = channel();
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                if send.send(serde_json::from_str(&line).unwrap()).is_err() {
                    return;
                }
            }
        });
        let address = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap()));
        let reports = Mutex::new(reports);
        Self {
            child,
            address,
            reports,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it says of the next request that it is done with.
    #[track_caller]
    pub fn report(&self) -> Report {
        let reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        Report(reports.recv_timeout(PATIENCE).expect("a request arrives"))
    }

    /// Nothing more has arrived so far.
    #[track_caller]
    pub fn expect_no_report(&self) {
        let reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(report) = reports.try_recv() {
            panic!("a request too many: {report:#}");
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// `tests/drivers/http/client.py`, kept running: each order is one request.
pub struct Caller {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Caller {
    pub fn start() -> Self {
        let mut child = driver("http/client.py", &[])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            orders: child.stdin.take().unwrap(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// Sends what `order` says beyond the version, address, method and path.
    #[track_caller]
    pub fn ask(
        &mut self,
        version: Version,
        address: SocketAddr,
        line: &str,
        order: Value,
    ) -> Report {
        let order = order_of(version, address, line, order);
        Report(self.carry_out(&order))
    }

    /// Several requests side by side.
    #[track_caller]
    pub fn ask_at_once(&mut self, orders: Vec<Value>) -> Vec<Report> {
        let answers = self.carry_out(&Value::Array(orders));
        let answers = answers.as_array().unwrap().iter();
        answers.map(|answer| Report(answer.clone())).collect()
    }

    fn carry_out(&mut self, order: &Value) -> Value {
        writeln!(self.orders, "{order}").unwrap();
        read_json(&mut self.answers)
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// An order for `Caller::ask_at_once`; `line` is method and path.
pub fn order_of(version: Version, address: SocketAddr, line: &str, mut order: Value) -> Value {
    let (method, path) = line.split_once(' ').unwrap();
    let all = order.as_object_mut().unwrap();
    all.insert("version".into(), version.name().into());
    all.insert("address".into(), address.to_string().into());
    all.insert("method".into(), method.into());
    all.insert("path".into(), path.into());
    order
}

/// What one side says of an exchange: the origin of the request, the caller of the reply.
#[derive(Clone, Debug)]
pub struct Report(pub Value);

impl Report {
    pub fn status(&self) -> u64 {
        self.0["status"].as_u64().unwrap()
    }

    /// `METHOD /path`, as it arrived.
    pub fn line(&self) -> String {
        format!("{} {}", self.text("method"), self.text("path"))
    }

    pub fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap_or_default()
    }

    /// "complete", or what ended it before.
    pub fn ended(&self) -> &str {
        self.text("ended")
    }

    /// The value of a header field; several are joined.
    pub fn field(&self, name: &str) -> Option<String> {
        joined(&self.0["fields"], name)
    }

    pub fn trailer(&self, name: &str) -> Option<String> {
        joined(&self.0["trailers"], name)
    }

    /// Length and SHA-256 of the body that arrived.
    pub fn body(&self) -> &Value {
        &self.0["body"]
    }

    pub fn length(&self) -> u64 {
        self.0["body"]["length"].as_u64().unwrap()
    }

    /// Length and SHA-256 of what this side has sent.
    pub fn sent(&self) -> &Value {
        &self.0["sent"]
    }

    /// The numbers of the interim replies.
    pub fn interims(&self) -> Vec<u64> {
        let interims = self.0["interims"].as_array().unwrap().iter();
        interims.map(|each| each[0].as_u64().unwrap()).collect()
    }

    #[track_caller]
    pub fn expect(&self, status: u64) -> &Self {
        assert_eq!(
            (self.status(), self.ended()),
            (status, "complete"),
            "{self:?}"
        );
        self
    }
}

fn joined(fields: &Value, name: &str) -> Option<String> {
    let fields = fields.as_array().unwrap().iter();
    let values: Vec<&str> = fields
        .filter(|field| field[0] == name)
        .map(|field| field[1].as_str().unwrap())
        .collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// A real web server over a folder of files.
pub struct WebServer {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl WebServer {
    /// nginx, which speaks HTTP/1.1 to its clients, and takes uploads by PUT.
    pub fn nginx() -> Self {
        let (folder, address) = place();
        let config = folder.path().join("nginx.conf");
        std::fs::write(&config, nginx_config(folder.path(), address)).unwrap();
        let mut command = Command::new(tool("nginx"));
        command.args(["-e", "stderr", "-p"]).arg(folder.path());
        command.arg("-c").arg(config);
        Self::spawn(command, address, folder)
    }

    /// nghttpd, which speaks HTTP/2 without TLS, and takes uploads by POST.
    pub fn nghttpd() -> Self {
        let (folder, address) = place();
        let mut command = Command::new(tool("nghttpd"));
        command.args(["--no-tls", "--address=127.0.0.1"]);
        command.arg("-d").arg(folder.path().join("files"));
        command.arg(address.port().to_string());
        Self::spawn(command, address, folder)
    }

    fn spawn(mut command: Command, address: SocketAddr, folder: TempDir) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self {
            child,
            address,
            folder,
        };
        eventually("the web server listens", || {
            if let Some(status) = server.child.try_wait().unwrap() {
                panic!("{command:?} ended with {status}");
            }
            std::net::TcpStream::connect(address).ok()
        });
        server
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its files lie.
    pub fn files(&self) -> std::path::PathBuf {
        self.folder.path().join("files")
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        // nginx's worker ends with its master only when that is told so in order.
        let _ = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        let _ = self.child.wait();
    }
}

fn place() -> (TempDir, SocketAddr) {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("files")).unwrap();
    (folder, SocketAddr::from(([127, 0, 0, 1], free_port())))
}

fn nginx_config(folder: &Path, address: SocketAddr) -> String {
    let folder = folder.display();
    let places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {folder}/{kind};"))
        .join(" ");
    // As root its worker would be somebody else, who may not write into the folder.
    let user = match std::fs::metadata("/proc/self").map(|own| owner_of(&own)) {
        Ok(0) => "user root;",
        _ => "",
    };
    format!(
        "{user} daemon off; worker_processes 1; pid {folder}/pid; error_log stderr;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ {places} access_log off; default_type text/plain; server {{\n\
           listen {address} backlog=1024; root {folder}/files; client_max_body_size 0;\n\
           location / {{ dav_methods PUT; }}\n\
         }} }}\n"
    )
}

fn owner_of(metadata: &std::fs::Metadata) -> u32 {
    use std::os::unix::fs::MetadataExt;
    metadata.uid()
}

/// curl with these arguments; it has to succeed. What it prints.
#[track_caller]
pub fn curl(arguments: &[&str]) -> String {
    let mut command = Command::new(tool("curl"));
    // Expect: curl would wait a second for the 100 of a server that knows none.
    command.args(["--silent", "--show-error", "--max-time", "300"]);
    output(command.args(arguments))
}

/// nghttp with these arguments, without the server's upgrade; it has to succeed.
#[track_caller]
pub fn nghttp(arguments: &[&str]) -> String {
    output(Command::new(tool("nghttp")).args(arguments))
}

/// Runs a program that has to succeed; what it prints.
#[track_caller]
pub fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Writes `request` as it stands, and reads until the other side closes.
pub fn exchange(address: SocketAddr, request: &[u8]) -> String {
    use std::io::Read;
    let mut stream = connect(address);
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    // A reset behind the answer is an end as well.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Nothing beyond what the order has to say.
pub fn plain() -> Value {
    json!({})
}

fn read_json(lines: &mut impl BufRead) -> Value {
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("no JSON ({error}): {line:?}"))
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
