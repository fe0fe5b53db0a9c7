//! The limits of RESP, each with its source.

/// Bytes that are kept of a text: a command, a subcommand, the name of a client, a key as far as a pattern looks at it.
pub(super) const TEXT_BYTES: usize = 128;

/// Arguments of a request of which the front is kept: `XREADGROUP GROUP group consumer COUNT 10 BLOCK 1000 STREAMS key` has ten.
pub(super) const ARGUMENTS: usize = 10;

/// Longest inline request, in bytes: `PROTO_INLINE_MAX_SIZE` of Redis.
pub(super) const INLINE_BYTES: u64 = 64 * 1024;

/// Arguments of a request: Redis refuses more than `INT_MAX` ("invalid multibulk length").
pub(super) const MAX_ARGUMENTS: i64 = i32::MAX as i64;

/// Values within values. RedisJSON lets documents nest 128 deep, and RESP3 may say each level of them as an array or a map; the reply
/// around them is one more.
pub(super) const DEPTH: usize = 130;

/// Room that is kept for texts between two messages, in bytes.
pub(super) const RETAINED_BYTES: usize = 512;

const _: () = assert!(ARGUMENTS * TEXT_BYTES <= u16::MAX as usize);
