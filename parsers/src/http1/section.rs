//! Lines up to an empty one: the walk over a head or a trailer section, and how it goes on when more bytes have come.

use super::field::{HeaderField, Headers, Span};
use super::line::{FieldLine, Parsed, field_line};
use super::names::Known;
use crate::Malformed;
use nom::Err;

/// How large a section may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Bytes of the whole section, with the empty line.
    pub(super) bytes: usize,
    /// Why a larger one is refused.
    pub(super) too_large: Malformed,
    /// Field lines.
    pub(super) fields: usize,
}

/// What stands in front of the fields.
pub(super) trait FirstLine<'b>: Sized {
    /// An empty line may stand in front of it (RFC 9112 section 2.2).
    const AFTER_EMPTY_LINE: bool;
    /// Its longest, in bytes, and why a longer one is refused.
    const BOUND: (usize, Malformed);

    /// What begins like this is no such line, and the rest of it need not be waited for.
    fn begins(first: u8) -> Result<(), Malformed>;

    /// Reads it.
    fn parse(input: &'b [u8]) -> Parsed<'b, Self>;
}

/// Where a section was left when its bytes ran out. What has been looked at is not looked at again until the section is whole: then
/// it is read once more, with its fields.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Section {
    /// Where the first line starts that is not whole.
    line: usize,
    /// No end of that line is before this place.
    scanned: usize,
    /// The first line has been read, or there is none.
    begun: bool,
    /// Field lines that were whole.
    fields: usize,
}

/// A section that is whole.
pub(super) struct Whole<F> {
    /// Its first line.
    pub(super) first: F,
    /// Where that starts.
    pub(super) at: usize,
    /// Where the section ends.
    pub(super) length: usize,
}

/// A walk over lines ended at the line that starts here, by what is wrong with it or for want of bytes.
struct Stop {
    line: usize,
    begun: bool,
    fields: usize,
    reason: Option<Malformed>,
}

impl Section {
    /// A section without a first line.
    pub(super) fn of_fields() -> Self {
        Self {
            begun: true,
            ..Self::default()
        }
    }

    /// Reads the section at the start of `buf`, if its empty line is there.
    pub(super) fn read<'b, F: FirstLine<'b>>(
        &mut self,
        buf: &'b [u8],
        bounds: &Bounds,
        headers: &mut Headers,
    ) -> Result<Option<Whole<F>>, Malformed> {
        if self.scanned > 0 && !self.goes_to_its_end::<F>(buf, bounds)? {
            return Ok(None);
        }
        headers.clear();
        match walk::<F>(buf, bounds, headers) {
            Ok(found) => {
                *self = Self::default();
                Ok(Some(found))
            }
            Err(stop) => self.stopped::<F>(buf, bounds, stop).map(|()| None),
        }
    }

    /// Something is wrong with a line only once it is whole, so that the answer does not hang on how the bytes were cut.
    #[cold]
    fn stopped<'b, F: FirstLine<'b>>(
        &mut self,
        buf: &'b [u8],
        bounds: &Bounds,
        stop: Stop,
    ) -> Result<(), Malformed> {
        *self = Self {
            line: stop.line,
            scanned: stop.line,
            begun: stop.begun,
            fields: stop.fields,
        };
        match (self.end_of_line::<F>(buf, bounds)?, stop.reason) {
            (Some(_), Some(reason)) => Err(reason),
            _ => Ok(()),
        }
    }

    /// Checks the lines that have become whole. True when the empty one is among them.
    fn goes_to_its_end<'b, F: FirstLine<'b>>(
        &mut self,
        buf: &'b [u8],
        bounds: &Bounds,
    ) -> Result<bool, Malformed> {
        while let Some(end) = self.end_of_line::<F>(buf, bounds)? {
            let line = buf.get(self.line..end).unwrap_or_default();
            if self.begun {
                if line == b"\r\n" {
                    return Ok(true);
                }
                checked(field_line(line))?;
                self.fields += 1;
                if self.fields > bounds.fields {
                    return Err(Malformed::TooManyFields);
                }
            } else if !(F::AFTER_EMPTY_LINE && self.line == 0 && line == b"\r\n") {
                checked(F::parse(line))?;
                self.begun = true;
            }
            self.line = end;
            self.scanned = end;
        }
        Ok(false)
    }

