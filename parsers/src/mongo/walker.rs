//! The walk over a BSON document as it streams by. It goes down only into what is labelled, with a small stack of its own instead of
//! recursion, and passes over everything else by its length.

use super::capture::{Captures, Slot};
use super::input::{Input, Reader};
use super::labels::{Action, Element, Kind, Labels, Scalar};
use crate::Malformed;
use crate::limits::WALK_DEPTH;

/// Bytes of the shortest document: its length and its end.
pub(super) const SHORTEST_DOCUMENT: u32 = 5;

/// A walk that can stop at any byte and go on.
#[derive(Debug)]
pub(super) struct Walker<L: Labels> {
    state: State<L>,
    depth: u8,
    stack: [Frame<L::Role>; WALK_DEPTH],
}

#[derive(Debug, Clone, Copy)]
struct Frame<Role> {
    /// Position behind the document.
    end: u32,
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
}

// By hand, because derive would ask it of `L`.
impl<L: Labels> Clone for State<L> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<L: Labels> Copy for State<L> {}

/// Everything that a walk reads from and reports to.
pub(super) struct Walk<'w, 'b, L> {
    pub(super) input: &'w mut Input<'b>,
    pub(super) reader: &'w mut Reader,
    pub(super) captures: &'w mut Captures,
    pub(super) labels: &'w mut L,
}

impl<L: Labels> Default for Walker<L> {
    fn default() -> Self {
        Self {
            state: State::Element,
            depth: 0,
            stack: [Frame {
                end: 0,
                role: L::BODY,
                first: false,
            }; WALK_DEPTH],
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
            let next = match self.state {
                State::Document(role, limit) => self.document(role, limit, walk)?,
                State::Element => {
                    let Some(next) = self.element(walk)? else {
                        break;
                    };
                    if self.depth == 0 {
                        return Ok(true);
                    }
                    Some(next)
                }
                State::Name(kind) => self.name(kind, walk)?,
                State::Scalar(kind, field) => self.scalar(kind, field, walk)?,
                State::Length(kind, action) => self.length(kind, action, walk)?,
                State::Text { slot, left, keep } => text(slot, left, keep, walk),
                State::Uuid => walk.reader.fixed::<17>(walk.input).map(|bytes| {
                    if let Some(id) = bytes.last_chunk() {
                        walk.labels.uuid(*id);
                    }
                    State::Element
                }),
                State::Regex(0) => Some(State::Element),
                State::Regex(left) => walk
                    .reader
                    .name(walk.input, self.last())?
                    .map(|_| State::Regex(left - 1)),
            };
            let Some(next) = next else { break };
            self.state = next;
        }
        Ok(false)
    }

    fn document(
        &mut self,
        role: L::Role,
        limit: u32,
        walk: &mut Walk<'_, '_, L>,
    ) -> Result<Option<State<L>>, Malformed> {
        let Some(bytes) = walk.reader.fixed(walk.input) else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(bytes);
        let start = walk.input.position().wrapping_sub(4);
        if length < SHORTEST_DOCUMENT || length > limit.saturating_sub(start) {
            return Err(Malformed::DocumentLength);
        }
        self.push(Frame {
            end: start + length,
            role,
            first: true,
        });
        Ok(Some(State::Element))
    }

    fn element(&mut self, walk: &mut Walk<'_, '_, L>) -> Result<Option<State<L>>, Malformed> {
        let Some([number]) = walk.reader.fixed(walk.input) else {
            return Ok(None);
        };
        let last = self.last();
        if number == 0 {
            if walk.input.position() != last + 1 {
                return Err(Malformed::DocumentLength);
            }
            self.depth -= 1;
            return Ok(Some(State::Element));
        }
        if walk.input.position() > last {
            return Err(Malformed::DocumentLength);
        }
        let kind = Kind::from_wire(number).ok_or(Malformed::UnknownType)?;
        Ok(Some(State::Name(kind)))
    }

    fn name(
        &mut self,
        kind: Kind,
        walk: &mut Walk<'_, '_, L>,
    ) -> Result<Option<State<L>>, Malformed> {
        let last = self.last();
        let Some(name) = walk.reader.name(walk.input, last)? else {
            return Ok(None);
        };
        let Some(frame) = self.top() else {
            return Ok(None);
        };
        let element = Element {
            role: frame.role,
            first: std::mem::take(&mut frame.first),
            kind,
            name,
        };
        let action = walk.labels.element(element, walk.captures);
        self.value(kind, action, walk).map(Some)
    }

    /// Decides how to go over a value.
    fn value(
        &mut self,
        kind: Kind,
        action: Action<L::Role, L::Field>,
        walk: &mut Walk<'_, '_, L>,
    ) -> Result<State<L>, Malformed> {
        let size = match kind {
            Kind::Double | Kind::Int64 => 8,
            Kind::Int32 => 4,
            Kind::Bool => 1,
            Kind::Fixed(size) => u32::from(size),
            Kind::Regex => return Ok(State::Regex(2)),
            _ => return Ok(State::Length(kind, action)),
        };
        if let Action::Scalar(field) = action
            && !matches!(kind, Kind::Fixed(_))
        {
            return Ok(State::Scalar(kind, field));
        }
        self.skip(size, walk)
    }

