//! Bytes that somebody made up. None of them may do more than end the decoding.

use crate::build::*;
use crate::samples;
use bson::doc;
use narrows_parsers::mongo::{Malformed, ReplyDecoder, RequestDecoder, Step};
use narrows_parsers::replay::{self, MOST_RETAINED_BYTES};

fn malformed(message: &[u8]) -> Malformed {
    let whole = replay::requests(message, &[]);
    let drip = replay::requests(message, &[1]);
    assert_eq!(
        (whole.messages.len(), whole.malformed),
        (drip.messages.len(), drip.malformed)
    );
    whole.malformed.unwrap_or_else(|| panic!("{whole:?}"))
}

fn with_int(mut message: Vec<u8>, at: usize, value: i32) -> Vec<u8> {
    message[at..at + 4].copy_from_slice(&value.to_le_bytes());
    message
}

/// The `n` bytes at the start of an `OP_MSG` body document begin here.
const DOCUMENT: usize = 21;

#[test]
fn message_lengths() {
    let find = command(&samples::find());
    for length in [-1, i32::MIN, 0, 1, 15, 48_100_000, i32::MAX] {
        let bad = with_int(find.clone(), 0, length);
        assert_eq!(malformed(&bad), Malformed::MessageLength);
        assert_eq!(
            ReplyDecoder::new().advance(&bad),
            Step::Malformed(Malformed::MessageLength)
        );
    }
    assert_eq!(
        malformed(&with_int(find.clone(), 0, 16)),
        Malformed::Truncated
    );
    assert_eq!(malformed(&with_int(find, 0, 20)), Malformed::NoBody);
}

#[test]
fn a_reason_is_final() {
    let mut decoder = RequestDecoder::new();
    assert_eq!(
        decoder.advance(&[0; 16]),
        Step::Malformed(Malformed::MessageLength)
    );
    assert_eq!(
        decoder.advance(&command(&samples::find())),
        Step::Malformed(Malformed::MessageLength)
    );
    assert_eq!(
        (decoder.retained_bytes(), decoder.is_between_messages()),
        (0, false)
    );
}

#[test]
fn document_lengths() {
    let find = command(&samples::find());
    let length = i32::from_le_bytes(find[DOCUMENT..DOCUMENT + 4].try_into().unwrap());
    for bad in [
        -1,
        i32::MIN,
        0,
        4,
        length - 1,
        length + 1,
        48_000_000,
        i32::MAX,
    ] {
        let reason = malformed(&with_int(find.clone(), DOCUMENT, bad));
        assert!(
            matches!(reason, Malformed::DocumentLength | Malformed::ValueLength),
            "{bad} {reason}"
        );
    }
    // The end byte comes too early, and is something else.
    assert_eq!(
        malformed(&op_msg(0, &[vec![0, 6, 0, 0, 0, 0, 0]])),
        Malformed::DocumentLength
    );
    assert_eq!(
        malformed(&op_msg(0, &[vec![0, 5, 0, 0, 0, 1]])),
        Malformed::DocumentLength
    );
    assert_eq!(
        malformed(&op_msg(0, &[vec![0, 6, 0, 0, 0, 10, 0]])),
        Malformed::UnterminatedName
    );
    assert_eq!(
        malformed(&op_msg(0, &[vec![0, 7, 0, 0, 0, 10, b'a', b'b']])),
        Malformed::UnterminatedName
    );
}

/// An element of a type and with a value, alone in the body.
fn element(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = 4 + 1 + 2 + value.len() as i32 + 1;
    op_msg(
        0,
        &[[
            &[0],
            int32(length).as_slice(),
            &[kind, b'a', 0],
            value,
            &[0],
        ]
        .concat()],
    )
}

