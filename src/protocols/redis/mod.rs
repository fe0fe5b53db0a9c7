//! Redis: what a worker keeps for one listener, the tap that watches a connection, and [`collapse`], where clients share connections.
//!
//! The series of a listener are looked up when the worker takes the listener over, those of a command when it is first seen
//! (`commands`); the request path only adds. Which reply answers which request is for `conversation` to say.

pub mod collapse;
mod commands;
mod conversation;
mod hot_keys;
mod key_pattern;
mod report;
mod tap;

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use narrows_parsers::redis::command::Class;
use narrows_parsers::redis::{Kind, Reply, Request, Text};

use crate::config::RedisConfig;
use crate::stats::{
    Cluster, Redis, RedisDecodingError, RedisDriver, RedisError, RedisKeys, RedisReply, Scope,
    Shard,
};
use commands::{Commands, Series};
use report::Application;

pub use hot_keys::{Followed, HotKey, HotKeys, Hottest};
pub use key_pattern::KeyPattern;
pub use tap::Tap;

/// Error prefixes whose series a worker remembers; servers have some thirty.
const MAX_ERRORS: usize = 64;

/// Everything the sessions of one Redis listener share on one worker.
pub struct RedisListener {
    /// The totals of the listener.
    pub stats: Scope<Redis>,
    enabled: bool,
    shard: Shard,
    name: Box<str>,
    cluster_name: Box<str>,
    commands: Commands,
    /// The same commands, sent to each of the clusters that the routes of the config name.
    routed: Box<[Commands]>,
    patterns: Vec<(KeyPattern, Rc<Scope<RedisKeys>>)>,
    hot_keys: Option<Arc<Followed>>,
    replies: [OnceCell<Scope<RedisReply>>; Kind::COUNT],
    errors: RefCell<Vec<KnownError>>,
}

/// The clusters that a listener sends to.
#[derive(Clone, Copy)]
pub struct Clusters<'a> {
    /// The name of its own.
    pub name: &'a str,
    /// Its own.
    pub own: &'a Scope<Cluster>,
    /// Those of its routes, in the order of their places, from 1 on.
    pub routed: &'a [Scope<Cluster>],
}

/// Errors with the same first word.
struct KnownError {
    prefix: Box<[u8]>,
    stats: Scope<RedisError>,
}

impl RedisListener {
    /// Looks the listener's own series up. `enabled` is false when all stats are switched off.
    pub fn new(
        shard: &Shard,
        name: &str,
        clusters: Clusters<'_>,
        config: &RedisConfig,
        hot_keys: &HotKeys,
        enabled: bool,
    ) -> Self {
        let label = name.as_bytes();
        let commands = |cluster: &Scope<Cluster>| Commands::new(shard.clone(), name, cluster);
        Self {
            stats: shard.scope(&[label]),
            enabled,
            commands: commands(clusters.own),
            routed: clusters.routed.iter().map(commands).collect(),
            shard: shard.clone(),
            name: name.into(),
            cluster_name: clusters.name.into(),
            hot_keys: config.hot_keys.map(|shown| hot_keys.follow(shown)),
            patterns: config
                .key_patterns
                .iter()
                .map(|pattern| {
                    let stats = shard.scope(&[label, pattern.as_str().as_bytes()]);
                    (pattern.clone(), Rc::new(stats))
                })
                .collect(),
            replies: Default::default(),
            errors: RefCell::default(),
        }
    }

    /// The commands that go to the cluster at this place: 0 is the listener's own, the others are those of its routes.
    fn commands(&self, place: usize) -> &Commands {
        let routed = place
            .checked_sub(1)
            .and_then(|place| self.routed.get(place));
        routed.unwrap_or(&self.commands)
    }

    /// What the config calls it.
    fn name(&self) -> &str {
        &self.name
    }

    /// The cluster that its sessions go to.
    fn cluster_name(&self) -> &str {
        &self.cluster_name
    }

    /// So many requests more, or less, are under way.
    fn active(&self, change: i64) {
        self.stats.gauge_add(Redis::DOWNSTREAM_RQ_ACTIVE, change);
    }

