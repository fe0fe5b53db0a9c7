//! Routes: which requests go where, and what is changed on their way.
//!
//! A [`RouteTable`] is made from the config of a listener and never changes. [`RouteTable::find`] chooses the virtual
//! host by the authority, and of its routes the first that fits; it allocates nothing, hashes nothing and takes time in
//! proportion to the routes of one host. What it finds says the rest: where to ([`Action`]), how the path is rewritten
//! ([`PathRewrite`]), and which headers come and go ([`HeaderEdits`]).

mod edits;
mod hosts;
mod matching;
mod redirect;
mod rewrite;
mod table;
mod weighted;

pub use edits::HeaderEdits;
pub use redirect::Redirect;
pub use rewrite::PathRewrite;
pub use table::{Action, Forward, Respond, Route, RouteTable};
pub use weighted::WeightedClusters;

/// A request, as routes look at it.
pub trait RequestView {
    /// Its method.
    fn method(&self) -> &[u8];
    /// Host and port, as the client names them; empty when it does not.
    fn authority(&self) -> &[u8];
    /// The path with the query, `*`, or nothing (CONNECT).
    fn path_and_query(&self) -> &[u8];
    /// The first value of a header.
    fn header(&self, lowercase_name: &[u8]) -> Option<&[u8]>;
}

/// The part of a target before the query.
fn path_of(target: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'?', target).unwrap_or(target.len());
    target.get(..end).unwrap_or(target)
}

#[cfg(test)]
mod tests;
