//! HTTP listeners: their routes, limits and timeouts, and the clusters that they send to.

use std::sync::Arc;
use std::time::Duration;

use insta::assert_snapshot;
use narrows::config::{
    Config, Domain, ForwardConfig, ForwardedConfig, ForwardedProto, HeaderEditsConfig, HeaderMatch,
    HttpClusterConfig, HttpConfig, HttpMode, HttpVersion, HttpVersions, PathMatch, PoolConfig,
    Protocol, RedirectConfig, RedirectPath, RespondConfig, RouteAction, RouteConfig, Scheme,
    Underscores, ValueMatch, VirtualHost, WeightedCluster, parse, to_json,
};
use narrows::pattern::Pattern;

use super::problems;

/// Every key of the format that belongs to HTTP, none at its default.
pub(super) const FULL_HTTP: &str = "
listeners:
  - name: edge
    listen: 0.0.0.0:8080
    protocol: http
    cluster: rest
    idle_timeout: 10m
    http:
      mode: proxy
      versions: [http2]
      caller_header: X-Caller
      forwarded: { trusted_hops: 2, append: false, proto: set }
      underscores: allow
      allow_connect: true
      max_head: 16KiB
      max_headers: 50
      max_body: 10MiB
      header_timeout: 5s
      idle_timeout: 1m
      request_timeout: 30s
      max_streams: 250
      virtual_hosts:
        - name: shop
          domains: [Shop.Example, '*.shop.example', 'shop.*', '[::1]']
          request_headers: { set: { X-B: b, X-A: a }, add: { via: edge }, remove: [X-Gone] }
          response_headers: { remove: [server] }
          routes:
            - name: carts
              prefix: /carts/
              methods: [GET, POST]
              headers:
                - { name: X-Beta, value: '1' }
                - { name: x-any, present: true }
                - { name: x-none, present: false }
                - { name: accept, regex: '.*json.*' }
              clusters: [{ cluster: carts, weight: 90 }, { cluster: carts-new, weight: 10 }]
              prefix_rewrite: /v2/
              host_rewrite: Carts.internal:8080
              timeout: 0s
              idle_timeout: 2m
              request_headers: { add: { x-route: carts } }
              response_headers: { set: { cache-control: no-store } }
            - { name: item, path: /item, cluster: carts, prefix_rewrite: /items/1 }
            - { name: numbered, regex: '/[0-9]+', cluster: rest }
        - name: others
          domains: ['*']
          routes:
            - name: old
              prefix: /old/
              redirect: { status: 308, scheme: https, host: 'new.example:8443', prefix_rewrite: /, strip_query: true }
            - { name: moved, prefix: /moved, redirect: { path: /new } }
            - { name: teapot, path: /teapot, respond: { status: 418, body: short and stout } }
            - { name: nothing, path: /nothing, respond: { status: 204 } }
  - name: sidecar
    listen: 127.0.0.1:8081
    protocol: http
    cluster: rest
    http: { mode: tap, versions: [http1], caller_header: x-caller }
clusters:
  - name: carts
    endpoints: ['10.0.0.1:80']
    http: { version: http2, max_streams: 50 }
    pool: { max_connections: 10, max_waiting: 20, wait_timeout: 1s, idle_timeout: 2s, max_lifetime: 3s }
  - { name: carts-new, endpoints: ['10.0.0.2:80'] }
  - { name: rest, endpoints: ['10.0.0.3:80'] }
";

/// What an HTTP listener cannot be without.
pub(super) const MINIMAL_HTTP: &str = "
listeners:
  - { name: edge, listen: 127.0.0.1:8080, protocol: http, cluster: web }
clusters:
  - { name: web, endpoints: [127.0.0.1:80] }
";

fn edits(set: &[(&str, &str)], add: &[(&str, &str)], remove: &[&str]) -> HeaderEditsConfig {
    let owned = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    HeaderEditsConfig {
        set: owned(set),
        add: owned(add),
        remove: remove.iter().map(|name| (*name).to_owned()).collect(),
    }
}

