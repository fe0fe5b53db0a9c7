//! Who a client is, and in which database: as the server has it, however many share its connections.

use crate::collapsed::{Collapsed, commands, expect_alike, say, without_id, words};
use crate::support::resp::{RedisClient, Value};

/// Users of the server, each with a password, and a default user without one.
const USERS: [&str; 3] = [
    "user anna on >anna-secret ~* &* +@all",
    "user bert on >bert-secret ~* &* +@all -flushall",
    "user long on >0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789 ~* &* +@all",
];

/// Longer than what a decoder keeps of an argument.
const LONG: &str = "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789";

/// A server that asks for a password is answered for as it would answer itself, to the byte.
#[test]
fn the_answers_are_the_servers() {
    let open = Collapsed::with(&USERS, "");
    for lines in [
        "SELECT 1\nSELECT 99\nGET k\nSELECT 16\nSELECT 4294967295\nGET k",
        "SELECT -1\nGET k",
        "SELECT x\nSELECT 1x",
        "SELECT +1",
        "SELECT 01",
        "SELECT 99999999999",
        "SELECT",
        "SELECT 1 2",
        "AUTH",
        "AUTH x\nAUTH anna wrong\nAUTH nobody x\nAUTH anna anna-secret\nACL WHOAMI\nAUTH bert wrong\nACL WHOAMI\nFLUSHALL\n\
         AUTH bert bert-secret\nFLUSHALL\nRESET\nACL WHOAMI",
        "AUTH anna anna-secret more\nACL WHOAMI",
        "CLIENT GETNAME\nCLIENT SETNAME name\nCLIENT GETNAME\nCLIENT SETNAME na\u{e9}me\nCLIENT GETNAME\nRESET\nCLIENT GETNAME",
        "CLIENT SETNAME",
        "CLIENT GETNAME x",
        "HELLO 4\nHELLO x\nHELLO 3x\nHELLO 03\nHELLO 3 AUTH anna\nHELLO 3 NONSENSE\nHELLO 3 AUTH anna wrong\nGET k",
        "HELLO 3 SETNAME na\u{e9}me\nCLIENT GETNAME\nACL WHOAMI\nHELLO 3 SETNAME name\nCLIENT GETNAME",
        "RESET x",
        "EXEC\nDISCARD\nUNWATCH",
        "MULTI x\nMULTI\nMULTI\nDISCARD",
    ] {
        expect_alike(&open.redis, &open.proxy, lines);
    }
    let closed = Collapsed::with(&["requirepass secret"], "");
    for lines in [
        "PING\nGET k\nSELECT 1\nHELLO\nHELLO 3\nHELLO 4\nHELLO 3 NONSENSE\nEXEC\nAUTH wrong\nAUTH default wrong\nAUTH secret\nPING\n\
         ACL WHOAMI\nAUTH wrong\nSELECT 2\nGET k\nRESET\nGET k\nAUTH default secret\nGET k",
        "SELECT x",
        "MULTI\nEXEC",
        "BLPOP k 0\nGET k",
    ] {
        expect_alike(&closed.redis, &closed.proxy, lines);
    }
}

#[test]
fn each_client_has_its_own_database() {
    let collapsed = Collapsed::start();
    let mut clients: Vec<_> = (0..4).map(|_| collapsed.client()).collect();
    for (database, client) in clients.iter_mut().enumerate() {
        let database = database.to_string();
        let line = format!("SELECT {database}\nSET k {database}\nMULTI\nGET k\nEXEC\nGET k");
        client.send_raw(&commands(&line));
    }
    for (database, client) in clients.iter_mut().enumerate() {
        let own = Value::bulk(database.to_string());
        (0..4).for_each(|_| drop(client.reply()));
        assert_eq!(client.reply(), Value::Array(vec![own.clone()]));
        assert_eq!(client.reply(), own);
        assert!(say(client, "SELECT 99").error().starts_with("ERR DB index"));
        assert_eq!(say(client, "GET k"), own, "as before");
    }
    for database in ["0", "1", "2", "3"] {
        let mut direct = collapsed.redis.client();
        say(&mut direct, &format!("SELECT {database}"));
        assert_eq!(say(&mut direct, "GET k"), Value::bulk(database));
    }
    drop(clients);
    collapsed.at_rest();
}

#[test]
fn each_client_is_its_own_user() {
    let collapsed = Collapsed::with(&USERS, "");
    let mut anonymous = collapsed.client();
    let [mut anna, mut bert, mut long, mut hello] = [(); 4].map(|()| collapsed.client());
    assert_eq!(say(&mut anna, "AUTH anna anna-secret"), Value::ok());
    assert_eq!(say(&mut bert, "AUTH bert bert-secret"), Value::ok());
    assert_eq!(say(&mut long, &format!("AUTH long {LONG}")), Value::ok());
    // What differs beyond the part that is looked at is another password.
    let almost = format!("AUTH long {}x", &LONG[..LONG.len() - 1]);
    assert!(
        say(&mut collapsed.client(), &almost)
            .error()
            .starts_with("WRONGPASS")
    );
    let said = say(&mut hello, "HELLO 3 AUTH anna anna-secret SETNAME shop");
    assert!(matches!(said, Value::Map(_)), "{said:?}");
    for _ in 0..3 {
        for (client, user) in [
            (&mut anonymous, "default"),
            (&mut anna, "anna"),
            (&mut bert, "bert"),
            (&mut long, "long"),
            (&mut hello, "anna"),
        ] {
            assert_eq!(say(client, "ACL WHOAMI"), Value::bulk(user));
            // On a connection of its own too.
            client.send_raw(&commands("MULTI\nACL WHOAMI\nEXEC"));
            (0..2).for_each(|_| drop(client.reply()));
            assert_eq!(client.reply(), Value::bulks(&[user]));
            let wrong = say(client, "AUTH anna wrong");
            assert!(wrong.error().starts_with("WRONGPASS"), "{wrong:?}");
        }
    }
    assert!(say(&mut bert, "FLUSHALL").error().starts_with("NOPERM"));
    assert_eq!(say(&mut hello, "CLIENT GETNAME"), Value::bulk("shop"));
    drop((anonymous, anna, bert, long, hello));
    collapsed.at_rest();
}

