//! The process log, on standard error. A line that repeats too fast is held back and counted: what one client can
//! make happen a thousand times a second must not bury what an operator has to see.

mod rate_limit;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;

use self::rate_limit::RateLimit;
use crate::config::{LogConfig, LogFormat, LogLevel};

/// Starts the process log; a second call does nothing.
pub fn init(config: &LogConfig) {
    // Only a log that runs already can be in the way, and then there is one.
    drop(tracing::subscriber::set_global_default(subscriber(
        config,
        io::stderr,
        Instant::now,
    )));
}

/// What turns events into lines of `writer`; `now` is asked once an event.
fn subscriber<W>(
    config: &LogConfig,
    writer: W,
    now: fn() -> Instant,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt()
        .with_max_level(level(config.level))
        .with_writer(writer)
        .with_ansi(false);
    match config.format {
        LogFormat::Text => Box::new(
            builder
                .event_format(Limited::new(Format::default().with_ansi(false), now))
                .finish()
                .with(ours(config.level)),
        ),
        LogFormat::Json => Box::new(
            builder
                .fmt_fields(JsonFields::new())
                .event_format(Limited::new(Format::default().json(), now))
                .finish()
                .with(ours(config.level)),
        ),
    }
}

/// What Narrows says. Libraries have a say from warnings on: below them `h2` repeats what its peers send, header values and all.
fn ours(chosen: LogLevel) -> Targets {
    let chosen = level(chosen);
    Targets::new()
        .with_target("narrows", chosen)
        .with_default(chosen.min(LevelFilter::WARN))
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// Writes an event through `inner`, or nothing if its place in the code has had its share of lines. Then and again,
/// writes a line of its own that says how many were held back.
struct Limited<F> {
    inner: F,
    limit: Mutex<RateLimit<Callsite>>,
    now: fn() -> Instant,
}

impl<F> Limited<F> {
    fn new(inner: F, now: fn() -> Instant) -> Self {
        Self {
            inner,
            limit: Mutex::new(RateLimit::default()),
            now,
        }
    }
}

impl<F, S, N> FormatEvent<S, N> for Limited<F>
where
    F: FormatEvent<S, N> + HeldBackLine,
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let now = (self.now)();
        let (held_back, admitted) = {
            let mut limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
            (
                limit.ended(now),
                limit.admit(Callsite(event.metadata()), now),
            )
        };
        for (Callsite(metadata), count) in held_back {
            F::write_held_back(&mut writer, metadata, count)?;
        }
        if admitted {
            self.inner.format_event(ctx, writer, event)
        } else {
            Ok(())
        }
    }
}

/// How a format says that lines were held back.
trait HeldBackLine {
    fn write_held_back(writer: &mut Writer<'_>, metadata: &Metadata<'_>, count: u64)
    -> fmt::Result;
}

impl HeldBackLine for Format {
    fn write_held_back(
        writer: &mut Writer<'_>,
        metadata: &Metadata<'_>,
        count: u64,
    ) -> fmt::Result {
        SystemTime.format_time(writer)?;
        writeln!(
            writer,
            " {:>5} {}: {MESSAGE} held_back={count} line={}",
            metadata.level(),
            metadata.target(),
            Place(metadata)
        )
    }
}

impl HeldBackLine for Format<Json> {
    fn write_held_back(
        writer: &mut Writer<'_>,
        metadata: &Metadata<'_>,
        count: u64,
    ) -> fmt::Result {
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let line = serde_json::json!({
            "timestamp": timestamp,
            "level": metadata.level().as_str(),
            "fields": { "message": MESSAGE, "held_back": count, "line": Place(metadata).to_string() },
            "target": metadata.target(),
        });
        writeln!(writer, "{line}")
    }
}

/// A place in the code that logs.
#[derive(Clone, Copy)]
struct Callsite(&'static Metadata<'static>);

impl PartialEq for Callsite {
    fn eq(&self, other: &Self) -> bool {
        self.0.callsite() == other.0.callsite()
    }
}

impl Eq for Callsite {}

impl Hash for Callsite {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.callsite().hash(state);
    }
}

/// File and line of a callsite.
struct Place<'a>(&'a Metadata<'a>);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}",
            self.0.file().unwrap_or("?"),
            self.0.line().unwrap_or_default()
        )
    }
}

const MESSAGE: &str = "a line that repeated too fast was held back";

#[cfg(test)]
mod tests;
