//! Messages one after the other: header, compression, body.

use super::body::Body;
use super::header::{COMPRESSED_HEAD_BYTES, Compression, Compressor, HEADER_BYTES, Header, Opcode};
use super::inflate::{Inflated, inflate};
use super::input::Input;
use super::labels::Labels;
use crate::Malformed;
use crate::limits::{COMPRESSED_BYTES, INFLATED_BYTES, MAX_MESSAGE_BYTES};

/// What is common to both directions.
#[derive(Debug)]
pub(super) struct Decoder<L: Labels> {
    pub(super) body: Body<L>,
    pub(super) header: Header,
    pub(super) opcode: Opcode,
    pub(super) compression: Option<Compression>,
    pub(super) incomplete: bool,
    stage: Stage,
    /// Bytes of the message that have not come yet.
    left: u32,
}

#[derive(Debug)]
enum Stage {
    Header,
    CompressedHead,
    Body,
    /// Keeps the first of the compressed bytes until they can be inflated.
    Collect(Vec<u8>),
    /// The rest of the message says nothing.
    Rest,
    /// A message has been reported.
    Reported,
    Failed(Malformed),
}

impl<L: Labels> Default for Decoder<L> {
    fn default() -> Self {
        Self {
            body: Body::default(),
            header: Header::default(),
            opcode: Opcode::default(),
            compression: None,
            incomplete: false,
            stage: Stage::Header,
            left: 0,
        }
    }
}

