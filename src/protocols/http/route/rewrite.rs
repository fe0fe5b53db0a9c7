//! What becomes of a path on its way to the upstream.

use crate::config::PathMatch;

/// What becomes of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathRewrite {
    /// It stays.
    Keep,
    /// Its beginning is replaced.
    Prefix {
        /// How many bytes of it go.
        cut: usize,
        /// What comes in their place; begins with `/`.
        to: Box<[u8]>,
    },
}

impl PathRewrite {
    /// What `rewrite` makes of paths that were matched.
    pub(super) fn new(rewrite: Option<&str>, matched: &PathMatch) -> Self {
        match (rewrite, matched) {
            (Some(to), PathMatch::Prefix(from) | PathMatch::Exact(from)) => Self::Prefix {
                cut: from.len(),
                to: to.as_bytes().into(),
            },
            _ => Self::Keep,
        }
    }

    /// The target in two parts, one behind the other: what is new, and what stays of `target`, with its query. Of two
    /// slashes that would meet one is left out, because `//` is not what anybody means.
    pub fn apply<'a>(&'a self, target: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        let Self::Prefix { cut, to } = self else {
            return (&[], target);
        };
        let rest = target.get(*cut..).unwrap_or_default();
        match rest.strip_prefix(b"/") {
            Some(one_less) if to.ends_with(b"/") => (to, one_less),
            _ => (to, rest),
        }
    }
}
