//! What can't be followed passes all the same, and is counted once, with the reason.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::mpsc::channel;

use crate::script::{expect_blind, run_blind};
use crate::support::certificates::Authority;
use crate::support::eventually;
use crate::support::peer::{connect, echo, scripted};
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;
use crate::support::resp::encode;
use crate::tapped::closed;

#[test]
fn connections_that_become_something_else_are_not_followed() {
    run_blind(
        &Redis::start(),
        &[
            (
                "PING\nREPLCONF listening-port 1\nREPLCONF capa eof\nPING",
                4,
                "replication",
            ),
            ("PSYNC x", 1, "replication"),
            ("SCRIPT DEBUG NO\nPING", 2, "script_debug"),
        ],
    );
}

/// A replica by way of the proxy: the snapshot, and what is written afterwards.
#[test]
fn a_replica_gets_all_of_it() {
    let master = Redis::start();
    master.command(&["SET", "k", "before"]);
    let proxy = Proxy::tap_of("redis", master.address());
    let address = proxy.address("redis");
    let replica = Redis::with(&[
        &format!("replicaof {} {}", address.ip(), address.port()),
        "repl-diskless-load disabled",
    ]);
    eventually("it has the snapshot", || {
        (replica.info("replication")["master_link_status"] == "up").then_some(())
    });
    master.command(&["SET", "k", "after"]);
    eventually("it follows", || {
        (replica.command(&["GET", "k"]).text() == "after").then_some(())
    });
    drop(replica);
    expect_blind(&proxy, "replication");
}

/// What clients send that is no request.
#[test]
fn malformed_requests_pass() {
    let redis = Redis::start();
    let cases: [(&[u8], &str, &str); 8] = [
        (b"*1\r\n$-1\r\n", "invalid bulk length", "resp_number"),
        (
            b"*2147483648\r\n",
            "invalid multibulk length",
            "resp_number",
        ),
        (b"*x\r\n", "invalid multibulk length", "resp_number"),
        (b"*1\r\n+PING\r\n", "expected '$', got '+'", "resp_type"),
        (b"GET \"a\r\n", "unbalanced quotes", "resp_inline"),
        (b"*1\r\n$01\r\n", "invalid bulk length", "resp_number"),
        // A length is no mistake of the protocol, and the limit of the server is its own; but it has answered nobody.
        (
            b"PING\r\n*1\r\n$99999999999\r\n*",
            "invalid bulk length",
            "unexpected_reply",
        ),
        (
            b"*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPING\r\n",
            "PONG",
            "resp_line_end",
        ),
    ];
    for (said, answer, reason) in cases {
        let proxy = Proxy::tap_of("redis", redis.address());
        let mut client = connect(proxy.address("redis"));
        client.write_all(said).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut got = Vec::new();
        // The server may reset what it has not read.
        let _ = client.read_to_end(&mut got);
        let got = String::from_utf8_lossy(&got).into_owned();
        assert!(got.contains(answer), "{got}");
        drop(client);
        expect_blind(&proxy, reason);
    }
}

/// What servers say that is no reply, or nobody's.
#[test]
fn replies_that_nobody_can_place_pass() {
    let ping: &[u8] = b"*1\r\n$4\r\nPING\r\n";
    let multi: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
    let arrays: &[u8] = &b"*1\r\n".repeat(200_000);
    let maps: &[u8] = &b"%1\r\n".repeat(10_000);
    let cases: [(&[u8], &[u8], &str); 15] = [
        (ping, b"+PONG\r\n+PONG\r\n", "unexpected_reply"),
        (ping, arrays, "resp_depth"),
        (ping, maps, "resp_depth"),
        (ping, b"?what\r\n", "resp_type"),
        (ping, b":12x\r\n", "resp_number"),
        (ping, b"$-2\r\n", "resp_number"),
        (ping, b"$4\r\nPONGxx", "resp_line_end"),
        (ping, b"*1\r\n>1\r\n:1\r\n", "resp_type"),
        // Too late, or too early: nobody knows.
        (
            ping,
            b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n",
            "unexpected_reply",
        ),
        (multi, b"+QUEUED\r\n", "unexpected_reply"),
        (multi, b"$2\r\nOK\r\n", "unexpected_reply"),
        (
            b"SUBSCRIBE a b\r\n",
            b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n-ERR no\r\n",
            "unexpected_reply",
        ),
        (b"SUBSCRIBE a\r\n", b"+OK\r\n", "unexpected_reply"),
        (b"RESET\r\n", b"+OK\r\n", "unexpected_reply"),
        // A server that does not know CLIENT REPLY.
        (
            b"CLIENT REPLY SKIP\r\nPING\r\nPING\r\n",
            b"-ERR Unknown subcommand 'REPLY'. Try CLIENT HELP.\r\n+PONG\r\n+PONG\r\n",
            "unexpected_reply",
        ),
    ];
    for (said, answered, reason) in cases {
        let proxy = Proxy::tap_of("redis", answering(said, answered));
        expect_passes(&proxy, said, answered);
        expect_blind(&proxy, reason);
    }
}

