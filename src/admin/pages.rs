//! What the control thread answers.

use std::fmt::Write;

use axum::http::StatusCode;

use super::ask::{Answer, Page};
use super::{certs, clusters, hot_keys, stats};
use crate::app::Control;
use crate::config;

/// Makes a page.
pub(super) async fn answer(page: Page, control: &mut Control) -> Answer {
    match page {
        Page::Ready => ready(control),
        Page::Config => Answer::json(config::to_json(&control.config).to_string()),
        Page::Certs => certs::render(control),
        Page::Clusters(format) => clusters::render(format, &control.clusters()),
        Page::Change(name, change) => clusters::change(&name, change, control),
        Page::HotKeys => hot_keys::render(control),
        Page::Listeners => Answer::text(listeners(control)),
        Page::Stats(page) => {
            control.refresh().await;
            stats::render(&page, &control.aggregator)
        }
        Page::Reload => reload(control).await,
        Page::Drain => Answer::text("draining\n"),
    }
}

/// 200 while traffic may be sent here, and which clusters are drained; else 503 and why not.
fn ready(control: &Control) -> Answer {
    match control.not_ready() {
        None => Answer::text(format!("LIVE\n{}", clusters::drained(&control.clusters()))),
        Some(reason) => Answer::status(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

/// A line a listener, `name::address::protocol::cluster`; several clusters with a comma between them.
fn listeners(control: &Control) -> String {
    let mut text = String::new();
    for listener in control.topology.listeners() {
        let config = &listener.config;
        let (name, address) = (&config.name, listener.address);
        let (protocol, clusters) = (config.protocol, config.clusters.join(","));
        line(
            &mut text,
            format_args!("{name}::{address}::{protocol}::{clusters}"),
        );
    }
    text
}

/// As SIGHUP, with the answer to the one who asked.
async fn reload(control: &mut Control) -> Answer {
    match control.reload_and_log().await {
        Ok(()) => Answer::text("reloaded\n"),
        Err(error) => Answer::status(
            StatusCode::BAD_REQUEST,
            format!("not reloaded, the old config stays:\n{error}\n"),
        ),
    }
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    // Writing to a String can't fail.
    let _ = writeln!(text, "{content}");
}
