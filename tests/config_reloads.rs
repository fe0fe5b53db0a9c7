//! A reload swaps a valid config in without dropping anything, and changes nothing otherwise.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use support::mongo::{Client, answering};
use support::mongod::{Mongod, driver};
use support::peer::{connect, scripted};
use support::proxy::{Proxy, one_listener};
use support::{eventually, wait_for_exit};

#[test]
fn a_new_listener_appears_and_a_removed_one_stops_while_its_sessions_go_on() {
    let upstream = answering();
    let proxy = Proxy::start(&listeners(&["first", "second"], upstream));
    let before = proxy.listeners();
    let mut old = Client::connect(before["first"]);
    let mut kept = Client::connect(before["second"]);
    old.find("shop.carts", "");
    kept.find("shop.carts", "");

    proxy.write_config(&listeners(&["second", "third"], upstream));
    expect_reloaded(&proxy);
    let after = proxy.listeners();
    assert_eq!(after.len(), 2);
    assert_eq!(after["second"], before["second"], "its socket stays");
    Client::connect(after["third"]).find("shop.carts", "");
    eventually("the removed listener refuses", || {
        TcpStream::connect(before["first"]).err()
    });
    old.find("shop.carts", "");
    kept.find("shop.carts", "");
    eventually("of the removed listener one session is left", || {
        (proxy.stats().value("listener.first.downstream_cx_active") == 1).then_some(())
    });
    proxy
        .stats()
        .expect("mongo.first.total", 2)
        .expect("mongo.second.total", 2)
        .expect("mongo.third.total", 1)
        .expect("server.config.reload_success", 1);
}

#[test]
fn a_clusters_new_endpoint_is_for_new_sessions_only() {
    let (a, b) = (naming(b'a'), naming(b'b'));
    let proxy = Proxy::start(&one_listener("tcp", a));
    let mut old = connect(proxy.address("tcp"));
    assert_eq!(who(&mut old), b'a');
    proxy.write_config(&one_listener("tcp", b));
    expect_reloaded(&proxy);
    assert_eq!(who(&mut old), b'a');
    assert_eq!(who(&mut connect(proxy.address("tcp"))), b'b');
    assert!(proxy.get("/clusters").contains(&b.to_string()));
    assert!(!proxy.get("/clusters").contains(&a.to_string()));
}

#[test]
fn a_hangup_is_a_reload() {
    let (a, b) = (naming(b'a'), naming(b'b'));
    let proxy = Proxy::start(&one_listener("tcp", a));
    proxy.write_config(&one_listener("tcp", b));
    proxy.signal("HUP");
    eventually("it is counted", || {
        (proxy.stats().value("server.config.reload_success") == 1).then_some(())
    });
    assert_eq!(who(&mut connect(proxy.address("tcp"))), b'b');
    proxy.expect_logged("config reloaded");

    proxy.write_config(&one_listener("tcp", a).replace("cluster: tcp", "cluster: tpc"));
    proxy.signal("HUP");
    eventually("it is counted", || {
        (proxy.stats().value("server.config.reload_failure") == 1).then_some(())
    });
    proxy.expect_logged(&place_of(&proxy, "tpc"));
    assert_eq!(who(&mut connect(proxy.address("tcp"))), b'b');
}

#[test]
fn a_bad_file_changes_nothing_and_every_mistake_is_placed() {
    let upstream = answering();
    let good = listeners(&["mongo"], upstream);
    let proxy = Proxy::start(&good);
    let (config, address) = (proxy.get("/config"), proxy.address("mongo"));
    let bad = listeners(&["mongo", "other"], upstream)
        .replace("protocol: mongo", "protocol: mango")
        .replace("endpoints:", "endpoint:");
    proxy.write_config(&bad);
    let (status, body) = proxy.ask("POST", "/reload");
    assert_eq!(status, 400);
    for mistake in ["mango", "endpoint:"] {
        let place = place_of(&proxy, mistake);
        assert!(body.contains(&place), "{place} is not in:\n{body}");
        proxy.expect_logged(&place);
    }
    assert_eq!(proxy.get("/config"), config);
    assert_eq!(proxy.address("mongo"), address);
    Client::connect(address).find("shop.carts", "");
    proxy
        .stats()
        .expect("server.config.reload_failure", 1)
        .expect("server.config.reload_success", 0);

    proxy.write_config(&good);
    expect_reloaded(&proxy);
}

#[test]
fn a_listener_that_cannot_be_bound_changes_nothing_else_either() {
    let (a, b) = (naming(b'a'), naming(b'b'));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(&one_listener("tcp", a));
    let place = taken.local_addr().unwrap();
    proxy.write_config(&one_listener("tcp", b).replace(
        "clusters:",
        &format!(
            "  - {{ name: more, listen: \"{place}\", protocol: tcp, cluster: tcp }}\nclusters:"
        ),
    ));
    let (status, body) = proxy.ask("POST", "/reload");
    assert_eq!(status, 400, "{body}");
    assert!(body.contains("`more`") && body.contains("another process"));
    assert_eq!(who(&mut connect(proxy.address("tcp"))), b'a');
}

