//! One client: random operations on documents of its own, each reply judged.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bson::spec::BinarySubtype;
use bson::{Binary, Bson, Document, doc};

use crate::ledger::{Ledger, id};
use crate::random::Random;
use crate::support::commands::{Connection, batch, code, hello, is_ok, number, reply_to};
use crate::weather::Weather;

pub const DATABASE: &str = "chaos";
pub const THINGS: &str = "things";

/// Codes that may come while the server is down or on its way back: HostUnreachable, ExceededTimeLimit, CursorNotFound,
/// NoSuchTransaction, and those of a member that is not yet primary.
const WHILE_AWAY: [i32; 9] = [6, 262, 43, 251, 10107, 13435, 13436, 189, 11602];

const CURSOR_NOT_FOUND: i32 = 43;

/// Why an operation has no result.
pub enum Failed {
    /// The server is, or was meanwhile, not there: an allowed error, or the end of a reply that had begun.
    Away,
    /// Something that must never happen.
    Wrong(String),
}

type Step<T = ()> = Result<T, Failed>;

/// One client, and what it has done.
pub struct Client {
    me: i64,
    address: SocketAddr,
    connection: Option<Connection>,
    pub ledger: Ledger,
    random: Random,
    weather: Arc<Weather>,
    /// When the running operation began, as the weather counts.
    since: u64,
    transaction: i64,
    pub done: BTreeMap<&'static str, u64>,
}

impl Client {
    pub fn new(me: i64, address: SocketAddr, seed: u64, weather: Arc<Weather>) -> Self {
        Self {
            me,
            address,
            connection: None,
            ledger: Ledger::new(me),
            random: Random::new(seed ^ (me as u64) << 32),
            weather,
            since: 0,
            transaction: 0,
            done: BTreeMap::new(),
        }
    }

    pub fn number(&self) -> i64 {
        self.me
    }

    /// Does things until the end is told, or something is wrong.
    pub fn run(&mut self) -> Result<(), String> {
        while !self.weather.is_over() {
            self.since = self.weather.now();
            let (name, result) = self.one();
            match result {
                Ok(()) => *self.done.entry(name).or_default() += 1,
                Err(Failed::Away) => {
                    *self.done.entry("failed").or_default() += 1;
                    std::thread::sleep(Duration::from_millis(20 + self.random.below(80)));
                }
                Err(Failed::Wrong(what)) => return Err(format!("{name}: {what}")),
            }
        }
        // It leaves in the middle of its things: open cursors and transactions included.
        self.connection = None;
        Ok(())
    }

    fn one(&mut self) -> (&'static str, Step) {
        match self.random.below(100) {
            0..20 => ("insert", self.insert()),
            20..32 => ("find", self.find()),
            32..44 => ("find many", self.find_many()),
            44..54 => ("update", self.update()),
            54..60 => ("delete", self.delete()),
            60..66 => ("aggregate", self.aggregate()),
            66..70 => ("kill a cursor", self.kill_cursor()),
            70..76 => ("unacknowledged", self.unacknowledged()),
            76..84 => ("transaction", self.transaction()),
            84..88 => ("slow", self.slow()),
            88..91 => ("leave in a request", self.leave_in_a_request()),
            91..94 => ("leave in a reply", self.leave_in_a_reply()),
            94..96 => ("leave a cursor", self.leave_a_cursor()),
            96..97 => ("leave a transaction", self.leave_a_transaction()),
            _ => ("byte by byte", self.byte_by_byte()),
        }
    }

    fn insert(&mut self) -> Step {
        let number = self.ledger.fresh();
        let command = self.insertion(number);
        let result = self.write(&command);
        self.note(number, Some(1), result)
    }

    fn find(&mut self) -> Step {
        let Some((number, _)) = self.ledger.pick(self.random.next()) else {
            return Ok(());
        };
        let found = self.command(&doc! {"find": THINGS, "filter": {"_id": id(self.me, number)}})?;
        self.check_one(number, &found)
    }

    fn check_one(&self, number: i64, found: &Document) -> Step {
        match batch(found).0.as_slice() {
            [] => self.ledger.check_content(number, None),
            [one]
                if one
                    .get_str("_id")
                    .is_ok_and(|found| found == id(self.me, number)) =>
            {
                self.ledger.check(one)
            }
            other => Err(format!("asked for document {number}, got {other:?}")),
        }
        .map_err(Failed::Wrong)
    }

