//! Replies come in the order of the requests, whichever connections those went over.

use crate::collapsed::{Collapsed, commands, say};
use crate::support::eventually;
use crate::support::resp::{Value, encode};

/// Large enough that sockets do not hold it.
const LARGE: usize = 24 << 20;

/// What a client takes at a time.
const PIECE: usize = 256 << 10;

#[test]
fn a_long_pipeline_of_all_kinds_is_answered_in_order() {
    let collapsed = Collapsed::start();
    let mut client = collapsed.client();
    let mut bytes = Vec::new();
    let mut wanted = Vec::new();
    let mut push = |line: &str, replies: &[Value]| {
        bytes.extend(commands(line));
        wanted.extend_from_slice(replies);
    };
    let queued = || Value::Simple("QUEUED".to_string());
    for round in 0..1_000 {
        let text = round.to_string();
        push(&format!("SET k {text}"), &[Value::ok()]);
        push("GET k", &[Value::bulk(&text)]);
        push(&format!("CLIENT SETNAME n{text}"), &[Value::ok()]);
        push(&format!("ECHO {text}"), &[Value::bulk(&text)]);
        push("CLIENT GETNAME", &[Value::bulk(format!("n{text}"))]);
        push("GET missing", &[Value::NilBulk]);
        if round % 50 == 0 {
            let transaction = format!("MULTI\nINCR n\nECHO {text}\nEXEC");
            let count = Value::Integer(round / 50 + 1);
            let executed = Value::Array(vec![count, Value::bulk(&text)]);
            push(&transaction, &[Value::ok(), queued(), queued(), executed]);
            push("RPUSH list x", &[Value::Integer(1)]);
            push("BLPOP list 0", &[Value::bulks(&["list", "x"])]);
        }
        push("STRLEN k", &[Value::Integer(text.len() as i64)]);
        push("EXISTS k", &[Value::Integer(1)]);
        push("PING", &[Value::Simple("PONG".to_string())]);
        push("TYPE k", &[Value::Simple("string".to_string())]);
    }
    let count = wanted.len();
    assert!(count > 10_000);
    let mut sender = client.stream().try_clone().unwrap();
    let sending = std::thread::spawn(move || std::io::Write::write_all(&mut sender, &bytes));
    for (number, wanted) in wanted.into_iter().enumerate() {
        assert_eq!(client.reply(), wanted, "reply {number}");
    }
    sending.join().unwrap().unwrap();
    drop(client);
    let stats = collapsed.at_rest();
    stats
        .expect("redis.redis.downstream_rq_total", count as i64)
        .expect("redis.redis.error", 0);
}

/// What goes over another connection does not overtake what its client has not taken yet.
#[test]
fn a_reply_that_is_not_taken_is_not_overtaken() {
    let collapsed = Collapsed::start();
    collapsed
        .redis
        .command(&["SETRANGE", "large", &(LARGE - 1).to_string(), "x"]);
    for behind in ["MULTI\nECHO behind\nEXEC", "BLPOP none 0.01", "SUBSCRIBE c"] {
        let (mut client, before) = (collapsed.client(), strings(&collapsed));
        client.send_raw(&commands(&format!("GET large\n{behind}")));
        // The proxy has read it to its end, and the client has not.
        let header = format!("${LARGE}\r\n");
        assert_eq!(client.read_raw(header.len()), header.as_bytes());
        let mut left = LARGE + "\r\n".len();
        while strings(&collapsed) == before {
            client.read_raw(PIECE);
            left -= PIECE;
        }
        assert!(client.read_raw(left).ends_with(b"\0x\r\n"));
        match behind {
            "SUBSCRIBE c" => assert_eq!(client.next().elements().len(), 3),
            "BLPOP none 0.01" => assert_eq!(client.reply(), Value::NilArray),
            _ => {
                assert_eq!(client.reply(), Value::ok());
                assert_eq!(client.reply(), Value::Simple("QUEUED".to_string()));
                assert_eq!(client.reply(), Value::bulks(&["behind"]));
            }
        }
    }
}

