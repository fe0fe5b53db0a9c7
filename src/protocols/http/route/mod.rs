//! Routes: which requests go where.

use std::time::Duration;

use crate::config::{HeaderEditsConfig, HttpConfig, RouteAction};

/// A request, as routes look at it.
pub trait RequestView {
    /// Its method.
    fn method(&self) -> &[u8];
    /// Host and port, as the client names them; empty when it does not.
    fn authority(&self) -> &[u8];
    /// The target.
    fn path_and_query(&self) -> &[u8];
    /// The first value of a header.
    fn header(&self, lowercase_name: &[u8]) -> Option<&[u8]>;
}

/// All routes of a listener.
#[derive(Debug)]
pub struct RouteTable {
    routes: Vec<Route>,
}

/// One route.
#[derive(Debug)]
pub struct Route {
    /// Its number.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// What becomes of a request.
    pub action: Action,
    /// From the end of the request to the end of the reply.
    pub timeout: Option<Duration>,
    /// Longest time without a byte.
    pub idle_timeout: Option<Duration>,
    /// Edits of the request.
    pub request_edits: HeaderEditsConfig,
    /// Edits of the reply.
    pub response_edits: HeaderEditsConfig,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Action {
    /// It is sent on.
    Forward(usize),
}

impl RouteTable {
    /// Makes it.
    pub fn new(config: &HttpConfig) -> Self {
        let routes = config.routes().enumerate().filter_map(|(index, route)| {
            let RouteAction::Forward(forward) = &route.action else {
                return None;
            };
            Some(Route {
                index,
                name: route.name.clone(),
                action: Action::Forward(forward.clusters.first()?.cluster),
                timeout: route.timeout,
                idle_timeout: route.idle_timeout,
                request_edits: route.request_headers.clone(),
                response_edits: route.response_headers.clone(),
            })
        });
        Self {
            routes: routes.collect(),
        }
    }

    /// The route that takes a request.
    pub fn find(&self, _request: &impl RequestView) -> Option<&Route> {
        self.routes.last()
    }

    /// A route by its number.
    pub fn get(&self, index: usize) -> Option<&Route> {
        self.routes.get(index)
    }
}
