//! Configs of the collapse mode: one listener and one cluster, both called `orders`; and what a pool is at rest.

use std::net::SocketAddr;

use super::eventually;
use super::proxy::Proxy;

/// Name of the listener and of the cluster.
pub const ORDERS: &str = "orders";

/// Pins of cursors and transactions that a client leaves behind, as drivers do, are forgotten soon.
const SHORT_PINS: &str = "cursor_timeout: 5s, transaction_timeout: 5s";

/// A config in front of these servers. `pool` and `mongo` are what stands between the braces of the cluster's settings
/// of those names.
pub fn config(endpoints: &[SocketAddr], pool: &str, mongo: &str) -> String {
    config_of(endpoints, "mode: collapse", pool, mongo)
}

/// The same for clients that log in as users of a file.
pub fn config_with_users(endpoints: &[SocketAddr], users: &str, pool: &str, mongo: &str) -> String {
    let listener = format!("mode: collapse, auth: scram, users_file: \"{users}\"");
    config_of(endpoints, &listener, pool, mongo)
}

fn config_of(endpoints: &[SocketAddr], listener: &str, pool: &str, mongo: &str) -> String {
    let endpoints: Vec<String> = endpoints.iter().map(|each| format!("\"{each}\"")).collect();
    let endpoints = endpoints.join(", ");
    let mongo = match mongo {
        "" => SHORT_PINS.to_owned(),
        given if given.contains("cursor_timeout") => given.to_owned(),
        given => format!("{SHORT_PINS}, {given}"),
    };
    format!(
        "listeners:\n  - {{ name: {ORDERS}, listen: 127.0.0.1:0, protocol: mongo, cluster: {ORDERS}, mongo: {{ {listener} }} }}\n\
         clusters:\n  - {{ name: {ORDERS}, endpoints: [{endpoints}], pool: {{ {pool} }}, mongo: {{ {mongo} }} }}\n"
    )
}

/// A proxy with that config, and where clients connect to.
pub fn start(endpoints: &[SocketAddr], pool: &str, mongo: &str) -> (Proxy, SocketAddr) {
    let proxy = Proxy::start(&config(endpoints, pool, mongo));
    let address = proxy.address(ORDERS);
    (proxy, address)
}

/// Gauges that are zero when no client is there: a place, a connection or a pin that nobody gave back would show.
pub const AT_REST: [&str; 6] = [
    "cluster.orders.pool.active",
    "cluster.orders.pool.waiting",
    "cluster.orders.pool.connecting",
    "mongo.orders.op_query_active",
    "cluster.orders.pins.cursors",
    "cluster.orders.pins.transactions",
];

/// Waits until nothing is lent, awaited or pinned any more.
#[track_caller]
pub fn expect_at_rest(proxy: &Proxy) {
    eventually("everything lent and pinned is given back", || {
        let stats = proxy.stats();
        let left = AT_REST.map(|name| (name, stats.value(name)));
        let left: Vec<_> = left.iter().filter(|(_, value)| *value != 0).collect();
        left.is_empty().then_some(())
    });
}
