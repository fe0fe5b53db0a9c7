//! Requests and replies of any size, and clients that are slow with them: memory is bounded, and so is the time that others wait.

use std::io::{BufReader, Read, Write};
use std::time::{Duration, Instant};

use crate::collapsed::{Collapsed, commands, config, say};
use crate::support::eventually;
use crate::support::peer::scripted;
use crate::support::proxy::Proxy;
use crate::support::resp::{RedisClient, Value, encode, read_value};

/// The largest value that a server takes.
const LARGEST: usize = 512 << 20;

const MIB: usize = 1 << 20;

/// What the proxy may have more than before.
const MOST: u64 = 32 << 20;

/// Longer than anybody waits for somebody else. What they wait themselves is 5 s at most, and their machine may be busy.
const HELD_UP: Duration = Duration::from_secs(15);

#[test]
fn the_largest_value_passes_both_ways_in_little_memory() {
    let collapsed = Collapsed::start();
    let (mut client, mut other) = (collapsed.client(), collapsed.client());
    assert_eq!(say(&mut other, "SET k x"), Value::ok());
    let before = collapsed.proxy.allocated_bytes();
    let grown = || collapsed.proxy.allocated_bytes().saturating_sub(before);
    let piece = vec![b'v'; MIB];
    client.send_raw(format!("*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n${LARGEST}\r\n").as_bytes());
    let mut most = 0;
    for number in 0..LARGEST / MIB {
        client.send_raw(&piece);
        if number % 32 == 0 {
            most = most.max(grown());
            // Nobody waits until all of it has come.
            assert_eq!(say(&mut other, "GET k"), Value::bulk("x"));
        }
    }
    client.send_raw(b"\r\n");
    assert_eq!(client.reply(), Value::ok());
    client.send(&["GET", "large"]);
    let header = format!("${LARGEST}\r\n");
    assert_eq!(client.read_raw(header.len()), header.as_bytes());
    for number in 0..LARGEST / MIB {
        assert!(client.read_raw(MIB) == piece);
        if number < 128 {
            // Slower than the server.
            std::thread::sleep(Duration::from_millis(10));
        }
        if number % 16 == 0 {
            most = most.max(grown());
        }
    }
    assert_eq!(client.read_raw(2), b"\r\n");
    assert_eq!(
        say(&mut client, "STRLEN large"),
        Value::Integer(LARGEST as i64)
    );
    println!("{most} bytes more at most");
    assert!(most < MOST, "{most} bytes more");
    drop((client, other));
    let stats = collapsed.at_rest();
    stats
        .expect("redis.redis.command.set.total", 2)
        .expect("redis.redis.error", 0);
}

/// What a slow server does not take is left with its clients, and what it has taken is not kept.
#[test]
fn a_slow_server_does_not_fill_memory() {
    const REQUESTS: usize = 1_200;
    let upstream = scripted(|mut stream| {
        let mut requests = BufReader::new(stream.try_clone().unwrap());
        while read_value(&mut requests).is_ok() {
            std::thread::sleep(Duration::from_millis(1));
            stream.write_all(b"+OK\r\n").unwrap();
        }
    });
    let proxy = Proxy::start(&config(upstream, ""));
    let mut client = RedisClient::connect(proxy.address("redis"));
    assert_eq!(say(&mut client, "PING"), Value::ok());
    let before = proxy.allocated_bytes();
    let mut sender = client.stream().try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        let request = encode(&["SET".as_bytes(), b"k", &vec![b'v'; 60_000]]);
        (0..REQUESTS).for_each(|_| sender.write_all(&request).unwrap());
    });
    let mut most = 0;
    for number in 0..REQUESTS {
        assert_eq!(client.reply(), Value::ok());
        if number % 100 == 0 {
            most = most.max(proxy.allocated_bytes().saturating_sub(before));
        }
    }
    sending.join().unwrap();
    println!("{most} bytes more at most");
    assert!(most < MOST, "{most} bytes more");
}

