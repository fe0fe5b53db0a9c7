//! A fresh connection to a MongoDB server, ready for commands: connect, say hello, log in.

mod documents;
mod error;

use std::sync::Arc;
use std::time::Duration;

use bson::raw::{RawArrayBuf, RawBsonRef, RawDocument, RawDocumentBuf, cstr};
use bson::rawdoc;
use tokio::time::timeout;

use super::super::cluster::Endpoint;
use super::super::connect::dial;
use crate::config::{MongoCompressor, MongoCredential};
use crate::protocols::mongo::wire::{CallError, call};
use crate::scram::{KeyCache, MECHANISMS, Mechanism, ScramClient, ScramError};
use crate::stream::Stream;

use documents::{
    Hello, client, conversation, is_done, name_of, payload, refusal, sasl_continue, sasl_start,
};

pub use error::{OpenError, Refusal, Step, Who};

/// MongoDB's code for a mechanism that is unknown or switched off.
const MECHANISM_UNAVAILABLE: i32 = 334;

/// Who the proxy is to the servers of a cluster, with the keys that were computed so far. Made once for each credential of the
/// config, and shared by all workers.
pub struct Login {
    credential: MongoCredential,
    keys: Arc<KeyCache>,
}

impl Login {
    /// A login that has not been used yet.
    pub fn new(credential: MongoCredential) -> Self {
        let keys = KeyCache::new(&credential.username, credential.password.clone());
        Self { credential, keys }
    }

    /// What it was made of.
    pub fn credential(&self) -> &MongoCredential {
        &self.credential
    }
}

/// How to open a connection.
#[derive(Clone, Copy)]
pub struct OpenOptions<'a> {
    /// How long all of it may take.
    pub connect_timeout: Duration,
    /// The application that servers log; cut at 128 bytes.
    pub application: &'a str,
    /// Compressors to offer, the preferred one first.
    pub compressors: &'a [MongoCompressor],
    /// Who to log in as; `None` is no login.
    pub login: Option<&'a Login>,
}

/// A connection that is ready for commands.
#[derive(Debug)]
pub struct Opened {
    /// The connection, with nothing unread.
    pub stream: Stream,
    /// The newest wire version that the server speaks.
    pub max_wire: i32,
    /// The compressor that both sides have, if any.
    pub compressor: Option<MongoCompressor>,
    /// The server's own number for the connection, as its log and `currentOp` have it.
    pub server_connection_id: Option<i64>,
}

/// Connects to an endpoint, says hello and logs in, all within `connect_timeout`.
///
/// # Errors
/// What kept the connection from being ready.
pub async fn open(endpoint: &Endpoint, options: &OpenOptions<'_>) -> Result<Opened, OpenError> {
    let mut step = Step::Connect;
    // On the heap: callers hold this future for as long as they live, and need it for a moment.
    let opening = Box::pin(connect_and_log_in(endpoint, options, &mut step));
    let opened = timeout(options.connect_timeout, opening).await;
    opened.unwrap_or_else(|_| {
        Err(OpenError::TimedOut {
            endpoint: endpoint.name.clone(),
            step,
        })
    })
}

async fn connect_and_log_in(
    endpoint: &Endpoint,
    options: &OpenOptions<'_>,
    step: &mut Step,
) -> Result<Opened, OpenError> {
    let stream = dial(endpoint, None).await.map_err(OpenError::Connect)?;
    let mut fresh = Fresh {
        endpoint,
        stream,
        step: Step::Hello,
        last_request: 0,
    };
    *step = Step::Hello;
    // Begun with the hello already, which saves a round trip when the server takes it up.
    let early = match options.login {
        Some(login) => Some(fresh.begin(login, login.preferred_mechanism())?),
        None => None,
    };
    let reply = fresh.hello(options, early.as_ref()).await?;
    let hello = Hello::read(&reply, options.compressors);
    let hello = hello.map_err(|reason| fresh.not_mongo(reason))?;
    if let (Some(login), Some(early)) = (options.login, early) {
        *step = Step::Login;
        fresh.step = Step::Login;
        fresh.log_in(login, early, &hello).await?;
    }
    Ok(Opened {
        max_wire: hello.max_wire,
        compressor: hello.compressor,
        server_connection_id: hello.connection_id,
        stream: fresh.stream,
    })
}

impl Login {
    /// What to try before the server has said what it has: what it was told to use, or what users have since MongoDB 4.0.
    fn preferred_mechanism(&self) -> Mechanism {
        self.credential.mechanism.unwrap_or(Mechanism::ScramSha256)
    }

    fn who(&self, mechanism: Mechanism) -> Box<Who> {
        Box::new(Who {
            credential: self.credential.name.clone(),
            username: self.credential.username.clone(),
            source: self.credential.source.clone(),
            mechanism,
        })
    }
}

/// A connection that is not ready yet.
struct Fresh<'a> {
    endpoint: &'a Endpoint,
    stream: Stream,
    step: Step,
    last_request: i32,
}

