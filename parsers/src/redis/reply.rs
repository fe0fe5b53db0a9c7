//! What a server sends.

use super::limits::MAX_ELEMENTS;
use super::message::{Kind, Reply};
use super::nesting::{Form, Nesting};
use super::number::{self, Number, Said};
use super::texts::Texts;
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
        then: Behind,
    },
    TextCr {
        then: Behind,
    },
    TextLf {
        then: Behind,
    },
    /// The `;` in front of a piece, and the piece's length.
    Piece {
        kept: bool,
    },
    PieceLength {
        kept: bool,
    },
    /// The letter of a boolean.
    Truth,
    /// How many values an aggregate has.
    Count(Aggregate),
    /// Behind the `.` that ends an aggregate without a count.
    EndCr,
    EndLf,
    Failed(Malformed),
}

/// What comes behind the line end of a text.
#[derive(Debug, Clone, Copy)]
enum Behind {
    /// Nothing: the value has ended.
    End,
    /// Another piece of the text.
    Piece { kept: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aggregate {
    Of(Kind),
    Attribute,
}

impl ReplyDecoder {
    /// A decoder for a connection that starts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at the next bytes of the stream. Call again with what is left after `consumed` until `NeedMore`, which has used all of
    /// `bytes`.
    pub fn advance<'a>(&'a mut self, bytes: &'a [u8]) -> Step<Reply<'a>> {
        let mut rest = bytes;
        if self.is_between_messages() {
            self.text.clear();
            self.known = Known::default();
            self.bytes = 0;
        }
        let whole = self.read(bytes, &mut rest);
        let consumed = bytes.len() - rest.len();
        self.bytes += consumed as u64;
        match whole {
            Ok(false) => {
                self.text.keep(bytes);
                Step::NeedMore
            }
            Ok(true) => Step::Message {
                consumed,
                message: Reply {
                    kind: self.known.kind.unwrap_or(Kind::Null),
                    elements: self.known.elements,
                    integer: self.known.integer,
                    text: self.text.of(bytes).get(0),
                    bytes: self.bytes,
                },
            },
            Err(reason) => {
                *self = Self {
                    stage: Stage::Failed(reason),
                    ..Self::default()
                };
                Step::Malformed(reason)
            }
        }
    }

    /// True when the next byte starts a reply: nothing of one is pending.
    #[inline]
    pub fn is_between_messages(&self) -> bool {
        matches!(self.stage, Stage::Type) && self.nesting.is_empty() && !self.nesting.awaits_value()
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

    /// Reads to the end of a reply: true when it has come.
    fn read(&mut self, shown: &[u8], rest: &mut &[u8]) -> Result<bool, Malformed> {
        loop {
            let progress = match self.stage {
                Stage::Type => match self.whole(shown, rest)? {
                    Some(progress) => progress,
                    None => self.begin(shown, rest)?,
                },
                Stage::Line { kept } => self.line(rest, kept),
                Stage::LineLf => expect(rest, b'\n')?.then(Progress::ValueEnded),
                Stage::Integer => self.integer(rest)?,
                Stage::Length(kind) => self.length(shown, rest, kind)?,
                Stage::Text { left, kept, then } => self.take_text(rest, left, kept, then),
                Stage::TextCr { then } => {
                    expect(rest, b'\r')?.then(Progress::To(Stage::TextLf { then }))
                }
                Stage::TextLf { then } => expect(rest, b'\n')?.then(match then {
                    Behind::End => Progress::ValueEnded,
                    Behind::Piece { kept } => Progress::To(Stage::Piece { kept }),
                }),
                Stage::Piece { kept } => self.piece(rest, kept)?,
                Stage::PieceLength { kept } => self.piece_length(rest, kept)?,
                Stage::Truth => truth(rest)?,
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
                Progress::EndSaid => self.nesting.end_said(),
            };
            self.stage = Stage::Type;
            if is_whole {
                return Ok(true);
            }
        }
    }

    /// What most replies are made of, where it is whole in what is left of what is shown: a text, a line, the head of an aggregate. `None`
    /// for all else, right or wrong, which is read step by step.
    #[inline]
    fn whole(&mut self, shown: &[u8], rest: &mut &[u8]) -> Result<Option<Progress>, Malformed> {
        let Some((first, line)) = rest.split_first() else {
            return Ok(None);
        };
        match first {
            b'$' => {
                let Some((text, after)) = whole_text(line) else {
                    return Ok(None);
                };
                self.value_begins(Kind::Bulk);
                let begins = shown.len() - after.len() - b"\r\n".len() - text.len();
                self.whole_text(shown, begins, text.len());
                *rest = after;
            }
            b'+' | b'-' => {
                let end = memchr::memchr(b'\r', line);
                let text = end.and_then(|end| line.split_at_checked(end));
                let Some((text, b"\r\n", after)) = text.and_then(|(text, after)| {
                    let (line_end, after) = after.split_at_checked(2)?;
                    Some((text, line_end, after))
                }) else {
                    return Ok(None);
                };
                self.value_begins(match first {
                    b'+' => Kind::Simple,
                    _ => Kind::Error,
                });
                self.whole_text(shown, shown.len() - line.len(), text.len());
                *rest = after;
            }
            b'*' => {
                let Some((count, after)) = number::whole(line) else {
                    return Ok(None);
                };
                self.value_begins(Kind::Array);
                *rest = after;
                return self.counted(Aggregate::Of(Kind::Array), count).map(Some);
            }
            _ => return Ok(None),
        }
        Ok(Some(Progress::ValueEnded))
    }

    /// The first byte of a value says what it is.
    fn begin(&mut self, shown: &[u8], rest: &mut &[u8]) -> Result<Progress, Malformed> {
        let Some((first, after)) = rest.split_first() else {
            return Ok(Progress::Pending);
        };
        *rest = after;
        let (kind, stage) = match first {
            b'+' => (Kind::Simple, self.line_begins(shown)),
            b'-' => (Kind::Error, self.line_begins(shown)),
            b':' => (Kind::Integer, Stage::Integer),
            b'$' => (Kind::Bulk, Stage::Length(Kind::Bulk)),
            b'*' => aggregate(Kind::Array),
            b'_' => (Kind::Null, Stage::TextCr { then: Behind::End }),
            b'#' => (Kind::Boolean, Stage::Truth),
            b',' => (Kind::Double, Stage::Line { kept: false }),
            b'(' => (Kind::BigNumber, Stage::Line { kept: false }),
            b'!' => (Kind::BulkError, Stage::Length(Kind::BulkError)),
            b'=' => (Kind::Verbatim, Stage::Length(Kind::Verbatim)),
            b'%' => aggregate(Kind::Map),
            b'~' => aggregate(Kind::Set),
            // "Push data may be interleaved with any protocol data, but always at top level" (RESP3).
            b'>' if self.nesting.is_empty() => aggregate(Kind::Push),
            b'|' => return Ok(Progress::To(Stage::Count(Aggregate::Attribute))),
            b'.' if self.nesting.may_end() => return Ok(Progress::To(Stage::EndCr)),
            _ => return Err(Malformed::RespType),
        };
        self.value_begins(kind);
        Ok(Progress::To(stage))
    }

    #[inline]
    fn value_begins(&mut self, kind: Kind) {
        if self.nesting.is_empty() {
            self.known.kind = Some(kind);
        }
        self.nesting.value_begins();
    }

    fn line_begins(&mut self, shown: &[u8]) -> Stage {
        let kept = self.keeps_text(shown);
        Stage::Line { kept }
    }

    /// The first text is kept, unless it only says something of another value.
    fn keeps_text(&mut self, shown: &[u8]) -> bool {
        !self.nesting.is_in_attribute() && self.text.begin(shown)
    }

    /// The same for one that is whole in what is shown.
    #[inline]
    fn whole_text(&mut self, shown: &[u8], begins: usize, length: usize) {
        if !self.nesting.is_in_attribute() {
            self.text.whole(shown, begins, length);
        }
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

    fn length(
        &mut self,
        shown: &[u8],
        rest: &mut &[u8],
        kind: Kind,
    ) -> Result<Progress, Malformed> {
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
                kept: self.keeps_text(shown),
                then: Behind::End,
            })),
            Said::Unknown if kind == Kind::Bulk => {
                let kept = self.keeps_text(shown);
                Ok(Progress::To(Stage::Piece { kept }))
            }
            Said::Number(_) | Said::Unknown => Err(Malformed::RespNumber),
        }
    }

