//! The resolved configuration of HTTP listeners and clusters.

use std::time::Duration;

use crate::pattern::Pattern;

/// What an HTTP listener does.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpConfig {
    /// How requests are forwarded.
    pub mode: HttpMode,
    /// What clients may speak; at least one of them.
    pub versions: HttpVersions,
    /// The header whose value names the call site of a request, in lower case; `None` is no call sites.
    pub caller_header: Option<String>,
    /// What upstreams are told of the client.
    pub forwarded: ForwardedConfig,
    /// What becomes of headers with an underscore in their name.
    pub underscores: Underscores,
    /// Whether CONNECT is forwarded like any other method, and tunnelled when the upstream agrees.
    pub allow_connect: bool,
    /// Most bytes of a request's or reply's head.
    pub max_head: usize,
    /// Most headers of a request or reply.
    pub max_headers: usize,
    /// Most bytes of a request's body; `None` is no limit.
    pub max_body: Option<u64>,
    /// How long the head of a request may take from its first byte; `None` is for ever.
    pub header_timeout: Option<Duration>,
    /// An exchange without a byte in either direction for this long is ended; `None` is never.
    pub stream_idle_timeout: Option<Duration>,
    /// How long a whole request may take to arrive, from its first byte; `None` is for ever.
    pub request_timeout: Option<Duration>,
    /// Most exchanges at the same time on an HTTP/2 connection, at least 1.
    pub max_streams: u32,
    /// Hosts with their routes; no domain is in two of them. None in mode tap.
    pub virtual_hosts: Vec<VirtualHost>,
    /// The route of requests that no other takes, if the listener names a cluster for them. In mode tap all requests are its.
    pub default_route: Option<RouteConfig>,
}

impl HttpConfig {
    /// Every route, in the order of their flat numbers: host by host, and the default route last.
    pub fn routes(&self) -> impl Iterator<Item = &RouteConfig> {
        let hosts = self.virtual_hosts.iter();
        hosts
            .flat_map(|host| &host.routes)
            .chain(&self.default_route)
    }
}

/// How HTTP requests are forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpMode {
    /// One upstream connection a client, bytes unchanged.
    Tap,
    /// Each request goes where its route says, over connections that clients share.
    Proxy,
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.1, and HTTP/1.0 from clients.
    Http1,
    /// HTTP/2.
    Http2,
}

/// What clients may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpVersions {
    /// HTTP/1.1 and HTTP/1.0.
    pub http1: bool,
    /// HTTP/2.
    pub http2: bool,
}

/// What upstreams are told of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardedConfig {
    /// How many proxies are in front of this one; with 0 nobody is believed.
    pub trusted_hops: usize,
    /// Whether the peer's address is appended to `x-forwarded-for`.
    pub append: bool,
    /// What `x-forwarded-proto` becomes.
    pub proto: ForwardedProto,
}

/// What `x-forwarded-proto` becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedProto {
    /// The scheme of this connection, whatever the request says.
    Set,
    /// What the request says, and the scheme of this connection where it says nothing.
    Keep,
}

/// What becomes of headers with an underscore in their name, which some servers take for a `-`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Underscores {
    /// The request is refused.
    Reject,
    /// The header is left out.
    Drop,
    /// The header is forwarded.
    Allow,
}

/// Hosts with their routes.
#[derive(Clone, Debug, PartialEq)]
pub struct VirtualHost {
    /// Unique in its listener.
    pub name: String,
    /// At least one.
    pub domains: Vec<Domain>,
    /// Edits of requests, before those of the route.
    pub request_headers: HeaderEditsConfig,
    /// Edits of replies, before those of the route.
    pub response_headers: HeaderEditsConfig,
    /// The first one that fits takes the request; at least one.
    pub routes: Vec<RouteConfig>,
}

/// Hosts, in lower case and without a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Domain {
    /// This one.
    Exact(String),
    /// `*.example`: those that end like this and have something before it.
    Suffix(String),
    /// `shop.*`: those that begin like this and have something behind it.
    Prefix(String),
    /// `*`
    Any,
}

