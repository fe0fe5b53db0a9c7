//! What a server sends: which fields mean something, and the reply that is made of them.

mod fields;

use super::capture::Slot;
use super::decoder::Decoder;
use super::message::Reply;
use crate::Step;
use fields::Fields;

/// Decodes what a server sends on one connection.
#[derive(Debug, Default)]
pub struct ReplyDecoder {
    decoder: Decoder<Fields>,
}

/// "CursorNotFound" in the server's `error_codes.yml`.
const CURSOR_NOT_FOUND: i32 = 43;

impl ReplyDecoder {
    /// A decoder for a connection that starts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at the next bytes of the stream. Call again with what is left after `consumed` until `NeedMore`, which has used all of
    /// `bytes`.
    pub fn advance<'a>(&'a mut self, bytes: &'a [u8]) -> Step<Reply<'a>> {
        match self.decoder.advance(bytes) {
            Ok(None) => Step::NeedMore,
            Ok(Some(consumed)) => Step::Message {
                consumed,
                message: self.reply(bytes),
            },
            Err(reason) => Step::Malformed(reason),
        }
    }

    /// True when the next byte starts a message: nothing of a message is pending.
    pub fn is_between_messages(&self) -> bool {
        self.decoder.is_between_messages()
    }

    /// Heap memory that is held, in bytes.
    #[doc(hidden)]
    pub fn retained_bytes(&self) -> usize {
        self.decoder.retained_bytes()
    }

    fn reply<'a>(&'a self, piece: &'a [u8]) -> Reply<'a> {
        let decoder = &self.decoder;
        let fields = &decoder.body.labels;
        let text = |slot| decoder.body.captures.text(slot, piece).unwrap_or_default();
        Reply {
            header: decoder.header,
            opcode: decoder.opcode,
            compression: decoder.compression,
            incomplete: decoder.incomplete,
            more_to_come: fields.more_to_come,
            ok: fields.ok,
            code: fields.code,
            code_name: text(Slot::CodeName),
            labels: fields.labels,
            cursor_id: fields.cursor_id,
            namespace: text(Slot::Namespace),
            documents: fields.documents,
            n: fields.n,
            n_modified: fields.n_modified,
            write_errors: fields.write_errors,
            first_write_error: fields.first_write_error,
            write_concern_error: fields.write_concern_error,
            cursors_killed: fields.cursors_killed,
            cursor_not_found: fields.cursor_not_found || fields.code == Some(CURSOR_NOT_FOUND),
            query_failure: fields.query_failure,
        }
    }
}
