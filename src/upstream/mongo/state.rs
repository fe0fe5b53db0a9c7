//! How answers change what is known: the rules of specs:server-discovery-and-monitoring, without sockets; time is an argument.
//!
//! It differs where a driver, which lives as long as its program, would need a restart: a seed that can't be one of the cluster
//! stays, unusable, until it can; and when nothing has lived for [`FORGET_AFTER`], the seeds are asked as at the start.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::deployment::{Deployment, DeploymentKind, LastWrite, Member, MemberKind};
use super::hello::{Answer, MAX_MEMBERS};
use crate::config::MongoTopology;
use crate::upstream::cluster::{Endpoint, EndpointId};

/// A primary that no member can be heard of for so long has stepped down by itself, so that nothing remembered of elections is
/// needed to tell it from a newer one: `electionTimeoutMillis` is 10 s by default, six times that is generous.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// Weight of the newest round trip in the average (specs:server-selection, "Calculation of Average Round Trip Times").
const NEWEST_PER_CENT: u32 = 20;

/// The first wire version whose election ids alone tell which primary is newer.
const ELECTION_ID_FIRST: i32 = 17;

/// What is known of a cluster's servers, and what was known before.
pub(super) struct State {
    /// What workers see.
    pub(super) deployment: Deployment,
    topology: MongoTopology,
    seeds: Vec<Arc<Endpoint>>,
    newest: Election,
    last_primary: Option<EndpointId>,
    last_live: Instant,
    changes: Vec<Change>,
}

/// Election id and config version of the newest primary seen. "Null values … are always considered less than."
#[derive(Clone, Copy, Default)]
struct Election {
    id: Option<[u8; 12]>,
    set_version: Option<i64>,
}

/// What follows from an answer, beyond the new deployment.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// A server was named that was not known: it is to be monitored.
    Joined(Arc<Endpoint>),
    /// A server is none of the cluster any more.
    Left(Arc<Endpoint>),
    /// A server can be used that could not.
    Up(Arc<Endpoint>, MemberKind),
    /// A server can't be used any more, or could not when it was first asked.
    Down(Arc<Endpoint>, String),
    /// The replica set has a primary that it had not before.
    NewPrimary {
        /// The primary.
        endpoint: Arc<Endpoint>,
        /// False for the first one that was seen.
        replaces: bool,
    },
    /// The replica set has no primary any more.
    NoPrimary,
}

impl State {
    /// Nothing was asked yet.
    pub(super) fn new(
        cluster: Arc<str>,
        topology: MongoTopology,
        seeds: Vec<Arc<Endpoint>>,
    ) -> Self {
        Self {
            deployment: Deployment::unknown(cluster, &seeds),
            topology,
            seeds,
            newest: Election::default(),
            last_primary: None,
            last_live: Instant::now(),
            changes: Vec::new(),
        }
    }

    /// Takes in what a server answered, or why it did not, with the round trip if one was measured.
    pub(super) fn take(
        &mut self,
        id: EndpointId,
        outcome: Result<Answer, String>,
        round_trip: Option<Duration>,
        now: Instant,
    ) -> Vec<Change> {
        if self.deployment.member(id).is_none() {
            return Vec::new();
        }
        let before = self.remember();
        if !self.deployment.is_ready() && now.duration_since(self.last_live) >= FORGET_AFTER {
            self.start_over(now);
        }
        match outcome {
            Ok(answer) => self.answered(id, answer, now),
            Err(error) => self.unusable(id, error, now),
        }
        if let Some(member) = self.member(id) {
            member.checked = true;
            member.note_round_trip(round_trip);
        }
        if self.deployment.is_ready() {
            self.last_live = now;
        }
        self.deployment.derive();
        self.note_changes(&before);
        std::mem::take(&mut self.changes)
    }

    fn answered(&mut self, id: EndpointId, answer: Answer, now: Instant) {
        if self.topology == MongoTopology::Routers {
            self.deployment.kind = DeploymentKind::Sharded;
            return self.set(id, MemberKind::Mongos, &answer, now);
        }
        match answer.kind {
            MemberKind::Standalone if self.seeds.len() > 1 => {
                let count = self.seeds.len();
                let error = format!(
                    "is a standalone server, but the cluster has {count} endpoints; `topology: routers` takes each for one that can serve anything"
                );
                self.contradict(id, error, now);
            }
            MemberKind::Standalone => {
                self.alike(id, DeploymentKind::Standalone, &answer, now);
            }
            MemberKind::Mongos => self.alike(id, DeploymentKind::Sharded, &answer, now),
            MemberKind::Primary | MemberKind::Secondary | MemberKind::Other => {
                if self.is_of(id, DeploymentKind::ReplicaSet) {
                    self.of_a_set(id, &answer, now);
                } else {
                    let name = answer.set_name.as_deref().unwrap_or_default();
                    let error = format!("is a member of replica set `{name}`, the others are not");
                    self.contradict(id, error, now);
                }
            }
            MemberKind::Unknown => {
                let error = "was started as a member of a replica set, and is not in one yet";
                self.unusable(id, error.into(), now);
            }
        }
    }

