//! Two servers that serve the same, as routers do: a cursor and a transaction stay where they began, everything else
//! spreads over both; and when one is gone, its cursors are said to be gone.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::thread;

use bson::{Bson, Document, doc};
use support::collapse;
use support::commands::{Connection, batch, code, run};
use support::eventually;
use support::mongod::Mongod;
use support::proxy::Proxy;

const MARKS: i32 = 40;
const CURSOR_NOT_FOUND: i32 = 43;
const NO_SUCH_TRANSACTION: i32 = 251;

/// Two replica sets that know nothing of each other, so that each answer tells where it comes from.
struct Two {
    servers: [Mongod; 2],
    proxy: Proxy,
    address: SocketAddr,
}

impl Two {
    fn start() -> Self {
        let servers = ["first", "second"].map(|name| {
            let server = Mongod::replica_set_named(name);
            let marks = (0..MARKS).map(|number| doc! {"_id": number, "server": name});
            let marks: Vec<Bson> = marks.map(Bson::from).collect();
            run(
                server.address(),
                "shop",
                &doc! {"insert": "marks", "documents": marks},
            );
            run(server.address(), "shop", &doc! {"create": "orders"});
            server
        });
        let endpoints = servers.each_ref().map(Mongod::address);
        // Both are near enough, however slow this machine is.
        let mongo = "topology: routers, local_threshold: 2s";
        let (proxy, address) = collapse::start(&endpoints, "max_connections: 8", mongo);
        eventually("both servers are known", || {
            let known = spread(address, 4).len();
            (known == 2).then_some(())
        });
        Self {
            servers,
            proxy,
            address,
        }
    }

    fn client(&self) -> Connection {
        Connection::open(self.address).unwrap()
    }

    /// Cursors with more to come, at least one of each server: the server, the cursor, what was read.
    fn cursors(&self, client: &mut Connection) -> Vec<(String, i64, BTreeSet<i32>)> {
        let mut cursors = Vec::new();
        let mut of = BTreeSet::new();
        for _ in 0..500 {
            let find = doc! {"find": "marks", "batchSize": 2};
            let (found, cursor) = batch(&client.expect_ok("shop", &find));
            let server = server_of(&found);
            of.insert(server.clone());
            cursors.push((server, cursor, ids(&found)));
            if of.len() == 2 && cursors.len() >= 10 {
                return cursors;
            }
            // Somebody else's operation between them, so that the least loaded is not always the same.
            spread(self.address, 2);
        }
        panic!("all of {} cursors are on {of:?}", cursors.len());
    }
}

#[test]
fn cursors_stay_while_new_operations_spread() {
    let two = Two::start();
    let counts = spread(two.address, 200);
    assert!(counts.values().all(|count| *count >= 20), "{counts:?}");
    let mut client = two.client();
    let mut open = two.cursors(&mut client);
    // Another connection of the same application goes on with them, all in turn.
    let mut other = two.client();
    while !open.is_empty() {
        let next = std::mem::take(&mut open);
        for (server, cursor, mut seen) in next {
            let more = doc! {"getMore": cursor, "collection": "marks", "batchSize": 7};
            let (found, cursor) = batch(&other.expect_ok("shop", &more));
            if !found.is_empty() {
                assert_eq!(server_of(&found), server);
            }
            seen.extend(ids(&found));
            match cursor {
                0 => assert_eq!(seen.len(), MARKS as usize),
                _ => open.push((server, cursor, seen)),
            }
        }
    }
    collapse::expect_at_rest(&two.proxy);
}

#[test]
fn transactions_stay() {
    let two = Two::start();
    let mut client = two.client();
    let mut places = BTreeMap::new();
    for number in 0..20 {
        let mut transaction = Transaction::begin(number);
        let insert = doc! {"insert": "orders", "documents": [{"_id": number}]};
        transaction.run(&mut client, "shop", insert);
        spread(two.address, 2);
        let marks = transaction.run(&mut client, "shop", doc! {"find": "marks", "batchSize": 2});
        let (found, cursor) = batch(&marks);
        let server = server_of(&found);
        let more = doc! {"getMore": cursor, "collection": "marks"};
        let found = batch(&transaction.run(&mut client, "shop", more)).0;
        assert_eq!(server_of(&found), server);
        transaction.run(&mut client, "admin", doc! {"commitTransaction": 1});
        // A commit may be repeated, and is one of the same server.
        transaction.run(&mut client, "admin", doc! {"commitTransaction": 1});
        places.insert(number, server);
    }
    for (server, name) in two.servers.iter().zip(["first", "second"]) {
        let found = run(
            server.address(),
            "shop",
            &doc! {"find": "orders", "batchSize": 100},
        );
        let here = places.iter().filter(|(_, place)| *place == name);
        let here: BTreeSet<i32> = here.map(|(number, _)| *number).collect();
        assert_eq!(ids(&batch(&found).0), here, "on the {name}");
        assert!(!here.is_empty(), "no transaction on the {name}");
    }
}

