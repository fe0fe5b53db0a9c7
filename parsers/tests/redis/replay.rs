//! The corpora of the fuzz targets hold what they must hold.

use narrows_parsers::replay::redis::{check_replies, check_requests};
use std::fs;
use std::path::Path;

fn replay(target: &str, check: fn(&[u8]) -> Result<(), String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut inputs = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        check(&fs::read(&path).unwrap()).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        inputs += 1;
    }
    assert!(inputs > 0, "{target}");
}

#[test]
fn requests() {
    replay("redis_request", check_requests);
}

#[test]
fn replies() {
    replay("redis_reply", check_replies);
}
