//! The static and the dynamic table.

use super::{Field, Known};
use crate::Malformed;
use crate::http2::limits::{DEFAULT_TABLE_BYTES, FIELD_OVERHEAD, SPARE_BYTES};
use std::collections::VecDeque;
use std::ops::Range;

/// The static table (RFC 7541, appendix A); index 1 comes first.
#[rustfmt::skip]
static STATIC: [(&str, &str, Known); 61] = [
    (":authority", "", Known::Authority),
    (":method", "GET", Known::Method),
    (":method", "POST", Known::Method),
    (":path", "/", Known::Path),
    (":path", "/index.html", Known::Path),
    (":scheme", "http", Known::Scheme),
    (":scheme", "https", Known::Scheme),
    (":status", "200", Known::Status),
    (":status", "204", Known::Status),
    (":status", "206", Known::Status),
    (":status", "304", Known::Status),
    (":status", "400", Known::Status),
    (":status", "404", Known::Status),
    (":status", "500", Known::Status),
    ("accept-charset", "", Known::Other),
    ("accept-encoding", "gzip, deflate", Known::Other),
    ("accept-language", "", Known::Other),
    ("accept-ranges", "", Known::Other),
    ("accept", "", Known::Other),
    ("access-control-allow-origin", "", Known::Other),
    ("age", "", Known::Other),
    ("allow", "", Known::Other),
    ("authorization", "", Known::Other),
    ("cache-control", "", Known::Other),
    ("content-disposition", "", Known::Other),
    ("content-encoding", "", Known::Other),
    ("content-language", "", Known::Other),
    ("content-length", "", Known::ContentLength),
    ("content-location", "", Known::Other),
    ("content-range", "", Known::Other),
    ("content-type", "", Known::ContentType),
    ("cookie", "", Known::Cookie),
    ("date", "", Known::Other),
    ("etag", "", Known::Other),
    ("expect", "", Known::Other),
    ("expires", "", Known::Other),
    ("from", "", Known::Other),
    ("host", "", Known::Host),
    ("if-match", "", Known::Other),
    ("if-modified-since", "", Known::Other),
    ("if-none-match", "", Known::Other),
    ("if-range", "", Known::Other),
    ("if-unmodified-since", "", Known::Other),
    ("last-modified", "", Known::Other),
    ("link", "", Known::Other),
    ("location", "", Known::Other),
    ("max-forwards", "", Known::Other),
    ("proxy-authenticate", "", Known::Other),
    ("proxy-authorization", "", Known::Other),
    ("range", "", Known::Other),
    ("referer", "", Known::Other),
    ("refresh", "", Known::Other),
    ("retry-after", "", Known::Other),
    ("server", "", Known::Other),
    ("set-cookie", "", Known::Other),
    ("strict-transport-security", "", Known::Other),
    ("transfer-encoding", "", Known::TransferEncoding),
    ("user-agent", "", Known::UserAgent),
    ("vary", "", Known::Other),
    ("via", "", Known::Other),
    ("www-authenticate", "", Known::Other),
];

/// A field of the dynamic table.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Where its name starts, counted from the first byte that was ever in the arena. The value follows.
    start: u32,
    name: u32,
    value: u32,
    known: Known,
}

impl Entry {
    fn size(&self) -> usize {
        self.name as usize + self.value as usize + FIELD_OVERHEAD
    }
}

/// Both tables. The texts of the dynamic one lie in one arena, in the order in which they came: new ones are appended, old ones stay
/// behind until they are as many as a whole table, then what is in use moves to the front. Behind the last entry is room for the
/// field that is being decoded.
#[derive(Debug)]
pub(super) struct Table {
    arena: Vec<u8>,
    /// The count of bytes that have left the arena at its front; wraps around.
    left: u32,
    entries: VecDeque<Entry>,
    /// Size of all entries (RFC 7541, section 4.1).
    size: usize,
    /// What the encoder allows itself.
    most: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            arena: Vec::new(),
            left: 0,
            entries: VecDeque::new(),
            size: 0,
            most: DEFAULT_TABLE_BYTES as usize,
        }
    }
}