/// A real server says all confirmations of one request at once, others need not.
#[test]
fn a_message_between_two_confirmations_is_told_from_them() {
    let confirm = |channel: &str, count: u8| {
        format!("*3\r\n$9\r\nsubscribe\r\n$1\r\n{channel}\r\n:{count}\r\n")
    };
    let message = "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n";
    let pong = "*2\r\n$4\r\npong\r\n$0\r\n\r\n";
    let answered = [&confirm("a", 1), message, &confirm("b", 2), message, pong].concat();
    let said = b"SUBSCRIBE a b\r\nPING\r\n";
    let proxy = Proxy::tap_of("redis", answering(said, answered.as_bytes()));
    expect_passes(&proxy, said, answered.as_bytes());
    closed(&proxy, 2)
        .expect("redis.redis.pushes", 2)
        .expect("redis.redis.subscribed", 2)
        .expect("redis.redis.error", 0)
        .expect("redis.redis.decoding_error", 0);
}

/// A reply that is whole before it breaks has been counted, and those behind it are not.
#[test]
fn what_was_answered_before_the_doubt_counts() {
    let said = encode(&["PING"]).repeat(3);
    let answered = b"+PONG\r\n+PONG\r\n?\r\nrest";
    let proxy = Proxy::tap_of("redis", answering(&said, answered));
    expect_passes(&proxy, &said, answered);
    expect_blind(&proxy, "resp_type");
    closed(&proxy, 2).expect("redis.redis.command.ping.success", 2);
}

/// 200,000 requests ahead of their replies are remembered, and no more.
#[test]
fn a_client_that_sends_too_far_ahead_is_not_remembered() {
    const AHEAD: usize = 200_001;
    let (said, answered) = (b"PING\n".repeat(AHEAD), b"+PONG\r\n".repeat(AHEAD));
    let upstream = {
        let answered = answered.clone();
        scripted(move |mut stream| {
            let mut seen = vec![0; 5 * AHEAD];
            if stream.read_exact(&mut seen).is_ok() {
                let _ = stream.write_all(&answered);
            }
        })
    };
    let proxy = Proxy::tap_of("redis", upstream);
    expect_passes(&proxy, &said, &answered);
    expect_blind(&proxy, "too_many_outstanding");
}

#[test]
fn tls_that_does_not_end_here_passes() {
    let authority = Authority::new("Test");
    let files = authority.issue(&["localhost"]);
    let ca = authority.file();
    let lines = [
        format!("tls-port {}", crate::support::free_port()),
        format!("tls-cert-file {}", files.certificate.display()),
        format!("tls-key-file {}", files.key.display()),
        format!("tls-ca-cert-file {}", ca.display()),
        "tls-auth-clients no".to_string(),
    ];
    let redis = Redis::with(&lines.each_ref().map(String::as_str));
    let port = lines[0].strip_prefix("tls-port ").unwrap().parse().unwrap();
    let proxy = Proxy::tap_of("redis", SocketAddr::from(([127, 0, 0, 1], port)));
    let config = crate::support::tls::client(&ca, None);
    let mut stream = crate::support::tls::stream(&config, proxy.address("redis"), "localhost");
    for _ in 0..100 {
        stream.write_all(&encode(&["PING"])).unwrap();
        let mut pong = [0; 7];
        stream.read_exact(&mut pong).unwrap();
        assert_eq!(&pong, b"+PONG\r\n");
    }
    drop(stream);
    expect_blind(&proxy, "tls");
    closed(&proxy, 0);
    drop(redis);
}

/// Bytes without any sense.
#[test]
fn noise_passes_both_ways() {
    let proxy = Proxy::tap_of("redis", echo());
    let mut state = 1_u64;
    let mut noise = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as u8
    };
    for round in 0..50 {
        let mut bytes: Vec<u8> = (0..20_000).map(|_| noise()).collect();
        // Half of it begins as what is understood.
        if round % 2 == 0 {
            bytes.splice(0..0, encode(&["GET", "k"]).repeat(round));
        }
        expect_passes(&proxy, &bytes, &bytes);
    }
    let stats = proxy.stats();
    stats.expect("redis.redis.decoding_error", 50);
    closed(&proxy, stats.value("redis.redis.downstream_rq_total"));
}

/// Takes what is to be said, and answers, and waits until the client has it.
fn answering(said: &[u8], answered: &[u8]) -> SocketAddr {
    let (said, answered) = (said.to_vec(), answered.to_vec());
    scripted(move |mut stream| {
        let mut seen = vec![0; said.len()];
        stream.read_exact(&mut seen).unwrap();
        assert_eq!(seen, said);
        stream.write_all(&answered).unwrap();
        let _ = stream.read(&mut [0]);
    })
}

/// Says it and gets exactly this.
#[track_caller]
fn expect_passes(proxy: &Proxy, said: &[u8], answered: &[u8]) {
    let mut client = connect(proxy.address("redis"));
    let mut sender = client.try_clone().unwrap();
    let (done, wait) = channel();
    let said = said.to_vec();
    std::thread::spawn(move || {
        let _ = sender.write_all(&said);
        let _ = done.send(());
    });
    let mut got = vec![0; answered.len()];
    client.read_exact(&mut got).unwrap();
    assert!(got == answered);
    wait.recv().unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap_or(0), 0);
}
