//! One session, from accept to close: connect upstream, relay, report.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::net::TcpStream;

use super::context::{ListenerContext, ProtocolContext, Target};
use super::secure::secured;
use super::sessions::{SessionHandle, Verdict};
use crate::exchange::{CloseReason, ConnectionRecord, Outcome};
use crate::protocols::http::session as http;
use crate::protocols::http::tap::Tap as HttpTap;
use crate::protocols::mongo::{Tap, collapse};
use crate::protocols::redis::Tap as RedisTap;
use crate::protocols::redis::collapse::Session as RedisSession;
use crate::protocols::relay::{Ended, Relay, Scratch};
use crate::protocols::tcp::Count;
use crate::stats::{Cluster, ClusterEndpoint, Http, Listener, Mongo, Redis, Scope, Tcp};
use crate::stream::Stream;
use crate::upstream::{self, Connected};

/// Serves one client connection to its end.
pub async fn session(
    client: TcpStream,
    context: Rc<ListenerContext>,
    handle: SessionHandle,
    scratch: Scratch,
) {
    let open = Open::new(&context);
    let client = match secured(client, &context, &handle).await {
        Ok(client) => client,
        Err(reason) => return open.close(early(reason), 0),
    };
    let Some(target) = context.targets.first() else {
        return open.close(early(CloseReason::NoUpstream), 0);
    };
    let connecting = upstream::connect(
        &target.cluster,
        context.balance(),
        &target.stats,
        &target.endpoints,
        client.alpn(),
    );
    // Connecting is rare and its state is large: it is not paid for by every idle session.
    let connected = tokio::select! {
        connected = Box::pin(connecting) => connected,
        verdict = handle.told_to_end() => {
            return open.close(early(closing(verdict)), 0);
        }
    };
    match connected {
        Ok(upstream) => {
            let link = Link::new(target, &upstream);
            let (ended, cut) = relay(&context, client, upstream, &handle, &scratch).await;
            link.close(&ended, cut);
            open.close(ended, cut);
        }
        Err(error) => {
            tracing::warn!(
                listener = %context.policy.listener.name,
                cluster = %target.cluster.name,
                %error,
                "no upstream connection; the client's is closed"
            );
            client.reset_on_close();
            open.close(early(CloseReason::NoUpstream), 0);
        }
    }
}

/// Serves one client whose operations go over connections that it shares with others.
pub async fn collapse_session(
    client: TcpStream,
    context: Rc<ListenerContext>,
    handle: SessionHandle,
    scratch: Scratch,
) {
    let open = Open::new(&context);
    let ProtocolContext::Collapse(listener) = &context.protocol else {
        return;
    };
    let client = match secured(client, &context, &handle).await {
        Ok(client) => client,
        Err(reason) => return open.close(early(reason), 0),
    };
    let session = collapse::Session::new(Rc::clone(listener), client, &handle, scratch);
    let ended = session.run().await;
    let cut = ended.cut;
    let ended = Ended {
        reason: ended.reason,
        by_client: ended.by_client,
        received: ended.received,
        sent: ended.sent,
    };
    open.close(ended, cut);
}

/// Serves one Redis client whose commands go over connections that it shares with others.
pub async fn redis_session(
    client: TcpStream,
    context: Rc<ListenerContext>,
    handle: SessionHandle,
    scratch: Scratch,
) {
    let open = Open::new(&context);
    let ProtocolContext::RedisCollapse(listener) = &context.protocol else {
        return;
    };
    let client = match secured(client, &context, &handle).await {
        Ok(client) => client,
        Err(reason) => return open.close(early(reason), 0),
    };
    let mut session = RedisSession::new(Rc::clone(listener), client, &handle, scratch);
    let (ended, cut) = session.run().await;
    open.close(ended, cut);
}