/// A password counts as long as the server takes it, whatever it took before.
#[test]
fn a_password_that_has_changed_is_refused_at_once() {
    let collapsed = Collapsed::with(&USERS, "");
    let login = |password: &str| {
        let mut client = collapsed.client();
        let said = say(&mut client, &format!("AUTH anna {password}"));
        (client, said)
    };
    let (mut early, said) = login("anna-secret");
    assert_eq!(said, Value::ok());
    say(&mut early, "SET k x");
    let mut third = collapsed.client();
    let said = say(&mut third, "HELLO 3 AUTH anna anna-secret");
    assert!(matches!(said, Value::Map(_)), "{said:?}");
    assert_eq!(say(&mut third, "GET k"), Value::bulk("x"));
    collapsed
        .redis
        .command(&words("ACL SETUSER anna <anna-secret >changed"));
    for _ in 0..3 {
        let (mut late, said) = login("anna-secret");
        assert!(said.error().starts_with("WRONGPASS"), "{said:?}");
        assert_eq!(say(&mut late, "ACL WHOAMI"), Value::bulk("default"));
        let said = say(&mut late, "HELLO 3 AUTH anna anna-secret");
        assert!(said.error().starts_with("WRONGPASS"), "{said:?}");
        assert_eq!(say(&mut late, "ACL WHOAMI"), Value::bulk("default"));
    }
    let (mut late, said) = login("changed");
    assert_eq!(said, Value::ok());
    assert_eq!(say(&mut late, "ACL WHOAMI"), Value::bulk("anna"));
    // As at the server: who was in stays in.
    assert_eq!(say(&mut early, "GET k"), Value::bulk("x"));
    assert_eq!(say(&mut early, "ACL WHOAMI"), Value::bulk("anna"));
}

#[test]
fn both_versions_of_the_protocol_side_by_side() {
    let collapsed = Collapsed::start();
    let direct = &mut collapsed.redis.client();
    say(direct, "HSET h a 1");
    let (mut two, mut three) = (collapsed.client(), collapsed.client());
    let known = without_id(say(&mut three, "HELLO 3"));
    let wanted = without_id(say(&mut collapsed.redis.client(), "HELLO 3"));
    assert_eq!(known, wanted, "what the server says");
    let pair = (Value::bulk("a"), Value::bulk("1"));
    for _ in 0..3 {
        assert_eq!(say(&mut two, "HGETALL h"), Value::bulks(&["a", "1"]));
        assert_eq!(say(&mut three, "HGETALL h"), Value::Map(vec![pair.clone()]));
        assert_eq!(say(&mut three, "CLIENT GETNAME"), Value::Null);
        assert_eq!(say(&mut two, "CLIENT GETNAME"), Value::NilBulk);
    }
    // Both ways, and by RESET.
    assert_eq!(say(&mut three, "HELLO 2").elements().len(), 14);
    assert_eq!(say(&mut three, "HGETALL h"), Value::bulks(&["a", "1"]));
    say(&mut three, "HELLO 3");
    assert_eq!(say(&mut three, "RESET"), Value::Simple("RESET".to_string()));
    assert_eq!(say(&mut three, "HGETALL h"), Value::bulks(&["a", "1"]));
    // HELLO's own reply, when a connection of the kind is open and when none is, is never another version's.
    for _ in 0..3 {
        let mut client = RedisClient::connect_resp3(collapsed.address());
        assert!(matches!(say(&mut client, "HELLO"), Value::Map(_)));
        assert_eq!(say(&mut client, "HELLO 2").elements().len(), 14);
    }
}

/// What a server closes the connection for that it does not know yet, harms nobody whom it knows.
#[test]
fn who_is_not_known_harms_nobody_who_is() {
    let collapsed = Collapsed::with(&["requirepass secret"], "");
    let mut known = collapsed.client();
    assert_eq!(say(&mut known, "AUTH secret"), Value::ok());
    assert_eq!(say(&mut known, "SET k x"), Value::ok());
    for _ in 0..20 {
        let mut flood = collapsed.client();
        flood.send(&[b"MSET".as_slice(); 21]);
        flood.send(&["SET".as_bytes(), b"k", &[b'x'; 20_000]]);
        assert_eq!(say(&mut known, "GET k"), Value::bulk("x"));
        drop(flood.try_reply());
    }
    let mut late = collapsed.client();
    assert!(say(&mut late, "GET k").error().starts_with("NOAUTH"));
    assert_eq!(say(&mut late, "AUTH secret"), Value::ok());
    assert_eq!(say(&mut late, "GET k"), Value::bulk("x"));
}
