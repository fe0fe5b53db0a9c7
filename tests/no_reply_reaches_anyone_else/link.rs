//! One connection of a client, and what it is as far as its replies have told: user, database, version of the protocol.

use std::collections::VecDeque;
use std::io::{BufReader, ErrorKind};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::support::PATIENCE;
use crate::support::resp::{Value, encode, read_value};

/// Why there is no reply.
#[derive(Debug)]
pub enum Broken {
    /// The connection has ended.
    Closed,
    /// What came is no reply at all, or nothing came.
    Wrong(String),
}

/// Users of the server, and their passwords. Each has keys and channels that begin with its name.
pub const USERS: [(&str, &str); 3] = [("default", ""), ("alice", "wonder"), ("bob", "builder")];

pub struct Link {
    stream: BufReader<TcpStream>,
    pub user: &'static str,
    pub database: u32,
    pub version: u8,
    pub name: Option<String>,
    /// Subscribed: in version 2, messages come as arrays.
    pub subscribed: bool,
    /// What came without being asked for.
    pub pushes: Vec<Value>,
    /// The last time at which the connection was all right for sure.
    pub proved: Instant,
    /// It did not take its replies in time, and may have been closed for that.
    pub was_slow: bool,
    /// What it asked last could not be done, and nothing behind it is: whoever needs a connection of its own for that is closed.
    pub was_refused: bool,
    /// The last requests and replies, for people who want to know what led to something.
    said: VecDeque<String>,
}

/// How many of them.
const REMEMBERED: usize = 12;

impl Link {
    pub fn open(address: SocketAddr) -> Result<Self, Broken> {
        let began = Instant::now();
        let stream = TcpStream::connect(address).map_err(|error| of(&error))?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Ok(Self {
            stream: BufReader::new(stream),
            user: USERS[0].0,
            database: 0,
            version: 2,
            name: None,
            subscribed: false,
            pushes: Vec::new(),
            proved: began,
            was_slow: false,
            was_refused: false,
            said: VecDeque::new(),
        })
    }

    pub fn stream(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    /// Sends a command. A connection that has ended is found when its reply is read.
    pub fn send<A: AsRef<[u8]>>(&self, arguments: &[A]) {
        self.send_raw(&encode(arguments));
    }

    pub fn send_raw(&self, bytes: &[u8]) {
        use std::io::Write;
        let _ = self.stream().write_all(bytes);
    }

    /// Whatever comes next.
    pub fn next(&mut self) -> Result<Value, Broken> {
        read_value(&mut self.stream).map_err(|error| of(&error))
    }

    /// The next reply; what comes before it and is none is set aside.
    pub fn reply(&mut self) -> Result<Value, Broken> {
        loop {
            let value = self.next()?;
            match self.is_push(&value) {
                true => self.pushes.push(value),
                false => return Ok(value),
            }
        }
    }

    fn is_push(&self, value: &Value) -> bool {
        match value {
            Value::Push(_) => true,
            Value::Array(elements) if self.version == 2 && self.subscribed => {
                let kinds = ["message", "pmessage"].map(Value::bulk);
                elements.first().is_some_and(|first| kinds.contains(first))
            }
            _ => false,
        }
    }

    /// The next confirmation of a SUBSCRIBE or its like, which is a push in version 3.
    pub fn confirmation(&mut self, kind: &str) -> Result<Value, Broken> {
        loop {
            let value = self.next()?;
            let is_it = match &value {
                Value::Push(elements) | Value::Array(elements) => {
                    elements.first() == Some(&Value::bulk(kind))
                }
                _ => false,
            };
            match !is_it && self.is_push(&value) {
                true => self.pushes.push(value),
                false => return Ok(value),
            }
        }
    }

    /// Reads some bytes of whatever comes, for at most that long.
    pub fn glance(&mut self, count: usize, time: Duration) {
        use std::io::Read;
        let limit = time.max(Duration::from_millis(1));
        self.stream().set_read_timeout(Some(limit)).unwrap();
        let _ = self.stream.read(&mut vec![0; count]);
    }

    /// Remembers what was asked and answered.
    pub fn remember(&mut self, said: String) {
        if self.said.len() >= REMEMBERED {
            self.said.pop_front();
        }
        self.said.push_back(said);
    }

    pub fn said_nothing(&self) -> bool {
        self.said.is_empty()
    }

    /// Who it is, and what was said last.
    pub fn story(&self) -> String {
        let said: Vec<String> = self.said.iter().cloned().collect();
        format!(
            "user {} in database {}, version {}, from {:?}; before:\n  {}",
            self.user,
            self.database,
            self.version,
            self.stream().local_addr(),
            said.join("\n  ")
        )
    }

    /// What is said when there is nothing.
    pub fn nil(&self) -> Value {
        match self.version {
            2 => Value::NilBulk,
            _ => Value::Null,
        }
    }

    /// The same, where something of several parts was asked for.
    pub fn nil_array(&self) -> Value {
        match self.version {
            2 => Value::NilArray,
            _ => Value::Null,
        }
    }

    /// Nothing is sent any more.
    pub fn finish(&self) {
        let _ = self.stream().shutdown(Shutdown::Write);
    }

    /// Leaves at once, without a word.
    pub fn reset(self) {
        let _ = SockRef::from(self.stream()).set_linger(Some(Duration::ZERO));
    }
}

fn of(error: &std::io::Error) -> Broken {
    match error.kind() {
        ErrorKind::UnexpectedEof
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionRefused
        | ErrorKind::ConnectionAborted
        | ErrorKind::NotConnected
        | ErrorKind::BrokenPipe => Broken::Closed,
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            Broken::Wrong(format!("no reply within {PATIENCE:?}"))
        }
        _ => Broken::Wrong(error.to_string()),
    }
}
