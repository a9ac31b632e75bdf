//! A report as JSON: the whole of it, and the one form that is read back.

use std::path::Path;

use crate::BenchError;
use crate::model::{Report, SCHEMA};

/// Writes the report to a file.
///
/// # Errors
/// The file can't be written.
pub fn write(report: &Report, file: &Path) -> Result<(), BenchError> {
    let text = serde_json::to_string_pretty(report).expect("a report has text for its keys");
    std::fs::write(file, text + "\n").map_err(BenchError::file(&file.display().to_string()))
}

/// Reads a report from a file.
///
/// # Errors
/// It can't be read, or is no report of this schema.
pub fn read(file: &Path) -> Result<Report, BenchError> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(BenchError::file(&name))?;
    parse(&text).map_err(|reason| BenchError::Unexpected(format!("{name}: {reason}")))
}

fn parse(text: &str) -> Result<Report, String> {
    let no_report = |error: serde_json::Error| format!("not a report of multiwasm-bench: {error}");
    let value: serde_json::Value = serde_json::from_str(text).map_err(no_report)?;
    match value.get("schema").and_then(serde_json::Value::as_u64) {
        Some(found) if found != u64::from(SCHEMA) => {
            Err(format!("a report of schema {found}, and this command reads schema {SCHEMA}"))
        }
        _ => serde_json::from_value(value).map_err(no_report),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back() {
        let report = crate::sample::small();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("report.json");
        write(&report, &file).unwrap();
        assert_eq!(read(&file).unwrap(), report);
    }

    #[test]
    fn another_schema_is_refused_by_its_number() {
        assert!(parse(r#"{"schema": 7}"#).unwrap_err().contains("schema 7"));
        assert!(parse("{}").unwrap_err().contains("schema"));
    }
}
