//! Bodies pass through, they are not kept: a gigabyte either way costs the proxy its buffers, and whoever reads slowly
//! holds up who sends to them, and nobody else.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use support::http::{Version, WebServer, curl};
use support::peer::{connect, scripted};
use support::proxy::{Proxy, allocated_bytes};
use support::{eventually, tool};

/// A gigabyte takes as long as the machine lets it: a route has 15 s for a whole reply, unless it says otherwise.
const ROUTE: &str = "http: { virtual_hosts: [{ name: all, domains: [\"*\"], routes: [{ name: all, prefix: /, cluster: http, timeout: 0s }] }] }";

const GIGABYTE: u64 = 1 << 30;
const MOST_GROWN: u64 = 256 << 10;

/// curl to nginx: a file that is nothing but its length, so that the disk has no say.
#[test]
fn a_gigabyte_down_in_http1_costs_no_memory() {
    let server = WebServer::nginx();
    download(&server, Version::Http1, &["--http1.1"]);
}

/// curl to nghttpd, in HTTP/2 on both sides.
#[test]
fn a_gigabyte_down_in_http2_costs_no_memory() {
    let server = WebServer::nghttpd();
    download(&server, Version::Http2, &["--http2-prior-knowledge"]);
}

/// From one version into the other, both ways.
#[test]
fn a_gigabyte_down_over_a_bridge_costs_no_memory() {
    let server = WebServer::nghttpd();
    download(&server, Version::Http2, &["--http1.1"]);
    let server = WebServer::nginx();
    download(&server, Version::Http1, &["--http2-prior-knowledge"]);
}

#[test]
fn a_gigabyte_up_over_a_bridge_costs_no_memory() {
    let server = WebServer::nghttpd();
    std::fs::write(server.files().join("up"), b"").unwrap();
    let proxy = one_worker(server.address(), Version::Http2);
    upload(&proxy, &["--http1.1"], "POST");
    let (server, received) = counting();
    let proxy = one_worker(server, Version::Http1);
    upload(&proxy, &["--http2-prior-knowledge"], "PUT");
    assert!(received.load(Ordering::Relaxed) >= GIGABYTE);
}

fn download(server: &WebServer, upstream: Version, arguments: &[&str]) {
    large_file(&server.files().join("large"));
    let proxy = one_worker(server.address(), upstream);
    let url = |name: &str| format!("http://{}/{name}", proxy.address("http"));
    // A first one brings the buffers into being.
    std::fs::write(server.files().join("small"), vec![7; 4 << 20]).unwrap();
    curl(
        &[
            arguments,
            &["--output", "/dev/null", "--fail", &url("small")],
        ]
        .concat(),
    );
    let grown = growth_while(&proxy, || {
        let said = curl(
            &[
                arguments,
                &[
                    "--output",
                    "/dev/null",
                    "--fail",
                    "--write-out",
                    "%{size_download}",
                    &url("large"),
                ],
            ]
            .concat(),
        );
        assert_eq!(said, GIGABYTE.to_string());
    });
    assert!(grown <= MOST_GROWN, "memory grew by {grown} bytes");
}

#[test]
fn a_gigabyte_up_in_http1_costs_no_memory() {
    let (server, received) = counting();
    upload(&one_worker(server, Version::Http1), &["--http1.1"], "PUT");
    // What the first one was, besides.
    assert!(received.load(Ordering::Relaxed) >= GIGABYTE);
}

#[test]
fn a_gigabyte_up_in_http2_costs_no_memory() {
    let server = WebServer::nghttpd();
    std::fs::write(server.files().join("up"), b"").unwrap();
    upload(
        &one_worker(server.address(), Version::Http2),
        &["--http2-prior-knowledge"],
        "POST",
    );
}

fn upload(proxy: &Proxy, arguments: &[&str], method: &str) {
    let folder = tempfile::TempDir::new().unwrap();
    let (large, small) = (folder.path().join("large"), folder.path().join("small"));
    large_file(&large);
    std::fs::write(&small, vec![7; 4 << 20]).unwrap();
    let url = format!("http://{}/up", proxy.address("http"));
    let send = |file: &std::path::Path| {
        let file = file.to_str().unwrap();
        let all = [
            arguments,
            &[
                "--output",
                "/dev/null",
                "--fail",
                "--request",
                method,
                "--header",
                "Expect:",
                "--upload-file",
                file,
                &url,
            ],
        ];
        curl(&all.concat());
    };
    send(&small);
    let grown = growth_while(proxy, || send(&large));
    assert!(grown <= MOST_GROWN, "memory grew by {grown} bytes");
}

