//! What all Redis sessions in mode collapse that send to a cluster have in common, over all workers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::greeting::{Greeted, GreetingError, greet};
use super::profile::{Profile, ProfileId, Profiles};
use crate::config::ClusterConfig;
use crate::upstream::pool::{
    OpenError, OpenErrorKind, Opened, Opener, Opening, PoolPolicy, SharedPool,
};
use crate::upstream::{ConnectError, Endpoint, dial};

/// The connections of a cluster, and what they may be.
pub struct SharedRedis {
    /// The connections.
    pub pool: Arc<SharedPool>,
    opener: Arc<RedisOpener>,
}

/// Why a server did not take what a client said it is.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The server answered with an error: its line, as it came, with the `-` and without the end of the line.
    #[error("the server answered `{}`", String::from_utf8_lossy(.0))]
    Refused(Vec<u8>),
    /// There was no server to ask.
    #[error("{0}")]
    Failed(OpenError),
    /// Too many users and databases are known.
    #[error("the cluster has too many different users and databases")]
    TooMany,
}

impl SharedRedis {
    /// Nothing is open yet.
    pub fn new(config: &ClusterConfig, endpoints: Vec<Arc<Endpoint>>) -> Self {
        let opener = Arc::new(RedisOpener {
            connect_timeout: config.connect_timeout,
            profiles: Arc::new(Profiles::new()),
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

    /// The number of a profile that a server has accepted before.
    pub fn known(&self, profile: &Profile) -> Option<ProfileId> {
        self.opener.profiles.find(profile)
    }

    /// Asks a server, on a connection that is closed again, whether it takes `profile`: only what one has taken becomes a profile, so that
    /// clients can't make up any number of them, and a password is checked each time that a client says it.
    ///
    /// # Errors
    /// See [`ProbeError`].
    pub async fn probe(
        &self,
        endpoint: &Endpoint,
        profile: &Profile,
        says_hello: bool,
    ) -> Result<(ProfileId, Greeted), ProbeError> {
        let attempt = self.opener.connect(endpoint, profile, says_hello);
        let (mut opened, greeted) = attempt.await.map_err(|error| match error {
            AttemptError::Greeting(GreetingError::Refused(line)) => ProbeError::Refused(line),
            error => ProbeError::Failed(error.of(endpoint)),
        })?;
        opened.stream.announce_end();
        let id = self.opener.profiles.admit(profile);
        Ok((id.ok_or(ProbeError::TooMany)?, greeted))
    }
}

/// Opens connections: dial, greeting.
#[derive(Clone)]
struct RedisOpener {
    connect_timeout: Duration,
    profiles: Arc<Profiles>,
}

enum AttemptError {
    Connect(ConnectError),
    Greeting(GreetingError),
    TimedOut,
}

impl RedisOpener {
    async fn connect(
        &self,
        endpoint: &Endpoint,
        profile: &Profile,
        says_hello: bool,
    ) -> Result<(Opened, Greeted), AttemptError> {
        let begun = Instant::now();
        let attempt = async {
            let dialled = dial(endpoint, None).await;
            let mut stream = dialled.map_err(AttemptError::Connect)?;
            let dialled_in = begun.elapsed();
            let greeted = greet(&mut stream, profile, says_hello).await;
            let greeted = greeted.map_err(AttemptError::Greeting)?;
            let opened = Opened {
                stream,
                dialled_in,
                max_wire: 0,
                compressor: None,
                speaks_first: false,
            };
            Ok((opened, greeted))
        };
        let attempt = timeout(self.connect_timeout, attempt).await;
        attempt.unwrap_or(Err(AttemptError::TimedOut))
    }
}

impl Opener for RedisOpener {
    fn open(&self, endpoint: Arc<Endpoint>, credential: u16) -> Opening {
        let opener = self.clone();
        Box::pin(async move {
            let profile = opener.profiles.get(ProfileId(credential));
            let profile = profile.unwrap_or_default();
            let opened = opener.connect(&endpoint, &profile, false).await;
            opened
                .map(|(opened, _)| opened)
                .map_err(|error| error.of(&endpoint))
        })
    }
}

impl AttemptError {
    fn of(self, endpoint: &Endpoint) -> OpenError {
        let name = &endpoint.name;
        let (kind, text) = match self {
            Self::Connect(error) => (kind(&error), error.to_string()),
            Self::TimedOut => (
                OpenErrorKind::TimedOut,
                ConnectError::TimedOut(name.clone()).to_string(),
            ),
            Self::Greeting(error @ GreetingError::Refused(_)) => {
                (OpenErrorKind::Login, format!("{name}: {error}"))
            }
            Self::Greeting(error) => (OpenErrorKind::Protocol, format!("{name}: {error}")),
        };
        OpenError::new(kind, text)
    }
}

fn kind(error: &ConnectError) -> OpenErrorKind {
    match error {
        ConnectError::NoAddress(_) => OpenErrorKind::NoAddress,
        ConnectError::Refused { .. } | ConnectError::Tls { .. } => OpenErrorKind::Refused,
        ConnectError::TimedOut(_) => OpenErrorKind::TimedOut,
    }
}
