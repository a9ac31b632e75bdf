//! A report as JSON: the whole of it, and the one form that is read back.

use super::model::{Report, SCHEMA};

/// Why a text is not a report.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// It is not JSON, or a value is missing or of another kind.
    #[error("not a conformance report: {0}")]
    Form(#[from] serde_json::Error),
    /// It is of another version of the format.
    #[error(
        "a conformance report of schema {found}, and this command reads schema {SCHEMA}: write it with this version"
    )]
    Schema {
        /// What the text says.
        found: u64,
    },
}

/// The report as indented JSON.
pub fn write(report: &Report) -> String {
    serde_json::to_string_pretty(report).expect("a report has text for its keys")
}

/// The report that `text` holds.
///
/// # Errors
/// Where it is no report, or one of another schema.
pub fn read(text: &str) -> Result<Report, JsonError> {
    let value: serde_json::Value = serde_json::from_str(text)?;
    match value.get("schema").and_then(serde_json::Value::as_u64) {
        Some(found) if found != u64::from(SCHEMA) => Err(JsonError::Schema { found }),
        _ => Ok(serde_json::from_value(value)?),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::sample;
    use super::*;

    #[test]
    fn what_was_written_is_read_back() {
        for report in [sample::small(), sample::large()] {
            assert_eq!(read(&write(&report)).unwrap(), report);
        }
    }

    #[test]
    fn an_outcome_is_a_word_beside_its_details() {
        let value: serde_json::Value = serde_json::from_str(&write(&sample::small())).unwrap();
        let cells = value["runs"][1]["cells"].as_array().unwrap();
        let red = cells.iter().find(|cell| cell["outcome"] == "failed").unwrap();
        assert_eq!(red["failure"]["step"], "expect.stdout");
        let other = cells.iter().find(|cell| cell["outcome"] == "expected-difference").unwrap();
        assert!(other["because"].is_string(), "{other}");
    }

    #[test]
    fn another_schema_is_refused_by_its_number() {
        let mut value = serde_json::to_value(sample::small()).unwrap();
        value["schema"] = json!(2);
        value["runs"] = json!("in another form");
        let error = read(&value.to_string()).unwrap_err();
        assert!(matches!(error, JsonError::Schema { found: 2 }), "{error}");
    }

    #[test]
    fn an_unknown_key_or_a_missing_one_is_an_error() {
        let mut value = serde_json::to_value(sample::small()).unwrap();
        value["runs"][0]["kernl"] = json!("6.1");
        assert!(read(&value.to_string()).unwrap_err().to_string().contains("kernl"));
        assert!(read("{}").unwrap_err().to_string().contains("schema"));
    }
}
