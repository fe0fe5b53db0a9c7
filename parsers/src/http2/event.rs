//! What a decoder of frames has seen.

use super::frame::ErrorCode;
use super::hpack::{Field, List};
use super::settings::Settings;

/// Something that one side has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'b> {
    /// A list of fields begins on a stream: a request, a reply, an interim reply or trailers.
    Headers {
        /// The stream.
        stream: u32,
    },
    /// The server begins a list of fields that is a request of its own making.
    PushPromise {
        /// The stream of the request that made it do so.
        stream: u32,
        /// The stream that the reply will have, and the fields that follow.
        promised: u32,
    },
    /// The next field of the list that has begun.
    Field {
        /// The stream of the list.
        stream: u32,
        /// The field.
        field: Field<'b>,
    },
    /// The list is complete.
    HeadersEnd {
        /// The stream.
        stream: u32,
        /// The sender has nothing more to say on the stream.
        end_stream: bool,
        /// What the list was.
        list: List,
    },
    /// The next bytes of a body. A frame comes in as many pieces as it was cut into; one without any bytes comes as an empty piece.
    Data {
        /// The stream.
        stream: u32,
        /// The bytes, without padding.
        bytes: &'b [u8],
        /// The sender has nothing more to say on the stream.
        end_stream: bool,
    },
    /// The sender ends a stream before its time.
    Reset {
        /// The stream.
        stream: u32,
        /// Why.
        code: ErrorCode,
    },
    /// The sender announces what it accepts. Whoever decodes the other direction has to tell that decoder
    /// ([`super::FrameDecoder::announced`]).
    Settings(Settings),
    /// The sender has taken in the settings that it was sent.
    SettingsAck,
    /// A ping.
    Ping {
        /// It is the answer to one.
        ack: bool,
    },
    /// The sender takes no more streams.
    GoAway {
        /// The last stream that it has looked at.
        last_stream: u32,
        /// Why.
        code: ErrorCode,
    },
    /// The other side may send more.
    WindowUpdate {
        /// The stream; 0 is the connection.
        stream: u32,
        /// How many bytes more.
        increment: u32,
    },
}
