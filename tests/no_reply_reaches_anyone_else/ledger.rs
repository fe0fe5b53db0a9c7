//! What one client has written, and what may therefore be there: for each place one content, or several when a write was
//! not answered.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::random::Random;
use crate::weather::Weather;

/// Databases that clients use. The same keys are in each, with other values.
pub const DATABASES: u32 = 3;

/// Keys whose fate is not known for sure that are still looked at.
const KEPT: usize = 6;

/// A key in a database. The key is `{user}:c{client}:{kind}{slot}.{generation}`, so that it can belong to nobody else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub database: u32,
    pub key: String,
}

/// The number of the write whose value is there, or `None`: nothing.
pub type Content = Option<u64>;

/// What a key holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string that is written again and again.
    Small,
    /// The same, of up to some megabytes.
    Big,
    /// A hash whose fields are written together.
    Hash,
    /// A list that is written once.
    List,
    /// Two strings, `{key}a` and `{key}b`, that are only ever written together.
    Pair,
}

struct Known {
    possible: Vec<Content>,
    /// A write was not answered, and may yet be done: what is possible only becomes more.
    is_doubtful: bool,
    losses: u64,
}

pub struct Ledger {
    me: u64,
    known: BTreeMap<Place, Known>,
    doubtful: VecDeque<Place>,
    generations: BTreeMap<String, u64>,
    numbers: u64,
    losses: u64,
    weather: Arc<Weather>,
}

impl Kind {
    /// What is at that place.
    pub fn of(place: &Place) -> Self {
        let kinds = [Self::Small, Self::Big, Self::Hash, Self::List, Self::Pair];
        let letter = place.kind();
        kinds
            .into_iter()
            .find(|kind| kind.letter() == letter)
            .unwrap()
    }

    fn letter(self) -> char {
        match self {
            Self::Small => 's',
            Self::Big => 'b',
            Self::Hash => 'h',
            Self::List => 'l',
            Self::Pair => 'p',
        }
    }
}

impl Ledger {
    pub fn new(me: u64, weather: Arc<Weather>) -> Self {
        Self {
            me,
            known: BTreeMap::new(),
            doubtful: VecDeque::new(),
            generations: BTreeMap::new(),
            numbers: 0,
            losses: 0,
            weather,
        }
    }

    /// A number that was never used.
    pub fn fresh(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Something that nobody else says, and this client never again.
    pub fn token(&mut self) -> String {
        let number = self.fresh();
        format!("c{}#{number};", self.me)
    }

    /// A key of this user, by its number.
    pub fn key(&self, user: &str, kind: Kind, slot: u64) -> String {
        let slot = format!("{user}:c{}:{}{slot}", self.me, kind.letter());
        let generation = self.generations.get(&slot).copied().unwrap_or(0);
        format!("{slot}.{generation}")
    }

    /// A key whose writes were not all answered, if there is one in this database.
    pub fn doubtful(&self, user: &str, database: u32, kind: Kind) -> Option<String> {
        let begin = format!("{user}:c{}:{}", self.me, kind.letter());
        let place = self
            .doubtful
            .iter()
            .find(|place| place.database == database && place.key.starts_with(&begin));
        place.map(|place| place.key.clone())
    }

    /// What is sent from now on is sent now: what is lost later may include it.
    pub fn begin(&mut self) {
        self.losses = self.weather.losses();
    }

    /// This is there now, as the server has said.
    pub fn acknowledged(&mut self, place: &Place, content: Content) {
        if self.is_past(place) {
            return;
        }
        let losses = self.losses;
        let known = self.entry(place);
        known.losses = losses;
        if !known.is_doubtful {
            known.possible.clear();
        }
        known.possible.push(content);
    }

    /// This may be there, now or later. The key is not written again, so that it stays clear what can be there.
    pub fn in_doubt(&mut self, place: &Place, content: Content) {
        if self.is_past(place) {
            return;
        }
        let known = self.entry(place);
        known.possible.push(content);
        if !std::mem::replace(&mut known.is_doubtful, true) {
            self.doubtful.push_back(place.clone());
        }
        self.leave(&place.key);
        if self.doubtful.len() > KEPT
            && let Some(first) = self.doubtful.pop_front()
        {
            self.known.remove(&first);
            self.weather.discard(first);
        }
    }

    /// Nobody can say what is there, in any database.
    pub fn abandon(&mut self, key: &str) {
        for database in 0..DATABASES {
            let key = key.to_string();
            let place = Place { database, key };
            self.known.remove(&place);
            self.doubtful.retain(|each| *each != place);
            self.weather.discard(place);
        }
        self.leave(key);
    }

    /// The slot of this key gets another one, unless it has one already.
    fn leave(&mut self, key: &str) {
        let (slot, generation) = key.rsplit_once('.').unwrap();
        let generation: u64 = generation.parse().unwrap();
        let next = self.generations.entry(slot.to_string()).or_default();
        *next = (*next).max(generation + 1);
    }

    /// Nothing is known there any more.
    fn is_past(&self, place: &Place) -> bool {
        let (slot, generation) = place.key.rsplit_once('.').unwrap();
        let now = self.generations.get(slot).copied().unwrap_or(0);
        generation.parse::<u64>().unwrap() < now && !self.known.contains_key(place)
    }

    fn entry(&mut self, place: &Place) -> &mut Known {
        self.known.entry(place.clone()).or_insert_with(|| Known {
            possible: vec![None],
            is_doubtful: false,
            losses: 0,
        })
    }

    /// This content, or that there is none, was found there.
    pub fn check(&self, place: &Place, content: Content) -> Result<(), String> {
        let Some(known) = self.known.get(place) else {
            return match content {
                None => Ok(()),
                Some(_) if self.is_past(place) => Ok(()),
                Some(_) => Err(format!("{place:?} was never written: {content:?}")),
            };
        };
        let is_lost = content.is_none() && known.losses != self.weather.losses();
        match is_lost || known.possible.contains(&content) {
            true => Ok(()),
            false => Err(format!(
                "{place:?}: {content:?} was found, possible are {:?}",
                known.possible
            )),
        }
    }

    /// All places that something is known of.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.known.keys()
    }
}