/// A kilobyte a second: the server has to wait, and its bytes are not kept for the client.
#[test]
fn a_reader_of_a_kilobyte_a_second_stops_the_server_not_the_proxy() {
    let sent = Arc::new(AtomicU64::new(0));
    let server = endless(Arc::clone(&sent));
    let proxy = one_worker(server, Version::Http1);
    warm_up(&proxy);
    let begun = sent.load(Ordering::Relaxed);
    let before = proxy.allocated_bytes();
    let mut slow = connect(proxy.address("http"));
    slow.write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut kilobyte = [0; 1024];
    slow.read_exact(&mut kilobyte).unwrap();
    let held_up = settled(&sent);
    for _ in 0..5 {
        std::thread::sleep(Duration::from_secs(1));
        slow.read_exact(&mut kilobyte).unwrap();
        somebody_else_is_served(&proxy);
    }
    // What the kernels of both sides hold is some megabytes; beyond them goes only what the client has taken.
    let gone = settled(&sent) - held_up;
    assert!(
        gone < 1 << 20,
        "{gone} bytes went on to a client that took 5 KB"
    );
    assert!(
        held_up - begun < 32 << 20,
        "{} bytes before it was held up",
        held_up - begun
    );
    let grown = proxy.allocated_bytes().saturating_sub(before);
    assert!(grown <= MOST_GROWN, "memory grew by {grown} bytes");
}

