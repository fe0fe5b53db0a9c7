//! Logins of clients, which end at the proxy: MongoDB's commands around SCRAM. A state machine of documents, without sockets.

use std::sync::Arc;

use bson::raw::{RawArrayBuf, RawBsonRef, RawDocument, RawDocumentBuf, cstr};
use bson::spec::BinarySubtype;
use bson::{Binary, rawdoc};

use crate::scram::{AuthFailed, Mechanism, ScramServer, User, Users};

/// The id that every conversation has: there is one at a time on a connection, and mongod calls it 1 too.
const CONVERSATION_ID: i32 = 1;

/// A login that waits for the client's next `saslContinue`.
pub struct Conversation {
    waits_for: WaitsFor,
    skip_empty_exchange: bool,
}

enum WaitsFor {
    Proof(Box<ScramServer>),
    /// "a third, empty exchange", which clients that don't skip it send when the server has proven itself.
    Nothing(Arc<User>),
}

/// What a `saslContinue` leads to.
pub enum Progress {
    /// One more is to come.
    More {
        /// To go on with.
        conversation: Conversation,
        /// The reply to send.
        reply: RawDocumentBuf,
    },
    /// The client is who it says.
    Done {
        /// Who that is.
        user: Arc<User>,
        /// The reply to send.
        reply: RawDocumentBuf,
    },
}

/// Why a login failed, as the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct SaslError {
    /// MongoDB's number.
    pub code: i32,
    /// MongoDB's name of that number.
    pub code_name: &'static str,
    /// The message for the client, which says nothing about users.
    pub message: &'static str,
    /// For the log of the proxy. Never for the client.
    pub reason: &'static str,
}

impl SaslError {
    /// The `saslContinue` of a connection on which no login has begun.
    pub const NO_CONVERSATION: Self = protocol_error("No SASL session state found");

    /// The reply that says so.
    pub fn reply(&self) -> RawDocumentBuf {
        rawdoc! { "ok": 0.0, "errmsg": self.message, "code": self.code, "codeName": self.code_name }
    }
}

impl From<AuthFailed> for SaslError {
    fn from(error: AuthFailed) -> Self {
        Self {
            code: 18,
            code_name: "AuthenticationFailed",
            message: "Authentication failed.",
            reason: error.reason(),
        }
    }
}

const fn protocol_error(message: &'static str) -> SaslError {
    SaslError {
        code: 17,
        code_name: "ProtocolError",
        message,
        reason: message,
    }
}

const MECHANISM_UNAVAILABLE: SaslError = SaslError {
    code: 334,
    code_name: "MechanismUnavailable",
    message: "the mechanisms here are SCRAM-SHA-256 and SCRAM-SHA-1",
    reason: "the client asks for a mechanism that is not SCRAM",
};

impl Conversation {
    /// Answers `saslStart {mechanism, payload, options: {skipEmptyExchange}}`.
    ///
    /// # Errors
    /// What the client is told instead; no conversation has begun then.
    pub fn start(users: &Users, body: &RawDocument) -> Result<(Self, RawDocumentBuf), SaslError> {
        let (conversation, reply) = Self::begin(users, body)?;
        Ok((conversation, with_ok(reply)))
    }

    /// Answers what a hello has in `speculativeAuthenticate`, which is a `saslStart`: the document is for the field of the same name of
    /// the reply. `None` when there is nothing to answer: "if the speculative authentication fails, the field is left out", and the
    /// client starts again in the open.
    pub fn speculative(users: &Users, hello: &RawDocument) -> Option<(Self, RawDocumentBuf)> {
        match value(hello, "speculativeAuthenticate")? {
            RawBsonRef::Document(start) if value(start, "saslStart").is_some() => {
                Self::begin(users, start).ok()
            }
            _ => None,
        }
    }

    fn begin(users: &Users, body: &RawDocument) -> Result<(Self, RawDocumentBuf), SaslError> {
        let Some(RawBsonRef::String(mechanism)) = value(body, "mechanism") else {
            return Err(protocol_error("saslStart needs a mechanism"));
        };
        let mechanism = Mechanism::by_name(mechanism).ok_or(MECHANISM_UNAVAILABLE)?;
        let (server, payload) = ScramServer::start(users, mechanism, payload(body)?)?;
        let skip_empty_exchange = match value(body, "options") {
            Some(RawBsonRef::Document(options)) => {
                value(options, "skipEmptyExchange").is_some_and(is_true)
            }
            _ => false,
        };
        let conversation = Self {
            waits_for: WaitsFor::Proof(Box::new(server)),
            skip_empty_exchange,
        };
        Ok((conversation, reply(false, payload)))
    }

