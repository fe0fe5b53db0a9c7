//! Properties: whatever is written is read, however it is cut.

use crate::build::*;
use crate::samples;
use narrows_parsers::redis::Kind;
use narrows_parsers::replay::redis::{
    OwnedReply, OwnedRequest, OwnedText, check_replies, check_requests, replies, requests,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// A value of RESP2 or RESP3.
#[derive(Debug, Clone)]
enum Value {
    /// `+`, `-`, `,` and `(`
    Line(char, String),
    Integer(i64),
    /// `$`, `!` and `=`
    Counted(char, Vec<u8>),
    Pieces(Vec<Vec<u8>>),
    Null(&'static str),
    Boolean(bool),
    /// `*` and `~`
    Values(char, Vec<Value>),
    Map(Vec<(Value, Value)>),
    Streamed(char, Vec<Value>),
    /// With what is said of it.
    Attributed(Vec<(Value, Value)>, Box<Value>),
}

impl Value {
    fn write(&self) -> Vec<u8> {
        let all = |values: &[Value]| values.iter().map(Value::write).collect::<Vec<_>>();
        match self {
            Self::Line(kind, text) => line(*kind, text),
            Self::Integer(number) => line(':', &number.to_string()),
            Self::Counted(kind, text) => counted(*kind, text),
            Self::Pieces(pieces) => {
                streamed_text(&pieces.iter().map(Vec::as_slice).collect::<Vec<_>>())
            }
            Self::Null(form) => form.as_bytes().to_vec(),
            Self::Boolean(value) => line('#', if *value { "t" } else { "f" }),
            Self::Values(kind, values) => aggregate(*kind, &all(values)),
            Self::Map(values) => pairs('%', &in_turn(values)),
            Self::Streamed(kind, values) => streamed(*kind, &all(values)),
            Self::Attributed(said, value) => [pairs('|', &in_turn(said)), value.write()].concat(),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Line(kind, _)
            | Self::Counted(kind, _)
            | Self::Values(kind, _)
            | Self::Streamed(kind, _) => match kind {
                '+' => Kind::Simple,
                '-' => Kind::Error,
                ',' => Kind::Double,
                '(' => Kind::BigNumber,
                '$' => Kind::Bulk,
                '!' => Kind::BulkError,
                '=' => Kind::Verbatim,
                '*' => Kind::Array,
                '~' => Kind::Set,
                '%' => Kind::Map,
                _ => Kind::Push,
            },
            Self::Integer(_) => Kind::Integer,
            Self::Pieces(_) => Kind::Bulk,
            Self::Null(_) => Kind::Null,
            Self::Boolean(_) => Kind::Boolean,
            Self::Map(_) => Kind::Map,
            Self::Attributed(_, value) => value.kind(),
        }
    }

    fn elements(&self) -> u64 {
        match self {
            Self::Values(_, values) => values.len() as u64,
            Self::Map(values) => 2 * values.len() as u64,
            Self::Attributed(_, value) => value.elements(),
            _ => 0,
        }
    }

    /// The values in it, in their order, itself first.
    fn within(&self) -> Vec<&Value> {
        let inner: Vec<&Value> = match self {
            Self::Values(_, values) | Self::Streamed(_, values) => values.iter().collect(),
            Self::Map(values) => values
                .iter()
                .flat_map(|(key, value)| [key, value])
                .collect(),
            Self::Attributed(_, value) => vec![value],
            _ => vec![],
        };
        let inner = inner.into_iter().flat_map(Value::within);
        std::iter::once(self).chain(inner).collect()
    }

    fn text(&self) -> Option<OwnedText> {
        self.within().into_iter().find_map(|value| match value {
            Self::Line('+' | '-', text) => Some(front(text.as_bytes())),
            Self::Counted(_, text) => Some(front(text)),
            Self::Pieces(pieces) => Some(front(&pieces.concat())),
            _ => None,
        })
    }

    fn integer(&self) -> Option<i64> {
        let integer = |value: &Value| match value {
            Self::Integer(number) => Some(*number),
            _ => None,
        };
        self.within().into_iter().rev().find_map(integer)
    }

    fn reply(&self) -> OwnedReply {
        OwnedReply {
            kind: self.kind(),
            elements: self.elements(),
            integer: self.integer(),
            text: self.text(),
            bytes: self.write().len() as u64,
        }
    }
}

fn in_turn(pairs: &[(Value, Value)]) -> Vec<Vec<u8>> {
    let pairs = pairs.iter();
    pairs
        .flat_map(|(key, value)| [key.write(), value.write()])
        .collect()
}

fn front(text: &[u8]) -> OwnedText {
    (text[..text.len().min(128)].to_vec(), text.len() as u64)
}

/// Texts that look like something else.
const MISLEADING: [&[u8]; 4] = [b"\r\n", b"$1\r\na\r\n", b"*1\r\n", b".\r\n"];

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => vec(any::<u8>(), 0..20),
        1 => prop::sample::select(&MISLEADING[..]).prop_map(<[u8]>::to_vec),
        1 => (any::<u8>(), 100..400usize).prop_map(|(byte, count)| vec![byte; count]),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        (
            prop::sample::select(&['+', '-', ',', '('][..]),
            "[^\r]{0,40}"
        )
            .prop_map(|(kind, text)| Value::Line(kind, text)),
        any::<i64>().prop_map(Value::Integer),
        (-20..20i64).prop_map(Value::Integer),
        text().prop_map(|text| Value::Counted('$', text)),
        (prop::sample::select(&['!', '='][..]), text())
            .prop_map(|(kind, text)| Value::Counted(kind, text)),
        vec(vec(any::<u8>(), 1..80), 0..5).prop_map(Value::Pieces),
        prop::sample::select(&["_\r\n", "$-1\r\n", "*-1\r\n"][..]).prop_map(Value::Null),
        any::<bool>().prop_map(Value::Boolean),
    ];
    leaf.prop_recursive(5, 30, 6, |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            4 => (prop::sample::select(&['*', '~'][..]), vec(inner.clone(), 0..6)).prop_map(|(kind, values)| Value::Values(kind, values)),
            2 => vec(pair.clone(), 0..4).prop_map(Value::Map),
            1 => (prop::sample::select(&['*', '~'][..]), vec(inner.clone(), 0..6)).prop_map(|(kind, values)| Value::Streamed(kind, values)),
            1 => vec(pair.clone(), 0..4).prop_map(|pairs| Value::Streamed('%', pairs.into_iter().flat_map(|(key, value)| [key, value]).collect())),
            1 => (vec(pair, 0..3), inner).prop_map(|(said, value)| Value::Attributed(said, Box::new(value))),
        ]
    })
}

