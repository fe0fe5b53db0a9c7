//! A server whose replies do not fit: whoever waits on that connection is closed, and nobody gets what is not known to be their own.

use std::io::{BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::collapsed::{at_rest, config, say};
use crate::support::peer::scripted;
use crate::support::proxy::Proxy;
use crate::support::resp::{RedisClient, Value, read_value};

/// A server that says `x` to whatever it is asked, and to ATTACK, when HOLD has come behind it, these bytes. Then it `ends`, or says nothing
/// more.
fn server(attack: Vec<u8>, ends: bool) -> SocketAddr {
    scripted(move |mut stream| {
        let mut requests = BufReader::new(stream.try_clone().unwrap());
        let mut attacked = false;
        while let Ok(request) = read_value(&mut requests) {
            let command = request.elements()[0].text();
            let answer: &[u8] = match command.as_str() {
                "ATTACK" => {
                    attacked = true;
                    continue;
                }
                "HOLD" if attacked => &attack,
                _ => b"$1\r\nx\r\n",
            };
            // The proxy may have gone in the middle of it.
            let _ = stream.write_all(answer);
            if attacked && ends {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    })
}

/// Two that wait on the connection, and one that does not.
struct Clients {
    attacked: RedisClient,
    waits: RedisClient,
    rests: RedisClient,
}

fn attacked(attack: &[u8], ends: bool) -> (Proxy, Clients) {
    println!(
        "{:?}",
        String::from_utf8_lossy(&attack[..attack.len().min(60)])
    );
    let proxy = Proxy::start(&config(server(attack.to_vec(), ends), ""));
    let [attacked, waits, rests] = [(); 3].map(|()| RedisClient::connect(proxy.address("redis")));
    let mut clients = Clients {
        attacked,
        waits,
        rests,
    };
    assert_eq!(say(&mut clients.rests, "GET k"), Value::bulk("x"));
    clients.attacked.send(&["ATTACK"]);
    // It is on its way before the next one.
    crate::support::eventually("it is under way", || {
        let active = proxy.stats().value("redis.redis.downstream_rq_active");
        (active == 1).then_some(())
    });
    clients.waits.send(&["HOLD"]);
    (proxy, clients)
}

#[test]
fn what_does_not_fit_closes_all_that_wait_and_nobody_else() {
    let deep = b"*1\r\n".repeat(10_000);
    let long_number = [b":".as_slice(), &b"1".repeat(100_000)].concat();
    let attacks: [&[u8]; 20] = [
        b"hello\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b">2\r\n+message\r\n+secret\r\n",
        b">1\r\n",
        b"\0\0\0\0",
        b"*-2\r\n",
        b"$-2\r\n",
        b"*4294967296\r\n",
        b"%4611686018427387904\r\n",
        b"~9223372036854775807\r\n",
        b"|9223372036854775807\r\n",
        b"*99999999999999999999\r\n",
        b"$99999999999999999999\r\n",
        b":12x\r\n",
        b"#x\r\n",
        b"_x\r\n",
        b"$1\r\nxyz\r\n",
        b"*1\r\n>1\r\n",
        &deep,
        &long_number,
    ];
    for attack in attacks {
        let (proxy, mut clients) = attacked(attack, false);
        clients.waits.expect_end();
        // The beginning of a reply may have been given to the one that it was for, and it has ended.
        while clients.attacked.try_next().is_ok() {}
        assert_eq!(say(&mut clients.rests, "GET k"), Value::bulk("x"));
        drop(clients);
        let stats = at_rest(&proxy);
        stats
            .expect("cluster.redis.upstream_cx_protocol_error", 1)
            .expect("cluster.redis.upstream_cx_total", 2)
            .expect("redis.redis.command.attack.error", 1)
            .expect("redis.redis.command.hold.error", 1)
            .expect("redis.redis.command.get.error", 0);
    }
}

/// One reply more than was asked for: those that were waited for are given, and what comes behind belongs to nobody.
#[test]
fn a_reply_too_many_is_nobodys() {
    let (proxy, mut clients) = attacked(b"+one\r\n+two\r\n+secret\r\n", false);
    assert_eq!(clients.attacked.reply(), Value::Simple("one".to_string()));
    assert_eq!(clients.waits.reply(), Value::Simple("two".to_string()));
    for client in [
        &mut clients.rests,
        &mut clients.waits,
        &mut clients.attacked,
    ] {
        assert_eq!(say(client, "GET k"), Value::bulk("x"));
    }
    let stats = proxy.stats();
    stats.expect("cluster.redis.upstream_cx_protocol_error", 1);
}

/// A reply that is cut off is so for its client too; who has got nothing of one is told.
#[test]
fn a_reply_that_is_cut_off_is_seen_as_that() {
    let line = [b"+".as_slice(), &b"x".repeat(8 << 20)].concat();
    let error = [b"-ERR ".as_slice(), &b"x".repeat(8 << 20)].concat();
    let attacks: [&[u8]; 6] = [
        b"$100000000000\r\nabc",
        b"*2147483647\r\n:1\r\n",
        b"*?\r\n:1\r\n",
        b"%?\r\n:1\r\n",
        &line,
        &error,
    ];
    for attack in attacks {
        let (proxy, mut clients) = attacked(attack, true);
        let mut stream = clients.attacked.stream();
        let mut given = Vec::new();
        // In order it does not end.
        let _ = std::io::Read::read_to_end(&mut stream, &mut given);
        assert!(attack.starts_with(&given), "nothing is added to it");
        let said = clients.waits.reply();
        assert!(
            said.error()
                .ends_with("was lost; the command may have been carried out"),
            "{said:?}"
        );
        for client in [&mut clients.rests, &mut clients.waits] {
            assert_eq!(say(client, "GET k"), Value::bulk("x"));
        }
        let most = proxy.allocated_bytes();
        assert!(most < 32 << 20, "{most} bytes");
        drop(clients);
        at_rest(&proxy).expect("cluster.redis.upstream_cx_protocol_error", 0);
    }
}

/// What was not sent any more is told apart from what was.
#[test]
fn what_was_not_sent_is_said_to_be_so() {
    // It reads nothing, and ends when it is told.
    let (tell, told) = std::sync::mpsc::channel::<()>();
    let told = std::sync::Mutex::new(told);
    let upstream = scripted(move |stream: TcpStream| {
        let _ = told.lock().unwrap().recv();
        drop(stream);
    });
    let proxy = Proxy::start(&config(upstream, ""));
    let mut client = RedisClient::connect(proxy.address("redis"));
    let value = "v".repeat(60_000);
    let mut sender = client.stream().try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        let request = crate::support::resp::encode(&["SET", "k", &value]);
        for _ in 0..400 {
            if sender.write_all(&request).is_err() {
                return;
            }
        }
    });
    // More than a megabyte waits in the proxy, and it reads no more: no more requests come to be under way.
    let active = || proxy.stats().value("redis.redis.downstream_rq_active");
    let mut before = 0;
    crate::support::eventually("no more comes", || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let now = active();
        let rests = now == before && now > 20;
        before = now;
        rests.then_some(())
    });
    tell.send(()).unwrap();
    let mut said = Vec::new();
    for _ in 0..before {
        said.push(client.reply().error().to_string());
    }
    drop(tell);
    let not_sent = |text: &String| text.ends_with("was lost; the command was not sent");
    let first = said.iter().position(not_sent).unwrap();
    assert!(first > 0, "some were sent");
    assert!(said[first..].iter().all(not_sent));
    assert!(
        said[..first]
            .iter()
            .all(|text| text.ends_with("was lost; the command may have been carried out"))
    );
    drop(client);
    sending.join().unwrap();
}
