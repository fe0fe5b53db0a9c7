//! curl and nghttp talk to nginx and nghttpd through the proxy, each in the version that it speaks, and notice nothing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::path::Path;
use std::process::Command;

use support::http::{WebServer, curl, nghttp, output};
use support::proxy::Proxy;
use tempfile::TempDir;

/// Files of nothing, of a byte, of 64 KB and of 100 MB.
const SIZES: [(&str, usize); 4] = [
    ("empty", 0),
    ("byte", 1),
    ("medium", 65_536),
    ("large", 100_000_000),
];
/// How curl is told to speak, and in what case a header's name comes.
const CLIENTS: [&str; 2] = ["--http1.1", "--http2-prior-knowledge"];

#[test]
fn files_come_through_unchanged() {
    let world = World::new();
    for client in CLIENTS {
        for server in &world.servers {
            for (name, _) in SIZES {
                let got = world.folder.path().join("got");
                let url = world.url(server, name);
                curl(&[client, "--fail", "--output", got.to_str().unwrap(), &url]);
                same(&server.files().join(name), &got);
            }
        }
    }
    for server in &world.servers {
        let got = nghttp(&["--no-dep", &world.url(server, "medium")]);
        let wanted = std::fs::read(server.files().join("medium")).unwrap();
        assert_eq!(got, String::from_utf8_lossy(&wanted));
    }
}

#[test]
fn uploads_arrive_unchanged() {
    let world = World::new();
    let nginx = &world.servers[0];
    for client in CLIENTS {
        for (name, _) in SIZES {
            let file = nginx.files().join(name);
            let file = file.to_str().unwrap();
            // With a length, and without one.
            for (number, header) in ["X-Plain: 1", "Transfer-Encoding: chunked"]
                .iter()
                .enumerate()
            {
                // HTTP/2 has no chunks, and curl 7.88 never ends the chunks of an empty file, whoever it speaks to.
                if number == 1 && (client != "--http1.1" || *name == *"empty") {
                    continue;
                }
                let target = format!("put-{name}-{number}");
                let url = world.url(nginx, &target);
                let status = curl(&[
                    client,
                    "--output",
                    "/dev/null",
                    "--write-out",
                    "%{http_code}",
                    "--header",
                    header,
                    "--upload-file",
                    file,
                    &url,
                ]);
                assert!(
                    matches!(status.as_str(), "201" | "204"),
                    "{client} {name} {header}: {status}"
                );
                same(&nginx.files().join(name), &nginx.files().join(target));
            }
        }
    }
}

#[test]
fn heads_ranges_and_unchanged_files_have_no_more_body_than_they_should() {
    let world = World::new();
    for client in CLIENTS {
        for server in &world.servers {
            let url = world.url(server, "medium");
            // Twice over one connection: whatever a HEAD would leave behind is in the way then. In HTTP/2, curl 7.88 takes its own
            // second HEAD for an error of framing, whoever it speaks to.
            let urls = match client {
                "--http1.1" => vec![url.as_str(); 2],
                _ => vec![url.as_str()],
            };
            let head = curl(&[&[client, "--head", "--fail"], urls.as_slice()].concat());
            assert_eq!(
                head.to_ascii_lowercase()
                    .matches("content-length: 65536")
                    .count(),
                urls.len(),
                "{client}: {head}"
            );
            let modified = curl(&[
                client,
                "--fail",
                "--silent",
                "--output",
                "/dev/null",
                "--write-out",
                "%header{last-modified}",
                &url,
            ]);
            let since = format!("If-Modified-Since: {modified}");
            let status = curl(&[
                client,
                "--header",
                &since,
                "--write-out",
                "%{http_code} %{size_download}",
                &url,
            ]);
            assert_eq!(status, "304 0", "{client}");
            let missing = curl(&[
                client,
                "--output",
                "/dev/null",
                "--write-out",
                "%{http_code}",
                &world.url(server, "nothing"),
            ]);
            assert_eq!(missing, "404", "{client}");
        }
        let range = curl(&[
            client,
            "--range",
            "10-19",
            "--write-out",
            "%{http_code} %{size_download}",
            "--output",
            "/dev/null",
            &world.url(&world.servers[0], "medium"),
        ]);
        assert_eq!(range, "206 10", "{client}");
    }
}

/// curl that asks to be upgraded to HTTP/2: the proxy does not, and answers in HTTP/1.1 as if nothing had been said.
#[test]
fn an_upgrade_to_http2_is_not_made() {
    let world = World::new();
    for server in &world.servers {
        let url = world.url(server, "byte");
        let said = curl(&[
            "--http2",
            "--fail",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_version} %{http_code}",
            &url,
        ]);
        assert_eq!(said, "1.1 200");
    }
}

/// A request of each version on one port, told apart by its first bytes; and HTTP/1.0, which is asked for no more than it knows.
#[test]
fn each_version_is_answered_in_its_own() {
    let world = World::new();
    for server in &world.servers {
        let url = world.url(server, "medium");
        for (argument, version) in [
            ("--http1.0", "1.0|1.1"),
            ("--http1.1", "1.1"),
            ("--http2-prior-knowledge", "2"),
        ] {
            let said = curl(&[
                argument,
                "--fail",
                "--output",
                "/dev/null",
                "--write-out",
                "%{http_version} %{size_download}",
                &url,
            ]);
            let (seen, size) = said.split_once(' ').unwrap();
            assert!(
                version.split('|').any(|each| each == seen),
                "{argument}: {said}"
            );
            assert_eq!(size, "65536", "{argument}");
        }
    }
}

/// nginx and nghttpd behind one proxy.
struct World {
    proxy: Proxy,
    servers: [WebServer; 2],
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        let servers = [WebServer::nginx(), WebServer::nghttpd()];
        for server in &servers {
            for (name, size) in SIZES {
                std::fs::write(server.files().join(name), content(size)).unwrap();
            }
        }
        let proxy = Proxy::start(&format!(
            "listeners:\n\
             - {{ name: nginx, listen: 127.0.0.1:0, protocol: http, cluster: nginx }}\n\
             - {{ name: nghttpd, listen: 127.0.0.1:0, protocol: http, cluster: nghttpd }}\n\
             clusters:\n\
             - {{ name: nginx, endpoints: [\"{}\"] }}\n\
             - {{ name: nghttpd, endpoints: [\"{}\"], http: {{ version: http2 }} }}\n",
            servers[0].address(),
            servers[1].address()
        ));
        Self {
            proxy,
            servers,
            folder: TempDir::new().unwrap(),
        }
    }

    fn url(&self, server: &WebServer, file: &str) -> String {
        let name = if std::ptr::eq(server, &raw const self.servers[0]) {
            "nginx"
        } else {
            "nghttpd"
        };
        format!("http://{}/{file}", self.proxy.address(name))
    }
}

/// Bytes that a shift or a swap would show in.
fn content(size: usize) -> Vec<u8> {
    let period: Vec<u8> = (0..65_521_u32)
        .map(|at| (at * 7 + (at >> 8) * 13) as u8)
        .collect();
    period.into_iter().cycle().take(size).collect()
}

#[track_caller]
fn same(one: &Path, other: &Path) {
    output(Command::new("cmp").arg(one).arg(other));
}
