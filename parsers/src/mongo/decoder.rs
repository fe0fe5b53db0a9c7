//! The two decoders.

use super::message::{Reply, Request};
use crate::Step;

/// Decodes what a client sends on one connection.
#[derive(Debug, Default)]
pub struct RequestDecoder {}

/// Decodes what a server sends on one connection.
#[derive(Debug, Default)]
pub struct ReplyDecoder {}

macro_rules! decoder {
    ($decoder:ident, $message:ident) => {
        impl $decoder {
            /// A decoder for a connection that starts.
            pub fn new() -> Self {
                Self::default()
            }

            /// Looks at the next bytes of the stream. Call again with what is left after `consumed` until `NeedMore`, which has used
            /// all of `bytes`.
            pub fn advance<'a>(&'a mut self, _bytes: &'a [u8]) -> Step<$message<'a>> {
                Step::NeedMore
            }

            /// True when the next byte starts a message: nothing of a message is pending.
            pub fn is_between_messages(&self) -> bool {
                true
            }

            /// Heap memory that is held, in bytes.
            #[doc(hidden)]
            pub fn retained_bytes(&self) -> usize {
                0
            }
        }
    };
}

decoder!(RequestDecoder, Request);
decoder!(ReplyDecoder, Reply);
