//! Replays the corpora of the fuzz targets.

use narrows_parsers::replay;
use std::fs;
use std::path::{Path, PathBuf};

fn corpus(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(!files.is_empty());
    files
}

#[test]
fn what_must_hold_holds_for_the_corpora() {
    for file in corpus("mongo_request") {
        replay::check_requests(&fs::read(&file).unwrap())
            .unwrap_or_else(|why| panic!("{}: {why}", file.display()));
    }
    for file in corpus("mongo_reply") {
        replay::check_replies(&fs::read(&file).unwrap())
            .unwrap_or_else(|why| panic!("{}: {why}", file.display()));
    }
}
