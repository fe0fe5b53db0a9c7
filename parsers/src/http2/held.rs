//! Small fields out of a stream that may be cut anywhere.

/// Keeps the start of a field of up to `N` bytes until the rest has come.
#[derive(Debug, Clone)]
pub(super) struct Held<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> Default for Held<N> {
    fn default() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
        }
    }
}

impl<const N: usize> Held<N> {
    /// Nothing is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The next `M` bytes; `None` when all that is left of the input has been taken and is not enough.
    #[inline]
    pub(super) fn take<const M: usize>(&mut self, input: &mut &[u8]) -> Option<[u8; M]> {
        const { assert!(M <= N && N <= 255) };
        if self.len == 0
            && let Some((field, rest)) = input.split_first_chunk()
        {
            *input = rest;
            return Some(*field);
        }
        self.take_pieces(input)
    }

    #[cold]
    fn take_pieces<const M: usize>(&mut self, input: &mut &[u8]) -> Option<[u8; M]> {
        let free = self.bytes.get_mut(usize::from(self.len)..M)?;
        let taken = free.len().min(input.len());
        let (now, rest) = input.split_at_checked(taken)?;
        free.get_mut(..taken)?.copy_from_slice(now);
        *input = rest;
        self.len += taken as u8;
        if usize::from(self.len) < M {
            return None;
        }
        self.len = 0;
        self.bytes.first_chunk().copied()
    }
}
