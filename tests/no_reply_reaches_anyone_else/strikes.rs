//! What happens to the server, its connections and the proxy while clients go on.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::random::Random;
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;
use crate::support::resp::{RedisClient, Value};
use crate::weather::Weather;
use crate::{ADMIN, config};

/// One round of these, in any order, then the next.
#[derive(Clone, Copy, Debug)]
enum Strike {
    /// The server goes as in a crash, and comes back.
    Restart,
    /// All connections, by the server.
    Connections,
    /// One of them.
    Connection,
    /// Nothing is carried out for a while.
    Pause,
    /// Other limits of the pool.
    Reload,
    Drain,
    /// Fine weather, for long enough that nothing is excused any more.
    Calm,
}

const ROUND: [Strike; 10] = [
    Strike::Restart,
    Strike::Connections,
    Strike::Connection,
    Strike::Connection,
    Strike::Pause,
    Strike::Pause,
    Strike::Reload,
    Strike::Drain,
    Strike::Reload,
    Strike::Calm,
];

/// What comes first: nothing of it excuses anything.
const GENTLE: [Strike; 5] = [
    Strike::Pause,
    Strike::Reload,
    Strike::Drain,
    Strike::Pause,
    Strike::Reload,
];

/// Shorter runs have no time for fine weather in between.
const LONG: Duration = Duration::from_secs(60);

pub struct Strikes<'a> {
    pub redis: &'a mut Redis,
    pub proxy: Option<&'a Proxy>,
    pub weather: &'a Weather,
    pub random: Random,
    pub began: Instant,
    /// Upstream connections of the proxy, to begin with.
    pub limit: u64,
    /// The server keeps over a restart what it has said to have written.
    pub keeps: bool,
}

impl Strikes<'_> {
    /// Until that time is over; then all clients are told to end.
    pub fn run(&mut self, duration: Duration) {
        let end = Instant::now() + duration;
        let mut round = GENTLE.to_vec();
        while !self.weather.is_over() && Instant::now() < end {
            if round.is_empty() {
                round = ROUND.to_vec();
                if duration < LONG {
                    round.retain(|strike| !matches!(strike, Strike::Calm));
                }
            }
            let next = self.random.below(round.len() as u64) as usize;
            self.one(round.swap_remove(next));
            self.clean();
            self.wait(50, 500);
        }
        self.weather.end();
    }

    fn one(&mut self, strike: Strike) {
        println!("{:?}: {strike:?}", self.began.elapsed());
        match strike {
            Strike::Restart => {
                self.weather.down(true);
                if !self.keeps {
                    self.weather.lose();
                }
                self.redis.kill();
                self.wait(0, 500);
                self.redis.restart();
                self.weather.down(false);
            }
            Strike::Connections => self.cut(&["CLIENT", "KILL", "TYPE", "normal"]),
            Strike::Connection => {
                let list = self.redis.command(&["CLIENT", "LIST"]).text();
                let ids = list
                    .lines()
                    .filter_map(|line| line.split([' ', '=']).nth(1));
                let ids: Vec<&str> = ids.collect();
                let id = ids[self.random.below(ids.len() as u64) as usize];
                self.cut(&["CLIENT", "KILL", "ID", id]);
            }
            Strike::Pause => {
                let time = (20 + self.random.below(300)).to_string();
                let what = ["ALL", "WRITE"][self.random.below(2) as usize];
                self.redis.command(&["CLIENT", "PAUSE", &time, what]);
            }
            Strike::Reload => {
                if let Some(proxy) = self.proxy {
                    let limit = self.limit / 2 + self.random.below(self.limit);
                    proxy.write_config(&config(self.redis.address(), limit));
                    proxy.signal("HUP");
                }
            }
            Strike::Drain => {
                if let Some(proxy) = self.proxy {
                    assert_eq!(proxy.ask("POST", "/clusters/cache/drain").0, 200);
                    self.wait(0, 300);
                    assert_eq!(proxy.ask("POST", "/clusters/cache/resume").0, 200);
                }
            }
            Strike::Calm => self.wait(9_000, 12_000),
        }
    }

    /// Connections end by this command, at once.
    fn cut(&self, command: &[&str]) {
        self.weather.strike();
        self.redis.command(command);
        self.weather.strike();
    }

    /// Deletes what nobody will look at any more.
    fn clean(&self) {
        let mut server = admin(self.redis.address());
        let mut garbage: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for place in self.weather.garbage() {
            let keys = garbage.entry(place.database).or_default();
            keys.extend(["", "a", "b"].map(|end| format!("{}{end}", place.key)));
        }
        for (database, keys) in garbage {
            server.command(&["SELECT", &database.to_string()]);
            for some in keys.chunks(1_000) {
                let mut command = vec!["UNLINK"];
                command.extend(some.iter().map(String::as_str));
                server.command(&command);
            }
        }
    }

    /// For so many milliseconds, at least and at most.
    fn wait(&mut self, least: u64, most: u64) {
        let time = least + self.random.below(most - least);
        let end = Instant::now() + Duration::from_millis(time);
        while !self.weather.is_over() && Instant::now() < end {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A connection that may see everything.
pub fn admin(server: SocketAddr) -> RedisClient {
    let mut client = RedisClient::connect(server);
    assert_eq!(client.command(&["AUTH", "admin", ADMIN]), Value::ok());
    client
}

/// Sends messages to all who want some, straight at the server, numbered for each channel. One of which nobody knows whether it
/// was taken is sent again.
pub fn publish(server: SocketAddr, weather: Arc<Weather>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut numbers: BTreeMap<String, u64> = BTreeMap::new();
        let mut client: Option<RedisClient> = None;
        let mut attempt = 0;
        while !weather.is_over() {
            thread::sleep(Duration::from_micros(500));
            let wanted = weather.wanted();
            numbers.retain(|channel, _| wanted.contains(channel));
            for channel in wanted {
                let number = numbers.entry(channel.clone()).or_insert(1);
                let text = format!("{channel} out {number} {attempt}");
                let Some(open) = &mut client else {
                    attempt += 1;
                    client = try_admin(server);
                    break;
                };
                match open.try_command(&["PUBLISH", &channel, &text]) {
                    Ok(Value::Integer(_)) => *number += 1,
                    _ => {
                        client = None;
                        break;
                    }
                }
            }
        }
    })
}

fn try_admin(server: SocketAddr) -> Option<RedisClient> {
    let stream = std::net::TcpStream::connect(server).ok()?;
    let mut client = RedisClient::over(stream);
    let reply = client.try_command(&["AUTH", "admin", ADMIN]).ok()?;
    (reply == Value::ok()).then_some(client)
}
