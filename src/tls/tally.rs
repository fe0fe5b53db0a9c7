//! How handshakes went. One tally is shared by all workers: a handshake costs some hundred microseconds, an addition to a shared counter
//! nothing beside it; and a cluster's connections are opened by workers and by the control thread alike.

use std::sync::atomic::{AtomicU64, Ordering};

use rustls::{Connection, HandshakeKind};

use super::{Failure, Reason, Version};
use crate::stream::Stream;

const REASONS: usize = Reason::ALL.len();
const VERSIONS: usize = Version::ALL.len();

/// Counts the handshakes of one listener or cluster, until somebody takes the counts.
#[derive(Debug, Default)]
pub struct Tally {
    versions: [AtomicU64; VERSIONS],
    resumed: AtomicU64,
    without_certificate: AtomicU64,
    failures: [AtomicU64; REASONS],
}

/// What was counted since the last time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Handshakes that succeeded, by version.
    pub versions: [u64; VERSIONS],
    /// Those of them that took up an earlier session.
    pub resumed: u64,
    /// Those of them in which the peer showed no certificate.
    pub without_certificate: u64,
    /// Handshakes that failed, in the order of [`Reason::ALL`].
    pub failures: [u64; REASONS],
}

impl Tally {
    /// Counts a handshake.
    pub(super) fn count(&self, result: &Result<Stream, Failure>) {
        match result {
            Ok(stream) => {
                if let Some(channel) = stream.channel() {
                    self.succeeded(channel.connection());
                }
            }
            Err(failure) => self.failed(failure.reason),
        }
    }

    fn succeeded(&self, connection: &Connection) {
        add(self.versions.get(Version::of(connection) as usize));
        if connection.handshake_kind() == Some(HandshakeKind::Resumed) {
            add(Some(&self.resumed));
        }
        if connection.peer_certificates().is_none_or(<[_]>::is_empty) {
            add(Some(&self.without_certificate));
        }
    }

    pub(super) fn failed(&self, reason: Reason) {
        add(self.failures.get(reason as usize));
    }

    /// Takes what was counted; the tally begins again.
    pub fn take(&self) -> Counts {
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
        Counts {
            versions: self.versions.each_ref().map(take),
            resumed: take(&self.resumed),
            without_certificate: take(&self.without_certificate),
            failures: self.failures.each_ref().map(take),
        }
    }
}

impl Counts {
    /// Handshakes that succeeded.
    pub fn succeeded(&self) -> u64 {
        self.versions.iter().sum()
    }

    /// Handshakes that failed for a reason of this kind.
    pub fn failed(&self, is: impl Fn(Reason) -> bool) -> u64 {
        let reasons = Reason::ALL.iter().zip(self.failures);
        reasons
            .filter(|(reason, _)| is(**reason))
            .map(|(_, count)| count)
            .sum()
    }
}

fn add(counter: Option<&AtomicU64>) {
    if let Some(counter) = counter {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
