//! One message of each form that drivers and servers send.

use crate::build::*;
use bson::{Bson, Document, doc, spec::BinarySubtype};

pub(crate) const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

pub(crate) fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

pub(crate) fn lsid() -> Document {
    doc! { "id": bson::Binary { subtype: BinarySubtype::Uuid, bytes: (1..=16).collect() } }
}

/// Fields that a driver puts behind those of the command.
pub(crate) fn with_session(mut command: Document) -> Document {
    command.insert("lsid", lsid());
    command.insert("$clusterTime", doc! {
        "clusterTime": bson::Timestamp { time: 1_700_000_000, increment: 3 },
        "signature": { "hash": bson::Binary { subtype: BinarySubtype::Generic, bytes: vec![0; 20] }, "keyId": 0i64 },
    });
    command.insert("$db", "orders");
    command
}

pub(crate) fn find() -> Document {
    with_session(doc! {
        "find": "carts", "filter": { "_id": 17, "state": { "$in": ["open", "paid"] } }, "limit": 1i64, "singleBatch": true,
        "comment": "checkout.load_cart", "$readPreference": { "mode": "secondaryPreferred" }, "maxTimeMS": 2000, "batchSize": 50,
    })
}

pub(crate) fn hello() -> Document {
    doc! {
        "hello": 1, "helloOk": true,
        "client": {
            "driver": { "name": "PyMongo|c", "version": "4.18.2" },
            "os": { "type": "Linux", "architecture": "x86_64" },
            "platform": "CPython 3.13", "application": { "name": "checkout" },
        },
        "compression": ["zstd", "zlib"], "loadBalanced": true, "$db": "admin",
    }
}

/// One element of each BSON type, including those that are deprecated.
pub(crate) fn every_type() -> Document {
    doc! {
        "double": 1.5, "string": "x", "document": { "a": { "b": [1, 2] } }, "array": [1, "2"],
        "binary": bson::Binary { subtype: BinarySubtype::BinaryOld, bytes: vec![1, 2, 3] }, "undefined": Bson::Undefined,
        "oid": bson::oid::ObjectId::from_bytes([1; 12]), "bool": true, "date": bson::DateTime::from_millis(1), "null": Bson::Null,
        "regex": bson::Regex { pattern: bson::cstr!("^a").to_owned(), options: bson::cstr!("i").to_owned() },
        "code": Bson::JavaScriptCode("x()".into()),
        "symbol": Bson::Symbol("s".into()),
        "scope": bson::JavaScriptCodeWithScope { code: "y()".into(), scope: doc! { "z": 1 } },
        "int32": 1, "timestamp": bson::Timestamp { time: 1, increment: 2 }, "int64": 2i64,
        "decimal": Bson::Decimal128(bson::Decimal128::from_bytes([1; 16])), "min": Bson::MinKey, "max": Bson::MaxKey,
    }
}

pub(crate) fn legacy_query(namespace: &str, flags: i32, query: &Document) -> Vec<u8> {
    let body = [
        int32(flags),
        cstring(namespace),
        int32(0),
        int32(-1),
        bytes(query),
    ];
    message(OP_QUERY, &body.concat())
}

pub(crate) fn legacy_reply(flags: i32, cursor: i64, documents: &[Document]) -> Vec<u8> {
    let head = [
        int32(flags),
        int64(cursor),
        int32(0),
        int32(documents.len() as i32),
    ];
    message(
        OP_REPLY,
        &[head.concat(), documents.iter().flat_map(bytes).collect()].concat(),
    )
}