    fn scalar(
        &mut self,
        kind: Kind,
        field: L::Field,
        walk: &mut Walk<'_, '_, L>,
    ) -> Result<Option<State<L>>, Malformed> {
        let value = match kind {
            Kind::Bool => walk
                .reader
                .fixed(walk.input)
                .map(|[byte]| Scalar::Bool(byte != 0)),
            Kind::Int32 => walk
                .reader
                .fixed(walk.input)
                .map(|b| Scalar::Int(i32::from_le_bytes(b).into())),
            Kind::Double => walk
                .reader
                .fixed(walk.input)
                .map(|b| Scalar::Double(f64::from_le_bytes(b))),
            _ => walk
                .reader
                .fixed(walk.input)
                .map(|b| Scalar::Int(i64::from_le_bytes(b))),
        };
        let Some(value) = value else { return Ok(None) };
        if walk.input.position() > self.last() {
            return Err(Malformed::ValueLength);
        }
        walk.labels.scalar(field, value);
        Ok(Some(State::Element))
    }

    fn length(
        &mut self,
        kind: Kind,
        action: Action<L::Role, L::Field>,
        walk: &mut Walk<'_, '_, L>,
    ) -> Result<Option<State<L>>, Malformed> {
        let Some(bytes) = walk.reader.fixed(walk.input) else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(bytes);
        let room = self
            .last()
            .checked_sub(walk.input.position())
            .ok_or(Malformed::ValueLength)?;
        // How many bytes follow the length, and how many at least there must be.
        let (follows, least) = match kind {
            Kind::Document | Kind::Array => (length.checked_sub(4), 1),
            // int32 length, string (at least 5 bytes), document (at least 5 bytes)
            Kind::CodeWithScope => (length.checked_sub(4), 10),
            Kind::Binary => (length.checked_add(1), 1),
            Kind::DbPointer => (length.checked_add(12), 13),
            _ => (Some(length), 1),
        };
        let follows = follows.filter(|follows| (least..=room).contains(follows));
        let follows = follows.ok_or(if kind.is_nested() {
            Malformed::DocumentLength
        } else {
            Malformed::ValueLength
        })?;
        let end = walk.input.position() + follows;
        Ok(Some(match (kind, action) {
            (Kind::Document | Kind::Array, Action::Descend(role))
                if self.push(Frame {
                    end,
                    role,
                    first: true,
                }) =>
            {
                State::Element
            }
            (Kind::String, Action::Text(slot, keep)) if !walk.captures.is_set(slot) => {
                walk.captures.begin(slot, walk.input.at());
                State::Text {
                    slot,
                    left: follows,
                    keep,
                }
            }
            (Kind::Binary, Action::Uuid) if length == 16 => State::Uuid,
            _ => {
                walk.reader.skip(follows);
                State::Element
            }
        }))
    }

    fn skip(&self, size: u32, walk: &mut Walk<'_, '_, L>) -> Result<State<L>, Malformed> {
        if size > self.last().saturating_sub(walk.input.position()) {
            return Err(Malformed::ValueLength);
        }
        walk.reader.skip(size);
        Ok(State::Element)
    }

    /// Position of the end byte of the document that is being walked; what stands in the document ends before it.
    fn last(&self) -> u32 {
        let frame = usize::from(self.depth)
            .checked_sub(1)
            .and_then(|top| self.stack.get(top));
        frame.map_or(0, |frame| frame.end - 1)
    }

    fn top(&mut self) -> Option<&mut Frame<L::Role>> {
        usize::from(self.depth)
            .checked_sub(1)
            .and_then(|top| self.stack.get_mut(top))
    }

    fn push(&mut self, frame: Frame<L::Role>) -> bool {
        let Some(free) = self.stack.get_mut(usize::from(self.depth)) else {
            return false;
        };
        *free = frame;
        self.depth += 1;
        true
    }
}

/// Captures what is at hand of a string.
fn text<L: Labels>(
    slot: Slot,
    left: u32,
    keep: u16,
    walk: &mut Walk<'_, '_, L>,
) -> Option<State<L>> {
    // The last byte is the NUL that ends the string.
    let kept = walk.input.take(u32::from(keep).min(left - 1));
    walk.captures.extend(kept);
    let left = left - kept.len() as u32;
    let keep = keep - kept.len() as u16;
    if keep > 0 && left > 1 {
        // `None` would have this piece's bytes captured twice: the state has to move on before the piece ends.
        return if kept.is_empty() {
            None
        } else {
            Some(State::Text { slot, left, keep })
        };
    }
    walk.captures.close();
    walk.labels
        .captured(slot, walk.captures, walk.input.piece());
    walk.reader.skip(left);
    Some(State::Element)
}
