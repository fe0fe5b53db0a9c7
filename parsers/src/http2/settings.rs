//! What a side announces that it accepts, and what follows from that for the decoder of the other side's frames.

use super::frame::FRAME_HEAD_BYTES;
use super::limits::{DEFAULT_FRAME_BYTES, DEFAULT_TABLE_BYTES, MAX_FRAME_BYTES, MAX_WINDOW};
use crate::Malformed;

/// Bytes of one setting: identifier and value (RFC 9113, section 6.5.1).
pub(super) const SETTING_BYTES: usize = 6;

const _: () = assert!(SETTING_BYTES <= FRAME_HEAD_BYTES);

/// The settings of one SETTINGS frame; of one that is repeated, the last value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settings {
    /// Largest dynamic table that the sender keeps for decoding, in bytes.
    pub header_table_size: Option<u32>,
    /// The sender takes pushed requests.
    pub enable_push: Option<bool>,
    /// Streams that the other side may have open.
    pub max_concurrent_streams: Option<u32>,
    /// Room to send that each stream starts with, in bytes.
    pub initial_window_size: Option<u32>,
    /// Largest payload that the sender accepts, in bytes.
    pub max_frame_size: Option<u32>,
    /// Largest list of fields that the sender accepts, in bytes, decoded.
    pub max_header_list_size: Option<u32>,
    /// The sender takes extended CONNECT requests (RFC 8441).
    pub enable_connect_protocol: Option<bool>,
}

impl Settings {
    /// Takes one setting in; an unknown one is ignored.
    pub(super) fn set(&mut self, setting: [u8; SETTING_BYTES]) -> Result<(), Malformed> {
        let [high, low, value @ ..] = setting;
        let value = u32::from_be_bytes(value);
        match u16::from_be_bytes([high, low]) {
            1 => self.header_table_size = Some(value),
            2 => self.enable_push = Some(truth(value)?),
            3 => self.max_concurrent_streams = Some(value),
            4 if value > MAX_WINDOW => return Err(Malformed::SettingsValue),
            4 => self.initial_window_size = Some(value),
            5 if !(DEFAULT_FRAME_BYTES..=MAX_FRAME_BYTES).contains(&value) => {
                return Err(Malformed::SettingsValue);
            }
            5 => self.max_frame_size = Some(value),
            6 => self.max_header_list_size = Some(value),
            8 => self.enable_connect_protocol = Some(truth(value)?),
            _ => {}
        }
        Ok(())
    }
}

fn truth(value: u32) -> Result<bool, Malformed> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed::SettingsValue),
    }
}

/// One thing that a side announces and the other side keeps to, once it has acknowledged it.
///
/// Until then both the old and the new value may be in use. Of several that wait to be acknowledged the greatest is allowed until none
/// waits any more: an observer must not call wrong what is right, and so needs no list of them.
#[derive(Debug, Clone, Copy)]
struct Announced {
    acknowledged: u32,
    waiting: Option<(u32, u32)>,
}

impl Announced {
    fn new(value: u32) -> Self {
        Self {
            acknowledged: value,
            waiting: None,
        }
    }

    fn announce(&mut self, value: u32) {
        let greatest = self
            .waiting
            .map_or(value, |(_, greatest)| greatest.max(value));
        self.waiting = Some((value, greatest));
    }

    fn acknowledge_all(&mut self) {
        if let Some((newest, _)) = self.waiting.take() {
            self.acknowledged = newest;
        }
    }

    fn allowed(&self) -> u32 {
        self.waiting.map_or(self.acknowledged, |(_, greatest)| {
            greatest.max(self.acknowledged)
        })
    }
}

/// What the other side has announced, for the decoder of one direction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowed {
    frame: Announced,
    table: Announced,
    /// SETTINGS frames of the other side that have not been acknowledged.
    waiting: u32,
}

impl Default for Allowed {
    fn default() -> Self {
        Self {
            frame: Announced::new(DEFAULT_FRAME_BYTES),
            table: Announced::new(DEFAULT_TABLE_BYTES),
            waiting: 0,
        }
    }
}

impl Allowed {
    /// The other side has announced its settings.
    pub(super) fn announce(&mut self, settings: &Settings) {
        self.waiting = self.waiting.saturating_add(1);
        if let Some(size) = settings.max_frame_size {
            self.frame.announce(size);
        }
        if let Some(size) = settings.header_table_size {
            self.table.announce(size);
        }
    }

    /// This side acknowledges the eldest settings that it has not acknowledged.
    pub(super) fn acknowledge(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
        if self.waiting == 0 {
            self.frame.acknowledge_all();
            self.table.acknowledge_all();
        }
    }

    /// Largest payload of a frame, in bytes.
    pub(super) fn frame_bytes(&self) -> u32 {
        self.frame.allowed()
    }

    /// Largest dynamic table, in bytes.
    pub(super) fn table_bytes(&self) -> u32 {
        self.table.allowed()
    }
}