    /// A connection is no longer observed.
    fn decoding_error(&self, reason: &'static str) {
        self.stats.inc(Redis::DECODING_ERROR);
        let by_reason: Scope<RedisDecodingError> =
            self.shard.scope(&[self.name.as_bytes(), reason.as_bytes()]);
        by_reason.inc(RedisDecodingError::CX_TOTAL);
    }

    /// Counts what a request is, before anybody knows how it goes. Returns what is counted of its first key, if a pattern fits that.
    fn request_seen(&self, series: &Series, request: &Request<'_>) -> Option<Rc<Scope<RedisKeys>>> {
        if !self.enabled {
            return None;
        }
        series.cluster.inc(Cluster::UPSTREAM_RQ_TOTAL);
        let count = usize::try_from(request.count).unwrap_or(usize::MAX);
        let argument = |index| request.argument(index).map(|text| text.bytes);
        let mut keys = series.command?.key_positions(count, argument);
        self.stats.add(Redis::KEYS, keys.len() as u64);
        let first = request.argument(keys.next()?)?;
        self.stats.record(Redis::KEY_BYTES, first.length);
        if let Some(hot_keys) = &self.hot_keys {
            hot_keys.count(&first);
        }
        self.pattern(&first)
    }

    fn pattern(&self, key: &Text<'_>) -> Option<Rc<Scope<RedisKeys>>> {
        let mut patterns = self.patterns.iter();
        let fits = patterns.find(|(pattern, _)| pattern.fits(key.bytes, key.is_cut()));
        fits.map(|(_, stats)| Rc::clone(stats))
    }

    /// Counts what a reply is, whatever it answers.
    fn reply_seen(&self, reply: &Reply<'_>) {
        if !self.enabled {
            return;
        }
        if let Some(stats) = self.replies.get(reply.kind.index()) {
            let stats = stats.get_or_init(|| {
                let labels = [self.name.as_bytes(), reply.kind.label().as_bytes()];
                self.shard.scope(&labels)
            });
            stats.inc(RedisReply::TOTAL);
        }
        if reply.is_error() {
            self.error(reply.error_prefix());
        }
    }

    #[cold]
    fn error(&self, prefix: &[u8]) {
        let mut errors = self.errors.borrow_mut();
        if let Some(known) = errors.iter().find(|known| *known.prefix == *prefix) {
            return known.stats.inc(RedisError::TOTAL);
        }
        let stats: Scope<RedisError> = self.shard.scope(&[self.name.as_bytes(), prefix]);
        stats.inc(RedisError::TOTAL);
        if errors.len() < MAX_ERRORS && !stats.is_folded() {
            errors.push(KnownError {
                prefix: prefix.into(),
                stats,
            });
        }
    }

    /// What a request says of its client: the application that a connection is named after, or `None` where it is as before.
    fn introduction(&self, series: &Series, request: &Request<'_>) -> Option<Application> {
        match series.command?.class {
            Class::ClientSetname => self.application(request.argument(2)?.bytes),
            Class::ClientSetinfo => {
                let attribute = request.argument(2)?.bytes;
                if attribute.eq_ignore_ascii_case(b"lib-name") {
                    let labels = [self.name.as_bytes(), request.argument(3)?.bytes];
                    let driver: Scope<RedisDriver> = self.shard.scope(&labels);
                    driver.inc(RedisDriver::CX_TOTAL);
                }
                None
            }
            Class::Hello => {
                let is_option = |index: &usize| {
                    let text = request.argument(*index);
                    text.is_some_and(|text| text.bytes.eq_ignore_ascii_case(b"setname"))
                };
                // HELLO 3 AUTH user password SETNAME name: a user may be called like an option.
                let option = [2, 5].into_iter().find(is_option)?;
                self.application(request.argument(option + 1)?.bytes)
            }
            _ => None,
        }
    }

    /// The request takes the name of its connection away.
    fn is_farewell(series: &Series, request: &Request<'_>) -> bool {
        match series.command.map(|command| command.class) {
            Some(Class::Reset) => true,
            Some(Class::ClientSetname) => {
                let name = request.argument(2);
                name.is_some_and(|name| name.bytes.is_empty())
            }
            _ => false,
        }
    }

    fn application(&self, name: &[u8]) -> Option<Application> {
        let stats = || self.shard.scope(&[self.name.as_bytes(), name]);
        (!name.is_empty()).then(|| Application::enter(stats()))
    }
}
