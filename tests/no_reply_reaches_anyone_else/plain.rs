//! Requests that need nothing but a server, in pipelines of any length, and errors on purpose.

use std::time::Duration;

use crate::ask::{Ask, brief, expect};
use crate::client::{Client, Manner, Step};
use crate::ledger::{Kind, Ledger, Place};
use crate::link::{Link, USERS};
use crate::support::resp::Value;

/// Keys of each kind that a client writes.
const SLOTS: u64 = 3;

impl Client {
    /// A pipeline of any requests.
    pub fn pipeline(&mut self, link: &mut Link) -> Step {
        let asks = self.mixed(link);
        let manner = self.manner();
        self.exchange(link, asks, manner).map(drop)
    }

    pub fn manner(&mut self) -> Manner {
        Manner {
            pieces: self.random.below(3) == 0,
            late: Duration::from_millis(match self.random.below(4) {
                0 => self.random.below(30),
                _ => 0,
            }),
            slow: false,
        }
    }

    /// Requests of any kind: one, some, or many.
    pub fn mixed(&mut self, link: &Link) -> Vec<Ask> {
        let count = match self.random.below(10) {
            0..4 => 1,
            4..9 => 1 + self.random.below(20),
            _ => 1 + self.random.below(200),
        };
        (0..count).map(|_| self.plain(link)).collect()
    }

    /// One request.
    pub fn plain(&mut self, link: &Link) -> Ask {
        match self.random.below(40) {
            0..7 => self.echo(),
            7..12 => self.set(link, Kind::Small),
            12..18 => self.get(link, Kind::Small),
            18 => self.set(link, Kind::Big),
            19 => self.get(link, Kind::Big),
            20..22 => self.set_hash(link),
            22..24 => self.get_hash(link),
            24 => self.write_list(link),
            25..27 => self.read_list(link),
            27 => self.set_pair(link),
            28..31 => self.get_pair(link),
            31..34 => self.script(),
            34 => self.delete(link),
            35 => whoami(link),
            36 => get_name(link),
            _ => self.mistake(link),
        }
    }

    pub fn echo(&mut self) -> Ask {
        let token = self.ledger.token();
        let token = token.repeat(1 + self.random.below(20) as usize);
        match self.random.below(3) {
            0 => Ask::is(&["PING", &token], Value::bulk(&token)),
            _ => Ask::is(&["ECHO", &token], Value::bulk(&token)),
        }
    }

    /// A key of this kind: one that is written, or one that is only looked at any more.
    fn some(&mut self, link: &Link, kind: Kind) -> Place {
        let doubtful = match self.random.below(4) {
            0 => self.ledger.doubtful(link.user, link.database, kind),
            _ => None,
        };
        let key = doubtful.unwrap_or_else(|| self.key(link, kind));
        self.place(link, key)
    }

    pub fn key(&mut self, link: &Link, kind: Kind) -> String {
        let slot = self.random.below(SLOTS);
        self.ledger.key(link.user, kind, slot)
    }

    pub fn set(&mut self, link: &Link, kind: Kind) -> Ask {
        let key = self.key(link, kind);
        let place = self.place(link, key);
        let number = self.ledger.fresh();
        let value = place.value(number);
        let arguments = [b"SET", place.key.as_bytes(), &value];
        Ask::writes(&arguments, Value::ok(), place.clone(), Some(number))
    }

    pub fn get(&mut self, link: &Link, kind: Kind) -> Ask {
        let place = self.some(link, kind);
        let nil = link.nil();
        Ask::new(&["GET", &place.key.clone()], move |reply, ledger| {
            content_is(reply, &nil, &place, ledger)
        })
    }

    fn delete(&mut self, link: &Link) -> Ask {
        let key = self.key(link, Kind::Big);
        let place = self.place(link, key);
        let key = place.key.clone();
        let ask = Ask::new(&["UNLINK", &key], {
            let place = place.clone();
            move |reply, ledger| match reply {
                Value::Integer(0 | 1) => {
                    ledger.acknowledged(&place, None);
                    Ok(())
                }
                other => Err(format!("{} keys were deleted", brief(other))),
            }
        });
        ask.may_write(place, None)
    }

