//! What is known of the servers of a cluster: a value that is never changed, only replaced.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::upstream::cluster::{Endpoint, EndpointId};

/// Members whose state a text names; the others are counted.
const MAX_NAMED: usize = 8;

/// All servers of a cluster at one moment.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The cluster's name.
    pub cluster: Arc<str>,
    /// What the servers are to each other.
    pub kind: DeploymentKind,
    /// Name of the replica set, once one was seen.
    pub set_name: Option<Arc<str>>,
    /// The servers: seeds of the config, and the members that a replica set names.
    pub members: Vec<Member>,
    pub(super) offer: Option<Offer>,
}

/// What the servers of a cluster are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeploymentKind {
    /// Nothing has answered yet.
    Unknown,
    /// One server on its own.
    Standalone,
    /// Members of one replica set.
    ReplicaSet,
    /// Servers of which each can serve everything: mongos routers, or whatever the config says to be like them.
    Sharded,
}

/// One server.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its address.
    pub endpoint: Arc<Endpoint>,
    /// What it says to be.
    pub kind: MemberKind,
    /// Lowest and highest wire version.
    pub wire: (i32, i32),
    /// Largest sizes it takes.
    pub limits: Limits,
    /// How long it keeps a session that nobody uses; `None` when it has no sessions.
    pub session_timeout_minutes: Option<i64>,
    /// Its tags, for read preferences.
    pub tags: Vec<(String, String)>,
    /// Its newest write, and when it told so.
    pub last_write: Option<LastWrite>,
    /// How far it is behind the primary, or else behind the secondary that is ahead of the others, at most; `None` when unknown.
    pub staleness: Option<Duration>,
    /// Moving average of its round trips.
    pub round_trip: Duration,
    /// Why it can't be used, if it is [`MemberKind::Unknown`] and was asked.
    pub error: Option<String>,
    /// Since when it is of this kind.
    pub since: Instant,
    /// Wakes its monitor.
    pub(super) check: Arc<Notify>,
    /// It answered or failed at least once.
    pub(super) checked: bool,
    /// It tells of changes by itself, so that asking more often brings nothing.
    pub(super) streams: bool,
}

/// What a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberKind {
    /// It was not reached, or can't be one of this cluster.
    Unknown,
    /// A server on its own.
    Standalone,
    /// A mongos, or whatever the config says to be like one.
    Mongos,
    /// The member of a replica set that takes writes.
    Primary,
    /// A member of a replica set with a copy of the data.
    Secondary,
    /// A member of a replica set that serves no clients: an arbiter, a hidden one, one that starts or recovers.
    Other,
}

/// Largest sizes that a server takes, in bytes or documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `maxBsonObjectSize`
    pub max_bson: i32,
    /// `maxMessageSizeBytes`
    pub max_message: i32,
    /// `maxWriteBatchSize`
    pub max_batch: i32,
}

/// The newest write of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastWrite {
    /// Milliseconds since 1970 by the clock of the primary that made it.
    pub date_ms: i64,
    /// When the server told so.
    pub seen: Instant,
}

/// What all servers that live can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    wire: (i32, i32),
    limits: Limits,
    session_timeout_minutes: Option<i64>,
}

impl Deployment {
    /// Servers that were never asked.
    pub(super) fn unknown(cluster: Arc<str>, endpoints: &[Arc<Endpoint>]) -> Self {
        let now = Instant::now();
        Self {
            cluster,
            kind: DeploymentKind::Unknown,
            set_name: None,
            members: endpoints
                .iter()
                .map(|endpoint| Member::unknown(Arc::clone(endpoint), now))
                .collect(),
            offer: None,
        }
    }

    /// The server at an endpoint.
    pub fn member(&self, endpoint: EndpointId) -> Option<&Member> {
        self.members
            .iter()
            .find(|member| member.endpoint.id == endpoint)
    }

    /// The primary of the replica set.
    pub fn primary(&self) -> Option<&Member> {
        self.members
            .iter()
            .find(|member| member.kind == MemberKind::Primary)
    }

