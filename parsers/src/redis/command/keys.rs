//! Where the keys are among the arguments of a request.

use super::options::{self, StreamOptions};
use std::iter::FusedIterator;

/// Where a command has its keys. Positions are those of the request: the name is argument 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Keys {
    /// It has none, or they can't be told by the arguments.
    None,
    /// Every `step`-th argument from the first to the last, as `COMMAND INFO` has it. The channels of SPUBLISH and SSUBSCRIBE are among
    /// them: they belong to a slot as keys do.
    Range {
        /// The first key.
        first: u8,
        /// The last; counted from the end if negative, -1 being the last argument.
        last: i8,
        /// From one key to the next.
        step: u8,
    },
    /// As many as an argument says, from the one behind it: EVAL, ZUNION. Argument `at` is asked for.
    Counted {
        /// The argument that has the number of keys.
        at: u8,
        /// From one key to the next.
        step: u8,
        /// Argument 1 is a key too, which is written to: ZUNIONSTORE.
        destination: bool,
    },
    /// The first half of what is behind the option STREAMS: XREAD, XREADGROUP. The options are asked for.
    Streams,
    /// Argument 1, and that of the option STORE: SORT. The options are asked for.
    Sort,
    /// Argument 1, and that of the option STORE or STOREDIST: GEORADIUS, GEORADIUSBYMEMBER. The options are asked for.
    Radius {
        /// The first option.
        options: u8,
    },
    /// Argument 3, or, if it is empty, all behind the option KEYS: MIGRATE. Argument 3 and the options are asked for.
    Migrate,
}

/// The positions of the keys of a request, in ascending order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPositions {
    /// A key in front of the others.
    lead: Option<usize>,
    next: usize,
    /// Behind the last of the others.
    end: usize,
    step: usize,
}

impl Keys {
    #[inline]
    pub(super) fn positions<'a>(
        self,
        arguments: usize,
        argument: impl Fn(usize) -> Option<&'a [u8]>,
    ) -> KeyPositions {
        match self {
            Self::None => KeyPositions::NONE,
            Self::Range { first, last, step } => range(first, last, step, arguments),
            keys => keys
                .searched(arguments, argument)
                .unwrap_or(KeyPositions::NONE),
        }
    }

    /// The positions, where they depend on what the arguments are.
    fn searched<'a>(
        self,
        arguments: usize,
        argument: impl Fn(usize) -> Option<&'a [u8]>,
    ) -> Option<KeyPositions> {
        let keys = match self {
            Self::None | Self::Range { .. } => return None,
            Self::Counted {
                at,
                step,
                destination,
            } => {
                let at = usize::from(at);
                let step = usize::from(step);
                let first = at + 1;
                let count = number(argument(at)?).filter(|count| *count > 0)?;
                let end = count.checked_mul(step)?.checked_add(first)?;
                KeyPositions {
                    lead: destination.then_some(1),
                    ..KeyPositions::within(first, end, step, arguments)?
                }
            }
            Self::Streams => {
                let first = StreamOptions::of(arguments, argument).streams? + 1;
                let behind = arguments.checked_sub(first)?;
                if behind % 2 != 0 {
                    return None;
                }
                KeyPositions::within(first, first + behind / 2, 1, arguments)?
            }
            Self::Sort => KeyPositions::pair(options::sort_store(arguments, argument), arguments)?,
            Self::Radius { options: first } => KeyPositions::pair(
                options::radius_store(usize::from(first), arguments, argument),
                arguments,
            )?,
            Self::Migrate => match options::migrate_keys(arguments, &argument) {
                None => KeyPositions::within(3, 4, 1, arguments)?,
                // The server takes either the one or the others.
                Some(at) if argument(3)?.is_empty() => {
                    KeyPositions::within(at + 1, arguments, 1, arguments)?
                }
                Some(_) => return None,
            },
        };
        Some(keys)
    }
}

#[inline]
fn range(first: u8, last: i8, step: u8, arguments: usize) -> KeyPositions {
    let distance = usize::from(last.unsigned_abs());
    let end = if last < 0 {
        arguments.saturating_sub(distance - 1)
    } else {
        arguments.min(distance + 1)
    };
    KeyPositions {
        lead: None,
        next: usize::from(first),
        end,
        step: usize::from(step),
    }
}

/// What fits in as many arguments as a request may have.
fn number(digits: &[u8]) -> Option<usize> {
    str::from_utf8(digits).ok()?.parse().ok()
}

impl KeyPositions {
    const NONE: Self = Self {
        lead: None,
        next: 0,
        end: 0,
        step: 1,
    };

    /// Those from `first` up to `end`, if a request has so many arguments.
    fn within(first: usize, end: usize, step: usize, arguments: usize) -> Option<Self> {
        (end <= arguments).then_some(Self {
            lead: None,
            next: first,
            end,
            step,
        })
    }

    /// Argument 1, and the one that an option names.
    fn pair(other: Option<usize>, arguments: usize) -> Option<Self> {
        let key = Self::within(1, 2, 1, arguments)?;
        match other.filter(|other| *other < arguments) {
            None => Some(key),
            Some(other) => Some(Self {
                lead: Some(1),
                next: other,
                end: other + 1,
                step: 1,
            }),
        }
    }
}

impl Iterator for KeyPositions {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if let Some(lead) = self.lead.take() {
            return Some(lead);
        }
        if self.next >= self.end {
            return None;
        }
        let position = self.next;
        self.next = position.saturating_add(self.step);
        Some(position)
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let others = self.end.saturating_sub(self.next).div_ceil(self.step);
        let left = usize::from(self.lead.is_some()) + others;
        (left, Some(left))
    }
}

impl ExactSizeIterator for KeyPositions {}

impl FusedIterator for KeyPositions {}

#[cfg(test)]
mod tests;