    fn set_hash(&mut self, link: &Link) -> Ask {
        let key = self.key(link, Kind::Hash);
        let place = self.place(link, key);
        let number = self.ledger.fresh();
        let value = place.value(number);
        let arguments = [
            b"HMSET".as_slice(),
            place.key.as_bytes(),
            b"one",
            &value,
            b"two",
            &value,
        ];
        Ask::writes(&arguments, Value::ok(), place.clone(), Some(number))
    }

    /// A map for those who speak version 3, an array for all others.
    fn get_hash(&mut self, link: &Link) -> Ask {
        let place = self.some(link, Kind::Hash);
        let version = link.version;
        Ask::new(
            &["HGETALL", &place.key.clone()],
            move |reply, ledger| match (reply, version) {
                (Value::Map(pairs), 3) => {
                    let flat = pairs.iter().cloned();
                    let flat: Vec<_> = flat.flat_map(|(name, value)| [name, value]).collect();
                    hash_is(&flat, &place, ledger)
                }
                (Value::Array(flat), 2) => hash_is(flat, &place, ledger),
                (other, _) => Err(format!("no hash in version {version}: {}", brief(other))),
            },
        )
    }

    /// A list is written once; its number is in each element.
    fn write_list(&mut self, link: &Link) -> Ask {
        let number = self.ledger.fresh();
        let key = self.ledger.key(link.user, Kind::List, number);
        let place = self.place(link, key);
        let length = 1 + number % 5;
        let mut arguments = vec![b"RPUSH".to_vec(), place.key.clone().into_bytes()];
        arguments.extend((0..length).map(|_| place.value(number)));
        let pushed = Value::Integer(length as i64);
        self.lists.push((link.user, place.clone()));
        Ask::writes(&arguments, pushed, place, Some(number))
    }

    fn read_list(&mut self, link: &Link) -> Ask {
        let mine =
            |(user, place): &&(&str, Place)| *user == link.user && place.database == link.database;
        let Some((_, place)) = self.lists.iter().rev().find(mine).cloned() else {
            return self.echo();
        };
        if self.lists.len() > 20 {
            let (_, old) = self.lists.remove(0);
            self.ledger.abandon(&old.key);
        }
        let arguments = ["LRANGE", &place.key.clone(), "0", "-1"];
        Ask::new(&arguments, move |reply, ledger| {
            let Value::Array(elements) = reply else {
                return Err(format!("no list: {}", brief(reply)));
            };
            let mut content = None;
            for element in elements {
                content = Some(number_of(element, &place)?);
            }
            match content {
                Some(number) if elements.len() as u64 != 1 + number % 5 => {
                    Err(format!("{place:?}: {} elements", elements.len()))
                }
                _ => ledger.check(&place, content),
            }
        })
    }

    /// Both at once, outside of a transaction.
    pub fn set_pair(&mut self, link: &Link) -> Ask {
        let key = self.key(link, Kind::Pair);
        let place = self.place(link, key);
        let number = self.ledger.fresh();
        let [(one, first), (two, second)] = pair(&place, number);
        let arguments = [
            b"MSET",
            one.key.as_bytes(),
            &first,
            two.key.as_bytes(),
            &second,
        ];
        Ask::writes(&arguments, Value::ok(), place, Some(number))
    }

    /// Whatever happens, both are of the same write.
    pub fn get_pair(&mut self, link: &Link) -> Ask {
        let place = self.some(link, Kind::Pair);
        let nil = link.nil();
        let [one, two] = parts(&place);
        Ask::new(
            &["MGET", &one.key.clone(), &two.key.clone()],
            move |reply, ledger| {
                let Value::Array(both) = reply else {
                    return Err(format!("no pair: {}", brief(reply)));
                };
                let [first, second] = both.as_slice() else {
                    return Err(format!("{} values instead of two", both.len()));
                };
                let first = content_of(first, &nil, &one)?;
                let second = content_of(second, &nil, &two)?;
                match first == second {
                    true => ledger.check(&place, first),
                    false => Err(format!("{place:?} is half: {first:?} and {second:?}")),
                }
            },
        )
    }