    /// The end of the line that is not whole yet, if it has come.
    fn end_of_line<'b, F: FirstLine<'b>>(
        &mut self,
        buf: &'b [u8],
        bounds: &Bounds,
    ) -> Result<Option<usize>, Malformed> {
        let (most, too_large) = if self.begun {
            (bounds.bytes, bounds.too_large)
        } else {
            let (bytes, too_long) = F::BOUND;
            (self.line + bytes, too_long)
        };
        let window = buf.get(..most).unwrap_or(buf);
        if !self.begun {
            match window.get(self.line..).unwrap_or_default() {
                [] => {}
                [b'\r'] | [b'\r', b'\n', ..] if F::AFTER_EMPTY_LINE && self.line == 0 => {}
                [first, ..] => F::begins(*first)?,
            }
        }
        let new = window.get(self.scanned..).unwrap_or_default();
        if let Some(at) = memchr::memchr(b'\n', new) {
            return Ok(Some(self.scanned + at + 1));
        }
        self.scanned = window.len();
        if buf.len() >= most {
            return Err(too_large);
        }
        Ok(None)
    }
}

/// Reads all lines of a section.
fn walk<'b, F: FirstLine<'b>>(
    buf: &'b [u8],
    bounds: &Bounds,
    headers: &mut Headers,
) -> Result<Whole<F>, Stop> {
    let window = buf.get(..bounds.bytes).unwrap_or(buf);
    let skipped = if F::AFTER_EMPTY_LINE && window.starts_with(b"\r\n") {
        2
    } else {
        0
    };
    let line = window.get(skipped..).unwrap_or_default();
    let (mut rest, first) =
        F::parse(line.get(..F::BOUND.0).unwrap_or(line)).map_err(|error| Stop {
            line: skipped,
            begun: false,
            fields: 0,
            reason: reason(error),
        })?;
    // The parser saw no more than the bound allows for the line; the fields go on to the end of the window.
    let mut at = skipped + line.len().min(F::BOUND.0) - rest.len();
    rest = window.get(at..).unwrap_or_default();
    loop {
        if let [b'\r', b'\n', ..] = rest {
            return Ok(Whole {
                first,
                at: skipped,
                length: at + 2,
            });
        }
        let stop = |reason| Stop {
            line: at,
            begun: true,
            fields: headers.len(),
            reason,
        };
        let (behind, line) = match field_line(rest) {
            Ok(parsed) => parsed,
            Err(_) if rest == b"\r" => return Err(stop(None)),
            Err(error) => return Err(stop(reason(error))),
        };
        if headers.len() == bounds.fields {
            return Err(stop(Some(Malformed::TooManyFields)));
        }
        let next = at + rest.len() - behind.len();
        headers.push(field(&line, at, next));
        (at, rest) = (next, behind);
    }
}

#[inline(always)]
fn field(line: &FieldLine<'_>, at: usize, end: usize) -> HeaderField {
    let value = at + line.value_at;
    HeaderField {
        name: Span::new(at, at + line.name.len()),
        value: Span::new(value, value + line.value.len()),
        line: Span::new(at, end),
        known: Known::of(line.name),
        underscore: line.odd && line.name.contains(&b'_'),
    }
}

/// A line that is whole lacks nothing: where its parser wants more, its end came too early.
fn checked<T>(parsed: Parsed<'_, T>) -> Result<(), Malformed> {
    match parsed {
        Ok(_) => Ok(()),
        Err(error) => Err(reason(error).unwrap_or(Malformed::FieldName)),
    }
}

fn reason(error: Err<Malformed>) -> Option<Malformed> {
    match error {
        Err::Incomplete(_) => None,
        Err::Error(reason) | Err::Failure(reason) => Some(reason),
    }
}
