//! A Redis client that sends what a test says and takes every reply as it is, to the type.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use bytes::Bytes;

use super::peer;

/// What a server says, in either version of the protocol. The three ways to say nothing are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Bytes),
    /// `$-1`
    NilBulk,
    Array(Vec<Self>),
    /// `*-1`
    NilArray,
    /// `_`, as all that follow of version 3.
    Null,
    Boolean(bool),
    /// As it was written: what is no number in Rust is one here, and NaN is equal to itself.
    Double(String),
    BigNumber(String),
    BulkError(String),
    Verbatim(String),
    Map(Vec<(Self, Self)>),
    Set(Vec<Self>),
    Push(Vec<Self>),
    /// Attributes, and what they are of.
    Attributed(Vec<(Self, Self)>, Box<Self>),
}

impl Value {
    pub fn ok() -> Self {
        Self::Simple("OK".to_string())
    }

    pub fn bulk(text: impl AsRef<[u8]>) -> Self {
        Self::Bulk(Bytes::copy_from_slice(text.as_ref()))
    }

    /// An array of bulk strings.
    pub fn bulks<T: AsRef<[u8]>>(texts: &[T]) -> Self {
        Self::Array(texts.iter().map(Self::bulk).collect())
    }

    /// The text of an error, which it has to be.
    #[track_caller]
    pub fn error(&self) -> &str {
        match self {
            Self::Error(text) | Self::BulkError(text) => text,
            other => panic!("no error: {other:?}"),
        }
    }

    /// The text of a string of any kind, which it has to be.
    #[track_caller]
    pub fn text(&self) -> String {
        match self {
            Self::Bulk(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            Self::Simple(text) | Self::Verbatim(text) => text.clone(),
            other => panic!("no text: {other:?}"),
        }
    }

    #[track_caller]
    pub fn integer(&self) -> i64 {
        match self {
            Self::Integer(number) => *number,
            other => panic!("no integer: {other:?}"),
        }
    }

    /// The elements of an array, a set or a push, which it has to be.
    #[track_caller]
    pub fn elements(&self) -> &[Self] {
        match self {
            Self::Array(elements) | Self::Set(elements) | Self::Push(elements) => elements,
            other => panic!("no elements: {other:?}"),
        }
    }
}

/// One connection. Reads wait for `PATIENCE` at most.
pub struct RedisClient {
    stream: BufReader<TcpStream>,
    pushes: VecDeque<Value>,
}

impl RedisClient {
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(peer::connect(address))
    }

    /// Over a connection that is there already.
    pub fn over(stream: TcpStream) -> Self {
        Self {
            stream: BufReader::new(stream),
            pushes: VecDeque::new(),
        }
    }

    /// A connection that speaks version 3.
    #[track_caller]
    pub fn connect_resp3(address: SocketAddr) -> Self {
        let mut client = Self::connect(address);
        let hello = client.command(&["HELLO", "3"]);
        assert!(matches!(hello, Value::Map(_)), "HELLO 3: {hello:?}");
        client
    }

    /// Sends a command and reads its reply; pushes that come before it are set aside.
    #[track_caller]
    pub fn command<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> Value {
        self.send(arguments);
        self.reply()
    }

    /// The same, for servers that may not be there.
    pub fn try_command<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> io::Result<Value> {
        self.stream.get_mut().write_all(&encode(arguments))?;
        self.try_reply()
    }

    /// Sends a command and reads nothing.
    #[track_caller]
    pub fn send<A: AsRef<[u8]>>(&mut self, arguments: &[A]) {
        self.send_raw(&encode(arguments));
    }

    #[track_caller]
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    /// The next reply; pushes that come before it are set aside.
    #[track_caller]
    pub fn reply(&mut self) -> Value {
        self.try_reply().unwrap()
    }

    pub fn try_reply(&mut self) -> io::Result<Value> {
        loop {
            match read_value(&mut self.stream)? {
                push @ Value::Push(_) => self.pushes.push_back(push),
                reply => return Ok(reply),
            }
        }
    }