/// What a server sends of its own accord stands between replies.
fn message() -> impl Strategy<Value = Value> {
    prop_oneof![
        5 => value(),
        1 => vec(value(), 0..4).prop_map(|values| Value::Values('>', values)),
    ]
}

/// A request, as it is written and as it is to be read.
fn any_request() -> impl Strategy<Value = (Vec<u8>, OwnedRequest)> {
    let counted = vec(text(), 1..14).prop_map(|arguments| {
        let texts: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
        (request(&texts), arguments)
    });
    let inline = vec(("[a-z:0-9]{1,12}", 0..3u8), 1..14).prop_map(|words| {
        let written = words.iter().map(|(word, quotes)| match quotes {
            0 => word.clone(),
            1 => format!("'{word}'"),
            _ => format!(
                "\"{}\"",
                word.bytes()
                    .map(|byte| format!("\\x{byte:02x}"))
                    .collect::<String>()
            ),
        });
        let line = written.collect::<Vec<_>>().join(" ") + "\r\n";
        (
            line.into_bytes(),
            words
                .into_iter()
                .map(|(word, _)| word.into_bytes())
                .collect(),
        )
    });
    prop_oneof![4 => counted, 1 => inline].prop_map(
        |(written, arguments): (Vec<u8>, Vec<Vec<u8>>)| {
            let seen = OwnedRequest {
                count: arguments.len() as u64,
                bytes: written.len() as u64,
                arguments: arguments.iter().take(10).map(|text| front(text)).collect(),
            };
            (written, seen)
        },
    )
}

