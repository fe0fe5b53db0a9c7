//! The JSON Schema says the same as the checks.

use insta::assert_snapshot;
use narrows::config::{parse, schema, to_json};
use serde_json::Value;

use super::http::{FULL_HTTP, MINIMAL_HTTP};
use super::{FULL, MINIMAL};

#[test]
fn the_schema_has_every_key_with_its_meaning() {
    assert_snapshot!(serde_json::to_string_pretty(&schema()).unwrap());
}

#[test]
fn the_schema_accepts_the_examples_and_knows_the_defaults() {
    let schema = schema();
    for text in [FULL, MINIMAL, FULL_HTTP, MINIMAL_HTTP] {
        let shown = to_json(&parse("narrows.yaml", text).unwrap());
        assert_matches_schema(&schema, &schema, &shown, "");
    }
    for text in [MINIMAL, MINIMAL_HTTP] {
        let defaults = to_json(&parse("narrows.yaml", text).unwrap());
        assert_defaults(&schema, &schema, &defaults, "");
    }
}

#[test]
fn the_schema_requires_what_cannot_be_left_out() {
    // Two lists, three listeners with three keys each, four clusters with two each, a mirror, a route with two, two credentials with two
    // each, the statsd address, the certificates of a listener and two keys of one.
    assert_required(FULL, 2 + 3 * 3 + 4 * 2 + 1 + 2 + 2 * 2 + 1 + 3);
    // Two lists, two listeners with three keys each, three clusters with two each, two hosts with three each, seven
    // routes with their names, four headers with theirs, five shares of clusters with two each, two replies.
    assert_required(FULL_HTTP, 2 + 2 * 3 + 3 * 2 + 2 * 3 + 7 + 4 + 4 * 2 + 2);
}

/// What cannot be left out of the config is what the schema requires, `count` keys of it.
fn assert_required(text: &str, count: usize) {
    let (schema, full) = (schema(), to_json(&parse("full", text).unwrap()));
    let keys = keys_below(&schema, &schema, &full, String::new());
    let required = keys.iter().filter(|(_, is_required)| *is_required);
    assert_eq!(required.count(), count);
    for (path, is_required) in keys {
        let (parent, key) = path.rsplit_once('/').unwrap();
        if NEEDED_BY_ANOTHER_KEY.contains(&key) || NEEDED_IN_A_PAIR.contains(&path.as_str()) {
            continue;
        }
        let mut shortened = full.clone();
        shortened
            .pointer_mut(parent)
            .unwrap()
            .as_object_mut()
            .unwrap()
            .remove(key)
            .unwrap();
        match parse("shortened", &shortened.to_string()) {
            Ok(_) => assert!(!is_required, "{path} can be left out"),
            Err(error) => {
                let message = format!("missing key `{key}`");
                assert!(is_required, "{path} cannot be left out: {error}");
                assert!(
                    error
                        .problems()
                        .iter()
                        .any(|problem| problem.message() == message),
                    "{error}"
                );
            }
        }
    }
}

/// What other keys make necessary or useless, which the schema says in words.
const NEEDED_BY_ANOTHER_KEY: [&str; 18] = [
    "cluster",
    "client_certificates",
    "client_ca",
    "clusters",
    "path",
    "prefix",
    "prefix_rewrite",
    "redirect",
    "regex",
    "respond",
    "value",
    "present",
    "methods",
    "mode",
    "auth",
    "users_file",
    "password_file",
    "password_env",
];

/// Neither of them is of use without the other.
const NEEDED_IN_A_PAIR: [&str; 4] = [
    "/clusters/0/tls/certificate",
    "/clusters/0/tls/key",
    "/clusters/2/redis/topology",
    "/clusters/2/redis/password_file",
];

/// The path of every key of `value`, and whether the schema requires it.
fn keys_below(root: &Value, schema: &Value, value: &Value, path: String) -> Vec<(String, bool)> {
    let schema = target(root, schema);
    let mut paths = Vec::new();
    for (key, value) in value.as_object().into_iter().flatten() {
        let is_required = schema["required"]
            .as_array()
            .is_some_and(|keys| keys.contains(&key.as_str().into()));
        let below = format!("{path}/{key}");
        paths.extend(keys_below(
            root,
            &schema["properties"][key],
            value,
            below.clone(),
        ));
        paths.push((below, is_required));
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        paths.extend(keys_below(
            root,
            &schema["items"],
            item,
            format!("{path}/{index}"),
        ));
    }
    paths
}

/// Follows a `$ref` into the definitions.
fn target<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(path) => root.pointer(path.trim_start_matches('#')).expect(path),
        None => schema,
    }
}

/// Every key of `value` is a property, every required one is there, and the types are right.
fn assert_matches_schema(root: &Value, schema: &Value, value: &Value, path: &str) {
    let constrained = &schema["enum"];
    assert!(
        constrained.is_null() || constrained.as_array().unwrap().contains(value),
        "{path}: {value}"
    );
    let schema = target(root, schema);
    match value {
        // Names that the operator chooses.
        Value::Object(keys) if schema["additionalProperties"].is_object() => {
            for value in keys.values() {
                assert_matches_schema(root, &schema["additionalProperties"], value, path);
            }
        }
        Value::Object(keys) => {
            assert_eq!(
                (&schema["type"], &schema["additionalProperties"]),
                (&"object".into(), &false.into()),
                "{path}"
            );
            for required in schema["required"].as_array().into_iter().flatten() {
                assert!(
                    keys.contains_key(required.as_str().unwrap()),
                    "{path}: {required}"
                );
            }
            for (key, value) in keys {
                let property = &schema["properties"][key];
                assert!(
                    property["description"].is_string(),
                    "{path}.{key} has no meaning"
                );
                assert_matches_schema(root, property, value, &format!("{path}.{key}"));
            }
        }
        Value::Array(items) => {
            assert_eq!(schema["type"], "array", "{path}");
            for item in items {
                assert_matches_schema(root, &schema["items"], item, path);
            }
        }
        Value::Number(_) => assert_eq!(schema["type"], "integer", "{path}"),
        Value::Bool(_) => assert_eq!(schema["type"], "boolean", "{path}"),
        _ => assert_eq!(schema["type"], "string", "{path}"),
    }
}

/// A default that the schema tells is the one that a configuration without the key gets.
fn assert_defaults(root: &Value, schema: &Value, value: &Value, path: &str) {
    if let Some(default) = schema.get("default") {
        assert_eq!(default, value, "{path}");
    }
    let schema = target(root, schema);
    for (key, value) in value.as_object().into_iter().flatten() {
        assert_defaults(
            root,
            &schema["properties"][key],
            value,
            &format!("{path}.{key}"),
        );
    }
    for item in value.as_array().into_iter().flatten() {
        assert_defaults(root, &schema["items"], item, path);
    }
}
