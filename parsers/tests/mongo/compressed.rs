//! `OP_COMPRESSED`: what is inflated, under which budget, and what is refused.

use crate::build::*;
use crate::samples;
use bson::{Document, doc};
use narrows_parsers::mongo::{Compressor, Malformed, Opcode, ReplyDecoder, RequestDecoder, Step};
use narrows_parsers::replay::{self, MOST_RETAINED_BYTES};

const ALL: [(u8, Compressor, &str); 4] = [
    (NOOP, Compressor::Noop, "noop"),
    (SNAPPY, Compressor::Snappy, "snappy"),
    (ZLIB, Compressor::Zlib, "zlib"),
    (ZSTD, Compressor::Zstd, "zstd"),
];

/// Bytes that do not compress: a xorshift generator.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// An insert of documents with these payloads.
fn insert<'p>(payloads: impl IntoIterator<Item = &'p [u8]>) -> Vec<u8> {
    let documents: Vec<Document> = (0..)
        .zip(payloads)
        .map(|(id, bytes)| {
            let subtype = bson::spec::BinarySubtype::Generic;
            doc! { "_id": id, "x": bson::Binary { subtype, bytes: bytes.to_vec() } }
        })
        .collect();
    op_msg(
        0,
        &[
            body(&doc! { "insert": "items", "$db": "orders" }),
            sequence("documents", &documents),
        ],
    )
}

/// Compresses well: 3 MB, more than is inflated.
fn dense() -> Vec<u8> {
    insert([[7; 100_000].as_slice(); 30])
}

/// Does not compress: 300 KB, more than is collected.
fn sparse() -> Vec<u8> {
    insert(noise(300_000).chunks(10_000))
}

