//! The largest messages there are pass through without being held.

use crate::build::*;
use bson::{Document, doc};
use narrows_parsers::mongo::{ReplyDecoder, RequestDecoder, Step};

const LARGEST: usize = 48_000_000;
const PIECE: usize = 64 * 1024;
const HELD: usize = 1024;

fn documents(size: usize) -> Vec<Document> {
    (0..size / 1_000_000 - 1)
        .map(|id| doc! { "_id": id as i32, "text": "x".repeat(1_000_000) })
        .collect()
}

#[test]
fn an_insert_of_48_million_bytes() {
    let head = doc! { "insert": "items", "$db": "orders", "comment": "bulk.load" };
    let documents = documents(LARGEST);
    for message in [
        op_msg(0, &[body(&head), sequence("documents", &documents)]),
        op_msg(0, &[sequence("documents", &documents), body(&head)]),
    ] {
        assert!(message.len() > LARGEST - 2_000_000);
        let mut decoder = RequestDecoder::new();
        let mut last = None;
        for piece in message.chunks(PIECE) {
            match decoder.advance(piece) {
                Step::NeedMore => {}
                Step::Message { consumed, message } => {
                    assert_eq!(
                        (message.command, message.call_site),
                        (b"insert".as_slice(), Some(b"bulk.load".as_slice()))
                    );
                    last = Some((consumed, message.documents));
                }
                Step::Malformed(reason) => panic!("{reason}"),
            }
            assert!(
                decoder.retained_bytes() <= HELD,
                "{}",
                decoder.retained_bytes()
            );
        }
        assert_eq!(last, Some((message.len() % PIECE, 47)));
    }
}

#[test]
fn a_reply_of_48_million_bytes() {
    let reply = doc! { "cursor": { "firstBatch": documents(LARGEST), "id": 1i64, "ns": "orders.items" }, "ok": 1 };
    let message = command(&reply);
    let mut decoder = ReplyDecoder::new();
    let mut last = None;
    for piece in message.chunks(PIECE) {
        match decoder.advance(piece) {
            Step::NeedMore => {}
            Step::Message { message, .. } => {
                last = Some((message.ok, message.documents, message.namespace.to_vec()))
            }
            Step::Malformed(reason) => panic!("{reason}"),
        }
        assert!(
            decoder.retained_bytes() <= HELD,
            "{}",
            decoder.retained_bytes()
        );
    }
    assert_eq!(last, Some((Some(true), Some(47), b"orders.items".to_vec())));
}
