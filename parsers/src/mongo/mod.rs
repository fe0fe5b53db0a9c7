//! The MongoDB wire protocol: `OP_MSG`, `OP_COMPRESSED`, and the legacy opcodes that handshakes and old clients use.
//!
//! One [`RequestDecoder`] looks at what a client sends on one connection, one [`ReplyDecoder`] at what the server sends back.

mod decoder;
mod header;
mod message;

pub use crate::{Malformed, Step};
pub use decoder::{ReplyDecoder, RequestDecoder};
pub use header::{Compression, Compressor, Header, Opcode};
pub use message::{ErrorLabels, Hello, QueryClass, Reply, Request};