    fn script(&mut self) -> Ask {
        let tokens = [self.ledger.token(), self.ledger.token()];
        let [one, two] = &tokens;
        match self.random.below(3) {
            0 => {
                let script = "return redis.error_reply('MINE '..ARGV[1])";
                Ask::is(
                    &["EVAL", script, "0", one],
                    Value::Error(format!("MINE {one}")),
                )
            }
            _ => {
                let script = "return {ARGV[1],{ARGV[2],7}}";
                let inner = Value::Array(vec![Value::bulk(two), Value::Integer(7)]);
                let reply = Value::Array(vec![Value::bulk(one), inner]);
                Ask::is(&["EVAL", script, "0", one, two], reply)
            }
        }
    }

    /// What is wrong on purpose, and says whose mistake it is where Redis lets it.
    fn mistake(&mut self, link: &Link) -> Ask {
        let token = self.ledger.token();
        match self.random.below(5) {
            0 => {
                let error =
                    format!("ERR unknown command 'NO{token}', with args beginning with: 'a");
                Ask::fails(&[&format!("NO{token}"), "a"], &error)
            }
            1 => Ask::fails(&["GET"], "ERR wrong number of arguments for 'get' command"),
            // A connection of the client's own may ask.
            2 => Ask::new(&["WAIT", "0", "0"], |reply, _| match reply {
                Value::Integer(0) => Ok(()),
                Value::Error(text) if text.starts_with("ERR narrows: wait asks what") => Ok(()),
                other => Err(brief(other)),
            }),
            // Not every server has limits for the default one.
            3 if link.user != USERS[0].0 => {
                let users = USERS.iter().map(|(user, _)| *user);
                let other = users.filter(|user| *user != link.user);
                let other = other.max().unwrap();
                let key = self.ledger.key(other, Kind::Small, 0);
                Ask::fails(&["GET", &key], "NOPERM ")
            }
            _ => {
                let script = "return redis.call('NO'..ARGV[1])";
                Ask::fails(&["EVAL", script, "0", &token], "ERR ")
            }
        }
    }
}

/// Which user the server takes this client for.
pub fn whoami(link: &Link) -> Ask {
    Ask::is(&["ACL", "WHOAMI"], Value::bulk(link.user))
}

/// The client's own name, or none: a connection that it was lent has not been told.
pub fn get_name(link: &Link) -> Ask {
    let nil = link.nil();
    let name = link.name.as_ref().map_or(nil.clone(), Value::bulk);
    Ask::new(&["CLIENT", "GETNAME"], move |reply, _| {
        match *reply == nil {
            true => Ok(()),
            false => expect(reply, &name),
        }
    })
}

/// The two keys that are only ever written together.
pub fn parts(place: &Place) -> [Place; 2] {
    ["a", "b"].map(|end| Place {
        database: place.database,
        key: format!("{}{end}", place.key),
    })
}

/// The same, with the values of this write.
pub fn pair(place: &Place, number: u64) -> [(Place, Vec<u8>); 2] {
    parts(place).map(|part| {
        let value = part.value(number);
        (part, value)
    })
}

/// The number of the write whose value this is.
pub fn number_of(value: &Value, place: &Place) -> Result<u64, String> {
    match value {
        Value::Bulk(bytes) => place.number(bytes),
        other => Err(format!("{place:?} is {}", brief(other))),
    }
}

pub fn content_of(value: &Value, nil: &Value, place: &Place) -> Result<Option<u64>, String> {
    match value == nil {
        true => Ok(None),
        false => number_of(value, place).map(Some),
    }
}

/// The reply is what may be at that place.
pub fn content_is(
    reply: &Value,
    nil: &Value,
    place: &Place,
    ledger: &Ledger,
) -> Result<(), String> {
    ledger.check(place, content_of(reply, nil, place)?)
}

fn hash_is(flat: &[Value], place: &Place, ledger: &Ledger) -> Result<(), String> {
    match flat {
        [] => ledger.check(place, None),
        // In any order.
        [one, first, two, second] => {
            let names = [one, two].map(|name| name == &Value::bulk("one"));
            let known = [one, two].map(|name| name == &Value::bulk("two"));
            if names == known || names[0] == names[1] || known[0] == known[1] {
                return Err(format!("{place:?} has {} and {}", brief(one), brief(two)));
            }
            expect(first, second)?;
            ledger.check(place, Some(number_of(first, place)?))
        }
        other => Err(format!("{place:?} has {} parts", other.len())),
    }
}