    fn take_text(&mut self, rest: &mut &[u8], left: u64, kept: bool, then: Behind) -> Progress {
        let now = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
        let (bytes, after) = rest.split_at_checked(now).unwrap_or_default();
        *rest = after;
        if kept {
            self.text.add(bytes);
        }
        let left = left - now as u64;
        if left == 0 {
            return Progress::To(Stage::TextCr { then });
        }
        self.stage = Stage::Text { left, kept, then };
        Progress::Pending
    }

    fn piece(&mut self, rest: &mut &[u8], kept: bool) -> Result<Progress, Malformed> {
        match rest.split_first() {
            None => Ok(Progress::Pending),
            Some((b';', after)) => {
                *rest = after;
                Ok(Progress::To(Stage::PieceLength { kept }))
            }
            Some(_) => Err(Malformed::RespType),
        }
    }

    /// A text of unknown length comes in pieces, and ends with one of none.
    fn piece_length(&mut self, rest: &mut &[u8], kept: bool) -> Result<Progress, Malformed> {
        match self.number.advance(rest)? {
            None => Ok(Progress::Pending),
            Some(Said::Number(0)) => Ok(Progress::ValueEnded),
            Some(Said::Number(length)) if length > 0 => Ok(Progress::To(Stage::Text {
                left: length.unsigned_abs(),
                kept,
                then: Behind::Piece { kept },
            })),
            Some(_) => Err(Malformed::RespNumber),
        }
    }

