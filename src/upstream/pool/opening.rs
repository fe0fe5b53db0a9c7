//! Opening a connection: what a protocol does for it, and how an endpoint that can't be reached is
//! left alone for a while.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::MongoCompressor;
use crate::stream::Stream;
use crate::upstream::Endpoint;

/// After a failure an endpoint is left alone this long, and twice as long after each further one:
/// `BASE_BACKOFF` of MongoDB's client-backpressure specification.
const BACKOFF_BASE: Duration = Duration::from_millis(100);

/// The longest pause between two attempts: the default of `wait_timeout`, so that whoever begins to
/// wait meets an attempt before giving up.
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// The future of an opening. Openings are rare: an allocation each is nothing.
pub type Opening = Pin<Box<dyn Future<Output = Result<Opened, OpenError>>>>;

/// Opens connections for a pool: dial, greeting, login.
pub trait Opener: Send + Sync {
    /// Opens a connection to `endpoint` as the credential of that index. The future must end
    /// within the cluster's `connect_timeout`: a place in the pool is taken until it does.
    fn open(&self, endpoint: Arc<Endpoint>, credential: u32) -> Opening;
}

/// A connection that is ready for operations.
pub struct Opened {
    /// The connection, between two messages.
    pub stream: Stream,
    /// How long the dial alone took, without greeting and login.
    pub dialled_in: Duration,
    /// The server's `maxWireVersion`; 0 where there is no such thing.
    pub max_wire: i32,
    /// The compressor that was agreed on.
    pub compressor: Option<MongoCompressor>,
    /// The server says something without being asked, as in HTTP/2: it is left for whoever the connection is lent to.
    pub speaks_first: bool,
}

/// Why a connection could not be opened. Cheap to clone: many waiters may get the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenError {
    /// What kind of failure it was.
    pub kind: OpenErrorKind,
    /// What happened and where, for people. Holds no secret.
    pub text: Arc<str>,
}

/// What kind of failure an opening met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenErrorKind {
    /// The host name is not known (yet).
    NoAddress,
    /// The dial failed.
    Refused,
    /// `connect_timeout` passed.
    TimedOut,
    /// The server did not accept the credential.
    Login,
    /// What the server said is not what is spoken here, or the connection ended in the greeting.
    Protocol,
}

impl OpenError {
    /// An error of this kind.
    pub fn new(kind: OpenErrorKind, text: impl Into<Arc<str>>) -> Self {
        Self {
            kind,
            text: text.into(),
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for OpenError {}

/// The failures of one endpoint and credential since the last success.
#[derive(Default)]
pub(super) struct Failures {
    count: u32,
    last: Option<(Instant, OpenError)>,
}

impl Failures {
    /// Takes a failure in.
    pub(super) fn failed(&mut self, now: Instant, error: OpenError) {
        self.count = self.count.saturating_add(1);
        self.last = Some((now + backoff(self.count), error));
    }

    /// Forgets them all.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Until when no new attempt may be made, and the last failure.
    pub(super) fn refusal(&self, now: Instant) -> Option<(Instant, OpenError)> {
        self.last.clone().filter(|(until, _)| now < *until)
    }
}

/// How long to wait after so many failures in a row.
fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(10);
    (BACKOFF_BASE * (1 << doublings)).min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_end_with_a_success() {
        let error = OpenError::new(OpenErrorKind::Refused, "no");
        let start = Instant::now();
        let mut failures = Failures::default();
        assert!(failures.refusal(start).is_none());
        for pause in [100, 200, 400, 800, 1600, 2000, 2000] {
            failures.failed(start, error.clone());
            let until = start + Duration::from_millis(pause);
            let just_before = until - Duration::from_millis(1);
            assert_eq!(failures.refusal(just_before), Some((until, error.clone())));
            assert_eq!(failures.refusal(until), None);
        }
        failures.succeeded();
        assert!(failures.refusal(start).is_none());
        for _ in 0..100 {
            failures.failed(start, error.clone());
        }
    }
}
