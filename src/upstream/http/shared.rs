//! What all HTTP sessions that send to a cluster have in common, over all workers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::config::{ClusterConfig, HttpClusterConfig, HttpVersion};
use crate::upstream::pool::{
    OpenError, OpenErrorKind, Opened, Opener, Opening, PoolPolicy, SharedPool,
};
use crate::upstream::{ConnectError, Endpoint, dial};

/// What is offered within TLS (RFC 7301 section 6).
fn alpn(version: HttpVersion) -> &'static [u8] {
    match version {
        HttpVersion::Http1 => b"http/1.1",
        HttpVersion::Http2 => b"h2",
    }
}

/// The connections of a cluster.
pub struct SharedHttp {
    /// The connections.
    pub pool: Arc<SharedPool>,
    /// How its servers are spoken to.
    pub config: HttpClusterConfig,
    opener: Arc<HttpOpener>,
}

impl SharedHttp {
    /// Nothing is open yet.
    pub fn new(config: &ClusterConfig, endpoints: Vec<Arc<Endpoint>>) -> Self {
        let opener = Arc::new(HttpOpener {
            connect_timeout: config.connect_timeout,
            alpn: alpn(config.http.version),
            version: config.http.version,
        });
        let policy = PoolPolicy {
            config: config.pool.clone(),
            opener: Arc::clone(&opener) as Arc<dyn Opener>,
        };
        Self {
            pool: SharedPool::new(&config.name, policy, endpoints),
            config: config.http.clone(),
            opener,
        }
    }

    /// The limits have changed, and nothing else.
    pub fn set_limits(&self, config: &ClusterConfig) {
        self.pool.set_policy(PoolPolicy {
            config: config.pool.clone(),
            opener: Arc::clone(&self.opener) as Arc<dyn Opener>,
        });
    }
}

/// Opens connections: a dial is all there is.
struct HttpOpener {
    connect_timeout: Duration,
    alpn: &'static [u8],
    version: HttpVersion,
}

impl Opener for HttpOpener {
    fn open(&self, endpoint: Arc<Endpoint>, _credential: u32) -> Opening {
        let (connect_timeout, alpn) = (self.connect_timeout, self.alpn);
        // SETTINGS, as soon as there is a connection.
        let speaks_first = self.version == HttpVersion::Http2;
        Box::pin(async move {
            let begun = Instant::now();
            let dialled = timeout(connect_timeout, dial(&endpoint, Some(alpn))).await;
            let stream = dialled
                .unwrap_or_else(|_| Err(ConnectError::TimedOut(endpoint.name.clone())))
                .map_err(|error| OpenError::new(kind(&error), error.to_string()))?;
            Ok(Opened {
                stream,
                dialled_in: begun.elapsed(),
                max_wire: 0,
                compressor: None,
                speaks_first,
            })
        })
    }
}

fn kind(error: &ConnectError) -> OpenErrorKind {
    match error {
        ConnectError::NoAddress(_) => OpenErrorKind::NoAddress,
        ConnectError::Refused { .. } | ConnectError::Tls { .. } => OpenErrorKind::Refused,
        ConnectError::TimedOut(_) => OpenErrorKind::TimedOut,
    }
}
