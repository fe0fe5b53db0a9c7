//! An exchange while it passes.

use std::rc::Rc;
use std::time::Instant;

use crate::config::HttpVersion;
use crate::protocols::http::HttpListener;
use crate::protocols::http::errors::Failure;
use crate::protocols::http::report::Underway;
use crate::protocols::http::series::{Place, Series};
use crate::stats::{Cluster, ClusterEndpoint, Http, Scope};

/// Exchanges of one connection that may be under way. A client that sends a thousand requests ahead is no longer followed, so that it
/// can't make the proxy remember more.
pub(super) const MAX_OUTSTANDING: usize = 1_000;

/// Why such a client is no longer followed.
pub(super) const TOO_MANY_OUTSTANDING: &str = "too_many_outstanding";

/// Why a connection is no longer followed whose server says what nobody asked.
pub(super) const UNEXPECTED_REPLY: &str = "unexpected_reply";

/// What is known of a connection, whatever is spoken on it.
pub(super) struct Watch {
    pub(super) listener: Rc<HttpListener>,
    endpoint: Option<Scope<ClusterEndpoint>>,
    recent: Option<Rc<Series>>,
    /// Bytes that the client has sent.
    pub(super) requests_read: u64,
    /// Bytes that the server has sent.
    pub(super) replies_read: u64,
    /// When the last part of what the client sent was about to be written.
    pub(super) write_began: Instant,
}

/// An exchange that passes: at the upstream from its head on.
pub(super) struct Passing {
    pub(super) underway: Underway,
    /// Where its request ends in the client's stream; `None` while more of it comes.
    pub(super) request_end: Option<u64>,
    /// What the upstream is counted by.
    series: Rc<Series>,
}

/// Exchanges whose reply has been read, until it has been written.
pub(super) struct Finishing<T> {
    /// With the places in the server's stream where their replies end, in that order.
    list: Vec<(u64, T)>,
}

impl Watch {
    pub(super) fn new(
        listener: &Rc<HttpListener>,
        endpoint: Option<Scope<ClusterEndpoint>>,
    ) -> Self {
        Self {
            listener: Rc::clone(listener),
            endpoint,
            recent: None,
            requests_read: 0,
            replies_read: 0,
            write_began: Instant::now(),
        }
    }

    /// A request has been seen whose first byte was read at `start`.
    pub(super) fn begin(&mut self, version: HttpVersion, start: Instant, caller: &[u8]) -> Passing {
        let place = Place {
            route: Some(0),
            cluster: Some(0),
            caller,
        };
        let series = self.listener.series(self.recent.as_ref(), place);
        if let Some(upstream) = &series.upstream {
            upstream.stats.inc(Cluster::UPSTREAM_RQ_TOTAL);
            upstream.stats.gauge_add(Cluster::UPSTREAM_RQ_ACTIVE, 1);
        }
        if let Some(endpoint) = &self.endpoint {
            endpoint.inc(ClusterEndpoint::RQ_TOTAL);
            endpoint.gauge_add(ClusterEndpoint::RQ_ACTIVE, 1);
        }
        self.listener.stats.inc(Http::RQ_TOTAL);
        self.recent = Some(Rc::clone(&series));
        let mut underway = Underway::new(&self.listener, version, start);
        underway.endpoint = self.endpoint.clone();
        underway.series = Some(Rc::clone(&series));
        Passing {
            underway,
            request_end: None,
            series,
        }
    }
}

impl Passing {
    /// The last byte of its reply was read at `now`.
    pub(super) fn reply_ended(&mut self, listener: &HttpListener, now: Instant) {
        self.underway.last_byte = Some(now);
        if self.request_end.is_none() {
            let early = Http::DOWNSTREAM_RQ_RESPONSE_BEFORE_RQ_COMPLETE;
            listener.stats.inc(early);
        }
    }

    /// Its connection ended first. Who was left by its client is reported by being dropped.
    pub(super) fn cut(mut self, by_upstream: bool) {
        if by_upstream {
            self.underway.cut(Failure::UpstreamReset);
        }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        if let Some(upstream) = &self.series.upstream {
            upstream.stats.gauge_add(Cluster::UPSTREAM_RQ_ACTIVE, -1);
        }
        if let Some(endpoint) = &self.underway.endpoint {
            endpoint.gauge_add(ClusterEndpoint::RQ_ACTIVE, -1);
        }
    }
}

impl<T> Finishing<T> {
    pub(super) fn new() -> Self {
        Self { list: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// A reply has been read that ends here.
    pub(super) fn push(&mut self, end: u64, exchange: T) {
        reserve_one(&mut self.list);
        self.list.push((end, exchange));
    }

    /// So much has been written: `report` is shown what has ended, and when.
    pub(super) fn written(&mut self, total: u64, mut report: impl FnMut(T, Instant)) {
        if self.list.is_empty() {
            return;
        }
        let written = self.list.iter().take_while(|(end, _)| *end <= total);
        let written = written.count();
        if written == 0 {
            return;
        }
        let now = Instant::now();
        for (_, exchange) in self.list.drain(..written) {
            report(exchange, now);
        }
    }

    /// What has not been written.
    pub(super) fn take(&mut self) -> impl Iterator<Item = T> {
        std::mem::take(&mut self.list)
            .into_iter()
            .map(|(_, exchange)| exchange)
    }
}

/// Most clients send one request at a time: a `Vec` left to itself would begin with four places, a kilobyte for each idle connection.
pub(super) fn reserve_one<T>(list: &mut Vec<T>) {
    if list.capacity() == 0 {
        list.reserve_exact(1);
    }
}
