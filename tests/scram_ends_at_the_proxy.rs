//! Clients log in to the proxy, and each user sees what the credential allows that stands for them upstream.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::net::SocketAddr;

use bson::doc;
use serde_json::{Value, json};
use support::collapse::{self, ORDERS};
use support::commands::{Connection, code, hello};
use support::mongod::{Mongod, python};
use support::proxy::Proxy;
use support::users::add_user;
use tempfile::TempDir;

const UNAUTHORIZED: i32 = 13;
const AUTHENTICATION_FAILED: i32 = 18;

/// A server with two users, and a proxy with two of its own, each mapped to one of the server's.
struct Shop {
    _mongod: Mongod,
    _folder: TempDir,
    proxy: Proxy,
}

impl Shop {
    fn open() -> Self {
        let mongod = Mongod::start(&["--auth"]);
        let folder = TempDir::new().unwrap();
        make_server_users(mongod.address());
        let users = folder.path().join("users");
        add_user(&users, "alice", "wonder land", Some("writer"));
        add_user(&users, "bob", "pässword", Some("reader"));
        let credentials = ["reader", "writer"].map(|name| {
            let file = folder.path().join(name);
            std::fs::write(&file, format!("{name} secret\n")).unwrap();
            let file = file.display();
            format!("{{ name: {name}, username: {name}, password_file: \"{file}\" }}")
        });
        let mongo = format!("credentials: [{}]", credentials.join(", "));
        let users = users.display().to_string();
        let pool = "max_connections: 4";
        let config = collapse::config_with_users(&[mongod.address()], &users, pool, &mongo);
        let proxy = Proxy::start(&config);
        Self {
            _mongod: mongod,
            _folder: folder,
            proxy,
        }
    }

    fn login(&self, user: &str, password: &str, mechanism: &str) -> Value {
        let address = self.proxy.address(ORDERS).to_string();
        python("collapse/login.py", &[&address, user, password, mechanism])
    }
}

fn make_server_users(mongod: SocketAddr) {
    let first = format!("mongodb://{mongod}/?directConnection=true");
    let root = r#"{"createUser": "root", "pwd": "root", "roles": ["root"]}"#;
    assert_eq!(
        python("collapse/command.py", &[&first, "admin", root])["ok"],
        1.0
    );
    let as_root = format!("mongodb://root:root@{mongod}/?directConnection=true");
    for (name, role) in [("reader", "read"), ("writer", "readWrite")] {
        let user = json!({
            "createUser": name,
            "pwd": format!("{name} secret"),
            "roles": [{"role": role, "db": "shop"}],
        });
        let made = python(
            "collapse/command.py",
            &[&as_root, "admin", &user.to_string()],
        );
        assert_eq!(made["ok"], 1.0);
    }
}

/// `narrows user add`, the password on its standard input.
#[test]
fn each_mechanism_and_each_user_with_the_rights_of_their_credential() {
    let shop = Shop::open();
    for mechanism in ["default", "SCRAM-SHA-256", "SCRAM-SHA-1"] {
        let alice = shop.login("alice", "wonder land", mechanism);
        assert_eq!(
            alice,
            json!({"login": 0, "read": 0, "write": 0}),
            "{mechanism}"
        );
        let bob = shop.login("bob", "pässword", mechanism);
        let may_read = json!({"login": 0, "read": 0, "write": UNAUTHORIZED});
        assert_eq!(bob, may_read, "{mechanism}");
    }
    collapse::expect_at_rest(&shop.proxy);
    let told = [
        shop.proxy.log(),
        shop.proxy.get("/stats"),
        shop.proxy.get("/config"),
    ]
    .concat();
    for secret in ["wonder land", "pässword", "reader secret", "writer secret"] {
        assert!(!told.contains(secret), "{secret} is shown");
    }
}

#[test]
fn a_wrong_password_and_an_unknown_user_are_refused_alike() {
    let shop = Shop::open();
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-1"] {
        for (user, password) in [("alice", "pässword"), ("nobody", "wonder land")] {
            let refused = shop.login(user, password, mechanism);
            let codes = ["login", "read", "write"].map(|step| refused[step].as_i64());
            let expected = Some(i64::from(AUTHENTICATION_FAILED));
            assert_eq!(codes, [expected; 3], "{user}, {mechanism}");
        }
    }
}

#[test]
fn nothing_but_the_handshake_is_answered_before_a_login() {
    let shop = Shop::open();
    let mut client = Connection::open(shop.proxy.address(ORDERS)).unwrap();
    client.expect_ok("admin", &hello("stranger"));
    let session = doc! {"id": bson::Uuid::from_bytes([1; 16])};
    for command in [
        doc! {"find": "carts"},
        doc! {"insert": "carts", "documents": [{"_id": 1}]},
        doc! {"getMore": 1_i64, "collection": "carts"},
        doc! {"killCursors": "carts", "cursors": [1_i64]},
        doc! {"killSessions": [session]},
        doc! {"listDatabases": 1},
    ] {
        let reply = client.command("shop", &command).unwrap();
        assert_eq!(code(&reply), Some(UNAUTHORIZED), "{command}: {reply}");
    }
    // And the connection is still good for one.
    client.expect_ok("admin", &hello("stranger"));
}
