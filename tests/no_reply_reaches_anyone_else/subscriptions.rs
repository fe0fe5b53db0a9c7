//! What comes without being asked for: messages and invalidations, at every point, and only one's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ask::{Ask, brief, expect};
use crate::client::{Client, Failed, Manner, Step, wrong};
use crate::ledger::Kind;
use crate::link::{Broken, Link};
use crate::support::resp::Value;
use crate::weather::Weather;

/// What one connection has subscribed to.
struct Subscription {
    /// Begins the name of each channel.
    base: String,
    has_pattern: bool,
    /// Own messages that were taken by the server.
    published: Vec<u64>,
    /// Those of which nobody knows.
    doubtful: Vec<u64>,
}

/// Asks for messages from outside as long as somebody listens.
struct Wanted(Arc<Weather>, String);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.no_longer(&self.1);
    }
}

impl Client {
    /// Subscribes, gets messages from its own other connection and from outside, and goes on with commands, or leaves.
    pub fn subscription(&mut self) -> Step {
        let mut link = self.open_as_anybody(None)?;
        let base = format!("{}:c{}:t{}", link.user, self.me, self.ledger.fresh());
        let channels = ["0", "1", "out"].map(|name| format!("{base}.{name}"));
        let wanted = Wanted(Arc::clone(&self.weather), channels[2].clone());
        self.weather.want(&channels[2]);
        link.subscribed = true;
        let mut subscribe = vec!["SUBSCRIBE".to_string()];
        subscribe.extend(channels.clone());
        if !self.confirmed(&mut link, &subscribe, 0)? {
            return Err(Failed::Away);
        }
        let mut mine = Subscription {
            has_pattern: self.random.below(2) == 0,
            base,
            published: Vec::new(),
            doubtful: Vec::new(),
        };
        let pattern = format!("{}.*", mine.base);
        if mine.has_pattern && !self.confirmed(&mut link, &["PSUBSCRIBE", &pattern], 3)? {
            return Err(Failed::Away);
        }
        let rounds = 1 + self.random.below(8);
        let leaves = (self.random.below(4) == 0).then(|| self.random.below(rounds));
        for round in 0..rounds {
            if leaves == Some(round) {
                self.leave_link(link);
                return Ok(());
            }
            match self.random.below(3) {
                0 => self.between_messages(&mut link)?,
                _ => self.publish(&link, &mut mine)?,
            }
        }
        self.between_messages(&mut link)?;
        mine.check(std::mem::take(&mut link.pushes), true)
            .map_err(Failed::Wrong)?;
        drop(wanted);
        if mine.has_pattern {
            self.unconfirmed(&mut link, "PUNSUBSCRIBE", 1)?;
        }
        self.unconfirmed(&mut link, "UNSUBSCRIBE", 3)?;
        mine.check(std::mem::take(&mut link.pushes), false)
            .map_err(Failed::Wrong)?;
        link.subscribed = false;
        self.pipeline(&mut link)?;
        match link.pushes.as_slice() {
            [] => Ok(()),
            pushes => wrong(format!("after UNSUBSCRIBE: {pushes:?}")),
        }
    }

    /// A confirmation for each channel, in their order. False when it was excused.
    fn confirmed<A: AsRef<str>>(
        &mut self,
        link: &mut Link,
        arguments: &[A],
        before: usize,
    ) -> Step<bool> {
        let words: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
        let kind = words[0].to_ascii_lowercase();
        link.send(&words);
        for (number, channel) in words[1..].iter().enumerate() {
            let count = Value::Integer((before + number + 1) as i64);
            let parts = vec![Value::bulk(&kind), Value::bulk(channel), count];
            let expected = match link.version {
                2 => Value::Array(parts),
                _ => Value::Push(parts),
            };
            match link.confirmation(&kind) {
                Ok(Value::Error(text)) if text.contains("no connection became free") => {
                    return Ok(false);
                }
                Ok(Value::Error(_)) if self.weather.excuses(link.proved) => return Ok(false),
                Ok(reply) => expect(&reply, &expected).map_err(Failed::Wrong)?,
                Err(Broken::Closed) => return Err(self.lost(link, &kind)),
                Err(Broken::Wrong(why)) => return wrong(format!("{words:?}: {why}")),
            }
        }
        Ok(true)
    }

