//! The same numbers for other programs.

pub mod prometheus;
pub mod statsd;
