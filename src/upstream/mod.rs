//! Upstream: clusters, their endpoints, and connections to them.

mod cluster;
mod connect;
pub mod discovery;

pub use cluster::{Balance, Cluster, Endpoint, Occupied};
pub use connect::{ConnectError, Connected, connect};
