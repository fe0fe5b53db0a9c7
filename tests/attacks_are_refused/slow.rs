//! Clients that take their time, on purpose: heads and bodies byte by byte, prefaces that never end, many of them at once.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::arena::{Arena, read_to_end, status};
use crate::support::frames::{
    END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frames, HEADERS, block, frame, request_fields,
};
use crate::support::peer::connect;
use crate::support::proxy::Proxy;

const PAUSE: Duration = Duration::from_millis(100);
/// How long it may take beyond the timeout: its clock ticks four times a second, and the machine is busy.
const LATE: Duration = Duration::from_secs(5);

#[test]
fn a_head_that_comes_byte_by_byte_is_given_up() {
    let mut arena = Arena::with("header_timeout: 1s");
    let before = arena
        .proxy
        .stats()
        .value("http.edge.downstream_rq_header_timeout");
    let (said, took) = drip(&arena, "GET / HTTP/1.1\r\nHost: a\r\nX-Long: ", b"x");
    assert_eq!(status(&said), 408, "{said:?}");
    expect_in_time(took);
    arena.expect_counted("http.edge.downstream_rq_header_timeout", before);
    assert_eq!(arena.arrived(), []);
    arena.bystander_is_served();
}

/// A preface of HTTP/2 that stops before its end, so that the protocol is never known.
#[test]
fn a_preface_that_never_ends_is_given_up() {
    let mut arena = Arena::with("header_timeout: 1s");
    let mut stream = connect(arena.address());
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nS").unwrap();
    let begun = Instant::now();
    let said = read_to_end(&mut stream);
    assert!(matches!(status(&said), 408 | 0), "{said:?}");
    expect_in_time(begun.elapsed());
    arena.expect_counted("http.edge.downstream_rq_header_timeout", 0);
    assert_eq!(arena.arrived(), []);
    arena.bystander_is_served();
}

/// Frames of a list of fields that never ends, slowly; and one whose payload stops.
#[test]
fn a_list_of_fields_that_comes_slowly_is_given_up() {
    let begun_list = block(&request_fields("GET", "/x"));
    let mut cut_frame = frame(HEADERS, END_HEADERS | END_STREAM, 1, &begun_list);
    cut_frame.truncate(cut_frame.len() - 3);
    for bytes in [frame(HEADERS, END_STREAM, 1, &begun_list), cut_frame] {
        let mut arena = Arena::with("header_timeout: 1s");
        let mut client = Frames::connect(arena.address());
        client.stream.write_all(&bytes).unwrap();
        let begun = Instant::now();
        let code = client.drain();
        expect_in_time(begun.elapsed());
        assert_eq!(code, Some(ENHANCE_YOUR_CALM));
        arena.expect_counted("http.edge.downstream_rq_header_timeout", 0);
        assert_eq!(arena.arrived(), []);
        arena.bystander_is_served();
    }
}

/// A connection on which nothing was ever said is idle, and not late.
#[test]
fn a_client_that_says_nothing_has_the_time_of_an_idle_connection() {
    let proxy = Proxy::start(
        "listeners:\n\
         - { name: edge, listen: 127.0.0.1:0, protocol: http, cluster: shop, idle_timeout: 2s, http: { header_timeout: 500ms } }\n\
         clusters:\n\
         - { name: shop, endpoints: [\"127.0.0.1:9\"] }\n",
    );
    let mut stream = connect(proxy.address("edge"));
    let begun = Instant::now();
    assert_eq!(read_to_end(&mut stream), "");
    assert!(
        begun.elapsed() > Duration::from_millis(1500),
        "{:?}",
        begun.elapsed()
    );
    proxy
        .stats()
        .expect("http.edge.downstream_cx_idle_timeout", 1)
        .expect("http.edge.downstream_rq_header_timeout", 0);
}

/// After a `header_timeout` of a second.
fn expect_in_time(took: Duration) {
    assert!(took >= Duration::from_millis(700), "after {took:?}");
    assert!(took < Duration::from_secs(1) + LATE, "after {took:?}");
}

/// The first bytes of the next head, on a connection that has been served.
#[test]
fn the_second_head_has_the_same_time() {
    let arena = Arena::with("header_timeout: 1s");
    let mut stream = connect(arena.address());
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HT")
        .unwrap();
    let begun = Instant::now();
    let said = read_to_end(&mut stream);
    assert_eq!(status(&said), 200);
    assert!(begun.elapsed() < Duration::from_secs(1) + LATE);
    assert!(said.contains("HTTP/1.1 408 "), "{said:?}");
}