fn malformed(message: &[u8]) -> Malformed {
    match RequestDecoder::new().advance(message) {
        Step::Malformed(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_of_each_compressor() {
    let plain = command(&samples::find());
    for (number, compressor, label) in ALL {
        let packed = compressed(number, &plain);
        request(&packed, |request| {
            assert_eq!(
                (request.header.opcode, request.opcode),
                (Opcode::Compressed, Opcode::Msg)
            );
            let compression = request.compression.unwrap();
            assert_eq!(
                (compression.compressor, compressor.label()),
                (compressor, label)
            );
            assert_eq!(compression.claimed as usize, plain.len() - 16);
            assert_eq!(compression.compressed as usize, packed.len() - 25);
            assert_eq!(
                (request.command, request.collection),
                (b"find".as_slice(), b"carts".as_slice())
            );
            assert_eq!(request.call_site, Some(b"checkout.load_cart".as_slice()));
            assert!(!request.incomplete);
        });
    }
}

#[test]
fn a_reply_of_each_compressor_up_to_the_budget() {
    // 900 KB of documents, which stay below the budget of 1 MiB and compress to less than 64 KiB.
    let batch: Vec<Document> = (0..9)
        .map(|id| doc! { "_id": id, "text": "ab".repeat(50_000) })
        .collect();
    let plain =
        command(&doc! { "cursor": { "firstBatch": batch, "id": 3i64, "ns": "a.b" }, "ok": 1 });
    for (number, ..) in ALL {
        reply(&compressed(number, &plain), |reply| {
            assert_eq!(
                (reply.ok, reply.documents, reply.incomplete),
                (Some(true), Some(9), false)
            );
        });
    }
}

#[test]
fn beyond_the_budget_the_start_is_reported() {
    for plain in [dense(), sparse()] {
        for (number, ..) in &ALL[1..] {
            request(&compressed(*number, &plain), |request| {
                assert!(request.incomplete);
                assert_eq!(
                    (request.command, request.collection),
                    (b"insert".as_slice(), b"items".as_slice())
                );
                assert!(
                    (1..30).contains(&request.documents),
                    "{}",
                    request.documents
                );
            });
        }
        request(&compressed(NOOP, &plain), |request| {
            assert_eq!((request.documents, request.incomplete), (30, false))
        });
    }
}

#[test]
fn long_messages_in_pieces() {
    for plain in [dense(), sparse(), insert(noise(3000).chunks(1000))] {
        for (number, ..) in ALL {
            let stream = [compressed(number, &plain), command(&samples::find())].concat();
            let whole = replay::requests(&stream, &[]);
            assert_eq!((whole.messages.len(), whole.malformed), (2, None));
            for size in [1, 1000, 65_536, 100_000] {
                let pieces = replay::requests(&stream, &[size]);
                assert_eq!(pieces.messages, whole.messages);
                assert!(
                    pieces.most_retained <= MOST_RETAINED_BYTES,
                    "{}",
                    pieces.most_retained
                );
            }
        }
    }
}

#[test]
fn what_was_collected_is_given_back() {
    let packed = compressed(ZLIB, &sparse());
    let mut decoder = RequestDecoder::new();
    assert_eq!(decoder.advance(&packed[..60_000]), Step::NeedMore);
    assert!(decoder.retained_bytes() >= 59_000);
    assert!(matches!(
        decoder.advance(&packed[60_000..]),
        Step::Message { .. }
    ));
    assert_eq!(decoder.advance(&[]), Step::NeedMore);
    assert!(
        decoder.retained_bytes() <= 512,
        "{}",
        decoder.retained_bytes()
    );
}

#[test]
fn a_size_that_is_a_lie() {
    let plain = command(&samples::find());
    let (inside, true_size) = (&plain[16..], plain.len() as i32 - 16);
    for (number, ..) in ALL {
        let data = compress(number, inside);
        for claimed in [true_size - 1, true_size + 1, 0, 5, 1_000_000, 48_000_000] {
            let reason = malformed(&op_compressed(OP_MSG, claimed, number, &data));
            // A claim that cuts a document is seen there before the sizes are compared.
            let expected = [
                Malformed::SizeMismatch,
                Malformed::DocumentLength,
                Malformed::Truncated,
                Malformed::UnterminatedName,
            ];
            assert!(expected.contains(&reason), "{number} {claimed} {reason}");
        }
        for claimed in [-1, i32::MIN, i32::MAX, 48_100_000] {
            assert_eq!(
                malformed(&op_compressed(OP_MSG, claimed, number, &data)),
                Malformed::ClaimedSize
            );
        }
    }
}

#[test]
fn heads_that_are_refused() {
    let plain = command(&samples::find());
    let nested = message(OP_COMPRESSED, &plain[16..]);
    for (number, ..) in ALL {
        assert_eq!(
            malformed(&compressed(number, &nested)),
            Malformed::NestedCompression
        );
    }
    for number in [4, 5, 255] {
        assert_eq!(
            malformed(&op_compressed(OP_MSG, 10, number, &[0; 10])),
            Malformed::UnknownCompressor
        );
    }
    for length in 0..9 {
        assert_eq!(
            malformed(&message(OP_COMPRESSED, &vec![0; length])),
            Malformed::Truncated
        );
    }
}

#[test]
fn corrupt_data_is_refused() {
    let plain = command(&samples::find());
    let claimed = plain.len() as i32 - 16;
    for (number, ..) in &ALL[1..] {
        let data = compress(*number, &plain[16..]);
        for end in 0..data.len() {
            let reason = malformed(&op_compressed(OP_MSG, claimed, *number, &data[..end]));
            let expected = [Malformed::CorruptCompression, Malformed::SizeMismatch];
            assert!(expected.contains(&reason), "{number} {end} {reason}");
        }
        let garbage = malformed(&op_compressed(OP_MSG, claimed, *number, &[0xFF; 100]));
        assert!(matches!(
            garbage,
            Malformed::CorruptCompression | Malformed::SizeMismatch
        ));
    }
}

/// 48 MB of zeros in some 48 KB.
fn bomb(compressor: u8) -> Vec<u8> {
    let zeros = vec![0; 48_000_000 - 16];
    let data = compress(compressor, &zeros);
    assert!(data.len() < 64 * 1024, "{}", data.len());
    data
}

#[test]
fn bombs() {
    for number in [ZLIB, ZSTD] {
        let data = bomb(number);
        // Over a small claim: refused where the claim is passed. The zeros would be decoded first, so they are made to look like nothing.
        for claimed in [1000, 100_000] {
            let reason = malformed(&op_compressed(4711, claimed, number, &data));
            assert_eq!(reason, Malformed::SizeMismatch);
        }
        // With the true claim: inflated up to the budget.
        let whole = op_compressed(4711, 48_000_000 - 16, number, &data);
        request(&whole, |request| assert!(request.incomplete));
        let outcome = replay::requests(&whole, &[1500]);
        assert_eq!((outcome.messages.len(), outcome.malformed), (1, None));
        assert!(outcome.most_retained <= MOST_RETAINED_BYTES);
    }
}

/// A frame of RLE blocks of these sizes, with a header of our choice behind the magic.
fn zstd_frame(header: &[u8], sizes: &[u32]) -> Vec<u8> {
    let mut frame = [&0xFD2F_B528_u32.to_le_bytes(), header].concat();
    for (index, size) in sizes.iter().enumerate() {
        let head = size << 3 | 1 << 1 | u32::from(index + 1 == sizes.len());
        frame.extend_from_slice(&head.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

#[test]
fn zstd_frame_headers() {
    const BLOCK: u32 = 131_072;
    // The greatest window that can be written, 3.75 TB: no more is reserved than the budget needs.
    let windowed = zstd_frame(&[0x00, 0xFF], &[BLOCK, BLOCK]);
    request(&op_compressed(4711, 262_144, ZSTD, &windowed), |request| {
        assert!(!request.incomplete)
    });
    // Content sizes of 1, 2, 4 and 8 bytes, in a single segment; 256 is added to that of 2.
    for (header, size) in [
        (vec![0x20, 200], 200),
        (vec![0x60, 0xE8, 0x02], 1000),
        ([&[0xA0], BLOCK.to_le_bytes().as_slice()].concat(), BLOCK),
        (
            [&[0xE0], u64::from(BLOCK).to_le_bytes().as_slice()].concat(),
            BLOCK,
        ),
    ] {
        let frame = zstd_frame(&header, &[size]);
        request(&op_compressed(4711, size as i32, ZSTD, &frame), |request| {
            assert!(!request.incomplete)
        });
        assert_eq!(
            malformed(&op_compressed(4711, size as i32 - 1, ZSTD, &frame)),
            Malformed::SizeMismatch
        );
        let short = zstd_frame(&header, &[size - 1]);
        assert_eq!(
            malformed(&op_compressed(4711, size as i32, ZSTD, &short)),
            Malformed::SizeMismatch
        );
    }
    // A dictionary: an identifier of zero means none.
    let none = zstd_frame(&[0x01, 0x38, 0], &[BLOCK]);
    request(&op_compressed(4711, BLOCK as i32, ZSTD, &none), |request| {
        assert!(!request.incomplete)
    });
    let some = zstd_frame(&[0x01, 0x38, 9], &[BLOCK]);
    assert_eq!(
        malformed(&op_compressed(4711, BLOCK as i32, ZSTD, &some)),
        Malformed::CorruptCompression
    );
}

#[test]
fn zstd_of_the_reference_encoder() {
    let plain = insert([[7; 1000].as_slice(); 3]);
    // The body of that message, compressed by libzstd at levels 3 and 19 in one go.
    for data in [
        include_bytes!("data/insert-3.zst").as_slice(),
        include_bytes!("data/insert-19.zst"),
    ] {
        let packed = op_compressed(OP_MSG, plain.len() as i32 - 16, ZSTD, data);
        request(&packed, |request| {
            assert_eq!((request.documents, request.incomplete), (3, false))
        });
    }
}

#[test]
fn snappy_elements() {
    // Literals and copies of every form, by the description of the format: "abcd", then copies of it.
    let data = [
        &[28][..],                                // length of the output
        &[3 << 2, b'a', b'b', b'c', b'd'],        // literal of 4
        &[1, 4],                                  // copy of 4 with an offset of 11 bits
        &[2 | 5 << 2, 8, 0],                      // copy of 6 with an offset of 16 bits
        &[3 | 5 << 2, 1, 0, 0, 0], // copy of 6 with an offset of 32 bits, into itself
        &[60 << 2, 3, b'w', b'x', b'y', b'z'], // literal of 4, length in 1 byte
        &[61 << 2, 3, 0, b'w', b'x', b'y', b'z'], // literal of 4, length in 2 bytes
    ];
    let data = data.concat();
    let expected = b"abcdabcdabcdabbbbbbbwxyzwxyz";
    assert_eq!(
        snap::raw::Decoder::new().decompress_vec(&data).unwrap(),
        expected
    );
    request(&op_compressed(4711, 28, SNAPPY, &data), |request| {
        assert!(!request.incomplete)
    });
    for bad in [
        [5, 1, 1, 0, 0],
        [5, 0, b'a', 1, 0],
        [5, 0, b'a', 1, 2],
        [5, 0xFC, 0xFF, 0xFF, 0xFF],
    ] {
        assert_eq!(
            malformed(&op_compressed(4711, 5, SNAPPY, &bad)),
            Malformed::CorruptCompression
        );
    }
    // 5 bytes of a varint without an end, and one of 35 bits.
    for bad in [[0xFF; 6], [0xFF, 0xFF, 0xFF, 0xFF, 0x7F, 0]] {
        assert_eq!(
            malformed(&op_compressed(4711, 4, SNAPPY, &bad)),
            Malformed::CorruptCompression
        );
    }
}

#[test]
fn replies_are_checked_in_the_same_way() {
    let message = op_compressed(OP_MSG, 5, ZLIB, b"no zlib");
    assert_eq!(
        ReplyDecoder::new().advance(&message),
        Step::Malformed(Malformed::CorruptCompression)
    );
}
