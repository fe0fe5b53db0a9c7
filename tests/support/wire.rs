//! MongoDB messages by hand, for peers that have to be exact.

use std::io::{self, Read};

use bson::{Document, RawDocumentBuf};

pub const OP_MSG: i32 = 2013;

/// An OP_MSG with one body section.
pub fn op_msg(request_id: i32, response_to: i32, body: &Document) -> Vec<u8> {
    op_msg_with_flags(request_id, response_to, 0, body)
}

pub fn op_msg_with_flags(
    request_id: i32,
    response_to: i32,
    flags: u32,
    body: &Document,
) -> Vec<u8> {
    let body = RawDocumentBuf::try_from(body).unwrap();
    let mut payload = flags.to_le_bytes().to_vec();
    payload.push(0);
    payload.extend(body.as_bytes());
    message(request_id, response_to, OP_MSG, &payload)
}

/// Any message: a header that tells the truth, and this behind it.
pub fn message(request_id: i32, response_to: i32, opcode: i32, payload: &[u8]) -> Vec<u8> {
    let length = i32::try_from(16 + payload.len()).unwrap();
    let mut bytes = Vec::with_capacity(16 + payload.len());
    for field in [length, request_id, response_to, opcode] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(payload);
    bytes
}

/// Reads one whole message.
pub fn read_message(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 16];
    stream.read_exact(&mut bytes)?;
    let length = i32::from_le_bytes(bytes[..4].try_into().unwrap());
    bytes.resize(usize::try_from(length).unwrap(), 0);
    stream.read_exact(&mut bytes[16..])?;
    Ok(bytes)
}

/// The requestID of a message.
pub fn request_id(message: &[u8]) -> i32 {
    i32::from_le_bytes(message[4..8].try_into().unwrap())
}
