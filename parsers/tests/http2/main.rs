//! Promises of the HTTP/2 decoders.
// Helpers of tests stop where they meet something unexpected, like tests themselves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod build;
mod frames;
mod grpc;
mod hostile;
mod lists;
mod peers;
mod properties;
mod replay;
mod rfc7541;
mod samples;
mod splits;
