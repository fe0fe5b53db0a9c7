//! The same for Redis.

use super::{Outcome, pieces, run};
use crate::Step;
use crate::redis::{Kind, Reply, ReplyDecoder, Request, RequestDecoder, Text};
use std::fmt::Debug;

/// Memory that a decoder may hold at any time, in bytes: what is open of a reply that nests as deep as one may, or the texts of a request.
pub const MOST_RETAINED_BYTES: usize = 128 * 1024 + 4 * 1024;

/// Memory that a decoder may hold between two messages, in bytes.
pub const IDLE_BYTES: usize = 2 * 1024;

/// The front of a text, and how long it is.
pub type OwnedText = (Vec<u8>, u64);

/// What a request said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedRequest {
    /// Arguments that it has.
    pub count: u64,
    /// Its size on the wire, in bytes.
    pub bytes: u64,
    /// Those of its arguments that are there.
    pub arguments: Vec<OwnedText>,
}

/// What a reply said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedReply {
    /// What it is.
    pub kind: Kind,
    /// Values that it announces.
    pub elements: u64,
    /// Its last integer.
    pub integer: Option<i64>,
    /// Its first text.
    pub text: Option<OwnedText>,
    /// Its size on the wire, in bytes.
    pub bytes: u64,
}

impl From<Request<'_>> for OwnedRequest {
    fn from(request: Request<'_>) -> Self {
        let arguments = (0..).map_while(|index| request.argument(index));
        Self {
            count: request.count,
            bytes: request.bytes,
            arguments: arguments.map(owned_text).collect(),
        }
    }
}

impl From<Reply<'_>> for OwnedReply {
    fn from(reply: Reply<'_>) -> Self {
        Self {
            kind: reply.kind,
            elements: reply.elements,
            integer: reply.integer,
            text: reply.text.map(owned_text),
            bytes: reply.bytes,
        }
    }
}

/// Decodes a stream of requests that comes in pieces of these sizes, over and over; and what is pending at its end.
pub fn requests(stream: &[u8], sizes: &[usize]) -> (Outcome<OwnedRequest>, Option<OwnedRequest>) {
    let mut decoder = RequestDecoder::new();
    let outcome = run(stream, sizes, |bytes| {
        let step = owned(decoder.advance(bytes));
        (step, decoder.retained_bytes())
    });
    let outcome = Outcome {
        between_messages: decoder.is_between_messages(),
        ..outcome
    };
    (outcome, decoder.pending().map(OwnedRequest::from))
}

/// The same for replies.
pub fn replies(stream: &[u8], sizes: &[usize]) -> (Outcome<OwnedReply>, Option<Kind>) {
    let mut decoder = ReplyDecoder::new();
    let outcome = run(stream, sizes, |bytes| {
        let step = owned(decoder.advance(bytes));
        (step, decoder.retained_bytes())
    });
    let outcome = Outcome {
        between_messages: decoder.is_between_messages(),
        ..outcome
    };
    (outcome, decoder.pending_kind())
}

/// Decodes a stream of requests in pieces and whole. The first bytes of `data` choose the pieces: a count, then so many sizes.
///
/// # Errors
/// Says which of the things that must hold does not.
pub fn check_requests(data: &[u8]) -> Result<(), String> {
    check(data, requests, |request, passed| {
        // What is passed over in front of a request belongs to none.
        let kept = request.arguments.len() as u64;
        request.bytes <= passed && request.count > 0 && kept <= request.count
    })
}

/// The same for replies.
///
/// # Errors
/// Says which of the things that must hold does not.
pub fn check_replies(data: &[u8]) -> Result<(), String> {
    check(data, replies, |reply, passed| reply.bytes == passed)
}

/// `holds` is asked of each message, and of the bytes that passed since the one before it.
fn check<M: Debug + PartialEq, P: Debug + PartialEq>(
    data: &[u8],
    decode: impl Fn(&[u8], &[usize]) -> (Outcome<M>, P),
    holds: impl Fn(&M, u64) -> bool,
) -> Result<(), String> {
    let (sizes, stream) = pieces(data);
    let mut whole = decode(stream, &[]);
    let mut pieces = decode(stream, &sizes);
    for (outcome, _) in [&mut whole, &mut pieces] {
        let held = std::mem::take(&mut outcome.most_retained);
        if held > MOST_RETAINED_BYTES {
            return Err(format!("{held} bytes are held"));
        }
    }
    if whole != pieces {
        return Err(format!(
            "in pieces of {sizes:?}: {pieces:#?}\nwhole: {whole:#?}"
        ));
    }
    let mut begins = 0;
    for (ends, message) in &whole.0.messages {
        if !holds(message, (ends - begins) as u64) {
            return Err(format!("from {begins} to {ends}: {message:#?}"));
        }
        begins = *ends;
    }
    Ok(())
}

fn owned<M, O: From<M>>(step: Step<M>) -> Step<O> {
    match step {
        Step::NeedMore => Step::NeedMore,
        Step::Message { consumed, message } => Step::Message {
            consumed,
            message: message.into(),
        },
        Step::Malformed(reason) => Step::Malformed(reason),
    }
}

fn owned_text(text: Text<'_>) -> OwnedText {
    (text.bytes.to_vec(), text.length)
}
