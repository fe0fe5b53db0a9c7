//! The walk over a BSON document as it streams by. It goes down only into what is labelled, with a small stack of its own instead of
//! recursion, and passes over everything else by its length.

mod at_hand;

use super::capture::{Captures, Slot};
use super::input::{Input, Reader};
use super::labels::{Action, Element, Kind, Labels, Scalar};
use crate::Malformed;
use crate::limits::WALK_DEPTH;
use std::ops::ControlFlow::{self, Break, Continue};

/// Bytes of the shortest document: its length and its end.
pub(super) const SHORTEST_DOCUMENT: u32 = 5;

/// A walk that can stop at any byte and go on.
#[derive(Debug)]
pub(super) struct Walker<L: Labels> {
    state: State<L>,
    /// The document that is being walked.
    here: Frame<L::Role>,
    /// Those around it, and how many they are.
    around: [Frame<L::Role>; WALK_DEPTH - 1],
    depth: u8,
}

#[derive(Debug, Clone, Copy)]
struct Frame<Role> {
    /// Position of the document's end byte; what stands in the document ends before it.
    last: u32,
    role: Role,
    /// No element has been read yet.
    first: bool,
}

#[derive(Debug)]
enum State<L: Labels> {
    /// At the length of a document, which may reach up to a position.
    Document(L::Role, u32),
    /// At the type of an element.
    Element,
    Name(Kind),
    Scalar(Kind, L::Field),
    /// At the length of a value.
    Length(Kind, Action<L::Role, L::Field>),
    /// In a string: bytes to come, and how many of them to capture.
    Text {
        slot: Slot,
        left: u32,
        keep: u16,
    },
    /// At the subtype of a binary of 16 bytes.
    Uuid,
    /// In a regular expression: C strings to come.
    Regex(u8),
    /// Behind the document.
    End,
}

// By hand, because derive would ask it of `L`.
impl<L: Labels> Clone for State<L> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<L: Labels> Copy for State<L> {}

/// What comes next, or where to go on when the piece has ended.
type Flow<L> = Result<ControlFlow<State<L>, State<L>>, Malformed>;

/// Everything that a walk reads from and reports to.
pub(super) struct Walk<'w, 'b, L> {
    pub(super) input: &'w mut Input<'b>,
    pub(super) reader: &'w mut Reader,
    pub(super) captures: &'w mut Captures,
    pub(super) labels: &'w mut L,
}

impl<L: Labels> Default for Walker<L> {
    fn default() -> Self {
        let none = Frame {
            last: 0,
            role: L::BODY,
            first: false,
        };
        Self {
            state: State::End,
            here: none,
            around: [none; WALK_DEPTH - 1],
            depth: 0,
        }
    }
}

impl<L: Labels> Walker<L> {
    /// Prepares for a document that starts here and must end at `limit` or before.
    pub(super) fn start(&mut self, role: L::Role, limit: u32) {
        self.depth = 0;
        self.state = State::Document(role, limit);
    }

    /// Goes on. True when the document is complete.
    pub(super) fn advance(&mut self, walk: &mut Walk<'_, '_, L>) -> Result<bool, Malformed> {
        while walk.reader.settle(walk.input) {
            if matches!(self.state, State::Element) && walk.reader.is_empty() {
                self.at_hand(walk);
            }
            // Whatever of an element lies within the piece is read in one step, from its type to its value.
            let flow = match self.state {
                State::Document(role, limit) => self.document(role, limit, walk),
                State::Element => self.element(walk),
                State::Name(kind) => self.name(kind, walk),
                State::Scalar(kind, field) => self.scalar(kind, field, walk),
                State::Length(kind, action) => self.length(kind, action, walk),
                State::Text { slot, left, keep } => Ok(text(slot, left, keep, walk)),
                State::Uuid => Ok(uuid(walk)),
                State::Regex(left) => self.regex(left, walk),
                State::End => return Ok(true),
            };
            match flow? {
                Continue(next) => self.state = next,
                Break(here) => {
                    self.state = here;
                    break;
                }
            }
        }
        Ok(false)
    }

