//! Promises of the HTTP/1 decoders.
// Helpers of tests stop where they meet something unexpected, like tests themselves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod bodies;
mod differential;
mod heads;
mod mutate;
mod properties;
mod read;
mod replay;
mod samples;
mod splits;
