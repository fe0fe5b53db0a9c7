//! Redis, as the rest of the program reads it.

use std::path::PathBuf;
use std::sync::Arc;

use super::PasswordSource;
use crate::protocols::redis::KeyPattern;
use crate::scram::Users;
use crate::secret::Secret;

/// What only Redis listeners use.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RedisConfig {
    /// Patterns of the keys that are counted apart; a key counts for the first that fits.
    pub key_patterns: Vec<KeyPattern>,
    /// How many of the keys that are asked for most are shown; `None` is that they are not counted.
    pub hot_keys: Option<usize>,
    /// Who may use a listener in mode collapse.
    pub auth: RedisAuth,
    /// In mode collapse, beginnings of keys and the place of the cluster that has them, among those of the listener.
    pub routes: Vec<(Box<[u8]>, usize)>,
    /// In mode collapse, how many of 100 commands are also sent to the last of the listener's clusters.
    pub mirror: Option<u32>,
}

/// How clients of a Redis listener in mode collapse say who they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum RedisAuth {
    /// To the server, which judges what they say.
    #[default]
    Server,
    /// To the proxy: AUTH ends here.
    Users {
        /// The file with the users and their verifiers.
        users_file: PathBuf,
        /// What was in it.
        users: Arc<Users>,
    },
}

/// How Redis connections are forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisMode {
    /// One upstream connection a client, bytes unchanged.
    Tap,
    /// Many clients over few upstream connections, whose requests go over them one behind the other.
    Collapse,
}

/// What only Redis listeners in mode collapse use of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisClusterConfig {
    /// What its endpoints are to each other.
    pub topology: RedisTopology,
    /// Where commands that only read go, in a Redis Cluster.
    pub read_from: RedisReads,
    /// Who a client is to the servers that has not said who it is.
    pub credential: Option<RedisCredential>,
}

/// Who the proxy is to the servers of a Redis cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisCredential {
    /// The user; `None` for the default one.
    pub username: Option<String>,
    /// The password.
    pub password: Secret,
    /// Where it was read from.
    pub password_source: PasswordSource,
}

/// Where commands that only read go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisReads {
    /// To the master of their keys.
    Master,
    /// To a replica of it, which may be a little behind; to the master where it has none.
    Replica,
}

/// What the endpoints of a Redis cluster are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisTopology {
    /// Each could serve everything; the first that can be reached does.
    Single,
    /// Some servers of a Redis Cluster, which name the others.
    Cluster,
    /// Each has a share of the keys, by consistent hashing as twemproxy does it.
    Ketama,
}
