//! What the README says of names, keys, commands and files is what the program has.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use clap::Parser as _;
use narrows::cli::{Cli, Command};
use narrows::config::{Config, parse, schema};
use narrows::stats::sinks::prometheus::family_name;
use narrows::stats::{Kind, Metric, SCOPES, ScopeRow, Unit};

mod support;

use support::certificates::Authority;

const README: &str = include_str!("../README.md");

const TABLE_BEGIN: &str = "<!-- metrics -->\n";
const TABLE_END: &str = "<!-- /metrics -->";

#[test]
fn the_metric_table_is_the_catalogue() {
    let (_, rest) = README.split_once(TABLE_BEGIN).unwrap();
    let (found, _) = rest.split_once(TABLE_END).unwrap();
    let wanted = metric_table();
    assert!(
        found == wanted,
        "the metrics have changed; put this between the markers in README.md:\n{wanted}"
    );
}

#[test]
fn metrics_named_in_the_text_exist() {
    let families: BTreeSet<String> = rows()
        .map(|(scope, metric)| family_name(scope, metric))
        .collect();
    for word in README.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        if !word.starts_with("narrows_") {
            continue;
        }
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| word.strip_suffix(suffix))
            .filter(|family| families.contains(*family))
            .unwrap_or(word);
        assert!(families.contains(family), "no metric is called `{word}`");
    }

    let dotted: BTreeSet<String> = rows()
        .map(|(scope, metric)| format!("{}.{}", scope.prefix, metric.name))
        .chain(SCOPES.iter().map(|scope| scope.prefix.to_owned()))
        .collect();
    for span in code_spans().filter(|span| span.contains(".{")) {
        assert!(dotted.contains(span), "no metric is called `{span}`");
    }
}

#[test]
fn every_yaml_block_is_a_valid_config() {
    let blocks = blocks("yaml");
    assert!(!blocks.is_empty());
    let authority = Authority::new("README");
    let files = authority.issue(&["db1.example.com"]);
    let [ca, certificate, key] =
        [&authority.file(), &files.certificate, &files.key].map(|path| path.display().to_string());
    for block in blocks {
        // Files that are there only where somebody has put them.
        let block = block
            .replace("/etc/narrows/users", "tests/config/users")
            .replace("/run/secrets/mongo", "tests/config/password")
            .replace("/run/secrets/redis", "tests/config/password")
            .replace("/etc/narrows/orders.pem", &certificate)
            .replace("/etc/narrows/orders.key", &key)
            .replace("/etc/narrows/clients-ca.pem", &ca)
            .replace("/etc/narrows/db-ca.pem", &ca);
        if let Err(problems) = parse("README.md", &block) {
            panic!("{problems}\nin\n{block}");
        }
    }
}

#[test]
fn the_config_reference_has_every_key_at_its_default() {
    let reference = reference();
    for key in keys(&schema()) {
        assert!(
            reference.contains(&format!("{key}:")),
            "the reference lacks `{key}`"
        );
    }
    let written = parse("README.md", &reference).unwrap();
    let defaults = parse("defaults", &only_what_is_required(&written)).unwrap();
    assert_eq!(written, defaults, "a value that is not the default");
}

#[test]
fn every_command_shown_is_understood() {
    let in_blocks = blocks("sh").into_iter().flat_map(|block| {
        block
            .lines()
            .map(|line| line.trim().to_owned())
            .collect::<Vec<_>>()
    });
    let commands: Vec<String> = in_blocks
        .chain(code_spans().map(str::to_owned))
        .filter(|line| line.starts_with("narrows "))
        .collect();
    assert!(commands.len() >= 4, "{commands:?}");
    for line in commands {
        // What stands behind `#` or `&` is the shell's.
        let words = line
            .split_whitespace()
            .take_while(|word| !matches!(*word, "#" | "&"));
        match Cli::try_parse_from(words) {
            Ok(Cli {
                command: Command::Run(run),
            }) if run.config.is_none() => {
                if let Err(problems) = run.resolve() {
                    panic!("`{line}`: {problems}");
                }
            }
            Ok(_) => {}
            Err(error) => assert_eq!(error.exit_code(), 0, "`{line}`: {error}"),
        }
    }
}

#[test]
fn every_goal_of_make_that_is_named_exists() {
    let makefile = include_str!("../Makefile");
    let goals: BTreeSet<&str> = code_spans()
        .chain(README.lines())
        .filter_map(|text| text.strip_prefix("make ")?.split(' ').next())
        .collect();
    assert!(
        goals.contains("demo") && goals.contains("test"),
        "{goals:?}"
    );
    for goal in goals {
        assert!(
            makefile.contains(&format!("\n{goal}: ")),
            "no goal `{goal}`"
        );
    }
}

