//! The resolved configuration in the keys of the file format, for operators to read.

mod http;
mod tls;

use std::path::Path;

use serde_json::{Value, json};

use super::choices::{
    AuthName, LOG_FORMATS, LOG_LEVELS, MONGO_AUTHS, MONGO_COMPRESSORS, MONGO_HELLOS,
    MONGO_MECHANISMS, MONGO_MODES, MONGO_TOPOLOGIES, REDIS_AUTHS, REDIS_MODES, REDIS_READS,
    REDIS_TOPOLOGIES, RedisAuthName, STATSD_FLAVORS,
};
use super::model::{
    ClusterConfig, Config, ListenerConfig, MongoAuth, MongoClusterConfig, MongoCredential,
    MongoMode, PasswordSource, PoolConfig, Protocol, RedisAuth, RedisClusterConfig,
    RedisCredential, RedisMode, RedisTopology, StatsConfig, StatsLimits, StatsdConfig,
};
use super::values::{duration_or_never, duration_text};

/// The configuration with every default filled in. It is a valid config file itself: JSON is YAML.
/// No key of the format holds a secret: passwords stand in files and in the environment, and user information in
/// addresses has been refused.
pub fn to_json(config: &Config) -> Value {
    let listeners = &config.listeners;
    let clusters = config.clusters.iter();
    json!({
        "admin": { "listen": config.admin.listen },
        "workers": config.workers,
        "drain_timeout": duration_text(config.drain_timeout),
        "log": {
            "format": LOG_FORMATS.word(config.log.format),
            "level": LOG_LEVELS.word(config.log.level),
        },
        "listeners": listeners.iter().map(listener).collect::<Vec<_>>(),
        "clusters": clusters.map(|each| cluster(each, listeners)).collect::<Vec<_>>(),
        "stats": stats(&config.stats),
    })
}

fn listener(listener: &ListenerConfig) -> Value {
    let mut value = json!({
        "name": listener.name,
        "listen": listener.listen,
        "protocol": listener.protocol.to_string(),
        "idle_timeout": duration_or_never(listener.idle_timeout),
        "max_connections": listener.max_connections.unwrap_or_default(),
    });
    if let Some(made) = &listener.tls {
        insert(&mut value, "tls", tls::listener(made.settings()));
    }
    if let Protocol::Mongo(mode) = listener.protocol {
        insert(&mut value, "mongo", mongo(mode, listener));
    }
    if let Protocol::Redis(mode) = listener.protocol {
        insert(&mut value, "redis", redis(mode, listener));
    }
    let cluster = match &listener.http {
        None => listener.clusters.first(),
        Some(http) => {
            insert(&mut value, "http", http::http(http, &listener.clusters));
            http::default_cluster(http, listener)
        }
    };
    if let Some(cluster) = cluster {
        insert(&mut value, "cluster", cluster.as_str().into());
    }
    value
}

fn mongo(mode: MongoMode, listener: &ListenerConfig) -> Value {
    let mut value = json!({ "mode": MONGO_MODES.word(mode) });
    if mode == MongoMode::Tap {
        // Clients log in to the server itself, and it answers their hellos.
        return value;
    }
    let hello = MONGO_HELLOS.word(listener.mongo_streams_hello);
    insert(&mut value, "hello", hello.into());
    match &listener.mongo_auth {
        MongoAuth::None => {
            insert(&mut value, "auth", MONGO_AUTHS.word(AuthName::None).into());
        }
        MongoAuth::Scram {
            users_file,
            users: _,
        } => {
            insert(&mut value, "auth", MONGO_AUTHS.word(AuthName::Scram).into());
            insert(&mut value, "users_file", path(users_file));
        }
    }
    value
}

fn redis(mode: RedisMode, listener: &ListenerConfig) -> Value {
    let patterns = listener.redis.key_patterns.iter();
    let routes = listener.redis.routes.iter();
    let routes = routes.map(|(prefix, place)| {
        json!({ "prefix": String::from_utf8_lossy(prefix), "cluster": listener.clusters.get(*place) })
    });
    let mut value = json!({
        "mode": REDIS_MODES.word(mode),
        "key_patterns": patterns.map(ToString::to_string).collect::<Vec<_>>(),
        "routes": routes.collect::<Vec<_>>(),
        "hot_keys": listener.redis.hot_keys.unwrap_or(0),
    });
    if mode == RedisMode::Collapse {
        let auth = match &listener.redis.auth {
            RedisAuth::Server => RedisAuthName::Server,
            RedisAuth::Users { users_file, .. } => {
                insert(&mut value, "users_file", path(users_file));
                RedisAuthName::Users
            }
        };
        insert(&mut value, "auth", REDIS_AUTHS.word(auth).into());
    }
    if let (Some(percent), Some(cluster)) = (listener.redis.mirror, listener.clusters.last()) {
        let mirror = json!({ "cluster": cluster, "percent": percent });
        insert(&mut value, "mirror", mirror);
    }
    value
}

