//! Texts that will be reported: places in the bytes at hand, copied only when those bytes go away before the message is complete.

use super::input::Token;
use crate::limits::RETAINED_BYTES;
use std::ops::Range;

/// What a captured text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Slot {
    Command,
    Database,
    Collection,
    /// `database.collection`: of a legacy request, or of the cursor in a reply.
    Namespace,
    /// The string `comment` of a command.
    Comment,
    /// `callingFunction` of a comment document.
    CallingFunction,
    /// `text` of a comment document.
    CommentText,
    /// `traceparent` of a comment document.
    CommentTrace,
    /// The string `$comment` of a filter or a legacy query.
    FilterComment,
    /// `traceparent` of a section of kind 3.
    TraceParent,
    ReadPreference,
    Application,
    Driver,
    DriverVersion,
    /// What has been made out of the comments.
    CallSite,
    CodeName,
    /// The entry of `errorLabels` that is being read.
    ErrorLabel,
}

const SLOTS: usize = 17;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Nowhere,
    Piece,
    Spill,
}

#[derive(Debug, Clone, Copy, Default)]
struct Span {
    start: u32,
    len: u16,
    place: Place,
}

/// The captured texts of one message. Each slot is filled once, by the first that comes: a message that repeats a field cannot make it grow.
#[derive(Debug, Default)]
pub(super) struct Captures {
    spans: [Span; SLOTS],
    open: Option<Slot>,
    spill: Vec<u8>,
}

impl Captures {
    /// Forgets everything, and gives memory back that is more than a usual message needs.
    pub(super) fn clear(&mut self) {
        self.spans = Default::default();
        self.open = None;
        self.spill.clear();
        if self.spill.capacity() > RETAINED_BYTES {
            self.spill = Vec::new();
        }
    }

    /// The slot has a text, perhaps an empty one.
    pub(super) fn is_set(&self, slot: Slot) -> bool {
        self.span(slot).place != Place::Nowhere
    }

    /// Captures a name.
    pub(super) fn set(&mut self, slot: Slot, name: Token<'_>, limit: usize) {
        if self.is_set(slot) {
            return;
        }
        let text = name.text.get(..limit).unwrap_or(name.text);
        match name.at {
            Some(at) => self.found(slot, at, text.len() as u16),
            None => self.put(slot, text),
        }
    }

    /// Captures what stands at a place in the piece.
    pub(super) fn found(&mut self, slot: Slot, at: usize, len: u16) {
        *self.span_mut(slot) = Span {
            start: at as u32,
            len,
            place: Place::Piece,
        };
    }

    /// Starts to capture what stands at a place in the piece.
    pub(super) fn begin(&mut self, slot: Slot, at: usize) {
        self.open = Some(slot);
        self.found(slot, at, 0);
    }

    /// Starts to capture what does not stand in the piece.
    fn begin_spilled(&mut self, slot: Slot) {
        self.open = Some(slot);
        *self.span_mut(slot) = Span {
            start: self.spill.len() as u32,
            len: 0,
            place: Place::Spill,
        };
    }

    /// Adds the next bytes to the capture that was begun last.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        let Some(slot) = self.open else { return };
        let span = self.span_mut(slot);
        span.len += bytes.len() as u16;
        if span.place == Place::Spill {
            self.spill.extend_from_slice(bytes);
        }
    }

    /// Length of the capture that was begun last, in bytes.
    pub(super) fn open_len(&self) -> Option<u16> {
        self.open.map(|slot| self.span(slot).len)
    }

    /// The capture that was begun last is complete.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    /// Captures a text that was made rather than found.
    pub(super) fn put(&mut self, slot: Slot, text: &[u8]) {
        self.begin_spilled(slot);
        self.extend(text);
        self.open = None;
    }

    /// Captures a part of what another slot has.
    pub(super) fn put_part(&mut self, slot: Slot, of: Slot, part: Range<usize>) {
        let whole = self.span(of);
        *self.span_mut(slot) = Span {
            start: whole.start + part.start as u32,
            len: part.len() as u16,
            place: whole.place,
        };
    }

    /// Empties a slot. What it held is given up if it was captured last, so that a slot can be used many times.
    pub(super) fn release(&mut self, slot: Slot) {
        let span = std::mem::take(self.span_mut(slot));
        let end = span.start as usize + usize::from(span.len);
        if span.place == Place::Spill && end == self.spill.len() {
            self.spill.truncate(span.start as usize);
        }
    }

    /// Copies what stands in the piece, which is about to go away. The open capture goes last, so that it can grow.
    pub(super) fn spill(&mut self, piece: &[u8]) {
        let open = self.open.map(|slot| slot as usize);
        let closed = (0..SLOTS).filter(|index| Some(*index) != open);
        for index in closed.chain(open) {
            let Some(span) = self
                .spans
                .get_mut(index)
                .filter(|span| span.place == Place::Piece)
            else {
                continue;
            };
            let text = slice(piece, *span);
            span.start = self.spill.len() as u32;
            span.place = Place::Spill;
            self.spill.extend_from_slice(text);
        }
    }

    /// The text of a slot, if it has one. `piece` is what was shown last.
    pub(super) fn text<'a>(&'a self, slot: Slot, piece: &'a [u8]) -> Option<&'a [u8]> {
        let span = self.span(slot);
        match span.place {
            Place::Nowhere => None,
            Place::Piece => Some(slice(piece, span)),
            Place::Spill => Some(slice(&self.spill, span)),
        }
    }

    /// Heap memory that is held, in bytes.
    pub(super) fn retained_bytes(&self) -> usize {
        self.spill.capacity()
    }

    #[allow(clippy::indexing_slicing)] // a slot is below SLOTS by its type
    fn span(&self, slot: Slot) -> Span {
        self.spans[slot as usize]
    }

    #[allow(clippy::indexing_slicing)] // as above
    fn span_mut(&mut self, slot: Slot) -> &mut Span {
        &mut self.spans[slot as usize]
    }
}

fn slice(bytes: &[u8], span: Span) -> &[u8] {
    let start = span.start as usize;
    bytes
        .get(start..start + usize::from(span.len))
        .unwrap_or_default()
}
