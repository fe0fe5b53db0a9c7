//! The client's side: three messages, each a step that gives the next.

use super::hash::{base64, from_base64, hash, hmac, nonce, same, xor};
use super::message::{Attributes, GS2_HEADER, escaped, is_nonce, text};
use super::{Keys, MAX_ITERATIONS, MIN_ITERATIONS, Mechanism, ScramError};

/// A login that has not been answered yet.
pub struct ScramClient {
    mechanism: Mechanism,
    nonce: String,
    first_bare: String,
}

impl ScramClient {
    /// Begins a login with a fresh nonce.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn new(mechanism: Mechanism, username: &str) -> Result<Self, ScramError> {
        Ok(Self::with_nonce(mechanism, username, nonce()?))
    }

    fn with_nonce(mechanism: Mechanism, username: &str, nonce: String) -> Self {
        let first_bare = format!("n={},r={nonce}", escaped(username));
        Self {
            mechanism,
            nonce,
            first_bare,
        }
    }

    /// The mechanism that it was begun with.
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// `client-first-message`
    pub fn first(&self) -> Vec<u8> {
        format!("{GS2_HEADER}{}", self.first_bare).into_bytes()
    }

    /// Reads the `server-first-message`.
    ///
    /// # Errors
    /// When it is malformed, does not go on from this login's nonce, or asks for too few or too many iterations.
    pub fn challenge(self, server_first: &[u8]) -> Result<Challenge, ScramError> {
        let malformed = || ScramError::Malformed("first message is malformed");
        let server_first = text(server_first).ok_or_else(malformed)?;
        let mut attributes = Attributes::new(server_first);
        let nonce = attributes.expect('r').ok_or_else(malformed)?;
        let salt = attributes.expect('s').and_then(from_base64);
        let salt = salt.ok_or_else(malformed)?;
        let iterations = attributes.expect('i').and_then(|text| text.parse().ok());
        let iterations: u64 = iterations.ok_or_else(malformed)?;
        // "The client MUST verify that the initial part of the nonce used in subsequent messages is the same as the nonce it
        // initially specified" (RFC 5802 section 5.1); the server has to add to it.
        let continues = nonce.len() > self.nonce.len() && nonce.starts_with(&self.nonce);
        if !continues || !is_nonce(nonce) {
            return Err(ScramError::Malformed("nonce does not go on from ours"));
        }
        let accepted = u64::from(MIN_ITERATIONS)..=u64::from(MAX_ITERATIONS);
        let iterations = u32::try_from(iterations)
            .ok()
            .filter(|_| accepted.contains(&iterations))
            .ok_or(ScramError::Iterations(iterations))?;
        let without_proof = format!("c={},r={nonce}", base64(GS2_HEADER.as_bytes()));
        Ok(Challenge {
            mechanism: self.mechanism,
            salt,
            iterations,
            auth_message: format!("{},{server_first},{without_proof}", self.first_bare),
            without_proof,
        })
    }
}

/// What the server asks for. The keys for it come from a [`KeyCache`](super::KeyCache).
pub struct Challenge {
    pub(super) mechanism: Mechanism,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
    auth_message: String,
    without_proof: String,
}

impl Challenge {
    /// Salt and iterations, for [`Keys::derive`].
    pub fn inputs(&self) -> (&[u8], u32) {
        (&self.salt, self.iterations)
    }

    /// `client-final-message`, and what the server's last message has to prove.
    pub fn respond(self, keys: &Keys) -> (Vec<u8>, ExpectedSignature) {
        let auth_message = self.auth_message.as_bytes();
        let stored_key = hash(self.mechanism, &keys.client);
        let signature = hmac(self.mechanism, &stored_key, &[auth_message]);
        let proof = base64(&xor(&keys.client, &signature));
        let response = format!("{},p={proof}", self.without_proof);
        let expected = hmac(self.mechanism, &keys.server, &[auth_message]);
        (response.into_bytes(), ExpectedSignature(expected))
    }
}

/// What only a server that knows the user can send.
pub struct ExpectedSignature(Vec<u8>);

impl ExpectedSignature {
    /// Checks the `server-final-message`.
    ///
    /// # Errors
    /// When it is malformed, or the server does not know the user's keys.
    pub fn verify(&self, server_final: &[u8]) -> Result<(), ScramError> {
        let signature = text(server_final)
            .and_then(|message| Attributes::new(message).expect('v'))
            .and_then(from_base64)
            .ok_or(ScramError::Malformed("last message is malformed"))?;
        if same(&signature, &self.0) {
            Ok(())
        } else {
            Err(ScramError::Signature)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::secret::Secret;

    /// The exchange of RFC 7677 section 3.
    #[test]
    fn messages_are_those_of_the_rfc() {
        let mechanism = Mechanism::ScramSha256;
        let client = ScramClient::with_nonce(mechanism, "user", "rOprNGfwEbeRWgbNEkqO".to_owned());
        assert_eq!(client.first(), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let challenge = client
            .challenge(b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
            .unwrap();
        let password = Secret::new("pencil".to_owned());
        let keys = Keys::derive(mechanism, "user", &password, &challenge.salt, 4096).unwrap();
        let (response, expected) = challenge.respond(&keys);
        assert_eq!(
            String::from_utf8(response).unwrap(),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        let signature = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert_eq!(expected.verify(signature), Ok(()));
        for bad in [
            &b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5="[..],
            b"v=",
            b"v=AAAA",
            b"e=other-error",
            b"",
            b"\xff",
        ] {
            assert!(expected.verify(bad).is_err());
        }
    }

    #[test]
    fn a_server_that_is_weak_greedy_or_confused_is_refused() {
        let refused = |server_first: &str| {
            let client = ScramClient::with_nonce(Mechanism::ScramSha1, "u", "abc".to_owned());
            client.challenge(server_first.as_bytes()).err()
        };
        assert_eq!(refused("r=abcd,s=AAAA,i=4096"), None);
        for iterations in [0, 4095, 1_000_001, u64::MAX] {
            let message = format!("r=abcd,s=AAAA,i={iterations}");
            assert_eq!(refused(&message), Some(ScramError::Iterations(iterations)));
        }
        for message in [
            "",
            "r=abc,s=AAAA,i=4096",
            "r=xabcd,s=AAAA,i=4096",
            "r=abcd é,s=AAAA,i=4096",
            "m=x,r=abcd,s=AAAA,i=4096",
            "r=abcd,s=A,i=4096",
            "r=abcd,s=AAAA,i=-4096",
            "r=abcd,s=AAAA,i=99999999999999999999",
            "r=abcd,s=AAAA",
            &format!("r=abcd{},s=AAAA,i=4096", "d".repeat(5000)),
        ] {
            assert!(refused(message).is_some(), "{message}");
        }
    }

    proptest! {
        #[test]
        fn no_message_makes_it_panic(first in ".*", bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let client = || ScramClient::with_nonce(Mechanism::ScramSha1, "u", "abc".to_owned());
            let _ = client().challenge(first.as_bytes());
            let _ = client().challenge(&bytes);
            let _ = client().challenge(format!("r=abcd,{first}").as_bytes());
            let expected = ExpectedSignature(vec![0; 20]);
            prop_assert!(expected.verify(&bytes).is_err());
        }
    }
}
