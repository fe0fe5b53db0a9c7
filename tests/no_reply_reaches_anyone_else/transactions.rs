//! MULTI, WATCH, EXEC and DISCARD: a transaction is carried out whole or not at all.

use crate::ask::{Ask, expect};
use crate::client::{Client, Manner, Step};
use crate::ledger::{Content, Kind, Place};
use crate::link::Link;
use crate::plain::{pair, parts};
use crate::support::resp::{Value, encode};

/// How a transaction is to end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Executed,
    /// Somebody else has written what was watched.
    Conflict,
    Discarded,
    /// A command in it can't be queued.
    Refused,
    /// A command in it fails, and the others are done.
    OneFails,
}

impl Client {
    /// With other requests behind it in the same pipeline.
    pub fn transaction(&mut self, link: &mut Link) -> Step {
        let mut asks = self.transaction_asks(link);
        for _ in 0..self.random.below(4) {
            asks.push(self.plain(link));
        }
        asks.push(self.get_pair(link));
        let manner = self.manner();
        self.exchange(link, asks, manner).map(drop)
    }

    /// WATCH perhaps, and a transaction that is carried out.
    pub fn transaction_asks(&mut self, link: &Link) -> Vec<Ask> {
        let key = self.key(link, Kind::Pair);
        let place = self.place(link, key);
        let mut asks = Vec::new();
        if self.random.below(2) == 0 {
            asks.push(watch(&place));
        }
        asks.extend(self.of_pair(link, &place, Ending::Executed));
        asks
    }

    pub fn discard(&mut self, link: &mut Link) -> Step {
        let key = self.key(link, Kind::Pair);
        let place = self.place(link, key);
        let asks = self.of_pair(link, &place, Ending::Discarded);
        self.exchange(link, asks, Manner::default()).map(drop)
    }

    pub fn failing_transaction(&mut self, link: &mut Link) -> Step {
        let key = self.key(link, Kind::Pair);
        let place = self.place(link, key);
        let ending = match self.random.below(2) {
            0 => Ending::Refused,
            _ => Ending::OneFails,
        };
        let asks = self.of_pair(link, &place, ending);
        self.exchange(link, asks, Manner::default()).map(drop)
    }

    /// What was watched is written by another connection: nothing is carried out.
    pub fn conflict(&mut self, link: &mut Link) -> Step {
        let key = self.key(link, Kind::Pair);
        let place = self.place(link, key);
        if !self.exchange(link, vec![watch(&place)], Manner::default())? {
            return Ok(());
        }
        let number = self.ledger.fresh();
        let [(one, first), (two, second)] = pair(&place, number);
        let arguments = [
            b"MSET",
            one.key.as_bytes(),
            &first,
            two.key.as_bytes(),
            &second,
        ];
        let written = Ask::writes(&arguments, Value::ok(), place.clone(), Some(number));
        let is_written = self.on_other(link, |client, other| {
            client.exchange(other, vec![written], Manner::default())
        })?;
        let asks = match is_written {
            true => self.of_pair(link, &place, Ending::Conflict),
            false => vec![Ask::is(&["UNWATCH"], Value::ok())],
        };
        self.exchange(link, asks, Manner::default()).map(drop)
    }

    fn of_pair(&mut self, link: &Link, place: &Place, ending: Ending) -> Vec<Ask> {
        let number = self.ledger.fresh();
        let [(one, first), (two, second)] = pair(place, number);
        let queued = || Value::Simple("QUEUED".to_string());
        let token = self.ledger.token();
        let mut asks = vec![
            Ask::is(&["MULTI"], Value::ok()),
            Ask::is(&[b"SET", one.key.as_bytes(), &first], queued()),
            Ask::is(&[b"SET", two.key.as_bytes(), &second], queued()),
            Ask::is(&[b"GET", one.key.as_bytes()], queued()),
            Ask::is(&["ECHO", &token], queued()),
        ];
        let mut replies = vec![
            Value::ok(),
            Value::ok(),
            Value::bulk(&first),
            Value::bulk(&token),
        ];
        match ending {
            Ending::Refused => asks.push(Ask::fails(&["GET"], "ERR wrong number")),
            Ending::OneFails => {
                asks.push(Ask::is(&["LPUSH", &one.key, "x"], queued()));
                let error = "WRONGTYPE Operation against a key holding the wrong kind of value";
                replies.push(Value::Error(error.to_string()));
            }
            _ => {}
        }
        let nil = link.nil_array();
        asks.push(match ending {
            Ending::Executed | Ending::OneFails => executed(place, Some(number), replies),
            Ending::Conflict => Ask::is(&["EXEC"], nil),
            Ending::Discarded => Ask::is(&["DISCARD"], Value::ok()),
            Ending::Refused => Ask::fails(&["EXEC"], "EXECABORT "),
        });
        asks
    }
}

fn watch(place: &Place) -> Ask {
    let [one, two] = parts(place);
    Ask::is(&["WATCH", &one.key, &two.key], Value::ok())
}

fn executed(place: &Place, content: Content, replies: Vec<Value>) -> Ask {
    let written = place.clone();
    let ask = Ask::new(&["EXEC"], move |reply, ledger| {
        expect(reply, &Value::Array(replies))?;
        ledger.acknowledged(&written, content);
        Ok(())
    });
    ask.may_write(place.clone(), content)
}

impl Client {
    /// What the server is told not to answer is done all the same.
    pub fn silence(&mut self) -> Step {
        let mut link = self.open_as_anybody(None)?;
        for _ in 0..1 + self.random.below(3) {
            let silent = self.set(&link, Kind::Small);
            let token = self.ledger.token();
            let (before, after, said) = match self.random.below(2) {
                0 => ("SKIP", vec!["ECHO", &token], Value::bulk(&token)),
                _ => ("OFF", vec!["CLIENT", "REPLY", "ON"], Value::ok()),
            };
            let mut bytes = encode(&["CLIENT", "REPLY", before]);
            bytes.extend(silent.bytes);
            bytes.extend(encode(&after));
            let writes = silent.writes.clone();
            let weather = std::sync::Arc::clone(&self.weather);
            let began = std::time::Instant::now();
            let all = Ask {
                bytes,
                judge: Box::new(move |reply, ledger| {
                    expect(reply, &said)?;
                    for (place, content) in &writes {
                        // A server that is on its way back may have refused it without a word.
                        match weather.excuses(began) {
                            true => ledger.in_doubt(place, *content),
                            false => ledger.acknowledged(place, *content),
                        }
                    }
                    Ok(())
                }),
                writes: silent.writes,
                decides: true,
            };
            let mut asks = vec![all, self.get(&link, Kind::Small)];
            asks.extend(self.transaction_asks(&link));
            let manner = self.manner();
            self.exchange(&mut link, asks, manner)?;
        }
        Ok(())
    }
}
