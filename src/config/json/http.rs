//! What belongs to protocol http, in the keys of the file format.

use serde_json::{Map, Value, json};

use super::insert;
use crate::config::choices::{FORWARDED_PROTOS, HTTP_MODES, HTTP_VERSIONS, SCHEMES, UNDERSCORES};
use crate::config::model::{
    Domain, ForwardConfig, ForwardedConfig, HeaderEditsConfig, HeaderMatch, HttpClusterConfig,
    HttpConfig, HttpMode, HttpVersion, HttpVersions, ListenerConfig, PathMatch, RedirectConfig,
    RedirectPath, RespondConfig, RouteAction, RouteConfig, ValueMatch, VirtualHost,
};
use crate::config::values::{duration_or_never, size_text};

/// The name of the cluster that a listener itself names, if there is one.
pub(super) fn default_cluster<'a>(
    http: &HttpConfig,
    listener: &'a ListenerConfig,
) -> Option<&'a String> {
    let route = http.default_route.as_ref();
    match route.map(|route| &route.action) {
        Some(RouteAction::Forward(forward)) => {
            let cluster = forward.clusters.first()?.cluster;
            listener.clusters.get(cluster)
        }
        _ => None,
    }
}

pub(super) fn http(
    HttpConfig {
        mode,
        versions,
        caller_header,
        forwarded,
        underscores,
        allow_connect,
        max_head,
        max_headers,
        max_body,
        header_timeout,
        stream_idle_timeout,
        request_timeout,
        max_streams,
        virtual_hosts,
        default_route: _,
    }: &HttpConfig,
    clusters: &[String],
) -> Value {
    let mut value = json!({
        "mode": HTTP_MODES.word(*mode),
        "versions": version_words(*versions),
    });
    if let Some(name) = caller_header {
        insert(&mut value, "caller_header", name.as_str().into());
    }
    if *mode == HttpMode::Tap {
        return value;
    }
    let settings = [
        ("forwarded", forwarded_value(forwarded)),
        ("underscores", UNDERSCORES.word(*underscores).into()),
        ("allow_connect", (*allow_connect).into()),
        ("max_head", bytes(*max_head).into()),
        ("max_headers", (*max_headers).into()),
        ("max_body", size_text(max_body.unwrap_or_default()).into()),
        ("header_timeout", duration_or_never(*header_timeout).into()),
        (
            "idle_timeout",
            duration_or_never(*stream_idle_timeout).into(),
        ),
        (
            "request_timeout",
            duration_or_never(*request_timeout).into(),
        ),
        ("max_streams", (*max_streams).into()),
    ];
    for (key, setting) in settings {
        insert(&mut value, key, setting);
    }
    if !virtual_hosts.is_empty() {
        let hosts = virtual_hosts
            .iter()
            .map(|host| virtual_host(host, clusters));
        insert(&mut value, "virtual_hosts", hosts.collect());
    }
    value
}

pub(super) fn http_cluster(
    HttpClusterConfig {
        version,
        max_streams,
    }: &HttpClusterConfig,
) -> Value {
    json!({ "version": HTTP_VERSIONS.word(*version), "max_streams": max_streams })
}

fn bytes(size: usize) -> String {
    size_text(u64::try_from(size).unwrap_or(u64::MAX))
}

fn version_words(HttpVersions { http1, http2 }: HttpVersions) -> Vec<&'static str> {
    let spoken = [(http1, HttpVersion::Http1), (http2, HttpVersion::Http2)];
    let spoken = spoken.into_iter().filter(|(is_spoken, _)| *is_spoken);
    spoken
        .map(|(_, version)| HTTP_VERSIONS.word(version))
        .collect()
}

fn forwarded_value(
    ForwardedConfig {
        trusted_hops,
        append,
        proto,
    }: &ForwardedConfig,
) -> Value {
    json!({
        "trusted_hops": trusted_hops,
        "append": append,
        "proto": FORWARDED_PROTOS.word(*proto),
    })
}

fn virtual_host(
    VirtualHost {
        name,
        domains,
        request_headers,
        response_headers,
        routes,
    }: &VirtualHost,
    clusters: &[String],
) -> Value {
    let mut value = json!({
        "name": name,
        "domains": domains.iter().map(domain).collect::<Vec<_>>(),
        "routes": routes.iter().map(|each| route(each, clusters)).collect::<Vec<_>>(),
    });
    insert_edits(&mut value, "request_headers", request_headers);
    insert_edits(&mut value, "response_headers", response_headers);
    value
}

