//! What may be repeated of a configuration text in a message: messages end up in logs and on admin pages.

/// `text` in backticks, as a message may quote it: on one line, short, without credentials.
pub(crate) fn quoted(text: &str) -> String {
    // All of it: the end of credentials may be far away.
    let chars: Vec<char> = text.chars().collect();
    let (chars, _, _) = masked_line(chars, 0, 0);
    let mut shown: String = chars
        .iter()
        .take(MAX_QUOTED)
        .map(|&c| printable(c))
        .collect();
    if chars.len() > MAX_QUOTED {
        shown.push_str("...");
    }
    format!("`{shown}`")
}

/// Replaces what looks like credentials by `***`. `start` and `end` are positions in the line, and move along with it.
///
/// Too much is hidden rather than too little: a password may hold any character, also those that end a URL's authority.
pub(crate) fn masked_line(
    mut line: Vec<char>,
    start: usize,
    end: usize,
) -> (Vec<char>, usize, usize) {
    let Some((from, to)) = secret_range(&line) else {
        return (line, start, end);
    };
    line.splice(from..to, MASK.chars());
    let moved = |at: usize| match at {
        at if at <= from => at,
        at if at >= to => at - (to - from) + MASK.len(),
        _ => from,
    };
    (line, moved(start), moved(end))
}

/// A character that cannot move the cursor, hide text or reorder it.
pub(crate) fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        // Zero-width characters and bidirectional overrides.
        '\u{200B}'..='\u{200F}'
        | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}'
        | '\u{FEFF}' => '\u{FFFD}',
        c if c.is_control() => '\u{FFFD}',
        c => c,
    }
}

/// The part of a line to hide, if any: user information before an `@`, what follows a key such as `password`, and PEM.
fn secret_range(line: &[char]) -> Option<(usize, usize)> {
    let found = [
        userinfo_range(line),
        value_of_secret_key(line),
        pem_range(line),
    ];
    let found = found.into_iter().flatten();
    found.reduce(|(a, b), (c, d)| (a.min(c), b.max(d)))
}

/// A key that stands where its file should be named.
fn pem_range(line: &[char]) -> Option<(usize, usize)> {
    let begin: Vec<char> = PEM_BEGIN.chars().collect();
    let start = line.windows(begin.len()).position(|part| part == begin)?;
    Some((start + begin.len(), line.len()))
}

/// `user:password` of `scheme://user:password@host`, and also without the scheme.
fn userinfo_range(line: &[char]) -> Option<(usize, usize)> {
    let last_at = line.iter().rposition(|&c| c == '@')?;
    let first_at = line.iter().position(|&c| c == '@')?;
    let scheme_end = line
        .windows(3)
        .position(|w| w == [':', '/', '/'])
        .map(|at| at + 3);
    let token = line
        .iter()
        .take(first_at)
        .rposition(|&c| c.is_whitespace() || matches!(c, '"' | '\'' | '[' | '{' | ','))
        .map_or(0, |at| at + 1);
    let start = match scheme_end {
        Some(end) if end <= first_at => end,
        _ => token,
    };
    Some((start, last_at))
}

fn value_of_secret_key(line: &[char]) -> Option<(usize, usize)> {
    let lower: String = line.iter().map(char::to_ascii_lowercase).collect();
    let key_end = SECRET_KEYS
        .iter()
        .filter_map(|key| Some(lower.find(key)? + key.len()))
        .min()?;
    let colon = key_end + lower.get(key_end..)?.find(':')?;
    // The colon's place in characters: what stands before it may hold longer ones.
    let start = lower.get(..=colon)?.chars().count();
    let space = line
        .iter()
        .skip(start)
        .take_while(|c| c.is_whitespace())
        .count();
    Some((start + space, line.len()))
}

const MASK: &str = "***";
const PEM_BEGIN: &str = "-----BEGIN";
/// What keys are called that people write a password behind, also where the name of a file is wanted.
const SECRET_KEYS: [&str; 4] = ["pass", "pwd", "secret", "token"];
/// Characters of a value that a message repeats.
const MAX_QUOTED: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_never_quoted() {
        let cases = [
            (
                "mongodb://root:hunter2@db:27017",
                "`mongodb://***@db:27017`",
            ),
            ("mongodb://root:hun/ter@2@db", "`mongodb://***@db`"),
            ("root:hunter2@db:27017", "`***@db:27017`"),
            ("[a:hunter2@b, mongodb://c:hunter2@d]", "`[***@d]`"),
            ("password: hunter2", "`password: ***`"),
            ("password_file: hunter2", "`password_file: ***`"),
            ("pwd: hunter2", "`pwd: ***`"),
            (
                "key: \"-----BEGIN PRIVATE KEY----- hunter2\"",
                "`key: \"-----BEGIN***`",
            ),
            ("ordinary", "`ordinary`"),
        ];
        for (text, shown) in cases {
            assert_eq!(quoted(text), shown);
        }
    }

    #[test]
    fn a_long_password_is_hidden_before_the_text_is_cut() {
        let text = format!("mongodb://root:{}@db", "s".repeat(500));
        assert_eq!(quoted(&text), "`mongodb://***@db`");
        assert_eq!(quoted(&"s".repeat(61)), format!("`{}...`", "s".repeat(60)));
    }

    #[test]
    fn what_is_quoted_stays_on_its_line() {
        assert_eq!(
            quoted("a\nb\u{1b}[31m\u{202E}"),
            "`a\u{FFFD}b\u{FFFD}[31m\u{FFFD}`"
        );
    }

    #[test]
    fn the_underlined_part_moves_with_the_mask() {
        let line: Vec<char> = "- mongodb://u:hunter2@h".chars().collect();
        let (masked, start, end) = masked_line(line, 2, 23);
        assert_eq!(masked.iter().collect::<String>(), "- mongodb://***@h");
        assert_eq!((start, end), (2, 17));
    }
}
