//! What it costs to look at HTTP/2.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a bench stops where it meets something unexpected

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use narrows_parsers::http2::hpack::Decoder;
use narrows_parsers::http2::{Event, FrameDecoder, FrameScanner, grpc};
use std::hint::black_box;

#[allow(dead_code)] // the tests use more of it
#[path = "../tests/http2/build.rs"]
mod build;

use build::{DATA, END_STREAM, Indexing, frame, headers, hello, huffman, indexed, literal, plain};

/// What a browser asks for: the fields of the 700-byte request that parsers of HTTP/1 are measured with.
const BROWSER: [(&str, &str); 12] = [
    (":method", "GET"),
    (
        ":path",
        "/wp-content/uploads/2010/03/hello-kitty-darth-vader-pink.jpg",
    ),
    (":scheme", "https"),
    (":authority", "www.kittyhell.com"),
    (
        "user-agent",
        "Mozilla/5.0 (Macintosh; U; Intel Mac OS X 10.6; ja-JP-mac; rv:1.9.2.3) Gecko/20100401 Firefox/3.6.3 Pathtraq/0.9",
    ),
    (
        "accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ),
    ("accept-language", "ja,en-us;q=0.7,en;q=0.3"),
    ("accept-encoding", "gzip,deflate"),
    ("accept-charset", "Shift_JIS,utf-8;q=0.7,*;q=0.7"),
    ("cache-control", "max-age=0"),
    ("x-requested-with", "XMLHttpRequest"),
    (
        "cookie",
        "wp_ozh_wsa_visits=2; wp_ozh_wsa_visit_lasttime=xxxxxxxxxx; __utma=xxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.x; \
         __utmz=xxxxxxxxx.xxxxxxxxxx.x.x.utmccn=(referral)|utmcsr=reader.livedoor.com|utmcct=/reader/|utmcmd=referral",
    ),
];

/// The fields as literals.
fn literals(indexing: Indexing, text: fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let field = |(name, value): &(&str, &str)| {
        literal(
            indexing,
            Ok(&text(name.as_bytes())),
            &text(value.as_bytes()),
        )
    };
    BROWSER.iter().flat_map(field).collect()
}

/// A list of which all fields but the path are in a table, as on a connection that is in use.
fn repeated(decoder: &mut Decoder) -> Vec<u8> {
    let first = literals(Indexing::With, huffman);
    decoder.advance(&first, &mut |_| {}).unwrap();
    decoder.finish().unwrap();
    let path = literal(
        Indexing::Without,
        Err(4),
        &huffman(b"/carts/17?fields=total"),
    );
    // The path is the second of twelve fields that have become entries.
    let entries = (62..74).rev().filter(|index| *index != 72);
    [path, entries.flat_map(indexed).collect()].concat()
}

fn lists(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("http2 list");
    let whole: u64 = BROWSER
        .iter()
        .map(|(name, value)| (name.len() + value.len()) as u64)
        .sum();
    group.throughput(Throughput::Bytes(whole));
    let kinds = [
        ("plain", literals(Indexing::Without, plain)),
        ("huffman", literals(Indexing::Without, huffman)),
        ("huffman into the table", literals(Indexing::With, huffman)),
    ];
    for (name, list) in kinds {
        group.bench_function(name, |bencher| {
            let mut decoder = Decoder::new();
            bencher.iter(|| count(&mut decoder, black_box(&list)));
        });
    }
    let mut decoder = Decoder::new();
    let list = repeated(&mut decoder);
    group.bench_function("out of the table", |bencher| {
        bencher.iter(|| count(&mut decoder, black_box(&list)));
    });
    group.finish();
}

fn count(decoder: &mut Decoder, list: &[u8]) -> usize {
    let mut bytes = 0;
    decoder
        .advance(list, &mut |field| {
            bytes += field.name.len() + field.value.len()
        })
        .unwrap();
    decoder.finish().unwrap();
    bytes
}

/// A call of gRPC, as one side of a connection that is in use sends it.
fn call() -> Vec<u8> {
    let list = [
        indexed(3),
        indexed(6),
        literal(Indexing::Without, Err(4), &huffman(b"/shop.Carts/Load")),
        literal(Indexing::Without, Err(1), &huffman(b"shop.example:50051")),
        literal(Indexing::Without, Err(31), &huffman(b"application/grpc")),
        literal(
            Indexing::Without,
            Ok(&huffman(b"te")),
            &huffman(b"trailers"),
        ),
        literal(
            Indexing::Without,
            Ok(&huffman(b"grpc-timeout")),
            &huffman(b"1S"),
        ),
    ];
    let body = [&[0, 0, 0, 0, 95][..], &[7; 95]].concat();
    [
        headers(1, 0, &list.concat()),
        frame(DATA, END_STREAM, 1, &body),
    ]
    .concat()
}

fn frames(criterion: &mut Criterion) {
    let call = call();
    let mut group = criterion.benchmark_group("http2 frames");
    group.throughput(Throughput::Bytes(call.len() as u64));
    group.bench_function("grpc call", |bencher| {
        let mut decoder = FrameDecoder::client();
        decoder.advance(&hello(&[]), &mut |_| {}).unwrap();
        bencher.iter(|| {
            let mut messages = grpc::MessageCounter::new();
            let seen = &mut |event: Event<'_>| {
                if let Event::Data { bytes, .. } = event {
                    messages.advance(bytes).unwrap();
                }
            };
            decoder.advance(black_box(&call), seen).unwrap();
            assert_eq!(messages.messages(), 1);
        });
    });
    group.bench_function("grpc call, a byte at a time", |bencher| {
        let mut decoder = FrameDecoder::client();
        decoder.advance(&hello(&[]), &mut |_| {}).unwrap();
        bencher.iter(|| {
            for piece in black_box(&call).chunks(1) {
                decoder.advance(piece, &mut |_| {}).unwrap();
            }
        });
    });
    group.bench_function("grpc call, heads only", |bencher| {
        let mut scanner = FrameScanner::server();
        bencher.iter(|| {
            let mut bytes = black_box(&call[..]);
            let mut heads = 0;
            while scanner.next(&mut bytes).is_some() {
                heads += 1;
            }
            assert_eq!(heads, 2);
        });
    });
    let body = frame(DATA, 0, 1, &[7; 16_384]);
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("body of 16 KiB", |bencher| {
        let mut decoder = FrameDecoder::client();
        decoder.advance(&hello(&[]), &mut |_| {}).unwrap();
        bencher.iter(|| {
            decoder.advance(black_box(&body), &mut |event| {
                black_box(&event);
            })
        });
    });
    group.finish();
}

/// The same lists by the decoder that Sōzu uses.
fn peers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("http2 list by loona");
    for (name, list) in [
        ("plain", literals(Indexing::Without, plain)),
        ("huffman", literals(Indexing::Without, huffman)),
    ] {
        group.bench_function(name, |bencher| {
            let mut decoder = loona_hpack::Decoder::new();
            bencher.iter(|| {
                let mut bytes = 0;
                let found = |name: std::borrow::Cow<'_, [u8]>,
                             value: std::borrow::Cow<'_, [u8]>| {
                    bytes += name.len() + value.len()
                };
                decoder.decode_with_cb(black_box(&list), found).unwrap();
                bytes
            });
        });
    }
    group.finish();
}

criterion_group!(benches, lists, frames, peers);
criterion_main!(benches);