    /// Answers `saslContinue {conversationId, payload}`.
    ///
    /// # Errors
    /// What the client is told instead; the conversation has ended then.
    pub fn go_on(self, body: &RawDocument) -> Result<Progress, SaslError> {
        let id = value(body, "conversationId").and_then(whole_number);
        if id != Some(i64::from(CONVERSATION_ID)) {
            return Err(protocol_error("sasl: Mismatched conversation id"));
        }
        let payload = payload(body)?;
        let (user, payload) = match self.waits_for {
            WaitsFor::Proof(server) => {
                let (payload, user) = server.finish(payload)?;
                if !self.skip_empty_exchange {
                    return Ok(Progress::More {
                        conversation: Self {
                            waits_for: WaitsFor::Nothing(user),
                            skip_empty_exchange: false,
                        },
                        reply: with_ok(reply(false, payload)),
                    });
                }
                (user, payload)
            }
            WaitsFor::Nothing(user) if payload.is_empty() => (user, Vec::new()),
            WaitsFor::Nothing(_) => {
                return Err(protocol_error("the last exchange has to be empty"));
            }
        };
        let reply = with_ok(reply(true, payload));
        Ok(Progress::Done { user, reply })
    }
}

/// The value of the field `saslSupportedMechs` of the reply to a hello that asks for it with `DATABASE.USER`.
pub fn supported_mechanisms(users: &Users, hello: &RawDocument) -> Option<RawArrayBuf> {
    let RawBsonRef::String(asked) = value(hello, "saslSupportedMechs")? else {
        return None;
    };
    let (_, name) = asked.split_once('.')?;
    let mut names = RawArrayBuf::new();
    for mechanism in users.mechanisms(name) {
        names.push(mechanism.name());
    }
    Some(names)
}

fn payload(body: &RawDocument) -> Result<&[u8], SaslError> {
    match value(body, "payload") {
        Some(RawBsonRef::Binary(payload)) => Ok(payload.bytes),
        _ => Err(protocol_error("the payload has to be binary data")),
    }
}

fn reply(done: bool, payload: Vec<u8>) -> RawDocumentBuf {
    let payload = Binary {
        subtype: BinarySubtype::Generic,
        bytes: payload,
    };
    rawdoc! { "conversationId": CONVERSATION_ID, "done": done, "payload": payload }
}

fn with_ok(mut reply: RawDocumentBuf) -> RawDocumentBuf {
    reply.append(cstr!("ok"), 1.0);
    reply
}

/// A field's value. What is malformed before it makes it as good as absent.
fn value<'a>(document: &'a RawDocument, name: &str) -> Option<RawBsonRef<'a>> {
    document.get(name).ok().flatten()
}

fn is_true(value: RawBsonRef<'_>) -> bool {
    matches!(value, RawBsonRef::Boolean(true)) || whole_number(value).is_some_and(|n| n != 0)
}

