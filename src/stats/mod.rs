//! Statistics: one catalogue, per-worker cells that only their worker writes, and readers that
//! gather them on the control thread.
//!
//! * `catalogue`: every metric of the program, a row each. All names are derived from it.
//! * `registry`: which series exist, and the caps on labels that clients choose.
//! * `shard`: what one worker writes: plain cells and histograms, no lock, no allocation.
//! * [`aggregate`]: gathers the shards, and knows *interval* and *cumulative*.
//! * [`render`] and [`sinks`]: the same numbers for people, Prometheus and statsd.

pub mod aggregate;
mod catalogue;
pub mod histogram;
mod registry;
pub mod render;
mod sanitise;
mod shard;
pub mod sinks;
#[cfg(test)]
mod tests;

pub use aggregate::{Aggregator, WorkerSeed};
pub use catalogue::*;
pub use registry::Registry;
pub use shard::{Also, Scope, Shard};
pub use sinks::statsd::Statsd;
