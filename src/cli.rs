//! The command line.

mod user;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::{
    AdminFile, ClusterFile, Config, ConfigError, Field, File, HTTP_MODES, HttpFile, HttpMode,
    ListenerFile, MONGO_MODES, MongoFile, MongoMode, PROTOCOLS, Place, PoolFile, Problem,
    ProtocolName, REDIS_MODES, RedisFile, RedisMode, StatsFile, StatsdFile, from_flags, load,
    quoted,
};

pub use user::{AddArgs, ListArgs, MechanismName, RemoveArgs, UserAction, UserArgs, UserError};

/// A proxy for MongoDB, Redis, HTTP and TCP that measures every operation that passes.
///
/// Exit codes: 0 clean, 1 failure while running, 2 bad usage or configuration.
#[derive(Clone, Debug, Parser, PartialEq)]
#[command(name = "narrows", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Command {
    /// Forward and measure, as a config file says or as the flags say
    Run(RunArgs),
    /// Say what is wrong with a config file, and do nothing else
    Check(CheckArgs),
    /// Print the JSON Schema of the config file
    Schema,
    /// Change or list the users of a file that a listener with SCRAM names
    User(UserArgs),
}

/// Where the configuration of `run` comes from: a file, or flags for one listener and one cluster.
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[command(group(clap::ArgGroup::new("source").required(true).args(["config", "listen"])))]
pub struct RunArgs {
    /// YAML config file
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to accept and where, such as mongo://127.0.0.1:27117, http://0.0.0.0:8080 or tcp://0.0.0.0:5432
    #[arg(long, value_name = "PROTOCOL://HOST:PORT", requires = "to")]
    pub listen: Option<String>,
    /// Where to forward to
    #[arg(
        long,
        value_name = "HOST:PORT[,HOST:PORT]",
        requires = "listen",
        conflicts_with = "config"
    )]
    pub to: Option<String>,
    /// How to forward: tap, one upstream connection a client, bytes unchanged; mongo and redis by collapse, http by proxy, many
    /// clients over few upstream connections [default: tap for mongo and redis, proxy for http]
    #[arg(
        long,
        value_name = "tap|collapse|proxy",
        requires = "listen",
        conflicts_with = "config"
    )]
    pub mode: Option<String>,
    /// Most upstream connections; only with modes collapse and proxy [default: 100 for mongo, 1000 for redis, 1024 for http]
    #[arg(long, value_name = "N", requires = "listen", conflicts_with = "config")]
    pub max_connections: Option<u64>,
    /// Worker threads [default: one a core]
    #[arg(long, value_name = "N", requires = "listen", conflicts_with = "config")]
    pub workers: Option<u64>,
    /// Where operators connect to: /stats, /metrics, /ready ... [default: 127.0.0.1:9900]
    #[arg(
        long,
        value_name = "HOST:PORT",
        requires = "listen",
        conflicts_with = "config"
    )]
    pub admin: Option<String>,
    /// Where to send statsd datagrams to, also as unix:///path
    #[arg(
        long,
        value_name = "HOST:PORT",
        requires = "listen",
        conflicts_with = "config"
    )]
    pub statsd: Option<String>,
}

/// What to check.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct CheckArgs {
    /// YAML config file
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
}

impl RunArgs {
    /// The configuration that these arguments stand for. Flags make one listener and one cluster, both named
    /// after the protocol.
    ///
    /// # Errors
    /// Every mistake in the file or in the flags.
    pub fn resolve(&self) -> Result<Config, ConfigError> {
        match &self.config {
            Some(path) => load(path),
            None => self.resolve_flags(),
        }
    }

    fn resolve_flags(&self) -> Result<Config, ConfigError> {
        let mut problems = Vec::new();
        let (protocol, listen) = self.protocol_and_address(&mut problems);
        let choice = protocol.value().and_then(|word| PROTOCOLS.read(word).ok());
        self.check_mode(choice, &mut problems);
        // A name that is always valid, so that a bad protocol is reported once, as such.
        let name = choice.map_or("listener", |choice| PROTOCOLS.word(choice));
        let listener = ListenerFile {
            name: flag("--listen", name.to_owned()),
            listen,
            protocol,
            cluster: flag("--listen", name.to_owned()),
            mongo: self.mongo(choice),
            http: self.http(choice),
            redis: self.redis(choice),
            ..ListenerFile::default()
        };
        let endpoints = self.to.iter().flat_map(|list| list.split(','));
        let endpoints = endpoints
            .map(|endpoint| flag("--to", endpoint.trim().to_owned()))
            .collect();
        let cluster = ClusterFile {
            name: flag("--listen", name.to_owned()),
            endpoints: flag("--to", endpoints),
            pool: self.pool(choice),
            ..ClusterFile::default()
        };
        let file = File {
            admin: flag(
                "--admin",
                AdminFile {
                    listen: optional("--admin", self.admin.clone()),
                },
            ),
            workers: optional("--workers", self.workers),
            listeners: flag("--listen", vec![flag("--listen", listener)]),
            clusters: flag("--to", vec![flag("--to", cluster)]),
            stats: flag("--statsd", self.stats()),
            ..File::default()
        };
        from_flags(&file, problems)
    }

