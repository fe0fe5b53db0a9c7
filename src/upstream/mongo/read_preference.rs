//! `$readPreference`, as clients send it to a mongos: read as strictly as the server does, because it is we who follow it.

use std::fmt;
use std::time::Duration;

use bson::raw::{RawArray, RawBsonRef, RawDocument};

use super::hello::{field, integer};

/// Most tag sets, and most tags of a set, that are read. MongoDB has no limit of its own; nobody writes a tenth of these.
const MAX_TAG_SETS: usize = 32;
const MAX_TAGS: usize = 32;

/// The smallest `maxStalenessSeconds`: specs:max-staleness, "smallestMaxStalenessSeconds", which is also more than the heartbeat
/// of the monitors and the 10 s between the writes of an idle primary together.
const SMALLEST_MAX_STALENESS: i64 = 90;

/// Which members of a replica set may serve a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadPreference {
    /// Primary, secondaries, or both.
    pub mode: Mode,
    /// Tags that a secondary must have, one set after the other until one fits; none is any secondary.
    pub tag_sets: Vec<Vec<(String, String)>>,
    /// How far a secondary may be behind.
    pub max_staleness: Option<Duration>,
}

/// Which sort of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The primary only.
    Primary,
    /// The primary, or a secondary while there is none.
    PrimaryPreferred,
    /// A secondary only.
    Secondary,
    /// A secondary, or the primary while none fits.
    SecondaryPreferred,
    /// Whatever is near.
    Nearest,
}

