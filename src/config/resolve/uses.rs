//! Who sends to which cluster.

use crate::config::choices::{PROTOCOLS, ProtocolName};
use crate::config::field::Field;
use crate::config::file::{File, ListenerFile, RouteFile};
use crate::config::problem::Place;

/// The protocols of the listeners that send to a cluster.
#[derive(Clone, Copy, Default)]
pub(super) struct Uses {
    pub(super) http: bool,
    pub(super) mongo: bool,
    pub(super) redis: bool,
    pub(super) tcp: bool,
    /// One whose protocol is not known, so that nothing can be said of what it needs.
    pub(super) unknown: bool,
}

impl Uses {
    pub(super) fn of(cluster: &str, file: &File) -> Self {
        let mut uses = Self::default();
        let listeners = file.listeners.value().into_iter().flatten();
        for listener in listeners.filter_map(Field::value) {
            if !named_clusters(listener).any(|(name, _)| name == cluster) {
                continue;
            }
            let word = listener.protocol.value();
            match word.and_then(|word| PROTOCOLS.read(word).ok()) {
                Some(ProtocolName::Http) => uses.http = true,
                Some(ProtocolName::Mongo) => uses.mongo = true,
                Some(ProtocolName::Redis) => uses.redis = true,
                Some(ProtocolName::Tcp) => uses.tcp = true,
                None => uses.unknown = true,
            }
        }
        uses
    }

    /// Whether nobody with protocol `name` sends there, though others do: what only that protocol uses is of no use.
    pub(super) fn are_without(self, name: ProtocolName) -> bool {
        let Self {
            http,
            mongo,
            redis,
            tcp,
            unknown,
        } = self;
        let used = match name {
            ProtocolName::Http => http,
            ProtocolName::Mongo => mongo,
            ProtocolName::Redis => redis,
            ProtocolName::Tcp => tcp,
        };
        !used && !unknown && (http || mongo || redis || tcp)
    }

    /// The protocols, as a message names them.
    pub(super) fn words(self) -> String {
        let protocols = [
            (self.http, "http"),
            (self.mongo, "mongo"),
            (self.redis, "redis"),
            (self.tcp, "tcp"),
        ];
        let words: Vec<_> = protocols
            .iter()
            .filter(|(used, _)| *used)
            .map(|(_, word)| *word)
            .collect();
        words.join(" and ")
    }
}

/// Every cluster that a listener names, as often as it does.
pub(super) fn named_clusters(listener: &ListenerFile) -> impl Iterator<Item = (&String, Place)> {
    let http = listener.http.value();
    let hosts = http.and_then(|http| http.virtual_hosts.value());
    let hosts = hosts.into_iter().flatten().filter_map(Field::value);
    let routes = hosts.filter_map(|host| host.routes.value()).flatten();
    let routed = routes.filter_map(Field::value).flat_map(clusters_of_route);
    let redis = listener.redis.value();
    let mirror = redis.and_then(|redis| redis.mirror.value());
    let mirror = mirror.and_then(|mirror| mirror.cluster.given());
    let prefixes = redis.and_then(|redis| redis.routes.value());
    let prefixes = prefixes.into_iter().flatten().filter_map(Field::value);
    let prefixed = prefixes.filter_map(|route| route.cluster.given());
    let own = listener.cluster.given().into_iter();
    own.chain(routed).chain(prefixed).chain(mirror)
}

fn clusters_of_route(route: &RouteFile) -> impl Iterator<Item = (&String, Place)> {
    let weighted = route.clusters.value().into_iter().flatten();
    let weighted = weighted.filter_map(|cluster| cluster.value()?.cluster.given());
    route.cluster.given().into_iter().chain(weighted)
}
