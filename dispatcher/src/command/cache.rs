//! `multiwasm cache`: what the compile cache holds, whether it is sound, and making it smaller.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Subcommand;
use serde::Serialize;

use super::{Ended, columns, print_json};
use crate::artifact::{Cache, Entry, Failure};
use crate::config::Config;
use crate::options::parse_size;

/// Show, check or prune the compile cache
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the artifacts, the one that was used last first, and what could not be compiled
    Ls {
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// Read all artifacts and compare their checksums; what is torn or altered is removed
    Verify,
    /// Remove artifacts: those that were not used for long, and then the least recently used above a size
    Prune {
        /// Bytes that may stay, or a number with k, m or g; unless given, the configuration's cache.limit
        #[arg(long, value_parser = size)]
        to: Option<u64>,
        /// Remove all that was not used for so many days
        #[arg(long, value_name = "DAYS", value_parser = days)]
        unused: Option<u64>,
    },
}

fn size(text: &str) -> Result<u64, String> {
    if text == "0" {
        return Ok(0);
    }
    parse_size(text).ok_or_else(|| "allowed is 0, or bytes, or a number with suffix k, m or g".to_owned())
}

fn days(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "allowed is a whole number of days".to_owned())
}

#[derive(Debug, Serialize)]
struct Line {
    path: PathBuf,
    /// What the module was called where it was met first; empty where that is not known.
    module: String,
    engine: String,
    bytes: u64,
    /// Seconds since it was last used, to the hour.
    unused_seconds: u64,
    /// Why there is no artifact.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

/// Seconds since then.
fn since(when: SystemTime) -> u64 {
    SystemTime::now().duration_since(when).unwrap_or_default().as_secs()
}

impl From<Entry> for Line {
    fn from(Entry { path, module, engine, length, used }: Entry) -> Self {
        Self { path, module, engine, bytes: length, unused_seconds: since(used), failure: None }
    }
}

impl From<Failure> for Line {
    fn from(Failure { path, engine, message, when }: Failure) -> Self {
        Self { path, module: String::new(), engine, bytes: 0, unused_seconds: since(when), failure: Some(message) }
    }
}

/// Ends with 1 if `verify` found something.
pub(super) fn run(args: &Args) -> Ended {
    let config = Config::load(None)?;
    let cache = Cache::open(&config.cache)?;
    let mut out = std::io::stdout().lock();
    match args.what {
        What::Ls { json } => {
            let mut lines: Vec<Line> = cache.entries().into_iter().map(Line::from).collect();
            lines.extend(cache.failures().into_iter().map(Line::from));
            if json {
                drop(out);
                print_json(&lines)?;
                return Ok(ExitCode::SUCCESS);
            }
            let all: u64 = lines.iter().map(|line| line.bytes).sum();
            let mut rows = vec![["ENGINE", "SIZE", "USED", "MODULE", "ARTIFACT"].map(str::to_owned)];
            let (failed, made): (Vec<&Line>, Vec<_>) = lines.iter().partition(|line| line.failure.is_some());
            rows.extend(made.into_iter().map(row));
            write!(out, "{}", columns(&rows))?;
            writeln!(out, "{} of {} in {}", mib(all), mib(config.compile.cache), config.cache.display())?;
            for (line, reason) in failed.iter().filter_map(|line| Some((line, line.failure.as_ref()?))) {
                writeln!(out, "not compiled for the next start, {}: {reason}", ago(line.unused_seconds))?;
            }
        }
        What::Verify => {
            let (mut sound, mut bad, mut removed) = (0, 0, 0);
            for entry in cache.entries() {
                if cache.verify(&entry)? {
                    sound += 1;
                } else {
                    writeln!(out, "{}: torn or altered", entry.path.display())?;
                    bad += 1;
                    removed += usize::from(cache.take_out(&entry)?);
                }
            }
            writeln!(out, "{sound} sound, {removed} removed")?;
            return Ok(ExitCode::from(u8::from(bad > 0)));
        }
        What::Prune { to, unused } => {
            let unused = unused.map(|days| Duration::from_secs(days.saturating_mul(24 * 60 * 60)));
            let pruned = cache.prune(to.unwrap_or(config.compile.cache), unused)?;
            writeln!(out, "{} removed, {}", pruned.artifacts, mib(pruned.bytes))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(line: &Line) -> [String; 5] {
    [
        line.engine.clone(),
        mib(line.bytes),
        ago(line.unused_seconds),
        line.module.clone(),
        line.path.display().to_string(),
    ]
}

fn ago(seconds: u64) -> String {
    match seconds / 3600 {
        0 => "now".to_owned(),
        hours @ 1..48 => format!("{hours} h ago"),
        hours => format!("{} days ago", hours / 24),
    }
}

/// In MiB, with so many digits that a small artifact is not nothing.
fn mib(bytes: u64) -> String {
    let digits = if bytes < 100 << 10 { 3 } else { 1 };
    format!("{:.digits$} MiB", bytes as f64 / f64::from(1 << 20))
}
