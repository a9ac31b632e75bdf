//! What engines alone say of the cells of a run: whether what fails is the engine's, or ours.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::alone::{AloneError, Commands};
use super::cases::AREA;
use super::expectations::Expectations;
use super::format::Test;
use crate::report::count::Counts;
use crate::report::{Cell, Failure, Outcome, Run};

/// Runs on the engine alone what did not pass on it in a container, and says so in the cell. What the engine alone passes
/// can't be expected to fail, whatever the expectations say. Gives what kept it from being run.
pub fn add(run: &mut Run, tests: &[Test], commands: &Commands) -> Vec<String> {
    let mut lacking = BTreeSet::new();
    for cell in &mut run.cells {
        let engine = run.targets.iter().find(|target| target.name == cell.target).and_then(|of| of.engine.as_ref());
        let test = tests.iter().find(|test| cell.area == format!("{AREA}/{}", test.language) && cell.case == test.name);
        let (Some(engine), Some(test)) = (engine, test) else { continue };
        if !matches!(cell.outcome, Outcome::Failed { .. } | Outcome::ExpectedDifference { .. }) {
            continue;
        }
        if now_passes(cell) {
            continue;
        }
        match commands.run(engine, test) {
            Ok(shown) => amend(cell, engine, shown.passed, &shown.told),
            Err(error @ AloneError::NoCommand(_)) => _ = lacking.insert(error.to_string()),
            Err(error) => amend(cell, engine, false, &error.to_string()),
        }
    }
    lacking.into_iter().collect()
}

/// Whether the cell's expectation is none any more; the cell has the words for that then.
fn now_passes(cell: &mut Cell) -> bool {
    let Outcome::Failed { failure } = &mut cell.outcome else { return false };
    if failure.step != "expect.on" {
        return false;
    }
    "it fails, as the expectations say".clone_into(&mut failure.expected);
    failure.seen = format!(
        "it now passes: remove it ({}/{} of {}) from testsuite-expectations.toml",
        cell.area.trim_start_matches(AREA).trim_start_matches('/'),
        cell.case,
        cell.target
    );
    true
}

fn amend(cell: &mut Cell, engine: &str, passed: bool, told: &str) {
    match &mut cell.outcome {
        Outcome::Failed { failure } => {
            let whose = if passed { "passes: what fails is ours" } else { "fails, too" };
            let _ = write!(failure.seen, "\n\n{engine} alone {whose}: {told}");
        }
        Outcome::ExpectedDifference { because } if passed => {
            let failure = Failure {
                step: "alone".to_owned(),
                expected: format!("{engine} alone fails, too, as the expectations say: {because}"),
                seen: format!("{engine} alone passes ({told}): what fails is ours"),
                ..Failure::default()
            };
            cell.outcome = Outcome::Failed { failure };
        }
        Outcome::ExpectedDifference { because } => {
            let _ = write!(because, "; {engine} alone: {told}");
        }
        _ => {}
    }
}

/// The section of docs/conformance.md: figures, then each module that an engine fails by itself.
pub fn markdown(run: &Run, expectations: &Expectations) -> String {
    let mut text = String::from("| engine | passed | fails by itself | failed |\n| --- | --- | --- | --- |\n");
    for target in &run.targets {
        let counts = Counts::of(run.cells.iter().filter(|cell| cell.target == target.name));
        let version = run.engines.iter().find(|engine| Some(&engine.name) == target.engine.as_ref());
        let version = version.map_or_else(String::new, |engine| format!(" {}", engine.version));
        let (name, passed, all) = (&target.name, counts.passed, counts.run());
        let _ = writeln!(text, "| {name}{version} | {passed} of {all} | {} | {} |", counts.different, counts.failed);
    }
    let differs = |engine: &str, test: &str| {
        run.cells.iter().any(|cell| {
            cell.target == engine
                && format!("{}/{}", cell.area, cell.case) == format!("{AREA}/{test}")
                && matches!(cell.outcome, Outcome::ExpectedDifference { .. })
        })
    };
    let rows: Vec<_> = expectations.iter().filter(|one| differs(&one.engine, &one.test)).collect();
    if !rows.is_empty() {
        text.push_str("\n| engine | module | what it does otherwise | the engine alone |\n| --- | --- | --- | --- |\n");
    }
    for one in rows {
        let upstream = one.upstream.as_ref().map_or_else(String::new, |upstream| format!(" ({upstream})"));
        let (because, alone) = (cell(&one.because), cell(&one.alone));
        let _ = writeln!(
            text,
            "| {} {} | `{}` | {because}{} | {alone} |",
            one.engine,
            one.version,
            one.test,
            cell(&upstream)
        );
    }
    text
}

/// Text that ends no cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell_of(outcome: Outcome) -> Cell {
        Cell {
            area: format!("{AREA}/c"),
            case: "a".to_owned(),
            about: String::new(),
            source: None,
            target: "wasmer".to_owned(),
            outcome,
            milliseconds: 0,
            command: String::new(),
        }
    }

    fn said(outcome: Outcome, passed: bool) -> (bool, String) {
        let mut cell = cell_of(outcome);
        if !now_passes(&mut cell) {
            amend(&mut cell, "wasmer", passed, "exit code 134");
        }
        match cell.outcome {
            Outcome::Failed { failure } => (false, failure.seen),
            Outcome::ExpectedDifference { because } => (true, because),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_an_engine_alone_passes_is_never_expected_to_fail() {
        let expected = || Outcome::ExpectedDifference { because: "why".to_owned() };
        assert_eq!(said(expected(), false), (true, "why; wasmer alone: exit code 134".to_owned()));
        let (good, seen) = said(expected(), true);
        assert!(!good && seen.contains("ours"), "{seen}");
    }

    #[test]
    fn an_expectation_that_holds_no_more_says_what_to_remove() {
        let failure = Failure { step: "expect.on".to_owned(), ..Failure::default() };
        let (good, seen) = said(Outcome::Failed { failure }, true);
        assert!(!good && seen.contains("now passes: remove it (c/a of wasmer)"), "{seen}");
    }
}
