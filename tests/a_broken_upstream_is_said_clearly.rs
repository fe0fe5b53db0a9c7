//! An upstream that can't serve: the log says why, once and then rarely; clients get an error that says why, and keep
//! their connections; `/ready` is false; and when the upstream is well again, so is the proxy, without a restart.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use bson::doc;
use support::collapse::{self, ORDERS};
use support::commands::{Connection, code, hello};
use support::eventually;
use support::mongod::{Mongod, python};
use support::peer::scripted;
use support::proxy::Proxy;
use tempfile::TempDir;

const POOL: &str = "max_connections: 4, wait_timeout: 300ms";
const HOST_UNREACHABLE: i32 = 6;

/// How long clients keep asking, and how many lines the log may have about it by then.
const ASKED: Duration = Duration::from_secs(4);
const MOST_LINES: usize = 4;

/// Asks again and again: each answer is an error that names the cluster and the endpoint and says `why`.
#[track_caller]
fn expect_clear_errors(proxy: &Proxy, endpoint: SocketAddr, why: &str, logged: &str) {
    let mut client = Connection::open(proxy.address(ORDERS)).unwrap();
    client.expect_ok("admin", &hello("before anything"));
    let end = Instant::now() + ASKED;
    let mut asked = 0;
    while Instant::now() < end || asked < 5 {
        let reply = client.command("shop", &doc! {"find": "carts"}).unwrap();
        assert_eq!(code(&reply), Some(HOST_UNREACHABLE), "{reply}");
        let message = reply.get_str("errmsg").unwrap();
        for part in ["`orders`", &endpoint.to_string(), why] {
            assert!(message.contains(part), "no {part} in: {message}");
        }
        client.expect_ok("admin", &hello("still there"));
        asked += 1;
        thread::sleep(Duration::from_millis(20));
    }
    let log = proxy.log();
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| is_about(line, endpoint))
        .collect();
    let clear = lines
        .iter()
        .any(|line| line.contains(logged) && line.contains(ORDERS));
    assert!(clear, "no clear line about {endpoint} in:\n{log}");
    assert!(lines.len() <= MOST_LINES, "{} lines:\n{log}", lines.len());
    assert_eq!(proxy.ask("GET", "/ready").0, 503);
}

fn is_about(line: &str, endpoint: SocketAddr) -> bool {
    (line.contains("WARN") || line.contains("ERROR")) && line.contains(&endpoint.to_string())
}

#[track_caller]
fn expect_recovery(proxy: &Proxy) {
    let mut client = Connection::open(proxy.address(ORDERS)).unwrap();
    eventually("operations succeed", || {
        let reply = client.command("shop", &doc! {"find": "carts"}).unwrap();
        code(&reply).is_none().then_some(())
    });
    eventually("it is ready", || {
        (proxy.ask("GET", "/ready").0 == 200).then_some(())
    });
    collapse::expect_at_rest(proxy);
}

#[test]
fn a_wrong_password() {
    let mongod = Mongod::start(&["--auth"]);
    // The first user may be made without logging in, from the same machine.
    let uri = format!("mongodb://{}/?directConnection=true", mongod.address());
    let user = r#"{"createUser": "narrows", "pwd": "right", "roles": ["root"]}"#;
    assert_eq!(
        python("collapse/command.py", &[&uri, "admin", user])["ok"],
        1.0
    );
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "expected\n").unwrap();
    let credentials = format!(
        "credentials: [{{ name: app, username: narrows, password_file: \"{}\" }}]",
        file.display()
    );
    let (proxy, _) = collapse::start(&[mongod.address()], POOL, &credentials);
    expect_clear_errors(&proxy, mongod.address(), "uthentication", "uthentication");
    assert!(!proxy.log().contains("expected"), "the password is shown");

    let uri = format!(
        "mongodb://narrows:right@{}/?directConnection=true",
        mongod.address()
    );
    let change = r#"{"updateUser": "narrows", "pwd": "expected"}"#;
    assert_eq!(
        python("collapse/command.py", &[&uri, "admin", change])["ok"],
        1.0
    );
    expect_recovery(&proxy);
}

#[test]
fn nobody_listens() {
    let mut mongod = Mongod::standalone();
    mongod.kill();
    let (proxy, _) = collapse::start(&[mongod.address()], POOL, "");
    expect_clear_errors(&proxy, mongod.address(), "refused", "refused");
    mongod.restart();
    expect_recovery(&proxy);
}

#[test]
fn an_upstream_that_goes_and_comes_back() {
    let mut mongod = Mongod::standalone();
    let (proxy, _) = collapse::start(&[mongod.address()], POOL, "");
    expect_recovery(&proxy);
    mongod.kill();
    let mut client = Connection::open(proxy.address(ORDERS)).unwrap();
    eventually("it is noticed", || {
        let reply = client.command("shop", &doc! {"find": "carts"}).unwrap();
        assert_eq!(code(&reply), Some(HOST_UNREACHABLE), "{reply}");
        (proxy.ask("GET", "/ready").0 == 503).then_some(())
    });
    expect_clear_errors(
        &proxy,
        mongod.address(),
        "Connection refused",
        "connection was closed",
    );
    mongod.restart();
    expect_recovery(&proxy);
}

#[test]
fn a_server_that_is_no_mongodb() {
    let web = scripted(|mut stream| {
        let mut request = [0; 1024];
        if stream.read(&mut request).is_ok_and(|read| read > 0) {
            let _ = stream.write_all(
                b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
        }
    });
    let (proxy, _) = collapse::start(&[web], POOL, "");
    expect_clear_errors(&proxy, web, "MongoDB", "MongoDB");
    assert!(!proxy.log().contains("panicked"), "{}", proxy.log());
}

#[test]
fn a_server_that_takes_connections_and_says_nothing() {
    let silent = support::peer::silent();
    let (proxy, address) = collapse::start(&[silent], POOL, "");
    let mut client = Connection::open(address).unwrap();
    let begun = Instant::now();
    let reply = client.command("shop", &doc! {"find": "carts"}).unwrap();
    assert!(code(&reply).is_some(), "{reply}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(proxy.ask("GET", "/ready").0, 503);
}
