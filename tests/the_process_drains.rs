//! The process ends in order: what is under way may finish, for as long as it was told to wait.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use support::eventually;
use support::mongo::{Client, answer_to, answering};
use support::peer::{connect, echo, scripted};
use support::proxy::{Proxy, http_as, one_listener};
use support::wire::read_message;

/// The call site of requests that the upstream holds until its gate is opened.
const HELD: &str = "held.request";

#[test]
fn sigterm_lets_the_request_under_way_finish() {
    expect_drain_in_order(|proxy| proxy.signal("TERM"));
}

#[test]
fn sigint_is_the_same() {
    expect_drain_in_order(|proxy| proxy.signal("INT"));
}

#[test]
fn post_drain_is_the_same() {
    expect_drain_in_order(|proxy| {
        assert_eq!(proxy.ask("POST", "/drain"), (200, "draining\n".into()));
    });
}

fn expect_drain_in_order(end: impl FnOnce(&Proxy)) {
    let gate = Gate::default();
    let mut proxy = Proxy::start(&one_listener("mongo", holding(&gate)));
    let address = proxy.address("mongo");
    let mut idle = Client::connect(address);
    idle.find("shop.carts", "");
    let mut busy = under_way(&proxy);

    end(&proxy);
    expect_draining(&proxy);
    assert!(idle.is_closed(), "nothing was under way there");
    proxy
        .stats()
        .expect("server.live", 0)
        .expect("server.state", 1)
        .expect("mongo.mongo.cx_drain_close", 1)
        .expect("mongo.mongo.op_query_active", 1);
    eventually("new connections are refused", || {
        TcpStream::connect(address).err()
    });
    gate.open();
    busy.expect_reply(1);
    assert!(busy.is_closed());
    assert_eq!(proxy.wait().code(), Some(0));
}

#[test]
fn a_request_that_is_stuck_is_ended_at_the_deadline() {
    let (mut proxy, mut stuck) = stuck("1s");
    let begun = Instant::now();
    proxy.signal("TERM");
    assert_eq!(proxy.wait().code(), Some(0));
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert!(stuck.is_gone());
}

#[test]
fn the_deadline_is_the_one_of_the_last_reload() {
    let (mut proxy, mut stuck) = stuck("1h");
    let config = std::fs::read_to_string(proxy.config_path()).unwrap();
    let config = config.replace("drain_timeout: 1h", "drain_timeout: 1s");
    std::fs::write(proxy.config_path(), config).unwrap();
    assert_eq!(proxy.ask("POST", "/reload").0, 200);
    proxy.signal("TERM");
    assert_eq!(proxy.wait().code(), Some(0));
    assert!(stuck.is_gone());
}

#[test]
fn a_second_signal_ends_at_once() {
    let (mut proxy, mut stuck) = stuck("1h");
    proxy.signal("TERM");
    expect_draining(&proxy);
    proxy.signal("TERM");
    assert_eq!(proxy.wait().code(), Some(0));
    assert!(stuck.is_gone());
}

#[test]
fn opaque_sessions_may_go_on_until_the_deadline() {
    let config = format!("drain_timeout: 2s\n{}", one_listener("tcp", echo()));
    let mut proxy = Proxy::start(&config);
    let mut client = connect(proxy.address("tcp"));
    client.write_all(b"before").unwrap();
    client.read_exact(&mut [0; 6]).unwrap();
    let begun = Instant::now();
    proxy.signal("TERM");
    expect_draining(&proxy);
    client.write_all(b"after").unwrap();
    let mut back = [0; 5];
    client.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"after");
    assert!(client.read(&mut [0]).map_or(true, |read| read == 0));
    assert!(begun.elapsed() >= Duration::from_secs(2));
    assert_eq!(proxy.wait().code(), Some(0));
}

#[test]
fn a_draining_process_takes_no_new_config() {
    let (proxy, _stuck) = stuck("1h");
    proxy.signal("TERM");
    expect_draining(&proxy);
    let (status, body) = proxy.ask("POST", "/reload");
    assert_eq!(status, 400);
    assert!(body.contains("draining"), "{body}");
}

#[test]
fn what_changes_state_is_post_only() {
    let proxy = Proxy::start(&one_listener("mongo", answering()));
    for path in ["/drain", "/reload"] {
        for method in ["GET", "PUT", "DELETE"] {
            assert_eq!(proxy.ask(method, path).0, 405, "{method} {path}");
        }
    }
    assert_eq!(proxy.ask("GET", "/ready").0, 200);
    Client::connect(proxy.address("mongo")).find("shop.carts", "");
    proxy
        .stats()
        .expect("server.config.reload_success", 0)
        .expect("server.config.reload_failure", 0);
}

/// What a browser can be made to send to 127.0.0.1 by a page of somebody else (DNS rebinding).
#[test]
fn the_admin_address_answers_to_no_foreign_name() {
    let proxy = Proxy::start(&one_listener("mongo", answering()));
    let port = proxy.admin().port();
    for host in ["evil.example", "localhost.evil.example", "192.0.2.1"] {
        for (method, path) in [("GET", "/stats"), ("GET", "/config"), ("POST", "/drain")] {
            for host in [host.to_string(), format!("{host}:{port}")] {
                let (status, body) = http_as(&host, proxy.admin(), method, path);
                assert_eq!(status, 403, "{method} {path} of {host}: {body}");
            }
        }
    }
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        let (status, _) = http_as(&format!("{host}:{port}"), proxy.admin(), "GET", "/ready");
        assert_eq!(status, 200, "{host}");
    }
}

/// A proxy with a request under way that never gets its reply.
fn stuck(drain_timeout: &str) -> (Proxy, Client) {
    let upstream = holding(&Gate::default());
    let config = format!(
        "drain_timeout: {drain_timeout}\n{}",
        one_listener("mongo", upstream)
    );
    let proxy = Proxy::start(&config);
    let client = under_way(&proxy);
    (proxy, client)
}

/// A client whose request has reached the upstream, which holds it.
fn under_way(proxy: &Proxy) -> Client {
    let mut client = Client::connect(proxy.address("mongo"));
    client.send_find("shop.carts", HELD);
    eventually("the request is under way", || {
        (proxy.stats().value("mongo.mongo.op_query_active") == 1).then_some(())
    });
    client
}

#[track_caller]
fn expect_draining(proxy: &Proxy) {
    eventually("it drains", || {
        (proxy.ask("GET", "/ready") == (503, "draining\n".into())).then_some(())
    });
}

/// Answers everything at once, except for what is held.
fn holding(gate: &Gate) -> SocketAddr {
    let gate = gate.clone();
    scripted(move |mut stream| {
        while let Ok(request) = read_message(&mut stream) {
            let is_held = |window: &[u8]| window == HELD.as_bytes();
            if request.windows(HELD.len()).any(is_held) {
                gate.wait();
            }
            if stream.write_all(&answer_to(&request)).is_err() {
                return;
            }
        }
    })
}

/// Something to wait for.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let closed = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(closed, |open| !*open).unwrap());
    }
}
