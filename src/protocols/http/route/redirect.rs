//! Where a client is sent to.

use super::{PathRewrite, RequestView, path_of};
use crate::config::{PathMatch, RedirectConfig, RedirectPath, Scheme};

/// Where a client is sent to.
#[derive(Clone, Debug)]
pub struct Redirect {
    /// Status of the reply.
    pub status: u16,
    scheme: Option<Scheme>,
    host: Option<Box<[u8]>>,
    path: NewPath,
    keep_query: bool,
}

#[derive(Clone, Debug)]
enum NewPath {
    Whole(Box<[u8]>),
    Rewritten(PathRewrite),
}

impl Redirect {
    pub(super) fn new(config: &RedirectConfig, matched: &PathMatch) -> Self {
        let rewrite = |to: Option<&str>| NewPath::Rewritten(PathRewrite::new(to, matched));
        Self {
            status: config.status,
            scheme: config.scheme,
            host: config.host.as_ref().map(|host| host.as_bytes().into()),
            path: match &config.path {
                None => rewrite(None),
                Some(RedirectPath::Prefix(to)) => rewrite(Some(to)),
                Some(RedirectPath::Whole(path)) => NewPath::Whole(path.as_bytes().into()),
            },
            keep_query: config.keep_query,
        }
    }

    /// The value of `Location` for a request that came by `scheme`. `None` when the client has named no host that could
    /// be told to it again, without which it would not find another scheme: it has to get an error.
    ///
    /// What the client sent can lead it nowhere that the config does not name: a host is written only if it is one, and
    /// a path never begins with two slashes where it stands alone.
    pub fn location(&self, request: &impl RequestView, scheme: Scheme) -> Option<Vec<u8>> {
        let authority = request.authority();
        let target = request.path_and_query();
        let mut location = Vec::with_capacity(authority.len() + target.len() + 64);
        let new_scheme = self.scheme.unwrap_or(scheme);
        let host = match &self.host {
            Some(host) => Some(&**host),
            None if is_authority(authority) => Some(kept_host(authority, self.scheme)),
            None => None,
        };
        match host {
            Some(host) => {
                location.extend_from_slice(match new_scheme {
                    Scheme::Http => b"http://",
                    Scheme::Https => b"https://",
                });
                location.extend_from_slice(host);
            }
            None if new_scheme != scheme => return None,
            None => {}
        }
        self.append_path(&mut location, target);
        Some(location)
    }

    fn append_path(&self, location: &mut Vec<u8>, target: &[u8]) {
        let stands_alone = location.is_empty();
        let path = path_of(target);
        let (start, rest) = match &self.path {
            NewPath::Whole(path) => (&**path, &b""[..]),
            NewPath::Rewritten(rewrite) => rewrite.apply(path),
        };
        let start_of_path = location.len();
        append_escaped(location, start);
        append_escaped(location, rest);
        // `OPTIONS *` and CONNECT have no path.
        if location.get(start_of_path) != Some(&b'/') {
            location.truncate(start_of_path);
            location.push(b'/');
        }
        if stands_alone {
            // `//evil.example` would be another host.
            let slashes = location.iter().take_while(|byte| **byte == b'/').count();
            location.drain(1..slashes.max(1));
        }
        if self.keep_query
            && let Some(query) = target.get(path.len()..)
        {
            append_escaped(location, query);
        }
    }
}

/// The host that stays, without the port of the scheme that does not.
fn kept_host(authority: &[u8], new_scheme: Option<Scheme>) -> &[u8] {
    let former_port: &[u8] = match new_scheme {
        None => return authority,
        Some(Scheme::Https) => b":80",
        Some(Scheme::Http) => b":443",
    };
    authority.strip_suffix(former_port).unwrap_or(authority)
}

/// Whether an authority is a host with or without a port, and nothing else.
fn is_authority(authority: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(byte);
    authority.first().is_some_and(|first| *first != b':') && authority.iter().all(is_part)
}

/// Appends what may stand in a URI, and the rest percent-encoded (RFC 3986 section 2).
fn append_escaped(location: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&byte) {
            location.push(byte);
        } else {
            let digit = |nibble: u8| match nibble {
                0..=9 => b'0' + nibble,
                _ => b'A' + (nibble - 10),
            };
            location.extend([b'%', digit(byte >> 4), digit(byte & 0xF)]);
        }
    }
}
