//! Asks each server of a cluster what it is, all the time: one task and one connection a server, on the control thread.
//!
//! A server that can, answers a hello when something changes (`topologyVersion` with `maxAwaitTimeMS`), so that news of an
//! election needs one trip; any other is asked every [`HEARTBEAT`].

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::raw::RawDocument;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{sleep, sleep_until, timeout};

use super::Servers;
use super::hello::{self, Answer};
use super::state::{Change, State};
use crate::protocols::mongo::wire::{CallError, call};
use crate::stats::{Cluster as ClusterStat, ClusterEndpoint, Scope, Shard};
use crate::stream::Stream;
use crate::upstream::cluster::{Endpoint, EndpointId};
use crate::upstream::connect::{self, ConnectError};
use crate::upstream::discovery;

/// How often a server is asked that does not tell of changes by itself, how long one that does may keep a hello, and the
/// longest pause after a failure: `heartbeatFrequencyMS` of drivers.
pub const HEARTBEAT: Duration = Duration::from_secs(10);

/// The shortest time between two attempts to reach a server: `minHeartbeatFrequencyMS` of drivers.
pub const MIN_HEARTBEAT: Duration = Duration::from_millis(500);

/// The shortest time between two awaitable hellos: a server that answers them at once although nothing changes must not keep the
/// control thread busy.
const MIN_TURN: Duration = Duration::from_millis(50);

/// The monitors of one cluster, which end when this is dropped.
pub struct Monitoring {
    group: Rc<Group>,
}

/// What the monitors of a cluster share.
struct Group {
    servers: Arc<Servers>,
    state: RefCell<State>,
    tasks: RefCell<HashMap<EndpointId, AbortHandle>>,
    shard: Shard,
    stats: Scope<ClusterStat>,
    /// This cluster's share of the gauges: members, and those that can be used.
    shown: Cell<Option<(i64, i64)>>,
}

/// The monitor of one server.
struct Monitor {
    group: Rc<Group>,
    endpoint: Arc<Endpoint>,
    check: Arc<Notify>,
    stats: Scope<ClusterEndpoint>,
}

/// Why a connection is given up.
enum Ended {
    /// An operation found something amiss: a new connection tells more than one that just waits.
    Asked,
    /// The server can't be used, for this reason.
    Failed(String),
}

impl Monitoring {
    /// Starts to ask the servers of a cluster. To be called on the control thread, inside of its runtime.
    pub fn start(servers: &Arc<Servers>, shard: &Shard) -> Self {
        let state = State::new(
            Arc::clone(&servers.cluster),
            servers.topology,
            servers.seeds.clone(),
        );
        servers.publish(state.deployment.clone());
        let members: Vec<_> = state
            .deployment
            .members
            .iter()
            .map(|member| (Arc::clone(&member.endpoint), Arc::clone(&member.check)))
            .collect();
        let group = Rc::new(Group {
            servers: Arc::clone(servers),
            state: RefCell::new(state),
            tasks: RefCell::default(),
            shard: shard.clone(),
            stats: shard.scope(&[servers.cluster.as_bytes()]),
            shown: Cell::new(Some((0, 0))),
        });
        group.show();
        for (endpoint, check) in members {
            group.watch(endpoint, check);
        }
        Self { group }
    }

    /// Takes the cluster out of the gauges: another one of the same name stands there from now on. Its servers are asked on.
    pub fn hide(&self) {
        self.group.hide();
    }
}

impl Drop for Monitoring {
    fn drop(&mut self) {
        self.group.hide();
        for (_, task) in self.group.tasks.take() {
            task.abort();
        }
    }
}

impl Group {
    fn watch(self: &Rc<Self>, endpoint: Arc<Endpoint>, check: Arc<Notify>) {
        let id = endpoint.id;
        let labels = [self.servers.cluster.as_bytes(), endpoint.name.as_bytes()];
        let monitor = Monitor {
            group: Rc::clone(self),
            stats: self.shard.scope(&labels),
            endpoint,
            check,
        };
        let task = tokio::task::spawn_local(async move { monitor.run().await });
        self.tasks.borrow_mut().insert(id, task.abort_handle());
    }

    fn unwatch(&self, id: EndpointId) {
        if let Some(task) = self.tasks.borrow_mut().remove(&id) {
            // Perhaps the very task that is running: it ends where it waits next.
            task.abort();
        }
    }

