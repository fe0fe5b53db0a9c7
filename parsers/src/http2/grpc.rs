//! gRPC over HTTP/2 (grpc/doc/PROTOCOL-HTTP2.md): messages in a body, names in a path.

use super::held::Held;
use crate::Malformed;

/// Bytes in front of a message: a flag and a length.
const PREFIX_BYTES: usize = 5;

/// Counts the messages of one direction of one stream as its DATA passes.
#[derive(Debug, Clone, Default)]
pub struct MessageCounter {
    held: Held<PREFIX_BYTES>,
    /// Bytes of the message that have not come yet.
    left: u32,
    messages: u64,
}

impl MessageCounter {
    /// A counter at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on with the next bytes of the body.
    ///
    /// # Errors
    /// The bytes are not gRPC messages. What came before is counted; what comes after means nothing.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let mut rest = bytes;
        loop {
            let passed = rest.len().min(self.left as usize);
            self.left -= passed as u32;
            rest = rest.get(passed..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(());
            }
            let Some(prefix) = self.held.take::<PREFIX_BYTES>(&mut rest) else {
                return Ok(());
            };
            let [flag, length @ ..] = prefix;
            if flag > 1 {
                return Err(Malformed::GrpcPrefix);
            }
            self.messages += 1;
            self.left = u32::from_be_bytes(length);
        }
    }

    /// Messages that have begun.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// No message has begun that has not ended.
    pub fn is_between_messages(&self) -> bool {
        self.held.is_empty() && self.left == 0
    }
}

/// A content type is gRPC's: `application/grpc`, with a suffix or parameters or without (gRPC-Web is another).
pub fn is_grpc(content_type: &[u8]) -> bool {
    const TYPE: &[u8] = b"application/grpc";
    content_type
        .split_at_checked(TYPE.len())
        .is_some_and(|(start, rest)| {
            start.eq_ignore_ascii_case(TYPE) && matches!(rest.first(), None | Some(b'+' | b';'))
        })
}

/// Service and method of a path such as `/shop.Carts/Load`.
pub fn method(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let path = path.strip_prefix(b"/")?;
    let slash = memchr::memrchr(b'/', path)?;
    let (service, method) = path.split_at_checked(slash)?;
    let method = method.get(1..)?;
    (!service.is_empty() && !method.is_empty()).then_some((service, method))
}
