//! A report in Markdown, for pages like docs/performance.md: for each part the plot of its first unit, and its table. Steps, which come one
//! after the other, have none.

use std::fmt::Write;
use std::path::Path;

use crate::drawings;
use crate::model::{Part, Report};
use crate::plots as drawn;
use crate::tables;

/// The report; `plots` is the folder where they are, seen from the page.
pub fn of(report: &Report, plots: Option<&Path>) -> String {
    let mut page = format!("{}. Measured {}, version {}, by\n\n", report.machine, report.made, report.version);
    page += &block(&report.command);
    for part in report.parts() {
        let _ = write!(page, "\n`{}`. {}.\n\n", part.name(), tables::cells(report, part));
        if let Some(folder) = plots.filter(|_| part != Part::Steps) {
            let units = drawn::units(report, part);
            if let Some(axis) = units.first().map(|unit| drawn::axis(*unit)) {
                let file = folder.join(drawings::name(part, axis, units.len()));
                let about = format!("{}: the rows in {axis} as a plot", part.name());
                let _ = write!(page, "![{about}](<{}>)\n\n", file.display());
            }
        }
        page += &block(&tables::table(report, part));
    }
    if !report.notes.is_empty() {
        page += "\nNot measured:\n\n";
        page += &block(&report.notes.join("\n"));
    }
    page
}

/// Text that is shown as it is.
fn block(text: &str) -> String {
    text.lines().fold(String::new(), |block, line| block + "    " + line + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_its_plot_and_its_table() {
        let page = of(&crate::sample::small(), Some(Path::new("plots")));
        assert!(page.contains("](<plots/start.svg>)\n\n    "), "{page}");
        assert!(page.contains("    create, ms  20.0 (10.0–30.0)  10.0 (5.00–15.0) 0.50×\n"), "{page}");
        assert!(page.ends_with("\n    memory, wasmer: broken\n"), "{page}");
        assert!(!of(&crate::sample::small(), None).contains("svg"));
    }

    #[test]
    fn the_plots_that_are_named_are_those_that_are_drawn() {
        let folder = tempfile::tempdir().unwrap();
        drawings::write(&crate::sample::small(), folder.path()).unwrap();
        let page = of(&crate::sample::small(), Some(folder.path()));
        let named: Vec<_> = page.split("](<").skip(1).map(|rest| rest.split('>').next().unwrap()).collect();
        assert!(named.len() == 2 && named.iter().all(|file| Path::new(file).exists()), "{named:?}");
    }
}
