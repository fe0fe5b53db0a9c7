//! Tables made from configs as people write them.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::config::{Domain, HttpConfig, PathMatch, RouteConfig, Scheme, parse};

/// A request of a method, an authority and a target, with headers.
struct Asked<'a>(&'a str, &'a str, &'a str, &'a [(&'a str, &'a str)]);

impl RequestView for Asked<'_> {
    fn method(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn authority(&self) -> &[u8] {
        self.1.as_bytes()
    }

    fn path_and_query(&self) -> &[u8] {
        self.2.as_bytes()
    }

    fn header(&self, lowercase_name: &[u8]) -> Option<&[u8]> {
        let mut headers = self.3.iter();
        let found = headers.find(|(name, _)| name.as_bytes() == lowercase_name)?;
        Some(found.1.as_bytes())
    }
}

fn config(listener: &str, virtual_hosts: &str) -> Arc<HttpConfig> {
    let text = format!(
        "
listeners:
  - name: edge
    listen: 127.0.0.1:0
    protocol: http
    {listener}
    http:
      virtual_hosts:
{virtual_hosts}
clusters:
  - {{ name: a, endpoints: ['a:1'] }}
  - {{ name: b, endpoints: ['b:1'] }}
"
    );
    let config = parse("test", &text).unwrap_or_else(|error| panic!("{error}"));
    config.listeners.into_iter().next().unwrap().http.unwrap()
}

fn table(virtual_hosts: &str) -> RouteTable {
    RouteTable::new(&config("", virtual_hosts))
}

fn found<'a>(table: &'a RouteTable, asked: &Asked<'_>) -> &'a str {
    table.find(asked).map_or("none", |route| &route.name)
}

fn get<'a>(table: &'a RouteTable, authority: &str, target: &str) -> &'a str {
    found(table, &Asked("GET", authority, target, &[]))
}

#[test]
fn the_most_exact_domain_counts() {
    let hosts: String = [
        ("exact", "shop.example"),
        ("ipv6", "'[::1]'"),
        ("suffix", "'*.example'"),
        ("longer", "'*.shop.example'"),
        ("part", "'*-api.example'"),
        ("prefix", "'shop.*'"),
        ("any", "'*'"),
    ]
    .iter()
    .map(|(name, domain)| {
        format!("        - {{ name: {name}, domains: [{domain}], routes: [{{ name: {name}, prefix: /, cluster: a }}] }}\n")
    })
    .collect();
    let table = table(&hosts);
    let cases = [
        ("shop.example", "exact"),
        ("SHOP.Example:8080", "exact"),
        ("[::1]:80", "ipv6"),
        ("www.example", "suffix"),
        ("a.b.example", "suffix"),
        ("www.shop.example", "longer"),
        ("v1-API.example", "part"),
        ("shop.test", "prefix"),
        // A suffix before a prefix.
        ("shop.other.example", "suffix"),
        // The star stands for something.
        (".example", "any"),
        ("shop.", "any"),
        ("example", "any"),
        ("", "any"),
        (":80", "any"),
    ];
    for (authority, expected) in cases {
        assert_eq!(get(&table, authority, "/"), expected, "{authority}");
    }
}

