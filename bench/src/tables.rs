//! A report as text: a table a part, a row a figure, a column a target.

use std::fmt::Write;

use crate::means;
use crate::model::{Part, Report, Series, Unit};
use crate::stats::{median, spread};

/// All of it.
pub fn of(report: &Report) -> String {
    let mut text = format!("{}\n{}\n", report.machine, report.command);
    for part in report.parts() {
        let _ = write!(text, "\n{}: {}\n", part.name(), wrapped(part.about()));
        let _ = writeln!(text, "{}.\n", cells(report, part));
        text += &table(report, part);
    }
    if !report.notes.is_empty() {
        text += "\nNot measured:\n";
        report.notes.iter().for_each(|note| text += &format!("- {note}\n"));
    }
    text
}

/// The rows of a part.
pub fn table(report: &Report, part: Part) -> String {
    let columns = report.columns(part);
    let mut rows = vec![heading(&columns)];
    for (row, unit) in report.rows(part) {
        let mut cells = vec![label(row, unit)];
        for column in &columns {
            let found = report.find(part, row, column);
            cells.push(found.map_or_else(String::new, |series| cell(report, series, columns.len() <= NARROW)));
        }
        rows.push(cells);
    }
    for (name, means) in means::rows(report, part) {
        let mean = |mean: Option<f64>| mean.map_or_else(String::new, |mean| format!("{}×", factor(mean)));
        rows.push([name.to_owned()].into_iter().chain(means.into_iter().map(mean)).collect());
    }
    aligned(&rows)
}

/// What the cells of a part's table are, in words.
pub fn cells(report: &Report, part: Part) -> String {
    let rounds = report.series.iter().filter(|series| series.part == part).map(|series| series.values.len()).max();
    let range = if report.columns(part).len() <= NARROW { ", in parentheses p10–p90" } else { "" };
    format!("Medians of up to {} values{range}; {}", rounds.unwrap_or(0), ratios(report, part))
}

/// What the ratios of a part are against, in words.
pub fn ratios(report: &Report, part: Part) -> String {
    match part {
        Part::Compute => {
            "× is the ratio of medians: of a container to its engine alone, of all else to native; all: the geometric means of the ratios, and of those of the fastest values".to_owned()
        }
        Part::Sizes => {
            "× is the ratio of medians, to the same target's tiny module, of that one to the reference".to_owned()
        }
        _ => {
            let of_part = |series: &&Series| series.part == part;
            let against = report.series.iter().filter(of_part).find_map(|series| series.against.as_ref());
            against.map_or("no ratios".to_owned(), |against| format!("× is the ratio of medians to {}", against.target))
        }
    }
}

fn heading(columns: &[&str]) -> Vec<String> {
    [""].iter().chain(columns).map(|name| (*name).to_owned()).collect()
}

/// A row's name with its unit.
pub fn label(row: &str, unit: Unit) -> String {
    if unit.name().is_empty() { row.to_owned() } else { format!("{row}, {}", unit.name()) }
}

/// Up to so many columns have room for the range.
const NARROW: usize = 5;

/// Median, range and ratio.
fn cell(report: &Report, series: &Series, range: bool) -> String {
    let spread = spread(&series.values);
    let mut text = number(spread.median);
    if range && series.values.len() > 1 {
        let _ = write!(text, " ({}–{})", number(spread.low), number(spread.high));
    }
    if let Some(ratio) = ratio(report, series) {
        let _ = write!(text, " {}×", factor(ratio));
    }
    text
}

/// The median divided by that of the reference; none where there is no reference, or it is zero.
pub fn ratio(report: &Report, series: &Series) -> Option<f64> {
    let reference = median(&report.reference(series)?.values);
    (reference > 0.0).then(|| median(&series.values) / reference)
}

/// A ratio: two digits behind the point, as long as they say something.
pub fn factor(ratio: f64) -> String {
    if ratio < 10.0 { format!("{ratio:.2}") } else { number(ratio) }
}

/// Three digits that say something, not fewer before the point than there are.
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 || v == 0.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

/// Rows as columns that are as wide as they must be; the first row is the heading. Bare numbers stand on the right.
pub fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| Some(row.get(column)?.chars().count())).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let is_number = |cell: &String| cell.is_empty() || cell.parse::<f64>().is_ok();
    let right: Vec<bool> =
        (0..columns).map(|column| rows.iter().skip(1).filter_map(|row| row.get(column)).all(is_number)).collect();
    let mut text = String::new();
    for (at, row) in rows.iter().enumerate() {
        let place = |(cell, (width, right)): (&String, (&usize, &bool))| {
            if *right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        };
        let cells: Vec<_> = row.iter().zip(widths.iter().zip(&right)).map(place).collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
        if at == 0 {
            text += &"-".repeat(widths.iter().sum::<usize>() + 2 * columns.saturating_sub(1));
            text.push('\n');
        }
    }
    text
}

/// Text in lines that a terminal holds.
fn wrapped(text: &str) -> String {
    let (mut lines, mut width) = (String::new(), 12);
    for word in text.split(' ') {
        let length = word.chars().count() + 1;
        if width + length > 118 {
            lines.push('\n');
            width = 0;
        } else if !lines.is_empty() {
            lines.push(' ');
        }
        lines += word;
        width += length;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_has_median_range_and_ratio() {
        let text = of(&crate::sample::small());
        assert!(text.contains("create, ms  20.0 (10.0–30.0)  10.0 (5.00–15.0) 0.50×\n"), "{text}");
        assert!(text.contains("- memory, wasmer: broken"), "{text}");
    }

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows = [["name", "ms"], ["ä", "12.0"], ["long name", "3.5"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(aligned(&rows), "name         ms\n---------------\nä          12.0\nlong name   3.5\n");
    }

    #[test]
    fn numbers_have_three_digits() {
        let told: Vec<_> = [0.0, 0.1234, 1.0, 12.34, 123.4, 12345.6].into_iter().map(number).collect();
        assert_eq!(told, ["0.00", "0.123", "1.00", "12.3", "123", "12346"]);
    }
}