#[test]
fn values_that_do_not_fit() {
    for (kind, size) in [
        (0x01, 8),
        (0x07, 12),
        (0x08, 1),
        (0x09, 8),
        (0x10, 4),
        (0x11, 8),
        (0x12, 8),
        (0x13, 16),
    ] {
        request(&element(kind, &vec![1; size]), |request| {
            assert_eq!(request.command, b"a")
        });
        assert_eq!(
            malformed(&element(kind, &vec![1; size - 1])),
            Malformed::ValueLength,
            "{kind}"
        );
    }
    for kind in [0x02, 0x05, 0x0C, 0x0D, 0x0E, 0x0F] {
        for length in [-1, i32::MIN, 1000, i32::MAX] {
            assert_eq!(
                malformed(&element(kind, &[int32(length), vec![0; 20]].concat())),
                Malformed::ValueLength
            );
        }
    }
    for (kind, length) in [(0x02, 0), (0x0C, 0), (0x0D, 0), (0x0E, 0), (0x0F, 13)] {
        let value = [int32(length), vec![0; 20]].concat();
        assert_eq!(
            malformed(&element(kind, &value)),
            Malformed::ValueLength,
            "{kind}"
        );
    }
    for kind in [0x03, 0x04] {
        for length in [-1, 0, 4, 1000, i32::MAX] {
            assert_eq!(
                malformed(&element(kind, &[int32(length), vec![0; 20]].concat())),
                Malformed::DocumentLength
            );
        }
    }
    assert_eq!(
        malformed(&element(0x0B, b"no end")),
        Malformed::UnterminatedName
    );
    assert_eq!(
        malformed(&element(0x0B, b"one end\0")),
        Malformed::UnterminatedName
    );
    for kind in [0x14, 0x20, 0x7E, 0x80, 0xFE] {
        assert_eq!(malformed(&element(kind, &[0; 8])), Malformed::UnknownType);
    }
}

#[test]
fn a_value_that_is_read_does_not_reach_past_its_document() {
    for (kind, value) in [
        (0x12, vec![1; 4]),
        (0x08, vec![]),
        (0x02, int32(30)),
        (0x03, int32(30)),
    ] {
        let inside = [
            &[0x10],
            cstring("getMore").as_slice(),
            &int32(1),
            &[kind],
            &cstring("batchSize"),
            &value,
        ]
        .concat();
        let length = 4 + inside.len() as i32 + 1;
        let section = [&[0], int32(length).as_slice(), &inside, &[0]].concat();
        malformed(&op_msg(
            0,
            &[section, trace(&doc! { "padding": "padding" })],
        ));
    }
}

#[test]
fn flags_and_sections() {
    let find = body(&samples::find());
    for bit in 2..16 {
        assert_eq!(
            malformed(&op_msg(1 << bit, std::slice::from_ref(&find))),
            Malformed::UnknownFlag
        );
    }
    assert_eq!(
        malformed(&op_msg(0, &[find.clone(), find.clone()])),
        Malformed::TwoBodies
    );
    assert_eq!(
        malformed(&op_msg(0, &[sequence("documents", &[])])),
        Malformed::NoBody
    );
    for kind in [4, 5, 127, 255] {
        assert_eq!(
            malformed(&op_msg(0, &[find.clone(), vec![kind, 5, 0, 0, 0, 0]])),
            Malformed::UnknownSection
        );
    }
    // The checksum takes the place of the body's end.
    let cut = message(OP_MSG, &[int32(1), find.clone()].concat());
    assert_eq!(malformed(&cut), Malformed::DocumentLength);
    assert_eq!(
        malformed(&message(OP_MSG, &[int32(1), vec![0; 3]].concat())),
        Malformed::Truncated
    );
    assert_eq!(
        malformed(&op_msg(0, &[vec![2, b'x', b'y'], vec![]])),
        Malformed::UnterminatedName
    );
    // Only requests carry a trace context.
    let traced = op_msg(0, &[trace(&doc! {})]);
    assert_eq!(
        ReplyDecoder::new().advance(&traced),
        Step::Malformed(Malformed::UnknownSection)
    );
}

#[test]
fn document_sequences() {
    let batch = sequence("documents", &[doc! { "a": 1 }]);
    let find = body(&samples::find());
    for (length, reason) in [
        (-1, Malformed::SectionLength),
        (0, Malformed::SectionLength),
        (4, Malformed::SectionLength),
        (100_000, Malformed::SectionLength),
        (i32::MAX, Malformed::SectionLength),
        (5, Malformed::UnterminatedName),
        (14, Malformed::UnknownSection),
        (batch.len() as i32 - 2, Malformed::DocumentLength),
        (batch.len() as i32, Malformed::DocumentLength),
    ] {
        let section = with_int(batch.clone(), 1, length);
        assert_eq!(
            malformed(&op_msg(0, &[section, find.clone()])),
            reason,
            "{length}"
        );
    }
    for length in [-1, 0, 4, 13, i32::MAX] {
        let section = with_int(batch.clone(), 15, length);
        assert_eq!(
            malformed(&op_msg(0, &[section, find.clone()])),
            Malformed::DocumentLength,
            "{length}"
        );
    }
}

