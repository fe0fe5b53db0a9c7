//! report: one [`Exchange`] added to every series it belongs to.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::HttpListener;
use super::errors::{Failure, Flag};
use super::series::Series;
use crate::config::HttpVersion;
use crate::exchange::{AtUpstream, Configured, Exchange, HttpPart, Outcome, Timing};
use crate::stats::{
    Cluster, ClusterEndpoint, Counter, Http, HttpCaller, HttpCode, HttpOne, HttpRoute, HttpTwo,
    Scope, ScopeKind,
};

/// An exchange that is under way. It becomes an [`Exchange`] when it is told how it ended; one that is dropped before was left by
/// its client.
pub struct Underway {
    listener: Rc<HttpListener>,
    version: HttpVersion,
    /// First byte of the request read.
    pub start: Instant,
    /// Where it belongs; `None` until its head has been read.
    pub series: Option<Rc<Series>>,
    /// The endpoint that it was sent to.
    pub endpoint: Option<Scope<ClusterEndpoint>>,
    /// The last part of the request was given to the upstream's socket.
    pub request_written: Option<Instant>,
    /// First byte of the reply read from upstream.
    pub first_byte: Option<Instant>,
    /// Last byte of the reply read from upstream.
    pub last_byte: Option<Instant>,
    /// The request so far, in bytes.
    pub request_bytes: u64,
    /// The reply so far, in bytes.
    pub reply_bytes: u64,
    /// The status of the reply, when one was begun.
    pub status: Option<u16>,
    /// Why the proxy answers, or cuts the reply off.
    pub failure: Option<Failure>,
    /// The config has the proxy answer.
    pub configured: Option<Configured>,
    ended: bool,
}

impl Underway {
    /// A request whose first byte was read at `start`.
    pub fn new(listener: &Rc<HttpListener>, version: HttpVersion, start: Instant) -> Self {
        let stats = &listener.stats;
        stats.inc(Http::DOWNSTREAM_RQ_TOTAL);
        stats.gauge_add(Http::DOWNSTREAM_RQ_ACTIVE, 1);
        stats.inc(match version {
            HttpVersion::Http1 => Http::DOWNSTREAM_RQ_HTTP1_TOTAL,
            HttpVersion::Http2 => Http::DOWNSTREAM_RQ_HTTP2_TOTAL,
        });
        Self {
            listener: Rc::clone(listener),
            version,
            start,
            series: None,
            endpoint: None,
            request_written: None,
            first_byte: None,
            last_byte: None,
            request_bytes: 0,
            reply_bytes: 0,
            status: None,
            failure: None,
            configured: None,
            ended: false,
        }
    }

    /// The last byte of the reply was written at `end`.
    pub fn finish(&mut self, end: Instant) {
        let failed = self.failure.is_some() || self.status.is_none_or(|status| status >= 500);
        let outcome = match failed {
            true => Outcome::Error,
            false => Outcome::Success,
        };
        let timing = Timing {
            start: self.start,
            at_upstream: self.at_upstream(),
            end,
        };
        self.end(outcome, Some(timing));
    }

    /// The connection became a tunnel, which has ended: how long it was open says nothing about how fast anybody answers.
    pub fn finish_tunnel(&mut self) {
        self.end(Outcome::Success, None);
    }

    /// The reply was cut off, by the upstream or by the proxy: `failure` says why.
    pub fn cut(&mut self, failure: Failure) {
        self.failure = Some(failure);
        self.end(Outcome::UpstreamGone, None);
    }

    /// Nobody will know how it ended: it is not reported.
    pub fn forget(&mut self) {
        self.ended = true;
        self.listener
            .stats
            .gauge_add(Http::DOWNSTREAM_RQ_ACTIVE, -1);
    }

    fn at_upstream(&self) -> Option<AtUpstream> {
        let first_byte = self.first_byte?;
        Some(AtUpstream {
            // A reply may be complete before its request is.
            request_written: self.request_written.unwrap_or(first_byte),
            first_byte,
            last_byte: self.last_byte?,
        })
    }

    fn end(&mut self, outcome: Outcome, timing: Option<Timing>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let exchange = Exchange {
            timing,
            outcome,
            request_bytes: self.request_bytes,
            reply_bytes: self.reply_bytes,
            part: HttpPart {
                version: self.version,
                status: self.status,
                failure: self.failure,
                configured: self.configured,
            },
        };
        self.listener
            .stats
            .gauge_add(Http::DOWNSTREAM_RQ_ACTIVE, -1);
        let series = self.series.take();
        let series = series.unwrap_or_else(|| Rc::clone(&self.listener.unrouted));
        self.listener
            .report(&exchange, &series, self.endpoint.as_ref());
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.end(Outcome::ClientGone, None);
    }
}

