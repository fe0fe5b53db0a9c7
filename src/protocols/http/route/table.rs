//! All routes of a listener.

use std::time::Duration;

use super::hosts::Hosts;
use super::matching::Matcher;
use super::{HeaderEdits, PathRewrite, Redirect, RequestView, WeightedClusters, path_of};
use crate::config::{
    ForwardConfig, HeaderEditsConfig, HttpConfig, PathMatch, RespondConfig, RouteAction,
    RouteConfig, VirtualHost,
};

/// All routes of a listener. A clone has scratch space of its own for its regular expressions, so that a worker which
/// keeps one waits for no other.
#[derive(Clone, Debug)]
pub struct RouteTable {
    hosts: Hosts,
    /// The matchers of each virtual host, in the order of its routes.
    matchers: Vec<Vec<Matcher>>,
    /// By their numbers.
    routes: Vec<Route>,
    /// The number of the route that takes what no other does.
    default: Option<usize>,
}

/// What becomes of the requests that it takes.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its number: its place among all routes of the listener.
    pub index: usize,
    /// Unique in the listener; a label of stats.
    pub name: Box<str>,
    /// What becomes of a request.
    pub action: Action,
    /// From the end of the request to the end of the reply; `None` is for ever.
    pub timeout: Option<Duration>,
    /// An exchange without a byte in either direction for this long is ended; `None` is never.
    pub idle_timeout: Option<Duration>,
    /// What becomes of the headers of requests that are forwarded.
    pub request_edits: HeaderEdits,
    /// What becomes of the headers of replies, also of the proxy's own.
    pub response_edits: HeaderEdits,
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Action {
    /// It is sent on.
    Forward(Forward),
    /// The client is sent elsewhere.
    Redirect(Redirect),
    /// It is answered here.
    Respond(Respond),
}

/// Where a request is sent on to.
#[derive(Clone, Debug)]
pub struct Forward {
    /// The clusters that share the requests, by their places in the listener's list.
    pub clusters: WeightedClusters,
    /// What becomes of the path.
    pub path: PathRewrite,
    /// What the upstream is told as host, if not what the client said.
    pub host: Option<Box<[u8]>>,
}

/// A reply without an upstream.
#[derive(Clone, Debug)]
pub struct Respond {
    /// Its status.
    pub status: u16,
    /// Its body, plain text.
    pub body: Box<[u8]>,
}

impl RouteTable {
    /// The table that a config stands for.
    pub fn new(config: &HttpConfig) -> Self {
        let hosts = &config.virtual_hosts;
        let mut matchers = Vec::with_capacity(hosts.len());
        let mut routes = Vec::new();
        for host in hosts {
            let first = routes.len();
            let of_host = host.routes.iter().zip(first..);
            matchers.push(
                of_host
                    .clone()
                    .map(|(route, index)| Matcher::new(route, index))
                    .collect(),
            );
            routes.extend(of_host.map(|(route, index)| Route::new(route, index, Some(host))));
        }
        let default = config.default_route.as_ref().map(|route| {
            let index = routes.len();
            routes.push(Route::new(route, index, None));
            index
        });
        Self {
            hosts: Hosts::new(hosts),
            matchers,
            routes,
            default,
        }
    }

    /// The route that takes a request: the first of its virtual host that fits, else the listener's default.
    pub fn find(&self, request: &impl RequestView) -> Option<&Route> {
        let fitting = || {
            let host = self.hosts.find(request.authority())?;
            let path = path_of(request.path_and_query());
            Matcher::first(self.matchers.get(host)?, path, request)
        };
        let index = if self.matchers.is_empty() {
            self.default?
        } else {
            fitting().or(self.default)?
        };
        self.get(index)
    }

    /// A route by its number.
    pub fn get(&self, index: usize) -> Option<&Route> {
        self.routes.get(index)
    }

    /// Every route, by its number.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }
}

impl Route {
    fn new(config: &RouteConfig, index: usize, host: Option<&VirtualHost>) -> Self {
        let none = HeaderEditsConfig::default();
        let request = host.map_or(&none, |host| &host.request_headers);
        let response = host.map_or(&none, |host| &host.response_headers);
        Self {
            index,
            name: config.name.as_str().into(),
            action: Action::new(&config.action, &config.path),
            timeout: config.timeout,
            idle_timeout: config.idle_timeout,
            request_edits: HeaderEdits::new(&[request, &config.request_headers]),
            response_edits: HeaderEdits::new(&[response, &config.response_headers]),
        }
    }
}

impl Action {
    fn new(config: &RouteAction, matched: &PathMatch) -> Self {
        match config {
            RouteAction::Forward(ForwardConfig {
                clusters,
                prefix_rewrite,
                host_rewrite,
            }) => Self::Forward(Forward {
                clusters: WeightedClusters::new(clusters),
                path: PathRewrite::new(prefix_rewrite.as_deref(), matched),
                host: host_rewrite.as_ref().map(|host| host.as_bytes().into()),
            }),
            RouteAction::Redirect(config) => Self::Redirect(Redirect::new(config, matched)),
            RouteAction::Respond(RespondConfig { status, body }) => Self::Respond(Respond {
                status: *status,
                body: body.as_bytes().into(),
            }),
        }
    }
}
