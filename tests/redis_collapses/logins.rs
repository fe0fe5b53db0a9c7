//! Clients log in to the proxy, which is somebody else to the server: what they are told is what a server with the same users tells.

use tempfile::TempDir;

use crate::collapsed::{at_rest, commands, expect_alike, say};
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;
use crate::support::resp::{RedisClient, Value};
use crate::support::users::add_user;

/// A server with a password that only the proxy knows, and a proxy with users of its own.
struct Guarded {
    _redis: Redis,
    proxy: Proxy,
    folder: TempDir,
}

impl Guarded {
    fn start() -> Self {
        let redis = Redis::with(&["requirepass upstream-secret"]);
        let folder = TempDir::new().unwrap();
        add_user(&folder.path().join("users"), "default", "secret", None);
        add_user(&folder.path().join("users"), "anna", "anna-secret", None);
        std::fs::write(folder.path().join("password"), "upstream-secret\n").unwrap();
        let (users, password) = (folder.path().join("users"), folder.path().join("password"));
        let proxy = Proxy::start(&format!(
            "workers: 1\nlisteners:\n  - {{ name: redis, listen: 127.0.0.1:0, protocol: redis, cluster: redis, redis: {{ mode: collapse, auth: users, users_file: '{}' }} }}\n\
             clusters:\n  - {{ name: redis, endpoints: ['{}'], redis: {{ password_file: '{}' }} }}\n",
            users.display(),
            redis.address(),
            password.display()
        ));
        Self {
            _redis: redis,
            proxy,
            folder,
        }
    }

    fn client(&self) -> RedisClient {
        RedisClient::connect(self.proxy.address("redis"))
    }
}

#[test]
fn the_answers_are_those_of_a_server_with_the_same_users() {
    let guarded = Guarded::start();
    let model = Redis::with(&[
        "requirepass secret",
        "user anna on >anna-secret ~* &* +@all",
    ]);
    for lines in [
        "PING\nGET k\nSET k v\nMULTI\nSUBSCRIBE c\nSELECT 1\nCLIENT SETNAME x\nCLIENT ID\nBLPOP k 0\nINFO",
        "AUTH wrong\nGET k\nAUTH secret\nSET k 1\nGET k\nAUTH wrong\nGET k\nAUTH anna anna-secret\nGET k\nRESET\nGET k",
        "AUTH default wrong\nAUTH default secret\nDEL k\nSELECT 3\nSET k 3\nGET k\nDEL k",
        "AUTH nobody secret\nAUTH anna secret\nAUTH default anna-secret\nGET k\nAUTH a b c\nGET k",
        "HELLO\nHELLO 3\nHELLO 4\nHELLO 3 AUTH anna wrong\nGET k\nHELLO 3 AUTH anna anna-secret SETNAME shop\nGET none\nCLIENT GETNAME",
        "AUTH anna anna-secret\nHELLO 3\nHGETALL none\nHELLO 3 AUTH anna wrong\nHGETALL none",
        "AUTH secret\nMULTI\nSET t 1\nEXEC\nDEL t\nPING",
    ] {
        expect_alike(&model, &guarded.proxy, lines);
    }
    guarded.proxy.expect_logged("a login failed");
    guarded.proxy.stats().expect("redis.redis.login_failed", 8);
    let mut client = guarded.client();
    for name in [
        "x\n2026-01-01T00:00:00Z  INFO forged",
        "a-password-of-somebody",
    ] {
        client.command(&["AUTH", name, "secret"]);
    }
    guarded.proxy.stats().expect("redis.redis.login_failed", 10);
    // The last line, so that all before it have come through the pipe.
    assert_eq!(guarded.proxy.ask("POST", "/reload").0, 200);
    guarded.proxy.expect_logged("config reloaded");
    for secret in [
        "upstream-secret",
        "anna-secret",
        "wrong",
        "forged",
        "a-password",
    ] {
        assert!(!guarded.proxy.log().contains(secret), "{secret}");
    }
}

#[test]
fn what_comes_behind_a_login_in_one_piece_is_done_for_its_user() {
    let guarded = Guarded::start();
    let mut client = guarded.client();
    client.send_raw(&commands(
        "SET before 1\nAUTH anna anna-secret\nSET behind 1\nGET behind",
    ));
    assert!(client.reply().error().starts_with("NOAUTH"));
    assert_eq!(client.reply(), Value::ok());
    assert_eq!(client.reply(), Value::ok());
    assert_eq!(client.reply(), Value::bulk("1"));
    assert_eq!(say(&mut client, "EXISTS before").integer(), 0);
    drop(client);
    let stats = at_rest(&guarded.proxy);
    stats
        .expect("redis.redis.command.set.total", 2)
        .expect("redis.redis.command.set.error", 1);
}

/// Redis' own limits of what it takes from who has not logged in.
#[test]
fn a_stranger_can_send_little() {
    let guarded = Guarded::start();
    let mut client = guarded.client();
    client.send(&["MGET"; 11]);
    let refused = client.reply();
    assert_eq!(
        refused.error(),
        "ERR Protocol error: unauthenticated multibulk length"
    );
    client.expect_end();
    let mut client = guarded.client();
    client.send_raw(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$20000\r\n");
    client.send_raw(&[b'x'; 17_000]);
    let refused = client.reply();
    assert_eq!(
        refused.error(),
        "ERR Protocol error: unauthenticated bulk length"
    );
    client.expect_end();
    let mut client = guarded.client();
    assert_eq!(say(&mut client, "AUTH secret"), Value::ok());
    let long = "x".repeat(100_000);
    assert_eq!(client.command(&["SET", "k", &long]), Value::ok());
    assert_eq!(client.command(&["GET", "k"]).text(), long);
}

#[test]
fn a_reload_takes_new_users_and_lets_go_of_none_who_is_there() {
    let guarded = Guarded::start();
    let mut anna = guarded.client();
    assert_eq!(say(&mut anna, "AUTH anna anna-secret"), Value::ok());
    add_user(
        &guarded.folder.path().join("users"),
        "bert",
        "bert-secret",
        None,
    );
    let mut bert = guarded.client();
    let refused = say(&mut bert, "AUTH bert bert-secret");
    assert!(refused.error().starts_with("WRONGPASS"));
    let (status, body) = guarded.proxy.ask("POST", "/reload");
    assert_eq!(status, 200, "{body}");
    // On a connection that was open before, too.
    for mut bert in [bert, guarded.client()] {
        assert_eq!(say(&mut bert, "AUTH bert bert-secret"), Value::ok());
    }
    assert_eq!(say(&mut anna, "PING"), Value::Simple("PONG".into()));
    let mut stranger = guarded.client();
    say(&mut stranger, "PING");
    let users = guarded.folder.path().join("users");
    let kept = std::fs::read_to_string(&users).unwrap();
    let kept = kept.lines().filter(|line| !line.starts_with("anna "));
    std::fs::write(&users, kept.collect::<Vec<_>>().join("\n")).unwrap();
    assert_eq!(guarded.proxy.ask("POST", "/reload").0, 200);
    for mut client in [stranger, guarded.client()] {
        let refused = say(&mut client, "AUTH anna anna-secret");
        assert!(refused.error().starts_with("WRONGPASS"), "{refused:?}");
    }
}
