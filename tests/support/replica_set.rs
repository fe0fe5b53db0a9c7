//! A replica set of several real servers, which elects within seconds.

use std::net::SocketAddr;

use bson::{Bson, doc};

use super::commands::{Connection, run};
use super::eventually;
use super::mongod::Mongod;

/// Its members, ended with the test.
pub struct ReplicaSet {
    members: Vec<Mongod>,
}

impl ReplicaSet {
    /// Starts that many members and waits for the first election, and until the others follow.
    pub fn start(count: usize) -> Self {
        let members: Vec<Mongod> = (0..count)
            .map(|_| Mongod::start(&["--replSet", "rs"]))
            .collect();
        let hosts = members.iter().enumerate().map(|(number, member)| {
            let number = i32::try_from(number).unwrap();
            Bson::from(doc! {"_id": number, "host": member.address().to_string()})
        });
        let config = doc! {
            "_id": "rs",
            "members": hosts.collect::<Vec<Bson>>(),
            // The defaults are 10 s and 2 s.
            "settings": {"electionTimeoutMillis": 2_000, "heartbeatIntervalMillis": 500},
        };
        let first = members[0].address();
        run(first, "admin", &doc! {"replSetInitiate": config});
        let set = Self { members };
        set.primary();
        set.wait_for_secondaries(count - 1);
        set
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.members.iter().map(Mongod::address).collect()
    }

    /// A member by its number.
    pub fn member(&mut self, number: usize) -> &mut Mongod {
        &mut self.members[number]
    }

    /// The number of the primary, once there is one.
    #[track_caller]
    pub fn primary(&self) -> usize {
        eventually("the replica set has a primary", || {
            self.addresses()
                .into_iter()
                .position(|member| says(member, "isWritablePrimary"))
        })
    }

    /// Waits until that many members follow.
    #[track_caller]
    pub fn wait_for_secondaries(&self, count: usize) {
        eventually("the others follow", || {
            let following = self.addresses().into_iter();
            let following = following.filter(|member| says(*member, "secondary"));
            (following.count() == count).then_some(())
        });
    }
}

/// What a member says of itself; nothing when it is not running.
fn says(member: SocketAddr, what: &str) -> bool {
    Connection::open(member)
        .and_then(|mut member| member.command("admin", &doc! {"hello": 1}))
        .is_ok_and(|hello| hello.get_bool(what).unwrap_or(false))
}