fn nothing() -> impl Strategy<Value = &'static str> {
    prop::sample::select(
        &[
            "",
            "",
            "",
            "\r\n",
            "\n",
            "*0\r\n",
            "*-3\r\n",
            " \t\r\n*0\r\n",
        ][..],
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn replies_are_read_as_they_are_written(values in vec(message(), 1..5), sizes in vec(1..90usize, 0..5)) {
        let stream: Vec<u8> = values.iter().flat_map(Value::write).collect();
        let mut ends = 0;
        let written: Vec<_> = values.iter().map(Value::reply).map(|reply| {
            ends += reply.bytes as usize;
            (ends, reply)
        }).collect();
        for sizes in [&sizes[..], &[], &[1]] {
            let (outcome, pending) = replies(&stream, sizes);
            prop_assert_eq!(&outcome.messages, &written);
            prop_assert_eq!((outcome.malformed, outcome.between_messages, pending), (None, true, None));
        }
    }

    #[test]
    fn requests_are_read_as_they_are_written(
        written in vec((nothing(), any_request()), 1..5),
        sizes in vec(1..90usize, 0..5),
    ) {
        let mut stream = Vec::new();
        let mut expected = Vec::new();
        for (nothing, (bytes, seen)) in written {
            stream.extend_from_slice(nothing.as_bytes());
            stream.extend_from_slice(&bytes);
            expected.push((stream.len(), seen));
        }
        for sizes in [&sizes[..], &[], &[1]] {
            let (outcome, pending) = requests(&stream, sizes);
            prop_assert_eq!(&outcome.messages, &expected);
            prop_assert_eq!((outcome.malformed, outcome.between_messages, pending), (None, true, None));
        }
    }

    #[test]
    fn any_bytes_do_no_harm(data in vec(any::<u8>(), 0..300)) {
        check_requests(&data).unwrap();
        check_replies(&data).unwrap();
    }

    /// Of nothing but what means something.
    #[test]
    fn any_marks_do_no_harm(
        marks in vec(prop::sample::select(&[
            "*", "$", "%", "~", ">", "|", "+", "-", ":", "_", "#", ",", "(", "!", "=", ";", ".", "?", "\r\n", "\r\n", "\r\n", "\r", "\n",
            "0", "1", "2", "a", "t", " ", "\"", "'", "\\x", "*1\r\n", "$1\r\na\r\n", "+a\r\n", "*?\r\n", "|1\r\n", "%1\r\n", ".\r\n",
            "$?\r\n", ";0\r\n", "4611686018427387904", "2147483647", "4294967295",
        ][..]), 0..40),
        sizes in vec(any::<u8>(), 3),
    ) {
        let data = [&[3], sizes.as_slice(), marks.concat().as_bytes()].concat();
        check_requests(&data).unwrap();
        check_replies(&data).unwrap();
    }

    #[test]
    fn mutated_samples_do_no_harm(
        stream in prop::sample::subsequence([samples::requests(), samples::replies()].concat(), 1..4),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        sizes in vec(any::<u8>(), 5),
    ) {
        let mut stream = stream.concat();
        for (at, byte) in changes {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        for sizes in [sizes.as_slice(), &[0]] {
            let data = [&[sizes.len() as u8], sizes, &stream].concat();
            check_requests(&data).unwrap();
            check_replies(&data).unwrap();
        }
    }
}