#[test]
fn the_admin_table_has_every_page() {
    let routes: BTreeSet<String> = include_str!("../src/admin/mod.rs")
        .lines()
        .filter_map(|line| line.trim().strip_prefix(".route(\"")?.split_once("\", "))
        .map(|(path, rest)| {
            let method = rest.split('(').next().unwrap().to_uppercase();
            format!("{method} {path}")
        })
        .collect();
    assert!(routes.len() > 5, "{routes:?}");
    let table: BTreeSet<String> = README
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(page, _)| page.to_owned())
        .filter(|page| page.starts_with("GET ") || page.starts_with("POST "))
        .collect();
    assert_eq!(table, routes);
}

#[test]
fn every_file_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let linked = README
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
        .filter(|target| !target.starts_with('#') && !target.contains("://"));
    let named = code_spans().filter(|span| {
        ["src/", "tests/", "parsers/", "benches/"]
            .iter()
            .any(|folder| span.starts_with(folder))
    });
    for path in linked.chain(named) {
        assert!(root.join(path).exists(), "there is no `{path}`");
    }
}

/// The metrics of the catalogue as the README shows them, a table a scope.
fn metric_table() -> String {
    let mut table = String::new();
    for scope in SCOPES {
        let prefix = scope.prefix;
        write!(table, "\n#### `{prefix}`\n\n").unwrap();
        for (place, cap) in scope.caps {
            // The first label is the listener: what is counted are the others up to this one, together.
            let labels: Vec<_> = scope.labels().skip(1).take(*place).collect();
            let (limit, labels) = (cap.name(), labels.join("` and `"));
            write!(
                table,
                "At most `stats.limits.{limit}` of `{labels}` for each listener.\n\n"
            )
            .unwrap();
        }
        table.push_str("| Name | Prometheus | Kind | Meaning |\n|---|---|---|---|\n");
        for metric in scope.metrics {
            let (name, family) = (metric.name, family_name(scope, metric));
            let (kind, help) = (kind(metric), metric.help);
            writeln!(table, "| `{name}` | `{family}` | {kind} | {help} |").unwrap();
        }
    }
    table.push('\n');
    table
}

fn kind(metric: &Metric) -> String {
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    let unit = match metric.unit {
        Unit::Count => return kind.to_owned(),
        Unit::Bytes => "bytes",
        Unit::Documents => "documents",
        Unit::Milliseconds => "ms",
        Unit::Microseconds => "µs",
        Unit::Seconds => "s",
    };
    format!("{kind}, {unit}")
}

fn rows() -> impl Iterator<Item = (&'static ScopeRow, &'static Metric)> {
    SCOPES
        .iter()
        .flat_map(|scope| scope.metrics.iter().map(move |metric| (scope, metric)))
}

/// The fenced blocks of one language.
fn blocks(language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    README
        .split(&fence)
        .skip(1)
        .filter_map(|rest| rest.split_once("```"))
        .map(|(block, _)| block.to_owned())
        .collect()
}

/// Code within the text, outside of fenced blocks.
fn code_spans() -> impl Iterator<Item = &'static str> {
    README
        .split("```")
        .step_by(2)
        .flat_map(|text| text.split('`').skip(1).step_by(2))
}

/// The block that shows the whole format: the longest.
fn reference() -> String {
    blocks("yaml").into_iter().max_by_key(String::len).unwrap()
}

/// The names of all keys in a JSON Schema.
fn keys(schema: &serde_json::Value) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    let mut rest = vec![schema];
    while let Some(value) = rest.pop() {
        if let Some(properties) = value.get("properties").and_then(|p| p.as_object()) {
            keys.extend(properties.keys().cloned());
        }
        match value {
            serde_json::Value::Object(object) => rest.extend(object.values()),
            serde_json::Value::Array(array) => rest.extend(array),
            _ => {}
        }
    }
    keys
}

/// The same listeners and clusters, and the same statsd daemon, with everything else left out.
fn only_what_is_required(config: &Config) -> String {
    let listeners: Vec<_> = config
        .listeners
        .iter()
        .map(|listener| {
            serde_json::json!({
                "name": listener.name,
                "listen": listener.listen,
                "protocol": listener.protocol.to_string(),
                "cluster": listener.clusters.first(),
            })
        })
        .collect();
    let clusters: Vec<_> = config
        .clusters
        .iter()
        .map(|cluster| {
            let endpoints: Vec<_> = cluster.endpoints.iter().map(ToString::to_string).collect();
            serde_json::json!({ "name": cluster.name, "endpoints": endpoints })
        })
        .collect();
    let statsd = config.stats.statsd.as_ref().unwrap().address.to_string();
    // JSON is YAML.
    serde_json::json!({
        "listeners": listeners,
        "clusters": clusters,
        "stats": { "statsd": { "address": statsd } },
    })
    .to_string()
}
