//! The few bytes that a collapsing listener changes on their way through, each for a reason that is given here.

use bson::raw::{RawArrayBuf, RawBsonRef, RawDocument, RawDocumentBuf};
use bson::{RawBson, cstr};
use narrows_parsers::mongo::Header;

use super::wire::{self, HEADER_BYTES};

/// Flag bits of an `OP_MSG` (MongoDB `OP_MSG` specification).
const CHECKSUM_PRESENT: u32 = 1 << 0;
const EXHAUST_ALLOWED: u32 = 1 << 16;
const CHECKSUM_BYTES: usize = 4;

/// Where the flags stand.
const FLAGS: std::ops::Range<usize> = HEADER_BYTES..HEADER_BYTES + 4;

/// Codes by which a server says that it is no primary (any more), recovers or shuts down ("not writable primary" and "node is
/// recovering" errors of the server discovery and monitoring specification).
const STATE_CHANGES: [i32; 8] = [91, 189, 10058, 10107, 11600, 11602, 13435, 13436];

/// What takes their place: the code of a router whose server has gone. It is retried like them, but says nothing of the router itself.
const HOST_UNREACHABLE: (i32, &str) = (6, "HostUnreachable");

/// True for a code that is not passed on as it is.
pub(super) fn is_state_change(code: i32) -> bool {
    STATE_CHANGES.contains(&code)
}

/// Clears `exhaustAllowed` in a whole `OP_MSG`. "exhaustAllowed: the client is prepared for multiple replies [...] using the moreToCome
/// bit": the server may, but need not. Without it each batch is asked for, and no stream occupies a connection. A checksum is made
/// right again.
pub(super) fn without_exhaust(message: &mut [u8]) {
    let Some(flags) = flags(message) else { return };
    if flags & EXHAUST_ALLOWED == 0 {
        return;
    }
    if let Some(place) = message.get_mut(FLAGS) {
        place.copy_from_slice(&(flags & !EXHAUST_ALLOWED).to_le_bytes());
    }
    if flags & CHECKSUM_PRESENT != 0
        && let Some(covered) = message.len().checked_sub(CHECKSUM_BYTES)
        && let Some((covered, checksum)) = message.split_at_mut_checked(covered)
    {
        checksum.copy_from_slice(&crc32c::crc32c(covered).to_le_bytes());
    }
}

/// Sets `moreToCome` in a whole `OP_MSG` of our own, which has no checksum.
pub(super) fn with_more_to_come(message: &mut [u8]) {
    const MORE_TO_COME: u32 = 1 << 1;
    let Some(flags) = flags(message) else { return };
    if let Some(place) = message.get_mut(FLAGS) {
        place.copy_from_slice(&(flags | MORE_TO_COME).to_le_bytes());
    }
}

