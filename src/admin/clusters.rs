//! `/clusters`: endpoints, and for clusters whose connections clients share the pool, the servers and what lives on them.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::ask::{Answer, Asking, Page, ask};
use crate::app::Control;
use crate::upstream::mongo::{Member, MemberKind, SharedMongo};
use crate::upstream::pool::{KeySnapshot, PoolSnapshot};
use crate::upstream::{Cluster, Endpoint};

/// What stands for the credential where there is none, as for an empty label.
const NO_CREDENTIAL: &str = "_none";

/// The parameters as they are written. Unknown ones are refused, as on `/stats`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    format: Option<String>,
}

/// How the page is written.
#[derive(Clone, Copy)]
pub enum Format {
    /// A line a fact.
    Text,
    /// One object.
    Json,
}

/// What is to be done with a cluster.
#[derive(Clone, Copy)]
pub enum Change {
    /// Nothing is sent to its servers any more; operations wait.
    Drain,
    /// Operations go on.
    Resume,
}

/// `GET /clusters`
pub(super) async fn clusters(
    State(asking): Asking,
    parameters: Result<Query<Parameters>, axum::extract::rejection::QueryRejection>,
) -> Answer {
    let format = match parameters {
        Ok(Query(parameters)) => match parameters.format.as_deref() {
            None | Some("" | "text") => Ok(Format::Text),
            Some("json") => Ok(Format::Json),
            Some(other) => Err(format!("format is text or json, not `{other}`")),
        },
        Err(error) => Err(error.body_text()),
    };
    match format {
        Ok(format) => ask(&asking, Page::Clusters(format)).await,
        Err(problem) => Answer::status(StatusCode::BAD_REQUEST, problem + "\n"),
    }
}

/// `POST /clusters/{name}/drain`
pub(super) async fn drain(State(asking): Asking, Path(name): Path<String>) -> Answer {
    ask(&asking, Page::Change(name, Change::Drain)).await
}

/// `POST /clusters/{name}/resume`
pub(super) async fn resume(State(asking): Asking, Path(name): Path<String>) -> Answer {
    ask(&asking, Page::Change(name, Change::Resume)).await
}

/// The page, on the control thread.
pub(super) fn render(format: Format, clusters: &[Arc<Cluster>]) -> Answer {
    let now = Instant::now();
    let clusters: Vec<_> = clusters
        .iter()
        .map(|cluster| ClusterPart::new(cluster, now))
        .collect();
    match format {
        Format::Text => Answer::text(text(&clusters)),
        Format::Json => {
            let page = serde_json::json!({ "clusters": clusters });
            Answer::json(page.to_string())
        }
    }
}

/// Drains or resumes, on the control thread. Doing so again changes nothing.
pub(super) fn change(name: &str, change: Change, control: &Control) -> Answer {
    let clusters = control.topology.clusters_named(name);
    if clusters.is_empty() {
        let known = control.clusters();
        let known: Vec<_> = known.iter().map(|cluster| cluster.name.as_str()).collect();
        let known = known.join(", ");
        let text = format!("there is no cluster of that name; the clusters are: {known}\n");
        return Answer::status(StatusCode::NOT_FOUND, text);
    }
    let pools: Vec<_> = clusters
        .iter()
        .flat_map(|cluster| cluster.pools())
        .collect();
    if pools.is_empty() {
        let text = format!(
            "cluster `{name}` has no connections that clients share: no listener uses it that shares them\n"
        );
        return Answer::status(StatusCode::CONFLICT, text);
    }
    match change {
        Change::Drain => {
            pools.iter().for_each(|pool| pool.pause());
            let open: usize = pools.iter().map(|pool| pool.open()).sum();
            Answer::text(format!(
                "cluster `{name}` is drained: its operations wait; {open} connections are open and end with their operations\n"
            ))
        }
        Change::Resume => {
            pools.iter().for_each(|pool| pool.resume());
            Answer::text(format!("cluster `{name}` is not drained\n"))
        }
    }
}

