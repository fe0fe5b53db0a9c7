//! `OP_COMPRESSED` towards a peer that negotiated it. What is compressed is opened by
//! [`narrows_parsers::mongo::inflate_message`].

use std::io::{self, Write as _};

use narrows_parsers::mongo::Compressor;

use super::wire::HEADER_BYTES;

/// Messages below this are not worth compressing: the head alone costs 9 bytes, and they fit a packet as they are.
pub const WORTH_COMPRESSING_BYTES: usize = 512;

const OP_COMPRESSED: i32 = 2012;

/// Compresses a whole message. The ids in its header stay; its opcode moves inside.
///
/// # Errors
/// When the compressor fails, which none does for bytes in memory; the message can go as it is then.
pub fn compress(message: &[u8], compressor: Compressor) -> io::Result<Vec<u8>> {
    let (header, body) = message
        .split_at_checked(HEADER_BYTES)
        .ok_or(io::ErrorKind::InvalidInput)?;
    let size = i32::try_from(body.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut out = Vec::with_capacity(HEADER_BYTES + 9 + body.len() / 2);
    out.extend_from_slice(header.get(..12).unwrap_or_default());
    out.extend_from_slice(&OP_COMPRESSED.to_le_bytes());
    out.extend_from_slice(header.get(12..).unwrap_or_default());
    out.extend_from_slice(&size.to_le_bytes());
    out.push(id(compressor));
    match compressor {
        Compressor::Noop => out.extend_from_slice(body),
        Compressor::Snappy => {
            let compressed = snap::raw::Encoder::new()
                .compress_vec(body)
                .map_err(io::Error::other)?;
            out.extend_from_slice(&compressed);
        }
        Compressor::Zlib => {
            let level = flate2::Compression::default();
            let mut encoder = flate2::write::ZlibEncoder::new(&mut out, level);
            encoder.write_all(body)?;
            encoder.finish()?;
        }
        Compressor::Zstd => {
            let level = ruzstd::encoding::CompressionLevel::Fastest;
            out.extend_from_slice(&ruzstd::encoding::compress_to_vec(body, level));
        }
    }
    let length = u32::try_from(out.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    if let Some(place) = out.first_chunk_mut::<4>() {
        *place = length.to_le_bytes();
    }
    Ok(out)
}

/// The number of a compressor on the wire (MongoDB compression specification).
fn id(compressor: Compressor) -> u8 {
    match compressor {
        Compressor::Noop => 0,
        Compressor::Snappy => 1,
        Compressor::Zlib => 2,
        Compressor::Zstd => 3,
    }
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;
    use narrows_parsers::mongo::inflate_message;

    use super::*;
    use crate::protocols::mongo::wire::op_msg;

    #[test]
    fn what_is_compressed_is_opened_again_unchanged() {
        let text = "a collapse of many into few ".repeat(2_000);
        let message = op_msg(7, 3, &rawdoc! { "text": text });
        for compressor in [
            Compressor::Noop,
            Compressor::Snappy,
            Compressor::Zlib,
            Compressor::Zstd,
        ] {
            let compressed = compress(&message, compressor).unwrap();
            assert_eq!(
                inflate_message(&compressed).unwrap(),
                message,
                "{compressor:?}"
            );
            assert!(compressor == Compressor::Noop || compressed.len() < message.len() / 4);
            for cut in [0, 16, 24, 25, compressed.len() / 2, compressed.len() - 1] {
                assert!(inflate_message(&compressed[..cut]).is_err());
            }
        }
    }
}