#[test]
fn a_body_that_comes_byte_by_byte_is_given_up() {
    let mut arena = Arena::with("request_timeout: 1s");
    let (said, took) = drip(
        &arena,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n",
        b"x",
    );
    assert_eq!(status(&said), 408, "{said:?}");
    assert!(took < Duration::from_secs(1) + LATE, "after {took:?}");
    let chunk = b"1\r\nx\r\n";
    let (said, took) = drip(
        &arena,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        chunk,
    );
    assert_eq!(status(&said), 408, "{said:?}");
    assert!(took < Duration::from_secs(1) + LATE, "after {took:?}");
    assert_eq!(arena.arrived(), [], "half a body is no request");
    arena.bystander_is_served();
}

/// A body of which nothing comes at all.
#[test]
fn a_body_that_does_not_come_is_given_up() {
    let mut arena = Arena::with("idle_timeout: 1s");
    let mut stream = connect(arena.address());
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
        .unwrap();
    let begun = Instant::now();
    let said = read_to_end(&mut stream);
    assert!(matches!(status(&said), 408 | 504), "{said:?}");
    assert!(begun.elapsed() < Duration::from_secs(1) + LATE);
    arena.expect_counted("http.edge.downstream_rq_idle_timeout", 0);
    arena.bystander_is_served();
}

/// Five hundred of them, of which each costs some kilobytes and no worker.
#[test]
fn hundreds_of_slow_heads_hold_nobody_up() {
    const SLOW: usize = 500;
    let mut arena = Arena::with("header_timeout: 5s");
    let before = arena.proxy.resident_bytes();
    let mut slow: Vec<TcpStream> = (0..SLOW)
        .map(|_| {
            let mut stream = connect(arena.address());
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n").unwrap();
            stream
        })
        .collect();
    for round in 0..10 {
        for stream in &mut slow {
            let _ = write!(stream, "X-{round}: 1\r\n");
        }
        arena.bystander_is_served();
    }
    let each = arena.proxy.resident_bytes().saturating_sub(before) / SLOW as u64;
    assert!(each < 24 << 10, "{each} bytes a slow head");
    for stream in &mut slow {
        assert_eq!(status(&read_to_end(stream)), 408);
    }
    arena.bystander_is_served();
    assert_eq!(arena.arrived(), []);
}

/// A client that does not read its reply holds up its server and nobody else, and costs no more than its buffers.
#[test]
fn a_client_that_does_not_read_costs_its_buffers_only() {
    let large: &'static [u8] = Box::leak(
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n".to_vec(),
            vec![b'x'; 20_000_000],
        ]
        .concat()
        .into_boxed_slice(),
    );
    let server = crate::support::peer::scripted(move |mut stream| {
        let mut buffer = [0; 4096];
        while let Ok(1..) = stream.read(&mut buffer) {
            if stream.write_all(large).is_err() {
                return;
            }
        }
    });
    let proxy = crate::support::proxy::Proxy::in_front_of("http", server);
    let before = proxy.resident_bytes();
    let clients: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut client = connect(proxy.address("http"));
            client
                .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                .unwrap();
            client
        })
        .collect();
    let received = || proxy.stats().value("http.http.downstream_rq_active");
    crate::support::eventually("all are under way", || (received() == 20).then_some(()));
    // As much as the kernel's buffers take, and then no more.
    let mut last = 0;
    crate::support::eventually("the servers are held up", || {
        let now = proxy
            .stats()
            .value("http.http.downstream_cx_tx_bytes_total");
        let same = now == last && now > 0;
        last = now;
        std::thread::sleep(Duration::from_millis(300));
        same.then_some(())
    });
    let grown = proxy.resident_bytes().saturating_sub(before);
    assert!(
        grown < 20 * (256 << 10),
        "memory grew by {grown} bytes for twenty clients"
    );
    drop(clients);
}

/// Sends a beginning and then the same piece again and again, until the proxy answers or closes.
fn drip(arena: &Arena, begin: &str, piece: &[u8]) -> (String, Duration) {
    let mut stream = connect(arena.address());
    stream.write_all(begin.as_bytes()).unwrap();
    let begun = Instant::now();
    let mut writer = stream.try_clone().unwrap();
    let mut said = String::new();
    stream.set_read_timeout(Some(PAUSE)).unwrap();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => said += &String::from_utf8_lossy(&buffer[..read]),
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) =>
            {
                assert!(
                    begun.elapsed() < Duration::from_secs(30),
                    "it waits for ever"
                );
                let _ = writer.write_all(piece);
            }
            Err(_) => break,
        }
    }
    (said, begun.elapsed())
}
