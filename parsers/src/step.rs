//! What a decoder answers when it is shown bytes.

use crate::Malformed;

/// The outcome of one `advance` of a decoder.
#[derive(Debug, Clone, PartialEq)]
pub enum Step<M> {
    /// All of the bytes belong to a message that is not complete yet.
    NeedMore,
    /// A message ends within the bytes.
    Message {
        /// Bytes up to the end of the message, counted from the start of the slice that was shown.
        consumed: usize,
        /// What the message says.
        message: M,
    },
    /// The bytes are not what they should be. Final: the decoder answers the same from now on.
    Malformed(Malformed),
}
