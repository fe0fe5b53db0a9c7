//! What it costs to look at MongoDB messages.
#![allow(clippy::unwrap_used, clippy::panic)] // a bench stops where it meets something unexpected

use bson::doc;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use narrows_parsers::mongo::{ReplyDecoder, RequestDecoder, Step};
use std::hint::black_box;
use std::io::Write;

fn op_msg(document: &bson::Document) -> Vec<u8> {
    let document = document.to_vec().unwrap();
    let length = 21 + document.len() as i32;
    let head: Vec<u8> = [length, 1, 0, 2013, 0]
        .iter()
        .flat_map(|field| field.to_le_bytes())
        .collect();
    [head, vec![0], document].concat()
}

/// What PyMongo sends for `find_one({"_id": 17}, comment="checkout.load_cart")`, without cluster time.
fn find() -> Vec<u8> {
    let id = bson::Binary {
        subtype: bson::spec::BinarySubtype::Uuid,
        bytes: vec![7; 16],
    };
    op_msg(&doc! {
        "find": "carts", "filter": { "_id": 17 }, "limit": 1, "singleBatch": true, "comment": "checkout.load_cart",
        "lsid": { "id": id }, "$db": "orders",
    })
}

fn cursor(documents: i32) -> Vec<u8> {
    let batch: Vec<bson::Document> = (0..documents)
        .map(|id| doc! { "_id": id, "total": 12.5, "state": "open" })
        .collect();
    op_msg(&doc! { "cursor": { "firstBatch": batch, "id": 0i64, "ns": "orders.carts" }, "ok": 1.0 })
}

fn compressed(compressor: u8, message: &[u8]) -> Vec<u8> {
    let (_, body) = message.split_at(16);
    let data = match compressor {
        1 => snap::raw::Encoder::new().compress_vec(body).unwrap(),
        2 => {
            let mut encoder =
                flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(6));
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        _ => ruzstd::encoding::compress_to_vec(body, ruzstd::encoding::CompressionLevel::Fastest),
    };
    let fields = [25 + data.len() as i32, 1, 0, 2012, 2013, body.len() as i32];
    let mut packed: Vec<u8> = fields
        .iter()
        .flat_map(|field| field.to_le_bytes())
        .collect();
    packed.push(compressor);
    packed.extend_from_slice(&data);
    packed
}

fn requests(criterion: &mut Criterion) {
    let find = find();
    let mut group = criterion.benchmark_group("request");
    group.throughput(Throughput::Bytes(find.len() as u64));
    group.bench_function("find", |bencher| {
        let mut decoder = RequestDecoder::new();
        bencher.iter(|| match decoder.advance(black_box(&find)) {
            Step::Message { message, .. } => black_box(message.call_site).map(<[u8]>::len),
            other => panic!("{other:?}"),
        });
    });
    group.bench_function("find, a byte at a time", |bencher| {
        let mut decoder = RequestDecoder::new();
        bencher.iter(|| {
            let seen = find
                .chunks(1)
                .filter(|piece| matches!(decoder.advance(piece), Step::Message { .. }))
                .count();
            assert_eq!(seen, 1);
        });
    });
    for (name, compressor) in [("snappy", 1), ("zlib", 2), ("zstd", 3)] {
        let find = compressed(compressor, &find);
        group.bench_function(format!("find, {name}"), |bencher| {
            let mut decoder = RequestDecoder::new();
            bencher.iter(|| match decoder.advance(black_box(&find)) {
                Step::Message { message, .. } => black_box(message.call_site).map(<[u8]>::len),
                other => panic!("{other:?}"),
            });
        });
    }
    group.finish();
}

fn replies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reply");
    for documents in [1, 101] {
        let reply = cursor(documents);
        group.throughput(Throughput::Bytes(reply.len() as u64));
        group.bench_function(format!("{documents} documents"), |bencher| {
            let mut decoder = ReplyDecoder::new();
            bencher.iter(|| match decoder.advance(black_box(&reply)) {
                Step::Message { message, .. } => black_box(message.documents),
                other => panic!("{other:?}"),
            });
        });
    }
    group.finish();
}

/// The requests of a whole program, 34 of them, as recorded for the tests.
fn recorded(criterion: &mut Criterion) {
    let streams = [
        (
            "plain",
            include_bytes!("../tests/mongo/data/pymongo-plain-requests.bin").as_slice(),
        ),
        (
            "snappy",
            include_bytes!("../tests/mongo/data/pymongo-snappy-requests.bin"),
        ),
        (
            "zlib",
            include_bytes!("../tests/mongo/data/pymongo-zlib-requests.bin"),
        ),
        (
            "zstd",
            include_bytes!("../tests/mongo/data/pymongo-zstd-requests.bin"),
        ),
    ];
    let mut group = criterion.benchmark_group("program of 34 requests");
    for (name, stream) in streams {
        group.bench_function(name, |bencher| {
            let mut decoder = RequestDecoder::new();
            bencher.iter(|| {
                let mut left = black_box(stream);
                while let Step::Message { consumed, .. } = decoder.advance(left) {
                    left = left.get(consumed..).unwrap_or_default();
                }
                assert!(left.is_empty());
            });
        });
    }
    group.finish();
}

criterion_group!(benches, requests, replies, recorded);
criterion_main!(benches);