    /// The next push: one that was set aside, or the next that comes, before any reply.
    #[track_caller]
    pub fn push(&mut self) -> Value {
        if let Some(push) = self.pushes.pop_front() {
            return push;
        }
        match self.next() {
            push @ Value::Push(_) => push,
            other => panic!("a reply instead of a push: {other:?}"),
        }
    }

    /// Whatever comes next, a push as well as a reply.
    #[track_caller]
    pub fn next(&mut self) -> Value {
        self.try_next().unwrap()
    }

    pub fn try_next(&mut self) -> io::Result<Value> {
        read_value(&mut self.stream)
    }

    /// Reads that many bytes as they are.
    #[track_caller]
    pub fn read_raw(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// The other side has nothing more to say: the connection ends, in order or not.
    #[track_caller]
    pub fn expect_end(&mut self) {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => panic!("the connection does not end: {error}"),
        }
        assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest));
    }

    /// Says that nothing more will be sent.
    pub fn finish(&mut self) {
        self.stream.get_ref().shutdown(Shutdown::Write).unwrap();
    }

    pub fn stream(&self) -> &TcpStream {
        self.stream.get_ref()
    }
}

/// A command as clients send it: an array of bulk strings.
pub fn encode<A: AsRef<[u8]>>(arguments: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        let argument = argument.as_ref();
        bytes.extend(format!("${}\r\n", argument.len()).into_bytes());
        bytes.extend(argument);
        bytes.extend(b"\r\n");
    }
    bytes
}

/// Reads one whole value.
pub fn read_value(stream: &mut impl BufRead) -> io::Result<Value> {
    let line = read_line(stream)?;
    let Some((kind, rest)) = line.split_at_checked(1) else {
        return Err(wrong(&line));
    };
    let text = || rest.to_string();
    Ok(match kind {
        "+" => Value::Simple(text()),
        "-" => Value::Error(text()),
        ":" => Value::Integer(rest.parse().map_err(|_| wrong(&line))?),
        "," => Value::Double(text()),
        "(" => Value::BigNumber(text()),
        "_" if rest.is_empty() => Value::Null,
        "#" if rest == "t" => Value::Boolean(true),
        "#" if rest == "f" => Value::Boolean(false),
        "$" if rest == "-1" => Value::NilBulk,
        "*" if rest == "-1" => Value::NilArray,
        "$" => Value::Bulk(read_bytes(stream, count(&line, rest)?)?.into()),
        "!" => Value::BulkError(read_text(stream, count(&line, rest)?)?),
        "=" => Value::Verbatim(read_text(stream, count(&line, rest)?)?),
        "*" => Value::Array(read_values(stream, count(&line, rest)?)?),
        "~" => Value::Set(read_values(stream, count(&line, rest)?)?),
        ">" => Value::Push(read_values(stream, count(&line, rest)?)?),
        "%" => Value::Map(read_pairs(stream, count(&line, rest)?)?),
        "|" => {
            let attributes = read_pairs(stream, count(&line, rest)?)?;
            Value::Attributed(attributes, Box::new(read_value(stream)?))
        }
        _ => return Err(wrong(&line)),
    })
}

fn read_line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line)?;
    let Some(line) = line.strip_suffix(b"\r\n") else {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "no whole line",
        ));
    };
    Ok(String::from_utf8_lossy(line).into_owned())
}

fn count(line: &str, rest: &str) -> io::Result<usize> {
    rest.parse().map_err(|_| wrong(line))
}

fn read_bytes(stream: &mut impl BufRead, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count + 2];
    stream.read_exact(&mut bytes)?;
    if bytes.split_off(count) == b"\r\n" {
        return Ok(bytes);
    }
    Err(wrong("a string longer than was said"))
}

fn read_text(stream: &mut impl BufRead, count: usize) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&read_bytes(stream, count)?).into_owned())
}

fn read_values(stream: &mut impl BufRead, count: usize) -> io::Result<Vec<Value>> {
    (0..count).map(|_| read_value(stream)).collect()
}

fn read_pairs(stream: &mut impl BufRead, count: usize) -> io::Result<Vec<(Value, Value)>> {
    (0..count)
        .map(|_| Ok((read_value(stream)?, read_value(stream)?)))
        .collect()
}

fn wrong(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not RESP: {line:?}"))
}
