//! The table of commands against what a server says of itself.

use narrows_parsers::redis::command::{Access, Class, Command, Keys, Timeout, find};

/// A line of `commands-7.0.txt`.
struct Line {
    name: &'static str,
    arity: i8,
    range: [i16; 3],
    flags: Vec<&'static str>,
}

fn lines(snapshot: &'static str) -> impl Iterator<Item = &'static str> {
    snapshot.lines().filter(|line| !line.starts_with('#'))
}

fn snapshot() -> impl Iterator<Item = Line> {
    lines(include_str!("data/commands-7.0.txt")).map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let [name, arity, first, last, step, flags @ ..] = &words[..] else {
            panic!("{line}");
        };
        Line {
            name,
            arity: arity.parse().unwrap(),
            range: [first, last, step].map(|number| number.parse().unwrap()),
            flags: flags.to_vec(),
        }
    })
}

fn command(name: &str) -> &'static Command {
    let (name, subcommand) = match name.split_once('|') {
        Some((container, subcommand)) => (container, Some(subcommand.as_bytes())),
        None => (name, None),
    };
    find(name.as_bytes(), subcommand).unwrap()
}

/// The range of keys that `COMMAND` has: of those that move, it has what doesn't.
fn range(keys: Keys) -> [i16; 3] {
    match keys {
        Keys::Range { first, last, step } => [first.into(), last.into(), step.into()],
        Keys::Counted {
            destination: false, ..
        }
        | Keys::None
        | Keys::Streams => [0, 0, 0],
        Keys::Counted {
            destination: true, ..
        }
        | Keys::Sort
        | Keys::Radius { .. } => [1, 1, 1],
        Keys::Migrate => [3, 3, 1],
    }
}

#[test]
fn every_command_of_the_server_is_known() {
    let mut count = 0;
    for line in snapshot() {
        assert_eq!(command(line.name).name, line.name.replace(['|', '-'], "_"));
        count += 1;
    }
    assert_eq!(count, 366);
}

#[test]
fn keys_are_where_the_server_has_them() {
    for line in snapshot() {
        let keys = command(line.name).keys;
        assert_eq!(range(keys), line.range, "{}", line.name);
        // The server can't tell which keys the patterns of SORT_RO name; it says of them too that they move.
        let moving = !matches!(keys, Keys::None | Keys::Range { .. }) || line.name == "sort_ro";
        assert_eq!(moving, line.flags.contains(&"movablekeys"), "{}", line.name);
    }
}

#[test]
fn access_is_what_the_server_says() {
    for line in snapshot() {
        let access = match (
            line.flags.contains(&"readonly"),
            line.flags.contains(&"write"),
        ) {
            (true, false) => Access::Read,
            (false, true) => Access::Write,
            (false, false) => Access::Neither,
            (true, true) => panic!("{}", line.name),
        };
        assert_eq!(command(line.name).access, access, "{}", line.name);
    }
}

#[test]
fn what_blocks_is_what_the_server_says() {
    for line in snapshot() {
        let blocks = match command(line.name).class {
            // Of WAIT, servers say so only since Redis 7.2.
            Class::Blocking(Timeout::Replicas) => false,
            Class::Blocking(_) => true,
            _ => false,
        };
        assert_eq!(blocks, line.flags.contains(&"blocking"), "{}", line.name);
    }
}

#[test]
fn as_many_arguments_are_accepted_as_by_the_server() {
    for line in snapshot() {
        let arity = match line.name {
            // WITHSCORE since Redis 7.2.
            "zrank" | "zrevrank" => -3,
            // A command without arguments since Redis 7.2.
            "command|getkeys" | "command|getkeysandflags" => -3,
            _ => line.arity,
        };
        assert_eq!(command(line.name).arity, arity, "{}", line.name);
    }
}

#[test]
fn positions_are_those_of_the_server() {
    for line in lines(include_str!("data/keys-7.0.txt")) {
        let (request, keys) = line.split_once(" =>").unwrap();
        let request: Vec<&[u8]> = request
            .split(' ')
            .map(|word| if word == "\"\"" { "" } else { word }.as_bytes())
            .collect();
        let positions = find(request[0], request.get(1).copied())
            .unwrap()
            .key_positions(request.len(), |at| request.get(at).copied());
        let found: Vec<&str> = positions
            .map(|at| str::from_utf8(request[at]).unwrap())
            .collect();
        assert_eq!(found, keys.split_whitespace().collect::<Vec<_>>(), "{line}");
    }
}
