//! A page on the internet can make a browser ask `127.0.0.1` for something under a name of its own
//! (DNS rebinding). On a loopback address only loopback names are therefore answered.

use std::net::{IpAddr, SocketAddr};

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
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
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    if is_loopback(host) {
        return next.run(request).await;
    }
    (
        StatusCode::FORBIDDEN,
        "the admin address is a loopback one: ask it as localhost or by its IP address\n",
    )
        .into_response()
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
    use super::is_loopback;

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
}
