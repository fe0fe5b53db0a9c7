//! A new config and an end in order, under a load of HTTP: nobody loses a request.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use support::frames::{END_STREAM, End, Frames, GOAWAY, HEADERS};
use support::http::Version::{Http1, Http2};
use support::http::{Caller, Origin, Version, curl, plain};
use support::proxy::Proxy;
use support::recorder::Recorder;
use support::{eventually, tool};

/// Routes, limits and clusters change while h2load asks in both versions.
#[test]
fn reloads_under_load_drop_no_request() {
    const REQUESTS: &str = "20000";
    let servers = [Recorder::start(), Recorder::start()];
    let proxy = Proxy::start(&config("one", servers[0].address(), Http1));
    let url = format!("http://{}/x", proxy.address("edge"));
    let loads = [["--h1", "-m", "1"].as_slice(), &["-m", "10"]].map(|arguments| {
        Command::new(tool("h2load"))
            .args(["-n", REQUESTS, "-c", "10"])
            .args(arguments)
            .arg(&url)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    });
    let mut reloads = 0;
    eventually(
        "there have been enough reloads, and traffic between them",
        || {
            let before = proxy.stats().value("http.edge.downstream_rq_completed");
            let (name, server) = [("one", &servers[0]), ("two", &servers[1])][reloads % 2];
            proxy.write_config(&config(name, server.address(), Http1));
            assert_eq!(proxy.ask("POST", "/reload").0, 200);
            reloads += 1;
            eventually("traffic flows, or the load has ended", || {
                let now = proxy.stats().value("http.edge.downstream_rq_completed");
                (now >= before + 200 || now >= 2 * 20_000).then_some(())
            });
            (reloads >= 20).then_some(())
        },
    );
    for load in loads {
        let said = load.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let all = format!("{REQUESTS} succeeded, 0 failed, 0 errored, 0 timeout");
        assert!(said.contains(&all), "{said}");
        assert!(said.contains(&format!("{REQUESTS} 2xx")), "{said}");
    }
    proxy
        .stats()
        .expect("http.edge.downstream_rq_5xx", 0)
        .expect("http.edge.downstream_rq_2xx", 2 * 20_000);
    // Connections keep the config that they began with; a new one has the last.
    assert!(!servers[0].requests().is_empty());
    let last = ["two", "one"][reloads % 2];
    let head = curl(&["--http1.1", "--include", &url]);
    assert!(head.contains(&format!("x-route: {last}\r\n")), "{head}");
}

/// The request under way is answered, the connection is told that it is the last, and the process ends with 0.
#[test]
fn a_drain_answers_what_is_under_way() {
    for server in [Http1, Http2] {
        let origin = Origin::start(server);
        let mut proxy = Proxy::start(&config("one", origin.address(), server));
        let address = proxy.address("edge");
        let asking = std::thread::spawn(move || {
            let mut caller = Caller::start();
            caller.ask(Http1, address, "GET /slow/1000", plain())
        });
        eventually("it is under way", || {
            (proxy.stats().value("cluster.shop.upstream_rq_active") == 1).then_some(())
        });
        proxy.signal("TERM");
        let answer = asking.join().unwrap();
        answer.expect(200);
        assert_eq!(answer.text("text"), "at last\n");
        assert_eq!(
            answer.field("connection").as_deref(),
            Some("close"),
            "{server:?}"
        );
        assert!(proxy.wait().success(), "{server:?}");
    }
}

/// An HTTP/2 client that has nothing under way is told to go, and one that has may finish.
#[test]
fn a_drain_says_goaway() {
    for server in [Http1, Http2] {
        expect_goaway(server);
    }
}

fn expect_goaway(server: Version) {
    let origin = Origin::start(server);
    let mut proxy = Proxy::start(&config("one", origin.address(), server));
    let mut idle = Frames::connect(proxy.address("edge"));
    idle.get(1, "/bytes/0").unwrap();
    assert_eq!(idle.end_of(1), End::Reply(200));
    let mut busy = Frames::connect(proxy.address("edge"));
    busy.get(1, "/slow/1000").unwrap();
    eventually("it is under way", || {
        (proxy.stats().value("cluster.shop.upstream_rq_active") == 1).then_some(())
    });
    proxy.signal("TERM");
    let goaway = idle.read_until(|frame| frame.kind == GOAWAY).unwrap();
    assert_eq!(goaway.code(), 0);
    let goaway = busy.read_until(|frame| frame.kind == GOAWAY).unwrap();
    assert_eq!(goaway.code(), 0);
    let head = busy.read_until(|frame| frame.kind == HEADERS).unwrap();
    assert_eq!((head.stream, head.payload[0]), (1, 0x88));
    assert!(
        head.flags & END_STREAM != 0 || busy.read_until(|frame| frame.ends_stream()).is_some(),
        "the reply is whole"
    );
    assert!(proxy.wait().success());
}

/// `name` is the route's: what changes with a reload.
fn config(name: &str, server: SocketAddr, version: Version) -> String {
    format!(
        "drain_timeout: 20s\n\
         listeners:\n\
         - name: edge\n\
         \x20 listen: 127.0.0.1:0\n\
         \x20 protocol: http\n\
         \x20 http:\n\
         \x20   virtual_hosts:\n\
         \x20   - name: all\n\
         \x20     domains: [\"*\"]\n\
         \x20     response_headers: {{ set: {{ x-route: {name} }} }}\n\
         \x20     routes: [{{ name: {name}, prefix: /, cluster: shop }}]\n\
         clusters:\n\
         - {{ name: shop, endpoints: [\"{server}\"], http: {{ version: {} }} }}\n",
        version.name()
    )
}
