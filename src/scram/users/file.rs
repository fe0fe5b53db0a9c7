//! The format of a users file: one user a line.
//!
//! ```text
//! # comment
//! NAME [CREDENTIAL] VERIFIER [VERIFIER]
//! ```
//! Fields are separated by blanks. A name that holds blanks, `"` or `#`, or is empty, stands in double quotes, in which `""` is
//! a quote, as in PgBouncer's `auth_file`. A verifier is what has a `$` in it.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::User;
use crate::config::{ConfigError, Place, Problem, Span, quoted, read_text, values};
use crate::scram::Verifier;

/// Largest file: some 60,000 users with two verifiers each.
const MAX_FILE_BYTES: usize = 16 << 20;

/// Longest name, in bytes: what MongoDB's handshake allows an application's name, for want of a limit of its own.
const MAX_NAME_BYTES: usize = 128;

/// A user, and where the file names the credential.
pub(super) struct Line {
    pub(super) user: User,
    pub(super) credential: Option<Span>,
    pub(super) name: Span,
    /// Which line of the file, from 1.
    pub(super) number: usize,
}

/// Reads the file if only its owner can write it. Whoever can write it can log in, so the rule is the one of sshd's
/// `StrictModes`; who can read it could guess passwords, which is worth a warning.
pub(super) fn read(path: &Path) -> Result<String, ConfigError> {
    let whole = |message: String| {
        let problem = Problem::new(Place::Whole, message);
        ConfigError::new(&path.display().to_string(), "", vec![problem])
    };
    let text = read_text(path, MAX_FILE_BYTES)?;
    let mode = std::fs::metadata(path).map(|metadata| metadata.permissions().mode());
    let mode = mode.map_err(|error| whole(format!("cannot be read: {error}")))?;
    if mode & 0o022 != 0 {
        return Err(whole(
            "can be written by others than its owner, who could let themselves in; run `chmod go-w` on it"
                .to_owned(),
        ));
    }
    if mode & 0o004 != 0 {
        tracing::warn!(file = %path.display(), "the users file can be read by everybody, who could try passwords against it; run `chmod o-r` on it");
    }
    Ok(text)
}

/// The users of a text. They are of use only if no problem was added.
pub(super) fn parse(text: &str, problems: &mut Vec<Problem>) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut first_lines: HashMap<String, usize> = HashMap::new();
    for (number, text) in (1..).zip(text.lines()) {
        match fields(text, number) {
            Ok(fields) => lines.extend(read_line(&fields, &mut first_lines, problems)),
            Err(problem) => problems.push(problem),
        }
    }
    lines
}

/// The user of a line that has one. `first_lines` says where each name was first given.
fn read_line(
    fields: &[FieldText],
    first_lines: &mut HashMap<String, usize>,
    problems: &mut Vec<Problem>,
) -> Option<Line> {
    let (name, rest) = fields.split_first()?;
    let mut report = |field: &FieldText, message: String| {
        problems.push(Problem::new(Place::Text(field.span), message));
    };
    if let Err(message) = check_name(&name.text) {
        report(name, message);
        return None;
    }
    let number = name.span.line;
    let first = *first_lines.entry(name.text.clone()).or_insert(number);
    if first != number {
        let shown = quoted(&name.text);
        report(
            name,
            format!("user {shown} is given twice, first on line {first}"),
        );
    }
    let (credential, verifiers) = match rest.split_first() {
        Some((field, rest)) if !field.text.contains('$') => (Some(field), rest),
        _ => (None, rest),
    };
    if let Some(field) = credential
        && let Err(message) = values::name(&field.text)
    {
        report(field, message);
    }
    Some(Line {
        user: User {
            name: name.text.clone(),
            credential: credential.map(|field| field.text.clone()),
            verifiers: read_verifiers(name, verifiers, problems),
        },
        credential: credential.map(|field| field.span),
        name: name.span,
        number,
    })
}

