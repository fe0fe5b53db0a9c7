//! HTTP: what a worker keeps for one listener, and the sessions that serve its clients.
//!
//! In mode proxy `session` finds out what a client speaks; [`h1`] serves HTTP/1, [`h2`] HTTP/2, and `bridge` lies between the two. Whatever is spoken, a request takes the same
//! steps: its head is decoded, [`decide`] chooses who answers, it is sent on and its reply comes back, and it
//! ends as one [`Exchange`](crate::exchange::Exchange) ([`report`]). The replies of the proxy's own are in one table ([`errors`]).
//! In mode tap [`tap`] watches bytes that pass unchanged, and reports what it sees in the same way.

mod bridge;
pub mod decide;
pub mod errors;
pub mod forwarded;
pub mod h1;
pub mod h2;
mod hop;
pub mod report;
pub mod route;
pub mod series;
pub mod session;
pub mod tap;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use narrows_parsers::http1::Headers;

use crate::config::HttpConfig;
use crate::listener::sessions::Ticks;
use crate::protocols::inbox::Buffers;
use crate::stats::{
    Http, HttpCode, HttpDecodingError, HttpFlag, HttpOne, HttpRefused, HttpTwo, Scope, Shard,
};
use crate::upstream::http::{Codes, HttpUpstream};
use errors::Flag;
use h2::grpc::GrpcCalls;
use route::RouteTable;
use series::{AllSeries, ClusterSeries, Place, Series};

pub use errors::Failure;

/// Everything the sessions of one HTTP listener share on one worker.
pub struct HttpListener {
    /// As configured.
    pub config: Arc<HttpConfig>,
    /// Which requests go where.
    pub routes: Arc<RouteTable>,
    /// The clusters, in the order that routes name them by; `None` for one that can't be sent to.
    pub upstreams: Vec<Option<Rc<HttpUpstream>>>,
    /// The totals of the listener.
    pub stats: Scope<Http>,
    /// Its HTTP/1 decoder.
    pub one: Scope<HttpOne>,
    /// Its HTTP/2 connections.
    pub two: Scope<HttpTwo>,
    /// The gRPC calls over it.
    pub grpc: Rc<GrpcCalls>,
    /// The buffers of this worker.
    pub buffers: Rc<Buffers>,
    /// The timeouts of the config, as sessions are told of them.
    pub timeouts: Timeouts,
    route_timeouts: Vec<RouteTimeouts>,
    /// Where the fields of the head that is being dealt with stand: for one poll of one session.
    headers: RefCell<Headers>,
    enabled: bool,
    name: Box<str>,
    shard: Shard,
    series: AllSeries,
    /// The series of requests that no route takes.
    unrouted: Rc<Series>,
    codes: Codes<HttpCode>,
    flags: [OnceCell<Scope<HttpFlag>>; Flag::ALL.len()],
    refused: RefCell<HashMap<&'static str, Scope<HttpRefused>>>,
    random: Cell<u64>,
}

/// What a listener is made of.
pub struct Parts<'a> {
    /// Its name.
    pub name: &'a str,
    /// As configured.
    pub config: Arc<HttpConfig>,
    /// Which requests go where.
    pub routes: Arc<RouteTable>,
    /// The clusters, in the order that routes name them by.
    pub upstreams: Vec<Option<Rc<HttpUpstream>>>,
    /// What is counted of them, in the same order.
    pub clusters: Vec<Rc<ClusterSeries>>,
    /// Where the worker counts.
    pub shard: &'a Shard,
    /// Its buffers.
    pub buffers: Rc<Buffers>,
    /// How long a connection may be without a request.
    pub idle_timeout: Option<Duration>,
    /// False when all stats are switched off.
    pub enabled: bool,
}

/// The timeouts of a listener, in ticks of the worker's janitor.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Between two requests.
    pub idle: Option<Ticks>,
    /// From the first byte of a head to its last.
    pub header: Option<Ticks>,
    /// From the head of a request to its last byte.
    pub request: Option<Ticks>,
    /// While an answer of the proxy's own is written.
    pub stream_idle: Option<Ticks>,
}

