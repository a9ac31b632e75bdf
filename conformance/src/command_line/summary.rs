//! What became of a run, for a terminal: a matrix, then each failure.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};

use crate::report::count::Counts;
use crate::report::{Cell, Outcome, Report, Run};

/// Lines of a text that are shown of a failure; the reports have all of it.
const LINES: usize = 24;

/// The summary of a report.
pub(super) fn of(report: &Report) -> String {
    let mut text = String::new();
    for run in &report.runs {
        failures(run, &mut text);
    }
    for run in &report.runs {
        let engines: Vec<_> = run.engines.iter().map(|engine| format!("{} {}", engine.name, engine.version)).collect();
        let engines = if engines.is_empty() { String::new() } else { format!(", {}", engines.join(", ")) };
        let (version, kernel, cgroup) = (&run.containerd.version, &run.kernel, run.cgroup);
        line(
            &mut text,
            &format!("\ncontainerd {version}{engines}, Linux {kernel}, cgroup v{cgroup}\n\n{}", matrix(run)),
        );
    }
    let counts = Counts::of_runs(&report.runs);
    let seconds: f64 = report.runs.iter().map(|run| run.seconds).sum();
    let more = [
        (counts.different, "different as the cases say"),
        (counts.not_offered, "not offered"),
        (counts.not_run, "not run"),
    ];
    let more: String = more.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!(", {n} {what}")).collect();
    line(&mut text, &format!("\n{} passed, {} failed{more}; {seconds:.0} s", counts.passed, counts.failed));
    text
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// Areas and targets. A number: so many passed; `≠`: so many do otherwise for a known reason; `a of b`: b ran, and not all of
/// them passed.
fn matrix(run: &Run) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["AREA".to_owned()].into_iter().chain(run.targets.iter().map(|target| target.name.clone())));
    for area in &run.areas {
        let cells = run.targets.iter().map(|target| entry(Counts::at(run, &area.name, &target.name)));
        table.add_row([area.name.clone()].into_iter().chain(cells));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn entry(counts: Counts) -> String {
    let good = counts.passed + counts.different;
    match (counts.run(), counts.skipped()) {
        (0, 0) => String::new(),
        (0, _) => "-".to_owned(),
        (run, _) if good == run && counts.different > 0 => format!("{} ≠{}", counts.passed, counts.different),
        (run, _) if good == run => format!("{run}"),
        (run, _) => format!("FAILED {good} of {run}"),
    }
}

fn failures(run: &Run, text: &mut String) {
    let mut reasons = std::collections::BTreeMap::<&str, usize>::new();
    for cell in &run.cells {
        match &cell.outcome {
            Outcome::Failed { failure } => {
                let Cell { area, case, target, about, .. } = cell;
                line(text, &format!("\nFAILED {area}/{case} on {target}: {about}"));
                part(text, &format!("expected at {}", failure.step), &failure.expected);
                part(text, "seen", &failure.seen);
                part(text, "left behind", &failure.leaks.join("\n"));
                part(text, "log", &failure.log);
                part(text, "alone", &cell.command);
            }
            Outcome::NotRun { reason } => *reasons.entry(reason).or_default() += 1,
            _ => {}
        }
    }
    for (reason, cells) in reasons {
        line(text, &format!("\n{cells} cells {reason}"));
    }
}

/// A named text, its begin where it is long.
fn part(text: &mut String, name: &str, content: &str) {
    if content.is_empty() {
        return;
    }
    let mut lines = content.lines();
    let _ = write!(text, "  {name}: {}", lines.next().unwrap_or_default());
    for more in lines.by_ref().take(LINES) {
        let _ = write!(text, "\n      {more}");
    }
    let left = lines.count();
    line(text, &if left > 0 { format!("\n      … {left} lines more") } else { String::new() });
}
