//! The answers to `hello` and `isMaster`, which a collapsing listener gives itself: a driver then takes it for a mongos (or for a
//! standalone server, when that is what it stands before), asks it everything and dials nobody else.
//!
//! The fields are those of "Handshake fields" in the MongoDB handshake specification and of a real mongos. `hosts`, `setName`, `primary`
//! and `me` are never among them: drivers would dial those members, past the proxy.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bson::oid::ObjectId;
use bson::raw::{RawArrayBuf, RawBsonRef, RawDocument, RawDocumentBuf};
use bson::{DateTime, cstr};
use narrows_parsers::mongo::Compressor;

/// The newest wire version whose messages are known here: MongoDB 8.0 ("wireversion-featurelist" of the specifications).
const MAX_WIRE_VERSION: i32 = 25;

/// What is said before any server has answered: the oldest version that current drivers take (MongoDB 4.4), so that no driver uses what
/// the server turns out not to have.
const UNKNOWN_WIRE_VERSION: i32 = 9;

/// The server's defaults of `maxBsonObjectSize`, `maxMessageSizeBytes`, `maxWriteBatchSize`.
const DEFAULT_LIMITS: [i32; 3] = [16 * 1024 * 1024, 48_000_000, 100_000];

/// `localLogicalSessionTimeoutMinutes`. Without this field drivers have no sessions, retryable writes or transactions.
const SESSION_TIMEOUT_MINUTES: i64 = 30;

/// Longest time that a hello is held: drivers ask for 10 s (`heartbeatFrequencyMS`), the server takes up to the same as a connection
/// may be silent.
const MAX_AWAIT: Duration = Duration::from_secs(600);

/// Entries of a client's `compression` list that are looked at; four compressors exist.
const MAX_COMPRESSORS: usize = 8;

/// What the servers behind the proxy have in common, and what it therefore says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Front {
    /// The upstream is one server that is in no replica set: no retryable writes, no transactions.
    pub standalone: bool,
    /// `maxWireVersion`.
    pub max_wire_version: i32,
    /// `maxBsonObjectSize`, `maxMessageSizeBytes`, `maxWriteBatchSize`.
    pub limits: [i32; 3],
    /// `logicalSessionTimeoutMinutes`.
    pub session_timeout_minutes: i64,
}

impl Front {
    /// What is said while no server has answered yet. A standalone is the one kind that a driver lets become any other.
    pub fn unknown() -> Self {
        Self {
            standalone: true,
            max_wire_version: UNKNOWN_WIRE_VERSION,
            limits: DEFAULT_LIMITS,
            session_timeout_minutes: SESSION_TIMEOUT_MINUTES,
        }
    }

    /// As what the servers say; a field that none gave has its default.
    pub fn of(
        standalone: bool,
        max_wire_version: Option<i32>,
        limits: Option<[i32; 3]>,
        session_timeout_minutes: Option<i64>,
    ) -> Self {
        let unknown = Self::unknown();
        Self {
            standalone,
            max_wire_version: max_wire_version
                .unwrap_or(unknown.max_wire_version)
                .min(MAX_WIRE_VERSION),
            limits: limits.unwrap_or(unknown.limits),
            session_timeout_minutes: session_timeout_minutes
                .unwrap_or(unknown.session_timeout_minutes),
        }
    }
}

/// What a client's hello asks for.
#[derive(Debug, Default, PartialEq)]
pub struct Asked {
    /// It came as `isMaster`.
    pub legacy: bool,
    /// The client knows `hello`, and stays with `isMaster` for ever unless it is told that the server does too.
    pub hello_ok: bool,
    /// It believes in a load balancer, and needs a `serviceId`.
    pub load_balanced: bool,
    /// The compressors it has, the preferred one first.
    pub compression: Vec<Compressor>,
    /// The topology version it knows, and how long it wants to wait for another.
    pub awaits: Option<(TopologyVersion, Duration)>,
}

/// Why a hello can't be answered as it was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadHello {
    /// The server's code for it.
    pub code: i32,
    /// Its text.
    pub message: &'static str,
}

/// Tells which state of the servers a hello described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopologyVersion {
    /// Another process, another history.
    pub process: ObjectId,
    /// Grows with each change.
    pub counter: i64,
}

impl TopologyVersion {
    /// The version with this number, of this process.
    pub fn current(counter: i64) -> Self {
        Self {
            process: process_id(),
            counter,
        }
    }

    /// True when there is nothing new to tell to somebody who knows `self`.
    pub fn is_current(&self, counter: i64) -> bool {
        self.process == process_id() && self.counter >= counter
    }
}

