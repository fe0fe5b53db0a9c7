//! The functions that RFC 5802 section 2.2 names, for either hash.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::digest::{Key, KeyInit};
use hmac::{Hmac, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

use super::{Mechanism, ScramError};
use crate::secret::Secret;

/// Random bytes in a nonce and in a salt for SCRAM-SHA-1. What MongoDB's server and drivers take, or a little more.
const NONCE_BYTES: usize = 24;

/// `H()`
pub(super) fn hash(mechanism: Mechanism, data: &[u8]) -> Vec<u8> {
    match mechanism {
        Mechanism::ScramSha1 => Sha1::digest(data).to_vec(),
        Mechanism::ScramSha256 => Sha256::digest(data).to_vec(),
    }
}

/// `HMAC()`. Keys are results of these functions, and so never longer than a block of the hash.
pub(super) fn hmac(mechanism: Mechanism, key: &[u8], data: &[&[u8]]) -> Vec<u8> {
    match mechanism {
        Mechanism::ScramSha1 => hmac_with::<Hmac<Sha1>>(key, data),
        Mechanism::ScramSha256 => hmac_with::<Hmac<Sha256>>(key, data),
    }
}

fn hmac_with<M: Mac + KeyInit>(key: &[u8], data: &[&[u8]]) -> Vec<u8> {
    // A key that is shorter than a block is filled up with zeros (RFC 2104 section 2).
    let mut block = Key::<M>::default();
    debug_assert!(key.len() <= block.len());
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    let mut mac = <M as KeyInit>::new(&block);
    for part in data {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// `Hi()`: a few milliseconds for ten thousand iterations.
pub(super) fn salted_password(
    mechanism: Mechanism,
    password: &[u8],
    salt: &[u8],
    iterations: u32,
) -> Vec<u8> {
    let mut salted = vec![0; length(mechanism)];
    match mechanism {
        Mechanism::ScramSha1 => {
            pbkdf2::pbkdf2_hmac::<Sha1>(password, salt, iterations, &mut salted);
        }
        Mechanism::ScramSha256 => {
            pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut salted);
        }
    }
    salted
}

/// Bytes of a hash, and of everything made with it.
pub(super) fn length(mechanism: Mechanism) -> usize {
    match mechanism {
        Mechanism::ScramSha1 => 20,
        Mechanism::ScramSha256 => 32,
    }
}

/// What is salted: MongoDB's digest of name and password, or the prepared password.
pub(super) fn prepared(
    mechanism: Mechanism,
    username: &str,
    password: &Secret,
) -> Result<Vec<u8>, ScramError> {
    match mechanism {
        Mechanism::ScramSha1 => {
            let mut digest = Md5::new();
            for part in [username, ":mongo:", password.reveal()] {
                digest.update(part);
            }
            Ok(hexadecimal(&digest.finalize()))
        }
        Mechanism::ScramSha256 => stringprep::saslprep(password.reveal())
            .map(|prepared| prepared.into_owned().into_bytes())
            .map_err(|_| ScramError::Password),
    }
}

fn hexadecimal(bytes: &[u8]) -> Vec<u8> {
    let digit = |value: u8| match value {
        0..=9 => b'0' + value,
        _ => b'a' - 10 + value,
    };
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// Of two texts of the same length.
pub(super) fn xor(one: &[u8], other: &[u8]) -> Vec<u8> {
    one.iter().zip(other).map(|(a, b)| a ^ b).collect()
}

/// Compares in a time that does not depend on where the two differ.
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], ScramError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| ScramError::Random)?;
    Ok(bytes)
}

/// A fresh nonce: printable, without commas, as RFC 5802 section 5.1 wants it.
pub(super) fn nonce() -> Result<String, ScramError> {
    Ok(base64(&random::<NONCE_BYTES>()?))
}

pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5802 section 5 and RFC 7677 section 3; the password of the former is not MongoDB's digest of it.
    #[test]
    fn proofs_and_signatures_are_those_of_the_rfcs() {
        let cases = [
            (
                Mechanism::ScramSha1,
                "QSXCR+Q6sek8bf92",
                "n=user,r=fyko+d2lbbFgONRv9qkxdawL,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096,c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j",
                "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
                "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
            ),
            (
                Mechanism::ScramSha256,
                "W22ZaJ0SNY7soEsUEjb6gQ==",
                "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
                "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
                "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
            ),
        ];
        for (mechanism, salt, auth_message, proof, signature) in cases {
            let salted = salted_password(mechanism, b"pencil", &from_base64(salt).unwrap(), 4096);
            let client_key = hmac(mechanism, &salted, &[b"Client Key"]);
            let stored_key = hash(mechanism, &client_key);
            let by_client = hmac(mechanism, &stored_key, &[auth_message.as_bytes()]);
            assert_eq!(base64(&xor(&client_key, &by_client)), proof);
            let server_key = hmac(mechanism, &salted, &[b"Server Key"]);
            let by_server = hmac(mechanism, &server_key, &[auth_message.as_bytes()]);
            assert_eq!(base64(&by_server), signature);
        }
    }

    #[test]
    fn passwords_are_prepared() {
        let prepared = |mechanism, password: &str| {
            prepared(mechanism, "user", &Secret::new(password.to_owned()))
                .map(|bytes| String::from_utf8(bytes).unwrap())
        };
        let sha1 = prepared(Mechanism::ScramSha1, "pencil").unwrap();
        assert_eq!(sha1, "1c33006ec1ffd90f9cadcbcc0e118200");
        // The examples of RFC 4013 section 3.
        for (written, expected) in [
            ("I\u{AD}X", Ok("IX")),
            ("user", Ok("user")),
            ("USER", Ok("USER")),
            ("\u{AA}", Ok("a")),
            ("\u{2168}", Ok("IX")),
            ("\u{7}", Err(ScramError::Password)),
            ("\u{627}1", Err(ScramError::Password)),
        ] {
            let found = prepared(Mechanism::ScramSha256, written);
            assert_eq!(found.as_deref(), expected.as_ref().copied());
        }
    }
}
