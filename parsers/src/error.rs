//! Why a decoder gave up on a connection.

use std::fmt;

/// The reason for which bytes could not be decoded. A closed set, so that it can be a label of a stat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// The message length is below the header's 16 bytes or above what a server accepts.
    MessageLength,
    /// The message ends in the middle of something.
    Truncated,
    /// A flag among those that must be understood is set and unknown.
    UnknownFlag,
    /// A section of a kind that is unknown.
    UnknownSection,
    /// The length of a section does not fit its message.
    SectionLength,
    /// A second body section.
    TwoBodies,
    /// No body section.
    NoBody,
    /// The length of a document is below 5 bytes, does not fit what encloses it, or is not where the document ends.
    DocumentLength,
    /// The length of a string, binary or other counted value does not fit its document.
    ValueLength,
    /// A name that does not end within its document.
    UnterminatedName,
    /// A BSON element of a type that is unknown.
    UnknownType,
    /// A count of documents or cursors that its message cannot hold.
    Count,
    /// A compressed message inside a compressed message.
    NestedCompression,
    /// A compressor that is unknown.
    UnknownCompressor,
    /// The uncompressed size is negative or above what a message may be.
    ClaimedSize,
    /// Inflating gives more or less than the uncompressed size.
    SizeMismatch,
    /// The compressed data is corrupt.
    CorruptCompression,
    /// The method is no token.
    Method,
    /// The request target has a byte that may not be in one, or is of no form that the method has.
    Target,
    /// The request line is longer than what is accepted.
    TargetTooLong,
    /// No HTTP version where one has to be.
    HttpVersion,
    /// An HTTP version that this is not the decoder of.
    UnsupportedVersion,
    /// The status line is none.
    StatusLine,
    /// A carriage return without a line feed.
    BareCr,
    /// A line feed without a carriage return.
    BareLf,
    /// A field name that is no token, or a line without a colon.
    FieldName,
    /// A blank between a field name and its colon.
    SpaceBeforeColon,
    /// A line that starts with a blank: a folded field.
    ObsFold,
    /// A control character in a field value.
    FieldValue,
    /// The head is larger than what is accepted.
    HeadTooLarge,
    /// More fields than what is accepted.
    TooManyFields,
    /// A request of HTTP/1.1 without a host.
    MissingHost,
    /// More than one host.
    SeveralHosts,
    /// A host that is none.
    Host,
    /// A content length that is no number, or none that fits.
    ContentLength,
    /// More than one content length.
    SeveralContentLengths,
    /// Both a content length and a transfer encoding.
    LengthAndEncoding,
    /// A transfer encoding that does not end in one `chunked`.
    TransferEncoding,
    /// A transfer coding beside `chunked`.
    UnknownCoding,
    /// A transfer encoding in a message of HTTP/1.0.
    EncodingInHttp10,
    /// A transfer encoding in a reply whose status has no body.
    EncodingWithoutBody,
    /// A CONNECT with a body.
    ContentInConnect,
    /// A chunk size that is no hexadecimal number, or none that fits.
    ChunkSize,
    /// A chunk extension that is none.
    ChunkExtension,
    /// Much more framing than data in chunks.
    ChunkOverhead,
    /// Chunk data that does not end where its size says.
    ChunkEnd,
    /// The trailer section is larger than what is accepted.
    TrailersTooLarge,
    /// An HTTP/2 connection that does not begin with the preface and SETTINGS.
    Preface,
    /// An HTTP/2 frame of a length that its kind or the receiver does not allow.
    FrameLength,
    /// An HTTP/2 frame on stream 0 that belongs to a stream, or the other way round.
    FrameStream,
    /// An HTTP/2 frame where another must follow, or of a kind that its sender must not send.
    UnexpectedFrame,
    /// Padding of an HTTP/2 frame that does not fit its frame.
    Padding,
    /// More CONTINUATION frames than a list of fields may have.
    Continuations,
    /// A setting of a value that is not allowed.
    SettingsValue,
    /// An HPACK integer that is too long.
    HpackInteger,
    /// An HPACK index that no table has.
    HpackIndex,
    /// HPACK text that is not Huffman code, or is padded wrongly.
    HpackHuffman,
    /// A field that is longer, as it is encoded, than is decoded.
    HpackFieldLength,
    /// A size of the HPACK table that is above what was announced, or that comes behind a field.
    HpackTableSize,
    /// A list of fields that ends in the middle of a field.
    HpackTruncated,
    /// A gRPC message whose first byte is neither 0 nor 1.
    GrpcPrefix,
    /// A first byte that is of no RESP type, or of one that has no place there.
    RespType,
    /// A RESP length, count or integer that is none, or none that fits.
    RespNumber,
    /// A RESP line or text that does not end where it should.
    RespLineEnd,
    /// RESP values within values, deeper than any server sends.
    RespDepth,
    /// An inline request that is too long, or whose quotes have no end.
    RespInline,
}

