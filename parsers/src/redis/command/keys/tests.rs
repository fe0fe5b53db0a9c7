use crate::redis::command::{Command, find};

fn positions(request: &str) -> Vec<usize> {
    let words: Vec<&[u8]> = request.split(' ').map(str::as_bytes).collect();
    let command = find(words[0], words.get(1).copied()).unwrap();
    let positions = command.key_positions(words.len(), |at| words.get(at).copied());
    let left = positions.len();
    let positions: Vec<usize> = positions.collect();
    assert_eq!(left, positions.len());
    positions
}

#[test]
fn each_kind_has_its_positions() {
    assert_eq!(positions("PING"), []);
    assert_eq!(positions("GET k"), [1]);
    assert_eq!(positions("MSET a 1 b 2 c 3"), [1, 3, 5]);
    assert_eq!(positions("BLPOP a b 0"), [1, 2]);
    assert_eq!(positions("BITOP AND d a b"), [2, 3, 4]);
    assert_eq!(positions("MEMORY USAGE k"), [2]);
    assert_eq!(positions("SPUBLISH c m"), [1]);
    assert_eq!(positions("EVAL x 2 a b c"), [3, 4]);
    assert_eq!(positions("MSETEX 2 a 1 b 2 EX 5"), [2, 4]);
    assert_eq!(positions("ZUNIONSTORE d 2 a b WEIGHTS 1 2"), [1, 3, 4]);
    assert_eq!(
        positions("XREADGROUP GROUP g c CLAIM 5 STREAMS a b > >"),
        [7, 8]
    );
    assert_eq!(positions("SORT k BY w STORE store STORE d"), [1, 7]);
    assert_eq!(positions("GEORADIUS k 1 2 3 m COUNT 1 STOREDIST d"), [1, 9]);
    assert_eq!(positions("MIGRATE h p k 0 1 AUTH keys"), [3]);
    assert_eq!(positions("MIGRATE h p  0 1 KEYS a b"), [7, 8]);
}

#[test]
fn what_is_cut_short_has_none_behind_its_end() {
    for request in [
        "GET",
        "MGET",
        "BLPOP",
        "BLPOP a",
        "OBJECT",
        "EVAL",
        "EVAL x",
        "EVAL x 1",
        "LMPOP",
        "ZUNIONSTORE",
        "ZUNIONSTORE d 1",
        "MSETEX 2 a 1 b",
        "XREAD",
        "XREAD STREAMS",
        "XREAD STREAMS a",
        "XREAD STREAMS a b 0",
        "XREAD BLOCK",
        "SORT",
        "GEORADIUS",
        "MIGRATE h p",
        "MIGRATE h p  0 1 KEYS",
    ] {
        assert_eq!(positions(request), [], "{request}");
    }
    assert_eq!(positions("RENAME a"), [1]);
    assert_eq!(positions("MSET a 1 b"), [1, 3]);
    assert_eq!(positions("SORT k STORE"), [1]);
}

#[test]
fn hostile_counts_have_none() {
    for count in [
        "0",
        "-1",
        "3",
        "x",
        "",
        "1x",
        "0x1",
        "1.0",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551614",
        "99999999999999999999999",
    ] {
        assert_eq!(positions(&format!("EVAL x {count} a b")), [], "{count}");
        assert_eq!(
            positions(&format!("ZUNIONSTORE d {count} a b")),
            [],
            "{count}"
        );
        assert_eq!(positions(&format!("MSETEX {count} a b")), [], "{count}");
    }
}

/// Whatever the number of arguments and whatever they are, positions are ascending and among them; and no more than a few are asked for.
#[test]
fn positions_are_arguments() {
    let words = [
        "1",
        "",
        "STORE",
        "STREAMS",
        "KEYS",
        "BLOCK",
        "COUNT",
        "9999999999",
    ];
    for command in Command::all() {
        for arguments in (0..40).chain([1_000_000, usize::MAX]) {
            for seed in 0..words.len() {
                let argument = |at: usize| {
                    assert!(at < 128);
                    Some(words[(at * 5 + seed) % words.len()].as_bytes())
                };
                let keys = command.key_positions(arguments, argument);
                assert!(keys.len() <= arguments);
                let keys: Vec<usize> = keys.take(100).collect();
                assert!(keys.is_sorted_by(|a, b| a < b), "{}", command.name);
                assert!(keys.last().is_none_or(|last| *last < arguments));
            }
        }
    }
}
