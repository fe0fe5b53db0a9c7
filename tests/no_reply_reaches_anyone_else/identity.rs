//! Who the client is, which database and which version it uses: all of that may change at any time, and whatever comes
//! behind is another user's, or another database's.

use crate::ask::{Ask, brief, expect};
use crate::client::{Client, Failed, Manner, Step};
use crate::ledger::{DATABASES, Kind};
use crate::link::{Link, USERS};
use crate::plain::{get_name, whoami};
use crate::support::resp::Value;

impl Client {
    /// Changes, mistakes among them, with other requests behind each in the same pipeline.
    pub fn identity(&mut self, link: &mut Link) -> Step {
        let mut asks = Vec::new();
        for _ in 0..1 + self.random.below(3) {
            asks.push(self.change(link));
            asks.extend([whoami(link), get_name(link)]);
            for _ in 0..self.random.below(4) {
                asks.push(self.plain(link));
            }
        }
        let manner = self.manner();
        self.exchange(link, asks, manner).map(drop)
    }

    /// A change, which the link has from now on.
    fn change(&mut self, link: &mut Link) -> Ask {
        match self.random.below(12) {
            0..2 => self.log_in(link),
            2 => {
                let (user, _) = USERS[1 + self.random.below(2) as usize];
                Ask::fails(&["AUTH", user, "not it"], "WRONGPASS ")
            }
            3..5 => {
                link.database = self.random.below(u64::from(DATABASES)) as u32;
                Ask::is(&["SELECT", &link.database.to_string()], Value::ok()).deciding()
            }
            5 => Ask::fails(&["SELECT", "999"], "ERR DB index is out of range"),
            6..9 => self.hello(link),
            9 => {
                let name = format!("c{}-{}", self.me, self.ledger.fresh());
                link.name = Some(name.clone());
                Ask::is(&["CLIENT", "SETNAME", &name], Value::ok()).deciding()
            }
            10 => Ask::fails(&["HELLO", "4"], "NOPROTO "),
            _ => {
                link.user = USERS[0].0;
                (link.database, link.version, link.name) = (0, 2, None);
                Ask::is(&["RESET"], Value::Simple("RESET".to_string())).deciding()
            }
        }
    }

    fn log_in(&mut self, link: &mut Link) -> Ask {
        let (user, password) = USERS[self.random.below(3) as usize];
        link.user = user;
        Ask::is(&["AUTH", user, password], Value::ok()).deciding()
    }

    fn hello(&mut self, link: &mut Link) -> Ask {
        let version = 2 + self.random.below(2) as u8;
        link.version = version;
        let mut arguments = vec!["HELLO".to_string(), version.to_string()];
        if self.random.below(2) == 0 {
            let (user, password) = USERS[self.random.below(3) as usize];
            link.user = user;
            arguments.extend(["AUTH", user, password].map(str::to_string));
        }
        if self.random.below(2) == 0 {
            let name = format!("c{}-{}", self.me, self.ledger.fresh());
            link.name = Some(name.clone());
            arguments.extend(["SETNAME".to_string(), name]);
        }
        said_hello(&arguments, version)
    }

    /// A new connection that is somebody, somewhere. `version` is what it speaks; any if there is none.
    pub fn open_as_anybody(&mut self, version: Option<u8>) -> Step<Link> {
        let mut link = self.open()?;
        let mut asks = Vec::new();
        if self.random.below(2) == 0 {
            asks.push(self.log_in(&mut link));
        }
        link.version = version.unwrap_or(2 + self.random.below(2) as u8);
        if link.version == 3 {
            asks.push(said_hello(&["HELLO", "3"], 3));
        }
        self.exchange(&mut link, asks, Manner::default())?;
        Ok(link)
    }

    /// The same user in the same database as that one.
    pub fn become_like(&mut self, link: &mut Link, other: &Link) -> Step {
        let mut asks = Vec::new();
        if link.user != other.user {
            link.user = other.user;
            let (user, password) = USERS.iter().find(|(user, _)| *user == link.user).unwrap();
            asks.push(Ask::is(&["AUTH", user, password], Value::ok()).deciding());
        }
        if link.database != other.database {
            link.database = other.database;
            asks.push(Ask::is(&["SELECT", &link.database.to_string()], Value::ok()).deciding());
        }
        self.exchange(link, asks, Manner::default()).map(drop)
    }

    /// A connection of its own keeps being the same one, whoever the client says it is.
    pub fn own_connection(&mut self) -> Step {
        let mut link = self.open_as_anybody(None)?;
        let Some(first) = self.call(&mut link, &["CLIENT", "ID"])? else {
            return Err(Failed::Away);
        };
        for _ in 0..2 {
            self.identity(&mut link)?;
            let asks = vec![
                Ask::is(&["CLIENT", "ID"], first.clone()),
                self.get(&link, Kind::Small),
            ];
            self.exchange(&mut link, asks, Manner::default())?;
        }
        Ok(())
    }
}

/// HELLO, whose reply has to be in the version that was asked for.
fn said_hello<A: AsRef<[u8]>>(arguments: &[A], version: u8) -> Ask {
    let ask = Ask::new(arguments, move |reply, _| {
        let of_map;
        let flat = match (reply, version) {
            (Value::Array(flat), 2) => flat.as_slice(),
            (Value::Map(pairs), 3) => {
                let flat = pairs.iter().cloned();
                of_map = flat
                    .flat_map(|(name, value)| [name, value])
                    .collect::<Vec<_>>();
                of_map.as_slice()
            }
            _ => return Err(format!("in version {version}: {}", brief(reply))),
        };
        let proto = flat.iter().position(|part| *part == Value::bulk("proto"));
        let said = proto.and_then(|place| flat.get(place + 1));
        expect(
            said.unwrap_or(&Value::Null),
            &Value::Integer(i64::from(version)),
        )
    });
    ask.deciding()
}
