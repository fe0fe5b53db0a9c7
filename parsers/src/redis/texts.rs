//! The fronts of texts. While a message is whole in the bytes that are shown, they are places in those; what a read boundary cuts is
//! copied, as far as a front goes.

use super::limits::{RETAINED_BYTES, TEXT_BYTES};

/// The fronts of up to `N` texts.
#[derive(Debug, Clone)]
pub(super) struct Texts<const N: usize> {
    places: [Place; N],
    count: usize,
    /// The places are in `kept`, not in what is shown.
    is_kept: bool,
    kept: Vec<u8>,
}

/// Where a text stands.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    begins: usize,
    length: u64,
}

/// Texts in the bytes in which they stand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown<'a> {
    places: &'a [Place],
    bytes: &'a [u8],
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
            places: [Place::default(); N],
            count: 0,
            is_kept: false,
            kept: Vec::new(),
        }
    }
}

impl<const N: usize> Texts<N> {
    /// Forgets all of them.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.count = 0;
        self.is_kept = false;
        match self.kept.capacity() > RETAINED_BYTES {
            true => self.kept = Vec::new(),
            false => self.kept.clear(),
        }
    }

    /// A text that is whole in what is shown.
    #[inline]
    pub(super) fn whole(&mut self, shown: &[u8], begins: usize, length: usize) {
        if self.is_kept {
            if self.begin(shown) {
                let text = begins.checked_add(length);
                let text = text.and_then(|ends| shown.get(begins..ends));
                self.add(text.unwrap_or_default());
            }
        } else if let Some(place) = self.places.get_mut(self.count) {
            let length = length as u64;
            *place = Place { begins, length };
            self.count += 1;
        }
    }

    /// A text begins that may not be whole in what is shown; [`Self::add`] gives its bytes. False when there is no place for it.
    #[inline]
    pub(super) fn begin(&mut self, shown: &[u8]) -> bool {
        self.keep(shown);
        let Some(place) = self.places.get_mut(self.count) else {
            return false;
        };
        let begins = self.kept.len();
        *place = Place { begins, length: 0 };
        self.count += 1;
        true
    }

    /// The next bytes of the text that was begun last.
    #[inline]
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let last = self.count.checked_sub(1);
        let Some(place) = last.and_then(|last| self.places.get_mut(last)) else {
            return;
        };
        place.length += bytes.len() as u64;
        let room = TEXT_BYTES.saturating_sub(self.kept.len() - place.begins);
        let front = bytes.get(..room).unwrap_or(bytes);
        self.kept.extend_from_slice(front);
    }

    /// The message goes on beyond what is shown, or cannot stay there for another reason.
    #[inline]
    pub(super) fn keep(&mut self, shown: &[u8]) {
        if self.is_kept {
            return;
        }
        self.is_kept = true;
        for place in self.places.iter_mut().take(self.count) {
            let begins = self.kept.len();
            self.kept.extend_from_slice(place.front(shown));
            place.begins = begins;
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// All of them. `shown` is what was shown last.
    #[inline]
    pub(super) fn of<'a>(&'a self, shown: &'a [u8]) -> Shown<'a> {
        let bytes = if self.is_kept { &self.kept } else { shown };
        let places = self.places.get(..self.count).unwrap_or_default();
        Shown { places, bytes }
    }

    /// Heap memory that is held, in bytes.
    pub(super) fn retained_bytes(&self) -> usize {
        self.kept.capacity()
    }
}

impl<'a> Shown<'a> {
    /// One of them.
    #[inline]
    pub(super) fn get(self, index: usize) -> Option<Text<'a>> {
        let place = self.places.get(index)?;
        let bytes = place.front(self.bytes);
        let length = place.length;
        Some(Text { bytes, length })
    }
}

impl Place {
    #[inline]
    fn front(self, bytes: &[u8]) -> &[u8] {
        let length = self.length.min(TEXT_BYTES as u64) as usize;
        let from = bytes.get(self.begins..).unwrap_or_default();
        from.get(..length).unwrap_or_default()
    }
}
