//! Reports as files.

use std::path::PathBuf;

use crate::report::{Report, html, json, junit, markdown};

/// Which reports are written, and where.
#[derive(Debug, clap::Args)]
pub(super) struct Files {
    /// Write all that was seen to this file, in JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a JUnit report, which CI systems read, to this file
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write the matrix to this file, in Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write one page with matrix, filters and failures to this file, in HTML
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl Files {
    /// Writes those that were asked for; `more` follows the matrix in Markdown.
    pub(super) fn write(&self, report: &Report, more: &str) -> Result<(), String> {
        let put = |path: &Option<PathBuf>, text: &dyn Fn() -> String| match path {
            Some(path) => std::fs::write(path, text()).map_err(|error| format!("{}: {error}", path.display())),
            None => Ok(()),
        };
        put(&self.json, &|| json::write(report))?;
        put(&self.junit, &|| junit::write(report))?;
        put(&self.markdown, &|| [&markdown::write(report), more].join(if more.is_empty() { "" } else { "\n" }))?;
        put(&self.html, &|| html::write(report))
    }
}
