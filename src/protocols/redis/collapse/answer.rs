//! What the proxy answers itself: who the client is, which database and which version it wants. A server is asked whether it takes that,
//! on a connection that is closed again; from then on the client's requests go over connections that are like that.

use super::client;
use std::rc::Rc;

use super::decide::{Answer, database};
use super::errors::Refusal;
use super::identity::Identity;
use super::local::answer;
use super::logins::Logins;
use super::session::{End, Session};
use crate::exchange::{CloseReason, Outcome};
use crate::scram::PlainError;
use crate::stats::Redis;
use crate::upstream::redis::{Credential, Password, Profile, Version};

/// What the proxy answers.
enum Reply {
    Ok,
    Text(&'static [u8]),
    /// As a server said it.
    Bytes(Vec<u8>),
    Refused(Refusal),
}

impl Session<'_> {
    /// Answers the first request that is held in the server's place. All before it has been answered.
    pub(super) async fn answer(&mut self, answer: Answer) -> Result<(), End> {
        let Some((request, arguments, application)) = self.first_request() else {
            return Ok(());
        };
        let argument = |index| argument(&arguments, index);
        let reply = match answer {
            Answer::Auth => self.auth(&arguments).await,
            Answer::Hello => self.hello(&arguments).await,
            Answer::Select => self.select(argument(1)).await,
            Answer::Reset => self.reset(),
            Answer::Quit | Answer::SetInfo => Reply::Ok,
            Answer::SetName => self.set_name(argument(2)),
            Answer::GetName => self.get_name(),
            Answer::Refuse(command) => Reply::Refused(Refusal::OneServer { command }),
            Answer::Unplaced => Reply::Refused(Refusal::Unplaced),
            Answer::Crossed => Reply::Refused(Refusal::Crossed),
            Answer::LogInFirst => Reply::Refused(Refusal::LogInFirst),
        };
        let refused = matches!(reply, Reply::Refused(_));
        if !refused && let Some(application) = application {
            self.application = Some(application);
        }
        self.give(request, reply);
        match answer {
            Answer::Quit => Err(End::by_us(CloseReason::LastReply)),
            _ => Ok(()),
        }
    }

    fn give(&self, request: client::Request, reply: Reply) {
        let (bytes, outcome) = match reply {
            Reply::Ok => (b"+OK\r\n".to_vec(), Outcome::Success),
            Reply::Text(text) => (text.to_vec(), Outcome::Success),
            Reply::Bytes(bytes) => (bytes, Outcome::Success),
            Reply::Refused(refusal) => {
                let cluster = self.listener.redis.cluster_name();
                (refusal.reply(cluster), Outcome::Error)
            }
        };
        answer(&self.client, request, &bytes, outcome);
    }

    /// AUTH password, or AUTH user password.
    async fn auth(&mut self, arguments: &[Vec<u8>]) -> Reply {
        let (username, password) = match arguments.get(1..).unwrap_or_default() {
            [password] => (None, password),
            [username, password] => (Some(username.as_slice()), password),
            _ => {
                let line = b"-ERR syntax error".to_vec();
                return Reply::Refused(Refusal::Server { line });
            }
        };
        let introduced = match self.listener.logins.clone() {
            Some(logins) => self.log_in(&logins, username, password).await,
            None if self.listener.targets.are_several() => Err(Refusal::SeveralClusters),
            None => {
                let profile = Profile {
                    credential: Some(Credential {
                        username: username.map(Into::into),
                        password: Password::new(password),
                    }),
                    ..self.identity.profile.clone()
                };
                self.introduce(profile, false).await.map(drop)
            }
        };
        match introduced {
            Ok(()) => Reply::Ok,
            Err(refusal) => Reply::Refused(refusal),
        }
    }

    /// To the proxy itself. Without a name it is the user `default`, as to Redis. Who has logged in before stays so when this one fails.
    async fn log_in(
        &mut self,
        logins: &Logins,
        username: Option<&[u8]>,
        password: &[u8],
    ) -> Result<(), Refusal> {
        let name = username.unwrap_or(b"default");
        let Err(error) = logins.check(name, password).await else {
            self.identity.is_known = true;
            return Ok(());
        };
        let listener = &self.listener.redis;
        listener.stats.inc(Redis::LOGIN_FAILED);
        let client = self.stream.tcp().peer_addr().ok();
        // Some say their password where the name should be: only a name that there is is told.
        let user = logins.is_name(name).then(|| String::from_utf8_lossy(name));
        tracing::warn!(
            listener = listener.name(),
            ?client,
            user = user.as_deref(),
            reason = error.reason(),
            "a login failed"
        );
        Err(match error {
            PlainError::Wrong => Refusal::WrongPassword,
            PlainError::Busy => Refusal::Busy,
        })
    }

    /// `SELECT database`.
    async fn select(&mut self, written: &[u8]) -> Reply {
        let Some(database) = database(written) else {
            let line = b"-ERR invalid DB index".to_vec();
            return Reply::Refused(Refusal::Server { line });
        };
        let profile = Profile {
            database,
            ..self.identity.profile.clone()
        };
        // A server has taken it before, and there is no secret in it that could be guessed.
        if self.is_known_as(&profile) {
            return Reply::Ok;
        }
        match self.introduce(profile, false).await {
            Ok(_) => Reply::Ok,
            Err(refusal) => Reply::Refused(refusal),
        }
    }

