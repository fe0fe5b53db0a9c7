//! Why connections of a pool are opened and closed: a closed set, so that every one is explained
//! and each reason can be a label.

/// Why a connection is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenReason {
    /// Somebody waits for one.
    Demand,
    /// To have `min_idle` at hand.
    MinIdle,
}

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Nobody used it for `idle_timeout`.
    IdleTimeout,
    /// It became as old as `max_lifetime` lets it.
    MaxLifetime,
    /// The server closed it while it was idle.
    ServerClosed,
    /// It failed, or the server closed it, while it was lent.
    UpstreamError,
    /// What the server sent did not fit, or came without being asked for.
    ProtocolError,
    /// Its client left in the middle of an operation.
    ClientGone,
    /// Whoever it was lent to let go of it without saying in which state it is.
    Abandoned,
    /// Its place was needed for another endpoint or credential.
    Evicted,
    /// Its cluster is paused, or the process is ending.
    Drained,
    /// The config allows fewer connections than before, or is of another cluster.
    ConfigChanged,
    /// Its endpoint is no longer part of the cluster.
    EndpointGone,
    /// Its endpoint was seen failing.
    EndpointFailed,
}

impl OpenReason {
    /// All of them, in the order of their indices.
    pub const ALL: [Self; 2] = [Self::Demand, Self::MinIdle];

    /// Its name as a label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Demand => "demand",
            Self::MinIdle => "min_idle",
        }
    }

    pub(super) fn index(self) -> usize {
        self as usize
    }
}

impl CloseReason {
    /// All of them, in the order of their indices.
    pub const ALL: [Self; 12] = [
        Self::IdleTimeout,
        Self::MaxLifetime,
        Self::ServerClosed,
        Self::UpstreamError,
        Self::ProtocolError,
        Self::ClientGone,
        Self::Abandoned,
        Self::Evicted,
        Self::Drained,
        Self::ConfigChanged,
        Self::EndpointGone,
        Self::EndpointFailed,
    ];

    /// Its name as a label.
    pub fn label(self) -> &'static str {
        match self {
            Self::IdleTimeout => "idle_timeout",
            Self::MaxLifetime => "max_lifetime",
            Self::ServerClosed => "server_closed",
            Self::UpstreamError => "upstream_error",
            Self::ProtocolError => "protocol_error",
            Self::ClientGone => "client_gone",
            Self::Abandoned => "abandoned",
            Self::Evicted => "evicted",
            Self::Drained => "drained",
            Self::ConfigChanged => "config_changed",
            Self::EndpointGone => "endpoint_gone",
            Self::EndpointFailed => "endpoint_failed",
        }
    }

    /// True when the server ended the connection rather than the proxy.
    pub fn is_remote(self) -> bool {
        matches!(self, Self::ServerClosed | Self::UpstreamError)
    }

    pub(super) fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_at_its_index() {
        for (index, reason) in OpenReason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index);
        }
        for (index, reason) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index);
        }
    }
}
