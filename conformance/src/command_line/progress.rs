//! How far a run is: a bar on a terminal, else a line a cell.

use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressStyle};

use crate::report::{Cell, Outcome};
use crate::runner::suite::Watcher;

/// Shows how far a run is.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    quiet: bool,
}

impl Progress {
    pub(super) fn new(quiet: bool) -> Self {
        let bar = || {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} cells, {elapsed}, {msg}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(0).with_style(style).with_message("starting")
        };
        Self { bar: (stderr().is_terminal() && !quiet).then(bar), quiet }
    }

    /// Nothing more comes.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Watcher for Progress {
    fn begin(&self, cells: usize) {
        match &self.bar {
            Some(bar) => bar.set_length(cells as u64),
            None if self.quiet => {}
            None => eprintln!("{cells} cells"),
        }
    }

    fn done(&self, cell: &Cell) {
        let failed = matches!(cell.outcome, Outcome::Failed { .. });
        let line = format!(
            "{:<12} {}/{} on {}, {} ms",
            word(&cell.outcome),
            cell.area,
            cell.case,
            cell.target,
            cell.milliseconds
        );
        match &self.bar {
            Some(bar) => {
                if failed {
                    bar.println(line);
                }
                bar.set_message(format!("{}/{} on {}", cell.area, cell.case, cell.target));
                bar.inc(1);
            }
            None if self.quiet && !failed => {}
            None => eprintln!("{line}"),
        }
    }
}

/// How a cell ended, in a word.
fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "ok",
        Outcome::Failed { .. } => "FAILED",
        Outcome::ExpectedDifference { .. } => "different",
        Outcome::NotOffered { .. } => "not offered",
        Outcome::NotRun { .. } => "not run",
    }
}
