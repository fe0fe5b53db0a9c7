//! Every metric of the program. A row is a dotted name, a kind, a unit and a help text; what
//! `/stats`, Prometheus, statsd and the README show is derived from it.
//!
//! Rows are grouped in scopes: a scope is a prefix with `{label}` placeholders, and one value for
//! each placeholder makes a set of series. Names follow Envoy's tree where Envoy has the metric.

use std::marker::PhantomData;

/// What a metric counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Plain numbers.
    Count,
    /// Bytes.
    Bytes,
    /// Documents.
    Documents,
    /// Recorded in microseconds, shown in milliseconds with three decimals.
    Milliseconds,
    /// Recorded and shown in microseconds: what Redis does in one would be nothing in milliseconds.
    Microseconds,
    /// Seconds.
    Seconds,
}

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

/// One metric of a scope.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// The last part of its dotted name.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// What it counts in.
    pub unit: Unit,
    /// What it means, in one sentence.
    pub help: &'static str,
}

/// A group of metrics with the same labels.
#[derive(Debug)]
pub struct ScopeRow {
    /// The dotted prefix, with a placeholder for each label.
    pub prefix: &'static str,
    /// Its metrics. Counters and gauges are numbered apart from histograms, both in this order.
    pub metrics: &'static [Metric],
    /// The labels that clients choose, by their place among the placeholders, with how many values
    /// of it there may be (see [`Cap`]).
    pub caps: &'static [(usize, Cap)],
    /// Where its histograms are added up, so that each value is recorded once.
    pub rollup: Option<Rollup>,
}

/// Histograms of one scope that are the sum of those of another: every exchange is in one series of
/// the narrower scope, so the aggregator can add up what the request path records only there.
#[derive(Debug)]
pub struct Rollup {
    /// The prefix of the wider scope, whose labels are the first ones of the narrower.
    pub into: &'static str,
    /// The histogram here, and the one there.
    pub histograms: &'static [(&'static str, &'static str)],
}

/// Which of the configured limits a label falls under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cap {
    /// `stats.limits.commands`
    Commands,
    /// `stats.limits.collections`
    Collections,
    /// `stats.limits.call_sites`
    CallSites,
    /// `stats.limits.applications`
    Applications,
    /// `stats.limits.error_codes`
    ErrorCodes,
    /// `stats.limits.drivers`
    Drivers,
    /// `stats.limits.callers`
    Callers,
    /// `stats.limits.grpc_methods`
    GrpcMethods,
    /// `stats.limits.status_codes`
    StatusCodes,
}

impl Cap {
    /// All of them, in the order of [`Cap::index`].
    pub const ALL: [Self; 9] = [
        Self::Commands,
        Self::Collections,
        Self::CallSites,
        Self::Applications,
        Self::ErrorCodes,
        Self::Drivers,
        Self::Callers,
        Self::GrpcMethods,
        Self::StatusCodes,
    ];

    /// Its key under `stats.limits`, and the label of what was folded under it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Commands => "commands",
            Self::Collections => "collections",
            Self::CallSites => "call_sites",
            Self::Applications => "applications",
            Self::ErrorCodes => "error_codes",
            Self::Drivers => "drivers",
            Self::Callers => "callers",
            Self::GrpcMethods => "grpc_methods",
            Self::StatusCodes => "status_codes",
        }
    }

    /// Its place in [`Cap::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

/// A scope, as a type: the handle of a metric of one scope does not fit another.
pub trait ScopeKind: 'static {
    /// Its place in [`SCOPES`].
    const INDEX: usize;
}

/// A counter of scope `K`: its place among the scope's counters and gauges.
pub struct Counter<K>(pub(super) usize, PhantomData<K>);
/// A gauge of scope `K`: its place among the scope's counters and gauges.
pub struct Gauge<K>(pub(super) usize, PhantomData<K>);
/// A histogram of scope `K`: its place among the scope's histograms.
pub struct Histogram<K>(pub(super) usize, PhantomData<K>);

macro_rules! handles {
    ($($handle:ident)*) => {$(
        impl<K> Clone for $handle<K> { fn clone(&self) -> Self { *self } }
        impl<K> Copy for $handle<K> {}
    )*};
}
handles!(Counter Gauge Histogram);

macro_rules! rollup {
    () => { None };
    ($into:literal, $($histograms:expr),+) => {
        Some(Rollup { into: $into, histograms: &[ $($histograms),+ ] })
    };
}

/// Turns the table below into marker types with typed handles, and into [`SCOPES`].
macro_rules! scopes {
    ($( $(#[$doc:meta])* $scope:ident $prefix:literal $(caps $(($place:literal, $cap:ident))+)? $(rollup $into:literal $(($from:literal, $to:literal))+)? {
        $( $kind:ident $handle:ident $name:literal $unit:ident $help:literal; )*
    } )*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        enum Index { $( $scope ),* }
        $(
            $(#[$doc])*
            pub struct $scope;
            impl ScopeKind for $scope { const INDEX: usize = Index::$scope as usize; }
            impl $scope {
                const METRICS: &'static [Metric] = &[
                    $( Metric { name: $name, kind: Kind::$kind, unit: Unit::$unit, help: $help } ),*
                ];
                $(
                    #[doc = $help]
                    pub const $handle: $kind<Self> = $kind(place(Self::METRICS, $name), PhantomData);
                )*
            }
        )*
        /// Every scope of the program.
        pub static SCOPES: &[ScopeRow] = &[
            $( ScopeRow { prefix: $prefix, metrics: $scope::METRICS, caps: &[$($( ($place, Cap::$cap) ),+)?], rollup: rollup!($($into, $(($from, $to)),+)?) } ),*
        ];
    };
}

