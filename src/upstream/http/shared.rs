//! What all HTTP sessions that send to a cluster have in common, over all workers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::config::ClusterConfig;
use crate::upstream::pool::{
    OpenError, OpenErrorKind, Opened, Opener, Opening, PoolPolicy, SharedPool,
};
use crate::upstream::{ConnectError, Endpoint, dial};

/// What is offered within TLS (RFC 7301 section 6).
const ALPN: &[u8] = b"http/1.1";

/// The HTTP/1 connections of a cluster.
pub struct SharedHttp {
    /// The connections.
    pub pool: Arc<SharedPool>,
    opener: Arc<HttpOpener>,
}

impl SharedHttp {
    /// Nothing is open yet.
    pub fn new(config: &ClusterConfig, endpoints: Vec<Arc<Endpoint>>) -> Self {
        let opener = Arc::new(HttpOpener {
            connect_timeout: config.connect_timeout,
        });
        let policy = PoolPolicy {
            config: config.pool.clone(),
            opener: Arc::clone(&opener) as Arc<dyn Opener>,
        };
        Self {
            pool: SharedPool::new(&config.name, policy, endpoints),
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
}

impl Opener for HttpOpener {
    fn open(&self, endpoint: Arc<Endpoint>, _credential: u16) -> Opening {
        let connect_timeout = self.connect_timeout;
        Box::pin(async move {
            let begun = Instant::now();
            let dialled = timeout(connect_timeout, dial(&endpoint, Some(ALPN))).await;
            let stream = dialled
                .unwrap_or_else(|_| Err(ConnectError::TimedOut(endpoint.name.clone())))
                .map_err(|error| OpenError::new(kind(&error), error.to_string()))?;
            Ok(Opened {
                stream,
                dialled_in: begun.elapsed(),
                max_wire: 0,
                compressor: None,
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