impl<L: Labels> Decoder<L> {
    /// Goes on with the next bytes. The length of what belongs to the message when it ends within them.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        if let Stage::Failed(reason) = self.stage {
            return Err(reason);
        }
        if matches!(self.stage, Stage::Reported) {
            self.body.captures.clear();
            self.stage = Stage::Header;
        }
        let end = self.read(bytes).inspect_err(|reason| self.fail(*reason))?;
        if end.is_none() {
            self.body.spill(bytes);
        }
        Ok(end)
    }

    /// Nothing of a message is pending.
    pub(super) fn is_between_messages(&self) -> bool {
        matches!(self.stage, Stage::Reported)
            || matches!(self.stage, Stage::Header) && self.body.reader.is_empty()
    }

    /// Heap memory that is held, in bytes.
    pub(super) fn retained_bytes(&self) -> usize {
        let collected = if let Stage::Collect(prefix) = &self.stage {
            prefix.capacity()
        } else {
            0
        };
        self.body.captures.retained_bytes() + collected
    }

    fn fail(&mut self, reason: Malformed) {
        self.stage = Stage::Failed(reason);
        self.body.captures = Default::default();
    }

    fn read(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        let mut at = 0;
        loop {
            let end = bytes.len().min(at + self.left as usize);
            let mine = bytes.get(at..end).unwrap_or_default();
            match &mut self.stage {
                Stage::Header => {
                    let Some(head) = self.fixed::<HEADER_BYTES>(bytes, &mut at) else {
                        return Ok(None);
                    };
                    self.start(&head)?;
                }
                Stage::CompressedHead => {
                    let Some(head) = self.fixed::<COMPRESSED_HEAD_BYTES>(bytes, &mut at) else {
                        return Ok(None);
                    };
                    self.start_compressed(&head)?;
                }
                Stage::Body => {
                    let piece = bytes.get(..end).unwrap_or(bytes);
                    let read_to = self.body.advance(piece, at)?;
                    self.left -= (read_to - at) as u32;
                    at = read_to;
                    if self.body.is_done() {
                        self.stage = Stage::Rest;
                    } else if self.left == 0 {
                        return Err(Malformed::Truncated);
                    } else {
                        return Ok(None);
                    }
                }
                Stage::Collect(prefix) => {
                    let prefix = std::mem::take(prefix);
                    at += self.collect(prefix, mine)?;
                    if matches!(self.stage, Stage::Collect(_)) {
                        return Ok(None);
                    }
                }
                Stage::Rest => {
                    at += mine.len();
                    self.left -= mine.len() as u32;
                    if self.left > 0 {
                        return Ok(None);
                    }
                    self.stage = Stage::Reported;
                    return Ok(Some(at));
                }
                Stage::Reported => return Ok(Some(at)),
                Stage::Failed(reason) => return Err(*reason),
            }
        }
    }

    /// Adds to what has been collected of a compressed body, or inflates it when that is enough. Returns how many bytes were taken.
    fn collect(&mut self, mut prefix: Vec<u8>, bytes: &[u8]) -> Result<usize, Malformed> {
        // What has not come yet and what has been collected are together what is compressed.
        let wanted = COMPRESSED_BYTES.min(self.left as usize + prefix.len());
        let missing = wanted - prefix.len();
        let new = bytes.get(..missing).unwrap_or(bytes);
        self.left -= new.len() as u32;
        if prefix.is_empty() && new.len() == missing {
            self.stage = Stage::Rest;
            self.inflate(new)?;
            return Ok(new.len());
        }
        // The room doubles with what has come, up to what is wanted, and never by what is announced.
        let needed = prefix.len() + new.len();
        if needed > prefix.capacity() {
            prefix.reserve_exact(wanted.min(2 * needed) - prefix.len());
        }
        prefix.extend_from_slice(new);
        if new.len() < missing {
            self.stage = Stage::Collect(prefix);
        } else {
            self.stage = Stage::Rest;
            self.inflate(&prefix)?;
        }
        Ok(new.len())
    }

    fn fixed<const N: usize>(&mut self, bytes: &[u8], at: &mut usize) -> Option<[u8; N]> {
        let mut input = Input::new(bytes, *at, 0);
        let head = self.body.reader.fixed(&mut input);
        *at = input.at();
        head
    }

    fn start(&mut self, head: &[u8]) -> Result<(), Malformed> {
        let (_, header) = Header::parse(head).map_err(|_| Malformed::Truncated)?;
        // A server closes the connection for less, and for more.
        if !(HEADER_BYTES as u32..=MAX_MESSAGE_BYTES).contains(&header.length) {
            return Err(Malformed::MessageLength);
        }
        self.header = header;
        self.opcode = header.opcode;
        self.compression = None;
        self.incomplete = false;
        self.left = header.length - HEADER_BYTES as u32;
        if header.opcode == Opcode::Compressed {
            if self.left < COMPRESSED_HEAD_BYTES as u32 {
                return Err(Malformed::Truncated);
            }
            self.stage = Stage::CompressedHead;
        } else {
            self.body.start(header.opcode, self.left);
            self.stage = Stage::Body;
        }
        Ok(())
    }

    fn start_compressed(&mut self, head: &[u8]) -> Result<(), Malformed> {
        self.left -= COMPRESSED_HEAD_BYTES as u32;
        let (opcode, compression) = Compression::parse(head, self.left)?;
        if opcode == Opcode::Compressed {
            return Err(Malformed::NestedCompression);
        }
        if compression.claimed > MAX_MESSAGE_BYTES - HEADER_BYTES as u32 {
            return Err(Malformed::ClaimedSize);
        }
        self.opcode = opcode;
        self.compression = Some(compression);
        self.body.start(opcode, compression.claimed);
        self.stage = match compression.compressor {
            Compressor::Noop if compression.claimed != self.left => {
                return Err(Malformed::SizeMismatch);
            }
            Compressor::Noop => Stage::Body,
            _ => Stage::Collect(Vec::new()),
        };
        Ok(())
    }

    /// Inflates the first bytes of a body, or all of them, and decodes what comes out.
    fn inflate(&mut self, data: &[u8]) -> Result<(), Malformed> {
        let Some(compression) = self.compression else {
            return Ok(());
        };
        let body = &mut self.body;
        let inflated = inflate(compression, data, INFLATED_BYTES, &mut |piece| {
            body.advance(piece, 0)?;
            body.spill(piece);
            Ok(())
        })?;
        match inflated {
            Inflated::Whole if self.body.is_done() => Ok(()),
            Inflated::Whole => Err(Malformed::Truncated),
            Inflated::Start => {
                self.incomplete = true;
                Ok(())
            }
        }
    }
}