impl Asked {
    /// Reads a hello.
    ///
    /// # Errors
    /// When the fields of an awaitable hello don't fit together.
    pub fn read(command: &[u8], body: &RawDocument) -> Result<Self, BadHello> {
        let mut asked = Self {
            legacy: command != b"hello",
            ..Self::default()
        };
        let (mut version, mut await_ms) = (None, None);
        for element in body.iter_elements() {
            let Ok(element) = element else { break };
            let Ok(value) = element.value() else { break };
            match element.key().as_str() {
                "helloOk" => asked.hello_ok = truthy(value),
                "loadBalanced" => asked.load_balanced = truthy(value),
                "compression" => asked.compression = compressors(value),
                "topologyVersion" => version = Some(topology_version(value)?),
                "maxAwaitTimeMS" => await_ms = Some(milliseconds(value)?),
                _ => {}
            }
        }
        asked.awaits = match (version, await_ms) {
            (Some(version), Some(time)) => Some((version, time)),
            (None, None) => None,
            // The server's codes 51760 and 51759: one is of no use without the other.
            (Some(_), None) => {
                return Err(BadHello {
                    code: 51760,
                    message: "topologyVersion without maxAwaitTimeMS",
                });
            }
            (None, Some(_)) => {
                return Err(BadHello {
                    code: 51759,
                    message: "maxAwaitTimeMS without topologyVersion",
                });
            }
        };
        Ok(asked)
    }
}

/// What else a reply says, beyond the servers' own common part.
#[derive(Debug, Default)]
pub struct Extras<'a> {
    /// This client's number.
    pub connection_id: i64,
    /// What was negotiated with this client.
    pub compression: &'a [Compressor],
    /// Set when hellos may be held until something changes.
    pub topology_version: Option<i64>,
    /// The mechanisms of the user that was asked for.
    pub mechanisms: Option<RawArrayBuf>,
    /// The reply to the first step of a login.
    pub speculative: Option<RawDocumentBuf>,
}

/// Writes the reply.
pub fn reply(front: &Front, asked: &Asked, extras: Extras<'_>) -> RawDocumentBuf {
    let mut reply = RawDocumentBuf::new();
    if asked.hello_ok {
        reply.append(cstr!("helloOk"), true);
    }
    match asked.legacy {
        true => reply.append(cstr!("ismaster"), true),
        false => reply.append(cstr!("isWritablePrimary"), true),
    }
    if !front.standalone {
        // "msg: isdbgrid" is what makes a driver take the other side for a mongos.
        reply.append(cstr!("msg"), "isdbgrid");
    }
    if let Some(counter) = extras.topology_version {
        let mut version = RawDocumentBuf::new();
        version.append(cstr!("processId"), process_id());
        version.append(cstr!("counter"), counter);
        reply.append(cstr!("topologyVersion"), version);
    }
    let [max_bson, max_message, max_batch] = front.limits;
    reply.append(cstr!("maxBsonObjectSize"), max_bson);
    reply.append(cstr!("maxMessageSizeBytes"), max_message);
    reply.append(cstr!("maxWriteBatchSize"), max_batch);
    reply.append(cstr!("localTime"), DateTime::now());
    let minutes = i32::try_from(front.session_timeout_minutes).unwrap_or(i32::MAX);
    reply.append(cstr!("logicalSessionTimeoutMinutes"), minutes);
    reply.append(cstr!("connectionId"), extras.connection_id);
    reply.append(cstr!("minWireVersion"), 0);
    reply.append(cstr!("maxWireVersion"), front.max_wire_version);
    reply.append(cstr!("readOnly"), false);
    if !extras.compression.is_empty() {
        let names = extras.compression.iter().map(|known| known.label());
        reply.append(cstr!("compression"), list(names));
    }
    if asked.load_balanced {
        reply.append(cstr!("serviceId"), process_id());
    }
    if let Some(mechanisms) = extras.mechanisms {
        reply.append(cstr!("saslSupportedMechs"), mechanisms);
    }
    if let Some(speculative) = extras.speculative {
        reply.append(cstr!("speculativeAuthenticate"), speculative);
    }
    reply.append(cstr!("ok"), 1.0);
    reply
}

/// The number of a new client connection, as servers count theirs.
pub fn next_connection_id() -> i64 {
    static NEXT: AtomicI64 = AtomicI64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Stands for this process: in topology versions, and as the one service behind a load balancer.
fn process_id() -> ObjectId {
    static ID: OnceLock<ObjectId> = OnceLock::new();
    *ID.get_or_init(ObjectId::new)
}

fn list<'a>(texts: impl Iterator<Item = &'a str>) -> RawArrayBuf {
    let mut list = RawArrayBuf::new();
    for text in texts {
        list.push(text);
    }
    list
}

