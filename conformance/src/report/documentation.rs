//! docs/conformance-report.md and conformance/report.schema.json, both from the types of [`super::model`].

use std::fmt::Write;
use std::path::Path;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::model::Report;

fn schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Report>();
    schema.insert("title".to_owned(), "A conformance report of multiwasm".into());
    let mut schema = schema.to_value();
    // Crates elsewhere in the workspace decide whether serde_json keeps the order of keys.
    schema.sort_all_objects();
    schema
}

/// The types one after another, from the report down: a table of keys each.
fn documentation() -> String {
    let schema = schema();
    let mut text = include_str!("documentation.md").to_owned();
    let mut names = vec!["Report".to_owned()];
    let mut next = 0;
    while let Some(name) = names.get(next).cloned() {
        let of = if next == 0 { &schema } else { &schema["$defs"][&name] };
        let _ = write!(text, "\n## {name}\n\n{}\n", description(of));
        text += &keys(of, &mut names);
        for variant in of["oneOf"].as_array().into_iter().flatten() {
            let word = variant["properties"]["outcome"]["const"].as_str().expect("a cell's variants are its outcomes");
            let _ = write!(text, "\n### `\"outcome\": \"{word}\"`\n\n{}\n", description(variant));
            text += &keys(variant, &mut names);
        }
        next += 1;
    }
    text
}

fn keys(schema: &Value, names: &mut Vec<String>) -> String {
    let mut rows = String::new();
    let required: Vec<_> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (key, value) in schema["properties"].as_object().into_iter().flatten() {
        if value.get("const").is_some() {
            continue;
        }
        let optional = if required.contains(&key.as_str()) { "" } else { ", may be absent" };
        let _ = writeln!(rows, "| `{key}` | {}{optional} | {} |", kind(value, names), description(value));
    }
    if rows.is_empty() { rows } else { format!("\n| key | value | meaning |\n|---|---|---|\n{rows}") }
}

/// The value's type in words; types of the model are links, and are written later.
fn kind(value: &Value, names: &mut Vec<String>) -> String {
    if let Some(reference) = value["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default().to_owned();
        if !names.contains(&name) {
            names.push(name.clone());
        }
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if value["type"] == "array" {
        return format!("list of {}", kind(&value["items"], names));
    }
    let word = value["type"].as_str().or_else(|| value["type"][0].as_str());
    word.expect("each value has a type").to_owned()
}

fn description(value: &Value) -> String {
    value["description"].as_str().unwrap_or_default().replace('\n', " ")
}

/// Holds a file of the repository to what the types say; `UPDATE_DOCS=1` writes it.
fn compare(file: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "{file} is old: UPDATE_DOCS=1 cargo test -p multiwasm-conformance --lib report writes it");
}

#[test]
fn the_schema_is_of_these_types() {
    let text = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    compare("report.schema.json", &text);
}

#[test]
fn the_document_is_of_these_types() {
    let text = documentation();
    assert!(!text.contains("|  |"), "a key has no meaning:\n{text}");
    compare("../docs/conformance-report.md", &text);
}
