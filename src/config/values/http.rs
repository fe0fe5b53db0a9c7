//! Texts of HTTP: names and values of headers, methods, paths, hosts.

use super::{host_name, is_dns_name};
use crate::config::defaults::{HOST_MAX, HTTP_HEADER_MAX, HTTP_PATH_MAX};
use crate::config::masking::quoted;
use crate::config::model::Domain;

/// Name of a header, in lower case.
pub(crate) fn header_name(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("the name is empty".to_owned());
    }
    if !is_token(text) {
        return Err(format!(
            "{} is not the name of a header: letters, digits and `-` stand in one",
            quoted(text)
        ));
    }
    if text.len() > HTTP_HEADER_MAX {
        return Err(format!("longer than {HTTP_HEADER_MAX} bytes"));
    }
    Ok(text.to_ascii_lowercase())
}

/// Name of a header that an operator may set or remove, in lower case. Where a message ends and what becomes of its
/// connection is for the proxy to say.
pub(crate) fn editable_header_name(text: &str) -> Result<String, String> {
    let name = header_name(text)?;
    match name.as_str() {
        "host" => Err("`host` is changed by `host_rewrite` of a route".to_owned()),
        "content-length" | "transfer-encoding" | "trailer" => Err(format!(
            "`{name}` says where a message ends; it is set by the proxy alone"
        )),
        "connection" | "expect" | "http2-settings" | "keep-alive" | "proxy-connection" | "te"
        | "upgrade" => Err(format!(
            "`{name}` is for one connection, not for those behind it; it is set by the proxy alone"
        )),
        "x-forwarded-for" | "x-forwarded-proto" => Err(format!(
            "`{name}` becomes what `forwarded` of the listener says"
        )),
        _ => Ok(name),
    }
}

/// Value of a header.
pub(crate) fn header_value(text: &str) -> Result<String, String> {
    // RFC 9110 section 5.5 leaves other characters to old recipients, and control characters to nobody.
    if let Some(other) = text.chars().find(|c| !matches!(c, '\t' | ' '..='~')) {
        return Err(format!(
            "the value of a header holds U+{:04X}; only visible ASCII characters, spaces and tabs can stand in one",
            u32::from(other)
        ));
    }
    if text.trim_matches([' ', '\t']) != text {
        return Err(format!(
            "the spaces around {} would be lost on the way",
            quoted(text)
        ));
    }
    if text.len() > HTTP_HEADER_MAX {
        return Err(format!("longer than {HTTP_HEADER_MAX} bytes"));
    }
    Ok(text.to_owned())
}

/// A method. RFC 9110 section 9.1: "The method token is case-sensitive".
pub(crate) fn method(text: &str) -> Result<String, String> {
    let upper = text.to_ascii_uppercase();
    if text != upper && METHODS.contains(&upper.as_str()) {
        return Err(format!(
            "methods are in upper case; did you mean `{upper}`?"
        ));
    }
    if text.is_empty() || !is_token(text) {
        return Err(format!("{} is not a method such as `GET`", quoted(text)));
    }
    if text.len() > METHOD_MAX {
        return Err(format!("longer than {METHOD_MAX} bytes"));
    }
    Ok(text.to_owned())
}

/// A path, or the beginning of one, without a query.
pub(crate) fn path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err(format!("{} does not begin with `/`", quoted(text)));
    }
    if text.contains(['?', '#']) {
        return Err(format!(
            "{} holds more than a path; the query is no part of it",
            quoted(text)
        ));
    }
    // RFC 3986 section 2: what else there is comes percent-encoded.
    if let Some(other) = text.chars().find(|c| !matches!(c, '!'..='~')) {
        return Err(format!(
            "{} holds U+{:04X}, which is percent-encoded in a path",
            quoted(text),
            u32::from(other)
        ));
    }
    if text.len() > HTTP_PATH_MAX {
        return Err(format!("longer than {HTTP_PATH_MAX} bytes"));
    }
    Ok(text.to_owned())
}

