//! Names that mean something to the proxy, so that nobody downstream of the decoder compares strings.

/// A field name that means something here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Known {
    /// `:method`
    Method,
    /// `:scheme`
    Scheme,
    /// `:authority`
    Authority,
    /// `:path`
    Path,
    /// `:protocol` (RFC 8441)
    Protocol,
    /// `:status`
    Status,
    /// `connection`, which HTTP/2 does not allow
    Connection,
    /// `content-length`
    ContentLength,
    /// `content-type`
    ContentType,
    /// `cookie`
    Cookie,
    /// `grpc-encoding`
    GrpcEncoding,
    /// `grpc-message`
    GrpcMessage,
    /// `grpc-status`
    GrpcStatus,
    /// `grpc-timeout`
    GrpcTimeout,
    /// `host`
    Host,
    /// `te`
    Te,
    /// `traceparent`
    TraceParent,
    /// `transfer-encoding`, which HTTP/2 does not allow
    TransferEncoding,
    /// `user-agent`
    UserAgent,
    /// `x-forwarded-for`
    XForwardedFor,
    /// `x-forwarded-proto`
    XForwardedProto,
    /// `x-request-id`
    XRequestId,
    /// Any other name.
    #[default]
    Other,
}

impl Known {
    /// What a name, in lower case as HTTP/2 has them, means.
    pub fn of(name: &[u8]) -> Self {
        match name {
            b":method" => Self::Method,
            b":scheme" => Self::Scheme,
            b":authority" => Self::Authority,
            b":path" => Self::Path,
            b":protocol" => Self::Protocol,
            b":status" => Self::Status,
            b"connection" => Self::Connection,
            b"content-length" => Self::ContentLength,
            b"content-type" => Self::ContentType,
            b"cookie" => Self::Cookie,
            b"grpc-encoding" => Self::GrpcEncoding,
            b"grpc-message" => Self::GrpcMessage,
            b"grpc-status" => Self::GrpcStatus,
            b"grpc-timeout" => Self::GrpcTimeout,
            b"host" => Self::Host,
            b"te" => Self::Te,
            b"traceparent" => Self::TraceParent,
            b"transfer-encoding" => Self::TransferEncoding,
            b"user-agent" => Self::UserAgent,
            b"x-forwarded-for" => Self::XForwardedFor,
            b"x-forwarded-proto" => Self::XForwardedProto,
            b"x-request-id" => Self::XRequestId,
            _ => Self::Other,
        }
    }
}
