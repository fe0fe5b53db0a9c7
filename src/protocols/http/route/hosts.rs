//! Which virtual host an authority belongs to. As Envoy has it: the whole name, then the longest `*.x`, then the longest
//! `x.*`, then `*`; the port does not count, and neither does upper or lower case.

use std::cmp::Ordering;

use crate::config::{Domain, VirtualHost};

/// The virtual hosts of a listener, by their domains.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts {
    exact: Names,
    /// The longest ones first.
    suffixes: Vec<OfOneLength>,
    /// The longest ones first.
    prefixes: Vec<OfOneLength>,
    any: Option<usize>,
}

/// Names in lower case, in order, with their virtual hosts.
type Names = Vec<(Box<[u8]>, usize)>;

/// Parts of names that are equally long: one search finds the one that fits.
#[derive(Clone, Debug)]
struct OfOneLength {
    length: usize,
    parts: Names,
}

impl Hosts {
    pub(super) fn new(hosts: &[VirtualHost]) -> Self {
        let mut this = Self::default();
        let (mut suffixes, mut prefixes) = (Names::new(), Names::new());
        for (index, host) in hosts.iter().enumerate() {
            for domain in &host.domains {
                let (names, name) = match domain {
                    Domain::Exact(name) => (&mut this.exact, name),
                    Domain::Suffix(end) => (&mut suffixes, end),
                    Domain::Prefix(start) => (&mut prefixes, start),
                    Domain::Any => {
                        this.any = Some(index);
                        continue;
                    }
                };
                names.push((name.as_bytes().into(), index));
            }
        }
        this.exact.sort();
        this.suffixes = by_length(suffixes);
        this.prefixes = by_length(prefixes);
        this
    }

    /// The place of the virtual host that an authority belongs to.
    pub(super) fn find(&self, authority: &[u8]) -> Option<usize> {
        let host = without_port(authority);
        let exact = || position(&self.exact, host);
        let suffix = || {
            self.suffixes.iter().find_map(|group| {
                // The star stands for something.
                let start = host.len().checked_sub(group.length).filter(|at| *at > 0)?;
                position(&group.parts, host.get(start..)?)
            })
        };
        let prefix = || {
            self.prefixes.iter().find_map(|group| {
                let has_more = host.len() > group.length;
                has_more.then(|| position(&group.parts, host.get(..group.length)?))?
            })
        };
        exact().or_else(suffix).or_else(prefix).or(self.any)
    }
}

fn by_length(mut names: Names) -> Vec<OfOneLength> {
    names.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    let groups = names.chunk_by(|(a, _), (b, _)| a.len() == b.len());
    groups
        .map(|group| OfOneLength {
            length: group.first().map_or(0, |(name, _)| name.len()),
            parts: group.to_vec(),
        })
        .collect()
}

fn position(names: &Names, name: &[u8]) -> Option<usize> {
    let found = names
        .binary_search_by(|(known, _)| compare(known, name))
        .ok()?;
    names.get(found).map(|(_, host)| *host)
}

/// The order of a name in lower case and one as it came.
fn compare(known: &[u8], name: &[u8]) -> Ordering {
    known
        .iter()
        .copied()
        .cmp(name.iter().map(u8::to_ascii_lowercase))
}

/// `shop.example` of `shop.example:8080`, `[::1]` of `[::1]:8080`.
fn without_port(authority: &[u8]) -> &[u8] {
    let Some(colon) = memchr::memrchr(b':', authority) else {
        return authority;
    };
    match authority.split_at_checked(colon) {
        Some((host, port)) if port.iter().skip(1).all(u8::is_ascii_digit) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_cut() {
        let cases = [
            ("shop.example:8080", "shop.example"),
            ("shop.example:", "shop.example"),
            ("shop.example", "shop.example"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("[fe80::1234]", "[fe80::1234]"),
            ("", ""),
            (":80", ""),
        ];
        for (authority, host) in cases {
            assert_eq!(without_port(authority.as_bytes()), host.as_bytes());
        }
    }
}
