//! Options by their names, where they decide what an argument is.

/// As many arguments as are looked at for options. No request that is meant has more in front of what matters.
pub const LIMIT: usize = 128;

/// The options in front of STREAMS, in XREAD and XREADGROUP.
#[derive(Debug, Default)]
pub(super) struct StreamOptions {
    /// Where the value of BLOCK is.
    pub(super) block: Option<usize>,
    /// Where STREAMS is.
    pub(super) streams: Option<usize>,
}

impl StreamOptions {
    pub(super) fn of<'a>(arguments: usize, argument: impl Fn(usize) -> Option<&'a [u8]>) -> Self {
        let mut found = Self::default();
        each(1, arguments, argument, |at, option| {
            if is(option, "streams") {
                found.streams = Some(at);
                return None;
            }
            if is(option, "block") {
                found.block = Some(at + 1);
                return Some(1);
            }
            if is(option, "group") {
                return Some(2);
            }
            if is(option, "count") || is(option, "claim") {
                return Some(1);
            }
            is(option, "noack").then_some(0)
        });
        found
    }
}

/// Where the key is that SORT writes to: behind the last STORE.
pub(super) fn sort_store<'a>(
    arguments: usize,
    argument: impl Fn(usize) -> Option<&'a [u8]>,
) -> Option<usize> {
    let mut store = None;
    each(2, arguments, argument, |at, option| {
        if is(option, "store") {
            store = Some(at + 1);
            return Some(1);
        }
        if is(option, "limit") {
            return Some(2);
        }
        Some(usize::from(is(option, "by") || is(option, "get")))
    });
    store
}

/// Where the key is that GEORADIUS and GEORADIUSBYMEMBER write to: behind the last STORE or STOREDIST. `first` is the first option.
pub(super) fn radius_store<'a>(
    first: usize,
    arguments: usize,
    argument: impl Fn(usize) -> Option<&'a [u8]>,
) -> Option<usize> {
    let mut store = None;
    each(first, arguments, argument, |at, option| {
        if is(option, "store") || is(option, "storedist") {
            store = Some(at + 1);
            return Some(1);
        }
        Some(usize::from(is(option, "count")))
    });
    store
}

/// Where KEYS is in MIGRATE.
pub(super) fn migrate_keys<'a>(
    arguments: usize,
    argument: impl Fn(usize) -> Option<&'a [u8]>,
) -> Option<usize> {
    let mut keys = None;
    each(6, arguments, argument, |at, option| {
        if is(option, "keys") {
            keys = Some(at);
            return None;
        }
        if is(option, "auth2") {
            return Some(2);
        }
        Some(usize::from(is(option, "auth")))
    });
    keys
}

/// Shows each option to `visit`, which says how many values are behind it, or that there is no more to see.
fn each<'a>(
    first: usize,
    arguments: usize,
    argument: impl Fn(usize) -> Option<&'a [u8]>,
    mut visit: impl FnMut(usize, &[u8]) -> Option<usize>,
) {
    let mut at = first;
    while at < arguments.min(LIMIT)
        && let Some(option) = argument(at)
        && let Some(values) = visit(at, option)
    {
        at += 1 + values;
    }
}

fn is(option: &[u8], name: &str) -> bool {
    option.eq_ignore_ascii_case(name.as_bytes())
}
