//! Reports as files.

use std::fs::File;
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
    /// Looks that each can be written, before minutes go into what it shall hold.
    ///
    /// # Errors
    /// The first that can't be.
    pub(super) fn check(&self) -> Result<(), String> {
        let all = [&self.json, &self.junit, &self.markdown, &self.html];
        all.into_iter().flatten().try_for_each(|path| {
            let opened = File::options().append(true).create(true).open(path);
            opened.map(drop).map_err(|error| format!("{}: {error}", path.display()))
        })
    }

    /// Writes those that were asked for, each whatever becomes of the others; `more` follows the matrix in Markdown.
    ///
    /// # Errors
    /// Those that could not be written.
    pub(super) fn write(&self, report: &Report, more: &str) -> Result<(), String> {
        let put = |path: &Option<PathBuf>, text: &dyn Fn() -> String| {
            let path = path.as_ref()?;
            std::fs::write(path, text()).err().map(|error| format!("{}: {error}", path.display()))
        };
        let failed = [
            put(&self.json, &|| json::write(report)),
            put(&self.junit, &|| junit::write(report)),
            put(&self.markdown, &|| [&markdown::write(report), more].join(if more.is_empty() { "" } else { "\n" })),
            put(&self.html, &|| html::write(report)),
        ];
        let failed: Vec<_> = failed.into_iter().flatten().collect();
        if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
    }
}
