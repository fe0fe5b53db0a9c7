//! HTTP/2 in quantities: frames that cost their sender nothing and their receiver something. Each flood ends with a
//! GOAWAY or a closed connection, before memory has moved or anybody else has waited.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::arena::Arena;
use crate::support::frames::{
    CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, End, Frames, HEADERS,
    PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame, integer, request_fields,
};

/// More than anybody's limit, and an end for a test that would run for ever.
const MANY: u32 = 200_000;

/// Resets at once, before h2 has made requests of the streams, are over its own bound; the others are counted here. Which of them come
/// first depends on how the frames arrive.
const RESETS: [&str; 2] = ["rx_messaging_error", "inbound_reset_flood"];

/// CVE-2023-44487: streams that are opened and given up at once.
#[test]
fn rapid_reset_ends_the_connection() {
    let mut arena = Arena::new();
    let block = block(&request_fields("GET", "/x"));
    let sent = flood(&mut arena, &RESETS, |number| {
        let stream = 2 * number + 1;
        let request = frame(HEADERS, END_HEADERS | END_STREAM, stream, &block);
        [request, frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())].concat()
    });
    assert!(sent < 20_000, "{sent} streams");
    // The server is not made to pay for it.
    let reached = arena.proxy.stats().value("cluster.shop.upstream_rq_total");
    assert!(reached < 2_000, "{reached} requests went on");
}

/// A few of them, which nobody could mind: a request that was given up before a byte of it went on costs the server no connection.
#[test]
fn a_request_that_is_given_up_at_once_costs_no_connection() {
    let mut arena = Arena::new();
    let block = block(&request_fields("GET", "/x"));
    let mut client = Frames::connect(arena.address());
    for number in 0..15 {
        let stream = 2 * number + 1;
        let bytes = [
            frame(HEADERS, END_HEADERS | END_STREAM, stream, &block),
            frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()),
            frame(PING, 0, 0, &[0; 8]),
        ];
        client.stream.write_all(&bytes.concat()).unwrap();
        assert!(client.read_until(|frame| frame.kind == PING).is_some());
    }
    arena.bystander_is_served();
    crate::support::eventually("nothing is under way", || {
        (arena.proxy.stats().value("http.edge.downstream_rq_active") == 0).then_some(())
    });
    arena
        .proxy
        .stats()
        .expect("cluster.shop.pool.closed.abandoned.total", 0);
}

/// The same with a pause that lets the proxy answer its own way in between: half of them are given up.
#[test]
fn resets_among_real_requests_end_the_connection_as_well() {
    let mut arena = Arena::new();
    let block = block(&request_fields("GET", "/x"));
    let sent = flood(&mut arena, &RESETS, |number| {
        let stream = 4 * number + 1;
        let request = |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &block);
        [
            request(stream),
            frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()),
            request(stream + 2),
        ]
        .concat()
    });
    assert!(sent < 20_000, "{sent} streams");
}

/// CVE-2025-8671, MadeYouReset: frames that make the proxy give a stream up itself.
#[test]
fn streams_that_make_the_proxy_reset_them_end_the_connection() {
    let block = block(&request_fields("POST", "/x"));
    let zero = 0u32.to_be_bytes();
    let overflow = 0x7fff_ffff_u32.to_be_bytes();
    type Making = Box<dyn Fn(u32) -> Vec<u8>>;
    let makings: [(&str, Making); 4] = [
        (
            "a window of nothing more",
            Box::new(move |stream| frame(WINDOW_UPDATE, 0, stream, &zero)),
        ),
        (
            "a window that overflows",
            Box::new(move |stream| frame(WINDOW_UPDATE, 0, stream, &overflow)),
        ),
        (
            "a stream that depends on itself",
            Box::new(|stream| {
                frame(
                    PRIORITY,
                    0,
                    stream,
                    &[stream.to_be_bytes().as_slice(), &[0]].concat(),
                )
            }),
        ),
        (
            "a body behind its end",
            Box::new(|stream| {
                [
                    frame(DATA, END_STREAM, stream, b""),
                    frame(DATA, 0, stream, b"x"),
                ]
                .concat()
            }),
        ),
    ];
    for (what, making) in makings {
        let mut arena = Arena::new();
        let sent = flood(&mut arena, &["rx_messaging_error"], |number| {
            let stream = 2 * number + 1;
            [frame(HEADERS, END_HEADERS, stream, &block), making(stream)].concat()
        });
        assert!(sent < 20_000, "{what}: {sent} streams");
    }
}

