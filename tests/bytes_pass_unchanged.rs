//! In 1:1 modes the bytes go through unchanged, whatever the decoder thinks of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use bson::doc;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use support::peer::{connect, echo, scripted, silent};
use support::proxy::Proxy;
use support::wire::{message, op_msg};
use support::{eventually, wire};

/// Both directions at once, in pieces of random size, through one proxy for each protocol.
#[test]
fn random_bytes_in_random_pieces_come_through_both_ways() {
    let taps = ["mongo", "http"].map(|protocol| (protocol, Proxy::tap_of(protocol, echo())));
    let tcp = ("tcp", Proxy::in_front_of("tcp", echo()));
    for (protocol, proxy) in [tcp].into_iter().chain(taps) {
        let address = proxy.address(protocol);
        let pieces = prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40_000), 1..12);
        TestRunner::new(Config::with_cases(40))
            .run(&pieces, |pieces| {
                prop_assert_eq!(echoed(address, &pieces), pieces.concat());
                Ok(())
            })
            .unwrap();
    }
}

/// Well-formed messages, so that the tap decodes instead of going blind, cut at any place.
#[test]
fn mongo_messages_in_random_pieces_come_through_both_ways() {
    let proxy = Proxy::in_front_of("mongo", echo());
    let address = proxy.address("mongo");
    let bodies = prop::collection::vec((any::<i32>(), 0..2_000usize), 1..6);
    TestRunner::new(Config::with_cases(40))
        .run(&(bodies, 1..300usize), |(bodies, piece)| {
            let bytes: Vec<u8> = bodies
                .iter()
                .flat_map(|(id, size)| {
                    op_msg(
                        *id,
                        0,
                        &doc! {"insert": "c", "p": "x".repeat(*size), "$db": "d"},
                    )
                })
                .collect();
            let pieces: Vec<Vec<u8>> = bytes.chunks(piece).map(<[u8]>::to_vec).collect();
            prop_assert_eq!(echoed(address, &pieces), bytes);
            Ok(())
        })
        .unwrap();
    proxy.stats().expect("mongo.mongo.decoding_error", 0);
}

/// A message whose length is 0x316 begins as TLS does.
#[test]
fn a_message_of_any_length_may_be_the_first() {
    let proxy = Proxy::in_front_of("mongo", echo());
    let ping = |size| op_msg(7, 0, &doc! {"ping": 1, "p": "x".repeat(size), "$db": "d"});
    let messages: Vec<Vec<u8>> = (700..800).map(ping).collect();
    assert!(
        messages
            .iter()
            .any(|message| message.starts_with(&[0x16, 0x03]))
    );
    for message in messages {
        let address = proxy.address("mongo");
        assert_eq!(echoed(address, std::slice::from_ref(&message)), message);
    }
    proxy.stats().expect("mongo.mongo.decoding_error", 0);
}

#[test]
fn what_is_no_mongodb_passes_and_is_counted_with_its_reason() {
    let proxy = Proxy::in_front_of("mongo", echo());
    let lengths = [-1, 0, 15, i32::MAX].map(|length: i32| {
        let mut bytes = message(7, 0, 2013, b"rest of it");
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        bytes
    });
    let garbage = vec![b"GET / HTTP/1.1\r\nHost: not-mongodb\r\n\r\n".to_vec()];
    let mut sent = 0;
    for bytes in lengths.into_iter().chain(garbage) {
        assert_eq!(
            echoed(proxy.address("mongo"), std::slice::from_ref(&bytes)),
            bytes
        );
        sent += 1;
        let stats = proxy.stats();
        assert_eq!(stats.value("mongo.mongo.decoding_error"), sent);
        let by_reason: i64 = stats
            .values
            .iter()
            .filter(|(name, _)| name.starts_with("mongo.mongo.decoding_error."))
            .map(|(_, value)| value)
            .sum();
        assert_eq!(by_reason, sent, "each has a reason");
    }
}

/// 48 KB that would inflate to 48 MB: with a claim that is true, and with one that is not.
#[test]
fn compressed_bombs_pass_and_are_not_inflated() {
    let inflated = 48_000_000;
    let zlib = {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![0; inflated]).unwrap();
        encoder.finish().unwrap()
    };
    let zstd = zstd::encode_all(&*vec![0; inflated], 19).unwrap();
    assert!(zlib.len() < 50_000 && zstd.len() < 50_000);
    let proxy = Proxy::in_front_of("mongo", echo());
    let before = proxy.resident_bytes();
    let mut bombs = 0;
    for (compressor, data) in [(2u8, &zlib), (3, &zstd)] {
        for claim in [200, inflated] {
            let mut payload = wire::OP_MSG.to_le_bytes().to_vec();
            payload.extend(i32::try_from(claim).unwrap().to_le_bytes());
            payload.push(compressor);
            payload.extend(data);
            let bytes = message(1, 0, 2012, &payload);
            assert_eq!(
                echoed(proxy.address("mongo"), std::slice::from_ref(&bytes)),
                bytes
            );
            bombs += 1;
        }
    }
    let grown = proxy.resident_bytes().saturating_sub(before);
    assert!(grown < 8 << 20, "memory grew by {grown} bytes");
    proxy.stats().expect("mongo.mongo.decoding_error", bombs);
}

