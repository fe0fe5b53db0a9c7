//! Against the parser of the `redis` crate: what both read is the same, and what one reads and the other refuses is on a list, with the
//! reason.
//!
//! `REDIS_CASES=10000000` tries so many streams.

#[path = "../http1/mutate.rs"]
mod mutate;

use crate::samples;
use mutate::{Random, mutated};
use narrows_parsers::Malformed;
use narrows_parsers::redis::Kind;
use narrows_parsers::replay::redis::{OwnedReply, replies};
use redis::Value;
use std::collections::BTreeMap;

const DEFAULT_CASES: usize = 200_000;

fn cases() -> usize {
    std::env::var("REDIS_CASES").map_or(DEFAULT_CASES, |cases| cases.parse().unwrap())
}

/// What one of the two makes of the first value of a stream.
#[derive(Debug)]
enum Seen<V, R> {
    Read(V),
    Cut,
    Refused(R),
}

fn ours(bytes: &[u8]) -> Seen<(usize, OwnedReply), Malformed> {
    let (outcome, _) = replies(bytes, &[]);
    match (outcome.messages.into_iter().next(), outcome.malformed) {
        (Some(reply), _) => Seen::Read(reply),
        (None, Some(reason)) => Seen::Refused(reason),
        (None, None) => Seen::Cut,
    }
}

fn theirs(bytes: &[u8]) -> Seen<Value, String> {
    match redis::parse_redis_value(bytes) {
        Ok(value) => Seen::Read(value),
        Err(error) if error.kind() == redis::ErrorKind::Io => Seen::Cut,
        Err(error) => Seen::Refused(error.to_string()),
    }
}

fn kind(value: &Value) -> Kind {
    match value {
        Value::Nil => Kind::Null,
        Value::Int(_) => Kind::Integer,
        Value::BulkString(_) => Kind::Bulk,
        Value::Array(_) => Kind::Array,
        Value::SimpleString(_) | Value::Okay => Kind::Simple,
        Value::Map(_) => Kind::Map,
        Value::Attribute { data, .. } => kind(data),
        Value::Set(_) => Kind::Set,
        Value::Double(_) => Kind::Double,
        Value::Boolean(_) => Kind::Boolean,
        Value::VerbatimString { .. } => Kind::Verbatim,
        Value::BigNumber(_) => Kind::BigNumber,
        Value::Push { .. } => Kind::Push,
        // Of either form.
        Value::ServerError(_) => Kind::Error,
        other => panic!("{other:?}"),
    }
}

/// The values directly in one.
fn within(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(values) | Value::Set(values) | Value::Push { data: values, .. } => {
            values.iter().collect()
        }
        Value::Map(pairs) => pairs.iter().flat_map(|(key, value)| [key, value]).collect(),
        Value::Attribute { data, .. } => within(data),
        _ => vec![],
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        Value::Attribute { data, .. } => integer(data),
        _ => within(value).into_iter().rev().find_map(integer),
    }
}

/// Both have read the same.
fn agree(bytes: &[u8], ends: usize, ours: &OwnedReply, theirs: &Value) {
    let kind = match kind(theirs) {
        Kind::Error if ours.kind == Kind::BulkError => Kind::BulkError,
        kind => kind,
    };
    assert_eq!(ours.kind, kind);
    // The name of a push is by itself.
    let named = u64::from(kind == Kind::Push && ours.elements > 0);
    assert_eq!(ours.elements, within(theirs).len() as u64 + named);
    assert_eq!(ours.integer, integer(theirs));
    if let Value::BulkString(text) = theirs {
        let (front, length) = ours.text.as_ref().unwrap();
        assert_eq!(
            (&front[..], *length),
            (&text[..text.len().min(128)], text.len() as u64)
        );
    }
    // It ends where it ends for them.
    assert!(matches!(self::theirs(&bytes[..ends]), Seen::Read(value) if same(&value, theirs)));
    assert!(matches!(self::theirs(&bytes[..ends - 1]), Seen::Cut));
}

/// Not a number is equal to itself here.
fn same(one: &Value, other: &Value) -> bool {
    format!("{one:?}") == format!("{other:?}")
}

/// What they say when they refuse what we read or go on with, what the stream has then, and why.
const WE_READ: [(&str, &[u8], &str); 5] = [
    (
        "Expected integer, got garbage",
        b"?\r\n",
        "RESP3 lets texts and aggregates be streamed; they do not know that",
    ),
    (
        "float",
        b",",
        "what a double says is for its reader; it ends where its line ends",
    ),
    (
        "utf-8",
        b"\r\n",
        "no line of RESP has to be UTF-8, and errors quote what clients have sent",
    ),
    (
        "parse error when decoding verbatim string",
        b"=",
        "a verbatim string ends where its length says, whatever stands in front of it",
    ),
    (
        "parse error when decoding push",
        b">",
        "what a push begins with is for its reader",
    ),
];

