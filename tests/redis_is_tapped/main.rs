//! In mode tap Redis passes byte for byte, and what passed is counted as the server itself counts: whatever the requests do to their
//! connection, each gets its own reply, or the connection is said not to be followed.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout
)]

#[path = "../support/mod.rs"]
mod support;

mod blind;
mod counts;
mod ends;
mod random;
mod replies;
mod script;
mod subscriptions;
mod tapped;
mod times;
mod transactions;
