//! The numbers of the matrix: how many cells ended how.

use std::ops::AddAssign;

use super::model::{Cell, Outcome, Run};

/// How many cells ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All that the case wants was seen.
    pub passed: usize,
    /// Something else was seen.
    pub failed: usize,
    /// The engine did otherwise in the way that the case says.
    pub different: usize,
    /// The target lacks what the case is about.
    pub not_offered: usize,
    /// Not run.
    pub not_run: usize,
}

impl Counts {
    /// Of these cells.
    pub fn of<'a>(cells: impl IntoIterator<Item = &'a Cell>) -> Self {
        let mut counts = Self::default();
        cells.into_iter().for_each(|cell| counts += &cell.outcome);
        counts
    }

    /// Of all cells of these runs.
    pub fn of_runs<'a>(runs: impl IntoIterator<Item = &'a Run>) -> Self {
        Self::of(runs.into_iter().flat_map(|run| &run.cells))
    }

    /// Of an area on a target, in one run.
    pub fn at(run: &Run, area: &str, target: &str) -> Self {
        Self::of(run.cells.iter().filter(|cell| cell.area == area && cell.target == target))
    }

    /// Those that were run.
    pub fn run(&self) -> usize {
        self.passed + self.failed + self.different
    }

    /// All of them.
    pub fn all(&self) -> usize {
        self.run() + self.skipped()
    }

    /// Those that were not run, whatever the reason.
    pub fn skipped(&self) -> usize {
        self.not_offered + self.not_run
    }
}

impl AddAssign<&Outcome> for Counts {
    fn add_assign(&mut self, outcome: &Outcome) {
        *match outcome {
            Outcome::Passed => &mut self.passed,
            Outcome::Failed { .. } => &mut self.failed,
            Outcome::ExpectedDifference { .. } => &mut self.different,
            Outcome::NotOffered { .. } => &mut self.not_offered,
            Outcome::NotRun { .. } => &mut self.not_run,
        } += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn each_cell_counts_once() {
        let report = sample::small();
        let counts = Counts::of_runs(&report.runs);
        assert_eq!(counts.all(), report.runs.iter().map(|run| run.cells.len()).sum::<usize>());
        assert_eq!((counts.failed, counts.different, counts.not_offered, counts.not_run), (1, 2, 4, 1));
        assert_eq!(
            Counts::at(&report.runs[1], "stdio", "wasmer"),
            Counts { passed: 1, failed: 1, ..Counts::default() }
        );
    }
}
