//! Bodies: which bytes belong to a message, and which of them are passed on.

use super::chunk::{self, Class};
use super::field::Headers;
use super::framing::Framing;
use super::line::Parsed;
use super::section::{Bounds, FirstLine, Section};
use super::trailers::may_be_trailer;
use crate::Malformed;
use crate::limits::{MAX_HEADERS, MAX_TRAILER_BYTES};

const BOUNDS: Bounds = Bounds {
    bytes: MAX_TRAILER_BYTES,
    too_large: Malformed::TrailersTooLarge,
    fields: MAX_HEADERS,
};

/// What the next bytes of a body are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyStep {
    /// So many bytes are data: passed on as they are.
    Forward(usize),
    /// So many bytes are framing that every reader takes alike: passed on to an HTTP/1 peer, dropped where the peer has other framing.
    Frame(usize),
    /// So many bytes are never passed on: chunk extensions.
    Drop(usize),
    /// The trailer section. Its fields are in the [`Headers`]; to an HTTP/1 peer their lines are passed on, and an empty one.
    Trailers {
        /// Bytes of the section, with its empty line.
        consumed: usize,
        /// Fields that may not stand in a trailer section; they are not in the [`Headers`].
        dropped: usize,
    },
    /// The message is complete: the next byte is not its.
    End,
    /// All bytes are used, or the rest has to be shown again with more behind it: only part of a trailer section is ever left.
    NeedMore,
    /// The bytes are no body of that framing. Final.
    Malformed(Malformed),
}

/// The body of one message, as its bytes pass.
#[derive(Debug, Clone)]
pub struct Body {
    stage: Stage,
    chunks: chunk::Framing,
}

#[derive(Debug, Clone)]
enum Stage {
    /// So many bytes, then the end.
    Length(u64),
    /// Bytes to the end of the connection.
    Endless,
    /// Between the data of two chunks.
    ChunkFraming,
    /// So many bytes of a chunk.
    ChunkData(u64),
    /// Behind the last chunk.
    Trailers(Section),
    Done,
    Failed(Malformed),
}

impl Body {
    /// The body of a message of that framing.
    pub fn new(framing: Framing) -> Self {
        Self {
            stage: match framing {
                Framing::None | Framing::Length(0) => Stage::Done,
                Framing::Length(length) => Stage::Length(length),
                Framing::Chunked => Stage::ChunkFraming,
                Framing::UntilClose | Framing::Tunnel => Stage::Endless,
            },
            chunks: chunk::Framing::new(),
        }
    }

    /// Says what the next bytes are. Call again with what is behind them until [`BodyStep::End`] or [`BodyStep::NeedMore`]. What is in
    /// `trailers` is replaced when a trailer section comes.
    pub fn advance(&mut self, buf: &[u8], trailers: &mut Headers) -> BodyStep {
        match &mut self.stage {
            Stage::Done => BodyStep::End,
            Stage::Failed(reason) => BodyStep::Malformed(*reason),
            _ if buf.is_empty() => BodyStep::NeedMore,
            Stage::Endless => BodyStep::Forward(buf.len()),
            Stage::Length(left) => {
                let taken = take(left, buf);
                if *left == 0 {
                    self.stage = Stage::Done;
                }
                BodyStep::Forward(taken)
            }
            Stage::ChunkData(left) => {
                let taken = take(left, buf);
                if *left == 0 {
                    self.stage = Stage::ChunkFraming;
                }
                BodyStep::Forward(taken)
            }
            Stage::ChunkFraming => self.framing(buf),
            Stage::Trailers(section) => match section.read::<NoLine>(buf, &BOUNDS, trailers) {
                Ok(None) => BodyStep::NeedMore,
                Ok(Some(section)) => {
                    self.stage = Stage::Done;
                    trailer_section(buf, section.length, trailers)
                }
                Err(reason) => self.fail(reason),
            },
        }
    }

    /// The message is complete.
    pub fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// Bytes that are still to come, where the framing says so from the start.
    pub fn left(&self) -> Option<u64> {
        match self.stage {
            Stage::Done => Some(0),
            Stage::Length(left) => Some(left),
            _ => None,
        }
    }

    /// The message is complete if the connection ends here.
    pub fn may_end(&self) -> bool {
        matches!(self.stage, Stage::Done | Stage::Endless)
    }

    /// A run of framing bytes of one class.
    fn framing(&mut self, buf: &[u8]) -> BodyStep {
        let mut run = None;
        let mut taken = 0;
        for byte in buf {
            let mut chunks = self.chunks;
            let (class, size) = match chunks.take(*byte) {
                Ok((class, _)) if run.is_some_and(|run| run != class) => break,
                Ok(found) => found,
                Err(reason) if taken == 0 => return self.fail(reason),
                Err(_) => break,
            };
            self.chunks = chunks;
            run = Some(class);
            taken += 1;
            match size {
                None => {}
                Some(0) => {
                    taken += self.last_chunk(buf.get(taken..).unwrap_or_default());
                    break;
                }
                Some(size) => {
                    self.stage = Stage::ChunkData(size);
                    break;
                }
            }
        }
        match run {
            Some(Class::Extension) => BodyStep::Drop(taken),
            _ => BodyStep::Frame(taken),
        }
    }

    /// Behind the last chunk is mostly the empty line. How much of it is there.
    fn last_chunk(&mut self, rest: &[u8]) -> usize {
        if rest.starts_with(b"\r\n") {
            self.stage = Stage::Done;
            2
        } else {
            self.stage = Stage::Trailers(Section::of_fields());
            0
        }
    }

    fn fail(&mut self, reason: Malformed) -> BodyStep {
        self.stage = Stage::Failed(reason);
        BodyStep::Malformed(reason)
    }
}

/// How many of the bytes are among those that are left.
fn take(left: &mut u64, buf: &[u8]) -> usize {
    let taken = usize::try_from(*left).map_or(buf.len(), |left| left.min(buf.len()));
    *left -= taken as u64;
    taken
}

fn trailer_section(buf: &[u8], length: usize, trailers: &mut Headers) -> BodyStep {
    let all = trailers.len();
    if all == 0 {
        return BodyStep::Frame(length);
    }
    trailers.retain_others(|field| may_be_trailer(field.name.of(buf)));
    BodyStep::Trailers {
        consumed: length,
        dropped: all - trailers.len(),
    }
}

/// In front of the trailer fields stands nothing.
struct NoLine;

impl<'b> FirstLine<'b> for NoLine {
    const AFTER_EMPTY_LINE: bool = false;
    const BOUND: (usize, Malformed) = (MAX_TRAILER_BYTES, Malformed::TrailersTooLarge);

    fn begins(_: u8) -> Result<(), Malformed> {
        Ok(())
    }

    fn parse(input: &'b [u8]) -> Parsed<'b, Self> {
        Ok((input, Self))
    }
}
