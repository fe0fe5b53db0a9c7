//! One client: random requests for what is its own, each reply judged.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::ask::{Ask, brief};
use crate::ledger::{Ledger, Place};
use crate::link::{Broken, Link};
use crate::random::Random;
use crate::support::resp::Value;
use crate::weather::Weather;

/// Requests that go out in one write, and whose reader may be this same thread.
const AT_ONCE: usize = 16 * 1024;

/// Why an operation did not come to its end.
#[derive(Debug)]
pub enum Failed {
    /// The weather, or a limit of the pool: an allowed error, or a connection that ended when it might.
    Away,
    /// Something that must never happen.
    Wrong(String),
}

pub type Step<T = ()> = Result<T, Failed>;

/// How requests are written, and their replies read.
#[derive(Clone, Copy, Default)]
pub struct Manner {
    /// In pieces of any size.
    pub pieces: bool,
    /// Nothing is read before that.
    pub late: Duration,
    /// With pauses between replies.
    pub slow: bool,
}

pub struct Client {
    pub me: u64,
    pub ledger: Ledger,
    pub random: Random,
    pub weather: Arc<Weather>,
    address: SocketAddr,
    /// There is no proxy.
    pub is_direct: bool,
    /// The connection that is used again and again.
    main: Option<Link>,
    /// Another one, for what has to come from elsewhere.
    other: Option<Link>,
    /// Lists that were written, with their users.
    pub lists: Vec<(&'static str, Place)>,
    pub done: BTreeMap<&'static str, u64>,
    excused: u64,
}

/// What the proxy says when it could not ask a server; see `errors.rs` of the collapse mode.
enum Excuse {
    /// A bound of the pool.
    Limit,
    /// No server is there.
    Nobody,
    /// The server was lost before.
    NotSent,
    /// The server was lost, and may have done it.
    MayBeDone,
    /// The server is on its way back.
    Loading,
}

impl Excuse {
    fn name(&self) -> &'static str {
        match self {
            Self::Limit => "(at a limit)",
            Self::Nobody => "(no server)",
            Self::NotSent => "(not sent)",
            Self::MayBeDone => "(may be done)",
            Self::Loading => "(loading)",
        }
    }

    fn of(reply: &Value) -> Option<Self> {
        let Value::Error(text) = reply else {
            return None;
        };
        if text.starts_with("LOADING ") {
            return Some(Self::Loading);
        }
        let text = text.strip_prefix("ERR narrows: cluster cache: ")?;
        let begins = |begin| text.starts_with(begin);
        Some(match text {
            _ if begins("no connection became free") => Self::Limit,
            _ if text.contains("wait for a connection, and no more may") => Self::Limit,
            _ if begins("no connection can be opened") => Self::Nobody,
            _ if text.ends_with("was lost; the command was not sent") => Self::NotSent,
            _ if text.ends_with("was lost; the command may have been carried out") => {
                Self::MayBeDone
            }
            _ => return None,
        })
    }
}

impl Client {
    pub fn new(me: u64, address: SocketAddr, seed: u64, weather: Arc<Weather>) -> Self {
        Self {
            me,
            ledger: Ledger::new(me, Arc::clone(&weather)),
            random: Random::new(seed ^ me << 32),
            weather,
            address,
            is_direct: false,
            main: None,
            other: None,
            lists: Vec::new(),
            done: BTreeMap::new(),
            excused: 0,
        }
    }

    /// Does things until the end is told, or something is wrong. It leaves in the middle of its things.
    pub fn run(&mut self) -> Result<(), String> {
        while !self.weather.is_over() {
            let excused = self.excused;
            let (name, result) = self.one();
            match result {
                Ok(()) => *self.done.entry(name).or_default() += 1,
                Err(Failed::Away) => *self.done.entry("cut off").or_default() += 1,
                Err(Failed::Wrong(what)) => {
                    return Err(format!("client {}, {name}: {what}", self.me));
                }
            }
            if self.excused > excused {
                thread::sleep(Duration::from_millis(5 + self.random.below(60)));
            }
        }
        self.main = None;
        self.other = None;
        Ok(())
    }

