//! What client and server share of the syntax in RFC 5802 section 7.

use super::MAX_MESSAGE_BYTES;

/// "n" (no channel binding) and no authorisation identity: what every client of MongoDB starts with.
pub(super) const GS2_HEADER: &str = "n,,";

/// The attributes of a message, in their order.
pub(super) struct Attributes<'a> {
    rest: Option<&'a str>,
}

impl<'a> Attributes<'a> {
    pub(super) fn new(message: &'a str) -> Self {
        Self {
            rest: Some(message),
        }
    }

    /// The value of the next attribute, which has to have this name.
    pub(super) fn expect(&mut self, name: char) -> Option<&'a str> {
        let rest = self.rest?;
        let (attribute, rest) = match rest.split_once(',') {
            Some((attribute, rest)) => (attribute, Some(rest)),
            None => (rest, None),
        };
        self.rest = rest;
        attribute.strip_prefix(name)?.strip_prefix('=')
    }
}

/// A peer's message as text, unless it is too long or none.
pub(super) fn text(message: &[u8]) -> Option<&str> {
    if message.len() > MAX_MESSAGE_BYTES {
        return None;
    }
    std::str::from_utf8(message).ok()
}

/// `printable = %x21-2B / %x2D-7E`
pub(super) fn is_nonce(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b',')
}

/// "The characters ',' or '=' in usernames are sent as '=2C' and '=3D' respectively."
pub(super) fn escaped(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

/// "If the server receives a username that contains '=' not followed by either '2C' or '3D', then the server MUST fail the
/// authentication."
pub(super) fn unescaped(name: &str) -> Option<String> {
    let mut parts = name.split('=');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        plain.push(match code {
            "2C" => ',',
            "3D" => '=',
            _ => return None,
        });
        plain.push_str(rest);
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_are_escaped_wrongly_are_refused() {
        for name in ["=", "a=", "a=2", "=2c", "=3d", "=41", "=2=2C", "=é"] {
            assert_eq!(unescaped(name), None, "{name}");
        }
        assert_eq!(escaped("a=b,c"), "a=3Db=2Cc");
    }

    proptest! {
        #[test]
        fn names_come_back(name in ".*") {
            let sent = escaped(&name);
            prop_assert!(!sent.contains(','));
            prop_assert_eq!(unescaped(&sent), Some(name));
        }
    }
}