/// A host with or without a port, as it stands in a `Host` header.
pub(crate) fn authority(text: &str) -> Result<String, String> {
    if text.contains("://") || text.contains(['/', '@']) {
        return Err(format!(
            "{} is more than a host; write it alone: `shop.example` or `shop.example:8080`",
            quoted(text)
        ));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    if host.contains(':') && !host.starts_with('[') {
        return Err(format!(
            "{} is ambiguous; write an IPv6 address in brackets: `[::1]`",
            quoted(text)
        ));
    }
    host_name(host).map_err(|_| format!("{} is not a host", quoted(host)))?;
    match port.map(str::parse::<u16>) {
        None | Some(Ok(1..)) => Ok(text.to_ascii_lowercase()),
        Some(_) => Err(format!(
            "{} is not a port between 1 and 65535",
            quoted(port.unwrap_or_default())
        )),
    }
}

/// A domain of a virtual host.
pub(crate) fn domain(text: &str) -> Result<Domain, String> {
    if text.is_empty() {
        return Err("the domain is empty; `*` is for all others".to_owned());
    }
    let lower = text.to_ascii_lowercase();
    if lower == "*" {
        return Ok(Domain::Any);
    }
    if lower.contains("://") || lower.contains(['/', '@', '?']) {
        return Err(format!(
            "{} is more than a host; write it alone: `shop.example`",
            quoted(text)
        ));
    }
    let wild = |part: &str, domain: fn(String) -> Domain| {
        // What stands beside the star may be a part of a label: `*-api.example`.
        let is_part = !part.is_empty() && part.len() <= HOST_MAX && part.chars().all(is_host_char);
        is_part.then(|| domain(part.to_owned())).ok_or_else(|| {
            format!(
                "{} is not a domain; a `*` stands at its beginning or at its end: `*.shop.example`, `shop.*`",
                quoted(text)
            )
        })
    };
    if let Some(suffix) = lower.strip_prefix('*') {
        return wild(suffix, Domain::Suffix);
    }
    if let Some(prefix) = lower.strip_suffix('*') {
        return wild(prefix, Domain::Prefix);
    }
    if lower.contains('*') {
        return wild("", Domain::Suffix);
    }
    exact_domain(text, lower)
}

fn exact_domain(text: &str, lower: String) -> Result<Domain, String> {
    let is_address = lower.starts_with('[') && lower.ends_with(']');
    if !is_address && let Some((host, port)) = lower.rsplit_once(':') {
        return Err(match port.parse::<u16>() {
            Ok(_) if !host.contains(':') => {
                format!("the port is no part of a domain; write {}", quoted(host))
            }
            _ => format!(
                "{} is not a domain; an IPv6 address stands in brackets",
                quoted(text)
            ),
        });
    }
    if lower.ends_with('.') {
        return Err(format!("{} ends with a dot; leave it out", quoted(text)));
    }
    if is_address {
        // As clients write it, in brackets.
        return host_name(&lower).map(|address| Domain::Exact(format!("[{address}]")));
    }
    if is_dns_name(&lower) {
        Ok(Domain::Exact(lower))
    } else {
        Err(format!("{} is not a domain", quoted(text)))
    }
}

/// The body of a reply.
pub(crate) fn body(max: usize) -> impl Fn(&str) -> Result<String, String> {
    move |text| match text.len() {
        length if length > max => Err(format!(
            "the body has {length} bytes; at most {max} are allowed"
        )),
        _ => Ok(text.to_owned()),
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn is_host_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')
}

/// Longer than any method that is registered.
const METHOD_MAX: usize = 64;
/// RFC 9110 section 9.3 and RFC 5789, and what WebDAV (RFC 4918) adds.
const METHODS: [&str; 16] = [
    "CONNECT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LOCK",
    "MKCOL",
    "MOVE",
    "OPTIONS",
    "PATCH",
    "POST",
    "PROPFIND",
    "PROPPATCH",
    "PUT",
    "TRACE",
    "UNLOCK",
];
