//! HTTP/1 through the proxy, byte by byte: what each side gets of what the other one sends.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

#[path = "../support/mod.rs"]
mod support;

mod bodies;
mod connections;
mod failures;
mod heads;
mod peers;
mod routes;
mod tunnels;