/// Serves one HTTP client.
pub async fn http_session(
    client: TcpStream,
    context: Rc<ListenerContext>,
    handle: SessionHandle,
    scratch: Scratch,
) {
    let open = Open::new(&context);
    let ProtocolContext::Http(listener) = &context.protocol else {
        return;
    };
    let client = match secured(client, &context, &handle).await {
        Ok(client) => client,
        Err(reason) => return open.close(early(reason), 0),
    };
    let (ended, cut) = http::serve(client, Rc::clone(listener), &handle, scratch).await;
    open.close(ended, cut);
}

/// decode, observe, forward: until one side ends. Returns how, and how many exchanges were cut.
async fn relay(
    context: &ListenerContext,
    mut client: Stream,
    mut upstream: Connected,
    handle: &SessionHandle,
    scratch: &Scratch,
) -> (Ended, usize) {
    match &context.protocol {
        ProtocolContext::HttpTap(listener) => {
            let endpoint = context.targets.first();
            let endpoint = endpoint.and_then(|target| target.endpoints.get(upstream.endpoint));
            let mut tap = HttpTap::new(listener, endpoint.cloned(), client.is_tls());
            let relay = Relay::new(&mut client, &mut upstream.stream, &mut tap, handle, scratch);
            let ended = relay.await;
            let cut = tap.outstanding();
            tap.end(&ended);
            (ended, cut)
        }
        ProtocolContext::Tcp(listener) => {
            let mut count = Count::new(Rc::clone(listener));
            let relay = Relay::new(
                &mut client,
                &mut upstream.stream,
                &mut count,
                handle,
                scratch,
            );
            (relay.await, 0)
        }
        // Have sessions of their own, which lend connections.
        ProtocolContext::Collapse(_)
        | ProtocolContext::Http(_)
        | ProtocolContext::RedisCollapse(_) => (early(CloseReason::NoUpstream), 0),
        ProtocolContext::Mongo(listener) => {
            let mut tap = Tap::new(Rc::clone(listener));
            let relay = Relay::new(&mut client, &mut upstream.stream, &mut tap, handle, scratch);
            let ended = relay.await;
            let cut = tap.outstanding();
            tap.end(who_left(&ended));
            (ended, cut)
        }
        ProtocolContext::Redis(listener) => {
            let mut tap = RedisTap::new(Rc::clone(listener));
            let relay = Relay::new(&mut client, &mut upstream.stream, &mut tap, handle, scratch);
            let ended = relay.await;
            let cut = tap.outstanding();
            tap.end(who_left(&ended));
            (ended, cut)
        }
    }
}

/// How exchanges ended that the end of their connection cut off.
fn who_left(ended: &Ended) -> Outcome {
    match ended.reason {
        CloseReason::UpstreamReset => Outcome::UpstreamGone,
        CloseReason::Finished if !ended.by_client => Outcome::UpstreamGone,
        _ => Outcome::ClientGone,
    }
}

/// A client connection that is counted as open until it is closed, or its session is dropped.
struct Open<'a> {
    context: &'a ListenerContext,
    start: Instant,
}

impl<'a> Open<'a> {
    fn new(context: &'a ListenerContext) -> Self {
        context.stats.inc(Listener::DOWNSTREAM_CX_TOTAL);
        context.stats.gauge_add(Listener::DOWNSTREAM_CX_ACTIVE, 1);
        if let ProtocolContext::Tcp(tcp) = &context.protocol {
            tcp.stats.inc(Tcp::DOWNSTREAM_CX_TOTAL);
        }
        Self {
            context,
            start: Instant::now(),
        }
    }

    /// report: the connection as one record.
    fn close(self, ended: Ended, exchanges_cut: usize) {
        self.report(&ConnectionRecord {
            start: self.start,
            end: Instant::now(),
            reason: ended.reason,
            closed_by_client: ended.by_client,
            exchanges_cut,
            received_bytes: ended.received,
            sent_bytes: ended.sent,
        });
    }