/// A route as it is without a word but its name, its path and its cluster, in the listener of `FULL_HTTP`.
fn route(name: &str, path: PathMatch, cluster: usize) -> RouteConfig {
    RouteConfig {
        name: name.to_owned(),
        path,
        methods: Vec::new(),
        headers: Vec::new(),
        action: RouteAction::Forward(ForwardConfig {
            clusters: vec![WeightedCluster { cluster, weight: 1 }],
            prefix_rewrite: None,
            host_rewrite: None,
        }),
        request_headers: HeaderEditsConfig::default(),
        response_headers: HeaderEditsConfig::default(),
        timeout: Some(Duration::from_secs(15)),
        idle_timeout: Some(Duration::from_secs(60)),
    }
}

fn shop() -> VirtualHost {
    let header = |name: &str, value| HeaderMatch {
        name: name.to_owned(),
        value,
    };
    let carts = RouteConfig {
        methods: vec!["GET".to_owned(), "POST".to_owned()],
        headers: vec![
            header("x-beta", ValueMatch::Exact("1".to_owned())),
            header("x-any", ValueMatch::Present),
            header("x-none", ValueMatch::Absent),
            header(
                "accept",
                ValueMatch::Regex(Pattern::new(".*json.*").unwrap()),
            ),
        ],
        action: RouteAction::Forward(ForwardConfig {
            clusters: vec![
                WeightedCluster {
                    cluster: 1,
                    weight: 90,
                },
                WeightedCluster {
                    cluster: 2,
                    weight: 10,
                },
            ],
            prefix_rewrite: Some("/v2/".to_owned()),
            host_rewrite: Some("carts.internal:8080".to_owned()),
        }),
        request_headers: edits(&[], &[("x-route", "carts")], &[]),
        response_headers: edits(&[("cache-control", "no-store")], &[], &[]),
        timeout: None,
        idle_timeout: Some(Duration::from_secs(120)),
        ..route("carts", PathMatch::Prefix("/carts/".to_owned()), 1)
    };
    let item = RouteConfig {
        action: RouteAction::Forward(ForwardConfig {
            clusters: vec![WeightedCluster {
                cluster: 1,
                weight: 1,
            }],
            prefix_rewrite: Some("/items/1".to_owned()),
            host_rewrite: None,
        }),
        ..route("item", PathMatch::Exact("/item".to_owned()), 1)
    };
    let numbered = PathMatch::Regex(Pattern::new("/[0-9]+").unwrap());
    VirtualHost {
        name: "shop".to_owned(),
        domains: vec![
            Domain::Exact("shop.example".to_owned()),
            Domain::Suffix(".shop.example".to_owned()),
            Domain::Prefix("shop.".to_owned()),
            Domain::Exact("[::1]".to_owned()),
        ],
        request_headers: edits(
            &[("x-a", "a"), ("x-b", "b")],
            &[("via", "edge")],
            &["x-gone"],
        ),
        response_headers: edits(&[], &[], &["server"]),
        routes: vec![carts, item, route("numbered", numbered, 0)],
    }
}

fn others() -> VirtualHost {
    let answered = |name: &str, path, action| RouteConfig {
        action,
        ..route(name, path, 0)
    };
    let redirect = |status, path| RedirectConfig {
        status,
        scheme: None,
        host: None,
        path: Some(path),
        keep_query: true,
    };
    let respond = |status, body: &str| {
        RouteAction::Respond(RespondConfig {
            status,
            body: body.to_owned(),
        })
    };
    VirtualHost {
        name: "others".to_owned(),
        domains: vec![Domain::Any],
        request_headers: HeaderEditsConfig::default(),
        response_headers: HeaderEditsConfig::default(),
        routes: vec![
            answered(
                "old",
                PathMatch::Prefix("/old/".to_owned()),
                RouteAction::Redirect(RedirectConfig {
                    scheme: Some(Scheme::Https),
                    host: Some("new.example:8443".to_owned()),
                    keep_query: false,
                    ..redirect(308, RedirectPath::Prefix("/".to_owned()))
                }),
            ),
            answered(
                "moved",
                PathMatch::Prefix("/moved".to_owned()),
                RouteAction::Redirect(redirect(301, RedirectPath::Whole("/new".to_owned()))),
            ),
            answered(
                "teapot",
                PathMatch::Exact("/teapot".to_owned()),
                respond(418, "short and stout"),
            ),
            answered(
                "nothing",
                PathMatch::Exact("/nothing".to_owned()),
                respond(204, ""),
            ),
        ],
    }
}

fn http(config: &Config, listener: usize) -> &HttpConfig {
    config.listeners[listener].http.as_ref().unwrap()
}

