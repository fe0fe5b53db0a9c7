//! One direction of an exchange: pieces from one side to the other.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http::header::HeaderName;
use narrows_parsers::http1::may_trail;

use super::side::{Broken, Piece, Side};

/// Looks at what passes in one direction.
pub(crate) trait Meter {
    /// Bytes of the body are given to the other side.
    fn data(&mut self, bytes: &Bytes);
    /// The message ended, with these trailers.
    fn ended(&mut self, trailers: Option<&HeaderMap>);
    /// The last part of it is about to be written.
    fn writing(&mut self);
}

/// Where a direction is.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    held: Bytes,
    held_is_last: bool,
    trailers: Option<HeaderMap>,
    /// A piece has been taken.
    took: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Pieces come.
    #[default]
    Open,
    /// The end has come and is to be sent.
    Ending,
    /// All has been put.
    Flushing,
    /// Nothing is left to do.
    Done,
}

/// Which side of a direction failed, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// The side the message comes from.
    Source(Broken),
    /// The side it goes to.
    Sink(Broken),
}

impl Flow {
    /// A message without a body: its head, which may still have to be written, is all.
    pub(crate) fn of_head() -> Self {
        Self {
            state: State::Flushing,
            ..Self::default()
        }
    }

    /// Nothing of the message has been taken from the side it comes from.
    pub(crate) fn is_untouched(&self) -> bool {
        !self.took
    }

    /// The whole message has come, been put and written.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The sink takes no more at the moment.
    pub(crate) fn waits_for_sink(&self) -> bool {
        self.state == State::Flushing || !self.held.is_empty()
    }

    /// Moves pieces as far as both sides allow. Ready when the message has been passed on whole.
    pub(crate) fn poll(
        &mut self,
        from: &mut impl Side,
        to: &mut impl Side,
        meter: &mut impl Meter,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failed>> {
        loop {
            match self.state {
                State::Open if self.held.is_empty() => {
                    let piece = match from.poll_piece(cx) {
                        Poll::Ready(Ok(piece)) => piece,
                        Poll::Ready(Err(broken)) => {
                            // What came before is passed on, as far as it can be.
                            let _ = to.poll_flush(cx);
                            return Poll::Ready(Err(Failed::Source(broken)));
                        }
                        Poll::Pending => {
                            ready!(to.poll_flush(cx)).map_err(Failed::Sink)?;
                            return Poll::Pending;
                        }
                    };
                    self.take(piece);
                }
                State::Open => ready!(self.poll_put(from, to, meter, cx))?,
                State::Ending => {
                    let trailers = self.trailers.take();
                    meter.ended(trailers.as_ref());
                    to.finish(trailers).map_err(Failed::Sink)?;
                    self.state = State::Flushing;
                }
                State::Flushing => {
                    meter.writing();
                    ready!(to.poll_flush(cx)).map_err(Failed::Sink)?;
                    self.state = State::Done;
                }
                State::Done => return Poll::Ready(Ok(())),
            }
        }
    }

    fn take(&mut self, piece: Piece) {
        self.took = true;
        match piece {
            Piece::Data { bytes, last } if bytes.is_empty() && last => self.state = State::Ending,
            Piece::Data { bytes, last } => {
                self.held = bytes;
                self.held_is_last = last;
            }
            Piece::Trailers(mut fields) => {
                // One rule for all, whatever either side speaks.
                for name in forbidden(&fields) {
                    fields.remove(name);
                }
                self.trailers = Some(fields);
                self.state = State::Ending;
            }
            Piece::End => self.state = State::Ending,
        }
    }

    /// Gives the sink what it has room for.
    fn poll_put(
        &mut self,
        from: &mut impl Side,
        to: &mut impl Side,
        meter: &mut impl Meter,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failed>> {
        let room = ready!(to.poll_room(cx, self.held.len())).map_err(Failed::Sink)?;
        let bytes = self.held.split_to(room.min(self.held.len()));
        let length = bytes.len();
        let last = self.held_is_last && self.held.is_empty();
        meter.data(&bytes);
        if last {
            meter.ended(None);
            self.state = State::Flushing;
        }
        to.put(bytes, last).map_err(Failed::Sink)?;
        from.passed_on(length);
        Poll::Ready(Ok(()))
    }
}

/// The fields that must not come behind a body. Hardly ever there are any.
fn forbidden(fields: &HeaderMap) -> Vec<HeaderName> {
    let names = fields.keys();
    let forbidden = names.filter(|name| !may_trail(name.as_str().as_bytes()));
    forbidden.cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::HeaderValue;

    #[test]
    fn what_frames_routes_or_vouches_is_no_trailer() {
        let mut fields = HeaderMap::new();
        for name in [
            "grpc-status",
            "x-checksum",
            "content-length",
            "host",
            "transfer-encoding",
            "authorization",
            "x-forwarded-for",
            "forwarded",
        ] {
            fields.append(name, HeaderValue::from_static("1"));
        }
        let mut flow = Flow::default();
        flow.take(Piece::Trailers(fields));
        let mut left: Vec<_> = flow.trailers.iter().flat_map(HeaderMap::keys).collect();
        left.sort_by_key(|name| name.as_str());
        assert_eq!(left, ["grpc-status", "x-checksum"]);
    }
}
