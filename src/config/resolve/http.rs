//! HTTP: what a listener does with requests.

use super::Resolver;
use crate::config::defaults;
use crate::config::model::{
    ForwardConfig, ForwardedConfig, ForwardedProto, HeaderEditsConfig, HttpConfig, PathMatch,
    RouteAction, RouteConfig, WeightedCluster,
};

impl Resolver<'_> {
    pub(super) fn http(&mut self) -> HttpConfig {
        HttpConfig {
            mode: defaults::HTTP_MODE,
            versions: defaults::HTTP_VERSIONS,
            caller_header: None,
            forwarded: ForwardedConfig {
                trusted_hops: 0,
                append: true,
                proto: ForwardedProto::Set,
            },
            underscores: defaults::HTTP_UNDERSCORES,
            allow_connect: false,
            max_head: 60 * 1024,
            max_headers: defaults::HTTP_MAX_HEADERS,
            max_body: None,
            header_timeout: defaults::HTTP_HEADER_TIMEOUT,
            stream_idle_timeout: defaults::HTTP_STREAM_IDLE_TIMEOUT,
            request_timeout: defaults::HTTP_REQUEST_TIMEOUT,
            max_streams: 100,
            virtual_hosts: Vec::new(),
            default_route: Some(default_route(0)),
        }
    }
}

/// The route of requests that no other takes.
fn default_route(cluster: usize) -> RouteConfig {
    RouteConfig {
        name: "default".to_owned(),
        path: PathMatch::Any,
        methods: Vec::new(),
        headers: Vec::new(),
        action: RouteAction::Forward(ForwardConfig {
            clusters: vec![WeightedCluster { cluster, weight: 1 }],
            prefix_rewrite: None,
            host_rewrite: None,
        }),
        request_headers: HeaderEditsConfig::default(),
        response_headers: HeaderEditsConfig::default(),
        timeout: defaults::HTTP_ROUTE_TIMEOUT,
        idle_timeout: defaults::HTTP_STREAM_IDLE_TIMEOUT,
    }
}
