//! In mode collapse clients of a Redis share connections, and none of them notices: each promise of the README, with one server.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout
)]

#[path = "../support/mod.rs"]
mod support;

mod collapsed;
mod drains;
mod hostile;
mod identity;
mod large;
mod limits;
mod logins;
mod losses;
mod order;
mod replicas;
mod scripted;
mod sharing;
mod stats;
mod within_tls;
