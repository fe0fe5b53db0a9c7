//! Conversations made up by chance: however they are composed and cut, each command is counted once, with its own reply.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::script::commands;
use crate::support::redis::Redis;
use crate::support::resp::{RedisClient, Value, encode};
use crate::support::stats::Stats;
use crate::tapped::{Tapped, by_command, label};

/// Conversations, and how many of them are looked at together.
const CONVERSATIONS: u64 = 400;
const TOGETHER: u64 = 50;

#[test]
fn whatever_is_said_each_command_gets_its_own_reply() {
    let first_seed: u64 = std::env::var("SEED").map_or(0, |seed| seed.parse().unwrap());
    for batch in (first_seed..first_seed + CONVERSATIONS).step_by(TOGETHER as usize) {
        println!("seeds from {batch}");
        let tapped = Tapped::start();
        tapped.redis.command(&["SET", "k", "abc"]);
        let before = server_counts(&tapped.redis);
        let noise = Noise::start(&tapped.redis);
        let mut said = Said::default();
        for seed in batch..batch + TOGETHER {
            let conversation = Conversation::of(seed);
            hold(&tapped, &conversation, seed);
            said.add(&conversation.said);
        }
        noise.stop();
        expect_counts(&tapped, &before, &said);
    }
}

/// Says all of it at once, in pieces of any size, and reads on until the last reply.
fn hold(tapped: &Tapped, conversation: &Conversation, seed: u64) {
    let mut client = tapped.client();
    let mut sender = client.stream().try_clone().unwrap();
    let bytes = conversation.bytes.clone();
    let sending = std::thread::spawn(move || {
        let mut chance = Chance(seed ^ 0x5555);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let most = if chance.of(2) == 0 { 7 } else { 2_000 };
            let size = (1 + chance.of(most) as usize).min(rest.len());
            sender.write_all(&rest[..size]).unwrap();
            rest = &rest[size..];
        }
    });
    while client.next() != Value::bulk("end") {}
    sending.join().unwrap();
}

fn expect_counts(tapped: &Tapped, before: &BTreeMap<String, Counted>, said: &Said) {
    let total = said.commands.values().sum();
    let stats = tapped.closed(total);
    assert_eq!(by_command(&stats, "total"), said.commands);
    let mut asked = BTreeMap::new();
    let mut failed = BTreeMap::new();
    for (name, counted) in server_counts(&tapped.redis) {
        let before = before.get(&name).copied().unwrap_or_default();
        asked.insert(name.clone(), counted.asked - before.asked);
        failed.insert(name, counted.failed - before.failed);
    }
    // The server does not count what was queued and never run, nor what it does not know.
    for (name, count) in &said.not_run {
        *asked.entry(name.clone()).or_default() += count;
    }
    failed.insert(
        "nosuch".into(),
        said.commands.get("nosuch").copied().unwrap_or(0),
    );
    asked.retain(|_, count| *count != 0);
    failed.retain(|_, count| *count != 0);
    assert_eq!(asked, said.commands, "the server counts otherwise");
    assert_eq!(by_command(&stats, "error"), failed);
    stats
        .expect("redis.redis.without_reply", said.silent)
        .expect("redis.redis.error", failed.values().sum());
    // In transactions and outside of them.
    expect_size(&stats, "echo", "$3\r\nabc\r\n".len());
    assert_eq!("$3\r\nabc\r\n".len(), "+QUEUED\r\n".len());
    expect_size(&stats, "ping", "+PONG\r\n".len());
    expect_size(&stats, "strlen", ":3\r\n".len());
}

/// All replies to this command were of this size: none of them is another's.
fn expect_size(stats: &Stats, command: &str, bytes: usize) {
    let sizes = stats.histogram(&format!("redis.redis.command.{command}.reply_bytes"));
    let wanted = (bytes as f64, bytes as f64);
    assert_eq!(
        (sizes.at(0.0), sizes.at(100.0)),
        wanted,
        "{command}: {sizes:?}"
    );
}

#[derive(Clone, Copy, Default)]
struct Counted {
    asked: i64,
    failed: i64,
}