    /// The servers that serve clients.
    pub fn usable(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.is_usable())
    }

    /// Lowest and highest wire version that all usable servers have; the last ones known when there is none, `None` before
    /// any was there.
    pub fn wire_range(&self) -> Option<(i32, i32)> {
        self.offer.map(|offer| offer.wire)
    }

    /// Largest sizes that all usable servers take; as above.
    pub fn limits(&self) -> Option<Limits> {
        self.offer.map(|offer| offer.limits)
    }

    /// How long all usable servers keep a session; as above, and `None` when one has no sessions.
    pub fn session_timeout_minutes(&self) -> Option<i64> {
        self.offer.and_then(|offer| offer.session_timeout_minutes)
    }

    /// True while there is a server that something can be sent to.
    pub fn is_ready(&self) -> bool {
        self.usable().next().is_some()
    }

    /// Why nothing, or not everything, can be sent: the cluster, what it is, and the state of each server.
    pub fn why_not(&self) -> String {
        self.to_string()
    }

    pub(super) fn is_settled(&self) -> bool {
        self.members.iter().all(|member| member.checked)
    }

    /// Works out what follows from the members.
    pub(super) fn derive(&mut self) {
        let offer = self.usable().map(Offer::of).reduce(Offer::both);
        self.offer = offer.or(self.offer);
        self.derive_staleness();
    }

    /// specs:max-staleness: with a primary "(S.lastUpdateTime - S.lastWriteDate) - (P.lastUpdateTime - P.lastWriteDate) +
    /// heartbeatFrequencyMS", else "SMax.lastWriteDate - S.lastWriteDate + heartbeatFrequencyMS".
    fn derive_staleness(&mut self) {
        let heartbeat = super::monitor::HEARTBEAT;
        let primary = self.primary().and_then(|primary| primary.last_write);
        let newest = self
            .members
            .iter()
            .filter(|member| member.kind == MemberKind::Secondary)
            .filter_map(|member| member.last_write)
            .max_by_key(|write| write.date_ms);
        for member in &mut self.members {
            member.staleness = match (member.kind, primary.or(newest), member.last_write) {
                (MemberKind::Secondary, Some(ahead), Some(own)) => {
                    let behind = ahead.date_ms.saturating_sub(own.date_ms);
                    let behind = Duration::from_millis(u64::try_from(behind).unwrap_or(0));
                    let behind = match primary {
                        // Whichever of the two was asked later had more time to write.
                        Some(primary) => (behind
                            + own.seen.saturating_duration_since(primary.seen))
                        .saturating_sub(primary.seen.saturating_duration_since(own.seen)),
                        None => behind,
                    };
                    Some(behind + heartbeat)
                }
                _ => None,
            };
        }
    }
}

impl fmt::Display for Deployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cluster `{}`", self.cluster)?;
        if let Some(name) = &self.set_name {
            write!(f, " (replica set `{name}`)")?;
        }
        for (index, member) in self.members.iter().take(MAX_NAMED).enumerate() {
            let before = if index == 0 { ": " } else { "; " };
            write!(f, "{before}{} {member}", member.endpoint.name)?;
        }
        match self.members.len().saturating_sub(MAX_NAMED) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl Member {
    /// A server that was never asked.
    pub(super) fn unknown(endpoint: Arc<Endpoint>, now: Instant) -> Self {
        Self {
            endpoint,
            kind: MemberKind::Unknown,
            wire: (0, 0),
            limits: Limits::default(),
            session_timeout_minutes: None,
            tags: Vec::new(),
            last_write: None,
            staleness: None,
            round_trip: Duration::ZERO,
            error: None,
            since: now,
            check: Arc::default(),
            checked: false,
            streams: false,
        }
    }

    /// True when it serves clients.
    pub fn is_usable(&self) -> bool {
        !matches!(self.kind, MemberKind::Unknown | MemberKind::Other)
    }
}

/// Its state, in a few words that follow its name.
impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, &self.error) {
            (MemberKind::Unknown, Some(error)) => write!(f, "can't be used ({error})"),
            (MemberKind::Unknown, None) => f.write_str("has not answered yet"),
            (MemberKind::Other, _) => f.write_str("is neither primary nor secondary"),
            (kind, _) => write!(f, "is {kind}"),
        }
    }
}

impl fmt::Display for MemberKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Standalone => "standalone",
            Self::Mongos => "router",
            Self::Primary => "primary",
            Self::Secondary => "secondary",
            Self::Other => "other",
        })
    }
}

/// What drivers take for a server that does not say (specs:server-discovery-and-monitoring, `maxWriteBatchSize` and others).
impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bson: 16 * 1024 * 1024,
            max_message: 48_000_000,
            max_batch: 100_000,
        }
    }
}

impl Offer {
    fn of(member: &Member) -> Self {
        Self {
            wire: member.wire,
            limits: member.limits,
            session_timeout_minutes: member.session_timeout_minutes,
        }
    }

    fn both(self, other: Self) -> Self {
        let (a, b) = (self.limits, other.limits);
        Self {
            wire: (self.wire.0.min(other.wire.0), self.wire.1.min(other.wire.1)),
            limits: Limits {
                max_bson: a.max_bson.min(b.max_bson),
                max_message: a.max_message.min(b.max_message),
                max_batch: a.max_batch.min(b.max_batch),
            },
            // "If any data-bearing server's is null, sessions are not supported."
            session_timeout_minutes: self
                .session_timeout_minutes
                .zip(other.session_timeout_minutes)
                .map(|(a, b)| a.min(b)),
        }
    }
}
