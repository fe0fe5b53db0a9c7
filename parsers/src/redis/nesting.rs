//! What is open while a reply comes: values within values, in a list.

use super::limits::DEPTH;
use crate::Malformed;

/// The values that have begun and not ended, the outermost first.
#[derive(Debug, Clone, Default)]
pub(super) struct Nesting {
    open: Vec<Open>,
    /// How many of them are attributes.
    attributes: u32,
    /// An attribute of the whole reply has ended, and the reply has not begun.
    awaits_value: bool,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    /// Values that it has yet; `None` where its end is said by a value of its own.
    left: Option<u64>,
    /// It says something of the value that follows, and is none itself.
    is_attribute: bool,
}

impl Nesting {
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Behind an attribute, with nothing else open, a value has to follow.
    pub(super) fn awaits_value(&self) -> bool {
        self.awaits_value
    }

    /// The value that was awaited begins.
    pub(super) fn value_begins(&mut self) {
        self.awaits_value = false;
    }

    /// What comes belongs to an attribute.
    pub(super) fn is_in_attribute(&self) -> bool {
        self.attributes > 0
    }

    /// A value begins that has others within it; `left` of them, at least one, or as many as come.
    pub(super) fn enter(&mut self, left: Option<u64>, is_attribute: bool) -> Result<(), Malformed> {
        if self.open.len() >= DEPTH {
            return Err(Malformed::RespDepth);
        }
        self.open.push(Open { left, is_attribute });
        self.attributes += u32::from(is_attribute);
        Ok(())
    }

    /// An attribute is whole: the value that it speaks of follows.
    pub(super) fn attribute_ended(&mut self) {
        self.awaits_value = self.open.is_empty();
    }

    /// A value has ended. True when it was the last of a whole reply.
    #[inline]
    pub(super) fn value_ended(&mut self) -> bool {
        while let Some(innermost) = self.open.last_mut() {
            let Some(left) = &mut innermost.left else {
                return false;
            };
            *left = left.saturating_sub(1);
            if *left > 0 || self.leave() {
                return false;
            }
        }
        true
    }

    /// A value ends of which nobody knew how many others it has. As in [`Self::value_ended`].
    pub(super) fn end_said(&mut self) -> Result<bool, Malformed> {
        match self.open.last() {
            Some(Open { left: None, .. }) => Ok(!self.leave() && self.value_ended()),
            _ => Err(Malformed::RespType),
        }
    }

    /// Heap memory that is held, in bytes.
    pub(super) fn retained_bytes(&self) -> usize {
        self.open.capacity() * size_of::<Open>()
    }

    /// The innermost one is whole. True when it was an attribute.
    fn leave(&mut self) -> bool {
        let was_attribute = self.open.pop().is_some_and(|open| open.is_attribute);
        if was_attribute {
            self.attributes = self.attributes.saturating_sub(1);
            self.attribute_ended();
        }
        was_attribute
    }
}
