//! The framing of chunks, byte by byte (RFC 9112 section 7.1).

use super::scan::{self, TOKEN, VALUE};
use crate::Malformed;
use crate::limits::{
    CHUNK_EXTENSION_BYTES, CHUNK_FRAMING_BYTES, CHUNK_OVERHEAD_BYTES, CHUNK_SIZE_DIGITS,
};

/// What stands around the data of chunks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Framing {
    place: Place,
    /// Of the chunk whose size has been read last.
    size: u64,
    /// Digits of the size that have come.
    digits: u8,
    /// Bytes of the extensions of this chunk that have come.
    extension: u32,
    /// Bytes of framing beyond what the chunks so far were allowed.
    overhead: u64,
}

/// What a byte of the framing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// What there is in every chunk.
    Frame,
    /// Part of an extension.
    Extension,
}

/// Where the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Behind the data of a chunk: CR.
    DataEnd,
    /// Behind that: LF.
    DataLf,
    /// In the size.
    Size,
    /// In the extensions.
    Extension(Extension),
    /// Behind the CR of the size.
    SizeLf,
}

/// `chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )` (RFC 9112 section 7.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extension {
    /// Blanks in front of a semicolon.
    Before,
    /// Behind a semicolon.
    Start,
    /// In a name.
    Name,
    /// Blanks behind a name.
    AfterName,
    /// Behind an equals sign.
    Equals,
    /// In a value that is a token.
    Token,
    /// In a value that is quoted.
    Quoted,
    /// Behind a backslash in a quoted value.
    Escaped,
    /// Behind a quoted value.
    Closed,
}

impl Framing {
    /// In front of the first chunk.
    pub(super) fn new() -> Self {
        Self {
            place: Place::Size,
            size: 0,
            digits: 0,
            extension: 0,
            overhead: 0,
        }
    }

    /// Takes a byte. Its class, and the size of the chunk if its data comes next.
    pub(super) fn take(&mut self, byte: u8) -> Result<(Class, Option<u64>), Malformed> {
        let class = match (self.place, byte) {
            (Place::DataEnd, b'\r') => self.go(Place::DataLf),
            (Place::DataLf, b'\n') => self.go(Place::Size),
            (Place::DataEnd | Place::DataLf, _) => return Err(Malformed::ChunkEnd),
            (Place::Size, b'\r') if self.digits > 0 => self.go(Place::SizeLf),
            (Place::Size, b';') if self.digits > 0 => self.extend(Extension::Start)?,
            (Place::Size, b' ' | b'\t') if self.digits > 0 => self.extend(Extension::Before)?,
            (Place::Size, b'\n') => return Err(Malformed::BareLf),
            (Place::Size, _) => self.digit(byte)?,
            (Place::SizeLf, b'\n') => return self.line_ends(),
            (Place::SizeLf, _) => return Err(Malformed::BareCr),
            (Place::Extension(place), _) => self.extension(place, byte)?,
        };
        Ok((class, None))
    }

    fn go(&mut self, place: Place) -> Class {
        self.place = place;
        Class::Frame
    }

    fn digit(&mut self, byte: u8) -> Result<Class, Malformed> {
        let digit = char::from(byte)
            .to_digit(16)
            .filter(|_| self.digits < CHUNK_SIZE_DIGITS)
            .ok_or(Malformed::ChunkSize)?;
        self.size = self.size << 4 | u64::from(digit);
        self.digits += 1;
        Ok(Class::Frame)
    }

    fn extension(&mut self, place: Extension, byte: u8) -> Result<Class, Malformed> {
        let is = |kind| scan::is(byte, kind);
        let next = match (place, byte) {
            (Extension::Name | Extension::Token | Extension::Closed, b'\r') => {
                return Ok(self.go(Place::SizeLf));
            }
            (Extension::Quoted, b'"') => Extension::Closed,
            (Extension::Quoted, b'\\') => Extension::Escaped,
            (Extension::Quoted | Extension::Escaped, _) if is(VALUE) => Extension::Quoted,
            (Extension::Before | Extension::Token | Extension::Closed, b' ' | b'\t') => {
                Extension::Before
            }
            (Extension::Start | Extension::Equals, b' ' | b'\t') => place,
            (Extension::Name | Extension::AfterName, b' ' | b'\t') => Extension::AfterName,
            (Extension::Name | Extension::AfterName, b'=') => Extension::Equals,
            (Extension::Start | Extension::Name, _) if is(TOKEN) => Extension::Name,
            (Extension::Equals, b'"') => Extension::Quoted,
            (Extension::Equals | Extension::Token, _) if is(TOKEN) => Extension::Token,
            (
                Extension::Before
                | Extension::Name
                | Extension::AfterName
                | Extension::Token
                | Extension::Closed,
                b';',
            ) => Extension::Start,
            (_, b'\n') => return Err(Malformed::BareLf),
            _ => return Err(Malformed::ChunkExtension),
        };
        self.extend(next)
    }

    fn extend(&mut self, next: Extension) -> Result<Class, Malformed> {
        self.extension += 1;
        if self.extension > CHUNK_EXTENSION_BYTES {
            return Err(Malformed::ChunkOverhead);
        }
        self.place = Place::Extension(next);
        Ok(Class::Extension)
    }

    /// The data comes next. A body of one byte a chunk, or of long extensions, costs much more than it is worth.
    fn line_ends(&mut self) -> Result<(Class, Option<u64>), Malformed> {
        let line = u64::from(self.digits) + u64::from(self.extension) + 4;
        let allowed = self
            .size
            .saturating_mul(2)
            .saturating_add(CHUNK_FRAMING_BYTES);
        self.overhead = (self.overhead + line).saturating_sub(allowed);
        if self.overhead > CHUNK_OVERHEAD_BYTES {
            return Err(Malformed::ChunkOverhead);
        }
        let size = self.size;
        *self = Self {
            place: Place::DataEnd,
            overhead: self.overhead,
            ..Self::new()
        };
        Ok((Class::Frame, Some(size)))
    }
}
