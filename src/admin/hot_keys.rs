//! `GET /hot_keys`: the keys that Redis listeners with `hot_keys` are asked for most.

use axum::extract::State;
use serde_json::{Value, json};

use super::ask::{Answer, Asking, Page, ask};
use crate::app::Control;
use crate::protocols::redis::HotKey;

/// `GET /hot_keys`
pub(super) async fn hot_keys(State(asking): Asking) -> Answer {
    ask(&asking, Page::HotKeys).await
}

/// Every listener that counts them, with its keys.
pub(super) fn render(control: &Control) -> Answer {
    let listeners = control.topology.listeners().iter().filter_map(|running| {
        let shown = running.config.redis.hot_keys?;
        let hottest = running.shared.hot_keys.hottest(shown);
        Some(json!({
            "listener": running.config.name,
            "requests": hottest.requests,
            "keys": hottest.keys.iter().map(key).collect::<Vec<_>>(),
        }))
    });
    let listeners: Vec<_> = listeners.collect();
    Answer::json(json!({ "hot_keys": listeners }).to_string())
}

fn key(hot: &HotKey) -> Value {
    json!({
        "key": String::from_utf8_lossy(&hot.key),
        "at_least": hot.at_least,
        "at_most": hot.at_most,
    })
}