impl HttpListener {
    /// Adds a finished exchange to its series.
    fn report(
        &self,
        exchange: &Exchange<HttpPart>,
        series: &Series,
        endpoint: Option<&Scope<ClusterEndpoint>>,
    ) {
        if !self.enabled {
            return;
        }
        let failed = exchange.outcome != Outcome::Success;
        let class = exchange.part.status.map(class);
        self.report_totals(exchange, class, failed);
        series.route.inc(HttpRoute::DOWNSTREAM_RQ_TOTAL);
        ROUTE.count(&series.route, class, failed);
        record_route(&series.route, exchange);
        if let Some(caller) = &series.caller {
            caller.inc(HttpCaller::DOWNSTREAM_RQ_TOTAL);
            CALLER.count(caller, class, failed);
        }
        // Whatever the client is to blame for says nothing of the cluster.
        let by_client = exchange.part.failure.is_some_and(Failure::is_clients);
        if let Some(upstream) = series.upstream.as_ref().filter(|_| !by_client) {
            report_upstream(&upstream.stats, exchange, class);
            if let Some(status) = exchange.part.status {
                upstream.code(status);
            }
        }
        if let Some(endpoint) = endpoint.filter(|_| !by_client) {
            report_endpoint(endpoint, exchange, failed);
        }
        if !series.is_shared {
            record_apart(exchange, series);
        }
    }

    fn report_totals(&self, exchange: &Exchange<HttpPart>, class: Option<usize>, failed: bool) {
        let stats = &self.stats;
        LISTENER.count(stats, class, failed);
        if let Some(status) = exchange.part.status {
            stats.inc(Http::DOWNSTREAM_RQ_COMPLETED);
            self.codes.inc(status, HttpCode::TOTAL);
        }
        match exchange.outcome {
            Outcome::ClientGone => {
                stats.inc(Http::DOWNSTREAM_RQ_RX_RESET);
                self.flag(Flag::Dc);
            }
            Outcome::UpstreamGone => stats.inc(Http::DOWNSTREAM_RQ_TX_RESET),
            Outcome::Success | Outcome::Error | Outcome::Unacknowledged => {}
        }
        match exchange.part.configured {
            Some(Configured::Redirect) => stats.inc(Http::RQ_REDIRECT),
            Some(Configured::Respond) => stats.inc(Http::RQ_DIRECT_RESPONSE),
            None => {}
        }
        if let Some(failure) = exchange.part.failure {
            self.report_failure(failure, exchange.part.version);
        }
    }

    #[cold]
    fn report_failure(&self, failure: Failure, version: HttpVersion) {
        if let Some(flag) = failure.row().flag {
            self.flag(flag);
        }
        match failure {
            Failure::Malformed(reason) => {
                self.count_protocol_error(version);
                self.refused(reason.label());
            }
            Failure::Unsafe(reason) => self.refused(reason),
            Failure::Underscore => {
                self.count_protocol_error(version);
                match version {
                    HttpVersion::Http1 => self
                        .one
                        .inc(HttpOne::REQUESTS_REJECTED_WITH_UNDERSCORES_IN_HEADERS),
                    HttpVersion::Http2 => self
                        .two
                        .inc(HttpTwo::REQUESTS_REJECTED_WITH_UNDERSCORES_IN_HEADERS),
                }
                self.refused("underscore");
            }
            Failure::Expectation => self.refused("expectation"),
            Failure::ConnectNotAllowed => self.refused("connect"),
            Failure::BodyTooLarge => self.stats.inc(Http::DOWNSTREAM_RQ_TOO_LARGE),
            Failure::HeaderTimeout => {
                self.stats.inc(Http::DOWNSTREAM_RQ_HEADER_TIMEOUT);
                self.stats.inc(Http::DOWNSTREAM_RQ_TIMEOUT);
            }
            Failure::RequestTimeout => self.stats.inc(Http::DOWNSTREAM_RQ_TIMEOUT),
            Failure::RequestIdle | Failure::ReplyIdle | Failure::ReplyUnread => {
                self.stats.inc(Http::DOWNSTREAM_RQ_IDLE_TIMEOUT);
            }
            Failure::NoRoute => self.stats.inc(Http::NO_ROUTE),
            Failure::NoCluster => self.stats.inc(Http::NO_CLUSTER),
            _ => {}
        }
    }
}

impl HttpListener {
    /// A connection of HTTP/1 ends with such a request, a stream of HTTP/2 does not take its connection with it.
    fn count_protocol_error(&self, version: HttpVersion) {
        if version == HttpVersion::Http1 {
            self.stats.inc(Http::DOWNSTREAM_CX_PROTOCOL_ERROR);
        }
    }
}

/// The counters that a listener, a route and a caller have alike.
struct Replies<K> {
    classes: [Counter<K>; 5],
    error: Counter<K>,
}

impl<K: ScopeKind> Replies<K> {
    fn count(&self, stats: &Scope<K>, class: Option<usize>, failed: bool) {
        if let Some(counter) = class.and_then(|class| self.classes.get(class)) {
            stats.inc(*counter);
        }
        if failed {
            stats.inc(self.error);
        }
    }
}

