//! The plots of a report as SVG files, each with its legend and its colours: for pages that are not ours, Markdown for one.

use std::fmt::Write;
use std::path::Path;

use crate::BenchError;
use crate::colours;
use crate::markup::text;
use crate::model::{Part, Report};
use crate::plots::{self, COLOURS, WIDTH};

/// Of a line of the legend, in pixels, and of a letter in it.
const LINE: u32 = 22;
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
            let path = folder.join(name(part, plot.axis, plots.len()));
            let drawn = alone(plot, &legend);
            std::fs::write(&path, drawn).map_err(BenchError::file(&path.display().to_string()))?;
        }
    }
    Ok(())
}

/// The file of the plot with this axis, one of so many of its part.
pub fn name(part: Part, axis: &str, of: usize) -> String {
    let unit = if of == 1 { String::new() } else { format!("-{axis}") };
    format!("{}{unit}.svg", part.name()).replace(['/', ' '], "-").replace('µ', "u")
}

/// A dot and a name for each column, in as many lines as they need; and their height.
fn legend(columns: &[&str]) -> (String, u32) {
    const LEFT: u32 = 16;
    let (mut svg, mut x, mut y) = (String::new(), LEFT, 16);
    for (at, column) in columns.iter().enumerate() {
        #[expect(clippy::cast_possible_truncation, reason = "a name has some dozens of letters")]
        let width = 10 + column.chars().count() as u32 * LETTER + 22;
        if x + width > WIDTH && x > LEFT {
            (x, y) = (LEFT, y + LINE);
        }
        let colour = 10 + at % usize::from(COLOURS);
        let _ = write!(
            svg,
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"5\" fill=\"#{colour:02X}0000\"/><text x=\"{}\" y=\"{}\" font-size=\"13\" \
             fill=\"#010203\">{}</text>",
            x + 10,
            y + 4,
            text(column)
        );
        x += width;
    }
    (svg, y + 14)
}

fn alone(plot: &plots::Plot, (legend, above): &(String, u32)) -> String {
    let height = plot.height + above;
    let inner = plot.svg.replacen("<svg ", &format!("<svg y=\"{above}\" "), 1);
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
    fn a_long_legend_has_lines() {
        let names: Vec<_> = (0..10).map(|at| format!("a target's long name {at}")).collect();
        let (svg, height) = legend(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let numbers = |name: &str| -> Vec<u32> {
            let of = |rest: &str| rest.split('"').next().unwrap().parse().unwrap();
            svg.split(&format!(" {name}=\"")).skip(1).map(of).collect()
        };
        assert!(numbers("x").iter().all(|x| x + 22 * LETTER <= WIDTH), "{svg}");
        assert!(numbers("cy").iter().all(|y| *y < height) && height > LINE * 2, "{svg}");
        let colours: std::collections::BTreeSet<_> =
            svg.split("<circle").skip(1).map(|it| it.split("fill=").nth(1)).collect();
        assert_eq!(colours.len(), 10);
    }

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