    fn report(&self, record: &ConnectionRecord) {
        let stats = &self.context.stats;
        let length = record.end.saturating_duration_since(record.start);
        stats.record(
            Listener::DOWNSTREAM_CX_LENGTH_MS,
            u64::try_from(length.as_micros()).unwrap_or(u64::MAX),
        );
        stats.add(
            Listener::DOWNSTREAM_CX_RX_BYTES_TOTAL,
            record.received_bytes,
        );
        stats.add(Listener::DOWNSTREAM_CX_TX_BYTES_TOTAL, record.sent_bytes);
        stats.inc(if record.reason.is_local() {
            Listener::DOWNSTREAM_CX_DESTROY_LOCAL
        } else {
            Listener::DOWNSTREAM_CX_DESTROY_REMOTE
        });
        match record.reason {
            CloseReason::IdleTimeout => stats.inc(Listener::DOWNSTREAM_CX_IDLE_TIMEOUT),
            CloseReason::ClientStalled => stats.inc(Listener::DOWNSTREAM_CX_STALLED),
            _ => {}
        }
        match &self.context.protocol {
            ProtocolContext::Mongo(mongo) => report_mongo(&mongo.stats, record),
            ProtocolContext::Collapse(listener) => report_mongo(&listener.mongo().stats, record),
            ProtocolContext::Http(listener) | ProtocolContext::HttpTap(listener) => {
                report_http(&listener.stats, record);
            }
            ProtocolContext::Redis(redis) => report_redis(&redis.stats, record),
            ProtocolContext::RedisCollapse(listener) => {
                report_redis(&listener.redis().stats, record);
            }
            ProtocolContext::Tcp(tcp) => {
                if record.reason == CloseReason::IdleTimeout {
                    tcp.stats.inc(Tcp::IDLE_TIMEOUT);
                }
            }
        }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.context
            .stats
            .gauge_add(Listener::DOWNSTREAM_CX_ACTIVE, -1);
        self.context.stats.inc(Listener::DOWNSTREAM_CX_DESTROY);
        self.context.shared.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

fn report_mongo(stats: &Scope<Mongo>, record: &ConnectionRecord) {
    if record.reason == CloseReason::Drained {
        stats.inc(Mongo::CX_DRAIN_CLOSE);
    }
    if record.exchanges_cut > 0 {
        stats.inc(if record.reason.is_local() {
            Mongo::CX_DESTROY_LOCAL_WITH_ACTIVE_RQ
        } else {
            Mongo::CX_DESTROY_REMOTE_WITH_ACTIVE_RQ
        });
    }
}

fn report_redis(stats: &Scope<Redis>, record: &ConnectionRecord) {
    if record.reason == CloseReason::Drained {
        stats.inc(Redis::CX_DRAIN_CLOSE);
    }
    if record.exchanges_cut > 0 {
        stats.inc(if record.reason.is_local() {
            Redis::CX_DESTROY_LOCAL_WITH_ACTIVE_RQ
        } else {
            Redis::CX_DESTROY_REMOTE_WITH_ACTIVE_RQ
        });
    }
}

fn report_http(stats: &Scope<Http>, record: &ConnectionRecord) {
    let length = record.end.saturating_duration_since(record.start);
    stats.record(
        Http::DOWNSTREAM_CX_LENGTH_MS,
        u64::try_from(length.as_micros()).unwrap_or(u64::MAX),
    );
    stats.add(Http::DOWNSTREAM_CX_RX_BYTES_TOTAL, record.received_bytes);
    stats.add(Http::DOWNSTREAM_CX_TX_BYTES_TOTAL, record.sent_bytes);
    stats.inc(Http::DOWNSTREAM_CX_DESTROY);
    let (closed, cut) = match record.reason.is_local() {
        true => (
            Http::DOWNSTREAM_CX_DESTROY_LOCAL,
            Http::DOWNSTREAM_CX_DESTROY_LOCAL_ACTIVE_RQ,
        ),
        false => (
            Http::DOWNSTREAM_CX_DESTROY_REMOTE,
            Http::DOWNSTREAM_CX_DESTROY_REMOTE_ACTIVE_RQ,
        ),
    };
    stats.inc(closed);
    if record.exchanges_cut > 0 {
        stats.inc(cut);
        stats.inc(Http::DOWNSTREAM_CX_DESTROY_ACTIVE_RQ);
    }
    match record.reason {
        CloseReason::IdleTimeout => stats.inc(Http::DOWNSTREAM_CX_IDLE_TIMEOUT),
        CloseReason::Drained => stats.inc(Http::DOWNSTREAM_CX_DRAIN_CLOSE),
        CloseReason::Malformed => stats.inc(Http::DOWNSTREAM_CX_PROTOCOL_ERROR),
        _ => {}
    }
}

/// The upstream connection of a session, counted as open until it is dropped.
struct Link {
    cluster: Scope<Cluster>,
    endpoint: Option<Scope<ClusterEndpoint>>,
    since: Instant,
}

impl Link {
    fn new(target: &Target, upstream: &Connected) -> Self {
        let cluster = target.stats.clone();
        let endpoint = target.endpoints.get(upstream.endpoint).cloned();
        cluster.inc(Cluster::UPSTREAM_CX_TOTAL);
        cluster.gauge_add(Cluster::UPSTREAM_CX_ACTIVE, 1);
        if let Some(endpoint) = &endpoint {
            endpoint.inc(ClusterEndpoint::CX_TOTAL);
            endpoint.gauge_add(ClusterEndpoint::CX_ACTIVE, 1);
        }
        Self {
            cluster,
            endpoint,
            since: upstream.since,
        }
    }

    fn close(self, ended: &Ended, exchanges_cut: usize) {
        let cluster = &self.cluster;
        let length = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        cluster.record(Cluster::UPSTREAM_CX_LENGTH_MS, length);
        cluster.add(Cluster::UPSTREAM_CX_TX_BYTES_TOTAL, ended.received);
        cluster.add(Cluster::UPSTREAM_CX_RX_BYTES_TOTAL, ended.sent);
        let by_upstream = ended.reason == CloseReason::UpstreamReset
            || (ended.reason == CloseReason::Finished && !ended.by_client);
        cluster.inc(if by_upstream {
            Cluster::UPSTREAM_CX_DESTROY_REMOTE
        } else {
            Cluster::UPSTREAM_CX_DESTROY_LOCAL
        });
        if exchanges_cut > 0 {
            cluster.inc(Cluster::UPSTREAM_CX_DESTROY_WITH_ACTIVE_RQ);
        }
        if ended.reason == CloseReason::IdleTimeout {
            cluster.inc(Cluster::UPSTREAM_CX_IDLE_TIMEOUT);
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.cluster.gauge_add(Cluster::UPSTREAM_CX_ACTIVE, -1);
        self.cluster.inc(Cluster::UPSTREAM_CX_DESTROY);
        if let Some(endpoint) = &self.endpoint {
            endpoint.gauge_add(ClusterEndpoint::CX_ACTIVE, -1);
        }
    }
}

/// A session that ended before it had an upstream.
fn early(reason: CloseReason) -> Ended {
    Ended {
        reason,
        by_client: false,
        received: 0,
        sent: 0,
    }
}

fn closing(verdict: Verdict) -> CloseReason {
    match verdict {
        Verdict::Drain => CloseReason::Drained,
        Verdict::Idle => CloseReason::IdleTimeout,
        Verdict::Go | Verdict::Abort => CloseReason::Aborted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each idle connection pays for all that its session may ever hold over an await: a few kilobytes are what it may cost in all.
    #[test]
    fn the_session_of_an_http_client_is_small() {
        let bytes = size_of_what_is_returned(http_session);
        assert!(bytes <= 2048, "{bytes}");
    }

    #[test]
    fn the_session_of_a_redis_client_that_shares_connections_is_small() {
        let bytes = size_of_what_is_returned(redis_session);
        assert!(bytes <= 2048, "{bytes}");
    }

    fn size_of_what_is_returned<A, B, C, D, F>(_: fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }
}
