//! A report in Markdown, for pages like docs/performance.md: for each part its first plot, if plots were drawn, and its table.

use std::fmt::Write;
use std::path::Path;

use crate::BenchError;
use crate::drawings;
use crate::model::{Part, Report};
use crate::plots;
use crate::tables;

/// The report; `plots` is where they are, seen from the page.
///
/// # Errors
/// A plot can't be drawn.
pub fn of(report: &Report, plots: Option<&Path>) -> Result<String, BenchError> {
    let mut page = format!("{}. Made by\n\n", report.machine);
    report.command.lines().for_each(|line| _ = writeln!(page, "    {line}"));
    for part in report.parts() {
        let _ = write!(page, "\n`{}` ({})\n\n", part.name(), tables::ratios(report, part));
        if let Some(folder) = plots.filter(|_| says_something(part)) {
            let all = plots::of(report, part)?;
            if let Some(plot) = all.first() {
                let file = folder.join(drawings::name(part, plot, all.len()));
                let _ = write!(page, "![{}: the table below as a plot]({})\n\n", plot.about, file.display());
            }
        }
        tables::table(report, part).lines().for_each(|line| _ = writeln!(page, "    {line}"));
    }
    if !report.notes.is_empty() {
        page += "\nNot measured:\n\n";
        report.notes.iter().for_each(|note| _ = writeln!(page, "- {note}"));
    }
    Ok(page)
}

/// Steps come one after the other, which a table shows better.
fn says_something(part: Part) -> bool {
    part != Part::Steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_its_plot_and_its_table() {
        let report = crate::sample::small();
        let page = of(&report, Some(Path::new("plots"))).unwrap();
        assert!(page.contains("](plots/start.svg)\n\n    "), "{page}");
        assert!(page.contains("    create, ms  20.0 (10.0–30.0)  10.0 (5.00–15.0) 0.50×\n"), "{page}");
        assert!(page.ends_with("- memory, wasmer: broken\n"), "{page}");
        assert!(!of(&report, None).unwrap().contains("svg"));
    }
}
