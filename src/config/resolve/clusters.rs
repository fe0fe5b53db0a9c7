//! Clusters: each for itself, and whether anybody can use what is set.

use std::collections::HashMap;

use super::Resolver;
use super::uses::Uses;
use crate::config::choices::{
    HTTP_VERSIONS, MONGO_COMPRESSORS, MONGO_TOPOLOGIES, ProtocolName, REDIS_READS, REDIS_TOPOLOGIES,
};
use crate::config::defaults::{self, CONNECTIONS_MAX};
use crate::config::field::Field;
use crate::config::file::{
    ClusterFile, File, HttpClusterFile, MongoClusterFile, PoolFile, RedisClusterFile,
};
use crate::config::masking::quoted;
use crate::config::model::{
    ClusterConfig, Endpoint, HttpClusterConfig, MongoClusterConfig, MongoCompressor, MongoTopology,
    PoolConfig, RedisClusterConfig, RedisTopology,
};
use crate::config::problem::Place;
use crate::config::values;

impl Resolver<'_> {
    pub(super) fn clusters(&mut self, file: &File, place: Place) -> Vec<ClusterConfig> {
        let Some((clusters, list)) = self.required(&file.clusters, "clusters", place) else {
            return Vec::new();
        };
        if clusters.is_empty() {
            self.problem(list, "no clusters; a listener needs one to send to");
        }
        self.names_are_distinct(
            "cluster",
            clusters
                .iter()
                .filter_map(|cluster| cluster.value())
                .map(|c| &c.name),
        );
        clusters
            .iter()
            .filter_map(Field::given)
            .map(|(cluster, place)| {
                let name = cluster.name.value();
                let uses = name.map_or_else(Uses::default, |name| Uses::of(name, file));
                self.settings_have_a_use(cluster, uses);
                self.cluster(cluster, place, uses)
            })
            .collect()
    }

    /// A bound that nothing keeps is worse than none. In mode tap the settings may stay, so that one word switches
    /// collapse or proxy off and on again.
    fn settings_have_a_use(&mut self, cluster: &ClusterFile, uses: Uses) {
        let words = uses.words();
        let (no_http, no_mongo, no_redis) = (
            uses.are_without(ProtocolName::Http),
            uses.are_without(ProtocolName::Mongo),
            uses.are_without(ProtocolName::Redis),
        );
        let sections = [
            (
                "pool",
                "protocols http, mongo and redis",
                cluster.pool.place(),
                no_http && no_mongo && no_redis,
            ),
            ("mongo", "protocol mongo", cluster.mongo.place(), no_mongo),
            ("http", "protocol http", cluster.http.place(), no_http),
            ("redis", "protocol redis", cluster.redis.place(), no_redis),
        ];
        for (settings, owner, place, _) in sections.into_iter().filter(|(.., useless)| *useless) {
            if let Some(place) = place {
                self.problem(
                    place,
                    format!("{settings} settings belong to {owner}; only listeners with protocol {words} send to this cluster"),
                );
            }
        }
        if let Some(place) = cluster.name.place()
            && [uses.http, uses.mongo, uses.redis]
                .iter()
                .filter(|used| **used)
                .count()
                > 1
        {
            self.problem(
                place,
                format!("listeners with protocols {words} send to this cluster, which speaks one of them"),
            );
        }
        if let Some(pool) = cluster
            .pool
            .value()
            .filter(|_| uses.http && no_mongo && no_redis)
        {
            self.nothing_for_mongo(pool);
        }
    }

    /// What the pool of an HTTP cluster does not keep.
    fn nothing_for_mongo(&mut self, pool: &PoolFile) {
        let settings = [
            ("min_idle", pool.min_idle.place()),
            ("max_connecting", pool.max_connecting.place()),
            ("max_long_waits", pool.max_long_waits.place()),
        ];
        for (key, place) in settings {
            if let Some(place) = place {
                self.problem(
                    place,
                    format!("`{key}` belongs to protocols mongo and redis; listeners with protocol http send to this cluster"),
                );
            }
        }
    }

    fn cluster(&mut self, cluster: &ClusterFile, place: Place, uses: Uses) -> ClusterConfig {
        ClusterConfig {
            name: self
                .required_text(&cluster.name, "name", place, values::name)
                .unwrap_or_default(),
            endpoints: self.endpoints(&cluster.endpoints, place),
            connect_timeout: self
                .positive_duration(&cluster.connect_timeout, defaults::CONNECT_TIMEOUT),
            tls: self.cluster_tls(&cluster.tls, &cluster.endpoints),
            pool: cluster
                .pool
                .value()
                .map_or_else(|| default_pool(uses), |pool| self.pool(pool, uses)),
            mongo: cluster
                .mongo
                .value()
                .map_or_else(defaults::mongo_cluster, |mongo| self.mongo_cluster(mongo)),
            http: cluster
                .http
                .value()
                .map_or_else(defaults::http_cluster, |http| self.http_cluster(http)),
            redis: cluster
                .redis
                .value()
                .map_or_else(defaults::redis_cluster, |redis| self.redis_cluster(redis)),
        }
    }

    fn endpoints(&mut self, endpoints: &Field<Vec<Field<String>>>, place: Place) -> Vec<Endpoint> {
        let Some((endpoints, list)) = self.required(endpoints, "endpoints", place) else {
            return Vec::new();
        };
        if endpoints.is_empty() {
            self.problem(list, "no endpoints; a cluster needs at least one");
        }
        let mut seen = HashMap::new();
        for (text, place) in endpoints.iter().filter_map(Field::given) {
            match values::endpoint(text) {
                Ok(endpoint) => {
                    if seen.insert(endpoint.clone(), seen.len()).is_some() {
                        self.problem(place, format!("endpoint {} is listed twice", quoted(text)));
                    }
                }
                Err(message) => self.problem(place, message),
            }
        }
        let mut distinct: Vec<_> = seen.into_iter().collect();
        distinct.sort_by_key(|(_, position)| *position);
        distinct.into_iter().map(|(endpoint, _)| endpoint).collect()
    }

    fn pool(&mut self, written: &PoolFile, uses: Uses) -> PoolConfig {
        if uses.http {
            return self.http_pool(written);
        }
        let default = default_pool(uses);
        // `None` if it was written and is of no use: then nothing can be measured against it.
        let limit = if written.max_connections.is_absent() {
            Some(default.max_connections)
        } else {
            let advice = "operations need a connection";
            self.at_least_one(&written.max_connections, CONNECTIONS_MAX, advice)
        };
        let max_connections = limit.unwrap_or(default.max_connections);
        let advice = "at 0 no connection could be opened";
        let max_connecting = self.at_least_one(&written.max_connecting, CONNECTIONS_MAX, advice);
        let max_waiting = self.at_most(&written.max_waiting, CONNECTIONS_MAX);
        PoolConfig {
            max_connections,
            min_idle: self.min_idle(&written.min_idle, limit),
            max_connecting: max_connecting.unwrap_or(default.max_connecting),
            max_waiting: max_waiting.unwrap_or(default.max_waiting),
            wait_timeout: self.positive_duration(&written.wait_timeout, default.wait_timeout),
            idle_timeout: self.duration_or_never(&written.idle_timeout, default.idle_timeout),
            max_lifetime: self.duration_or_never(&written.max_lifetime, default.max_lifetime),
            max_long_waits: self
                .max_long_waits(&written.max_long_waits, limit)
                .unwrap_or_else(|| match uses.redis {
                    true => defaults::redis_max_long_waits(max_connections),
                    false => defaults::max_long_waits(max_connections),
                }),
        }
    }

    fn min_idle(&mut self, field: &Field<u64>, limit: Option<usize>) -> usize {
        let Some((min_idle, (_, place))) = self.at_most(field, CONNECTIONS_MAX).zip(field.given())
        else {
            return defaults::pool().min_idle;
        };
        if let Some(limit) = limit.filter(|limit| min_idle > *limit) {
            self.problem(
                place,
                format!("has to be at most `max_connections`, which is {limit}"),
            );
        }
        min_idle
    }

    fn max_long_waits(&mut self, field: &Field<u64>, limit: Option<usize>) -> Option<usize> {
        let advice = "change streams and tailable cursors need a connection";
        let waits = self.at_least_one(field, CONNECTIONS_MAX, advice)?;
        let (_, place) = field.given()?;
        match limit {
            Some(1) if waits > 1 => {
                self.problem(place, "has to be 1, because `max_connections` is 1");
            }
            Some(limit @ 2..) if waits >= limit => self.problem(
                place,
                format!(
                    "has to be less than `max_connections`, which is {limit}; \
                    operations that do not wait need the rest"
                ),
            ),
            _ => {}
        }
        Some(waits)
    }

    fn http_pool(&mut self, written: &PoolFile) -> PoolConfig {
        let default = defaults::http_pool();
        let advice = "requests need a connection";
        let max_connections = self.at_least_one(&written.max_connections, CONNECTIONS_MAX, advice);
        let max_connections = max_connections.unwrap_or(default.max_connections);
        let max_waiting = self.at_most(&written.max_waiting, CONNECTIONS_MAX);
        PoolConfig {
            max_connections,
            min_idle: default.min_idle,
            max_connecting: max_connections,
            max_waiting: max_waiting.unwrap_or(default.max_waiting),
            wait_timeout: self.positive_duration(&written.wait_timeout, default.wait_timeout),
            idle_timeout: self.duration_or_never(&written.idle_timeout, default.idle_timeout),
            max_lifetime: self.duration_or_never(&written.max_lifetime, default.max_lifetime),
            max_long_waits: max_connections,
        }
    }

    fn http_cluster(&mut self, written: &HttpClusterFile) -> HttpClusterConfig {
        let HttpClusterFile {
            version,
            max_streams,
        } = written;
        HttpClusterConfig {
            version: self.choice(
                Some(version),
                &HTTP_VERSIONS,
                defaults::HTTP_CLUSTER_VERSION,
            ),
            max_streams: self.max_streams(max_streams),
        }
    }

    fn redis_cluster(&mut self, written: &RedisClusterFile) -> RedisClusterConfig {
        let RedisClusterFile {
            topology,
            read_from,
            username,
            password_file,
            password_env,
        } = written;
        let credential = self.redis_credential(username, password_file, password_env);
        let topology = self.choice(Some(topology), &REDIS_TOPOLOGIES, defaults::REDIS_TOPOLOGY);
        if let Some(place) = read_from.place()
            && topology != RedisTopology::Cluster
        {
            self.problem(
                place,
                "`read_from` belongs to topology cluster, whose replicas are known",
            );
        }
        RedisClusterConfig {
            topology,
            read_from: self.choice(Some(read_from), &REDIS_READS, defaults::REDIS_READS),
            credential,
        }
    }

    fn mongo_cluster(&mut self, written: &MongoClusterFile) -> MongoClusterConfig {
        let MongoClusterFile {
            topology,
            local_threshold,
            compression,
            credentials,
            cursor_timeout,
            transaction_timeout,
        } = written;
        MongoClusterConfig {
            topology: self.choice(Some(topology), &MONGO_TOPOLOGIES, MongoTopology::Auto),
            local_threshold: self.text(
                local_threshold,
                defaults::MONGO_LOCAL_THRESHOLD,
                values::duration,
            ),
            compressors: self.compressors(compression),
            credentials: self.credentials(credentials),
            cursor_timeout: self.positive_duration(cursor_timeout, defaults::MONGO_CURSOR_TIMEOUT),
            transaction_timeout: self
                .positive_duration(transaction_timeout, defaults::MONGO_TRANSACTION_TIMEOUT),
        }
    }

    fn compressors(&mut self, words: &Field<Vec<Field<String>>>) -> Vec<MongoCompressor> {
        let mut compressors = Vec::new();
        for (word, place) in words.value().into_iter().flatten().filter_map(Field::given) {
            let read = self.read(word, place, |word| MONGO_COMPRESSORS.read(word));
            match read {
                Some(compressor) if compressors.contains(&compressor) => self.problem(
                    place,
                    format!("compressor {} is listed twice", quoted(word)),
                ),
                compressor => compressors.extend(compressor),
            }
        }
        compressors
    }
}

fn default_pool(uses: Uses) -> PoolConfig {
    match uses {
        Uses { http: true, .. } => defaults::http_pool(),
        Uses { redis: true, .. } => defaults::redis_pool(),
        _ => defaults::pool(),
    }
}
