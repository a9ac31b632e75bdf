//! A report as one Markdown table, short enough for a README: areas × targets.

use std::fmt::Write;

use super::count::Counts;
use super::model::{Report, Run};

/// The matrix with its legend. Where containerds differ in a cell, it has one value for each, in the order of the line above
/// the table.
pub fn write(report: &Report) -> String {
    let mut text = heading(report);
    let targets = unique(report.runs.iter().flat_map(|run| &run.targets).map(|target| target.name.as_str()));
    let areas = unique(report.runs.iter().flat_map(|run| &run.areas).map(|area| area.name.as_str()));
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));

    let columns = targets.iter().map(|target| plain(&with_version(report, target)));
    text += &line(std::iter::once("area".to_owned()).chain(columns).collect());
    text += &line(vec!["---".to_owned(); targets.len() + 1]);
    for area in areas {
        let cells = targets.iter().map(|target| cell(report.runs.iter().map(|run| Counts::at(run, area, target))));
        text += &line(std::iter::once(plain(area)).chain(cells).collect());
    }
    let sums = targets.iter().map(|target| {
        cell(report.runs.iter().map(|run| Counts::of(run.cells.iter().filter(|cell| cell.target == **target))))
    });
    text += &line(std::iter::once("**all**".to_owned()).chain(sums).collect());
    let _ = write!(
        text,
        "\nPassed of those run; ✗ failed, ≠ does otherwise for a known reason, – not offered by the target, ○ not run{}.\n",
        if report.runs.len() > 1 { "; `·` between containerds that differ" } else { "" }
    );
    text
}

/// What was tested, on what, and how long it took.
fn heading(report: &Report) -> String {
    let versions: Vec<_> = report.runs.iter().map(|run| run.containerd.version.as_str()).collect();
    let machines = unique(report.runs.iter().map(|run| run.kernel.as_str()));
    let seconds = report.runs.iter().map(|run| run.seconds).sum::<f64>().ceil();
    let cases = report.runs.iter().map(cases).max().unwrap_or(0);
    format!(
        "multiwasm {}, {cases} cases, containerd {}, Linux {}; {:.0} min {:.0} s in all, {}.\n\n",
        plain(&report.version),
        plain(&versions.join(" · ")),
        plain(&machines.join(", ")),
        (seconds / 60.0).floor(),
        seconds % 60.0,
        report.made
    )
}

fn cases(run: &Run) -> usize {
    run.cells.iter().map(|cell| (&cell.area, &cell.case)).collect::<std::collections::BTreeSet<_>>().len()
}

/// `wasmtime 48.0.0` for an engine; where runs had several versions, all of them.
fn with_version(report: &Report, target: &str) -> String {
    let versions = unique(report.runs.iter().flat_map(|run| {
        let engine = run.targets.iter().find(|t| t.name == target).and_then(|t| t.engine.as_deref());
        run.engines.iter().filter(move |e| Some(e.name.as_str()) == engine).map(|e| e.version.as_str())
    }));
    if versions.is_empty() { target.to_owned() } else { format!("{target} {}", versions.join(", ")) }
}

/// One value where all containerds agree, else one for each.
fn cell(counts: impl Iterator<Item = Counts>) -> String {
    let each: Vec<_> = counts.map(value).collect();
    if each.windows(2).all(|two| two[0] == two[1]) {
        return each.into_iter().next().unwrap_or_default();
    }
    let known = each.iter().map(|value| if value.is_empty() { "○" } else { value });
    known.collect::<Vec<_>>().join(" · ")
}

fn value(counts: Counts) -> String {
    let mut parts = Vec::new();
    if counts.run() > 0 {
        parts.push(format!("{}/{}", counts.passed, counts.run()));
    }
    let marks = [(counts.failed, "✗"), (counts.different, "≠"), (counts.not_offered, "–"), (counts.not_run, "○")];
    parts.extend(marks.iter().filter(|(count, _)| *count > 0).map(|(count, mark)| format!("{mark}{count}")));
    let text = parts.join(" ");
    if counts.failed > 0 { format!("**{text}**") } else { text }
}

/// Those that differ, in the order of their first appearance.
fn unique<'a>(all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut kept = Vec::new();
    for one in all {
        if !kept.contains(&one) {
            kept.push(one);
        }
    }
    kept
}

/// Text that means nothing to Markdown.
fn plain(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '|' | '*' | '_' | '`' | '<' | '[' | ']' => escaped.extend(['\\', c]),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn one_table_shows_areas_by_targets_and_where_containerds_differ() {
        assert_eq!(
            write(&sample::small()),
            "multiwasm 0.1.0, 4 cases, containerd 1.7.24 · 2.1.9, Linux 6.1.0; 3 min 5 s in all, 2026-02-03T04:05:06Z.\n\n\
             | area | wasmtime 48.0.0 | wasmer 7.4.2 | runc |\n\
             | --- | --- | --- | --- |\n\
             | stdio | 2/2 | 2/2 · **1/2 ✗1** | 2/2 · 1/1 ○1 |\n\
             | components | 2/2 | 0/1 ≠1 –1 | –1 |\n\
             | **all** | 4/4 | 2/3 ≠1 –1 · **1/3 ✗1 ≠1 –1** | 2/2 –1 · 1/1 –1 ○1 |\n\n\
             Passed of those run; ✗ failed, ≠ does otherwise for a known reason, – not offered by the target, ○ not run; \
             `·` between containerds that differ.\n"
        );
    }

    #[test]
    fn names_do_not_break_the_table() {
        let mut report = sample::small();
        report.runs[0].areas[0].name = "a|b\n<i>".to_owned();
        assert!(write(&report).contains("\n| a\\|b \\<i> | "), "{}", write(&report));
    }
}
