//! What it costs to find the route of a request.

#![allow(missing_docs, reason = "the macros of criterion make public functions")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench that meets something unexpected stops there"
)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use narrows::config::parse;
use narrows::protocols::http::route::{RequestView, RouteTable};

/// The head of a request, taken apart.
struct Head<'a> {
    authority: &'a [u8],
    target: &'a [u8],
}

impl RequestView for Head<'_> {
    fn method(&self) -> &[u8] {
        b"GET"
    }

    fn authority(&self) -> &[u8] {
        self.authority
    }

    fn path_and_query(&self) -> &[u8] {
        self.target
    }

    fn header(&self, _: &[u8]) -> Option<&[u8]> {
        None
    }
}

/// A listener with one cluster and these virtual hosts.
fn table(hosts: &str) -> RouteTable {
    let text = format!(
        "
listeners:
  - name: edge
    listen: 127.0.0.1:0
    protocol: http
    cluster: rest
    {hosts}
clusters:
  - {{ name: rest, endpoints: ['127.0.0.1:80'] }}
"
    );
    let config = parse("bench", &text).expect("valid");
    let listener = config.listeners.first().expect("one");
    RouteTable::new(listener.http.as_ref().expect("http"))
}

/// A hundred services behind one host, as a gateway has them: each by the beginning of its paths.
fn hundred(kind: &str) -> String {
    let routes: String = (0..100)
        .map(|n| {
            let path = match kind {
                "prefix" => format!("prefix: /api/v1/service-{n:02}/"),
                "exact" => format!("path: /api/v1/service-{n:02}/items"),
                _ => format!("regex: '/api/v1/service-{n:02}/[a-z]+'"),
            };
            format!("            - {{ name: s{n:02}, {path}, cluster: rest }}\n")
        })
        .collect();
    let hosts: String = (0..20)
        .map(|n| {
            format!(
                "        - {{ name: h{n}, domains: [h{n}.example, '*.h{n}.example'], routes: [{{ name: h{n}, prefix: /, cluster: rest }}] }}\n"
            )
        })
        .collect();
    format!(
        "http:\n      virtual_hosts:\n        - name: api\n          domains: [api.example]\n          routes:\n{routes}{hosts}"
    )
}

fn find(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("find");
    let mut measure = |name: &str, table: &RouteTable, head: Head<'_>, expected: &str| {
        let found = table.find(&head).expect("found");
        assert_eq!(&*found.name, expected);
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(table.find(black_box(&head))).map(|route| route.index));
        });
    };
    let head = |target: &'static str| Head {
        authority: b"api.example:8080",
        target: target.as_bytes(),
    };
    let default = table("http: {}");
    measure("default_alone", &default, head("/items?id=1"), "default");
    let prefixes = table(&hundred("prefix"));
    let (first, last) = ("/api/v1/service-00/items", "/api/v1/service-99/items");
    measure("first_of_100_prefixes", &prefixes, head(first), "s00");
    measure("last_of_100_prefixes", &prefixes, head(last), "s99");
    measure("none_of_100_prefixes", &prefixes, head("/other"), "default");
    let other_host = Head {
        authority: b"www.h7.example",
        target: b"/api/v1/service-50/items",
    };
    measure("host_by_its_end", &prefixes, other_host, "h7");
    let exact = table(&hundred("exact"));
    measure("last_of_100_paths", &exact, head(last), "s99");
    let patterns = table(&hundred("regex"));
    measure("last_of_100_patterns", &patterns, head(last), "s99");
    group.finish();
}

criterion_group!(benches, find);
criterion_main!(benches);
