//! The server's side: a login in two steps, which ends with a user or says nothing about why it does not.

use std::sync::Arc;

use super::hash::{base64, from_base64, hash, hmac, nonce, same, xor};
use super::message::{Attributes, GS2_HEADER, is_nonce, text, unescaped};
use super::{Mechanism, User, Users, Verifier};

/// A login that was answered with a challenge.
pub struct ScramServer {
    /// `None` is a name that nobody has: its login is played to the end all the same.
    user: Option<Arc<User>>,
    verifier: Verifier,
    nonce: String,
    /// `client-first-message-bare` and `server-first-message`, each with a comma behind it.
    auth_message: String,
    /// What the client has to repeat of its first message, in base64.
    binding: String,
}

/// A login failed. Peers are told no more than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.reason())]
pub struct AuthFailed {
    reason: &'static str,
}

impl AuthFailed {
    /// Why, for the log of the proxy. Never for the client.
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

const fn failed(reason: &'static str) -> AuthFailed {
    AuthFailed { reason }
}

impl ScramServer {
    /// Reads the `client-first-message` and gives the `server-first-message`. Both look alike whether the user exists or not.
    ///
    /// # Errors
    /// When the message is malformed, or wants what MongoDB has not: channel binding, another identity.
    pub fn start(
        users: &Users,
        mechanism: Mechanism,
        client_first: &[u8],
    ) -> Result<(Self, Vec<u8>), AuthFailed> {
        let own_nonce = nonce().map_err(|_| failed("the system gives no random numbers"))?;
        Self::start_with(users, mechanism, client_first, &own_nonce)
    }

    fn start_with(
        users: &Users,
        mechanism: Mechanism,
        client_first: &[u8],
        own_nonce: &str,
    ) -> Result<(Self, Vec<u8>), AuthFailed> {
        const MALFORMED: AuthFailed = failed("the first message is malformed");
        let message = text(client_first).ok_or(MALFORMED)?;
        let (header, bare) = gs2_header(message).ok_or(MALFORMED)?;
        // A message that starts with "m=" asks for an extension that both sides must know; it is refused like any other
        // attribute in this place.
        let mut attributes = Attributes::new(bare);
        let name = attributes.expect('n').and_then(unescaped);
        let name = name.ok_or(MALFORMED)?;
        let client_nonce = attributes.expect('r').filter(|nonce| is_nonce(nonce));
        let nonce = format!("{}{own_nonce}", client_nonce.ok_or(MALFORMED)?);
        let (user, verifier) = users.verifier(&name, mechanism);
        let server_first = format!(
            "r={nonce},s={},i={}",
            base64(&verifier.salt),
            verifier.iterations
        );
        let server = Self {
            user,
            verifier,
            nonce,
            auth_message: format!("{bare},{server_first},"),
            binding: base64(header.as_bytes()),
        };
        Ok((server, server_first.into_bytes()))
    }

