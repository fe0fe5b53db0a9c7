//! What is reported of an `OP_MSG` request.

use crate::build::*;
use crate::samples::{self, PARENT, with_session};
use bson::{Document, doc};
use narrows_parsers::mongo::{Opcode, QueryClass, ReplyDecoder, RequestDecoder};

#[test]
fn a_find() {
    request(&command(&samples::find()), |request| {
        assert_eq!(
            (request.header.request_id, request.header.response_to),
            (7, 5)
        );
        assert_eq!(
            (request.header.opcode, request.opcode),
            (Opcode::Msg, Opcode::Msg)
        );
        assert_eq!(request.command, b"find");
        assert_eq!(request.database, b"orders");
        assert_eq!(request.collection, b"carts");
        assert_eq!(request.call_site, Some(b"checkout.load_cart".as_slice()));
        assert_eq!(request.trace_parent, None);
        assert_eq!(request.lsid, Some(std::array::from_fn(|at| at as u8 + 1)));
        assert_eq!(
            request.read_preference,
            Some(b"secondaryPreferred".as_slice())
        );
        assert_eq!(
            (request.max_time_ms, request.batch_size),
            (Some(2000), Some(50))
        );
        assert_eq!(request.query_class, Some(QueryClass::ById));
        assert_eq!(
            (
                request.txn_number,
                request.autocommit,
                request.start_transaction
            ),
            (None, None, false)
        );
        assert_eq!(
            (request.compression, request.hello, request.cursor_id),
            (None, None, None)
        );
        assert!(!request.more_to_come && !request.exhaust_allowed && !request.checksum_present);
        assert!(!request.sensitive && !request.incomplete);
    });
}

#[test]
fn flags_of_a_find() {
    let find = doc! { "find": "log", "tailable": true, "awaitData": 1, "noCursorTimeout": 1.0, "$db": "local" };
    request(&command(&find), |request| {
        assert!(request.tailable && request.await_data && request.no_cursor_timeout)
    });
    request(
        &command(&doc! { "find": "log", "tailable": false }),
        |request| {
            assert!(!request.tailable && !request.await_data && !request.no_cursor_timeout);
        },
    );
    request(
        &op_msg(CHECKSUM | MORE_TO_COME | EXHAUST | 1 << 20, &[body(&find)]),
        |request| {
            assert!(request.checksum_present && request.more_to_come && request.exhaust_allowed);
        },
    );
}

#[test]
fn sections_may_come_in_any_order() {
    let documents: Vec<Document> = (0..7).map(|id| doc! { "_id": id }).collect();
    let insert = body(&with_session(doc! { "insert": "items" }));
    let trace = trace(&doc! { "other": 1, "otel": { "x": "y", "traceparent": PARENT } });
    let token = [&[2], cstring("token").as_slice()].concat();
    let batch = sequence("documents", &documents);
    for sections in [
        [&insert, &batch, &trace, &token],
        [&token, &trace, &batch, &insert],
        [&batch, &insert, &token, &trace],
    ] {
        request(&op_msg(0, &sections.map(Clone::clone)), |request| {
            assert_eq!(
                (request.command, request.collection, request.documents),
                (b"insert".as_slice(), b"items".as_slice(), 7)
            );
            assert_eq!(request.trace_parent, Some(PARENT.as_bytes()));
        });
    }
}

#[test]
fn documents_are_counted() {
    let three = [doc! { "q": {} }, doc! { "q": {} }, doc! { "q": {} }];
    for (command, batch) in [
        ("insert", "documents"),
        ("update", "updates"),
        ("delete", "deletes"),
        ("bulkWrite", "ops"),
    ] {
        let mut inside = doc! { command: "items" };
        inside.insert(batch, three.to_vec());
        request(&op_msg(0, &[body(&inside)]), |request| {
            assert_eq!(request.documents, 3)
        });
        let outside = op_msg(
            0,
            &[
                body(&doc! { command: "items" }),
                sequence(batch, &three),
                sequence("nsInfo", &three),
            ],
        );
        request(&outside, |request| assert_eq!(request.documents, 3));
    }
    let other = doc! { "find": "items", "documents": [1, 2] };
    request(&command(&other), |request| assert_eq!(request.documents, 0));
    request(
        &command(&doc! { "killCursors": "c", "cursors": [1i64, 2i64] }),
        |request| {
            assert_eq!(
                (request.documents, request.collection, request.cursor_id),
                (2, b"c".as_slice(), Some(1))
            );
        },
    );
}

#[test]
fn transactions_and_cursors() {
    let first = doc! { "insert": "items", "txnNumber": 9i64, "startTransaction": true, "autocommit": false };
    request(&command(&first), |request| {
        assert_eq!(
            (
                request.txn_number,
                request.autocommit,
                request.start_transaction
            ),
            (Some(9), Some(false), true)
        );
    });
    let more = doc! { "getMore": 1i64 << 40, "collection": "carts", "batchSize": 7i64, "maxTimeMS": 50i64, "$db": "d" };
    request(&command(&more), |request| {
        assert_eq!(
            (request.cursor_id, request.collection),
            (Some(1 << 40), b"carts".as_slice())
        );
        assert_eq!(
            (request.batch_size, request.max_time_ms),
            (Some(7), Some(50))
        );
    });
}

