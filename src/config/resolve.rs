//! From the configuration as written to the one that the program runs on. Every mistake is found, not only the first.

mod clusters;
mod credentials;
mod http;
mod listeners;
mod redis;
mod stats;
mod tls;
mod uses;

use std::collections::HashMap;
use std::time::Duration;

use super::choices::{Choices, LOG_FORMATS, LOG_LEVELS};
use super::defaults;
use super::field::Field;
use super::file::{File, LogFile};
use super::masking::quoted;
use super::model::{AdminConfig, Config, LogConfig};
use super::problem::{Place, Problem};
use super::values;

/// The configuration that `file` stands for. It is of use only if no problem was added.
pub(crate) fn resolve(file: &File, place: Place, problems: &mut Vec<Problem>) -> Config {
    Resolver { problems }.config(file, place)
}

/// Collects problems. Where a value is not usable its default stands in, so that the rest can be looked at.
struct Resolver<'a> {
    problems: &'a mut Vec<Problem>,
}

impl Resolver<'_> {
    fn config(&mut self, file: &File, place: Place) -> Config {
        let admin = self.admin(file);
        let clusters = self.clusters(file, place);
        let listeners = self.listeners(file, place);
        self.addresses_are_distinct(file);
        Config {
            admin,
            workers: self.workers(&file.workers),
            drain_timeout: self.text(
                &file.drain_timeout,
                defaults::DRAIN_TIMEOUT,
                values::duration,
            ),
            log: self.log(&file.log),
            listeners,
            clusters,
            stats: self.stats(&file.stats),
        }
    }

    fn admin(&mut self, file: &File) -> AdminConfig {
        let listen = file.admin.value().map_or(defaults::ADMIN_LISTEN, |admin| {
            self.text(
                &admin.listen,
                defaults::ADMIN_LISTEN,
                values::listen_address,
            )
        });
        AdminConfig { listen }
    }

    fn workers(&mut self, workers: &Field<u64>) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.at_least_one(
            workers,
            defaults::WORKERS_MAX,
            "leave it out for one a core",
        )
        .unwrap_or_else(cores)
    }

    fn log(&mut self, log: &Field<LogFile>) -> LogConfig {
        let written = log.value();
        LogConfig {
            format: self.choice(
                written.map(|log| &log.format),
                &LOG_FORMATS,
                defaults::LOG_FORMAT,
            ),
            level: self.choice(
                written.map(|log| &log.level),
                &LOG_LEVELS,
                defaults::LOG_LEVEL,
            ),
        }
    }

    /// Reports a name that an earlier one of the same kind has.
    fn names_are_distinct<'a>(
        &mut self,
        kind: &str,
        names: impl Iterator<Item = &'a Field<String>>,
    ) {
        let mut seen = HashMap::new();
        for (name, place) in names.filter_map(Field::given) {
            if let Some(first) = seen.insert(name, place) {
                seen.insert(name, first);
                self.problem(
                    place,
                    format!("a second {kind} {}{}", quoted(name), first_at(first)),
                );
            }
        }
    }

    fn problem(&mut self, place: Place, message: impl Into<String>) {
        self.problems.push(Problem::new(place, message));
    }

    /// The value of a key that has to be there; `place` is its mapping.
    fn required<'f, T>(
        &mut self,
        field: &'f Field<T>,
        key: &str,
        place: Place,
    ) -> Option<(&'f T, Place)> {
        if field.is_absent() {
            self.problem(place, format!("missing key `{key}`"));
        }
        field.given()
    }

    fn required_text<T>(
        &mut self,
        field: &Field<String>,
        key: &str,
        place: Place,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let (text, place) = self.required(field, key, place)?;
        self.read(text, place, read)
    }

    fn text<T>(
        &mut self,
        field: &Field<String>,
        default: T,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        field
            .given()
            .and_then(|(text, place)| self.read(text, place, read))
            .unwrap_or(default)
    }

    fn choice<T: Copy + PartialEq>(
        &mut self,
        field: Option<&Field<String>>,
        choices: &Choices<T>,
        default: T,
    ) -> T {
        field.map_or(default, |field| {
            self.text(field, default, |word| choices.read(word))
        })
    }

    /// Like [`choice`](Self::choice), but `None` if something else was meant that is not known.
    fn chosen<T: Copy + PartialEq>(
        &mut self,
        field: &Field<String>,
        choices: &Choices<T>,
        default: T,
    ) -> Option<T> {
        match field {
            Field::Absent => Some(default),
            Field::Bad => None,
            Field::Given(word, place) => self.read(word, *place, |word| choices.read(word)),
        }
    }

    /// A duration that is written as zero when there is none.
    fn duration_or_never(
        &mut self,
        field: &Field<String>,
        default: Option<Duration>,
    ) -> Option<Duration> {
        match field.given() {
            None => default,
            Some((text, place)) => self
                .read(text, place, values::duration)
                .filter(|duration| *duration != Duration::ZERO),
        }
    }

    fn positive_duration(&mut self, field: &Field<String>, default: Duration) -> Duration {
        self.text(field, default, |text| match values::duration(text)? {
            Duration::ZERO => Err("has to be longer than zero".to_owned()),
            duration => Ok(duration),
        })
    }

    fn at_least_one(&mut self, field: &Field<u64>, max: u64, advice: &str) -> Option<usize> {
        let (number, place) = field.given()?;
        if *number == 0 {
            self.problem(place, format!("has to be at least 1; {advice}"));
            return None;
        }
        self.at_most(field, max)
    }

    fn at_most(&mut self, field: &Field<u64>, max: u64) -> Option<usize> {
        let (number, place) = field.given()?;
        if *number > max {
            self.problem(place, format!("has to be at most {max}"));
            return None;
        }
        usize::try_from(*number).ok()
    }

    fn read<T>(
        &mut self,
        text: &str,
        place: Place,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        read(text)
            .map_err(|message| self.problem(place, message))
            .ok()
    }
}

/// Where the first one of two is, if that can be said.
fn first_at(place: Place) -> String {
    line_of(place).map_or_else(String::new, |line| format!("; the first is on line {line}"))
}

fn line_of(place: Place) -> Option<usize> {
    match place {
        Place::Text(span) => Some(span.line),
        Place::Whole | Place::Flag(_) => None,
    }
}
