//! The hello that servers are asked with, and what is read of their answers. A server can be anything that listens there: each
//! field may be missing, of another type, or endless.

use std::time::Duration;

use bson::oid::ObjectId;
use bson::raw::{RawBsonRef, RawDocument, RawDocumentBuf};
use bson::rawdoc;

use super::deployment::{Limits, MemberKind};
use super::names;

/// Most members of a replica set: "Replica sets can have up to 50 members" (MongoDB's limits and thresholds).
pub const MAX_MEMBERS: usize = 50;

/// Most tags of a member that are read. MongoDB has no limit; Atlas sets five.
const MAX_TAGS: usize = 64;

/// Longest time of a session that is believed, in minutes: a year. The default of MongoDB is 30.
const MAX_SESSION_MINUTES: i64 = 366 * 24 * 60;

/// The part of a hello that says who asks. The server logs it and shows it in `currentOp`.
pub fn client(application: &str) -> RawDocumentBuf {
    rawdoc! {
        "application": { "name": application },
        "driver": { "name": "narrows", "version": env!("CARGO_PKG_VERSION") },
        "os": { "type": std::env::consts::OS },
    }
}

/// The first hello of a connection that monitors.
pub(super) fn first() -> RawDocumentBuf {
    rawdoc! { "hello": 1, "helloOk": true, "client": client("narrows monitor"), "$db": "admin" }
}

/// A hello that is answered at once.
pub(super) fn plain() -> RawDocumentBuf {
    rawdoc! { "hello": 1, "helloOk": true, "$db": "admin" }
}

/// A hello that is answered when the server's state is newer than `known`, or after `at_most`.
pub(super) fn awaitable(known: TopologyVersion, at_most: Duration) -> RawDocumentBuf {
    let millis = i64::try_from(at_most.as_millis()).unwrap_or(i64::MAX);
    rawdoc! {
        "hello": 1,
        "helloOk": true,
        "topologyVersion": { "processId": known.process, "counter": known.counter },
        "maxAwaitTimeMS": millis,
        "$db": "admin",
    }
}

/// Which state of a server an answer describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopologyVersion {
    process: ObjectId,
    counter: i64,
}

/// What a server says of itself.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What it is; [`MemberKind::Unknown`] for a member of a replica set that is not in one yet.
    pub kind: MemberKind,
    /// Name of its replica set.
    pub set_name: Option<String>,
    /// Members that clients may use, and arbiters: host and port, at most [`MAX_MEMBERS`].
    pub hosts: Vec<(String, u16)>,
    /// Its own name in its replica set.
    pub me: Option<(String, u16)>,
    /// The election that made it primary.
    pub election_id: Option<[u8; 12]>,
    /// Version of the replica set's config.
    pub set_version: Option<i64>,
    /// Lowest and highest wire version.
    pub wire: (i32, i32),
    /// Largest sizes it takes.
    pub limits: Limits,
    /// How long it keeps a session that nobody uses.
    pub session_timeout_minutes: Option<i64>,
    /// Its tags.
    pub tags: Vec<(String, String)>,
    /// Date of its newest write, in milliseconds since 1970.
    pub last_write_ms: Option<i64>,
    /// Present when it can be asked to answer at its next change.
    pub topology_version: Option<TopologyVersion>,
}

impl Answer {
    /// Reads the answer to a hello.
    ///
    /// # Errors
    /// When the server refuses it, in the server's words.
    pub fn read(reply: &RawDocument) -> Result<Self, String> {
        let number = |key| field(reply, key).and_then(integer);
        if number("ok") != Some(1) {
            return Err(refusal(reply));
        }
        let set_name = text(reply, "setName").map(names::message);
        let tags = field(reply, "tags").and_then(RawBsonRef::as_document);
        let last_write = field(reply, "lastWrite").and_then(RawBsonRef::as_document);
        let last_write = last_write.and_then(|write| field(write, "lastWriteDate"));
        let wire = |key| number(key).and_then(|version| i32::try_from(version).ok());
        Ok(Self {
            kind: kind(reply, set_name.is_some()),
            hosts: hosts(reply),
            me: text(reply, "me").and_then(names::host_and_port),
            election_id: field(reply, "electionId")
                .and_then(RawBsonRef::as_object_id)
                .map(|id| id.bytes()),
            set_version: number("setVersion"),
            wire: (
                wire("minWireVersion").unwrap_or(0),
                wire("maxWireVersion").unwrap_or(0),
            ),
            limits: limits(reply),
            session_timeout_minutes: number("logicalSessionTimeoutMinutes")
                .filter(|minutes| (1..=MAX_SESSION_MINUTES).contains(minutes)),
            tags: tags.map(read_tags).unwrap_or_default(),
            last_write_ms: last_write
                .and_then(RawBsonRef::as_datetime)
                .map(bson::DateTime::timestamp_millis),
            topology_version: topology_version(reply),
            set_name,
        })
    }
}