#[test]
fn kill_cursors_goes_to_each_server_and_its_answers_are_one() {
    let two = Two::start();
    let mut client = two.client();
    let open = two.cursors(&mut client);
    let cursors: BTreeSet<i64> = open.iter().map(|(_, cursor, _)| *cursor).collect();
    let unknown = 12_345_i64;
    let all: Vec<Bson> = cursors
        .iter()
        .chain([&unknown])
        .map(|id| Bson::Int64(*id))
        .collect();
    let killed = client.expect_ok("shop", &doc! {"killCursors": "marks", "cursors": all});
    let list = |name: &str| -> BTreeSet<i64> {
        let list = killed.get_array(name).unwrap();
        list.iter().map(|id| id.as_i64().unwrap()).collect()
    };
    assert_eq!(list("cursorsKilled"), cursors);
    assert_eq!(list("cursorsNotFound"), [unknown].into());
    assert_eq!(list("cursorsAlive").len() + list("cursorsUnknown").len(), 0);
    for cursor in cursors {
        let more = doc! {"getMore": cursor, "collection": "marks"};
        let reply = client.command("shop", &more).unwrap();
        assert_eq!(code(&reply), Some(CURSOR_NOT_FOUND), "{reply}");
    }
    collapse::expect_at_rest(&two.proxy);
}

#[test]
fn when_one_is_gone_the_other_serves_and_its_cursors_are_said_to_be_gone() {
    let mut two = Two::start();
    let mut client = two.client();
    let open = two.cursors(&mut client);
    let mut lost = lost_transaction(&two, &mut client);
    two.servers[1].kill();

    for (server, cursor, _) in open {
        let more = doc! {"getMore": cursor, "collection": "marks"};
        let reply = client.command("shop", &more).unwrap();
        let expected = (server == "second").then_some(CURSOR_NOT_FOUND);
        assert_eq!(code(&reply), expected, "{server}: {reply}");
    }
    let reply = lost.ask(&mut client, "shop", doc! {"find": "marks"});
    assert_eq!(code(&reply), Some(NO_SUCH_TRANSACTION), "{reply}");
    let labels = reply.get_array("errorLabels").unwrap();
    assert!(labels.contains(&Bson::from("TransientTransactionError")));

    // It may take one failed operation to find out; from then on all is well.
    eventually("new operations find the other", || {
        let reply = client.command("shop", &doc! {"find": "marks"}).unwrap();
        code(&reply).is_none().then_some(())
    });
    let counts = spread(two.address, 100);
    assert_eq!(counts, [("first".to_string(), 100)].into());

    two.servers[1].restart();
    eventually("both serve again", || {
        (spread(two.address, 20).len() == 2).then_some(())
    });
}

/// A transaction that has begun on the second server.
fn lost_transaction(two: &Two, client: &mut Connection) -> Transaction {
    for number in 100..600 {
        let mut transaction = Transaction::begin(number);
        let found = transaction.run(client, "shop", doc! {"find": "marks", "limit": 1});
        if server_of(&batch(&found).0) == "second" {
            return transaction;
        }
        transaction.run(client, "admin", doc! {"abortTransaction": 1});
        spread(two.address, 2);
    }
    panic!("no transaction went to the second server");
}

/// The commands of one transaction.
struct Transaction {
    session: Document,
    begun: bool,
}

impl Transaction {
    fn begin(number: i32) -> Self {
        let mut bytes = [9; 16];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        Self {
            session: doc! {"id": bson::Uuid::from_bytes(bytes)},
            begun: false,
        }
    }

    #[track_caller]
    fn run(&mut self, client: &mut Connection, database: &str, command: Document) -> Document {
        let reply = self.ask(client, database, command);
        assert_eq!(code(&reply), None, "{reply}");
        reply
    }

    fn ask(&mut self, client: &mut Connection, database: &str, mut command: Document) -> Document {
        command.insert("lsid", self.session.clone());
        command.insert("txnNumber", 1_i64);
        command.insert("autocommit", false);
        if !std::mem::replace(&mut self.begun, true) {
            command.insert("startTransaction", true);
        }
        client.command(database, &command).unwrap()
    }
}

/// Operations of several clients at a time: how many went to each server.
fn spread(address: SocketAddr, operations: usize) -> BTreeMap<String, usize> {
    const CLIENTS: usize = 4;
    let one = move || {
        let mut client = Connection::open(address).unwrap();
        let find = doc! {"find": "marks", "limit": 1};
        let mine = operations.div_ceil(CLIENTS);
        let finds = (0..mine).map(|_| server_of(&batch(&client.expect_ok("shop", &find)).0));
        finds.collect::<Vec<String>>()
    };
    let clients: Vec<_> = (0..CLIENTS).map(|_| thread::spawn(one)).collect();
    let mut counts = BTreeMap::new();
    for server in clients
        .into_iter()
        .flat_map(|client| client.join().unwrap())
    {
        *counts.entry(server).or_default() += 1;
    }
    counts
}

#[track_caller]
fn server_of(found: &[Document]) -> String {
    let servers = found.iter().map(|each| each.get_str("server").unwrap());
    let servers: BTreeSet<&str> = servers.collect();
    assert_eq!(servers.len(), 1, "documents of {servers:?}");
    servers.first().unwrap().to_string()
}

fn ids(found: &[Document]) -> BTreeSet<i32> {
    found
        .iter()
        .map(|each| each.get_i32("_id").unwrap())
        .collect()
}
