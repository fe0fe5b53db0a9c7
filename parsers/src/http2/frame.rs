//! The fixed parts of the protocol: preface, the 9-byte head of frames, error codes.

use nom::{
    IResult, Parser,
    number::complete::{be_u8, be_u24, be_u32},
};

/// What a client sends first (RFC 9113, section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of the head that starts every frame (RFC 9113, section 4.1).
pub const FRAME_HEAD_BYTES: usize = 9;

/// The head of a frame, as it is on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FrameHead {
    /// Length of what follows the head, in bytes.
    pub length: u32,
    /// What kind of frame it is.
    pub kind: FrameKind,
    /// Flags, whose meaning depends on the kind.
    pub flags: u8,
    /// The stream that the frame belongs to; 0 is the connection. The reserved bit is left out.
    pub stream: u32,
}

impl FrameHead {
    /// The ACK flag of SETTINGS and PING.
    pub const ACK: u8 = 0x1;
    /// The END_STREAM flag of DATA and HEADERS.
    pub const END_STREAM: u8 = 0x1;
    /// The END_HEADERS flag of HEADERS, PUSH_PROMISE and CONTINUATION.
    pub const END_HEADERS: u8 = 0x4;
    /// The PADDED flag of DATA, HEADERS and PUSH_PROMISE.
    pub const PADDED: u8 = 0x8;
    /// The PRIORITY flag of HEADERS.
    pub const PRIORITY: u8 = 0x20;

    /// Reads a head. Nothing is checked.
    pub fn read(bytes: &[u8; FRAME_HEAD_BYTES]) -> Self {
        // Nine bytes are a head, whatever they are.
        Self::parse(bytes).map_or_else(|_| Self::default(), |(_, head)| head)
    }

    /// The flag is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn parse(bytes: &[u8]) -> IResult<&[u8], Self, ()> {
        let (rest, (length, kind, flags, stream)) = (be_u24, be_u8, be_u8, be_u32).parse(bytes)?;
        let head = Self {
            length,
            kind: FrameKind::from_wire(kind),
            flags,
            stream: stream & 0x7fff_ffff,
        };
        Ok((rest, head))
    }
}

/// What kind of frame it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// Bytes of a body.
    Data,
    /// The start of a list of fields: a request, a reply or trailers.
    Headers,
    /// The priority of a stream, which RFC 9113 has given up.
    Priority,
    /// The end of a stream before its time.
    Reset,
    /// What the sender accepts.
    Settings,
    /// The start of a request that the server makes up itself.
    PushPromise,
    /// A ping or its answer.
    Ping,
    /// The end of a connection.
    GoAway,
    /// More room to send.
    WindowUpdate,
    /// The next part of a list of fields.
    Continuation,
    /// Any other kind, which has to be passed over.
    #[default]
    Unknown,
}

impl FrameKind {
    fn from_wire(kind: u8) -> Self {
        match kind {
            0 => Self::Data,
            1 => Self::Headers,
            2 => Self::Priority,
            3 => Self::Reset,
            4 => Self::Settings,
            5 => Self::PushPromise,
            6 => Self::Ping,
            7 => Self::GoAway,
            8 => Self::WindowUpdate,
            9 => Self::Continuation,
            _ => Self::Unknown,
        }
    }
}

/// Why a stream or a connection was ended (RFC 9113, section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    /// The names of the codes that are defined, by their number.
    const LABELS: [&str; 14] = [
        "no_error",
        "protocol_error",
        "internal_error",
        "flow_control_error",
        "settings_timeout",
        "stream_closed",
        "frame_size_error",
        "refused_stream",
        "cancel",
        "compression_error",
        "connect_error",
        "enhance_your_calm",
        "inadequate_security",
        "http_1_1_required",
    ];

    /// Nothing went wrong.
    pub const NO_ERROR: Self = Self(0);
    /// The stream was not processed.
    pub const REFUSED_STREAM: Self = Self(7);
    /// The stream is not needed any more.
    pub const CANCEL: Self = Self(8);
    /// The peer does something that costs too much.
    pub const ENHANCE_YOUR_CALM: Self = Self(11);

    /// A short name for stats, in snake case; `other` for a code that is not defined.
    pub fn label(self) -> &'static str {
        Self::LABELS
            .get(self.0 as usize)
            .copied()
            .unwrap_or("other")
    }
}
