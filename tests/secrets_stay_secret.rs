//! What clients and operators keep secret shows up nowhere: no stat, no page, no log line, no error.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use support::eventually;
use support::frames::{END_HEADERS, END_STREAM, Frames, HEADERS, block, request_fields};
use support::mongo::answering;
use support::mongod::{Mongod, python};
use support::peer::scripted;
use support::proxy::{Proxy, binary, one_listener};
use support::recorder::Recorder;
use tempfile::TempDir;

const PASSWORD: &str = "pl4nted-passw0rd-0f-the-test";
const SECRET: &str = "pl4nted-value-4111-1111-1111-1111";

/// Parts of a SCRAM message that are shorter say nothing: an iteration count, an empty channel binding.
const TELLING: usize = 12;

#[test]
fn credentials_and_values_that_pass_are_never_repeated() {
    let mongod = Mongod::standalone();
    let wire = Wire::before(mongod.address());
    let statsd = UdpSocket::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(&format!(
        "{}log: {{ level: trace }}\nstats: {{ interval: 100ms, statsd: {{ address: \"{}\", flavor: datadog }} }}\n",
        one_listener("mongo", wire.address),
        statsd.local_addr().unwrap()
    ));
    let address = proxy.address("mongo").to_string();
    python("secrets_planted.py", &[&address, PASSWORD, SECRET]);
    eventually("all connections are closed", || {
        (proxy.stats().value("listener.mongo.downstream_cx_active") == 0).then_some(())
    });

    let mut secrets = wire.sasl_parts();
    assert!(secrets.iter().any(|part| part.starts_with("p=")), "a proof");
    assert!(secrets.iter().any(|part| part.starts_with("r=")), "a nonce");
    assert!(wire.carried(SECRET), "it was planted");
    secrets.extend([PASSWORD.to_string(), SECRET.to_string()]);

    // The last line, so that all before it have come through the pipe.
    assert_eq!(proxy.ask("POST", "/reload").0, 200);
    proxy.expect_logged("config reloaded");
    let mut told = everything_told(&proxy);
    told.push(("statsd".into(), lines_for(&statsd, "people.find")));
    let stats = &told[0].1;
    assert!(
        stats.contains("shop.people.callsite.people.find.query"),
        "the operations were seen: {stats}"
    );
    for (place, text) in &told {
        assert!(!text.is_empty(), "{place} says nothing at all");
        for secret in &secrets {
            assert!(!text.contains(secret), "{place} tells {secret}:\n{text}");
        }
    }
}

/// In heads, targets and bodies of requests and replies, of those that pass and those that are refused.
#[test]
fn what_http_carries_is_never_repeated() {
    let statsd = UdpSocket::bind("127.0.0.1:0").unwrap();
    let reply: &'static [u8] = Box::leak(
        format!("HTTP/1.1 200 OK\r\nSet-Cookie: session={SECRET}\r\nX-Reply: {SECRET}\r\nContent-Length: 33\r\n\r\n{SECRET}")
            .into_bytes()
            .into_boxed_slice(),
    );
    let server = Recorder::answering(reply);
    let proxy = Proxy::start(&format!(
        "{}    http: {{ caller_header: x-caller, max_body: 1KiB }}\n\
         clusters:\n  - name: http\n    endpoints: [\"{}\"]\n\
         log: {{ level: trace }}\nstats: {{ interval: 100ms, statsd: {{ address: \"{}\", flavor: datadog }} }}\n",
        one_listener("http", server.address())
            .split("clusters:")
            .next()
            .unwrap(),
        server.address(),
        statsd.local_addr().unwrap()
    ));
    let address = proxy.address("http");
    let fields = format!(
        "Host: shop.example\r\nAuthorization: Bearer {SECRET}\r\nCookie: session={SECRET}\r\nX-Token: {SECRET}\r\nX-Caller: checkout\r\n"
    );
    let target = format!("/carts/{SECRET}?token={SECRET}");
    let length = SECRET.len();
    for request in [
        format!("POST {target} HTTP/1.1\r\n{fields}Content-Length: {length}\r\n\r\n{SECRET}"),
        // Refused: for a space, for its length, for its method, for being no HTTP at all.
        format!("GET {target} HTTP/1.1\r\n{fields}X-{SECRET} : 1\r\n\r\n"),
        format!("POST {target} HTTP/1.1\r\n{fields}Content-Length: 5000\r\n\r\n{SECRET}"),
        format!("CONNECT {SECRET}:443 HTTP/1.1\r\n{fields}\r\n"),
        format!("{SECRET}\r\n\r\n"),
    ] {
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(request.as_bytes()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let _ = client.read_to_end(&mut Vec::new());
    }
    let mut client = Frames::connect(address);
    let secret = SECRET.to_string();
    let mut fields = request_fields("GET", &target);
    fields.extend([
        ("authorization", secret.as_str()),
        ("cookie", &secret),
        ("x-caller", "checkout"),
    ]);
    for (stream, more) in [(1, None), (3, Some(("te", secret.as_str())))] {
        fields.extend(more);
        client
            .send(HEADERS, END_HEADERS | END_STREAM, stream, &block(&fields))
            .unwrap();
        client.end_of(stream);
    }
    drop(client);
    eventually("all connections are closed", || {
        (proxy.stats().value("http.http.downstream_cx_active") == 0).then_some(())
    });
    assert_eq!(proxy.ask("POST", "/reload").0, 200);
    proxy.expect_logged("config reloaded");
    let mut told = everything_told(&proxy);
    told.push(("statsd".into(), lines_for(&statsd, "caller")));
    assert!(
        told[0].1.contains("http.http.caller.checkout."),
        "it was seen"
    );
    for (place, text) in &told {
        assert!(!text.contains(SECRET), "{place} tells it:\n{text}");
    }
}

