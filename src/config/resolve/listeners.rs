//! Listeners: each for itself, and then against the clusters and against each other.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Resolver, first_at};
use crate::config::choices::{MONGO_MODES, PROTOCOLS, ProtocolName};
use crate::config::defaults;
use crate::config::field::Field;
use crate::config::file::{File, ListenerFile};
use crate::config::masking::quoted;
use crate::config::model::{ListenerConfig, Protocol};
use crate::config::problem::Place;
use crate::config::suggest::did_you_mean;
use crate::config::values;

impl Resolver<'_> {
    pub(super) fn listeners(&mut self, file: &File, place: Place) -> Vec<ListenerConfig> {
        let Some((listeners, list)) = self.required(&file.listeners, "listeners", place) else {
            return Vec::new();
        };
        if listeners.is_empty() {
            self.problem(list, "no listeners; nothing would be forwarded");
        }
        self.names_are_distinct(
            "listener",
            listeners
                .iter()
                .filter_map(|listener| listener.value())
                .map(|l| &l.name),
        );
        self.clusters_exist(file);
        listeners
            .iter()
            .filter_map(Field::given)
            .filter_map(|(listener, place)| self.listener(listener, place))
            .collect()
    }

    fn listener(&mut self, written: &ListenerFile, place: Place) -> Option<ListenerConfig> {
        let name = self.required_text(&written.name, "name", place, values::name);
        let listen = self.required_text(&written.listen, "listen", place, values::listen_address);
        let protocol = self.protocol(written, place);
        let cluster = self
            .required(&written.cluster, "cluster", place)
            .map(|(name, _)| name.clone());
        let idle_timeout = match written.idle_timeout.given() {
            None => protocol.and_then(default_idle_timeout),
            Some((text, place)) => self
                .read(text, place, values::duration)
                .filter(|idle| *idle != Duration::ZERO),
        };
        let max_connections = self.max_connections(&written.max_connections);
        Some(ListenerConfig {
            name: name?,
            listen: listen?,
            protocol: protocol?,
            cluster: cluster?,
            idle_timeout,
            max_connections,
        })
    }

    fn protocol(&mut self, written: &ListenerFile, place: Place) -> Option<Protocol> {
        let name = self.required_text(&written.protocol, "protocol", place, |word| {
            PROTOCOLS.read(word)
        });
        let mode = written.mongo.value().map(|mongo| &mongo.mode);
        let mode = self.choice(mode, &MONGO_MODES, defaults::MONGO_MODE);
        if let (Some(ProtocolName::Tcp), Some((_, place))) = (name, written.mongo.given()) {
            self.problem(
                place,
                "mongo settings belong to protocol mongo; this listener has protocol tcp",
            );
        }
        Some(match name? {
            ProtocolName::Tcp => Protocol::Tcp,
            ProtocolName::Mongo => Protocol::Mongo(mode),
        })
    }

    fn max_connections(&mut self, field: &Field<u64>) -> Option<usize> {
        let (number, place) = field.given()?;
        if *number > defaults::CONNECTIONS_MAX {
            self.problem(
                place,
                format!("has to be at most {}", defaults::CONNECTIONS_MAX),
            );
        }
        usize::try_from(*number).ok().filter(|max| *max != 0)
    }

    /// Says nothing when a cluster's own name is missing or unusable: it may be the one that is meant.
    fn clusters_exist(&mut self, file: &File) {
        let Some(clusters) = file.clusters.value() else {
            return;
        };
        let names: Option<Vec<&str>> = clusters
            .iter()
            .map(|cluster| Some(cluster.value()?.name.value()?.as_str()))
            .collect();
        let (Some(names), Some(listeners)) = (names, file.listeners.value()) else {
            return;
        };
        for (cluster, place) in listeners
            .iter()
            .filter_map(|listener| listener.value()?.cluster.given())
        {
            if !names.contains(&cluster.as_str()) {
                let hint = did_you_mean(cluster, &names).unwrap_or_default();
                let known = listed(&names);
                self.problem(
                    place,
                    format!(
                        "unknown cluster {} (clusters: {known}){hint}",
                        quoted(cluster)
                    ),
                );
            }
        }
    }

    /// Two sockets on one address: with SO_REUSEPORT the system would not refuse them, but deal connections out at random.
    pub(super) fn addresses_are_distinct(&mut self, file: &File) {
        let admin = match file.admin.value().map(|admin| &admin.listen) {
            None | Some(Field::Absent) => Some((defaults::ADMIN_LISTEN, Place::Whole)),
            Some(listen) => address(listen),
        };
        let mut seen: Vec<(SocketAddr, Place, &str)> = admin
            .map(|(listen, place)| (listen, place, "admin"))
            .into_iter()
            .collect();
        let listeners = file
            .listeners
            .value()
            .map(Vec::as_slice)
            .unwrap_or_default();
        for (listen, place) in listeners
            .iter()
            .filter_map(|listener| address(&listener.value()?.listen))
        {
            if let Some((other, first, whose)) =
                seen.iter().find(|(other, ..)| overlap(*other, listen))
            {
                let message = format!(
                    "`{listen}` is taken by {whose} (`{other}`){}",
                    first_at(*first)
                );
                self.problem(place, message);
            }
            seen.push((listen, place, "another listener"));
        }
    }
}

/// The clearest of `names`, and how many more there are.
fn listed(names: &[&str]) -> String {
    let shown: Vec<&str> = names.iter().copied().take(MAX_LISTED).collect();
    match names.len().checked_sub(MAX_LISTED) {
        Some(more @ 1..) => format!("{}, and {more} more", shown.join(", ")),
        _ => shown.join(", "),
    }
}

fn default_idle_timeout(protocol: Protocol) -> Option<Duration> {
    match protocol {
        Protocol::Tcp => defaults::TCP_IDLE_TIMEOUT,
        Protocol::Mongo(_) => defaults::MONGO_IDLE_TIMEOUT,
    }
}

fn address(listen: &Field<String>) -> Option<(SocketAddr, Place)> {
    let (text, place) = listen.given()?;
    Some((values::listen_address(text).ok()?, place))
}

/// Whether one socket would get what the other expects. Whether `[::]` also takes IPv4 is for the system to say.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() != 0
        && one.port() == other.port()
        && one.is_ipv4() == other.is_ipv4()
        && (one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified())
}

/// Names of clusters in a message.
const MAX_LISTED: usize = 8;
