//! Upstreams of HTTP listeners.
//!
//! An HTTP/1 connection is lent for one exchange at a time, from the pool that every protocol uses
//! ([`super::pool`]). What is added here is HTTP's: which endpoint a request goes to (`pool`), and when a
//! connection may serve again (`h1`). An HTTP/2 connection serves many exchanges at the same time (`h2`).

mod codes;
mod h1;
mod h2;
mod leased;
mod pool;
mod shared;

pub use codes::Codes;
pub use h1::H1Connection;
pub use h2::H2Stream;
pub use pool::HttpUpstream;
pub use shared::SharedHttp;