/// A request that comes slowly is waited for by nobody else, whatever its size.
#[test]
fn who_sends_slowly_holds_nobody_up() {
    let collapsed = Collapsed::start();
    let (mut small, mut large, mut other) =
        (collapsed.client(), collapsed.client(), collapsed.client());
    let value = vec![b'v'; 300_000];
    let of_small = encode(&["SET".as_bytes(), b"small", &value[..1000]]);
    let of_large = encode(&["SET".as_bytes(), b"large", &value]);
    for step in 1..=10 {
        for (client, bytes) in [(&mut small, &of_small), (&mut large, &of_large)] {
            let (from, to) = (bytes.len() * (step - 1) / 10, bytes.len() * step / 10);
            client.send_raw(&bytes[from..to]);
        }
        assert_eq!(
            say(&mut other, &format!("ECHO {step}")),
            Value::bulk(step.to_string())
        );
    }
    assert_eq!(small.reply(), Value::ok());
    assert_eq!(large.reply(), Value::ok());
    assert_eq!(say(&mut other, "STRLEN large"), Value::Integer(300_000));
    // It has gone back to where the others are.
    eventually("it is given back", || {
        let stats = collapsed.proxy.stats();
        (stats.value("cluster.redis.pool.active") == 1).then_some(())
    });
    drop((small, large, other));
    collapsed.at_rest();
}

/// Just below and just above what is held of a request, in a pipeline with others.
#[test]
fn requests_around_the_limit_keep_their_order() {
    let collapsed = Collapsed::start();
    let mut client = collapsed.client();
    let sizes: Vec<usize> = (65_450..65_620)
        .step_by(17)
        .chain([1, 131_000, 200_000])
        .collect();
    let mut bytes = Vec::new();
    for size in &sizes {
        bytes.extend(encode(&["SET".as_bytes(), b"k", &vec![b'v'; *size]]));
        bytes.extend(commands("STRLEN k"));
    }
    let mut sender = client.stream().try_clone().unwrap();
    let sending = std::thread::spawn(move || sender.write_all(&bytes).unwrap());
    for size in sizes {
        assert_eq!(client.reply(), Value::ok());
        assert_eq!(client.reply(), Value::Integer(size as i64));
    }
    sending.join().unwrap();
}

#[test]
fn who_does_not_read_is_closed_and_the_others_go_on() {
    expect_stalled(|_| {});
}

/// A little now and then is no better.
#[test]
fn who_reads_hardly_anything_is_closed_too() {
    expect_stalled(|stream| {
        let mut buffer = [0; 64];
        stream
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let _ = stream.read(&mut buffer);
        std::thread::sleep(Duration::from_millis(50));
    });
}

/// A client asks for 64 MiB, and does this with its connection again and again.
#[track_caller]
fn expect_stalled(again: impl Fn(&mut std::net::TcpStream)) {
    let collapsed = Collapsed::start();
    let size = (64 * MIB - 1).to_string();
    collapsed.redis.command(&["SETRANGE", "large", &size, "x"]);
    let mut others: Vec<_> = (0..5).map(|_| collapsed.client()).collect();
    for client in &mut others {
        say(client, "SET k x");
    }
    let stalls = collapsed.client();
    let mut stream = stalls.stream().try_clone().unwrap();
    stream.write_all(&commands("GET large")).unwrap();
    let began = Instant::now();
    eventually("it is on its way", || {
        let active = "redis.redis.downstream_rq_active";
        (collapsed.proxy.stats().value(active) == 1).then_some(())
    });
    for client in &mut others {
        client.send(&["GET", "k"]);
    }
    let closed = "listener.redis.downstream_cx_stalled";
    eventually("it is closed", || {
        again(&mut stream);
        let stats = collapsed.proxy.stats();
        (stats.value(closed) == 1).then_some(())
    });
    for client in &mut others {
        assert_eq!(client.reply(), Value::bulk("x"));
    }
    assert!(began.elapsed() < HELD_UP, "{:?}", began.elapsed());
    drop(others);
    collapsed.at_rest();
}
