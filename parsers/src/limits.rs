//! Every limit of the decoders, each with its source.

/// Largest MongoDB message, in bytes. Servers announce `maxMessageSizeBytes: 48000000` and close the connection on more; the slack is
/// the 16 KiB by which the server's internal documents may pass their own limit, so that nothing a server accepts is refused here.
pub(crate) const MAX_MESSAGE_BYTES: u32 = 48_000_000 + 16 * 1024;

/// Depth of documents that are walked. The deepest labelled place has five above it (a legacy command, wrapped in `$query`, with a
/// pipeline, its first stage, `$match`, and a `$comment` document); what lies deeper is skipped by its length and may nest as it likes.
pub(crate) const WALK_DEPTH: usize = 6;

/// Longest name that is looked at, in bytes. The longest element name that means something here is `speculativeAuthenticate` (23), the
/// commands of a current server stay below 48; of a longer one the rest is not looked at.
pub(crate) const NAME_BYTES: usize = 48;

/// Longest `database.collection`, in bytes: 255 since MongoDB 4.4 ("Naming Restrictions" of the manual).
pub(crate) const NAMESPACE_BYTES: u16 = 255;

/// Longest comment text that is looked at, in bytes: a call site of 256 and the pairs that tracers append to it.
pub(crate) const COMMENT_BYTES: u16 = 1024;

/// Longest call site, in bytes. Chosen here: a path, a function and a line fit.
pub(crate) const CALL_SITE_BYTES: usize = 256;

/// Longest application name, in bytes (MongoDB handshake specification, `client.application.name`).
pub(crate) const APPLICATION_BYTES: u16 = 128;

/// Longest driver name or version, in bytes: the whole client document may have 512 (MongoDB handshake specification).
pub(crate) const DRIVER_BYTES: u16 = 128;

/// Length of a version 00 `traceparent`, in bytes (W3C Trace Context, section 3.2).
pub(crate) const TRACE_PARENT_BYTES: u16 = 55;

/// Longest read preference mode, in bytes: `secondaryPreferred` has 18.
pub(crate) const MODE_BYTES: u16 = 32;

/// Longest code name of an error, in bytes. The longest in the server's `error_codes.yml` is below 80.
pub(crate) const CODE_NAME_BYTES: u16 = 96;

/// Compressed bytes of a message that are kept in order to inflate them: one zstd block of the greatest size (128 KiB, RFC 8878 section
/// 3.1.1.2.4) with its headers, since of less than a block nothing can be decoded. The labels stand at the front of a request; a
/// reply that is longer than this compressed is reported as incomplete.
pub(crate) const COMPRESSED_BYTES: usize = 128 * 1024 + 64;

/// Bytes that one message may inflate to here; beyond it decoding stops and the message is reported as incomplete.
pub(crate) const INFLATED_BYTES: usize = 1024 * 1024;

/// Size of the pieces in which inflated bytes are decoded.
pub(crate) const INFLATED_PIECE_BYTES: usize = 16 * 1024;

/// Capacity that a decoder keeps between messages for names that a read boundary cut, in bytes.
pub(crate) const RETAINED_BYTES: usize = 512;

/// Largest HTTP/1 head, in bytes, with its empty line: 60 KiB, as Envoy's `max_request_headers_kb` has it by default.
pub const MAX_HEAD_BYTES: usize = 60 * 1024;

/// Field lines of a head or a trailer section: 100, as Envoy's `max_headers_count` has it by default.
pub const MAX_HEADERS: usize = 100;

/// Longest HTTP/1 request line, in bytes, with its CRLF: 8 KiB, as nginx has it (`large_client_header_buffers`). RFC 9112 section 3 asks
/// for 8000 at least.
pub const MAX_REQUEST_LINE_BYTES: usize = 8 * 1024;

/// Largest trailer section, in bytes, with its empty line. Chosen here: trailers are checksums, statuses and timings.
pub const MAX_TRAILER_BYTES: usize = 8 * 1024;

/// Digits of a chunk size: those of the largest 64-bit number. Zeros in front count, as in Go's `net/http`.
pub(crate) const CHUNK_SIZE_DIGITS: u8 = 16;

/// Longest extension of one chunk, in bytes. Chosen here; nginx and Go pass over 4 KiB at most in one line.
pub(crate) const CHUNK_EXTENSION_BYTES: u32 = 4 * 1024;

/// Bytes of chunk framing beyond what is allowed for each chunk that a body may have: 16 KiB, as in Go's `net/http` since CVE-2023-39326.
pub(crate) const CHUNK_OVERHEAD_BYTES: u64 = 16 * 1024;

/// Bytes of framing that each chunk may have for nothing, and twice as many as it has data (the same source).
pub(crate) const CHUNK_FRAMING_BYTES: u64 = 16;
