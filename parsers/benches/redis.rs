//! What it costs to look at requests and replies of Redis.
#![allow(clippy::panic)] // a bench stops where it meets something unexpected

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use narrows_parsers::Step;
use narrows_parsers::redis::{ReplyDecoder, RequestDecoder};
use std::hint::black_box;

fn request(arguments: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        bytes.extend(bulk(argument));
    }
    bytes
}

fn bulk(text: &[u8]) -> Vec<u8> {
    let length = format!("${}\r\n", text.len());
    [length.as_bytes(), text, b"\r\n"].concat()
}

fn get() -> Vec<u8> {
    request(&[b"GET", b"cart:1017"])
}

/// Whole in what is shown.
fn requests(criterion: &mut Criterion) {
    let set = request(&[b"SET", b"cart:1017", &[b'v'; 64]]);
    let mut group = criterion.benchmark_group("request");
    for (name, bytes) in [("GET", get()), ("16 GETs", get().repeat(16)), ("SET", set)] {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_with_input(
            BenchmarkId::from_parameter(name),
            &bytes,
            |bencher, bytes| {
                let mut decoder = RequestDecoder::new();
                bencher.iter(|| {
                    let mut left = black_box(bytes.as_slice());
                    while let Step::Message { consumed, message } = decoder.advance(left) {
                        black_box((message.command(), message.argument(1)));
                        left = left.get(consumed..).unwrap_or_default();
                    }
                    assert!(left.is_empty());
                });
            },
        );
    }
    let get = get();
    group.throughput(Throughput::Bytes(get.len() as u64));
    group.bench_function("GET, a byte at a time", |bencher| {
        let mut decoder = RequestDecoder::new();
        bencher.iter(|| {
            let pieces = black_box(&get).chunks(1);
            let whole =
                pieces.filter(|piece| matches!(decoder.advance(piece), Step::Message { .. }));
            assert_eq!(whole.count(), 1);
        });
    });
    group.finish();
}

fn replies(criterion: &mut Criterion) {
    let text = bulk(&[b'v'; 64]);
    let array = [b"*100\r\n", &text.repeat(100)[..]].concat();
    let mut group = criterion.benchmark_group("reply");
    for (name, bytes) in [
        ("bulk of 64", text),
        ("OK", b"+OK\r\n".to_vec()),
        ("array of 100 bulks", array),
    ] {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_with_input(
            BenchmarkId::from_parameter(name),
            &bytes,
            |bencher, bytes| {
                let mut decoder = ReplyDecoder::new();
                bencher.iter(|| match decoder.advance(black_box(bytes)) {
                    Step::Message { message, .. } => {
                        black_box((message.kind, message.name().len()))
                    }
                    other => panic!("{other:?}"),
                });
            },
        );
    }
    group.finish();
}

criterion_group!(benches, requests, replies);
criterion_main!(benches);
