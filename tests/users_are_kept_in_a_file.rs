//! `narrows user` keeps verifiers in a file, and no password anywhere.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};

use narrows::scram::{Mechanism, Users};
use support::proxy::binary;
use tempfile::TempDir;

fn user(arguments: &[&str], file: &Path, input: &str) -> Output {
    let mut child = binary()
        .arg("user")
        .args(arguments)
        .arg("--file")
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that needs no password may have ended already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

#[test]
fn users_are_added_replaced_listed_and_removed() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("users");
    let code = |arguments: &[&str], input: &str| {
        let output = user(arguments, &file, input);
        let told = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(!told.contains("pencil"), "{told}");
        (output.status.code(), told)
    };
    assert_eq!(code(&["add", "ann"], "pencil\n").0, Some(0));
    let both = ["--mechanism", "scram-sha-1", "--mechanism", "SCRAM-SHA-256"];
    let bob = ["add", "bob", "--credential", "app"];
    assert_eq!(code(&[&bob[..], &both].concat(), "pencil").0, Some(0));
    let (status, told) = code(&["list"], "");
    assert_eq!(
        (status, told.as_str()),
        (
            Some(0),
            "ann\t-\tSCRAM-SHA-256\nbob\tapp\tSCRAM-SHA-256,SCRAM-SHA-1\n"
        )
    );
    let users = Users::load(&file).unwrap();
    assert_eq!(users.mechanisms("ann"), [Mechanism::ScramSha256]);
    let before = std::fs::read_to_string(&file).unwrap();
    assert!(!before.contains("pencil"));

    // What cannot be done changes nothing.
    assert_eq!(code(&["add", "ann"], "pencil\n").0, Some(1));
    assert_eq!(code(&["remove", "nobody"], "").0, Some(1));
    for (arguments, input) in [
        (&["add", "eve"][..], ""),
        (&["add", "eve"], "\n"),
        (&["add", "eve"], "pencil\u{7}\n"),
        (&["add", "eve"], &"pencil".repeat(200)),
        (&["add", "e$ve"], "pencil\n"),
        (&["add", "eve", "--credential", "a b"], "pencil\n"),
        (&["add", "eve", "--mechanism", "PLAIN"], "pencil\n"),
        (&["add"], "pencil\n"),
    ] {
        assert_eq!(code(arguments, input).0, Some(2), "{arguments:?}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);

    assert_eq!(code(&["add", "ann", "--replace"], "pencil\r\n").0, Some(0));
    assert_ne!(std::fs::read_to_string(&file).unwrap(), before);
    assert_eq!(code(&["remove", "ann"], "").0, Some(0));
    assert_eq!(code(&["list"], "").1.lines().count(), 1);

    std::fs::write(&file, "ann\n").unwrap();
    let (status, told) = code(&["add", "bob"], "pencil\n");
    assert_eq!(status, Some(2));
    assert!(told.contains(":1:1: error: user `ann` has no verifier"));
}

#[test]
fn two_at_the_same_time_both_take_effect() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("users");
    std::thread::scope(|scope| {
        for name in ["ann", "bob", "eve", "zoe"] {
            let file = &file;
            scope.spawn(move || assert!(user(&["add", name], file, "pencil\n").status.success()));
        }
    });
    assert_eq!(Users::load(&file).unwrap().len(), 4);
}