impl Malformed {
    /// Every reason, for tables and tests.
    pub const ALL: [Self; 66] = [
        Self::MessageLength,
        Self::Truncated,
        Self::UnknownFlag,
        Self::UnknownSection,
        Self::SectionLength,
        Self::TwoBodies,
        Self::NoBody,
        Self::DocumentLength,
        Self::ValueLength,
        Self::UnterminatedName,
        Self::UnknownType,
        Self::Count,
        Self::NestedCompression,
        Self::UnknownCompressor,
        Self::ClaimedSize,
        Self::SizeMismatch,
        Self::CorruptCompression,
        Self::Method,
        Self::Target,
        Self::TargetTooLong,
        Self::HttpVersion,
        Self::UnsupportedVersion,
        Self::StatusLine,
        Self::BareCr,
        Self::BareLf,
        Self::FieldName,
        Self::SpaceBeforeColon,
        Self::ObsFold,
        Self::FieldValue,
        Self::HeadTooLarge,
        Self::TooManyFields,
        Self::MissingHost,
        Self::SeveralHosts,
        Self::Host,
        Self::ContentLength,
        Self::SeveralContentLengths,
        Self::LengthAndEncoding,
        Self::TransferEncoding,
        Self::UnknownCoding,
        Self::EncodingInHttp10,
        Self::EncodingWithoutBody,
        Self::ContentInConnect,
        Self::ChunkSize,
        Self::ChunkExtension,
        Self::ChunkOverhead,
        Self::ChunkEnd,
        Self::TrailersTooLarge,
        Self::Preface,
        Self::FrameLength,
        Self::FrameStream,
        Self::UnexpectedFrame,
        Self::Padding,
        Self::Continuations,
        Self::SettingsValue,
        Self::HpackInteger,
        Self::HpackIndex,
        Self::HpackHuffman,
        Self::HpackFieldLength,
        Self::HpackTableSize,
        Self::HpackTruncated,
        Self::GrpcPrefix,
        Self::RespType,
        Self::RespNumber,
        Self::RespLineEnd,
        Self::RespDepth,
        Self::RespInline,
    ];

