//! Which server of a Redis Cluster has which slots, as one of them says (CLUSTER SLOTS).

use std::sync::Arc;

use narrows_parsers::redis::SLOTS;

use crate::upstream::Endpoint;

/// No server has the slot.
const NOBODY: u16 = u16::MAX;

/// The masters of a Redis Cluster, their replicas, and their slots.
#[derive(Clone)]
pub struct SlotMap {
    masters: Vec<Arc<Endpoint>>,
    /// For each master.
    replicas: Vec<Vec<Arc<Endpoint>>>,
    /// For each slot the place of its master.
    slots: Box<[u16]>,
}

/// A range of slots, as a server says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    first: usize,
    last: usize,
    /// The master first, then its replicas. The host is empty where the server that was asked is meant.
    servers: Vec<(String, u16)>,
}

impl SlotMap {
    /// The map that these ranges make. `endpoint` gives the server of a host and port.
    pub(super) fn new(
        ranges: &[Range],
        mut endpoint: impl FnMut(&str, u16) -> Arc<Endpoint>,
    ) -> Self {
        let mut map = Self {
            masters: Vec::new(),
            replicas: Vec::new(),
            slots: vec![NOBODY; SLOTS].into(),
        };
        for range in ranges {
            let mut servers = range.servers.iter();
            let mut next = || servers.next().map(|(host, port)| endpoint(host, *port));
            let Some(master) = next() else {
                continue;
            };
            let place = map.place(&master);
            let replicas: Vec<_> = std::iter::from_fn(next).collect();
            if let Some(known) = map.replicas.get_mut(usize::from(place)) {
                *known = replicas;
            }
            let slots = map.slots.get_mut(range.first..=range.last);
            slots.unwrap_or_default().fill(place);
        }
        map
    }

    /// One server that has all of them.
    #[cfg(test)]
    pub(crate) fn of_one(endpoint: &Arc<Endpoint>) -> Self {
        Self {
            masters: vec![Arc::clone(endpoint)],
            replicas: vec![Vec::new()],
            slots: vec![0; SLOTS].into(),
        }
    }

    /// The master of a slot.
    pub fn master(&self, slot: u16) -> Option<&Arc<Endpoint>> {
        let place = self.slots.get(usize::from(slot))?;
        self.masters.get(usize::from(*place))
    }

    /// A replica of a slot's master: another one for each number. `None` when it has none.
    pub fn replica(&self, slot: u16, number: usize) -> Option<&Arc<Endpoint>> {
        let place = self.slots.get(usize::from(slot))?;
        let replicas = self.replicas.get(usize::from(*place))?;
        replicas.get(number.checked_rem(replicas.len())?)
    }

    /// All servers.
    pub fn servers(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.masters.iter().chain(self.replicas.iter().flatten())
    }

    /// All masters.
    pub fn masters(&self) -> &[Arc<Endpoint>] {
        &self.masters
    }

    /// The same, but for one slot that has moved.
    pub(super) fn moved(&self, slot: u16, to: &Arc<Endpoint>) -> Self {
        let mut map = self.clone();
        let place = map.place(to);
        if let Some(slot) = map.slots.get_mut(usize::from(slot)) {
            *slot = place;
        }
        map
    }

    fn place(&mut self, endpoint: &Arc<Endpoint>) -> u16 {
        let known = self
            .masters
            .iter()
            .position(|known| known.id == endpoint.id);
        let place = known.unwrap_or_else(|| {
            self.masters.push(Arc::clone(endpoint));
            self.replicas.push(Vec::new());
            self.masters.len() - 1
        });
        u16::try_from(place).unwrap_or(NOBODY)
    }
}

/// What a reply to CLUSTER SLOTS says: an array for each range, of its first slot, its last, and its servers, the master first; each of
/// these an array of its address, its port, and more. `None` when it is something else.
pub(super) fn ranges(reply: &[u8]) -> Option<Vec<Range>> {
    let mut cursor = Cursor { rest: reply };
    let count = cursor.array()?;
    let mut ranges = Vec::new();
    for _ in 0..count {
        let count = cursor.array()?.checked_sub(2)?;
        let (first, last) = (cursor.integer()?, cursor.integer()?);
        let mut servers = Vec::new();
        for _ in 0..count {
            let more = cursor.array()?.checked_sub(2)?;
            let (host, port) = (cursor.text()?, cursor.integer()?);
            servers.push((host.to_owned(), u16::try_from(port).ok()?));
            cursor.skip(more)?;
        }
        let (first, last) = (usize::try_from(first).ok()?, usize::try_from(last).ok()?);
        if first > last || last >= SLOTS || servers.is_empty() {
            return None;
        }
        ranges.push(Range {
            first,
            last,
            servers,
        });
    }
    Some(ranges)
}