/// Replies that were strings, and have come whole.
fn strings(collapsed: &Collapsed) -> i64 {
    let stats = collapsed.proxy.stats();
    stats.value("redis.redis.reply.bulk.total")
}

#[test]
fn what_comes_behind_a_wait_waits_and_others_do_not() {
    let collapsed = Collapsed::start();
    let (mut client, mut other) = (collapsed.client(), collapsed.client());
    client.send_raw(&commands("SET k before\nBLPOP list 0\nGET k"));
    assert_eq!(client.reply(), Value::ok());
    collapsed.expect_at_server(2);
    assert_eq!(say(&mut other, "SET k after"), Value::ok());
    assert_eq!(say(&mut other, "RPUSH list x"), Value::Integer(1));
    assert_eq!(client.reply(), Value::bulks(&["list", "x"]));
    assert_eq!(client.reply(), Value::bulk("after"));
}

/// However it is written that something waits: whoever shares a connection does not wait with it.
#[test]
fn what_waits_is_found_behind_many_options() {
    let collapsed = Collapsed::start();
    let mut other = collapsed.client();
    let counts = "COUNT 1 ".repeat(70);
    for line in [
        format!("XREAD {counts}BLOCK 0 STREAMS s $"),
        "xread block 0 count 1 streams s $".to_string(),
        "BZMPOP 0 1 z MIN".to_string(),
        "BLMPOP 0 1 l LEFT".to_string(),
        "BRPOPLPUSH a b 0".to_string(),
        "blmove a b left left 0".to_string(),
    ] {
        let mut client = collapsed.client();
        client.send(&crate::collapsed::words(&line));
        eventually("it waits", || {
            let clients = collapsed.redis.info("clients");
            (clients["blocked_clients"] == "1").then_some(())
        });
        assert_eq!(say(&mut other, "ECHO x"), Value::bulk("x"), "{line}");
        // A client that leaves ends its wait at the server.
        drop(client);
        eventually("nobody waits", || {
            let clients = collapsed.redis.info("clients");
            (clients["blocked_clients"] == "0").then_some(())
        });
    }
}

/// What a person types is answered in its place too.
#[test]
fn typed_lines_are_requests_like_others() {
    let collapsed = Collapsed::start();
    let mut client = collapsed.client();
    let mut bytes = b"\r\nset k \"a b\"\r\n*0\r\nGET k\n*-1\r\n\r\n".to_vec();
    bytes.extend(encode(&["STRLEN", "k"]));
    bytes.extend(b"multi\r\necho 'x'\r\nexec\r\nselect 1\r\nget k\r\n");
    client.send_raw(&bytes);
    let queued = Value::Simple("QUEUED".to_string());
    for wanted in [
        Value::ok(),
        Value::bulk("a b"),
        Value::Integer(3),
        Value::ok(),
        queued,
        Value::bulks(&["x"]),
        Value::ok(),
        Value::NilBulk,
    ] {
        assert_eq!(client.reply(), wanted);
    }
}

/// What ends a pause, or a script, is not sent behind what it is to end.
#[test]
fn what_holds_all_up_can_be_ended_by_anybody() {
    let collapsed = Collapsed::start();
    let [mut pauses, mut waits, mut ends] = [(); 3].map(|()| collapsed.client());
    say(&mut waits, "PING");
    assert_eq!(say(&mut pauses, "CLIENT PAUSE 60000 WRITE"), Value::ok());
    waits.send(&["SET", "k", "x"]);
    collapsed.expect_at_server(1);
    assert_eq!(say(&mut ends, "CLIENT UNPAUSE"), Value::ok());
    assert_eq!(waits.reply(), Value::ok());

    waits.send(&["EVAL", "while true do end", "0"]);
    eventually("it is killed", || {
        (say(&mut ends, "SCRIPT KILL") == Value::ok()).then_some(())
    });
    let said = waits.reply();
    assert!(said.error().contains("Script killed by user"), "{said:?}");
    eventually("nothing is lent", || {
        let stats = collapsed.proxy.stats();
        (stats.value("cluster.redis.pool.active") == 1).then_some(())
    });
}
