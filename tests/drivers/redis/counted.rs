//! Counts what a driver sends: a relay before the server reads every request as it passes, so that what the driver sends by
//! itself is counted too.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Commands whose first argument says which of several they are.
const CONTAINERS: [&str; 15] = [
    "acl", "client", "cluster", "command", "config", "function", "latency", "memory", "module",
    "object", "pubsub", "script", "slowlog", "xgroup", "xinfo",
];

/// What has passed so far.
#[derive(Clone, Default)]
pub struct Counted {
    commands: Arc<Mutex<BTreeMap<String, i64>>>,
    connections: Arc<Mutex<i64>>,
}

impl Counted {
    /// Listens for the driver, and passes on to `server` until the process ends.
    pub fn relay_to(&self, server: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let this = self.clone();
        std::thread::spawn(move || {
            for driver in listener.incoming().map_while(Result::ok) {
                *this.connections.lock().unwrap() += 1;
                // A server that is not there is told by the end of the connection.
                if let Ok(server) = TcpStream::connect(server) {
                    this.pass(driver, server);
                }
            }
        });
        address
    }

    pub fn commands(&self) -> BTreeMap<String, i64> {
        self.commands.lock().unwrap().clone()
    }

    pub fn connections(&self) -> i64 {
        *self.connections.lock().unwrap()
    }

    fn pass(&self, driver: TcpStream, server: TcpStream) {
        for stream in [&driver, &server] {
            stream.set_nodelay(true).unwrap();
        }
        let (to_driver, from_server) = (driver.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || copy(from_server, to_driver, |_| {}));
        let mut requests = Requests::new(self.clone());
        std::thread::spawn(move || copy(driver, server, |bytes| requests.take(bytes)));
    }

    fn sent(&self, words: &[Vec<u8>]) {
        let words: Vec<String> = words
            .iter()
            .map(|word| String::from_utf8_lossy(word).to_lowercase())
            .collect();
        let name = match words.as_slice() {
            [first, second] if CONTAINERS.contains(&first.as_str()) => format!("{first}_{second}"),
            [first, ..] => first.clone(),
            [] => return,
        };
        *self.commands.lock().unwrap().entry(name).or_default() += 1;
    }
}

/// Until either side ends, which the other is told.
fn copy(mut from: TcpStream, mut to: TcpStream, mut seen: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 256 * 1024];
    let mut step = || -> io::Result<usize> {
        let count = from.read(&mut buffer)?;
        // Counted before it is passed on: who has its answer finds it counted.
        seen(&buffer[..count]);
        to.write_all(&buffer[..count])?;
        Ok(count)
    };
    while step().is_ok_and(|count| count > 0) {}
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}

/// Reads requests piece by piece, and of each the first two arguments; the bytes of others are only counted.
struct Requests {
    counted: Counted,
    line: Vec<u8>,
    /// How many arguments there are, and which of them it is in.
    arguments: usize,
    number: usize,
    /// What is left of this one, with the end of its line.
    left: usize,
    words: Vec<Vec<u8>>,
}

impl Requests {
    fn new(counted: Counted) -> Self {
        Self {
            counted,
            line: Vec::new(),
            arguments: 0,
            number: 0,
            left: 0,
            words: Vec::new(),
        }
    }

    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = if self.left == 0 {
                self.take_header(bytes)
            } else {
                self.take_argument(bytes)
            };
            bytes = &bytes[taken..];
        }
    }

    fn take_header(&mut self, bytes: &[u8]) -> usize {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(bytes.len(), |end| end + 1);
        self.line.extend(&bytes[..taken]);
        if end.is_some() {
            let line = String::from_utf8(std::mem::take(&mut self.line)).unwrap();
            let number: usize = line[1..].trim_end().parse().unwrap();
            if line.starts_with('*') {
                (self.arguments, self.number) = (number, 0);
                self.words.clear();
            } else {
                self.left = number + 2;
                if self.number < 2 {
                    self.words.push(Vec::new());
                }
            }
        }
        taken
    }

    fn take_argument(&mut self, bytes: &[u8]) -> usize {
        let taken = self.left.min(bytes.len());
        if let Some(word) = self.words.get_mut(self.number) {
            word.extend(&bytes[..taken]);
        }
        self.left -= taken;
        if self.left == 0 {
            if let Some(word) = self.words.get_mut(self.number) {
                word.truncate(word.len() - 2);
            }
            self.number += 1;
            if self.number == self.arguments {
                self.counted.sent(&self.words);
            }
        }
        taken
    }
}
