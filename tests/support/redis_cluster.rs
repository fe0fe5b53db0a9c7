//! A Redis Cluster of real servers: three masters, each with as many replicas as are asked for.

use std::net::SocketAddr;

use super::redis::{Redis, fields};
use super::resp::Value;
use super::{eventually, free_port};

const SLOTS: usize = 16_384;
const MASTERS: usize = 3;

/// Its nodes, ended with the test: the masters first, then the replicas of the first, of the second and of the third.
pub struct RedisCluster {
    nodes: Vec<Node>,
}

struct Node {
    redis: Redis,
    bus: u16,
    id: String,
}

impl RedisCluster {
    /// Starts them and waits until every node says that the cluster is whole and every replica has its master's data.
    pub fn start(replicas: usize) -> Self {
        let nodes = MASTERS * (1 + replicas);
        let cluster = Self {
            nodes: (0..nodes).map(|_| Node::start()).collect(),
        };
        cluster.give_slots();
        cluster.meet();
        cluster.replicate();
        cluster.wait_until_whole();
        cluster
    }

    pub fn masters(&self) -> Vec<SocketAddr> {
        let masters = self.nodes.iter().take(MASTERS);
        masters.map(|node| node.redis.address()).collect()
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.redis.address()).collect()
    }

    /// A node by its number.
    pub fn node(&self, number: usize) -> &Redis {
        &self.nodes[number].redis
    }

    /// The same, to kill it or to start it again.
    pub fn node_mut(&mut self, number: usize) -> &mut Redis {
        &mut self.nodes[number].redis
    }

    /// What a node calls itself in `CLUSTER NODES`.
    pub fn id(&self, number: usize) -> &str {
        &self.nodes[number].id
    }

    /// The slot of a key.
    #[track_caller]
    pub fn slot(&self, key: &str) -> usize {
        let slot = self.node(0).command(&["CLUSTER", "KEYSLOT", key]).integer();
        usize::try_from(slot).unwrap()
    }

    /// The number of the master that was given the slot of a key at the start.
    #[track_caller]
    pub fn master_of(&self, key: &str) -> usize {
        let slot = self.slot(key);
        (0..MASTERS)
            .rposition(|master| first_slot(master) <= slot)
            .unwrap()
    }

    /// Waits until every node says that every slot is served, and every replica has its master's data.
    #[track_caller]
    pub fn wait_until_whole(&self) {
        let count = self.nodes.len().to_string();
        for (number, node) in self.nodes.iter().enumerate() {
            eventually("the cluster is whole", || {
                let info = fields(&node.redis.command(&["CLUSTER", "INFO"]).text());
                let whole = info["cluster_state"] == "ok" && info["cluster_known_nodes"] == count;
                let replication = || node.redis.info("replication");
                let follows = number < MASTERS
                    || replication()
                        .get("master_link_status")
                        .is_some_and(|status| status == "up");
                (whole && follows).then_some(())
            });
        }
    }

    fn give_slots(&self) {
        for (number, node) in self.nodes.iter().enumerate() {
            // Epochs of their own, so that nobody has to agree on them first.
            let epoch = (number + 1).to_string();
            node.expect_ok(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]);
            if number < MASTERS {
                let first = first_slot(number).to_string();
                let last = (first_slot(number + 1) - 1).to_string();
                node.expect_ok(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
            }
        }
    }

    fn meet(&self) {
        let (first, others) = self.nodes.split_first().unwrap();
        for other in others {
            let address = other.redis.address();
            let (ip, port) = (address.ip().to_string(), address.port().to_string());
            first.expect_ok(&["CLUSTER", "MEET", &ip, &port, &other.bus.to_string()]);
        }
    }

    fn replicate(&self) {
        for (number, node) in self.nodes.iter().enumerate().skip(MASTERS) {
            let of_each = self.nodes.len() / MASTERS - 1;
            let master = &self.nodes[(number - MASTERS) / of_each].id;
            eventually("the replica has heard of its master", || {
                let reply = node.redis.command(&["CLUSTER", "REPLICATE", master]);
                (reply == Value::ok()).then_some(())
            });
        }
    }
}

impl Node {
    fn start() -> Self {
        let bus = free_port();
        let redis = Redis::with(&[
            "cluster-enabled yes",
            &format!("cluster-port {bus}"),
            "cluster-config-file nodes",
            // The default is 15 s.
            "cluster-node-timeout 2000",
            // The default waits five seconds for more replicas.
            "repl-diskless-sync-delay 0",
        ]);
        let id = redis.command(&["CLUSTER", "MYID"]).text();
        Self { redis, bus, id }
    }

    #[track_caller]
    fn expect_ok(&self, arguments: &[&str]) {
        assert_eq!(self.redis.command(arguments), Value::ok(), "{arguments:?}");
    }
}

fn first_slot(master: usize) -> usize {
    SLOTS * master / MASTERS
}
