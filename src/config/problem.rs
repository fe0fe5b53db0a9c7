//! A mistake in a configuration, with its place.

use std::fmt;

/// One mistake.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    message: String,
}

impl Problem {
    /// What is wrong, on one line.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// Every mistake of a configuration. `Display` prints them all, each with its place, and a closing line.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    /// The mistakes in the order of their places; never empty.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{}", problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

pub(crate) fn refuse(message: &str) -> ConfigError {
    ConfigError {
        problems: vec![Problem {
            message: message.to_owned(),
        }],
    }
}
