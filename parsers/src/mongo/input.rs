//! Reading of small fields out of a stream that may be cut anywhere.

use crate::Malformed;
use crate::limits::NAME_BYTES;

/// A piece of the stream and how far it has been read.
#[derive(Debug)]
pub(super) struct Input<'b> {
    bytes: &'b [u8],
    at: usize,
    /// What makes a position in the body out of a place in `bytes`.
    offset: u32,
}

impl<'b> Input<'b> {
    /// Reads `bytes` from `at`, which stands at `position` of the body.
    pub(super) fn new(bytes: &'b [u8], at: usize, position: u32) -> Self {
        Self {
            bytes,
            at,
            offset: position.wrapping_sub(at as u32),
        }
    }

    /// The piece.
    pub(super) fn piece(&self) -> &'b [u8] {
        self.bytes
    }

    /// Place in the piece.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// What is read goes on at this place in the piece.
    pub(super) fn set_at(&mut self, at: usize) {
        self.at = at;
    }

    /// The place in the piece of a position in the body; behind the piece if that has not come yet.
    pub(super) fn place_of(&self, position: u32) -> usize {
        position.wrapping_sub(self.offset) as usize
    }

    /// Place in the body. Bodies are below 2^26 bytes, so that sums of positions and checked lengths do not overflow.
    pub(super) fn position(&self) -> u32 {
        self.position_of(self.at)
    }

    /// Place in the body of a place in the piece.
    pub(super) fn position_of(&self, at: usize) -> u32 {
        self.offset.wrapping_add(at as u32)
    }

    /// What is left of the piece.
    pub(super) fn rest(&self) -> &'b [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Up to `most` bytes of what is left, without taking them.
    pub(super) fn peek(&self, most: u32) -> &'b [u8] {
        let rest = self.rest();
        rest.get(..most as usize).unwrap_or(rest)
    }

    /// Up to `most` bytes of what is left.
    pub(super) fn take(&mut self, most: u32) -> &'b [u8] {
        let taken = self.peek(most);
        self.at += taken.len();
        taken
    }
}

/// A name, and where it stands in the piece if all of it does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'t> {
    /// The name; one that a boundary cut is cut at [`NAME_BYTES`] too.
    pub(super) text: &'t [u8],
    /// Its place in the piece.
    pub(super) at: Option<usize>,
}

/// Carries a field that a boundary cut, and bytes to be passed over, from one piece to the next.
#[derive(Debug)]
pub(super) struct Reader {
    held: [u8; NAME_BYTES],
    held_len: u8,
    skip_left: u32,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            held: [0; NAME_BYTES],
            held_len: 0,
            skip_left: 0,
        }
    }
}

impl Reader {
    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.held_len = 0;
        self.skip_left = 0;
    }

    /// Nothing is carried.
    pub(super) fn is_empty(&self) -> bool {
        self.held_len == 0 && self.skip_left == 0
    }

    /// Where in the body the field starts that is being read.
    pub(super) fn position(&self, input: &Input<'_>) -> u32 {
        input.position().wrapping_sub(self.held_len.into())
    }

    /// Passes over the next `count` bytes.
    #[inline]
    pub(super) fn skip(&mut self, input: &mut Input<'_>, count: u32) {
        self.skip_left = count - input.take(count).len() as u32;
    }

    /// Does what is left of a skip. False when the piece ends before it.
    #[inline]
    pub(super) fn settle(&mut self, input: &mut Input<'_>) -> bool {
        if self.skip_left > 0 {
            self.skip_left -= input.take(self.skip_left).len() as u32;
        }
        self.skip_left == 0
    }

    /// The next `N` bytes, at most [`NAME_BYTES`].
    #[inline]
    pub(super) fn fixed<const N: usize>(&mut self, input: &mut Input<'_>) -> Option<[u8; N]> {
        if self.held_len == 0
            && let Some(bytes) = input.rest().first_chunk::<N>()
        {
            input.at += N;
            return Some(*bytes);
        }
        self.fixed_from_pieces(input)
    }

    #[cold]
    fn fixed_from_pieces<const N: usize>(&mut self, input: &mut Input<'_>) -> Option<[u8; N]> {
        let missing = N.saturating_sub(usize::from(self.held_len));
        let taken = input.take(missing as u32);
        self.hold(taken);
        if taken.len() < missing {
            return None;
        }
        self.held_len = 0;
        self.held.first_chunk::<N>().copied()
    }

    /// The next name (a C string), which has to end before position `end`.
    #[inline(always)]
    pub(super) fn name<'t, 'b: 't>(
        &'t mut self,
        input: &mut Input<'b>,
        end: u32,
    ) -> Result<Option<Token<'t>>, Malformed> {
        let room = end.saturating_sub(input.position());
        let window = input.peek(room);
        let Some(len) = find_nul(window) else {
            if window.len() as u32 == room {
                return Err(Malformed::UnterminatedName);
            }
            self.hold(input.take(room));
            return Ok(None);
        };
        let start = input.at;
        let text = window.get(..len).unwrap_or_default();
        input.at += len + 1;
        if self.held_len == 0 {
            return Ok(Some(Token {
                text,
                at: Some(start),
            }));
        }
        self.hold(text);
        let held = usize::from(std::mem::take(&mut self.held_len));
        Ok(Some(Token {
            text: self.held.get(..held).unwrap_or_default(),
            at: None,
        }))
    }

    /// Adds to what is carried; what does not fit is dropped, which only a name longer than any known one can do.
    fn hold(&mut self, bytes: &[u8]) {
        let free = self
            .held
            .get_mut(usize::from(self.held_len)..)
            .unwrap_or_default();
        let kept = bytes.len().min(free.len());
        if let (Some(to), Some(from)) = (free.get_mut(..kept), bytes.get(..kept)) {
            to.copy_from_slice(from);
            self.held_len += kept as u8;
        }
    }
}

/// The place of the first NUL. Names are short: most end within eight bytes, which are looked at at once.
#[inline(always)]
pub(super) fn find_nul(bytes: &[u8]) -> Option<usize> {
    match bytes.first_chunk() {
        Some(word) if zeros(*word) != 0 => Some(zeros(*word).trailing_zeros() as usize / 8),
        _ => find_nul_further(bytes),
    }
}

/// The same for a longer name, or one whose document ends soon.
#[inline(never)]
fn find_nul_further(bytes: &[u8]) -> Option<usize> {
    let (words, _) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().take(4).enumerate() {
        let zeros = zeros(*word);
        if zeros != 0 {
            return Some(8 * index + zeros.trailing_zeros() as usize / 8);
        }
    }
    let seen = 8 * words.len().min(4);
    memchr::memchr(0, bytes.get(seen..)?).map(|at| seen + at)
}

/// The lowest byte whose top bit is set here is the first one that is zero.
#[inline(always)]
fn zeros(word: [u8; 8]) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);
    let word = u64::from_le_bytes(word);
    word.wrapping_sub(ONES) & !word & TOPS
}
