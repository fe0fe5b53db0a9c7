//! Changes to a users file that leave its other lines, and its comments, as they are.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::{User, file};
use crate::config::{ConfigError, values};
use crate::scram::{Mechanism, ScramError, Verifier};
use crate::secret::Secret;

/// Why a users file was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EditError {
    /// What was asked for makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The file has mistakes.
    #[error(transparent)]
    File(#[from] ConfigError),
    /// There is such a user already, or none to remove.
    #[error("{0}")]
    User(String),
    /// No verifier could be made.
    #[error(transparent)]
    Scram(#[from] ScramError),
    /// The file could not be written.
    #[error("{path} cannot be written: {source}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A user to be.
pub(crate) struct NewUser<'a> {
    pub(crate) name: &'a str,
    pub(crate) credential: Option<&'a str>,
    /// At least one, none of them twice.
    pub(crate) mechanisms: &'a [Mechanism],
    pub(crate) password: &'a Secret,
}

impl NewUser<'_> {
    /// Says whether name and credential are usable, before anybody types a password.
    pub(crate) fn check(name: &str, credential: Option<&str>) -> Result<(), EditError> {
        file::check_name(name).map_err(EditError::Usage)?;
        let credential = credential.map(values::name).transpose();
        credential.map(|_| ()).map_err(EditError::Usage)
    }

    fn line(&self) -> Result<String, ScramError> {
        let mut line = file::written_name(self.name);
        if let Some(credential) = self.credential {
            line.push(' ');
            line.push_str(credential);
        }
        for mechanism in self.mechanisms {
            line.push(' ');
            line.push_str(&Verifier::new(*mechanism, self.name, self.password)?.to_text());
        }
        Ok(line)
    }
}

/// Adds a user at the end of the file, which is made if it is not there; or with `replace` in the place of the user of the same
/// name.
pub(crate) fn add(path: &Path, user: &NewUser<'_>, replace: bool) -> Result<(), EditError> {
    NewUser::check(user.name, user.credential)?;
    let line = user.line()?;
    change(path, |text, users| {
        let mut lines: Vec<&str> = text.lines().collect();
        let known = users.iter().find(|known| known.user.name == user.name);
        match known.and_then(|known| lines.get_mut(known.number.checked_sub(1)?)) {
            None => lines.push(&line),
            Some(place) if replace => *place = &line,
            Some(_) => {
                return Err(EditError::User(format!(
                    "there is a user of that name in {} already; `--replace` gives it a new password",
                    path.display()
                )));
            }
        }
        Ok(joined(&lines))
    })
}

/// Takes a user's line out of the file.
pub(crate) fn remove(path: &Path, name: &str) -> Result<(), EditError> {
    change(path, |text, users| {
        let known = users.iter().find(|known| known.user.name == name);
        let Some(known) = known else {
            return Err(EditError::User(format!(
                "there is no user of that name in {}",
                path.display()
            )));
        };
        let lines = text.lines().enumerate();
        let left: Vec<&str> = lines
            .filter(|(index, _)| index + 1 != known.number)
            .map(|(_, line)| line)
            .collect();
        Ok(joined(&left))
    })
}

/// The users of a file, in its order.
pub(crate) fn list(path: &Path) -> Result<Vec<User>, ConfigError> {
    let users = read(path, &file::read(path)?)?;
    Ok(users.into_iter().map(|line| line.user).collect())
}

fn joined(lines: &[&str]) -> String {
    lines.iter().flat_map(|line| [*line, "\n"]).collect()
}

fn read(path: &Path, text: &str) -> Result<Vec<file::Line>, ConfigError> {
    let mut problems = Vec::new();
    let users = file::parse(text, &mut problems);
    if problems.is_empty() {
        Ok(users)
    } else {
        Err(file::error(&path.display().to_string(), text, problems))
    }
}

/// Replaces the whole file at once, so that nobody ever reads half of it; two changes at the same time happen one after the
/// other.
fn change(
    path: &Path,
    edit: impl FnOnce(&str, &[file::Line]) -> Result<String, EditError>,
) -> Result<(), EditError> {
    let failed = |source| EditError::Write {
        path: path.to_owned(),
        source,
    };
    // Where a link leads to, so that the link stays.
    let target = match path.canonicalize() {
        Ok(target) => target,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(failed(error)),
    };
    let folder = match target.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let lock = File::open(folder).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let text = if target.try_exists().map_err(failed)? {
        file::read(&target)?
    } else {
        String::new()
    };
    let users = read(path, &text)?;
    let text = edit(&text, &users)?;
    write(&target, &text).map_err(failed)?;
    // The new name lasts when the folder is written.
    lock.sync_all().map_err(failed)
}

/// Only the owner may read the file: who has a verifier can try passwords against it.
fn write(target: &Path, text: &str) -> io::Result<()> {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = target.with_file_name(name);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&new, target));
    if written.is_err() {
        // What is left of it, if anything; the error that counts is the one at hand.
        let _ = fs::remove_file(&new);
    }
    written
}