#[test]
fn every_key_of_http_is_read() {
    let config = parse("narrows.yaml", FULL_HTTP).unwrap();
    let edge = &config.listeners[0];
    assert_eq!(edge.protocol, Protocol::Http(HttpMode::Proxy));
    assert_eq!(edge.clusters, ["rest", "carts", "carts-new"]);
    assert_eq!(edge.idle_timeout, Some(Duration::from_secs(600)));
    let expected = HttpConfig {
        mode: HttpMode::Proxy,
        versions: HttpVersions {
            http1: false,
            http2: true,
        },
        caller_header: Some("x-caller".to_owned()),
        forwarded: ForwardedConfig {
            trusted_hops: 2,
            append: false,
            proto: ForwardedProto::Set,
        },
        underscores: Underscores::Allow,
        allow_connect: true,
        max_head: 16 * 1024,
        max_headers: 50,
        max_body: Some(10 * 1024 * 1024),
        header_timeout: Some(Duration::from_secs(5)),
        stream_idle_timeout: Some(Duration::from_secs(60)),
        request_timeout: Some(Duration::from_secs(30)),
        max_streams: 250,
        virtual_hosts: vec![shop(), others()],
        default_route: Some(route("default", PathMatch::Any, 0)),
    };
    assert_eq!(edge.http, Some(Arc::new(expected)));
    let names: Vec<_> = http(&config, 0)
        .routes()
        .map(|route| route.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "carts", "item", "numbered", "old", "moved", "teapot", "nothing", "default"
        ]
    );
    let sidecar = &config.listeners[1];
    assert_eq!(sidecar.protocol, Protocol::Http(HttpMode::Tap));
    assert_eq!(sidecar.clusters, ["rest"]);
    let names: Vec<_> = http(&config, 1)
        .routes()
        .map(|route| route.name.as_str())
        .collect();
    assert_eq!(names, ["default"]);

    let carts = &config.clusters[0];
    let expected = HttpClusterConfig {
        version: HttpVersion::Http2,
        max_streams: 50,
    };
    assert_eq!(carts.http, expected);
    let expected = PoolConfig {
        max_connections: 10,
        min_idle: 0,
        max_connecting: 10,
        max_waiting: 20,
        wait_timeout: Duration::from_secs(1),
        idle_timeout: Some(Duration::from_secs(2)),
        max_lifetime: Some(Duration::from_secs(3)),
        max_long_waits: 10,
    };
    assert_eq!(carts.pool, expected);
}

#[test]
fn what_is_left_out_has_its_default_in_http() {
    let config = parse("narrows.yaml", MINIMAL_HTTP).unwrap();
    assert_eq!(
        config.listeners[0].idle_timeout,
        Some(Duration::from_secs(3600))
    );
    let expected = HttpConfig {
        mode: HttpMode::Proxy,
        versions: HttpVersions {
            http1: true,
            http2: true,
        },
        caller_header: None,
        forwarded: ForwardedConfig {
            trusted_hops: 0,
            append: true,
            proto: ForwardedProto::Set,
        },
        underscores: Underscores::Reject,
        allow_connect: false,
        max_head: 60 * 1024,
        max_headers: 100,
        max_body: None,
        header_timeout: Some(Duration::from_secs(10)),
        stream_idle_timeout: Some(Duration::from_secs(300)),
        request_timeout: None,
        max_streams: 100,
        virtual_hosts: Vec::new(),
        default_route: Some(RouteConfig {
            idle_timeout: Some(Duration::from_secs(300)),
            ..route("default", PathMatch::Any, 0)
        }),
    };
    assert_eq!(http(&config, 0), &expected);
    let web = &config.clusters[0];
    assert_eq!(
        (web.http.version, web.http.max_streams),
        (HttpVersion::Http1, 100)
    );
    let expected = PoolConfig {
        max_connections: 1024,
        min_idle: 0,
        max_connecting: 1024,
        max_waiting: 1024,
        wait_timeout: Duration::from_secs(5),
        idle_timeout: Some(Duration::from_secs(60)),
        max_lifetime: Some(Duration::from_secs(3600)),
        max_long_waits: 1024,
    };
    assert_eq!(web.pool, expected);
}

