//! What a server sends.

use super::nesting::Nesting;
use super::number::{Number, Said};
use super::texts::{Text, Texts};
use crate::{Malformed, Step};

/// Decodes what a server sends on one connection.
#[derive(Debug, Default)]
pub struct ReplyDecoder {
    stage: Stage,
    number: Number,
    nesting: Nesting,
    /// The front of the first text.
    text: Texts<1>,
    known: Known,
    /// Bytes of the reply so far.
    bytes: u64,
}

/// What is known of a reply that is being read.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    kind: Option<Kind>,
    elements: u64,
    integer: Option<i64>,
}

#[derive(Debug, Clone, Copy, Default)]
enum Stage {
    /// A value begins.
    #[default]
    Type,
    /// A line whose end is searched for.
    Line {
        kept: bool,
    },
    LineLf,
    Integer,
    /// The length of a text.
    Length(Kind),
    Text {
        left: u64,
        kept: bool,
        /// One of several pieces of a text.
        is_piece: bool,
    },
    TextCr {
        is_piece: bool,
    },
    TextLf {
        is_piece: bool,
    },
    /// The `;` in front of a piece, and the piece's length.
    Piece,
    PieceLength,
    /// How many values an aggregate has.
    Count(Aggregate),
    /// Behind the `.` that ends an aggregate without a count.
    EndCr,
    EndLf,
    Failed(Malformed),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aggregate {
    Of(Kind),
    Attribute,
}

/// What a reply is, by its first byte. A null is a null, whichever of its three forms it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `+`
    Simple,
    /// `-`
    Error,
    /// `:`
    Integer,
    /// `$`
    Bulk,
    /// `*`
    Array,
    /// `_`, `$-1` and `*-1`
    Null,
    /// `#`
    Boolean,
    /// `,`
    Double,
    /// `(`
    BigNumber,
    /// `!`
    BulkError,
    /// `=`
    Verbatim,
    /// `%`
    Map,
    /// `~`
    Set,
    /// `>`: no reply, but what the server says of its own accord.
    Push,
}

impl Kind {
    /// How many there are.
    pub const COUNT: usize = 14;

    /// Its place among all: a number below [`Kind::COUNT`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// A short name for stats, in snake case.
    pub fn label(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Error => "error",
            Self::Integer => "integer",
            Self::Bulk => "bulk",
            Self::Array => "array",
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Double => "double",
            Self::BigNumber => "big_number",
            Self::BulkError => "bulk_error",
            Self::Verbatim => "verbatim",
            Self::Map => "map",
            Self::Set => "set",
            Self::Push => "push",
        }
    }
}

const _: () = assert!(Kind::Push as usize + 1 == Kind::COUNT);

/// A reply, or a push. Its text is the decoder's, which forgets it when it goes on.
#[derive(Debug, Clone, Copy)]
pub struct Reply<'a> {
    /// What it is.
    pub kind: Kind,
    /// Values that an aggregate announces: two for each pair of a map. Zero where it announces none, and for all else.
    pub elements: u64,
    /// The integer that it is, or the last one among its values: what a confirmation of SUBSCRIBE counts.
    pub integer: Option<i64>,
    /// The text that it is, or the first one in it: of an error the message, of a push its name.
    pub text: Option<Text<'a>>,
    /// The whole reply on the wire, with its attributes, in bytes.
    pub bytes: u64,
}

impl<'a> Reply<'a> {
    /// True for both forms of an error.
    pub fn is_error(&self) -> bool {
        matches!(self.kind, Kind::Error | Kind::BulkError)
    }

    /// The first word of an error: `WRONGTYPE`, `MOVED`, or `ERR` where the server says no more. Empty when it is none.
    pub fn error_prefix(&self) -> &'a [u8] {
        let message = match self.text {
            Some(text) if self.is_error() => text.bytes,
            _ => return &[],
        };
        message
            .split(|byte| *byte == b' ')
            .next()
            .unwrap_or(message)
    }

    /// The first text, as far as it is kept; empty where there is none.
    pub fn name(&self) -> &'a [u8] {
        self.text.map_or(&[], |text| text.bytes)
    }
}

