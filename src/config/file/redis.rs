//! Redis as it is written.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::choices::{
    REDIS_AUTHS, REDIS_MODES, REDIS_READS, REDIS_TOPOLOGIES, RedisAuthName,
};
use crate::config::defaults;
use crate::config::field::Field;

/// How Redis connections are handled.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Redis")]
pub(crate) struct RedisFile {
    /// `tap`: one upstream connection a client, bytes unchanged. `collapse`: many clients over few upstream connections,
    /// a connection of its own only for a client that needs one. Can be changed by a reload, for new sessions.
    #[serde(default)]
    #[schemars(extend("enum" = REDIS_MODES.available(), "default" = REDIS_MODES.word(defaults::REDIS_MODE)))]
    pub(crate) mode: Field<String>,
    /// Only with mode collapse. `server`: what clients say by AUTH is for the server to judge, and its users are theirs. `users`: clients
    /// log in to the proxy, as a user of `users_file`, and are to the servers who the cluster says. Can be changed by a reload, for new
    /// sessions.
    #[serde(default)]
    #[schemars(extend("enum" = REDIS_AUTHS.available(), "default" = REDIS_AUTHS.word(RedisAuthName::Server)))]
    pub(crate) auth: Field<String>,
    /// Path of the file with the users and their verifiers; required with `auth: users`, and refused without it. Who says a password
    /// alone is the user `default`. Read at the start and at each reload.
    #[serde(default)]
    pub(crate) users_file: Field<String>,
    /// Patterns of keys that are counted apart, such as `user:*`; a request counts for the first that fits its first key.
    /// `*` stands for any bytes, `?` for one. Default: none, as names of keys are data.
    /// Can be changed by a reload, for new sessions.
    #[serde(default)]
    #[schemars(length(max = defaults::REDIS_KEY_PATTERNS_MAX))]
    pub(crate) key_patterns: Field<Vec<Field<String>>>,
    /// How many of the keys that are asked for most `GET /hot_keys` shows; 0: they are not counted, as names of keys are data. A request
    /// counts for its first key. Can be changed by a reload, for new sessions.
    #[serde(default)]
    #[schemars(range(max = defaults::REDIS_HOT_KEYS_MAX), extend("default" = 0))]
    pub(crate) hot_keys: Field<u64>,
    /// Only with mode collapse: keys that begin so are in another cluster than that of the listener, which has all others; of several that
    /// fit the longest counts. Commands without a key go to the cluster of the listener. Default: none. Can be changed by a reload, for new
    /// sessions.
    #[serde(default)]
    #[schemars(length(max = defaults::REDIS_ROUTES_MAX))]
    pub(crate) routes: Field<Vec<Field<RedisRouteFile>>>,
    /// Only with mode collapse: a share of the commands is sent to another cluster as well, whose replies nobody gets. Default: none.
    /// Can be changed by a reload, for new sessions.
    #[serde(default)]
    pub(crate) mirror: Field<RedisMirrorFile>,
}

/// Keys that are in another cluster.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RedisRoute", extend("required" = ["prefix", "cluster"]))]
pub(crate) struct RedisRouteFile {
    /// How they begin.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(crate) prefix: Field<String>,
    /// Name of the cluster.
    #[serde(default)]
    pub(crate) cluster: Field<String>,
}

/// Commands that are sent to another cluster as well.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RedisMirror", extend("required" = ["cluster"]))]
pub(crate) struct RedisMirrorFile {
    /// Name of the cluster; another one than that of the listener.
    #[serde(default)]
    pub(crate) cluster: Field<String>,
    /// How many of 100 commands.
    #[serde(default)]
    #[schemars(range(min = 1, max = 100), extend("default" = defaults::REDIS_MIRROR_PERCENT))]
    pub(crate) percent: Field<u64>,
}

/// What only Redis listeners in mode collapse use.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RedisCluster")]
pub(crate) struct RedisClusterFile {
    /// `single`: each endpoint could serve everything, and the first that can be reached does. `cluster`: they are servers of a Redis
    /// Cluster, which name the others; each command goes to the server that has its keys. `ketama`: each has a share of the keys, as
    /// twemproxy deals them out with `distribution: ketama` and `hash: fnv1a_64`. Can be changed by a reload.
    #[serde(default)]
    #[schemars(extend("enum" = REDIS_TOPOLOGIES.available(), "default" = REDIS_TOPOLOGIES.word(defaults::REDIS_TOPOLOGY)))]
    pub(crate) topology: Field<String>,
    /// Only with topology cluster. `master`: what is read is what was written. `replica`: commands that only read go to replicas, which may
    /// be a little behind. Can be changed by a reload.
    #[serde(default)]
    #[schemars(extend("enum" = REDIS_READS.available(), "default" = REDIS_READS.word(defaults::REDIS_READS)))]
    pub(crate) read_from: Field<String>,
    /// The user that a client is to the servers until it has said who it is by AUTH or HELLO; needs a password. Default: the servers' own
    /// default user. Can be changed by a reload.
    #[serde(default)]
    pub(crate) username: Field<String>,
    /// Path of a file with the password alone. Read at the start and at each reload.
    #[serde(default)]
    pub(crate) password_file: Field<String>,
    /// Name of an environment variable with the password, in place of `password_file`.
    #[serde(default)]
    pub(crate) password_env: Field<String>,
}
