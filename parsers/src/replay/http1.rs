//! The same for HTTP/1, and what must hold for what is passed on.

use super::{Outcome, check, owned, pieces, run};
use crate::Malformed;
use crate::http1::{
    Body, BodyStep, Event, Framing, Headers, MAX_HEAD_BYTES, ReplyDecoder, RequestDecoder,
    RequestKind, Seen, Step,
};
use std::fmt::Debug;

/// Memory that a decoder may hold at any time, in bytes: the start of a head, with the room that it grew into, and the places of fields.
pub const MOST_RETAINED_BYTES: usize = 2 * MAX_HEAD_BYTES + 8 * 1024;

/// Decodes a stream of requests that comes in pieces of these sizes, over and over.
pub fn requests(stream: &[u8], sizes: &[usize]) -> Outcome {
    let mut decoder = RequestDecoder::new();
    let outcome = run(stream, sizes, |bytes| {
        let step = owned(shown(decoder.advance(bytes)));
        (step, decoder.retained_bytes())
    });
    Outcome {
        between_messages: decoder.is_between_messages(),
        ..outcome
    }
}

/// Decodes a stream of replies to requests of one kind that comes in pieces of these sizes, over and over.
pub fn replies(stream: &[u8], sizes: &[usize], kind: RequestKind) -> Outcome {
    let mut decoder = ReplyDecoder::new();
    let outcome = run(stream, sizes, |bytes| {
        let step = owned(shown(decoder.advance(bytes, kind)));
        (step, decoder.retained_bytes())
    });
    Outcome {
        between_messages: decoder.is_between_messages(),
        ..outcome
    }
}

/// Decodes a stream of requests in pieces and whole. The first bytes of `data` choose the pieces: a count, then so many sizes.
///
/// # Errors
/// Says which of the things that must hold does not.
pub fn check_requests(data: &[u8]) -> Result<(), String> {
    check(data, requests, MOST_RETAINED_BYTES)
}

/// The same for replies, to requests that are all of one kind.
///
/// # Errors
/// Says which of the things that must hold does not.
pub fn check_replies(data: &[u8]) -> Result<(), String> {
    for kind in [RequestKind::Other, RequestKind::Head, RequestKind::Connect] {
        let decode = |stream: &[u8], sizes: &[usize]| replies(stream, sizes, kind);
        check(data, decode, MOST_RETAINED_BYTES)?;
    }
    Ok(())
}

/// Reads a chunked body in pieces and whole, and reads again what is passed on of it: that has the same content, ends where it ends, and
/// leaves nothing to be dropped.
///
/// # Errors
/// Says which of the things that must hold does not.
pub fn check_body(data: &[u8]) -> Result<(), String> {
    let (sizes, stream) = pieces(data);
    let whole = Passed::read(stream, &[]);
    let cut = Passed::read(stream, &sizes);
    if whole != cut {
        return Err(format!("in pieces of {sizes:?}: {cut:?}\nwhole: {whole:?}"));
    }
    if whole.end != Some(Ok(())) {
        return Ok(());
    }
    let again = Passed::read(&whole.forwarded, &[]);
    let same = Passed {
        length: whole.forwarded.len(),
        dropped: 0,
        ..whole.clone()
    };
    if again != same {
        return Err(format!("read again: {again:?}\nfirst: {whole:?}"));
    }
    Ok(())
}

/// What becomes of a chunked body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Passed {
    content: Vec<u8>,
    /// What a peer of HTTP/1 is sent.
    forwarded: Vec<u8>,
    /// Bytes of the body.
    length: usize,
    /// Bytes and fields that are not passed on.
    dropped: usize,
    end: Option<Result<(), Malformed>>,
}

impl Passed {
    fn read(stream: &[u8], sizes: &[usize]) -> Self {
        let mut body = Body::new(Framing::Chunked);
        let mut trailers = Headers::new();
        let mut passed = Self::default();
        let mut sizes = sizes.iter().cycle();
        let mut shown = 0;
        loop {
            let rest = stream.get(passed.length..shown).unwrap_or_default();
            match body.advance(rest, &mut trailers) {
                BodyStep::Forward(count) => {
                    let data = rest.get(..count).unwrap_or_default();
                    passed.content.extend_from_slice(data);
                    passed.forward(data);
                }
                BodyStep::Frame(count) => passed.forward(rest.get(..count).unwrap_or_default()),
                BodyStep::Drop(count) => {
                    passed.length += count;
                    passed.dropped += count;
                }
                BodyStep::Trailers { consumed, dropped } => {
                    for field in &trailers {
                        passed.forwarded.extend_from_slice(field.line.of(rest));
                    }
                    passed.forwarded.extend_from_slice(b"\r\n");
                    passed.length += consumed;
                    passed.dropped += dropped;
                }
                BodyStep::NeedMore if shown < stream.len() => {
                    let size = sizes.next().map_or(stream.len(), |size| *size);
                    shown = stream.len().min(shown + size.max(1));
                }
                BodyStep::NeedMore => return passed,
                BodyStep::End => return passed.with_end(Ok(())),
                BodyStep::Malformed(reason) => return passed.with_end(Err(reason)),
            }
        }
    }

    fn forward(&mut self, bytes: &[u8]) {
        self.forwarded.extend_from_slice(bytes);
        self.length += bytes.len();
    }

    fn with_end(self, end: Result<(), Malformed>) -> Self {
        Self {
            end: Some(end),
            ..self
        }
    }
}

/// A step with what the head says in words.
fn shown<H: Debug>(step: Step<Event<Seen<'_, H>>>) -> Step<String> {
    match step {
        Step::NeedMore => Step::NeedMore,
        Step::Message { consumed, message } => Step::Message {
            consumed,
            message: match message {
                Event::Head(seen) => format!("{:?} {}", seen.head, fields(&seen)),
                Event::End { content } => format!("{content} bytes"),
            },
        },
        Step::Malformed(reason) => Step::Malformed(reason),
    }
}

fn fields<H>(seen: &Seen<'_, H>) -> String {
    seen.fields()
        .iter()
        .map(|field| {
            let name = seen.text(field.name).escape_ascii();
            let value = seen.text(field.value).escape_ascii();
            format!("{name}={value};")
        })
        .collect()
}