#[test]
fn aggregates() {
    let stream = doc! { "aggregate": "carts", "pipeline": [{ "$changeStream": {} }, { "$match": {} }], "cursor": { "batchSize": 4 } };
    request(&command(&stream), |request| {
        assert_eq!((request.change_stream, request.batch_size), (true, Some(4)));
        assert_eq!(request.query_class, None);
    });
    let late = doc! { "aggregate": 1, "pipeline": [{ "$match": { "$comment": "in.match" } }, { "$changeStream": {} }] };
    request(&command(&late), |request| {
        assert_eq!(
            (request.change_stream, request.collection),
            (false, b"".as_slice())
        );
        assert_eq!(request.call_site, Some(b"in.match".as_slice()));
    });
}

#[test]
fn a_hello_says_who_the_client_is() {
    for name in ["hello", "isMaster", "ismaster"] {
        let mut hello = samples::hello();
        hello.remove("hello");
        let mut named = doc! { name: 1 };
        named.extend(hello);
        request(&command(&named), |request| {
            let hello = request.hello.unwrap();
            assert_eq!(hello.application, b"checkout");
            assert_eq!(
                (hello.driver, hello.driver_version),
                (b"PyMongo|c".as_slice(), b"4.18.2".as_slice())
            );
            assert_eq!(
                (hello.load_balanced, hello.awaitable, request.sensitive),
                (true, false, false)
            );
        });
    }
    let waiting =
        doc! { "hello": 1, "topologyVersion": { "counter": 1i64 }, "maxAwaitTimeMS": 10_000 };
    request(&command(&waiting), |request| {
        assert!(request.hello.unwrap().awaitable)
    });
    let long = doc! { "hello": 1, "client": { "application": { "name": "a".repeat(300) } } };
    request(&command(&long), |request| {
        assert_eq!(request.hello.unwrap().application.len(), 128)
    });
    // The same fields mean nothing in another command.
    request(
        &command(&doc! { "ping": 1, "maxAwaitTimeMS": 1 }),
        |request| assert_eq!(request.hello, None),
    );
}

#[test]
fn what_carries_secrets_is_marked() {
    for name in [
        "authenticate",
        "saslStart",
        "saslContinue",
        "getnonce",
        "createUser",
        "updateUser",
        "copydb",
        "copydbgetnonce",
        "copydbsaslstart",
    ] {
        let secret =
            doc! { name: "planted", "payload": "planted", "pwd": "planted", "$db": "admin" };
        request(&command(&secret), |request| {
            assert!(request.sensitive, "{name}");
            assert!(
                !format!("{request:?}")
                    .contains(&format!("{:?}", b"planted").replace(['[', ']'], "")),
                "{name}"
            );
        });
    }
    let speculative = doc! { "hello": 1, "speculativeAuthenticate": { "saslStart": 1 } };
    request(&command(&speculative), |request| assert!(request.sensitive));
    request(&command(&doc! { "find": "saslStart" }), |request| {
        assert!(!request.sensitive)
    });
}

#[test]
fn only_a_collection_is_taken_for_one() {
    for (named, collection) in [
        (doc! { "listIndexes": "carts" }, "carts"),
        (doc! { "findAndModify": "carts" }, "carts"),
        (
            doc! { "explain": { "aggregate": "carts", "pipeline": [] } },
            "carts",
        ),
        (doc! { "explain": { "ping": "carts" } }, ""),
        (doc! { "aggregate": 1 }, ""),
        (doc! { "ping": 1 }, ""),
        (doc! { "dropUser": "alice" }, ""),
        (doc! { "getLog": "global" }, ""),
        (doc! {}, ""),
    ] {
        request(&command(&named), |request| {
            assert_eq!(request.collection, collection.as_bytes(), "{named}")
        });
    }
    request(&command(&doc! {}), |request| {
        assert_eq!(request.command, b"")
    });
}

