//! decide: who answers a request, a cluster or the proxy itself.

use std::rc::Rc;

use narrows_parsers::http1::Malformed;

use super::HttpListener;
use super::errors::Failure;
use super::route::{self, Action, RequestView, Route};
use crate::config::{ForwardedProto, Scheme};
use crate::exchange::Configured;
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
    /// What becomes of its path and host.
    pub to: &'a route::Forward,
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

impl LocalReply<'_> {
    /// What the config has to do with it.
    pub fn configured(&self) -> Option<Configured> {
        match (self.failure, &self.location) {
            (Some(_), _) => None,
            (None, Some(_)) => Some(Configured::Redirect),
            (None, None) => Some(Configured::Respond),
        }
    }
}

/// Chooses who answers a request that came over a connection of this scheme.
pub fn decide<'a>(
    listener: &'a HttpListener,
    request: &impl RequestView,
    scheme: Scheme,
) -> Decision<'a> {
    let Some(route) = listener.routes.find(request) else {
        return Decision::Reply(LocalReply::to(Failure::NoRoute));
    };
    let failed = |failure| LocalReply {
        route: Some(route),
        ..LocalReply::to(failure)
    };
    let answered = |status, body, location| LocalReply {
        route: Some(route),
        status,
        body,
        location,
        failure: None,
    };
    Decision::Reply(match &route.action {
        Action::Forward(to) => {
            let random = || to.clusters.pick(listener.random());
            let cluster = to.clusters.only().unwrap_or_else(random);
            match listener.upstreams.get(cluster) {
                Some(Some(upstream)) => {
                    return Decision::Forward(Forward {
                        route,
                        to,
                        cluster,
                        upstream,
                    });
                }
                _ => failed(Failure::NoCluster),
            }
        }
        Action::Redirect(redirect) => {
            match redirect.location(request, client_scheme(listener, request, scheme)) {
                Some(location) => answered(redirect.status, &[], Some(location)),
                None => failed(Failure::Malformed(Malformed::MissingHost)),
            }
        }
        Action::Respond(respond) => answered(respond.status, &respond.body, None),
    })
}

/// How the client's own connection is secured: what a trusted proxy in front says, else what it is here.
fn client_scheme(listener: &HttpListener, request: &impl RequestView, here: Scheme) -> Scheme {
    let told = match listener.config.forwarded.proto {
        ForwardedProto::Keep => request.header(b"x-forwarded-proto"),
        ForwardedProto::Set => None,
    };
    match told {
        Some(b"https") => Scheme::Https,
        Some(b"http") => Scheme::Http,
        _ => here,
    }
}