    fn document(&mut self, role: L::Role, limit: u32, walk: &mut Walk<'_, '_, L>) -> Flow<L> {
        let Some(bytes) = walk.reader.fixed(walk.input) else {
            return Ok(Break(State::Document(role, limit)));
        };
        let length = u32::from_le_bytes(bytes);
        let start = walk.input.position().wrapping_sub(4);
        if length < SHORTEST_DOCUMENT || length > limit.saturating_sub(start) {
            return Err(Malformed::DocumentLength);
        }
        self.here = Frame::new(role, start + length);
        Ok(Continue(State::Element))
    }

    fn element(&mut self, walk: &mut Walk<'_, '_, L>) -> Flow<L> {
        let Some([number]) = walk.reader.fixed(walk.input) else {
            return Ok(Break(State::Element));
        };
        if number == 0 {
            if walk.input.position() != self.here.last + 1 {
                return Err(Malformed::DocumentLength);
            }
            return Ok(Continue(self.pop()));
        }
        if walk.input.position() > self.here.last {
            return Err(Malformed::DocumentLength);
        }
        let kind = Kind::from_wire(number).ok_or(Malformed::UnknownType)?;
        self.name(kind, walk)
    }

    fn name(&mut self, kind: Kind, walk: &mut Walk<'_, '_, L>) -> Flow<L> {
        let Some(name) = walk.reader.name(walk.input, self.here.last)? else {
            return Ok(Break(State::Name(kind)));
        };
        let element = Element {
            role: self.here.role,
            first: std::mem::take(&mut self.here.first),
            kind,
            name,
        };
        let action = walk.labels.element(element, walk.captures);
        self.value(kind, action, walk)
    }

    /// Decides how to go over a value.
    fn value(
        &mut self,
        kind: Kind,
        action: Action<L::Role, L::Field>,
        walk: &mut Walk<'_, '_, L>,
    ) -> Flow<L> {
        let size = match kind {
            Kind::Double | Kind::Int64 => 8,
            Kind::Int32 => 4,
            Kind::Bool => 1,
            Kind::Fixed(size) => u32::from(size),
            Kind::Regex => return self.regex(2, walk),
            _ => return self.length(kind, action, walk),
        };
        if let Action::Scalar(field) = action
            && !matches!(kind, Kind::Fixed(_))
        {
            return self.scalar(kind, field, walk);
        }
        if size > self.here.last.saturating_sub(walk.input.position()) {
            return Err(Malformed::ValueLength);
        }
        walk.reader.skip(walk.input, size);
        Ok(Continue(State::Element))
    }

    fn scalar(&mut self, kind: Kind, field: L::Field, walk: &mut Walk<'_, '_, L>) -> Flow<L> {
        let (reader, input) = (&mut *walk.reader, &mut *walk.input);
        let value = match kind {
            Kind::Bool => reader
                .fixed::<1>(input)
                .and_then(|bytes| Scalar::read(kind, &bytes)),
            Kind::Int32 => reader
                .fixed::<4>(input)
                .and_then(|bytes| Scalar::read(kind, &bytes)),
            _ => reader
                .fixed::<8>(input)
                .and_then(|bytes| Scalar::read(kind, &bytes)),
        };
        let Some(value) = value else {
            return Ok(Break(State::Scalar(kind, field)));
        };
        if walk.input.position() > self.here.last {
            return Err(Malformed::ValueLength);
        }
        walk.labels.scalar(field, value);
        Ok(Continue(State::Element))
    }