impl ReplyDecoder {
    /// A decoder for a connection that starts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at the next bytes of the stream. Call again with what is left after `consumed` until `NeedMore`, which has used all of
    /// `bytes`.
    pub fn advance<'a>(&'a mut self, bytes: &[u8]) -> Step<Reply<'a>> {
        let mut rest = bytes;
        if self.is_between_messages() {
            self.text.clear();
            self.known = Known::default();
            self.bytes = 0;
        }
        let whole = self.read(&mut rest);
        let consumed = bytes.len() - rest.len();
        self.bytes += consumed as u64;
        match whole {
            Ok(false) => Step::NeedMore,
            Ok(true) => Step::Message {
                consumed,
                message: Reply {
                    kind: self.known.kind.unwrap_or(Kind::Null),
                    elements: self.known.elements,
                    integer: self.known.integer,
                    text: self.text.get(0),
                    bytes: self.bytes,
                },
            },
            Err(reason) => {
                self.stage = Stage::Failed(reason);
                self.text.clear();
                Step::Malformed(reason)
            }
        }
    }

    /// True when the next byte starts a reply: nothing of one is pending.
    pub fn is_between_messages(&self) -> bool {
        matches!(self.stage, Stage::Type) && self.nesting.is_empty() && !self.is_after_attribute()
    }

    /// What the reply is that has begun and not ended, when its first byte has come.
    pub fn pending_kind(&self) -> Option<Kind> {
        match self.is_between_messages() {
            true => None,
            false => self.known.kind,
        }
    }

    /// Heap memory that is held, in bytes.
    #[doc(hidden)]
    pub fn retained_bytes(&self) -> usize {
        self.text.retained_bytes() + self.nesting.retained_bytes()
    }

    /// An attribute has ended at the outermost level, and the value that it speaks of has not begun.
    fn is_after_attribute(&self) -> bool {
        self.nesting.awaits_value()
    }

    /// Reads to the end of a reply: true when it has come.
    fn read(&mut self, rest: &mut &[u8]) -> Result<bool, Malformed> {
        loop {
            let progress = match self.stage {
                Stage::Type => self.begin(rest)?,
                Stage::Line { kept } => self.line(rest, kept),
                Stage::LineLf => expect(rest, b'\n')?.then(Progress::ValueEnded),
                Stage::Integer => self.integer(rest)?,
                Stage::Length(kind) => self.length(rest, kind)?,
                Stage::Text {
                    left,
                    kept,
                    is_piece,
                } => self.take_text(rest, left, kept, is_piece),
                Stage::TextCr { is_piece } => {
                    expect(rest, b'\r')?.then(Progress::To(Stage::TextLf { is_piece }))
                }
                Stage::TextLf { is_piece: false } => {
                    expect(rest, b'\n')?.then(Progress::ValueEnded)
                }
                Stage::TextLf { is_piece: true } => {
                    expect(rest, b'\n')?.then(Progress::To(Stage::Piece))
                }
                Stage::Piece => expect(rest, b';')?.then(Progress::To(Stage::PieceLength)),
                Stage::PieceLength => self.piece_length(rest)?,
                Stage::Count(aggregate) => self.count(rest, aggregate)?,
                Stage::EndCr => expect(rest, b'\r')?.then(Progress::To(Stage::EndLf)),
                Stage::EndLf => expect(rest, b'\n')?.then(Progress::EndSaid),
                Stage::Failed(reason) => return Err(reason),
            };
            let is_whole = match progress {
                Progress::Pending => return Ok(false),
                Progress::To(stage) => {
                    self.stage = stage;
                    continue;
                }
                Progress::ValueEnded => self.nesting.value_ended(),
                Progress::EndSaid => self.nesting.end_said()?,
            };
            self.stage = Stage::Type;
            if is_whole {
                return Ok(true);
            }
        }
    }

    /// The first byte of a value says what it is.
    fn begin(&mut self, rest: &mut &[u8]) -> Result<Progress, Malformed> {
        let Some((first, after)) = rest.split_first() else {
            return Ok(Progress::Pending);
        };
        *rest = after;
        let (kind, stage) = match first {
            b'+' => (Kind::Simple, self.line_begins()),
            b'-' => (Kind::Error, self.line_begins()),
            b':' => (Kind::Integer, Stage::Integer),
            b'$' => (Kind::Bulk, Stage::Length(Kind::Bulk)),
            b'*' => aggregate(Kind::Array),
            b'_' => (Kind::Null, Stage::Line { kept: false }),
            b'#' => (Kind::Boolean, Stage::Line { kept: false }),
            b',' => (Kind::Double, Stage::Line { kept: false }),
            b'(' => (Kind::BigNumber, Stage::Line { kept: false }),
            b'!' => (Kind::BulkError, Stage::Length(Kind::BulkError)),
            b'=' => (Kind::Verbatim, Stage::Length(Kind::Verbatim)),
            b'%' => aggregate(Kind::Map),
            b'~' => aggregate(Kind::Set),
            // "Push data may be interleaved with any protocol data, but always at top level" (RESP3).
            b'>' if self.nesting.is_empty() => aggregate(Kind::Push),
            b'|' => return Ok(Progress::To(Stage::Count(Aggregate::Attribute))),
            b'.' => return Ok(Progress::To(Stage::EndCr)),
            _ => return Err(Malformed::RespType),
        };
        if self.nesting.is_empty() {
            self.known.kind = Some(kind);
        }
        self.nesting.value_begins();
        Ok(Progress::To(stage))
    }

    fn line_begins(&mut self) -> Stage {
        let kept = self.keeps_text();
        Stage::Line { kept }
    }

    /// The first text is kept, unless it only says something of another value.
    fn keeps_text(&mut self) -> bool {
        !self.nesting.is_in_attribute() && self.text.begin()
    }

    fn line(&mut self, rest: &mut &[u8], kept: bool) -> Progress {
        let end = memchr::memchr(b'\r', rest);
        let (line, after) = rest
            .split_at_checked(end.unwrap_or(rest.len()))
            .unwrap_or_default();
        if kept {
            self.text.add(line);
        }
        match end {
            None => {
                *rest = after;
                Progress::Pending
            }
            Some(_) => {
                *rest = after.get(1..).unwrap_or_default();
                Progress::To(Stage::LineLf)
            }
        }
    }

    fn integer(&mut self, rest: &mut &[u8]) -> Result<Progress, Malformed> {
        match self.number.advance_signed(rest)? {
            None => Ok(Progress::Pending),
            Some(Said::Number(number)) => {
                if !self.nesting.is_in_attribute() {
                    self.known.integer = Some(number);
                }
                Ok(Progress::ValueEnded)
            }
            Some(Said::Unknown) => Err(Malformed::RespNumber),
        }
    }

    fn length(&mut self, rest: &mut &[u8], kind: Kind) -> Result<Progress, Malformed> {
        let Some(said) = self.number.advance(rest)? else {
            return Ok(Progress::Pending);
        };
        match said {
            Said::Number(-1) if kind == Kind::Bulk => {
                self.is_null();
                Ok(Progress::ValueEnded)
            }
            // No limit of ours: nothing is kept of what is beyond the front.
            Said::Number(length) if length >= 0 => Ok(Progress::To(Stage::Text {
                left: length.unsigned_abs(),
                kept: self.keeps_text(),
                is_piece: false,
            })),
            Said::Unknown if kind == Kind::Bulk => {
                self.keeps_text();
                Ok(Progress::To(Stage::Piece))
            }
            Said::Number(_) | Said::Unknown => Err(Malformed::RespNumber),
        }
    }

    fn take_text(&mut self, rest: &mut &[u8], left: u64, kept: bool, is_piece: bool) -> Progress {
        let now = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
        let (bytes, after) = rest.split_at_checked(now).unwrap_or_default();
        *rest = after;
        if kept {
            self.text.add(bytes);
        }
        let left = left - now as u64;
        if left == 0 {
            return Progress::To(Stage::TextCr { is_piece });
        }
        self.stage = Stage::Text {
            left,
            kept,
            is_piece,
        };
        Progress::Pending
    }

    /// A text of unknown length comes in pieces, and ends with one of none.
    fn piece_length(&mut self, rest: &mut &[u8]) -> Result<Progress, Malformed> {
        match self.number.advance(rest)? {
            None => Ok(Progress::Pending),
            Some(Said::Number(0)) => Ok(Progress::ValueEnded),
            Some(Said::Number(length)) if length > 0 => Ok(Progress::To(Stage::Text {
                left: length.unsigned_abs(),
                kept: false,
                is_piece: true,
            })),
            Some(_) => Err(Malformed::RespNumber),
        }
    }

    fn count(&mut self, rest: &mut &[u8], aggregate: Aggregate) -> Result<Progress, Malformed> {
        let Some(said) = self.number.advance(rest)? else {
            return Ok(Progress::Pending);
        };
        let is_attribute = aggregate == Aggregate::Attribute;
        let count = match said {
            Said::Number(-1) if aggregate == Aggregate::Of(Kind::Array) => {
                self.is_null();
                return Ok(Progress::ValueEnded);
            }
            Said::Unknown if matches!(aggregate, Aggregate::Of(kind) if kind != Kind::Push) => None,
            Said::Number(count) => Some(aggregate.values(count)?),
            Said::Unknown => return Err(Malformed::RespNumber),
        };
        if self.nesting.is_empty() && !is_attribute {
            self.known.elements = count.unwrap_or(0);
        }
        match count {
            Some(0) if is_attribute => self.nesting.attribute_ended(),
            Some(0) => return Ok(Progress::ValueEnded),
            left => self.nesting.enter(left, is_attribute)?,
        }
        Ok(Progress::To(Stage::Type))
    }

    fn is_null(&mut self) {
        if self.nesting.is_empty() {
            self.known.kind = Some(Kind::Null);
        }
    }
}

