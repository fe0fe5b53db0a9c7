//! The short way over what is whole: most messages come in one piece, and then nothing has to be kept to come back to.

use super::{State, Walk, Walker, follows};
use crate::mongo::input::{Token, find_nul};
use crate::mongo::labels::{Action, Element, Kind, Labels, Scalar};

/// Bytes of the length in front of a string, a document or the like.
const LENGTH_BYTES: usize = 4;

impl<L: Labels> Walker<L> {
    /// Reads elements, and the ends of documents, for as long as all of the next one is at hand and in order. What it leaves has been cut by
    /// the end of the piece, or is malformed; the long way, a step at a time, finds out which.
    pub(super) fn at_hand(&mut self, walk: &mut Walk<'_, '_, L>) {
        let piece = walk.input.piece();
        let mut at = walk.input.at();
        loop {
            let last = walk.input.place_of(self.here.last);
            let Some([number, rest @ ..]) = piece.get(at..last.min(piece.len())) else {
                break;
            };
            let Some((kind, name, value)) = whole(*number, rest) else {
                break;
            };
            let name_at = at + 1;
            let value_at = name_at + name.len() + 1;
            let name = Token {
                text: name,
                at: Some(name_at),
            };
            at = value_at + self.value_at_hand(kind, name, value, value_at, walk);
            // Documents end together: that of the last element, and those around it.
            while piece.get(at) == Some(&0) && at == walk.input.place_of(self.here.last) {
                at += 1;
                self.state = self.pop();
                if matches!(self.state, State::End) {
                    return walk.input.set_at(at);
                }
            }
        }
        walk.input.set_at(at);
    }

    /// Does with a value what its field asks for. Returns how much of it is passed: not all of a document that is walked into.
    #[inline(always)]
    fn value_at_hand(
        &mut self,
        kind: Kind,
        name: Token<'_>,
        value: &[u8],
        value_at: usize,
        walk: &mut Walk<'_, '_, L>,
    ) -> usize {
        let element = Element {
            role: self.here.role,
            first: std::mem::take(&mut self.here.first),
            kind,
            name,
        };
        match walk.labels.element(element, walk.captures) {
            Action::Skip => {}
            Action::Descend(role) => {
                let end = walk.input.position_of(value_at + value.len());
                if kind.is_nested() && self.push(role, end) {
                    return LENGTH_BYTES;
                }
            }
            Action::Scalar(field) => {
                if let Some(scalar) = Scalar::read(kind, value) {
                    walk.labels.scalar(field, scalar);
                }
            }
            Action::Text(slot, keep) => {
                if kind == Kind::String && !walk.captures.is_set(slot) {
                    // The last byte is the NUL that ends the string.
                    let text = value.len() - LENGTH_BYTES - 1;
                    let kept = keep.min(u16::try_from(text).unwrap_or(keep));
                    walk.captures.found(slot, value_at + LENGTH_BYTES, kept);
                    walk.labels
                        .captured(slot, walk.captures, walk.input.piece());
                }
            }
            Action::Uuid => {
                // Its length, its subtype, and its bytes.
                if let (Kind::Binary, [16, 0, 0, 0, _, id @ ..]) = (kind, value)
                    && let Some(id) = id.first_chunk()
                {
                    walk.labels.uuid(*id);
                }
            }
        }
        value.len()
    }
}

/// The name of an element and its value, with the length in front of it, if all of it is in `rest` and its length is right.
#[inline(always)]
fn whole(number: u8, rest: &[u8]) -> Option<(Kind, &[u8], &[u8])> {
    let kind = Kind::from_wire(number)?;
    let (name, value) = rest.split_at_checked(find_nul(rest)?)?;
    let (_, value) = value.split_first()?;
    let size = match kind {
        Kind::Double | Kind::Int64 => 8,
        Kind::Int32 => 4,
        Kind::Bool => 1,
        Kind::Fixed(size) => usize::from(size),
        Kind::Regex => return None,
        _ => {
            let (length, room) = value.split_first_chunk::<LENGTH_BYTES>()?;
            let room = u32::try_from(room.len()).unwrap_or(u32::MAX);
            LENGTH_BYTES + follows(kind, u32::from_le_bytes(*length), room).ok()? as usize
        }
    };
    Some((kind, name, value.get(..size)?))
}
