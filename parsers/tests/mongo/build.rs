//! Messages, built field by field.

use bson::Document;
use flate2::{Compression, write::ZlibEncoder};
use narrows_parsers::mongo::{Reply, ReplyDecoder, Request, RequestDecoder, Step};
use std::io::Write;

pub(crate) const OP_REPLY: i32 = 1;
pub(crate) const OP_UPDATE: i32 = 2001;
pub(crate) const OP_INSERT: i32 = 2002;
pub(crate) const OP_QUERY: i32 = 2004;
pub(crate) const OP_GET_MORE: i32 = 2005;
pub(crate) const OP_DELETE: i32 = 2006;
pub(crate) const OP_KILL_CURSORS: i32 = 2007;
pub(crate) const OP_COMMAND: i32 = 2010;
pub(crate) const OP_COMPRESSED: i32 = 2012;
pub(crate) const OP_MSG: i32 = 2013;

pub(crate) const CHECKSUM: u32 = 1;
pub(crate) const MORE_TO_COME: u32 = 2;
pub(crate) const EXHAUST: u32 = 1 << 16;

pub(crate) fn bytes(document: &Document) -> Vec<u8> {
    document.to_vec().unwrap()
}

/// A message of any kind, request 7 in answer to 5.
pub(crate) fn message(opcode: i32, body: &[u8]) -> Vec<u8> {
    let length = 16 + body.len() as i32;
    let head: Vec<u8> = [length, 7, 5, opcode]
        .iter()
        .flat_map(|field| field.to_le_bytes())
        .collect();
    [&head, body].concat()
}

pub(crate) fn op_msg(flags: u32, sections: &[Vec<u8>]) -> Vec<u8> {
    message(OP_MSG, &msg_body(flags, sections))
}

pub(crate) fn msg_body(flags: u32, sections: &[Vec<u8>]) -> Vec<u8> {
    let checksum: &[u8] = if flags & CHECKSUM != 0 {
        &[1, 2, 3, 4]
    } else {
        &[]
    };
    [flags.to_le_bytes().as_slice(), &sections.concat(), checksum].concat()
}

/// An `OP_MSG` with one body section and no flags.
pub(crate) fn command(document: &Document) -> Vec<u8> {
    op_msg(0, &[body(document)])
}

pub(crate) fn body(document: &Document) -> Vec<u8> {
    [&[0], bytes(document).as_slice()].concat()
}

pub(crate) fn sequence(name: &str, documents: &[Document]) -> Vec<u8> {
    let documents: Vec<u8> = documents.iter().flat_map(bytes).collect();
    let length = 4 + name.len() as i32 + 1 + documents.len() as i32;
    [
        &[1],
        length.to_le_bytes().as_slice(),
        &cstring(name),
        &documents,
    ]
    .concat()
}

pub(crate) fn trace(document: &Document) -> Vec<u8> {
    [&[3], bytes(document).as_slice()].concat()
}

pub(crate) fn cstring(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

pub(crate) fn int32(value: i32) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

pub(crate) fn int64(value: i64) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

pub(crate) const NOOP: u8 = 0;
pub(crate) const SNAPPY: u8 = 1;
pub(crate) const ZLIB: u8 = 2;
pub(crate) const ZSTD: u8 = 3;

pub(crate) fn compress(compressor: u8, data: &[u8]) -> Vec<u8> {
    match compressor {
        NOOP => data.to_vec(),
        SNAPPY => snap::raw::Encoder::new().compress_vec(data).unwrap(),
        ZLIB => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(6));
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        _ => ruzstd::encoding::compress_to_vec(data, ruzstd::encoding::CompressionLevel::Fastest),
    }
}

/// The compressed form of a message.
pub(crate) fn compressed(compressor: u8, message: &[u8]) -> Vec<u8> {
    let opcode = i32::from_le_bytes(message[12..16].try_into().unwrap());
    let body = &message[16..];
    op_compressed(
        opcode,
        body.len() as i32,
        compressor,
        &compress(compressor, body),
    )
}

pub(crate) fn op_compressed(opcode: i32, claimed: i32, compressor: u8, data: &[u8]) -> Vec<u8> {
    message(
        OP_COMPRESSED,
        &[
            &int32(opcode),
            int32(claimed).as_slice(),
            &[compressor],
            data,
        ]
        .concat(),
    )
}

/// Decodes one whole message and looks at it.
pub(crate) fn request<T>(bytes: &[u8], look: impl FnOnce(&Request<'_>) -> T) -> T {
    match RequestDecoder::new().advance(bytes) {
        Step::Message { consumed, message } => {
            assert_eq!(consumed, bytes.len());
            look(&message)
        }
        other => panic!("{other:?}"),
    }
}

/// Decodes one whole message and looks at it.
pub(crate) fn reply<T>(bytes: &[u8], look: impl FnOnce(&Reply<'_>) -> T) -> T {
    match ReplyDecoder::new().advance(bytes) {
        Step::Message { consumed, message } => {
            assert_eq!(consumed, bytes.len());
            look(&message)
        }
        other => panic!("{other:?}"),
    }
}
