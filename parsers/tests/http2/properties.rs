//! Properties, with `loona-hpack` as oracle.

use crate::build::*;
use crate::samples;
use loona_hpack::decoder::DecoderError;
use loona_hpack::huffman::HuffmanDecoder;
use narrows_parsers::http2::Malformed;
use narrows_parsers::http2::hpack::Decoder;
use narrows_parsers::replay::http2::{check_frames, check_lists, list};
use proptest::collection::vec;
use proptest::prelude::*;

const FEW: &[&str] = &["cookie", "a", "", "content-type", "x-long-name-of-a-field"];

/// A name or value, often one of a few, so that the tables are used.
fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::sample::select(FEW).prop_map(|text| text.as_bytes().to_vec()),
        vec(any::<u8>(), 0..40),
        "[a-z0-9/=; -]{0,60}".prop_map(String::into_bytes),
        (any::<u8>(), 0..2000usize).prop_map(|(byte, count)| vec![byte; count]),
    ]
}

fn string() -> impl Strategy<Value = Vec<u8>> {
    (any::<bool>(), text())
        .prop_map(|(coded, text)| if coded { huffman(&text) } else { plain(&text) })
}

fn indexing() -> impl Strategy<Value = Indexing> {
    prop::sample::select(
        &[
            Indexing::With,
            Indexing::With,
            Indexing::Without,
            Indexing::Never,
        ][..],
    )
}

/// One field, by an index that the tables may or may not have, or by its texts.
fn one_field() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => (1..70usize).prop_map(indexed),
        1 => (indexing(), 1..66usize, string()).prop_map(|(indexing, name, value)| literal(indexing, Err(name), &value)),
        3 => (indexing(), string(), string()).prop_map(|(indexing, name, value)| literal(indexing, Ok(&name), &value)),
    ]
}

/// A list, with sizes of the table in front of it, and now and then where they must not be.
fn fields() -> impl Strategy<Value = Vec<u8>> {
    let sizes = vec(
        prop::sample::select(&[0, 31, 32, 100, 1000, 4096, 4097][..]).prop_map(table_size),
        0..3,
    );
    let tail = prop_oneof![9 => Just(vec![]), 1 => vec(any::<u8>(), 0..9)];
    (
        prop_oneof![3 => Just(vec![]), 1 => sizes],
        vec(one_field(), 0..12),
        tail,
    )
        .prop_map(|(sizes, fields, tail)| [sizes.concat(), fields.concat(), tail].concat())
}

/// Both decoders say the same of lists that come one after the other, and whole or in pieces is no difference.
fn agree(lists: &[Vec<u8>], sizes: &[usize]) -> Result<(), TestCaseError> {
    let (mut ours, mut pieces) = (Decoder::new(), Decoder::new());
    let mut theirs = loona_hpack::Decoder::new();
    theirs.set_max_allowed_table_size(4096);
    for encoded in lists {
        let decoded = list(&mut ours, encoded, &[]);
        prop_assert_eq!(&decoded, &list(&mut pieces, encoded, sizes));
        let mut fields = Vec::new();
        let result = theirs.decode_with_cb(encoded, |name, value| {
            fields.push((name.into_owned(), value.into_owned()))
        });
        match (decoded.list, result) {
            (Ok(summary), Ok(()) | Err(DecoderError::SizeUpdateAtEnd)) => {
                // RFC 7541, section 4.2 asks for a size at the start of a list; loona does not allow a list of nothing else.
                prop_assert_eq!(summary.fields as usize, fields.len());
                prop_assert_eq!(summary.cut, decoded.fields.len() < fields.len());
                prop_assert_eq!(&decoded.fields[..], &fields[..decoded.fields.len()]);
                prop_assert_eq!(summary.bytes, size(&fields) as u64);
            }
            // RFC 7541, section 4.2: a size stands in front of all fields; loona takes it anywhere.
            (Err(Malformed::HpackTableSize), _) => return Ok(()),
            (Err(_), Err(_)) => return Ok(()),
            (ours, theirs) => prop_assert!(false, "{ours:?} {theirs:?}"),
        }
    }
    prop_assert_eq!(probe(&mut ours), probe(&mut pieces));
    Ok(())
}

