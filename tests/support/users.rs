//! A file with the users of a listener, as `narrows user` makes it.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use super::proxy::binary;

/// Adds a user, who is that credential to the servers.
pub fn add_user(file: &Path, name: &str, password: &str, credential: Option<&str>) {
    let mut command = binary();
    command.args(["user", "add", "--file"]).arg(file).arg(name);
    if let Some(credential) = credential {
        command.args(["--credential", credential]);
    }
    let mut child = command
        .args(["--mechanism", "SCRAM-SHA-256", "--mechanism", "SCRAM-SHA-1"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{password}").unwrap();
    drop(input);
    assert!(child.wait().unwrap().success());
    let kept = std::fs::read_to_string(file).unwrap();
    assert!(!kept.contains(password), "the password is kept");
}
