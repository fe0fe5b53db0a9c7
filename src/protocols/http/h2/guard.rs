//! Frames that cost their sender nothing, and how many of them a connection may bring.
//!
//! What h2 0.4 itself ends a connection for, always with ENHANCE_YOUR_CALM:
//!
//! | flood | h2's bound |
//! |---|---|
//! | streams reset before they were accepted (rapid reset, CVE-2023-44487) | `max_pending_accept_reset_streams`: 20 at the same time |
//! | errors that make it reset a stream, refused streams among them (MadeYouReset, CVE-2025-8671) | `max_local_error_reset_streams`: 1024 a connection |
//! | CONTINUATION without end | 1.25 × what `max_header_list_size` takes, at least 5 |
//! | fields (HPACK bomb) | 431 beyond `max_header_list_size`, the end beyond four times that, both while decoding |
//! | DATA without payload | 100 a connection |
//! | DATA of a few bytes that nobody reads | `data_frame_budget`: half the connection's window in overhead |
//! | SETTINGS acknowledgements of nothing | none is taken |
//!
//! It answers each PING and SETTINGS frame before it reads the next, so that no memory grows, but never says no to them, nor to PRIORITY,
//! WINDOW_UPDATE, RST_STREAM for streams that are over, empty lists of fields, GOAWAY and unknown frames. Those are counted here, by their
//! heads alone. Resets of requests that were accepted are counted where requests are ([`super::Shared`]).

use std::time::{Duration, Instant};

use narrows_parsers::http2::{FrameHead, FrameKind};

use crate::stats::{Counter, HttpTwo};

/// PING frames, answers among them, within [`WINDOW`], beyond one for each DATA frame that was sent: Sōzu's bound. gRPC measures the path
/// with one PING for a DATA frame that came.
const MAX_PINGS: u32 = 100;

/// SETTINGS frames within [`WINDOW`]: Sōzu's bound.
const MAX_SETTINGS: u32 = 50;

/// Unknown frames, and GOAWAY, within [`WINDOW`]: Sōzu's bound of what it calls glitches.
const MAX_UNKNOWN: u32 = 100;

/// The time in which [`MAX_PINGS`] and its like may come: Sōzu's.
const WINDOW: Duration = Duration::from_secs(1);

/// PRIORITY frames for each stream that was opened, and one: Envoy's `max_inbound_priority_frames_per_stream`.
const PRIORITIES_PER_STREAM: u64 = 100;

/// WINDOW_UPDATE frames that come for nothing: Envoy's.
const WINDOW_UPDATES: u64 = 5;

/// WINDOW_UPDATE frames for each stream that was opened: Envoy's, of the connection and of the stream.
const WINDOW_UPDATES_PER_STREAM: u64 = 2;

/// WINDOW_UPDATE frames for each DATA frame that was sent: Envoy's `max_inbound_window_update_frames_per_data_frame_sent`, 10, of the
/// connection and of the stream.
const WINDOW_UPDATES_PER_DATA: u64 = 20;

/// HEADERS, CONTINUATION and DATA frames without payload that end nothing, one after the other: Envoy's
/// `max_consecutive_inbound_frames_with_empty_payload`.
const MAX_EMPTY: u8 = 1;

/// RST_STREAM frames beyond one for each stream that was opened. None is needed; chosen here.
const SPARE_RESETS: u64 = 5;

/// What a client sends more of than anybody needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flood {
    EmptyFrames,
    Ping,
    Priority,
    Reset,
    Settings,
    Unknown,
    WindowUpdate,
}

impl Flood {
    /// What counts connections that end so.
    pub(super) fn counter(self) -> Counter<HttpTwo> {
        match self {
            Self::EmptyFrames => HttpTwo::INBOUND_EMPTY_FRAMES_FLOOD,
            Self::Ping => HttpTwo::INBOUND_PING_FLOOD,
            Self::Priority => HttpTwo::INBOUND_PRIORITY_FRAMES_FLOOD,
            Self::Reset => HttpTwo::INBOUND_RESET_FLOOD,
            Self::Settings => HttpTwo::INBOUND_SETTINGS_FLOOD,
            Self::Unknown => HttpTwo::INBOUND_UNKNOWN_FRAMES_FLOOD,
            Self::WindowUpdate => HttpTwo::INBOUND_WINDOW_UPDATE_FRAMES_FLOOD,
        }
    }
}

