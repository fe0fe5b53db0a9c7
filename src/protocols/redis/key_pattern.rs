//! Patterns of keys, as Redis' own KEYS takes them: `user:*`.

use std::fmt;

/// Longest pattern. The part of a key that a pattern is held against is no longer either.
const MAX_BYTES: usize = 128;

/// A pattern that has to fit a whole key: `*` stands for any bytes, `?` for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPattern {
    text: Box<str>,
}

impl KeyPattern {
    /// Makes sense of a pattern.
    ///
    /// # Errors
    /// What is wrong with it, on one line.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("the pattern is empty; `*` is for all keys".to_owned());
        }
        if text.len() > MAX_BYTES {
            return Err(format!("the pattern is longer than {MAX_BYTES} bytes"));
        }
        if text.contains(['[', ']', '\\']) {
            return Err("a pattern knows `*` and `?`, but no `[...]` and no `\\`".to_owned());
        }
        Ok(Self { text: text.into() })
    }

    /// Whether it fits a key, of which `front` is the beginning and `is_cut` says that there is more.
    pub fn fits(&self, front: &[u8], is_cut: bool) -> bool {
        // What follows is not known: it can only be what a star at the end stands for.
        if is_cut && !self.text.ends_with('*') {
            return false;
        }
        fits(self.text.as_bytes(), front)
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for KeyPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Goes back to the last star only: each byte of the key is looked at by a star at most once more than it is long.
fn fits(mut pattern: &[u8], mut key: &[u8]) -> bool {
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), key.split_first()) {
            (Some((b'*', after)), _) => {
                star = Some((after, key));
                pattern = after;
            }
            (Some((wanted, after)), Some((byte, rest))) if *wanted == b'?' || wanted == byte => {
                (pattern, key) = (after, rest);
            }
            (None, None) => return true,
            _ => {
                let Some((after, [_, rest @ ..])) = star else {
                    return false;
                };
                star = Some((after, rest));
                (pattern, key) = (after, rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_those_of_keys_do() {
        for (pattern, key, does) in [
            ("user:*", "user:1", true),
            ("user:*", "user:", true),
            ("user:*", "users:1", false),
            ("*", "", true),
            ("*:profile", "user:1:profile", true),
            ("*:profile", "user:1:profiles", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
        ] {
            let known = KeyPattern::new(pattern).unwrap();
            assert_eq!(known.fits(key.as_bytes(), false), does, "{pattern} {key}");
        }
    }

    #[test]
    fn of_a_key_that_is_cut_only_a_star_knows_the_rest() {
        assert!(KeyPattern::new("user:*").unwrap().fits(b"user:12", true));
        assert!(!KeyPattern::new("user:?2").unwrap().fits(b"user:12", true));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["", "user:[ab]", "a\\*", &"x".repeat(129)] {
            assert!(KeyPattern::new(text).is_err(), "{text}");
        }
    }
}