scopes! {
    /// One listener, whatever its protocol.
    Listener "listener.{listener}" {
        Counter DOWNSTREAM_CX_TOTAL "downstream_cx_total" Count "Connections accepted";
        Gauge DOWNSTREAM_CX_ACTIVE "downstream_cx_active" Count "Connections open";
        Counter DOWNSTREAM_CX_DESTROY "downstream_cx_destroy" Count "Connections closed";
        Counter DOWNSTREAM_CX_DESTROY_LOCAL "downstream_cx_destroy_local" Count "Connections closed by the proxy";
        Counter DOWNSTREAM_CX_DESTROY_REMOTE "downstream_cx_destroy_remote" Count "Connections closed by the client or by the upstream";
        Counter DOWNSTREAM_CX_OVERFLOW "downstream_cx_overflow" Count "Connections turned away because max_connections was reached";
        Counter DOWNSTREAM_CX_IDLE_TIMEOUT "downstream_cx_idle_timeout" Count "Connections closed because nothing moved for idle_timeout";
        Counter DOWNSTREAM_CX_STALLED "downstream_cx_stalled" Count "Connections closed because the client did not take its replies, and so held up others or the proxy";
        Counter DOWNSTREAM_CX_RX_BYTES_TOTAL "downstream_cx_rx_bytes_total" Bytes "Bytes read from clients, counted when their connection ends";
        Counter DOWNSTREAM_CX_TX_BYTES_TOTAL "downstream_cx_tx_bytes_total" Bytes "Bytes written to clients, counted when their connection ends";
        Histogram DOWNSTREAM_CX_LENGTH_MS "downstream_cx_length_ms" Milliseconds "How long connections stayed open";
    }
    /// TLS with the clients of one listener.
    ListenerSsl "listener.{listener}.ssl" {
        Counter HANDSHAKE "handshake" Count "Handshakes that succeeded";
        Counter CONNECTION_ERROR "connection_error" Count "Handshakes that failed for another reason than the client's certificate";
        Counter SESSION_REUSED "session_reused" Count "Handshakes that took up an earlier session";
        Counter NO_CERTIFICATE "no_certificate" Count "Handshakes that succeeded without a certificate of the client";
        Counter FAIL_VERIFY_NO_CERT "fail_verify_no_cert" Count "Handshakes that failed because the client showed no certificate";
        Counter FAIL_VERIFY_ERROR "fail_verify_error" Count "Handshakes that failed because the client's certificate is not good";
    }
    /// One version of TLS at a listener.
    ListenerSslVersion "listener.{listener}.ssl.versions.{version}" {
        Counter TOTAL "total" Count "Handshakes that succeeded with this version";
    }
    /// Why handshakes with clients failed.
    ListenerSslFailure "listener.{listener}.ssl.failures.{reason}" {
        Counter TOTAL "total" Count "Handshakes that failed for this reason";
    }
    /// One certificate that clients are shown, by its first name.
    ListenerSslCertificate "listener.{listener}.ssl.certificate.{certificate}" {
        Gauge EXPIRATION "expiration_unix_time_seconds" Seconds "When it expires, in seconds since 1970; 0 once it is no longer in use";
    }
    /// One cluster.
    Cluster "cluster.{cluster}" {
        Counter UPSTREAM_CX_TOTAL "upstream_cx_total" Count "Upstream connections made";
        Gauge UPSTREAM_CX_ACTIVE "upstream_cx_active" Count "Upstream connections open";
        Counter UPSTREAM_CX_DESTROY "upstream_cx_destroy" Count "Upstream connections closed";
        Counter UPSTREAM_CX_DESTROY_LOCAL "upstream_cx_destroy_local" Count "Upstream connections closed by the proxy or its client";
        Counter UPSTREAM_CX_DESTROY_REMOTE "upstream_cx_destroy_remote" Count "Upstream connections closed by the upstream";
        Counter UPSTREAM_CX_DESTROY_WITH_ACTIVE_RQ "upstream_cx_destroy_with_active_rq" Count "Upstream connections closed with a request under way";
        Counter UPSTREAM_CX_CONNECT_FAIL "upstream_cx_connect_fail" Count "Attempts to connect that were refused";
        Counter UPSTREAM_CX_CONNECT_TIMEOUT "upstream_cx_connect_timeout" Count "Attempts to connect that took longer than connect_timeout";
        Counter UPSTREAM_CX_NONE_HEALTHY "upstream_cx_none_healthy" Count "Sessions for which no endpoint could be connected to";
        Counter UPSTREAM_CX_IDLE_TIMEOUT "upstream_cx_idle_timeout" Count "Upstream connections closed because nothing moved for idle_timeout";
        Counter UPSTREAM_CX_RX_BYTES_TOTAL "upstream_cx_rx_bytes_total" Bytes "Bytes read from upstream, counted when the connection ends";
        Counter UPSTREAM_CX_TX_BYTES_TOTAL "upstream_cx_tx_bytes_total" Bytes "Bytes written upstream, counted when the connection ends";
        Histogram UPSTREAM_CX_CONNECT_MS "upstream_cx_connect_ms" Milliseconds "How long connecting took";
        Histogram UPSTREAM_CX_LENGTH_MS "upstream_cx_length_ms" Milliseconds "How long upstream connections stayed open";
        Counter UPSTREAM_CX_HTTP1_TOTAL "upstream_cx_http1_total" Count "HTTP/1 connections made";
        Counter UPSTREAM_CX_HTTP2_TOTAL "upstream_cx_http2_total" Count "HTTP/2 connections made";
        Counter UPSTREAM_CX_PROTOCOL_ERROR "upstream_cx_protocol_error" Count "Upstream connections closed because what came was no HTTP";
        Counter UPSTREAM_RQ_TOTAL "upstream_rq_total" Count "Requests sent";
        Gauge UPSTREAM_RQ_ACTIVE "upstream_rq_active" Count "HTTP requests under way";
        Counter UPSTREAM_RQ_COMPLETED "upstream_rq_completed" Count "Requests whose reply came whole; of MongoDB, without an error in it";
        Counter UPSTREAM_RQ_1XX "upstream_rq_1xx" Count "HTTP replies that ended with a status below 200: connections that became a tunnel";
        Counter UPSTREAM_RQ_2XX "upstream_rq_2xx" Count "HTTP replies with a status from 200 to 299";
        Counter UPSTREAM_RQ_3XX "upstream_rq_3xx" Count "HTTP replies with a status from 300 to 399";
        Counter UPSTREAM_RQ_4XX "upstream_rq_4xx" Count "HTTP replies with a status from 400 to 499";
        Counter UPSTREAM_RQ_5XX "upstream_rq_5xx" Count "HTTP replies with a status from 500, and requests that the proxy had to answer in the cluster's place";
        Gauge UPSTREAM_RQ_PENDING_ACTIVE "upstream_rq_pending_active" Count "HTTP requests that wait for a connection";
        Counter UPSTREAM_RQ_PENDING_TOTAL "upstream_rq_pending_total" Count "HTTP requests that waited for a connection";
        Counter UPSTREAM_RQ_PENDING_OVERFLOW "upstream_rq_pending_overflow" Count "HTTP requests refused because max_waiting others waited, or because none came free in time";
        Counter UPSTREAM_RQ_PENDING_FAILURE_EJECT "upstream_rq_pending_failure_eject" Count "HTTP requests for which no connection could be opened";
        Counter UPSTREAM_RQ_CANCELLED "upstream_rq_cancelled" Count "HTTP requests whose client left before they had a connection";
        Counter UPSTREAM_RQ_TIMEOUT "upstream_rq_timeout" Count "HTTP requests without a whole reply within their route's timeout";
        Counter UPSTREAM_RQ_RX_RESET "upstream_rq_rx_reset" Count "HTTP requests whose upstream connection ended, or was reset, before the reply was whole";
        Counter UPSTREAM_RQ_TX_RESET "upstream_rq_tx_reset" Count "HTTP requests that the proxy gave up before the reply was whole";
        Counter UPSTREAM_RQ_RETRY "upstream_rq_retry" Count "HTTP requests sent again, because a connection that had served before ended without a byte of reply";
        Counter UPSTREAM_RQ_RETRY_SUCCESS "upstream_rq_retry_success" Count "HTTP requests sent again that got a reply";
        Histogram UPSTREAM_RQ_TIME "upstream_rq_time_ms" Milliseconds "Request written to last byte of the reply read";
        Gauge MEMBERSHIP_TOTAL "membership_total" Count "MongoDB servers that are monitored, mode collapse only: endpoints, and members that a replica set names";
        Gauge MEMBERSHIP_HEALTHY "membership_healthy" Count "Monitored servers that can be used";
        Counter PRIMARY_CHANGES "primary_changes" Count "Times another member of the replica set was seen to be primary than before";
    }
    /// TLS with the servers of one cluster.
    ClusterSsl "cluster.{cluster}.ssl" {
        Counter HANDSHAKE "handshake" Count "Handshakes that succeeded";
        Counter CONNECTION_ERROR "connection_error" Count "Handshakes that failed for another reason than the server's certificate";
        Counter SESSION_REUSED "session_reused" Count "Handshakes that took up an earlier session";
        Counter FAIL_VERIFY_ERROR "fail_verify_error" Count "Handshakes that failed because the server's certificate is not good";
        Counter FAIL_VERIFY_SAN "fail_verify_san" Count "Handshakes that failed because the server's certificate is for another name";
    }
    /// One version of TLS with a cluster.
    ClusterSslVersion "cluster.{cluster}.ssl.versions.{version}" {
        Counter TOTAL "total" Count "Handshakes that succeeded with this version";
    }
    /// Why handshakes with servers failed.
    ClusterSslFailure "cluster.{cluster}.ssl.failures.{reason}" {
        Counter TOTAL "total" Count "Handshakes that failed for this reason";
    }
    /// The certificate that servers are shown, by its first name.
    ClusterSslCertificate "cluster.{cluster}.ssl.certificate.{certificate}" {
        Gauge EXPIRATION "expiration_unix_time_seconds" Seconds "When it expires, in seconds since 1970; 0 once it is no longer in use";
    }
    /// One endpoint of a cluster.
    ClusterEndpoint "cluster.{cluster}.endpoint.{endpoint}" {
        Counter CX_TOTAL "cx_total" Count "Connections made to this endpoint";
        Gauge CX_ACTIVE "cx_active" Count "Connections open to this endpoint";
        Counter CX_CONNECT_FAIL "cx_connect_fail" Count "Attempts to connect to this endpoint that failed";
        Counter MONITOR_SUCCESS "monitor_success" Count "Answers to the hellos that monitor it";
        Counter MONITOR_FAILURE "monitor_failure" Count "Attempts to monitor it that failed";
        Histogram ROUND_TRIP_MS "round_trip_ms" Milliseconds "Round trips of the hellos that monitor it";
        Counter RQ_TOTAL "rq_total" Count "HTTP requests sent to this endpoint";
        Gauge RQ_ACTIVE "rq_active" Count "HTTP requests under way at this endpoint";
        Counter RQ_SUCCESS "rq_success" Count "HTTP replies with a status below 500";
        Counter RQ_ERROR "rq_error" Count "HTTP replies with a status from 500, and requests without a whole reply";
        Counter RQ_TIMEOUT "rq_timeout" Count "HTTP requests without a whole reply within their route's timeout";
    }
    /// One status code that a cluster answered with.
    ClusterCode "cluster.{cluster}.code.{code}" {
        Counter TOTAL "total" Count "HTTP replies with this status";
    }
    /// The HTTP/2 connections to the servers of a cluster.
    ClusterTwo "cluster.{cluster}.http2" {
        Gauge STREAMS_ACTIVE "streams_active" Count "Streams open";
        Counter RX_RESET "rx_reset" Count "Streams reset by servers";
        Counter TX_RESET "tx_reset" Count "Streams reset by the proxy";
        Counter RX_GOAWAY "rx_goaway" Count "GOAWAY frames that servers sent";
        Counter TX_GOAWAY "tx_goaway" Count "GOAWAY frames sent to servers";
        Counter RX_MESSAGING_ERROR "rx_messaging_error" Count "Connections ended because what a server sent was no HTTP/2";
    }
    /// Upstream connections of one cluster that clients share.
    Pool "cluster.{cluster}.pool" {
        Counter CHECKOUTS "checkouts" Count "Connections lent to an operation";
        Counter REUSED "reused" Count "Connections lent that had served before";
        Gauge ACTIVE "active" Count "Connections lent now";
        Gauge IDLE "idle" Count "Connections open that nobody uses";
        Gauge WAITING "waiting" Count "Operations that wait for a connection";
        Gauge CONNECTING "connecting" Count "Connections being opened";
        Gauge LONGEST_WAIT_MS "longest_wait_ms" Milliseconds "How long the first of the operations that wait has waited";
        Gauge PAUSED "paused" Count "1 while the cluster is drained, else 0";
        Gauge LONG_WAITS_ACTIVE "long_waits_active" Count "Connections lent to operations that wait for something to happen";
        Counter WAIT_TIMEOUT "wait_timeout" Count "Operations that got no connection within their time";
        Counter QUEUE_FULL "queue_full" Count "Operations refused because max_waiting others waited";
        Counter OPEN_FAILED "open_failed" Count "Connections that could not be opened";
        Counter TAKEN_OVER "taken_over" Count "Connections that went from one worker to another";
        Counter EVICTED "evicted" Count "Connections closed because another endpoint or user needed their place";
        Histogram WAIT_TIME_MS "wait_time_ms" Milliseconds "How long operations waited for their connection; 0 where one was at hand";
        Histogram USE_TIME_MS "use_time_ms" Milliseconds "How long connections were lent";
        Histogram CONNECT_TIME_MS "connect_time_ms" Milliseconds "How long opening a connection took, with greeting and login";
    }
    /// Why pooled connections were opened.
    PoolOpened "cluster.{cluster}.pool.opened.{reason}" {
        Counter TOTAL "total" Count "Connections opened for this reason";
    }
    /// Why pooled connections were closed.
    PoolClosed "cluster.{cluster}.pool.closed.{reason}" {
        Counter TOTAL "total" Count "Connections closed for this reason";
    }
    /// What lives on one server of a cluster whose connections clients share.
    Pins "cluster.{cluster}.pins" {
        Gauge CURSORS "cursors" Count "Cursors whose server is remembered";
        Gauge TRANSACTIONS "transactions" Count "Transactions whose server is remembered";
        Counter EXPIRED "expired" Count "Cursors and transactions forgotten because nobody used them any more, or their server was gone";
        Counter REFUSED "refused" Count "Cursors and transactions not remembered because there were too many";
    }
    /// One TCP listener.
    Tcp "tcp.{listener}" {
        Counter DOWNSTREAM_CX_TOTAL "downstream_cx_total" Count "Connections accepted";
        Counter DOWNSTREAM_CX_RX_BYTES_TOTAL "downstream_cx_rx_bytes_total" Bytes "Bytes read from clients";
        Counter DOWNSTREAM_CX_TX_BYTES_TOTAL "downstream_cx_tx_bytes_total" Bytes "Bytes read from upstream for clients";
        Counter IDLE_TIMEOUT "idle_timeout" Count "Connections closed because nothing moved for idle_timeout";
    }
    /// One Mongo listener: totals, exact whatever was folded.
    Mongo "mongo.{listener}" {
        Counter TOTAL "total" Count "Operations that ended, of every command";
        Counter ERROR "error" Count "Operations that failed: an error reply, a write error, or a connection lost";
        Counter UNACKNOWLEDGED "unacknowledged" Count "Operations whose client wanted no reply";
        Counter REPLIES "replies" Count "Replies, each message of an exhaust stream included";
        Counter UNPAIRED_REPLIES "unpaired_replies" Count "Replies to no request that was seen";
        Counter EXHAUST_REPLIES "exhaust_replies" Count "Replies after which the server sends another without being asked";
        Counter AWAITABLE_HELLO "awaitable_hello" Count "Hellos that the server may hold; kept out of all percentiles";
        Counter CURSOR_WAITS "cursor_waits" Count "getMores on change streams and tailable cursors; kept out of all percentiles";
        Counter DECODING_ERROR "decoding_error" Count "Connections that are no longer decoded; their bytes still pass";
        Counter OP_MSG "op_msg" Count "OP_MSG messages";
        Counter OP_COMPRESSED "op_compressed" Count "OP_COMPRESSED messages; what is inside is counted too";
        Counter OP_QUERY "op_query" Count "OP_QUERY messages";
        Counter OP_REPLY "op_reply" Count "OP_REPLY messages";
        Counter OP_GET_MORE "op_get_more" Count "OP_GET_MORE messages";
        Counter OP_INSERT "op_insert" Count "OP_INSERT messages";
        Counter OP_UPDATE "op_update" Count "OP_UPDATE messages";
        Counter OP_DELETE "op_delete" Count "OP_DELETE messages";
        Counter OP_KILL_CURSORS "op_kill_cursors" Count "OP_KILL_CURSORS messages";
        Counter OP_COMMAND "op_command" Count "OP_COMMAND messages";
        Counter OP_COMMAND_REPLY "op_command_reply" Count "OP_COMMANDREPLY messages";
        Counter OP_UNKNOWN "op_unknown" Count "Messages with an opcode that is not known";
        Gauge OP_QUERY_ACTIVE "op_query_active" Count "Operations that wait for a reply";
        Counter OP_QUERY_TAILABLE_CURSOR "op_query_tailable_cursor" Count "Finds with tailable";
        Counter OP_QUERY_NO_CURSOR_TIMEOUT "op_query_no_cursor_timeout" Count "Finds with noCursorTimeout";
        Counter OP_QUERY_AWAIT_DATA "op_query_await_data" Count "Finds with awaitData";
        Counter OP_QUERY_EXHAUST "op_query_exhaust" Count "Finds that allow an exhaust stream";
        Counter OP_QUERY_NO_MAX_TIME "op_query_no_max_time" Count "Finds without maxTimeMS";
        Counter OP_QUERY_SCATTER_GET "op_query_scatter_get" Count "Queries whose filter has no _id";
        Counter OP_QUERY_MULTI_GET "op_query_multi_get" Count "Queries for several _id";
        Counter OP_REPLY_CURSOR_NOT_FOUND "op_reply_cursor_not_found" Count "Replies that a cursor is unknown";
        Counter OP_REPLY_QUERY_FAILURE "op_reply_query_failure" Count "OP_REPLY messages with the QueryFailure flag";
        Counter OP_REPLY_VALID_CURSOR "op_reply_valid_cursor" Count "Replies with a cursor that is still open";
        Counter CX_DESTROY_LOCAL_WITH_ACTIVE_RQ "cx_destroy_local_with_active_rq" Count "Connections the proxy closed with an operation under way";
        Counter CX_DESTROY_REMOTE_WITH_ACTIVE_RQ "cx_destroy_remote_with_active_rq" Count "Connections a peer closed with an operation under way";
        Counter CX_DRAIN_CLOSE "cx_drain_close" Count "Connections closed between two operations because the process drains";
        Counter DOCUMENTS_RETURNED "documents_returned" Documents "Documents in replies";
        Counter DOCUMENTS_WRITTEN "documents_written" Documents "Documents inserted, changed or deleted, as the server says; as sent when unacknowledged";
        Counter CURSORS_OPENED "cursors_opened" Count "Cursors that a first reply left open";
        Counter CURSORS_CLOSED "cursors_closed" Count "Cursors used up or killed";
        Counter CURSORS_TIMED_OUT "cursors_timed_out" Count "Cursors the server no longer knew, or must have ended by its own timeout";
        Gauge CURSORS_OPEN "cursors_open" Count "Cursors open";
        Counter TXN_STARTED "txn_started" Count "Transactions begun";
        Counter TXN_COMMITTED "txn_committed" Count "Transactions committed";
        Counter TXN_ABORTED "txn_aborted" Count "Transactions aborted, by the client or by an error";
        Counter TXN_TIMED_OUT "txn_timed_out" Count "Transactions whose end was not seen in two minutes";
        Gauge TXN_OPEN "txn_open" Count "Transactions open";
        Histogram TXN_TIME_MS "txn_time_ms" Milliseconds "First command of a transaction to its commit or abort";
        Histogram TOTAL_TIME_MS "total_time_ms" Milliseconds "First byte of the request read to last byte of the reply written";
        Histogram UPSTREAM_TIME_MS "upstream_time_ms" Milliseconds "Request written to last byte of the reply read";
        Histogram ADDED_TIME_MS "added_time_ms" Milliseconds "What the proxy added: total minus upstream";
        Histogram REQUEST_SIZE "request_size" Bytes "Requests on the wire";
        Histogram REPLY_SIZE "reply_size" Bytes "Replies on the wire";
    }
    /// Why connections of a Mongo listener are no longer decoded.
    MongoDecodingError "mongo.{listener}.decoding_error.{reason}" {
        Counter CX_TOTAL "cx_total" Count "Connections that are no longer decoded for this reason";
    }
    /// One compressor at a Mongo listener.
    MongoCompression "mongo.{listener}.compression.{compressor}" {
        Counter MESSAGES "messages" Count "Compressed messages, both ways";
        Counter COMPRESSED_BYTES "compressed_bytes" Bytes "Their bytes on the wire";
        Counter UNCOMPRESSED_BYTES "uncompressed_bytes" Bytes "Their bytes before compression, as they claim";
        Counter OVER_BUDGET "over_budget" Count "Messages too large to be inflated for statistics; only their beginning was seen";
    }
    /// One command.
    MongoCommand "mongo.{listener}.cmd.{cmd}" caps (1, Commands) rollup "mongo.{listener}" ("request_size", "request_size") ("reply_size", "reply_size") ("reply_time_ms", "upstream_time_ms") ("total_time_ms", "total_time_ms") ("added_time_ms", "added_time_ms") {
        Counter TOTAL "total" Count "Operations that ended";
        Counter ERROR "error" Count "Operations that failed";
        Counter UNACKNOWLEDGED "unacknowledged" Count "Operations whose client wanted no reply";
        Histogram REQUEST_SIZE "request_size" Bytes "Requests on the wire";
        Histogram REPLY_SIZE "reply_size" Bytes "Replies on the wire";
        Histogram REPLY_NUM_DOCS "reply_num_docs" Documents "Documents in the reply";
        Histogram REPLY_TIME_MS "reply_time_ms" Milliseconds "Request written to last byte of the reply read";
        Histogram TOTAL_TIME_MS "total_time_ms" Milliseconds "First byte of the request read to last byte of the reply written";
        Histogram ADDED_TIME_MS "added_time_ms" Milliseconds "What the proxy added: total minus upstream";
    }
    /// One collection, by its full name; every command on it.
    MongoCollection "mongo.{listener}.collection.{collection}.query" caps (1, Collections) {
        Counter TOTAL "total" Count "Operations that ended, of every command";
        Counter ERROR "error" Count "Operations that failed";
        Counter SCATTER_GET "scatter_get" Count "Queries whose filter has no _id";
        Counter MULTI_GET "multi_get" Count "Queries for several _id";
        Counter DOCUMENTS_WRITTEN "documents_written" Documents "Documents inserted, changed or deleted";
        Histogram REPLY_SIZE "reply_size" Bytes "Replies on the wire";
        Histogram REPLY_NUM_DOCS "reply_num_docs" Documents "Documents in the reply";
        Histogram REPLY_TIME_MS "reply_time_ms" Milliseconds "Request written to last byte of the reply read";
    }
    /// One call site on one collection; every command.
    MongoCallsite "mongo.{listener}.collection.{collection}.callsite.{callsite}.query" caps (1, Collections) (2, CallSites) {
        Counter TOTAL "total" Count "Operations that ended, of every command";
        Counter ERROR "error" Count "Operations that failed";
        Counter SCATTER_GET "scatter_get" Count "Queries whose filter has no _id";
        Counter MULTI_GET "multi_get" Count "Queries for several _id";
        Histogram REPLY_SIZE "reply_size" Bytes "Replies on the wire";
        Histogram REPLY_NUM_DOCS "reply_num_docs" Documents "Documents in the reply";
        Histogram REPLY_TIME_MS "reply_time_ms" Milliseconds "Request written to last byte of the reply read";
    }
    /// One application, by the name it gives in its handshake.
    MongoApp "mongo.{listener}.app.{app}" caps (1, Applications) {
        Counter CX_TOTAL "cx_total" Count "Connections that named it";
        Gauge CX_ACTIVE "cx_active" Count "Its connections that are open";
        Counter TOTAL "total" Count "Its operations that ended";
        Counter ERROR "error" Count "Its operations that failed";
        Histogram REPLY_TIME_MS "reply_time_ms" Milliseconds "Request written to last byte of the reply read";
    }
    /// One driver, by the name it gives in its handshake.
    MongoDriver "mongo.{listener}.driver.{driver}" caps (1, Drivers) {
        Counter CX_TOTAL "cx_total" Count "Connections that named it";
    }
    /// One error code of the server.
    MongoError "mongo.{listener}.error_code.{code}" caps (1, ErrorCodes) {
        Counter TOTAL "total" Count "Operations that failed with this code; of several write errors the first";
    }
    /// One HTTP listener: totals, exact whatever was folded.
    Http "http.{listener}" {
        Counter DOWNSTREAM_CX_TOTAL "downstream_cx_total" Count "Connections accepted";
        Gauge DOWNSTREAM_CX_ACTIVE "downstream_cx_active" Count "Connections open";
        Counter DOWNSTREAM_CX_HTTP1_TOTAL "downstream_cx_http1_total" Count "Connections that speak HTTP/1";
        Gauge DOWNSTREAM_CX_HTTP1_ACTIVE "downstream_cx_http1_active" Count "HTTP/1 connections open";
        Counter DOWNSTREAM_CX_HTTP2_TOTAL "downstream_cx_http2_total" Count "Connections that speak HTTP/2";
        Gauge DOWNSTREAM_CX_HTTP2_ACTIVE "downstream_cx_http2_active" Count "HTTP/2 connections open";
        Counter DOWNSTREAM_CX_SSL_TOTAL "downstream_cx_ssl_total" Count "Connections within TLS";
        Counter DOWNSTREAM_CX_UPGRADES_TOTAL "downstream_cx_upgrades_total" Count "Connections that became a tunnel: upgrades, and CONNECT";
        Gauge DOWNSTREAM_CX_UPGRADES_ACTIVE "downstream_cx_upgrades_active" Count "Tunnels open";
        Counter DOWNSTREAM_CX_DESTROY "downstream_cx_destroy" Count "Connections closed";
        Counter DOWNSTREAM_CX_DESTROY_LOCAL "downstream_cx_destroy_local" Count "Connections closed by the proxy";
        Counter DOWNSTREAM_CX_DESTROY_REMOTE "downstream_cx_destroy_remote" Count "Connections closed by the client";
        Counter DOWNSTREAM_CX_DESTROY_ACTIVE_RQ "downstream_cx_destroy_active_rq" Count "Connections closed with a request under way";
        Counter DOWNSTREAM_CX_DESTROY_LOCAL_ACTIVE_RQ "downstream_cx_destroy_local_active_rq" Count "Connections the proxy closed with a request under way";
        Counter DOWNSTREAM_CX_DESTROY_REMOTE_ACTIVE_RQ "downstream_cx_destroy_remote_active_rq" Count "Connections the client closed with a request under way";
        Counter DOWNSTREAM_CX_PROTOCOL_ERROR "downstream_cx_protocol_error" Count "Connections closed because what came was no HTTP, or none that is safe to pass on";
        Counter DOWNSTREAM_CX_IDLE_TIMEOUT "downstream_cx_idle_timeout" Count "Connections closed because no request came for idle_timeout";
        Counter DOWNSTREAM_CX_DRAIN_CLOSE "downstream_cx_drain_close" Count "Connections closed between two requests because the process drains";
        Counter DOWNSTREAM_CX_RX_BYTES_TOTAL "downstream_cx_rx_bytes_total" Bytes "Bytes read from clients, counted when their connection ends";
        Counter DOWNSTREAM_CX_TX_BYTES_TOTAL "downstream_cx_tx_bytes_total" Bytes "Bytes written to clients, counted when their connection ends";
        Histogram DOWNSTREAM_CX_LENGTH_MS "downstream_cx_length_ms" Milliseconds "How long connections stayed open";
        Counter DOWNSTREAM_RQ_TOTAL "downstream_rq_total" Count "Requests begun";
        Gauge DOWNSTREAM_RQ_ACTIVE "downstream_rq_active" Count "Requests under way";
        Counter DOWNSTREAM_RQ_HTTP1_TOTAL "downstream_rq_http1_total" Count "HTTP/1 requests";
        Counter DOWNSTREAM_RQ_HTTP2_TOTAL "downstream_rq_http2_total" Count "HTTP/2 requests";
        Counter DOWNSTREAM_RQ_COMPLETED "downstream_rq_completed" Count "Requests whose reply was begun, by the upstream or by the proxy";
        Counter DOWNSTREAM_RQ_1XX "downstream_rq_1xx" Count "Replies that ended with a status below 200: connections that became a tunnel";
        Counter DOWNSTREAM_RQ_2XX "downstream_rq_2xx" Count "Replies with a status from 200 to 299";
        Counter DOWNSTREAM_RQ_3XX "downstream_rq_3xx" Count "Replies with a status from 300 to 399";
        Counter DOWNSTREAM_RQ_4XX "downstream_rq_4xx" Count "Replies with a status from 400 to 499";
        Counter DOWNSTREAM_RQ_5XX "downstream_rq_5xx" Count "Replies with a status from 500";
        Counter DOWNSTREAM_RQ_ERROR "downstream_rq_error" Count "Requests that failed: a status from 500, or no whole reply";
        Counter DOWNSTREAM_RQ_RX_RESET "downstream_rq_rx_reset" Count "Requests whose client left before it had the whole reply";
        Counter DOWNSTREAM_RQ_TX_RESET "downstream_rq_tx_reset" Count "Requests whose reply the proxy cut off";
        Counter DOWNSTREAM_RQ_TOO_LARGE "downstream_rq_too_large" Count "Requests with a body beyond max_body (413)";
        Counter DOWNSTREAM_RQ_HEADER_TIMEOUT "downstream_rq_header_timeout" Count "Requests whose head took longer than header_timeout (408)";
        Counter DOWNSTREAM_RQ_TIMEOUT "downstream_rq_timeout" Count "Requests that took longer than header_timeout or request_timeout to arrive (408)";
        Counter DOWNSTREAM_RQ_IDLE_TIMEOUT "downstream_rq_idle_timeout" Count "Requests in which nothing moved for the stream's idle_timeout";
        Counter DOWNSTREAM_RQ_RESPONSE_BEFORE_RQ_COMPLETE "downstream_rq_response_before_rq_complete" Count "Replies that ended before their request had";
        Counter RQ_TOTAL "rq_total" Count "Requests sent on to a cluster";
        Counter DECODING_ERROR "decoding_error" Count "Tapped connections that are no longer decoded; their bytes still pass";
        Counter NO_ROUTE "no_route" Count "Requests that no route takes (404)";
        Counter NO_CLUSTER "no_cluster" Count "Requests whose route leads to no cluster (503)";
        Counter RQ_REDIRECT "rq_redirect" Count "Requests answered with a redirect";
        Counter RQ_DIRECT_RESPONSE "rq_direct_response" Count "Requests answered with a reply of the config";
        Histogram DOWNSTREAM_RQ_TIME_MS "downstream_rq_time_ms" Milliseconds "First byte of the request read to last byte of the reply written";
        Histogram FIRST_BYTE_MS "first_byte_ms" Milliseconds "First byte of the request read to first byte of the upstream's reply read";
        Histogram UPSTREAM_TIME_MS "upstream_time_ms" Milliseconds "Request written to last byte of the reply read";
        Histogram ADDED_TIME_MS "added_time_ms" Milliseconds "What the proxy added to what the upstream took: total minus upstream";
        Histogram REQUEST_BYTES "request_bytes" Bytes "Requests as they came, head and body";
        Histogram RESPONSE_BYTES "response_bytes" Bytes "Replies as they were sent, head and body";
    }
    /// One route of an HTTP listener. Requests that no route takes are those of `_none`.
    HttpRoute "http.{listener}.route.{route}" rollup "http.{listener}" ("downstream_rq_time_ms", "downstream_rq_time_ms") ("first_byte_ms", "first_byte_ms") ("upstream_time_ms", "upstream_time_ms") ("added_time_ms", "added_time_ms") ("request_bytes", "request_bytes") ("response_bytes", "response_bytes") {
        Counter DOWNSTREAM_RQ_TOTAL "downstream_rq_total" Count "Requests that ended";
        Counter DOWNSTREAM_RQ_1XX "downstream_rq_1xx" Count "Replies that ended with a status below 200: connections that became a tunnel";
        Counter DOWNSTREAM_RQ_2XX "downstream_rq_2xx" Count "Replies with a status from 200 to 299";
        Counter DOWNSTREAM_RQ_3XX "downstream_rq_3xx" Count "Replies with a status from 300 to 399";
        Counter DOWNSTREAM_RQ_4XX "downstream_rq_4xx" Count "Replies with a status from 400 to 499";
        Counter DOWNSTREAM_RQ_5XX "downstream_rq_5xx" Count "Replies with a status from 500";
        Counter DOWNSTREAM_RQ_ERROR "downstream_rq_error" Count "Requests that failed: a status from 500, or no whole reply";
        Histogram DOWNSTREAM_RQ_TIME_MS "downstream_rq_time_ms" Milliseconds "First byte of the request read to last byte of the reply written";
        Histogram FIRST_BYTE_MS "first_byte_ms" Milliseconds "First byte of the request read to first byte of the upstream's reply read";
        Histogram UPSTREAM_TIME_MS "upstream_time_ms" Milliseconds "Request written to last byte of the reply read";
        Histogram ADDED_TIME_MS "added_time_ms" Milliseconds "What the proxy added to what the upstream took: total minus upstream";
        Histogram REQUEST_BYTES "request_bytes" Bytes "Requests as they came, head and body";
        Histogram RESPONSE_BYTES "response_bytes" Bytes "Replies as they were sent, head and body";
    }
    /// One caller, by the header that the listener is told to look at.
    HttpCaller "http.{listener}.caller.{caller}" caps (1, Callers) {
        Counter DOWNSTREAM_RQ_TOTAL "downstream_rq_total" Count "Requests that ended";
        Counter DOWNSTREAM_RQ_1XX "downstream_rq_1xx" Count "Replies that ended with a status below 200: connections that became a tunnel";
        Counter DOWNSTREAM_RQ_2XX "downstream_rq_2xx" Count "Replies with a status from 200 to 299";
        Counter DOWNSTREAM_RQ_3XX "downstream_rq_3xx" Count "Replies with a status from 300 to 399";
        Counter DOWNSTREAM_RQ_4XX "downstream_rq_4xx" Count "Replies with a status from 400 to 499";
        Counter DOWNSTREAM_RQ_5XX "downstream_rq_5xx" Count "Replies with a status from 500";
        Counter DOWNSTREAM_RQ_ERROR "downstream_rq_error" Count "Requests that failed: a status from 500, or no whole reply";
        Histogram DOWNSTREAM_RQ_TIME_MS "downstream_rq_time_ms" Milliseconds "First byte of the request read to last byte of the reply written";
        Histogram UPSTREAM_TIME_MS "upstream_time_ms" Milliseconds "Request written to last byte of the reply read";
        Histogram REQUEST_BYTES "request_bytes" Bytes "Requests as they came, head and body";
        Histogram RESPONSE_BYTES "response_bytes" Bytes "Replies as they were sent, head and body";
    }
    /// One status code of an HTTP listener.
    HttpCode "http.{listener}.code.{code}" caps (1, StatusCodes) {
        Counter TOTAL "total" Count "Replies with this status";
    }
    /// Why an HTTP listener answered in the upstream's place or cut a reply off, by Envoy's response flags.
    HttpFlag "http.{listener}.flag.{flag}" {
        Counter TOTAL "total" Count "Requests that ended with this flag";
    }
    /// Why requests of an HTTP listener were refused as malformed or unsafe.
    HttpRefused "http.{listener}.refused.{reason}" {
        Counter TOTAL "total" Count "Requests refused for this reason";
    }
    /// Why tapped connections of an HTTP listener are no longer decoded.
    HttpDecodingError "http.{listener}.decoding_error.{reason}" {
        Counter CX_TOTAL "cx_total" Count "Connections that are no longer decoded for this reason";
    }
    /// The HTTP/1 decoder of a listener.
    HttpOne "http.{listener}.http1" {
        Counter DROPPED_HEADERS_WITH_UNDERSCORES "dropped_headers_with_underscores" Count "Headers left out because of an underscore in their name";
        Counter REQUESTS_REJECTED_WITH_UNDERSCORES_IN_HEADERS "requests_rejected_with_underscores_in_headers" Count "Requests refused because of an underscore in a header's name";
        Counter TRAILERS_DROPPED "trailers_dropped" Count "Trailer fields left out because they may not stand there";
    }
    /// The HTTP/2 connections of a listener.
    HttpTwo "http.{listener}.http2" {
        Gauge STREAMS_ACTIVE "streams_active" Count "Streams open";
        Counter RX_RESET "rx_reset" Count "Streams reset by clients";
        Counter TX_RESET "tx_reset" Count "Streams reset by the proxy, also such as a client did not wait for the end of";
        Counter RX_GOAWAY "rx_goaway" Count "Connections that a client said GOAWAY on";
        Counter TX_GOAWAY "tx_goaway" Count "GOAWAY frames sent: two where a connection ends in order";
        Counter RX_MESSAGING_ERROR "rx_messaging_error" Count "Connections ended because what came was no HTTP/2, or too much of it";
        Counter INBOUND_EMPTY_FRAMES_FLOOD "inbound_empty_frames_flood" Count "Connections ended because of frames without payload one after the other";
        Counter INBOUND_PING_FLOOD "inbound_ping_flood" Count "Connections ended because of too many PING frames";
        Counter INBOUND_PRIORITY_FRAMES_FLOOD "inbound_priority_frames_flood" Count "Connections ended because of too many PRIORITY frames for their streams";
        Counter INBOUND_RESET_FLOOD "inbound_reset_flood" Count "Connections ended because most of their requests were reset at once, or more than there were";
        Counter INBOUND_SETTINGS_FLOOD "inbound_settings_flood" Count "Connections ended because of too many SETTINGS frames";
        Counter INBOUND_UNKNOWN_FRAMES_FLOOD "inbound_unknown_frames_flood" Count "Connections ended because of too many frames of a kind that means nothing";
        Counter INBOUND_WINDOW_UPDATE_FRAMES_FLOOD "inbound_window_update_frames_flood" Count "Connections ended because of too many WINDOW_UPDATE frames for what was sent";
        Counter HEADER_OVERFLOW "header_overflow" Count "Requests whose headers were larger than max_head, answered with 431";
        Counter STREAMS_REFUSED "streams_refused" Count "Streams reset before they were requests: malformed, or beyond max_streams";
        Counter DROPPED_HEADERS_WITH_UNDERSCORES "dropped_headers_with_underscores" Count "Headers left out because of an underscore in their name";
        Counter REQUESTS_REJECTED_WITH_UNDERSCORES_IN_HEADERS "requests_rejected_with_underscores_in_headers" Count "Requests refused because of an underscore in a header's name";
    }
    /// One gRPC method of an HTTP listener.
    HttpGrpc "http.{listener}.grpc.{service}.{method}" caps (1, GrpcMethods) (2, GrpcMethods) {
        Counter TOTAL "total" Count "Calls that ended";
        Counter SUCCESS "success" Count "Calls that ended with status 0";
        Counter FAILURE "failure" Count "Calls that ended with another status, or without one";
        Counter REQUEST_MESSAGES "request_messages" Count "Messages from clients";
        Counter RESPONSE_MESSAGES "response_messages" Count "Messages to clients";
        Histogram TIME_MS "time_ms" Milliseconds "First byte of the call read to last byte of its reply written";
    }
    /// How calls of one gRPC method ended.
    HttpGrpcStatus "http.{listener}.grpc.{service}.{method}.status.{status}" caps (1, GrpcMethods) (2, GrpcMethods) (3, StatusCodes) {
        Counter TOTAL "total" Count "Calls that ended with this status";
    }
    /// Redis on one listener.
    Redis "redis.{listener}" {
        Counter DOWNSTREAM_RQ_TOTAL "downstream_rq_total" Count "Commands that ended";
        Gauge DOWNSTREAM_RQ_ACTIVE "downstream_rq_active" Count "Commands without a whole reply";
        Counter ERROR "error" Count "Commands answered with an error, or without a whole reply";
        Counter WITHOUT_REPLY "without_reply" Count "Commands that were to have no reply, because of CLIENT REPLY";
        Counter BLOCKED "blocked" Count "Commands that waited for something to happen, such as BLPOP; not in the percentiles";
        Counter KEYS "keys" Count "Keys that commands named";
        Counter MOVED "moved" Count "Commands of clients in mode collapse that were sent to another server of their Redis Cluster, as their slot has moved";
        Counter ASK "ask" Count "Commands of clients in mode collapse that were sent to another server of their Redis Cluster, as their slot is on its way";
        Counter MIRRORED "mirrored" Count "Commands that were sent to the cluster of the mirror as well";
        Counter MIRROR_DROPPED "mirror_dropped" Count "Commands whose turn it was to be mirrored, and that were not: the cluster of the mirror was behind, or could not be reached";
        Counter LOGIN_FAILED "login_failed" Count "Logins that the proxy refused, with auth: users";
        Counter PUSHES "pushes" Count "What servers sent of their own accord: messages of subscriptions, invalidations, lines of MONITOR";
        Counter SUBSCRIBED "subscribed" Count "Confirmations of SUBSCRIBE, PSUBSCRIBE and SSUBSCRIBE";
        Counter UNSUBSCRIBED "unsubscribed" Count "Confirmations of UNSUBSCRIBE, PUNSUBSCRIBE and SUNSUBSCRIBE";
        Counter DECODING_ERROR "decoding_error" Count "Connections that are no longer decoded; their bytes still pass";
        Counter CX_DRAIN_CLOSE "cx_drain_close" Count "Connections closed because of a drain";
        Counter CX_DESTROY_LOCAL_WITH_ACTIVE_RQ "cx_destroy_local_with_active_rq" Count "Connections closed by the proxy with a command under way";
        Counter CX_DESTROY_REMOTE_WITH_ACTIVE_RQ "cx_destroy_remote_with_active_rq" Count "Connections closed by the client or by the upstream with a command under way";
        Histogram LATENCY "latency" Microseconds "First byte of the command read to last byte of the reply written";
        Histogram UPSTREAM_LATENCY "upstream_latency" Microseconds "Command written to last byte of the reply read";
        Histogram ADDED_LATENCY "added_latency" Microseconds "What the proxy added to what the upstream took: total minus upstream";
        Histogram BLOCKED_TIME "blocked_time" Microseconds "Command written to last byte of the reply read, for commands that wait for something to happen";
        Histogram REQUEST_BYTES "request_bytes" Bytes "Commands as they came";
        Histogram REPLY_BYTES "reply_bytes" Bytes "Replies as they came, all confirmations of a SUBSCRIBE together";
        Histogram KEY_BYTES "key_bytes" Bytes "First keys of commands";
        Histogram PIPELINE_DEPTH "pipeline_depth" Count "Commands under way on a connection after each read that brought one";
    }
    /// One command of a Redis listener, subcommands such as `client_setname` by themselves.
    RedisCommand "redis.{listener}.command.{command}" caps (1, Commands) rollup "redis.{listener}" ("latency", "latency") ("upstream_latency", "upstream_latency") ("added_latency", "added_latency") ("request_bytes", "request_bytes") ("reply_bytes", "reply_bytes") {
        Counter TOTAL "total" Count "Commands that ended";
        Counter SUCCESS "success" Count "Commands that did not fail";
        Counter ERROR "error" Count "Commands answered with an error, or without a whole reply";
        Histogram LATENCY "latency" Microseconds "First byte of the command read to last byte of the reply written";
        Histogram UPSTREAM_LATENCY "upstream_latency" Microseconds "Command written to last byte of the reply read";
        Histogram ADDED_LATENCY "added_latency" Microseconds "What the proxy added to what the upstream took: total minus upstream";
        Histogram REQUEST_BYTES "request_bytes" Bytes "Commands as they came";
        Histogram REPLY_BYTES "reply_bytes" Bytes "Replies as they came";
    }
    /// One application of a Redis listener, by the name that its connections have.
    RedisApp "redis.{listener}.app.{app}" caps (1, Applications) {
        Counter CX_TOTAL "cx_total" Count "Connections that took this name";
        Gauge CX_ACTIVE "cx_active" Count "Connections with this name";
        Counter TOTAL "total" Count "Commands that ended";
        Counter ERROR "error" Count "Commands answered with an error, or without a whole reply";
        Histogram UPSTREAM_LATENCY "upstream_latency" Microseconds "Command written to last byte of the reply read";
    }
    /// One client library of a Redis listener, by CLIENT SETINFO.
    RedisDriver "redis.{listener}.driver.{driver}" caps (1, Drivers) {
        Counter CX_TOTAL "cx_total" Count "Connections whose client named this library";
    }
    /// One pattern of keys of a Redis listener.
    RedisKeys "redis.{listener}.key_pattern.{pattern}" {
        Counter TOTAL "total" Count "Commands that ended and whose first key fits";
        Counter ERROR "error" Count "Commands answered with an error, or without a whole reply";
        Histogram UPSTREAM_LATENCY "upstream_latency" Microseconds "Command written to last byte of the reply read";
        Histogram REQUEST_BYTES "request_bytes" Bytes "Commands as they came";
        Histogram REPLY_BYTES "reply_bytes" Bytes "Replies as they came";
    }
    /// One kind of error that a Redis listener's clients got, by the first word of its message.
    RedisError "redis.{listener}.error_prefix.{prefix}" caps (1, ErrorCodes) {
        Counter TOTAL "total" Count "Errors that begin with this word";
    }
    /// One type of reply of a Redis listener.
    RedisReply "redis.{listener}.reply.{type}" {
        Counter TOTAL "total" Count "Replies of this type";
    }
    /// Why connections of a Redis listener are no longer decoded.
    RedisDecodingError "redis.{listener}.decoding_error.{reason}" {
        Counter CX_TOTAL "cx_total" Count "Connections that are no longer decoded for this reason";
    }
    /// The process.
    Server "server" {
        Gauge UPTIME "uptime" Seconds "Since the process started";
        Gauge LIVE "live" Count "1 while traffic is accepted, 0 while draining";
        Gauge STATE "state" Count "0 live, 1 draining";
        Gauge CONCURRENCY "concurrency" Count "Worker threads";
        Gauge TOTAL_CONNECTIONS "total_connections" Count "Sessions over all listeners";
        Gauge FIRST_CERT_EXPIRES_IN "first_cert_expires_in" Seconds "How long the first certificate is still good, in whole days; below 0 when it is not; 0 without TLS";
        Gauge MEMORY_PHYSICAL_SIZE "memory_physical_size" Bytes "Resident memory";
    }
    /// Reloads of the config.
    ServerConfig "server.config" {
        Counter RELOAD_SUCCESS "reload_success" Count "Reloads that were taken over";
        Counter RELOAD_FAILURE "reload_failure" Count "Reloads that changed nothing";
    }
    /// The statistics themselves.
    StatsSelf "stats" {
        Gauge SERIES "series" Count "Series that exist";
        Counter STATSD_SENT "statsd_sent" Count "Lines given to statsd";
        Counter STATSD_DROPPED "statsd_dropped" Count "Lines statsd did not take";
        Counter STALE_SHARDS "stale_shards" Count "Times a worker was too busy to hand its histograms over in time";
    }
    /// What was folded into `_other`.
    StatsFolded "stats.folded.{label}" {
        Counter TOTAL "total" Count "Times a name beyond the limit was looked up, and `_other` was taken in its place";
    }
}

