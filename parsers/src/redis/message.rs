//! What a decoder says of a reply.

use super::texts::Text;

/// What a reply is, by its first byte. A null is a null, whichever of its three forms it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `+`
    Simple,
    /// `-`
    Error,
    /// `:`
    Integer,
    /// `$`
    Bulk,
    /// `*`
    Array,
    /// `_`, `$-1` and `*-1`
    Null,
    /// `#`
    Boolean,
    /// `,`
    Double,
    /// `(`
    BigNumber,
    /// `!`
    BulkError,
    /// `=`
    Verbatim,
    /// `%`
    Map,
    /// `~`
    Set,
    /// `>`: no reply, but what the server says of its own accord.
    Push,
}

impl Kind {
    /// How many there are.
    pub const COUNT: usize = 14;

    /// Its place among all: a number below [`Kind::COUNT`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// A short name for stats, in snake case.
    pub fn label(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Error => "error",
            Self::Integer => "integer",
            Self::Bulk => "bulk",
            Self::Array => "array",
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Double => "double",
            Self::BigNumber => "big_number",
            Self::BulkError => "bulk_error",
            Self::Verbatim => "verbatim",
            Self::Map => "map",
            Self::Set => "set",
            Self::Push => "push",
        }
    }
}

const _: () = assert!(Kind::Push as usize + 1 == Kind::COUNT);

/// A reply, or a push. Its text is in the bytes that were shown, or kept by the decoder, which forgets it when it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply<'a> {
    /// What it is.
    pub kind: Kind,
    /// Values that an aggregate announces: two for each pair of a map. Zero where it announces none, and for all else.
    pub elements: u64,
    /// The integer that it is, or the last one among its values: what a confirmation of SUBSCRIBE counts.
    pub integer: Option<i64>,
    /// The text that it is, or the first one in it: of an error the message, of a push its name.
    pub text: Option<Text<'a>>,
    /// The whole reply on the wire, with its attributes, in bytes.
    pub bytes: u64,
}

impl<'a> Reply<'a> {
    /// True for both forms of an error.
    pub fn is_error(&self) -> bool {
        matches!(self.kind, Kind::Error | Kind::BulkError)
    }

    /// The first word of an error: `WRONGTYPE`, `MOVED`, or `ERR` where the server says no more. Empty when it is none.
    pub fn error_prefix(&self) -> &'a [u8] {
        let message = match self.text {
            Some(text) if self.is_error() => text.bytes,
            _ => return &[],
        };
        message
            .split(|byte| *byte == b' ')
            .next()
            .unwrap_or(message)
    }

    /// The first text, as far as it is kept; empty where there is none.
    pub fn name(&self) -> &'a [u8] {
        self.text.map_or(&[], |text| text.bytes)
    }
}
