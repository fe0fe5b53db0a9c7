//! Routes that no request can reach.

use super::super::line_of;
use crate::config::model::{HeaderMatch, PathMatch, RouteConfig};
use crate::config::problem::Place;

/// Says which of the routes before takes every request that `route` could take, if one does.
pub(super) fn is_shadowed(route: &RouteConfig, before: &[(RouteConfig, Place)]) -> Option<String> {
    let (first, place) = before.iter().find(|(first, _)| covers(first, route))?;
    let at = line_of(*place).map_or_else(String::new, |line| format!(" on line {line}"));
    Some(format!(
        "no request reaches this route; route `{}`{at} takes them all",
        first.name
    ))
}

/// Whether `first` fits all that `later` fits. A `false` may be wrong, a `true` is not.
fn covers(first: &RouteConfig, later: &RouteConfig) -> bool {
    let methods = first.methods.is_empty()
        || !later.methods.is_empty()
            && later
                .methods
                .iter()
                .all(|method| first.methods.contains(method));
    let asks = |header: &HeaderMatch| later.headers.contains(header);
    methods && first.headers.iter().all(asks) && covers_path(&first.path, &later.path)
}

fn covers_path(first: &PathMatch, later: &PathMatch) -> bool {
    match (first, later) {
        (PathMatch::Any, _) => true,
        (PathMatch::Prefix(first), PathMatch::Prefix(later) | PathMatch::Exact(later)) => {
            later.starts_with(first)
        }
        // All paths begin like this; only `OPTIONS *` and CONNECT have none.
        (PathMatch::Prefix(first), PathMatch::Regex(_)) => first == "/",
        (PathMatch::Regex(first), PathMatch::Exact(later)) => first.is_match(later.as_bytes()),
        (first, later) => first == later,
    }
}
