use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::*;

/// What was written, line by line.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().unwrap().clone();
        String::from_utf8(bytes)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(format: LogFormat, now: fn() -> Instant, events: impl FnOnce()) -> Vec<String> {
    let written = Written::default();
    let writer = written.clone();
    let config = LogConfig {
        format,
        level: LogLevel::Info,
    };
    let subscriber = subscriber(&config, move || writer.clone(), now);
    tracing::subscriber::with_default(subscriber, events);
    written.lines()
}

fn refused(client: u32) {
    tracing::warn!(client, "connection refused");
}

#[test]
fn lines_below_the_level_are_not_written() {
    let lines = logged(LogFormat::Text, Instant::now, || {
        tracing::debug!("too much");
        tracing::info!(port = 27117, "listening");
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("INFO narrows::telemetry") && lines[0].ends_with("listening port=27117"),
        "{lines:?}"
    );
}

#[test]
fn a_json_line_is_one_object() {
    let lines = logged(LogFormat::Json, Instant::now, || {
        tracing::info!(port = 27117, "a \"quoted\"\nline")
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(
        (&line["fields"]["port"], &line["fields"]["message"]),
        (&27117.into(), &"a \"quoted\"\nline".into())
    );
}

#[test]
fn control_characters_cannot_forge_a_line() {
    let lines = logged(LogFormat::Text, Instant::now, || {
        tracing::info!(name = "x\n2026-01-01 ERROR forged\u{1b}[2J", "hello");
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(!lines[0].contains('\u{1b}'), "{lines:?}");
}

#[test]
fn a_flood_is_held_back_and_counted() {
    static SECONDS: AtomicU64 = AtomicU64::new(0);
    fn now() -> Instant {
        static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        *START + Duration::from_secs(SECONDS.load(Ordering::Relaxed))
    }
    for format in [LogFormat::Text, LogFormat::Json] {
        SECONDS.store(0, Ordering::Relaxed);
        let lines = logged(format, now, || {
            (0..1000).for_each(refused);
            tracing::info!("another line");
            SECONDS.store(10, Ordering::Relaxed);
            tracing::info!("after the flood");
            refused(1000);
        });
        assert_eq!(lines.len(), 5 + 1 + 1 + 1 + 1, "{lines:#?}");
        assert!(
            lines[4].contains("connection refused") && lines[5].contains("another line"),
            "{lines:#?}"
        );
        assert!(
            lines[6].contains("WARN") && lines[6].contains("held back"),
            "{lines:#?}"
        );
        assert!(
            lines[6].contains("995") && lines[6].contains("process_log/tests.rs"),
            "{lines:#?}"
        );
        assert!(
            lines[7].contains("after the flood") && lines[8].contains("connection refused"),
            "{lines:#?}"
        );
        if format == LogFormat::Json {
            let line: serde_json::Value = serde_json::from_str(&lines[6]).unwrap();
            assert_eq!(line["fields"]["held_back"], 995);
        }
    }
}
