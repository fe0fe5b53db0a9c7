//! Messages that the proxy itself writes and reads whole: handshakes, monitoring, logins, error replies. None of this is on
//! the path of a client's request, whose bytes are decoded as they stream by.

use std::io;

use bson::raw::{RawDocument, RawDocumentBuf};
use narrows_parsers::mongo::{Header, Opcode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::stream::Stream;

/// Bytes of the header that starts every message.
pub const HEADER_BYTES: usize = 16;

/// Opcodes that are written here.
const OP_REPLY: i32 = 1;
const OP_MSG: i32 = 2013;

/// "exhaustAllowed" and the other flag bits stand right behind the header of an `OP_MSG`, then the kind of the first section.
const MSG_HEAD_BYTES: usize = HEADER_BYTES + 5;

/// Header, flags, cursor id, starting from, number returned: what stands before the document of an `OP_REPLY`.
const REPLY_HEAD_BYTES: usize = HEADER_BYTES + 20;

/// Longest reply to a message of the proxy's own, in bytes: a hello of a replica set of 50 members with tags stays far below.
const MAX_OWN_REPLY_BYTES: usize = 1024 * 1024;

/// Writes an `OP_MSG` with one body section.
pub fn op_msg(request_id: i32, response_to: i32, body: &RawDocument) -> Vec<u8> {
    let mut message = Vec::with_capacity(MSG_HEAD_BYTES + body.as_bytes().len());
    header(&mut message, request_id, response_to, OP_MSG);
    message.extend_from_slice(&[0; 5]);
    finish(message, body)
}

/// Writes an `OP_REPLY` with one document: the answer to an `OP_QUERY`.
pub fn op_reply(request_id: i32, response_to: i32, body: &RawDocument) -> Vec<u8> {
    let mut message = Vec::with_capacity(REPLY_HEAD_BYTES + body.as_bytes().len());
    header(&mut message, request_id, response_to, OP_REPLY);
    // Flags, cursor id, starting from; then the number of documents.
    message.extend_from_slice(&[0; 16]);
    message.extend_from_slice(&1_i32.to_le_bytes());
    finish(message, body)
}

fn header(message: &mut Vec<u8>, request_id: i32, response_to: i32, opcode: i32) {
    for field in [0, request_id, response_to, opcode] {
        message.extend_from_slice(&field.to_le_bytes());
    }
}

fn finish(mut message: Vec<u8>, body: &RawDocument) -> Vec<u8> {
    message.extend_from_slice(body.as_bytes());
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    if let Some(place) = message.first_chunk_mut::<4>() {
        *place = length.to_le_bytes();
    }
    message
}

/// The body of a whole message that is not compressed: the document of kind 0 of an `OP_MSG`, wherever it stands among the sections, the
/// document of an `OP_REPLY` or of an `OP_QUERY`. `None` when there is none, or it is not well formed at its outer level.
pub fn body(message: &[u8]) -> Option<&RawDocument> {
    let header = Header::read(message)?;
    let rest = message.get(HEADER_BYTES..)?;
    match header.opcode {
        Opcode::Msg => body_section(rest.get(4..)?),
        Opcode::Reply => document(message.get(REPLY_HEAD_BYTES..)?).map(|(document, _)| document),
        Opcode::Query => {
            let name = rest.get(4..)?;
            let end = memchr::memchr(0, name)?;
            document(name.get(end + 1 + 8..)?).map(|(document, _)| document)
        }
        _ => None,
    }
}

fn body_section(mut sections: &[u8]) -> Option<&RawDocument> {
    loop {
        let (kind, rest) = sections.split_first()?;
        match kind {
            0 => return document(rest).map(|(document, _)| document),
            1 => sections = rest.get(length(rest)?..)?,
            // A C string, and a document (see the decoder of sections in `narrows-parsers`).
            2 => sections = rest.get(memchr::memchr(0, rest)? + 1..)?,
            3 => sections = document(rest)?.1,
            _ => return None,
        }
    }
}

/// The document that starts here, and what stands behind it.
fn document(bytes: &[u8]) -> Option<(&RawDocument, &[u8])> {
    let (document, rest) = bytes.split_at_checked(length(bytes)?)?;
    Some((RawDocument::from_bytes(document).ok()?, rest))
}

/// A length that stands first in what it counts.
fn length(bytes: &[u8]) -> Option<usize> {
    let length = i32::from_le_bytes(*bytes.first_chunk()?);
    usize::try_from(length).ok().filter(|length| *length >= 4)
}

/// Why a message of the proxy's own was not answered.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The connection failed or ended.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What came is no reply to what was asked, or no MongoDB message at all.
    #[error("{0}; is this a MongoDB server?")]
    Unexpected(&'static str),
}

/// Sends a command of the proxy's own over a connection that nobody else uses, and waits for its reply.
///
/// # Errors
/// When the connection fails, or what comes back is no reply to it. The connection is of no use then.
pub async fn call(
    stream: &mut Stream,
    request_id: i32,
    command: &RawDocument,
) -> Result<RawDocumentBuf, CallError> {
    stream.write_all(&op_msg(request_id, 0, command)).await?;
    stream.flush().await?;
    let mut head = [0; HEADER_BYTES];
    stream.read_exact(&mut head).await?;
    let header = Header::read(&head).ok_or(CallError::Unexpected("no message header came"))?;
    let length = header.length as usize;
    if !(HEADER_BYTES..=MAX_OWN_REPLY_BYTES).contains(&length) {
        return Err(CallError::Unexpected(
            "the length of the reply is out of range",
        ));
    }
    if header.response_to != request_id {
        return Err(CallError::Unexpected("the reply answers another request"));
    }
    let mut reply = Vec::from(head);
    let rest = (length - HEADER_BYTES) as u64;
    if stream.take(rest).read_to_end(&mut reply).await? as u64 != rest {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    body(&reply)
        .map(RawDocument::to_owned)
        .ok_or(CallError::Unexpected("the reply holds no document"))
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    #[test]
    fn a_body_is_found_in_what_was_written() {
        let document = rawdoc! { "ok": 1 };
        for message in [op_msg(7, 3, &document), op_reply(7, 3, &document)] {
            let header = Header::read(&message).unwrap();
            assert_eq!((header.request_id, header.response_to), (7, 3));
            assert_eq!(header.length as usize, message.len());
            assert_eq!(body(&message).unwrap(), &*document);
        }
    }

    #[test]
    fn a_body_is_found_behind_a_sequence_and_no_length_is_trusted() {
        let document = rawdoc! { "insert": "c" };
        let mut message = op_msg(1, 0, &document);
        let sequence = [&[1_u8][..], &14_i32.to_le_bytes(), b"documents\0"].concat();
        message.splice(20..20, sequence);
        assert_eq!(body(&message).unwrap(), &*document);
        for length in [-1_i32, 0, 3, 4, i32::MAX] {
            message.splice(21..25, length.to_le_bytes());
            assert_eq!(body(&message), None);
        }
        for cut in 0..message.len() {
            let _ = body(&message[..cut]);
        }
    }
}