fn cluster(cluster: &ClusterConfig, listeners: &[ListenerConfig]) -> Value {
    let mut value = json!({
        "name": cluster.name,
        "endpoints": cluster.endpoints.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "connect_timeout": duration_text(cluster.connect_timeout),
    });
    if let Some(made) = &cluster.tls {
        insert(&mut value, "tls", tls::cluster(made.settings()));
    }
    let users = listeners
        .iter()
        .filter(|listener| listener.clusters.contains(&cluster.name));
    let protocols: Vec<_> = users.map(|listener| listener.protocol).collect();
    let is_unused = protocols.is_empty();
    let mongo = is_unused
        || protocols
            .iter()
            .any(|each| matches!(each, Protocol::Mongo(_)));
    let http = is_unused
        || protocols
            .iter()
            .any(|each| matches!(each, Protocol::Http(_)));
    let redis = protocols
        .iter()
        .any(|each| matches!(each, Protocol::Redis(_)));
    // For others there is nothing that these settings would say.
    if redis {
        insert(&mut value, "pool", pool(&cluster.pool));
        insert(&mut value, "redis", redis_cluster(&cluster.redis));
    } else if mongo {
        insert(&mut value, "pool", pool(&cluster.pool));
        insert(&mut value, "mongo", mongo_cluster(&cluster.mongo));
    } else if http {
        insert(&mut value, "pool", http_pool(&cluster.pool));
    }
    if http {
        insert(&mut value, "http", http::http_cluster(&cluster.http));
    }
    value
}

fn pool(
    PoolConfig {
        max_connections,
        min_idle,
        max_connecting,
        max_waiting,
        wait_timeout,
        idle_timeout,
        max_lifetime,
        max_long_waits,
    }: &PoolConfig,
) -> Value {
    json!({
        "max_connections": max_connections,
        "min_idle": min_idle,
        "max_connecting": max_connecting,
        "max_waiting": max_waiting,
        "wait_timeout": duration_text(*wait_timeout),
        "idle_timeout": duration_or_never(*idle_timeout),
        "max_lifetime": duration_or_never(*max_lifetime),
        "max_long_waits": max_long_waits,
    })
}

/// What the pool of an HTTP cluster keeps.
fn http_pool(config: &PoolConfig) -> Value {
    let mut value = pool(config);
    if let Value::Object(keys) = &mut value {
        for key in ["min_idle", "max_connecting", "max_long_waits"] {
            keys.remove(key);
        }
    }
    value
}

fn mongo_cluster(
    MongoClusterConfig {
        topology,
        local_threshold,
        compressors,
        credentials,
        cursor_timeout,
        transaction_timeout,
    }: &MongoClusterConfig,
) -> Value {
    let compression: Vec<_> = compressors
        .iter()
        .map(|compressor| MONGO_COMPRESSORS.word(*compressor))
        .collect();
    json!({
        "topology": MONGO_TOPOLOGIES.word(*topology),
        "local_threshold": duration_text(*local_threshold),
        "compression": compression,
        "credentials": credentials.iter().map(credential).collect::<Vec<_>>(),
        "cursor_timeout": duration_text(*cursor_timeout),
        "transaction_timeout": duration_text(*transaction_timeout),
    })
}

fn redis_cluster(
    RedisClusterConfig {
        topology,
        read_from,
        credential,
    }: &RedisClusterConfig,
) -> Value {
    let mut value = json!({ "topology": REDIS_TOPOLOGIES.word(*topology) });
    if *topology == RedisTopology::Cluster {
        let word = REDIS_READS.word(*read_from);
        insert(&mut value, "read_from", word.into());
    }
    if let Some(RedisCredential {
        username,
        password: _,
        password_source,
    }) = credential
    {
        if let Some(username) = username {
            insert(&mut value, "username", username.as_str().into());
        }
        source(&mut value, password_source);
    }
    value
}

/// Where a password is read from.
fn source(value: &mut Value, password_source: &PasswordSource) {
    match password_source {
        PasswordSource::File(file) => insert(value, "password_file", path(file)),
        PasswordSource::Environment(name) => {
            insert(value, "password_env", name.as_str().into());
        }
    }
}

fn credential(
    MongoCredential {
        name,
        username,
        password: _,
        password_source,
        source,
        mechanism,
    }: &MongoCredential,
) -> Value {
    let mut value = json!({ "name": name, "username": username, "source": source });
    self::source(&mut value, password_source);
    if let Some(mechanism) = mechanism {
        let word = MONGO_MECHANISMS.word(*mechanism);
        insert(&mut value, "mechanism", word.into());
    }
    value
}

fn insert(object: &mut Value, key: &str, value: Value) {
    if let Value::Object(keys) = object {
        keys.insert(key.to_owned(), value);
    }
}

/// A path that was read from a config file, and so is text.
fn path(path: &Path) -> Value {
    path.to_string_lossy().into()
}

fn stats(
    StatsConfig {
        enabled,
        interval,
        limits,
        statsd,
    }: &StatsConfig,
) -> Value {
    let StatsLimits {
        commands,
        collections,
        call_sites,
        applications,
        error_codes,
        drivers,
        callers,
        grpc_methods,
        status_codes,
    } = limits;
    let mut value = json!({
        "enabled": enabled,
        "interval": duration_text(*interval),
        "limits": {
            "commands": commands,
            "collections": collections,
            "call_sites": call_sites,
            "applications": applications,
            "error_codes": error_codes,
            "drivers": drivers,
            "callers": callers,
            "grpc_methods": grpc_methods,
            "status_codes": status_codes,
        },
    });
    if let Some(StatsdConfig {
        address,
        prefix,
        flavor,
    }) = statsd
    {
        let statsd = json!({
            "address": address.to_string(),
            "prefix": prefix,
            "flavor": STATSD_FLAVORS.word(*flavor),
        });
        insert(&mut value, "statsd", statsd);
    }
    value
}