    /// All are given up: so many confirmations.
    fn unconfirmed(&mut self, link: &mut Link, command: &str, count: usize) -> Step {
        let kind = command.to_ascii_lowercase();
        link.send(&[command]);
        for _ in 0..count {
            match link.confirmation(&kind) {
                Ok(Value::Push(parts) | Value::Array(parts)) if parts[0] == Value::bulk(&kind) => {}
                Ok(other) => return wrong(format!("{command}: {}", brief(&other))),
                Err(Broken::Closed) => return Err(self.lost(link, command)),
                Err(Broken::Wrong(why)) => return wrong(format!("{command}: {why}")),
            }
        }
        Ok(())
    }

    fn publish(&mut self, link: &Link, mine: &mut Subscription) -> Step {
        let number = self.ledger.fresh();
        let channel = format!("{}.{}", mine.base, self.random.below(2));
        let message = format!("{channel} own {number}");
        mine.doubtful.push(number);
        let receivers = self.on_other(link, |client, other| {
            client.call(other, &["PUBLISH", &channel, &message])
        });
        // The other connection may go while this one stays.
        let receivers = match receivers {
            Err(Failed::Away) | Ok(None) => return Ok(()),
            Ok(Some(receivers)) => receivers,
            Err(wrong) => return Err(wrong),
        };
        let all = 1 + i64::from(mine.has_pattern);
        match receivers {
            Value::Integer(count) if count == all => {
                mine.doubtful.pop();
                mine.published.push(number);
                Ok(())
            }
            Value::Integer(0) if self.weather.excuses(link.proved) => Ok(()),
            other => wrong(format!("{channel}: {} of {all} received it", brief(&other))),
        }
    }

    /// Something that is answered, so that everything published before has come.
    fn between_messages(&mut self, link: &mut Link) -> Step {
        if link.version == 3 {
            let mut asks = self.mixed(link);
            asks.push(self.echo());
            return self.exchange(link, asks, Manner::default()).map(drop);
        }
        let token = self.ledger.token();
        let pong = Value::bulks(&["pong", &token]);
        let key = self.key(link, Kind::Small);
        let asks = vec![
            Ask::fails(
                &["GET", &key],
                "ERR Can't execute 'get': only (P|S)SUBSCRIBE",
            ),
            Ask::is(&["PING", &token], pong),
        ];
        self.exchange(link, asks, Manner::default()).map(drop)
    }

    /// Keys that were read are told of when they are written elsewhere, before anything that is asked later is answered.
    pub fn tracking(&mut self) -> Step {
        let mut link = self.open_as_anybody(Some(3))?;
        let prefix = format!("{}:c{}:", link.user, self.me);
        let all = self.random.below(2) == 0;
        let mut on = vec!["CLIENT", "TRACKING", "ON"];
        if all {
            on.extend(["BCAST", "PREFIX", &prefix]);
        }
        match self.call(&mut link, &on)? {
            None => return Err(Failed::Away),
            Some(reply) => expect(&reply, &Value::ok()).map_err(Failed::Wrong)?,
        }
        for _ in 0..1 + self.random.below(6) {
            let mut asks = self.mixed(&link);
            let key = self.key(&link, Kind::Small);
            let place = self.place(&link, key.clone());
            let nil = link.nil();
            asks.push(Ask::new(&["GET", &key], move |reply, ledger| {
                crate::plain::content_is(reply, &nil, &place, ledger)
            }));
            let was_read = self.exchange(&mut link, asks, Manner::default())?;
            if self.random.below(8) == 0 {
                self.leave_link(link);
                return Ok(());
            }
            check_invalidations(std::mem::take(&mut link.pushes), &prefix)
                .map_err(Failed::Wrong)?;
            let place = self.place(&link, key.clone());
            let number = self.ledger.fresh();
            let value = place.value(number);
            let arguments = [b"SET", key.as_bytes(), &value];
            let ask = Ask::writes(&arguments, Value::ok(), place, Some(number));
            let was_written = self.on_other(&link, |client, other| {
                client.exchange(other, vec![ask], Manner::default())
            });
            if let Err(Failed::Wrong(why)) = was_written {
                return wrong(why);
            }
            let echo = self.echo();
            self.exchange(&mut link, vec![echo], Manner::default())?;
            let keys = check_invalidations(std::mem::take(&mut link.pushes), &prefix)
                .map_err(Failed::Wrong)?;
            if was_read && matches!(was_written, Ok(true)) && !keys.contains(&key) {
                return wrong(format!("{key} was written, and told of is only {keys:?}"));
            }
        }
        let off = Ask::is(&["CLIENT", "TRACKING", "OFF"], Value::ok());
        self.exchange(&mut link, vec![off], Manner::default())?;
        check_invalidations(std::mem::take(&mut link.pushes), &prefix).map_err(Failed::Wrong)?;
        self.pipeline(&mut link)
    }
}

