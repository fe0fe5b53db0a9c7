//! Files and environment variables that the configuration names and that hold secrets.
//!
//! Messages repeat neither what is in them nor their names: somebody may have written the secret in the place of the name.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::defaults::PASSWORD_MAX;
use crate::secret::Secret;

/// The path of a file that is there and can be opened.
pub(crate) fn readable_file(path: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(path);
    open(&path).map_err(|error| unreadable(&error))?;
    Ok(path)
}

/// The password that is all of a file, without the line end that editors put behind it.
pub(crate) fn password_from_file(path: &str) -> Result<Secret, String> {
    let mut bytes = Vec::new();
    // Room for a line end, and for one byte more than allowed, so that the check below sees that it is too long.
    let limit = u64::try_from(PASSWORD_MAX + 3).unwrap_or(u64::MAX);
    open(Path::new(path))
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(|error| unreadable(&error))?;
    let text = String::from_utf8(bytes).map_err(|_| "the password is not UTF-8 text".to_owned())?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    password(line.strip_suffix('\r').unwrap_or(line))
}

/// The password that is the value of an environment variable.
pub(crate) fn password_from_env(name: &str) -> Result<Secret, String> {
    // Such names are none, and the standard library does not say what it does with them.
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err("is not the name of an environment variable".to_owned());
    }
    let value = std::env::var_os(name)
        .ok_or_else(|| "no environment variable of this name is set".to_owned())?;
    match value.to_str() {
        Some(text) => password(text.strip_suffix('\n').unwrap_or(text)),
        None => Err("the password is not UTF-8 text".to_owned()),
    }
}

fn password(text: &str) -> Result<Secret, String> {
    if text.is_empty() {
        return Err("the password is empty".to_owned());
    }
    if text.len() > PASSWORD_MAX {
        return Err(format!(
            "longer than a password can be ({PASSWORD_MAX} bytes); is this the right place?"
        ));
    }
    // RFC 4013 section 2.3: "ASCII control characters" are prohibited, and two lines are two passwords.
    if text.contains(char::is_control) {
        return Err("the password holds a control character or a second line".to_owned());
    }
    Ok(Secret::new(text.to_owned()))
}

/// Only regular files: opening a pipe waits for whoever writes into it, and a second read at a reload would find nothing.
fn open(path: &Path) -> io::Result<File> {
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    File::open(path)
}

fn unreadable(error: &io::Error) -> String {
    format!("the file cannot be read: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_all_of_its_file_but_the_line_end() {
        let cases: [(&[u8], Result<&str, &str>); 10] = [
            (b"hunter2", Ok("hunter2")),
            (b"hunter2\n", Ok("hunter2")),
            (b"hunter2\r\n", Ok("hunter2")),
            (b" hunter 2 ", Ok(" hunter 2 ")),
            ("p\u{e4}ss".as_bytes(), Ok("p\u{e4}ss")),
            (b"", Err("empty")),
            (b"\n", Err("empty")),
            (b"hunter2\n\n", Err("second line")),
            (b"hunter2\xff", Err("UTF-8")),
            (b"hunter2\0", Err("control character")),
        ];
        for (bytes, expected) in cases {
            check(bytes, expected);
        }
        let longest = "x".repeat(PASSWORD_MAX);
        check(longest.as_bytes(), Ok(&longest));
        check(format!("{longest}\r\n").as_bytes(), Ok(&longest));
        check(format!("{longest}x").as_bytes(), Err("longer than"));
        check("x".repeat(1 << 20).as_bytes(), Err("longer than"));
    }

    #[test]
    fn what_cannot_be_read_is_not_named() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().to_str().unwrap();
        let cases = [
            ("hunter2", "No such file"),
            ("", "No such file"),
            ("hunter2\0", "NUL byte"),
            ("/dev/zero", "not a regular file"),
            (folder, "not a regular file"),
        ];
        for (path, expected) in cases {
            for message in [
                password_from_file(path).unwrap_err(),
                readable_file(path).unwrap_err(),
            ] {
                assert!(message.contains(expected), "{message}");
                assert!(!message.contains("hunter2"), "{message}");
            }
        }
        for name in ["", "hunter2", "hunter2=", "hunter2\0"] {
            let message = password_from_env(name).unwrap_err();
            assert!(message.contains("environment variable"), "{message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn a_password_can_be_in_the_environment() {
        // Cargo sets it for tests.
        let password = password_from_env("CARGO_PKG_NAME").unwrap();
        assert_eq!(password.reveal(), "narrows");
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: Result<&str, &str>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, bytes).unwrap();
        match (password_from_file(path.to_str().unwrap()), expected) {
            (Ok(found), Ok(wanted)) => assert_eq!(found.reveal(), wanted),
            (Err(message), Err(part)) => {
                assert!(message.contains(part), "{message}");
                assert!(!message.contains("hunter2"), "{message}");
            }
            (found, wanted) => panic!("{found:?}, not {wanted:?}"),
        }
    }
}
