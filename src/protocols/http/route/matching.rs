//! Whether a route fits a request.

use super::RequestView;
use crate::config::{HeaderMatch, PathMatch, RouteConfig, ValueMatch};
use crate::pattern::Pattern;

/// What a request has to be for one route.
#[derive(Clone, Debug)]
pub(super) struct Matcher {
    /// The first bytes of the path that is wanted: one comparison of two numbers turns most routes down.
    wanted: Head,
    path: PathMatcher,
    /// One of these; none is any.
    methods: Box<[Box<[u8]>]>,
    /// All of these.
    headers: Box<[HeaderMatcher]>,
    /// The number of the route.
    route: usize,
}

#[derive(Clone, Debug)]
enum PathMatcher {
    Any,
    Exact(Box<[u8]>),
    Prefix(Box<[u8]>),
    Regex(Pattern),
}

#[derive(Clone, Debug)]
struct HeaderMatcher {
    name: Box<[u8]>,
    value: ValueMatcher,
}

#[derive(Clone, Debug)]
enum ValueMatcher {
    Exact(Box<[u8]>),
    Present,
    Absent,
    Regex(Pattern),
}

/// The first bytes of a path, and which of them count.
#[derive(Clone, Copy, Debug)]
struct Head {
    bytes: u64,
    mask: u64,
}

impl Matcher {
    pub(super) fn new(config: &RouteConfig, route: usize) -> Self {
        let (wanted, path) = match &config.path {
            PathMatch::Any => (Head::ANY, PathMatcher::Any),
            PathMatch::Exact(path) => (
                Head::exact(path.as_bytes()),
                PathMatcher::Exact(path.as_bytes().into()),
            ),
            PathMatch::Prefix(prefix) => (
                Head::prefix(prefix.as_bytes()),
                PathMatcher::Prefix(prefix.as_bytes().into()),
            ),
            PathMatch::Regex(pattern) => (Head::ANY, PathMatcher::Regex(pattern.clone())),
        };
        let methods = config.methods.iter();
        Self {
            wanted,
            path,
            methods: methods.map(|method| method.as_bytes().into()).collect(),
            headers: config.headers.iter().map(HeaderMatcher::new).collect(),
            route,
        }
    }

    /// The number of the route of the first matcher that fits. `path` is without the query.
    pub(super) fn first(
        matchers: &[Self],
        path: &[u8],
        request: &impl RequestView,
    ) -> Option<usize> {
        let first_bytes = first_bytes(path);
        let fits = |matcher: &&Self| {
            matcher.wanted.fits(first_bytes)
                && matcher.path.fits(path)
                && matcher.fits_method(request)
                && matcher.headers.iter().all(|header| header.fits(request))
        };
        matchers.iter().find(fits).map(|matcher| matcher.route)
    }

    fn fits_method(&self, request: &impl RequestView) -> bool {
        self.methods.is_empty()
            || self
                .methods
                .iter()
                .any(|method| **method == *request.method())
    }
}

impl PathMatcher {
    fn fits(&self, path: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(wanted) => **wanted == *path,
            Self::Prefix(wanted) => path.starts_with(wanted),
            Self::Regex(pattern) => pattern.is_match(path),
        }
    }
}

impl HeaderMatcher {
    fn new(HeaderMatch { name, value }: &HeaderMatch) -> Self {
        Self {
            name: name.as_bytes().into(),
            value: match value {
                ValueMatch::Exact(text) => ValueMatcher::Exact(text.as_bytes().into()),
                ValueMatch::Present => ValueMatcher::Present,
                ValueMatch::Absent => ValueMatcher::Absent,
                ValueMatch::Regex(pattern) => ValueMatcher::Regex(pattern.clone()),
            },
        }
    }

    fn fits(&self, request: &impl RequestView) -> bool {
        let value = request.header(&self.name);
        match &self.value {
            ValueMatcher::Exact(wanted) => value == Some(wanted),
            ValueMatcher::Present => value.is_some(),
            ValueMatcher::Absent => value.is_none(),
            ValueMatcher::Regex(pattern) => value.is_some_and(|value| pattern.is_match(value)),
        }
    }
}

impl Head {
    const ANY: Self = Self { bytes: 0, mask: 0 };

    /// No path holds a NUL, so the zeroes behind a short one say that it ends there.
    fn exact(path: &[u8]) -> Self {
        Self {
            bytes: first_bytes(path),
            mask: u64::MAX,
        }
    }

    fn prefix(prefix: &[u8]) -> Self {
        let ones = [0xFF; 8];
        Self {
            bytes: first_bytes(prefix),
            mask: first_bytes(ones.get(..prefix.len()).unwrap_or(&ones)),
        }
    }

    fn fits(self, first_bytes: u64) -> bool {
        first_bytes & self.mask == self.bytes
    }
}

/// The first bytes of a path as one number, with zeroes behind a shorter one.
fn first_bytes(path: &[u8]) -> u64 {
    if let Some(eight) = path.first_chunk() {
        return u64::from_le_bytes(*eight);
    }
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(path) {
        *to = *from;
    }
    u64::from_le_bytes(bytes)
}