/// Goes through a reply that a decoder has found whole.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// The next line, with the byte that says its type.
    fn line(&mut self) -> Option<(u8, &'a str)> {
        let end = memchr::memchr(b'\r', self.rest)?;
        let (line, after) = self.rest.split_at_checked(end)?;
        self.rest = after.strip_prefix(b"\r\n")?;
        let (kind, text) = line.split_first()?;
        Some((*kind, str::from_utf8(text).ok()?))
    }

    fn array(&mut self) -> Option<usize> {
        match self.line()? {
            (b'*', count) => count.parse().ok(),
            _ => None,
        }
    }

    fn integer(&mut self) -> Option<i64> {
        match self.line()? {
            (b':', number) => number.parse().ok(),
            _ => None,
        }
    }

    /// A text; empty for a null.
    fn text(&mut self) -> Option<&'a str> {
        let (b'$', length) = self.line()? else {
            return None;
        };
        if length == "-1" {
            return Some("");
        }
        let (text, after) = self.rest.split_at_checked(length.parse().ok()?)?;
        self.rest = after.strip_prefix(b"\r\n")?;
        str::from_utf8(text).ok()
    }

    /// Passes over so many values, whatever they hold.
    fn skip(&mut self, values: usize) -> Option<()> {
        let mut left = values;
        while left > 0 {
            left -= 1;
            match *self.rest.first()? {
                b'$' => drop(self.text()?),
                b'*' => left = left.checked_add(self.array()?)?,
                _ => drop(self.line()?),
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a server of 7.0 says it, with a replica and its metadata.
    const REPLY: &[u8] =
        b"*2\r\n*4\r\n:0\r\n:8191\r\n*4\r\n$9\r\n127.0.0.1\r\n:7001\r\n$2\r\nab\r\n*0\r\n\
        *4\r\n$9\r\n127.0.0.1\r\n:7003\r\n$2\r\ncd\r\n*2\r\n$8\r\nhostname\r\n$1\r\nh\r\n\
        *3\r\n:8192\r\n:16383\r\n*4\r\n$0\r\n\r\n:7002\r\n$2\r\nef\r\n*0\r\n";

    #[test]
    fn ranges_are_read_and_make_a_map() {
        let ranges = ranges(REPLY).unwrap();
        assert_eq!(ranges.len(), 2);
        let mut made = Vec::new();
        let map = SlotMap::new(&ranges, |host, port| {
            made.push((host.to_owned(), port));
            Arc::new(Endpoint::new("127.0.0.1".to_owned(), port, None))
        });
        let host = "127.0.0.1".to_owned();
        assert_eq!(
            made,
            [(host.clone(), 7001), (host, 7003), (String::new(), 7002)]
        );
        let port = |map: &SlotMap, slot| map.master(slot).map(|master| master.port);
        assert_eq!(port(&map, 0), Some(7001));
        assert_eq!(port(&map, 8191), Some(7001));
        assert_eq!(port(&map, 16383), Some(7002));
        let replica = |slot, number| map.replica(slot, number).map(|replica| replica.port);
        assert_eq!(
            (replica(5, 0), replica(5, 7), replica(9000, 0)),
            (Some(7003), Some(7003), None)
        );
        let moved = map.moved(0, &map.masters()[1]);
        assert_eq!((port(&moved, 0), port(&moved, 1)), (Some(7002), Some(7001)));
    }

    #[test]
    fn what_is_no_map_is_none() {
        for reply in [
            &b"*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$1\r\na\r\n:1\r\n"[..],
            b"*1\r\n*3\r\n:5\r\n:4\r\n*2\r\n$1\r\na\r\n:1\r\n",
            b"*1\r\n*1\r\n:0\r\n",
            b"-ERR This instance has cluster support disabled\r\n",
            b"*1\r\n*4\r\n:0\r\n:1\r\n*2\r\n$1\r\na\r\n:1\r\n*99999999999999999999\r\n",
        ] {
            assert_eq!(ranges(reply), None);
        }
        assert_eq!(ranges(b"*0\r\n"), Some(Vec::new()));
    }
}