    fn one(&mut self) -> (&'static str, Step) {
        match self.random.below(100) {
            0..34 => ("pipeline", self.on_main(Self::pipeline)),
            34..38 => ("identity", self.on_main(Self::identity)),
            38..41 => ("typed", self.on_main(Self::typed)),
            41..45 => ("slow reader", self.slow_reader()),
            45..51 => ("transaction", self.on_main(Self::transaction)),
            51..54 => ("conflict", self.on_main(Self::conflict)),
            54..56 => ("discard", self.on_main(Self::discard)),
            56..58 => (
                "failing transaction",
                self.on_main(Self::failing_transaction),
            ),
            58..61 => ("leave in a transaction", self.leave_in_a_transaction()),
            61..65 => ("served", self.on_main(Self::served)),
            65..67 => ("timed out", self.on_main(Self::timed_out)),
            67..69 => ("leave in a wait", self.leave_in_a_wait()),
            69..75 => ("subscription", self.subscription()),
            75..79 => ("tracking", self.tracking()),
            79..82 => ("silence", self.silence()),
            82..84 => ("own connection", self.own_connection()),
            84..87 => ("garbage", self.garbage()),
            87..89 => ("quit", self.quit()),
            89..91 => ("half close", self.half_close()),
            91..99 => ("leave in a pipeline", self.leave_in_a_pipeline()),
            _ => {
                self.main = None;
                ("leave", Ok(()))
            }
        }
    }

    /// Something on the connection that is used again and again. It is given up when that fails.
    fn on_main(&mut self, what: impl FnOnce(&mut Self, &mut Link) -> Step) -> Step {
        let mut link = match self.main.take() {
            Some(link) => link,
            None => self.open()?,
        };
        what(self, &mut link)?;
        self.check_no_pushes(&link)?;
        self.main = Some(link);
        Ok(())
    }

    /// Something on the other connection, for the same user and in the same database.
    pub fn on_other<T>(
        &mut self,
        as_of: &Link,
        what: impl FnOnce(&mut Self, &mut Link) -> Step<T>,
    ) -> Step<T> {
        let mut link = match self.other.take() {
            Some(link) => link,
            None => self.open()?,
        };
        self.become_like(&mut link, as_of)?;
        let value = what(self, &mut link)?;
        self.check_no_pushes(&link)?;
        self.other = Some(link);
        Ok(value)
    }

    pub fn open(&self) -> Step<Link> {
        Link::open(self.address).map_err(|broken| match broken {
            Broken::Closed if self.is_direct => Failed::Away,
            _ => Failed::Wrong(format!("the proxy takes no connection: {broken:?}")),
        })
    }

    fn check_no_pushes(&self, link: &Link) -> Step {
        match link.pushes.as_slice() {
            [] => Ok(()),
            pushes => wrong(format!("not asked for: {pushes:?}")),
        }
    }

    pub fn place(&self, link: &Link, key: String) -> Place {
        Place {
            database: link.database,
            key,
        }
    }

    /// One request; `None` when it was excused.
    pub fn call<A: AsRef<[u8]>>(
        &mut self,
        link: &mut Link,
        arguments: &[A],
    ) -> Step<Option<Value>> {
        self.ledger.begin();
        let began = Instant::now();
        link.send(arguments);
        let shown = Ask::is(arguments, Value::Null).shown();
        self.receive(link, began, &shown)
    }

    /// The reply to a request that was sent at `began`; `None` when it was excused.
    pub fn receive(&mut self, link: &mut Link, began: Instant, what: &str) -> Step<Option<Value>> {
        match link.reply() {
            Ok(reply) => {
                link.proved = began;
                match Excuse::of(&reply) {
                    Some(excuse) => self.excuse(&excuse, link, &reply).map(|()| None),
                    None => {
                        link.was_refused = false;
                        Ok(Some(reply))
                    }
                }
            }
            Err(Broken::Closed) => Err(self.lost(link, what)),
            Err(Broken::Wrong(why)) => wrong(format!("{what}: {why}")),
        }
    }

    /// The connection has ended, which it may only if it had to expect that.
    pub fn lost(&mut self, link: &Link, what: &str) -> Failed {
        self.excused += 1;
        match link.was_slow || link.was_refused || self.weather.excuses(link.proved) {
            true => Failed::Away,
            false => Failed::Wrong(format!(
                "closed without a word, {:?} after it was all right: {what}; {}",
                link.proved.elapsed(),
                link.story()
            )),
        }
    }

    fn excuse(&mut self, excuse: &Excuse, link: &mut Link, reply: &Value) -> Step {
        self.excused += 1;
        link.was_refused = matches!(excuse, Excuse::Limit | Excuse::Nobody);
        *self.done.entry(excuse.name()).or_default() += 1;
        match excuse {
            Excuse::Limit => Ok(()),
            _ if self.weather.excuses(link.proved) => Ok(()),
            _ => wrong(format!("in fine weather: {}", brief(reply))),
        }
    }