#[test]
fn what_operators_are_shown_of_http_means_the_same() {
    for text in [FULL_HTTP, MINIMAL_HTTP] {
        let config = parse("narrows.yaml", text).unwrap();
        let shown = to_json(&config).to_string();
        assert_eq!(parse("shown", &shown), Ok(config));
    }
    // A cluster that nobody sends to may be for anything.
    let unused = format!(
        "{MINIMAL_HTTP}  - {{ name: spare, endpoints: ['a:1'], http: {{ version: http2 }}, pool: {{ min_idle: 1 }} }}\n"
    );
    let config = parse("narrows.yaml", &unused).unwrap();
    assert_eq!(parse("shown", &to_json(&config).to_string()), Ok(config));
}

#[test]
fn zero_is_never_and_no_limit() {
    let text = MINIMAL_HTTP.replace(
        "cluster: web",
        "cluster: web, idle_timeout: 0s, http: { header_timeout: 0s, idle_timeout: 0s, request_timeout: 0s, max_body: 0B }",
    );
    let config = parse("narrows.yaml", &text).unwrap();
    assert_eq!(config.listeners[0].idle_timeout, None);
    let http = http(&config, 0);
    assert_eq!(http.header_timeout, None);
    assert_eq!(http.stream_idle_timeout, None);
    assert_eq!(http.request_timeout, None);
    assert_eq!(http.max_body, None);
    assert_eq!(http.default_route.as_ref().unwrap().idle_timeout, None);
}

#[test]
fn proxies_that_are_trusted_are_believed() {
    let proto = |forwarded: &str| {
        let text = MINIMAL_HTTP.replace(
            "cluster: web",
            &format!("cluster: web, http: {{ forwarded: {forwarded} }}"),
        );
        http(&parse("narrows.yaml", &text).unwrap(), 0)
            .forwarded
            .proto
    };
    assert_eq!(proto("{}"), ForwardedProto::Set);
    assert_eq!(proto("{ trusted_hops: 1 }"), ForwardedProto::Keep);
    assert_eq!(
        proto("{ trusted_hops: 1, proto: set }"),
        ForwardedProto::Set
    );
}

#[test]
fn routes_need_no_cluster_of_the_listener() {
    let text = "
listeners:
  - name: edge
    listen: 127.0.0.1:8080
    protocol: http
    http:
      virtual_hosts: [{ name: all, domains: ['*'], routes: [{ name: away, prefix: /, redirect: { scheme: https } }] }]
clusters:
  - { name: spare, endpoints: ['a:1'] }
";
    let config = parse("narrows.yaml", text).unwrap();
    assert_eq!(config.listeners[0].clusters, Vec::<String>::new());
    assert_eq!(http(&config, 0).default_route, None);
}

/// One listener whose virtual hosts are `hosts`, with clusters `a` and `b`.
fn with_hosts(hosts: &str) -> String {
    format!(
        "listeners:
  - name: edge
    listen: 127.0.0.1:8080
    protocol: http
    cluster: a
    http:
      virtual_hosts:
{hosts}
clusters:
  - {{ name: a, endpoints: ['a:1'] }}
  - {{ name: b, endpoints: ['b:1'] }}
"
    )
}

/// One virtual host whose routes are `routes`.
fn with_routes(routes: &str) -> String {
    with_hosts(&format!(
        "        - name: all\n          domains: ['*']\n          routes:\n{routes}"
    ))
}

#[test]
fn bad_settings() {
    assert_snapshot!(problems(
        "
listeners:
  - name: edge
    listen: 127.0.0.1:8080
    protocol: http
    cluster: web
    mongo: { mode: tap }
    http:
      mode: poxy
      versions: [http1, http/2, http3, http1]
      caller_header: Authorization
      forwarded: { trusted_hops: 33, proto: keep, apend: true }
      underscores: refuse
      allow_connect: maybe
      max_head: 1MiB
      max_headers: 0
      max_body: 10MB
      header_timeout: 10
      idle_timeout: never
      request_timeout: off
      max_streams: 0
      virtual_hosts: []
      routes: []
  - { name: b, listen: 127.0.0.1:8081, protocol: tcp, cluster: web, http: {} }
  - { name: c, listen: 127.0.0.1:8082, protocol: http }
  - { name: d, listen: 127.0.0.1:8083, protocol: http, http: { versions: [], max_head: 60, max_body: MiB, max_headers: 101 } }
  - { name: e, listen: 127.0.0.1:8084, protocol: http, cluster: web, http: { caller_header: x_caller } }
  - { name: f, listen: 127.0.0.1:8085, protocol: http, cluster: web, http: { caller_header: 'x caller', max_body: 99999999GiB } }
clusters:
  - { name: web, endpoints: ['a:1'], http: { version: h2, max_streams: 2147483648 } }
"
    ));
}