macro_rules! replies {
    ($name:ident, $scope:ident) => {
        const $name: Replies<$scope> = Replies {
            classes: [
                $scope::DOWNSTREAM_RQ_1XX,
                $scope::DOWNSTREAM_RQ_2XX,
                $scope::DOWNSTREAM_RQ_3XX,
                $scope::DOWNSTREAM_RQ_4XX,
                $scope::DOWNSTREAM_RQ_5XX,
            ],
            error: $scope::DOWNSTREAM_RQ_ERROR,
        };
    };
}
replies!(LISTENER, Http);
replies!(ROUTE, HttpRoute);
replies!(CALLER, HttpCaller);

const UPSTREAM_CLASSES: [Counter<Cluster>; 5] = [
    Cluster::UPSTREAM_RQ_1XX,
    Cluster::UPSTREAM_RQ_2XX,
    Cluster::UPSTREAM_RQ_3XX,
    Cluster::UPSTREAM_RQ_4XX,
    Cluster::UPSTREAM_RQ_5XX,
];

/// The place of a status's class. What is beyond 599 is read as 5xx (RFC 9110 section 15).
fn class(status: u16) -> usize {
    usize::from(status / 100).clamp(1, 5) - 1
}

/// The histograms of the route are also the listener's, and where they are shared the caller's and the cluster's.
fn record_route(route: &Scope<HttpRoute>, exchange: &Exchange<HttpPart>) {
    route.record(HttpRoute::REQUEST_BYTES, exchange.request_bytes);
    if exchange.part.status.is_some() {
        route.record(HttpRoute::RESPONSE_BYTES, exchange.reply_bytes);
    }
    let Some(timing) = &exchange.timing else {
        return;
    };
    let total = micros(timing.total());
    route.record(HttpRoute::DOWNSTREAM_RQ_TIME_MS, total);
    if let Some(at_upstream) = &timing.at_upstream {
        let first_byte = at_upstream
            .first_byte
            .saturating_duration_since(timing.start);
        let upstream = micros(timing.upstream());
        route.record(HttpRoute::FIRST_BYTE_MS, micros(first_byte));
        route.record(HttpRoute::UPSTREAM_TIME_MS, upstream);
        route.record(HttpRoute::ADDED_TIME_MS, total.saturating_sub(upstream));
    }
}

/// Records to each series what a shared one records to its route's for all of them.
#[cold]
fn record_apart(exchange: &Exchange<HttpPart>, series: &Series) {
    let timing = exchange.timing.as_ref();
    let at_upstream = timing.filter(|timing| timing.at_upstream.is_some());
    let upstream_time = at_upstream.map(|timing| micros(timing.upstream()));
    if let (Some(upstream), Some(time)) = (&series.upstream, upstream_time) {
        upstream.stats.record(Cluster::UPSTREAM_RQ_TIME, time);
    }
    let Some(caller) = &series.caller else {
        return;
    };
    caller.record(HttpCaller::REQUEST_BYTES, exchange.request_bytes);
    if exchange.part.status.is_some() {
        caller.record(HttpCaller::RESPONSE_BYTES, exchange.reply_bytes);
    }
    if let Some(timing) = timing {
        caller.record(HttpCaller::DOWNSTREAM_RQ_TIME_MS, micros(timing.total()));
    }
    if let Some(time) = upstream_time {
        caller.record(HttpCaller::UPSTREAM_TIME_MS, time);
    }
}

fn report_upstream(stats: &Scope<Cluster>, exchange: &Exchange<HttpPart>, class: Option<usize>) {
    if let Some(counter) = class.and_then(|class| UPSTREAM_CLASSES.get(class)) {
        stats.inc(*counter);
    }
    if exchange
        .timing
        .is_some_and(|timing| timing.at_upstream.is_some())
    {
        stats.inc(Cluster::UPSTREAM_RQ_COMPLETED);
    }
    match exchange.part.failure {
        Some(Failure::RouteTimeout) => {
            stats.inc(Cluster::UPSTREAM_RQ_TIMEOUT);
            stats.inc(Cluster::UPSTREAM_RQ_TX_RESET);
        }
        Some(Failure::UpstreamReset) => stats.inc(Cluster::UPSTREAM_RQ_RX_RESET),
        Some(Failure::UpstreamMalformed) => stats.inc(Cluster::UPSTREAM_CX_PROTOCOL_ERROR),
        None if exchange.outcome == Outcome::ClientGone => {
            stats.inc(Cluster::UPSTREAM_RQ_TX_RESET);
        }
        _ => {}
    }
}

fn report_endpoint(stats: &Scope<ClusterEndpoint>, exchange: &Exchange<HttpPart>, failed: bool) {
    match exchange.outcome {
        // The endpoint can't help it.
        Outcome::ClientGone => {}
        _ if failed => stats.inc(ClusterEndpoint::RQ_ERROR),
        _ => stats.inc(ClusterEndpoint::RQ_SUCCESS),
    }
    if exchange.part.failure == Some(Failure::RouteTimeout) {
        stats.inc(ClusterEndpoint::RQ_TIMEOUT);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
