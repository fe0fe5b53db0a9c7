//! A mistake in a configuration, with its place, and how all of them are printed.

use std::fmt;

use super::masking::{self, printable};

/// Every mistake of a configuration. `Display` prints each with its place and the line it is on, and a closing line.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigError {
    origin: String,
    total: usize,
    problems: Vec<Problem>,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    place: Place,
    message: String,
    shown: Option<ShownLine>,
}

/// Where a mistake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// The configuration as a whole.
    Whole,
    /// A stretch of the file.
    Text(Span),
    /// A flag of the command line.
    Flag(&'static str),
}

/// A stretch of one line. Line and column count from 1, column and length are in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) length: usize,
}

/// A line of the file as it is printed below its problem, with the stretch to underline.
#[derive(Clone, Debug, PartialEq)]
struct ShownLine {
    text: String,
    indent: usize,
    carets: usize,
}

impl ConfigError {
    /// Sorts the problems by place and takes from `text` the lines to show.
    pub(crate) fn new(origin: &str, text: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.place);
        let total = problems.len();
        problems.truncate(MAX_PRINTED);
        for problem in &mut problems {
            if let Place::Text(span) = problem.place {
                problem.shown = ShownLine::new(text, span);
            }
        }
        Self {
            origin: origin.chars().map(printable).collect(),
            total,
            problems,
        }
    }

    /// The mistakes in the order of their places; never empty, and at most 100.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// How many mistakes there are, including those that are too many to print.
    pub fn total(&self) -> usize {
        self.total
    }
}

impl Problem {
    pub(crate) fn new(place: Place, message: impl Into<String>) -> Self {
        Self {
            place,
            message: message.into(),
            shown: None,
        }
    }

    /// What is wrong, on one line, without its place. Passwords are masked.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Line and column in the file, both from 1; `None` for the file as a whole and for a flag.
    pub fn position(&self) -> Option<(usize, usize)> {
        match self.place {
            Place::Text(span) => Some((span.line, span.column)),
            Place::Whole | Place::Flag(_) => None,
        }
    }
}

impl ShownLine {
    fn new(text: &str, span: Span) -> Option<Self> {
        let line = text.lines().nth(span.line.checked_sub(1)?)?;
        let line: Vec<char> = line.chars().collect();
        let start = span.column.saturating_sub(1).min(line.len());
        let end = start.saturating_add(span.length).min(line.len());
        let (line, start, end) = masking::masked_line(line, start, end);
        let window = start.saturating_sub(CONTEXT_BEFORE);
        let visible = line
            .iter()
            .skip(window)
            .take(MAX_LINE)
            .map(|&c| printable(c));
        Some(Self {
            text: visible.collect::<String>().trim_end().to_owned(),
            indent: start - window,
            carets: end
                .saturating_sub(start)
                .clamp(1, MAX_LINE - CONTEXT_BEFORE),
        })
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            problem.print(f, &self.origin)?;
        }
        if self.total > self.problems.len() {
            writeln!(f, "... and {} more", self.total - self.problems.len())?;
        }
        let plural = if self.total == 1 { "" } else { "s" };
        write!(
            f,
            "{} problem{plural} in {}; nothing was changed",
            self.total, self.origin
        )
    }
}

impl Problem {
    fn print(&self, f: &mut fmt::Formatter<'_>, origin: &str) -> fmt::Result {
        match self.place {
            Place::Whole => writeln!(f, "{origin}: error: {}", self.message),
            Place::Flag(flag) => writeln!(f, "{flag}: error: {}", self.message),
            Place::Text(Span { line, column, .. }) => {
                writeln!(f, "{origin}:{line}:{column}: error: {}", self.message)?;
                let Some(ShownLine {
                    text,
                    indent,
                    carets,
                }) = &self.shown
                else {
                    return Ok(());
                };
                let number = format!("{line:>4}");
                writeln!(f, "{number} | {text}")?;
                writeln!(
                    f,
                    "{:width$} | {:indent$}{:^<carets$}",
                    "",
                    "",
                    "",
                    width = number.len()
                )
            }
        }
    }
}

impl std::error::Error for ConfigError {}

/// More would only push the first ones off the screen.
const MAX_PRINTED: usize = 100;
/// Characters of a line that are shown, and how many of them stand before the mistake: one line of a terminal.
const MAX_LINE: usize = 120;
const CONTEXT_BEFORE: usize = 60;
