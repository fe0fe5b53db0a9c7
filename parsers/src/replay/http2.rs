//! The same for HTTP/2.

use crate::http2::hpack::{self, Field, List};
use crate::http2::{Event, FrameDecoder, FrameScanner, Malformed, PREFACE};
use std::fmt::Write;

/// Memory that a decoder may hold at any time, in bytes: a field that a boundary cut (60 KiB), and an arena that has grown for a
/// table of 64 KiB, twice, and for the text of such a field in Huffman code, by doubling.
pub const MOST_RETAINED_BYTES: usize = 640 * 1024;

/// What came of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Each event; the pieces of a body that come one after the other are one.
    pub events: Vec<String>,
    /// Why decoding stopped, if it did.
    pub malformed: Option<Malformed>,
    /// The stream ends between two frames.
    pub between_frames: bool,
    /// The most memory that was held, in bytes.
    pub most_retained: usize,
    /// The body that is being received: stream, bytes.
    body: Option<(u32, Vec<u8>)>,
}

impl Outcome {
    fn add(&mut self, event: Event<'_>) {
        let Event::Data {
            stream,
            bytes,
            end_stream,
        } = event
        else {
            self.end_body(false);
            self.events.push(match event {
                Event::Field { stream, field } => format!("{stream} {}", text(&field)),
                other => format!("{other:?}"),
            });
            return;
        };
        if self.body.as_ref().is_some_and(|(of, _)| *of != stream) {
            self.end_body(false);
        }
        let (_, body) = self.body.get_or_insert_with(|| (stream, Vec::new()));
        body.extend_from_slice(bytes);
        if end_stream {
            self.end_body(true);
        }
    }

    fn end_body(&mut self, end_stream: bool) {
        if let Some((stream, body)) = self.body.take() {
            let body = body.escape_ascii();
            let mut event = format!("Data {stream} \"{body}\"");
            if end_stream {
                event.push_str(" end");
            }
            self.events.push(event);
        }
    }
}

/// `name: value`, with what the name means if that is something.
fn text(field: &Field<'_>) -> String {
    let mut text = format!(
        "{}: {}",
        field.name.escape_ascii(),
        field.value.escape_ascii()
    );
    if field.known != hpack::Known::Other {
        // Writing to a string does not fail.
        let _ = write!(text, " ({:?})", field.known);
    }
    text
}

/// Decodes what a client sends, in pieces of these sizes, over and over; none mean one piece.
pub fn client(stream: &[u8], sizes: &[usize]) -> Outcome {
    frames(FrameDecoder::client(), stream, sizes)
}

/// Decodes what a server sends.
pub fn server(stream: &[u8], sizes: &[usize]) -> Outcome {
    frames(FrameDecoder::server(), stream, sizes)
}

/// Decodes with a decoder that may have been told something.
pub fn frames(mut decoder: FrameDecoder, stream: &[u8], sizes: &[usize]) -> Outcome {
    let mut outcome = Outcome::default();
    for piece in pieces(stream, sizes) {
        let result = decoder.advance(piece, &mut |event| outcome.add(event));
        outcome.most_retained = outcome.most_retained.max(decoder.retained_bytes());
        if let Err(reason) = result {
            outcome.malformed = Some(reason);
            break;
        }
    }
    outcome.end_body(false);
    outcome.between_frames = decoder.is_between_frames();
    outcome
}

/// What came of a list of fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    /// Name and value of each field that was reported.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// What the list was, or why it is none.
    pub list: Result<List, Malformed>,
}

/// Decodes a list of fields in pieces of these sizes, over and over; none mean one piece.
pub fn list(decoder: &mut hpack::Decoder, list: &[u8], sizes: &[usize]) -> Fields {
    let mut fields = Vec::new();
    let mut result = Ok(());
    for piece in pieces(list, sizes) {
        result = decoder.advance(piece, &mut |field| {
            fields.push((field.name.to_vec(), field.value.to_vec()));
        });
        if result.is_err() {
            break;
        }
    }
    Fields {
        fields,
        list: result.and_then(|()| decoder.finish()),
    }
}

