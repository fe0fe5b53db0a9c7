//! What PyMongo 4.20 and mongod 6.0.5 (a replica set of one) said to each other, recorded between them: the same program without compression
//! and with each compressor, and a connection that monitors the server.

use crate::samples::lossy;
use narrows_parsers::mongo::{Reply, ReplyDecoder, Request, RequestDecoder, Step};
use narrows_parsers::replay;

const PLAIN: (&[u8], &[u8]) = (
    include_bytes!("data/pymongo-plain-requests.bin"),
    include_bytes!("data/pymongo-plain-replies.bin"),
);
const COMPRESSED: [(&str, &[u8], &[u8]); 3] = [
    (
        "snappy",
        include_bytes!("data/pymongo-snappy-requests.bin"),
        include_bytes!("data/pymongo-snappy-replies.bin"),
    ),
    (
        "zlib",
        include_bytes!("data/pymongo-zlib-requests.bin"),
        include_bytes!("data/pymongo-zlib-replies.bin"),
    ),
    (
        "zstd",
        include_bytes!("data/pymongo-zstd-requests.bin"),
        include_bytes!("data/pymongo-zstd-replies.bin"),
    ),
];
const MONITOR: (&[u8], &[u8]) = (
    include_bytes!("data/pymongo-monitor-requests.bin"),
    include_bytes!("data/pymongo-monitor-replies.bin"),
);

