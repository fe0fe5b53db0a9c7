//! Texts with a syntax of their own: durations, addresses, names. Errors are sentences for the person who wrote them.

pub(crate) mod http;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::defaults::{
    DATABASE_MAX, DURATION_MAX, HOST_LABEL_MAX, HOST_MAX, NAME_MAX, SIZE_MAX, UNIX_PATH_MAX,
};
use super::masking::quoted;
use super::model::{Endpoint, StatsdAddress};
use super::suggest::did_you_mean;

/// `500ms`, `5s`, `2m`, `1h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).unwrap_or((text, ""));
    let Some((_, unit)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        let hint = if unit.is_empty() && digits > 0 {
            format!("; did you mean `{text}s`?")
        } else {
            String::new()
        };
        return Err(format!(
            "{} is not a duration such as `500ms`, `5s`, `2m` or `1h`{hint}",
            quoted(text)
        ));
    };
    let too_long = || format!("{} is longer than a year", quoted(text));
    if number.is_empty() {
        return Err(format!("{} has no number before its unit", quoted(text)));
    }
    let count: u64 = number.parse().map_err(|_| too_long())?;
    let millis = count.checked_mul(*unit).ok_or_else(too_long)?;
    let duration = Duration::from_millis(millis);
    if duration > DURATION_MAX {
        Err(too_long())
    } else {
        Ok(duration)
    }
}

/// The shortest text that [`duration`] reads as the same duration.
pub(crate) fn duration_text(duration: Duration) -> String {
    let millis = duration.as_millis();
    let (name, unit) = UNITS
        .iter()
        .rev()
        .find(|(_, unit)| millis != 0 && millis.is_multiple_of(u128::from(*unit)))
        .unwrap_or(&("s", 1000));
    format!("{}{name}", millis / u128::from(*unit))
}

/// A duration of which none is written as zero.
pub(crate) fn duration_or_never(duration: Option<Duration>) -> String {
    duration_text(duration.unwrap_or_default())
}

/// `512B`, `60KiB`, `10MiB`, `1GiB`, as a number of bytes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).unwrap_or((text, ""));
    let Some((_, unit)) = SIZES.iter().find(|(name, _)| *name == unit) else {
        let names = SIZES.map(|(name, _)| name);
        let hint = match unit {
            "" if digits > 0 => format!("; did you mean `{text}B`?"),
            _ => did_you_mean(unit, &names).unwrap_or_default(),
        };
        return Err(format!(
            "{} is not a size such as `512B`, `60KiB`, `10MiB` or `1GiB`{hint}",
            quoted(text)
        ));
    };
    if number.is_empty() {
        return Err(format!("{} has no number before its unit", quoted(text)));
    }
    let bytes: Option<u64> = number.parse().ok();
    bytes
        .and_then(|count| count.checked_mul(*unit))
        .filter(|bytes| *bytes <= SIZE_MAX)
        .ok_or_else(|| format!("{} is more than {}", quoted(text), size_text(SIZE_MAX)))
}

/// The shortest text that [`size`] reads as the same size.
pub(crate) fn size_text(bytes: u64) -> String {
    let (name, unit) = SIZES
        .iter()
        .rev()
        .find(|(_, unit)| bytes != 0 && bytes.is_multiple_of(*unit))
        .unwrap_or(&("B", 1));
    format!("{}{name}", bytes / unit)
}

/// An address to listen on: `127.0.0.1:27017`, `[::1]:27017`.
pub(crate) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = host_and_port(text, "127.0.0.1:27017")?;
    if port.parse::<u16>().is_err() {
        return Err(format!(
            "{} is not a port between 0 and 65535",
            quoted(port)
        ));
    }
    let address = match host {
        "" | "*" => format!("0.0.0.0:{port}"),
        "localhost" => format!("127.0.0.1:{port}"),
        _ => format!("127.0.0.1:{port}` or `0.0.0.0:{port}"),
    };
    Err(format!(
        "{} is not an IP address to listen on; write one, such as `{address}`",
        quoted(host)
    ))
}

/// An address to connect to: `db1.example.com:27017`, `10.0.0.1:27017`, `[::1]:27017`.
pub(crate) fn endpoint(text: &str) -> Result<Endpoint, String> {
    let (host, port) = host_and_port(text, "db1.example.com:27017")?;
    let host = host_name(host)?;
    let port = match port.parse::<u16>() {
        Ok(0) => return Err("port 0 cannot be connected to".to_owned()),
        Ok(port) => port,
        Err(_) => {
            return Err(format!(
                "{} is not a port between 1 and 65535",
                quoted(port)
            ));
        }
    };
    Ok(Endpoint { host, port })
}

