//! Integers, lengths and counts: decimal numbers that end with CRLF.

use crate::Malformed;

/// The magnitude of the smallest integer there is.
const LARGEST: u64 = 1 << 63;

/// Digits of a number that is read at once: so many cannot be more than what fits.
const SHORT_DIGITS: usize = 18;

/// A number whose line comes in whatever pieces.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Number {
    magnitude: u64,
    has_digits: bool,
    sign: Option<u8>,
    /// A `?` in the place of digits: a length that is not known yet (RESP3, streamed values).
    unknown: bool,
    /// The CR has come.
    ended: bool,
}

/// What a line said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    Number(i64),
    Unknown,
}

/// A number without a sign whose line is whole in these bytes, and what comes after it. `None` for all others, right or wrong: those
/// are for [`Number`].
#[inline]
pub(super) fn whole(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (digits, byte) in bytes.iter().enumerate().take(SHORT_DIGITS + 1) {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            if digits == 1 && number == 0 {
                return None;
            }
            number = number * 10 + u64::from(digit);
            continue;
        }
        let after = bytes.get(digits..)?.strip_prefix(b"\r\n")?;
        return (digits > 0).then_some((number, after));
    }
    None
}

impl Number {
    /// Goes on with the next bytes; `None` when all of them have been taken and the line goes on.
    ///
    /// As strict as `string2ll` of Redis: no plus, no zero in front, no minus in front of zero. What is let through here on a connection
    /// that clients share must not be what the server closes it for.
    pub(super) fn advance(&mut self, rest: &mut &[u8]) -> Result<Option<Said>, Malformed> {
        match self.line(rest)? {
            Some(Self {
                sign: Some(b'+'), ..
            }) => Err(Malformed::RespNumber),
            Some(Self {
                sign: Some(_),
                magnitude: 0,
                ..
            }) => Err(Malformed::RespNumber),
            line => line.map(Self::said).transpose(),
        }
    }

    /// The same for an integer that a server sends: "an optional plus or minus as the sign" (RESP specification, integers).
    pub(super) fn advance_signed(&mut self, rest: &mut &[u8]) -> Result<Option<Said>, Malformed> {
        self.line(rest)?.map(Self::said).transpose()
    }

    /// What the line has, when it has ended.
    fn line(&mut self, rest: &mut &[u8]) -> Result<Option<Self>, Malformed> {
        while let Some((byte, after)) = rest.split_first() {
            *rest = after;
            match byte {
                b'0'..=b'9' if !self.unknown && !self.ended => self.digit(*byte)?,
                b'-' | b'+' if self.is_untouched() => self.sign = Some(*byte),
                b'?' if self.is_untouched() => self.unknown = true,
                b'\r' if !self.ended && (self.has_digits || self.unknown) => self.ended = true,
                b'\n' if self.ended => return Ok(Some(std::mem::take(self))),
                _ => return Err(Malformed::RespNumber),
            }
        }
        Ok(None)
    }

    fn is_untouched(&self) -> bool {
        !self.has_digits && self.sign.is_none() && !self.unknown
    }

    fn digit(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.has_digits && self.magnitude == 0 {
            return Err(Malformed::RespNumber);
        }
        let shifted = self.magnitude.checked_mul(10);
        let digit = u64::from(byte - b'0');
        self.magnitude = shifted
            .and_then(|shifted| shifted.checked_add(digit))
            .ok_or(Malformed::RespNumber)?;
        self.has_digits = true;
        Ok(())
    }

    fn said(self) -> Result<Said, Malformed> {
        if self.unknown {
            return Ok(Said::Unknown);
        }
        let number = match self.sign {
            // The smallest integer has no positive counterpart.
            Some(b'-') if self.magnitude == LARGEST => Some(i64::MIN),
            Some(b'-') => i64::try_from(self.magnitude).ok().map(|number| -number),
            _ => i64::try_from(self.magnitude).ok(),
        };
        number.map(Said::Number).ok_or(Malformed::RespNumber)
    }
}
