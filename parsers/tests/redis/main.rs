//! Promises of the Redis decoders, and of the table of commands.
// Helpers of tests stop where they meet something unexpected, like tests themselves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod build;
mod commands;
mod differential;
mod hostile;
mod properties;
mod replay;
mod replies;
mod requests;
mod samples;
mod splits;
