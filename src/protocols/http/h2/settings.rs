//! What clients are told, and held to. Every bound is set here, also where it is h2's own default.

use h2::server::Builder;

use crate::config::HttpConfig;

/// What a client may send of one body before the upstream has taken it: Envoy's advice for the edge (`initial_stream_window_size: 65536`),
/// and what RFC 9113 §6.9.2 begins with. It is all that a stalled upload holds.
const STREAM_WINDOW: u32 = 65_535;

/// What it may send of all its bodies together: Envoy's advice for the edge (`initial_connection_window_size: 1048576`). It is the most
/// that a client can have the proxy hold.
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// What of a reply may wait for the socket: as much as one read from a server brings. What waits for a client's window waits at the
/// server.
const SEND_BUFFER: usize = 64 * 1024;

/// Requests that were reset before they were looked at, all at the same time (CVE-2023-44487): h2's own bound.
const MAX_PENDING_RESETS: usize = 20;

/// Errors of the client that end one stream each, after which the connection is ended (CVE-2025-8671): h2's own bound, RUSTSEC-2024-0003.
const MAX_ERROR_RESETS: usize = 1024;

/// Streams that were reset here and are remembered, so that what is still under way to them is no error: h2's own bound.
const MAX_REMEMBERED_RESETS: usize = 50;

/// The HPACK table that is kept for what a client sends, which is also RFC 7541's.
const HEADER_TABLE: u32 = 4096;

/// The settings of a connection.
pub(super) fn settings(config: &HttpConfig) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(config.max_streams)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(config.max_head).unwrap_or(u32::MAX))
        .header_table_size(HEADER_TABLE)
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(Some(MAX_ERROR_RESETS))
        .max_concurrent_reset_streams(MAX_REMEMBERED_RESETS);
    builder
}