impl Subscription {
    /// Each message is of this connection, in its order, and none is missing. `all` if it has to have come by now.
    fn check(&mut self, pushes: Vec<Value>, all: bool) -> Result<(), String> {
        let mut own: BTreeMap<u64, i64> = BTreeMap::new();
        let mut last_own = [0; 2];
        let mut last_outside: [Option<(u64, u64)>; 2] = [None; 2];
        let pattern = format!("{}.*", self.base);
        for push in pushes {
            let wrong = || format!("not a message to {}: {}", self.base, brief(&push));
            let (Value::Push(parts) | Value::Array(parts)) = &push else {
                return Err(wrong());
            };
            let texts: Vec<String> = parts.iter().map(Value::text).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let (by_pattern, channel, text) = match texts.as_slice() {
                ["message", channel, text] => (0, *channel, *text),
                ["pmessage", matched, channel, text] if *matched == pattern => (1, *channel, *text),
                _ => return Err(wrong()),
            };
            let words: Vec<&str> = text.split(' ').collect();
            if !channel.starts_with(&format!("{}.", self.base)) || words[0] != channel {
                return Err(wrong());
            }
            match words.as_slice() {
                [_, "own", number] => {
                    let number = number.parse::<u64>().map_err(|_| wrong())?;
                    if number <= last_own[by_pattern] {
                        return Err(format!("out of order: {}", brief(&push)));
                    }
                    last_own[by_pattern] = number;
                    *own.entry(number).or_default() += 1;
                }
                [_, "out", number, attempt] => {
                    let number = number.parse::<u64>().map_err(|_| wrong())?;
                    let attempt = attempt.parse::<u64>().map_err(|_| wrong())?;
                    // Whoever publishes says it again, with another attempt, when it does not know whether it was taken.
                    let follows = last_outside[by_pattern].is_none_or(|(last, tried)| {
                        number == last + 1 || number == last && attempt > tried
                    });
                    if !follows {
                        let before = last_outside[by_pattern];
                        return Err(format!("{} after {before:?}", brief(&push)));
                    }
                    last_outside[by_pattern] = Some((number, attempt));
                }
                _ => return Err(wrong()),
            }
        }
        let each = 1 + i64::from(self.has_pattern);
        for number in std::mem::take(&mut self.published) {
            let count = own.remove(&number).unwrap_or(0);
            if all && count != each {
                return Err(format!(
                    "{}: message {number} came {count} times",
                    self.base
                ));
            }
        }
        let known =
            |(number, count): (&u64, &i64)| self.doubtful.contains(number) && *count == each;
        match own.iter().all(known) {
            true => Ok(()),
            false => Err(format!("{}: never published: {own:?}", self.base)),
        }
    }
}

/// The keys that are told of; all have to be the client's own.
fn check_invalidations(pushes: Vec<Value>, prefix: &str) -> Result<Vec<String>, String> {
    let mut keys = Vec::new();
    for push in pushes {
        let Value::Push(parts) = &push else {
            return Err(format!("no push: {}", brief(&push)));
        };
        match parts.as_slice() {
            [kind, Value::Array(some)] if *kind == Value::bulk("invalidate") => {
                keys.extend(some.iter().map(Value::text));
            }
            _ => return Err(format!("no invalidation: {}", brief(&push))),
        }
    }
    match keys.iter().find(|key| !key.starts_with(prefix)) {
        None => Ok(keys),
        Some(other) => Err(format!("told of {other}, which is not of {prefix}")),
    }
}
