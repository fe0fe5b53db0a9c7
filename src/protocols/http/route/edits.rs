//! Edits of headers, ready to be applied while a head is written.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::HeaderEditsConfig;

/// What is taken out of a head and put into it.
#[derive(Clone, Debug, Default)]
pub struct HeaderEdits {
    /// A bit for each length of a name that is taken out, the last one for all that are longer: most names differ in
    /// that from all of them.
    lengths: u64,
    /// In lower case.
    removed: Box<[HeaderName]>,
    added: Box<[(HeaderName, HeaderValue)]>,
    /// What is put in, as HTTP/1 writes it.
    wire: Box<[u8]>,
}

impl HeaderEdits {
    /// Several layers as one: each sees what those before it have left.
    pub fn new(layers: &[&HeaderEditsConfig]) -> Self {
        let mut removed: Vec<HeaderName> = Vec::new();
        let mut added: Vec<(HeaderName, HeaderValue)> = Vec::new();
        for HeaderEditsConfig { set, add, remove } in layers {
            let set_names = set.iter().map(|(name, _)| name);
            for name in remove.iter().chain(set_names).filter_map(typed_name) {
                added.retain(|(known, _)| *known != name);
                if !removed.contains(&name) {
                    removed.push(name);
                }
            }
            added.extend(set.iter().chain(add).filter_map(typed_field));
        }
        let mut wire = Vec::new();
        for (name, value) in &added {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                wire.extend_from_slice(part);
            }
        }
        Self {
            lengths: removed
                .iter()
                .fold(0, |bits, name| bits | length_bit(name.as_ref())),
            removed: removed.into(),
            added: added.into(),
            wire: wire.into(),
        }
    }

    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty()
    }

    /// Whether a header of this name is left out, in upper or lower case.
    #[inline]
    pub fn is_removed(&self, name: &[u8]) -> bool {
        self.lengths & length_bit(name) != 0 && self.is_among_removed(name)
    }

    fn is_among_removed(&self, name: &[u8]) -> bool {
        let mut removed = self.removed.iter();
        removed.any(|known| name.eq_ignore_ascii_case(known.as_ref()))
    }

    /// What is put in: whole lines of HTTP/1, each with its CRLF.
    pub fn appended(&self) -> &[u8] {
        &self.wire
    }

    /// Changes the headers of an HTTP/2 message.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.removed {
            headers.remove(name);
        }
        for (name, value) in &self.added {
            headers.append(name, value.clone());
        }
    }
}

fn length_bit(name: &[u8]) -> u64 {
    1 << name.len().min(63)
}

/// The config has checked names and values by stricter rules.
fn typed_name(name: &String) -> Option<HeaderName> {
    HeaderName::from_bytes(name.as_bytes()).ok()
}

fn typed_field((name, value): &(String, String)) -> Option<(HeaderName, HeaderValue)> {
    let value = HeaderValue::from_str(value).ok()?;
    Some((typed_name(name)?, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edits(set: &[(&str, &str)], add: &[(&str, &str)], remove: &[&str]) -> HeaderEditsConfig {
        let owned = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        HeaderEditsConfig {
            set: owned(set),
            add: owned(add),
            remove: remove.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    /// A head as HTTP/1 and as HTTP/2 would edit it: the same fields, in the same order but for where names stand.
    fn edited(edits: &HeaderEdits, fields: &[(&str, &str)]) -> Vec<String> {
        let kept = fields
            .iter()
            .filter(|(name, _)| !edits.is_removed(name.as_bytes()));
        let mut wire: String = kept
            .map(|(name, value)| format!("{}: {value}\r\n", name.to_ascii_lowercase()))
            .collect();
        wire.push_str(std::str::from_utf8(edits.appended()).unwrap());
        let mut lines: Vec<_> = wire.split_terminator("\r\n").map(str::to_owned).collect();

        let mut map = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        edits.apply(&mut map);
        let mut typed: Vec<_> = map
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        typed.sort();
        assert_eq!(lines, typed);
        lines
    }

    #[test]
    fn nothing_is_nothing() {
        let edits = HeaderEdits::new(&[&HeaderEditsConfig::default()]);
        assert!(edits.is_empty() && edits.appended().is_empty());
        assert!(!edits.is_removed(b"") && !edits.is_removed(b"x-a"));
        assert_eq!(edited(&edits, &[("X-A", "1")]), ["x-a: 1"]);
    }

    #[test]
    fn set_replaces_add_adds_remove_removes() {
        let edits = HeaderEdits::new(&[&edits(
            &[("x-set", "new")],
            &[("x-add", "2"), ("x-set", "too")],
            &["x-gone"],
        )]);
        let fields = [
            ("X-Set", "old"),
            ("x-set", "older"),
            ("X-Add", "1"),
            ("x-GONE", "1"),
            ("x-kept", "1"),
        ];
        assert_eq!(
            edited(&edits, &fields),
            [
                "x-add: 1",
                "x-add: 2",
                "x-kept: 1",
                "x-set: new",
                "x-set: too"
            ]
        );
    }

    #[test]
    fn the_route_comes_after_its_host() {
        let host = edits(
            &[("x-a", "host"), ("x-b", "host")],
            &[("x-c", "host"), ("x-d", "host")],
            &["x-e"],
        );
        let route = edits(
            &[("x-a", "route")],
            &[("x-d", "route"), ("x-e", "route")],
            &["x-c"],
        );
        let both = HeaderEdits::new(&[&host, &route]);
        assert_eq!(
            edited(&both, &[("x-c", "client"), ("x-e", "client")]),
            [
                "x-a: route",
                "x-b: host",
                "x-d: host",
                "x-d: route",
                "x-e: route"
            ]
        );
    }

    #[test]
    fn long_names_are_told_apart() {
        let long = "x-".repeat(40);
        let edits = HeaderEdits::new(&[&edits(&[], &[], &[&long])]);
        assert!(edits.is_removed(long.to_ascii_uppercase().as_bytes()));
        assert!(!edits.is_removed("y".repeat(80).as_bytes()));
        assert!(!edits.is_removed("y".repeat(90).as_bytes()));
    }
}
