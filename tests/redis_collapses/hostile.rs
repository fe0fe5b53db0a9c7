//! What a client sends that is no request, or is made to do harm, ends that client and nobody else.

use crate::collapsed::{Collapsed, commands, say};
use crate::support::eventually;
use crate::support::resp::{RedisClient, Value, encode};

/// Two that share a connection, and go on whatever a third one does.
struct Bystanders {
    clients: [RedisClient; 2],
    /// Connections that the pool had opened at the beginning.
    opened: i64,
}

impl Bystanders {
    fn of(collapsed: &Collapsed) -> Self {
        let mut clients = [(); 2].map(|()| collapsed.client());
        for client in &mut clients {
            assert_eq!(say(client, "SET k x"), Value::ok());
        }
        let stats = collapsed.proxy.stats();
        let opened = stats.value("cluster.redis.upstream_cx_total");
        Self { clients, opened }
    }

    #[track_caller]
    fn go_on(&mut self) {
        for client in &mut self.clients {
            assert_eq!(say(client, "GET k"), Value::bulk("x"));
        }
    }

    /// They have gone on over the same connection all the time.
    #[track_caller]
    fn expect_undisturbed(&mut self, collapsed: &Collapsed) {
        self.go_on();
        let stats = collapsed.proxy.stats();
        stats
            .expect("cluster.redis.upstream_cx_total", self.opened)
            .expect("cluster.redis.upstream_cx_protocol_error", 0);
    }
}

#[test]
fn what_is_no_request_ends_its_sender_alone() {
    let collapsed = Collapsed::start();
    let mut others = Bystanders::of(&collapsed);
    let attacks: [&[u8]; 23] = [
        b"POST / HTTP/1.1\r\n\r\n",
        b"Host: example.com\r\n",
        b"*2\r\n$4\r\nPOST\r\n$1\r\n/\r\n",
        b"*x\r\n",
        b"*-x\r\n",
        b"*2147483648\r\n",
        b"*9223372036854775807\r\n",
        b"*99999999999999999999999\r\n",
        b"*1\n$4\nPING\n",
        b"*1\r\nPING\r\n",
        b"*1\r\n:4\r\n",
        b"*1\r\n$-1\r\n",
        b"*1\r\n$x\r\n",
        b"*1\r\n$18446744073709551616\r\n",
        b"*1\r\n$+4\r\nPING\r\n",
        b"*1\r\n$04\r\nPING\r\n",
        b"*1\r\n$4\r\nPINGxx",
        b"*2\r\n$3\r\nGET\r\n$100\r\nshort\r\n*1\r\n$4\r\nPING\r\n$3\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        b"*?\r\n",
        b"GET \"k\r\n",
        b"GET 'k'x\r\n",
        b"GET a\0b\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\0\r\n",
    ];
    for attack in attacks {
        println!("{:?}", String::from_utf8_lossy(attack));
        let mut client = collapsed.client();
        // What came before is answered.
        let mut bytes = encode(&["GET", "k"]);
        bytes.extend_from_slice(attack);
        client.send_raw(&bytes);
        assert_eq!(client.reply(), Value::bulk("x"));
        let said = client.reply();
        assert!(said.error().starts_with("ERR Protocol error: "), "{said:?}");
        client.expect_end();
        others.go_on();
    }
    others.expect_undisturbed(&collapsed);
    let stats = collapsed.proxy.stats();
    assert!(stats.value("redis.redis.decoding_error") >= 20);
}

/// Things that announce much and never come: nobody waits for them, and nothing is set aside for them.
#[test]
fn what_is_announced_costs_nothing_until_it_comes() {
    let collapsed = Collapsed::start();
    let mut others = Bystanders::of(&collapsed);
    let before = collapsed.proxy.allocated_bytes();
    let mut waiting = Vec::new();
    for attack in [
        &b"*2147483647\r\n"[..],
        b"*1000000\r\n$3\r\nSET\r\n",
        b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$536870912\r\nx",
        b"*2\r\n$9223372036854775807\r\n",
        b"*1\r\n$4\r\nPI",
        b"SET a ",
        b"*",
        b"",
    ] {
        for _ in 0..8 {
            let mut client = collapsed.client();
            client.send_raw(attack);
            waiting.push(client);
        }
    }
    others.go_on();
    eventually("they are there", || {
        let active = collapsed
            .proxy
            .stats()
            .value("listener.redis.downstream_cx_active");
        (active == 66).then_some(())
    });
    others.expect_undisturbed(&collapsed);
    let more = collapsed.proxy.allocated_bytes().saturating_sub(before);
    assert!(more < 8 << 20, "{more} bytes more");
}

