//! What it costs to look at MongoDB messages.
#![allow(clippy::unwrap_used, clippy::panic)] // a bench stops where it meets something unexpected

use bson::doc;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use narrows_parsers::mongo::{ReplyDecoder, RequestDecoder, Step};
use std::hint::black_box;

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

criterion_group!(benches, requests, replies);
criterion_main!(benches);