    fn count(&mut self, rest: &mut &[u8], aggregate: Aggregate) -> Result<Progress, Malformed> {
        let Some(said) = self.number.advance(rest)? else {
            return Ok(Progress::Pending);
        };
        match said {
            Said::Number(-1) if aggregate == Aggregate::Of(Kind::Array) => {
                self.is_null();
                Ok(Progress::ValueEnded)
            }
            Said::Number(count) if count >= 0 => self.counted(aggregate, count.unsigned_abs()),
            Said::Unknown if matches!(aggregate, Aggregate::Of(kind) if kind != Kind::Push) => {
                self.nesting.enter(0, Form::Streamed)?;
                Ok(Progress::To(Stage::Type))
            }
            Said::Number(_) | Said::Unknown => Err(Malformed::RespNumber),
        }
    }

    /// An aggregate of so many values or pairs begins.
    #[inline]
    fn counted(&mut self, aggregate: Aggregate, count: u64) -> Result<Progress, Malformed> {
        if count > MAX_ELEMENTS {
            return Err(Malformed::RespNumber);
        }
        let (values, form) = match aggregate {
            Aggregate::Attribute => (2 * count, Form::Attribute),
            Aggregate::Of(Kind::Map) => (2 * count, Form::Counted),
            Aggregate::Of(_) => (count, Form::Counted),
        };
        if self.nesting.is_empty() && form == Form::Counted {
            self.known.elements = values;
        }
        match (values, form) {
            (0, Form::Attribute) => self.nesting.attribute_ended(),
            (0, _) => return Ok(Progress::ValueEnded),
            _ => self.nesting.enter(values, form)?,
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

/// How far a stage has come.
enum Progress {
    /// All bytes have been taken.
    Pending,
    To(Stage),
    ValueEnded,
    /// What ended is an aggregate that had no count.
    EndSaid,
}

/// A text that is whole in these bytes, which begin with its length, and what comes after it.
#[inline]
fn whole_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, after) = number::whole(bytes)?;
    let (text, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
    Some((text, after.strip_prefix(b"\r\n")?))
}

fn truth(rest: &mut &[u8]) -> Result<Progress, Malformed> {
    match rest.split_first() {
        None => Ok(Progress::Pending),
        Some((b't' | b'f', after)) => {
            *rest = after;
            Ok(Progress::To(Stage::TextCr { then: Behind::End }))
        }
        Some(_) => Err(Malformed::RespType),
    }
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
