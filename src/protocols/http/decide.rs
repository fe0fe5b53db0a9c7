//! decide: who answers a request, a cluster or the proxy itself.

use std::rc::Rc;

use super::HttpListener;
use super::errors::Failure;
use super::route::{Action, RequestView, Route};
use crate::upstream::http::HttpUpstream;

/// Who answers.
pub enum Decision<'a> {
    /// A cluster.
    Forward(Forward<'a>),
    /// The proxy.
    Reply(LocalReply<'a>),
}

/// Where a request is sent on to.
pub struct Forward<'a> {
    /// The route that takes it.
    pub route: &'a Route,
    /// The cluster's place in the listener's list.
    pub cluster: usize,
    /// The cluster.
    pub upstream: &'a Rc<HttpUpstream>,
}

/// A reply of the proxy's own.
#[derive(Clone, Debug)]
pub struct LocalReply<'a> {
    /// The route that it belongs to.
    pub route: Option<&'a Route>,
    /// Its status.
    pub status: u16,
    /// Its body, plain text.
    pub body: &'a [u8],
    /// Where the client is sent to.
    pub location: Option<Vec<u8>>,
    /// Why the proxy answers, if the config does not say so.
    pub failure: Option<Failure>,
}

impl LocalReply<'_> {
    /// The reply to a failure.
    pub fn to(failure: Failure) -> Self {
        let row = failure.row();
        Self {
            route: None,
            status: row.status,
            body: row.text.as_bytes(),
            location: None,
            failure: Some(failure),
        }
    }
}

/// Chooses who answers.
pub fn decide<'a>(listener: &'a HttpListener, request: &impl RequestView) -> Decision<'a> {
    let Some(route) = listener.routes.find(request) else {
        return Decision::Reply(LocalReply::to(Failure::NoRoute));
    };
    let Action::Forward(cluster) = route.action;
    match listener.upstreams.get(cluster) {
        Some(Some(upstream)) => Decision::Forward(Forward {
            route,
            cluster,
            upstream,
        }),
        _ => Decision::Reply(LocalReply {
            route: Some(route),
            ..LocalReply::to(Failure::NoCluster)
        }),
    }
}