impl Place {
    /// The value of a write here: text that says whose it is, again and again.
    pub fn value(&self, number: u64) -> Vec<u8> {
        let stamp = format!("{}/{}={number};", self.database, self.key);
        let length = self.length(number).max(stamp.len());
        let mut value = stamp.repeat(length / stamp.len() + 1).into_bytes();
        value.truncate(length);
        value
    }

    fn length(&self, number: u64) -> usize {
        let bytes = self.key.bytes().map(u64::from);
        let hash = bytes.fold(number << 8 | u64::from(self.database), |hash, byte| {
            (hash ^ byte).wrapping_mul(0x100_0000_01b3)
        });
        let mut random = Random::new(hash);
        let is_big = self.kind() == Kind::Big.letter();
        let limit = match (is_big, random.below(20)) {
            (true, 0) => 4_000_000,
            (true, 1..8) => 300_000,
            (true, _) => 70_000,
            (false, 0..14) => 64,
            (false, 14..19) => 2_048,
            (false, _) => 20_000,
        };
        random.below(limit) as usize
    }

    fn kind(&self) -> char {
        let last = self.key.rsplit(':').next().unwrap();
        last.chars().next().unwrap()
    }

    /// The number of the write that this value is of; it has to be one of this place, to the last byte.
    pub fn number(&self, value: &[u8]) -> Result<u64, String> {
        let begin = format!("{}/{}=", self.database, self.key);
        let number = value.strip_prefix(begin.as_bytes()).and_then(|rest| {
            let end = rest.iter().position(|byte| *byte == b';')?;
            str::from_utf8(&rest[..end]).ok()?.parse::<u64>().ok()
        });
        match number {
            Some(number) if self.value(number) == value => Ok(number),
            Some(number) => Err(format!("{self:?}: the value of write {number} is damaged")),
            None => Err(format!("{self:?} is shown {}", shown(value))),
        }
    }
}

/// The beginning of it, for people.
pub fn shown(bytes: &[u8]) -> String {
    let begin = String::from_utf8_lossy(&bytes[..bytes.len().min(100)]);
    match bytes.len() {
        0..=100 => format!("{begin:?}"),
        length => format!("{begin:?}... ({length} bytes)"),
    }
}

#[test]
fn the_judge_finds_what_belongs_to_another() {
    let weather = Arc::new(Weather::new());
    let mut mine = Ledger::new(1, Arc::clone(&weather));
    let key = mine.key("alice", Kind::Small, 1);
    assert_eq!(key, "alice:c1:s1.0");
    let place = Place { database: 0, key };
    mine.acknowledged(&place, Some(3));
    assert_eq!(place.number(&place.value(3)), Ok(3));
    mine.check(&place, Some(3)).unwrap();
    mine.check(&place, Some(2)).unwrap_err();
    mine.check(&place, None).unwrap_err();
    let key = "alice:c2:s1.0".to_string();
    let theirs = Place { database: 0, key };
    let wrong = place.number(&theirs.value(3)).unwrap_err();
    assert!(wrong.contains("alice:c2"), "{wrong}");
    let elsewhere = Place {
        database: 1,
        ..place.clone()
    };
    place.number(&elsewhere.value(3)).unwrap_err();
    place.number(&place.value(3)[1..]).unwrap_err();
    place.number(b"0/alice:c1:s1.0=3;x").unwrap_err();
    weather.lose();
    mine.check(&place, None).unwrap();
    mine.check(&place, Some(2)).unwrap_err();
}

#[test]
fn the_judge_allows_what_is_in_doubt() {
    let mut mine = Ledger::new(1, Arc::new(Weather::new()));
    let key = mine.key("alice", Kind::Small, 1);
    let place = Place { database: 0, key };
    mine.acknowledged(&place, Some(1));
    mine.in_doubt(&place, Some(2));
    for content in [Some(1), Some(2)] {
        mine.check(&place, content).unwrap();
    }
    mine.check(&place, None).unwrap_err();
    assert_eq!(mine.key("alice", Kind::Small, 1), "alice:c1:s1.1");
    assert_eq!(mine.doubtful("alice", 0, Kind::Small), Some(place.key));
}
