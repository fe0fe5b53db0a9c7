//! How a connection becomes one of a profile: HELLO or AUTH, then SELECT, sent together; each has to be taken.

use std::io;

use narrows_parsers::redis::{Kind, ReplyDecoder};
use narrows_parsers::{Malformed, Step};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::profile::{Profile, Version};
use crate::stream::Stream;

/// Longest answer: that to HELLO has some 150 bytes, and a few more for each module; that to CLUSTER SLOTS some 150 for each server of each
/// range, and 16,384 ranges are what a map of a thousand servers looks like at its worst.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// What a server answered.
pub struct Greeted {
    /// The whole reply to HELLO, when one was sent.
    pub hello: Option<Vec<u8>>,
}

/// Why a connection did not become what it was to be.
#[derive(Debug, thiserror::Error)]
pub enum GreetingError {
    /// The server answered with an error: its line, as it came, with the `-` and without the end of the line.
    #[error("the server answered `{}`", without_arguments(.0))]
    Refused(Vec<u8>),
    /// The connection ended, or failed.
    #[error("the connection ended in the greeting: {0}")]
    Io(#[from] io::Error),
    /// What came is no RESP, or too much of it.
    #[error("the server's answer is no RESP: {0}")]
    Malformed(Malformed),
}

/// Makes a fresh connection one of `profile`. HELLO is said where it has to be, or where `says_hello` wants its reply. A connection that begins
/// as it is to be is left alone: a server that wants a password tells each client so.
///
/// # Errors
/// See [`GreetingError`].
pub async fn greet(
    stream: &mut Stream,
    profile: &Profile,
    says_hello: bool,
) -> Result<Greeted, GreetingError> {
    let says_hello = says_hello || profile.version == Version::Three;
    let mut requests = Vec::new();
    let mut count = 0;
    let mut say = |arguments: &[&[u8]]| {
        encode(arguments, &mut requests);
        count += 1;
    };
    let version = profile.version.text().as_bytes();
    match &profile.credential {
        Some(user) => match &user.username {
            Some(name) if says_hello => {
                say(&[b"HELLO", version, b"AUTH", name, user.password.reveal()]);
            }
            Some(name) => say(&[b"AUTH", name, user.password.reveal()]),
            // What the client said: a server without a password refuses that, but not the form with a name.
            None => {
                say(&[b"AUTH", user.password.reveal()]);
                if says_hello {
                    say(&[b"HELLO", version]);
                }
            }
        },
        None if says_hello => say(&[b"HELLO", version]),
        None => {}
    }
    if profile.reads_replica {
        say(&[b"READONLY"]);
    }
    if profile.database > 0 {
        say(&[b"SELECT", profile.database.to_string().as_bytes()]);
    }
    if count > 0 {
        stream.write_all(&requests).await?;
        stream.flush().await?;
    }
    let answers = read_answers(stream, count).await?;
    // The one reply that is no `+OK`.
    let hello = answers
        .into_iter()
        .find(|answer| !answer.starts_with(b"+"))
        .filter(|_| says_hello);
    Ok(Greeted { hello })
}

/// Asks something, and gives the whole reply.
///
/// # Errors
/// See [`GreetingError`].
pub(super) async fn ask(
    stream: &mut Stream,
    arguments: &[&[u8]],
) -> Result<Vec<u8>, GreetingError> {
    let mut request = Vec::new();
    encode(arguments, &mut request);
    stream.write_all(&request).await?;
    stream.flush().await?;
    let answers = read_answers(stream, 1).await?;
    Ok(answers.into_iter().next().unwrap_or_default())
}

/// Begins a transaction.
///
/// # Errors
/// See [`GreetingError`].
pub async fn begin_transaction(stream: &mut Stream) -> Result<(), GreetingError> {
    ask(stream, &[b"MULTI"]).await.map(drop)
}

/// Has a connection's WAIT mean all that its server has written by now, whoever asked for it: to Redis a connection has written what was
/// there when its last command ended, whatever that was (`woff` in `processCommand`), and a new one nothing.
///
/// # Errors
/// See [`GreetingError`].
pub async fn catch_up(stream: &mut Stream) -> Result<(), GreetingError> {
    ask(stream, &[b"PING"]).await.map(drop)
}

/// Gives a connection the name that its client gave itself.
///
/// # Errors
/// See [`GreetingError`].
pub async fn set_name(stream: &mut Stream, name: &[u8]) -> Result<(), GreetingError> {
    let arguments = [&b"CLIENT"[..], b"SETNAME", name];
    ask(stream, &arguments).await.map(drop)
}

/// Appends a request.
pub fn encode(arguments: &[&[u8]], into: &mut Vec<u8>) {
    into.extend_from_slice(format!("*{}\r\n", arguments.len()).as_bytes());
    for argument in arguments {
        into.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        into.extend_from_slice(argument);
        into.extend_from_slice(b"\r\n");
    }
}

/// Reads that many replies, and no byte more.
async fn read_answers(stream: &mut Stream, count: usize) -> Result<Vec<Vec<u8>>, GreetingError> {
    let mut answers = Vec::new();
    let mut decoder = ReplyDecoder::new();
    let mut came = Vec::new();
    let mut decoded = 0;
    while answers.len() < count {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        came.extend_from_slice(buffer.get(..read).unwrap_or_default());
        if came.len() > MAX_ANSWER_BYTES {
            return Err(GreetingError::Malformed(Malformed::MessageLength));
        }
        loop {
            match decoder.advance(came.get(decoded..).unwrap_or_default()) {
                Step::NeedMore => {
                    decoded = came.len();
                    break;
                }
                Step::Malformed(reason) => return Err(GreetingError::Malformed(reason)),
                Step::Message { consumed, message } => {
                    let (kind, is_error) = (message.kind, message.is_error());
                    let end = decoded + consumed;
                    let rest = came.split_off(end.min(came.len()));
                    let answer = std::mem::replace(&mut came, rest);
                    decoded = 0;
                    if is_error {
                        return Err(GreetingError::Refused(line(answer)));
                    }
                    // A server that speaks without being asked is not one whose answers can be told apart.
                    if kind == Kind::Push || answers.len() == count {
                        return Err(GreetingError::Malformed(Malformed::RespType));
                    }
                    answers.push(answer);
                    if came.is_empty() {
                        break;
                    }
                }
            }
        }
    }
    match came.is_empty() {
        true => Ok(answers),
        false => Err(GreetingError::Malformed(Malformed::RespType)),
    }
}

/// A server that does not know a command repeats what was behind it (`unknown command 'HELLO', with args beginning with: '3' 'AUTH'`), which
/// may be a password.
fn without_arguments(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let told = text.split_once(", with args").map(|(told, _)| told);
    told.unwrap_or(&text).to_owned()
}

fn line(mut answer: Vec<u8>) -> Vec<u8> {
    while answer
        .last()
        .is_some_and(|byte| matches!(byte, b'\r' | b'\n'))
    {
        answer.pop();
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_a_server_repeats_is_not_told() {
        let line =
            b"-ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'anna' 'canary' ";
        let told = GreetingError::Refused(line.to_vec()).to_string();
        assert_eq!(told, "the server answered `-ERR unknown command 'HELLO'`");
        let told = GreetingError::Refused(b"-NOAUTH Authentication required.".to_vec()).to_string();
        assert!(told.ends_with("`-NOAUTH Authentication required.`"));
    }
}
