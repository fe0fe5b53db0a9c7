//! The words that a key may take, and what each stands for.

use super::masking::quoted;
use super::model::{
    ForwardedProto, HttpMode, HttpVersion, LogFormat, LogLevel, MongoCompressor, MongoMechanism,
    MongoMode, MongoTopology, RedisMode, RedisReads, RedisTopology, Scheme, StatsdFlavor,
    Underscores,
};
use super::suggest::did_you_mean;
use crate::tls::Version;

/// The words of one key.
pub(crate) struct Choices<T: 'static> {
    /// What the key decides, as messages call it.
    what: &'static str,
    words: &'static [(&'static str, T)],
    /// Words that a later version will know: people should not look for a typing error.
    planned: &'static [&'static str],
}

/// What `protocol` says by itself; the mode of the protocol has a key of its own.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum ProtocolName {
    Http,
    Mongo,
    Redis,
    Tcp,
}

pub(crate) const PROTOCOLS: Choices<ProtocolName> = Choices {
    what: "protocol",
    words: &[
        ("http", ProtocolName::Http),
        ("mongo", ProtocolName::Mongo),
        ("redis", ProtocolName::Redis),
        ("tcp", ProtocolName::Tcp),
    ],
    planned: &[],
};

pub(crate) const MONGO_MODES: Choices<MongoMode> = Choices {
    what: "mode",
    words: &[("tap", MongoMode::Tap), ("collapse", MongoMode::Collapse)],
    planned: &[],
};

/// What `auth` of a Redis listener says by itself.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum RedisAuthName {
    Server,
    Users,
}

pub(crate) const REDIS_AUTHS: Choices<RedisAuthName> = Choices {
    what: "auth",
    words: &[
        ("server", RedisAuthName::Server),
        ("users", RedisAuthName::Users),
    ],
    planned: &[],
};

pub(crate) const REDIS_MODES: Choices<RedisMode> = Choices {
    what: "mode",
    words: &[("tap", RedisMode::Tap), ("collapse", RedisMode::Collapse)],
    planned: &[],
};

pub(crate) const REDIS_TOPOLOGIES: Choices<RedisTopology> = Choices {
    what: "topology",
    words: &[
        ("single", RedisTopology::Single),
        ("cluster", RedisTopology::Cluster),
        ("ketama", RedisTopology::Ketama),
    ],
    planned: &[],
};

pub(crate) const REDIS_READS: Choices<RedisReads> = Choices {
    what: "choice",
    words: &[
        ("master", RedisReads::Master),
        ("replica", RedisReads::Replica),
    ],
    planned: &[],
};

/// What `auth` says by itself; what it needs has a key of its own.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum AuthName {
    None,
    Scram,
}

pub(crate) const MONGO_AUTHS: Choices<AuthName> = Choices {
    what: "auth",
    words: &[("none", AuthName::None), ("scram", AuthName::Scram)],
    planned: &[],
};

/// Whether hellos may be held until something changes.
pub(crate) const MONGO_HELLOS: Choices<bool> = Choices {
    what: "hello",
    words: &[("stream", true), ("poll", false)],
    planned: &[],
};

pub(crate) const MONGO_TOPOLOGIES: Choices<MongoTopology> = Choices {
    what: "topology",
    words: &[
        ("auto", MongoTopology::Auto),
        ("routers", MongoTopology::Routers),
    ],
    planned: &[],
};

pub(crate) const MONGO_COMPRESSORS: Choices<MongoCompressor> = Choices {
    what: "compressor",
    words: &[
        ("snappy", MongoCompressor::Snappy),
        ("zlib", MongoCompressor::Zlib),
        ("zstd", MongoCompressor::Zstd),
    ],
    planned: &[],
};

pub(crate) const MONGO_MECHANISMS: Choices<MongoMechanism> = Choices {
    what: "mechanism",
    words: &[
        ("SCRAM-SHA-1", MongoMechanism::ScramSha1),
        ("SCRAM-SHA-256", MongoMechanism::ScramSha256),
    ],
    planned: &[],
};

