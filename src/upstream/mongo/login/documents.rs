//! The documents of a handshake and of a login: those that are sent, and what is read of the replies.

use bson::raw::{RawArray, RawBsonRef, RawDocument, RawDocumentBuf};
use bson::spec::BinarySubtype;
use bson::{Binary, rawdoc};

use super::error::Refusal;
use crate::config::MongoCompressor;
use crate::scram::ScramClient;

/// Longest application name that servers take, in bytes (MongoDB handshake specification).
const MAX_APPLICATION_BYTES: usize = 128;

/// Bytes of a server's message that are repeated in ours. Real ones are a sentence.
const MAX_SERVER_MESSAGE_BYTES: usize = 200;

/// What is read of the reply to a hello.
pub(super) struct Hello<'a> {
    pub(super) max_wire: i32,
    pub(super) compressor: Option<MongoCompressor>,
    pub(super) connection_id: Option<i64>,
    pub(super) mechanisms: Option<&'a RawArray>,
    pub(super) speculative: Option<&'a RawDocument>,
}

impl<'a> Hello<'a> {
    pub(super) fn read(
        reply: &'a RawDocument,
        offered: &[MongoCompressor],
    ) -> Result<Self, &'static str> {
        let Some(RawBsonRef::Int32(max_wire)) = value(reply, "maxWireVersion") else {
            return Err("the reply to hello has no wire version");
        };
        let array = |name| match value(reply, name) {
            Some(RawBsonRef::Array(array)) => Some(array),
            _ => None,
        };
        let common = array("compression").and_then(|common| {
            // "the client [...] MUST use the first compressor in its list that the server has too".
            offered.iter().copied().find(|compressor| {
                let mut names = common.into_iter().flatten();
                names.any(
                    |name| matches!(name, RawBsonRef::String(name) if name == name_of(*compressor)),
                )
            })
        });
        Ok(Self {
            max_wire,
            compressor: common,
            connection_id: match value(reply, "connectionId") {
                Some(RawBsonRef::Int32(id)) => Some(i64::from(id)),
                Some(RawBsonRef::Int64(id)) => Some(id),
                _ => None,
            },
            mechanisms: array("saslSupportedMechs"),
            speculative: match value(reply, "speculativeAuthenticate") {
                Some(RawBsonRef::Document(reply)) => Some(reply),
                _ => None,
            },
        })
    }
}

/// Who is talking, for the server's log.
pub(super) fn client(application: &str) -> RawDocumentBuf {
    let application = cut(application, MAX_APPLICATION_BYTES);
    rawdoc! {
        "application": { "name": application },
        "driver": { "name": "narrows", "version": env!("CARGO_PKG_VERSION") },
        "os": { "type": std::env::consts::OS },
    }
}

pub(super) fn name_of(compressor: MongoCompressor) -> &'static str {
    match compressor {
        MongoCompressor::Snappy => "snappy",
        MongoCompressor::Zlib => "zlib",
        MongoCompressor::Zstd => "zstd",
    }
}

pub(super) fn sasl_start(client: &ScramClient) -> RawDocumentBuf {
    rawdoc! {
        "saslStart": 1,
        "mechanism": client.mechanism().name(),
        "payload": binary(client.first()),
        "options": { "skipEmptyExchange": true },
    }
}

pub(super) fn sasl_continue(conversation: i32, payload: Vec<u8>) -> RawDocumentBuf {
    rawdoc! { "saslContinue": 1, "conversationId": conversation, "payload": binary(payload) }
}

fn binary(bytes: Vec<u8>) -> Binary {
    Binary {
        subtype: BinarySubtype::Generic,
        bytes,
    }
}

/// What the server says; nothing is as wrong as anything else that is no SCRAM message.
pub(super) fn payload(reply: &RawDocument) -> &[u8] {
    match value(reply, "payload") {
        Some(RawBsonRef::Binary(payload)) => payload.bytes,
        _ => &[],
    }
}

pub(super) fn conversation(reply: &RawDocument) -> i32 {
    match value(reply, "conversationId") {
        Some(RawBsonRef::Int32(id)) => id,
        _ => 1,
    }
}

pub(super) fn is_done(reply: &RawDocument) -> bool {
    matches!(value(reply, "done"), Some(RawBsonRef::Boolean(true)))
}

/// What a reply that is not `ok` says.
pub(super) fn refusal(reply: &RawDocument) -> Option<Refusal> {
    let ok = match value(reply, "ok") {
        Some(RawBsonRef::Double(ok)) => ok == 1.0,
        Some(RawBsonRef::Int32(ok)) => ok == 1,
        Some(RawBsonRef::Int64(ok)) => ok == 1,
        Some(RawBsonRef::Boolean(ok)) => ok,
        _ => false,
    };
    if ok {
        return None;
    }
    let message = match value(reply, "errmsg") {
        Some(RawBsonRef::String(message)) => message,
        _ => "no reason given",
    };
    let shown = cut(message, MAX_SERVER_MESSAGE_BYTES).chars();
    Some(Refusal {
        code: match value(reply, "code") {
            Some(RawBsonRef::Int32(code)) => code,
            _ => 0,
        },
        message: shown.filter(|c| !c.is_control()).collect(),
    })
}

/// As much of a text as fits.
fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

fn value<'a>(document: &'a RawDocument, name: &str) -> Option<RawBsonRef<'a>> {
    document.get(name).ok().flatten()
}
