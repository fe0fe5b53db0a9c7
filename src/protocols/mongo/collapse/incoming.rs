//! A reply on its way from a server to a client: it has to be the one that was asked for, and nothing but that.

use std::borrow::Cow;
use std::time::Instant;

use narrows_parsers::mongo::{Compressor, Header, Opcode, Reply, Step, inflate_message};

use super::operation::Operation;
use super::{CollapseListener, Session};
use crate::protocols::mongo::compress::{WORTH_COMPRESSING_BYTES, compress};
use crate::protocols::mongo::rewrite;
use crate::protocols::mongo::wire::HEADER_BYTES;
use crate::upstream::EndpointId;

/// Replies up to this are looked at as a whole before the client gets a byte: every error document is smaller.
const LOOKED_AT_BYTES: usize = 4 * 1024;

/// Replies up to this are compressed for a client that compresses; larger ones go as they come, which any client takes.
const COMPRESSED_BYTES: usize = 1024 * 1024;

/// Longest reply: what a server announces as `maxMessageSizeBytes`, and the room its own documents may go beyond their limit.
const MAX_REPLY_BYTES: usize = 48_000_000 + 16 * 1024;

/// One reply, as far as it has come.
pub(super) struct Incoming {
    /// The id that the reply has to answer.
    expected: i32,
    /// Bytes of the message that have not come. Meaningful when it has `begun`.
    left: usize,
    begun: bool,
    /// All of it is needed before any of it can go on.
    whole: bool,
    held: Vec<u8>,
    /// How the client compresses.
    client: Option<Compressor>,
    /// What the server may compress with.
    upstream: Option<Compressor>,
}

/// What goes on to the client.
pub(super) struct Piece<'b> {
    pub(super) bytes: Cow<'b, [u8]>,
    /// The reply is complete, and nothing came after it.
    pub(super) done: bool,
}

impl Incoming {
    pub(super) fn new(operation: &Operation, upstream: Option<Compressor>) -> Self {
        Self {
            expected: operation.request_id,
            left: 0,
            begun: false,
            whole: false,
            held: Vec::new(),
            client: operation.compressor,
            upstream,
        }
    }

    /// Takes bytes in. Those that can be dealt with now, if any.
    fn gather<'b>(&mut self, bytes: &'b [u8]) -> Result<Option<Cow<'b, [u8]>>, &'static str> {
        let input = match self.held.is_empty() {
            true => Cow::Borrowed(bytes),
            false => {
                self.held.extend_from_slice(bytes);
                Cow::Owned(std::mem::take(&mut self.held))
            }
        };
        if !self.begun {
            let Some(header) = Header::read(&input) else {
                self.held = input.into_owned();
                return Ok(None);
            };
            self.begin(&header)?;
        }
        if input.len() > self.left {
            return Err("more came than the reply");
        }
        if self.whole && input.len() < self.left {
            self.held = input.into_owned();
            return Ok(None);
        }
        self.left -= input.len();
        Ok(Some(input))
    }

    /// The reply is checked before the client gets any of it.
    fn begin(&mut self, header: &Header) -> Result<(), &'static str> {
        let length = header.length as usize;
        if !(HEADER_BYTES..=MAX_REPLY_BYTES).contains(&length) {
            return Err("its length is out of range");
        }
        if header.response_to != self.expected {
            return Err("it answers another request");
        }
        let compressed = header.opcode == Opcode::Compressed;
        if !matches!(header.opcode, Opcode::Msg | Opcode::Compressed)
            || compressed && self.upstream.is_none()
        {
            return Err("its opcode was not agreed on");
        }
        self.begun = true;
        self.left = length;
        let is_compressed_here = self.client.is_some() && length <= COMPRESSED_BYTES;
        self.whole = length <= LOOKED_AT_BYTES || compressed || is_compressed_here;
        Ok(())
    }

    /// A whole reply as the client gets it. `changes` when it says that its server's state changes.
    fn translated<'b>(
        &self,
        reply: Cow<'b, [u8]>,
        changes: bool,
    ) -> Result<Cow<'b, [u8]>, &'static str> {
        let is_compressed = Header::read(&reply).is_some_and(|h| h.opcode == Opcode::Compressed);
        if is_compressed && self.client == self.upstream && !changes {
            return Ok(reply);
        }
        let mut reply = match is_compressed {
            true => Cow::Owned(inflate_message(&reply).map_err(|_| "it can't be inflated")?),
            false => reply,
        };
        if changes && let Some(changed) = rewrite::as_a_router_says(&reply) {
            reply = Cow::Owned(changed);
        }
        if let Some(compressor) = self.client
            && (WORTH_COMPRESSING_BYTES..=COMPRESSED_BYTES).contains(&reply.len())
            && let Ok(compressed) = compress(&reply, compressor)
        {
            reply = Cow::Owned(compressed);
        }
        Ok(reply)
    }
}