/// A line for each cluster that is drained, for `/ready`.
pub(super) fn drained(clusters: &[Arc<Cluster>]) -> String {
    let mut text = String::new();
    for cluster in clusters.iter().filter(|cluster| cluster.is_drained()) {
        let name = &cluster.name;
        // Writing to a String can't fail.
        let _ = writeln!(text, "cluster `{name}` is drained: its operations wait");
    }
    text
}

#[derive(Serialize)]
struct ClusterPart {
    name: String,
    connect_timeout_ms: u128,
    endpoints: Vec<EndpointPart>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    shared: Option<SharedPart>,
}

#[derive(Serialize)]
struct EndpointPart {
    name: String,
    cx_active: usize,
    addresses: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<ServerPart>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    connections: Vec<ConnectionsPart>,
}

#[derive(Serialize)]
struct ServerPart {
    kind: String,
    usable: bool,
    /// Since when it is of this kind.
    since_s: u64,
    round_trip_ms: Option<f64>,
    error: Option<String>,
}

/// Connections to one endpoint with one credential.
#[derive(Serialize)]
struct ConnectionsPart {
    credential: Option<String>,
    active: usize,
    idle: usize,
    connecting: usize,
    waiting: usize,
    longest_wait_ms: f64,
    total: usize,
}

#[derive(Serialize)]
struct SharedPart {
    replica_set: Option<String>,
    pool: PoolPart,
    #[serde(skip_serializing_if = "Option::is_none")]
    pins: Option<PinsPart>,
}

#[derive(Serialize)]
struct PoolPart {
    max_connections: usize,
    open: usize,
    connecting: usize,
    waiting: usize,
    longest_wait_ms: f64,
    long_waits_active: usize,
    long_waits_waiting: usize,
    paused: bool,
}

#[derive(Serialize)]
struct PinsPart {
    cursors: usize,
    transactions: usize,
}

impl ClusterPart {
    fn new(cluster: &Cluster, now: Instant) -> Self {
        let shared = cluster.mongo.as_ref();
        let pool = cluster.pools().next().map(|pool| pool.snapshot(now));
        let deployment = shared.map(|shared| Arc::clone(&shared.servers.now()));
        let endpoint = |endpoint: &Arc<Endpoint>| EndpointPart {
            name: endpoint.name.clone(),
            cx_active: endpoint.active(),
            addresses: endpoint
                .addresses()
                .iter()
                .map(ToString::to_string)
                .collect(),
            server: deployment
                .as_ref()
                .and_then(|deployment| deployment.member(endpoint.id))
                .map(|member| ServerPart::new(member, now)),
            connections: pool
                .as_ref()
                .map_or_else(Vec::new, |pool| connections(endpoint, shared, pool)),
        };
        Self {
            name: cluster.name.clone(),
            connect_timeout_ms: cluster.connect_timeout.as_millis(),
            endpoints: cluster.all_endpoints().iter().map(endpoint).collect(),
            shared: pool.as_ref().map(|pool| SharedPart {
                replica_set: deployment
                    .as_ref()
                    .and_then(|deployment| deployment.set_name.as_ref())
                    .map(ToString::to_string),
                pool: PoolPart::new(pool),
                pins: shared.map(PinsPart::new),
            }),
        }
    }
}

fn connections(
    endpoint: &Endpoint,
    shared: Option<&SharedMongo>,
    pool: &PoolSnapshot,
) -> Vec<ConnectionsPart> {
    let of_endpoint = pool
        .keys
        .iter()
        .filter(|key| *key.endpoint == *endpoint.name);
    of_endpoint
        .map(|key| ConnectionsPart::new(key, shared.map_or(&[], |shared| &shared.credentials)))
        .collect()
}

impl ServerPart {
    fn new(member: &Member, now: Instant) -> Self {
        let known = member.kind != MemberKind::Unknown;
        Self {
            kind: member.kind.to_string(),
            usable: member.is_usable(),
            since_s: now.saturating_duration_since(member.since).as_secs(),
            round_trip_ms: known.then(|| milliseconds(member.round_trip)),
            // It may quote the server, and would else make lines of its own.
            error: member
                .error
                .as_ref()
                .map(|error| error.replace(char::is_control, " ")),
        }
    }
}