/// What we say of the line that we refuse, and why. They read it, or go on with it.
type Refusal = (Malformed, fn(&[u8]) -> bool, &'static str);

const THEY_READ: [Refusal; 6] = [
    (
        Malformed::RespLineEnd,
        |line| b"+-,(".contains(&line[0]),
        "a simple string has no CR in it (RESP specification); they take it for text",
    ),
    (
        Malformed::RespLineEnd,
        |line| line[0] == b'_',
        "nothing stands in the line of a null; they look at none of it",
    ),
    (
        Malformed::RespNumber,
        |line| number(line).is_some_and(|number| number < 0) && line[0] != b':',
        "the lengths below zero are the two of RESP2's nulls; they take all of them for nulls, for nothing, or for very large",
    ),
    (
        Malformed::RespNumber,
        |line| {
            b"*%~>|".contains(&line[0])
                && number(line).is_some_and(|number| number > i64::from(u32::MAX))
        },
        "more values than hiredis reads; they wait for them",
    ),
    (
        Malformed::RespNumber,
        |line| number(line).is_some(),
        "numbers have one form (`string2ll` of Redis and of hiredis); they take zeros and a plus in front, and blanks around",
    ),
    (
        Malformed::RespType,
        |line| line[0] == b'>',
        "pushes are always at top level (RESP3); they take them anywhere",
    ),
];

/// The number of a line, as they read it.
fn number(line: &[u8]) -> Option<i64> {
    std::str::from_utf8(&line[1..]).ok()?.trim().parse().ok()
}

/// The line with the byte that we refuse, to its end or to that of the stream.
fn refused_line(bytes: &[u8]) -> &[u8] {
    let is_refused = |length: &usize| matches!(ours(&bytes[..*length]), Seen::Refused(_));
    let at = (1..=bytes.len()).find(is_refused).unwrap() - 1;
    let before = bytes[..at].windows(2).rposition(|pair| pair == b"\r\n");
    let line = &bytes[before.map_or(0, |at| at + 2)..];
    let ends = line.windows(2).position(|pair| pair == b"\r\n");
    &line[..ends.unwrap_or(line.len())]
}

fn compare(bytes: &[u8]) -> String {
    match (ours(bytes), theirs(bytes)) {
        (Seen::Read((ends, reply)), Seen::Read(value)) => {
            agree(bytes, ends, &reply, &value);
            "both read it".into()
        }
        (Seen::Refused(_), Seen::Refused(_)) => "both refuse it".into(),
        (Seen::Cut, Seen::Cut) => "both want more".into(),
        (Seen::Read(_) | Seen::Cut, Seen::Refused(said)) => {
            let listed = WE_READ.iter().find(|(message, has, _)| {
                said.contains(message) && bytes.windows(has.len()).any(|part| part == *has)
            });
            format!(
                "only they refuse it: {}",
                listed.unwrap_or_else(|| panic!("{said}")).2
            )
        }
        (Seen::Refused(reason), theirs @ (Seen::Read(_) | Seen::Cut)) => {
            let line = refused_line(bytes);
            let listed = THEY_READ
                .iter()
                .find(|(says, applies, _)| *says == reason && applies(line));
            match (listed, theirs) {
                (Some((_, _, why)), _) => format!("only we refuse it: {why}"),
                // They look at lines that are whole.
                (None, Seen::Cut) if bytes.ends_with(line) => "we refuse it sooner".into(),
                (None, theirs) => panic!("{reason:?} {theirs:?} {}", line.escape_ascii()),
            }
        }
        (ours, theirs) => panic!("{ours:?} {theirs:?}"),
    }
}

#[test]
fn mutated_replies() {
    let samples = samples::replies();
    let mut random = Random::new(20_261_128);
    let mut tally = BTreeMap::<String, usize>::new();
    let cases = cases();
    for case in 0..cases {
        let bytes = mutated(&samples, &mut random);
        let way = std::panic::catch_unwind(|| compare(&bytes))
            .unwrap_or_else(|_| panic!("case {case}: {}", bytes.escape_ascii()));
        *tally.entry(way).or_default() += 1;
    }
    #[expect(
        clippy::print_stdout,
        reason = "the list of differences is what --nocapture is for"
    )]
    for (way, count) in &tally {
        println!("{count:8} {way}");
    }
    let differences = tally.keys().filter(|way| way.starts_with("only "));
    assert!(differences.count() >= 9);
    for way in ["both read it", "both refuse it", "both want more"] {
        assert!(tally[way] > cases / 50, "{way}: {}", tally[way]);
    }
}
