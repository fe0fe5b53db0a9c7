//! The two halves of an HTTP/2 stream, as both sides of the proxy use them.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use http::HeaderMap;

use super::side::{Broken, Piece};

/// The receiving half.
pub(super) struct Receiving {
    stream: RecvStream,
    data_ended: bool,
}

impl Receiving {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self {
            stream,
            data_ended: false,
        }
    }

    /// True when nothing (more) comes.
    pub(super) fn is_end(&self) -> bool {
        self.stream.is_end_stream()
    }

    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Broken>> {
        while !self.data_ended {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(bytes)) => {
                    let last = self.stream.is_end_stream();
                    // An empty frame that ends nothing is nothing; h2 counts them.
                    if !bytes.is_empty() || last {
                        return Poll::Ready(Ok(Piece::Data { bytes, last }));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Err(broken(&error))),
                None => self.data_ended = true,
            }
        }
        Poll::Ready(match ready!(self.stream.poll_trailers(cx)) {
            Ok(Some(fields)) => Ok(Piece::Trailers(fields)),
            Ok(None) => Ok(Piece::End),
            Err(error) => Err(broken(&error)),
        })
    }

    /// Lets the peer send as many bytes more.
    pub(super) fn release(&mut self, length: usize) {
        // More than came is never released, which is all that h2 refuses.
        let _ = self.stream.flow_control().release_capacity(length);
    }
}

/// The sending half.
pub(super) struct Sending {
    stream: SendStream<Bytes>,
}

impl Sending {
    pub(super) fn new(stream: SendStream<Bytes>) -> Self {
        Self { stream }
    }

    pub(super) fn poll_room(
        &mut self,
        cx: &mut Context<'_>,
        wanted: usize,
    ) -> Poll<Result<usize, Broken>> {
        self.stream.reserve_capacity(wanted);
        match self.stream.capacity() {
            0 => {}
            room => return Poll::Ready(Ok(room)),
        }
        match ready!(self.stream.poll_capacity(cx)) {
            Some(Ok(room)) => Poll::Ready(Ok(room)),
            Some(Err(error)) => Poll::Ready(Err(broken(&error))),
            None => Poll::Ready(Err(self.why_closed(cx))),
        }
    }

    pub(super) fn put(&mut self, bytes: Bytes, last: bool) -> Result<(), Broken> {
        self.stream
            .send_data(bytes, last)
            .map_err(|error| broken(&error))
    }

    pub(super) fn finish(&mut self, trailers: Option<HeaderMap>) -> Result<(), Broken> {
        match trailers {
            Some(fields) if !fields.is_empty() => self.stream.send_trailers(fields),
            _ => self.stream.send_data(Bytes::new(), true),
        }
        .map_err(|error| broken(&error))
    }

    pub(super) fn reset(&mut self, reason: Reason) {
        self.stream.send_reset(reason);
    }

    /// Ready when the peer gave the stream up.
    pub(super) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Broken> {
        match ready!(self.stream.poll_reset(cx)) {
            Ok(reason) => Poll::Ready(reset(reason)),
            Err(error) => Poll::Ready(broken(&error)),
        }
    }

    fn why_closed(&mut self, cx: &mut Context<'_>) -> Broken {
        match self.stream.poll_reset(cx) {
            Poll::Ready(Ok(reason)) => reset(reason),
            Poll::Ready(Err(error)) => broken(&error),
            Poll::Pending => Broken::Gone,
        }
    }
}

/// What an error of h2 says about the side it came from.
pub(super) fn broken(error: &h2::Error) -> Broken {
    match error.reason() {
        // The peer says that it looked at nothing after the streams it names.
        Some(Reason::NO_ERROR) if error.is_go_away() && error.is_remote() => Broken::Refused,
        Some(_) if error.is_go_away() && error.is_remote() => Broken::Gone,
        Some(reason) if error.is_reset() && error.is_remote() => reset(reason),
        Some(_) if error.is_library() => Broken::Malformed("http2_protocol_error"),
        Some(reason) => reset(reason),
        None => Broken::Gone,
    }
}

fn reset(reason: Reason) -> Broken {
    match reason {
        Reason::REFUSED_STREAM => Broken::Refused,
        reason => Broken::Reset(reason),
    }
}
