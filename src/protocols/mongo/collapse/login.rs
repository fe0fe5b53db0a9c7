//! Who a client is. With `auth: scram` the login ends here, against the proxy's own verifiers; upstream the proxy logs in itself, as the
//! credential that the user is mapped to.

use std::rc::Rc;
use std::sync::Arc;

use bson::raw::{RawArrayBuf, RawDocument, RawDocumentBuf};

use super::operation::Operation;
use super::{End, Session};
use crate::protocols::mongo::errors::failure;
use crate::protocols::mongo::sasl::{Conversation, Progress, SaslError, supported_mechanisms};
use crate::protocols::mongo::wire;
use crate::scram::{User, Users};

/// Who may use a listener.
#[derive(Clone)]
pub(crate) enum Auth {
    /// Everybody, as the cluster's first credential.
    None,
    /// These users.
    Scram {
        /// Their verifiers.
        users: Arc<Users>,
        /// The names of the cluster's credentials, in their order.
        credentials: Rc<[String]>,
    },
}

/// What the reply to a hello says of a login.
#[derive(Default)]
pub(super) struct LoginPart {
    /// `saslSupportedMechs`
    pub(super) mechanisms: Option<RawArrayBuf>,
    /// `speculativeAuthenticate`
    pub(super) speculative: Option<RawDocumentBuf>,
}

/// Who a client is, as far as is known.
pub(super) enum Identity {
    /// It need not say.
    Anybody,
    /// It has not said yet; perhaps it is about to.
    Stranger(Option<Box<Conversation>>),
    /// It has proved it.
    Known {
        user: Arc<User>,
        database: Box<str>,
        credential: u32,
    },
}

impl Auth {
    /// Who a client is that has just connected.
    pub(super) fn stranger(&self) -> Identity {
        match self {
            Self::None => Identity::Anybody,
            Self::Scram { .. } => Identity::Stranger(None),
        }
    }
}

impl Identity {
    /// True when its operations are served.
    pub(super) fn may_operate(&self) -> bool {
        !matches!(self, Self::Stranger(_))
    }

    /// Which of the cluster's credentials its operations run under.
    pub(super) fn credential(&self) -> u32 {
        match self {
            Self::Known { credential, .. } => *credential,
            Self::Anybody | Self::Stranger(_) => 0,
        }
    }

    /// Name and database of the user.
    pub(super) fn user(&self) -> Option<(&str, &str)> {
        match self {
            Self::Known { user, database, .. } => Some((&user.name, database)),
            Self::Anybody | Self::Stranger(_) => None,
        }
    }
}

impl Session<'_> {
    /// `saslStart` and `saslContinue`.
    pub(super) async fn login(&mut self, operation: &Operation) -> Result<(), End> {
        let Auth::Scram { users, .. } = self.listener.auth.clone() else {
            // "MechanismUnavailable"
            let message = "narrows: this listener has no users (mongo.auth is none); connect without a user name";
            let document = failure(334, "MechanismUnavailable", message, &[]);
            return self.answer(operation, &document).await;
        };
        let message = self.opened_message(operation).into_owned();
        let reply = match wire::body(&message) {
            Some(body) => self.step(&users, body),
            None => Err(SaslError::NO_CONVERSATION),
        };
        let document = reply.unwrap_or_else(|error| {
            tracing::warn!(cluster = %self.listener.cluster.name, client = ?self.peer, reason = error.reason, "a login failed");
            error.reply()
        });
        self.answer(operation, &document).await
    }

    fn step(&mut self, users: &Users, body: &RawDocument) -> Result<RawDocumentBuf, SaslError> {
        let first = body.iter_elements().next().and_then(Result::ok);
        if first.is_some_and(|first| first.key().as_str() == "saslStart") {
            let (conversation, reply) = Conversation::start(users, body)?;
            self.identity = Identity::Stranger(Some(Box::new(conversation)));
            return Ok(reply);
        }
        let Identity::Stranger(conversation) = &mut self.identity else {
            return Err(SaslError::NO_CONVERSATION);
        };
        let conversation = conversation.take().ok_or(SaslError::NO_CONVERSATION)?;
        match conversation.go_on(body)? {
            Progress::More {
                conversation,
                reply,
            } => {
                self.identity = Identity::Stranger(Some(Box::new(conversation)));
                Ok(reply)
            }
            Progress::Done { user, reply } => {
                self.identity = self.known(user, body);
                Ok(reply)
            }
        }
    }

    fn known(&self, user: Arc<User>, body: &RawDocument) -> Identity {
        let credential = match (&self.listener.auth, &user.credential) {
            (Auth::Scram { credentials, .. }, Some(name)) => {
                credentials.iter().position(|known| known == name)
            }
            _ => None,
        };
        Identity::Known {
            user,
            database: body.get_str("$db").unwrap_or("admin").into(),
            credential: credential
                .and_then(|place| u32::try_from(place).ok())
                .unwrap_or(0),
        }
    }

    /// What a hello asks of a login to come: which mechanisms a user has, and its first step.
    pub(super) fn login_part(&mut self, hello: &RawDocument) -> LoginPart {
        let Auth::Scram { users, .. } = &self.listener.auth else {
            return LoginPart::default();
        };
        let mechanisms = supported_mechanisms(users, hello);
        let started = Conversation::speculative(users, hello);
        let speculative = started.map(|(conversation, reply)| {
            self.identity = Identity::Stranger(Some(Box::new(conversation)));
            reply
        });
        LoginPart {
            mechanisms,
            speculative,
        }
    }
}