/// Decodes what a client or a server sends in pieces and whole. The first byte of `data` says who sends it and, with those after it, how
/// large the pieces are.
///
/// # Errors
/// Says which of the things that must hold does not.
pub fn check_frames(data: &[u8]) -> Result<(), String> {
    let (first, sizes, stream) = split(data);
    let is_client = first & 8 != 0;
    let stream = if is_client {
        [PREFACE, stream].concat()
    } else {
        stream.to_vec()
    };
    let decode = if is_client { client } else { server };
    let whole = decode(&stream, &[]);
    let cut = decode(&stream, &sizes);
    check_retained(whole.most_retained)?;
    check_retained(cut.most_retained)?;
    let same = |outcome: &Outcome| Outcome {
        most_retained: 0,
        ..outcome.clone()
    };
    if same(&whole) != same(&cut) {
        return Err(format!(
            "in pieces of {sizes:?}: {cut:#?}\nwhole: {whole:#?}"
        ));
    }
    check_scanner(&stream, is_client, &sizes)
}

/// A scanner finds the same heads, however a stream is cut.
fn check_scanner(stream: &[u8], is_client: bool, sizes: &[usize]) -> Result<(), String> {
    let scan = |sizes: &[usize]| {
        let mut scanner = if is_client {
            FrameScanner::client()
        } else {
            FrameScanner::server()
        };
        let mut heads = Vec::new();
        for mut piece in pieces(stream, sizes) {
            while let Some(head) = scanner.next(&mut piece) {
                heads.push(head);
            }
        }
        heads
    };
    if scan(&[]) == scan(sizes) {
        Ok(())
    } else {
        Err(format!("the scanner differs in pieces of {sizes:?}"))
    }
}

/// Decodes lists of fields in pieces and whole. The first byte of `data` says with those after it how large the pieces are; then
/// each list has two bytes of length in front.
///
/// # Errors
/// Says which of the things that must hold does not.
pub fn check_lists(data: &[u8]) -> Result<(), String> {
    let (_, sizes, mut rest) = split(data);
    let mut whole = hpack::Decoder::new();
    let mut cut = hpack::Decoder::new();
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes(*length));
        let (bytes, after) = after.split_at_checked(length).unwrap_or((after, &[]));
        rest = after;
        let one = list(&mut whole, bytes, &[]);
        let other = list(&mut cut, bytes, &sizes);
        if one != other {
            return Err(format!(
                "in pieces of {sizes:?}: {other:#?}\nwhole: {one:#?}"
            ));
        }
        check_retained(whole.retained_bytes())?;
        check_retained(cut.retained_bytes())?;
        let Ok(result) = one.list else { break };
        let size: usize = one
            .fields
            .iter()
            .map(|(name, value)| name.len() + value.len() + 32)
            .sum();
        if result.cut != (result.bytes > size as u64) || one.fields.len() > result.fields as usize {
            return Err(format!("{size} bytes of fields in {result:?}"));
        }
    }
    Ok(())
}

fn check_retained(bytes: usize) -> Result<(), String> {
    if bytes > MOST_RETAINED_BYTES {
        return Err(format!("{bytes} bytes are held"));
    }
    Ok(())
}

/// The first byte, the sizes of pieces, and what comes after them.
fn split(data: &[u8]) -> (u8, Vec<usize>, &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return (0, Vec::new(), &[]);
    };
    let (sizes, rest) = rest
        .split_at_checked(usize::from(first % 8))
        .unwrap_or((&[], rest));
    let sizes = sizes.iter().map(|size| usize::from(*size) + 1).collect();
    (*first, sizes, rest)
}

/// The pieces of a stream; no sizes mean one piece.
fn pieces<'b>(stream: &'b [u8], sizes: &[usize]) -> impl Iterator<Item = &'b [u8]> {
    let mut sizes = sizes.iter().cycle();
    let mut left = stream;
    std::iter::from_fn(move || {
        if left.is_empty() {
            return None;
        }
        let size = sizes
            .next()
            .map_or(left.len(), |size| (*size).clamp(1, left.len()));
        let (piece, after) = left.split_at_checked(size)?;
        left = after;
        Some(piece)
    })
}