#[test]
fn a_tap_changes_nothing() {
    assert_snapshot!(problems(
        "
listeners:
  - name: edge
    listen: 127.0.0.1:8080
    protocol: http
    http:
      mode: tap
      forwarded: {}
      underscores: allow
      allow_connect: true
      max_head: 8KiB
      max_headers: 10
      max_body: 1GiB
      header_timeout: 1s
      idle_timeout: 1s
      request_timeout: 1s
      max_streams: 1
      virtual_hosts: []
clusters:
  - { name: web, endpoints: ['a:1'] }
"
    ));
}

#[test]
fn bad_hosts() {
    assert_snapshot!(problems(&with_hosts(
        "
        - {}
        - { name: a b, domains: [], routes: [] }
        - name: a
          domains: [shop.example, 'shop.example:8080', 'http://shop.example', 'a*b', '*.*', '', '-a', 'shop.example.', '::1', '[::1', SHOP.example]
          routes: [{ name: one, prefix: /, cluster: b }]
        - name: a
          domains: ['*', Shop.Example, '*']
          routes: [{ name: one, prefix: /, cluster: b }, { name: default, prefix: /, cluster: b }]
"
    )));
}

#[test]
fn bad_matches() {
    assert_snapshot!(problems(&with_routes(
        "
            - {}
            - { name: r1, path: /a, prefix: /b, regex: /c, cluster: a }
            - { name: r2, path: a, cluster: a }
            - { name: r3, prefix: '/a?b=c', cluster: a }
            - { name: r4, prefix: /é, cluster: a }
            - { name: r5, regex: '/carts/[0-9', cluster: a }
            - { name: r6, regex: '/(?<!a)b', cluster: a }
            - { name: r7, regex: '/a{1000}{1000}', cluster: a }
            - { name: r8, path: /r8, methods: [get, GTE, 'G T', GET, GET, CONNECT, ''], cluster: a }
            - { name: r9, path: /r9, methods: [], cluster: a }
            - name: r10
              path: /r10
              cluster: a
              headers:
                - {}
                - { name: 'x a', value: a }
                - { name: x_a, present: true }
                - { name: x-a }
                - { name: x-a, value: a, regex: b }
                - { name: x-a, regex: '(' }
                - { name: x-a, value: \"a\\nb\" }
                - { name: x-a, value: ' a' }
                - { name: Host, value: a }
                - { name: x-a, present: yes }
"
    )));
}

#[test]
fn bad_actions() {
    assert_snapshot!(problems(&with_routes(
        "
            - { name: r1, path: /r1 }
            - { name: r2, path: /r2, cluster: a, clusters: [{ cluster: b, weight: 1 }] }
            - { name: r3, path: /r3, cluster: c }
            - { name: r4, path: /r4, clusters: [{ cluster: aa, weight: 1 }, { cluster: b }, { weight: 1 }, { cluster: b, weight: 1000001 }] }
            - { name: r5, path: /r5, clusters: [{ cluster: a, weight: 0 }, { cluster: b, weight: 0 }] }
            - { name: r6, path: /r6, clusters: [] }
            - { name: r7, regex: /r7.*, prefix_rewrite: /a, cluster: a }
            - { name: r8, prefix: /r8/, prefix_rewrite: /a, cluster: a }
            - { name: r9, prefix: /r9/, prefix_rewrite: a/, host_rewrite: 'http://a/', cluster: a }
            - { name: r10, prefix: /r10/, host_rewrite: 'a:b:c', timeout: 1, idle_timeout: 1y, cluster: a }
            - { name: r11, path: /r11, redirect: {} }
            - { name: r12, path: /r12, redirect: { status: 300, scheme: ftp, host: 'a b', path: a, prefix_rewrite: b } }
            - { name: r13, path: /r13, redirect: { path: /a, prefix_rewrite: /b } }
            - { name: r14, path: /r14, redirect: { path: /r14 } }
            - { name: r15, regex: /r15, redirect: { prefix_rewrite: /a } }
            - { name: r16, prefix: /r16/, redirect: { prefix_rewrite: /a }, timeout: 1s, request_headers: {} }
            - { name: r17, path: /r17, respond: {} }
            - { name: r18, path: /r18, respond: { status: 101 } }
            - { name: r19, path: /r19, respond: { status: 600, body: a }, redirect: { host: a }, prefix_rewrite: /a }
            - { name: r20, path: /r20, respond: { status: 204, body: a } }
            - { name: r21, path: /r21, cluster: a, host_rewrite: 'a:70000' }
            - { name: r22, path: /r22, clusters: [{ cluster: b, weight: 1 }, { cluster: b, weight: 1 }] }
"
    )));
    let long = "a".repeat(4097);
    let error = problems(&with_routes(&format!(
        "            - {{ name: r1, path: /r1, respond: {{ status: 200, body: {long} }} }}"
    )));
    let [problem] = error.problems() else {
        panic!("{error}")
    };
    assert_eq!(
        problem.message(),
        "the body has 4097 bytes; at most 4096 are allowed"
    );
}

#[test]
fn bad_edits() {
    assert_snapshot!(problems(&with_hosts(
        "
        - name: all
          domains: ['*']
          request_headers:
            set: { x a: 1, X-A: 1, x-a: 2, Host: a, Content-Length: 0, empty: '' }
            add: { Transfer-Encoding: chunked, connection: close, x-b: [1], x-c: \"a\\r\\nb: c\", x-d: é, x-e: 1, X-E: 2 }
            remove: [x-a, X-Forwarded-For, TE, upgrade, expect, x-f, x-f, '']
          response_headers: { set: [a], ad: {}, remove: x-a }
          routes:
            - { name: one, prefix: /, cluster: b, response_headers: { set: { keep-alive: timeout=5, trailer: a, ':status': '200' } } }
"
    )));
}

#[test]
fn routes_that_no_request_reaches() {
    assert_snapshot!(problems(&with_routes(
        "
            - { name: beta, prefix: /, headers: [{ name: x-beta, value: '1' }], cluster: a }
            - { name: reads, prefix: /carts, methods: [GET, HEAD], cluster: a }
            - { name: carts, prefix: /carts/, cluster: a }
            - { name: never1, prefix: /carts/, headers: [{ name: x-a, present: true }], cluster: a }
            - { name: never2, path: /carts, methods: [HEAD], cluster: a }
            - { name: reached1, path: /carts, methods: [HEAD, POST], cluster: a }
            - { name: reached2, path: /carts, cluster: a }
            - { name: never3, prefix: /shop, headers: [{ name: x-a, present: true }, { name: X-Beta, value: '1' }], cluster: a }
            - { name: pattern, regex: '/[0-9]+', cluster: a }
            - { name: never4, path: /12, cluster: a }
            - { name: never5, regex: '/[0-9]+', methods: [GET], cluster: a }
            - { name: all, prefix: /, cluster: a }
            - { name: never6, regex: '/[a-z]+', cluster: a }
            - { name: never7, prefix: /, cluster: a }
"
    )));
}

#[test]
fn clusters_belong_to_one_protocol() {
    assert_snapshot!(problems(
        "
listeners:
  - { name: a, listen: 127.0.0.1:1, protocol: http, cluster: web }
  - { name: b, listen: 127.0.0.1:2, protocol: mongo, cluster: both }
  - name: c
    listen: 127.0.0.1:3
    protocol: http
    http:
      virtual_hosts: [{ name: all, domains: ['*'], routes: [{ name: one, prefix: /, clusters: [{ cluster: both, weight: 1 }] }] }]
  - { name: d, listen: 127.0.0.1:4, protocol: tcp, cluster: bytes }
  - { name: e, listen: 127.0.0.1:5, protocol: tcp, cluster: web }
  - { name: f, listen: 127.0.0.1:6, protocol: mongo, cluster: orders }
clusters:
  - { name: web, endpoints: ['a:1'], mongo: {}, pool: { min_idle: 1, max_connecting: 2, max_long_waits: 3, max_connections: 0 } }
  - { name: both, endpoints: ['a:2'] }
  - { name: bytes, endpoints: ['a:3'], mongo: {}, http: {}, pool: {} }
  - { name: orders, endpoints: ['a:4'], mongo: {}, http: {}, pool: {} }
"
    ));
}