impl Fresh<'_> {
    fn begin(&self, login: &Login, mechanism: Mechanism) -> Result<ScramClient, OpenError> {
        ScramClient::new(mechanism, &login.credential.username)
            .map_err(|source| self.given_up(login, mechanism, source))
    }

    async fn hello(
        &mut self,
        options: &OpenOptions<'_>,
        early: Option<&ScramClient>,
    ) -> Result<RawDocumentBuf, OpenError> {
        let mut command =
            rawdoc! { "hello": 1, "helloOk": true, "client": client(options.application) };
        if !options.compressors.is_empty() {
            let mut names = RawArrayBuf::new();
            for compressor in options.compressors {
                names.push(name_of(*compressor));
            }
            command.append(cstr!("compression"), names);
        }
        if let (Some(login), Some(early)) = (options.login, early) {
            let MongoCredential {
                username, source, ..
            } = &login.credential;
            command.append(cstr!("saslSupportedMechs"), format!("{source}.{username}"));
            let mut start = sasl_start(early);
            start.append(cstr!("db"), source.as_str());
            command.append(cstr!("speculativeAuthenticate"), start);
        }
        command.append(cstr!("$db"), "admin");
        let reply = self.call(&command).await?;
        match refusal(&reply) {
            None => Ok(reply),
            Some(refusal) => Err(OpenError::Hello {
                endpoint: self.endpoint.name.clone(),
                refusal,
            }),
        }
    }

    async fn log_in(
        &mut self,
        login: &Login,
        early: ScramClient,
        hello: &Hello<'_>,
    ) -> Result<(), OpenError> {
        let (client, taken_up) = match hello.speculative {
            Some(reply) => (early, Some(reply.to_owned())),
            None => {
                let mechanism = self.choose(login, hello)?;
                (self.begin(login, mechanism)?, None)
            }
        };
        let mechanism = client.mechanism();
        let reply = match taken_up {
            Some(reply) => reply,
            None => self.sasl(login, mechanism, sasl_start(&client)).await?,
        };
        let given_up = |fresh: &Self, source| fresh.given_up(login, mechanism, source);
        let challenge = client.challenge(payload(&reply));
        let challenge = challenge.map_err(|source| given_up(self, source))?;
        let keys = login.keys.keys(&challenge).await;
        let keys = keys.map_err(|source| given_up(self, source))?;
        let (response, expected) = challenge.respond(&keys);
        let conversation = conversation(&reply);
        let reply = self
            .sasl(login, mechanism, sasl_continue(conversation, response))
            .await?;
        expected
            .verify(payload(&reply))
            .map_err(|source| given_up(self, source))?;
        if is_done(&reply) {
            return Ok(());
        }
        // A server before 4.4 does not know `skipEmptyExchange`.
        let last = sasl_continue(conversation, Vec::new());
        let reply = self.sasl(login, mechanism, last).await?;
        let unfinished = ScramError::Malformed("last message is not its last");
        is_done(&reply)
            .then_some(())
            .ok_or_else(|| given_up(self, unfinished))
    }

    /// "If SCRAM-SHA-256 is present in the list of mechanism, then it MUST be used as the default; otherwise, SCRAM-SHA-1 MUST be
    /// used", says MongoDB's authentication specification; a list without either can be told apart from a wrong password.
    fn choose(&self, login: &Login, hello: &Hello<'_>) -> Result<Mechanism, OpenError> {
        if let Some(mechanism) = login.credential.mechanism {
            return Ok(mechanism);
        }
        let Some(offered) = hello.mechanisms else {
            return Ok(Mechanism::ScramSha1);
        };
        let offers = |mechanism: &Mechanism| {
            let mut names = offered.into_iter().flatten();
            names.any(|name| matches!(name, RawBsonRef::String(name) if name == mechanism.name()))
        };
        let chosen = MECHANISMS.into_iter().find(offers);
        chosen.ok_or_else(|| OpenError::MechanismUnavailable {
            endpoint: self.endpoint.name.clone(),
            who: login.who(login.preferred_mechanism()),
        })
    }

    /// Sends a command of the login to the database of the user.
    async fn sasl(
        &mut self,
        login: &Login,
        mechanism: Mechanism,
        mut command: RawDocumentBuf,
    ) -> Result<RawDocumentBuf, OpenError> {
        command.append(cstr!("$db"), login.credential.source.as_str());
        let reply = self.call(&command).await?;
        let endpoint = self.endpoint.name.clone();
        let who = login.who(mechanism);
        match refusal(&reply) {
            None => Ok(reply),
            Some(refusal) if refusal.code == MECHANISM_UNAVAILABLE => {
                Err(OpenError::MechanismUnavailable { endpoint, who })
            }
            Some(refusal) => Err(OpenError::Refused {
                endpoint,
                who,
                refusal,
            }),
        }
    }

    async fn call(&mut self, command: &RawDocument) -> Result<RawDocumentBuf, OpenError> {
        self.last_request += 1;
        let reply = call(&mut self.stream, self.last_request, command).await;
        reply.map_err(|error| match error {
            CallError::Unexpected(reason) => self.not_mongo(reason),
            CallError::Io(source) => OpenError::Lost {
                endpoint: self.endpoint.name.clone(),
                step: self.step,
                source,
            },
        })
    }

    fn not_mongo(&self, reason: &'static str) -> OpenError {
        OpenError::NotMongo {
            endpoint: self.endpoint.name.clone(),
            reason,
        }
    }

    fn given_up(&self, login: &Login, mechanism: Mechanism, source: ScramError) -> OpenError {
        OpenError::Scram {
            endpoint: self.endpoint.name.clone(),
            who: login.who(mechanism),
            source,
        }
    }
}
