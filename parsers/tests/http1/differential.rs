//! Against httparse: what both read is the same, and what one reads and the other refuses is on a list, with the line of the RFC.
//!
//! `HTTP1_CASES=10000000` tries so many heads of each kind.

use crate::mutate::{Random, mutated};
use crate::samples;
use narrows_parsers::Malformed;
use narrows_parsers::http1::{HeadParser, HeadStep, Headers, RequestKind, Version};
use std::collections::BTreeMap;

const DEFAULT_CASES: usize = 1_000_000;

fn cases() -> usize {
    std::env::var("HTTP1_CASES").map_or(DEFAULT_CASES, |cases| cases.parse().unwrap())
}

/// What httparse read, in the words of either kind of head.
struct Theirs<'b> {
    /// The whole head.
    bytes: &'b [u8],
    version: Option<u8>,
    /// Method and target of a request.
    request: Option<(&'b str, &'b str)>,
    /// Status of a reply, and whether a body may follow it.
    reply: Option<u16>,
    fields: Vec<(&'b str, &'b [u8])>,
}

/// Why we refuse what httparse reads.
type Difference = (&'static [Malformed], &'static str, fn(&Theirs<'_>) -> bool);

const DIFFERENCES: [Difference; 13] = [
    (
        &[Malformed::BareLf, Malformed::Method, Malformed::HttpVersion],
        "RFC 9112 2.2: the line terminator is CRLF; that a recipient MAY take a LF for one is how two readers come to two messages",
        |theirs| {
            let lf =
                |at: usize| theirs.bytes[at] == b'\n' && (at == 0 || theirs.bytes[at - 1] != b'\r');
            (0..theirs.bytes.len()).any(lf)
        },
    ),
    (
        &[Malformed::Method],
        "RFC 9112 2.2: a server SHOULD ignore at least one empty line in front of a request line; we ignore one",
        |theirs| theirs.request.is_some() && theirs.bytes.starts_with(b"\r\n\r\n"),
    ),
    (
        &[Malformed::HttpVersion],
        "RFC 9112 2.2 and 4: nothing stands in front of a status line",
        |theirs| theirs.reply.is_some() && theirs.bytes.starts_with(b"\r\n"),
    ),
    (
        &[Malformed::Target],
        "RFC 9112 3.2: a request target is of one of four forms, has no fragment, and (RFC 3986 2) is ASCII",
        |theirs| {
            theirs.request.is_some_and(|(method, target)| {
                !target.is_ascii() || target.contains('#') || !has_a_form(method, target)
            })
        },
    ),
    (
        &[Malformed::StatusLine],
        "RFC 9110 15: the first digit of a status defines its class, and there is none below 1",
        |theirs| theirs.reply.is_some_and(|status| status < 100),
    ),
    (
        &[Malformed::MissingHost],
        "RFC 9112 3.2: a server MUST respond with 400 to a request of HTTP/1.1 that lacks a Host",
        |theirs| {
            theirs.request.is_some()
                && theirs.version == Some(1)
                && theirs.values("host").is_empty()
        },
    ),
    (
        &[Malformed::SeveralHosts],
        "RFC 9112 3.2: a server MUST respond with 400 to any request with more than one Host",
        |theirs| theirs.request.is_some() && theirs.values("host").len() > 1,
    ),
    (
        &[Malformed::Host],
        "RFC 9112 3.2: a server MUST respond with 400 to a Host with an invalid value",
        |theirs| {
            theirs.request.is_some() && theirs.values("host").iter().any(|host| !is_host(host))
        },
    ),
    (
        &[Malformed::ContentLength, Malformed::SeveralContentLengths],
        "RFC 9112 6.3, rule 5: an invalid Content-Length is an unrecoverable error; a list of one value MAY be repaired, and is refused",
        |theirs| {
            let lengths = theirs.values("content-length");
            let is_right = |length: &&str| {
                length.bytes().all(|byte| byte.is_ascii_digit()) && length.parse::<u64>().is_ok()
            };
            lengths.len() > 1 || !lengths.iter().all(is_right)
        },
    ),
    (
        &[Malformed::TransferEncoding, Malformed::UnknownCoding],
        "RFC 9112 6.1 and 6.3, rule 4: chunked is applied once and is final; a coding that is not understood SHOULD be refused with 501",
        |theirs| {
            let encodings = theirs.values("transfer-encoding");
            encodings.len() > 1
                || encodings
                    .iter()
                    .any(|encoding| !encoding.eq_ignore_ascii_case("chunked"))
        },
    ),
    (
        &[Malformed::LengthAndEncoding, Malformed::EncodingInHttp10],
        "RFC 9112 6.1: a message with both MAY be refused, and with Transfer-Encoding in HTTP/1.0 MUST be treated as faulty",
        |theirs| {
            !theirs.values("transfer-encoding").is_empty()
                && (theirs.version == Some(0) || !theirs.values("content-length").is_empty())
        },
    ),
    (
        &[Malformed::EncodingWithoutBody],
        "RFC 9112 6.1: a server MUST NOT send Transfer-Encoding with 1xx or 204",
        |theirs| {
            theirs
                .reply
                .is_some_and(|status| matches!(status, 100..200 | 204))
                && !theirs.values("transfer-encoding").is_empty()
        },
    ),
    (
        &[Malformed::ContentInConnect],
        "RFC 9110 9.3.6: a CONNECT has no content",
        |theirs| {
            let length = theirs.values("content-length").concat();
            theirs
                .request
                .is_some_and(|(method, _)| method == "CONNECT")
                && (!theirs.values("transfer-encoding").is_empty()
                    || length.bytes().any(|byte| byte != b'0'))
        },
    ),
];

impl<'b> Theirs<'b> {
    /// The values of a field.
    fn values(&self, name: &str) -> Vec<&'b str> {
        let of_name = self
            .fields
            .iter()
            .filter(|field| field.0.eq_ignore_ascii_case(name));
        of_name
            .map(|(_, value)| std::str::from_utf8(value).unwrap_or("\u{fffd}"))
            .collect()
    }
}

fn has_a_form(method: &str, target: &str) -> bool {
    if method == "CONNECT" {
        let port = target.rsplit_once(':').map(|(_, port)| port);
        return is_host(target) && !target.starts_with(':') && port.is_some_and(is_port);
    }
    if target.starts_with('/') || method == "OPTIONS" && target == "*" {
        return true;
    }
    let Some((scheme, rest)) = target.split_once("://") else {
        return false;
    };
    let authority = rest.split(['/', '?']).next().unwrap();
    ["http", "https"].contains(&scheme.to_ascii_lowercase().as_str())
        && !authority.is_empty()
        && !authority.starts_with(':')
        && is_host(authority)
}

fn is_port(port: &str) -> bool {
    !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// RFC 3986 3.2.2, without user information.
fn is_host(value: &str) -> bool {
    let others = |extra: &'static str| {
        move |c: char| {
            c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=".contains(c) || extra.contains(c)
        }
    };
    let (host_is_right, port) = match value.strip_prefix('[') {
        Some(literal) => match literal.split_once(']') {
            Some((address, port)) => (address.chars().all(others(":")), port),
            None => return false,
        },
        None => {
            let end = value.find(':').unwrap_or(value.len());
            (value[..end].chars().all(others("%")), &value[end..])
        }
    };
    host_is_right
        && port
            .strip_prefix(':')
            .map_or(port.is_empty(), |port| port.is_empty() || is_port(port))
}

/// What we read of a head.
#[derive(Debug)]
enum Ours {
    Cut,
    Refused(Malformed),
    Read {
        length: usize,
        version: Version,
        fields: Vec<(Vec<u8>, Vec<u8>)>,
        start: Vec<Vec<u8>>,
    },
}

fn our_request(bytes: &[u8]) -> Ours {
    let mut headers = Headers::new();
    match HeadParser::new().request(bytes, &mut headers) {
        HeadStep::NeedMore => Ours::Cut,
        HeadStep::Malformed(reason) => Ours::Refused(reason),
        HeadStep::Head(head) => Ours::Read {
            length: head.length as usize,
            version: head.version,
            fields: owned(bytes, &headers),
            start: vec![
                head.method.of(bytes).to_vec(),
                head.target.of(bytes).to_vec(),
            ],
        },
    }
}

fn our_reply(bytes: &[u8]) -> Ours {
    let mut headers = Headers::new();
    match HeadParser::new().response(bytes, &mut headers, RequestKind::Other) {
        HeadStep::NeedMore => Ours::Cut,
        HeadStep::Malformed(reason) => Ours::Refused(reason),
        HeadStep::Head(head) => Ours::Read {
            length: head.length as usize,
            version: head.version,
            fields: owned(bytes, &headers),
            start: vec![head.status.to_string().into_bytes()],
        },
    }
}

fn owned(bytes: &[u8], headers: &Headers) -> Vec<(Vec<u8>, Vec<u8>)> {
    let field = |field: &narrows_parsers::http1::HeaderField| {
        (
            field.name.of(bytes).to_vec(),
            field.value.of(bytes).to_vec(),
        )
    };
    headers.iter().map(field).collect()
}

/// How often each way of agreeing or of differing came up.
type Tally = BTreeMap<String, usize>;

type TheirStep<'b> = Result<Option<Theirs<'b>>, httparse::Error>;

/// What both make of the same bytes has to fit; how it does.
fn compare(bytes: &[u8], ours: fn(&[u8]) -> Ours, theirs: fn(&[u8]) -> TheirStep<'_>) -> String {
    match (ours(bytes), theirs(bytes)) {
        (
            Ours::Read {
                length,
                version,
                start,
                fields,
            },
            Ok(Some(seen)),
        ) => {
            assert_eq!(length, seen.bytes.len());
            assert_eq!(version == Version::Http11, seen.version == Some(1));
            let their_start = match seen.request {
                Some((method, target)) => vec![method.into(), target.into()],
                None => vec![seen.reply.unwrap().to_string().into_bytes()],
            };
            assert_eq!(start, their_start);
            assert_eq!(fields.len(), seen.fields.len());
            for (ours, theirs) in fields.iter().zip(&seen.fields) {
                assert_eq!(
                    (ours.0.as_slice(), ours.1.as_slice()),
                    (theirs.0.as_bytes(), theirs.1)
                );
            }
            let listed = DIFFERENCES.iter().find(|difference| difference.2(&seen));
            assert!(
                listed.is_none(),
                "we should have refused it: {}",
                listed.unwrap().1
            );
            "both read it".into()
        }
        (Ours::Refused(reason), Ok(Some(seen))) => {
            let why = DIFFERENCES
                .iter()
                .filter(|(_, _, applies)| applies(&seen))
                .find(|(reasons, _, _)| reasons.contains(&reason));
            let (_, line, _) = why.unwrap_or_else(|| panic!("we refused it: {reason}"));
            format!("only we refuse it: {line}")
        }
        (Ours::Refused(_), Err(_)) => "both refuse it".into(),
        (Ours::Cut, Ok(None)) => "both want more".into(),
        // They look at what there is of a line, we at lines that are whole.
        (Ours::Cut, Err(_)) => {
            let line = [bytes, b"\r\n\r\n"].concat();
            assert!(matches!(ours(&line), Ours::Refused(_)));
            "they refuse it sooner".into()
        }
        // A whole line is wrong for us only: so will be the head.
        (Ours::Refused(_), Ok(None)) => {
            let head = [bytes, b"\r\n\r\n"].concat();
            let only_empty_lines = bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
            match theirs(&head) {
                Ok(None) => assert!(only_empty_lines),
                Ok(Some(seen)) => assert!(DIFFERENCES.iter().any(|difference| difference.2(&seen))),
                Err(_) => {}
            }
            "we refuse it sooner".into()
        }
        (ours, theirs) => panic!("{ours:?}, they: {:?}", theirs.map(|seen| seen.is_some())),
    }
}

fn their_request(bytes: &[u8]) -> TheirStep<'_> {
    let mut fields = [httparse::EMPTY_HEADER; 100];
    let mut request = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(length) = request.parse(bytes)? else {
        return Ok(None);
    };
    Ok(Some(Theirs {
        bytes: &bytes[..length],
        version: request.version,
        request: Some((request.method.unwrap(), request.path.unwrap())),
        reply: None,
        fields: request
            .headers
            .iter()
            .map(|field| (field.name, field.value))
            .collect(),
    }))
}

