//! What an attacker sends: memory stays flat, and work stays in proportion to the bytes.

use crate::build::*;
use crate::frames::refused;
use narrows_parsers::http2::hpack::Decoder;
use narrows_parsers::http2::{FrameDecoder, Malformed};
use narrows_parsers::replay::http2::{MOST_RETAINED_BYTES, client, list};

/// A field of 4000 bytes in the table, then a byte for each time that it is repeated.
#[test]
fn a_bomb_of_indexes() {
    let mut decoder = Decoder::new();
    let bomb = [field("bomb", &"x".repeat(4000)), indexed(62).repeat(1023)].concat();
    let decoded = list(&mut decoder, &bomb, &[]);
    let summary = decoded.list.unwrap();
    assert!(summary.cut);
    assert_eq!((summary.fields, summary.bytes), (1024, 1024 * 4036));
    // No more than 60 KiB were reported.
    assert_eq!(decoded.fields.len(), 60 * 1024 / 4036);
    assert!(
        decoder.retained_bytes() < 16 * 1024,
        "{}",
        decoder.retained_bytes()
    );
    // The table is as it should be, and the next list is whole again.
    assert_eq!(probe(&mut decoder).len(), 1);
    let next = list(&mut decoder, &indexed(62), &[]);
    assert_eq!(next.fields.len(), 1);
    assert!(!next.list.unwrap().cut);
}

/// Cookies in crumbs count with 32 bytes each.
#[test]
fn a_bomb_of_crumbs() {
    let mut decoder = Decoder::new();
    let crumbs = [field("cookie", ""), indexed(62).repeat(20_000)].concat();
    let decoded = list(&mut decoder, &crumbs, &[]);
    let summary = decoded.list.unwrap();
    assert_eq!(
        (summary.fields, summary.bytes, summary.cut),
        (20_001, 20_001 * 38, true)
    );
    assert_eq!(decoded.fields.len(), 60 * 1024 / 38);
}

#[test]
fn a_list_at_its_limit() {
    // 60 KiB with what is counted for each field.
    let value = "v".repeat(1024 - 32 - 4);
    let full = literal(
        Indexing::Without,
        Ok(&plain(b"name")),
        &plain(value.as_bytes()),
    )
    .repeat(60);
    let decoded = list(&mut Decoder::new(), &full, &[]);
    assert_eq!(
        (decoded.fields.len(), decoded.list.unwrap().cut),
        (60, false)
    );
    let more = [full, indexed(2)].concat();
    let decoded = list(&mut Decoder::new(), &more, &[]);
    assert_eq!(
        (decoded.fields.len(), decoded.list.unwrap().cut),
        (60, true)
    );
}

/// Fields behind the limit still reach the table.
#[test]
fn the_table_is_kept_behind_the_limit() {
    let mut decoder = Decoder::new();
    let large = literal(
        Indexing::Without,
        Ok(&plain(b"large")),
        &plain(&[b'x'; 61_400]),
    );
    let large = [large, field("a", "b")].concat();
    assert_eq!(list(&mut decoder, &large, &[]).fields.len(), 1);
    assert_eq!(probe(&mut decoder), [(b"a".to_vec(), b"b".to_vec())]);
}

#[test]
fn a_field_that_is_too_long() {
    let claim = |length| {
        [
            literal(Indexing::With, Ok(&plain(b"n")), &[]),
            integer(length, 7),
        ]
        .concat()
    };
    let most = 60 * 1024 - claim(60_000).len();
    let refused = |length| {
        list(&mut Decoder::new(), &claim(length), &[])
            .list
            .unwrap_err()
    };
    assert_eq!(refused(most), Malformed::HpackTruncated);
    assert_eq!(refused(most + 1), Malformed::HpackFieldLength);
    assert_eq!(refused(usize::pow(2, 28)), Malformed::HpackFieldLength);
    let name = [&[0x40][..], &integer(usize::pow(2, 28), 7)].concat();
    assert_eq!(
        list(&mut Decoder::new(), &name, &[]).list,
        Err(Malformed::HpackFieldLength)
    );
}

