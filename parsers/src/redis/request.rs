//! What a client sends.

use super::limits::{ARGUMENTS, INLINE_BYTES, MAX_ARGUMENTS};
use super::number::{self, Number, Said};
use super::texts::{Shown, Text, Texts};
use super::words::Words;
use crate::{Malformed, Step};

/// Decodes what a client sends on one connection.
#[derive(Debug)]
pub struct RequestDecoder {
    stage: Stage,
    number: Number,
    arguments: Texts<ARGUMENTS>,
    /// Arguments that the request has, and that have not come yet.
    count: u64,
    left: u64,
    /// The longest argument that may come, in bytes.
    longest: u64,
    /// Bytes of the request so far.
    bytes: u64,
    words: Words,
    /// Bytes of an inline request so far.
    line: u64,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Start,
    /// The number of arguments.
    Count,
    /// The `$` in front of the length of an argument.
    Dollar,
    Length,
    Argument {
        left: u64,
        kept: bool,
    },
    Cr,
    Lf,
    Inline,
    Failed(Malformed),
}

/// A request, or what has come of it. Its texts are in the bytes that were shown, or kept by the decoder, which forgets them when it goes
/// on.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    arguments: Shown<'a>,
    /// Its arguments, the command's name among them.
    pub count: u64,
    /// The request on the wire, in bytes.
    pub bytes: u64,
}

impl<'a> Request<'a> {
    /// The name of the command, in the case that the client has it in.
    pub fn command(&self) -> &'a [u8] {
        self.arguments.get(0).map_or(&[], |name| name.bytes)
    }

    /// An argument; 0 is the command's name. Only the first ten are there.
    pub fn argument(&self, index: usize) -> Option<Text<'a>> {
        self.arguments.get(index)
    }
}

impl Default for RequestDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl RequestDecoder {
    /// A decoder for a connection that starts.
    pub fn new() -> Self {
        // Without a limit: `proto-max-bulk-len` may be any number, and nothing is kept of what is beyond the front.
        Self::with_longest_argument(u64::MAX)
    }

    /// The same where an argument of more bytes is malformed: `proto-max-bulk-len` of a server that closes the connection for one.
    pub fn with_longest_argument(longest: u64) -> Self {
        Self {
            stage: Stage::Start,
            number: Number::default(),
            arguments: Texts::default(),
            count: 0,
            left: 0,
            longest,
            bytes: 0,
            words: Words::default(),
            line: 0,
        }
    }

    /// Looks at the next bytes of the stream. Call again with what is left after `consumed` until `NeedMore`, which has used all of
    /// `bytes`. What asks for nothing (an empty line, `*0`, `*-1`) gets no reply from a server, and is passed over here.
    pub fn advance<'a>(&'a mut self, bytes: &'a [u8]) -> Step<Request<'a>> {
        let mut rest = bytes;
        let ended = self.read(bytes, &mut rest);
        let consumed = bytes.len() - rest.len();
        match ended {
            Ok(None) => {
                self.arguments.keep(bytes);
                Step::NeedMore
            }
            Ok(Some(before)) => {
                // What was passed over in front of it does not belong to it.
                let whole = self.bytes + (consumed - before) as u64;
                self.bytes = 0;
                self.stage = Stage::Start;
                Step::Message {
                    consumed,
                    message: Request {
                        arguments: self.arguments.of(bytes),
                        count: self.count,
                        bytes: whole,
                    },
                }
            }
            Err(reason) => {
                self.stage = Stage::Failed(reason);
                self.arguments.clear();
                Step::Malformed(reason)
            }
        }
    }