fn aggregate(kind: Kind) -> (Kind, Stage) {
    (kind, Stage::Count(Aggregate::Of(kind)))
}

impl Aggregate {
    /// Values within one that says this count: a map has two for each pair.
    fn values(self, count: i64) -> Result<u64, Malformed> {
        let count = u64::try_from(count).map_err(|_| Malformed::RespNumber)?;
        match self {
            Self::Attribute | Self::Of(Kind::Map) => {
                count.checked_mul(2).ok_or(Malformed::RespNumber)
            }
            Self::Of(_) => Ok(count),
        }
    }
}

/// How far a stage has come.
enum Progress {
    /// All bytes have been taken.
    Pending,
    To(Stage),
    ValueEnded,
    /// What ended is an aggregate that had no count.
    EndSaid,
}

/// One byte that has to be there; `Seen(false)` when none is.
fn expect(rest: &mut &[u8], byte: u8) -> Result<Seen, Malformed> {
    match rest.split_first() {
        None => Ok(Seen(false)),
        Some((first, after)) if *first == byte => {
            *rest = after;
            Ok(Seen(true))
        }
        Some(_) => Err(Malformed::RespLineEnd),
    }
}

struct Seen(bool);

impl Seen {
    fn then(self, progress: Progress) -> Progress {
        match self.0 {
            true => progress,
            false => Progress::Pending,
        }
    }
}
