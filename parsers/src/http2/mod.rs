//! HTTP/2 (RFC 9113): frames, lists of fields, and the messages of gRPC in bodies.
//!
//! One [`FrameDecoder`] looks at what a client sends on one connection, one at what the server sends back. Each of them hands what it
//! sees on as an [`Event`], borrowed from the bytes at hand. `frame` has the fixed layouts, `hpack` the compression of fields, `settings` what
//! the sides announce to each other, `decoder` puts frames together. A [`FrameScanner`] looks at the heads of frames only.

mod decoder;
mod event;
mod frame;
pub mod grpc;
mod held;
pub mod hpack;
mod limits;
mod scanner;
mod settings;

pub use crate::Malformed;
pub use decoder::FrameDecoder;
pub use event::Event;
pub use frame::{ErrorCode, FRAME_HEAD_BYTES, FrameHead, FrameKind, PREFACE};
pub use hpack::{Field, Known, List};
pub use scanner::FrameScanner;
pub use settings::Settings;
