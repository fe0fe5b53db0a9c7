//! Lists of fields (HPACK, RFC 7541).
//!
//! A list is decoded as its bytes come. Of a field that a boundary cuts the bytes are kept until the rest has come; all others are
//! reported out of the bytes at hand, out of the tables, or, where they are Huffman code, out of the arena of the dynamic table.

mod huffman;
mod integer;
mod known;
mod lengths;
mod table;

pub use known::Known;

use super::limits::{
    DEFAULT_TABLE_BYTES, FIELD_OVERHEAD, MAX_FIELD_BYTES, MAX_LIST_BYTES, MAX_TABLE_BYTES,
    RETAINED_BYTES,
};
use crate::Malformed;
use integer::integer;
use std::ops::Range;
use table::Table;

/// One field of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'b> {
    /// What the name means.
    pub known: Known,
    /// The name, as it was sent.
    pub name: &'b [u8],
    /// The value, as it was sent.
    pub value: &'b [u8],
}

/// What came of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct List {
    /// Fields that it has.
    pub fields: u32,
    /// Its size as SETTINGS_MAX_HEADER_LIST_SIZE counts it: names, values and 32 for each field, in bytes.
    pub bytes: u64,
    /// It is so large that its last fields were not reported.
    pub cut: bool,
}

/// The decoder of one direction of one connection.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// Largest table that the encoder may choose.
    allowed: u32,
    list: List,
    /// The start of a field that a boundary cut.
    held: Vec<u8>,
    /// Bytes that the field has at least.
    needed: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            table: Table::default(),
            allowed: DEFAULT_TABLE_BYTES,
            list: List::default(),
            held: Vec::new(),
            needed: 0,
        }
    }
}

/// Why a field was not decoded.
enum Stop {
    /// It has at least so many bytes, and not all are there.
    Needs(usize),
    Malformed(Malformed),
}

impl From<Malformed> for Stop {
    fn from(reason: Malformed) -> Self {
        Self::Malformed(reason)
    }
}

impl Decoder {
    /// A decoder at the start of a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// The decoder of this direction's receiver has announced the size of its table, and the sender has acknowledged it.
    pub fn allow_table(&mut self, bytes: u32) {
        self.allowed = bytes.min(MAX_TABLE_BYTES);
    }

