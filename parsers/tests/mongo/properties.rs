//! Properties, with the `bson` crate as oracle.

use crate::build::*;
use crate::samples;
use bson::{Bson, Document, RawDocument, RawDocumentBuf};
use narrows_parsers::replay;
use proptest::collection::vec;
use proptest::prelude::*;

/// A value of any type, nested a little.
fn value() -> impl Strategy<Value = Bson> {
    let leaf = prop_oneof![
        any::<i32>().prop_map(Bson::Int32),
        any::<i64>().prop_map(Bson::Int64),
        any::<f64>().prop_map(Bson::Double),
        any::<bool>().prop_map(Bson::Boolean),
        ".{0,40}".prop_map(Bson::String),
        vec(any::<u8>(), 0..30).prop_map(|bytes| Bson::Binary(bson::Binary {
            subtype: bson::spec::BinarySubtype::Generic,
            bytes
        })),
        any::<[u8; 12]>().prop_map(|bytes| Bson::ObjectId(bson::oid::ObjectId::from_bytes(bytes))),
        Just(Bson::Null),
        prop::sample::select(
            samples::every_type()
                .into_iter()
                .map(|(_, value)| value)
                .collect::<Vec<_>>()
        ),
    ];
    leaf.prop_recursive(4, 20, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Bson::Array),
            vec((name(), inner), 0..5)
                .prop_map(|fields| Bson::Document(fields.into_iter().collect())),
        ]
    })
}

const KNOWN: &[&str] = &[
    "find",
    "insert",
    "update",
    "getMore",
    "killCursors",
    "aggregate",
    "count",
    "hello",
    "explain",
    "$db",
    "collection",
    "comment",
    "$comment",
    "lsid",
    "id",
    "txnNumber",
    "startTransaction",
    "autocommit",
    "batchSize",
    "maxTimeMS",
    "$readPreference",
    "mode",
    "filter",
    "query",
    "_id",
    "pipeline",
    "$match",
    "$changeStream",
    "cursor",
    "cursors",
    "documents",
    "client",
    "application",
    "driver",
    "name",
    "version",
    "callingFunction",
    "text",
    "traceparent",
    "ok",
    "code",
    "codeName",
    "errorLabels",
    "writeErrors",
    "writeConcernError",
    "n",
    "nModified",
    "firstBatch",
    "nextBatch",
    "ns",
    "cursorsKilled",
];

/// A name that means something as often as not.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(KNOWN).prop_map(String::from),
        "[a-z$_.]{1,12}"
    ]
}

fn document() -> impl Strategy<Value = Document> {
    vec((name(), value()), 0..10).prop_map(|fields| fields.into_iter().collect())
}

/// What `bson` reads of the first field of a name that is not the command.
fn oracle<'d>(raw: &'d RawDocument, name: &str) -> Option<bson::RawBsonRef<'d>> {
    let fields = raw.iter().skip(1).map(|field| field.unwrap());
    fields
        .into_iter()
        .find(|(key, _)| key.as_str() == name)
        .map(|(_, value)| value)
}

fn number(value: bson::RawBsonRef<'_>) -> Option<i64> {
    match value {
        bson::RawBsonRef::Int32(value) => Some(value.into()),
        bson::RawBsonRef::Int64(value) => Some(value),
        bson::RawBsonRef::Double(value) => Some(value as i64),
        bson::RawBsonRef::Boolean(value) => Some(value.into()),
        _ => None,
    }
}

