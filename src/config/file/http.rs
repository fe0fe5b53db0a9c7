//! What belongs to protocol http, as it is written.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{DURATION, NAME};
use crate::config::choices::{
    FORWARDED_PROTOS, HTTP_MODES, HTTP_VERSIONS, REDIRECT_STATUSES, SCHEMES, UNDERSCORES,
};
use crate::config::defaults;
use crate::config::field::{Field, Table};
use crate::config::values::{duration_or_never, size_text};

/// How HTTP connections are handled. All of it can be changed by a reload, for new connections.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Http")]
pub(crate) struct HttpFile {
    /// `tap`: one upstream connection a client, bytes unchanged. `proxy`: each request goes where its route says, over
    /// connections that clients share.
    #[serde(default)]
    #[schemars(extend("enum" = HTTP_MODES.available(), "default" = HTTP_MODES.word(defaults::HTTP_MODE)))]
    pub(crate) mode: Field<String>,
    /// What clients may speak: `http1` (with HTTP/1.0), `http2`. Which it is is found from the first bytes, or agreed
    /// on by ALPN with TLS. Default: both.
    #[serde(default)]
    #[schemars(length(min = 1), extend("items" = json!({ "type": "string", "enum": HTTP_VERSIONS.available() })))]
    pub(crate) versions: Field<Vec<Field<String>>>,
    /// Name of the header that says where in the caller's code a request comes from; its values become labels of
    /// stats, `limits.callers` of them. Default: none.
    #[serde(default)]
    #[schemars(regex(pattern = TOKEN))]
    pub(crate) caller_header: Field<String>,
    /// What upstreams are told of the client. Only with mode proxy, like all that follows.
    #[serde(default)]
    pub(crate) forwarded: Field<ForwardedFile>,
    /// What becomes of headers with an underscore in their name, which some servers take for a `-`: `reject` refuses
    /// the request, `drop` leaves them out, `allow` forwards them.
    #[serde(default)]
    #[schemars(extend("enum" = UNDERSCORES.available(), "default" = UNDERSCORES.word(defaults::HTTP_UNDERSCORES)))]
    pub(crate) underscores: Field<String>,
    /// Whether CONNECT is forwarded, and tunnelled when the upstream agrees. Otherwise it is refused.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub(crate) allow_connect: Field<bool>,
    /// Most bytes of the head of a request, from `1KiB` to `60KiB`. A larger request gets status 431.
    #[serde(default)]
    #[schemars(regex(pattern = SIZE), extend("default" = size_text(defaults::HTTP_HEAD_MAX)))]
    pub(crate) max_head: Field<String>,
    /// Most headers of a request. One with more gets status 431.
    #[serde(default)]
    #[schemars(range(min = 1, max = defaults::HTTP_HEADERS_MAX), extend("default" = defaults::HTTP_MAX_HEADERS))]
    pub(crate) max_headers: Field<u64>,
    /// Most bytes of the body of a request; a larger one gets status 413. `0B` is no limit.
    #[serde(default)]
    #[schemars(regex(pattern = SIZE), extend("default" = size_text(0)))]
    pub(crate) max_body: Field<String>,
    /// How long the head of a request may take, from its first byte; `0s` is for ever.
    #[serde(default)]
    #[schemars(regex(pattern = DURATION), extend("default" = duration_or_never(defaults::HTTP_HEADER_TIMEOUT)))]
    pub(crate) header_timeout: Field<String>,
    /// A request or reply under way without a byte in either direction for this long is ended; `0s` is never.
    #[serde(default)]
    #[schemars(regex(pattern = DURATION), extend("default" = duration_or_never(defaults::HTTP_STREAM_IDLE_TIMEOUT)))]
    pub(crate) idle_timeout: Field<String>,
    /// How long a whole request may take to arrive, from its first byte; `0s` is for ever.
    #[serde(default)]
    #[schemars(regex(pattern = DURATION), extend("default" = duration_or_never(defaults::HTTP_REQUEST_TIMEOUT)))]
    pub(crate) request_timeout: Field<String>,
    /// Most requests at the same time on one HTTP/2 connection of a client.
    #[serde(default)]
    #[schemars(range(min = 1, max = defaults::HTTP_STREAMS_MAX), extend("default" = defaults::HTTP_MAX_STREAMS))]
    pub(crate) max_streams: Field<u64>,
    /// Hosts with their routes. What no route takes goes to the listener's `cluster`, as route `default`; without one it
    /// gets status 404.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(crate) virtual_hosts: Field<Vec<Field<VirtualHostFile>>>,
}