#[test]
fn what_only_a_restart_changes_is_refused_by_its_name() {
    let upstream = answering();
    let config = one_listener("mongo", upstream);
    let proxy = Proxy::start(&config);
    for (key, changed) in [
        ("workers", "workers: 7\n"),
        ("log", "log: { level: debug }\n"),
        ("stats", "stats: { interval: 7s }\n"),
    ] {
        proxy.write_config(&format!("{changed}{config}"));
        let (status, body) = proxy.ask("POST", "/reload");
        assert_eq!(status, 400, "{key}: {body}");
        assert!(body.contains(&format!("`{key}` can't be")), "{key}: {body}");
    }
    let elsewhere = format!("admin: {{ listen: 127.0.0.1:9 }}\n{config}");
    std::fs::write(proxy.config_path(), elsewhere).unwrap();
    let (status, body) = proxy.ask("POST", "/reload");
    assert_eq!(status, 400, "{body}");
    assert!(body.contains("`admin` can't be"), "{body}");
    proxy.stats().expect("server.config.reload_failure", 4);
    Client::connect(proxy.address("mongo")).find("shop.carts", "");
}

#[test]
fn without_a_file_there_is_nothing_to_reload() {
    let proxy = Proxy::quick("mongo", answering());
    let (status, body) = proxy.ask("POST", "/reload");
    assert_eq!(status, 400);
    assert!(body.contains("--listen"), "{body}");
    proxy.signal("HUP");
    eventually("it is counted", || {
        (proxy.stats().value("server.config.reload_failure") == 2).then_some(())
    });
    Client::connect(proxy.address("mongo")).find("shop.carts", "");
}

/// Clients that stay and clients that come and go, while the config goes back and forth.
#[test]
fn reloads_under_load_drop_no_connection_and_no_request() {
    const RELOADS: i64 = 30;
    let (a, b) = (answering(), answering());
    let proxy = Proxy::start(&listeners(&["mongo"], a));
    let address = proxy.address("mongo");
    let (done, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        // Whatever fails below, the clients have to end.
        let _end = OnDrop(|| done.store(true, Ordering::Relaxed));
        for stays in [true, true, true, false, false, false] {
            let (done, answered) = (&done, &answered);
            scope.spawn(move || {
                let mut client = Client::connect(address);
                while !done.load(Ordering::Relaxed) {
                    if !stays {
                        client = Client::connect(address);
                    }
                    client.find("shop.carts", "");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for reload in 0..RELOADS {
            let seen = answered.load(Ordering::Relaxed);
            proxy.write_config(&match reload % 2 {
                0 => listeners(&["extra", "mongo"], b),
                _ => listeners(&["mongo"], a),
            });
            expect_reloaded(&proxy);
            eventually("traffic flows between two reloads", || {
                (answered.load(Ordering::Relaxed) > seen + 20).then_some(())
            });
        }
    });
    let answered = answered.load(Ordering::Relaxed);
    eventually("all sessions have ended", || {
        (proxy.stats().value("listener.mongo.downstream_cx_active") == 0).then_some(())
    });
    proxy
        .stats()
        .expect("mongo.mongo.total", i64::try_from(answered).unwrap())
        .expect("mongo.mongo.error", 0)
        .expect("cluster.mongo.upstream_cx_none_healthy", 0)
        .expect("server.config.reload_success", RELOADS);
}

#[test]
fn a_real_driver_under_load_does_not_notice_reloads() {
    let mongod = Mongod::standalone();
    let with_connect_timeout = |timeout: &str| {
        format!(
            "{}    connect_timeout: {timeout}\n",
            one_listener("mongo", mongod.address())
        )
    };
    let proxy = Proxy::start(&with_connect_timeout("5s"));
    let address = proxy.address("mongo").to_string();
    let mut steady = driver("steady.py", &[&address])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(steady.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "started\n");
    for timeout in ["4s", "3s", "2s"] {
        let finds = || proxy.stats().value("mongo.mongo.cmd.find.total");
        let seen = finds();
        proxy.write_config(&with_connect_timeout(timeout));
        expect_reloaded(&proxy);
        eventually("traffic goes on", || (finds() > seen + 50).then_some(()));
    }
    drop(steady.stdin.take());
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert!(wait_for_exit(&mut steady).success(), "{rest}");
}

/// Runs what it holds when it goes out of scope.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        self.0();
    }
}

#[track_caller]
fn expect_reloaded(proxy: &Proxy) {
    let (status, body) = proxy.ask("POST", "/reload");
    assert_eq!((status, body.as_str()), (200, "reloaded\n"));
}

/// Mongo listeners with these names, all in front of one upstream.
fn listeners(names: &[&str], upstream: SocketAddr) -> String {
    let mut config = String::from("listeners:\n");
    for name in names {
        config += &format!("  - name: {name}\n    listen: 127.0.0.1:0\n");
        config += "    protocol: mongo\n    cluster: mongo\n";
    }
    config + &format!("clusters:\n  - name: mongo\n    endpoints: [\"{upstream}\"]\n")
}

/// An upstream that answers each byte with its own name.
fn naming(name: u8) -> SocketAddr {
    scripted(
        move |mut stream| {
            while stream.read_exact(&mut [0]).is_ok() && stream.write_all(&[name]).is_ok() {}
        },
    )
}

fn who(client: &mut TcpStream) -> u8 {
    let mut name = [0];
    client.write_all(b"?").unwrap();
    client.read_exact(&mut name).unwrap();
    name[0]
}

/// `narrows.yaml:LINE:COLUMN` of the first such text in the config file.
fn place_of(proxy: &Proxy, text: &str) -> String {
    let config = std::fs::read_to_string(proxy.config_path()).unwrap();
    let lines = config.lines().enumerate();
    let (line, column) = lines
        .filter_map(|(line, content)| Some((line + 1, content.find(text)? + 1)))
        .next()
        .unwrap();
    format!("narrows.yaml:{line}:{column}")
}