    /// A server that stands on its own, beside others of its kind or alone.
    fn alike(&mut self, id: EndpointId, kind: DeploymentKind, answer: &Answer, now: Instant) {
        if self.is_of(id, kind) {
            self.set(id, answer.kind, answer, now);
        } else {
            let what = if kind == DeploymentKind::Sharded {
                "router"
            } else {
                "standalone server"
            };
            self.contradict(id, format!("is a {what}, the others are not"), now);
        }
    }

    /// True when the servers are of this kind, or may become so because no other one says otherwise. A replica set stays one
    /// until it is forgotten: its members are not confused with each other.
    fn is_of(&mut self, id: EndpointId, kind: DeploymentKind) -> bool {
        let known = self.deployment.kind;
        let free = match known {
            DeploymentKind::Unknown => true,
            DeploymentKind::ReplicaSet => false,
            DeploymentKind::Standalone | DeploymentKind::Sharded => !self
                .deployment
                .usable()
                .any(|member| member.endpoint.id != id),
        };
        if free {
            self.deployment.kind = kind;
        }
        free || known == kind
    }

    fn of_a_set(&mut self, id: EndpointId, answer: &Answer, now: Instant) {
        let name = answer.set_name.as_deref().unwrap_or_default();
        match self.deployment.set_name.as_deref() {
            None => self.deployment.set_name = Some(Arc::from(name)),
            Some(known) if known != name => {
                let error = format!("is a member of replica set `{name}`, not of `{known}`");
                return self.contradict(id, error, now);
            }
            Some(_) => {}
        }
        if answer.kind == MemberKind::Primary {
            return self.primary(id, answer, now);
        }
        // While there is a primary, its list alone counts.
        let has_primary = self
            .deployment
            .primary()
            .is_some_and(|primary| primary.endpoint.id != id);
        if !has_primary {
            self.add_named(&answer.hosts, now);
        }
        // A seed that calls itself otherwise is replaced by the name it has in its set: that is how its fellows name it.
        let own = self
            .deployment
            .member(id)
            .map(|member| Arc::clone(&member.endpoint));
        match (own, &answer.me) {
            (Some(own), Some(me)) if !is_named(&own, me) => self.remove(id),
            _ => self.set(id, answer.kind, answer, now),
        }
    }

    fn primary(&mut self, id: EndpointId, answer: &Answer, now: Instant) {
        if !self.newest.admit(answer) {
            let error = "says that it is primary, but a newer one was elected";
            return self.unusable(id, error.into(), now);
        }
        let old = self.deployment.primary().map(|old| old.endpoint.id);
        if let Some(old) = old.filter(|old| *old != id) {
            let error = "was primary until another one was elected";
            self.unusable(old, error.into(), now);
        }
        self.add_named(&answer.hosts, now);
        self.set(id, MemberKind::Primary, answer, now);
        let not_named = |member: &&Member| {
            !answer
                .hosts
                .iter()
                .any(|host| is_named(&member.endpoint, host))
        };
        let gone: Vec<_> = self
            .deployment
            .members
            .iter()
            .filter(not_named)
            .map(|member| member.endpoint.id)
            .collect();
        for id in gone {
            self.remove(id);
        }
    }

    fn add_named(&mut self, hosts: &[(String, u16)], now: Instant) {
        for host in hosts {
            let members = &self.deployment.members;
            let known = members
                .iter()
                .any(|member| is_named(&member.endpoint, host));
            if known || members.len() >= MAX_MEMBERS + self.seeds.len() {
                continue;
            }
            let seed = self.seeds.iter().find(|seed| is_named(seed, host));
            let endpoint = seed.map_or_else(|| Arc::new(self.endpoint(host)), Arc::clone);
            let member = Member::unknown(Arc::clone(&endpoint), now);
            self.deployment.members.push(member);
            self.changes.push(Change::Joined(endpoint));
        }
    }

    /// A server that its fellows name is spoken to as they are.
    fn endpoint(&self, (host, port): &(String, u16)) -> Endpoint {
        let tls = self.seeds.first().and_then(|seed| seed.tls.as_ref());
        let tls = tls.map(|tls| tls.for_host(host));
        Endpoint::new(host.clone(), *port, tls)
    }

    fn remove(&mut self, id: EndpointId) {
        let members = &mut self.deployment.members;
        if let Some(index) = members.iter().position(|member| member.endpoint.id == id) {
            let gone = members.remove(index);
            self.changes.push(Change::Left(gone.endpoint));
        }
    }

    /// A server that can't be one of this cluster: a seed stays, so that it is named with its error and asked again.
    fn contradict(&mut self, id: EndpointId, error: String, now: Instant) {
        if self.seeds.iter().any(|seed| seed.id == id) {
            self.unusable(id, error, now);
        } else {
            self.remove(id);
        }
    }