impl Mode {
    const ALL: [Self; 5] = [
        Self::Primary,
        Self::PrimaryPreferred,
        Self::Secondary,
        Self::SecondaryPreferred,
        Self::Nearest,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::PrimaryPreferred => "primaryPreferred",
            Self::Secondary => "secondary",
            Self::SecondaryPreferred => "secondaryPreferred",
            Self::Nearest => "nearest",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A read preference that no server would take either.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadReadPreference {
    /// The server's error code for it.
    pub code: i32,
    /// The name of the code.
    pub code_name: &'static str,
    /// What is wrong.
    pub message: String,
}

impl ReadPreference {
    /// Reads of the primary only: what holds when a client says nothing.
    pub const PRIMARY: Self = Self::of(Mode::Primary);

    /// A mode, without tags and limits.
    pub const fn of(mode: Mode) -> Self {
        Self {
            mode,
            tag_sets: Vec::new(),
            max_staleness: None,
        }
    }

    /// Reads the document behind `$readPreference`.
    ///
    /// # Errors
    /// What mongod and mongos say of such a document.
    pub fn read(document: &RawDocument) -> Result<Self, BadReadPreference> {
        let mode = mode(document)?;
        let tag_sets = tag_sets(document)?;
        if mode == Mode::Primary && !tag_sets.is_empty() {
            return Err(bad_value(
                "Only empty tags are allowed with primary read preference",
            ));
        }
        if mode == Mode::Primary && hedges(document) {
            let message = "cannot enable hedging for $readPreference mode \"primaryOnly\"";
            return Err(error(72, "InvalidOptions", message));
        }
        let max_staleness = max_staleness(document)?;
        if mode == Mode::Primary && max_staleness.is_some() {
            return Err(bad_value(
                "maxStalenessSeconds can not be set for the primary mode",
            ));
        }
        Ok(Self {
            mode,
            tag_sets,
            max_staleness,
        })
    }

    /// True when a secondary that is so far behind may serve.
    pub(super) fn is_fresh(&self, staleness: Option<Duration>) -> bool {
        self.max_staleness
            .is_none_or(|limit| staleness.is_some_and(|staleness| staleness <= limit))
    }
}

fn mode(document: &RawDocument) -> Result<Mode, BadReadPreference> {
    let mode = match field(document, "mode") {
        None => return Err(error(4, "NoSuchKey", "Missing expected field \"mode\"")),
        Some(RawBsonRef::String(mode)) => mode,
        Some(_) => return Err(mismatch("mode", "a string")),
    };
    let known = Mode::ALL.into_iter().find(|known| known.name() == mode);
    known.ok_or_else(|| {
        bad_value(
            "Could not parse $readPreference mode. Only the modes 'primary', 'primaryPreferred', 'secondary', \
             'secondaryPreferred', and 'nearest' are supported.",
        )
    })
}

/// "Passing the default wildcard tag set `[{}]` is the same as not passing one at all."
fn tag_sets(document: &RawDocument) -> Result<Vec<Vec<(String, String)>>, BadReadPreference> {
    let sets = match field(document, "tags") {
        None => return Ok(Vec::new()),
        Some(RawBsonRef::Array(sets)) => sets,
        Some(_) => return Err(mismatch("tags", "an array")),
    };
    let sets = read_tag_sets(sets)?;
    let any = matches!(&*sets, [only] if only.is_empty());
    Ok(if any { Vec::new() } else { sets })
}

fn read_tag_sets(sets: &RawArray) -> Result<Vec<Vec<(String, String)>>, BadReadPreference> {
    let mut read = Vec::new();
    for set in sets {
        let Ok(RawBsonRef::Document(set)) = set else {
            return Err(mismatch("tags", "an array of documents"));
        };
        if read.len() == MAX_TAG_SETS {
            return Err(failed_to_parse("$readPreference has too many tag sets"));
        }
        let mut tags = Vec::new();
        for tag in set.iter_elements() {
            let tag = tag.map_err(|_| failed_to_parse("$readPreference is malformed"))?;
            let Ok(RawBsonRef::String(value)) = tag.value() else {
                return Err(mismatch("tags", "documents of strings"));
            };
            if tags.len() == MAX_TAGS {
                return Err(failed_to_parse(
                    "a tag set of $readPreference has too many tags",
                ));
            }
            tags.push((tag.key().as_str().to_owned(), value.to_owned()));
        }
        read.push(tags);
    }
    Ok(read)
}

fn hedges(document: &RawDocument) -> bool {
    let hedge = field(document, "hedge").and_then(RawBsonRef::as_document);
    hedge.is_some_and(|hedge| {
        // Without a word it is on.
        field(hedge, "enabled").is_none_or(|enabled| enabled.as_bool() == Some(true))
    })
}

fn max_staleness(document: &RawDocument) -> Result<Option<Duration>, BadReadPreference> {
    let Some(value) = field(document, "maxStalenessSeconds") else {
        return Ok(None);
    };
    match integer(value) {
        None if matches!(value, RawBsonRef::Double(_)) => {
            Err(bad_value("maxStalenessSeconds must be a whole number"))
        }
        None => Err(mismatch("maxStalenessSeconds", "a number")),
        // Zero is what drivers of old sent for "no limit", and so does the server take it.
        Some(0) => Ok(None),
        Some(seconds) if seconds < 0 => Err(bad_value(
            "maxStalenessSeconds must be a non-negative integer",
        )),
        Some(seconds) if seconds < SMALLEST_MAX_STALENESS => Err(error(
            160,
            "MaxStalenessOutOfRange",
            "maxStalenessSeconds value can not be less than 90",
        )),
        Some(seconds) => Ok(Some(Duration::from_secs(seconds.unsigned_abs()))),
    }
}

fn failed_to_parse(message: &str) -> BadReadPreference {
    error(9, "FailedToParse", message)
}

fn bad_value(message: &str) -> BadReadPreference {
    error(2, "BadValue", message)
}

fn mismatch(key: &str, wanted: &str) -> BadReadPreference {
    let message = format!("$readPreference: `{key}` must be {wanted}");
    error(14, "TypeMismatch", &message)
}

fn error(code: i32, code_name: &'static str, message: &str) -> BadReadPreference {
    BadReadPreference {
        code,
        code_name,
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    #[test]
    fn what_drivers_send_is_read() {
        let document = rawdoc! { "mode": "nearest", "tags": [{ "dc": "a", "use": "b" }, {}], "maxStalenessSeconds": 120, "hedge": {} };
        let preference = ReadPreference::read(&document).unwrap();
        let tags = vec![("dc".into(), "a".into()), ("use".into(), "b".into())];
        assert_eq!(preference.mode, Mode::Nearest);
        assert_eq!(preference.tag_sets, [tags, vec![]]);
        assert_eq!(preference.max_staleness, Some(Duration::from_secs(120)));
        for same in [
            rawdoc! { "mode": "primary" },
            rawdoc! { "mode": "primary", "tags": [] },
            rawdoc! { "mode": "primary", "tags": [{}] },
            rawdoc! { "mode": "primary", "maxStalenessSeconds": 0 },
        ] {
            assert_eq!(ReadPreference::read(&same), Ok(ReadPreference::PRIMARY));
        }
    }

    /// The codes are those of mongod 6.0.5.
    #[test]
    fn bad_ones_get_the_servers_code() {
        for (document, code) in [
            (rawdoc! {}, 4),
            (rawdoc! { "mode": 3 }, 14),
            (rawdoc! { "mode": "PRIMARY" }, 2),
            (rawdoc! { "mode": "primary", "tags": [{ "a": "b" }] }, 2),
            (rawdoc! { "mode": "secondary", "tags": {} }, 14),
            (rawdoc! { "mode": "primary", "maxStalenessSeconds": 100 }, 2),
            (
                rawdoc! { "mode": "secondary", "maxStalenessSeconds": -1 },
                2,
            ),
            (
                rawdoc! { "mode": "secondary", "maxStalenessSeconds": 89 },
                160,
            ),
            (
                rawdoc! { "mode": "secondary", "maxStalenessSeconds": "x" },
                14,
            ),
            (
                rawdoc! { "mode": "secondary", "maxStalenessSeconds": 90.5 },
                2,
            ),
            (
                rawdoc! { "mode": "primary", "hedge": { "enabled": true } },
                72,
            ),
        ] {
            let refused = ReadPreference::read(&document).unwrap_err();
            assert_eq!(refused.code, code, "{document:?}: {refused}");
        }
        let mut sets = bson::RawArrayBuf::new();
        for _ in 0..=MAX_TAG_SETS {
            sets.push(rawdoc! { "a": "b" });
        }
        let many = rawdoc! { "mode": "secondary", "tags": sets };
        assert_eq!(ReadPreference::read(&many).unwrap_err().code, 9);
    }
}
