//! Connections that the proxy opens itself are ready for commands, or it is said clearly why not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use bson::rawdoc;
use narrows::config::{MongoCompressor, MongoCredential, MongoMechanism, PasswordSource};
use narrows::protocols::mongo::wire::call;
use narrows::secret::Secret;
use narrows::upstream::Endpoint;
use narrows::upstream::mongo::login::{Login, OpenError, OpenOptions, Opened, Step, open};
use support::mongod::Mongod;
use tokio::runtime::Builder;

const PASSWORD: &str = "pen\u{AD}cil-0f-the-test";

/// Debug builds derive keys slowly, and the machine may be busy.
const PATIENT: Duration = Duration::from_secs(20);

fn mongod() -> Mongod {
    let mongod = Mongod::with_auth();
    let (both, old) = (r#"["SCRAM-SHA-1","SCRAM-SHA-256"]"#, r#"["SCRAM-SHA-1"]"#);
    let users = format!(
        r#"[["admin","b=o,th","{PASSWORD}",{both}],["shop","old","{PASSWORD}",{old}],["admin","ascii","pencil",{both}]]"#
    );
    let host = mongod.address().to_string();
    mongod.python("create_users.py", &[&host, &users]);
    mongod
}

fn credential(username: &str, password: &str, source: &str) -> MongoCredential {
    MongoCredential {
        name: "app".to_owned(),
        username: username.to_owned(),
        password: Secret::new(password.to_owned()),
        password_source: PasswordSource::Environment("NOT_READ".to_owned()),
        source: source.to_owned(),
        mechanism: None,
    }
}

fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint::new(address.ip().to_string(), address.port(), None)
}

fn with<'a>(login: Option<&'a Login>) -> OpenOptions<'a> {
    OpenOptions {
        connect_timeout: PATIENT,
        application: "the test",
        compressors: &[],
        login,
    }
}

/// What a worker runs on.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

/// Who the server says that the connection is.
async fn user_of(opened: &mut Opened) -> Option<String> {
    let command = rawdoc! { "connectionStatus": 1, "$db": "admin" };
    let reply = call(&mut opened.stream, 99, &command).await.unwrap();
    let users = reply.get_document("authInfo").unwrap();
    let users = users.get_array("authenticatedUsers").unwrap();
    let user = users.into_iter().next()?.unwrap();
    Some(user.as_document()?.get_str("user").unwrap().to_owned())
}

#[test]
fn a_real_mongod_lets_it_in_with_either_mechanism() {
    let mongod = mongod();
    let endpoint = endpoint(mongod.address());
    let (old, new) = (MongoMechanism::ScramSha1, MongoMechanism::ScramSha256);
    let cases = [
        ("b=o,th", PASSWORD, "admin", None),
        ("b=o,th", PASSWORD, "admin", Some(old)),
        ("b=o,th", PASSWORD, "admin", Some(new)),
        ("ascii", "pencil", "admin", None),
        ("old", PASSWORD, "shop", None),
        ("old", PASSWORD, "shop", Some(old)),
    ];
    block_on(async {
        for (name, password, source, mechanism) in cases {
            let login = Login::new(MongoCredential {
                mechanism,
                ..credential(name, password, source)
            });
            // The second time with keys that are known.
            for _ in 0..2 {
                let mut opened = open(&endpoint, &with(Some(&login))).await.unwrap();
                assert_eq!(user_of(&mut opened).await.as_deref(), Some(name));
                assert_eq!(opened.max_wire, 17);
                assert_eq!(opened.compressor, None);
                assert!(opened.server_connection_id.is_some());
            }
        }
        let mut opened = open(&endpoint, &with(None)).await.unwrap();
        assert_eq!(user_of(&mut opened).await, None);
    });
}