impl ConnectionsPart {
    fn new(key: &KeySnapshot, credentials: &[String]) -> Self {
        Self {
            credential: usize::try_from(key.credential)
                .ok()
                .and_then(|place| credentials.get(place).cloned()),
            active: key.active,
            idle: key.idle,
            connecting: key.connecting,
            waiting: key.waiting,
            longest_wait_ms: milliseconds(key.longest_wait.unwrap_or_default()),
            total: key.total,
        }
    }
}

impl PoolPart {
    fn new(pool: &PoolSnapshot) -> Self {
        Self {
            max_connections: pool.max_connections,
            open: pool.open,
            connecting: pool.connecting,
            waiting: pool.waiting,
            longest_wait_ms: milliseconds(pool.longest_wait().unwrap_or_default()),
            long_waits_active: pool.long_waits_active,
            long_waits_waiting: pool.long_waits_waiting,
            paused: pool.paused,
        }
    }
}

impl PinsPart {
    fn new(shared: &SharedMongo) -> Self {
        let pins = shared.pins.counts();
        Self {
            cursors: pins.cursors,
            transactions: pins.transactions,
        }
    }
}

/// With three decimals, as times are shown elsewhere.
fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1_000.0
}

/// A line a fact, in Envoy's form `cluster::endpoint::name::value`.
fn text(clusters: &[ClusterPart]) -> String {
    let mut lines = Lines::default();
    for cluster in clusters {
        let name = &cluster.name;
        lines.fact(name, "connect_timeout_ms", cluster.connect_timeout_ms);
        if let Some(shared) = &cluster.shared {
            lines.shared(name, shared);
        }
        for endpoint in &cluster.endpoints {
            lines.endpoint(&format!("{name}::{}", endpoint.name), endpoint);
        }
    }
    lines.text
}

#[derive(Default)]
struct Lines {
    text: String,
}

impl Lines {
    fn fact(&mut self, place: &str, name: &str, value: impl fmt::Display) {
        // Writing to a String can't fail.
        let _ = writeln!(self.text, "{place}::{name}::{value}");
    }

    fn shared(&mut self, name: &str, shared: &SharedPart) {
        let SharedPart {
            replica_set,
            pool,
            pins,
        } = shared;
        if let Some(replica_set) = replica_set {
            self.fact(name, "replica_set", replica_set);
        }
        let place = format!("{name}::pool");
        self.fact(&place, "max_connections", pool.max_connections);
        self.fact(&place, "open", pool.open);
        self.fact(&place, "connecting", pool.connecting);
        self.fact(&place, "waiting", pool.waiting);
        self.fact(&place, "longest_wait_ms", pool.longest_wait_ms);
        self.fact(&place, "long_waits_active", pool.long_waits_active);
        self.fact(&place, "long_waits_waiting", pool.long_waits_waiting);
        self.fact(&place, "paused", pool.paused);
        if let Some(pins) = pins {
            let place = format!("{name}::pins");
            self.fact(&place, "cursors", pins.cursors);
            self.fact(&place, "transactions", pins.transactions);
        }
    }

    fn endpoint(&mut self, place: &str, endpoint: &EndpointPart) {
        self.fact(place, "cx_active", endpoint.cx_active);
        for address in &endpoint.addresses {
            self.fact(place, "address", address);
        }
        if let Some(server) = &endpoint.server {
            self.fact(place, "kind", &server.kind);
            self.fact(place, "usable", server.usable);
            self.fact(place, "since_s", server.since_s);
            if let Some(round_trip) = server.round_trip_ms {
                self.fact(place, "round_trip_ms", round_trip);
            }
            if let Some(error) = &server.error {
                self.fact(place, "error", error);
            }
        }
        for connections in &endpoint.connections {
            let credential = connections.credential.as_deref().unwrap_or(NO_CREDENTIAL);
            let place = format!("{place}::{credential}");
            self.fact(&place, "active", connections.active);
            self.fact(&place, "idle", connections.idle);
            self.fact(&place, "connecting", connections.connecting);
            self.fact(&place, "waiting", connections.waiting);
            self.fact(&place, "longest_wait_ms", connections.longest_wait_ms);
            self.fact(&place, "total", connections.total);
        }
    }
}