impl Table {
    /// The field of an index (RFC 7541, section 2.3.3).
    #[inline]
    pub(super) fn get(&self, index: usize) -> Result<Field<'_>, Malformed> {
        if let Some((name, value, known)) = STATIC.get(index.wrapping_sub(1)) {
            return Ok(Field {
                known: *known,
                name: name.as_bytes(),
                value: value.as_bytes(),
            });
        }
        let entry = self.entry(index)?;
        let name = self.place(entry);
        let value = name.end..name.end + entry.value as usize;
        Ok(Field {
            known: entry.known,
            name: self.text(&name),
            value: self.text(&value),
        })
    }

    /// Appends a copy of the name of an index to the arena.
    pub(super) fn copy_name(&mut self, index: usize) -> Result<Known, Malformed> {
        if let Some((name, _, known)) = STATIC.get(index.wrapping_sub(1)) {
            self.arena.extend_from_slice(name.as_bytes());
            return Ok(*known);
        }
        let entry = *self.entry(index)?;
        self.arena.extend_from_within(self.place(&entry));
        Ok(entry.known)
    }

    /// Where texts are appended for the field that is being decoded.
    pub(super) fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.arena
    }

    /// A text of the arena.
    pub(super) fn text(&self, place: &Range<usize>) -> &[u8] {
        self.arena.get(place.clone()).unwrap_or_default()
    }

    /// Starts a field: where its texts will begin in the arena.
    pub(super) fn begin(&mut self) -> usize {
        let unused = match self.entries.front() {
            Some(eldest) => self.place(eldest).start,
            None => self.arena.len(),
        };
        if unused > 0 && (self.entries.is_empty() || unused >= self.most) {
            self.arena.copy_within(unused.., 0);
            self.arena.truncate(self.arena.len() - unused);
            self.left = self.left.wrapping_add(unused as u32);
        }
        self.arena.len()
    }

    /// Ends a field without an entry: its texts began at `start`.
    pub(super) fn discard(&mut self, start: usize) {
        self.arena.truncate(start);
    }

    /// Ends a field with an entry: its texts, the value right behind the name, are what the arena has from `start` on.
    pub(super) fn insert(&mut self, start: usize, name: usize, known: Known) {
        let entry = Entry {
            start: self.left.wrapping_add(start as u32),
            name: name as u32,
            value: (self.arena.len() - start - name) as u32,
            known,
        };
        self.evict(entry.size());
        if entry.size() <= self.most {
            self.size += entry.size();
            self.entries.push_back(entry);
        } else {
            self.discard(start);
        }
    }

    /// The encoder allows itself another size (RFC 7541, section 4.3).
    pub(super) fn resize(&mut self, most: usize) {
        self.most = most;
        self.evict(0);
    }

    /// Gives memory back that a usual list does not need.
    pub(super) fn shrink(&mut self) {
        let enough = 2 * self.most + SPARE_BYTES;
        if self.arena.capacity() > enough {
            self.arena.shrink_to(enough);
        }
    }

    /// Heap memory that is held, in bytes.
    pub(super) fn retained_bytes(&self) -> usize {
        self.arena.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// Makes room for an entry; one that is greater than the table empties it (RFC 7541, section 4.4).
    fn evict(&mut self, size: usize) {
        while self.size + size > self.most
            && let Some(eldest) = self.entries.pop_front()
        {
            self.size -= eldest.size();
        }
    }

    fn entry(&self, index: usize) -> Result<&Entry, Malformed> {
        let age = index.checked_sub(STATIC.len() + 1);
        let place = age.and_then(|age| self.entries.len().checked_sub(age + 1));
        place
            .and_then(|place| self.entries.get(place))
            .ok_or(Malformed::HpackIndex)
    }

    /// Where the name of an entry stands in the arena.
    fn place(&self, entry: &Entry) -> Range<usize> {
        let start = entry.start.wrapping_sub(self.left) as usize;
        start..start + entry.name as usize
    }
}
