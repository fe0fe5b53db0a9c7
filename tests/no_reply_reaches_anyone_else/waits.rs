//! Commands that wait: served by another connection, timed out, left.

use std::thread;
use std::time::{Duration, Instant};

use crate::ask::{Ask, brief, expect};
use crate::client::{Client, Failed, Manner, Step};
use crate::ledger::{Kind, Place};
use crate::link::Link;
use crate::support::resp::Value;

/// Longer than it takes to serve one; a limit for when nobody could.
const WAIT: &str = "3";

impl Client {
    /// The list for one wait.
    fn queue(&mut self, link: &Link) -> (Place, Value) {
        let number = self.ledger.fresh();
        let key = self.ledger.key(link.user, Kind::List, number);
        let place = self.place(link, key);
        let value = Value::bulk(place.value(number));
        (place, value)
    }

    /// What another connection of this client pushes is what comes.
    pub fn served(&mut self, link: &mut Link) -> Step {
        let (place, value) = self.queue(link);
        let result = self.served_at(link, &place, value);
        self.weather.discard(place);
        result
    }

    fn served_at(&mut self, link: &mut Link, place: &Place, value: Value) -> Step {
        let target = format!("{}b", place.key);
        let key = place.key.as_str();
        let (arguments, expected) = match self.random.below(3) {
            0 => {
                let both = vec![Value::bulk(key), value.clone()];
                (vec!["BLPOP", key, WAIT], Value::Array(both))
            }
            1 => {
                let moved = vec!["BLMOVE", key, &target, "LEFT", "RIGHT", WAIT];
                (moved, value.clone())
            }
            _ => {
                let some = Value::Array(vec![value.clone()]);
                let both = vec![Value::bulk(key), some];
                (vec!["BLMPOP", WAIT, "1", key, "LEFT"], Value::Array(both))
            }
        };
        let began = Instant::now();
        self.ledger.begin();
        link.send(&arguments);
        thread::sleep(Duration::from_millis(self.random.below(8)));
        let Value::Bulk(bytes) = &value else {
            unreachable!()
        };
        let pushed = Ask::is(&[b"RPUSH", key.as_bytes(), bytes], Value::Integer(1));
        let is_pushed = self.on_other(link, |client, other| {
            client.exchange(other, vec![pushed], Manner::default())
        });
        let losses = self.weather.losses();
        let reply = self.receive(link, began, &format!("{arguments:?}"));
        if let Err(Failed::Wrong(_)) = is_pushed {
            return is_pushed.map(drop);
        }
        let Some(reply) = reply? else {
            return Ok(());
        };
        let is_nothing = reply == link.nil_array() || reply == link.nil();
        let may_miss = !matches!(is_pushed, Ok(true)) || self.weather.excuses(began);
        if is_nothing && may_miss {
            return is_pushed.map(drop);
        }
        expect(&reply, &expected).map_err(|why| Failed::Wrong(format!("{arguments:?}: {why}")))?;
        is_pushed?;
        if arguments[0] == "BLMOVE" && losses == self.weather.losses() {
            let moved = Value::Array(vec![value]);
            let weather = std::sync::Arc::clone(&self.weather);
            let ask = Ask::new(&["LRANGE", &target, "0", "-1"], move |reply, _| {
                match *reply == Value::Array(Vec::new()) && weather.losses() != losses {
                    true => Ok(()),
                    false => expect(reply, &moved),
                }
            });
            self.exchange(link, vec![ask], Manner::default())?;
        }
        Ok(())
    }

    /// Nothing comes, and what is behind the wait in the same pipeline is answered.
    pub fn timed_out(&mut self, link: &mut Link) -> Step {
        let (place, _) = self.queue(link);
        let (nil, nil_array) = (link.nil(), link.nil_array());
        let target = format!("{}b", place.key);
        let arguments = match self.random.below(2) {
            0 => vec!["BLPOP", &place.key, "0.02"],
            _ => vec!["BLMOVE", &place.key, &target, "LEFT", "LEFT", "0.02"],
        };
        let wait = Ask::new(&arguments, move |reply, _| {
            match *reply == nil || *reply == nil_array {
                true => Ok(()),
                false => Err(format!("nobody pushed {}", brief(reply))),
            }
        });
        let mut asks = vec![wait];
        for _ in 0..self.random.below(4) {
            asks.push(self.plain(link));
        }
        let manner = self.manner();
        self.exchange(link, asks, manner).map(drop)
    }

    /// What is pushed then is there, or was lost with the connection that waited for it: nobody else gets it.
    pub fn leave_in_a_wait(&mut self) -> Step {
        let link = self.open_as_anybody(None)?;
        let (place, value) = self.queue(&link);
        link.send(&["BLPOP", &place.key, "0"]);
        thread::sleep(Duration::from_millis(self.random.below(10)));
        let as_of = (link.user, link.database);
        self.leave_link(link);
        let mut like = self.open()?;
        (like.user, like.database) = as_of;
        let Value::Bulk(bytes) = &value else {
            unreachable!()
        };
        let pushed = Ask::is(&[b"RPUSH", place.key.as_bytes(), bytes], Value::Integer(1));
        let found = Ask::new(&["LRANGE", &place.key, "0", "-1"], move |reply, _| {
            match *reply == Value::Array(Vec::new()) {
                true => Ok(()),
                false => expect(reply, &Value::Array(vec![value])),
            }
        });
        let result = self.on_other(&like, |client, other| {
            client.exchange(other, vec![pushed, found], Manner::default())
        });
        self.weather.discard(place);
        result.map(drop)
    }
}