    /// All of its documents, in batches that make several getMores.
    fn find_many(&mut self) -> Step {
        let size = 1 + self.random.below(5) as i32;
        let find = doc! {"find": THINGS, "filter": {"owner": self.me}, "batchSize": size};
        let (mut found, mut cursor) = batch(&self.command(&find)?);
        while cursor != 0 {
            let more = doc! {"getMore": cursor, "collection": THINGS, "batchSize": 2 * size};
            let (more, next) = batch(&self.command(&more)?);
            found.extend(more);
            cursor = next;
        }
        self.ledger.check_all(&found).map_err(Failed::Wrong)
    }

    fn update(&mut self) -> Step {
        let Some((number, version)) = self.ledger.pick(self.random.next()) else {
            return Ok(());
        };
        let new = self.ledger.document(number, version + 1);
        let one = doc! {"q": {"_id": id(self.me, number)}, "u": new};
        let command = doc! {"update": THINGS, "updates": [one], "writeConcern": journaled()};
        let result = self.write(&command);
        self.note(number, Some(version + 1), result)
    }

    fn delete(&mut self) -> Step {
        let Some((number, _)) = self.ledger.pick(self.random.next()) else {
            return Ok(());
        };
        let one = doc! {"q": {"_id": id(self.me, number)}, "limit": 1};
        let command = doc! {"delete": THINGS, "deletes": [one], "writeConcern": journaled()};
        let result = self.write(&command);
        self.note(number, None, result)
    }

    fn aggregate(&mut self) -> Step {
        let (least, most) = self.ledger.count();
        let pipeline = [
            doc! {"$match": {"owner": self.me}},
            doc! {"$group": {"_id": "$owner", "count": {"$sum": 1}}},
        ];
        let pipeline = Bson::from(pipeline.to_vec());
        let reply =
            self.command(&doc! {"aggregate": THINGS, "pipeline": pipeline, "cursor": {}})?;
        let (groups, _) = batch(&reply);
        let count = groups.first().map_or(0, |group| number(group, "count"));
        let mine = groups.iter().all(|group| number(group, "_id") == self.me);
        match groups.len() <= 1 && mine && (least..=most).contains(&count) {
            true => Ok(()),
            false => self.wrong(&format!("{groups:?}, of {least} to {most} documents")),
        }
    }

    fn kill_cursor(&mut self) -> Step {
        let Some(cursor) = self.open_cursor()? else {
            return Ok(());
        };
        let killed = self.command(&doc! {"killCursors": THINGS, "cursors": [cursor]})?;
        if killed.get_array("cursorsKilled").ok() != Some(&vec![Bson::Int64(cursor)]) {
            return self.wrong(&format!("cursor {cursor} was not killed: {killed}"));
        }
        let reply = self.ask(&doc! {"getMore": cursor, "collection": THINGS})?;
        match code(&reply) {
            Some(CURSOR_NOT_FOUND) => Ok(()),
            _ => self.allowed(reply).map(drop),
        }
    }

    /// A cursor with more to come, when there are documents enough.
    fn open_cursor(&mut self) -> Step<Option<i64>> {
        let find = doc! {"find": THINGS, "filter": {"owner": self.me}, "batchSize": 1};
        let (found, cursor) = batch(&self.command(&find)?);
        for each in &found {
            self.ledger.check(each).map_err(Failed::Wrong)?;
        }
        Ok((cursor != 0).then_some(cursor))
    }

    /// Whoever writes without asking for an answer sees it all the same, over the same connection.
    fn unacknowledged(&mut self) -> Step {
        let number = self.ledger.fresh();
        let document = self.ledger.document(number, 1);
        let none = doc! {"w": 0};
        let command = doc! {"insert": THINGS, "documents": [document], "writeConcern": none};
        self.ledger.in_doubt(number, Some(1));
        let connection = self.connection()?;
        if connection
            .command_without_reply(DATABASE, &command)
            .is_err()
        {
            return self.lost("the connection was closed");
        }
        let find = doc! {"find": THINGS, "filter": {"_id": id(self.me, number)}};
        let found = self.command(&find)?;
        self.check_one(number, &found)?;
        match batch(&found).0.is_empty() && self.weather.was_fine(self.since) {
            true => self.wrong(&format!(
                "document {number} was just written, and is not there"
            )),
            false => Ok(()),
        }
    }

    fn transaction(&mut self) -> Step {
        let commits = self.random.below(3) > 0;
        let numbers = [self.ledger.fresh(), self.ledger.fresh() + 1];
        let session = self.session();
        let result = self.transact(numbers, &session, commits);
        let content = if commits { Some(1) } else { None };
        for number in numbers {
            match &result {
                Ok(()) => self.ledger.acknowledged(number, content),
                Err(_) => self.ledger.in_doubt(number, Some(1)),
            }
        }
        result
    }

