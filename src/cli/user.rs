//! `narrows user`: the users of a listener with SCRAM.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::config::quoted;
use crate::scram::edit::{self, EditError, NewUser};
use crate::scram::{Mechanism, User};
use crate::secret::Secret;

/// Longest password, in bytes: far above what anybody types, and what a wrong file in the place of a password exceeds.
const MAX_PASSWORD_BYTES: u64 = 1024;

/// What to do with a users file.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct UserArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: UserAction,
}

/// What to do with a users file.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum UserAction {
    /// Add a user; the password is read from standard input, or asked for on a terminal
    Add(AddArgs),
    /// Remove a user
    Remove(RemoveArgs),
    /// Print each user with its credential and mechanisms
    List(ListArgs),
}

/// The user to add.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct AddArgs {
    /// Users file; it is made if it is not there
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
    /// The name to log in with
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The cluster's credential that the user's operations run under [default: the cluster's first]
    #[arg(long, value_name = "NAME")]
    pub credential: Option<String>,
    /// What the user can log in with; can be given twice [default: scram-sha-256]
    #[arg(long, value_name = "MECHANISM", value_enum, ignore_case = true)]
    pub mechanism: Vec<MechanismName>,
    /// Put the user in the place of the one of the same name
    #[arg(long)]
    pub replace: bool,
}

/// The user to remove.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct RemoveArgs {
    /// Users file
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
    /// The name to log in with
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// The users to list.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct ListArgs {
    /// Users file
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
}

/// A mechanism on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MechanismName {
    /// What every driver since 2018 has.
    #[value(name = "scram-sha-256")]
    ScramSha256,
    /// For older drivers.
    #[value(name = "scram-sha-1")]
    ScramSha1,
}

/// Why a users file was not changed or listed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct UserError(#[from] Reason);

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error(transparent)]
    Edit(#[from] EditError),
    #[error("the password cannot be read: {0}")]
    Input(io::Error),
    #[error("{0}")]
    Password(&'static str),
}

impl UserError {
    /// True when the arguments, the password or the file have mistakes; else something failed.
    pub fn is_usage(&self) -> bool {
        match &self.0 {
            Reason::Edit(EditError::Usage(_) | EditError::File(_)) | Reason::Password(_) => true,
            Reason::Edit(EditError::User(_) | EditError::Write { .. }) | Reason::Input(_) => false,
            Reason::Edit(EditError::Scram(error)) => {
                matches!(error, crate::scram::ScramError::Password)
            }
        }
    }
}

impl UserArgs {
    /// Does it. Returns what there is to print, without the last line end.
    ///
    /// # Errors
    /// Why the file was not changed, or could not be read.
    pub fn run(&self) -> Result<String, UserError> {
        match &self.action {
            UserAction::Add(arguments) => arguments.run(),
            UserAction::Remove(arguments) => arguments.run(),
            UserAction::List(arguments) => arguments.run(),
        }
        .map_err(UserError)
    }
}

impl AddArgs {
    fn run(&self) -> Result<String, Reason> {
        NewUser::check(&self.name, self.credential.as_deref())?;
        let password = read_password()?;
        let user = NewUser {
            name: &self.name,
            credential: self.credential.as_deref(),
            mechanisms: &self.mechanisms(),
            password: &password,
        };
        edit::add(&self.file, &user, self.replace)?;
        let name = quoted(&self.name);
        Ok(format!("{}: user {name} written", self.file.display()))
    }

    fn mechanisms(&self) -> Vec<Mechanism> {
        let asked = |mechanism: &Mechanism| match mechanism {
            Mechanism::ScramSha256 => {
                self.mechanism.is_empty() || self.mechanism.contains(&MechanismName::ScramSha256)
            }
            Mechanism::ScramSha1 => self.mechanism.contains(&MechanismName::ScramSha1),
        };
        let mechanisms = crate::scram::MECHANISMS.into_iter();
        mechanisms.filter(asked).collect()
    }
}

impl RemoveArgs {
    fn run(&self) -> Result<String, Reason> {
        edit::remove(&self.file, &self.name)?;
        let name = quoted(&self.name);
        Ok(format!("{}: user {name} removed", self.file.display()))
    }
}

impl ListArgs {
    fn run(&self) -> Result<String, Reason> {
        let users = edit::list(&self.file).map_err(EditError::from)?;
        let lines: Vec<String> = users.iter().map(line).collect();
        Ok(lines.join("\n"))
    }
}

/// Name, credential and mechanisms, with tabs between.
fn line(user: &User) -> String {
    let mechanisms: Vec<&str> = user.mechanisms().iter().map(|m| m.name()).collect();
    format!(
        "{}\t{}\t{}",
        user.name,
        user.credential.as_deref().unwrap_or("-"),
        mechanisms.join(",")
    )
}

/// From a terminal twice and unseen, else the first line of standard input.
fn read_password() -> Result<Secret, Reason> {
    let text = if io::stdin().is_terminal() {
        let first = rpassword::prompt_password("Password: ").map_err(Reason::Input)?;
        let second = rpassword::prompt_password("Again: ").map_err(Reason::Input)?;
        if first != second {
            return Err(Reason::Password("the two passwords differ"));
        }
        first
    } else {
        let mut line = String::new();
        let mut input = io::stdin().lock().take(MAX_PASSWORD_BYTES + 2);
        input.read_line(&mut line).map_err(Reason::Input)?;
        let line = line.strip_suffix('\n').unwrap_or(&line);
        line.strip_suffix('\r').unwrap_or(line).to_owned()
    };
    if text.is_empty() {
        return Err(Reason::Password("the password is empty"));
    }
    if text.len() as u64 > MAX_PASSWORD_BYTES {
        return Err(Reason::Password("the password is longer than 1024 bytes"));
    }
    Ok(Secret::new(text))
}
