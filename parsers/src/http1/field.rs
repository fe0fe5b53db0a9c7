//! Where in a buffer the fields of a head stand.

use super::names::Known;

/// A place in a buffer. A head can be looked at by it while the buffer is edited behind it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// Where it starts.
    pub start: u32,
    /// Where it ends: the first byte behind it.
    pub end: u32,
}

impl Span {
    /// From one place to another. Heads are below 2^16 bytes, and so are their buffers' parts that are looked at.
    #[inline]
    pub(super) fn new(start: usize, end: usize) -> Self {
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    /// What stands there, in the buffer that was parsed; empty when the buffer is shorter.
    #[inline]
    pub fn of(self, buf: &[u8]) -> &[u8] {
        buf.get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }

    /// Length in bytes.
    #[inline]
    pub fn len(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    /// Nothing stands there.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// One field line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderField {
    /// The name, as it came.
    pub name: Span,
    /// The value, without the blanks around it.
    pub value: Span,
    /// The whole line with its CRLF.
    pub line: Span,
    /// What the name means here.
    pub known: Known,
    /// The name has an underscore, which many servers take for a hyphen.
    pub underscore: bool,
}

/// The fields of one head or of one trailer section, in the order they came. It is meant to be used again for each: the room stays.
#[derive(Debug, Clone, Default)]
pub struct Headers {
    fields: Vec<HeaderField>,
    /// Where the first field of each known name is.
    first: [u8; Known::COUNT],
    /// A bit for each known name that there is.
    seen: u16,
    /// A bit for each known name that there is more than once.
    repeated: u16,
}

impl Headers {
    /// No fields, and no room yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all fields and keeps the room.
    pub fn clear(&mut self) {
        self.fields.clear();
        self.seen = 0;
        self.repeated = 0;
    }

    /// The fields.
    pub fn as_slice(&self) -> &[HeaderField] {
        &self.fields
    }

    /// The fields, one after the other.
    pub fn iter(&self) -> std::slice::Iter<'_, HeaderField> {
        self.fields.iter()
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The first field of that meaning, which is not [`Known::Other`].
    #[inline]
    pub fn find(&self, known: Known) -> Option<&HeaderField> {
        if self.seen & known.bit() == 0 {
            return None;
        }
        self.fields
            .get(usize::from(*self.first.get(known as usize)?))
    }

    /// The first field of that name, in whatever case.
    pub fn named(&self, buf: &[u8], name: &[u8]) -> Option<&HeaderField> {
        self.fields
            .iter()
            .find(|field| field.name.of(buf).eq_ignore_ascii_case(name))
    }

    /// Heap memory that is held, in bytes.
    pub(super) fn retained_bytes(&self) -> usize {
        self.fields.capacity() * size_of::<HeaderField>()
    }

    /// There is more than one field of that meaning.
    pub fn is_repeated(&self, known: Known) -> bool {
        self.repeated & known.bit() != 0
    }

    /// Shows the value of each field of that meaning.
    #[inline(always)]
    pub(super) fn each(&self, buf: &[u8], known: Known, mut see: impl FnMut(&[u8])) {
        let Some(first) = self.find(known) else {
            return;
        };
        see(first.value.of(buf));
        if self.is_repeated(known) {
            let all = self.fields.iter().filter(|field| field.known == known);
            all.skip(1).for_each(|field| see(field.value.of(buf)));
        }
    }

    #[inline(always)]
    pub(super) fn push(&mut self, field: HeaderField) {
        if field.known != Known::Other {
            let bit = field.known.bit();
            self.repeated |= self.seen & bit;
            if self.seen & bit == 0
                && let Some(first) = self.first.get_mut(field.known as usize)
            {
                *first = self.fields.len() as u8;
                self.seen |= bit;
            }
        }
        self.fields.push(field);
    }

    /// Removes all fields but those of other names, and of those the ones that are not to be kept.
    pub(super) fn retain_others(&mut self, mut keep: impl FnMut(&HeaderField) -> bool) {
        self.fields
            .retain(|field| field.known == Known::Other && keep(field));
        self.seen = 0;
        self.repeated = 0;
    }
}

impl<'h> IntoIterator for &'h Headers {
    type Item = &'h HeaderField;
    type IntoIter = std::slice::Iter<'h, HeaderField>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
