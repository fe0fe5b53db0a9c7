//! A man in the middle: passes requests and replies on, one by one, and now and then does what no server should.
//!
//! What it does is what can be found out. RESP has no ids: a reply that is left out, with others behind it, or one too many
//! that comes when somebody waits for one like it, looks like the right one to anybody, for as long as somebody waits. So
//! it never leaves out a reply without ending the connection, and says a reply too many only when nobody waits, where
//! it has to be found before anything else is asked.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::random::Random;
use crate::support::resp::{Value, read_value};

/// In all that it makes up.
pub const MARK: &str = "made up";

/// So many replies pass, on average, before something happens.
const PEACE: u64 = 400;

pub struct Relay {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    harms: bool,
    random: Mutex<Random>,
    /// Tokens of requests that must not be answered any more.
    doomed: Mutex<BTreeSet<String>>,
    /// Connections that something was said on that nobody asked for.
    spoilt: AtomicU64,
    /// Connections that were ended in the middle.
    ended: AtomicU64,
    open: Mutex<Vec<Arc<Passage>>>,
}

/// One connection of the proxy.
struct Passage {
    client: TcpStream,
    server: TcpStream,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<String>,
    is_spoilt: bool,
}

enum Harm {
    Push,
    Garbage,
    /// A part of a reply, and the end.
    Part,
    /// No reply, and the end.
    End,
}

impl Relay {
    /// In front of that server. `harms` says whether it does anything by itself.
    pub fn start(server: SocketAddr, seed: u64, harms: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            server,
            harms,
            random: Mutex::new(Random::new(seed)),
            doomed: Mutex::default(),
            spoilt: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            open: Mutex::default(),
        });
        let all = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&all);
                thread::spawn(move || shared.pass(stream));
            }
        });
        Self { address, shared }
    }

    /// A request with this token may still be answered.
    pub fn may_answer(&self, token: &str) -> bool {
        !self.shared.doomed.lock().unwrap().contains(token)
    }

    pub fn spoilt(&self) -> u64 {
        self.shared.spoilt.load(Ordering::SeqCst)
    }

    pub fn ended(&self) -> u64 {
        self.shared.ended.load(Ordering::SeqCst)
    }

    /// Connections of the proxy that are open.
    pub fn open(&self) -> usize {
        self.shared.open.lock().unwrap().len()
    }

    /// Says a reply to nobody's request on each open connection. Returns on how many.
    pub fn say_to_all(&self) -> usize {
        let mut open = self.shared.open.lock().unwrap();
        let reply = format!("${}\r\n{MARK}\r\n", MARK.len());
        open.retain(|passage| {
            let state = passage.state.lock().unwrap();
            assert!(state.waiting.is_empty(), "somebody waits");
            (&passage.client).write_all(reply.as_bytes()).is_ok()
        });
        open.len()
    }
}

impl Shared {
    fn pass(&self, client: TcpStream) {
        let server = TcpStream::connect(self.server).unwrap();
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        let passage = Arc::new(Passage {
            client,
            server,
            state: Mutex::default(),
        });
        self.open.lock().unwrap().push(Arc::clone(&passage));
        thread::scope(|scope| {
            scope.spawn(|| {
                let _ = self.requests(&passage);
                let _ = passage.server.shutdown(Shutdown::Both);
            });
            let _ = self.replies(&passage);
            let _ = passage.client.shutdown(Shutdown::Both);
        });
        let mut open = self.open.lock().unwrap();
        open.retain(|each| !Arc::ptr_eq(each, &passage));
    }

    fn requests(&self, passage: &Passage) -> io::Result<()> {
        let mut stream = Tee::new(&passage.client);
        loop {
            let (request, bytes) = stream.value()?;
            let Value::Array(arguments) = &request else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            let token = arguments.last().map(Value::text).unwrap_or_default();
            let mut state = passage.state.lock().unwrap();
            if state.is_spoilt {
                self.doom([&token]);
            }
            state.waiting.push_back(token);
            drop(state);
            (&passage.server).write_all(&bytes)?;
        }
    }

    fn replies(&self, passage: &Passage) -> io::Result<()> {
        let mut stream = Tee::new(&passage.server);
        loop {
            let (_, bytes) = stream.value()?;
            let mut state = passage.state.lock().unwrap();
            // What makes the connection what it is to be is no client's request.
            let is_clients = state
                .waiting
                .front()
                .is_some_and(|token| token.ends_with(';'));
            let harm = self.harm().filter(|_| is_clients && !state.is_spoilt);
            let said = match harm {
                Some(Harm::Push) => format!(">2\r\n$7\r\nmessage\r\n${}\r\n{MARK}\r\n", MARK.len()),
                Some(Harm::Garbage) => format!("@{MARK}\r\n"),
                Some(Harm::Part | Harm::End) => {
                    self.doom(&state.waiting);
                    self.ended.fetch_add(1, Ordering::SeqCst);
                    let part = match harm {
                        Some(Harm::Part) => &bytes[..bytes.len() / 2],
                        _ => &[],
                    };
                    return (&passage.client).write_all(part);
                }
                None => String::new(),
            };
            if !said.is_empty() {
                self.doom(&state.waiting);
                self.spoilt.fetch_add(1, Ordering::SeqCst);
                state.is_spoilt = true;
            }
            state.waiting.pop_front();
            // All that comes behind is passed on as if nothing had happened.
            (&passage.client).write_all(said.as_bytes())?;
            (&passage.client).write_all(&bytes)?;
        }
    }

    fn harm(&self) -> Option<Harm> {
        if !self.harms {
            return None;
        }
        match self.random.lock().unwrap().below(4 * PEACE) {
            0 => Some(Harm::Push),
            1 => Some(Harm::Garbage),
            2 => Some(Harm::Part),
            3 => Some(Harm::End),
            _ => None,
        }
    }

    fn doom<'a>(&self, tokens: impl IntoIterator<Item = &'a String>) {
        let mut doomed = self.doomed.lock().unwrap();
        doomed.extend(tokens.into_iter().cloned());
    }
}

/// Reads whole values, and keeps their bytes as they came.
struct Tee<'a> {
    stream: BufReader<&'a TcpStream>,
    bytes: Vec<u8>,
}

impl<'a> Tee<'a> {
    fn new(stream: &'a TcpStream) -> Self {
        Self {
            stream: BufReader::new(stream),
            bytes: Vec::new(),
        }
    }

    fn value(&mut self) -> io::Result<(Value, Vec<u8>)> {
        let value = read_value(self)?;
        Ok((value, std::mem::take(&mut self.bytes)))
    }
}

impl Read for Tee<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.bytes.extend(&buffer[..count]);
        Ok(count)
    }
}

impl BufRead for Tee<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.stream.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.bytes.extend(&self.stream.buffer()[..count]);
        self.stream.consume(count);
    }
}
