//! One session type for each protocol, over the one byte path of [`relay`].

pub mod http;
pub mod inbox;
pub mod mongo;
pub mod redis;
pub mod relay;
pub mod tcp;