#[test]
fn a_password_from_a_file_is_on_no_page_and_in_no_log_line() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("password");
    std::fs::write(&path, format!("{PASSWORD}\n")).unwrap();
    let path = path.to_str().unwrap();
    let proxy = Proxy::start(&format!(
        "{}    mongo: {{ credentials: [{{ name: app, username: narrows, password_file: '{path}' }}] }}\n\
        log: {{ level: trace }}\n",
        one_listener("mongo", answering()),
    ));
    assert!(
        proxy.get("/config").contains(path),
        "where it is may be shown"
    );
    assert_eq!(proxy.ask("POST", "/reload").0, 200);
    proxy.expect_logged("config reloaded");

    // Two lines are no password; the log says so, and not what is in them.
    std::fs::write(path, format!("{PASSWORD}\n{PASSWORD}\n")).unwrap();
    let (status, body) = proxy.ask("POST", "/reload");
    assert_eq!(status, 400);
    assert!(body.contains("second line"), "{body}");
    expect_no_password(&body);
    for (_, told) in everything_told(&proxy) {
        expect_no_password(&told);
    }
}

/// Whatever is wrong with a line that has a password in it, the error does not repeat it.
#[test]
fn a_password_in_a_bad_config_is_not_in_its_error() {
    let good = one_listener("mongo", answering());
    let url = format!("mongodb://admin:{PASSWORD}@db.example:27017");
    let endpoints = |written: &str| {
        let (before, _) = good.split_once("    endpoints:").unwrap();
        format!("{before}    endpoints: {written}\n")
    };
    let credential = |password: &str| {
        format!("{good}    mongo: {{ credentials: [{{ name: a, username: a, {password} }}] }}\n")
    };
    for bad in [
        endpoints(&format!("[\"{url}\"]")),
        endpoints(&format!("[{url}]")),
        endpoints(&format!("[\"admin:{PASSWORD}@db.example:27017\"]")),
        endpoints(&url),
        endpoints(&format!("[\"{url}\"")),
        endpoints(&format!("[\"{url}\"] ] }}")),
        good.replace("listen: ", &format!("listen: {url} # ")),
        good.replace("cluster: ", &format!("cluster: {url} # ")),
        good.replace("protocol: ", &format!("protocol: {url} # ")),
        format!("{good}stats: {{ statsd: {{ address: \"{url}\" }} }}\n"),
        format!("{good}    password: {PASSWORD}\n"),
        credential(&format!("password: {PASSWORD}")),
        credential(&format!("password_file: {PASSWORD}")),
        credential(&format!("password_env: {PASSWORD}")),
        credential(&format!("password_env: [{PASSWORD}]")),
        format!("{good}{url}: 1\n"),
    ] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("narrows.yaml");
        std::fs::write(&path, &bad).unwrap();
        for command in ["run", "check"] {
            let said = refusal(&[command, "-c", path.to_str().unwrap()]);
            expect_no_password(&said);
            assert!(said.contains("narrows.yaml:"), "it has a place:\n{said}");
        }
    }
}

