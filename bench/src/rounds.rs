//! Rounds: every target once a round, in turn, so that what the machine does meanwhile meets all of them alike.

use multiwasm_conformance::runner::target::Target;

use crate::BenchError;
use crate::model::{Part, Reference, Report, Series, Unit};
use crate::progress::Progress;

/// One figure of one round.
#[derive(Debug, Clone)]
pub struct Figure {
    /// The row.
    pub row: String,
    /// Its unit.
    pub unit: Unit,
    /// The value.
    pub value: f64,
    /// The row of the same target that its ratio is against, in place of the same row of the reference.
    pub over: Option<String>,
}

impl Figure {
    /// A figure of a row.
    pub fn new(row: impl Into<String>, unit: Unit, value: f64) -> Self {
        Self { row: row.into(), unit, value, over: None }
    }

    /// A time, in milliseconds.
    pub fn time(row: impl Into<String>, time: std::time::Duration) -> Self {
        Self::new(row, Unit::Milliseconds, time.as_secs_f64() * 1e3)
    }

    /// The figure with its ratio to another row of the same target.
    pub fn over(self, row: &str) -> Self {
        Self { over: Some(row.to_owned()), ..self }
    }
}

/// How often a part is measured.
#[derive(Debug, Clone, Copy)]
pub struct Rounds {
    /// Rounds that are not counted: the first one compiles, and fills caches.
    pub warm_up: usize,
    /// Rounds that are.
    pub counted: usize,
}

/// What is measured in a row of its own column: a target, or a target in another guise.
#[derive(Debug, Clone)]
pub struct Column<T> {
    /// What reports call it.
    pub name: String,
    /// The column that ratios are against.
    pub against: Option<String>,
    /// What is measured.
    pub of: T,
}

/// Each target, against the first.
pub fn columns(targets: &[Target]) -> Vec<Column<Target>> {
    let first = targets.first().map(|target| target.name.clone());
    let column = |(at, target): (usize, &Target)| Column {
        name: target.name.clone(),
        against: first.clone().filter(|_| at > 0),
        of: target.clone(),
    };
    targets.iter().enumerate().map(column).collect()
}

/// Measures `columns` in rounds; `once` gives the figures of one round on one of them, which is told the number of the round.
/// A column that fails is left out from then on, with a note.
pub async fn rounds<T>(
    part: Part,
    columns: &[Column<T>],
    count: Rounds,
    report: &mut Report,
    progress: &Progress,
    mut once: impl AsyncFnMut(&T, usize) -> Result<Vec<Figure>, BenchError>,
) {
    let mut broken = vec![false; columns.len()];
    progress.begin(part, columns.len() * (count.warm_up + count.counted));
    for round in 0..count.warm_up + count.counted {
        for turn in 0..columns.len() {
            // Nobody is always the one after the slowest.
            let at = (turn + round) % columns.len();
            let column = &columns[at];
            progress.next(&column.name);
            if broken[at] {
                continue;
            }
            match once(&column.of, round).await {
                Ok(figures) if round >= count.warm_up => {
                    figures.into_iter().for_each(|figure| add(report, part, column, figure));
                }
                Ok(_) => {}
                Err(error) => {
                    broken[at] = true;
                    let note = format!("{}, {}: {error}", part.name(), column.name);
                    progress.say(&note);
                    report.notes.push(note);
                }
            }
        }
    }
    in_order(report, part, columns);
}

fn add<T>(report: &mut Report, part: Part, column: &Column<T>, figure: Figure) {
    let is_it = |series: &&mut Series| series.part == part && series.row == figure.row && series.target == column.name;
    if let Some(series) = report.series.iter_mut().find(is_it) {
        series.values.push(figure.value);
        return;
    }
    let over = figure.over.map(|row| Reference { target: column.name.clone(), row });
    let same = || column.against.clone().map(|target| Reference { target, row: figure.row.clone() });
    report.series.push(Series {
        part,
        against: over.or_else(same),
        row: figure.row,
        target: column.name.clone(),
        unit: figure.unit,
        values: vec![figure.value],
    });
}

/// Turns change the order in which columns are first seen; tables show them in their own.
fn in_order<T>(report: &mut Report, part: Part, columns: &[Column<T>]) {
    let place = |series: &Series| columns.iter().position(|column| column.name == series.target);
    report.series.sort_by_key(|series| (series.part, if series.part == part { place(series) } else { None }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn every_target_has_a_value_a_round_and_a_broken_one_a_note() {
        let targets: Vec<_> = ["runc", "wasmtime", "wasmer"].iter().filter_map(|name| Target::named(name)).collect();
        let mut report = crate::sample::empty();
        let count = Rounds { warm_up: 1, counted: 3 };
        rounds(Part::Start, &columns(&targets), count, &mut report, &Progress::silent(), async |target, round| {
            if target.name == "wasmer" {
                return Err(BenchError::Unexpected("broken".to_owned()));
            }
            Ok(vec![Figure::new("create", Unit::Milliseconds, round as f64)])
        })
        .await;
        let names: Vec<_> = report.series.iter().map(|series| series.target.as_str()).collect();
        assert_eq!(names, ["runc", "wasmtime"]);
        assert_eq!(report.series[1].values, [1.0, 2.0, 3.0]);
        assert_eq!(report.reference(&report.series[1]), Some(&report.series[0]));
        assert_eq!(report.notes, ["start, wasmer: broken"]);
    }
}