/// The flood of 2024: a block that never ends.
#[test]
fn continuation_without_end_ends_the_connection() {
    for payload in [
        Vec::new(),
        b"\0\x01x\x01y".to_vec(),
        b"\0\x01x\x01y".repeat(100),
    ] {
        let mut arena = Arena::new();
        let first = block(&request_fields("GET", "/x"));
        let counter = match payload.is_empty() {
            true => "inbound_empty_frames_flood",
            false => "rx_messaging_error",
        };
        let sent = flood(&mut arena, &[counter], |number| match number {
            0 => frame(HEADERS, END_STREAM, 1, &first),
            _ => frame(CONTINUATION, 0, 1, &payload),
        });
        assert!(sent < 50_000, "{} bytes each: {sent} frames", payload.len());
    }
}

#[test]
fn pings_settings_and_other_small_frames_end_the_connection() {
    let setting = [0, 3, 0, 0, 0, 100];
    let increment = 1u32.to_be_bytes();
    let priority = [0, 0, 0, 0, 7];
    let floods: [(&str, Vec<u8>); 4] = [
        ("inbound_ping_flood", frame(PING, 0, 0, &[0; 8])),
        ("inbound_settings_flood", frame(SETTINGS, 0, 0, &setting)),
        (
            "inbound_window_update_frames_flood",
            frame(WINDOW_UPDATE, 0, 0, &increment),
        ),
        (
            "inbound_priority_frames_flood",
            frame(PRIORITY, 0, 101, &priority),
        ),
    ];
    for (what, bytes) in floods {
        let mut arena = Arena::new();
        let sent = flood(&mut arena, &[what], |_| bytes.repeat(10));
        assert!(10 * sent < MANY, "{what}: {sent} times ten");
    }
}

/// Pings whose answers the client does not read: they must not be kept for it.
#[test]
fn answers_that_nobody_reads_are_not_kept() {
    let mut arena = Arena::new();
    let mut client = Frames::connect(arena.address());
    client
        .stream
        .set_write_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    let pings = frame(PING, 0, 0, &[0; 8]).repeat(1_000);
    let mut sent = 0;
    while sent < 400 && client.stream.write_all(&pings).is_ok() {
        sent += 1;
    }
    arena.memory_is_flat();
    arena.bystander_is_served();
}

#[test]
fn empty_data_frames_end_the_connection() {
    let mut arena = Arena::new();
    let block = block(&request_fields("POST", "/x"));
    let sent = flood(
        &mut arena,
        &["inbound_empty_frames_flood"],
        |number| match number {
            0 => frame(HEADERS, END_HEADERS, 1, &block),
            _ => frame(DATA, 0, 1, b"").repeat(10),
        },
    );
    assert!(10 * sent < MANY, "{sent} times ten");
}

/// A small block that names one large field of the dynamic table again and again.
#[test]
fn an_hpack_bomb_is_refused() {
    let mut arena = Arena::new();
    // 4,000 bytes into the table, and then 20,000 references to them of a byte each: 80 MB.
    let mut bomb = block(&request_fields("GET", "/x"));
    bomb.push(0x40);
    integer(&mut bomb, 7, 0, 1);
    bomb.push(b'x');
    integer(&mut bomb, 7, 0, 4_000);
    bomb.extend([b'y'; 4_000]);
    bomb.extend([0x80 | 62; 12_000]);
    for _ in 0..50 {
        let mut client = Frames::connect(arena.address());
        let _ = client.send(HEADERS, END_HEADERS | END_STREAM, 1, &bomb);
        let end = client.end_of(1);
        assert!(end.is_refusal(), "{end:?}");
    }
    let stats = arena.proxy.stats();
    let ended = stats.value("http.edge.http2.header_overflow")
        + stats.value("http.edge.http2.rx_messaging_error");
    assert_eq!(ended, 50);
    assert_eq!(arena.arrived(), []);
    arena.memory_is_flat();
    arena.bystander_is_served();
}

