//! The messages of the bench, and their framing.

use bson::{RawDocument, RawDocumentBuf, rawdoc};
use std::io;

/// Bytes before the document of an OP_MSG with one body section: header, flags, section kind.
pub const BEFORE_BODY: usize = HEADER + 4 + 1;

const HEADER: usize = 16;

/// The largest message a server announces (`maxMessageSizeBytes`).
const MAX_MESSAGE: usize = 48_000_000;

/// Opcodes: those of current clients, and the pair that a handshake may still come in.
pub const OP_MSG: i32 = 2013;
pub const OP_QUERY: i32 = 2004;
const OP_REPLY: i32 = 1;

/// What a client says first on each connection.
pub fn hello() -> Vec<u8> {
    op_msg(&rawdoc! {
        "hello": 1,
        "helloOk": true,
        "client": {
            "application": { "name": "bench" },
            "driver": { "name": "mongoload", "version": "0.1.0" },
            "os": { "type": "Linux" },
        },
        "$db": "admin",
    })
}

/// What a server on its own answers to that. Without `topologyVersion` it promises no awaitable hello: whoever watches it
/// asks again from time to time.
pub fn hello_reply() -> Vec<u8> {
    op_msg(&standalone())
}

/// The same in reply to an `OP_QUERY`: flags, cursor id, starting from, and the number of documents stand before it.
pub fn legacy_hello_reply() -> Vec<u8> {
    let mut payload = vec![0; 16];
    payload.extend_from_slice(&1_i32.to_le_bytes());
    payload.extend_from_slice(standalone().as_bytes());
    message(OP_REPLY, &payload)
}

fn standalone() -> RawDocumentBuf {
    rawdoc! {
        "ismaster": true,
        "helloOk": true,
        "isWritablePrimary": true,
        "maxBsonObjectSize": 16_777_216,
        "maxMessageSizeBytes": 48_000_000,
        "maxWriteBatchSize": 100_000,
        "logicalSessionTimeoutMinutes": 30,
        "connectionId": 1,
        "minWireVersion": 0,
        "maxWireVersion": 17,
        "readOnly": false,
        "ok": 1.0,
    }
}

/// A find by `_id` with a comment, as a driver sends it, and where its `_id` stands.
pub fn find() -> (Vec<u8>, usize) {
    let message = op_msg(&rawdoc! {
        "find": "carts",
        "filter": { "_id": 0 },
        "limit": 1,
        "singleBatch": true,
        "comment": "checkout.load_cart",
        "$db": "shop",
    });
    let key = b"\x10_id\0";
    let id_at = message
        .windows(key.len())
        .position(|window| window == key)
        .map_or(message.len(), |at| at + key.len());
    (message, id_at)
}

/// The one document that every find is answered with.
pub fn find_reply() -> Vec<u8> {
    op_msg(&rawdoc! {
        "cursor": {
            "firstBatch": [ { "_id": 1, "payload": "x".repeat(200) } ],
            "id": 0_i64,
            "ns": "shop.carts",
        },
        "ok": 1.0,
    })
}

/// Frames a body as OP_MSG, its ids still zero.
fn op_msg(body: &RawDocument) -> Vec<u8> {
    let mut payload = vec![0; BEFORE_BODY - HEADER];
    payload.extend_from_slice(body.as_bytes());
    message(OP_MSG, &payload)
}

fn message(opcode: i32, payload: &[u8]) -> Vec<u8> {
    let length = i32::try_from(HEADER + payload.len()).unwrap_or(i32::MAX);
    let mut message = Vec::with_capacity(HEADER + payload.len());
    for field in [length, 0, 0, opcode] {
        message.extend_from_slice(&field.to_le_bytes());
    }
    message.extend_from_slice(payload);
    message
}

/// True when a reply says that its command was carried out.
pub fn is_ok(reply: &[u8]) -> bool {
    let body = reply.get(BEFORE_BODY..).unwrap_or_default();
    RawDocument::from_bytes(body).is_ok_and(|body| body.get_f64("ok").is_ok_and(|ok| ok == 1.0))
}

/// Writes a little-endian integer into a message. Does nothing past its end.
pub fn put_i32(message: &mut [u8], at: usize, value: i32) {
    if let Some(place) = message.get_mut(at..at + 4) {
        place.copy_from_slice(&value.to_le_bytes());
    }
}

/// Reads a little-endian integer of a message; zero past its end.
pub fn i32_at(message: &[u8], at: usize) -> i32 {
    message
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |bytes| i32::from_le_bytes(*bytes))
}

/// The length of the message that `bytes` starts with, once all of it is there.
pub fn complete(bytes: &[u8]) -> io::Result<Option<usize>> {
    if bytes.len() < 4 {
        return Ok(None);
    }
    let length = usize::try_from(i32_at(bytes, 0)).unwrap_or(0);
    if !(HEADER..=MAX_MESSAGE).contains(&length) {
        return Err(io::Error::other(format!("a message of {length} bytes")));
    }
    Ok((bytes.len() >= length).then_some(length))
}
