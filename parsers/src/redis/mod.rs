//! The protocol of Redis, RESP2 and RESP3 (redis.io, "Redis serialization protocol specification"): what clients ask, what servers
//! answer, and what servers push.
//!
//! A [`RequestDecoder`] looks at what a client sends on one connection, a [`ReplyDecoder`] at what the server sends back. RESP has no
//! ids: which reply belongs to which request follows from their order and from what the requests did to the connection, and nobody but
//! a session knows that. So a decoder only says where a request or a reply ends, and shows the front of its texts: enough for the name
//! of a command, its subcommand, its first keys, and the prefix of an error.
//!
//! `number` reads lengths and counts, `texts` keeps the front of texts, `nesting` knows what is open, in a list rather than by recursion.

pub mod command;

mod arguments;
mod limits;
mod message;
mod nesting;
mod number;
mod reply;
mod request;
mod slot;
mod texts;
mod words;

pub use crate::Malformed;
pub use arguments::{Arguments, arguments};
pub use message::{Kind, Reply};
pub use reply::ReplyDecoder;
pub use request::{Request, RequestDecoder};
pub use slot::{SLOTS, slot};
pub use texts::Text;
