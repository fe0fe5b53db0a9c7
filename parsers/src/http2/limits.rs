//! Every limit of the HTTP/2 decoder, each with its source.

/// Largest payload of a frame until the other side announces more, in bytes (RFC 9113, section 6.5.2, SETTINGS_MAX_FRAME_SIZE).
pub(super) const DEFAULT_FRAME_BYTES: u32 = 16_384;

/// Largest payload that may be announced, in bytes (same section).
pub(super) const MAX_FRAME_BYTES: u32 = 16_777_215;

/// Largest flow-control window that may be announced, in bytes (same section, SETTINGS_INITIAL_WINDOW_SIZE).
pub(super) const MAX_WINDOW: u32 = 0x7fff_ffff;

/// Size of the dynamic table until the other side announces another, in bytes (RFC 9113, section 6.5.2, SETTINGS_HEADER_TABLE_SIZE).
pub(super) const DEFAULT_TABLE_BYTES: u32 = 4096;

/// Largest dynamic table that is kept, in bytes, whatever is announced: what Chromium and Firefox announce.
pub(super) const MAX_TABLE_BYTES: u32 = 65_536;

/// What a field counts for beyond its name and value, in bytes (RFC 7541, section 4.1; RFC 9113, section 10.5.1).
pub(super) const FIELD_OVERHEAD: usize = 32;

/// Decoded fields of one list that are reported, in bytes with [`FIELD_OVERHEAD`]: Envoy refuses more than 60 KiB of headers
/// (`max_request_headers_kb`). What comes after is decoded for the sake of the table only.
pub(super) const MAX_LIST_BYTES: usize = 60 * 1024;

/// Longest field as it is encoded, in bytes: one that is a list of [`MAX_LIST_BYTES`] by itself (nghttp2 has 64 KiB, `NGHTTP2_HD_MAX_NV`).
/// What a longer one does to the table is not known without having all of it, so decoding ends there.
pub(super) const MAX_FIELD_BYTES: usize = MAX_LIST_BYTES;

/// CONTINUATION frames of one list, empty ones too: Sōzu's limit; nghttp2 has 8, swift-nio 5. At the default frame size they hold 336 KiB.
pub(super) const MAX_CONTINUATIONS: u8 = 20;

/// Bytes of an encoded integer, with the one that has the prefix: 28 bits, as the `h2` crate has it. Every length and index that
/// passes the limits above is far below.
pub(super) const MAX_INTEGER_BYTES: usize = 5;

/// Capacity that a decoder keeps between lists for a field that a boundary cut, in bytes.
pub(super) const RETAINED_BYTES: usize = 512;

/// Capacity that the arena of a table keeps between lists for fields, in bytes: the longest that most clients and servers send.
pub(super) const SPARE_BYTES: usize = 16 * 1024;
