//! Heads of frames without anything else.

use super::frame::{FRAME_HEAD_BYTES, FrameHead, PREFACE};
use super::held::Held;

/// Finds the heads of frames in a stream; payloads are passed over by their length. Nothing is checked.
#[derive(Debug, Clone, Default)]
pub struct FrameScanner {
    held: Held<FRAME_HEAD_BYTES>,
    /// Bytes up to the next head.
    skip: u32,
}

impl FrameScanner {
    /// For what a client sends, from its preface on.
    pub fn client() -> Self {
        Self {
            skip: PREFACE.len() as u32,
            ..Self::default()
        }
    }

    /// For a stream that begins with a frame.
    pub fn server() -> Self {
        Self::default()
    }

    /// The payload of the last frame has not come whole.
    pub fn is_within_payload(&self) -> bool {
        self.skip > 0
    }

    /// The next head that ends within the bytes, which are taken up to there; `None` when all of them are taken.
    #[inline]
    pub fn next(&mut self, bytes: &mut &[u8]) -> Option<FrameHead> {
        let skipped = bytes.len().min(self.skip as usize);
        self.skip -= skipped as u32;
        *bytes = bytes.get(skipped..).unwrap_or_default();
        if bytes.is_empty() {
            return None;
        }
        let head = FrameHead::read(&self.held.take(bytes)?);
        self.skip = head.length;
        Some(head)
    }
}