/// A real server's batches end at 16 MB; the protocol's messages do at 48.
#[test]
fn a_48_megabyte_reply_streams_through_and_is_read_to_its_end() {
    let part = "x".repeat(15_900_000);
    let batch = vec![doc! {"_id": 1, "p": part}; 3];
    let body = doc! {"cursor": {"firstBatch": batch, "id": 0_i64, "ns": "d.c"}, "ok": 1.0};
    let reply = op_msg(2, 1, &body);
    assert!(reply.len() > 47_000_000);
    let sent = reply.clone();
    let proxy = Proxy::in_front_of(
        "mongo",
        scripted(move |mut stream| {
            wire::read_message(&mut stream).unwrap();
            stream.write_all(&sent).unwrap();
            // Until the client has it all and leaves.
            stream.read_exact(&mut [0]).unwrap_err();
        }),
    );
    let mut client = connect(proxy.address("mongo"));
    let before = proxy.resident_bytes();
    let find = op_msg(1, 0, &doc! {"find": "c", "$db": "d"});
    client.write_all(&find).unwrap();
    assert!(wire::read_message(&mut client).unwrap() == reply);
    let grown = proxy.resident_bytes().saturating_sub(before);
    assert!(grown < 1 << 20, "memory grew by {grown} bytes");
    proxy
        .stats()
        .expect("mongo.mongo.documents_returned", 3)
        .expect("mongo.mongo.cmd.find.error", 0)
        .expect("mongo.mongo.cmd.find.total", 1)
        .expect("mongo.mongo.decoding_error", 0);
}

/// A message that stops anywhere, and a client that leaves there.
#[test]
fn truncated_messages_pass_as_far_as_they_came() {
    let proxy = Proxy::in_front_of("mongo", echo());
    let whole = op_msg(
        1,
        0,
        &doc! {"find": "c", "filter": {"_id": 1}, "comment": "x", "$db": "d"},
    );
    for length in 1..whole.len() {
        let bytes = whole[..length].to_vec();
        assert_eq!(
            echoed(proxy.address("mongo"), std::slice::from_ref(&bytes)),
            bytes
        );
    }
    proxy
        .stats()
        .expect("mongo.mongo.op_msg", 0)
        .expect("mongo.mongo.decoding_error", 0);
}

#[test]
fn nesting_100_000_deep_is_passed_and_costs_nothing() {
    let proxy = Proxy::in_front_of("mongo", echo());
    let bytes = nested(100_000);
    let before = proxy.resident_bytes();
    assert_eq!(
        echoed(proxy.address("mongo"), std::slice::from_ref(&bytes)),
        bytes
    );
    let grown = proxy.resident_bytes().saturating_sub(before);
    assert!(grown < 4 << 20, "memory grew by {grown} bytes");
    proxy.stats().expect("mongo.mongo.op_msg", 2);
}

#[test]
fn a_half_closed_client_still_gets_its_reply() {
    for protocol in ["tcp", "mongo"] {
        let upstream = scripted(|mut stream| {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            stream
                .write_all(format!("got {}", all.len()).as_bytes())
                .unwrap();
        });
        let proxy = Proxy::in_front_of(protocol, upstream);
        let mut client = connect(proxy.address(protocol));
        client.write_all(&[7; 1_000]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "got 1000");
    }
}

#[test]
fn a_reset_on_either_side_is_a_reset_on_the_other() {
    for protocol in ["tcp", "mongo"] {
        let upstream_error = Arc::new(Mutex::new(None));
        let seen = Arc::clone(&upstream_error);
        let proxy = Proxy::in_front_of(
            protocol,
            scripted(move |mut stream| {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                match byte[0] {
                    b'R' => reset(stream),
                    _ => *seen.lock().unwrap() = stream.read_exact(&mut byte).err(),
                }
            }),
        );
        let mut client = connect(proxy.address(protocol));
        client.write_all(b"R").unwrap();
        let error = client.read_exact(&mut [0]).unwrap_err();
        assert_eq!(
            error.kind(),
            std::io::ErrorKind::ConnectionReset,
            "{protocol}: upstream to client"
        );

        let mut client = connect(proxy.address(protocol));
        client.write_all(b"c").unwrap();
        eventually("the upstream connection is there", || {
            (proxy
                .stats()
                .value(&format!("cluster.{protocol}.upstream_cx_active"))
                > 0)
            .then_some(())
        });
        reset(client);
        let error = eventually("the reset arrives", || {
            upstream_error.lock().unwrap().take()
        });
        assert_eq!(
            error.kind(),
            std::io::ErrorKind::ConnectionReset,
            "{protocol}: client to upstream"
        );
    }
}

