//! Upstream: clusters, their endpoints, and connections to them.

mod cluster;
mod connect;
pub mod discovery;
pub mod http;
pub mod mongo;
pub mod pool;
pub mod redis;

pub use cluster::{Balance, Cluster, Endpoint, EndpointId, Occupied, SharedBy};
pub use connect::{ConnectError, Connected, connect, dial};
