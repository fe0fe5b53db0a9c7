//! What a client sends: which fields mean something, and the request that is made of them.

mod fields;

use super::capture::{Captures, Slot};
use super::comment::{self, CallSite};
use super::decoder::Decoder;
use super::header::Opcode;
use super::message::{Hello, QueryClass, Request};
use crate::Step;
use crate::limits::TRACE_PARENT_BYTES;
use fields::Fields;

/// Decodes what a client sends on one connection.
#[derive(Debug, Default)]
pub struct RequestDecoder {
    decoder: Decoder<Fields>,
}

impl RequestDecoder {
    /// A decoder for a connection that starts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at the next bytes of the stream. Call again with what is left after `consumed` until `NeedMore`, which has used all of
    /// `bytes`.
    pub fn advance<'a>(&'a mut self, bytes: &'a [u8]) -> Step<Request<'a>> {
        match self.decoder.advance(bytes) {
            Ok(None) => Step::NeedMore,
            Ok(Some(consumed)) => {
                let body = &mut self.decoder.body;
                call_site(&mut body.captures, bytes);
                Step::Message {
                    consumed,
                    message: self.request(bytes),
                }
            }
            Err(reason) => Step::Malformed(reason),
        }
    }

    /// What is known of a request that has begun and is not complete, after [`Step::NeedMore`]: for a proxy that passes a large one on as it
    /// comes. `None` while its command is not known; and until all of its fields are, when `all_fields` are asked for. Of a compressed
    /// request nothing is known before its end. The call site is not among what is given.
    pub fn pending(&self, all_fields: bool) -> Option<Request<'_>> {
        let decoder = &self.decoder;
        if self.is_between_messages()
            || decoder.opcode != Opcode::Msg
            || decoder.compression.is_some()
        {
            return None;
        }
        let known = match all_fields {
            true => decoder.body.has_read_body(),
            false => decoder.body.captures.is_set(Slot::Command),
        };
        known.then(|| self.request(&[]))
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

    fn request<'a>(&'a self, piece: &'a [u8]) -> Request<'a> {
        let decoder = &self.decoder;
        let fields = &decoder.body.labels;
        let text = |slot| decoder.body.captures.text(slot, piece).unwrap_or_default();
        let some = |slot| decoder.body.captures.text(slot, piece);
        let (command, database, collection) = names(decoder.opcode, fields, text);
        Request {
            header: decoder.header,
            opcode: decoder.opcode,
            compression: decoder.compression,
            incomplete: decoder.incomplete,
            more_to_come: fields.more_to_come || is_unanswered(decoder.opcode),
            exhaust_allowed: fields.exhaust_allowed,
            checksum_present: fields.checksum_present,
            command,
            database,
            collection,
            call_site: some(Slot::CallSite),
            trace_parent: trace_parent(some),
            hello: fields.is_hello().then(|| Hello {
                application: text(Slot::Application),
                driver: text(Slot::Driver),
                driver_version: text(Slot::DriverVersion),
                awaitable: fields.awaitable,
                load_balanced: fields.load_balanced,
            }),
            sensitive: fields.sensitive,
            lsid: fields.lsid,
            txn_number: fields.txn_number,
            start_transaction: fields.start_transaction,
            autocommit: fields.autocommit,
            cursor_id: fields.cursor_id,
            batch_size: fields.batch_size,
            documents: fields.documents,
            read_preference: some(Slot::ReadPreference),
            max_time_ms: fields.max_time_ms,
            tailable: fields.tailable,
            await_data: fields.await_data,
            no_cursor_timeout: fields.no_cursor_timeout,
            change_stream: fields.change_stream,
            query_class: fields
                .has_filter
                .then_some(fields.id.unwrap_or(QueryClass::Scatter)),
        }
    }
}

/// Legacy writes are not answered, and neither is `OP_KILL_CURSORS`.
fn is_unanswered(opcode: Opcode) -> bool {
    matches!(
        opcode,
        Opcode::Insert | Opcode::Update | Opcode::Delete | Opcode::KillCursors
    )
}

/// Command, database, collection.
fn names<'a>(
    opcode: Opcode,
    fields: &Fields,
    text: impl Fn(Slot) -> &'a [u8],
) -> (&'a [u8], &'a [u8], &'a [u8]) {
    let legacy: &[u8] = match opcode {
        Opcode::Query if !fields.is_legacy_command => b"find",
        Opcode::GetMore => b"getMore",
        Opcode::Insert => b"insert",
        Opcode::Update => b"update",
        Opcode::Delete => b"delete",
        Opcode::KillCursors => b"killCursors",
        _ => b"",
    };
    let namespace = text(Slot::Namespace);
    let dot = memchr::memchr(b'.', namespace).unwrap_or(namespace.len());
    let (database, collection) = (
        namespace.get(..dot).unwrap_or_default(),
        namespace.get(dot + 1..).unwrap_or_default(),
    );
    match opcode {
        Opcode::Query if fields.is_legacy_command => {
            (text(Slot::Command), database, text(Slot::Collection))
        }
        _ if !legacy.is_empty() => (legacy, database, collection),
        _ => (
            text(Slot::Command),
            text(Slot::Database),
            text(Slot::Collection),
        ),
    }
}

/// Makes the call site out of what was found: the comment of the command goes before one in the filter.
fn call_site(captures: &mut Captures, piece: &[u8]) {
    for slot in [
        Slot::Comment,
        Slot::CallingFunction,
        Slot::CommentText,
        Slot::FilterComment,
    ] {
        let Some(text) = captures.text(slot, piece) else {
            continue;
        };
        let found = match slot {
            Slot::Comment | Slot::FilterComment => comment::call_site(text),
            _ => Some(CallSite::Part(
                0..comment::clip(text, crate::limits::CALL_SITE_BYTES).len(),
            )),
        };
        match found {
            Some(CallSite::Part(part)) if !part.is_empty() => {
                captures.put_part(Slot::CallSite, slot, part)
            }
            Some(CallSite::Unescaped(text)) if !text.is_empty() => {
                captures.put(Slot::CallSite, &text)
            }
            _ => continue,
        }
        return;
    }
}

/// The trace context: the message's own goes before that of a comment.
fn trace_parent<'a>(text: impl Fn(Slot) -> Option<&'a [u8]>) -> Option<&'a [u8]> {
    let whole = [Slot::TraceParent, Slot::CommentTrace];
    let whole = whole
        .into_iter()
        .filter_map(&text)
        .find(|text| comment::is_trace_parent(text));
    let mut inside = [Slot::Comment, Slot::FilterComment]
        .into_iter()
        .filter_map(&text);
    whole.or_else(|| inside.find_map(|text| text.get(comment::trace_parent(text)?)))
}

/// One byte more than a `traceparent` has, so that a longer one is seen to be longer.
const TRACE_PARENT_CAPTURE: u16 = TRACE_PARENT_BYTES + 1;