pub(crate) fn requests() -> Vec<Vec<u8>> {
    let items: Vec<Document> = (0..5)
        .map(|id| doc! { "_id": id, "name": "x".repeat(id as usize) })
        .collect();
    let mut every = doc! { "aggregate": "carts", "pipeline": [{ "$match": { "$comment": "match.comment", "a": 1 } }], "cursor": { "batchSize": 3 } };
    every.extend(every_type());
    let messages = vec![
        command(&find()),
        command(&hello()),
        command(&with_session(every)),
        op_msg(
            CHECKSUM | EXHAUST,
            &[
                trace(&doc! { "otel": { "traceparent": PARENT } }),
                body(&with_session(
                    doc! { "getMore": 123_456_789_012i64, "collection": "carts", "batchSize": 5.0 },
                )),
            ],
        ),
        op_msg(
            0,
            &[
                sequence("documents", &items),
                body(&with_session(
                    doc! { "insert": "items", "ordered": true, "txnNumber": 1i64, "startTransaction": true, "autocommit": false },
                )),
            ],
        ),
        op_msg(
            MORE_TO_COME,
            &[body(&with_session(
                doc! { "update": "items", "updates": [{ "q": { "_id": 1 }, "u": { "$set": { "a": 1 } } }, { "q": {}, "u": {} }] },
            ))],
        ),
        op_msg(
            0,
            &[
                body(&with_session(doc! { "bulkWrite": 1 })),
                sequence("ops", &items),
                sequence("nsInfo", &[doc! { "ns": "orders.items" }]),
            ],
        ),
        command(&with_session(
            doc! { "killCursors": "carts", "cursors": [1i64, 2i64, 3i64] },
        )),
        command(&with_session(
            doc! { "count": "carts", "query": { "_id": { "$gt": 3 } }, "comment": { "callingFunction": "cart.count", "text": "no", "traceparent": PARENT } },
        )),
        command(&with_session(
            doc! { "aggregate": 1, "pipeline": [{ "$changeStream": {} }], "cursor": {}, "comment": format!("watch,traceparent='{PARENT}'") },
        )),
        command(&with_session(
            doc! { "explain": { "find": "carts", "filter": {} }, "verbosity": "queryPlanner", "comment": r#"{"callingFunction":"App\\Explain::run"}"# },
        )),
        command(
            &doc! { "saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": bson::Binary { subtype: BinarySubtype::Generic, bytes: b"n,,n=user,r=nonce".to_vec() }, "$db": "admin" },
        ),
        legacy_query(
            "admin.$cmd",
            0,
            &doc! { "isMaster": 1, "helloOk": true, "client": { "driver": { "name": "nodejs", "version": "7.9.0" } } },
        ),
        legacy_query(
            "admin.$cmd",
            4,
            &doc! { "$query": { "ping": 1 }, "$readPreference": { "mode": "nearest" } },
        ),
        legacy_query(
            "orders.carts.old",
            0b111_0010,
            &doc! { "$query": { "_id": { "$in": [1, 2] } }, "$comment": "old.find" },
        ),
        message(
            OP_GET_MORE,
            &[int32(0), cstring("orders.carts"), int32(10), int64(77)].concat(),
        ),
        message(
            OP_INSERT,
            &[
                int32(0),
                cstring("orders.items"),
                items.iter().flat_map(bytes).collect(),
            ]
            .concat(),
        ),
        message(
            OP_UPDATE,
            &[
                int32(0),
                cstring("orders.items"),
                int32(0),
                bytes(&doc! { "_id": 1 }),
                bytes(&doc! { "a": 1 }),
            ]
            .concat(),
        ),
        message(
            OP_DELETE,
            &[
                int32(0),
                cstring("orders.items"),
                int32(0),
                bytes(&doc! { "_id": 1 }),
            ]
            .concat(),
        ),
        message(
            OP_KILL_CURSORS,
            &[int32(0), int32(2), int64(1), int64(2)].concat(),
        ),
        message(
            OP_COMMAND,
            &[
                cstring("orders"),
                cstring("ping"),
                bytes(&doc! {}),
                bytes(&doc! { "ping": 1 }),
            ]
            .concat(),
        ),
        message(2014, b"anything"),
        message(2015, b""),
    ];
    with_compressed(messages)
}

pub(crate) fn cursor_reply(documents: i32) -> Document {
    let batch: Vec<Document> = (0..documents)
        .map(|id| doc! { "_id": id, "total": 12.5, "state": "open" })
        .collect();
    doc! { "cursor": { "firstBatch": batch, "id": 987_654_321_098i64, "ns": "orders.carts" }, "ok": 1.0 }
}

pub(crate) fn write_error_reply() -> Document {
    doc! {
        "n": 3, "nModified": 2i64,
        "writeErrors": [{ "index": 0, "code": 11000, "errmsg": "dup" }, { "index": 4, "code": 121 }],
        "writeConcernError": { "code": 64, "codeName": "WriteConcernTimeout", "errmsg": "timeout" }, "ok": 1,
    }
}

pub(crate) fn error_reply() -> Document {
    doc! {
        "errorLabels": ["TransientTransactionError", "Unheard", "RetryableWriteError"], "ok": 0.0, "errmsg": "node is not in primary",
        "code": 10107, "codeName": "NotWritablePrimary", "operationTime": bson::Timestamp { time: 1, increment: 1 },
    }
}

pub(crate) fn replies() -> Vec<Vec<u8>> {
    let mut every = every_type();
    every.insert("ok", true);
    let messages = vec![
        command(&cursor_reply(1)),
        command(&cursor_reply(11)),
        op_msg(
            MORE_TO_COME,
            &[body(
                &doc! { "cursor": { "id": 5i64, "ns": "a.b", "nextBatch": [] }, "ok": 1i64 },
            )],
        ),
        op_msg(CHECKSUM, &[body(&write_error_reply())]),
        command(&error_reply()),
        command(&every),
        command(
            &doc! { "cursorsKilled": [1i64, 2i64], "cursorsNotFound": [], "cursorsAlive": [], "cursorsUnknown": [], "ok": 1 },
        ),
        command(&doc! { "ok": 0, "code": 43, "codeName": "CursorNotFound" }),
        legacy_reply(
            8,
            0,
            &[doc! { "ismaster": true, "maxWireVersion": 25, "ok": 1.0 }],
        ),
        legacy_reply(0, 44, &[doc! { "a": 1 }, doc! { "b": 2 }]),
        legacy_reply(0b11, 0, &[doc! { "$err": "gone", "code": 43 }]),
        legacy_reply(1, 0, &[]),
        message(2011, &bytes(&doc! { "ok": 1 })),
        message(-5, b"?"),
    ];
    with_compressed(messages)
}

/// Each message plain, and the first few compressed in each way.
fn with_compressed(messages: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let packed: Vec<Vec<u8>> = messages
        .iter()
        .take(5)
        .flat_map(|plain| {
            [NOOP, SNAPPY, ZLIB, ZSTD].map(|compressor| compressed(compressor, plain))
        })
        .collect();
    [messages, packed].concat()
}
