//! Listeners: each for itself, and then against the clusters and against each other.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::uses::named_clusters;
use super::{Resolver, first_at};
use crate::config::choices::{
    AuthName, MONGO_AUTHS, MONGO_HELLOS, MONGO_MODES, PROTOCOLS, ProtocolName,
};
use crate::config::defaults;
use crate::config::field::Field;
use crate::config::file::{ClusterFile, File, ListenerFile, MongoFile};
use crate::config::masking::quoted;
use crate::config::model::{ListenerConfig, MongoAuth, MongoMode, Protocol};
use crate::config::problem::{ConfigError, Place};
use crate::config::secrets;
use crate::config::suggest::did_you_mean;
use crate::config::values;
use crate::scram::Users;

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
            .filter_map(|(listener, place)| self.listener(listener, place, file))
            .collect()
    }

    fn listener(
        &mut self,
        written: &ListenerFile,
        place: Place,
        file: &File,
    ) -> Option<ListenerConfig> {
        let name = self.required_text(&written.name, "name", place, values::name);
        let listen = self.required_text(&written.listen, "listen", place, values::listen_address);
        let protocol = self.required_text(&written.protocol, "protocol", place, |word| {
            PROTOCOLS.read(word)
        });
        self.settings_fit(written, protocol);
        let (mode, mongo_auth) = match protocol {
            None | Some(ProtocolName::Mongo) => self.mongo(written, place),
            Some(_) => (defaults::MONGO_MODE, MongoAuth::None),
        };
        self.credentials_exist(written, &mongo_auth, file);
        let mongo_streams_hello = self.choice(
            written.mongo.value().map(|mongo| &mongo.hello),
            &MONGO_HELLOS,
            defaults::MONGO_STREAMS_HELLO,
        );
        let is_http = match protocol {
            None => written.http.value().is_some(),
            Some(name) => name == ProtocolName::Http,
        };
        let (http, clusters) = if is_http {
            let (http, clusters) = self.http(written, place);
            (Some(Arc::new(http)), clusters)
        } else {
            let cluster = self.required(&written.cluster, "cluster", place);
            (
                None,
                cluster.map(|(name, _)| name.clone()).into_iter().collect(),
            )
        };
        let mut clusters: Vec<String> = clusters;
        let (redis_mode, redis) = self.redis(written, place, &mut clusters);
        let protocol = protocol.map(|name| match (name, &http) {
            (ProtocolName::Http, Some(http)) => Protocol::Http(http.mode),
            (ProtocolName::Mongo, _) => Protocol::Mongo(mode),
            (ProtocolName::Redis, _) => Protocol::Redis(redis_mode),
            (ProtocolName::Tcp | ProtocolName::Http, _) => Protocol::Tcp,
        });
        let default_idle = protocol.and_then(default_idle_timeout);
        let idle_timeout = self.duration_or_never(&written.idle_timeout, default_idle);
        let max_connections = self
            .at_most(&written.max_connections, defaults::CONNECTIONS_MAX)
            .filter(|max| *max != 0);
        let versions = http.as_ref().map(|http| http.versions);
        let tls = self.listener_tls(&written.tls, protocol, versions);
        Some(ListenerConfig {
            name: name?,
            listen: listen?,
            protocol: protocol?,
            clusters,
            idle_timeout,
            max_connections,
            tls,
            mongo_auth,
            mongo_streams_hello,
            http,
            redis,
        })
    }

    /// Settings of another protocol decide nothing.
    fn settings_fit(&mut self, written: &ListenerFile, protocol: Option<ProtocolName>) {
        let Some(protocol) = protocol else {
            return;
        };
        let sections = [
            (ProtocolName::Mongo, written.mongo.place()),
            (ProtocolName::Http, written.http.place()),
            (ProtocolName::Redis, written.redis.place()),
        ];
        for (owner, place) in sections {
            if let Some(place) = place
                && owner != protocol
            {
                let (owner, word) = (PROTOCOLS.word(owner), PROTOCOLS.word(protocol));
                self.problem(
                    place,
                    format!("{owner} settings belong to protocol {owner}; this listener has protocol {word}"),
                );
            }
        }
    }

    fn mongo(&mut self, written: &ListenerFile, place: Place) -> (MongoMode, MongoAuth) {
        let nothing = MongoFile::default();
        let (mongo, place) = written.mongo.given().unwrap_or((&nothing, place));
        let mode = self.chosen(&mongo.mode, &MONGO_MODES, defaults::MONGO_MODE);
        let auth = self.chosen(&mongo.auth, &MONGO_AUTHS, AuthName::None);
        let auth = match (mode, auth) {
            (Some(mode), Some(auth)) => self.mongo_auth(mongo, place, mode, auth),
            _ => MongoAuth::None,
        };
        (mode.unwrap_or(defaults::MONGO_MODE), auth)
    }

    /// Reads the users. Its mistakes are those of another file, and are told with their places there.
    pub(super) fn users(&mut self, field: &Field<String>, users_file: &Path) -> Option<Arc<Users>> {
        match Users::load(users_file) {
            Ok(users) => Some(Arc::new(users)),
            Err(error) => {
                self.users_problem(field, &error);
                None
            }
        }
    }

    /// A user whose credential is not there could log in, and then do nothing.
    fn credentials_exist(&mut self, written: &ListenerFile, auth: &MongoAuth, file: &File) {
        let (MongoAuth::Scram { users, .. }, Some(mongo)) = (auth, written.mongo.value()) else {
            return;
        };
        let clusters = file.clusters.value().into_iter().flatten();
        let cluster = clusters
            .filter_map(Field::value)
            .find(|cluster| cluster.name.value() == written.cluster.value());
        let Some(known) = cluster.and_then(credential_names) else {
            return;
        };
        if let Err(error) = users.check_credentials(&known) {
            self.users_problem(&mongo.users_file, &error);
        }
    }

    pub(super) fn users_problem(&mut self, field: &Field<String>, error: &ConfigError) {
        let place = field.place().unwrap_or(Place::Whole);
        self.problem(place, format!("the users file can't be used:\n{error}"));
    }

    fn mongo_auth(
        &mut self,
        MongoFile {
            mode: _,
            auth: written,
            users_file,
            hello,
        }: &MongoFile,
        place: Place,
        mode: MongoMode,
        auth: AuthName,
    ) -> MongoAuth {
        if mode == MongoMode::Tap {
            for place in [written.place(), users_file.place()].into_iter().flatten() {
                self.problem(
                    place,
                    "auth and its users belong to mode collapse; in mode tap clients log in to the server itself",
                );
            }
            if let Some(place) = hello.place() {
                self.problem(
                    place,
                    "hello belongs to mode collapse; in mode tap the server answers hellos itself",
                );
            }
            return MongoAuth::None;
        }
        match auth {
            AuthName::None => {
                if let Some(place) = users_file.place() {
                    self.problem(
                        place,
                        "users belong to `auth: scram`; with `auth: none` nobody logs in",
                    );
                }
                MongoAuth::None
            }
            AuthName::Scram => self
                .required_text(users_file, "users_file", place, secrets::readable_file)
                .and_then(|users_file_path| {
                    let users = self.users(users_file, &users_file_path)?;
                    Some(MongoAuth::Scram {
                        users_file: users_file_path,
                        users,
                    })
                })
                .unwrap_or(MongoAuth::None),
        }
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
        let listeners = listeners.iter().filter_map(Field::value);
        for (cluster, place) in listeners.flat_map(named_clusters) {
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

/// The names of a cluster's credentials; `None` when one is missing or unusable: it may be the one that is meant.
fn credential_names(cluster: &ClusterFile) -> Option<Vec<&str>> {
    let credentials = match cluster.mongo.value() {
        None => return cluster.mongo.is_absent().then(Vec::new),
        Some(mongo) if mongo.credentials.is_absent() => return Some(Vec::new()),
        Some(mongo) => mongo.credentials.value()?,
    };
    credentials
        .iter()
        .map(|credential| {
            let name = credential.value()?.name.value()?;
            values::name(name).ok().map(|_| name.as_str())
        })
        .collect()
}

fn default_idle_timeout(protocol: Protocol) -> Option<Duration> {
    match protocol {
        Protocol::Tcp => defaults::TCP_IDLE_TIMEOUT,
        Protocol::Mongo(_) => defaults::MONGO_IDLE_TIMEOUT,
        Protocol::Http(_) => defaults::HTTP_IDLE_TIMEOUT,
        Protocol::Redis(_) => defaults::REDIS_IDLE_TIMEOUT,
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
