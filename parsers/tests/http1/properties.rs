//! What holds for any heads and bodies.

use crate::mutate::{Random, mutated};
use crate::read::{body, request};
use crate::samples;
use narrows_parsers::http1::{Framing, Known};
use narrows_parsers::replay::http1 as replay;
use proptest::prelude::*;

fn token() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,40}"
}

/// No blanks around it.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let inner = proptest::collection::vec(
        prop_oneof![8 => 0x21..=0x7e_u8, 2 => Just(b' '), 1 => Just(b'\t'), 1 => 0x80..=0xff_u8],
        0..90,
    );
    inner.prop_map(|bytes| bytes.trim_ascii().to_vec())
}

fn blanks() -> impl Strategy<Value = String> {
    "[ \t]{0,3}"
}

/// What a fuzz target does.
type Check = fn(&[u8]) -> Result<(), String>;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever is written into fields is read from them.
    #[test]
    fn fields_are_read_as_written(fields in proptest::collection::vec((token(), blanks(), value(), blanks()), 0..40)) {
        let mut bytes = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
        let fields: Vec<_> = fields.into_iter().filter(|field| Known::of(field.0.as_bytes()) == Known::Other).collect();
        for (name, before, value, behind) in &fields {
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(b':');
            bytes.extend_from_slice(before.as_bytes());
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(behind.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\nmore");
        let (head, headers) = request(&bytes).unwrap();
        prop_assert_eq!(head.length as usize, bytes.len() - 4);
        prop_assert_eq!(headers.len(), fields.len() + 1);
        for (read, (name, _, value, _)) in headers.iter().skip(1).zip(&fields) {
            prop_assert_eq!(read.name.of(&bytes), name.as_bytes());
            prop_assert_eq!(read.value.of(&bytes), value.as_slice());
            prop_assert_eq!(read.underscore, name.contains('_'));
            prop_assert!(read.line.of(&bytes).ends_with(b"\r\n"));
        }
        // The lines of the fields, in their order, are all that stands between the first line and the empty one.
        let lines: Vec<u8> = headers.iter().flat_map(|field| field.line.of(&bytes)).copied().collect();
        prop_assert_eq!(&lines, &bytes[16..bytes.len() - 6]);
    }

    /// Content that is written in chunks is read from them, and what is passed on has no extensions.
    #[test]
    fn chunks_are_read_as_written(
        chunks in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 1..300), "(;[a-z]{1,5}(=[a-z0-9]{1,5})?){0,2}", 0..3_usize), 0..20),
        sizes in proptest::collection::vec(1..200_usize, 1..5),
    ) {
        let mut bytes = Vec::new();
        let mut plain = Vec::new();
        let mut content = Vec::new();
        for (data, extension, zeros) in &chunks {
            let size = format!("{}{:x}", "0".repeat(*zeros), data.len());
            bytes.extend_from_slice(format!("{size}{extension}\r\n").as_bytes());
            plain.extend_from_slice(format!("{size}\r\n").as_bytes());
            for stream in [&mut bytes, &mut plain] {
                stream.extend_from_slice(data);
                stream.extend_from_slice(b"\r\n");
            }
            content.extend_from_slice(data);
        }
        for stream in [&mut bytes, &mut plain] {
            stream.extend_from_slice(b"0\r\n\r\n");
        }
        let read = body(Framing::Chunked, &bytes, &sizes);
        prop_assert_eq!(read.end, Some(Ok(())));
        prop_assert_eq!(&read.content, &content);
        prop_assert_eq!(&read.forwarded, &plain);
        prop_assert_eq!(read.length, bytes.len());
    }

    /// What the fuzz targets check, for streams that are nearly right.
    #[test]
    fn streams_that_are_nearly_right(seed in any::<u64>(), sizes in proptest::collection::vec(any::<u8>(), 0..7)) {
        let mut random = Random::new(seed);
        let pieces = [&[sizes.len() as u8], sizes.as_slice()].concat();
        let chunked: Vec<Vec<u8>> = samples::CHUNKED.map(|body| body.as_bytes().to_vec()).to_vec();
        let cases: [(Vec<Vec<u8>>, Check); 3] = [
            (samples::request_streams(), replay::check_requests),
            (samples::reply_streams(), replay::check_replies),
            (chunked, replay::check_body),
        ];
        for (samples, check) in cases {
            let data = [pieces.as_slice(), &mutated(&samples, &mut random)].concat();
            prop_assert_eq!(check(&data), Ok(()), "{}", data.escape_ascii());
        }
    }
}