/// Cookies in crumbs count like other fields.
#[test]
fn a_bomb_of_cookie_crumbs_is_refused() {
    let mut arena = Arena::new();
    let mut bomb = block(&request_fields("GET", "/x"));
    bomb.push(0x40);
    integer(&mut bomb, 7, 0, 6);
    bomb.extend(b"cookie");
    integer(&mut bomb, 7, 0, 30);
    bomb.extend([b'y'; 30]);
    bomb.extend([0x80 | 62; 12_000]);
    let mut client = Frames::connect(arena.address());
    let _ = client.send(HEADERS, END_HEADERS | END_STREAM, 1, &bomb);
    let end = client.end_of(1);
    assert!(end.is_refusal(), "{end:?}");
    let stats = arena.proxy.stats();
    let ended = stats.value("http.edge.http2.header_overflow")
        + stats.value("http.edge.http2.rx_messaging_error");
    assert_eq!(ended, 1);
    assert_eq!(arena.arrived(), []);
    arena.memory_is_flat();
    arena.bystander_is_served();
}

/// Fields at the limit pass, one more is refused: of a stream, the others go on.
#[test]
fn a_list_of_fields_at_the_limit_passes_and_a_longer_one_is_refused() {
    let mut arena = Arena::new();
    let with = |fields: usize| {
        let mut all: Vec<(String, String)> = request_fields("GET", "/x")
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        all.extend((0..fields).map(|number| (format!("x-{number}"), "1".to_string())));
        block(&all)
    };
    let mut client = Frames::connect(arena.address());
    client
        .send(HEADERS, END_HEADERS | END_STREAM, 1, &with(90))
        .unwrap();
    assert_eq!(client.end_of(1), End::Reply(200));
    arena.recorder.clear();
    let _ = client.send(HEADERS, END_HEADERS | END_STREAM, 3, &with(101));
    let end = client.end_of(3);
    assert!(end.is_refusal(), "{end:?}");
    let too_many = "http.edge.refused.too_many_fields.total";
    arena.proxy.stats().expect(too_many, 1);
    let large = block(
        &[
            request_fields("GET", "/x"),
            vec![("x", &"y".repeat(15_000)); 1],
        ]
        .concat(),
    );
    let mut client = Frames::connect(arena.address());
    client
        .send(HEADERS, END_HEADERS | END_STREAM, 1, &large)
        .unwrap();
    assert_eq!(client.end_of(1), End::Reply(200));
    // Larger than max_head, and no bomb.
    let larger = block(
        &[
            request_fields("GET", "/x"),
            vec![("x", &"y".repeat(40_000)), ("z", &"y".repeat(40_000))],
        ]
        .concat(),
    );
    let (first, rest) = larger.split_at(16_000);
    client.send(HEADERS, END_STREAM, 3, first).unwrap();
    let mut pieces = rest.chunks(16_000).peekable();
    while let Some(piece) = pieces.next() {
        let flags = if pieces.peek().is_some() {
            0
        } else {
            END_HEADERS
        };
        client.send(CONTINUATION, flags, 3, piece).unwrap();
    }
    assert_eq!(client.end_of(3), End::Reply(431));
    client.get(5, "/x").unwrap();
    assert_eq!(client.end_of(5), End::Reply(200));
    arena
        .proxy
        .stats()
        .expect("http.edge.http2.header_overflow", 1);
    arena.bystander_is_served();
}

/// More streams at once than were offered.
#[test]
fn streams_beyond_the_offer_are_refused_and_the_others_answered() {
    let server = crate::support::recorder::Recorder::answering(b"");
    let mut arena_stats = 0;
    let proxy = crate::support::proxy::Proxy::start(&format!(
        "listeners:\n\
         - {{ name: edge, listen: 127.0.0.1:0, protocol: http, cluster: shop, http: {{ max_streams: 10 }} }}\n\
         clusters:\n\
         - {{ name: shop, endpoints: [\"{}\"] }}\n",
        server.address()
    ));
    let mut client = Frames::connect(proxy.address("edge"));
    for number in 0..50 {
        client.get(2 * number + 1, "/x").unwrap();
    }
    // The server answers none of them: ten are open, and the others come back.
    let mut refused = 0;
    while refused < 40 {
        let Some(frame) = client.read_until(|frame| frame.kind == RST_STREAM || frame.kind == 7)
        else {
            break;
        };
        assert_eq!(frame.kind, RST_STREAM, "{frame:?}");
        refused += 1;
        arena_stats += 1;
    }
    assert_eq!(arena_stats, 40);
    proxy.stats().expect("http.edge.http2.streams_refused", 40);
    crate::support::eventually("ten are under way", || {
        (proxy.stats().value("http.edge.downstream_rq_active") == 10).then_some(())
    });
}

