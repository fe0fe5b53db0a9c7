//! Writes the seed corpora of the fuzz targets of HTTP/1: every sample of the tests, in pieces of chosen sizes.
//!
//! `cargo run -p narrows-parsers --example fuzz_seeds_http1`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)] // a tool of developers
#![allow(dead_code)] // the tests use more of this module

#[path = "../tests/http1/samples.rs"]
mod samples;

use std::fs;
use std::path::Path;

/// A count of pieces, then the size of each less one.
const PIECES: [&[u8]; 4] = [&[0], &[1, 0], &[2, 15, 200], &[3, 2, 60, 0]];

fn main() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let bodies = samples::CHUNKED.map(|body| body.as_bytes().to_vec());
    for (target, samples) in [
        ("http1_request", samples::request_streams()),
        ("http1_reply", samples::reply_streams()),
        ("http1_body", bodies.to_vec()),
    ] {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder).unwrap();
        for (index, sample) in samples.iter().enumerate() {
            let data = [PIECES[index % PIECES.len()], sample].concat();
            fs::write(folder.join(format!("sample-{index:02}")), data).unwrap();
        }
    }
}