/// All problems of a text. The lines that are shown with them keep their verifiers to themselves.
pub(super) fn error(origin: &str, text: &str, problems: Vec<Problem>) -> ConfigError {
    let masked: Vec<String> = text.lines().map(masked).collect();
    ConfigError::new(origin, &masked.join("\n"), problems)
}

/// A name as it stands in the file.
pub(super) fn written_name(name: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !matches!(c, '"' | '#');
    if !name.is_empty() && name.chars().all(plain) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// What a name can be.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("the name is empty".to_owned());
    }
    // Before anything of it is repeated: it may be one.
    if name.contains('$') {
        return Err("the name holds a `$`, as verifiers do; is it missing?".to_owned());
    }
    if name.len() > MAX_NAME_BYTES {
        let shown = quoted(name);
        return Err(format!("{shown} is longer than {MAX_NAME_BYTES} bytes"));
    }
    if name.chars().any(char::is_control) {
        let shown = quoted(name);
        return Err(format!("{shown} holds a control character"));
    }
    Ok(())
}

struct FieldText {
    text: String,
    span: Span,
}

/// Cuts a line into fields; none is an empty line or a comment.
fn fields(line: &str, number: usize) -> Result<Vec<FieldText>, Problem> {
    let chars: Vec<char> = line.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        let blanks = chars.iter().skip(at).take_while(|c| c.is_whitespace());
        at += blanks.count();
        let span = |end: usize| Span {
            line: number,
            column: at + 1,
            length: end.saturating_sub(at).max(1),
        };
        let (text, end) = match chars.get(at) {
            None | Some('#') => return Ok(found),
            Some('"') => quoted_field(&chars, at + 1).ok_or_else(|| {
                Problem::new(
                    Place::Text(span(chars.len())),
                    "the quote is not closed, or something follows it without a blank",
                )
            })?,
            Some(_) => {
                let plain = chars.iter().skip(at).take_while(|c| !c.is_whitespace());
                let text: String = plain.collect();
                let end = at + text.chars().count();
                (text, end)
            }
        };
        let span = span(end);
        found.push(FieldText { text, span });
        at = end;
    }
}

/// The text from `at`, right behind the opening quote, and the place behind the closing one.
fn quoted_field(chars: &[char], mut at: usize) -> Option<(String, usize)> {
    let mut text = String::new();
    loop {
        let next = chars.get(at + 1);
        match (chars.get(at)?, next) {
            ('"', Some('"')) => {
                text.push('"');
                at += 2;
            }
            ('"', _) => {
                let ends = next.is_none_or(|c| c.is_whitespace());
                return ends.then_some((text, at + 1));
            }
            (c, _) => {
                text.push(*c);
                at += 1;
            }
        }
    }
}

fn read_verifiers(
    name: &FieldText,
    fields: &[FieldText],
    problems: &mut Vec<Problem>,
) -> Vec<Verifier> {
    let mut verifiers: Vec<Verifier> = Vec::new();
    if fields.is_empty() {
        let message = format!(
            "user {} has no verifier; `narrows user add` makes one",
            quoted(&name.text)
        );
        problems.push(Problem::new(Place::Text(name.span), message));
    }
    for field in fields {
        let verifier = Verifier::parse(&field.text).and_then(|verifier| {
            let mechanism = verifier.mechanism;
            if verifiers.iter().any(|other| other.mechanism == mechanism) {
                return Err(format!(
                    "the user has a verifier for {} already",
                    mechanism.name()
                ));
            }
            Ok(verifier)
        });
        match verifier {
            Ok(verifier) => verifiers.push(verifier),
            Err(message) => problems.push(Problem::new(Place::Text(field.span), message)),
        }
    }
    verifiers
}

/// Stars for everything between a `$` and the next blank.
fn masked(line: &str) -> String {
    let mut hide = false;
    line.chars()
        .map(|c| {
            let star = hide && !c.is_whitespace();
            hide = star || c == '$';
            if star { '*' } else { c }
        })
        .collect()
}