/// How often the server was asked each command, and how often it answered with an error. Noise is not counted.
fn server_counts(redis: &Redis) -> BTreeMap<String, Counted> {
    let stats = redis.info("commandstats").into_iter();
    let counts = stats.map(|(name, value)| {
        let field = |name: &str| -> i64 {
            let mut fields = value.split(',').filter_map(|field| field.split_once('='));
            fields
                .find(|(field, _)| *field == name)
                .unwrap()
                .1
                .parse()
                .unwrap()
        };
        let (calls, rejected) = (field("calls"), field("rejected_calls"));
        let counted = Counted {
            asked: calls + rejected,
            failed: field("failed_calls") + rejected,
        };
        (label(name.strip_prefix("cmdstat_").unwrap()), counted)
    });
    counts
        .filter(|(name, _)| !["info", "publish", "spublish"].contains(&name.as_str()))
        .collect()
}

/// Another client, whose messages go between everything.
struct Noise {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Noise {
    fn start(redis: &Redis) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let mut client: RedisClient = redis.client();
        let thread = std::thread::spawn(move || {
            let round = commands("PUBLISH a x\nPUBLISH b y\nSPUBLISH c z");
            while !told.load(Ordering::Relaxed) {
                client.send_raw(&round);
                (0..3).for_each(|_| drop(client.reply()));
            }
        });
        Self { stop, thread }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

/// What has been said.
#[derive(Default)]
struct Said {
    commands: BTreeMap<String, i64>,
    /// Queued by a transaction that came to nothing.
    not_run: BTreeMap<String, i64>,
    silent: i64,
}

impl Said {
    fn add(&mut self, other: &Self) {
        for (name, count) in &other.commands {
            *self.commands.entry(name.clone()).or_default() += count;
        }
        for (name, count) in &other.not_run {
            *self.not_run.entry(name.clone()).or_default() += count;
        }
        self.silent += other.silent;
    }
}

/// One client's conversation, made of parts that each leave the connection as they found it, but for the version.
struct Conversation {
    bytes: Vec<u8>,
    said: Said,
    chance: Chance,
    version_3: bool,
    silent: bool,
}

impl Conversation {
    fn of(seed: u64) -> Self {
        let mut it = Self {
            bytes: Vec::new(),
            said: Said::default(),
            chance: Chance(seed),
            version_3: false,
            silent: false,
        };
        for _ in 0..1 + it.chance.of(12) {
            it.part();
        }
        it.reset();
        it.say("GET k");
        it.bytes.extend(encode(&["ECHO", "end"]));
        // Of the same size as all others.
        *it.said.commands.entry("echo".into()).or_default() += 1;
        it
    }

    fn part(&mut self) {
        match self.chance.of(10) {
            0 => self.transaction(),
            1 => self.without_replies(),
            2 => self.skip(),
            3 => self.subscription(),
            4 => self.monitor(),
            5 => self.hello(),
            6 => self.tracking(),
            7 => self.say("BLPOP none 0.001"),
            8 => self.failure(),
            _ => self.plain(5),
        }
    }

    /// One command, which has a reply or not.
    fn say(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let name = match words[0] {
            "CLIENT" => format!("client_{}", words[1]),
            name => name.to_string(),
        };
        *self.said.commands.entry(name.to_lowercase()).or_default() += 1;
        // Nothing that the server has a count for.
        if name == "NOSUCH" {
            *self.said.not_run.entry("nosuch".into()).or_default() += 1;
        }
        self.said.silent += i64::from(self.silent);
        self.bytes.extend(encode(&words));
    }

    fn say_unheard(&mut self, line: &str) {
        self.say(line);
        self.said.silent += i64::from(!self.silent);
    }

    fn plain(&mut self, most: u64) {
        for _ in 0..=self.chance.of(most) {
            let line = self
                .chance
                .one(&["ECHO abc", "PING", "STRLEN k", "SET k abc"]);
            self.say(line);
        }
    }

