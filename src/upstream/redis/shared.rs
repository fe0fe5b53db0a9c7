//! What all Redis sessions in mode collapse that send to a cluster have in common, over all workers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwapOption, Guard};
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use super::greeting::{Greeted, GreetingError, ask, greet};
use super::ketama::Ring;
use super::profile::{Admitted, Credential, Password, Profile, ProfileId, Profiles};
use super::slots::{SlotMap, ranges};
use crate::config::{ClusterConfig, RedisCredential, RedisReads, RedisTopology};
use crate::upstream::discovery;
use crate::upstream::pool::{
    OpenError, OpenErrorKind, Opened, Opener, Opening, PoolPolicy, SharedPool,
};
use crate::upstream::{ConnectError, Endpoint, dial};

/// Servers are asked for their slots this often, even if nothing says that these have changed: a replica that comes is not announced.
/// Envoy's `cluster_refresh_rate`.
const REFRESH_INTERVAL: Duration = Duration::from_secs(5);

/// Connections on which servers are asked at the same time whether they take a client. They are no part of the pool, and a storm of logins
/// must not be one of connections.
const MAX_PROBES: usize = 64;

/// Servers are not asked for their slots more often.
const REFRESH_PAUSE: Duration = Duration::from_millis(100);

/// The connections of a cluster, and what they may be.
pub struct SharedRedis {
    /// The connections.
    pub pool: Arc<SharedPool>,
    opener: Arc<RedisOpener>,
    topology: RedisTopology,
    read_from: RedisReads,
    /// Which server has which keys, where that follows from their names.
    ring: Option<Ring>,
    /// Which server has which slots; `None` until one has said so.
    slots: ArcSwapOption<SlotMap>,
    /// Those of the config, and those that others have named.
    endpoints: Mutex<Vec<Arc<Endpoint>>>,
    refresh: Mutex<Refresh>,
    /// Told when a refresh has ended.
    refreshed: Notify,
    /// Clients that a server is asked about now.
    probes: Semaphore,
}

