//! What the kernels of `compute` say together: the geometric mean of a column's ratios, which alone treats twice as fast and half as
//! fast alike (Fleming and Wallace, "How not to lie with statistics", CACM 29(3), 1986).

use crate::model::{Part, Report, Series};
use crate::stats::median;

/// What a value of a series is taken to be.
type Value = fn(&[f64]) -> f64;

/// The rows with their names: by medians, which have the machine's noise in them, and by the fastest values, which have the least of it.
const ROWS: [(&str, Value); 2] = [("all, by medians", median), ("all, by the fastest", fastest)];

fn fastest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

/// Rows to show below those of a part: a name, and a mean for each column that has ratios. None for parts whose rows are different
/// questions.
pub fn rows(report: &Report, part: Part) -> Vec<(&'static str, Vec<Option<f64>>)> {
    if part != Part::Compute {
        return Vec::new();
    }
    let columns = report.columns(part);
    let row = |(name, value): (&'static str, Value)| {
        (name, columns.iter().map(|column| of(report, part, column, value)).collect())
    };
    ROWS.into_iter().map(row).collect()
}

fn of(report: &Report, part: Part, column: &str, value: Value) -> Option<f64> {
    let ratio = |series: &Series| {
        let reference = &report.reference(series)?.values;
        // Of more values the fastest is faster.
        let both = series.values.len().min(reference.len());
        let ratio = value(&series.values[..both]) / value(&reference[..both]);
        (ratio.is_finite() && ratio > 0.0).then(|| ratio.ln())
    };
    let of_column = report.series.iter().filter(|series| series.part == part && series.target == column);
    let logarithms: Vec<f64> = of_column.filter_map(ratio).collect();
    (!logarithms.is_empty()).then(|| (logarithms.iter().sum::<f64>() / logarithms.len() as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Reference, Unit};

    #[test]
    fn twice_as_fast_and_half_as_fast_are_as_fast_together() {
        let mut report = crate::sample::empty();
        for (row, of_native, of_engine) in [("a", [4.0, 2.0, 3.0], [8.0, 6.0, 6.0]), ("b", [3.0; 3], [1.5, 1.0, 1.5])] {
            let against = |target: &str| Some(Reference { target: target.to_owned(), row: row.to_owned() });
            for (target, against, values) in [("native", None, of_native), ("wasmtime", against("native"), of_engine)] {
                report.series.push(Series {
                    part: Part::Compute,
                    row: row.to_owned(),
                    target: target.to_owned(),
                    against,
                    unit: Unit::Microseconds,
                    values: values.to_vec(),
                });
            }
        }
        let rows = rows(&report, Part::Compute);
        for (row, name) in rows.iter().zip(["all, by medians", "all, by the fastest"]) {
            assert!(row.0 == name && row.1[0].is_none() && (row.1[1].unwrap() - 1.0).abs() < 1e-9, "{row:?}");
        }
        assert!(super::rows(&report, Part::Start).is_empty());
    }
}
