//! A MongoDB by script, and clients by hand: finds that are answered at once, in any number.

use std::io::{BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};

use bson::{Document, doc};

use super::peer::{connect, scripted};
use super::wire::{op_msg, read_message, request_id};

/// Requests a client sends ahead of their replies. The proxy pairs up to 1,000 a connection.
pub const WINDOW: usize = 250;

/// Answers every message with `{ok: 1}`, in order, as fast as they come.
pub fn answering() -> SocketAddr {
    scripted(|mut stream| {
        let mut reader = BufReader::with_capacity(1 << 16, stream.try_clone().unwrap());
        let answer = op_msg(1, 0, &doc! {"ok": 1.0});
        let mut answers = Vec::new();
        while let Ok(request) = read_message(&mut reader) {
            let at = answers.len();
            answers.extend(&answer);
            answers[at + 8..at + 12].copy_from_slice(&request[4..8]);
            if reader.buffer().is_empty() {
                if stream.write_all(&answers).is_err() {
                    return;
                }
                answers.clear();
            }
        }
    })
}

/// A find by `_id`, as a driver sends it. The collection is a full name, such as `shop.carts`.
pub fn find(id: i32, collection: &str, call_site: &str) -> Vec<u8> {
    let (database, collection) = collection.split_once('.').unwrap();
    let mut body = doc! {"find": collection, "filter": {"_id": 1}};
    if !call_site.is_empty() {
        body.insert("comment", call_site);
    }
    body.insert("$db", database);
    op_msg(id, 0, &body)
}

/// A find whose collection or call site carries a number, which changes without a message being
/// built anew.
pub struct Template {
    message: Vec<u8>,
    place: usize,
    digits: usize,
}

impl Template {
    /// A find with a run of `0` in the name of its collection or call site, for a number.
    pub fn new(collection: &str, call_site: &str) -> Self {
        let digits = [collection, call_site]
            .concat()
            .bytes()
            .filter(|byte| *byte == b'0')
            .count();
        let message = find(0, collection, call_site);
        let run = vec![b'0'; digits];
        let place = message
            .windows(digits)
            .rposition(|window| window == run)
            .unwrap();
        Self {
            message,
            place,
            digits,
        }
    }

    fn numbered(&mut self, number: usize) -> &[u8] {
        let id = i32::try_from(number).unwrap();
        self.message[4..8].copy_from_slice(&id.to_le_bytes());
        let digits = format!("{number:0width$}", width = self.digits);
        assert_eq!(digits.len(), self.digits, "more digits than the name has");
        self.message[self.place..self.place + self.digits].copy_from_slice(digits.as_bytes());
        &self.message
    }
}

/// One client connection.
pub struct Client {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
    next_id: i32,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let writer = connect(address);
        Self {
            reader: BufReader::with_capacity(1 << 16, writer.try_clone().unwrap()),
            writer,
            next_id: 1,
        }
    }

    /// Sends a command and waits for its reply.
    pub fn run(&mut self, command: &Document) {
        let id = self.next_id();
        self.writer.write_all(&op_msg(id, 0, command)).unwrap();
        self.expect_reply(id);
    }

    /// A handshake that names an application.
    pub fn hello(&mut self, application: &str) {
        self.run(&doc! {
            "hello": 1,
            "client": {
                "application": {"name": application},
                "driver": {"name": "by-hand", "version": "1"},
                "os": {"type": "Linux"},
            },
            "$db": "admin",
        });
    }

    /// Sends a find and waits for its reply.
    pub fn find(&mut self, collection: &str, call_site: &str) {
        self.send_find(collection, call_site);
        self.expect_reply(self.next_id - 1);
    }

    /// Sends a find whose reply somebody else will wait for.
    pub fn send_find(&mut self, collection: &str, call_site: &str) {
        let id = self.next_id();
        self.writer
            .write_all(&find(id, collection, call_site))
            .unwrap();
    }

    /// Sends one find for each number, [`WINDOW`] of them ahead of their replies.
    pub fn finds(&mut self, template: &mut Template, numbers: impl IntoIterator<Item = usize>) {
        let mut numbers = numbers.into_iter().peekable();
        let mut requests = Vec::new();
        while numbers.peek().is_some() {
            requests.clear();
            let mut sent = 0;
            for number in numbers.by_ref().take(WINDOW) {
                requests.extend(template.numbered(number));
                sent += 1;
            }
            self.writer.write_all(&requests).unwrap();
            for _ in 0..sent {
                read_message(&mut self.reader).unwrap();
            }
        }
    }

    /// Waits for the reply to this request.
    pub fn expect_reply(&mut self, id: i32) {
        let reply = self.reply();
        let responds_to = i32::from_le_bytes(reply[8..12].try_into().unwrap());
        assert_eq!(responds_to, id);
    }

    /// The next reply, whatever it answers.
    pub fn reply(&mut self) -> Vec<u8> {
        read_message(&mut self.reader).unwrap()
    }

    /// True when the proxy has closed the connection in order: nothing more can be read.
    pub fn is_closed(&mut self) -> bool {
        matches!(read_message(&mut self.reader), Err(error) if error.kind() == ErrorKind::UnexpectedEof)
    }

    /// True when the connection has ended, in whatever way.
    pub fn is_gone(&mut self) -> bool {
        read_message(&mut self.reader).is_err_and(|error| {
            // The patience of a test is no end.
            !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
        })
    }

    fn next_id(&mut self) -> i32 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }
}

/// The answer to one request.
pub fn answer_to(request: &[u8]) -> Vec<u8> {
    op_msg(1, request_id(request), &doc! {"ok": 1.0})
}
