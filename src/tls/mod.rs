//! TLS, for listeners and clusters of every protocol.

mod channel;

pub use channel::Channel;
