//! Two reports beside each other: what changed, and what is noise.
//!
//! Two runs are of two moments, and the machine may have been slower in one of them. So where a row has a reference in both
//! runs (runc, or the native program), what is compared is its ratio to that reference, which the machine's pace meets
//! alike; the reference itself is compared as it is. A change is real if all three hold:
//!
//! - by the rank test, samples of one distribution differ so much in less than 1 of 100 cases;
//! - the bootstrap's 99 % interval of the change excludes "none"; it also draws the references anew, so that their own noise
//!   counts;
//! - the change is at least so large as the threshold: code that moved by a few bytes is measurably faster or slower
//!   without being better or worse.
//!
//! Why these, and where they come from, is said in [`crate::stats`]. Of 100 rows that did not change about one passes the
//! first by chance alone.

use crate::model::{Report, Series};
use crate::stats::{Sample, interval, mann_whitney, median};
use crate::tables::{aligned, label, number};

/// The rank test's bound.
const RARELY: f64 = 0.01;

/// What became of a row on a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Better, and not by noise.
    Better,
    /// Worse, and not by noise.
    Worse,
    /// No change that could be told from noise.
    Same,
}

/// A row on a target in both reports.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The part's name and the row's.
    pub row: String,
    /// The target.
    pub target: String,
    /// Figure before: a median, or its ratio to the reference.
    pub before: f64,
    /// Figure after.
    pub after: f64,
    /// Whether the figures are ratios to a reference.
    pub of_reference: bool,
    /// After divided by before.
    pub change: f64,
    /// Between which values the change lies with 99 %.
    pub interval: (f64, f64),
    /// How rarely noise alone would do this.
    pub chance: f64,
    /// What it means.
    pub verdict: Verdict,
}

/// All rows that both reports have. Changes below `threshold` (0.02: 2 %) count as none.
pub fn changes(before: &Report, after: &Report, threshold: f64) -> Vec<Change> {
    let pair = |series: &Series| {
        let other = after.find(series.part, &series.row, &series.target)?;
        Some(change((before, series), (after, other), threshold))
    };
    before.series.iter().filter_map(pair).collect()
}

fn change(before: (&Report, &Series), after: (&Report, &Series), threshold: f64) -> Change {
    let references = before.0.root(before.1).zip(after.0.root(after.1));
    let sample = |series: &'_ Series, reference: Option<&'_ Series>| Values {
        values: series.values.clone(),
        reference: reference.map(|reference| reference.values.clone()),
    };
    let one = sample(before.1, references.map(|pair| pair.0));
    let two = sample(after.1, references.map(|pair| pair.1));
    let (figure_before, figure_after) = (one.sample().figure(), two.sample().figure());
    let change = figure_after / figure_before;
    let interval = interval(&one.sample(), &two.sample());
    let chance = mann_whitney(&one.scaled(), &two.scaled());
    let excluded = interval.0 > 1.0 || interval.1 < 1.0;
    let real = chance < RARELY && excluded && (change - 1.0).abs() >= threshold;
    let better = (change > 1.0) == before.1.unit.more_is_better();
    Change {
        row: format!("{}: {}", before.1.part.name(), label(&before.1.row, before.1.unit)),
        target: before.1.target.clone(),
        before: figure_before,
        after: figure_after,
        of_reference: references.is_some(),
        change,
        interval,
        chance,
        verdict: match (real, better) {
            (false, _) => Verdict::Same,
            (true, true) => Verdict::Better,
            (true, false) => Verdict::Worse,
        },
    }
}

struct Values {
    values: Vec<f64>,
    reference: Option<Vec<f64>>,
}

impl Values {
    fn sample(&self) -> Sample<'_> {
        Sample { values: &self.values, reference: self.reference.as_deref() }
    }

    /// The values in units of the reference's median.
    fn scaled(&self) -> Vec<f64> {
        let unit = self.reference.as_deref().map_or(1.0, median);
        self.values.iter().map(|value| value / unit).collect()
    }
}

/// The changes as a table, real ones alone unless `all`, and a line of counts.
pub fn table(changes: &[Change], all: bool) -> String {
    let heading = ["", "target", "before", "after", "change", "99 % interval", "p", ""];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for change in changes.iter().filter(|change| all || change.verdict != Verdict::Same) {
        let figure = |value: f64| if change.of_reference { format!("{value:.3}×") } else { number(value) };
        let percent = |ratio: f64| format!("{:+.1} %", (ratio - 1.0) * 100.0);
        rows.push(vec![
            change.row.clone(),
            change.target.clone(),
            figure(change.before),
            figure(change.after),
            percent(change.change),
            format!("{} to {}", percent(change.interval.0), percent(change.interval.1)),
            format!("{:.4}", change.chance),
            word(change.verdict).to_owned(),
        ]);
    }
    let count = |verdict| changes.iter().filter(|change| change.verdict == verdict).count();
    let (better, worse, same) = (count(Verdict::Better), count(Verdict::Worse), count(Verdict::Same));
    let counts = format!("{better} better, {worse} worse, {same} without a change that is more than noise\n");
    if rows.len() == 1 { counts } else { format!("{}\n{counts}", aligned(&rows)) }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Better => "better",
        Verdict::Worse => "WORSE",
        Verdict::Same => "same",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::small;

    fn scaled(report: &Report, target: &str, factor: f64) -> Report {
        let mut report = report.clone();
        let of_target = |series: &&mut Series| target.is_empty() || series.target == target;
        let all = report.series.iter_mut().filter(of_target).flat_map(|series| &mut series.values);
        all.for_each(|value| *value *= factor);
        report
    }

    fn verdict(changes: &[Change], row: &str, target: &str) -> Verdict {
        changes.iter().find(|change| change.row.contains(row) && change.target == target).unwrap().verdict
    }

    #[test]
    fn a_report_is_as_itself() {
        assert!(changes(&small(), &small(), 0.02).iter().all(|change| change.verdict == Verdict::Same));
        assert_eq!(table(&[], false), "0 better, 0 worse, 0 without a change that is more than noise\n");
    }

    #[test]
    fn a_slower_machine_changes_no_ratio() {
        let changes = changes(&small(), &scaled(&small(), "", 3.0), 0.02);
        assert_eq!(verdict(&changes, "create", "runc"), Verdict::Worse);
        assert_eq!(verdict(&changes, "create", "wasmtime"), Verdict::Same);
    }

    #[test]
    fn a_faster_target_is_better_unless_three_values_say_so() {
        let mut after = scaled(&small(), "wasmtime", 0.3);
        assert_eq!(verdict(&changes(&small(), &after, 0.02), "create", "wasmtime"), Verdict::Better);
        after.series.iter_mut().for_each(|series| series.values.truncate(3));
        let mut before = small();
        before.series.iter_mut().for_each(|series| series.values.truncate(3));
        assert_eq!(verdict(&changes(&before, &after, 0.02), "create", "wasmtime"), Verdict::Same);
    }
}