fn flags(message: &[u8]) -> Option<u32> {
    let bytes = message.get(FLAGS)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

/// A reply by which a member of a replica set says that its state changes, as a router would say it: drivers that read the member's own
/// code would take the proxy for a server that steps down, and 91 and 11600 make them throw their whole pool away. Labels and all other
/// fields stay. `None` when the reply is none of these.
pub(super) fn as_a_router_says(reply: &[u8]) -> Option<Vec<u8>> {
    let header = Header::read(reply)?;
    let body = wire::body(reply)?;
    let changed = replaced(body)?;
    Some(wire::op_msg(
        header.request_id,
        header.response_to,
        &changed,
    ))
}

/// The document with the code replaced, at its top or in its `writeConcernError`. `None` when nothing has to be.
fn replaced(document: &RawDocument) -> Option<RawDocumentBuf> {
    let is_error = code(document).is_some_and(is_state_change);
    let inner = document.get_document("writeConcernError").ok();
    let inner = inner.and_then(replaced);
    if !is_error && inner.is_none() {
        return None;
    }
    let mut changed = RawDocumentBuf::new();
    for element in document.iter_elements() {
        let element = element.ok()?;
        let name = element.key();
        match (name.as_str(), &inner) {
            ("code", _) if is_error => changed.append(name, HOST_UNREACHABLE.0),
            ("codeName", _) if is_error => changed.append(name, HOST_UNREACHABLE.1),
            ("writeConcernError", Some(inner)) => changed.append(name, inner),
            _ => changed.append(name, element.value().ok()?),
        }
    }
    Some(changed)
}

fn code(document: &RawDocument) -> Option<i32> {
    match document.get("code").ok()?? {
        RawBsonRef::Int32(code) => Some(code),
        RawBsonRef::Int64(code) => i32::try_from(code).ok(),
        _ => None,
    }
}

/// A `getMore` that waits no longer than `most_ms`, so that its connection comes back and others have their turn. A client that gets
/// nothing in that time gets an empty batch, as it would a little later anyway, and asks again. `None` when it waits no longer already.
pub(super) fn waiting_at_most(message: &[u8], most_ms: i64) -> Option<Vec<u8>> {
    let header = Header::read(message)?;
    let body = wire::body(message)?;
    let asked = body.get("maxTimeMS").ok()?;
    if asked.and_then(number).is_some_and(|ms| ms <= most_ms) {
        return None;
    }
    let mut changed = RawDocumentBuf::new();
    for element in body.iter_elements() {
        let element = element.ok()?;
        if element.key().as_str() != "maxTimeMS" {
            changed.append(element.key(), element.value().ok()?);
        }
    }
    changed.append(cstr!("maxTimeMS"), most_ms);
    Some(wire::op_msg(
        header.request_id,
        header.response_to,
        &changed,
    ))
}

/// The reply to a `getMore` that found nothing in its time.
pub(super) fn empty_batch(namespace: &str, cursor: i64) -> RawDocumentBuf {
    let mut batch = RawDocumentBuf::new();
    batch.append(cstr!("nextBatch"), RawArrayBuf::new());
    batch.append(cstr!("id"), cursor);
    batch.append(cstr!("ns"), namespace);
    let mut reply = RawDocumentBuf::new();
    reply.append(cstr!("cursor"), batch);
    reply.append(cstr!("ok"), 1.0);
    reply
}

fn number(value: RawBsonRef<'_>) -> Option<i64> {
    match value {
        RawBsonRef::Int32(value) => Some(value.into()),
        RawBsonRef::Int64(value) => Some(value),
        RawBsonRef::Double(value) => Some(value as i64),
        _ => None,
    }
}

/// A `killCursors` for some of its cursors only.
pub(super) fn killing_only(body: &RawDocument, cursors: &[i64]) -> Option<RawDocumentBuf> {
    let mut changed = RawDocumentBuf::new();
    for element in body.iter_elements() {
        let element = element.ok()?;
        match element.key().as_str() {
            "cursors" => changed.append(element.key(), ids(cursors)),
            _ => changed.append(element.key(), element.value().ok()?),
        }
    }
    Some(changed)
}

/// The cursors that a `killCursors` names, at most as many as fit a message.
pub(super) fn cursors_to_kill(body: &RawDocument) -> Vec<i64> {
    let Ok(cursors) = body.get_array("cursors") else {
        return Vec::new();
    };
    let ids = cursors.into_iter().map_while(Result::ok);
    ids.filter_map(RawBsonRef::as_i64).collect()
}

/// The four lists of a `killCursors` reply.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Killed([Vec<i64>; 4]);

const LISTS: [&bson::raw::CStr; 4] = [
    cstr!("cursorsKilled"),
    cstr!("cursorsNotFound"),
    cstr!("cursorsAlive"),
    cstr!("cursorsUnknown"),
];

impl Killed {
    /// Cursors that no server is known of.
    pub(super) fn not_found(&mut self, cursors: &[i64]) {
        let [_, not_found, ..] = &mut self.0;
        not_found.extend_from_slice(cursors);
    }

    /// Adds what one server says.
    pub(super) fn add(&mut self, reply: &RawDocument) {
        for (list, name) in self.0.iter_mut().zip(LISTS) {
            if let Ok(found) = reply.get_array(name) {
                let ids = found.into_iter().map_while(Result::ok);
                list.extend(ids.filter_map(RawBsonRef::as_i64));
            }
        }
    }

    /// All of it, as one reply.
    pub(super) fn reply(&self) -> RawDocumentBuf {
        let mut reply = RawDocumentBuf::new();
        for (list, name) in self.0.iter().zip(LISTS) {
            reply.append(name, ids(list));
        }
        reply.append(cstr!("ok"), 1.0);
        reply
    }
}

fn ids(cursors: &[i64]) -> RawArrayBuf {
    let mut list = RawArrayBuf::new();
    for id in cursors {
        list.push(RawBson::Int64(*id));
    }
    list
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    #[test]
    fn a_server_that_shuts_down_is_out_of_reach_to_the_client() {
        let labels = RawArrayBuf::from_iter(["RetryableWriteError"]);
        let error = rawdoc! { "ok": 0.0, "errmsg": "shutting down", "code": 91, "codeName": "ShutdownInProgress", "errorLabels": labels, "operationTime": 7 };
        let changed = as_a_router_says(&wire::op_msg(2, 1, &error)).unwrap();
        let body = wire::body(&changed).unwrap();
        assert_eq!(body.get_i32("code").unwrap(), 6);
        assert_eq!(body.get_str("codeName").unwrap(), "HostUnreachable");
        assert_eq!(body.get_str("errmsg").unwrap(), "shutting down");
        assert_eq!(
            body.get_array("errorLabels").unwrap(),
            error.get_array("errorLabels").unwrap()
        );
        assert_eq!(Header::read(&changed).unwrap().response_to, 1);
    }

    #[test]
    fn so_is_one_that_says_it_in_a_write_concern_error_and_no_other_reply_is_touched() {
        let wrapped = rawdoc! { "ok": 1, "n": 1, "writeConcernError": { "code": 11600, "codeName": "InterruptedAtShutdown" } };
        let changed = as_a_router_says(&wire::op_msg(2, 1, &wrapped)).unwrap();
        let inner = wire::body(&changed)
            .unwrap()
            .get_document("writeConcernError")
            .unwrap();
        assert_eq!(inner.get_i32("code").unwrap(), 6);
        for other in [
            rawdoc! { "ok": 0.0, "code": 11000 },
            rawdoc! { "ok": 1, "n": 91 },
        ] {
            assert_eq!(as_a_router_says(&wire::op_msg(2, 1, &other)), None);
        }
    }

    #[test]
    fn a_checksum_is_right_when_the_flag_is_gone() {
        let mut message = wire::op_msg(1, 0, &rawdoc! { "getMore": 5_i64 });
        message[FLAGS].copy_from_slice(&(EXHAUST_ALLOWED | CHECKSUM_PRESENT).to_le_bytes());
        let length = message.len() as u32 + 4;
        message[..4].copy_from_slice(&length.to_le_bytes());
        message.extend_from_slice(&[0; 4]);
        without_exhaust(&mut message);
        let (covered, checksum) = message.split_at(message.len() - 4);
        assert_eq!(flags(&message).unwrap(), CHECKSUM_PRESENT);
        assert_eq!(checksum, crc32c::crc32c(covered).to_le_bytes());
    }

    #[test]
    fn a_wait_is_cut_only_when_it_is_longer() {
        let message = |body: RawDocumentBuf| wire::op_msg(1, 0, &body);
        let ms = |message: &[u8]| wire::body(message).unwrap().get_i64("maxTimeMS").unwrap();
        let long = message(rawdoc! { "getMore": 5_i64, "maxTimeMS": 60_000, "$db": "a" });
        assert_eq!(ms(&waiting_at_most(&long, 1_000).unwrap()), 1_000);
        let unbounded = message(rawdoc! { "getMore": 5_i64, "$db": "a" });
        assert_eq!(ms(&waiting_at_most(&unbounded, 100).unwrap()), 100);
        let short = message(rawdoc! { "getMore": 5_i64, "maxTimeMS": 50, "$db": "a" });
        assert_eq!(waiting_at_most(&short, 100), None);
    }

    #[test]
    fn a_kill_is_split_and_its_answers_are_merged() {
        let body = rawdoc! { "killCursors": "c", "cursors": [1_i64, 2_i64, 3_i64], "$db": "a" };
        assert_eq!(cursors_to_kill(&body), [1, 2, 3]);
        let one = killing_only(&body, &[2]).unwrap();
        assert_eq!(cursors_to_kill(&one), [2]);
        assert_eq!(one.get_str("$db").unwrap(), "a");
        let mut killed = Killed::default();
        killed.not_found(&[3]);
        killed.add(&rawdoc! { "cursorsKilled": [1_i64], "cursorsNotFound": [], "ok": 1 });
        killed.add(&rawdoc! { "cursorsKilled": [2_i64], "cursorsAlive": [9_i64], "ok": 1 });
        let reply = killed.reply();
        let list = |name| {
            let array: &bson::raw::RawArray = reply.get_array(name).unwrap();
            array
                .into_iter()
                .map(|id| id.unwrap().as_i64().unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(list("cursorsKilled"), [1, 2]);
        assert_eq!(list("cursorsNotFound"), [3]);
        assert_eq!(list("cursorsAlive"), [9]);
    }
}