/// A line without an end, and a number without one.
#[test]
fn what_never_ends_is_ended() {
    let collapsed = Collapsed::start();
    let mut others = Bystanders::of(&collapsed);
    for (begin, repeated) in [("", "x"), ("*", "1"), ("*1\r\n$", "1"), ("GET ", " ")] {
        let mut client = collapsed.client();
        let mut bytes = begin.as_bytes().to_vec();
        bytes.extend(repeated.repeat(200_000).into_bytes());
        // It may be closed before all has been sent.
        let _ = std::io::Write::write_all(&mut client.stream(), &bytes);
        match client.try_reply() {
            Ok(said) => assert!(said.error().starts_with("ERR Protocol error"), "{said:?}"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
        others.go_on();
    }
    others.expect_undisturbed(&collapsed);
}

/// Whatever a script returns is a reply, and not the end of the connection that others share.
#[test]
fn odd_replies_disturb_nobody() {
    let collapsed = Collapsed::start();
    let mut others = Bystanders::of(&collapsed);
    for version in ["2", "3"] {
        let mut client = collapsed.client();
        client.command(&["HELLO", version]);
        let mut direct = collapsed.redis.client();
        direct.command(&["HELLO", version]);
        for script in [
            "return redis.error_reply(string.rep('x', 300000))",
            "return redis.error_reply('MOVED 1 127.0.0.1:1')",
            "return redis.error_reply('a\\r\\n+b')",
            "return redis.error_reply('')",
            "return redis.status_reply(string.rep('x', 300000))",
            "local t = {} for i = 1, 200 do t = {t} end return t",
            "local t = {} for i = 1, 100000 do t[i] = i end return t",
            "return string.rep('x', 3000000)",
            "redis.setresp(3) return {double=0/0}",
            "redis.setresp(3) return {double=1/0}",
            "redis.setresp(3) return {double=-1e300}",
            "redis.setresp(3) return {big_number='123456789012345678901234567890'}",
            "redis.setresp(3) return {big_number='no number'}",
            "redis.setresp(3) return {verbatim_string={format='txt', string='x'}}",
            "redis.setresp(3) return {map={a=1, b={map={c=true}}}}",
            "redis.setresp(3) return {set={a=true, b=true}}",
            "return {true, false, nil}",
            "return {}",
            "return {err='ERR x'}",
            "return {ok='fine'}",
            "return -9223372036854775807",
            "return redis.call('SELECT', 5)",
        ] {
            let wanted = direct.command(&["EVAL", script, "0"]);
            let given = client.command(&["EVAL", script, "0"]);
            assert_eq!(given, wanted, "{script}");
            others.go_on();
        }
        assert_eq!(
            say(&mut client, "GET k"),
            Value::bulk("x"),
            "in its database"
        );
    }
    others.go_on();
    let stats = collapsed.proxy.stats();
    stats.expect("cluster.redis.upstream_cx_protocol_error", 0);
}

/// Who leaves in the middle of what it asked for takes nobody along.
#[test]
fn who_leaves_early_disturbs_nobody() {
    let collapsed = Collapsed::start();
    let mut others = Bystanders::of(&collapsed);
    collapsed
        .redis
        .command(&["SETRANGE", "large", "3000000", "x"]);
    for _ in 0..20 {
        let mut client = collapsed.client();
        client.send_raw(&commands(&"GET large\nGET k\n".repeat(20)));
        let _ = client.read_raw(10);
        drop(client);
        let mut client = collapsed.client();
        client.send_raw(b"*2\r\n$3\r\nGET\r\n$1\r");
        drop(client);
        others.go_on();
    }
    others.expect_undisturbed(&collapsed);
    drop(others);
    collapsed.at_rest();
}
