//! What the pool bounds, and what clients are told at a bound: the proxy's own errors, to the letter.

use std::io::{BufReader, Write};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::collapsed::{Collapsed, at_server, commands, config, say};
use crate::support::peer::scripted;
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;
use crate::support::resp::{RedisClient, Value, read_value};
use crate::support::{eventually, free_port};

/// It was waited so long for a connection, of which there may be so many.
#[track_caller]
fn expect_none(said: &Value, milliseconds: u64, limit: usize) {
    let told = said
        .error()
        .strip_prefix("ERR narrows: cluster redis: no connection became free within ");
    let (waited, rest) = told
        .unwrap_or_else(|| panic!("{said:?}"))
        .split_once(' ')
        .unwrap();
    let waited: u64 = waited.parse().unwrap();
    assert!(
        waited >= milliseconds && waited < 50 * milliseconds,
        "{said:?}"
    );
    assert_eq!(rest, format!("ms, and there may be no more than {limit}"));
}

/// A subscriber, and the clients that share.
#[track_caller]
fn subscriber(collapsed: &Collapsed) -> RedisClient {
    let mut client = collapsed.client();
    assert_eq!(say(&mut client, "SUBSCRIBE c").elements().len(), 3);
    client
}

#[test]
fn when_all_connections_are_lent_only_who_needs_one_is_refused() {
    for most in [2, 3] {
        let pool = format!(
            "max_connections: {most}, max_long_waits: {}, wait_timeout: 300ms",
            most - 1
        );
        let collapsed = Collapsed::with(&[], &pool);
        let mut shares = collapsed.client();
        assert_eq!(say(&mut shares, "SET k x"), Value::ok());
        let subscribers: Vec<_> = (1..most).map(|_| subscriber(&collapsed)).collect();
        let mut late = collapsed.client();
        let begun = Instant::now();
        let said = say(&mut late, "BLPOP list 0");
        expect_none(&said, 300, most - 1);
        assert!(begun.elapsed() >= Duration::from_millis(290));
        // It goes on, and so do all others.
        assert_eq!(say(&mut late, "GET k"), Value::bulk("x"));
        assert_eq!(say(&mut shares, "GET k"), Value::bulk("x"));
        // What would be carried out in part is not begun: it closes, after the error.
        late.send_raw(&commands("MULTI\nSET k y\nEXEC"));
        expect_none(&late.reply(), 300, most);
        late.expect_end();
        assert_eq!(say(&mut shares, "GET k"), Value::bulk("x"));
        drop(subscribers);
        let mut again = collapsed.client();
        assert_eq!(say(&mut again, "MULTI"), Value::ok());
        drop((shares, again));
        collapsed.at_rest();
    }
}

/// With one connection, whoever has it is alone.
#[test]
fn one_connection_serves_who_is_first() {
    let collapsed = Collapsed::with(&[], "max_connections: 1, wait_timeout: 200ms");
    let holds = subscriber(&collapsed);
    let mut late = collapsed.client();
    for _ in 0..2 {
        expect_none(&say(&mut late, "GET k"), 200, 1);
    }
    drop(holds);
    eventually("it is free", || {
        (say(&mut late, "GET k") == Value::NilBulk).then_some(())
    });
    // Those who share it have it as long as they are there.
    expect_none(&say(&mut collapsed.client(), "BLPOP k 0"), 200, 1);
    drop(late);
    eventually("it is free", || {
        let said = say(&mut collapsed.client(), "SUBSCRIBE c");
        matches!(said, Value::Array(_)).then_some(())
    });
}

#[test]
fn long_waits_have_a_bound_of_their_own() {
    let collapsed = Collapsed::with(
        &[],
        "max_connections: 8, max_long_waits: 2, wait_timeout: 200ms",
    );
    let subscribers = [subscriber(&collapsed), subscriber(&collapsed)];
    let mut late = collapsed.client();
    expect_none(&say(&mut late, "SUBSCRIBE c"), 200, 2);
    expect_none(&say(&mut late, "BLPOP list 1"), 200, 2);
    late.send_raw(&commands("MULTI\nPING\nEXEC"));
    (0..2).for_each(|_| drop(late.reply()));
    assert_eq!(late.reply().elements().len(), 1);
    drop(subscribers);
    eventually("another may wait", || {
        (say(&mut late, "BLPOP list 0.01") == Value::NilArray).then_some(())
    });
    let stats = collapsed.proxy.stats();
    assert!(stats.value("redis.redis.error") >= 2);
}

