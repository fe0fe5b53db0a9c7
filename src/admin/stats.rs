//! `/stats` with Envoy's query parameters, and `/metrics`.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::ask::{Answer, Asking, Page, ask};
use crate::pattern;
use crate::stats::render::{self, Filter};
use crate::stats::sinks::prometheus;
use crate::stats::{Aggregator, Kind};

/// The content type of Prometheus' text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Longest `filter`: a regular expression of any length would take any time.
const MAX_FILTER_BYTES: usize = 1_024;

/// The parameters as they are written. Unknown ones are refused: a mistyped filter that is ignored
/// shows everything.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    format: Option<String>,
    filter: Option<String>,
    usedonly: Option<String>,
    r#type: Option<String>,
}

/// What is asked for.
pub struct StatsPage {
    format: Format,
    filter: Filter,
}

#[derive(Clone, Copy)]
enum Format {
    Text,
    Json,
    Prometheus,
}

/// `GET /stats`
pub(super) async fn stats(
    State(asking): Asking,
    parameters: Result<Query<Parameters>, axum::extract::rejection::QueryRejection>,
) -> Answer {
    let page = match parameters {
        Ok(Query(parameters)) => parameters.resolve(),
        Err(error) => Err(error.body_text()),
    };
    match page {
        Ok(page) => ask(&asking, Page::Stats(page)).await,
        Err(problem) => Answer::status(StatusCode::BAD_REQUEST, problem + "\n"),
    }
}

/// `GET /metrics`
pub(super) async fn metrics(State(asking): Asking) -> Answer {
    let page = StatsPage {
        format: Format::Prometheus,
        filter: Filter::default(),
    };
    ask(&asking, Page::Stats(page)).await
}

/// The page, on the control thread.
pub(super) fn render(page: &StatsPage, aggregator: &Aggregator) -> Answer {
    match page.format {
        Format::Text => Answer::text(render::text(aggregator, &page.filter)),
        Format::Json => Answer::json(render::json(aggregator, &page.filter)),
        Format::Prometheus => Answer {
            content_type: PROMETHEUS,
            ..Answer::text(prometheus::render(aggregator, &page.filter))
        },
    }
}

impl Parameters {
    fn resolve(self) -> Result<StatsPage, String> {
        let format = match self.format.as_deref() {
            None | Some("" | "text") => Format::Text,
            Some("json") => Format::Json,
            Some("prometheus") => Format::Prometheus,
            Some(other) => {
                return Err(format!("format is text, json or prometheus, not `{other}`"));
            }
        };
        let kind = match self.r#type.as_deref() {
            None | Some("" | "All") => None,
            Some("Counters") => Some(Kind::Counter),
            Some("Gauges") => Some(Kind::Gauge),
            Some("Histograms") => Some(Kind::Histogram),
            Some(other) => {
                return Err(format!(
                    "type is Counters, Gauges, Histograms or All, not `{other}`"
                ));
            }
        };
        let name = self
            .filter
            .filter(|filter| !filter.is_empty())
            .map(|filter| match filter.len() {
                0..=MAX_FILTER_BYTES => pattern::compile(&filter)
                    .map_err(|error| format!("filter is no regular expression: {error}")),
                _ => Err(format!("filter is longer than {MAX_FILTER_BYTES} bytes")),
            })
            .transpose()?;
        Ok(StatsPage {
            format,
            filter: Filter {
                name,
                used_only: self.usedonly.is_some(),
                kind,
            },
        })
    }
}