fn whole_number(value: RawBsonRef<'_>) -> Option<i64> {
    match value {
        RawBsonRef::Int32(number) => Some(i64::from(number)),
        RawBsonRef::Int64(number) => Some(number),
        RawBsonRef::Double(1.0) => Some(1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scram::{Keys, ScramClient, Verifier};
    use crate::secret::Secret;

    const MECHANISM: Mechanism = Mechanism::ScramSha256;

    fn users() -> Users {
        let password = Secret::new("pencil".to_owned());
        let verifier = Verifier::new(MECHANISM, "ann", &password).unwrap();
        Users::parse("users", &format!("ann app {}", verifier.to_text())).unwrap()
    }

    fn binary(bytes: &[u8]) -> Binary {
        Binary {
            subtype: BinarySubtype::Generic,
            bytes: bytes.to_vec(),
        }
    }

    /// As PyMongo 4.20 sends it, but for the names of system and runtime.
    fn hello(client: &ScramClient) -> RawDocumentBuf {
        rawdoc! {
            "ismaster": 1, "helloOk": true, "backpressure": "2",
            "client": { "driver": { "name": "PyMongo|c", "version": "4.20.0|" } },
            "compression": [],
            "saslSupportedMechs": "admin.ann",
            "speculativeAuthenticate": {
                "saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": binary(&client.first()),
                "autoAuthorize": 1, "options": { "skipEmptyExchange": true }, "db": "admin",
            },
            "$db": "admin",
        }
    }

    fn start(client: &ScramClient) -> RawDocumentBuf {
        let mechanism = client.mechanism().name();
        rawdoc! { "saslStart": 1, "mechanism": mechanism, "payload": binary(&client.first()), "$db": "admin" }
    }

    fn go_on(payload: &[u8]) -> RawDocumentBuf {
        rawdoc! { "saslContinue": 1, "conversationId": 1, "payload": binary(payload), "$db": "admin" }
    }

    fn respond(client: ScramClient, reply: &RawDocument, password: &str) -> Vec<u8> {
        let challenge = client.challenge(payload(reply).unwrap()).unwrap();
        let (salt, iterations) = challenge.inputs();
        let password = Secret::new(password.to_owned());
        let keys = Keys::derive(MECHANISM, "ann", &password, salt, iterations).unwrap();
        challenge.respond(&keys).0
    }

    fn keys(document: &RawDocument) -> Vec<String> {
        let elements = document.iter().map(|element| element.unwrap());
        elements.map(|(key, _)| key.to_string()).collect()
    }

    #[test]
    fn a_login_in_the_hello_takes_one_more_message() {
        let users = users();
        let client = ScramClient::new(MECHANISM, "ann").unwrap();
        let hello = hello(&client);
        let (conversation, reply) = Conversation::speculative(&users, &hello).unwrap();
        assert_eq!(keys(&reply), ["conversationId", "done", "payload"]);
        let names = supported_mechanisms(&users, &hello).unwrap();
        assert_eq!(names, RawArrayBuf::from_iter(["SCRAM-SHA-256"]));
        let last = go_on(&respond(client, &reply, "pencil"));
        let Ok(Progress::Done { user, reply }) = conversation.go_on(&last) else {
            panic!("not logged in");
        };
        assert_eq!(user.name, "ann");
        assert_eq!(keys(&reply), ["conversationId", "done", "payload", "ok"]);
        assert!(reply.get_bool("done").unwrap());
    }

    #[test]
    fn who_does_not_skip_the_empty_exchange_gets_it() {
        let users = users();
        let client = ScramClient::new(MECHANISM, "ann").unwrap();
        let (conversation, reply) = Conversation::start(&users, &start(&client)).unwrap();
        assert_eq!(reply.get_f64("ok").unwrap(), 1.0);
        let last = go_on(&respond(client, &reply, "pencil"));
        let Ok(Progress::More {
            conversation,
            reply,
        }) = conversation.go_on(&last)
        else {
            panic!("one more is to come");
        };
        assert!(!reply.get_bool("done").unwrap());
        let Ok(Progress::Done { user, reply }) = conversation.go_on(&go_on(b"")) else {
            panic!("not logged in");
        };
        assert_eq!(user.credential.as_deref(), Some("app"));
        assert!(reply.get_bool("done").unwrap());
        assert_eq!(payload(&reply), Ok(&b""[..]));
    }

    /// Codes and messages are those of mongod 6.0.5, but for those of malformed commands, which no driver sends.
    #[test]
    fn every_failure_looks_the_same() {
        let users = users();
        let codes = |error: SaslError| (error.code, error.code_name, error.message);
        let failed = (18, "AuthenticationFailed", "Authentication failed.");
        for (name, password) in [("ann", "pen"), ("bob", "pencil")] {
            let client = ScramClient::new(MECHANISM, name).unwrap();
            let (conversation, reply) = Conversation::start(&users, &start(&client)).unwrap();
            let last = go_on(&respond(client, &reply, password));
            let error = conversation.go_on(&last).err().unwrap();
            assert_eq!(codes(error), failed);
        }
        for mechanism in ["PLAIN", "scram-sha-256", ""] {
            let body = rawdoc! { "saslStart": 1, "mechanism": mechanism, "payload": binary(b"x") };
            let error = Conversation::start(&users, &body).err().unwrap();
            assert_eq!((error.code, error.code_name), (334, "MechanismUnavailable"));
        }
        let body =
            rawdoc! { "saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": binary(b"x") };
        assert_eq!(
            codes(Conversation::start(&users, &body).err().unwrap()),
            failed
        );
        let hello = rawdoc! { "hello": 1, "speculativeAuthenticate": body };
        assert!(Conversation::speculative(&users, &hello).is_none());
        let reply = SaslError::NO_CONVERSATION.reply();
        assert_eq!(reply.get_str("codeName").unwrap(), "ProtocolError");
    }

    #[test]
    fn a_malformed_continuation_ends_the_login() {
        let users = users();
        for last in [
            rawdoc! { "saslContinue": 1 },
            rawdoc! { "saslContinue": 1, "conversationId": 2, "payload": binary(b"") },
            rawdoc! { "saslContinue": 1, "conversationId": "1", "payload": binary(b"") },
            rawdoc! { "saslContinue": 1, "conversationId": 1, "payload": "" },
        ] {
            let client = ScramClient::new(MECHANISM, "ann").unwrap();
            let (conversation, _) = Conversation::start(&users, &start(&client)).unwrap();
            assert_eq!(conversation.go_on(&last).err().unwrap().code, 17);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0_usize..200, byte: u8) {
            let users = Users::parse("users", "").unwrap();
            let client = ScramClient::new(MECHANISM, "ann").unwrap();
            let try_all = |document: &RawDocument| {
                let _ = Conversation::speculative(&users, document);
                let _ = supported_mechanisms(&users, document);
                let _ = Conversation::start(&users, document);
                let (conversation, _) = Conversation::start(&users, &start(&client)).unwrap();
                assert!(conversation.go_on(document).is_err());
            };
            for sample in [hello(&client), start(&client), go_on(&bytes)] {
                try_all(&sample);
                let mut changed = sample.into_bytes();
                if let Some(place) = changed.get_mut(4 + at) {
                    *place = byte;
                }
                if let Ok(document) = RawDocument::from_bytes(&changed) {
                    try_all(document);
                }
            }
            let mut any = bytes;
            any.push(0);
            let length = u32::try_from(any.len() + 4).unwrap();
            any.splice(0..0, length.to_le_bytes());
            if let Ok(document) = RawDocument::from_bytes(&any) {
                try_all(document);
            }
        }
    }
}
