//! A page on the internet can make a browser ask `127.0.0.1` for something under a name of its own
//! (DNS rebinding), or post to it under the right one. On a loopback address only loopback names are therefore answered,
//! and nothing that a page from elsewhere asks for.

use std::net::{IpAddr, SocketAddr};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};

/// Puts the check before every page, when the admin address is a loopback one.
pub(super) fn protect(router: Router, address: SocketAddr) -> Router {
    if address.ip().is_loopback() {
        router.layer(from_fn(only_loopback_names))
    } else {
        router
    }
}

async fn only_loopback_names(request: Request, next: Next) -> Response {
    if is_allowed(request.headers()) {
        return next.run(request).await;
    }
    (
        StatusCode::FORBIDDEN,
        "the admin address is a loopback one: ask it as localhost or by its IP address, not from a page of another site\n",
    )
        .into_response()
}

fn is_allowed(headers: &HeaderMap) -> bool {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    // Browsers send it with every POST to another site (Fetch standard, "append a request `Origin` header").
    let origin = headers.get(header::ORIGIN);
    is_loopback(host) && origin.is_none_or(|origin| origin.to_str().is_ok_and(is_loopback_origin))
}

/// True for pages of this machine; false for `null`, which stands for pages that hide where they are from.
fn is_loopback_origin(origin: &str) -> bool {
    let host = origin.split_once("://").map(|(_, host)| host);
    host.is_some_and(|host| !host.is_empty() && is_loopback(host))
}

/// True for `localhost` and loopback addresses, with or without a port. HTTP/1.0 clients send no
/// name at all, which no browser does.
fn is_loopback(host: &str) -> bool {
    if host.is_empty() {
        return true;
    }
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::{is_loopback, is_loopback_origin};

    #[test]
    fn only_names_of_this_machine_pass() {
        for host in [
            "localhost",
            "localhost:9900",
            "127.0.0.1:9900",
            "127.0.0.1",
            "[::1]:9900",
            "[::1]",
            "",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:9900",
            "127.0.0.1.evil.example",
            "10.0.0.1:9900",
            "localhost.evil",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn only_pages_of_this_machine_may_ask() {
        for origin in [
            "http://localhost:9900",
            "http://127.0.0.1",
            "https://[::1]:1",
        ] {
            assert!(is_loopback_origin(origin), "{origin}");
        }
        for origin in [
            "null",
            "",
            "http://",
            "https://evil.example",
            "http://localhost.evil",
        ] {
            assert!(!is_loopback_origin(origin), "{origin}");
        }
    }
}
