//! `multiwasm-conformance run`.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::files::Files;
use super::progress::Progress;
use super::{Ended, say, summary};
use crate::catalog::Catalog;
use crate::report::count::Counts;
use crate::report::{Report, Timestamp, model};
use crate::runner::select::Filter;
use crate::runner::suite::{self, Plan};
use crate::runner::target::Target;

/// Run cases and show which engine does what; ends with 1 if a case fails
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// containerd's socket; unless given, the one that CONTAINERD_ADDRESS names, or /run/containerd/containerd.sock
    #[arg(long, value_name = "ADDRESS")]
    containerd: Option<PathBuf>,
    /// containerd's log file, where it has one: failures then show what was logged, and cases about the log are looked at
    #[arg(long, value_name = "FILE")]
    containerd_log: Option<PathBuf>,
    /// Run on this (wasmtime, wasmedge, wasmer, native, runc), as often as wanted; all that the cases can run on where
    /// neither this nor --runtime is given
    #[arg(long, value_name = "NAME", value_parser = engine)]
    engine: Vec<Target>,
    /// Run on the runtime of this name, io.containerd.wasmtime.v1 for one, as often as wanted
    #[arg(long, value_name = "NAME")]
    runtime: Vec<String>,
    /// Only cases of this name, a pattern with `*`, or part of a name, as often as wanted
    #[arg(long, value_name = "PATTERN")]
    case: Vec<String>,
    /// Containers at once; three a processor unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Seconds for a case at most, even if the case itself allows more
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,
    #[command(flatten)]
    pub(super) files: Files,
    /// Show nothing but failures and the result
    #[arg(long)]
    quiet: bool,
}

/// Where containerd listens unless somebody says otherwise.
pub(super) const USUAL: &str = "/run/containerd/containerd.sock";

/// The path that a variable names; a lab sets them.
pub(super) fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn engine(name: &str) -> Result<Target, String> {
    Target::named(name).ok_or_else(|| format!("there is {}; other runtimes go by --runtime", Target::NAMES.join(", ")))
}

impl Args {
    /// Runs the cases of `catalog` as these flags say, on the targets of these names where the flags name none; `verb` is
    /// the command's own words.
    pub(super) fn perform(
        &self,
        catalog: &Arc<Catalog>,
        verb: String,
        usual: &[&str],
    ) -> Result<Report, Box<dyn Error>> {
        self.files.check()?;
        let mut targets = self.engine.clone();
        targets.extend(self.runtime.iter().map(|name| Target::runtime(name)));
        if targets.is_empty() {
            targets = usual.iter().filter_map(|name| Target::named(name)).collect();
        }
        let mut names = std::collections::BTreeSet::new();
        targets.retain(|target| names.insert(target.name.clone()));
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let mut verb = verb;
        for (flag, value) in [
            ("--containerd", self.containerd.as_ref().map(|path| path.display().to_string())),
            ("--containerd-log", self.containerd_log.as_ref().map(|path| path.display().to_string())),
            ("--timeout", self.timeout.map(|seconds| seconds.to_string())),
        ] {
            verb.extend(value.map(|value| option(flag, &value)));
        }
        let plan = Plan {
            verb,
            containerd: self.containerd.clone().or_else(|| named("CONTAINERD_ADDRESS")).unwrap_or_else(|| USUAL.into()),
            log: self.containerd_log.clone().or_else(|| named("MULTIWASM_LAB_LOG")),
            targets,
            filter: Filter::new(&self.case, catalog)?,
            jobs: self.jobs.map_or(3 * processors, usize::from),
            timeout: self.timeout.map(Duration::from_secs),
        };
        let progress = Progress::new(self.quiet);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let run = runtime.block_on(suite::run(catalog, &plan, &progress))?;
        progress.end();
        Ok(Report {
            schema: model::SCHEMA,
            made: Timestamp::now(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            runs: vec![run],
        })
    }
}

/// ` FLAG VALUE`, as a shell takes it.
fn option(flag: &str, value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@=+".contains(c);
    if value.chars().all(plain) {
        format!(" {flag} {value}")
    } else {
        format!(" {flag} '{}'", value.replace('\'', r"'\''"))
    }
}

pub(super) fn run(catalog: &Arc<Catalog>, from: Option<&PathBuf>, args: &Args) -> Ended {
    let from = from.map(|folder| option("--from", &folder.display().to_string()));
    let report = args.perform(catalog, format!("run{}", from.unwrap_or_default()), &Target::NAMES)?;
    args.files.write(&report, "")?;
    say(&summary::of(&report))?;
    Ok(Counts::of_runs(&report.runs).failed == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_quoted_where_a_shell_would_split_them() {
        assert_eq!(option("--from", "/a/b"), " --from /a/b");
        assert_eq!(option("--from", "/a b/it's"), r" --from '/a b/it'\''s'");
    }
}