/// `{a: {a: {a: …}}}`
fn nested(depth: usize) -> Vec<u8> {
    let mut document = Vec::with_capacity(8 * depth + 5);
    for level in 0..depth {
        document.extend_from_slice(&int32(8 * (depth - level) as i32 + 5));
        document.extend_from_slice(&[3, b'a', 0]);
    }
    document.extend_from_slice(&[5, 0, 0, 0, 0]);
    document.resize(document.len() + depth, 0);
    document
}

#[test]
fn nesting_of_any_depth() {
    let filter = nested(100_000);
    let field =
        |kind: u8, name: &str, value: &[u8]| [&[kind], cstring(name).as_slice(), value].concat();
    for name in ["filter", "comment", "lsid", "$readPreference", "other"] {
        let command = field(2, "find", &[int32(2), b"c\0".to_vec()].concat());
        let fields = [command, field(3, name, &filter)].concat();
        let document = [int32(fields.len() as i32 + 5), fields, vec![0]].concat();
        let message = op_msg(0, &[[vec![0], document].concat()]);
        request(&message, |request| assert_eq!(request.collection, b"c"));
        assert!(replay::requests(&message, &[1]).most_retained < 1024);
    }
}

#[test]
fn truncation_at_every_byte_with_the_length_to_match() {
    for sample in samples::requests() {
        for end in 16..sample.len() {
            let cut = with_int(sample[..end].to_vec(), 0, end as i32);
            let whole = replay::requests(&cut, &[]);
            let drip = replay::requests(&cut, &[1]);
            assert_eq!(
                (whole.messages, whole.malformed),
                (drip.messages, drip.malformed)
            );
        }
    }
    // The body of a find has no place where it could end early.
    let find = command(&samples::find());
    for end in 16..find.len() {
        malformed(&with_int(find[..end].to_vec(), 0, end as i32));
    }
}

#[test]
fn every_byte_of_every_sample_changed() {
    for (decode, samples) in [
        (
            replay::requests as fn(&[u8], &[usize]) -> _,
            samples::requests(),
        ),
        (replay::replies, samples::replies()),
    ] {
        for sample in samples {
            for at in 0..sample.len() {
                for change in [1, 0x80, 0xFF] {
                    let mut bad = sample.clone();
                    bad[at] ^= change;
                    let whole = decode(&bad, &[]);
                    let pieces = decode(&bad, &[3, 1, 50]);
                    assert_eq!(
                        (whole.messages, whole.malformed),
                        (pieces.messages, pieces.malformed)
                    );
                }
            }
        }
    }
}

#[test]
fn fields_without_end_hold_no_memory() {
    let many: Vec<bson::Bson> = (0..20_000)
        .map(|_| "TransientTransactionError".into())
        .collect();
    let labels = command(&doc! { "errorLabels": many, "ok": 0 });
    assert!(replay::replies(&labels, &[1]).most_retained < 1024);

    let mut repeated = bson::RawDocumentBuf::new();
    repeated.append(bson::cstr!("ping"), 1);
    for _ in 0..2000 {
        repeated.append(bson::cstr!("comment"), "x".repeat(500));
        repeated.append(bson::cstr!("$db"), "d".repeat(500));
    }
    let message = op_msg(0, &[[&[0], repeated.as_bytes()].concat()]);
    assert!(replay::requests(&message, &[7]).most_retained < MOST_RETAINED_BYTES / 8);

    let long_name = legacy(&"n".repeat(1_000_000));
    assert!(replay::requests(&long_name, &[7]).most_retained < 1024);
    let long_command = command(&doc! { "c".repeat(1_000_000): 1 });
    let outcome = replay::requests(&long_command, &[7]);
    assert_eq!(
        (outcome.messages.len(), outcome.most_retained < 1024),
        (1, true)
    );
}

fn legacy(namespace: &str) -> Vec<u8> {
    samples::legacy_query(namespace, 0, &doc! { "_id": 1 })
}