#[test]
fn the_first_route_that_fits_takes_the_request() {
    let table = table(
        r#"
        - name: shop
          domains: ['*']
          routes:
            - { name: exact, path: /carts, cluster: a }
            - { name: beta, prefix: /carts/, headers: [{ name: X-Beta, value: "1" }], cluster: a }
            - { name: post, prefix: /carts/, methods: [POST, PUT], cluster: a }
            - { name: numbered, regex: "/carts/[0-9]+", cluster: a }
            - { name: typed, prefix: /, headers: [{ name: accept, regex: ".*json.*" }, { name: cookie, present: false }], cluster: a }
            - { name: known, prefix: /, headers: [{ name: authorization, present: true }], cluster: a }
            - { name: short, prefix: /c, cluster: a }
"#,
    );
    let cases: [(Asked<'_>, &str); 15] = [
        (Asked("GET", "a", "/carts", &[]), "exact"),
        (Asked("GET", "a", "/carts?id=1", &[]), "exact"),
        (Asked("GET", "a", "/carts/", &[]), "short"),
        (Asked("GET", "a", "/carts/1", &[("x-beta", "1")]), "beta"),
        (Asked("GET", "a", "/carts/x", &[("x-beta", "2")]), "short"),
        (Asked("PUT", "a", "/carts/1", &[]), "post"),
        (Asked("put", "a", "/carts/1", &[]), "numbered"),
        (Asked("GET", "a", "/carts/12?x=/y", &[]), "numbered"),
        (Asked("GET", "a", "/carts/12/items", &[]), "short"),
        (Asked("GET", "a", "/", &[("accept", "text/json")]), "typed"),
        (
            Asked("GET", "a", "/", &[("accept", "text/json"), ("cookie", "")]),
            "none",
        ),
        (Asked("GET", "a", "/x", &[("authorization", "")]), "known"),
        (Asked("GET", "a", "/x", &[]), "none"),
        (Asked("OPTIONS", "a", "*", &[]), "none"),
        (Asked("CONNECT", "a:1", "", &[]), "none"),
    ];
    for (asked, expected) in cases {
        assert_eq!(found(&table, &asked), expected, "{} {}", asked.0, asked.2);
    }
}

#[test]
fn what_no_route_takes_goes_to_the_default() {
    let hosts = "        - { name: shop, domains: [shop.example], routes: [{ name: carts, prefix: /carts, cluster: b }] }";
    let with_default = RouteTable::new(&config("cluster: a", hosts));
    assert_eq!(get(&with_default, "shop.example", "/carts"), "carts");
    assert_eq!(get(&with_default, "shop.example", "/other"), "default");
    assert_eq!(get(&with_default, "other.example", "/carts"), "default");
    let asked = Asked("OPTIONS", "", "*", &[]);
    assert_eq!(found(&with_default, &asked), "default");
    assert_eq!(get(&table(hosts), "other.example", "/carts"), "none");

    let numbers: Vec<_> = with_default
        .routes()
        .iter()
        .map(|route| (route.index, &*route.name))
        .collect();
    assert_eq!(numbers, [(0, "carts"), (1, "default")]);
    assert!(with_default.get(2).is_none());
}

#[test]
fn a_rewrite_keeps_the_query() {
    let rewritten = |path: &str, to: &str, target: &str| {
        let host = format!(
            "        - {{ name: a, domains: ['*'], routes: [{{ name: a, {path}, prefix_rewrite: {to}, cluster: a }}] }}"
        );
        let table = table(&host);
        let Some(Route {
            action: Action::Forward(forward),
            ..
        }) = table.find(&Asked("GET", "a", target, &[]))
        else {
            panic!("{target}")
        };
        let (start, rest) = forward.path.apply(target.as_bytes());
        String::from_utf8([start, rest].concat()).unwrap()
    };
    let cases = [
        ("prefix: /carts/", "/v2/", "/carts/1?a=b", "/v2/1?a=b"),
        (
            "prefix: /carts",
            "/v2",
            "/carts/1?a=/carts",
            "/v2/1?a=/carts",
        ),
        // Envoy would make it `//1`.
        ("prefix: /carts", "/", "/carts/1", "/1"),
        ("prefix: /carts", "/", "/carts", "/"),
        ("prefix: /carts", "/", "/carts?a=b", "/?a=b"),
        ("prefix: /", "/v2/", "/carts", "/v2/carts"),
        ("prefix: /", "/v2/", "//carts", "/v2/carts"),
        ("path: /carts", "/v2/carts", "/carts?a=b", "/v2/carts?a=b"),
        ("path: /carts", "/v2/", "/carts", "/v2/"),
    ];
    for (path, to, target, expected) in cases {
        assert_eq!(rewritten(path, to, target), expected, "{path} {to}");
    }
    assert_eq!(
        PathRewrite::Keep.apply(b"/a?b"),
        (&b""[..], &b"/a?b"[..]),
        "without a rewrite"
    );
}

fn redirected(redirect: &str, authority: &str, target: &str) -> Option<String> {
    let host = format!(
        "        - {{ name: a, domains: ['*'], routes: [{{ name: a, prefix: /, headers: [{{ name: x-new, present: false }}], redirect: {{ {redirect} }} }}] }}"
    );
    let table = table(&host);
    let Some(Route {
        action: Action::Redirect(redirect),
        ..
    }) = table.routes().first()
    else {
        panic!("{redirect}")
    };
    let asked = Asked("GET", authority, target, &[]);
    let location = redirect.location(&asked, Scheme::Http)?;
    Some(String::from_utf8(location).unwrap())
}

#[test]
fn a_client_is_sent_where_the_config_says() {
    let cases = [
        (
            "scheme: https",
            "shop.example",
            "/a?b=c",
            "https://shop.example/a?b=c",
        ),
        (
            "scheme: https",
            "shop.example:80",
            "/",
            "https://shop.example/",
        ),
        (
            "scheme: https",
            "shop.example:8080",
            "/",
            "https://shop.example:8080/",
        ),
        ("scheme: https", "[::1]:80", "/", "https://[::1]/"),
        (
            "host: new.example",
            "old.example:8080",
            "/a?b",
            "http://new.example/a?b",
        ),
        (
            "host: 'new.example:81', scheme: https",
            "",
            "/a",
            "https://new.example:81/a",
        ),
        (
            "path: /new",
            "shop.example",
            "/old?a=b",
            "http://shop.example/new?a=b",
        ),
        (
            "path: /new, strip_query: true",
            "shop.example",
            "/old?a=b",
            "http://shop.example/new",
        ),
        (
            "prefix_rewrite: /v2/",
            "shop.example",
            "/old/1?a=b",
            "http://shop.example/v2/old/1?a=b",
        ),
        (
            "scheme: https",
            "shop.example",
            "*",
            "https://shop.example/",
        ),
        (
            "scheme: https",
            "shop.example:443",
            "",
            "https://shop.example:443/",
        ),
    ];
    for (redirect, authority, target, expected) in cases {
        let location = redirected(redirect, authority, target);
        assert_eq!(
            location.as_deref(),
            Some(expected),
            "{redirect} {authority}"
        );
    }
}

#[test]
fn a_client_is_sent_nowhere_else() {
    // Without a host that can be told again only the path is left, and no path is another host.
    for authority in [
        "",
        "evil.example/",
        "a@evil.example",
        "a b",
        ":80",
        "é.example",
    ] {
        for (target, expected) in [
            ("//evil.example/a", "/v2/evil.example/a"),
            ("/\\evil.example", "/v2/%5Cevil.example"),
            ("/a\tb\"<>", "/v2/a%09b%22%3C%3E"),
        ] {
            let location = redirected("prefix_rewrite: /v2/", authority, target);
            assert_eq!(location.as_deref(), Some(expected), "{authority}");
        }
        assert_eq!(
            redirected("scheme: https", authority, "/"),
            None,
            "{authority}"
        );
    }
    let location = redirected("scheme: http, status: 308", "", "///evil.example?a//b");
    assert_eq!(location.as_deref(), Some("/evil.example?a//b"));
}

#[test]
fn weights_are_kept() {
    let host = "        - { name: a, domains: ['*'], routes: [{ name: a, prefix: /, clusters: [{ cluster: a, weight: 90 }, { cluster: b, weight: 10 }] }] }";
    let table = table(host);
    let Some(Route {
        action: Action::Forward(forward),
        ..
    }) = table.routes().first()
    else {
        panic!()
    };
    let clusters = &forward.clusters;
    assert_eq!(clusters.iter().collect::<Vec<_>>(), [0, 1]);
    assert_eq!(clusters.only(), None);
    assert_eq!((clusters.pick(0), clusters.pick(u64::MAX)), (0, 1));
    // Evenly spread numbers, each a hundredth of all.
    let step = u64::MAX / 100;
    let picked = (0..100).filter(|n| clusters.pick(n * step + step / 2) == 0);
    assert_eq!(picked.count(), 90);

    let none_for_a = "        - { name: a, domains: ['*'], routes: [{ name: a, prefix: /, clusters: [{ cluster: a, weight: 0 }, { cluster: b, weight: 1 }] }] }";
    let table = self::table(none_for_a);
    let Some(Route {
        action: Action::Forward(forward),
        ..
    }) = table.routes().first()
    else {
        panic!()
    };
    assert_eq!(forward.clusters.only(), Some(1));
    assert_eq!(
        (forward.clusters.pick(0), forward.clusters.pick(u64::MAX)),
        (1, 1)
    );
}

#[test]
fn a_table_is_shared_by_all_workers() {
    fn is_shared<T: Send + Sync + Clone>() {}
    is_shared::<RouteTable>();
}

/// The same by the words of Envoy's documentation, as slowly as one likes.
fn naive(config: &HttpConfig, asked: &Asked<'_>) -> Option<String> {
    let host = asked.1.to_ascii_lowercase();
    let host = host
        .rsplit_once(':')
        .map_or(host.as_str(), |(host, _)| host);
    let rank = |domain: &Domain| match domain {
        Domain::Exact(name) => (host == name).then_some((3, 0)),
        Domain::Suffix(end) => {
            (host.ends_with(end.as_str()) && host != end).then_some((2, end.len()))
        }
        Domain::Prefix(start) => {
            (host.starts_with(start.as_str()) && host != start).then_some((1, start.len()))
        }
        Domain::Any => Some((0, 0)),
    };
    let ranked = config.virtual_hosts.iter().filter_map(|host| {
        let best = host.domains.iter().filter_map(rank).max()?;
        Some((best, host))
    });
    let chosen = ranked.max_by_key(|(best, _)| *best);
    let path = asked.2.split('?').next().unwrap_or_default();
    let fits = |route: &&RouteConfig| match &route.path {
        PathMatch::Any => true,
        PathMatch::Exact(wanted) => wanted == path,
        PathMatch::Prefix(wanted) => path.starts_with(wanted.as_str()),
        PathMatch::Regex(pattern) => pattern.is_match(path.as_bytes()),
    };
    let route = chosen.and_then(|(_, host)| host.routes.iter().find(fits));
    let route = route.or(config.default_route.as_ref())?;
    Some(route.name.clone())
}

/// Routes of few letters, so that many of them fit the same path.
fn hosts_of_few_letters() -> impl Strategy<Value = String> {
    let path = prop_oneof![
        "path: /[ab/]{0,10}",
        "prefix: /[ab/]{0,10}",
        "regex: '/[ab]{1,3}/?\\[ab\\]\\*'",
    ];
    let domain = prop_oneof![
        "[ab]{1,2}\\.[ab]",
        "'\\*[.-][ab]{1,3}'",
        "'[ab]{1,3}\\.\\*'",
        Just("'*'".to_owned()),
    ];
    let host = (
        prop::collection::vec(domain, 1..4),
        prop::collection::vec(path, 1..8),
    );
    prop::collection::vec(host, 1..5).prop_map(|hosts| {
        let mut text = String::new();
        let mut domains_so_far = BTreeSet::new();
        for (index, (domains, paths)) in hosts.into_iter().enumerate() {
            let domains: BTreeSet<_> = domains
                .into_iter()
                .filter(|domain| domains_so_far.insert(domain.clone()))
                .collect();
            if domains.is_empty() {
                continue;
            }
            let domains = Vec::from_iter(domains).join(", ");
            text.push_str(&format!(
                "        - name: h{index}\n          domains: [{domains}]\n          routes:\n"
            ));
            for (number, path) in paths.iter().enumerate() {
                // As far as the config can tell, no route takes all that another one would.
                let header = format!("{{ name: x-{number}, present: false }}");
                text.push_str(&format!(
                    "            - {{ name: r{index}-{number}, {path}, cluster: a, headers: [{header}] }}\n"
                ));
            }
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_table_finds_what_the_words_say(
        hosts in hosts_of_few_letters(),
        default in any::<bool>(),
        asked in prop::collection::vec(("[ab]{1,3}[.-]?[ab]{0,3}(:80)?", "/[ab/]{0,12}(\\?[ab/]{0,4})?"), 50),
    ) {
        let config = config(if default { "cluster: a" } else { "" }, &hosts);
        let table = RouteTable::new(&config);
        for (authority, target) in &asked {
            let asked = Asked("GET", authority, target, &[]);
            let found = table.find(&asked).map(|route| route.name.to_string());
            prop_assert_eq!(found, naive(&config, &asked), "{} {}", authority, target);
        }
    }

    #[test]
    fn no_request_is_a_panic(
        method in ".{0,8}",
        authority in ".{0,24}",
        target in ".{0,24}",
    ) {
        let table = table("        - { name: a, domains: ['a', '*.a', 'a.*', '*'], routes: [{ name: a, prefix: /a/, prefix_rewrite: /, cluster: a }, { name: r, regex: '.*', redirect: { host: b } }] }");
        let asked = Asked(&method, &authority, &target, &[]);
        match table.find(&asked).map(|route| &route.action) {
            Some(Action::Forward(forward)) => {
                let (start, rest) = forward.path.apply(target.as_bytes());
                prop_assert!(start == b"/" && target.as_bytes().ends_with(rest));
            }
            Some(Action::Redirect(redirect)) => {
                let location = redirect.location(&asked, Scheme::Http).unwrap();
                prop_assert!(location.starts_with(b"http://b/"));
                prop_assert!(location.iter().all(u8::is_ascii_graphic));
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
