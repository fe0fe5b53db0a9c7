//! What passed in an exchange, for its report.

use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;

use super::flow::Meter;
use crate::protocols::http::h2::grpc::{self, Messages};

/// The request, as it passes.
#[derive(Default)]
pub(crate) struct Request {
    /// Bytes of its body.
    pub(super) bytes: u64,
    /// More than this is too much.
    pub(super) limit: Option<u64>,
    /// When its last part was about to be written.
    pub(super) written: Option<Instant>,
    /// The messages in it, where it is gRPC.
    pub(crate) messages: Option<Messages>,
}

/// The reply, as it passes.
#[derive(Default)]
pub(crate) struct Reply {
    /// Bytes of its body.
    pub(super) bytes: u64,
    /// When its last part had been read.
    pub(super) read: Option<Instant>,
    /// The messages in it, where it is gRPC.
    pub(crate) messages: Option<Messages>,
    /// How the call ended, where it is gRPC.
    pub(crate) status: Option<u16>,
}

impl Request {
    /// It is larger than it may be.
    pub(super) fn is_too_large(&self) -> bool {
        self.limit.is_some_and(|limit| self.bytes > limit)
    }
}

impl Reply {
    /// Its head is all of it: that of gRPC then says how the call ended.
    pub(super) fn whole_in_head(&mut self, fields: &HeaderMap) {
        if self.messages.is_some() {
            self.status = grpc::status(fields);
        }
    }
}

impl Meter for Request {
    fn data(&mut self, bytes: &Bytes) {
        self.bytes += bytes.len() as u64;
        if let Some(messages) = &mut self.messages {
            messages.pass(bytes);
        }
    }

    fn ended(&mut self, _: Option<&HeaderMap>) {}

    fn writing(&mut self) {
        // Before the write: the server may have answered by the time it returns, and what it did meanwhile is the server's time.
        self.written = Some(Instant::now());
    }
}

impl Meter for Reply {
    fn data(&mut self, bytes: &Bytes) {
        self.bytes += bytes.len() as u64;
        if let Some(messages) = &mut self.messages {
            messages.pass(bytes);
        }
    }

    fn ended(&mut self, trailers: Option<&HeaderMap>) {
        self.read = Some(Instant::now());
        if let (Some(_), Some(fields)) = (&self.messages, trailers) {
            self.status = grpc::status(fields);
        }
    }

    fn writing(&mut self) {}
}