impl Session<'_> {
    /// decode → observe: looks at a part of a reply, and gives what goes on to the client. `Err` with what does not fit.
    pub(super) fn take<'b>(
        &mut self,
        incoming: &mut Incoming,
        operation: &Operation,
        endpoint: EndpointId,
        bytes: &'b [u8],
        read_at: Instant,
    ) -> Result<Piece<'b>, &'static str> {
        let Some(input) = incoming.gather(bytes)? else {
            return Ok(Piece {
                bytes: Cow::Borrowed(&[]),
                done: false,
            });
        };
        if self.replies.is_between_messages() {
            self.pairs.reply_begins(read_at);
        }
        let changes = match self.replies.advance(&input) {
            Step::NeedMore if incoming.left > 0 => false,
            Step::NeedMore => return Err("it ends in the middle of a field"),
            Step::Malformed(reason) => {
                self.listener.mongo.decoding_error(reason.label());
                return Err("it is malformed");
            }
            Step::Message { message, .. } if message.more_to_come => {
                return Err("another reply follows that was not asked for");
            }
            Step::Message { message, .. } => {
                self.replies_read += 1;
                self.pairs.reply(&message, self.replies_read, read_at);
                follow(&self.listener, operation, endpoint, &message, read_at)
            }
        };
        let done = incoming.left == 0;
        let bytes = match incoming.whole {
            true => incoming.translated(input, changes)?,
            false => input,
        };
        Ok(Piece { bytes, done })
    }
}

/// What a reply begins or ends beyond its own exchange. True when it says that the state of its server changes.
fn follow(
    listener: &CollapseListener,
    operation: &Operation,
    endpoint: EndpointId,
    reply: &Reply<'_>,
    now: Instant,
) -> bool {
    let pins = &listener.pins;
    match (reply.cursor_id, operation.cursor) {
        (Some(0), Some(id)) => pins.release_cursor(operation.database, id),
        (Some(id), None) if id != 0 => {
            let mut names = reply.namespace.split(|byte| *byte == b'.');
            let database = pins.database(names.next().unwrap_or_default());
            pins.pin_cursor(database, id, endpoint, operation.keeps_cursor, now);
        }
        // CursorNotFound, CursorKilled
        (None, Some(id)) if reply.cursor_not_found || reply.code == Some(237) => {
            pins.release_cursor(operation.database, id);
        }
        // A killCursors that names one, whatever became of it.
        (None, Some(id)) if reply.cursors_killed.is_some() => {
            pins.release_cursor(operation.database, id);
        }
        _ => {}
    }
    if let Some(transaction) = &operation.transaction {
        // "When to unpin": after abortTransaction, whatever its result, and after errors with either label; not after a commit, which may be
        // repeated.
        let labels = &reply.labels;
        if operation.labelled.aborts
            || labels.transient_transaction()
            || labels.unknown_transaction_commit_result()
        {
            pins.release_transaction(&transaction.session);
        }
    }
    let codes = [reply.code, reply.write_concern_error];
    let changes = codes.into_iter().flatten().any(rewrite::is_state_change);
    if changes {
        listener.servers.request_check(endpoint);
    }
    changes
}