    fn length(
        &mut self,
        kind: Kind,
        action: Action<L::Role, L::Field>,
        walk: &mut Walk<'_, '_, L>,
    ) -> Flow<L> {
        let Some(bytes) = walk.reader.fixed(walk.input) else {
            return Ok(Break(State::Length(kind, action)));
        };
        let length = u32::from_le_bytes(bytes);
        let room = self
            .here
            .last
            .checked_sub(walk.input.position())
            .ok_or(Malformed::ValueLength)?;
        let follows = follows(kind, length, room)?;
        match (kind, action) {
            (Kind::Document | Kind::Array, Action::Descend(role))
                if self.push(role, walk.input.position() + follows) =>
            {
                Ok(Continue(State::Element))
            }
            (Kind::String, Action::Text(slot, keep)) if !walk.captures.is_set(slot) => {
                walk.captures.begin(slot, walk.input.at());
                Ok(text(slot, follows, keep, walk))
            }
            (Kind::Binary, Action::Uuid) if length == 16 => Ok(uuid(walk)),
            _ => {
                walk.reader.skip(walk.input, follows);
                Ok(Continue(State::Element))
            }
        }
    }

    fn regex(&mut self, left: u8, walk: &mut Walk<'_, '_, L>) -> Flow<L> {
        if walk.reader.name(walk.input, self.here.last)?.is_none() {
            return Ok(Break(State::Regex(left)));
        }
        Ok(Continue(if left > 1 {
            State::Regex(left - 1)
        } else {
            State::Element
        }))
    }

    /// Goes down into a document that ends in front of a position. False when that is too deep.
    fn push(&mut self, role: L::Role, end: u32) -> bool {
        let Some(free) = self.around.get_mut(usize::from(self.depth)) else {
            return false;
        };
        *free = self.here;
        self.depth += 1;
        self.here = Frame::new(role, end);
        true
    }

    /// Goes up into the document around this one.
    fn pop(&mut self) -> State<L> {
        let above = usize::from(self.depth)
            .checked_sub(1)
            .and_then(|top| self.around.get(top));
        let Some(above) = above else {
            return State::End;
        };
        self.here = *above;
        self.depth -= 1;
        State::Element
    }
}

impl<Role> Frame<Role> {
    fn new(role: Role, end: u32) -> Self {
        Self {
            last: end - 1,
            role,
            first: true,
        }
    }
}

/// How many bytes follow the length of a value, if they fit into the room that its document has.
fn follows(kind: Kind, length: u32, room: u32) -> Result<u32, Malformed> {
    let (follows, least) = match kind {
        Kind::Document | Kind::Array => (length.checked_sub(4), 1),
        // int32 length, string (at least 5 bytes), document (at least 5 bytes)
        Kind::CodeWithScope => (length.checked_sub(4), 10),
        Kind::Binary => (length.checked_add(1), 1),
        Kind::DbPointer => (length.checked_add(12), 13),
        _ => (Some(length), 1),
    };
    let fitting = follows.filter(|follows| (least..=room).contains(follows));
    fitting.ok_or(if kind.is_nested() {
        Malformed::DocumentLength
    } else {
        Malformed::ValueLength
    })
}

/// Captures what is at hand of a string.
fn text<L: Labels>(
    slot: Slot,
    left: u32,
    keep: u16,
    walk: &mut Walk<'_, '_, L>,
) -> ControlFlow<State<L>, State<L>> {
    // The last byte is the NUL that ends the string.
    let kept = walk.input.take(u32::from(keep).min(left - 1));
    walk.captures.extend(kept);
    let left = left - kept.len() as u32;
    let keep = keep - kept.len() as u16;
    if keep > 0 && left > 1 {
        return Break(State::Text { slot, left, keep });
    }
    walk.captures.close();
    walk.labels
        .captured(slot, walk.captures, walk.input.piece());
    walk.reader.skip(walk.input, left);
    Continue(State::Element)
}

/// Reads the subtype and the 16 bytes of a binary.
fn uuid<L: Labels>(walk: &mut Walk<'_, '_, L>) -> ControlFlow<State<L>, State<L>> {
    let Some([_, id @ ..]) = walk.reader.fixed::<17>(walk.input) else {
        return Break(State::Uuid);
    };
    walk.labels.uuid(id);
    Continue(State::Element)
}
