//! The resolved configuration in the keys of the file format, for operators to read.

use serde_json::{Value, json};

use super::choices::{LOG_FORMATS, LOG_LEVELS, MONGO_MODES, STATSD_FLAVORS};
use super::model::{
    ClusterConfig, Config, ListenerConfig, Protocol, StatsConfig, StatsLimits, StatsdConfig,
};
use super::values::duration_text;

/// The configuration with every default filled in. It is a valid config file itself: JSON is YAML.
/// No key of the format holds a secret, and user information in addresses has been refused.
pub fn to_json(config: &Config) -> Value {
    json!({
        "admin": { "listen": config.admin.listen },
        "workers": config.workers,
        "drain_timeout": duration_text(config.drain_timeout),
        "log": {
            "format": LOG_FORMATS.word(config.log.format),
            "level": LOG_LEVELS.word(config.log.level),
        },
        "listeners": config.listeners.iter().map(listener).collect::<Vec<_>>(),
        "clusters": config.clusters.iter().map(cluster).collect::<Vec<_>>(),
        "stats": stats(&config.stats),
    })
}

fn listener(listener: &ListenerConfig) -> Value {
    let mut value = json!({
        "name": listener.name,
        "listen": listener.listen,
        "cluster": listener.cluster,
        "idle_timeout": duration_text(listener.idle_timeout.unwrap_or_default()),
        "max_connections": listener.max_connections.unwrap_or_default(),
    });
    let (protocol, mongo) = match listener.protocol {
        Protocol::Tcp => ("tcp", None),
        Protocol::Mongo(mode) => ("mongo", Some(json!({ "mode": MONGO_MODES.word(mode) }))),
    };
    if let Value::Object(keys) = &mut value {
        keys.insert("protocol".to_owned(), protocol.into());
        keys.extend(mongo.map(|mongo| ("mongo".to_owned(), mongo)));
    }
    value
}

fn cluster(cluster: &ClusterConfig) -> Value {
    json!({
        "name": cluster.name,
        "endpoints": cluster.endpoints.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "connect_timeout": duration_text(cluster.connect_timeout),
    })
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
        },
    });
    if let (
        Some(StatsdConfig {
            address,
            prefix,
            flavor,
        }),
        Value::Object(keys),
    ) = (statsd, &mut value)
    {
        let statsd = json!({
            "address": address.to_string(),
            "prefix": prefix,
            "flavor": STATSD_FLAVORS.word(*flavor),
        });
        keys.insert("statsd".to_owned(), statsd);
    }
    value
}