#[test]
fn a_password_in_an_argument_is_not_in_its_error() {
    let url = format!("mongodb://admin:{PASSWORD}@db.example:27017");
    let (listen, to) = ("mongo://127.0.0.1:0", "127.0.0.1:27017");
    for arguments in [
        ["run", "--listen", listen, "--to", &url],
        ["run", "--listen", &url, "--to", to],
    ] {
        expect_no_password(&refusal(&arguments));
    }
    let statsd = [
        "run", "--listen", listen, "--to", to, "--statsd", &url, "--admin", &url,
    ];
    expect_no_password(&refusal(&statsd));
}

#[test]
fn a_password_in_a_reloaded_config_is_in_no_answer_and_no_log_line() {
    let good = one_listener("mongo", answering());
    let proxy = Proxy::start(&good);
    proxy.write_config(&good.replace(
        "endpoints: [\"",
        &format!("endpoints: [\"mongodb://admin:{PASSWORD}@"),
    ));
    let (status, body) = proxy.ask("POST", "/reload");
    assert_eq!(status, 400);
    let place = body.find("narrows.yaml:").unwrap();
    proxy.expect_logged("narrows.yaml:");
    expect_no_password(&body[place..]);
    for (_, told) in everything_told(&proxy) {
        expect_no_password(&told);
    }
}

#[track_caller]
fn expect_no_password(told: &str) {
    assert!(!told.contains(PASSWORD), "the password is told:\n{told}");
}

/// What the process says that refuses to start.
#[track_caller]
fn refusal(arguments: &[&str]) -> String {
    let output = binary()
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    let said = [output.stdout, output.stderr].concat();
    assert!(!said.is_empty());
    String::from_utf8(said).unwrap()
}

/// Every page, in every form, and the log.
fn everything_told(proxy: &Proxy) -> Vec<(String, String)> {
    let pages = [
        "/stats",
        "/stats?format=json",
        "/stats?format=prometheus",
        "/metrics",
        "/config",
        "/clusters",
        "/listeners",
        "/ready",
        "/",
    ];
    let mut told: Vec<_> = pages
        .iter()
        .map(|page| (page.to_string(), proxy.get(page)))
        .collect();
    told.push(("the log".into(), proxy.log()));
    told
}

/// What has arrived at a statsd daemon by the time this text has.
fn lines_for(daemon: &UdpSocket, text: &str) -> String {
    daemon.set_read_timeout(Some(support::PATIENCE)).unwrap();
    let (mut lines, mut buffer) = (String::new(), vec![0; 1 << 16]);
    while !lines.contains(text) {
        let length = daemon.recv(&mut buffer).unwrap();
        lines += std::str::from_utf8(&buffer[..length]).unwrap();
    }
    lines
}

/// A place between proxy and server where everything that passes is written down.
struct Wire {
    address: SocketAddr,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Wire {
    fn before(server: SocketAddr) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&bytes);
        let address = scripted(move |client| {
            let server = TcpStream::connect(server).unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| copy(&client, &server, &noted));
                copy(&server, &client, &noted);
            });
        });
        Self { address, bytes }
    }

    fn carried(&self, text: &str) -> bool {
        let bytes = self.bytes.lock().unwrap();
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    }

    /// The telling parts of all SCRAM messages: `p=` proofs, `r=` nonces, `s=` salts, `v=` signatures.
    fn sasl_parts(&self) -> BTreeSet<String> {
        // A BSON element: type 5 (binary), its name, then length and subtype before the bytes.
        const ELEMENT: &[u8] = b"\x05payload\0";
        let bytes = self.bytes.lock().unwrap();
        let mut parts = BTreeSet::new();
        for at in 0..bytes.len() {
            let Some(rest) = bytes[at..].strip_prefix(ELEMENT) else {
                continue;
            };
            let length = u32::from_le_bytes(rest[..4].try_into().unwrap());
            let payload = &rest[5..5 + length as usize];
            let payload = std::str::from_utf8(payload).unwrap();
            let telling = payload.split(',').filter(|part| part.len() >= TELLING);
            parts.extend(telling.map(str::to_string));
        }
        parts
    }
}

fn copy(mut from: &TcpStream, mut to: &TcpStream, noted: &Mutex<Vec<u8>>) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        noted.lock().unwrap().extend(&buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // The other side may have left first.
    let _ = to.shutdown(Shutdown::Write);
}
