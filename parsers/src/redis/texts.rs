//! The front of texts, copied as they pass: they are short, and most often cut nowhere, but what is kept must not depend on that.

use super::limits::{RETAINED_BYTES, TEXT_BYTES};

/// The fronts of up to `N` texts.
#[derive(Debug, Clone)]
pub(super) struct Texts<const N: usize> {
    bytes: Vec<u8>,
    /// Where each of them ends, and how long it was.
    ends: [(u16, u64); N],
    count: usize,
}

/// The front of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<'a> {
    /// Its first bytes.
    pub bytes: &'a [u8],
    /// How many it has in all.
    pub length: u64,
}

impl Text<'_> {
    /// There is more of it than is shown.
    pub fn is_cut(&self) -> bool {
        self.length > self.bytes.len() as u64
    }
}

impl<const N: usize> Default for Texts<N> {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            ends: [(0, 0); N],
            count: 0,
        }
    }
}

impl<const N: usize> Texts<N> {
    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.count = 0;
        match self.bytes.capacity() > RETAINED_BYTES {
            true => self.bytes = Vec::new(),
            false => self.bytes.clear(),
        }
    }

    /// A text begins. False when there is no place for it.
    #[inline]
    pub(super) fn begin(&mut self) -> bool {
        let Some(place) = self.ends.get_mut(self.count) else {
            return false;
        };
        *place = (self.bytes.len() as u16, 0);
        self.count += 1;
        true
    }

    /// The next bytes of the text that was begun last.
    #[inline]
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let Some(last) = self.count.checked_sub(1) else {
            return;
        };
        let begins = self.begins(last);
        let Some((end, length)) = self.ends.get_mut(last) else {
            return;
        };
        *length += bytes.len() as u64;
        let room = TEXT_BYTES.saturating_sub(usize::from(*end) - begins);
        let front = bytes.get(..room).unwrap_or(bytes);
        self.bytes.extend_from_slice(front);
        *end += front.len() as u16;
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// One of them.
    pub(super) fn get(&self, index: usize) -> Option<Text<'_>> {
        if index >= self.count {
            return None;
        }
        let (end, length) = *self.ends.get(index)?;
        let bytes = self.bytes.get(self.begins(index)..usize::from(end))?;
        Some(Text { bytes, length })
    }

    /// Heap memory that is held, in bytes.
    pub(super) fn retained_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    fn begins(&self, index: usize) -> usize {
        let before = index
            .checked_sub(1)
            .and_then(|before| self.ends.get(before));
        before.map_or(0, |(end, _)| usize::from(*end))
    }
}