    /// Sends requests, judges their replies. False when one of them was excused; what it writes is noted accordingly.
    pub fn exchange(&mut self, link: &mut Link, asks: Vec<Ask>, manner: Manner) -> Step<bool> {
        self.ledger.begin();
        let began = Instant::now();
        let bytes: Vec<u8> = asks.iter().flat_map(|ask| ask.bytes.clone()).collect();
        if bytes.len() <= AT_ONCE && !manner.pieces {
            link.send_raw(&bytes);
            return self.judge(link, asks, began, manner);
        }
        let seed = self.random.next();
        let stream = link.stream().try_clone().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| write_pieces(&stream, &bytes, seed, manner.pieces));
            let result = self.judge(link, asks, began, manner);
            if result.is_err() {
                // Whoever writes is not to wait for ever.
                let _ = link.stream().shutdown(Shutdown::Both);
            }
            result
        })
    }

    /// Reads a reply for each of these, which were sent from `began` on.
    pub fn judge(
        &mut self,
        link: &mut Link,
        asks: Vec<Ask>,
        began: Instant,
        manner: Manner,
    ) -> Step<bool> {
        link.was_slow |= manner.slow;
        thread::sleep(manner.late);
        let mut asks = VecDeque::from(asks);
        let (mut is_loading, mut all) = (false, true);
        while let Some(ask) = asks.pop_front() {
            if manner.slow {
                thread::sleep(Duration::from_millis(self.random.below(20)));
            }
            let reply = match link.reply() {
                Ok(reply) => reply,
                // What is behind a request that could not be done is not done either.
                Err(Broken::Closed) if link.was_refused => return Err(Failed::Away),
                Err(Broken::Closed) => {
                    let shown = ask.shown();
                    self.doubt(std::iter::once(ask).chain(asks));
                    return Err(self.lost(link, &shown));
                }
                Err(Broken::Wrong(why)) => {
                    return wrong(format!("{}: {why}; {}", ask.shown(), link.story()));
                }
            };
            link.proved = began;
            link.remember(format!("{} -> {}", ask.shown(), brief(&reply)));
            let Some(excuse) = Excuse::of(&reply) else {
                link.was_refused = false;
                let aborted = matches!(&reply, Value::Error(text) if text.starts_with("EXECABORT"));
                if aborted && is_loading {
                    continue;
                }
                let shown = ask.shown();
                if let Err(why) = (ask.judge)(&reply, &mut self.ledger) {
                    return wrong(format!("{shown}: {why}; {}", link.story()));
                }
                continue;
            };
            all = false;
            self.excuse(&excuse, link, &reply)?;
            is_loading |= matches!(excuse, Excuse::Loading);
            if ask.decides {
                // All that follows was meant for another user, or another database.
                for (place, _) in std::iter::once(&ask)
                    .chain(&asks)
                    .flat_map(|ask| &ask.writes)
                {
                    self.ledger.abandon(&place.key);
                }
                return Err(Failed::Away);
            }
            if matches!(excuse, Excuse::MayBeDone) {
                self.doubt([ask]);
            }
        }
        Ok(all)
    }

    /// These were sent, and not answered.
    pub fn doubt(&mut self, asks: impl IntoIterator<Item = Ask>) {
        for (place, content) in asks.into_iter().flat_map(|ask| ask.writes) {
            self.ledger.in_doubt(&place, content);
        }
    }
}

pub fn wrong<T>(what: String) -> Step<T> {
    Err(Failed::Wrong(what))
}

fn write_pieces(mut stream: &TcpStream, bytes: &[u8], seed: u64, pieces: bool) {
    let mut random = Random::new(seed);
    let mut rest = bytes;
    while !rest.is_empty() {
        let most = match (pieces, random.below(3)) {
            (false, _) => rest.len(),
            (true, 0) => 1 + random.below(8) as usize,
            (true, 1) => 1 + random.below(300) as usize,
            (true, _) => 1 + random.below(100_000) as usize,
        };
        let (piece, after) = rest.split_at(most.min(rest.len()));
        // It may have ended: whoever reads will see.
        if stream.write_all(piece).is_err() {
            return;
        }
        rest = after;
        if pieces && random.below(4) == 0 {
            thread::sleep(Duration::from_micros(random.below(1_500)));
        }
    }
}
