//! The plots of a report as SVG files, each with its legend and its colours: for pages that are not ours, Markdown for one.

use std::fmt::Write;
use std::path::Path;

use crate::BenchError;
use crate::colours;
use crate::markup::text;
use crate::model::Report;
use crate::plots::{self, COLOURS, WIDTH};

/// Of the legend, in pixels, and of a letter in it.
const LEGEND: u32 = 30;
const LETTER: u32 = 8;

/// Writes them to `folder`, which is made if need be: `PART.svg`, with the unit behind the name where a part has several.
///
/// # Errors
/// A plot can't be drawn, or a file not be written.
pub fn write(report: &Report, folder: &Path) -> Result<(), BenchError> {
    let shown = folder.display().to_string();
    std::fs::create_dir_all(folder).map_err(BenchError::file(&shown))?;
    for part in report.parts() {
        let plots = plots::of(report, part)?;
        let legend = legend(&report.columns(part));
        for plot in &plots {
            let unit = if plots.len() == 1 { String::new() } else { format!("-{}", plot.axis) };
            let name = format!("{}{unit}.svg", part.name()).replace(['/', ' '], "-").replace('µ', "u");
            let path = folder.join(name);
            let drawn = alone(plot, &legend);
            std::fs::write(&path, drawn).map_err(BenchError::file(&path.display().to_string()))?;
        }
    }
    Ok(())
}

/// A dot and a name for each column.
fn legend(columns: &[&str]) -> String {
    let (mut svg, mut x) = (String::new(), 16);
    for (at, column) in columns.iter().enumerate() {
        let colour = 10 + at % usize::from(COLOURS);
        let _ = write!(
            svg,
            "<circle cx=\"{x}\" cy=\"16\" r=\"5\" fill=\"#{colour:02X}0000\"/><text x=\"{}\" y=\"20\" font-size=\"13\" \
             fill=\"#010203\">{}</text>",
            x + 10,
            text(column)
        );
        #[expect(clippy::cast_possible_truncation, reason = "a name has some dozens of letters")]
        let letters = column.chars().count() as u32;
        x += 10 + letters * LETTER + 22;
    }
    svg
}

fn alone(plot: &plots::Plot, legend: &str) -> String {
    let height = plot.height + LEGEND;
    let inner = plot.svg.replacen("<svg ", &format!("<svg y=\"{LEGEND}\" "), 1);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         role=\"img\" aria-label=\"{}\"><style>{}text{{font-family:var(--sans)}}</style><rect width=\"100%\" height=\"100%\" \
         style=\"fill:var(--card)\"/>{legend}{inner}</svg>\n",
        text(&plot.about),
        colours::style(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_for_each_plot_stands_alone() {
        let folder = tempfile::tempdir().unwrap();
        write(&crate::sample::small(), &folder.path().join("plots")).unwrap();
        let svg = std::fs::read_to_string(folder.path().join("plots/start.svg")).unwrap();
        assert!(
            svg.contains(">runc</text>") && svg.contains(">wasmtime</text>") && svg.contains("--series-1: light-dark(")
        );
        assert!(svg.split("://").skip(1).all(|rest| rest.starts_with("www.w3.org/2000/svg")), "{svg}");
        let mut depth = 0;
        for tag in svg.split('<').skip(1) {
            match tag {
                tag if tag.starts_with('/') => depth -= 1,
                tag if tag.split('>').next().is_some_and(|tag| tag.ends_with('/')) => {}
                _ => depth += 1,
            }
        }
        assert_eq!(depth, 0, "each element ends: {svg}");
    }
}