    /// A short name for stats, in snake case.
    pub fn label(self) -> &'static str {
        match self {
            Self::MessageLength => "message_length",
            Self::Truncated => "truncated",
            Self::UnknownFlag => "unknown_flag",
            Self::UnknownSection => "unknown_section",
            Self::SectionLength => "section_length",
            Self::TwoBodies => "two_bodies",
            Self::NoBody => "no_body",
            Self::DocumentLength => "document_length",
            Self::ValueLength => "value_length",
            Self::UnterminatedName => "unterminated_name",
            Self::UnknownType => "unknown_type",
            Self::Count => "count",
            Self::NestedCompression => "nested_compression",
            Self::UnknownCompressor => "unknown_compressor",
            Self::ClaimedSize => "claimed_size",
            Self::SizeMismatch => "size_mismatch",
            Self::CorruptCompression => "corrupt_compression",
            Self::Method => "method",
            Self::Target => "target",
            Self::TargetTooLong => "target_too_long",
            Self::HttpVersion => "http_version",
            Self::UnsupportedVersion => "unsupported_version",
            Self::StatusLine => "status_line",
            Self::BareCr => "bare_cr",
            Self::BareLf => "bare_lf",
            Self::FieldName => "field_name",
            Self::SpaceBeforeColon => "space_before_colon",
            Self::ObsFold => "obs_fold",
            Self::FieldValue => "field_value",
            Self::HeadTooLarge => "head_too_large",
            Self::TooManyFields => "too_many_fields",
            Self::MissingHost => "missing_host",
            Self::SeveralHosts => "several_hosts",
            Self::Host => "host",
            Self::ContentLength => "content_length",
            Self::SeveralContentLengths => "several_content_lengths",
            Self::LengthAndEncoding => "length_and_encoding",
            Self::TransferEncoding => "transfer_encoding",
            Self::UnknownCoding => "unknown_coding",
            Self::EncodingInHttp10 => "encoding_in_http10",
            Self::EncodingWithoutBody => "encoding_without_body",
            Self::ContentInConnect => "content_in_connect",
            Self::ChunkSize => "chunk_size",
            Self::ChunkExtension => "chunk_extension",
            Self::ChunkOverhead => "chunk_overhead",
            Self::ChunkEnd => "chunk_end",
            Self::TrailersTooLarge => "trailers_too_large",
            Self::Preface => "preface",
            Self::FrameLength => "frame_length",
            Self::FrameStream => "frame_stream",
            Self::UnexpectedFrame => "unexpected_frame",
            Self::Padding => "padding",
            Self::Continuations => "continuations",
            Self::SettingsValue => "settings_value",
            Self::HpackInteger => "hpack_integer",
            Self::HpackIndex => "hpack_index",
            Self::HpackHuffman => "hpack_huffman",
            Self::HpackFieldLength => "hpack_field_length",
            Self::HpackTableSize => "hpack_table_size",
            Self::HpackTruncated => "hpack_truncated",
            Self::GrpcPrefix => "grpc_prefix",
            Self::RespType => "resp_type",
            Self::RespNumber => "resp_number",
            Self::RespLineEnd => "resp_line_end",
            Self::RespDepth => "resp_depth",
            Self::RespInline => "resp_inline",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MessageLength => "message length out of range",
            Self::Truncated => "message ends in the middle of a field",
            Self::UnknownFlag => "unknown required flag",
            Self::UnknownSection => "unknown kind of section",
            Self::SectionLength => "section does not fit its message",
            Self::TwoBodies => "more than one body section",
            Self::NoBody => "no body section",
            Self::DocumentLength => "document does not fit what encloses it",
            Self::ValueLength => "value does not fit its document",
            Self::UnterminatedName => "name without an end",
            Self::UnknownType => "unknown BSON type",
            Self::Count => "count that the message cannot hold",
            Self::NestedCompression => "compressed message inside a compressed message",
            Self::UnknownCompressor => "unknown compressor",
            Self::ClaimedSize => "uncompressed size out of range",
            Self::SizeMismatch => "inflated size differs from the size announced",
            Self::CorruptCompression => "corrupt compressed data",
            Self::Method => "method is no token",
            Self::Target => "request target that is none",
            Self::TargetTooLong => "request line too long",
            Self::HttpVersion => "no HTTP version where one has to be",
            Self::UnsupportedVersion => "unsupported HTTP version",
            Self::StatusLine => "status line that is none",
            Self::BareCr => "carriage return without a line feed",
            Self::BareLf => "line feed without a carriage return",
            Self::FieldName => "field name that is no token",
            Self::SpaceBeforeColon => "blank between a field name and its colon",
            Self::ObsFold => "folded field",
            Self::FieldValue => "control character in a field value",
            Self::HeadTooLarge => "head too large",
            Self::TooManyFields => "too many fields",
            Self::MissingHost => "no host",
            Self::SeveralHosts => "more than one host",
            Self::Host => "host that is none",
            Self::ContentLength => "content length that is no number",
            Self::SeveralContentLengths => "more than one content length",
            Self::LengthAndEncoding => "both a content length and a transfer encoding",
            Self::TransferEncoding => "transfer encoding that does not end in one chunked",
            Self::UnknownCoding => "unknown transfer coding",
            Self::EncodingInHttp10 => "transfer encoding in HTTP/1.0",
            Self::EncodingWithoutBody => "transfer encoding in a reply that has no body",
            Self::ContentInConnect => "CONNECT with a body",
            Self::ChunkSize => "chunk size that is no number",
            Self::ChunkExtension => "chunk extension that is none",
            Self::ChunkOverhead => "too much framing around chunks",
            Self::ChunkEnd => "chunk data that does not end where its size says",
            Self::TrailersTooLarge => "trailer section too large",
            Self::Preface => "no HTTP/2 preface",
            Self::FrameLength => "frame of a length that is not allowed",
            Self::FrameStream => "frame on a stream where its kind has no place",
            Self::UnexpectedFrame => "frame of a kind that has no place here",
            Self::Padding => "padding does not fit its frame",
            Self::Continuations => "too many CONTINUATION frames",
            Self::SettingsValue => "setting of a value that is not allowed",
            Self::HpackInteger => "HPACK integer that is too long",
            Self::HpackIndex => "HPACK index that no table has",
            Self::HpackHuffman => "HPACK text that is not Huffman code",
            Self::HpackFieldLength => "field that is too long",
            Self::HpackTableSize => "size of the HPACK table that is not allowed",
            Self::HpackTruncated => "list of fields ends in the middle of one",
            Self::GrpcPrefix => "body is not gRPC messages",
            Self::RespType => "first byte of no RESP type that has a place here",
            Self::RespNumber => "RESP length, count or integer that is none",
            Self::RespLineEnd => "RESP line or text that does not end where it should",
            Self::RespDepth => "RESP values nested too deep",
            Self::RespInline => "inline request that is too long, or with unbalanced quotes",
        })
    }
}

impl std::error::Error for Malformed {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn labels_are_distinct_snake_case() {
        let labels: HashSet<_> = Malformed::ALL.iter().map(|reason| reason.label()).collect();
        assert_eq!(labels.len(), Malformed::ALL.len());
        for label in labels {
            assert!(
                label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                "{label}"
            );
        }
    }
}