    fn failure(&mut self) {
        let line = self.chance.one(&[
            "INCR k",
            "NOSUCH",
            "GET",
            "EXEC",
            "DISCARD",
            "LPUSH k x",
            "SUBSCRIBE",
        ]);
        self.say(line);
    }

    fn transaction(&mut self) {
        if self.chance.of(3) == 0 {
            self.say("WATCH other");
        }
        self.say("MULTI");
        let queued = self.chance.of(4);
        (0..queued).for_each(|_| self.say("ECHO abc"));
        let how = match self.silent {
            true => self.chance.of(2),
            false => self.chance.of(4),
        };
        match how {
            0 => return self.say("EXEC"),
            1 => self.say("DISCARD"),
            2 => {
                self.say("MULTI");
                return self.say("EXEC");
            }
            _ => {
                self.say("NOSUCH");
                self.say("EXEC");
            }
        }
        *self.said.not_run.entry("echo".into()).or_default() += queued as i64;
    }

    fn without_replies(&mut self) {
        self.say_unheard("CLIENT REPLY OFF");
        self.silent = true;
        for _ in 0..self.chance.of(4) {
            match self.chance.of(4) {
                0 => self.transaction(),
                1 => self.say("CLIENT REPLY SKIP"),
                _ => self.plain(3),
            }
        }
        self.silent = false;
        match self.chance.of(3) {
            0 => self.reset(),
            _ => self.say("CLIENT REPLY ON"),
        }
    }

    fn skip(&mut self) {
        for _ in 0..=self.chance.of(3) {
            self.say_unheard("CLIENT REPLY SKIP");
        }
        let line = self
            .chance
            .one(&["ECHO abc", "PING", "STRLEN k", "RESET", "BLPOP none 0.001"]);
        self.say_unheard(line);
        if line == "RESET" {
            self.version_3 = false;
        }
    }

    fn reset(&mut self) {
        self.say("RESET");
        self.version_3 = false;
    }

    fn hello(&mut self) {
        self.version_3 = self.chance.of(2) == 0;
        self.say(if self.version_3 { "HELLO 3" } else { "HELLO 2" });
    }

    fn subscription(&mut self) {
        self.say("SUBSCRIBE a b");
        for _ in 0..self.chance.of(8) {
            let line = self.chance.one(&[
                "SUBSCRIBE a",
                "SUBSCRIBE b b x",
                "PSUBSCRIBE a* b* x*",
                "SSUBSCRIBE c",
                "UNSUBSCRIBE b x",
                "UNSUBSCRIBE",
                "PUNSUBSCRIBE",
                "PUNSUBSCRIBE a* none",
                "SUNSUBSCRIBE",
                "SUBSCRIBE",
            ]);
            self.say(line);
            match (self.version_3, self.chance.of(4)) {
                (true, 0) => self.plain(3),
                (true, 1) => self.transaction(),
                (true, 2) => self.failure(),
                _ => {}
            }
        }
        if self.chance.of(4) == 0 {
            return self.reset();
        }
        self.say("PUNSUBSCRIBE");
        self.say("SUNSUBSCRIBE");
        self.say("UNSUBSCRIBE");
    }

    fn monitor(&mut self) {
        self.say("MONITOR");
        for _ in 0..self.chance.of(4) {
            match self.chance.of(3) {
                0 => self.say_unheard("MONITOR"),
                1 => self.say("GET k"),
                _ => {
                    let line = self.chance.one(&["ECHO abc", "PING"]);
                    self.say(line);
                }
            }
        }
        self.reset();
    }

    fn tracking(&mut self) {
        if !self.version_3 {
            return self.plain(1);
        }
        let line = self
            .chance
            .one(&["CLIENT TRACKING ON", "CLIENT TRACKING ON BCAST"]);
        self.say(line);
        self.plain(8);
        self.transaction();
        self.say("CLIENT TRACKING OFF");
    }
}

/// Numbers that look random, the same for the same seed.
struct Chance(u64);

impl Chance {
    /// Below `end`.
    fn of(&mut self, end: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.of(of.len() as u64) as usize]
    }
}