fn domain(domain: &Domain) -> String {
    match domain {
        Domain::Exact(host) => host.clone(),
        Domain::Suffix(end) => format!("*{end}"),
        Domain::Prefix(start) => format!("{start}*"),
        Domain::Any => "*".to_owned(),
    }
}

fn route(
    RouteConfig {
        name,
        path,
        methods,
        headers,
        action,
        request_headers,
        response_headers,
        timeout,
        idle_timeout,
    }: &RouteConfig,
    clusters: &[String],
) -> Value {
    let mut value = json!({ "name": name });
    match path {
        // Only the default route has none, which is not written as a route.
        PathMatch::Any => {}
        PathMatch::Exact(path) => insert(&mut value, "path", path.as_str().into()),
        PathMatch::Prefix(prefix) => insert(&mut value, "prefix", prefix.as_str().into()),
        PathMatch::Regex(pattern) => insert(&mut value, "regex", pattern.as_str().into()),
    }
    if !methods.is_empty() {
        insert(&mut value, "methods", methods.as_slice().into());
    }
    if !headers.is_empty() {
        insert(&mut value, "headers", headers.iter().map(header).collect());
    }
    match action {
        RouteAction::Forward(to) => {
            forward(&mut value, to, clusters);
            insert(&mut value, "timeout", duration_or_never(*timeout).into());
            let idle_timeout = duration_or_never(*idle_timeout);
            insert(&mut value, "idle_timeout", idle_timeout.into());
        }
        RouteAction::Redirect(to) => insert(&mut value, "redirect", redirect(to)),
        RouteAction::Respond(RespondConfig { status, body }) => {
            insert(
                &mut value,
                "respond",
                json!({ "status": status, "body": body }),
            );
        }
    }
    insert_edits(&mut value, "request_headers", request_headers);
    insert_edits(&mut value, "response_headers", response_headers);
    value
}

fn header(HeaderMatch { name, value }: &HeaderMatch) -> Value {
    match value {
        ValueMatch::Exact(text) => json!({ "name": name, "value": text }),
        ValueMatch::Present => json!({ "name": name, "present": true }),
        ValueMatch::Absent => json!({ "name": name, "present": false }),
        ValueMatch::Regex(pattern) => json!({ "name": name, "regex": pattern.as_str() }),
    }
}

fn forward(
    value: &mut Value,
    ForwardConfig {
        clusters: shares,
        prefix_rewrite,
        host_rewrite,
    }: &ForwardConfig,
    clusters: &[String],
) {
    // A single cluster is the same with a weight as without.
    let shares: Vec<_> = shares
        .iter()
        .map(|share| json!({ "cluster": clusters.get(share.cluster), "weight": share.weight }))
        .collect();
    insert(value, "clusters", shares.into());
    let rewrites = [
        ("prefix_rewrite", prefix_rewrite),
        ("host_rewrite", host_rewrite),
    ];
    for (key, rewrite) in rewrites {
        if let Some(rewrite) = rewrite {
            insert(value, key, rewrite.as_str().into());
        }
    }
}

fn redirect(
    RedirectConfig {
        status,
        scheme,
        host,
        path,
        keep_query,
    }: &RedirectConfig,
) -> Value {
    let mut value = json!({ "status": status, "strip_query": !keep_query });
    if let Some(scheme) = scheme {
        insert(&mut value, "scheme", SCHEMES.word(*scheme).into());
    }
    if let Some(host) = host {
        insert(&mut value, "host", host.as_str().into());
    }
    match path {
        None => {}
        Some(RedirectPath::Whole(path)) => insert(&mut value, "path", path.as_str().into()),
        Some(RedirectPath::Prefix(to)) => insert(&mut value, "prefix_rewrite", to.as_str().into()),
    }
    value
}

fn insert_edits(value: &mut Value, key: &str, edits: &HeaderEditsConfig) {
    if *edits == HeaderEditsConfig::default() {
        return;
    }
    let HeaderEditsConfig { set, add, remove } = edits;
    insert(
        value,
        key,
        json!({ "set": table(set), "add": table(add), "remove": remove }),
    );
}

fn table(pairs: &[(String, String)]) -> Value {
    let pairs = pairs.iter();
    let entries: Map<String, Value> = pairs
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    entries.into()
}