    fn unusable(&mut self, id: EndpointId, error: String, now: Instant) {
        if let Some(member) = self.member(id) {
            let since = if member.kind == MemberKind::Unknown {
                member.since
            } else {
                now
            };
            *member = Member {
                check: Arc::clone(&member.check),
                checked: member.checked,
                error: Some(error),
                ..Member::unknown(Arc::clone(&member.endpoint), since)
            };
        }
    }

    fn set(&mut self, id: EndpointId, kind: MemberKind, answer: &Answer, now: Instant) {
        if let Some(member) = self.member(id) {
            if member.kind != kind {
                member.kind = kind;
                member.since = now;
            }
            member.wire = answer.wire;
            member.limits = answer.limits;
            member.session_timeout_minutes = answer.session_timeout_minutes;
            member.tags.clone_from(&answer.tags);
            member.last_write = answer
                .last_write_ms
                .map(|date_ms| LastWrite { date_ms, seen: now });
            member.error = None;
            member.streams = answer.topology_version.is_some();
        }
    }

    fn member(&mut self, id: EndpointId) -> Option<&mut Member> {
        self.deployment
            .members
            .iter_mut()
            .find(|member| member.endpoint.id == id)
    }

    /// Back to the seeds: the set may have been made anew, under other names and with elections that count from one again.
    fn start_over(&mut self, now: Instant) {
        self.last_live = now;
        self.newest = Election::default();
        self.deployment.kind = DeploymentKind::Unknown;
        self.deployment.set_name = None;
        for seed in &self.seeds {
            if self.deployment.member(seed.id).is_none() {
                let member = Member::unknown(Arc::clone(seed), now);
                self.deployment.members.push(member);
                self.changes.push(Change::Joined(Arc::clone(seed)));
            }
        }
    }

    fn remember(&self) -> Before {
        Before {
            usable: self
                .deployment
                .usable()
                .map(|member| member.endpoint.id)
                .collect(),
            checked: self
                .deployment
                .members
                .iter()
                .filter(|member| member.checked)
                .map(|member| member.endpoint.id)
                .collect(),
            had_primary: self.deployment.primary().is_some(),
        }
    }

    fn note_changes(&mut self, before: &Before) {
        for member in &self.deployment.members {
            let (endpoint, id) = (&member.endpoint, member.endpoint.id);
            let was_usable = before.usable.contains(&id);
            let first = member.checked && !before.checked.contains(&id);
            match &member.error {
                None if member.is_usable() && !was_usable => {
                    self.changes
                        .push(Change::Up(Arc::clone(endpoint), member.kind));
                }
                Some(error) if was_usable || first => {
                    self.changes
                        .push(Change::Down(Arc::clone(endpoint), error.clone()));
                }
                _ => {}
            }
        }
        let primary = self
            .deployment
            .primary()
            .map(|primary| Arc::clone(&primary.endpoint));
        match primary {
            Some(endpoint) if self.last_primary != Some(endpoint.id) => {
                let replaces = self.last_primary.replace(endpoint.id).is_some();
                self.changes.push(Change::NewPrimary { endpoint, replaces });
            }
            None if before.had_primary => self.changes.push(Change::NoPrimary),
            _ => {}
        }
    }
}

/// What [`Change`]s are told by.
struct Before {
    usable: Vec<EndpointId>,
    checked: Vec<EndpointId>,
    had_primary: bool,
}

impl Member {
    fn note_round_trip(&mut self, newest: Option<Duration>) {
        match newest {
            Some(newest) if self.round_trip.is_zero() => self.round_trip = newest,
            Some(newest) => {
                self.round_trip =
                    (newest * NEWEST_PER_CENT + self.round_trip * (100 - NEWEST_PER_CENT)) / 100;
            }
            None => {}
        }
    }
}

impl Election {
    /// Takes over what a primary says, unless it is older than what is known.
    fn admit(&mut self, answer: &Answer) -> bool {
        let told = Self {
            id: answer.election_id,
            set_version: answer.set_version,
        };
        if answer.wire.1 >= ELECTION_ID_FIRST {
            let newer = (told.id, told.set_version) >= (self.id, self.set_version);
            if newer {
                *self = told;
            }
            return newer;
        }
        // "Maintain old comparison rules, namely setVersion is checked before electionId."
        if told.set_version.is_some() && told.id.is_some() {
            let both_known = self.set_version.is_some() && self.id.is_some();
            if both_known && (self.set_version, self.id) > (told.set_version, told.id) {
                return false;
            }
            self.id = told.id;
        }
        self.set_version = self.set_version.max(told.set_version);
        true
    }
}

fn is_named(endpoint: &Endpoint, (host, port): &(String, u16)) -> bool {
    endpoint.port == *port && endpoint.host.eq_ignore_ascii_case(host)
}

#[cfg(test)]
mod tests;