fn requests<T>(mut stream: &[u8], look: impl Fn(&Request<'_>) -> T) -> Vec<T> {
    let mut decoder = RequestDecoder::new();
    let mut seen = Vec::new();
    while let Step::Message { consumed, message } = decoder.advance(stream) {
        seen.push(look(&message));
        stream = &stream[consumed..];
    }
    assert!(stream.is_empty(), "{:?}", decoder.advance(stream));
    seen
}

fn replies<T>(mut stream: &[u8], look: impl Fn(&Reply<'_>) -> T) -> Vec<T> {
    let mut decoder = ReplyDecoder::new();
    let mut seen = Vec::new();
    while let Step::Message { consumed, message } = decoder.advance(stream) {
        seen.push(look(&message));
        stream = &stream[consumed..];
    }
    assert!(stream.is_empty(), "{:?}", decoder.advance(stream));
    seen
}

/// A request in a line: command, collection, and whatever else there is.
fn request_line(request: &Request<'_>) -> String {
    let mut line = format!("{} {}", lossy(request.command), lossy(request.collection));
    if let Some(site) = request.call_site {
        line += &format!(" @{}", lossy(site));
    }
    if request.documents > 0 {
        line += &format!(" documents={}", request.documents);
    }
    if let Some(number) = request.txn_number {
        line += &format!(" txn={number}");
    }
    if let Some(class) = request.query_class {
        line += &format!(" {class:?}");
    }
    for (set, word) in [
        (request.start_transaction, " start"),
        (request.autocommit == Some(false), " transaction"),
        (request.change_stream, " stream"),
        (request.exhaust_allowed, " exhaust"),
        (request.more_to_come, " unacknowledged"),
    ] {
        if set {
            line += word;
        }
    }
    line
}

const REQUESTS: [&str; 34] = [
    "ismaster ",
    "insert carts @cart.open documents=1 txn=1",
    "insert carts @cart.import documents=5 txn=2",
    "find carts @cart.load ById",
    "find carts @cart.list Scatter",
    "getMore carts @cart.list",
    "getMore carts @cart.list",
    "find carts Scatter",
    "killCursors carts documents=1",
    "aggregate carts @cart.count",
    "aggregate carts",
    "distinct carts ById",
    "count carts",
    "findAndModify carts txn=3 ById",
    "insert carts documents=1 txn=4",
    "update carts documents=1 txn=5",
    "delete carts documents=1 txn=6",
    "insert carts documents=1 txn=7",
    "nosuch ",
    "insert carts documents=1 unacknowledged",
    "update carts documents=1 txn=8 start transaction",
    "delete carts documents=1 txn=8 transaction",
    "commitTransaction  txn=8 transaction",
    "find carts txn=9 ById start transaction",
    "abortTransaction  txn=9 transaction",
    "find carts Scatter",
    "getMore carts exhaust",
    "aggregate carts stream",
    "getMore carts",
    "killCursors carts documents=1",
    "createIndexes carts",
    "listIndexes carts",
    "explain carts",
    "endSessions ",
];

#[test]
fn every_request_is_read() {
    assert_eq!(requests(PLAIN.0, request_line), REQUESTS);
    for (compressor, stream, _) in COMPRESSED {
        assert_eq!(requests(stream, request_line), REQUESTS, "{compressor}");
        // "Never compress hello, isMaster …": all but the first.
        let how = requests(stream, |request| {
            request
                .compression
                .map(|compression| compression.compressor.label())
        });
        assert_eq!(how[0], None);
        assert!(
            how[1..].iter().all(|label| *label == Some(compressor)),
            "{how:?}"
        );
    }
    let databases = requests(PLAIN.0, |request| lossy(request.database));
    assert!(
        databases
            .iter()
            .all(|database| database == "orders" || database == "admin")
    );
    let sessions = requests(PLAIN.0, |request| request.lsid.is_some());
    assert!(sessions[1..19].iter().all(|has| *has));
}

/// A reply in a line.
fn reply_line(reply: &Reply<'_>) -> String {
    let mut line = format!(
        "ok={}",
        reply.ok.map_or("?".into(), |ok| u8::from(ok).to_string())
    );
    if !reply.namespace.is_empty() {
        line += &format!(" {}", lossy(reply.namespace));
    }
    for (value, word) in [
        (reply.documents.map(i64::from), "documents"),
        (reply.n, "n"),
        (reply.n_modified, "modified"),
        (reply.code.map(i64::from), "code"),
        (reply.first_write_error.map(i64::from), "write_error"),
        (reply.cursors_killed.map(i64::from), "killed"),
    ] {
        if let Some(value) = value {
            line += &format!(" {word}={value}");
        }
    }
    for (set, word) in [
        (reply.cursor_id.is_some_and(|id| id != 0), " open"),
        (reply.more_to_come, " more"),
    ] {
        if set {
            line += word;
        }
    }
    line
}

/// One less for the unacknowledged insert, two more for the exhaust cursor.
const REPLIES: [&str; 35] = [
    "ok=1",
    "ok=1 n=1",
    "ok=1 n=5",
    "ok=1 orders.carts documents=1",
    "ok=1 orders.carts documents=2 open",
    "ok=1 orders.carts documents=2 open",
    "ok=1 orders.carts documents=1",
    "ok=1 orders.carts documents=2 open",
    "ok=1 killed=1",
    "ok=1 orders.carts documents=1",
    "ok=1 orders.carts documents=1",
    "ok=1",
    "ok=1 n=6",
    "ok=1",
    "ok=1 n=1",
    "ok=1 n=1 modified=1",
    "ok=1 n=1",
    "ok=1 n=0 write_error=11000",
    "ok=0 code=59",
    "ok=1 n=1 modified=1",
    "ok=1 n=1",
    "ok=1",
    "ok=1 orders.carts documents=1",
    "ok=1",
    "ok=1 orders.carts documents=2 open",
    "ok=1 orders.carts documents=2 open more",
    "ok=1 orders.carts documents=2 open more",
    "ok=1 orders.carts documents=0",
    "ok=1 orders.carts documents=0 open",
    "ok=1 orders.carts documents=0 open",
    "ok=1 killed=1",
    "ok=1",
    "ok=1 orders.carts documents=2",
    "ok=1",
    "ok=1",
];

#[test]
fn every_reply_is_read() {
    assert_eq!(replies(PLAIN.1, reply_line), REPLIES);
    for (compressor, _, stream) in COMPRESSED {
        assert_eq!(replies(stream, reply_line), REPLIES, "{compressor}");
    }
    let errors = replies(PLAIN.1, |reply| lossy(reply.code_name));
    assert_eq!(
        errors
            .iter()
            .filter(|name| !name.is_empty())
            .collect::<Vec<_>>(),
        ["CommandNotFound"]
    );
}

#[test]
fn a_monitor_is_read() {
    let hellos = requests(MONITOR.0, |request| {
        let hello = request.hello.unwrap();
        (
            lossy(hello.application),
            lossy(hello.driver),
            hello.awaitable,
            request.exhaust_allowed,
        )
    });
    let text = |text: &str| text.to_owned();
    assert_eq!(
        hellos,
        [
            (text("checkout"), text("PyMongo|c"), false, false),
            (text(""), text(""), true, true)
        ]
    );
    assert!(
        replies(MONITOR.1, |reply| reply.ok)
            .iter()
            .all(|ok| *ok == Some(true))
    );
}

#[test]
fn in_pieces_of_any_size() {
    let plain = [PLAIN, MONITOR];
    for (asked, answered) in plain
        .into_iter()
        .chain(COMPRESSED.map(|(_, asked, answered)| (asked, answered)))
    {
        for (stream, decode) in [
            (asked, replay::requests as fn(&[u8], &[usize]) -> _),
            (answered, replay::replies),
        ] {
            let whole = decode(stream, &[]);
            assert_eq!(whole.malformed, None);
            for size in [1, 2, 7, 16, 61, 333, 1448, 4096] {
                assert_eq!(decode(stream, &[size]).messages, whole.messages);
            }
        }
    }
}
