//! Opcodes of old clients, and of handshakes.

use crate::build::*;
use crate::samples::{legacy_query, legacy_reply};
use bson::doc;
use narrows_parsers::mongo::{Malformed, Opcode, QueryClass, ReplyDecoder, RequestDecoder, Step};

#[test]
fn a_command_on_the_command_collection() {
    let hello =
        doc! { "isMaster": 1, "client": { "driver": { "name": "nodejs" } }, "$comment": "x" };
    request(&legacy_query("admin.$cmd", 0, &hello), |request| {
        assert_eq!(
            (request.command, request.database),
            (b"isMaster".as_slice(), b"admin".as_slice())
        );
        assert_eq!(request.collection, b"");
        assert_eq!(request.hello.unwrap().driver, b"nodejs");
        assert_eq!(request.query_class, None);
    });
    let wrapped = doc! { "$query": { "count": "carts", "query": { "_id": 1 } }, "$readPreference": { "mode": "nearest" } };
    request(&legacy_query("orders.$cmd", 0, &wrapped), |request| {
        assert_eq!(
            (request.command, request.collection),
            (b"count".as_slice(), b"carts".as_slice())
        );
        assert_eq!(request.query_class, Some(QueryClass::ById));
        assert_eq!(request.read_preference, Some(b"nearest".as_slice()));
    });
}

#[test]
fn a_query() {
    let flags = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6;
    let wrapped =
        doc! { "$query": { "_id": { "$in": [1] } }, "$comment": "old.find", "$maxTimeMS": 5 };
    request(
        &legacy_query("orders.carts.old", flags, &wrapped),
        |request| {
            assert_eq!(
                (request.opcode, request.command),
                (Opcode::Query, b"find".as_slice())
            );
            assert_eq!(
                (request.database, request.collection),
                (b"orders".as_slice(), b"carts.old".as_slice())
            );
            assert!(
                request.tailable
                    && request.no_cursor_timeout
                    && request.await_data
                    && request.exhaust_allowed
            );
            assert_eq!(request.call_site, Some(b"old.find".as_slice()));
            assert_eq!(
                (request.query_class, request.max_time_ms),
                (Some(QueryClass::Several), Some(5))
            );
            assert!(!request.more_to_come);
        },
    );
    let plain = |query| {
        request(&legacy_query("a.b", 0, &query), |request| {
            request.query_class
        })
    };
    assert_eq!(plain(doc! { "_id": 1 }), Some(QueryClass::ById));
    assert_eq!(plain(doc! { "x": 1 }), Some(QueryClass::Scatter));
    assert_eq!(
        plain(doc! { "query": { "_id": 1 }, "orderby": { "x": 1 } }),
        Some(QueryClass::ById)
    );
    // A field of that name that is not the wrapper.
    assert_eq!(
        plain(doc! { "query": 1, "_id": [1] }),
        Some(QueryClass::Several)
    );
}

#[test]
fn writes_are_not_answered() {
    let documents = [doc! { "a": 1 }, doc! { "b": 1 }, doc! {}];
    let name = cstring("orders.items");
    let insert = [
        int32(0),
        name.clone(),
        documents.iter().flat_map(bytes).collect(),
    ]
    .concat();
    let update = [
        int32(0),
        name.clone(),
        int32(0),
        bytes(&documents[0]),
        bytes(&documents[1]),
    ]
    .concat();
    let delete = [int32(0), name, int32(0), bytes(&documents[0])].concat();
    for (opcode, body, command, count) in [
        (OP_INSERT, insert, "insert", 3),
        (OP_UPDATE, update, "update", 1),
        (OP_DELETE, delete, "delete", 1),
    ] {
        request(&message(opcode, &body), |request| {
            assert_eq!(request.command, command.as_bytes());
            assert_eq!(
                (request.database, request.collection),
                (b"orders".as_slice(), b"items".as_slice())
            );
            assert_eq!((request.documents, request.more_to_come), (count, true));
        });
    }
}

#[test]
fn cursors() {
    let more = [int32(0), cstring("orders.carts"), int32(10), int64(77)].concat();
    request(&message(OP_GET_MORE, &more), |request| {
        assert_eq!(
            (request.command, request.collection),
            (b"getMore".as_slice(), b"carts".as_slice())
        );
        assert_eq!(
            (request.cursor_id, request.batch_size, request.more_to_come),
            (Some(77), Some(10), false)
        );
    });
    let kill = [int32(0), int32(2), int64(1), int64(2)].concat();
    request(&message(OP_KILL_CURSORS, &kill), |request| {
        assert_eq!(
            (request.command, request.documents, request.more_to_come),
            (b"killCursors".as_slice(), 2, true)
        );
    });
    for count in [1, 3, -1, i32::MAX] {
        let kill = [int32(0), int32(count), int64(1), int64(2)].concat();
        let message = message(OP_KILL_CURSORS, &kill);
        assert_eq!(
            RequestDecoder::new().advance(&message),
            Step::Malformed(Malformed::Count)
        );
    }
}

#[test]
fn commands_between_servers_and_unknown_opcodes() {
    let between = [
        cstring("orders"),
        cstring("ping"),
        bytes(&doc! {}),
        bytes(&doc! {}),
    ]
    .concat();
    request(&message(OP_COMMAND, &between), |request| {
        assert_eq!(
            (request.opcode, request.command),
            (Opcode::Command, b"ping".as_slice())
        );
        assert_eq!(request.database, b"orders");
    });
    request(&message(4711, b"whatever"), |request| {
        assert_eq!(
            (request.opcode, request.opcode.label()),
            (Opcode::Unknown(4711), "op_unknown")
        );
        assert_eq!(
            (request.command, request.header.length),
            (b"".as_slice(), 24)
        );
    });
    reply(&message(4711, b""), |reply| {
        assert_eq!(reply.opcode, Opcode::Unknown(4711))
    });
}

#[test]
fn a_reply() {
    let hello = doc! { "ismaster": true, "ok": 1.0 };
    reply(&legacy_reply(8, 0, &[hello]), |reply| {
        assert_eq!(
            (reply.opcode, reply.ok, reply.documents),
            (Opcode::Reply, Some(true), Some(1))
        );
        assert_eq!(
            (reply.cursor_id, reply.cursor_not_found, reply.query_failure),
            (Some(0), false, false)
        );
    });
    reply(&legacy_reply(0, 9, &[doc! { "ok": 0 }, doc! {}]), |reply| {
        assert_eq!(
            (reply.cursor_id, reply.documents, reply.ok),
            (Some(9), Some(2), None)
        );
    });
    reply(
        &legacy_reply(2, 0, &[doc! { "$err": "x", "code": 96 }]),
        |reply| {
            assert_eq!(
                (reply.query_failure, reply.cursor_not_found, reply.code),
                (true, false, Some(96))
            );
        },
    );
    reply(&legacy_reply(1, 0, &[]), |reply| {
        assert_eq!((reply.cursor_not_found, reply.documents), (true, Some(0)))
    });
    for count in [1, -1, i32::MAX] {
        let head = [int32(0), int64(0), int32(0), int32(count)].concat();
        let message = message(OP_REPLY, &head);
        assert_eq!(
            ReplyDecoder::new().advance(&message),
            Step::Malformed(Malformed::Count)
        );
    }
}
