//! What a Redis listener does.

use std::path::PathBuf;

use super::Resolver;
use crate::config::choices::{REDIS_AUTHS, REDIS_MODES, RedisAuthName};
use crate::config::defaults;
use crate::config::field::Field;
use crate::config::file::{ListenerFile, RedisFile, RedisRouteFile};
use crate::config::masking::quoted;
use crate::config::model::{RedisAuth, RedisConfig, RedisMode};
use crate::config::problem::Place;
use crate::config::secrets;
use crate::protocols::redis::KeyPattern;
use crate::scram::PLAIN_MECHANISM;

impl Resolver<'_> {
    /// Appends to the clusters of the listener those that it sends to besides its own.
    pub(super) fn redis(
        &mut self,
        written: &ListenerFile,
        place: Place,
        clusters: &mut Vec<String>,
    ) -> (RedisMode, RedisConfig) {
        let nothing = RedisFile::default();
        let (redis, place) = written.redis.given().unwrap_or((&nothing, place));
        let mode = self.choice(Some(&redis.mode), &REDIS_MODES, defaults::REDIS_MODE);
        let routes = self.redis_routes(&redis.routes, mode, clusters);
        let mirror = self.redis_mirror(written, mode, clusters);
        let config = RedisConfig {
            key_patterns: self.key_patterns(&redis.key_patterns),
            hot_keys: self
                .at_most(&redis.hot_keys, defaults::REDIS_HOT_KEYS_MAX)
                .filter(|shown| *shown != 0),
            routes,
            auth: self.redis_auth(redis, place, mode),
            mirror: mirror.as_ref().map(|(_, percent)| *percent),
        };
        clusters.extend(mirror.map(|(cluster, _)| cluster));
        (mode, config)
    }

    fn redis_auth(&mut self, redis: &RedisFile, place: Place, mode: RedisMode) -> RedisAuth {
        let RedisFile {
            auth: written,
            users_file,
            ..
        } = redis;
        if mode == RedisMode::Tap {
            for place in [written.place(), users_file.place()].into_iter().flatten() {
                self.problem(
                    place,
                    "auth and its users belong to mode collapse; in mode tap clients log in to the server itself",
                );
            }
            return RedisAuth::Server;
        }
        match self.choice(Some(written), &REDIS_AUTHS, RedisAuthName::Server) {
            RedisAuthName::Server => {
                if let Some(place) = users_file.place() {
                    self.problem(
                        place,
                        "users belong to `auth: users`; with `auth: server` the server judges who logs in",
                    );
                }
                RedisAuth::Server
            }
            RedisAuthName::Users => self
                .required_text(users_file, "users_file", place, secrets::readable_file)
                .and_then(|path| self.redis_users(users_file, path))
                .unwrap_or(RedisAuth::Server),
        }
    }

    /// All of them are the same to the servers, so that a credential that is named says something that is not so.
    fn redis_users(&mut self, field: &Field<String>, users_file: PathBuf) -> Option<RedisAuth> {
        let users = self.users(field, &users_file)?;
        let checks = [
            users.check_credentials(&[]),
            users.check_mechanism(PLAIN_MECHANISM),
        ];
        for error in checks.into_iter().filter_map(Result::err) {
            self.users_problem(field, &error);
        }
        Some(RedisAuth::Users { users_file, users })
    }

    /// The beginnings of keys, each with the place of its cluster among `clusters`, which gets those that are not in it.
    fn redis_routes(
        &mut self,
        written: &Field<Vec<Field<RedisRouteFile>>>,
        mode: RedisMode,
        clusters: &mut Vec<String>,
    ) -> Vec<(Box<[u8]>, usize)> {
        let Some((routes, place)) = written.given() else {
            return Vec::new();
        };
        if mode == RedisMode::Tap {
            self.problem(
                place,
                "routes belong to mode collapse; in mode tap a connection goes to one server",
            );
        }
        let max = defaults::REDIS_ROUTES_MAX;
        if routes.len() > max {
            let count = routes.len();
            self.problem(
                place,
                format!("{count} routes; at most {max} are held against a key"),
            );
        }
        let mut known: Vec<(Box<[u8]>, usize)> = Vec::new();
        for (route, place) in routes.iter().filter_map(Field::given) {
            let prefix = self.required(&route.prefix, "prefix", place);
            let cluster = self.required(&route.cluster, "cluster", place);
            let (Some((prefix, at)), Some((cluster, _))) = (prefix, cluster) else {
                continue;
            };
            if prefix.is_empty() {
                self.problem(
                    at,
                    "every key begins with nothing; the cluster of the listener gets what has no other",
                );
            }
            if known.iter().any(|(other, _)| **other == *prefix.as_bytes()) {
                self.problem(
                    at,
                    format!("there is a route for {} already", quoted(prefix)),
                );
            }
            let found = clusters.iter().position(|known| known == cluster);
            let place = found.unwrap_or_else(|| {
                clusters.push(cluster.clone());
                clusters.len() - 1
            });
            known.push((prefix.as_bytes().into(), place));
        }
        known
    }

    /// The cluster of the mirror, and its share in percent.
    fn redis_mirror(
        &mut self,
        written: &ListenerFile,
        mode: RedisMode,
        clusters: &[String],
    ) -> Option<(String, u32)> {
        let (mirror, place) = written.redis.value()?.mirror.given()?;
        if mode == RedisMode::Tap {
            self.problem(
                place,
                "a mirror belongs to mode collapse; in mode tap bytes only pass",
            );
        }
        let (cluster, cluster_place) = self.required(&mirror.cluster, "cluster", place)?;
        if clusters.contains(cluster) {
            self.problem(
                cluster_place,
                "the listener sends to the cluster of the mirror anyway; commands would be carried out twice",
            );
        }
        let percent = match mirror.percent.is_absent() {
            true => Some(defaults::REDIS_MIRROR_PERCENT),
            false => self
                .at_least_one(&mirror.percent, 100, "leave the mirror out for none")
                .and_then(|percent| u32::try_from(percent).ok()),
        };
        Some((cluster.clone(), percent?))
    }

    fn key_patterns(&mut self, written: &Field<Vec<Field<String>>>) -> Vec<KeyPattern> {
        let Some((patterns, place)) = written.given() else {
            return Vec::new();
        };
        let max = defaults::REDIS_KEY_PATTERNS_MAX;
        if patterns.len() > max {
            let count = patterns.len();
            self.problem(
                place,
                format!("{count} patterns; at most {max} are held against a key"),
            );
        }
        let patterns = patterns.iter().filter_map(Field::given);
        patterns
            .filter_map(|(text, place)| self.read(text, place, KeyPattern::new))
            .collect()
    }
}
