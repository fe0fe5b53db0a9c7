//! The fixed heads of messages: the 16-byte header and the 9 bytes in front of compressed data.

use crate::Malformed;
use nom::{
    IResult, Parser,
    number::complete::{le_i32, le_u8},
};

/// Bytes of the header that starts every message.
pub(super) const HEADER_BYTES: usize = 16;

/// Bytes between the header and the data of an `OP_COMPRESSED`: original opcode, uncompressed size, compressor.
pub(super) const COMPRESSED_HEAD_BYTES: usize = 9;

/// The header of a message, as it is on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Header {
    /// Length of the whole message with this header, in bytes.
    pub length: u32,
    /// The sender's number for this message.
    pub request_id: i32,
    /// In a reply, the `request_id` of what it answers.
    pub response_to: i32,
    /// What kind of message follows.
    pub opcode: Opcode,
}

impl Header {
    /// Reads the header at the start of a message; `None` when there are not enough bytes for one. Nothing is checked.
    pub fn read(message: &[u8]) -> Option<Self> {
        let head = message.first_chunk::<HEADER_BYTES>()?;
        Self::parse(head).ok().map(|(_, header)| header)
    }

    /// Reads a header. A negative length comes out above every limit.
    pub(super) fn parse(bytes: &[u8]) -> IResult<&[u8], Self, ()> {
        let (rest, (length, request_id, response_to, opcode)) =
            (le_i32, le_i32, le_i32, le_i32).parse(bytes)?;
        let header = Self {
            length: length.cast_unsigned(),
            request_id,
            response_to,
            opcode: Opcode::from_wire(opcode),
        };
        Ok((rest, header))
    }
}

/// What kind of message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Opcode {
    /// `OP_REPLY`, 1
    Reply,
    /// `OP_UPDATE`, 2001
    Update,
    /// `OP_INSERT`, 2002
    Insert,
    /// `OP_QUERY`, 2004
    Query,
    /// `OP_GET_MORE`, 2005
    GetMore,
    /// `OP_DELETE`, 2006
    Delete,
    /// `OP_KILL_CURSORS`, 2007
    KillCursors,
    /// `OP_COMPRESSED`, 2012
    Compressed,
    /// `OP_MSG`, 2013
    Msg,
    /// `OP_COMMAND`, 2010: once used between servers
    Command,
    /// `OP_COMMANDREPLY`, 2011: once used between servers
    CommandReply,
    /// Any other
    Unknown(i32),
}

impl Default for Opcode {
    fn default() -> Self {
        Self::Unknown(0)
    }
}

impl Opcode {
    /// The opcode with this number.
    pub fn from_wire(number: i32) -> Self {
        match number {
            1 => Self::Reply,
            2001 => Self::Update,
            2002 => Self::Insert,
            2004 => Self::Query,
            2005 => Self::GetMore,
            2006 => Self::Delete,
            2007 => Self::KillCursors,
            2010 => Self::Command,
            2011 => Self::CommandReply,
            2012 => Self::Compressed,
            2013 => Self::Msg,
            other => Self::Unknown(other),
        }
    }

    /// A short name for stats: `op_msg`, … All unknown ones share `op_unknown`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Reply => "op_reply",
            Self::Update => "op_update",
            Self::Insert => "op_insert",
            Self::Query => "op_query",
            Self::GetMore => "op_get_more",
            Self::Delete => "op_delete",
            Self::KillCursors => "op_kill_cursors",
            Self::Compressed => "op_compressed",
            Self::Msg => "op_msg",
            Self::Command => "op_command",
            Self::CommandReply => "op_command_reply",
            Self::Unknown(_) => "op_unknown",
        }
    }
}

/// How the body of an `OP_COMPRESSED` is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compressor {
    /// 0: not at all
    Noop,
    /// 1: snappy, raw format
    Snappy,
    /// 2: zlib
    Zlib,
    /// 3: zstd
    Zstd,
}

impl Compressor {
    /// The compressor with this number, if there is one.
    pub(super) fn from_wire(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Noop),
            1 => Some(Self::Snappy),
            2 => Some(Self::Zlib),
            3 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// A short name for stats, the one used in `compression` of a hello.
    pub fn label(self) -> &'static str {
        match self {
            Self::Noop => "noop",
            Self::Snappy => "snappy",
            Self::Zlib => "zlib",
            Self::Zstd => "zstd",
        }
    }
}

/// What an `OP_COMPRESSED` says of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compression {
    /// How it is compressed.
    pub compressor: Compressor,
    /// Size of the body as it is on the wire, in bytes.
    pub compressed: u32,
    /// Size of the body when inflated, in bytes, as the sender says (`uncompressedSize`).
    pub claimed: u32,
}

impl Compression {
    /// Reads what stands in front of the data: the opcode of the message inside, and how its body is compressed. A negative size comes out above
    /// every limit.
    pub(super) fn parse(head: &[u8], compressed: u32) -> Result<(Opcode, Self), Malformed> {
        let parsed: IResult<&[u8], _, ()> = (le_i32, le_i32, le_u8).parse(head);
        let (_, (opcode, claimed, compressor)) = parsed.map_err(|_| Malformed::Truncated)?;
        let compressor = Compressor::from_wire(compressor).ok_or(Malformed::UnknownCompressor)?;
        Ok((
            Opcode::from_wire(opcode),
            Self {
                compressor,
                compressed,
                claimed: claimed.cast_unsigned(),
            },
        ))
    }
}