#[derive(Default)]
struct Refresh {
    is_running: bool,
    last: Option<Instant>,
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
            service: config.redis.credential.as_ref().map(service),
        });
        let policy = PoolPolicy {
            config: config.pool.clone(),
            opener: Arc::clone(&opener) as Arc<dyn Opener>,
        };
        Self {
            ring: (config.redis.topology == RedisTopology::Ketama).then(|| Ring::new(&endpoints)),
            pool: SharedPool::new(&config.name, policy, endpoints.clone()),
            opener,
            topology: config.redis.topology,
            read_from: config.redis.read_from,
            slots: ArcSwapOption::empty(),
            endpoints: Mutex::new(endpoints),
            refresh: Mutex::default(),
            refreshed: Notify::new(),
            probes: Semaphore::new(MAX_PROBES),
        }
    }

    /// The limits have changed, and nothing else.
    pub fn set_limits(&self, config: &ClusterConfig) {
        self.pool.set_policy(PoolPolicy {
            config: config.pool.clone(),
            opener: Arc::clone(&self.opener) as Arc<dyn Opener>,
        });
    }

    /// Its endpoints are servers of a Redis Cluster.
    pub fn is_cluster(&self) -> bool {
        self.topology == RedisTopology::Cluster
    }

    /// Which server has which keys, where that follows from their names.
    pub fn ring(&self) -> Option<&Ring> {
        self.ring.as_ref()
    }

    /// The profile of the connections to replicas of a Redis Cluster, for a client that has this one; `None` where all goes to masters.
    pub fn on_replicas(&self, profile: &Profile) -> Option<Arc<Admitted>> {
        if self.topology != RedisTopology::Cluster || self.read_from == RedisReads::Master {
            return None;
        }
        self.opener.profiles.admit(&Profile {
            reads_replica: true,
            ..profile.clone()
        })
    }

    /// Which server has which slots, if that is known.
    pub fn slots(&self) -> Guard<Option<Arc<SlotMap>>> {
        self.slots.load()
    }

    /// Servers that are known.
    pub fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        locked(&self.endpoints).clone()
    }

    /// The server of a host and port, as `from` has named it: with no host it means its own.
    pub fn endpoint(&self, host: &str, port: u16, from: &Endpoint) -> Arc<Endpoint> {
        let host = if host.is_empty() { &from.host } else { host };
        let mut known = locked(&self.endpoints);
        let is_it = |known: &&Arc<Endpoint>| known.host == host && known.port == port;
        if let Some(known) = known.iter().find(is_it) {
            return Arc::clone(known);
        }
        let tls = from.tls.as_ref().map(|tls| tls.for_host(host));
        let made = Arc::new(Endpoint::new(host.to_owned(), port, tls));
        known.push(Arc::clone(&made));
        made
    }

    /// A slot has moved, as the server that had it says.
    pub fn moved(&self, slot: u16, to: &Arc<Endpoint>) {
        self.slots.rcu(|known| {
            let known = known.as_ref()?;
            let is_new = known.master(slot).is_none_or(|master| master.id != to.id);
            Some(match is_new {
                true => Arc::new(known.moved(slot, to)),
                false => Arc::clone(known),
            })
        });
    }

    /// True when it is time to ask the servers for their slots again.
    pub fn is_stale(&self) -> bool {
        let last = locked(&self.refresh).last;
        self.is_cluster() && last.is_some_and(|last| last.elapsed() >= REFRESH_INTERVAL)
    }

    /// True for the one who is to ask the servers for their slots now; it has to call [`Self::refresh`].
    pub fn begins_refresh(&self) -> bool {
        !std::mem::replace(&mut locked(&self.refresh).is_running, true)
    }

    /// Asks the servers for their slots, one after the other until one has said so. Not more often than they can bear.
    ///
    /// # Errors
    /// What the last one met.
    pub async fn refresh(&self, profile: ProfileId) -> Result<(), OpenError> {
        let pause = locked(&self.refresh)
            .last
            .map(|last| (last + REFRESH_PAUSE).saturating_duration_since(Instant::now()));
        tokio::time::sleep(pause.unwrap_or_default()).await;
        let outcome = self.ask_all(profile).await;
        let mut refresh = locked(&self.refresh);
        refresh.last = Some(Instant::now());
        refresh.is_running = false;
        drop(refresh);
        self.refreshed.notify_waiters();
        outcome
    }

    /// Returns when it is known which server has which slots.
    ///
    /// # Errors
    /// Why it is not.
    pub async fn know_slots(&self, profile: ProfileId) -> Result<(), OpenError> {
        loop {
            let refreshed = self.refreshed.notified();
            if self.slots().is_some() {
                return Ok(());
            }
            match self.begins_refresh() {
                true => self.refresh(profile).await?,
                false => refreshed.await,
            }
        }
    }

    async fn ask_all(&self, profile: ProfileId) -> Result<(), OpenError> {
        let known = self.slots();
        let masters = known.as_ref().map(|map| map.masters().to_vec());
        let mut candidates = masters.unwrap_or_default();
        candidates.extend(self.endpoints());
        let mut last = OpenError::new(OpenErrorKind::NoAddress, "the cluster has no endpoint");
        for endpoint in candidates {
            match self.ask_one(&endpoint, profile).await {
                Ok(map) => {
                    self.take_over(map).await;
                    return Ok(());
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn ask_one(&self, endpoint: &Endpoint, profile: ProfileId) -> Result<SlotMap, OpenError> {
        // Whoever asked may have left: then it is asked as one who has said nothing.
        let known = self.opener.profiles.get(profile);
        let profile = known.map_or_else(Profile::default, |known| known.profile.clone());
        // The reply is read as version 2 has it.
        let profile = Profile {
            version: super::Version::Two,
            reads_replica: false,
            ..profile
        };
        let attempt = self.opener.connect(endpoint, &profile, false);
        let (mut opened, _) = attempt.await.map_err(|error| error.of(endpoint))?;
        let asking = ask(&mut opened.stream, &[b"CLUSTER", b"SLOTS"]);
        let asked = timeout(self.opener.connect_timeout, asking).await;
        let reply = asked
            .map_err(|_| AttemptError::TimedOut.of(endpoint))?
            .map_err(|error| AttemptError::Greeting(error).of(endpoint))?;
        opened.stream.announce_end();
        let name = &endpoint.name;
        match ranges(&reply) {
            Some(ranges) if !ranges.is_empty() => Ok(SlotMap::new(&ranges, |host, port| {
                self.endpoint(host, port, endpoint)
            })),
            _ => Err(OpenError::new(
                OpenErrorKind::Protocol,
                format!("{name}: its answer to CLUSTER SLOTS names no slots"),
            )),
        }
    }

    /// Servers that have no slots any more are left; names that are new are looked up.
    async fn take_over(&self, map: SlotMap) {
        for endpoint in map.servers() {
            if endpoint.is_named() && endpoint.addresses().is_empty() {
                discovery::look_up(self.pool.name(), endpoint).await;
            }
        }
        let now: Vec<_> = map.servers().map(|server| server.id).collect();
        let before = self.slots.swap(Some(Arc::new(map)));
        let gone = before.iter().flat_map(|before| before.servers());
        for endpoint in gone.filter(|endpoint| !now.contains(&endpoint.id)) {
            self.pool.retire(endpoint.id, true);
        }
    }

    /// A profile that a server has accepted before.
    pub fn known(&self, profile: &Profile) -> Option<Arc<Admitted>> {
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
    ) -> Result<(Arc<Admitted>, Greeted), ProbeError> {
        // It is never closed.
        let _turn = self.probes.acquire().await.ok();
        let attempt = self.opener.connect(endpoint, profile, says_hello);
        let (mut opened, greeted) = attempt.await.map_err(|error| match error {
            AttemptError::Greeting(GreetingError::Refused(line)) => ProbeError::Refused(line),
            error => ProbeError::Failed(error.of(endpoint)),
        })?;
        opened.stream.announce_end();
        let admitted = self.opener.profiles.admit(profile);
        Ok((admitted.ok_or(ProbeError::TooMany)?, greeted))
    }
}

/// What is under the lock. Nothing under it leaves half a change behind.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens connections: dial, greeting.
#[derive(Clone)]
struct RedisOpener {
    connect_timeout: Duration,
    profiles: Arc<Profiles>,
    /// Who a client is that has not said so.
    service: Option<Credential>,
}

fn service(config: &RedisCredential) -> Credential {
    Credential {
        username: config.username.as_ref().map(|name| name.as_bytes().into()),
        password: Password::new(config.password.reveal().as_bytes()),
    }
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
        let profile = &Profile {
            credential: profile.credential.clone().or(self.service.clone()),
            ..profile.clone()
        };
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
    fn open(&self, endpoint: Arc<Endpoint>, credential: u32) -> Opening {
        let opener = self.clone();
        Box::pin(async move {
            let Some(known) = opener.profiles.get(ProfileId(credential)) else {
                return Err(OpenError::new(
                    OpenErrorKind::Login,
                    "nobody is left who would use the connection",
                ));
            };
            let opened = opener.connect(&endpoint, &known.profile, false).await;
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