    /// Publishes what follows from an answer or a failure.
    fn take(
        self: &Rc<Self>,
        id: EndpointId,
        outcome: Result<Answer, String>,
        round_trip: Option<Duration>,
    ) {
        let (changes, deployment) = {
            let mut state = self.state.borrow_mut();
            let changes = state.take(id, outcome, round_trip, Instant::now());
            (changes, state.deployment.clone())
        };
        for change in changes {
            tell(&self.servers.cluster, &change);
            match change {
                Change::Joined(endpoint) => {
                    if let Some(member) = deployment.member(endpoint.id) {
                        self.watch(endpoint, Arc::clone(&member.check));
                    }
                }
                Change::Left(endpoint) => self.unwatch(endpoint.id),
                Change::NewPrimary { replaces: true, .. } => {
                    self.stats.inc(ClusterStat::PRIMARY_CHANGES);
                }
                Change::NewPrimary { .. }
                | Change::NoPrimary
                | Change::Up(..)
                | Change::Down(..) => {}
            }
        }
        self.servers.publish(deployment);
        self.show();
    }

    fn show(&self) {
        let Some(shown) = self.shown.get() else {
            return;
        };
        let count = |n| i64::try_from(n).unwrap_or(i64::MAX);
        let now = {
            let state = self.state.borrow();
            let deployment = &state.deployment;
            (
                count(deployment.members.len()),
                count(deployment.usable().count()),
            )
        };
        self.change_gauges(now.0 - shown.0, now.1 - shown.1);
        self.shown.set(Some(now));
    }

    fn hide(&self) {
        if let Some((total, healthy)) = self.shown.take() {
            self.change_gauges(-total, -healthy);
        }
    }

    fn change_gauges(&self, total: i64, healthy: i64) {
        self.stats.gauge_add(ClusterStat::MEMBERSHIP_TOTAL, total);
        self.stats
            .gauge_add(ClusterStat::MEMBERSHIP_HEALTHY, healthy);
    }
}

/// Says once what operators want to know.
fn tell(cluster: &str, change: &Change) {
    match change {
        Change::Up(endpoint, kind) => {
            tracing::info!(cluster, endpoint = %endpoint.name, %kind, "server is available");
        }
        Change::Down(endpoint, error) => {
            tracing::warn!(cluster, endpoint = %endpoint.name, %error, "server is not available");
        }
        Change::NewPrimary { endpoint, .. } => {
            tracing::info!(cluster, endpoint = %endpoint.name, "primary found");
        }
        Change::NoPrimary => tracing::warn!(cluster, "no primary"),
        Change::Joined(endpoint) => {
            tracing::info!(cluster, endpoint = %endpoint.name, "server named by the replica set");
        }
        Change::Left(endpoint) => {
            tracing::info!(cluster, endpoint = %endpoint.name, "server not named by the replica set any more");
        }
    }
}

impl Monitor {
    async fn run(&self) {
        let mut pause = MIN_HEARTBEAT;
        loop {
            let begun = Instant::now();
            let mut answered = false;
            let ended = self.converse(&mut answered).await;
            if let Ended::Failed(error) = ended {
                self.stats.inc(ClusterEndpoint::MONITOR_FAILURE);
                self.group.take(self.endpoint.id, Err(error), None);
            }
            let earliest = begun + MIN_HEARTBEAT;
            // "Drivers MUST retry … immediately" when a server was there until now: a connection may end for many reasons.
            let next = if answered {
                pause = MIN_HEARTBEAT;
                earliest
            } else {
                Instant::now() + pause
            };
            tokio::select! {
                () = sleep_until(next.into()) => pause = (pause * 2).min(HEARTBEAT),
                () = self.asked(earliest) => pause = MIN_HEARTBEAT,
            }
        }
    }

    /// Waits until somebody wants the server asked, and no sooner than `earliest`.
    async fn asked(&self, earliest: Instant) {
        self.check.notified().await;
        sleep_until(earliest.into()).await;
    }

