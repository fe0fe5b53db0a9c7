//! Lists of fields beyond the examples of the RFC.

use crate::build::*;
use narrows_parsers::http2::hpack::{Decoder, Known};
use narrows_parsers::http2::{FrameDecoder, Malformed, Settings};
use narrows_parsers::replay::http2::{Fields, frames, list};

fn decode(encoded: &[u8]) -> Fields {
    list(&mut Decoder::new(), encoded, &[])
}

fn refused(encoded: &[u8]) -> Option<Malformed> {
    decode(encoded).list.err()
}

fn pair(name: &str, value: &str) -> (Vec<u8>, Vec<u8>) {
    (name.into(), value.into())
}

#[test]
fn every_way_to_write_a_field() {
    for indexing in [Indexing::With, Indexing::Without, Indexing::Never] {
        for name in [plain(b"accept"), huffman(b"accept")] {
            for value in [plain(b"*/*"), huffman(b"*/*")] {
                let whole = literal(indexing, Ok(&name), &value);
                assert_eq!(decode(&whole).fields, [pair("accept", "*/*")]);
                let by_index = literal(indexing, Err(19), &value);
                assert_eq!(decode(&by_index).fields, [pair("accept", "*/*")]);
            }
        }
    }
    assert_eq!(
        decode(&literal(Indexing::With, Ok(&plain(b"")), &plain(b""))).fields,
        [pair("", "")]
    );
}

#[test]
fn names_keep_their_meaning_in_the_table() {
    let mut known = Vec::new();
    let mut decoder = Decoder::new();
    let encoded = [
        field("grpc-status", "0"),
        indexed(62),
        literal(Indexing::With, Err(62), &plain(b"1")),
        indexed(8),
        field("x", "y"),
    ];
    decoder
        .advance(&encoded.concat(), &mut |field| known.push(field.known))
        .unwrap();
    assert_eq!(
        known,
        [
            Known::GrpcStatus,
            Known::GrpcStatus,
            Known::GrpcStatus,
            Known::Status,
            Known::Other
        ]
    );
}

/// What the static table says of a name is what the name says by itself.
#[test]
fn the_static_table_knows_its_names() {
    let mut decoder = Decoder::new();
    let encoded: Vec<u8> = (1..=61).flat_map(indexed).collect();
    let mut fields = 0;
    decoder
        .advance(&encoded, &mut |field| {
            fields += 1;
            assert_eq!(
                field.known,
                Known::of(field.name),
                "{}",
                field.name.escape_ascii()
            );
        })
        .unwrap();
    assert_eq!(fields, 61);
}

#[test]
fn indexes_that_no_table_has() {
    assert_eq!(refused(&[0x80]), Some(Malformed::HpackIndex));
    assert_eq!(refused(&indexed(62)), Some(Malformed::HpackIndex));
    assert_eq!(
        refused(&[field("a", "b"), indexed(63)].concat()),
        Some(Malformed::HpackIndex)
    );
    assert_eq!(
        refused(&indexed(usize::pow(2, 28))),
        Some(Malformed::HpackIndex)
    );
    for indexing in [Indexing::With, Indexing::Without, Indexing::Never] {
        assert_eq!(
            refused(&literal(indexing, Err(62), &plain(b"v"))),
            Some(Malformed::HpackIndex)
        );
    }
}

#[test]
fn integers_that_are_too_long() {
    for first in [0xff, 0x7f, 0x3f, 0x1f, 0x0f] {
        let endless = [&[first][..], &[0x80; 4], &[0]].concat();
        assert_eq!(
            refused(&endless),
            Some(Malformed::HpackInteger),
            "{first:x}"
        );
    }
    // Five bytes are allowed, with zeros that mean nothing too.
    let padded = [0xff, 0x80, 0x80, 0x80, 0x00];
    assert_eq!(refused(&padded), Some(Malformed::HpackIndex));
    let long_but_small = [0x0f, 0x84, 0x80, 0x00, 1, b'v'];
    assert_eq!(decode(&long_but_small).fields, [pair("accept", "v")]);
}

#[test]
fn a_name_in_the_table_outlives_its_eviction() {
    let mut decoder = Decoder::new();
    let long = "n".repeat(60);
    let encoded = [
        table_size(100),
        field(&long, "first"),
        literal(Indexing::With, Err(62), &huffman(b"other")),
    ]
    .concat();
    assert_eq!(
        list(&mut decoder, &encoded, &[]).fields,
        [pair(&long, "first"), pair(&long, "other")]
    );
    assert_eq!(probe(&mut decoder), [pair(&long, "other")]);
}

#[test]
fn a_field_that_is_greater_than_the_table_empties_it() {
    let mut decoder = Decoder::new();
    let large = "v".repeat(4096);
    let encoded = [field("a", "b"), field("large", &large)].concat();
    assert_eq!(
        list(&mut decoder, &encoded, &[]).fields,
        [pair("a", "b"), pair("large", &large)]
    );
    assert_eq!(probe(&mut decoder), []);
    let fits = "v".repeat(4096 - 32 - 5);
    list(&mut decoder, &field("large", &fits), &[])
        .list
        .unwrap();
    assert_eq!(probe(&mut decoder), [pair("large", &fits)]);
}

