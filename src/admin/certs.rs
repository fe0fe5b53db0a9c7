//! `GET /certs`: the certificates in use, in the form of Envoy's page of that name.

use std::path::Path;
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::ask::{Answer, Asking, Page, ask};
use crate::app::Control;
use crate::tls::{Facts, rfc3339};
use axum::extract::State;

/// `GET /certs`
pub(super) async fn certs(State(asking): Asking) -> Answer {
    ask(&asking, Page::Certs).await
}

/// Every certificate with its authorities, and whose it is.
pub(super) fn render(control: &Control) -> Answer {
    let now = SystemTime::now();
    let mut shown = Vec::new();
    for running in control.topology.listeners() {
        let Some(tls) = &running.config.tls else {
            continue;
        };
        let settings = tls.settings();
        let authorities = settings.clients.authorities();
        let authorities = authorities.map_or_else(Vec::new, |known| {
            files(known.file.as_deref(), &known.facts, now)
        });
        for certificate in &settings.certificates {
            shown.push(json!({
                "listener": running.config.name,
                "ca_cert": authorities,
                "cert_chain": [file(&certificate.file, &certificate.facts, now)],
            }));
        }
    }
    for cluster in control.topology.clusters() {
        let Some(tls) = &cluster.tls else { continue };
        let settings = tls.settings();
        let authorities = settings.authorities.as_ref();
        let authorities = authorities.map_or_else(Vec::new, |known| {
            files(known.file.as_deref(), &known.facts, now)
        });
        let own = settings.certificate.iter();
        let own = own.map(|certificate| file(&certificate.file, &certificate.facts, now));
        shown.push(json!({
            "cluster": cluster.name,
            "ca_cert": authorities,
            "cert_chain": own.collect::<Vec<_>>(),
        }));
    }
    Answer::json(json!({ "certificates": shown }).to_string())
}

fn files(path: Option<&Path>, facts: &[Facts], now: SystemTime) -> Vec<Value> {
    let path = path.unwrap_or(Path::new(""));
    facts.iter().map(|facts| file(path, facts, now)).collect()
}

fn file(path: &Path, facts: &Facts, now: SystemTime) -> Value {
    let names = facts.alternative_names.iter().map(|name| {
        let mut object = Map::new();
        object.insert(name.kind.to_owned(), name.value.as_str().into());
        Value::Object(object)
    });
    json!({
        "path": path.to_string_lossy(),
        "subject": facts.common_name,
        "serial_number": facts.serial,
        "subject_alt_names": names.collect::<Vec<_>>(),
        "days_until_expiration": facts.days_left(now),
        "valid_from": rfc3339(facts.not_before),
        "expiration_time": rfc3339(facts.not_after),
    })
}
