//! What the decoder of one direction knows: which fields mean something, and what to do with them.

use super::capture::{Captures, Slot};
use super::header::Opcode;
use super::input::Token;
use crate::Malformed;
use std::fmt::Debug;

/// The fields of one direction.
pub(super) trait Labels: Default + Debug {
    /// What a document that is walked is.
    type Role: Copy + Debug;
    /// A field with a number or a boolean.
    type Field: Copy + Debug;

    /// The role of the body of an `OP_MSG`.
    const BODY: Self::Role;

    /// How the body of a legacy message is laid out. Empty when nothing of it is looked at.
    fn layout(&mut self, opcode: Opcode) -> &'static [Part];

    /// The role of a section of kind 3, if it is looked at.
    fn trace_role(&self) -> Option<Self::Role>;

    /// The role of the document of a legacy message, if it is looked at.
    fn legacy_role(&self) -> Option<Self::Role>;

    /// The flag bits of an `OP_MSG`.
    fn message_flags(&mut self, more_to_come: bool, exhaust_allowed: bool, checksum_present: bool);

    /// A number in the head of a legacy message, with the bytes that follow it in the message.
    fn head(&mut self, head: Head, value: i64, left: u32) -> Result<(), Malformed>;

    /// A document sequence starts; true when its documents are to be counted.
    fn sequence(&mut self, name: &[u8]) -> bool;

    /// A document of such a sequence.
    fn sequence_document(&mut self);

    /// Looks at the type and the name of an element and says what to do with its value.
    fn element(
        &mut self,
        element: Element<'_, Self::Role>,
        captures: &mut Captures,
    ) -> Action<Self::Role, Self::Field>;

    /// The value of a field.
    fn scalar(&mut self, field: Self::Field, value: Scalar);

    /// The value of the one 16-byte binary that is looked at.
    fn uuid(&mut self, bytes: [u8; 16]);

    /// A text is complete.
    fn captured(&mut self, slot: Slot, captures: &mut Captures, piece: &[u8]);
}

/// One part of a legacy message.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// An int32.
    Int32(Head),
    /// An int64.
    Int64(Head),
    /// Bytes that say nothing.
    Skip(u32),
    /// A C string.
    Name(Slot),
    /// The document of [`Labels::legacy_role`].
    Document,
    /// Documents up to the end, which are counted.
    Documents,
}

/// A number in the head of a legacy message.
#[derive(Debug, Clone, Copy)]
pub(super) enum Head {
    Flags,
    BatchSize,
    CursorId,
    Cursors,
    Documents,
}

/// An element of a document whose value has not been read yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'t, Role> {
    pub(super) role: Role,
    pub(super) first: bool,
    pub(super) kind: Kind,
    pub(super) name: Token<'t>,
}

/// What to do with a value. One of a type to which that cannot be done is skipped.
#[derive(Debug, Clone, Copy)]
pub(super) enum Action<Role, Field> {
    Skip,
    /// Walk into a document or an array.
    Descend(Role),
    /// Read a number or a boolean.
    Scalar(Field),
    /// Capture a string up to a limit in bytes.
    Text(Slot, u16),
    /// Read a binary of 16 bytes.
    Uuid,
}

/// The type of an element, as far as it matters how its value is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Double,
    String,
    Document,
    Array,
    Binary,
    Bool,
    Int32,
    Int64,
    Regex,
    /// A string, then 12 bytes.
    DbPointer,
    /// Counted like a document, but never walked.
    CodeWithScope,
    /// JavaScript code or a symbol: like a string, but it is not one.
    StringLike,
    /// So many bytes.
    Fixed(u8),
}

impl Kind {
    /// The type with this number (BSON specification 1.1), if there is one.
    #[inline(always)]
    pub(super) fn from_wire(number: u8) -> Option<Self> {
        *KINDS.get(usize::from(number))?
    }

    /// It holds other elements.
    pub(super) fn is_nested(self) -> bool {
        matches!(self, Self::Document | Self::Array)
    }
}

/// The types by their number: a look into a table costs less than a choice among twenty.
#[allow(clippy::indexing_slicing)] // by the compiler
const KINDS: [Option<Kind>; 256] = {
    let mut kinds = [None; 256];
    kinds[0x01] = Some(Kind::Double);
    kinds[0x02] = Some(Kind::String);
    kinds[0x03] = Some(Kind::Document);
    kinds[0x04] = Some(Kind::Array);
    kinds[0x05] = Some(Kind::Binary);
    kinds[0x06] = Some(Kind::Fixed(0)); // undefined
    kinds[0x07] = Some(Kind::Fixed(12)); // object id
    kinds[0x08] = Some(Kind::Bool);
    kinds[0x09] = Some(Kind::Fixed(8)); // date
    kinds[0x0A] = Some(Kind::Fixed(0)); // null
    kinds[0x0B] = Some(Kind::Regex);
    kinds[0x0C] = Some(Kind::DbPointer);
    kinds[0x0D] = Some(Kind::StringLike); // code
    kinds[0x0E] = Some(Kind::StringLike); // symbol
    kinds[0x0F] = Some(Kind::CodeWithScope);
    kinds[0x10] = Some(Kind::Int32);
    kinds[0x11] = Some(Kind::Fixed(8)); // timestamp
    kinds[0x12] = Some(Kind::Int64);
    kinds[0x13] = Some(Kind::Fixed(16)); // decimal
    kinds[0x7F] = Some(Kind::Fixed(0)); // max key
    kinds[0xFF] = Some(Kind::Fixed(0)); // min key
    kinds
};

/// A number or a boolean.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scalar {
    Int(i64),
    Double(f64),
    Bool(bool),
}

impl Scalar {
    /// The value of an element of this type, if it is one of a number or a boolean and all of its bytes are there.
    #[inline]
    pub(super) fn read(kind: Kind, value: &[u8]) -> Option<Self> {
        Some(match kind {
            Kind::Bool => Self::Bool(*value.first()? != 0),
            Kind::Int32 => Self::Int(i32::from_le_bytes(*value.first_chunk()?).into()),
            Kind::Int64 => Self::Int(i64::from_le_bytes(*value.first_chunk()?)),
            Kind::Double => Self::Double(f64::from_le_bytes(*value.first_chunk()?)),
            _ => return None,
        })
    }

    /// As an integer; servers take a double for one where they ask for a number.
    pub(super) fn int(self) -> i64 {
        match self {
            Self::Int(value) => value,
            Self::Double(value) => value as i64,
            Self::Bool(value) => i64::from(value),
        }
    }

    /// As an integer of 32 bits, held to its ends.
    pub(super) fn int32(self) -> i32 {
        self.int().clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
    }

    /// As a boolean, in the way servers read `ok` and options.
    pub(super) fn truthy(self) -> bool {
        match self {
            Self::Int(value) => value != 0,
            Self::Double(value) => value != 0.0,
            Self::Bool(value) => value,
        }
    }
}
