//! What it costs to know a Redis command.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a bench stops where it meets something unexpected

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use narrows_parsers::redis::command::find;
use std::hint::black_box;

/// Requests as applications send them.
const MIX: [&str; 16] = [
    "GET k",
    "set k v",
    "HGET k f",
    "INCR k",
    "EXPIRE k 60",
    "GET k",
    "LPUSH k v",
    "ZADD k 1 m",
    "HSET k f v",
    "ZRANGEBYSCORE k 0 1",
    "MGET a b c d",
    "DEL k",
    "GET k",
    "CLIENT SETNAME web",
    "EVALSHA 6b1bf486c81ceb7edf3c093f4c48582e38c0e791 1 k",
    "XREADGROUP GROUP g c COUNT 10 STREAMS k >",
];

fn finding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("redis command find");
    for name in [
        "GET",
        "set",
        "HGET",
        "INCR",
        "EXPIRE",
        "ZRANGEBYSCORE",
        "GEORADIUSBYMEMBER_RO",
        "CLIENT SETNAME",
        "JSON.GET",
    ] {
        let (name, argument) = name.split_once(' ').unwrap_or((name, "key"));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let name = black_box(name.as_bytes());
                find(name, Some(black_box(argument.as_bytes())))
            });
        });
    }
    let mix = mix();
    group.throughput(Throughput::Elements(mix.len() as u64));
    group.bench_function("mix", |bencher| {
        bencher.iter(|| {
            mix.iter()
                .map(|words| find(words[0], Some(words[1])).unwrap().index())
                .sum::<usize>()
        });
    });
    group.finish();
}

fn keys(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("redis command keys");
    let mix = mix();
    group.throughput(Throughput::Elements(mix.len() as u64));
    group.bench_function("mix", |bencher| {
        bencher.iter(|| {
            mix.iter()
                .flat_map(|words| {
                    let command = find(words[0], Some(words[1])).unwrap();
                    command.key_positions(words.len(), |at| words.get(at).copied())
                })
                .sum::<usize>()
        });
    });
    group.finish();
}

fn mix() -> Vec<Vec<&'static [u8]>> {
    MIX.map(|request| black_box(request).split(' ').map(str::as_bytes).collect())
        .to_vec()
}

criterion_group!(benches, finding, keys);
criterion_main!(benches);