/// specs:server-discovery-and-monitoring, "Server types" table.
fn kind(reply: &RawDocument, in_a_set: bool) -> MemberKind {
    let says = |key| field(reply, key).is_some_and(is_true);
    if text(reply, "msg") == Some("isdbgrid") {
        MemberKind::Mongos
    } else if in_a_set {
        if says("hidden") {
            MemberKind::Other
        } else if says("isWritablePrimary") || says("ismaster") {
            MemberKind::Primary
        } else if says("secondary") {
            MemberKind::Secondary
        } else {
            MemberKind::Other
        }
    } else if says("isreplicaset") {
        MemberKind::Unknown
    } else {
        MemberKind::Standalone
    }
}

fn hosts(reply: &RawDocument) -> Vec<(String, u16)> {
    ["hosts", "passives", "arbiters"]
        .into_iter()
        .filter_map(|key| field(reply, key).and_then(RawBsonRef::as_array))
        .flatten()
        .filter_map(|host| names::host_and_port(host.ok()?.as_str()?))
        .take(MAX_MEMBERS)
        .collect()
}

fn read_tags(tags: &RawDocument) -> Vec<(String, String)> {
    tags.iter_elements()
        .filter_map(|tag| {
            let tag = tag.ok()?;
            let value = tag.value().ok()?.as_str()?.to_owned();
            Some((tag.key().as_str().to_owned(), value))
        })
        .take(MAX_TAGS)
        .collect()
}

fn limits(reply: &RawDocument) -> Limits {
    let Limits {
        max_bson,
        max_message,
        max_batch,
    } = Limits::default();
    let limit = |key, default| {
        field(reply, key)
            .and_then(integer)
            .and_then(|limit| i32::try_from(limit).ok())
            .filter(|limit| *limit > 0)
            .unwrap_or(default)
    };
    Limits {
        max_bson: limit("maxBsonObjectSize", max_bson),
        max_message: limit("maxMessageSizeBytes", max_message),
        max_batch: limit("maxWriteBatchSize", max_batch),
    }
}

fn topology_version(reply: &RawDocument) -> Option<TopologyVersion> {
    let version = field(reply, "topologyVersion")?.as_document()?;
    Some(TopologyVersion {
        process: field(version, "processId")?.as_object_id()?,
        counter: field(version, "counter").and_then(integer)?,
    })
}

fn refusal(reply: &RawDocument) -> String {
    let code = field(reply, "code").and_then(integer);
    match (text(reply, "errmsg"), code) {
        (Some(said), Some(code)) => format!("hello was refused: {} ({code})", names::message(said)),
        (Some(said), None) => format!("hello was refused: {}", names::message(said)),
        _ => "the answer to hello has no `ok: 1`; is this a MongoDB server?".into(),
    }
}

fn text<'a>(document: &'a RawDocument, key: &str) -> Option<&'a str> {
    field(document, key)?.as_str()
}

/// A field; what stands behind something malformed is as if missing.
pub(super) fn field<'a>(document: &'a RawDocument, key: &str) -> Option<RawBsonRef<'a>> {
    document.get(key).ok()?
}

/// A whole number in whatever type servers and drivers send it.
pub(super) fn integer(value: RawBsonRef<'_>) -> Option<i64> {
    match value {
        RawBsonRef::Int32(value) => Some(value.into()),
        RawBsonRef::Int64(value) => Some(value),
        // Whole, and far inside of what a float holds exactly.
        RawBsonRef::Double(value) if value.fract() == 0.0 && value.abs() < 1e15 => {
            Some(value as i64)
        }
        _ => None,
    }
}