#[test]
fn query_classes() {
    use QueryClass::{ById, Scatter, Several};
    let id = bson::oid::ObjectId::from_bytes([9; 12]);
    let regex = bson::Regex {
        pattern: bson::cstr!("^a").to_owned(),
        options: bson::cstr!("").to_owned(),
    };
    for (filter, class) in [
        (doc! { "_id": 1 }, ById),
        (doc! { "a": { "_id": [1] }, "_id": id }, ById),
        (doc! { "_id": { "$eq": "x" } }, ById),
        (doc! { "_id": { "$in": [1] } }, Several),
        (doc! { "_id": { "$eq": 1, "$gt": 0 } }, Several),
        (doc! { "_id": [1, 2] }, Several),
        (doc! { "_id": {} }, Several),
        (doc! { "_id": regex }, Several),
        (doc! { "state": "open", "$or": [{ "_id": 1 }] }, Scatter),
        (doc! {}, Scatter),
    ] {
        for named in [
            doc! { "find": "c", "filter": filter.clone() },
            doc! { "count": "c", "query": filter.clone() },
            doc! { "distinct": "c", "key": "k", "query": filter.clone() },
            doc! { "findAndModify": "c", "query": filter.clone() },
        ] {
            request(&command(&named), |request| {
                assert_eq!(request.query_class, Some(class), "{named}")
            });
        }
    }
    request(&command(&doc! { "find": "c" }), |request| {
        assert_eq!(request.query_class, Some(Scatter))
    });
    for named in [
        doc! { "count": "c" },
        doc! { "listCollections": 1, "filter": {} },
        doc! { "aggregate": "c" },
    ] {
        request(&command(&named), |request| {
            assert_eq!(request.query_class, None, "{named}")
        });
    }
}

fn call_site(named: &Document) -> Option<String> {
    request(&command(named), |request| {
        request
            .call_site
            .map(|site| String::from_utf8(site.to_vec()).unwrap())
    })
}

#[test]
fn comments_name_the_call_site() {
    let site = |comment: bson::Bson| call_site(&doc! { "insert": "c", "comment": comment });
    assert_eq!(site("cart.load".into()).as_deref(), Some("cart.load"));
    assert_eq!(
        site(r#"{"callingFunction":"cart.\u006coad"}"#.into()).as_deref(),
        Some("cart.load")
    );
    assert_eq!(site(r#"{"function":"cart.load"}"#.into()), None);
    assert_eq!(
        site(doc! { "text": "text", "callingFunction": "function" }.into()).as_deref(),
        Some("function")
    );
    assert_eq!(
        site(doc! { "text": "text" }.into()).as_deref(),
        Some("text")
    );
    assert_eq!(
        site(doc! { "callingFunction": "", "text": "text" }.into()).as_deref(),
        Some("text")
    );
    assert_eq!(site(doc! { "other": "x" }.into()), None);
    for other in [
        bson::Bson::Int32(1),
        bson::bson!(["a"]),
        bson::Bson::Null,
        "".into(),
    ] {
        assert_eq!(site(other), None);
    }
    assert_eq!(site("x".repeat(5000).into()).unwrap().len(), 256);
}

#[test]
fn comments_in_filters_come_second() {
    let filter = doc! { "$comment": "in.filter" };
    assert_eq!(
        call_site(&doc! { "find": "c", "filter": filter.clone() }).as_deref(),
        Some("in.filter")
    );
    assert_eq!(
        call_site(&doc! { "count": "c", "query": filter.clone() }).as_deref(),
        Some("in.filter")
    );
    assert_eq!(
        call_site(&doc! { "find": "c", "filter": filter, "comment": "on.top" }).as_deref(),
        Some("on.top")
    );
}

#[test]
fn trace_contexts() {
    let other = PARENT.replace("01", "00").replace("4bf", "5bf");
    let found = |sections: &[Vec<u8>]| {
        request(&op_msg(0, sections), |request| {
            request
                .trace_parent
                .map(|parent| String::from_utf8(parent.to_vec()).unwrap())
        })
    };
    let section = trace(&doc! { "otel": { "traceparent": PARENT } });
    let string = body(&doc! { "ping": 1, "comment": format!("a, traceparent: {other}") });
    let document = body(&doc! { "ping": 1, "comment": { "traceparent": &other } });
    assert_eq!(
        found(&[section.clone(), string.clone()]).as_deref(),
        Some(PARENT)
    );
    assert_eq!(found(&[document.clone(), section]).as_deref(), Some(PARENT));
    assert_eq!(
        found(std::slice::from_ref(&string)).as_deref(),
        Some(other.as_str())
    );
    assert_eq!(found(&[document]).as_deref(), Some(other.as_str()));
    let long = trace(&doc! { "otel": { "traceparent": format!("{PARENT}0") } });
    assert_eq!(found(&[long.clone(), body(&doc! { "ping": 1 })]), None);
    assert_eq!(found(&[long, string]).as_deref(), Some(other.as_str()));
}

#[test]
fn the_first_of_a_repeated_field_counts() {
    let mut raw = bson::RawDocumentBuf::new();
    raw.append(bson::cstr!("ping"), 1);
    raw.append(bson::cstr!("comment"), "first");
    raw.append(bson::cstr!("comment"), "second");
    let message = op_msg(0, &[[&[0], raw.as_bytes()].concat()]);
    request(&message, |request| {
        assert_eq!(request.call_site, Some(b"first".as_slice()))
    });
}

#[test]
fn a_decoder_between_messages_is_small() {
    let sizes = [size_of::<RequestDecoder>(), size_of::<ReplyDecoder>()];
    assert!(sizes.iter().all(|size| *size <= 512), "{sizes:?}");
}
