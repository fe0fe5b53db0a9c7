//! What is open while a reply comes: values within values, in a list.

use super::limits::{DEPTH, RETAINED_DEPTH};
use crate::Malformed;

/// The values that have begun and not ended.
#[derive(Debug, Clone, Default)]
pub(super) struct Nesting {
    /// By itself, so that a reply without aggregates in its aggregate needs no list.
    innermost: Option<Open>,
    /// The values around it, the outermost first.
    around: Vec<Open>,
    /// How many of them are attributes.
    attributes: u32,
    /// An attribute has ended, and what it speaks of has not begun.
    awaits_value: bool,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    /// Values that it has yet, where that is known.
    left: u64,
    form: Form,
}

/// How a value that has others within it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// It has so many.
    Counted,
    /// It has so many, and says something of the value that follows: it is none itself.
    Attribute,
    /// Its end is said.
    Streamed,
}

impl Nesting {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.innermost.is_none()
    }

    /// Behind an attribute a value has to follow.
    #[inline]
    pub(super) fn awaits_value(&self) -> bool {
        self.awaits_value
    }

    /// A value begins, which is the one that was awaited if one was.
    #[inline]
    pub(super) fn value_begins(&mut self) {
        self.awaits_value = false;
    }

    /// What comes belongs to an attribute.
    #[inline]
    pub(super) fn is_in_attribute(&self) -> bool {
        self.attributes > 0
    }

    /// A value begins that has others within it, `left` of them, at least one, if it has so many.
    #[inline]
    pub(super) fn enter(&mut self, left: u64, form: Form) -> Result<(), Malformed> {
        if let Some(outer) = self.innermost.replace(Open { left, form }) {
            if self.around.len() + 1 >= DEPTH {
                return Err(Malformed::RespDepth);
            }
            self.around.push(outer);
        }
        self.attributes += u32::from(form == Form::Attribute);
        Ok(())
    }

    /// An attribute is whole: the value that it speaks of follows.
    pub(super) fn attribute_ended(&mut self) {
        self.awaits_value = true;
    }

    /// A value has ended. True when it was the last of a whole reply.
    #[inline]
    pub(super) fn value_ended(&mut self) -> bool {
        while let Some(innermost) = &mut self.innermost {
            if innermost.form == Form::Streamed {
                return false;
            }
            innermost.left = innermost.left.saturating_sub(1);
            if innermost.left > 0 || self.leave() == Some(Form::Attribute) {
                return false;
            }
        }
        true
    }

    /// The innermost value may end here: its end is said, and no attribute speaks of what does not come.
    pub(super) fn may_end(&self) -> bool {
        let form = self.innermost.map(|innermost| innermost.form);
        form == Some(Form::Streamed) && !self.awaits_value
    }

    /// The end of the innermost value is said. As in [`Self::value_ended`].
    pub(super) fn end_said(&mut self) -> bool {
        self.leave();
        self.value_ended()
    }

    /// Heap memory that is held, in bytes.
    pub(super) fn retained_bytes(&self) -> usize {
        self.around.capacity() * size_of::<Open>()
    }

    /// The innermost value is whole: what it was.
    fn leave(&mut self) -> Option<Form> {
        let left = self.innermost.take()?.form;
        self.innermost = self.around.pop();
        if left == Form::Attribute {
            self.attributes = self.attributes.saturating_sub(1);
            self.attribute_ended();
        }
        if self.is_empty() && self.around.capacity() > RETAINED_DEPTH {
            self.around = Vec::new();
        }
        Some(left)
    }
}