fn clipped(text: &str, limit: usize) -> &[u8] {
    &text.as_bytes()[..text.len().min(limit)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_request_is_read_as_bson_reads_it(document in document(), batch in vec(document(), 0..4), cut in 0..500usize) {
        let raw = RawDocumentBuf::try_from(&document).unwrap();
        let message = op_msg(0, &[body(&document), sequence("documents", &batch)]);
        request(&message, |request| {
            let command = raw.iter().next().map(|field| field.unwrap().0.as_str()).unwrap_or_default();
            assert_eq!(request.command, clipped(command, 48));
            let database = oracle(&raw, "$db").and_then(|value| value.as_str()).unwrap_or_default();
            assert_eq!(request.database, clipped(database, 255));
            assert_eq!(request.txn_number, oracle(&raw, "txnNumber").and_then(number));
            assert_eq!(request.autocommit, oracle(&raw, "autocommit").and_then(number_of_truth));
            assert!(request.documents as usize >= batch.len());
            if command == "find" {
                assert_eq!(request.batch_size, oracle(&raw, "batchSize").and_then(number));
            }
            let mode = oracle(&raw, "$readPreference").and_then(|value| value.as_document());
            let mode = mode.and_then(|document| document.get("mode").unwrap()).and_then(|value| value.as_str());
            assert_eq!(request.read_preference, mode.map(|mode| clipped(mode, 32)));
        });
        let whole = replay::requests(&message, &[]);
        let pieces = replay::requests(&message, &[cut + 1]);
        prop_assert_eq!(whole.messages, pieces.messages);
    }

    #[test]
    fn a_reply_is_read_as_bson_reads_it(document in document(), cut in 0..500usize) {
        // A first field of another name: a reply has no command.
        let mut padded = bson::doc! { "first": 1 };
        padded.extend(document);
        let raw = RawDocumentBuf::try_from(&padded).unwrap();
        let message = command(&padded);
        reply(&message, |reply| {
            assert_eq!(reply.ok, oracle(&raw, "ok").and_then(number_of_truth));
            assert_eq!(reply.n, oracle(&raw, "n").and_then(number));
            assert_eq!(reply.n_modified, oracle(&raw, "nModified").and_then(number));
            let code_name = oracle(&raw, "codeName").and_then(|value| value.as_str()).unwrap_or_default();
            assert_eq!(reply.code_name, clipped(code_name, 96));
            let errors = oracle(&raw, "writeErrors").and_then(|value| value.as_array());
            let nested = oracle(&raw, "writeErrors").and_then(|value| value.as_document());
            let errors = errors.map(|array| array.into_iter().count()).or(nested.map(|document| document.iter().count()));
            assert_eq!(reply.write_errors as usize, errors.unwrap_or(0));
            let cursor = oracle(&raw, "cursor").and_then(|value| value.as_document());
            let id = cursor.and_then(|cursor| cursor.get("id").unwrap()).and_then(number);
            assert_eq!(reply.cursor_id, id);
        });
        let whole = replay::replies(&message, &[]);
        let pieces = replay::replies(&message, &[cut + 1]);
        prop_assert_eq!(whole.messages, pieces.messages);
    }

    #[test]
    fn any_bytes_do_no_harm(data in vec(any::<u8>(), 0..300)) {
        replay::check_requests(&data).unwrap();
        replay::check_replies(&data).unwrap();
    }

    #[test]
    fn any_body_of_any_opcode_does_no_harm(
        opcode in prop::sample::select(&[OP_REPLY, OP_UPDATE, OP_INSERT, OP_QUERY, OP_GET_MORE, OP_DELETE, OP_KILL_CURSORS, OP_COMMAND, OP_COMPRESSED, OP_MSG][..]),
        sizes in vec(any::<u8>(), 3),
        head in vec(0u8..4, 0..12),
        rest in vec(any::<u8>(), 0..200),
    ) {
        let message = message(opcode, &[head, rest].concat());
        let data = [&[3], sizes.as_slice(), &message, &message].concat();
        replay::check_requests(&data).unwrap();
        replay::check_replies(&data).unwrap();
    }

    #[test]
    fn mutated_samples_do_no_harm(
        stream in prop::sample::subsequence([samples::requests(), samples::replies()].concat(), 1..4),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        sizes in vec(any::<u8>(), 5),
    ) {
        let mut stream = stream.concat();
        for (at, byte) in changes {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        // A byte at a time as well: the short way over what is whole says what the long one says, of what is malformed too.
        for sizes in [sizes.as_slice(), &[0]] {
            let data = [&[sizes.len() as u8], sizes, &stream].concat();
            replay::check_requests(&data).unwrap();
            replay::check_replies(&data).unwrap();
        }
    }

    #[test]
    fn what_is_compressed_inflates_to_the_same(document in document(), text in "[ab]{0,3000}") {
        let mut document = document;
        document.insert("padding", text);
        let plain = command(&document);
        for compressor in [NOOP, SNAPPY, ZLIB, ZSTD] {
            request(&plain, |plain_request| {
                request(&compressed(compressor, &plain), |packed| {
                    let unpacked = narrows_parsers::mongo::Request { header: plain_request.header, compression: None, ..packed.clone() };
                    assert_eq!(format!("{unpacked:?}"), format!("{plain_request:?}"));
                });
            });
        }
    }
}

fn number_of_truth(value: bson::RawBsonRef<'_>) -> Option<bool> {
    match value {
        bson::RawBsonRef::Double(value) => Some(value != 0.0),
        other => number(other).map(|value| value != 0),
    }
}
