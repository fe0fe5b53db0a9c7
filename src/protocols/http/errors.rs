//! The errors that the proxy itself answers with: one table of what is said, with which status, and under which of Envoy's response
//! flags it is counted.

use narrows_parsers::http1::Malformed;

use crate::upstream::pool::{CheckoutError, OpenErrorKind};

/// Why the proxy answers in the upstream's place, or cuts a reply off that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The request is no HTTP, or none that every reader takes alike.
    Malformed(Malformed),
    /// The request would mean something else, or nothing, in the version of HTTP that the server speaks: this label says what.
    Unsafe(&'static str),
    /// A header with an underscore in its name, where the listener refuses them.
    Underscore,
    /// An `Expect` that is not `100-continue`.
    Expectation,
    /// A body beyond `max_body`.
    BodyTooLarge,
    /// CONNECT, where the listener does not allow it.
    ConnectNotAllowed,
    /// The head of the request took longer than `header_timeout`.
    HeaderTimeout,
    /// The request took longer than `request_timeout` to arrive.
    RequestTimeout,
    /// Nothing of the request came for the stream's `idle_timeout`.
    RequestIdle,
    /// No route takes the request.
    NoRoute,
    /// The route's cluster can't be sent to.
    NoCluster,
    /// `pool.max_waiting` requests wait for a connection already.
    QueueFull,
    /// No connection came free within `pool.wait_timeout`.
    WaitTimeout,
    /// No address is known of any endpoint.
    NoAddress,
    /// No endpoint took a connection.
    CannotConnect,
    /// No endpoint took a connection within `connect_timeout`.
    ConnectTimeout,
    /// The upstream's connection ended before the reply was complete.
    UpstreamReset,
    /// What came from the upstream is no HTTP, or does not fit the request.
    UpstreamMalformed,
    /// The route's `timeout` passed before the reply was complete.
    RouteTimeout,
    /// Nothing of the reply came for the stream's `idle_timeout`.
    ReplyIdle,
    /// The client took nothing of the reply for the stream's `idle_timeout`.
    ReplyUnread,
    /// The process was told to end at once.
    Aborted,
}

/// Envoy's response flags, as far as there is a reason here for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// Downstream protocol error.
    Dpe,
    /// Downstream connection termination: the client left.
    Dc,
    /// No route found.
    Nr,
    /// No cluster found.
    Nc,
    /// Upstream overflow.
    Uo,
    /// No healthy upstream.
    Uh,
    /// Upstream connection failure.
    Uf,
    /// Upstream connection termination.
    Uc,
    /// Upstream protocol error.
    Upe,
    /// Upstream request timeout.
    Ut,
    /// Stream idle timeout.
    Si,
    /// Local reset.
    Lr,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The status of the reply.
    pub status: u16,
    /// The body of the reply, for whoever looks at it.
    pub text: &'static str,
    /// How it is counted.
    pub flag: Option<Flag>,
    /// What follows on the connection can't be read any more, or is not worth waiting for.
    pub closes: bool,
}

impl Failure {
    /// The client is to blame, whatever the upstream did.
    pub fn is_clients(self) -> bool {
        matches!(
            self,
            Self::Malformed(_)
                | Self::Unsafe(_)
                | Self::Underscore
                | Self::Expectation
                | Self::BodyTooLarge
                | Self::ConnectNotAllowed
                | Self::HeaderTimeout
                | Self::RequestTimeout
                | Self::RequestIdle
                | Self::ReplyUnread
        )
    }

