//! What is reported of an `OP_MSG` reply.

use crate::build::*;
use crate::samples;
use bson::doc;

#[test]
fn a_cursor() {
    reply(&command(&samples::cursor_reply(101)), |reply| {
        assert_eq!((reply.header.request_id, reply.header.response_to), (7, 5));
        assert_eq!(
            (reply.ok, reply.code, reply.documents),
            (Some(true), None, Some(101))
        );
        assert_eq!(
            (reply.cursor_id, reply.namespace),
            (Some(987_654_321_098), b"orders.carts".as_slice())
        );
        assert!(!reply.more_to_come && !reply.cursor_not_found && reply.labels.is_empty());
    });
    let next = doc! { "cursor": { "id": 0i64, "nextBatch": [{}, {}], "ns": "a.b.c" }, "ok": 1 };
    reply(&op_msg(MORE_TO_COME, &[body(&next)]), |reply| {
        assert_eq!(
            (reply.cursor_id, reply.documents, reply.more_to_come),
            (Some(0), Some(2), true)
        );
        assert_eq!(reply.namespace, b"a.b.c");
    });
    let empty = doc! { "cursor": { "id": 0i64, "firstBatch": [] }, "ok": 1 };
    reply(&command(&empty), |reply| {
        assert_eq!(reply.documents, Some(0))
    });
    reply(&command(&doc! { "ok": 1 }), |reply| {
        assert_eq!((reply.documents, reply.cursor_id), (None, None))
    });
}

#[test]
fn ok_of_every_type() {
    for (value, ok) in [
        (bson::bson!(1), Some(true)),
        (bson::bson!(1i64), Some(true)),
        (bson::bson!(1.0), Some(true)),
        (bson::bson!(true), Some(true)),
        (bson::bson!(0), Some(false)),
        (bson::bson!(0i64), Some(false)),
        (bson::bson!(0.0), Some(false)),
        (bson::bson!(false), Some(false)),
        (bson::bson!("1"), None),
    ] {
        reply(&command(&doc! { "ok": value.clone() }), |reply| {
            assert_eq!(reply.ok, ok, "{value}")
        });
    }
}

#[test]
fn an_error() {
    reply(&command(&samples::error_reply()), |reply| {
        assert_eq!((reply.ok, reply.code), (Some(false), Some(10107)));
        assert_eq!(reply.code_name, b"NotWritablePrimary");
        assert!(reply.labels.transient_transaction() && reply.labels.retryable_write());
        assert!(!reply.labels.network() && !reply.labels.system_overloaded());
        let names: Vec<_> = reply.labels.names().collect();
        assert_eq!(names, ["TransientTransactionError", "RetryableWriteError"]);
    });
    reply(&command(&doc! { "ok": 0, "code": 43 }), |reply| {
        assert!(reply.cursor_not_found)
    });
}

#[test]
fn every_label_has_its_bit() {
    type Has = fn(narrows_parsers::mongo::ErrorLabels) -> bool;
    let labels: [(&str, Has); 9] = [
        ("TransientTransactionError", |labels| {
            labels.transient_transaction()
        }),
        ("UnknownTransactionCommitResult", |labels| {
            labels.unknown_transaction_commit_result()
        }),
        ("RetryableWriteError", |labels| labels.retryable_write()),
        ("RetryableError", |labels| labels.retryable()),
        ("SystemOverloadedError", |labels| labels.system_overloaded()),
        ("NoWritesPerformed", |labels| labels.no_writes_performed()),
        ("ResumableChangeStreamError", |labels| {
            labels.resumable_change_stream()
        }),
        ("NetworkError", |labels| labels.network()),
        ("NonResumableChangeStreamError", |labels| {
            labels.non_resumable_change_stream()
        }),
    ];
    for (name, _) in labels {
        reply(
            &command(&doc! { "errorLabels": [name], "ok": 0 }),
            |reply| {
                let set: Vec<_> = labels
                    .iter()
                    .filter(|(_, has)| has(reply.labels))
                    .map(|(name, _)| *name)
                    .collect();
                assert_eq!(set, [name]);
            },
        );
    }
}

#[test]
fn writes() {
    reply(&command(&samples::write_error_reply()), |reply| {
        assert_eq!((reply.n, reply.n_modified), (Some(3), Some(2)));
        assert_eq!(
            (reply.write_errors, reply.first_write_error),
            (2, Some(11000))
        );
        assert_eq!((reply.write_concern_error, reply.code), (Some(64), None));
        assert_eq!(reply.code_name, b"");
    });
    let killed = doc! { "cursorsKilled": [1i64, 2i64, 3i64], "cursorsNotFound": [4i64], "ok": 1 };
    reply(&command(&killed), |reply| {
        assert_eq!(reply.cursors_killed, Some(3))
    });
}

#[test]
fn fields_of_returned_documents_are_not_the_reply() {
    let batch = doc! { "ok": 0, "code": 1, "n": 5, "cursor": { "id": 1i64 } };
    reply(
        &command(&doc! { "cursor": { "firstBatch": [batch], "id": 0i64, "ns": "a.b" }, "ok": 1 }),
        |reply| {
            assert_eq!(
                (reply.ok, reply.code, reply.n, reply.cursor_id),
                (Some(true), None, None, Some(0))
            );
        },
    );
}