    /// What is known of a request that has begun and not ended; `None` between two, and where decoding has ended.
    pub fn pending(&self) -> Option<Request<'_>> {
        match self.stage {
            Stage::Start | Stage::Failed(_) => None,
            _ => Some(Request {
                arguments: self.arguments.of(&[]),
                count: self.count,
                bytes: self.bytes,
            }),
        }
    }

    /// True when the next byte starts a request: nothing of one is pending.
    pub fn is_between_messages(&self) -> bool {
        matches!(self.stage, Stage::Start)
    }

    /// Heap memory that is held, in bytes.
    #[doc(hidden)]
    pub fn retained_bytes(&self) -> usize {
        self.arguments.retained_bytes()
    }

    /// Reads to the end of a request: the place where it began in what was shown, or 0 where that was before.
    fn read(&mut self, shown: &[u8], rest: &mut &[u8]) -> Result<Option<usize>, Malformed> {
        let mut began = 0;
        loop {
            let ended = match self.stage {
                Stage::Start => {
                    began = shown.len() - rest.len();
                    self.start(rest)?
                }
                Stage::Count => self.count(rest)?,
                Stage::Dollar => self.dollar(shown, rest)?,
                Stage::Length => self.length(shown, rest)?,
                Stage::Argument { left, kept } => self.argument(rest, left, kept),
                Stage::Cr => self.line_end(rest, b'\r', Stage::Lf)?,
                Stage::Lf => self.line_end(rest, b'\n', Stage::Dollar)?,
                Stage::Inline => self.inline(rest)?,
                Stage::Failed(reason) => return Err(reason),
            };
            match ended {
                Progress::GoOn => {}
                Progress::Whole => return Ok(Some(began)),
                Progress::Pending => {
                    if !self.is_between_messages() {
                        self.bytes += (shown.len() - began) as u64;
                    }
                    return Ok(None);
                }
            }
        }
    }

    fn start(&mut self, rest: &mut &[u8]) -> Result<Progress, Malformed> {
        let Some((first, after)) = rest.split_first() else {
            return Ok(Progress::Pending);
        };
        self.arguments.clear();
        self.count = 0;
        self.bytes = 0;
        self.line = 0;
        if *first != b'*' {
            self.stage = Stage::Inline;
        } else if let Some((count, after)) = number::whole(after) {
            *rest = after;
            return self.counted(count);
        } else {
            *rest = after;
            self.stage = Stage::Count;
        }
        Ok(Progress::GoOn)
    }

    fn count(&mut self, rest: &mut &[u8]) -> Result<Progress, Malformed> {
        match self.number.advance(rest)? {
            None => Ok(Progress::Pending),
            Some(Said::Number(count)) => self.counted(u64::try_from(count).unwrap_or(0)),
            Some(Said::Unknown) => Err(Malformed::RespNumber),
        }
    }

    /// So many arguments follow. None are no request.
    fn counted(&mut self, count: u64) -> Result<Progress, Malformed> {
        if count > MAX_ARGUMENTS {
            return Err(Malformed::RespNumber);
        }
        self.count = count;
        self.left = count;
        self.stage = match count {
            0 => Stage::Start,
            _ => Stage::Dollar,
        };
        Ok(Progress::GoOn)
    }

    /// The next argument, unless all have come.
    fn dollar(&mut self, shown: &[u8], rest: &mut &[u8]) -> Result<Progress, Malformed> {
        while self.left > 0 {
            let Some((text, after)) = whole_argument(rest, self.longest) else {
                break;
            };
            let begins = shown.len() - after.len() - b"\r\n".len() - text.len();
            self.arguments.whole(shown, begins, text.len());
            self.left -= 1;
            *rest = after;
        }
        if self.left == 0 {
            return Ok(Progress::Whole);
        }
        match rest.split_first() {
            None => Ok(Progress::Pending),
            Some((b'$', after)) => {
                *rest = after;
                self.stage = Stage::Length;
                Ok(Progress::GoOn)
            }
            // Redis: "expected '$'".
            Some(_) => Err(Malformed::RespType),
        }
    }

    fn length(&mut self, shown: &[u8], rest: &mut &[u8]) -> Result<Progress, Malformed> {
        let Some(said) = self.number.advance(rest)? else {
            return Ok(Progress::Pending);
        };
        match said {
            Said::Number(length) if length >= 0 && length.unsigned_abs() <= self.longest => {
                let left = length.unsigned_abs();
                let kept = self.arguments.begin(shown);
                self.stage = Stage::Argument { left, kept };
                Ok(Progress::GoOn)
            }
            _ => Err(Malformed::RespNumber),
        }
    }

    fn argument(&mut self, rest: &mut &[u8], left: u64, kept: bool) -> Progress {
        let now = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
        let (bytes, after) = rest.split_at_checked(now).unwrap_or_default();
        *rest = after;
        if kept {
            self.arguments.add(bytes);
        }
        let left = left - now as u64;
        if left > 0 {
            self.stage = Stage::Argument { left, kept };
            return Progress::Pending;
        }
        self.left -= 1;
        self.stage = Stage::Cr;
        Progress::GoOn
    }

    /// The two bytes behind an argument. Redis does not look at them; who has counted wrong must not go on.
    fn line_end(&mut self, rest: &mut &[u8], byte: u8, then: Stage) -> Result<Progress, Malformed> {
        match rest.split_first() {
            None => Ok(Progress::Pending),
            Some((first, after)) if *first == byte => {
                *rest = after;
                self.stage = then;
                Ok(Progress::GoOn)
            }
            Some(_) => Err(Malformed::RespLineEnd),
        }
    }

    /// A line of words, as people type it.
    fn inline(&mut self, rest: &mut &[u8]) -> Result<Progress, Malformed> {
        let end = memchr::memchr(b'\n', rest);
        let taken = end.map_or(rest.len(), |end| end + 1);
        let (line, after) = rest.split_at_checked(taken).unwrap_or_default();
        self.line += taken as u64;
        if self.line > INLINE_BYTES {
            return Err(Malformed::RespInline);
        }
        *rest = after;
        for byte in line {
            self.words.take(*byte, &mut self.arguments)?;
        }
        if end.is_none() {
            return Ok(Progress::Pending);
        }
        self.count = self.words.end()?;
        if self.count == 0 {
            self.stage = Stage::Start;
            return Ok(Progress::GoOn);
        }
        Ok(Progress::Whole)
    }
}

/// An argument that is whole in these bytes, and what comes after it; all others are taken step by step.
#[inline]
fn whole_argument(bytes: &[u8], longest: u64) -> Option<(&[u8], &[u8])> {
    let (length, after) = number::whole(bytes.strip_prefix(b"$")?)?;
    if length > longest {
        return None;
    }
    let (text, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
    Some((text, after.strip_prefix(b"\r\n")?))
}

/// How far a stage has come.
enum Progress {
    /// The next stage follows.
    GoOn,
    /// A request has ended.
    Whole,
    /// All bytes have been taken.
    Pending,
}
