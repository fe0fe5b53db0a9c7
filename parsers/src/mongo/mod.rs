//! The MongoDB wire protocol: `OP_MSG`, `OP_COMPRESSED`, and the legacy opcodes that handshakes and old clients use.
//!
//! One [`RequestDecoder`] looks at what a client sends on one connection, one [`ReplyDecoder`] at what the server sends back. Both
//! are the same machine: `decoder` takes messages apart, `inflate` opens compressed ones, `body` knows sections and legacy layouts,
//! `walker` goes over BSON as it streams by, and `request` and `reply` say which fields mean something.

mod body;
mod capture;
mod command;
mod comment;
mod decoder;
mod header;
mod inflate;
mod input;
mod labels;
mod message;
mod reply;
mod request;
mod walker;

pub use crate::{Malformed, Step};
pub use header::{Compression, Compressor, Header, Opcode};
pub use inflate::inflate_message;
pub use message::{ErrorLabels, Hello, QueryClass, Reply, Request};
pub use reply::ReplyDecoder;
pub use request::RequestDecoder;