#[test]
fn keys_are_computed_once_for_a_credential() {
    let mongod = mongod();
    let endpoint = endpoint(mongod.address());
    let login = Login::new(credential("ascii", "pencil", "admin"));
    block_on(async {
        let timed = async || {
            let begun = Instant::now();
            open(&endpoint, &with(Some(&login))).await.unwrap();
            begun.elapsed()
        };
        let first = timed().await;
        let mut later = Vec::new();
        for _ in 0..5 {
            later.push(timed().await);
        }
        let later = later.into_iter().min().unwrap();
        assert!(later < first, "first {first:?}, later {later:?}");
    });
}

#[test]
fn a_wrong_login_is_told_apart_and_no_secret_is_repeated() {
    let mongod = mongod();
    let endpoint = endpoint(mongod.address());
    let wrong = "wr0ng-passw0rd";
    let new = Some(MongoMechanism::ScramSha256);
    let cases = [
        ("b=o,th", "admin", None, "SCRAM-SHA-256"),
        ("nobody", "admin", None, "SCRAM-SHA-1"),
        ("old", "shop", None, "SCRAM-SHA-1"),
        ("old", "admin", None, "SCRAM-SHA-1"),
        ("old", "shop", new, "SCRAM-SHA-256"),
    ];
    block_on(async {
        for (name, source, mechanism, tried) in cases {
            let login = Login::new(MongoCredential {
                mechanism,
                ..credential(name, wrong, source)
            });
            let error = open(&endpoint, &with(Some(&login))).await.unwrap_err();
            assert!(error.is_login() && !error.is_timeout());
            assert!(matches!(error, OpenError::Refused { .. }), "{error:?}");
            let text = error.to_string();
            assert_eq!(
                text,
                format!(
                    "{}: login with credential `app` (user `{name}` of database `{source}`, {tried}) failed: Authentication failed. (code 18)",
                    endpoint.name
                )
            );
            assert!(!format!("{error:?}").contains(wrong));
        }
        let login = Login::new(credential("b=o,th", "\u{7}", "admin"));
        let error = open(&endpoint, &with(Some(&login))).await.unwrap_err();
        assert!(error.is_login());
        assert!(error.to_string().contains("SASLprep"), "{error}");
    });
}

#[test]
fn compression_is_agreed_on() {
    let mongod = Mongod::standalone();
    let endpoint = endpoint(mongod.address());
    block_on(async {
        for compressor in [
            MongoCompressor::Zstd,
            MongoCompressor::Snappy,
            MongoCompressor::Zlib,
        ] {
            let offered = [compressor, MongoCompressor::Snappy];
            let options = OpenOptions {
                compressors: &offered,
                ..with(None)
            };
            let opened = open(&endpoint, &options).await.unwrap();
            assert_eq!(opened.compressor, Some(compressor));
        }
    });
}

/// Answers the first message with these bytes, and holds the connection open or not.
fn answering(bytes: &'static [u8], hold: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(bytes);
            if hold {
                std::mem::forget(stream);
            }
        }
    });
    address
}

#[test]
fn what_is_no_mongodb_or_not_there_is_called_that() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = free.local_addr().unwrap();
    drop(free);
    let short = OpenOptions {
        connect_timeout: Duration::from_millis(300),
        ..with(None)
    };
    let error = |address| block_on(async { open(&endpoint(address), &short).await.unwrap_err() });

    let refused = error(nobody);
    assert!(matches!(refused, OpenError::Connect(_)), "{refused:?}");
    assert!(refused.to_string().contains(&nobody.to_string()));

    let silent = error(answering(b"", true));
    assert!(matches!(
        silent,
        OpenError::TimedOut {
            step: Step::Hello,
            ..
        }
    ));
    assert!(silent.is_timeout());

    let closing = error(answering(b"", false));
    assert!(matches!(
        closing,
        OpenError::Lost {
            step: Step::Hello,
            ..
        }
    ));

    for bytes in [
        &b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"[..],
        b"-ERR unknown command\r\n -ERR and more\r\n",
    ] {
        let other = error(answering(bytes, false));
        assert!(matches!(other, OpenError::NotMongo { .. }), "{other:?}");
        assert!(other.to_string().contains("is this a MongoDB server?"));
        assert!(!other.is_login());
    }
}
