//! Whatever stands in a file, it is taken or refused; taken, it can be shown and read again.

use narrows::config::{load, parse, to_json};
use proptest::prelude::*;

use super::FULL;
use super::http::FULL_HTTP;

/// Pieces of YAML that a mistake could be made of.
fn yaml_soup() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "\n",
        "\n  ",
        "\n    ",
        "- ",
        ": ",
        ", ",
        "[",
        "]",
        "{",
        "}",
        "'",
        "\"",
        "&a",
        "*a",
        "!",
        "!!str",
        "|",
        ">",
        "|2-",
        "#",
        "?",
        "---",
        "...",
        "%YAML 1.2",
        "\t",
        "\\",
        "\r\n",
        "@",
        "://",
        "<<",
        "~",
        "0",
        "1s",
        "\u{feff}",
        "\u{85}",
        "\u{2028}",
        "é",
        "listeners",
        "clusters",
        "name",
        "endpoints",
        "stats",
        "statsd",
        "address",
        "mongo",
        "pool",
        "collapse",
        "scram",
        "credentials",
        "password_file",
        "password",
        "http",
        "virtual_hosts",
        "domains",
        "routes",
        "prefix",
        "regex",
        "redirect",
        "set",
        "/",
        "*",
        "127.0.0.1:1",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// A valid file with some bytes changed, removed or repeated.
fn damaged(whole: &'static str) -> impl Strategy<Value = String> {
    let edit = (0..whole.len(), 0..20_usize, yaml_soup());
    prop::collection::vec(edit, 1..4).prop_map(|edits| {
        edits
            .into_iter()
            .fold(whole.to_owned(), |mut text, (at, length, soup)| {
                let at = at.min(text.len());
                let end = (at + length).min(text.len());
                if text.is_char_boundary(at) && text.is_char_boundary(end) {
                    text.replace_range(at..end, &soup);
                }
                text
            })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_is_a_panic(text in prop_oneof![yaml_soup(), damaged(FULL), damaged(FULL_HTTP), "\\PC{0,80}", any::<String>()]) {
        match parse("narrows.yaml", &text) {
            Ok(config) => prop_assert_eq!(parse("shown", &to_json(&config).to_string()), Ok(config)),
            Err(error) => {
                prop_assert!(!error.problems().is_empty());
                prop_assert!(error.to_string().ends_with("in narrows.yaml; nothing was changed"));
                for (line, column) in error.problems().iter().filter_map(|problem| problem.position()) {
                    prop_assert!(line >= 1 && column >= 1, "{}", error);
                }
            }
        }
    }

    #[test]
    fn no_bytes_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, &bytes).unwrap();
        drop(load(file.path()));
    }
}