/// The timeouts of a route, in ticks of the worker's janitor.
#[derive(Clone, Copy, Debug, Default)]
pub struct RouteTimeouts {
    /// While an exchange is under way, from one byte to the next.
    pub idle: Option<Ticks>,
    /// From the last byte of the request to the last byte of the reply.
    pub reply: Option<Ticks>,
}

impl HttpListener {
    /// A listener as one worker serves it.
    pub fn new(parts: Parts<'_>) -> Self {
        let (shard, name) = (parts.shard, parts.name);
        let labels = [name.as_bytes()];
        // Before those of its routes, which are added up into it.
        let stats = shard.scope(&labels);
        let routes = parts
            .config
            .routes()
            .map(|route| route.name.as_str().into());
        let series = AllSeries::new(shard, name, routes.collect(), parts.clusters);
        let unrouted = series.find(Place {
            route: None,
            cluster: None,
            caller: &[],
        });
        Self {
            stats,
            one: shard.scope(&labels),
            two: shard.scope(&labels),
            grpc: Rc::new(GrpcCalls::new(shard, name)),
            timeouts: Timeouts {
                idle: parts.idle_timeout.map(Ticks::of),
                header: parts.config.header_timeout.map(Ticks::of),
                request: parts.config.request_timeout.map(Ticks::of),
                stream_idle: parts.config.stream_idle_timeout.map(Ticks::of),
            },
            route_timeouts: parts
                .config
                .routes()
                .map(|route| RouteTimeouts {
                    idle: route.idle_timeout.map(Ticks::of),
                    reply: route.timeout.map(Ticks::of),
                })
                .collect(),
            config: parts.config,
            routes: parts.routes,
            upstreams: parts.upstreams,
            buffers: parts.buffers,
            headers: RefCell::default(),
            enabled: parts.enabled,
            name: name.into(),
            shard: shard.clone(),
            series,
            unrouted,
            codes: Codes::new(shard, name),
            flags: Default::default(),
            refused: RefCell::default(),
            // The standard library's hasher is seeded anew for each state; zero would stay zero.
            random: Cell::new(RandomState::new().build_hasher().finish() | 1),
        }
    }

    /// The series of a place. `recent` is the one that the same connection used last: most requests find theirs there.
    pub fn series(&self, recent: Option<&Rc<Series>>, place: Place<'_>) -> Rc<Series> {
        match recent.filter(|recent| recent.place() == place) {
            Some(recent) => Rc::clone(recent),
            None => self.series.find(place),
        }
    }

    /// The timeouts of a route, by its number.
    pub fn route_timeouts(&self, route: usize) -> RouteTimeouts {
        self.route_timeouts.get(route).copied().unwrap_or_default()
    }

    /// A number for the choice among weighted clusters: Marsaglia's xorshift, since nobody gains anything by guessing it.
    pub fn random(&self) -> u64 {
        let mut state = self.random.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.random.set(state);
        state
    }

    /// What passes on a connection can't be followed any more.
    fn decoding_error(&self, reason: &'static str) {
        self.stats.inc(Http::DECODING_ERROR);
        let labels = [self.name.as_bytes(), reason.as_bytes()];
        let by_reason: Scope<HttpDecodingError> = self.shard.scope(&labels);
        by_reason.inc(HttpDecodingError::CX_TOTAL);
    }

    fn flag(&self, flag: Flag) {
        if let Some(cell) = self.flags.get(flag.index()) {
            let made = || {
                let labels = [self.name.as_bytes(), flag.label().as_bytes()];
                self.shard.scope(&labels)
            };
            cell.get_or_init(made).inc(HttpFlag::TOTAL);
        }
    }

    /// A request was refused for a reason of a closed set.
    fn refused(&self, reason: &'static str) {
        let mut refused = self.refused.borrow_mut();
        let made = || {
            let labels = [self.name.as_bytes(), reason.as_bytes()];
            self.shard.scope(&labels)
        };
        refused
            .entry(reason)
            .or_insert_with(made)
            .inc(HttpRefused::TOTAL);
    }
}
