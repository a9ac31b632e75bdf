//! Reports for tests.

use multiwasm_conformance::report::Timestamp;

use crate::model::{Machine, Part, Reference, Report, SCHEMA, Series, Unit};

/// Nothing measured.
pub(crate) fn empty() -> Report {
    Report {
        schema: SCHEMA,
        made: Timestamp::try_from("2026-01-31T12:00:00Z".to_owned()).unwrap(),
        version: "0.1.0".to_owned(),
        command: "multiwasm-bench run".to_owned(),
        machine: Machine { processor: "<slow> & steady".to_owned(), cores: 2, ..Machine::default() },
        targets: vec!["runc".to_owned(), "wasmtime".to_owned()],
        series: Vec::new(),
        notes: Vec::new(),
    }
}

/// Two rows on two targets, one of them missing.
pub(crate) fn small() -> Report {
    let values = |factor: f64| (1..=11).map(|n| factor * (8.0 + 4.0 * f64::from(n))).collect::<Vec<_>>();
    let series = |row: &str, target: &str, unit, factor| Series {
        part: if row == "create" { Part::Start } else { Part::Memory },
        row: row.to_owned(),
        target: target.to_owned(),
        against: (target != "runc").then(|| Reference { target: "runc".to_owned(), row: row.to_owned() }),
        unit,
        values: values(factor),
    };
    Report {
        series: vec![
            series("create", "runc", Unit::Milliseconds, 0.625),
            series("create", "wasmtime", Unit::Milliseconds, 0.3125),
            series("PSS, 100", "wasmtime", Unit::MiB, 0.1),
        ],
        notes: vec!["memory, wasmer: broken".to_owned()],
        ..empty()
    }
}
