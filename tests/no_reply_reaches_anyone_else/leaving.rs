//! Clients that leave: in a request, in a reply, in a transaction, after their last word; and those that nobody wants to
//! stay.

use std::thread;
use std::time::{Duration, Instant};

use crate::ask::Ask;
use crate::client::{Client, Failed, Manner, Step, wrong};
use crate::ledger::Kind;
use crate::link::{Broken, Link};
use crate::support::resp::Value;

/// What is no request.
const GARBAGE: [&str; 6] = [
    "*1\r\n$x\r\n",
    "*2\r\n+ECHO\r\n",
    "*-1x\r\n",
    "*1\r\n$-5\r\n",
    "ECHO \"half a text\r\n",
    "*3\r\n$3\r\nSET\r\n:1\r\n",
];

impl Client {
    /// Goes away at once, in one way or another.
    pub fn leave_link(&mut self, link: Link) {
        match self.random.below(3) {
            0 => link.reset(),
            1 => {
                link.finish();
                drop(link);
            }
            _ => drop(link),
        }
    }

    pub fn leave_in_a_pipeline(&mut self) -> Step {
        let link = self.open_as_anybody(None)?;
        let asks = match self.random.below(4) {
            0 => self.large(&link),
            _ => self.mixed(&link),
        };
        self.leave(link, asks)
    }

    pub fn leave_in_a_transaction(&mut self) -> Step {
        let link = self.open_as_anybody(None)?;
        let mut asks = self.transaction_asks(&link);
        asks.extend(self.mixed(&link));
        self.leave(link, asks)
    }

    /// A part of these is sent, a part of the replies is read. Of what was not sent to its end, nothing is ever done.
    fn leave(&mut self, mut link: Link, asks: Vec<Ask>) -> Step {
        let bytes: Vec<u8> = asks.iter().flat_map(|ask| ask.bytes.clone()).collect();
        let written = self.random.below(bytes.len() as u64 + 1) as usize;
        self.ledger.begin();
        let began = Instant::now();
        let mut end = 0;
        let (mut sent, mut answered) = (Vec::new(), Vec::new());
        let read = self.random.below(4) == 0;
        for ask in asks {
            end += ask.bytes.len();
            if end > written {
                break;
            }
            match read && sent.is_empty() && self.random.below(8) > 0 {
                true => answered.push(ask),
                false => sent.push(ask),
            }
        }
        let stream = link.stream().try_clone().unwrap();
        thread::scope(|scope| {
            let part = &bytes[..written];
            scope.spawn(move || {
                use std::io::Write;
                let _ = (&stream).write_all(part);
            });
            let result = self.judge(&mut link, answered, began, Manner::default());
            if result.is_ok() {
                let time = Duration::from_millis(self.random.below(20));
                link.glance(self.random.below(5_000) as usize, time);
            }
            self.doubt(sent);
            self.leave_link(link);
            result.map(drop)
        })
    }

    /// Requests and replies of up to some megabytes.
    fn large(&mut self, link: &Link) -> Vec<Ask> {
        let mut asks = vec![self.set(link, Kind::Big)];
        for _ in 0..1 + self.random.below(4) {
            asks.push(self.get(link, Kind::Big));
            asks.push(self.echo());
        }
        asks
    }

    /// Takes its replies so slowly that they have to be held.
    pub fn slow_reader(&mut self) -> Step {
        let mut link = self.open_as_anybody(None)?;
        let asks = self.large(&link);
        let manner = Manner {
            pieces: self.random.below(2) == 0,
            late: Duration::from_millis(self.random.below(300)),
            slow: true,
        };
        self.exchange(&mut link, asks, manner).map(drop)
    }

    /// Only whoever sent it is closed, and what it sent before is answered.
    pub fn garbage(&mut self) -> Step {
        let mut link = self.open_as_anybody(None)?;
        let mut asks = match self.random.below(3) {
            0 => Vec::new(),
            1 => self.mixed(&link),
            _ => self.transaction_asks(&link),
        };
        let garbage = GARBAGE[self.random.below(GARBAGE.len() as u64) as usize];
        let mut last = self.echo();
        last.bytes.extend(garbage.as_bytes());
        asks.push(last);
        self.exchange(&mut link, asks, Manner::default())?;
        match link.reply() {
            Ok(Value::Error(text)) if text.starts_with("ERR Protocol error") => {
                self.expect_end(&mut link)
            }
            Err(Broken::Closed) => Err(self.lost(&link, garbage)),
            other => wrong(format!("after {garbage:?}: {other:?}")),
        }
    }

    fn expect_end(&self, link: &mut Link) -> Step {
        match link.reply() {
            Err(Broken::Closed) => Ok(()),
            other => wrong(format!("after the last reply: {other:?}")),
        }
    }

    pub fn quit(&mut self) -> Step {
        let mut link = self.open_as_anybody(None)?;
        let mut asks = self.mixed(&link);
        asks.push(Ask::is(&["QUIT"], Value::ok()));
        self.exchange(&mut link, asks, Manner::default())?;
        self.expect_end(&mut link)
    }

    /// Whoever has nothing more to say gets what it has asked for.
    pub fn half_close(&mut self) -> Step {
        // Redis itself may close before the last reply is written.
        if self.is_direct {
            return Ok(());
        }
        let mut link = self.open_as_anybody(None)?;
        let mut asks = Vec::new();
        for _ in 0..1 + self.random.below(30) {
            asks.push(match self.random.below(4) {
                0 => self.echo(),
                1 => self.set(&link, Kind::Small),
                2 => self.get_pair(&link),
                _ => self.get(&link, Kind::Small),
            });
        }
        self.ledger.begin();
        let began = Instant::now();
        let bytes: Vec<u8> = asks.iter().flat_map(|ask| ask.bytes.clone()).collect();
        let stream = link.stream().try_clone().unwrap();
        thread::scope(|scope| {
            scope.spawn(move || {
                use std::io::Write;
                let _ = (&stream).write_all(&bytes);
                let _ = stream.shutdown(std::net::Shutdown::Write);
            });
            self.judge(&mut link, asks, began, Manner::default())
        })?;
        self.expect_end(&mut link)
    }

    /// As one types it, with empty lines between.
    pub fn typed(&mut self, link: &mut Link) -> Step {
        let mut asks = Vec::new();
        for _ in 0..1 + self.random.below(6) {
            let empty = "\r\n".repeat(self.random.below(3) as usize);
            let mut ask = match self.random.below(3) {
                0 => {
                    let ask = self.get(link, Kind::Small);
                    let words = String::from_utf8(ask.bytes.clone()).unwrap();
                    let key = words.lines().last().unwrap();
                    Ask {
                        bytes: format!("get {key}\r\n").into_bytes(),
                        ..ask
                    }
                }
                1 => {
                    let token = self.ledger.token();
                    let bytes = format!("ECHO \"\\x61 {token}\"\r\n").into_bytes();
                    let said = Value::bulk(format!("a {token}"));
                    Ask {
                        bytes,
                        ..Ask::is(&["ECHO"], said)
                    }
                }
                _ => self.plain(link),
            };
            ask.bytes.splice(0..0, empty.into_bytes());
            asks.push(ask);
        }
        let manner = self.manner();
        match self.exchange(link, asks, manner) {
            Err(Failed::Away) => Err(Failed::Away),
            result => result.map(drop),
        }
    }
}
