//! `multiwasm-conformance report`.

use std::path::PathBuf;

use super::files::Files;
use super::{Ended, say, summary};
use crate::report::count::Counts;
use crate::report::{json, merge};

/// Write reports of earlier runs, several as one matrix; ends with 1 if a case failed
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What `run --json` wrote, of one containerd each
    #[arg(required = true, value_name = "FILE.json")]
    runs: Vec<PathBuf>,
    #[command(flatten)]
    files: Files,
}

pub(super) fn report(args: &Args) -> Ended {
    let mut reports = Vec::new();
    for path in &args.runs {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        reports.push(json::read(&text).map_err(|error| format!("{}: {error}", path.display()))?);
    }
    let report = merge::merge(reports)?;
    args.files.write(&report, "")?;
    say(&summary::of(&report))?;
    Ok(Counts::of_runs(&report.runs).failed == 0)
}