/// What upstreams are told of the client.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Forwarded")]
pub(crate) struct ForwardedFile {
    /// How many proxies are in front of this one. With at least one, what they say in `x-forwarded-proto` can be kept.
    #[serde(default)]
    #[schemars(range(max = defaults::HTTP_TRUSTED_HOPS_MAX), extend("default" = 0))]
    pub(crate) trusted_hops: Field<u64>,
    /// Whether the address of the peer is appended to `x-forwarded-for`.
    #[serde(default)]
    #[schemars(extend("default" = true))]
    pub(crate) append: Field<bool>,
    /// What `x-forwarded-proto` becomes. `set`: the scheme of this connection, whatever the request says. `keep`: what
    /// the request says, and the scheme of this connection where it says nothing; needs `trusted_hops`.
    /// Default: `set` without trusted hops, `keep` with them.
    #[serde(default)]
    #[schemars(extend("enum" = FORWARDED_PROTOS.available()))]
    pub(crate) proto: Field<String>,
}

/// Hosts with their routes.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "VirtualHost", extend("required" = ["name", "domains", "routes"]))]
pub(crate) struct VirtualHostFile {
    /// Unique in its listener: letters, digits, `_` and `-`, at most 64.
    #[serde(default)]
    #[schemars(regex(pattern = NAME))]
    pub(crate) name: Field<String>,
    /// Hosts without a port: `shop.example`, `*.shop.example`, `shop.*`, or `*` for all others. Of those that fit the
    /// most exact one counts: a whole name before a wildcard, `*.x` before `x.*`, a longer one before a shorter one.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(crate) domains: Field<Vec<Field<String>>>,
    /// Edits of all requests that are forwarded; those of the route come after them.
    #[serde(default)]
    pub(crate) request_headers: Field<HeaderEditsFile>,
    /// Edits of all replies; those of the route come after them.
    #[serde(default)]
    pub(crate) response_headers: Field<HeaderEditsFile>,
    /// The first one that fits takes the request.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(crate) routes: Field<Vec<Field<RouteFile>>>,
}

/// Which requests are meant, and what becomes of them.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Route", extend("required" = ["name"], "allOf" = [
    { "oneOf": [{ "required": ["path"] }, { "required": ["prefix"] }, { "required": ["regex"] }] },
    { "oneOf": [
        { "required": ["cluster"] }, { "required": ["clusters"] },
        { "required": ["redirect"] }, { "required": ["respond"] },
    ] },
]))]
pub(crate) struct RouteFile {
    /// Part of stat names, unique in its listener: letters, digits, `_` and `-`, at most 64.
    #[serde(default)]
    #[schemars(regex(pattern = NAME))]
    pub(crate) name: Field<String>,
    /// The path has to be this one. The query is no part of it.
    #[serde(default)]
    #[schemars(regex(pattern = PATH))]
    pub(crate) path: Field<String>,
    /// The path has to begin like this.
    #[serde(default)]
    #[schemars(regex(pattern = PATH))]
    pub(crate) prefix: Field<String>,
    /// This regular expression has to fit the whole path.
    #[serde(default)]
    pub(crate) regex: Field<String>,
    /// The method has to be one of these, in upper case as they are sent. Default: any.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(crate) methods: Field<Vec<Field<String>>>,
    /// Each of these headers has to be as it says. Default: none.
    #[serde(default)]
    pub(crate) headers: Field<Vec<Field<HeaderMatchFile>>>,
    /// Name of the cluster that requests go to.
    #[serde(default)]
    pub(crate) cluster: Field<String>,
    /// Clusters that share the requests.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(crate) clusters: Field<Vec<Field<WeightedClusterFile>>>,
    /// What the upstream gets in the place of `prefix` or `path`. Default: the path as it is.
    #[serde(default)]
    #[schemars(regex(pattern = PATH))]
    pub(crate) prefix_rewrite: Field<String>,
    /// What the upstream gets as host. Default: what the client has sent.
    #[serde(default)]
    pub(crate) host_rewrite: Field<String>,
    /// How long the reply may take as a whole, from the end of the request; `0s` is for ever, for streams.
    #[serde(default)]
    #[schemars(regex(pattern = DURATION), extend("default" = duration_or_never(defaults::HTTP_ROUTE_TIMEOUT)))]
    pub(crate) timeout: Field<String>,
    /// A request or reply under way without a byte in either direction for this long is ended; `0s` is never.
    /// Default: that of the listener's `http`.
    #[serde(default)]
    #[schemars(regex(pattern = DURATION))]
    pub(crate) idle_timeout: Field<String>,
    /// Edits of the request, after those of the virtual host.
    #[serde(default)]
    pub(crate) request_headers: Field<HeaderEditsFile>,
    /// Edits of the reply, after those of the virtual host.
    #[serde(default)]
    pub(crate) response_headers: Field<HeaderEditsFile>,
    /// The client is sent elsewhere.
    #[serde(default)]
    pub(crate) redirect: Field<RedirectFile>,
    /// The request is answered here.
    #[serde(default)]
    pub(crate) respond: Field<RespondFile>,
}