/// A client whose window is nothing: the server is held up, the reply is not kept for it.
#[test]
fn a_window_of_nothing_costs_no_memory() {
    let body: &'static [u8] = Box::leak(
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n".to_vec(),
            vec![b'x'; 50_000_000],
        ]
        .concat()
        .into_boxed_slice(),
    );
    let server = crate::support::recorder::Recorder::answering(body);
    let proxy = crate::support::proxy::Proxy::in_front_of("http", server.address());
    let before = proxy.resident_bytes();
    let mut clients = Vec::new();
    for _ in 0..4 {
        // SETTINGS_INITIAL_WINDOW_SIZE.
        let mut client = Frames::with_settings(proxy.address("http"), &[(4, 0)]);
        for number in 0..10 {
            client.get(2 * number + 1, "/x").unwrap();
        }
        let head = client.read_until(|frame| frame.kind == HEADERS);
        assert!(head.is_some());
        clients.push(client);
    }
    crate::support::eventually("all are under way", || {
        (proxy.stats().value("cluster.http.upstream_rq_total") == 40).then_some(())
    });
    std::thread::sleep(Duration::from_millis(500));
    let grown = proxy.resident_bytes().saturating_sub(before);
    assert!(
        grown < 40 * (256 << 10),
        "memory grew by {grown} bytes for 40 streams"
    );
}

/// Sends what `bytes` gives for 0, 1, 2, … until the proxy has had enough; how many there were. Its last word has
/// to be a GOAWAY with a reason, when it is heard at all, and nobody else is to notice.
#[track_caller]
fn flood(arena: &mut Arena, counters: &[&str], bytes: impl Fn(u32) -> Vec<u8>) -> u32 {
    let mut client = Frames::connect(arena.address());
    let mut reader = Frames {
        stream: client.stream.try_clone().unwrap(),
        goaway: None,
    };
    // Somebody has to read, or the flood ends because the proxy can't write.
    let reading = std::thread::spawn(move || reader.drain());
    let begun = Instant::now();
    let mut sent = 0;
    while sent < MANY && client.stream.write_all(&bytes(sent)).is_ok() {
        sent += 1;
        if sent % 2_000 == 0 {
            arena.bystander_is_served();
        }
    }
    let _ = client.stream.shutdown(std::net::Shutdown::Both);
    let code = reading.join().unwrap();
    assert!(
        sent < MANY,
        "it was never enough, after {:?}",
        begun.elapsed()
    );
    assert!(
        matches!(code, None | Some(ENHANCE_YOUR_CALM | 1 | 2 | 3 | 5 | 6)),
        "{code:?}"
    );
    arena.bystander_is_served();
    arena.memory_is_flat();
    expect_counted_once(arena, counters);
    sent
}

/// The connection, under one of the things that it did, and nothing else.
#[track_caller]
fn expect_counted_once(arena: &Arena, counters: &[&str]) {
    crate::support::eventually("the flood is counted", || {
        let ended = "http.edge.downstream_cx_protocol_error";
        (arena.proxy.stats().value(ended) > 0).then_some(())
    });
    let stats = arena.proxy.stats();
    let counted: Vec<_> = stats
        .values
        .iter()
        .filter(|(name, value)| {
            let name = name.strip_prefix("http.edge.").unwrap_or_default();
            let tells = name.ends_with("_flood")
                || matches!(
                    name,
                    "downstream_cx_protocol_error" | "http2.rx_messaging_error"
                );
            tells && **value > 0
        })
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    let expected = |counter: &&str| {
        let counter = format!("http.edge.http2.{counter}");
        let ended = ("http.edge.downstream_cx_protocol_error", 1);
        counted == [ended, (&*counter, 1)]
    };
    assert!(counters.iter().any(expected), "{counted:?}");
}