    /// `HELLO [version [AUTH user password] [SETNAME name]]`.
    async fn hello(&mut self, arguments: &[Vec<u8>]) -> Reply {
        let mut profile = self.identity.profile.clone();
        match argument(arguments, 1) {
            b"2" => profile.version = Version::Two,
            b"3" => profile.version = Version::Three,
            b"" if arguments.len() == 1 => {}
            written => return Reply::Refused(unknown_version(written)),
        }
        let mut options = arguments.get(2..).unwrap_or_default();
        let (mut name, mut login) = (None, None);
        loop {
            match options {
                [] => break,
                [option, username, password, rest @ ..] if option.eq_ignore_ascii_case(b"auth") => {
                    login = Some((username, password));
                    options = rest;
                }
                [option, written, rest @ ..] if option.eq_ignore_ascii_case(b"setname") => {
                    if !is_client_name(written) {
                        return Reply::Refused(Refusal::ClientName);
                    }
                    name = Some(written.clone());
                    options = rest;
                }
                [option, ..] => {
                    let option = String::from_utf8_lossy(option);
                    let line = format!("-ERR Syntax error in HELLO option '{option}'");
                    let line = line.into_bytes();
                    return Reply::Refused(Refusal::Server { line });
                }
            }
        }
        let mut is_new = false;
        match (self.listener.logins.clone(), login) {
            (Some(logins), Some((username, password))) => {
                let username = Some(username.as_slice());
                if let Err(refusal) = self.log_in(&logins, username, password).await {
                    return Reply::Refused(refusal);
                }
            }
            (Some(_), None) if !self.identity.is_known => {
                return Reply::Refused(Refusal::HelloFirst);
            }
            (None, Some(_)) if self.listener.targets.are_several() => {
                return Reply::Refused(Refusal::SeveralClusters);
            }
            (None, Some((username, password))) => {
                is_new = true;
                profile.credential = Some(Credential {
                    username: Some(username.as_slice().into()),
                    password: Password::new(password),
                });
            }
            (_, None) => {}
        }
        // Who says a password is asked for again: it may have changed.
        let known = match is_new {
            true => None,
            false => self.known_hello(&profile),
        };
        let reply = match known {
            Some(reply) => Ok(Some(reply)),
            None => self.introduce(profile, true).await,
        };
        match reply {
            Ok(reply) => {
                if let Some(name) = name {
                    self.identity.name = name;
                }
                reply.map_or(Reply::Ok, Reply::Bytes)
            }
            Err(refusal) => Reply::Refused(refusal),
        }
    }

    /// What a server answered to the same HELLO before, on a connection that is still open: then nothing has to be asked.
    fn known_hello(&mut self, profile: &Profile) -> Option<Vec<u8>> {
        let own = Rc::clone(self.listener.targets.own());
        let reply = own.hello(own.redis()?.known(profile)?.id)?;
        self.is_known_as(profile).then(|| reply.to_vec())
    }

    /// `RESET`: a connection as it was when it was opened.
    fn reset(&mut self) -> Reply {
        self.rides.leave();
        self.identity = Identity::of_stranger(&self.listener.targets);
        self.application = None;
        Reply::Text(b"+RESET\r\n")
    }

    fn set_name(&mut self, name: &[u8]) -> Reply {
        if !is_client_name(name) {
            return Reply::Refused(Refusal::ClientName);
        }
        self.identity.name = name.to_vec();
        if name.is_empty() {
            self.application = None;
        }
        Reply::Ok
    }

    fn get_name(&self) -> Reply {
        let name = &self.identity.name;
        let version = self.identity.profile.version;
        match (name.is_empty(), version) {
            (true, Version::Two) => Reply::Text(b"$-1\r\n"),
            (true, Version::Three) => Reply::Text(b"_\r\n"),
            (false, _) => {
                let mut reply = format!("${}\r\n", name.len()).into_bytes();
                reply.extend_from_slice(name);
                reply.extend_from_slice(b"\r\n");
                Reply::Bytes(reply)
            }
        }
    }
}

/// One of the arguments of a request; nothing where it has none.
fn argument(arguments: &[Vec<u8>], index: usize) -> &[u8] {
    arguments.get(index).map_or(&[], Vec::as_slice)
}

/// As Redis says it: drivers take the prefix for "this server speaks version 2 only".
fn unknown_version(written: &[u8]) -> Refusal {
    let as_redis = |text: &str| {
        text.parse::<i64>()
            .is_ok_and(|number| number.to_string() == text)
    };
    let is_number = str::from_utf8(written).is_ok_and(as_redis);
    let line: &[u8] = match is_number {
        true => b"-NOPROTO unsupported protocol version",
        false => b"-ERR Protocol version is not an integer or out of range",
    };
    Refusal::Server {
        line: line.to_vec(),
    }
}

/// `validateClientName` of Redis: printable, without blanks.
fn is_client_name(name: &[u8]) -> bool {
    name.iter().all(|byte| (b'!'..=b'~').contains(byte))
}