/// A length is a claim: what is held grows with what has come.
#[test]
fn a_long_field_a_byte_at_a_time() {
    let value = huffman(&[b'0'; 90_000]);
    let field = literal(Indexing::With, Ok(&plain(b"n")), &value);
    assert!(field.len() > 56_000);
    let mut decoder = Decoder::new();
    let mut found = 0;
    let (last, most) = field.split_last().unwrap();
    for (at, byte) in most.iter().enumerate() {
        decoder.advance(&[*byte], &mut |_| found += 1).unwrap();
        let held = decoder.retained_bytes();
        assert!(held <= 2 * (at + 1), "{held} at {at}");
    }
    decoder.advance(&[*last], &mut |_| found += 1).unwrap();
    // It is larger than a list may be, and is not reported; what it took is given back.
    assert_eq!(found, 0);
    assert!(decoder.retained_bytes() <= MOST_RETAINED_BYTES);
    assert!(decoder.finish().unwrap().cut);
    assert!(
        decoder.retained_bytes() <= 32 * 1024,
        "{}",
        decoder.retained_bytes()
    );
}

#[test]
fn the_greatest_table_and_the_greatest_field() {
    let mut decoder = Decoder::new();
    decoder.allow_table(u32::MAX);
    let mut most = 0;
    let field = literal(Indexing::With, Ok(&plain(b"n")), &huffman(&[b'0'; 40_000]));
    let long = literal(
        Indexing::Without,
        Ok(&plain(b"n")),
        &huffman(&[b'0'; 96_000]),
    );
    decoder.advance(&table_size(65_536), &mut |_| {}).unwrap();
    for _ in 0..50 {
        for encoded in [&field, &long] {
            for piece in encoded.chunks(1000) {
                decoder.advance(piece, &mut |_| {}).unwrap();
                most = most.max(decoder.retained_bytes());
            }
        }
    }
    assert!(most <= MOST_RETAINED_BYTES, "{most}");
}

#[test]
fn a_flood_of_continuations() {
    let start = frame(HEADERS, 0, 1, &[0x82]);
    let flood = |count: usize, payload: &[u8]| {
        let mut frames = vec![start.clone()];
        frames.extend(vec![frame(CONTINUATION, 0, 1, payload); count]);
        refused(&frames)
    };
    for payload in [&[][..], &[0x86], &[0x86; 16384]] {
        assert_eq!(flood(20, payload), None);
        assert_eq!(flood(21, payload), Some(Malformed::Continuations));
    }
    // Each list has as many.
    let whole = |stream| {
        let mut frames = vec![frame(HEADERS, 0, stream, &[0x82])];
        frames.extend(vec![frame(CONTINUATION, 0, stream, &[]); 19]);
        frames.push(frame(CONTINUATION, END_HEADERS, stream, &[]));
        frames.concat()
    };
    assert_eq!(refused(&[whole(1), whole(3), whole(5)]), None);
}

/// Frames that cost the sender nothing cost the decoder no memory either.
#[test]
fn floods_of_small_frames() {
    let small = [
        frame(PING, 0, 0, &[0; 8]),
        settings(&[]),
        settings_ack(),
        frame(DATA, 0, 1, &[]),
        frame(PRIORITY, 0, 1, &[0; 5]),
        frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
        frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]),
        headers(1, END_STREAM, &[]),
        frame(0xfa, 0, 0, &[]),
    ]
    .concat();
    let mut decoder = FrameDecoder::client();
    decoder.advance(&hello(&[]), &mut |_| {}).unwrap();
    for _ in 0..10_000 {
        decoder.advance(&small, &mut |_| {}).unwrap();
    }
    assert_eq!(decoder.retained_bytes(), 0);
}

/// The table cannot be made to cost more than the bytes that change it.
#[test]
fn a_table_that_is_resized_over_and_over() {
    let mut encoded = Vec::new();
    for _ in 0..1000 {
        encoded.extend([table_size(0), table_size(4096)].concat());
    }
    encoded.extend(indexed(2));
    assert!(list(&mut Decoder::new(), &encoded, &[]).list.is_ok());
}

#[test]
fn a_huge_body_is_not_kept() {
    let mut decoder = FrameDecoder::client();
    let start = hello(&[headers(1, 0, &[0x83, 0x86, 0x84])]);
    decoder.advance(&start, &mut |_| {}).unwrap();
    let before = decoder.retained_bytes();
    for _ in 0..1000 {
        decoder
            .advance(&frame(DATA, 0, 1, &[7; 16384]), &mut |_| {})
            .unwrap();
    }
    assert_eq!(decoder.retained_bytes(), before);
    assert_eq!(
        client(&hello(&[frame(DATA, 0, 1, &[7; 16385])]), &[]).malformed,
        Some(Malformed::FrameLength)
    );
}