#[test]
fn no_more_wait_than_may() {
    let pool = "max_connections: 2, max_long_waits: 1, max_waiting: 1, wait_timeout: 20s";
    let collapsed = Collapsed::with(&[], pool);
    let mut shares = collapsed.client();
    say(&mut shares, "PING");
    let holds = subscriber(&collapsed);
    let mut waits = collapsed.client();
    waits.send(&["MULTI"]);
    eventually("it waits", || {
        let stats = collapsed.proxy.stats();
        (stats.value("cluster.redis.pool.waiting") == 1).then_some(())
    });
    let mut late = collapsed.client();
    let full = "ERR narrows: cluster redis: 1 requests wait for a connection, and no more may";
    late.send(&["MULTI"]);
    assert_eq!(late.reply().error(), full);
    late.expect_end();
    assert_eq!(say(&mut shares, "PING"), Value::Simple("PONG".to_string()));
    drop(holds);
    assert_eq!(waits.reply(), Value::ok());
}

#[test]
fn a_server_that_is_not_there_yet_is_found_when_it_is() {
    let redis = Redis::start();
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
    let proxy = Proxy::start(&config(nobody, ""));
    let mut client = RedisClient::connect(proxy.address("redis"));
    let prefix = "ERR narrows: cluster redis: no connection can be opened: ";
    for line in [
        "GET k",
        "BLPOP k 0",
        "SUBSCRIBE c",
        "SELECT 1",
        "AUTH x",
        "HELLO 3",
    ] {
        let said = say(&mut client, line);
        assert!(said.error().starts_with(prefix), "{line}: {said:?}");
        assert!(said.error().contains(&nobody.to_string()), "{said:?}");
    }
    assert_eq!(say(&mut client, "CLIENT SETNAME x"), Value::ok());
    let _comes = Redis::with(&[&format!("port {}", nobody.port())]);
    eventually("it is found", || {
        (say(&mut client, "GET k") == Value::NilBulk).then_some(())
    });
    assert_eq!(say(&mut client, "SELECT 1"), Value::ok());
    drop((client, redis));
}

/// Fewer connections may be open from now on, and more: nobody is cut off for it.
#[test]
fn limits_are_reloaded() {
    let collapsed = Collapsed::with(
        &[],
        "max_connections: 2, max_long_waits: 1, wait_timeout: 200ms",
    );
    let address = collapsed.redis.address();
    let mut shares = collapsed.client();
    say(&mut shares, "PING");
    let mut holds = subscriber(&collapsed);
    expect_none(&say(&mut collapsed.client(), "BLPOP k 0"), 200, 1);
    let reload = |pool: &str| {
        collapsed.proxy.write_config(&config(address, pool));
        let (status, body) = collapsed.proxy.ask("POST", "/reload");
        assert_eq!(status, 200, "{body}");
    };
    reload("max_connections: 4, max_long_waits: 3, wait_timeout: 200ms");
    eventually("more may be lent", || {
        (say(&mut collapsed.client(), "BLPOP k 0.01") == Value::NilArray).then_some(())
    });
    reload("max_connections: 2, max_long_waits: 1, wait_timeout: 150ms");
    eventually("fewer may be lent", || {
        let said = say(&mut collapsed.client(), "BLPOP k 0.01");
        matches!(said, Value::Error(_)).then_some(())
    });
    assert_eq!(say(&mut shares, "PUBLISH c x"), Value::Integer(1));
    assert_eq!(holds.reply(), Value::bulks(&["message", "c", "x"]));
    let open = at_server(&mut collapsed.redis.client()).len();
    assert!(open <= 2, "{open} are open");
}

/// Each login is asked of the server on a connection of its own, which the pool does not count.
#[test]
fn a_storm_of_logins_is_none_of_connections() {
    const AT_ONCE: usize = 64;
    // Answers nobody until so many ask, and then everybody.
    let state = Arc::new((Mutex::new((0, 0)), Condvar::new()));
    let seen = Arc::clone(&state);
    let server = scripted(move |mut stream| {
        let (counts, came) = &*state;
        let mut requests = BufReader::new(stream.try_clone().unwrap());
        while let Ok(request) = read_value(&mut requests) {
            if request.elements()[0] == Value::bulk("AUTH") {
                let mut counts = counts.lock().unwrap();
                counts.0 += 1;
                counts.1 = counts.1.max(counts.0);
                came.notify_all();
                let mut counts = came
                    .wait_while(counts, |counts| counts.1 < AT_ONCE)
                    .unwrap();
                counts.0 -= 1;
            }
            let _ = stream.write_all(b"+OK\r\n");
        }
    });
    let proxy = Proxy::start(&config(server, ""));
    let mut clients: Vec<_> = (0..4 * AT_ONCE)
        .map(|_| RedisClient::connect(proxy.address("redis")))
        .collect();
    for client in &mut clients {
        client.send(&["AUTH", "secret"]);
    }
    for client in &mut clients {
        assert_eq!(client.reply(), Value::ok());
    }
    let most = seen.0.lock().unwrap().1;
    assert_eq!(most, AT_ONCE);
}