    /// Goes on with the next bytes of a list, and reports the fields that are complete.
    ///
    /// # Errors
    /// The list is malformed, and with it the connection: the table is not what the encoder takes it for any more.
    pub fn advance(
        &mut self,
        bytes: &[u8],
        found: &mut impl FnMut(Field<'_>),
    ) -> Result<(), Malformed> {
        let mut rest = bytes;
        while !self.held.is_empty() && !rest.is_empty() {
            let missing = self.needed.saturating_sub(self.held.len());
            let (next, after) = rest.split_at_checked(missing).unwrap_or((rest, &[]));
            self.hold(next);
            rest = after;
            let mut held = std::mem::take(&mut self.held);
            if self.whole_field(&held, found)?.is_some() {
                held.clear();
            }
            self.held = held;
        }
        while !rest.is_empty() {
            match self.whole_field(rest, found)? {
                Some(length) => rest = rest.get(length..).unwrap_or_default(),
                None => {
                    self.hold(rest);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Ends a list.
    ///
    /// # Errors
    /// The list ends in the middle of a field.
    pub fn finish(&mut self) -> Result<List, Malformed> {
        if !self.held.is_empty() {
            return Err(Malformed::HpackTruncated);
        }
        if self.held.capacity() > RETAINED_BYTES {
            self.held = Vec::new();
        }
        self.table.shrink();
        Ok(std::mem::take(&mut self.list))
    }

    /// Heap memory that is held, in bytes.
    pub fn retained_bytes(&self) -> usize {
        self.held.capacity() + self.table.retained_bytes()
    }

    /// Adds to what is held. The room doubles with what has come, up to what is needed, and never by what is announced.
    fn hold(&mut self, bytes: &[u8]) {
        let length = self.held.len() + bytes.len();
        if length > self.held.capacity() {
            let room = self.needed.min(2 * length).max(length);
            self.held.reserve_exact(room - self.held.len());
        }
        self.held.extend_from_slice(bytes);
    }

    /// The length of the field that the bytes start with, after it has been decoded; nothing is done when not all of it is there.
    #[inline]
    fn whole_field(
        &mut self,
        bytes: &[u8],
        found: &mut impl FnMut(Field<'_>),
    ) -> Result<Option<usize>, Malformed> {
        match self.field(bytes, found) {
            Ok(length) => Ok(Some(length)),
            Err(Stop::Needs(needed)) => {
                self.needed = needed;
                Ok(None)
            }
            Err(Stop::Malformed(reason)) => Err(reason),
        }
    }

    /// RFC 7541, section 6.
    #[inline]
    fn field(&mut self, bytes: &[u8], found: &mut impl FnMut(Field<'_>)) -> Result<usize, Stop> {
        let first = bytes.first().copied().ok_or(Stop::Needs(1))?;
        if first & 0x80 != 0 {
            let (index, end) = integer::<7>(bytes, 0)?;
            let field = self.table.get(index)?;
            report(&mut self.list, field, found);
            Ok(end)
        } else if first & 0x40 != 0 {
            let literal = Literal::read::<6>(bytes)?;
            self.add(&literal, bytes, found)
        } else if first & 0x20 != 0 {
            let (size, end) = integer::<5>(bytes, 0)?;
            self.resize(size)?;
            Ok(end)
        } else {
            let literal = Literal::read::<4>(bytes)?;
            self.pass(&literal, bytes, found)
        }
    }

    /// A size of the table stands in front of all fields (RFC 7541, section 4.2).
    fn resize(&mut self, size: usize) -> Result<(), Malformed> {
        if self.list.fields > 0 || size > self.allowed as usize {
            return Err(Malformed::HpackTableSize);
        }
        self.table.resize(size);
        Ok(())
    }

    /// A field that becomes an entry.
    fn add(
        &mut self,
        literal: &Literal,
        bytes: &[u8],
        found: &mut impl FnMut(Field<'_>),
    ) -> Result<usize, Stop> {
        let start = self.table.begin();
        let known = match &literal.name {
            Name::Index(index) => Some(self.table.copy_name(*index)?),
            Name::Text(text) => {
                text.append(bytes, self.table.tail())?;
                None
            }
        };
        let value = self.table.tail().len();
        literal.value.append(bytes, self.table.tail())?;
        let end = self.table.tail().len();
        let name = self.table.text(&(start..value));
        let known = known.unwrap_or_else(|| Known::of(name));
        let field = Field {
            known,
            name,
            value: self.table.text(&(value..end)),
        };
        report(&mut self.list, field, found);
        self.table.insert(start, value - start, known);
        Ok(literal.end())
    }

    /// A field that becomes no entry.
    fn pass(
        &mut self,
        literal: &Literal,
        bytes: &[u8],
        found: &mut impl FnMut(Field<'_>),
    ) -> Result<usize, Stop> {
        let start = self.table.begin();
        if let Name::Text(text) = &literal.name
            && text.is_huffman
        {
            text.append(bytes, self.table.tail())?;
        }
        let value = self.table.tail().len();
        if literal.value.is_huffman {
            literal.value.append(bytes, self.table.tail())?;
        }
        let end = self.table.tail().len();
        let (known, name) = match &literal.name {
            Name::Index(index) => {
                let field = self.table.get(*index)?;
                (field.known, field.name)
            }
            Name::Text(text) => {
                let name = if text.is_huffman {
                    self.table.text(&(start..value))
                } else {
                    text.encoded(bytes)
                };
                (Known::of(name), name)
            }
        };
        let value = if literal.value.is_huffman {
            self.table.text(&(value..end))
        } else {
            literal.value.encoded(bytes)
        };
        report(&mut self.list, Field { known, name, value }, found);
        self.table.discard(start);
        Ok(literal.end())
    }
}

/// Counts a field, and hands it on while the list is not too large.
#[inline]
fn report(list: &mut List, field: Field<'_>, found: &mut impl FnMut(Field<'_>)) {
    list.fields = list.fields.saturating_add(1);
    list.bytes += (field.name.len() + field.value.len() + FIELD_OVERHEAD) as u64;
    if list.bytes <= MAX_LIST_BYTES as u64 {
        found(field);
    } else {
        list.cut = true;
    }
}

/// A literal field (RFC 7541, section 6.2) of which everything is there.
struct Literal {
    name: Name,
    value: Text,
}

enum Name {
    Index(usize),
    Text(Text),
}

/// A string (RFC 7541, section 5.2): its place in the bytes at hand.
struct Text {
    is_huffman: bool,
    place: Range<usize>,
}

impl Literal {
    #[inline]
    fn read<const PREFIX: u32>(bytes: &[u8]) -> Result<Self, Stop> {
        let (index, mut at) = integer::<PREFIX>(bytes, 0)?;
        let name = if index == 0 {
            let text = Text::read(bytes, at)?;
            at = text.place.end;
            Name::Text(text)
        } else {
            Name::Index(index)
        };
        let value = Text::read(bytes, at)?;
        Ok(Self { name, value })
    }

    fn end(&self) -> usize {
        self.value.place.end
    }
}

impl Text {
    #[inline]
    fn read(bytes: &[u8], at: usize) -> Result<Self, Stop> {
        let (length, start) = integer::<7>(bytes, at)?;
        let place = start..start + length;
        if place.end > MAX_FIELD_BYTES {
            return Err(Malformed::HpackFieldLength.into());
        }
        if place.end > bytes.len() {
            return Err(Stop::Needs(place.end));
        }
        let is_huffman = bytes.get(at).is_some_and(|first| first & 0x80 != 0);
        Ok(Self { is_huffman, place })
    }

    fn encoded<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        bytes.get(self.place.clone()).unwrap_or_default()
    }

    #[inline]
    fn append(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        if self.is_huffman {
            huffman::decode(self.encoded(bytes), out)
        } else {
            out.extend_from_slice(self.encoded(bytes));
            Ok(())
        }
    }
}
