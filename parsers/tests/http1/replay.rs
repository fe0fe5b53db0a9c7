//! Replays the corpora of the fuzz targets.

use narrows_parsers::replay::http1 as replay;
use std::fs;
use std::path::Path;

fn hold(target: &str, check: fn(&[u8]) -> Result<(), String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        check(&fs::read(&file).unwrap()).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
        files += 1;
    }
    assert!(files > 0);
}

#[test]
fn what_must_hold_holds_for_the_corpora() {
    hold("http1_request", replay::check_requests);
    hold("http1_reply", replay::check_replies);
    hold("http1_body", replay::check_body);
}
