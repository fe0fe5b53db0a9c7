//! Texts that servers choose: names of members, messages of errors. None goes anywhere before it went through here.

/// Longest host name, in bytes: RFC 1035, section 2.3.4.
const MAX_HOST_BYTES: usize = 253;

/// Port of a name that has none (specs:connection-string).
const DEFAULT_PORT: u16 = 27017;

/// Most characters of a server's message that are kept.
const MAX_MESSAGE_CHARS: usize = 200;

/// Reads `host`, `host:port`, `[v6]:port` as a replica set writes its members. `None` for what can't be one, such as the path of a
/// Unix socket.
pub(super) fn host_and_port(name: &str) -> Option<(String, u16)> {
    let (host, port) = match name.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, rest.strip_prefix(':'))
        }
        None => match name.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (name, None),
        },
    };
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port != 0)?,
        None => DEFAULT_PORT,
    };
    let fits = !host.is_empty() && host.len() <= MAX_HOST_BYTES;
    let plain = host
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte));
    // "Drivers MUST normalize … to lowercase" (specs:server-discovery-and-monitoring, Clients, hosts).
    (fits && plain).then(|| (host.to_ascii_lowercase(), port))
}

/// A server's message, fit for one line of a log.
pub(super) fn message(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_MESSAGE_CHARS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_members_are_read_and_odd_ones_left_out() {
        let read = |name| host_and_port(name).map(|(host, port)| format!("{host}|{port}"));
        assert_eq!(
            read("Mongo-1.local:27018").as_deref(),
            Some("mongo-1.local|27018")
        );
        assert_eq!(read("db").as_deref(), Some("db|27017"));
        assert_eq!(read("[::1]:5").as_deref(), Some("::1|5"));
        assert_eq!(read("[::1]").as_deref(), Some("::1|27017"));
        let long = "a".repeat(254);
        for odd in [
            "",
            ":1",
            "a:0",
            "a:x",
            "a:65536",
            "/tmp/mongodb.sock",
            "a b:1",
            "a\n:1",
            "[::1:5",
            &long,
        ] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_message_stays_on_its_line() {
        assert_eq!(message("a\nb\u{1b}[0m"), "a b [0m");
        assert_eq!(message(&"ä".repeat(1000)).chars().count(), 200);
    }
}
