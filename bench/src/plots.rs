//! Plots of a part, as SVG: a row a figure, on it a dot for each target's median and a line from p10 to p90.
//!
//! The library draws with colours of its own; here they are names for places of a style (`colours`), which has them twice, for light
//! and for dark.

use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use crate::BenchError;
use crate::model::{Part, Report, Unit};
use crate::stats::{Spread, spread};
use crate::tables::number;

/// The colour that the style makes the text's.
const INK: RGBColor = RGBColor(1, 2, 3);
/// The one that it makes the grid's.
const LINE: RGBColor = RGBColor(2, 3, 4);
/// As many targets have a colour of their own; more begin anew.
pub const COLOURS: u8 = 10;

/// The colour of a target, which the style makes a real one.
fn colour(at: usize) -> RGBColor {
    #[expect(clippy::cast_possible_truncation, reason = "less than the number of colours")]
    let number = (at % usize::from(COLOURS)) as u8;
    RGBColor(10 + number, 0, 0)
}

/// Above so many times the least value the greatest has a scale by powers of ten.
const WIDE: f64 = 30.0;
/// Of a plot, in pixels.
pub const WIDTH: u32 = 960;
/// Of one target's dot in a row, and of what is around a plot, in pixels.
const DOT_HEIGHT: u32 = 11;
const AROUND: u32 = 60;

/// A plot: rows of one unit.
pub struct Plot {
    /// What it shows, for who can't see it.
    pub about: String,
    /// The unit of its axis.
    pub axis: &'static str,
    /// In pixels.
    pub height: u32,
    /// The drawing.
    pub svg: String,
}

/// A row: its name, and a target's place with what was measured.
type Row<'a> = (&'a str, Vec<(usize, Spread)>);

/// The plots of a part, one for each unit.
///
/// # Errors
/// The library can't draw one.
pub fn of(report: &Report, part: Part) -> Result<Vec<Plot>, BenchError> {
    let columns = report.columns(part);
    let mut plots = Vec::new();
    for unit in units(report, part) {
        let names = report.rows(part).into_iter().filter(|(_, of)| *of == unit).map(|(name, _)| name);
        let dots = |name: &str| {
            let of = |(at, column): (usize, &&str)| Some((at, spread(&report.find(part, name, column)?.values)));
            columns.iter().enumerate().filter_map(of).collect()
        };
        let rows: Vec<Row<'_>> = names.map(|name| (name, dots(name))).collect();
        let axis = axis(unit);
        let height = height(rows.len(), columns.len());
        let svg = draw(&rows, columns.len(), axis, height)
            .map_err(|error| BenchError::Plot { part: part.name(), reason: error.to_string() })?;
        plots.push(Plot { about: format!("{}, {axis}: {}", part.name(), columns.join(", ")), axis, height, svg });
    }
    Ok(plots)
}

/// The units of a part, in the order of its plots.
pub fn units(report: &Report, part: Part) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    for (_, unit) in report.rows(part) {
        if !units.contains(&unit) {
            units.push(unit);
        }
    }
    units
}

/// What an axis of this unit is called.
pub fn axis(unit: Unit) -> &'static str {
    if unit.name().is_empty() { "number" } else { unit.name() }
}

type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

#[expect(clippy::cast_possible_truncation, reason = "some dozens of rows")]
fn height(rows: usize, columns: usize) -> u32 {
    AROUND + rows as u32 * (DOT_HEIGHT * columns as u32 + 8)
}

fn draw(
    rows: &[Row<'_>],
    columns: usize,
    axis: &str,
    height: u32,
) -> Result<String, DrawingAreaErrorKind<std::io::Error>> {
    let values = || rows.iter().flat_map(|(_, dots)| dots).flat_map(|(_, dot)| [dot.low, dot.median, dot.high]);
    let most = values().fold(0.0, f64::max);
    let least = values().filter(|value| *value > 0.0).fold(f64::MAX, f64::min);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        if most / least > WIDE {
            chart(&area, (least / 1.3..most * 1.3).log_scale(), least / 1.3, rows, columns, axis)?;
        } else {
            chart(&area, 0.0..(most * 1.05).max(1e-9), 0.0, rows, columns, axis)?;
        }
        area.present()?;
    }
    Ok(svg)
}

fn chart<X>(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    range: X,
    least: f64,
    rows: &[Row<'_>],
    columns: usize,
    axis: &str,
) -> Drawn
where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
{
    let count = rows.len() as f64;
    let longest = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    #[expect(clippy::cast_possible_truncation, reason = "a name has some dozens of letters")]
    let labels = (longest as u32 * 7 + 16).min(WIDTH / 2);
    let mut chart = ChartBuilder::on(area)
        .margin(6)
        .margin_right(24)
        .x_label_area_size(44)
        .y_label_area_size(labels)
        .build_cartesian_2d(range, 0.0..count)?;
    let text = |size: i32| ("sans-serif", f64::from(size) * 1.24).into_font().color(&INK);
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .y_labels(0)
        .x_desc(axis)
        .x_label_formatter(&|value| short(*value))
        .label_style(text(13))
        .axis_desc_style(text(13))
        .axis_style(LINE)
        .bold_line_style(LINE)
        .light_line_style(TRANSPARENT)
        .draw()?;
    for (at, (name, dots)) in rows.iter().enumerate() {
        let top = count - at as f64;
        let (x, y) = chart.backend_coord(&(least, top - 0.5));
        let anchor = plotters::style::text_anchor::Pos::new(
            plotters::style::text_anchor::HPos::Right,
            plotters::style::text_anchor::VPos::Center,
        );
        area.draw(&Text::new((*name).to_owned(), (x - 8, y), text(13).pos(anchor)))?;
        for (column, dot) in dots {
            let y = top - (*column as f64 + 1.0) / (columns as f64 + 1.0);
            let style = colour(*column).stroke_width(3);
            let (low, high) = (dot.low.max(least), dot.high.max(least));
            chart.draw_series([PathElement::new(vec![(low, y), (high, y)], style)])?;
            chart.draw_series([Circle::new((dot.median.max(least), y), 4, colour(*column).filled())])?;
        }
    }
    Ok(())
}

/// A number on an axis.
fn short(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value}")
    } else {
        number(value).trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_has_rows_by_name_and_colours_of_the_style_alone() {
        let plots = of(&crate::sample::small(), Part::Start).unwrap();
        assert_eq!((plots.len(), plots[0].about.as_str()), (1, "start, ms: runc, wasmtime"));
        let svg = &plots[0].svg;
        assert!(svg.contains("create") && svg.contains("#0A0000") && svg.contains("#0B0000"), "{svg}");
        let colours = svg.split("=\"#").skip(1).map(|rest| &rest[..6]);
        let known = |colour: &str| ["010203", "020304"].contains(&colour) || colour.ends_with("0000");
        assert!(colours.clone().all(known), "{:?}", colours.collect::<Vec<_>>());
    }
}
