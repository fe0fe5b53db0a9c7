//! Promises of what is known of Redis.
// Helpers of tests stop where they meet something unexpected, like tests themselves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod commands;