    fn transact(&mut self, numbers: [i64; 2], session: &Document, commits: bool) -> Step {
        self.transaction += 1;
        for (at, number) in numbers.into_iter().enumerate() {
            let document = self.ledger.document(number, 1);
            let mut insert = doc! {"insert": THINGS, "documents": [document]};
            self.in_transaction(&mut insert, session, at == 0);
            self.write(&insert)?;
        }
        let mut find = doc! {"find": THINGS, "filter": {"_id": id(self.me, numbers[0])}};
        self.in_transaction(&mut find, session, false);
        let found = batch(&self.command(&find)?).0;
        if found != [self.ledger.document(numbers[0], 1)] {
            return self.wrong(&format!("a transaction does not see its own: {found:?}"));
        }
        let end = match commits {
            true => "commitTransaction",
            false => "abortTransaction",
        };
        let mut end = doc! {end: 1, "writeConcern": journaled()};
        self.in_transaction(&mut end, session, false);
        self.command_of("admin", &end).map(drop)
    }

    fn in_transaction(&self, command: &mut Document, session: &Document, first: bool) {
        command.insert("lsid", session.clone());
        command.insert("txnNumber", self.transaction);
        command.insert("autocommit", false);
        if first {
            command.insert("startTransaction", true);
        }
    }

    /// A session of its own for each transaction: one that was given up stays open at the server for a while.
    fn session(&mut self) -> Document {
        let bytes = [self.random.next(), self.random.next()];
        let uuid = Binary {
            subtype: BinarySubtype::Uuid,
            bytes: bytes.iter().flat_map(|half| half.to_le_bytes()).collect(),
        };
        doc! {"id": uuid}
    }

    fn slow(&mut self) -> Step {
        let Some((number, _)) = self.ledger.pick(self.random.next()) else {
            return Ok(());
        };
        let found = self.command(&self.slow_find(number))?;
        self.check_one(number, &found)
    }

    fn slow_find(&self, number: i64) -> Document {
        let slowly = "sleep(50) || true";
        doc! {"find": THINGS, "filter": {"_id": id(self.me, number), "$where": slowly}}
    }

    /// Half of an insert must never be done.
    fn leave_in_a_request(&mut self) -> Step {
        let number = self.ledger.fresh();
        let command = self.insertion(number);
        let (_, bytes) = self.connection()?.request(DATABASE, &command, 0);
        let part = 1 + self.random.below(bytes.len() as u64 - 1) as usize;
        // An error here is a connection that ended before we did.
        let _ = self.connection()?.stream().write_all(&bytes[..part]);
        self.leave();
        self.ledger.acknowledged(number, None);
        Ok(())
    }

    /// Half of a reply is read, or nothing at all of a slow one.
    fn leave_in_a_reply(&mut self) -> Step {
        let slow = self.ledger.pick(self.random.next());
        let command = match slow {
            Some((number, _)) if self.random.below(2) == 0 => self.slow_find(number),
            _ => doc! {"find": THINGS, "filter": {"owner": self.me}},
        };
        let part = self.random.below(60) as usize;
        let (_, bytes) = self.connection()?.request(DATABASE, &command, 0);
        let stream = self.connection()?.stream();
        let _ = stream.write_all(&bytes);
        let wait = Duration::from_millis(1 + part as u64);
        stream.set_read_timeout(Some(wait)).unwrap();
        let _ = stream.read(&mut vec![0; part]);
        self.leave();
        Ok(())
    }

    fn leave_a_cursor(&mut self) -> Step {
        self.open_cursor()?;
        self.leave();
        Ok(())
    }

    fn leave_a_transaction(&mut self) -> Step {
        let number = self.ledger.fresh();
        let session = self.session();
        let document = self.ledger.document(number, 1);
        let mut insert = doc! {"insert": THINGS, "documents": [document]};
        self.transaction += 1;
        self.in_transaction(&mut insert, &session, true);
        // Not committed: whatever becomes of it, it is never there.
        self.ledger.acknowledged(number, None);
        self.write(&insert)?;
        self.leave();
        Ok(())
    }