    fn protocol_and_address(&self, problems: &mut Vec<Problem>) -> (Field<String>, Field<String>) {
        let listen = self.listen.as_deref().unwrap_or_default();
        let Some((protocol, address)) = listen.split_once("://") else {
            let expected =
                "is not of the form PROTOCOL://HOST:PORT, such as `mongo://127.0.0.1:27117`";
            problems.push(Problem::new(
                Place::Flag("--listen"),
                format!("{} {expected}", quoted(listen)),
            ));
            return (Field::Bad, Field::Bad);
        };
        (
            flag("--listen", protocol.to_owned()),
            flag("--listen", address.to_owned()),
        )
    }

    /// Refuses a mode and its flag where they decide nothing. Whether there is such a mode is checked as in a file.
    fn check_mode(&self, protocol: Option<ProtocolName>, problems: &mut Vec<Problem>) {
        let mut refuse = |flag, message: &str| {
            problems.push(Problem::new(Place::Flag(flag), message));
        };
        let message = match protocol {
            None => return,
            Some(ProtocolName::Mongo) if self.mongo_mode() != Ok(MongoMode::Tap) => return,
            Some(ProtocolName::Redis) if self.redis_mode() != Ok(RedisMode::Tap) => return,
            Some(ProtocolName::Http) if self.http_mode() != Ok(HttpMode::Tap) => return,
            Some(ProtocolName::Mongo | ProtocolName::Redis) => {
                "mode tap makes one upstream connection for each client, so there is nothing to limit; \
                the flag belongs to mode collapse"
            }
            Some(ProtocolName::Http) => {
                "mode tap makes one upstream connection for each client, so there is nothing to limit; \
                the flag belongs to mode proxy"
            }
            Some(ProtocolName::Tcp) => {
                if self.mode.is_some() {
                    refuse("--mode", "protocol tcp has no modes");
                }
                "protocol tcp makes one upstream connection for each client, so there is nothing to limit; \
                the flag belongs to protocol http in mode proxy, and to protocols mongo and redis in mode collapse"
            }
        };
        if self.max_connections.is_some() {
            refuse("--max-connections", message);
        }
    }

    fn mongo_mode(&self) -> Result<MongoMode, String> {
        let word = self.mode.as_deref();
        word.map_or(Ok(MongoMode::Tap), |word| MONGO_MODES.read(word))
    }

    fn redis_mode(&self) -> Result<RedisMode, String> {
        let word = self.mode.as_deref();
        word.map_or(Ok(RedisMode::Tap), |word| REDIS_MODES.read(word))
    }

    fn http_mode(&self) -> Result<HttpMode, String> {
        let word = self.mode.as_deref();
        word.map_or(Ok(HttpMode::Proxy), |word| HTTP_MODES.read(word))
    }

    /// What `--mode` sets, where `owner` is the protocol.
    fn mode_of(&self, owner: ProtocolName, protocol: Option<ProtocolName>) -> Field<String> {
        let mode = self.mode.clone().filter(|_| protocol == Some(owner));
        optional("--mode", mode)
    }

    fn mongo(&self, protocol: Option<ProtocolName>) -> Field<MongoFile> {
        match self.mode_of(ProtocolName::Mongo, protocol) {
            Field::Absent => Field::Absent,
            mode => flag(
                "--mode",
                MongoFile {
                    mode,
                    ..MongoFile::default()
                },
            ),
        }
    }

    fn http(&self, protocol: Option<ProtocolName>) -> Field<HttpFile> {
        match self.mode_of(ProtocolName::Http, protocol) {
            Field::Absent => Field::Absent,
            mode => flag(
                "--mode",
                HttpFile {
                    mode,
                    ..HttpFile::default()
                },
            ),
        }
    }

    fn redis(&self, protocol: Option<ProtocolName>) -> Field<RedisFile> {
        match self.mode_of(ProtocolName::Redis, protocol) {
            Field::Absent => Field::Absent,
            mode => flag(
                "--mode",
                RedisFile {
                    mode,
                    ..RedisFile::default()
                },
            ),
        }
    }

    /// What `--max-connections` sets, where connections are shared.
    fn pool(&self, protocol: Option<ProtocolName>) -> Field<PoolFile> {
        let is_shared = match protocol {
            Some(ProtocolName::Mongo) => self.mongo_mode() == Ok(MongoMode::Collapse),
            Some(ProtocolName::Http) => self.http_mode() == Ok(HttpMode::Proxy),
            Some(ProtocolName::Redis) => self.redis_mode() == Ok(RedisMode::Collapse),
            Some(ProtocolName::Tcp) | None => false,
        };
        let pool = self
            .max_connections
            .filter(|_| is_shared)
            .map(|max| PoolFile {
                max_connections: flag("--max-connections", max),
                ..PoolFile::default()
            });
        optional("--max-connections", pool)
    }

    fn stats(&self) -> StatsFile {
        let statsd = self.statsd.clone().map(|address| StatsdFile {
            address: flag("--statsd", address),
            ..StatsdFile::default()
        });
        StatsFile {
            statsd: optional("--statsd", statsd),
            ..StatsFile::default()
        }
    }
}

fn flag<T>(name: &'static str, value: T) -> Field<T> {
    Field::Given(value, Place::Flag(name))
}

fn optional<T>(name: &'static str, value: Option<T>) -> Field<T> {
    value.map_or(Field::Absent, |value| flag(name, value))
}

#[cfg(test)]
mod tests;
