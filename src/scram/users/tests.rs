use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use proptest::prelude::*;
use tempfile::TempDir;

use super::edit::{EditError, NewUser, add, list, remove};
use super::*;
use crate::secret::Secret;

fn verifier(mechanism: Mechanism) -> String {
    let model = Model::new(mechanism);
    model.verifier("a made up one").to_text()
}

fn new<'a>(name: &'a str, password: &'a Secret) -> NewUser<'a> {
    NewUser {
        name,
        credential: None,
        mechanisms: &MECHANISMS,
        password,
    }
}

#[test]
fn a_file_says_who_may_log_in() {
    let (sha256, sha1) = (
        verifier(Mechanism::ScramSha256),
        verifier(Mechanism::ScramSha1),
    );
    let text =
        format!("# people\n\nann app {sha256} {sha1}\n  bob\t{sha1} # old\n\"c \"\"d\" {sha256}\n");
    let users = Users::parse("users", &text).unwrap();
    assert_eq!(users.len(), 3);
    assert_eq!(users.mechanisms("ann"), MECHANISMS);
    assert_eq!(users.mechanisms("bob"), [Mechanism::ScramSha1]);
    assert_eq!(users.mechanisms("c \"d"), [Mechanism::ScramSha256]);
    assert_eq!(users.mechanisms("nobody"), MECHANISMS);
    assert_eq!(users.check_credentials(&["app"]), Ok(()));
    let error = users.check_credentials(&["apps"]).unwrap_err();
    let [problem] = error.problems() else {
        panic!("{error}")
    };
    assert_eq!(problem.position(), Some((3, 5)));
    assert!(problem.message().contains("did you mean `apps`?"));
}

#[test]
fn every_mistake_is_reported_with_its_place_and_no_verifier_is_shown() {
    let good = verifier(Mechanism::ScramSha256);
    let text = format!(
        "ann {good}\nann {good}\nbob\n{good}\neve a.b {good}\n\"open {good}\nzoe app {good} {good} SCRAM-SHA-9$x\n"
    );
    let error = Users::parse("users", &text).unwrap_err();
    let found: Vec<_> = error
        .problems()
        .iter()
        .map(|problem| (problem.position().unwrap(), problem.message()))
        .collect();
    let second = 10 + good.len();
    let expected = [
        ((2, 1), "user `ann` is given twice, first on line 1"),
        ((3, 1), "user `bob` has no verifier"),
        ((4, 1), "holds a `$`, as verifiers do"),
        ((5, 5), "`a.b` becomes part of stat names"),
        ((6, 1), "the quote is not closed"),
        ((7, second), "has a verifier for SCRAM-SHA-256 already"),
        ((7, second + good.len() + 1), "a verifier has the form"),
    ];
    assert_eq!(found.len(), expected.len(), "{error}");
    for ((place, message), (expected_place, part)) in found.iter().zip(expected) {
        assert_eq!(*place, expected_place, "{message}");
        assert!(message.contains(part), "{message}");
    }
    let secret = good.rsplit('$').next().unwrap();
    assert!(!error.to_string().contains(secret), "{error}");
}

#[test]
fn a_file_is_changed_without_losing_what_it_says() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("users");
    let password = Secret::new("pencil".to_owned());
    add(&path, &new("ann", &password), false).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let written = fs::read_to_string(&path).unwrap();
    assert!(!written.contains("pencil"));
    fs::write(&path, format!("# people\n{written}# the end")).unwrap();

    let link = folder.path().join("link");
    symlink(&path, &link).unwrap();
    add(&link, &new("b \"c\"#", &password), false).unwrap();
    assert!(link.is_symlink());
    let again = add(&path, &new("ann", &password), false).unwrap_err();
    assert!(matches!(again, EditError::User(_)), "{again}");
    add(&path, &new("ann", &password), true).unwrap();
    let names: Vec<String> = list(&path).unwrap().into_iter().map(|u| u.name).collect();
    assert_eq!(names, ["ann", "b \"c\"#"]);

    remove(&path, "ann").unwrap();
    assert!(matches!(
        remove(&path, "ann").unwrap_err(),
        EditError::User(_)
    ));
    let left = fs::read_to_string(&path).unwrap();
    assert!(left.starts_with("# people\n# the end\n\"b \"\"c\"\"#\" SCRAM-"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn a_file_that_others_can_write_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("users");
    assert!(Users::load(&path).is_err());
    let user = format!("ann {}\n", verifier(Mechanism::ScramSha256));
    fs::write(&path, user).unwrap();
    for (mode, allowed) in [
        (0o600, true),
        (0o640, true),
        (0o644, true),
        (0o660, false),
        (0o602, false),
    ] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(Users::load(&path).is_ok(), allowed, "{mode:o}");
    }
}

#[test]
fn names_that_a_file_cannot_hold_are_refused() {
    let password = Secret::new("pencil".to_owned());
    for name in ["", "a\nb", "a$b", &"x".repeat(129)] {
        let folder = TempDir::new().unwrap();
        let result = add(&folder.path().join("users"), &new(name, &password), false);
        assert!(matches!(result, Err(EditError::Usage(_))), "{name}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "([a-z\"#$:= \\t\\n]|SCRAM-SHA-1\\$|.){0,60}") {
        let _ = Users::parse("users", &text);
    }

    #[test]
    fn names_are_read_as_they_are_written(name in "[^\\p{C}$]{1,30}") {
        let line = format!("{} {}", file::written_name(&name), verifier(Mechanism::ScramSha1));
        let users = Users::parse("users", &line).unwrap();
        prop_assert!(users.by_name.contains_key(&name));
    }
}
