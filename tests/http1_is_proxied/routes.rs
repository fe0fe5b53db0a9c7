//! Routes: where requests go, and what is changed on their way.

use std::net::SocketAddr;

use crate::peers::{OK, Server, ask, client, field};
use crate::support::proxy::Proxy;

/// A proxy before two servers, `a` and `b`, with these virtual hosts and no other route.
fn proxy(a: SocketAddr, b: SocketAddr, virtual_hosts: &str) -> Proxy {
    Proxy::start(&format!(
        "workers: 1
listeners:
  - name: edge
    listen: 127.0.0.1:0
    protocol: http
    http:
      virtual_hosts:
{virtual_hosts}
clusters:
  - {{ name: a, endpoints: ['{a}'] }}
  - {{ name: b, endpoints: ['{b}'] }}
"
    ))
}

#[test]
fn the_host_and_the_path_say_which_server_gets_a_request() {
    let (a, b) = (Server::answering(OK), Server::answering(OK));
    let proxy = proxy(
        a.address,
        b.address,
        "
        - name: shop
          domains: [shop.example, '*.shop.example']
          routes:
            - { name: carts, prefix: /carts/, methods: [GET], cluster: b }
            - { name: beta, prefix: /, headers: [{ name: X-Beta, value: yes please }], cluster: b }
            - { name: rest, prefix: /, cluster: a }
",
    );
    let mut client = client(&proxy);
    let cases = [
        ("GET /carts/1?a=b", "shop.example", "", &b),
        ("DELETE /carts/1", "shop.example", "", &a),
        ("GET /carts", "SHOP.example:80", "", &a),
        ("GET /carts/", "www.shop.example", "", &b),
        ("GET /", "shop.example", "x-beta: yes please\r\n", &b),
        ("GET /", "shop.example", "x-beta: no\r\n", &a),
    ];
    for (line, host, fields, server) in cases {
        let request = format!("{line} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
        assert!(ask(&mut client, &request, 2).0.starts_with("HTTP/1.1 200"));
        let head = server.head();
        assert!(head.starts_with(&format!("{line} HTTP/1.1\r\n")), "{head}");
        assert_eq!(field(&head, "host"), Some(host));
    }
    let (head, _) = ask(
        &mut client,
        "GET / HTTP/1.1\r\nHost: other.example\r\n\r\n",
        0,
    );
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
    a.expect_no_more();
    b.expect_no_more();
    let stats = proxy.stats();
    for (route, total) in [("carts", 2), ("beta", 1), ("rest", 3)] {
        stats.expect(
            &format!("http.edge.route.{route}.downstream_rq_total"),
            total,
        );
    }
    stats.expect("http.edge.no_route", 1);
}

#[test]
fn the_server_gets_another_path_and_host() {
    let server = Server::answering(OK);
    let proxy = proxy(
        server.address,
        server.address,
        "
        - name: all
          domains: ['*']
          routes:
            - { name: carts, prefix: /carts/, prefix_rewrite: /v2/, host_rewrite: 'carts.internal:81', cluster: a }
            - { name: item, path: /item, prefix_rewrite: /items/1, cluster: a }
            - { name: root, prefix: /root, prefix_rewrite: /, cluster: a }
            - { name: rest, prefix: /, cluster: a }
",
    );
    let mut client = client(&proxy);
    let cases = [
        (
            "/carts/1?to=/carts/2",
            "/v2/1?to=/carts/2",
            "carts.internal:81",
        ),
        ("http://a/carts/1", "/v2/1", "carts.internal:81"),
        ("/item?a=b", "/items/1?a=b", "a"),
        ("/root/x", "/x", "a"),
        ("/root?x", "/?x", "a"),
        ("/carts", "/carts", "a"),
    ];
    for (target, at_server, host) in cases {
        ask(
            &mut client,
            &format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"),
            2,
        );
        let head = server.head();
        assert!(
            head.starts_with(&format!("GET {at_server} HTTP/1.1\r\n")),
            "{head}"
        );
        assert_eq!(field(&head, "host"), Some(host), "{head}");
    }
}

#[test]
fn headers_come_and_go() {
    let server = Server::answering(
        b"HTTP/1.1 200 OK\r\nServer: s\r\nX-Set: old\r\nx-add: 1\r\nContent-Length: 2\r\n\r\nok",
    );
    let proxy = proxy(
        server.address,
        server.address,
        "
        - name: all
          domains: ['*']
          request_headers: { set: { x-set: host, x-host: host }, remove: [x-gone] }
          response_headers: { remove: [server], set: { x-set: new } }
          routes:
            - name: one
              prefix: /
              cluster: a
              request_headers: { set: { x-set: route }, add: { x-add: '2' } }
              response_headers: { add: { x-add: '2' } }
",
    );
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Set: client\r\nX-ADD: 1\r\nX-Gone: secret\r\nX-Kept: 1\r\n\r\n";
    let (reply, _) = ask(&mut client(&proxy), request, 2);
    let head = server.head();
    assert_eq!(field(&head, "x-set"), Some("route"), "{head}");
    assert_eq!(field(&head, "x-host"), Some("host"), "{head}");
    assert_eq!(field(&head, "x-kept"), Some("1"), "{head}");
    assert!(
        head.contains("\r\nX-ADD: 1\r\n") && head.contains("\r\nx-add: 2\r\n"),
        "{head}"
    );
    assert!(!head.to_lowercase().contains("x-gone"), "{head}");
    assert_eq!(field(&reply, "x-set"), Some("new"), "{reply}");
    assert_eq!(reply.matches("x-add: ").count(), 2, "{reply}");
    assert!(!reply.contains("Server"), "{reply}");
}

#[test]
fn clusters_share_the_requests_of_a_route() {
    let (a, b) = (Server::answering(OK), Server::answering(OK));
    let proxy = proxy(
        a.address,
        b.address,
        "
        - name: all
          domains: ['*']
          routes:
            - { name: shared, path: /shared, clusters: [{ cluster: a, weight: 3 }, { cluster: b, weight: 1 }] }
            - { name: only-b, path: /b, clusters: [{ cluster: a, weight: 0 }, { cluster: b, weight: 1 }] }
",
    );
    let mut client = client(&proxy);
    for _ in 0..50 {
        ask(&mut client, "GET /b HTTP/1.1\r\nHost: a\r\n\r\n", 2);
    }
    let count = |cluster| {
        let stats = proxy.stats();
        stats.value(&format!("cluster.{cluster}.upstream_rq_total"))
    };
    assert_eq!((count("a"), count("b")), (0, 50));
    for _ in 0..1000 {
        ask(&mut client, "GET /shared HTTP/1.1\r\nHost: a\r\n\r\n", 2);
    }
    // 750 are expected; the standard deviation is below 14, so that one run in a billion falls outside.
    let of_a = count("a");
    assert!((650..=850).contains(&of_a), "{of_a}");
    assert_eq!(of_a + count("b"), 1050);
}

#[test]
fn the_proxy_answers_itself() {
    let server = Server::answering(OK);
    let proxy = proxy(
        server.address,
        server.address,
        "
        - name: all
          domains: ['*']
          response_headers: { set: { x-by: proxy } }
          routes:
            - { name: old, prefix: /old/, redirect: { scheme: https, status: 308, prefix_rewrite: /new/ } }
            - { name: teapot, path: /teapot, respond: { status: 418, body: short and stout } }
            - name: page
              path: /page
              respond: { status: 200, body: <p>hello</p> }
              response_headers: { set: { content-type: text/html } }
            - { name: nothing, path: /nothing, respond: { status: 204 } }
",
    );
    let mut client = client(&proxy);
    let mut get = |target: &str, host: &str, body| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let (head, body) = ask(&mut client, &request, body);
        assert_eq!(field(&head, "x-by"), Some("proxy"), "{head}");
        (head, body)
    };
    let (head, _) = get("/old/1?a=b", "shop.example:80", 0);
    assert!(head.starts_with("HTTP/1.1 308 "), "{head}");
    assert_eq!(
        field(&head, "location"),
        Some("https://shop.example/new/1?a=b")
    );
    let (head, body) = get("/teapot", "a", 15);
    assert!(head.starts_with("HTTP/1.1 418 "), "{head}");
    assert_eq!(body, "short and stout");
    assert_eq!(field(&head, "content-type"), Some("text/plain"));
    let (head, body) = get("/page", "a", 12);
    assert_eq!(field(&head, "content-type"), Some("text/html"));
    assert_eq!(body, "<p>hello</p>");
    let (head, _) = get("/nothing", "a", 0);
    assert!(head.starts_with("HTTP/1.1 204 "), "{head}");
    assert_eq!(field(&head, "content-length"), None);
    server.expect_no_more();
    let stats = proxy.stats();
    stats.expect("http.edge.rq_redirect", 1);
    stats.expect("http.edge.rq_direct_response", 3);
    stats.expect("http.edge.route.teapot.downstream_rq_4xx", 1);
}
