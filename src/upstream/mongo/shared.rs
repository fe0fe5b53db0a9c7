//! What all sessions that share a cluster's connections have in common, over all workers.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::Servers;
use super::login::{Login, OpenError as LoginError, OpenOptions, open};
use crate::config::{ClusterConfig, MongoCompressor};
use crate::protocols::mongo::pins::Pins;
use crate::upstream::pool::{
    OpenError, OpenErrorKind, Opened, Opener, Opening, PoolPolicy, SharedPool,
};
use crate::upstream::{ConnectError, Endpoint};

/// The servers of a cluster, the connections to them, and what lives on which server.
pub struct SharedMongo {
    /// What the servers are now.
    pub servers: Arc<Servers>,
    /// The connections.
    pub pool: Arc<SharedPool>,
    /// Cursors and transactions.
    pub pins: Arc<Pins>,
    /// The names of the credentials, in the order of their indices.
    pub credentials: Vec<String>,
    opener: Arc<MongoOpener>,
}

/// What became of the last login.
type LoginState = Arc<ArcSwapOption<String>>;

impl SharedMongo {
    /// Nothing is open and nothing known yet.
    pub fn new(config: &ClusterConfig, endpoints: Vec<Arc<Endpoint>>) -> Self {
        let opener = Arc::new(MongoOpener::new(config));
        let policy = PoolPolicy {
            config: config.pool.clone(),
            opener: Arc::clone(&opener) as Arc<dyn Opener>,
        };
        let mongo = &config.mongo;
        let names = mongo.credentials.iter().map(|known| known.name.clone());
        Self {
            pool: SharedPool::new(&config.name, policy, endpoints.clone()),
            servers: Servers::new(config, endpoints),
            pins: Arc::new(Pins::new(mongo.cursor_timeout, mongo.transaction_timeout)),
            credentials: names.collect(),
            opener,
        }
    }

    /// Why the servers refuse the proxy's own credentials; `None` while they don't, as far as is known.
    pub fn login_refused(&self) -> Option<Arc<String>> {
        self.opener.refused.load_full()
    }

    /// Logs in once, for nobody: to know whether it can be done before anybody needs it. The connection is closed at once.
    pub async fn try_login(&self, endpoint: Arc<Endpoint>) {
        if !self.opener.logins.is_empty() {
            // What came of it is remembered by the opener.
            let _ = self.opener.open(endpoint, 0).await;
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

/// Opens connections: dial, hello, login.
struct MongoOpener {
    application: Arc<str>,
    connect_timeout: Duration,
    compressors: Arc<[MongoCompressor]>,
    logins: Vec<Arc<Login>>,
    refused: LoginState,
}

impl MongoOpener {
    fn new(config: &ClusterConfig) -> Self {
        let credentials = config.mongo.credentials.iter();
        Self {
            application: format!("narrows {}", config.name).into(),
            connect_timeout: config.connect_timeout,
            compressors: config.mongo.compressors.as_slice().into(),
            logins: credentials
                .map(|credential| Arc::new(Login::new(credential.clone())))
                .collect(),
            refused: LoginState::default(),
        }
    }
}

impl Opener for MongoOpener {
    fn open(&self, endpoint: Arc<Endpoint>, credential: u32) -> Opening {
        let application = Arc::clone(&self.application);
        let compressors = Arc::clone(&self.compressors);
        let connect_timeout = self.connect_timeout;
        let refused = Arc::clone(&self.refused);
        let login = usize::try_from(credential).ok();
        let login = login.and_then(|place| self.logins.get(place).map(Arc::clone));
        Box::pin(async move {
            let begun = std::time::Instant::now();
            let options = OpenOptions {
                connect_timeout,
                application: &application,
                compressors: &compressors,
                login: login.as_deref(),
            };
            match open(&endpoint, &options).await {
                Ok(opened) => {
                    refused.store(None);
                    Ok(Opened {
                        stream: opened.stream,
                        dialled_in: begun.elapsed(),
                        max_wire: opened.max_wire,
                        compressor: opened.compressor,
                        speaks_first: false,
                    })
                }
                Err(error) => {
                    if error.is_login() {
                        refused.store(Some(Arc::new(error.to_string())));
                    }
                    Err(OpenError::new(kind(&error), error.to_string()))
                }
            }
        })
    }
}

fn kind(error: &LoginError) -> OpenErrorKind {
    match error {
        LoginError::Connect(ConnectError::NoAddress(_)) => OpenErrorKind::NoAddress,
        LoginError::Connect(_) => OpenErrorKind::Refused,
        other if other.is_timeout() => OpenErrorKind::TimedOut,
        other if other.is_login() => OpenErrorKind::Login,
        _ => OpenErrorKind::Protocol,
    }
}
