//! Commands by hand over one connection, with every reply checked to be the one that was asked for.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use bson::{Document, doc};

use super::PATIENCE;
use super::wire::{OP_MSG, op_msg, op_msg_with_flags, read_message, request_id};

/// The flag of a request that wants no reply.
pub const MORE_TO_COME: u32 = 1 << 1;

/// A body with one section stands behind the header, the flags and the section's kind.
const BODY_AT: usize = 21;

/// One client connection.
pub struct Connection {
    stream: TcpStream,
    next_id: i32,
}

impl Connection {
    /// Connects, with nothing said yet.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, next_id: 1 })
    }

    /// Numbers its requests from here, so that those of several clients can be told apart.
    pub fn number_from(&mut self, id: i32) {
        self.next_id = id;
    }

    /// The next request, in bytes, and its id.
    pub fn request(&mut self, database: &str, command: &Document, flags: u32) -> (i32, Vec<u8>) {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        let mut body = command.clone();
        body.insert("$db", database);
        (id, op_msg_with_flags(id, 0, flags, &body))
    }

    /// Sends a command and waits for its reply, which may well tell of an error.
    pub fn command(&mut self, database: &str, command: &Document) -> io::Result<Document> {
        let (id, bytes) = self.request(database, command, 0);
        self.stream.write_all(&bytes)?;
        self.receive(id)
    }

    /// Sends a command that wants no reply.
    pub fn command_without_reply(&mut self, database: &str, command: &Document) -> io::Result<()> {
        let (_, bytes) = self.request(database, command, MORE_TO_COME);
        self.stream.write_all(&bytes)
    }

    /// Waits for the reply to the request of this id.
    pub fn receive(&mut self, id: i32) -> io::Result<Document> {
        let message = read_message(&mut self.stream)?;
        reply_to(id, &message)
    }

    /// The socket, for what is not a whole message.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// A command that has to succeed.
    #[track_caller]
    pub fn expect_ok(&mut self, database: &str, command: &Document) -> Document {
        let reply = self.command(database, command).unwrap();
        let fine = is_ok(&reply) && !reply.contains_key("writeErrors");
        assert!(fine, "{command} was answered with {reply}");
        reply
    }

    /// True when the other side has closed the connection.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0))
    }
}

/// The body of a reply, when it is the reply to this request.
pub fn reply_to(id: i32, message: &[u8]) -> io::Result<Document> {
    let answered = i32::from_le_bytes(message[8..12].try_into().unwrap());
    let opcode = i32::from_le_bytes(message[12..16].try_into().unwrap());
    if answered != id || opcode != OP_MSG {
        let said = format!("request {id} got a reply to {answered}, opcode {opcode}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, said));
    }
    Document::from_reader(&message[BODY_AT..])
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
}

/// One command over a connection of its own, which has to succeed.
#[track_caller]
pub fn run(address: SocketAddr, database: &str, command: &Document) -> Document {
    Connection::open(address)
        .unwrap()
        .expect_ok(database, command)
}

/// `ok: 1`, in whatever number.
pub fn is_ok(reply: &Document) -> bool {
    number(reply, "ok") == 1
}

/// The error code of a reply, or of its first write error.
pub fn code(reply: &Document) -> Option<i32> {
    let code = |error: &Document| i32::try_from(number(error, "code")).unwrap();
    if !is_ok(reply) {
        return Some(code(reply));
    }
    let errors = reply.get_array("writeErrors").ok()?;
    errors.first()?.as_document().map(code)
}

/// A number of a reply, in whatever type; 0 when it is not there.
pub fn number(reply: &Document, key: &str) -> i64 {
    use bson::Bson;
    match reply.get(key) {
        Some(Bson::Int32(value)) => i64::from(*value),
        Some(Bson::Int64(value)) => *value,
        Some(Bson::Double(value)) => *value as i64,
        _ => 0,
    }
}

/// The batch of a cursor's reply, and the cursor's id, which is 0 at its end.
pub fn batch(reply: &Document) -> (Vec<Document>, i64) {
    let Ok(cursor) = reply.get_document("cursor") else {
        return (Vec::new(), 0);
    };
    let batch = cursor
        .get_array("firstBatch")
        .or_else(|_| cursor.get_array("nextBatch"))
        .cloned()
        .unwrap_or_default();
    let documents = batch.iter().filter_map(|each| each.as_document().cloned());
    (documents.collect(), number(cursor, "id"))
}

/// Connections that the server has open now, this question's own not counted.
pub fn connections_of(server: &mut Connection) -> i64 {
    // Whole it takes the server a millisecond, and long with thousands of connections: nobody could be measured meanwhile.
    let status = doc! {"serverStatus": 1, "globalLock": 0, "locks": 0, "metrics": 0, "tcmalloc": 0, "wiredTiger": 0};
    let status = server.expect_ok("admin", &status);
    number(status.get_document("connections").unwrap(), "current") - 1
}

/// What a client says first.
pub fn hello(application: &str) -> Document {
    doc! {
        "hello": 1,
        "helloOk": true,
        "client": {
            "application": {"name": application},
            "driver": {"name": "by-hand", "version": "1"},
            "os": {"type": "Linux"},
        },
    }
}

/// A message that answers `request` with this document.
pub fn answer(request: &[u8], body: &Document) -> Vec<u8> {
    op_msg(1, request_id(request), body)
}