    /// Reads the `client-final-message` and gives the `server-final-message` with the user, who is known now.
    ///
    /// # Errors
    /// When the message is malformed or not one of this login, the proof is wrong, or there is no such user.
    pub fn finish(self, client_final: &[u8]) -> Result<(Vec<u8>, Arc<User>), AuthFailed> {
        const MALFORMED: AuthFailed = failed("the last message is malformed");
        let message = text(client_final).ok_or(MALFORMED)?;
        // "The client's proof [...] is always the last attribute"; extensions may stand before it.
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(MALFORMED)?;
        let proof = from_base64(proof).ok_or(MALFORMED)?;
        let mut attributes = Attributes::new(without_proof);
        if attributes.expect('c') != Some(&self.binding) {
            return Err(failed(
                "the last message does not repeat the first one's start",
            ));
        }
        if attributes.expect('r') != Some(&self.nonce) {
            return Err(failed("the nonce is not the one of this login"));
        }
        let mechanism = self.verifier.mechanism;
        let auth_message = [self.auth_message.as_bytes(), without_proof.as_bytes()];
        let signature = hmac(mechanism, &self.verifier.stored_key, &auth_message);
        let client_key = xor(&proof, &signature);
        // Computed for unknown users too, so that the time tells nothing.
        let proven = proof.len() == signature.len()
            && same(&hash(mechanism, &client_key), &self.verifier.stored_key);
        let answer = hmac(mechanism, &self.verifier.server_key, &auth_message);
        let user = self
            .user
            .ok_or(failed("there is no such user with this mechanism"))?;
        if !proven {
            return Err(failed("the password is wrong"));
        }
        Ok((format!("v={}", base64(&answer)).into_bytes(), user))
    }
}

/// The header, and what follows. "n" is a client without channel binding, "y" one that has it and knows that we have not.
fn gs2_header(message: &str) -> Option<(&str, &str)> {
    let (header, bare) = message.split_at_checked(GS2_HEADER.len())?;
    matches!(header, GS2_HEADER | "y,,").then_some((header, bare))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scram::{Challenge, Keys, MECHANISMS, ScramClient, ScramError};
    use crate::secret::Secret;

    fn users() -> Users {
        let mut text = String::new();
        for (name, mechanisms) in [
            ("both", &MECHANISMS[..]),
            ("sha256", &MECHANISMS[..1]),
            ("o=d,d", &MECHANISMS[1..]),
        ] {
            text.push_str(name);
            for mechanism in mechanisms {
                let verifier = Verifier::new(*mechanism, name, &password("pencil")).unwrap();
                text.push(' ');
                text.push_str(&verifier.to_text());
            }
            text.push('\n');
        }
        Users::parse("users", &text).unwrap()
    }

    fn password(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    fn respond(
        challenge: Challenge,
        name: &str,
        with: &str,
    ) -> (Vec<u8>, crate::scram::ExpectedSignature) {
        let keys = Keys::derive(
            challenge.mechanism,
            name,
            &password(with),
            &challenge.salt,
            challenge.iterations,
        )
        .unwrap();
        challenge.respond(&keys)
    }

    fn log_in(
        users: &Users,
        mechanism: Mechanism,
        name: &str,
        with: &str,
    ) -> Result<String, AuthFailed> {
        let client = ScramClient::new(mechanism, name).unwrap();
        let (server, server_first) = ScramServer::start(users, mechanism, &client.first())?;
        let (response, expected) = respond(client.challenge(&server_first).unwrap(), name, with);
        let (server_final, user) = server.finish(&response)?;
        assert_eq!(expected.verify(&server_final), Ok(()));
        Ok(user.name.clone())
    }

    #[test]
    fn who_knows_the_password_gets_in_and_nobody_else() {
        let users = users();
        for mechanism in MECHANISMS {
            let both = |with| log_in(&users, mechanism, "both", with);
            assert_eq!(both("pencil"), Ok("both".to_owned()));
            assert_eq!(both("pen"), Err(failed("the password is wrong")));
            assert_eq!(both(""), Err(failed("the password is wrong")));
            assert!(log_in(&users, mechanism, "nobody", "pencil").is_err());
        }
        assert!(log_in(&users, Mechanism::ScramSha1, "o=d,d", "pencil").is_ok());
        assert!(log_in(&users, Mechanism::ScramSha1, "sha256", "pencil").is_err());
    }

    /// Logins of PyMongo 4.20 at mongod 6.0.5, recorded: user `ro=ot,x`, password `pen\u{AD}cil`.
    #[test]
    fn a_recorded_login_goes_as_it_went_at_mongod() {
        let cases = [
            (
                Mechanism::ScramSha256,
                "n,,n=ro=3Dot=2Cx,r=VcdPdwgiGbjKah2+abtuRc6tV+L0HGsxCNQDzhwctmo=",
                "g5JnbkjdS1TqRD7A0FXBBWINq7EX3WTI",
                "L/5n5BFJOoMauYJQ0XdoJX4wBY7xQjOk4mE7Gg==",
                15000,
                "c=biws,r=VcdPdwgiGbjKah2+abtuRc6tV+L0HGsxCNQDzhwctmo=g5JnbkjdS1TqRD7A0FXBBWINq7EX3WTI,p=D10RYyjhPeQORC49c7yw0qbwg2CgjUSPArtQ5ksgzFQ=",
                "v=0DI2EV9Q8PxZ6H0rjrsPtWqyFf0jamwgdlVUJ4I/Klo=",
            ),
            (
                Mechanism::ScramSha1,
                "n,,n=ro=3Dot=2Cx,r=CJZWmJ7+VL2yh8JITeU1hEj3y0IXh88hU7O3sZfayTs=",
                "BT4U4nSSlBl4n6JHqrWRHYWlymPu5d5l",
                "TpyGvE+Q3bGzC8F8e7UO8Q==",
                10000,
                "c=biws,r=CJZWmJ7+VL2yh8JITeU1hEj3y0IXh88hU7O3sZfayTs=BT4U4nSSlBl4n6JHqrWRHYWlymPu5d5l,p=cuosV8qkN36F3YQq1RDgG04pQKw=",
                "v=6radAxyNHcxJvH2bfIQS79M+qXk=",
            ),
        ];
        for (mechanism, first, nonce, salt, iterations, last, answer) in cases {
            let bytes = from_base64(salt).unwrap();
            let password = password("pen\u{AD}cil");
            let keys = Keys::derive(mechanism, "ro=ot,x", &password, &bytes, iterations).unwrap();
            let verifier = format!(
                "{}${iterations}:{salt}${}:{}",
                mechanism.name(),
                base64(&hash(mechanism, &keys.client)),
                base64(&keys.server)
            );
            let users = Users::parse("users", &format!("ro=ot,x app {verifier}")).unwrap();
            let (server, challenge) =
                ScramServer::start_with(&users, mechanism, first.as_bytes(), nonce).unwrap();
            let challenge = String::from_utf8(challenge).unwrap();
            assert!(challenge.ends_with(&format!("{nonce},s={salt},i={iterations}")));
            let (server_final, user) = server.finish(last.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(server_final).unwrap(), answer);
            assert_eq!(user.credential.as_deref(), Some("app"));
        }
    }

    #[test]
    fn names_cannot_be_probed() {
        let users = users();
        let challenge = |name: &str| {
            let first = format!("n,,n={name},r=abc");
            let mechanism = Mechanism::ScramSha256;
            let (_, message) =
                ScramServer::start_with(&users, mechanism, first.as_bytes(), "x").unwrap();
            String::from_utf8(message).unwrap()
        };
        assert_eq!(challenge("nobody"), challenge("nobody"));
        assert_ne!(challenge("nobody"), challenge("noone"));
        assert_eq!(challenge("sha256").len(), challenge("nobody").len());
        assert!(challenge("nobody").ends_with(",i=15000"));
    }

    #[test]
    fn a_login_cannot_be_replayed_or_changed_on_the_way() {
        let users = users();
        let mechanism = Mechanism::ScramSha256;
        let start = || {
            let client = ScramClient::new(mechanism, "both").unwrap();
            let (server, first) = ScramServer::start(&users, mechanism, &client.first()).unwrap();
            let (response, expected) = respond(client.challenge(&first).unwrap(), "both", "pencil");
            (server, String::from_utf8(response).unwrap(), expected)
        };
        let (_, recorded, _) = start();
        let (server, _, _) = start();
        assert!(server.finish(recorded.as_bytes()).is_err());
        for (from, to) in [
            ("c=biws", "c=eSws"),
            ("c=biws,", ""),
            (",r=", ",r=x"),
            (",p=", ",x=y,p="),
            (",p=", ",p"),
            (",p=", ",p=AAAA"),
        ] {
            let (server, response, _) = start();
            let changed = response.replacen(from, to, 1);
            assert_ne!(changed, response);
            assert!(server.finish(changed.as_bytes()).is_err(), "{changed}");
        }
        let (server, response, expected) = start();
        let (server_final, _) = server.finish(response.as_bytes()).unwrap();
        assert_eq!(expected.verify(&server_final), Ok(()));
        assert_eq!(expected.verify(b"v=AAAA"), Err(ScramError::Signature));
    }

    #[test]
    fn what_mongodb_does_not_have_is_refused() {
        let users = users();
        let start = |first: &str| {
            ScramServer::start(&users, Mechanism::ScramSha256, first.as_bytes()).is_ok()
        };
        assert!(start("n,,n=both,r=abc"));
        assert!(start("y,,n=both,r=abc,x=extension"));
        for first in [
            "",
            "n",
            "n,,",
            "p=tls-unique,,n=both,r=abc",
            "n,a=admin,n=both,r=abc",
            "n,,m=x,n=both,r=abc",
            "n,,n=both",
            "n,,n=both,r=",
            "n,,n=both,r=a\u{7f}c",
            "n,,n=bo=th,r=abc",
            &format!("n,,n={},r=abc", "x".repeat(5000)),
        ] {
            assert!(!start(first), "{first}");
        }
    }

    proptest! {
        #[test]
        fn no_message_makes_it_panic(tail in ".*", bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let users = Users::parse("users", "").unwrap();
            let start = |first: &[u8]| ScramServer::start(&users, Mechanism::ScramSha1, first);
            let _ = start(&bytes);
            let _ = start(format!("n,,{tail}").as_bytes());
            for last in [&bytes[..], tail.as_bytes(), format!("c=biws,r=abcx,p={tail}").as_bytes()] {
                let (server, _) = ScramServer::start_with(&users, Mechanism::ScramSha1, b"n,,n=u,r=abc", "x").unwrap();
                prop_assert!(server.finish(last).is_err());
            }
        }
    }
}