/// `127.0.0.1:8125` or `unix:///run/statsd.sock`.
pub(crate) fn statsd_address(text: &str) -> Result<StatsdAddress, String> {
    let Some(path) = text.strip_prefix("unix://") else {
        let Endpoint { host, port } = endpoint(text)?;
        return Ok(StatsdAddress::Udp { host, port });
    };
    if !path.starts_with('/') || path.contains('\0') {
        return Err(format!(
            "{} needs an absolute path: `unix:///run/statsd.sock`",
            quoted(text)
        ));
    }
    if path.len() > UNIX_PATH_MAX {
        return Err(format!(
            "the path of a Unix socket has at most {UNIX_PATH_MAX} bytes"
        ));
    }
    Ok(StatsdAddress::Unix(PathBuf::from(path)))
}

/// Name of a MongoDB user.
pub(crate) fn username(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("the name is empty".to_owned());
    }
    // RFC 4013 section 2.3: "ASCII control characters" are prohibited in a SASL name.
    if text.contains(char::is_control) {
        return Err(format!("{} holds a control character", quoted(text)));
    }
    Ok(text.to_owned())
}

/// Name of a MongoDB database.
pub(crate) fn database(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("the name is empty".to_owned());
    }
    // MongoDB's manual, "Naming Restrictions", for servers on Unix; `$external` is for other mechanisms than SCRAM.
    if text.contains(['/', '\\', '.', ' ', '"', '$']) || text.contains(char::is_control) {
        return Err(format!(
            "{} is not the name of a database with users",
            quoted(text)
        ));
    }
    if text.len() > DATABASE_MAX {
        return Err(format!(
            "{} is longer than {DATABASE_MAX} bytes",
            quoted(text)
        ));
    }
    Ok(text.to_owned())
}

/// Name of a listener, a cluster, a credential, a virtual host or a route.
pub(crate) fn name(text: &str) -> Result<String, String> {
    stat_name(text, "-_", "letters, digits, `_` and `-`")
}

/// First part of every statsd name.
pub(crate) fn prefix(text: &str) -> Result<String, String> {
    stat_name(text, "-_.", "letters, digits, `_`, `-` and `.`")
}

fn stat_name(text: &str, others: &str, allowed: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("the name is empty".to_owned());
    }
    if !text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || others.contains(c))
    {
        return Err(format!(
            "{} becomes part of stat names, where only {allowed} can stand",
            quoted(text)
        ));
    }
    if text.len() > NAME_MAX {
        return Err(format!(
            "{} is longer than {NAME_MAX} characters",
            quoted(text)
        ));
    }
    Ok(text.to_owned())
}

/// Cuts at the last colon. Brackets round an IPv6 address stay.
fn host_and_port<'a>(text: &'a str, example: &str) -> Result<(&'a str, &'a str), String> {
    if text.contains('@') {
        return Err(format!(
            "{} holds credentials, which do not belong in an address; write the address alone: `{example}`",
            quoted(text)
        ));
    }
    if text.contains("://") || text.contains('/') {
        return Err(format!(
            "{} is a URL; write the address alone: `{example}`",
            quoted(text)
        ));
    }
    if text.contains(',') {
        return Err(format!(
            "{} is more than one address; write them as a list",
            quoted(text)
        ));
    }
    if text.parse::<Ipv6Addr>().is_ok() || text.split(':').count() > 2 && !text.starts_with('[') {
        return Err(format!(
            "{} is ambiguous; write an IPv6 address in brackets: `[::1]:27017`",
            quoted(text)
        ));
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => Ok((host, port)),
        _ => Err(format!(
            "{} has no port; write it as in `{example}`",
            quoted(text)
        )),
    }
}

/// An IP address without its brackets, or a DNS name.
fn host_name(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("no host before the port".to_owned());
    }
    if let Some(inner) = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        return match inner.parse::<Ipv6Addr>() {
            Ok(address) => Ok(address.to_string()),
            Err(_) => Err(format!("{} is not an IPv6 address", quoted(inner))),
        };
    }
    // RFC 3696 section 2: the last label of a name is not all-numeric, so this can only be an address.
    let looks_like_address = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let valid = if looks_like_address {
        text.parse::<IpAddr>().is_ok()
    } else {
        is_dns_name(text)
    };
    if valid {
        Ok(text.to_owned())
    } else {
        Err(format!("{} is not a host name or IP address", quoted(text)))
    }
}

/// RFC 1123 section 2.1, and `_`, which container networks use in host names.
fn is_dns_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    text.len() <= HOST_MAX
        && text.split('.').all(|label| {
            (1..=HOST_LABEL_MAX).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        })
}

/// Units of a duration in milliseconds, shortest first.
const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];

/// Units of a size in bytes, smallest first.
const SIZES: [(&str, u64); 4] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

#[cfg(test)]
mod tests;
