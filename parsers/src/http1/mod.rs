//! HTTP/1.0 and HTTP/1.1: heads, framing, bodies.
//!
//! Two layers. A proxy holds a whole head in its buffer: [`HeadParser`] says where in it everything stands, and [`Body`] then says of the
//! bytes that follow which are passed on and where the message ends. A tap is shown the bytes as they pass: [`RequestDecoder`] and
//! [`ReplyDecoder`] look at one direction of one connection and report each message.
//!
//! Both are strict where two readers of the same bytes could come to different messages (RFC 9112 sections 2.2, 5, 6, 7 and 11.2): what is
//! ambiguous is refused, never repaired.

mod body;
mod chunk;
mod decoder;
mod facts;
mod field;
mod framing;
mod head;
mod line;
mod list;
mod names;
mod scan;
mod section;
mod stream;
mod target;
mod trailers;

pub use crate::limits::{MAX_HEAD_BYTES, MAX_HEADERS, MAX_REQUEST_LINE_BYTES, MAX_TRAILER_BYTES};
pub use crate::{Malformed, Step};
pub use body::{Body, BodyStep};
pub use decoder::{Event, ReplyDecoder, RequestDecoder, Seen};
pub use field::{HeaderField, Headers, Span};
pub use framing::{Framing, RequestKind};
pub use head::{HeadLimits, HeadParser, HeadStep, RequestHead, ResponseHead};
pub use line::Version;
pub use list::list_members;
pub use names::Known;
pub use target::TargetForm;
pub use trailers::may_trail;
