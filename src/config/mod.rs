//! Configuration: read as written, then resolved; every mistake is reported at once, with its place.
//!
//! `text → Tree` (nodes with places) `→ File` (as written, unknown keys refused) `→ Config` (no option left open).

mod choices;
mod de;
mod defaults;
mod field;
mod file;
mod json;
mod masking;
mod model;
mod problem;
mod resolve;
mod secrets;
mod suggest;
mod tree;
pub(crate) mod values;

use std::io::Read as _;
use std::path::Path;

pub use json::to_json;
pub use model::{
    AdminConfig, ClusterConfig, Config, Domain, Endpoint, ForwardConfig, ForwardedConfig,
    ForwardedProto, HeaderEditsConfig, HeaderMatch, HttpClusterConfig, HttpConfig, HttpMode,
    HttpVersion, HttpVersions, ListenerConfig, LogConfig, LogFormat, LogLevel, MongoAuth,
    MongoClusterConfig, MongoCompressor, MongoCredential, MongoMechanism, MongoMode, MongoTopology,
    PasswordSource, PathMatch, PoolConfig, Protocol, RedirectConfig, RedirectPath, RedisAuth,
    RedisClusterConfig, RedisConfig, RedisCredential, RedisMode, RedisReads, RedisTopology,
    RespondConfig, RouteAction, RouteConfig, Scheme, StatsConfig, StatsLimits, StatsdAddress,
    StatsdConfig, StatsdFlavor, Underscores, ValueMatch, VirtualHost, WeightedCluster,
};
pub use problem::{ConfigError, Problem};

pub(crate) use choices::{HTTP_MODES, MONGO_MODES, PROTOCOLS, ProtocolName, REDIS_MODES};
pub(crate) use field::Field;
pub(crate) use file::{
    AdminFile, ClusterFile, File, HttpFile, ListenerFile, MongoFile, PoolFile, RedisFile,
    StatsFile, StatsdFile,
};
pub(crate) use masking::quoted;
pub(crate) use problem::{Place, Span};
pub(crate) use suggest::did_you_mean;

/// Reads and checks a file.
///
/// # Errors
/// Every mistake in it, or that it cannot be read.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = read_text(path, tree::MAX_FILE_LEN)?;
    parse(&path.display().to_string(), &text)
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// That it cannot be read, is larger, or is not UTF-8.
pub(crate) fn read_text(path: &Path, limit: usize) -> Result<String, ConfigError> {
    let name = path.display().to_string();
    let whole =
        |message: String| ConfigError::new(&name, "", vec![Problem::new(Place::Whole, message)]);
    let bytes =
        read_bounded(path, limit).map_err(|error| whole(format!("cannot be read: {error}")))?;
    if bytes.len() > limit {
        return Err(whole(too_large(limit)));
    }
    String::from_utf8(bytes).map_err(|error| not_utf8(&name, &error))
}

/// Checks a configuration text; `name` stands for it in messages. The files and environment variables that it names
/// are read too.
///
/// # Errors
/// Every mistake in it.
pub fn parse(name: &str, text: &str) -> Result<Config, ConfigError> {
    let text = normalised(text);
    let mut problems = Vec::new();
    let config = read(&text, &mut problems);
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(ConfigError::new(name, &text, problems)),
    }
}

/// Checks a configuration that was made from the flags of the command line.
pub(crate) fn from_flags(file: &File, mut problems: Vec<Problem>) -> Result<Config, ConfigError> {
    let config = resolve::resolve(file, Place::Whole, &mut problems);
    if problems.is_empty() {
        Ok(config)
    } else {
        Err(ConfigError::new("the arguments", "", problems))
    }
}

/// The JSON Schema of the file format.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(File).to_value()
}

fn read(text: &str, problems: &mut Vec<Problem>) -> Option<Config> {
    if let Some(problem) = unreadable(text) {
        problems.push(problem);
        return None;
    }
    let mut tree = match tree::Tree::read(text) {
        Ok(tree) => tree,
        Err(problem) => {
            problems.push(problem);
            return None;
        }
    };
    problems.append(&mut tree.problems);
    let file: Field<File> = de::from_tree(&tree, problems);
    let (file, place) = file.given()?;
    Some(resolve::resolve(file, place, problems))
}

fn read_bounded(path: &Path, limit: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than allowed, so that the caller sees that it is too long.
    let limit = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    std::fs::File::open(path)?
        .take(limit)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// One kind of line end, so that every part counts lines alike, and no byte order mark.
fn normalised(text: &str) -> String {
    text.strip_prefix('\u{FEFF}')
        .unwrap_or(text)
        .replace("\r\n", "\n")
        .replace('\r', "\n")
}

/// What makes a text not worth reading.
fn unreadable(text: &str) -> Option<Problem> {
    if text.len() > tree::MAX_FILE_LEN {
        return Some(Problem::new(Place::Whole, too_large(tree::MAX_FILE_LEN)));
    }
    // YAML 1.2.2 section 5.1 leaves control characters out of `c-printable`; a NUL would end the text unnoticed.
    let control = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\u{85}');
    let (at, found) = text.char_indices().find(|(_, c)| control(*c))?;
    let message = format!("control character U+{:04X} in the file", u32::from(found));
    Some(Problem::new(Place::Text(end_of(text.get(..at)?)), message))
}

fn too_large(limit: usize) -> String {
    format!("larger than {limit} bytes; is this the right file?")
}

fn not_utf8(name: &str, error: &std::string::FromUtf8Error) -> ConfigError {
    let valid = error.utf8_error().valid_up_to();
    let text = error
        .as_bytes()
        .get(..valid)
        .map(String::from_utf8_lossy)
        .unwrap_or_default();
    let text = normalised(&text);
    let problem = Problem::new(Place::Text(end_of(&text)), "not UTF-8 text from here on");
    ConfigError::new(name, &text, vec![problem])
}

/// The place right behind `text`.
fn end_of(text: &str) -> problem::Span {
    let last = text.rsplit('\n').next().unwrap_or_default();
    problem::Span {
        line: text.matches('\n').count() + 1,
        column: last.chars().count() + 1,
        length: 1,
    }
}