fn their_reply(bytes: &[u8]) -> TheirStep<'_> {
    let mut fields = [httparse::EMPTY_HEADER; 100];
    let mut reply = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = reply.parse(bytes)? else {
        return Ok(None);
    };
    Ok(Some(Theirs {
        bytes: &bytes[..length],
        version: reply.version,
        request: None,
        reply: reply.code,
        fields: reply
            .headers
            .iter()
            .map(|field| (field.name, field.value))
            .collect(),
    }))
}

/// Tries many mutations; so many differences of the list have to come up.
fn run(
    samples: &[Vec<u8>],
    ours: fn(&[u8]) -> Ours,
    theirs: fn(&[u8]) -> TheirStep<'_>,
    differences: usize,
) {
    let mut random = Random::new(20_261_124);
    let mut tally = Tally::new();
    let cases = cases();
    for sample in samples {
        assert_eq!(
            compare(sample, ours, theirs),
            "both read it",
            "{}",
            sample.escape_ascii()
        );
    }
    for case in 0..cases {
        let bytes = mutated(samples, &mut random);
        let compared = std::panic::catch_unwind(|| compare(&bytes, ours, theirs));
        let way = compared.unwrap_or_else(|_| panic!("case {case}: {}", bytes.escape_ascii()));
        *tally.entry(way).or_default() += 1;
    }
    #[expect(
        clippy::print_stdout,
        reason = "the list of differences is what --nocapture is for"
    )]
    for (way, count) in &tally {
        println!("{count:8} {way}");
    }
    let only_ours = tally.keys().filter(|way| way.starts_with("only we"));
    assert!(only_ours.count() >= differences);
    for way in ["both read it", "both refuse it", "both want more"] {
        assert!(tally[way] > cases / 50, "{way}: {}", tally[way]);
    }
}

#[test]
fn mutated_requests() {
    run(&samples::requests(), our_request, their_request, 10);
}

#[test]
fn mutated_replies() {
    run(&samples::replies(), our_reply, their_reply, 7);
}
