//! Promises of the MongoDB decoders.
// Helpers of tests stop where they meet something unexpected, like tests themselves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod build;
mod captures;
mod compressed;
mod hostile;
mod large;
mod legacy;
mod properties;
mod replay;
mod replies;
mod requests;
mod samples;
mod splits;