/// Counts the frames of one connection.
#[derive(Debug, Default)]
pub(super) struct FloodGuard {
    /// Streams that the client has opened, and the last of them.
    opened: u64,
    last: u32,
    /// DATA frames that were sent to it.
    data_sent: u64,
    resets: u64,
    priorities: u64,
    window_updates: u64,
    /// Frames without payload that came last.
    empty: u8,
    pings: Rate,
    settings: Rate,
    unknown: Rate,
}

impl FloodGuard {
    /// The client has begun a frame. `now` is asked only when the time matters.
    #[inline]
    pub(super) fn received(
        &mut self,
        head: &FrameHead,
        now: impl FnOnce() -> Instant,
    ) -> Option<Flood> {
        let flood = match head.kind {
            FrameKind::Data | FrameKind::Headers | FrameKind::Continuation => self
                .is_one_empty_too_many(head)
                .then_some(Flood::EmptyFrames),
            FrameKind::Ping => self.pings.exceeds(MAX_PINGS, now).then_some(Flood::Ping),
            FrameKind::Settings => {
                let flooded = self.settings.exceeds(MAX_SETTINGS, now);
                flooded.then_some(Flood::Settings)
            }
            FrameKind::Priority => {
                self.priorities += 1;
                let most = PRIORITIES_PER_STREAM * (1 + self.opened);
                (self.priorities > most).then_some(Flood::Priority)
            }
            FrameKind::WindowUpdate => {
                self.window_updates += 1;
                let most = WINDOW_UPDATES
                    + WINDOW_UPDATES_PER_STREAM * self.opened
                    + WINDOW_UPDATES_PER_DATA * self.data_sent;
                (self.window_updates > most).then_some(Flood::WindowUpdate)
            }
            FrameKind::Reset => {
                self.resets += 1;
                (self.resets > self.opened + SPARE_RESETS).then_some(Flood::Reset)
            }
            FrameKind::GoAway | FrameKind::PushPromise | FrameKind::Unknown => {
                let flooded = self.unknown.exceeds(MAX_UNKNOWN, now);
                flooded.then_some(Flood::Unknown)
            }
        };
        if head.kind == FrameKind::Headers && head.stream > self.last {
            self.last = head.stream;
            self.opened += 1;
        }
        flood
    }

    /// A frame was sent to the client.
    #[inline]
    pub(super) fn sent(&mut self, head: &FrameHead) {
        if head.kind == FrameKind::Data {
            self.data_sent += 1;
            self.pings.excuse();
        }
    }

    /// CONTINUATION has no flag that ends a stream, but one that ends a list.
    fn is_one_empty_too_many(&mut self, head: &FrameHead) -> bool {
        let end = match head.kind {
            FrameKind::Continuation => FrameHead::END_HEADERS,
            _ => FrameHead::END_STREAM,
        };
        if head.length > 0 || head.has(end) {
            self.empty = 0;
            return false;
        }
        self.empty = self.empty.saturating_add(1);
        self.empty > MAX_EMPTY
    }
}

/// Frames of one kind within a time that begins with one of them. The clock is read for the first, and when they have become too many.
#[derive(Debug, Default)]
struct Rate {
    since: Option<Instant>,
    count: u32,
}

impl Rate {
    /// One more. True if there are more than `most` within [`WINDOW`].
    fn exceeds(&mut self, most: u32, now: impl FnOnce() -> Instant) -> bool {
        self.count += 1;
        let since = match self.since {
            Some(_) if self.count <= most => return false,
            Some(since) => since,
            None => {
                self.since = Some(now());
                return false;
            }
        };
        let now = now();
        if now.saturating_duration_since(since) < WINDOW {
            return true;
        }
        self.since = Some(now);
        self.count = 1;
        false
    }

    /// One of them was to be expected.
    fn excuse(&mut self) {
        self.count = self.count.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests;