/// A client that sends into an upstream that does not read is held back, not buffered.
#[test]
fn a_side_that_does_not_read_stops_the_side_that_sends() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Mutex::new(released);
    let upstream = scripted(move |mut stream| {
        released.lock().unwrap().recv().unwrap();
        let mut left = TOTAL;
        let mut buffer = vec![0; 1 << 16];
        while left > 0 {
            left -= stream.read(&mut buffer).unwrap();
        }
        stream.write_all(b"all").unwrap();
    });
    const TOTAL: usize = 64 << 20;
    let proxy = Proxy::in_front_of("tcp", upstream);
    let before = proxy.resident_bytes();
    let mut client = connect(proxy.address("tcp"));
    // A write that gets no room in this time is what a client that is held back sees.
    client
        .set_write_timeout(Some(std::time::Duration::from_secs(1)))
        .unwrap();
    let piece = vec![1; 1 << 16];
    let mut sent = 0;
    while sent < TOTAL {
        match client.write(&piece) {
            Ok(n) => sent += n,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(sent < TOTAL, "nothing held the client back");
    let grown = proxy.resident_bytes().saturating_sub(before);
    assert!(grown < 2 << 20, "memory grew by {grown} bytes");
    release.send(()).unwrap();
    client.set_write_timeout(None).unwrap();
    client.write_all(&vec![1; TOTAL - sent]).unwrap();
    let mut answer = [0; 3];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"all");
}

#[test]
fn an_idle_connection_is_closed_after_its_timeout() {
    let config = support::proxy::one_listener("tcp", silent()).replace(
        "    protocol: tcp\n",
        "    protocol: tcp\n    idle_timeout: 1s\n",
    );
    let proxy = Proxy::start(&config);
    let mut client = connect(proxy.address("tcp"));
    let begun = std::time::Instant::now();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    assert!(begun.elapsed() >= std::time::Duration::from_secs(1));
    eventually("it is counted", || {
        (proxy
            .stats()
            .value("listener.tcp.downstream_cx_idle_timeout")
            == 1)
            .then_some(())
    });
}

#[test]
fn an_unreachable_upstream_is_a_closed_connection_a_stat_and_a_line_in_the_log() {
    let gone = SocketAddr::from(([127, 0, 0, 1], support::free_port()));
    let proxy = Proxy::in_front_of("mongo", gone);
    let mut client = connect(proxy.address("mongo"));
    assert!(client.read(&mut [0]).map_or(true, |n| n == 0));
    eventually("it is counted", || {
        (proxy
            .stats()
            .value("cluster.mongo.upstream_cx_connect_fail")
            == 1)
            .then_some(())
    });
    proxy.expect_logged("no upstream connection");
}

/// Sends the pieces while it reads what comes back, until as much came back as was sent.
fn echoed(address: SocketAddr, pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut client = connect(address);
    let mut writer = client.try_clone().unwrap();
    let mut back = vec![0; pieces.iter().map(Vec::len).sum()];
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for piece in pieces {
                writer.write_all(piece).unwrap();
            }
        });
        client.read_exact(&mut back).unwrap();
    });
    back
}

fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream)
        .set_linger(Some(std::time::Duration::ZERO))
        .unwrap();
}

/// A find whose filter is a document in a document in a document ...
fn nested(depth: usize) -> Vec<u8> {
    let mut filter = vec![5, 0, 0, 0, 0];
    for _ in 0..depth {
        let length = i32::try_from(filter.len() + 8).unwrap();
        let mut outer = Vec::with_capacity(filter.len() + 8);
        outer.extend(length.to_le_bytes());
        outer.extend(b"\x03a\0");
        outer.extend(&filter);
        outer.push(0);
        filter = outer;
    }
    let mut body = b"\x02find\0\x02\0\0\0c\0\x03filter\0".to_vec();
    body.extend(filter);
    body.extend(b"\x02$db\0\x02\0\0\0d\0\0");
    let length = i32::try_from(body.len() + 4).unwrap();
    let mut payload = vec![0; 5];
    payload.extend(length.to_le_bytes());
    payload.extend(body);
    message(1, 0, wire::OP_MSG, &payload)
}