pub(crate) const HTTP_MODES: Choices<HttpMode> = Choices {
    what: "mode",
    words: &[("tap", HttpMode::Tap), ("proxy", HttpMode::Proxy)],
    planned: &[],
};

pub(crate) const HTTP_VERSIONS: Choices<HttpVersion> = Choices {
    what: "version of HTTP",
    words: &[("http1", HttpVersion::Http1), ("http2", HttpVersion::Http2)],
    planned: &["http3"],
};

/// What `client_certificates` says by itself; whose they are has a key of its own.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum ClientCertificatesName {
    None,
    Optional,
    Required,
}

pub(crate) const CLIENT_CERTIFICATES: Choices<ClientCertificatesName> = Choices {
    what: "choice",
    words: &[
        ("none", ClientCertificatesName::None),
        ("optional", ClientCertificatesName::Optional),
        ("required", ClientCertificatesName::Required),
    ],
    planned: &[],
};

pub(crate) const UNDERSCORES: Choices<Underscores> = Choices {
    what: "way with underscores",
    words: &[
        ("reject", Underscores::Reject),
        ("drop", Underscores::Drop),
        ("allow", Underscores::Allow),
    ],
    planned: &[],
};

pub(crate) const FORWARDED_PROTOS: Choices<ForwardedProto> = Choices {
    what: "way with x-forwarded-proto",
    words: &[("set", ForwardedProto::Set), ("keep", ForwardedProto::Keep)],
    planned: &[],
};

pub(crate) const SCHEMES: Choices<Scheme> = Choices {
    what: "scheme",
    words: &[("http", Scheme::Http), ("https", Scheme::Https)],
    planned: &[],
};

/// RFC 9110 section 15.4: the ones that send a client elsewhere by `Location`.
pub(crate) const REDIRECT_STATUSES: [u16; 5] = [301, 302, 303, 307, 308];

pub(crate) const TLS_VERSIONS: Choices<Version> = Choices {
    what: "version of TLS",
    words: &[("1.2", Version::Tls12), ("1.3", Version::Tls13)],
    planned: &[],
};

pub(crate) const LOG_FORMATS: Choices<LogFormat> = Choices {
    what: "log format",
    words: &[("text", LogFormat::Text), ("json", LogFormat::Json)],
    planned: &[],
};

pub(crate) const LOG_LEVELS: Choices<LogLevel> = Choices {
    what: "log level",
    words: &[
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ],
    planned: &[],
};

pub(crate) const STATSD_FLAVORS: Choices<StatsdFlavor> = Choices {
    what: "flavor",
    words: &[
        ("plain", StatsdFlavor::Plain),
        ("datadog", StatsdFlavor::Datadog),
    ],
    planned: &[],
};

impl<T: Copy + PartialEq> Choices<T> {
    /// What `word` stands for, or what is wrong with it.
    pub(crate) fn read(&self, word: &str) -> Result<T, String> {
        if let Some((_, choice)) = self.words.iter().find(|(known, _)| *known == word) {
            return Ok(*choice);
        }
        let available = self.available();
        let list = available.join(", ");
        if self.planned.contains(&word) {
            return Err(format!(
                "{} `{word}` is not available in this version (available: {list})",
                self.what
            ));
        }
        let hint = did_you_mean(word, &available).unwrap_or_default();
        Err(format!(
            "unknown {} {} (available: {list}){hint}",
            self.what,
            quoted(word)
        ))
    }

    /// The word that stands for `choice`.
    pub(crate) fn word(&self, choice: T) -> &'static str {
        self.words
            .iter()
            .find(|(_, known)| *known == choice)
            .map_or("", |(word, _)| word)
    }

    pub(crate) fn available(&self) -> Vec<&'static str> {
        self.words.iter().map(|(word, _)| *word).collect()
    }
}
