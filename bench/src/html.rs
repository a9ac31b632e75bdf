//! A report as one HTML page that needs nothing beside itself: for each part its plots, its table, and what they are of.

use std::fmt::Write;

use crate::BenchError;
use crate::colours;
use crate::markup::text;
use crate::means;
use crate::model::{Part, Report, Series};
use crate::plots::{self, COLOURS};
use crate::stats::spread;
use crate::tables::{factor, label, number, ratio, ratios};

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");

/// The page.
///
/// # Errors
/// A plot can't be drawn.
pub fn write(report: &Report) -> Result<String, BenchError> {
    let mut body = String::new();
    for part in report.parts() {
        body += &section(report, part)?;
    }
    if !report.notes.is_empty() {
        body += "<section><h2>Not measured</h2><ul>";
        report.notes.iter().for_each(|note| body += &format!("<li>{}</li>", text(note)));
        body += "</ul></section>";
    }
    let links: String = report.parts().iter().map(|part| format!("<a href=\"#{0}\">{0}</a> ", part.name())).collect();
    let facts = format!("{}. Measured {}, version {}.", report.machine, report.made, report.version);
    let mut page = PAGE.to_owned();
    let parts = [
        ("{{style}}", format!("{}{STYLE}{}", colours::style(), backgrounds())),
        ("{{facts}}", text(&facts)),
        ("{{command}}", text(&report.command)),
        ("{{links}}", links),
        ("{{body}}", body),
    ];
    for (marker, content) in parts {
        page = page.replacen(marker, &content, 1);
    }
    Ok(page)
}

/// The colours of a legend's dots.
fn backgrounds() -> String {
    (0..COLOURS).map(|number| format!(".series-{number}{{background:var(--series-{number})}}")).collect()
}

fn section(report: &Report, part: Part) -> Result<String, BenchError> {
    let name = part.name();
    let mut html = format!("<section id=\"{name}\"><h2>{name}</h2><p>{}</p>", text(part.about()));
    let _ = write!(
        html,
        "<p class=\"soft\">Dots are medians, lines go from p10 to p90; {}.</p>",
        text(&ratios(report, part))
    );
    let columns = report.columns(part);
    html += "<p class=\"legend\">";
    for (at, column) in columns.iter().enumerate() {
        let _ = write!(html, "<span><i class=\"series-{}\"></i>{}</span>", at % usize::from(COLOURS), text(column));
    }
    html += "</p>";
    for plot in plots::of(report, part)? {
        let _ = write!(html, "<figure role=\"img\" aria-label=\"{}\">{}</figure>", text(&plot.about), plot.svg);
    }
    html += &table(report, part, &columns);
    html += "</section>";
    Ok(html)
}

fn table(report: &Report, part: Part, columns: &[&str]) -> String {
    let mut html = "<div class=\"frame\"><table><thead><tr><th></th>".to_owned();
    columns.iter().for_each(|column| html += &format!("<th scope=\"col\">{}</th>", text(column)));
    html += "</tr></thead><tbody>";
    for (row, unit) in report.rows(part) {
        let _ = write!(html, "<tr><th scope=\"row\">{}</th>", text(&label(row, unit)));
        for column in columns {
            html +=
                &report.find(part, row, column).map_or_else(|| "<td></td>".to_owned(), |series| cell(report, series));
        }
        html += "</tr>";
    }
    for (name, means) in means::rows(report, part) {
        let _ = write!(html, "<tr><th scope=\"row\">{}</th>", text(name));
        for mean in means {
            let mean = mean.map_or_else(String::new, |mean| format!("<b>{}×</b>", factor(mean)));
            let _ = write!(html, "<td>{mean}</td>");
        }
        html += "</tr>";
    }
    html + "</tbody></table></div>"
}

fn cell(report: &Report, series: &Series) -> String {
    let spread = spread(&series.values);
    let mut html = format!("<td>{}", number(spread.median));
    if let Some(ratio) = ratio(report, series) {
        let _ = write!(html, " <b>{}×</b>", factor(ratio));
    }
    if series.values.len() > 1 {
        let _ = write!(html, "<small>{}–{}</small>", number(spread.low), number(spread.high));
    }
    html + "</td>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_nothing_outside_of_itself_and_shows_text_as_text() {
        let page = write(&crate::sample::small()).unwrap();
        assert!(page.contains("&lt;slow&gt; &amp; steady") && !page.contains("<slow>"));
        assert!(!page.contains("{{") && !page.contains("src=") && !page.contains("url(") && !page.contains("@import"));
        // The name of SVG's own language is the one address that may be there, and nothing fetches it.
        assert!(page.split("://").skip(1).all(|rest| rest.starts_with("www.w3.org/2000/svg")));
        assert!(page.contains("<svg") && page.contains("id=\"start\"") && page.contains("0.50×"));
    }
}
