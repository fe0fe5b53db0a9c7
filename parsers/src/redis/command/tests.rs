use super::*;
use std::collections::HashSet;

fn name(command: &[u8], argument: Option<&[u8]>) -> Option<&'static str> {
    find(command, argument).map(|command| command.name)
}

#[test]
fn commands_are_found_in_any_case() {
    for spelling in [b"get", b"GET", b"Get", b"gEt"] {
        assert_eq!(name(spelling, None), Some("get"));
    }
    assert_eq!(
        name(b"GEORADIUSBYMEMBER_RO", None),
        Some("georadiusbymember_ro")
    );
    assert_eq!(name(b"restore-asking", None), Some("restore_asking"));
    assert_eq!(name(b"XRANGE", Some(b"setname")), Some("xrange"));
}

#[test]
fn other_names_are_not_found() {
    for unknown in [
        b"".as_slice(),
        b"g",
        b"gett",
        b"ge",
        b"get\0",
        b"get ",
        b"restore_asking",
        b"eval\x7fro",
        b"client|setname",
        b"client_setname",
        b"setname",
        b"JSON.GET",
        b"\xc7ET",
        &[b'g'; 25],
        &[0; 3],
        &[0xff; 1000],
    ] {
        assert_eq!(name(unknown, None), None);
        assert_eq!(
            name(b"CLIENT", Some(unknown)).unwrap_or("none"),
            match unknown {
                b"setname" => "client_setname",
                _ => "client",
            }
        );
    }
}

#[test]
fn subcommands_are_those_of_their_container() {
    assert_eq!(name(b"CLIENT", Some(b"SetName")), Some("client_setname"));
    assert_eq!(name(b"client", Some(b"NO-EVICT")), Some("client_no_evict"));
    assert_eq!(name(b"CLIENT", Some(b"STREAM")), Some("client"));
    assert_eq!(name(b"CLIENT", None), Some("client"));
    assert_eq!(name(b"XINFO", Some(b"STREAM")), Some("xinfo_stream"));
    assert_eq!(name(b"COMMAND", None), Some("command"));
    assert_eq!(
        find(b"CLIENT", Some(b"NEW-THING")).unwrap().class,
        Class::ClientOther
    );
}

/// Every one by its spelling; no label twice, whatever stands for bars and hyphens.
#[test]
fn the_table_is_whole() {
    let mut container = "";
    for (index, (row, command)) in ROWS.iter().zip(Command::all()).enumerate() {
        let spelling = row.spelling.as_bytes();
        let found = match row.subcommand() {
            Some(subcommand) => {
                let (prefix, _) = row.spelling.split_once('|').unwrap();
                assert_eq!(prefix, container);
                find(prefix.as_bytes(), Some(subcommand))
            }
            None => {
                container = if command.is_container() {
                    row.spelling
                } else {
                    ""
                };
                find(spelling, None)
            }
        };
        assert_eq!(found.unwrap().index(), index, "{}", row.spelling);
        assert_eq!(command.name, row.spelling.replace(['|', '-'], "_"));
    }
    let names: HashSet<_> = Command::all().iter().map(|command| command.name).collect();
    assert_eq!(names.len(), Command::COUNT);
}

/// A search ends soon: nearly all are found at the first place.
#[test]
fn places_are_well_spread() {
    let used = PLACES.iter().filter(|index| **index != EMPTY).count();
    assert_eq!(used, Command::COUNT);
    assert!(used * 2 < PLACES.len());
    let longest = PLACES
        .split(|index| *index == EMPTY)
        .map(<[u16]>::len)
        .max();
    assert!(longest < Some(16), "{longest:?}");
}

#[test]
fn arity_has_the_name_in_it() {
    let get = find(b"get", None).unwrap();
    assert_eq!(
        [1, 2, 3].map(|count| get.accepts(count)),
        [false, true, false]
    );
    let subscribe = find(b"subscribe", None).unwrap();
    assert_eq!(
        [1, 2, 9].map(|count| subscribe.accepts(count)),
        [false, true, true]
    );
}

#[test]
fn only_what_has_a_key_per_argument_is_split() {
    let split: Vec<_> = Command::all()
        .iter()
        .filter_map(|command| Some((command.name, command.split?, command.keys)))
        .collect();
    let keys = |step| Keys::Range {
        first: 1,
        last: -1,
        step,
    };
    assert_eq!(
        split,
        [
            ("del", Split::Sum, keys(1)),
            ("exists", Split::Sum, keys(1)),
            ("mget", Split::Values, keys(1)),
            ("mset", Split::Ok, keys(2)),
            ("touch", Split::Sum, keys(1)),
            ("unlink", Split::Sum, keys(1)),
        ]
    );
}