    /// One connection, from its start until it is of no use.
    async fn converse(&self, answered: &mut bool) -> Ended {
        let begun = Instant::now();
        let patience = self.group.servers.connect_timeout;
        let mut line = match timeout(patience, self.open()).await {
            Ok(Ok(stream)) => Line { stream, last_id: 0 },
            Ok(Err(error)) => return Ended::Failed(reason(error)),
            Err(_) => return Ended::Failed(Late(patience).connecting()),
        };
        let left = patience.saturating_sub(begun.elapsed());
        let mut hello = hello::first();
        let mut within = left;
        loop {
            let asked_at = Instant::now();
            let answer = match within_time(within, line.ask(&hello)).await {
                Ok(answer) => answer,
                Err(Lost::Late) => return Ended::Failed(Late(patience).answering()),
                Err(Lost::Error(error)) => return Ended::Failed(error),
            };
            *answered = true;
            self.took(answer.clone(), Some(asked_at.elapsed()));
            hello = hello::plain();
            within = patience;
            if let Err(ended) = self.wait_for_news(&mut line, &answer, asked_at).await {
                return ended;
            }
        }
    }

    /// Returns when it is time to measure a round trip again.
    async fn wait_for_news(
        &self,
        line: &mut Line,
        answer: &Answer,
        asked_at: Instant,
    ) -> Result<(), Ended> {
        let earliest = asked_at + MIN_HEARTBEAT;
        let Some(version) = answer.topology_version else {
            tokio::select! {
                () = sleep(HEARTBEAT) => {}
                () = self.asked(earliest) => {}
            }
            return Ok(());
        };
        let patience = self.group.servers.connect_timeout;
        let hello = hello::awaitable(version, HEARTBEAT);
        let news = within_time(HEARTBEAT + patience, line.ask(&hello));
        let news = tokio::select! {
            news = news => news,
            () = self.asked(earliest) => return Err(Ended::Asked),
        };
        match news {
            Ok(answer) => self.took(answer, None),
            Err(Lost::Late) => return Err(Ended::Failed(Late(HEARTBEAT + patience).answering())),
            Err(Lost::Error(error)) => return Err(Ended::Failed(error)),
        }
        sleep_until((asked_at + MIN_TURN).into()).await;
        Ok(())
    }

    fn took(&self, answer: Answer, round_trip: Option<Duration>) {
        self.stats.inc(ClusterEndpoint::MONITOR_SUCCESS);
        if let Some(round_trip) = round_trip {
            let micros = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX);
            self.stats.record(ClusterEndpoint::ROUND_TRIP_MS, micros);
        }
        self.group.take(self.endpoint.id, Ok(answer), round_trip);
    }

    async fn open(&self) -> Result<Stream, ConnectError> {
        if self.endpoint.is_named() && self.endpoint.addresses().is_empty() {
            discovery::look_up(&self.group.servers.cluster, &self.endpoint).await;
        }
        connect::dial(&self.endpoint, None).await
    }
}

/// A connection that only hellos pass over.
struct Line {
    stream: Stream,
    last_id: i32,
}

/// Why no answer came.
enum Lost {
    Late,
    Error(String),
}

impl Line {
    async fn ask(&mut self, hello: &RawDocument) -> Result<Answer, String> {
        self.last_id = self.last_id.wrapping_add(1);
        let reply = call(&mut self.stream, self.last_id, hello).await;
        let reply = reply.map_err(|error| match error {
            CallError::Io(error)
                if error.kind() == ErrorKind::UnexpectedEof && self.last_id == 1 =>
            {
                "the connection was closed without an answer to hello; is this a MongoDB server?"
                    .into()
            }
            CallError::Io(error) if error.kind() == ErrorKind::UnexpectedEof => {
                "the connection was closed".into()
            }
            error => error.to_string(),
        })?;
        Answer::read(&reply)
    }
}

async fn within_time(
    limit: Duration,
    answer: impl Future<Output = Result<Answer, String>>,
) -> Result<Answer, Lost> {
    match timeout(limit, answer).await {
        Ok(answer) => answer.map_err(Lost::Error),
        Err(_) => Err(Lost::Late),
    }
}

/// Without the endpoint's name, which stands beside it wherever it is shown.
fn reason(error: ConnectError) -> String {
    match error {
        ConnectError::NoAddress(_) => "no address is known for this name".into(),
        ConnectError::Refused { source, .. } => source.to_string(),
        ConnectError::Tls { failure, .. } => format!("TLS: {failure}"),
        ConnectError::TimedOut(_) => "no connection in time".into(),
    }
}

/// How long was waited in vain.
struct Late(Duration);

impl Late {
    fn connecting(&self) -> String {
        format!("no connection within {self}")
    }

    fn answering(&self) -> String {
        format!("no answer to hello within {self}; is this a MongoDB server?")
    }
}

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}
