//! An HTTP/1 connection while it is lent.

use std::time::Instant;

use super::pool::{Busy, HttpUpstream};
use crate::stats::{Cluster, ClusterEndpoint, Scope};
use crate::stream::Stream;
use crate::upstream::pool::{CloseReason, Lease};

/// One connection, for one exchange. Only [`Self::give_back`] lets it serve again: one that is dropped is
/// closed, since nobody has said that it is between two messages.
pub struct H1Connection {
    lease: Lease,
    busy: Busy,
}

impl H1Connection {
    pub(super) fn new(lease: Lease, busy: Busy) -> Self {
        let connection = Self { lease, busy };
        let cluster = connection.cluster();
        cluster.inc(Cluster::UPSTREAM_RQ_TOTAL);
        if connection.lease.is_unused() {
            cluster.inc(Cluster::UPSTREAM_CX_HTTP1_TOTAL);
        }
        if let Some(endpoint) = connection.endpoint() {
            endpoint.inc(ClusterEndpoint::RQ_TOTAL);
        }
        connection
    }

    /// The connection, between two messages when it is lent.
    pub fn stream(&mut self) -> &mut Stream {
        self.lease.stream()
    }

    /// True when it has served before: if it ends before a byte of the reply came, the server may have closed it
    /// just as it was lent.
    pub fn is_reused(&self) -> bool {
        self.lease.is_reused()
    }

    /// `host:port` of the endpoint, as the config has it.
    pub fn endpoint_name(&self) -> &str {
        &self.lease.endpoint().name
    }

    /// `cluster.*`
    pub fn cluster(&self) -> &Scope<Cluster> {
        &self.upstream().stats
    }

    /// `cluster.*.endpoint.*`
    pub fn endpoint(&self) -> Option<&Scope<ClusterEndpoint>> {
        self.busy.endpoint()
    }

    /// The cluster it belongs to, as this worker uses it.
    pub fn upstream(&self) -> &HttpUpstream {
        self.busy.upstream()
    }

    /// Counts bytes that moved on it: from the server, and to it.
    pub fn moved(&mut self, received: u64, sent: u64) {
        self.lease.moved(received, sent);
    }

    /// The whole request was written and the whole reply read, with nothing behind it: it may serve again.
    pub fn give_back(self, now: Instant) {
        self.lease.checkin(now);
    }

    /// Closes it.
    pub fn discard(self, reason: CloseReason) {
        self.lease.discard(reason);
    }
}
