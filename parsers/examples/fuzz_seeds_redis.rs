//! Writes the seed corpora of the Redis fuzz targets: every sample of the tests, in pieces of chosen sizes.
//!
//! `cargo run -p narrows-parsers --example fuzz_seeds_redis`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)] // a tool of developers
#![allow(dead_code)] // the tests use more of these modules

#[path = "../tests/redis/build.rs"]
mod build;
#[path = "../tests/redis/samples.rs"]
mod samples;

use std::fs;
use std::path::Path;

/// A count of pieces, then the size of each less one.
const PIECES: [&[u8]; 4] = [&[0], &[1, 0], &[2, 15, 200], &[3, 2, 60, 0]];

fn main() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (target, samples) in [
        ("redis_request", samples::requests()),
        ("redis_reply", samples::replies()),
    ] {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder).unwrap();
        for (index, sample) in samples.iter().enumerate() {
            let data = [PIECES[index % PIECES.len()], sample].concat();
            fs::write(folder.join(format!("sample-{index:02}")), data).unwrap();
        }
    }
}