/// The same the other way: a server that does not read holds up the client.
#[test]
fn a_server_that_reads_slowly_stops_the_client_not_the_proxy() {
    let stop = Arc::new(AtomicBool::new(false));
    let server = scripted(move |mut stream| {
        let mut byte = [0; 1024];
        let Ok(read) = stream.read(&mut byte) else {
            return;
        };
        if byte[..read].starts_with(b"GET /quick") {
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
            return;
        }
        // A kilobyte a second from here on.
        while stream.read(&mut byte).is_ok_and(|read| read > 0) {
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    let proxy = one_worker(server, Version::Http1);
    warm_up(&proxy);
    let before = proxy.allocated_bytes();
    let mut client = connect(proxy.address("http"));
    client
        .write_all(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
        .unwrap();
    let sent = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&sent);
    let stopped = Arc::clone(&stop);
    let writing = std::thread::spawn(move || {
        let piece = vec![b'x'; 64 * 1024];
        while !stopped.load(Ordering::Relaxed) && client.write_all(&piece).is_ok() {
            counter.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
    });
    let held_up = settled(&sent);
    for _ in 0..3 {
        std::thread::sleep(Duration::from_secs(1));
        somebody_else_is_served(&proxy);
    }
    let gone = settled(&sent) - held_up;
    assert!(gone < 1 << 20, "{gone} bytes went on");
    assert!(held_up < 32 << 20, "{held_up} bytes before it was held up");
    let grown = proxy.allocated_bytes().saturating_sub(before);
    assert!(grown <= MOST_GROWN, "memory grew by {grown} bytes");
    stop.store(true, Ordering::Relaxed);
    drop(proxy);
    writing.join().unwrap();
}

/// A slow reader in HTTP/2, with a quick one on the same connection: its window is its own.
#[test]
fn a_slow_stream_does_not_stop_the_others_of_its_connection() {
    let server = WebServer::nghttpd();
    large_file(&server.files().join("large"));
    std::fs::write(server.files().join("small"), vec![7; 100_000]).unwrap();
    let proxy = one_worker(server.address(), Version::Http2);
    let address = proxy.address("http");
    let mut client = support::frames::Frames::connect(address);
    client.get(1, "/large").unwrap();
    // The stream's window, of 64 KB, is used up; the connection's is made larger.
    let more = 100_000_000_u32.to_be_bytes();
    client
        .send(support::frames::WINDOW_UPDATE, 0, 0, &more)
        .unwrap();
    let mut received = 0;
    while received < 65_535 {
        let frame = client
            .read_until(|frame| frame.kind == support::frames::DATA)
            .unwrap();
        received += frame.payload.len();
    }
    let before = proxy.allocated_bytes();
    for number in 1..=10 {
        let stream = 2 * number + 1;
        client.get(stream, "/small").unwrap();
        client
            .send(support::frames::WINDOW_UPDATE, 0, stream, &more)
            .unwrap();
        assert_eq!(
            client.end_of(stream),
            support::frames::End::Reply(200),
            "stream {stream}"
        );
    }
    let grown = proxy.allocated_bytes().saturating_sub(before);
    assert!(grown <= 2 * MOST_GROWN, "memory grew by {grown} bytes");
}

fn one_worker(server: SocketAddr, version: Version) -> Proxy {
    Proxy::start(&format!(
        "workers: 1\n\
         listeners:\n\
         - {{ name: http, listen: 127.0.0.1:0, protocol: http, {ROUTE} }}\n\
         clusters:\n\
         - {{ name: http, endpoints: [\"{server}\"], http: {{ version: {} }} }}\n",
        version.name()
    ))
}

/// A gigabyte of nothing.
fn large_file(path: &std::path::Path) {
    std::fs::File::create(path)
        .unwrap()
        .set_len(GIGABYTE)
        .unwrap();
}

/// The most that resident memory was above what it was before, looked at while it runs.
fn growth_while(proxy: &Proxy, run: impl FnOnce()) -> u64 {
    let before = proxy.allocated_bytes();
    let pid = proxy.pid();
    let done = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&done);
    let watching = std::thread::spawn(move || {
        let mut most = 0;
        while !over.load(Ordering::Relaxed) {
            most = most.max(allocated_bytes(pid));
            std::thread::sleep(Duration::from_millis(5));
        }
        most
    });
    run();
    done.store(true, Ordering::Relaxed);
    watching.join().unwrap().saturating_sub(before)
}

/// Takes any upload, and counts it.
fn counting() -> (SocketAddr, Arc<AtomicU64>) {
    let received = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&received);
    let address = scripted(move |mut stream| {
        let mut head = Vec::new();
        let mut byte = [0];
        loop {
            while !head.ends_with(b"\r\n\r\n") {
                if stream.read_exact(&mut byte).is_err() {
                    return;
                }
                head.push(byte[0]);
            }
            let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
            let length = text.split("content-length: ").nth(1).unwrap();
            let mut left: u64 = length.split("\r\n").next().unwrap().parse().unwrap();
            head.clear();
            let mut buffer = vec![0; 256 * 1024];
            while left > 0 {
                let most = buffer.len().min(usize::try_from(left).unwrap());
                let Ok(read @ 1..) = stream.read(&mut buffer[..most]) else {
                    return;
                };
                left -= read as u64;
                counter.fetch_add(read as u64, Ordering::Relaxed);
            }
            stream
                .write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
                .unwrap();
        }
    });
    (address, received)
}

/// `/endless` never ends; anything else is short.
fn endless(sent: Arc<AtomicU64>) -> SocketAddr {
    scripted(move |mut stream| {
        let mut buffer = [0; 1024];
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            if !buffer[..read].starts_with(b"GET /endless") {
                let short = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                if stream.write_all(short).is_err() {
                    return;
                }
                continue;
            }
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
                .unwrap();
            let piece = vec![b'x'; 64 * 1024];
            while stream.write_all(&piece).is_ok() {
                sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
            return;
        }
    })
}

/// The value once it no longer moves.
fn settled(value: &AtomicU64) -> u64 {
    let mut last = u64::MAX;
    eventually("it stands still", || {
        let now = value.load(Ordering::Relaxed);
        let still = now == last;
        last = now;
        std::thread::sleep(Duration::from_millis(500));
        still.then_some(now)
    })
}

fn warm_up(proxy: &Proxy) {
    for _ in 0..20 {
        somebody_else_is_served(proxy);
    }
}

#[track_caller]
fn somebody_else_is_served(proxy: &Proxy) {
    let mut client: TcpStream = connect(proxy.address("http"));
    client
        .write_all(b"GET /quick HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).unwrap();
    assert!(said.ends_with("ok"), "{said:?}");
}

/// Hundreds of downloads at once through nghttp2's own load generator, to see that none is lost or cut.
#[test]
fn a_load_of_downloads_comes_through_whole() {
    let (one, two) = (WebServer::nginx(), WebServer::nghttpd());
    for server in [&one, &two] {
        std::fs::write(server.files().join("small"), vec![7; 100_000]).unwrap();
    }
    for (server, version) in [(&one, Version::Http1), (&two, Version::Http2)] {
        let proxy = Proxy::start(&format!(
            "listeners:\n\
             - {{ name: http, listen: 127.0.0.1:0, protocol: http, {ROUTE} }}\n\
             clusters:\n\
             - {{ name: http, endpoints: [\"{}\"], http: {{ version: {} }} }}\n",
            server.address(),
            version.name()
        ));
        let url = format!("http://{}/small", proxy.address("http"));
        for arguments in [["--h1", "-m", "1"].as_slice(), &["-m", "20"]] {
            let said = Command::new(tool("h2load"))
                .args(["-n", "2000", "-c", "20"])
                .args(arguments)
                .arg(&url)
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&said.stdout).into_owned();
            assert!(
                said.contains("2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed, 0 errored, 0 timeout"),
                "{version:?} {arguments:?}: {said}"
            );
            assert!(
                said.contains("200000000"),
                "{version:?} {arguments:?}: {said}"
            );
        }
    }
}
