//! Decoders of Narrows: bytes in, messages out.
//!
//! A decoder owns no socket and no clock. It is shown the bytes of one direction of one connection as they pass, in whatever
//! pieces they arrive, and says what it has seen. Three rules hold for each of them:
//!
//! * It resumes where it stopped. Nothing is scanned twice, and no body is buffered in order to be decoded.
//! * What it reports borrows from the bytes that it was shown; only what a read boundary cuts is copied, into a small buffer.
//! * A length on the wire is a claim. It is checked against what encloses it and against a limit, and nothing is allocated by it.

mod error;
mod limits;
mod step;

pub mod http1;
pub mod http2;
pub mod mongo;
pub mod redis;
#[doc(hidden)]
pub mod replay;

pub use error::Malformed;
pub use step::Step;