    fn byte_by_byte(&mut self) -> Step {
        let Some((number, _)) = self.ledger.pick(self.random.next()) else {
            return Ok(());
        };
        let find = doc! {"find": THINGS, "filter": {"_id": id(self.me, number)}};
        let (request, bytes) = self.connection()?.request(DATABASE, &find, 0);
        for byte in &bytes {
            if self.connection()?.stream().write_all(&[*byte]).is_err() {
                return self.lost("the connection was closed in mid-request");
            }
        }
        let reply = self.receive(request)?;
        let found = self.allowed(reply)?;
        self.check_one(number, &found)
    }

    fn insertion(&self, number: i64) -> Document {
        let document = self.ledger.document(number, 1);
        doc! {"insert": THINGS, "documents": [document], "writeConcern": journaled()}
    }

    /// A write of one document, which has to be done when it is acknowledged.
    fn write(&mut self, command: &Document) -> Step {
        let reply = self.command(command)?;
        match number(&reply, "n") {
            1 => Ok(()),
            n => self.wrong(&format!("{n} documents written by {command}: {reply}")),
        }
    }

    fn note(&mut self, number: i64, content: Option<i64>, result: Step) -> Step {
        match result {
            Ok(()) => self.ledger.acknowledged(number, content),
            Err(_) => self.ledger.in_doubt(number, content),
        }
        result
    }

    fn command(&mut self, command: &Document) -> Step<Document> {
        self.command_of(DATABASE, command)
    }

    fn command_of(&mut self, database: &str, command: &Document) -> Step<Document> {
        let reply = self.ask_of(database, command)?;
        self.allowed(reply)
    }

    fn ask(&mut self, command: &Document) -> Step<Document> {
        self.ask_of(DATABASE, command)
    }

    fn ask_of(&mut self, database: &str, command: &Document) -> Step<Document> {
        let connection = self.connection()?;
        let (request, bytes) = connection.request(database, command, 0);
        if connection.stream().write_all(&bytes).is_err() {
            return self.lost("the connection was closed");
        }
        self.receive(request)
    }

    /// A reply that is good, or an error that may be.
    fn allowed(&mut self, reply: Document) -> Step<Document> {
        let Some(code) = code(&reply) else {
            return Ok(reply);
        };
        match WHILE_AWAY.contains(&code) && !self.weather.was_fine(self.since) {
            true => Err(Failed::Away),
            false => Err(Failed::Wrong(format!("client {}: {reply}", self.me))),
        }
    }

    fn receive(&mut self, request: i32) -> Step<Document> {
        let mut message = vec![0; 16];
        match self.connection()?.stream().read(&mut message[..1]) {
            Ok(1) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return self.wrong("no reply came");
            }
            _ => return self.lost("the connection was closed instead of a reply"),
        }
        let stream = self.connection()?.stream();
        let rest = stream.read_exact(&mut message[1..]).and_then(|()| {
            let length = i32::from_le_bytes(message[..4].try_into().unwrap());
            message.resize(usize::try_from(length).unwrap_or(16).max(16), 0);
            stream.read_exact(&mut message[16..])
        });
        if rest.is_err() {
            // The beginning of a reply can't be taken back: the connection has to end.
            self.connection = None;
            return match self.weather.was_fine(self.since) {
                true => self.wrong("half of a reply came"),
                false => Err(Failed::Away),
            };
        }
        reply_to(request, &message)
            .map_err(|error| Failed::Wrong(format!("client {}: {error}", self.me)))
    }

    fn connection(&mut self) -> Step<&mut Connection> {
        if self.connection.is_none() {
            let opened = Connection::open(self.address).and_then(|mut opened| {
                // So that a reply to another client answers no request of this one.
                opened.number_from((self.me as i32) << 20 | (self.random.below(1 << 16) as i32));
                let reply = opened.command("admin", &hello("chaos"))?;
                Ok((opened, is_ok(&reply)))
            });
            match opened {
                Ok((opened, true)) => self.connection = Some(opened),
                _ => return self.lost("no connection"),
            }
        }
        Ok(self.connection.as_mut().unwrap())
    }

    /// The other side ended the connection. The proxy must not, even while the server is away.
    fn lost<T>(&mut self, what: &str) -> Step<T> {
        self.connection = None;
        match self.weather.may_close() && !self.weather.was_fine(self.since) {
            true => Err(Failed::Away),
            false => self.wrong(what),
        }
    }

    fn leave(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            let _ = connection.stream().shutdown(Shutdown::Both);
        }
    }

    fn wrong<T>(&self, what: &str) -> Step<T> {
        Err(Failed::Wrong(format!("client {}: {what}", self.me)))
    }
}

fn journaled() -> Document {
    doc! {"w": 1, "j": true}
}