fn compressors(value: RawBsonRef<'_>) -> Vec<Compressor> {
    let Some(array) = value.as_array() else {
        return Vec::new();
    };
    let mut known = Vec::new();
    for entry in array.into_iter().flatten().take(MAX_COMPRESSORS) {
        let compressor = match entry.as_str() {
            Some("snappy") => Compressor::Snappy,
            Some("zlib") => Compressor::Zlib,
            Some("zstd") => Compressor::Zstd,
            _ => continue,
        };
        if !known.contains(&compressor) {
            known.push(compressor);
        }
    }
    known
}

fn topology_version(value: RawBsonRef<'_>) -> Result<TopologyVersion, BadHello> {
    let read = || {
        let document = value.as_document()?;
        Some(TopologyVersion {
            process: document.get("processId").ok()??.as_object_id()?,
            counter: integer(document.get("counter").ok()??)?,
        })
    };
    // 9, FailedToParse
    read().ok_or(BadHello {
        code: 9,
        message: "topologyVersion has no processId or no counter",
    })
}

fn milliseconds(value: RawBsonRef<'_>) -> Result<Duration, BadHello> {
    let read = integer(value).and_then(|ms| u64::try_from(ms).ok());
    // The server's code for a negative maxAwaitTimeMS is 51763.
    let ms = read.ok_or(BadHello {
        code: 51763,
        message: "maxAwaitTimeMS has to be a non-negative number",
    })?;
    Ok(Duration::from_millis(ms).min(MAX_AWAIT))
}

fn integer(value: RawBsonRef<'_>) -> Option<i64> {
    match value {
        RawBsonRef::Int32(value) => Some(value.into()),
        RawBsonRef::Int64(value) => Some(value),
        RawBsonRef::Double(value) => Some(value as i64),
        _ => None,
    }
}

fn truthy(value: RawBsonRef<'_>) -> bool {
    match value {
        RawBsonRef::Boolean(value) => value,
        other => integer(other).is_some_and(|value| value != 0),
    }
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    #[test]
    fn a_mongos_is_what_a_driver_sees_and_no_member_is_named() {
        let asked = Asked::read(b"isMaster", &rawdoc! { "isMaster": 1, "helloOk": true }).unwrap();
        let front = Front::of(false, Some(17), None, Some(30));
        let reply = reply(&front, &asked, Extras::default());
        assert!(reply.get_bool("helloOk").unwrap() && reply.get_bool("ismaster").unwrap());
        assert_eq!(reply.get_str("msg").unwrap(), "isdbgrid");
        assert_eq!(reply.get_i32("maxWireVersion").unwrap(), 17);
        assert_eq!(reply.get_i32("logicalSessionTimeoutMinutes").unwrap(), 30);
        for dialled in [
            "hosts",
            "setName",
            "primary",
            "me",
            "serviceId",
            "topologyVersion",
        ] {
            assert_eq!(reply.get(dialled).unwrap(), None, "{dialled}");
        }
    }

    #[test]
    fn a_hello_gets_the_new_name_and_a_balanced_client_its_service() {
        let asked = Asked::read(
            b"hello",
            &rawdoc! { "hello": 1, "loadBalanced": true, "compression": ["zstd", "lzma", "zlib", "zlib"] },
        )
        .unwrap();
        assert_eq!(asked.compression, [Compressor::Zstd, Compressor::Zlib]);
        let reply = reply(&Front::unknown(), &asked, Extras::default());
        assert!(reply.get_bool("isWritablePrimary").unwrap());
        assert_eq!(reply.get("msg").unwrap(), None);
        reply.get_object_id("serviceId").unwrap();
        assert_eq!(reply.get("helloOk").unwrap(), None);
    }

    #[test]
    fn a_version_newer_than_known_is_not_promised() {
        assert_eq!(
            Front::of(false, Some(99), None, None).max_wire_version,
            MAX_WIRE_VERSION
        );
    }

    #[test]
    fn an_awaitable_hello_needs_both_of_its_fields() {
        let version = rawdoc! { "processId": process_id(), "counter": 3_i64 };
        let body =
            rawdoc! { "hello": 1, "topologyVersion": version.clone(), "maxAwaitTimeMS": 10_000 };
        let (known, time) = Asked::read(b"hello", &body).unwrap().awaits.unwrap();
        assert!(known.is_current(3) && !known.is_current(4));
        assert_eq!(time, Duration::from_secs(10));
        let code = |body: RawDocumentBuf| Asked::read(b"hello", &body).unwrap_err().code;
        assert_eq!(
            code(rawdoc! { "hello": 1, "topologyVersion": version.clone() }),
            51760
        );
        assert_eq!(code(rawdoc! { "hello": 1, "maxAwaitTimeMS": 5 }), 51759);
        let negative = rawdoc! { "hello": 1, "topologyVersion": version, "maxAwaitTimeMS": -1 };
        assert_eq!(code(negative), 51763);
        assert_eq!(
            code(rawdoc! { "hello": 1, "topologyVersion": 1, "maxAwaitTimeMS": 1 }),
            9
        );
    }
}