/// What a header has to be. One of `value`, `present` and `regex` says so.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "HeaderMatch", extend(
    "required" = ["name"],
    "oneOf" = [{ "required": ["value"] }, { "required": ["present"] }, { "required": ["regex"] }]
))]
pub(crate) struct HeaderMatchFile {
    /// Name of the header; upper and lower case are the same.
    #[serde(default)]
    #[schemars(regex(pattern = TOKEN))]
    pub(crate) name: Field<String>,
    /// Its value has to be this.
    #[serde(default)]
    pub(crate) value: Field<String>,
    /// `true`: it has to be there. `false`: it must not be there.
    #[serde(default)]
    pub(crate) present: Field<bool>,
    /// This regular expression has to fit its whole value.
    #[serde(default)]
    pub(crate) regex: Field<String>,
}

/// A share of a route's requests.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "WeightedCluster", extend("required" = ["cluster", "weight"]))]
pub(crate) struct WeightedClusterFile {
    /// Name of the cluster.
    #[serde(default)]
    pub(crate) cluster: Field<String>,
    /// Its part of the sum of all weights.
    #[serde(default)]
    #[schemars(range(max = defaults::HTTP_WEIGHT_MAX))]
    pub(crate) weight: Field<u64>,
}

/// Edits of headers. First those of `set` and `remove` are taken out, then those of `set` and `add` are put in.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "HeaderEdits")]
pub(crate) struct HeaderEditsFile {
    /// Names and values that take the place of whatever stands there. Default: none.
    #[serde(default)]
    pub(crate) set: Field<Table>,
    /// Names and values that come besides whatever stands there. Default: none.
    #[serde(default)]
    pub(crate) add: Field<Table>,
    /// Names of headers to leave out. Default: none.
    #[serde(default)]
    pub(crate) remove: Field<Vec<Field<String>>>,
}

/// Where a client is sent to. What is left out stays as it was in the request.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Redirect")]
pub(crate) struct RedirectFile {
    /// Status of the reply.
    #[serde(default)]
    #[schemars(extend("enum" = REDIRECT_STATUSES, "default" = defaults::HTTP_REDIRECT_STATUS))]
    pub(crate) status: Field<u64>,
    /// `http` or `https`.
    #[serde(default)]
    #[schemars(extend("enum" = SCHEMES.available()))]
    pub(crate) scheme: Field<String>,
    /// Host, with a port if it is not the one that the scheme has.
    #[serde(default)]
    pub(crate) host: Field<String>,
    /// The whole path.
    #[serde(default)]
    #[schemars(regex(pattern = PATH))]
    pub(crate) path: Field<String>,
    /// What stands in the place of the route's `prefix` or `path`.
    #[serde(default)]
    #[schemars(regex(pattern = PATH))]
    pub(crate) prefix_rewrite: Field<String>,
    /// Whether the query is left out.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub(crate) strip_query: Field<bool>,
}

/// A reply without an upstream.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Respond", extend("required" = ["status"]))]
pub(crate) struct RespondFile {
    /// Its status.
    #[serde(default)]
    #[schemars(range(min = defaults::HTTP_RESPOND_STATUS_MIN, max = defaults::HTTP_RESPOND_STATUS_MAX))]
    pub(crate) status: Field<u64>,
    /// Its body, as plain text, of at most 4096 bytes.
    #[serde(default)]
    #[schemars(extend("default" = ""))]
    pub(crate) body: Field<String>,
}

/// What only HTTP listeners use.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "HttpCluster")]
pub(crate) struct HttpClusterFile {
    /// What the servers are spoken to in. Requests and replies are translated where clients speak the other one.
    /// Can be changed by a reload.
    #[serde(default)]
    #[schemars(extend("enum" = HTTP_VERSIONS.available(), "default" = HTTP_VERSIONS.word(defaults::HTTP_CLUSTER_VERSION)))]
    pub(crate) version: Field<String>,
    /// Most requests at the same time on one HTTP/2 connection; a server may allow fewer. Can be changed by a reload.
    #[serde(default)]
    #[schemars(range(min = 1, max = defaults::HTTP_STREAMS_MAX), extend("default" = defaults::HTTP_MAX_STREAMS))]
    pub(crate) max_streams: Field<u64>,
}

const TOKEN: &str = "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$";
const PATH: &str = "^/[!\"$->@-~]*$";
const SIZE: &str = "^[0-9]+(B|KiB|MiB|GiB)$";