fn is_true(value: RawBsonRef<'_>) -> bool {
    value.as_bool() == Some(true) || integer(value).is_some_and(|value| value != 0)
}

#[cfg(test)]
mod tests {
    use bson::raw::CString;

    use super::*;

    #[test]
    fn every_kind_of_server_is_told_apart() {
        let kind = |reply: &RawDocument| Answer::read(reply).unwrap().kind;
        assert_eq!(kind(&rawdoc! { "ok": 1 }), MemberKind::Standalone);
        assert_eq!(
            kind(&rawdoc! { "ok": 1.0, "msg": "isdbgrid", "isWritablePrimary": true }),
            MemberKind::Mongos
        );
        assert_eq!(
            kind(&rawdoc! { "ok": 1, "isreplicaset": true }),
            MemberKind::Unknown
        );
        let hidden = rawdoc! { "ok": 1, "setName": "rs", "hidden": true, "secondary": true };
        assert_eq!(kind(&hidden), MemberKind::Other);
        for (role, wanted) in [
            ("isWritablePrimary", MemberKind::Primary),
            ("ismaster", MemberKind::Primary),
            ("secondary", MemberKind::Secondary),
            ("arbiterOnly", MemberKind::Other),
            ("recovering", MemberKind::Other),
        ] {
            let mut reply = rawdoc! { "ok": 1, "setName": "rs" };
            reply.append(CString::try_from(role).unwrap(), true);
            assert_eq!(kind(&reply), wanted, "{role}");
        }
    }

    #[test]
    fn a_refusal_is_told_in_the_servers_words() {
        let error = |reply: &RawDocument| Answer::read(reply).unwrap_err();
        assert_eq!(
            error(&rawdoc! { "ok": 0, "errmsg": "no such\ncommand", "code": 59 }),
            "hello was refused: no such command (59)"
        );
        assert!(error(&rawdoc! {}).contains("is this a MongoDB server?"));
    }

    #[test]
    fn wrong_types_are_as_if_missing_and_counts_are_bounded() {
        let mut reply = rawdoc! { "ok": true, "setName": 3, "hosts": "a", "me": 1, "tags": [], "maxBsonObjectSize": -1 };
        assert!(Answer::read(&reply).is_err(), "`ok` is a number");
        reply = rawdoc! { "ok": 1, "setName": 3, "hosts": "a", "me": 1, "tags": [], "maxBsonObjectSize": -1,
        "maxWireVersion": 1e300, "logicalSessionTimeoutMinutes": -5, "topologyVersion": 7, "lastWrite": { "lastWriteDate": "now" } };
        let answer = Answer::read(&reply).unwrap();
        assert_eq!(answer.limits, Limits::default());
        assert_eq!(
            (answer.wire, answer.session_timeout_minutes),
            ((0, 0), None)
        );
        assert!(
            answer.hosts.is_empty() && answer.me.is_none() && answer.topology_version.is_none()
        );

        let mut hosts = bson::RawArrayBuf::new();
        let mut tags = RawDocumentBuf::new();
        for n in 0..1000 {
            hosts.push(format!("host-{n}:1"));
            tags.append(CString::try_from(format!("t{n}")).unwrap(), "x");
        }
        let reply = rawdoc! { "ok": 1, "setName": "rs", "hosts": hosts, "tags": tags };
        let answer = Answer::read(&reply).unwrap();
        assert_eq!(answer.hosts.len(), MAX_MEMBERS);
        assert_eq!(answer.tags.len(), MAX_TAGS);
    }

    #[test]
    fn no_byte_of_an_answer_is_trusted() {
        let reply = rawdoc! { "ok": 1, "setName": "rs", "hosts": ["a:1", "b:2"], "tags": { "dc": "x" },
        "topologyVersion": { "processId": ObjectId::new(), "counter": 1_i64 }, "lastWrite": { "lastWriteDate": bson::DateTime::now() } };
        let bytes = reply.as_bytes().to_vec();
        for at in 4..bytes.len() - 1 {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] = value;
                let document = RawDocumentBuf::from_bytes(bytes).unwrap();
                let _ = Answer::read(&document);
            }
        }
    }
}