fn size(fields: &[(Vec<u8>, Vec<u8>)]) -> usize {
    fields
        .iter()
        .map(|(name, value)| name.len() + value.len() + 32)
        .sum()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lists_are_read_as_loona_reads_them(lists in vec(fields(), 1..6), sizes in vec(1..40usize, 1..4)) {
        agree(&lists, &sizes)?;
    }

    #[test]
    fn any_bytes_are_read_as_loona_reads_them(lists in vec(vec(any::<u8>(), 0..60), 1..4), size in 1..9usize) {
        agree(&lists, &[size])?;
    }

    #[test]
    fn any_huffman_code_is_read_as_loona_reads_it(coded in vec(any::<u8>(), 0..40), ones in 0..6usize) {
        // Ones at the start of codes make them long.
        let coded: Vec<u8> = coded.iter().enumerate().map(|(at, byte)| if at % 7 < ones { 0xff } else { *byte }).collect();
        let mut length = integer(coded.len(), 7);
        length[0] |= 0x80;
        let encoded = literal(Indexing::Without, Err(19), &[&length, &coded[..]].concat());
        let decoded = list(&mut Decoder::new(), &encoded, &[]);
        match HuffmanDecoder::new().decode(&coded) {
            Ok(text) => prop_assert_eq!(&decoded.fields[0].1, &text),
            Err(_) => prop_assert_eq!(decoded.list, Err(Malformed::HpackHuffman)),
        }
    }

    #[test]
    fn text_in_huffman_code_comes_back(text in vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(HuffmanDecoder::new().decode(&huffman_code(&text)).unwrap(), &text[..]);
        let decoded = list(&mut Decoder::new(), &literal(Indexing::With, Err(19), &huffman(&text)), &[]);
        prop_assert_eq!(&decoded.fields[0].1, &text);
    }

    /// What loona encodes, with a table that it keeps.
    #[test]
    fn what_loona_writes_is_read(lists in vec(vec((text(), text()), 0..8), 1..8)) {
        let mut encoder = loona_hpack::Encoder::new();
        let mut decoder = Decoder::new();
        for fields in lists {
            let encoded = encoder.encode(fields.iter().map(|(name, value)| (&name[..], &value[..])));
            let decoded = list(&mut decoder, &encoded, &[]);
            prop_assert!(decoded.list.is_ok());
            prop_assert_eq!(decoded.fields, fields);
        }
    }

    #[test]
    fn any_bytes_do_no_harm(data in vec(any::<u8>(), 0..300)) {
        check_frames(&data).unwrap();
        check_lists(&data).unwrap();
    }

    #[test]
    fn any_frames_do_no_harm(
        frames in vec((0..11u8, any::<u8>(), 0..4u32, vec(any::<u8>(), 0..60)), 1..8),
        first in any::<u8>(),
        sizes in vec(any::<u8>(), 7),
    ) {
        let frames: Vec<Vec<u8>> = frames.iter().map(|(kind, flags, stream, payload)| frame(*kind, *flags, *stream, payload)).collect();
        let data = [&[first][..], &sizes[..usize::from(first % 8)], &settings(&[]), &frames.concat()].concat();
        check_frames(&data).unwrap();
    }

    #[test]
    fn mutated_samples_do_no_harm(
        stream in prop::sample::select(samples::replies()),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        sizes in vec(any::<u8>(), 7),
        first in any::<u8>(),
    ) {
        let mut stream = stream;
        for (at, byte) in changes {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        let data = [&[first][..], &sizes[..usize::from(first % 8)], &stream].concat();
        check_frames(&data).unwrap();
    }
}
