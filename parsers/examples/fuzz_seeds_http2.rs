//! Writes the seed corpora of the HTTP/2 fuzz targets: every sample of the tests, in pieces of chosen sizes.
//!
//! `cargo run -p narrows-parsers --example fuzz_seeds_http2`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)] // a tool of developers
#![allow(dead_code)] // the tests use more of these modules

#[path = "../tests/http2/build.rs"]
mod build;
#[path = "../tests/http2/samples.rs"]
mod samples;

use narrows_parsers::http2::{FRAME_HEAD_BYTES, FrameHead, FrameKind, PREFACE};
use std::fs;
use std::path::Path;

/// A count of pieces, then the size of each less one.
const PIECES: [&[u8]; 4] = [&[0], &[1, 0], &[2, 15, 200], &[3, 2, 60, 0]];

/// What is added to the count where a client speaks.
const CLIENT: u8 = 8;

fn main() {
    let requests = samples::requests();
    let requests: Vec<_> = requests
        .iter()
        .map(|sample| sample.strip_prefix(PREFACE).unwrap())
        .collect();
    let replies = samples::replies();
    let replies: Vec<_> = replies.iter().map(Vec::as_slice).collect();
    let samples = [(CLIENT, "client", requests), (0, "server", replies)];
    for (mark, side, samples) in samples {
        for (index, sample) in samples.iter().enumerate() {
            let mut pieces = PIECES[index % PIECES.len()].to_vec();
            write("http2_lists", side, index, &[&pieces, &lists(sample)[..]]);
            pieces[0] |= mark;
            write("http2_frames", side, index, &[&pieces, sample]);
        }
    }
}

/// The lists of the frames that have nothing else in them, each with its length in front.
fn lists(sample: &[u8]) -> Vec<u8> {
    let mut lists = Vec::new();
    let mut at = 0;
    while let Some(head) = sample[at..].first_chunk() {
        let head = FrameHead::read(head);
        let payload = &sample[at + FRAME_HEAD_BYTES..][..head.length as usize];
        if head.kind == FrameKind::Headers && !head.has(FrameHead::PADDED) {
            lists.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
            lists.extend(payload);
        }
        at += FRAME_HEAD_BYTES + payload.len();
    }
    lists
}

fn write(target: &str, side: &str, index: usize, parts: &[&[u8]]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("{side}-{index:02}")), parts.concat()).unwrap();
}
