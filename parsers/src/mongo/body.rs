//! The body of a message: the sections of an `OP_MSG`, or the parts of a legacy message.

use super::capture::{Captures, Slot};
use super::header::Opcode;
use super::input::{Input, Reader};
use super::labels::{Labels, Part};
use super::walker::{SHORTEST_DOCUMENT, Walk, Walker};
use crate::Malformed;
use crate::limits::NAMESPACE_BYTES;

/// "checksumPresent: the message ends with 4 bytes containing a CRC-32C" (MongoDB `OP_MSG` specification, flag bits).
const CHECKSUM_PRESENT: u32 = 1 << 0;
const MORE_TO_COME: u32 = 1 << 1;
const EXHAUST_ALLOWED: u32 = 1 << 16;
/// "The first 16 bits (0-15) are required and parsers MUST error if an unknown bit is set." (the same)
const REQUIRED_FLAGS: u32 = 0xFFFF;
const CHECKSUM_BYTES: u32 = 4;

/// Decodes one body after the other, each in as many pieces as it comes.
#[derive(Debug)]
pub(super) struct Body<L: Labels> {
    pub(super) labels: L,
    pub(super) captures: Captures,
    pub(super) reader: Reader,
    walker: Walker<L>,
    stage: Stage,
    /// Bytes of the body that have been read.
    position: u32,
    /// Position behind what is decoded of the body.
    end: u32,
    has_body_section: bool,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Flags,
    /// At the kind of a section, or at the end.
    Section,
    /// In a document of an `OP_MSG`.
    Document,
    SequenceLength,
    SequenceName {
        end: u32,
    },
    SequenceDocument {
        end: u32,
        counted: bool,
    },
    SecurityToken,
    /// Before a part of a legacy message.
    Legacy(&'static [Part]),
    /// In a C string of a legacy message.
    LegacyName(Slot, &'static [Part]),
    /// In the document of a legacy message.
    LegacyDocument(&'static [Part]),
    Done,
}

impl<L: Labels> Default for Body<L> {
    fn default() -> Self {
        Self {
            labels: L::default(),
            captures: Captures::default(),
            reader: Reader::default(),
            walker: Walker::default(),
            stage: Stage::Done,
            position: 0,
            end: 0,
            has_body_section: false,
        }
    }
}

impl<L: Labels> Body<L> {
    /// Prepares for a body of so many bytes; the captures of the one before have been cleared.
    pub(super) fn start(&mut self, opcode: Opcode, length: u32) {
        self.labels = L::default();
        self.reader.clear();
        self.position = 0;
        self.end = length;
        self.has_body_section = false;
        self.stage = match opcode {
            Opcode::Msg => Stage::Flags,
            legacy => Stage::Legacy(self.labels.layout(legacy)),
        };
    }

    /// The section with the command has been read to its end.
    pub(super) fn has_read_body(&self) -> bool {
        self.has_body_section && !matches!(self.stage, Stage::Document)
    }

    /// Everything that is looked at has been seen.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// Reads `piece` from `at` up to its end, which is not behind that of the body. Returns how far it came: to the end of the piece, unless
    /// the body is done.
    pub(super) fn advance(&mut self, piece: &[u8], at: usize) -> Result<usize, Malformed> {
        let mut input = Input::new(piece, at, self.position);
        while self.reader.settle(&mut input) {
            let goes_on = match self.stage {
                Stage::Done => break,
                Stage::Document => self.document(&mut input, Stage::Section)?,
                Stage::LegacyDocument(rest) => self.document(&mut input, Stage::Legacy(rest))?,
                Stage::Legacy(parts) => self.part(parts, &mut input)?,
                Stage::LegacyName(slot, rest) => self.legacy_name(slot, rest, &mut input),
                _ => self.section(&mut input)?,
            };
            if !goes_on {
                break;
            }
        }
        self.position = input.position();
        Ok(input.at())
    }

    /// What this and the following return: whether to go on, or to wait for the next piece.
    fn document(&mut self, input: &mut Input<'_>, then: Stage) -> Result<bool, Malformed> {
        let mut walk = Walk {
            input,
            reader: &mut self.reader,
            captures: &mut self.captures,
            labels: &mut self.labels,
        };
        let complete = self.walker.advance(&mut walk)?;
        if complete {
            self.stage = then;
        }
        Ok(complete)
    }

    fn section(&mut self, input: &mut Input<'_>) -> Result<bool, Malformed> {
        match self.stage {
            Stage::Flags => {
                let Some(bytes) = self.reader.fixed(input) else {
                    return Ok(false);
                };
                self.flags(u32::from_le_bytes(bytes), input.position())?;
                self.stage = Stage::Section;
            }
            Stage::Section if self.reader.position(input) == self.end => {
                if !self.has_body_section {
                    return Err(Malformed::NoBody);
                }
                self.stage = Stage::Done;
            }
            Stage::Section => {
                let Some([kind]) = self.reader.fixed(input) else {
                    return Ok(false);
                };
                self.stage = self.kind(kind)?;
            }
            Stage::SecurityToken => {
                if self.reader.name(input, self.end)?.is_none() {
                    return Ok(false);
                }
                self.stage = Stage::Section;
            }
            _ => return self.sequence(input),
        }
        Ok(true)
    }

    fn sequence(&mut self, input: &mut Input<'_>) -> Result<bool, Malformed> {
        match self.stage {
            Stage::SequenceLength => {
                let Some(bytes) = self.reader.fixed(input) else {
                    return Ok(false);
                };
                let length = u32::from_le_bytes(bytes);
                let start = input.position().wrapping_sub(4);
                // The length counts itself and an identifier of at least its NUL.
                if length < 5 || length > self.end.saturating_sub(start) {
                    return Err(Malformed::SectionLength);
                }
                self.stage = Stage::SequenceName {
                    end: start + length,
                };
            }
            Stage::SequenceName { end } => {
                let Some(name) = self.reader.name(input, end)? else {
                    return Ok(false);
                };
                self.stage = Stage::SequenceDocument {
                    end,
                    counted: self.labels.sequence(name.text),
                };
            }
            Stage::SequenceDocument { end, .. } if self.reader.position(input) == end => {
                self.stage = Stage::Section;
            }
            Stage::SequenceDocument { end, counted } => {
                let Some(bytes) = self.reader.fixed(input) else {
                    return Ok(false);
                };
                self.skip_document(u32::from_le_bytes(bytes), end, input)?;
                if counted {
                    self.labels.sequence_document();
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn flags(&mut self, flags: u32, position: u32) -> Result<(), Malformed> {
        if flags & REQUIRED_FLAGS & !(CHECKSUM_PRESENT | MORE_TO_COME) != 0 {
            return Err(Malformed::UnknownFlag);
        }
        let checksum_present = flags & CHECKSUM_PRESENT != 0;
        if checksum_present {
            self.end = self.end.saturating_sub(CHECKSUM_BYTES);
        }
        if position > self.end {
            return Err(Malformed::Truncated);
        }
        self.labels.message_flags(
            flags & MORE_TO_COME != 0,
            flags & EXHAUST_ALLOWED != 0,
            checksum_present,
        );
        Ok(())
    }

    fn kind(&mut self, kind: u8) -> Result<Stage, Malformed> {
        match kind {
            0 if self.has_body_section => Err(Malformed::TwoBodies),
            0 => {
                self.has_body_section = true;
                self.walker.start(L::BODY, self.end);
                Ok(Stage::Document)
            }
            1 => Ok(Stage::SequenceLength),
            // A token that servers send to each other, as a C string.
            2 => Ok(Stage::SecurityToken),
            3 => match self.labels.trace_role() {
                Some(role) => {
                    self.walker.start(role, self.end);
                    Ok(Stage::Document)
                }
                None => Err(Malformed::UnknownSection),
            },
            _ => Err(Malformed::UnknownSection),
        }
    }

    /// Passes over a document whose length has been read.
    fn skip_document(
        &mut self,
        length: u32,
        end: u32,
        input: &mut Input<'_>,
    ) -> Result<(), Malformed> {
        let start = input.position().wrapping_sub(4);
        if length < SHORTEST_DOCUMENT || length > end.saturating_sub(start) {
            return Err(Malformed::DocumentLength);
        }
        self.reader.skip(input, length - 4);
        Ok(())
    }

    fn part(&mut self, parts: &'static [Part], input: &mut Input<'_>) -> Result<bool, Malformed> {
        let Some((part, rest)) = parts.split_first() else {
            self.stage = Stage::Done;
            return Ok(true);
        };
        let mut next = Stage::Legacy(rest);
        match *part {
            Part::Int32(head) => {
                let Some(bytes) = self.reader.fixed(input) else {
                    return Ok(false);
                };
                let left = self.end.saturating_sub(input.position());
                self.labels
                    .head(head, i32::from_le_bytes(bytes).into(), left)?;
            }
            Part::Int64(head) => {
                let Some(bytes) = self.reader.fixed(input) else {
                    return Ok(false);
                };
                let left = self.end.saturating_sub(input.position());
                self.labels.head(head, i64::from_le_bytes(bytes), left)?;
            }
            Part::Skip(bytes) => self.reader.skip(input, bytes),
            Part::Name(slot) => {
                self.captures.begin(slot, input.at());
                next = Stage::LegacyName(slot, rest);
            }
            Part::Document => {
                if let Some(role) = self.labels.legacy_role() {
                    self.walker.start(role, self.end);
                    next = Stage::LegacyDocument(rest);
                }
            }
            Part::Documents if self.reader.position(input) == self.end => {}
            Part::Documents => {
                let Some(bytes) = self.reader.fixed(input) else {
                    return Ok(false);
                };
                self.skip_document(u32::from_le_bytes(bytes), self.end, input)?;
                self.labels.sequence_document();
                next = self.stage;
            }
        }
        self.stage = next;
        Ok(true)
    }

    fn legacy_name(&mut self, slot: Slot, rest: &'static [Part], input: &mut Input<'_>) -> bool {
        let window = input.rest();
        let end = memchr::memchr(0, window);
        let text = window
            .get(..end.unwrap_or(window.len()))
            .unwrap_or_default();
        let room = NAMESPACE_BYTES - self.captures.open_len().unwrap_or(0);
        self.captures
            .extend(text.get(..usize::from(room)).unwrap_or(text));
        input.take(text.len() as u32);
        if end.is_none() {
            return false;
        }
        input.take(1);
        self.captures.close();
        self.labels
            .captured(slot, &mut self.captures, input.piece());
        self.stage = Stage::Legacy(rest);
        true
    }

    /// The piece is about to go away: keeps what was captured of it.
    pub(super) fn spill(&mut self, piece: &[u8]) {
        self.captures.spill(piece);
    }
}
