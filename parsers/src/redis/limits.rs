//! The limits of RESP, each with its source.

/// Bytes that are kept of a text: a command, a subcommand, the name of a client, a key as far as a pattern looks at it.
pub(super) const TEXT_BYTES: usize = 128;

/// Arguments of a request of which the front is kept: `XREADGROUP GROUP group consumer COUNT 10 BLOCK 1000 STREAMS key` has ten.
pub(super) const ARGUMENTS: usize = 10;

/// Longest inline request, in bytes: `PROTO_INLINE_MAX_SIZE` of Redis.
pub(super) const INLINE_BYTES: u64 = 64 * 1024;

/// Arguments of a request: Redis refuses more than `INT_MAX` ("invalid multibulk length").
pub(super) const MAX_ARGUMENTS: u64 = i32::MAX as u64;

/// Values, or pairs, that one aggregate may announce: `REDIS_READER_MAX_ARRAY_ELEMENTS` of hiredis. A server that has more to say is read
/// by no client.
pub(super) const MAX_ELEMENTS: u64 = u32::MAX as u64;

/// Values within values. What a script returns nests as deep as Lua's stack lets it (`LUAI_MAXCSTACK`, 8000); no other reply comes near:
/// RedisJSON lets documents nest 128 deep.
pub(super) const DEPTH: usize = 8192;

/// Room that is kept for texts between two messages, in bytes.
pub(super) const RETAINED_BYTES: usize = 512;

/// Values for which room is kept between two replies: few nest deeper.
pub(super) const RETAINED_DEPTH: usize = 16;