    /// What is said. Statuses are Envoy's where it has the case, and else RFC 9110's.
    pub fn row(self) -> Row {
        let (status, text, flag, closes) = match self {
            Self::Malformed(reason) => return malformed(reason),
            Self::Unsafe(_) => (400, "the request is malformed\n", Some(Flag::Dpe), true),
            Self::Underscore => (
                400,
                "a header's name has an underscore\n",
                Some(Flag::Dpe),
                true,
            ),
            Self::Expectation => (417, "this expectation can't be met\n", None, true),
            Self::BodyTooLarge => (413, "the request's body is too large\n", None, true),
            Self::ConnectNotAllowed => (405, "CONNECT is not allowed here\n", None, true),
            Self::HeaderTimeout => (
                408,
                "the request's head took too long\n",
                Some(Flag::Dpe),
                true,
            ),
            Self::RequestTimeout => (408, "the request took too long\n", None, true),
            Self::RequestIdle => (408, "nothing came any more\n", Some(Flag::Si), true),
            Self::NoRoute => (404, "no route\n", Some(Flag::Nr), false),
            Self::NoCluster => (503, "no cluster\n", Some(Flag::Nc), false),
            Self::QueueFull => (
                503,
                "too many requests wait for the upstream\n",
                Some(Flag::Uo),
                false,
            ),
            Self::WaitTimeout => (
                503,
                "no upstream connection came free in time\n",
                Some(Flag::Uo),
                false,
            ),
            Self::NoAddress => (503, "no upstream is known\n", Some(Flag::Uh), false),
            Self::CannotConnect => (
                503,
                "the upstream can't be connected to\n",
                Some(Flag::Uf),
                false,
            ),
            Self::ConnectTimeout => (
                503,
                "the upstream did not take the connection in time\n",
                Some(Flag::Uf),
                false,
            ),
            Self::UpstreamReset => (
                503,
                "the upstream ended the connection\n",
                Some(Flag::Uc),
                false,
            ),
            Self::UpstreamMalformed => (
                502,
                "the upstream's reply is no valid HTTP\n",
                Some(Flag::Upe),
                false,
            ),
            Self::RouteTimeout => (
                504,
                "the upstream did not reply in time\n",
                Some(Flag::Ut),
                false,
            ),
            Self::ReplyIdle => (
                504,
                "nothing came from the upstream any more\n",
                Some(Flag::Si),
                false,
            ),
            Self::ReplyUnread => (504, "the reply was not read\n", Some(Flag::Si), true),
            Self::Aborted => (503, "the proxy is ending\n", Some(Flag::Lr), true),
        };
        Row {
            status,
            text,
            flag,
            closes,
        }
    }
}

/// A request that can't be read: whatever stands behind it can't be either.
fn malformed(reason: Malformed) -> Row {
    let (status, text) = match reason {
        Malformed::HeadTooLarge | Malformed::TooManyFields | Malformed::TrailersTooLarge => {
            (431, "the request's headers are too large\n")
        }
        Malformed::TargetTooLong => (414, "the request's target is too long\n"),
        Malformed::UnsupportedVersion => (505, "this version of HTTP is not served\n"),
        Malformed::UnknownCoding => (501, "this transfer coding is not known\n"),
        _ => (400, "the request is malformed\n"),
    };
    Row {
        status,
        text,
        flag: Some(Flag::Dpe),
        closes: true,
    }
}

impl From<&CheckoutError> for Failure {
    fn from(error: &CheckoutError) -> Self {
        match error {
            CheckoutError::QueueFull { .. } => Self::QueueFull,
            CheckoutError::TimedOut { .. } => Self::WaitTimeout,
            CheckoutError::Retired { .. } => Self::NoAddress,
            CheckoutError::Open { error, .. } => match error.kind {
                OpenErrorKind::NoAddress => Self::NoAddress,
                OpenErrorKind::TimedOut => Self::ConnectTimeout,
                OpenErrorKind::Refused | OpenErrorKind::Login | OpenErrorKind::Protocol => {
                    Self::CannotConnect
                }
            },
        }
    }
}

impl Flag {
    /// All of them, in the order of their indices.
    pub const ALL: [Self; 12] = [
        Self::Dpe,
        Self::Dc,
        Self::Nr,
        Self::Nc,
        Self::Uo,
        Self::Uh,
        Self::Uf,
        Self::Uc,
        Self::Upe,
        Self::Ut,
        Self::Si,
        Self::Lr,
    ];

    /// Its name in Envoy's access logs, and as a label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Dpe => "DPE",
            Self::Dc => "DC",
            Self::Nr => "NR",
            Self::Nc => "NC",
            Self::Uo => "UO",
            Self::Uh => "UH",
            Self::Uf => "UF",
            Self::Uc => "UC",
            Self::Upe => "UPE",
            Self::Ut => "UT",
            Self::Si => "SI",
            Self::Lr => "LR",
        }
    }

    /// Its place in [`Flag::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_is_at_its_index() {
        for (index, flag) in Flag::ALL.into_iter().enumerate() {
            assert_eq!(flag.index(), index);
        }
    }

    #[test]
    fn what_can_not_be_read_is_told_apart_and_ends_the_connection() {
        for reason in Malformed::ALL {
            let row = Failure::Malformed(reason).row();
            assert!(row.closes && (400..=505).contains(&row.status), "{reason}");
        }
        let status = |reason| Failure::Malformed(reason).row().status;
        assert_eq!(status(Malformed::HeadTooLarge), 431);
        assert_eq!(status(Malformed::TargetTooLong), 414);
        assert_eq!(status(Malformed::LengthAndEncoding), 400);
    }
}