/// The place of a metric among those of its sort: histograms are numbered apart. Worked out by the
/// compiler, from the row that the macro has just written.
const fn place(mut metrics: &[Metric], name: &str) -> usize {
    let mut cells = 0;
    let mut histograms = 0;
    while let [metric, rest @ ..] = metrics {
        let place = match metric.kind {
            Kind::Histogram => &mut histograms,
            Kind::Counter | Kind::Gauge => &mut cells,
        };
        if is_same(metric.name.as_bytes(), name.as_bytes()) {
            return *place;
        }
        *place += 1;
        metrics = rest;
    }
    usize::MAX
}

const fn is_same(mut a: &[u8], mut b: &[u8]) -> bool {
    while let ([x, rest_of_a @ ..], [y, rest_of_b @ ..]) = (a, b) {
        if *x != *y {
            return false;
        }
        (a, b) = (rest_of_a, rest_of_b);
    }
    a.is_empty() && b.is_empty()
}

impl ScopeRow {
    /// The names of its labels, in the order of the placeholders.
    pub fn labels(&self) -> impl Iterator<Item = &'static str> {
        self.prefix
            .split('.')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    /// The scope that its histograms are added up in.
    pub fn rolls_up_into(&self) -> Option<&'static Self> {
        let into = self.rollup.as_ref()?.into;
        SCOPES.iter().find(|scope| scope.prefix == into)
    }

    /// The place of a histogram among the histograms.
    pub fn histogram(&self, name: &str) -> Option<usize> {
        self.metrics
            .iter()
            .filter(|metric| metric.kind == Kind::Histogram)
            .position(|metric| metric.name == name)
    }

    /// How many counters and gauges it has.
    pub fn cells(&self) -> usize {
        self.metrics.len() - self.histograms()
    }

    /// How many histograms it has.
    pub fn histograms(&self) -> usize {
        self.metrics
            .iter()
            .filter(|metric| metric.kind == Kind::Histogram)
            .count()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_metric_has_one_place_and_one_name() {
        let mut names = HashSet::new();
        for scope in SCOPES {
            for metric in scope.metrics {
                assert!(
                    names.insert((scope.prefix, metric.name)),
                    "{} {}",
                    scope.prefix,
                    metric.name
                );
                assert_ne!(place(scope.metrics, metric.name), usize::MAX);
                assert!(!metric.help.is_empty());
                let in_milliseconds = metric.name.ends_with("_ms");
                assert_eq!(
                    in_milliseconds,
                    metric.unit == Unit::Milliseconds,
                    "{}",
                    metric.name
                );
            }
            for (from, to) in scope.rollup.iter().flat_map(|rollup| rollup.histograms) {
                let into = scope.rolls_up_into().expect("a scope of that prefix");
                assert!(scope.histogram(from).is_some() && into.histogram(to).is_some());
                assert!(scope.prefix.starts_with(into.prefix));
            }
            let labels = scope.labels().count();
            assert!(scope.caps.iter().all(|(place, _)| *place < labels));
        }
        assert_eq!(MongoCommand::REQUEST_SIZE.0, 0);
        assert_eq!(Listener::DOWNSTREAM_CX_ACTIVE.0, 1);
    }
}