/// Which requests are meant, and what becomes of them.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteConfig {
    /// Unique in its listener; part of stat names.
    pub name: String,
    /// The path, without the query.
    pub path: PathMatch,
    /// One of these; none is any.
    pub methods: Vec<String>,
    /// All of these.
    pub headers: Vec<HeaderMatch>,
    /// What becomes of the request.
    pub action: RouteAction,
    /// Edits of the request.
    pub request_headers: HeaderEditsConfig,
    /// Edits of the reply.
    pub response_headers: HeaderEditsConfig,
    /// From the end of the request to the end of the reply; `None` is for ever.
    pub timeout: Option<Duration>,
    /// An exchange without a byte in either direction for this long is ended; `None` is never.
    pub idle_timeout: Option<Duration>,
}

/// Which paths are meant.
#[derive(Clone, Debug, PartialEq)]
pub enum PathMatch {
    /// Any.
    Any,
    /// This one.
    Exact(String),
    /// Those that begin like this.
    Prefix(String),
    /// Those that this fits as a whole.
    Regex(Pattern),
}

/// What a header has to be.
#[derive(Clone, Debug, PartialEq)]
pub struct HeaderMatch {
    /// In lower case.
    pub name: String,
    /// What its value has to be.
    pub value: ValueMatch,
}

/// What the value of a header has to be.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueMatch {
    /// This.
    Exact(String),
    /// Anything; the header has to be there.
    Present,
    /// The header must not be there.
    Absent,
    /// Something that this fits as a whole.
    Regex(Pattern),
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum RouteAction {
    /// It is sent on.
    Forward(ForwardConfig),
    /// The client is sent elsewhere.
    Redirect(RedirectConfig),
    /// It is answered here.
    Respond(RespondConfig),
}

/// Where a request is sent on to.
#[derive(Clone, Debug, PartialEq)]
pub struct ForwardConfig {
    /// At least one, and at least one with a weight.
    pub clusters: Vec<WeightedCluster>,
    /// What stands in the place of the matched prefix or path.
    pub prefix_rewrite: Option<String>,
    /// What the upstream is told as host.
    pub host_rewrite: Option<String>,
}

/// A share of a route's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightedCluster {
    /// Place in the listener's list of clusters.
    pub cluster: usize,
    /// Its part of the sum of all weights.
    pub weight: u32,
}

/// Where a client is sent to. What is `None` stays as it was; at least one is not.
#[derive(Clone, Debug, PartialEq)]
pub struct RedirectConfig {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// `http` or `https`.
    pub scheme: Option<Scheme>,
    /// Host, with a port if it is not the scheme's.
    pub host: Option<String>,
    /// The path.
    pub path: Option<RedirectPath>,
    /// Whether the query stays.
    pub keep_query: bool,
}

/// The path that a client is sent to.
#[derive(Clone, Debug, PartialEq)]
pub enum RedirectPath {
    /// This one.
    Whole(String),
    /// This in the place of the matched prefix or path.
    Prefix(String),
}

/// How a connection is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Not at all.
    Http,
    /// By TLS.
    Https,
}

/// A reply without an upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct RespondConfig {
    /// From 200 to 599.
    pub status: u16,
    /// Its body, in UTF-8.
    pub body: String,
}

/// Edits of headers, by name. Names are in lower case; each is in one of `set` and `remove`, and once in its list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeaderEditsConfig {
    /// In the place of whatever stands there.
    pub set: Vec<(String, String)>,
    /// Besides whatever stands there.
    pub add: Vec<(String, String)>,
    /// What is left out.
    pub remove: Vec<String>,
}

/// What only HTTP listeners use of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpClusterConfig {
    /// What its servers are spoken to in.
    pub version: HttpVersion,
    /// Most exchanges at the same time on an HTTP/2 connection, at least 1; a server may allow fewer.
    pub max_streams: u32,
}