#[test]
fn many_entries_come_and_go() {
    let mut decoder = Decoder::new();
    for round in 0..2000_usize {
        let value = "v".repeat(round * 7 % 300);
        let encoded = [field(&format!("name-{round}"), &value), indexed(62)].concat();
        let decoded = list(&mut decoder, &encoded, &[]);
        assert_eq!(decoded.fields[0], pair(&format!("name-{round}"), &value));
        assert_eq!(decoded.fields[0], decoded.fields[1]);
        let mut size = 0;
        for (age, (name, value)) in probe(&mut decoder).into_iter().enumerate() {
            assert_eq!(name, format!("name-{}", round - age).into_bytes());
            assert_eq!(value.len(), (round - age) * 7 % 300);
            size += name.len() + value.len() + 32;
        }
        assert!(size <= 4096);
        assert!(
            decoder.retained_bytes() <= 32 * 1024,
            "{}",
            decoder.retained_bytes()
        );
    }
}

#[test]
fn a_size_of_the_table_comes_first() {
    assert_eq!(refused(&[table_size(0), indexed(2)].concat()), None);
    assert_eq!(
        refused(&[table_size(0), table_size(4096), indexed(2)].concat()),
        None
    );
    assert_eq!(
        refused(&[indexed(2), table_size(0)].concat()),
        Some(Malformed::HpackTableSize)
    );
    assert_eq!(
        refused(&[field("a", "b"), table_size(0)].concat()),
        Some(Malformed::HpackTableSize)
    );
    assert_eq!(refused(&table_size(4097)), Some(Malformed::HpackTableSize));
}

#[test]
fn a_size_of_the_table_is_no_more_than_announced() {
    let with = |announced: &[u32], sent: &[Vec<u8>]| {
        let mut decoder = FrameDecoder::client();
        for size in announced {
            decoder.announced(&Settings {
                header_table_size: Some(*size),
                ..Settings::default()
            });
        }
        frames(decoder, &hello(sent), &[]).malformed
    };
    let resize =
        |stream, size| headers(stream, END_STREAM, &[table_size(size), indexed(2)].concat());
    assert_eq!(with(&[8192], &[resize(1, 8192)]), None);
    assert_eq!(
        with(&[8192], &[resize(1, 8193)]),
        Some(Malformed::HpackTableSize)
    );
    // Once it has been acknowledged, a smaller size holds.
    assert_eq!(with(&[100], &[resize(1, 4096)]), None);
    assert_eq!(
        with(&[100], &[settings_ack(), resize(1, 101)]),
        Some(Malformed::HpackTableSize)
    );
    assert_eq!(with(&[100], &[settings_ack(), resize(1, 100)]), None);
    // Whatever is announced, no table becomes larger than 64 KiB.
    assert_eq!(with(&[u32::MAX], &[resize(1, 65_536)]), None);
    assert_eq!(
        with(&[u32::MAX], &[resize(1, 65_537)]),
        Some(Malformed::HpackTableSize)
    );
}

#[test]
fn text_that_is_no_huffman_code() {
    let value = |coded: &[u8]| {
        let mut text = integer(coded.len(), 7);
        text[0] |= 0x80;
        literal(Indexing::Without, Err(19), &[&text, coded].concat())
    };
    assert_eq!(decode(&value(&[0b0001_1111])).fields, [pair("accept", "a")]);
    // Padding of zeros, of a whole byte and more, and the end of a string in it.
    for bad in [
        &[0b0001_1000][..],
        &[0b0001_1110],
        &[0xff],
        &[0b0001_1111, 0xff],
        &[0xff, 0xff, 0xff, 0xff],
        &[0x3f, 0xff, 0xff, 0xff, 0xff],
    ] {
        assert_eq!(
            refused(&value(bad)),
            Some(Malformed::HpackHuffman),
            "{bad:x?}"
        );
    }
}

#[test]
fn every_symbol_in_huffman_code() {
    let every: Vec<u8> = (0..=255).collect();
    let encoded = literal(Indexing::Without, Err(19), &huffman(&every));
    assert_eq!(decode(&encoded).fields[0].1, every);
    for byte in every {
        for count in 1..9 {
            let text = vec![byte; count];
            let encoded = literal(Indexing::With, Ok(&huffman(&text)), &huffman(&text));
            assert_eq!(decode(&encoded).fields, [(text.clone(), text)]);
        }
    }
}

#[test]
fn a_list_that_ends_in_the_middle_of_a_field() {
    let whole = [
        indexed(2),
        field("name", "value"),
        literal(Indexing::Never, Ok(&huffman(b"other")), &huffman(b"one")),
    ]
    .concat();
    let ends = [1, 1 + field("name", "value").len()];
    for at in 1..whole.len() {
        let expected = (!ends.contains(&at)).then_some(Malformed::HpackTruncated);
        assert_eq!(refused(&whole[..at]), expected, "{at}");
        let stream = hello(&[headers(1, 0, &whole[..at])]);
        assert_eq!(
            frames(FrameDecoder::client(), &stream, &[]).malformed,
            expected,
            "{at}"
        );
    }
}
