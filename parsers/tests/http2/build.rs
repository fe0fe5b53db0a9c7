//! Frames and lists of fields by hand.

use narrows_parsers::http2::PREFACE;
use narrows_parsers::http2::hpack::Decoder;

#[path = "../../src/http2/hpack/lengths.rs"]
mod lengths;

use lengths::LENGTHS;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const WITH_PRIORITY: u8 = 0x20;

/// Bytes out of hexadecimal digits with spaces in between.
pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// The entries of the dynamic table, newest first. To look at them does not change them.
pub(crate) fn probe(decoder: &mut Decoder) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut entries = Vec::new();
    for index in 62.. {
        let mut indexed = integer(index, 7);
        indexed[0] |= 0x80;
        let found = decoder.advance(&indexed, &mut |field| {
            entries.push((field.name.to_vec(), field.value.to_vec()))
        });
        if found.is_err() {
            break;
        }
    }
    decoder.finish().unwrap();
    entries
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// What a client says first.
pub(crate) fn hello(frames: &[Vec<u8>]) -> Vec<u8> {
    [PREFACE.to_vec(), settings(&[]), frames.concat()].concat()
}

/// What a server says first.
pub(crate) fn welcome(frames: &[Vec<u8>]) -> Vec<u8> {
    [settings(&[]), frames.concat()].concat()
}

pub(crate) fn settings(settings: &[(u16, u32)]) -> Vec<u8> {
    let setting = |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(
        SETTINGS,
        0,
        0,
        &settings.iter().flat_map(setting).collect::<Vec<u8>>(),
    )
}

pub(crate) fn settings_ack() -> Vec<u8> {
    frame(SETTINGS, ACK, 0, &[])
}

/// A whole list of fields in one frame.
pub(crate) fn headers(stream: u32, flags: u8, list: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, stream, list)
}

pub(crate) fn padded(padding: usize, payload: &[u8]) -> Vec<u8> {
    [
        &[u8::try_from(padding).unwrap()],
        payload,
        &vec![0; padding],
    ]
    .concat()
}

/// An integer with nothing in front of its prefix (RFC 7541, section 5.1).
pub(crate) fn integer(value: usize, prefix: u32) -> Vec<u8> {
    let most = (1 << prefix) - 1;
    if value < most {
        return vec![value as u8];
    }
    let mut encoded = vec![most as u8];
    let mut rest = value - most;
    while rest >= 0x80 {
        encoded.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    encoded.push(rest as u8);
    encoded
}

pub(crate) fn plain(text: &[u8]) -> Vec<u8> {
    [integer(text.len(), 7), text.to_vec()].concat()
}

/// How a literal field is to be treated.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Indexing {
    With,
    Without,
    Never,
}

/// A literal field; its strings are encoded already, the name by its text or by an index.
pub(crate) fn literal(indexing: Indexing, name: Result<&[u8], usize>, value: &[u8]) -> Vec<u8> {
    let (mark, prefix) = match indexing {
        Indexing::With => (0x40, 6),
        Indexing::Without => (0, 4),
        Indexing::Never => (0x10, 4),
    };
    let mut encoded = integer(name.err().unwrap_or(0), prefix);
    encoded[0] |= mark;
    [&encoded, name.unwrap_or_default(), value].concat()
}

pub(crate) fn indexed(index: usize) -> Vec<u8> {
    let mut encoded = integer(index, 7);
    encoded[0] |= 0x80;
    encoded
}

pub(crate) fn table_size(size: usize) -> Vec<u8> {
    let mut encoded = integer(size, 5);
    encoded[0] |= 0x20;
    encoded
}

/// A field that becomes an entry, in plain text.
pub(crate) fn field(name: &str, value: &str) -> Vec<u8> {
    literal(
        Indexing::With,
        Ok(&plain(name.as_bytes())),
        &plain(value.as_bytes()),
    )
}

/// A string in Huffman code.
pub(crate) fn huffman(text: &[u8]) -> Vec<u8> {
    let coded = huffman_code(text);
    let mut encoded = integer(coded.len(), 7);
    encoded[0] |= 0x80;
    [encoded, coded].concat()
}

/// Text in Huffman code, padded with ones.
pub(crate) fn huffman_code(text: &[u8]) -> Vec<u8> {
    let codes = codes();
    let mut bits: Vec<bool> = Vec::new();
    for byte in text {
        let (code, length) = codes[usize::from(*byte)];
        bits.extend((0..length).rev().map(|bit| code >> bit & 1 == 1));
    }
    bits.resize(bits.len().next_multiple_of(8), true);
    bits.chunks(8)
        .map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit)))
        .collect()
}

/// Code and length of each symbol: shorter codes come first, and among those of one length the lower symbols.
pub(crate) fn codes() -> Vec<(u32, u8)> {
    let mut order: Vec<usize> = (0..LENGTHS.len()).collect();
    order.sort_by_key(|symbol| (LENGTHS[*symbol], *symbol));
    let mut codes = vec![(0, 0); LENGTHS.len()];
    let mut next: u32 = 0;
    let mut length = 0;
    for symbol in order {
        next <<= LENGTHS[symbol] - length;
        length = LENGTHS[symbol];
        codes[symbol] = (next, length);
        next += 1;
    }
    codes
}
