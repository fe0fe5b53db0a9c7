//! Regular expressions of configs and admin pages: on bytes, in linear time, of bounded size.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};

/// A regular expression that has to fit a whole text.
///
/// Its scratch space belongs to the thread that used it first; others take turns. A clone has scratch space of its own,
/// so that a worker that clones it waits for nobody.
#[derive(Clone)]
pub struct Pattern {
    source: String,
    regex: Regex,
}

impl Pattern {
    /// Makes sense of a pattern.
    ///
    /// # Errors
    /// What is wrong with it, on one line.
    pub fn new(source: &str) -> Result<Self, String> {
        // Alone first: a mistake is told as it was written, and `a)|(b` is one rather than two halves that fit.
        compile(source)?;
        Ok(Self {
            source: source.to_owned(),
            regex: compile(&format!(r"\A(?:{source})\z"))?,
        })
    }

    /// Whether it fits the whole text. Takes time in proportion to its length, whatever the pattern.
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.source
    }
}

/// A regular expression that is searched for. `.` is any byte, and classes such as `\d` are those of ASCII.
///
/// # Errors
/// What is wrong with it, on one line.
pub fn compile(source: &str) -> Result<Regex, String> {
    RegexBuilder::new(source)
        .unicode(false)
        .size_limit(COMPILED_MAX)
        .dfa_size_limit(COMPILED_MAX)
        .build()
        .map_err(|error| mistake(&error))
}

/// The crate draws a syntax error over several lines, the pattern with a caret below among them.
fn mistake(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => {
            format!("it would take more than {} KiB", COMPILED_MAX / 1024)
        }
        regex::Error::Syntax(drawing) => {
            let (why, place) = (why(drawing), place(drawing));
            place.map_or_else(|| why.to_owned(), |at| format!("{why}, at character {at}"))
        }
        _ => error.to_string(),
    }
}

fn why(drawing: &str) -> &str {
    let last = drawing.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last)
}

/// The column of the first caret below the pattern. A pattern of several lines has other drawings.
fn place(drawing: &str) -> Option<usize> {
    let [_, _, carets, _] = drawing.lines().collect::<Vec<_>>().try_into().ok()?;
    let spaces = carets.find('^')?;
    spaces.checked_sub(DRAWING_INDENT - 1)
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.source)
    }
}

/// What a compiled expression may take, and as much again for what a search remembers. One for paths takes some
/// kilobytes; the crate's own bound is 10 MiB.
const COMPILED_MAX: usize = 256 * 1024;
/// Columns before the pattern in the drawing of a syntax error.
const DRAWING_INDENT: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fits_the_whole_text_or_not_at_all() {
        let cases: [(&str, &[u8], bool); 12] = [
            ("/carts/[0-9]+", b"/carts/12", true),
            ("^/carts/[0-9]+$", b"/carts/12", true),
            ("/carts/[0-9]+", b"/carts/12/items", false),
            ("/carts/[0-9]+", b"/v1/carts/12", false),
            // The longer choice is taken if only that one fits.
            ("a|ab", b"ab", true),
            ("a|b", b"ab", false),
            ("(?i)/Carts", b"/cARTS", true),
            (r"/\d", "/\u{0663}".as_bytes(), false),
            ("/.", b"/\xFF", true),
            ("/a$", b"/a\n", false),
            ("(?m)/a$", b"/a\n", false),
            ("", b"", true),
        ];
        for (pattern, text, expected) in cases {
            let fits = Pattern::new(pattern).unwrap().is_match(text);
            assert_eq!(fits, expected, "{pattern} {text:?}");
        }
    }

    #[test]
    fn mistakes_are_told_on_one_line() {
        let cases = [
            ("/carts/[0-9", "unclosed character class, at character 8"),
            ("a)|(b", "unopened group, at character 2"),
            (
                "(?=a)",
                "look-around, including look-ahead and look-behind, is not supported, at character 1",
            ),
            ("a{2000}{2000}", "it would take more than 256 KiB"),
        ];
        for (pattern, expected) in cases {
            assert_eq!(Pattern::new(pattern).unwrap_err(), expected, "{pattern}");
        }
        let mistake = Pattern::new("(?x)a # a comment\n(").unwrap_err();
        assert_eq!(mistake, "unclosed group");
    }

    /// What takes other engines exponential time.
    #[test]
    fn no_text_takes_long() {
        let pattern = Pattern::new("(a*)*b").unwrap();
        let start = std::time::Instant::now();
        assert!(!pattern.is_match(&[b'a'; 60_000]));
        assert!(start.elapsed() < std::time::Duration::from_secs(10));
    }
}
