//! The command `multiwasm-bench`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use multiwasm_conformance::lab::Lab;
use multiwasm_conformance::runner::target::Target;

use crate::events::on_runtime;
use crate::model::{Part, Report};
use crate::progress::Progress;
use crate::rounds::Rounds;
use crate::run::{self, Plan};
use crate::{BenchError, compare, drawings, html, json, markdown, tables, targets};

/// Measures multiwasm beside runc and other runtimes, in a lab (scripts/lab).
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Measure all parts, or those that --part names
    Run {
        /// Only this part, as often as wanted; all where nothing is said (`steps` if containerd logs at its level debug)
        #[arg(long, value_name = "PART")]
        part: Vec<Part>,
        #[command(flatten)]
        options: Options,
    },
    /// Measure the phases of a start
    Start(Options),
    /// Measure first and second start of small and large modules
    Sizes(Options),
    /// Measure containers a second, one and several at a time
    Throughput(Options),
    /// Measure what idle containers weigh
    Memory(Options),
    /// Measure where the time goes inside the shim; needs a lab with MULTIWASM_LAB_LOG_LEVEL=debug
    Steps(Options),
    /// Measure guest code, in a container, without one, and native
    Compute(Options),
    /// Measure standard output and files in a container
    Io(Options),
    /// Say what changed from one report to another, and what is noise; ends with 1 if something is worse
    Compare {
        /// The report before
        before: PathBuf,
        /// The report after
        after: PathBuf,
        /// Percent below which a change counts as none
        #[arg(long, value_name = "PERCENT", default_value_t = 2.0)]
        threshold: f64,
        /// Show what did not change too
        #[arg(long)]
        all: bool,
    },
    /// Show reports again as one, as tables or as a page
    Report {
        /// The reports, as --json wrote them; the first one says what the machine is
        #[arg(required = true)]
        reports: Vec<PathBuf>,
        /// Write one HTML page with plots
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        /// Write each plot as an SVG file into this folder
        #[arg(long, value_name = "FOLDER")]
        svg: Option<PathBuf>,
        /// Write the tables as Markdown, with the plots of --svg, whose folder is taken to be beside this file
        #[arg(long, value_name = "FILE")]
        markdown: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct Options {
    /// Measure this (runc, wasmtime, wasmedge, wasmer, native), as often as wanted; the first one is the reference. runc and
    /// the three engines unless given
    #[arg(long, value_name = "NAME", value_parser = targets::engine)]
    engine: Vec<Target>,
    /// Measure the runtime of this name too, io.containerd.other.v1 for one, as often as wanted. It runs our Wasm image unless
    /// it is known to run native programs; `=wasm` or `=linux` behind the name says it
    #[arg(long, value_name = "NAME[=IMAGE]", value_parser = targets::runtime)]
    runtime: Vec<Target>,
    /// Rounds that count; dearer parts have fewer
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Rounds before them that don't
    #[arg(long, value_name = "N", default_value_t = 3)]
    warm_up: u16,
    /// Weigh 1000 containers too
    #[arg(long)]
    large: bool,
    /// A module that `sizes` starts too, with the argument --version, as often as wanted
    #[arg(long, value_name = "FILE")]
    module: Vec<PathBuf>,
    /// An annotation of every Wasm container, as often as wanted
    #[arg(long, value_name = "NAME=VALUE", value_parser = annotation)]
    annotation: Vec<(String, String)>,
    /// What our runtime finds in its options (docs/configuration.md), as often as wanted: `compile.mode = "eager"` for one
    #[arg(long, value_name = "TOML")]
    config: Vec<String>,
    /// Write all values as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write one HTML page with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Show no progress
    #[arg(long)]
    quiet: bool,
}

fn annotation(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or_else(|| format!("{text:?} has no `=`"))?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}

/// The command, with this process's arguments.
pub fn main() -> ExitCode {
    match perform(&Cli::parse().verb) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("multiwasm-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn perform(verb: &Verb) -> Result<bool, BenchError> {
    match verb {
        Verb::Run { part, options } => measure(part, options),
        Verb::Start(options) => measure(&[Part::Start], options),
        Verb::Sizes(options) => measure(&[Part::Sizes], options),
        Verb::Throughput(options) => measure(&[Part::Throughput], options),
        Verb::Memory(options) => measure(&[Part::Memory], options),
        Verb::Steps(options) => measure(&[Part::Steps], options),
        Verb::Compute(options) => measure(&[Part::Compute], options),
        Verb::Io(options) => measure(&[Part::Io], options),
        Verb::Compare { before, after, threshold, all } => {
            let changes = compare::changes(&json::read(before)?, &json::read(after)?, threshold / 100.0);
            print!("{}", compare::table(&changes, *all));
            Ok(changes.iter().all(|change| change.verdict != compare::Verdict::Worse))
        }
        Verb::Report { reports, html, svg, markdown } => {
            let reports = reports.iter().map(|file| json::read(file)).collect::<Result<Vec<_>, _>>()?;
            let Some(report) = reports.into_iter().reduce(Report::with) else { return Ok(true) };
            print!("{}", tables::of(&report));
            page(&report, html.as_deref())?;
            if let Some(folder) = svg {
                drawings::write(&report, folder)?;
            }
            if let Some(file) = markdown {
                let plots = svg.as_deref().map(|folder| Path::new(folder.file_name().unwrap_or_default()));
                std::fs::write(file, markdown::of(&report, plots))
                    .map_err(BenchError::file(&file.display().to_string()))?;
            }
            Ok(true)
        }
    }
}

/// Measures, and writes what was asked for; true if all that was asked for could be measured.
fn measure(parts: &[Part], options: &Options) -> Result<bool, BenchError> {
    let lab = Lab::from_env()?;
    let mut targets = options.engine.clone();
    if targets.is_empty() {
        targets = targets::USUAL.iter().filter_map(|name| Target::named(name)).collect();
    }
    targets.extend(options.runtime.iter().cloned());
    let mut parts = parts.to_vec();
    if parts.is_empty() {
        let debug = std::env::var("MULTIWASM_LAB_LOG_LEVEL").is_ok_and(|level| level == "debug");
        parts = Part::ALL.into_iter().filter(|part| *part != Part::Steps || debug).collect();
    }
    parts.sort_unstable();
    parts.dedup();
    let plan = Plan {
        command: format!(
            "scripts/lab run {} -- multiwasm-bench {}",
            lab.suite,
            words(std::env::args().skip(1)).join(" ")
        ),
        parts,
        targets: targets::named(targets),
        rounds: Rounds { warm_up: options.warm_up.into(), counted: options.rounds.into() },
        large: options.large,
        modules: options.module.clone(),
        annotations: options.annotation.clone(),
        config: options.config.iter().map(|line| format!("{line}\n")).collect(),
    };
    let report = on_runtime(run::run(&lab, plan, Progress::new(options.quiet)))??;
    if let Some(file) = &options.json {
        json::write(&report, file)?;
    }
    page(&report, options.html.as_deref())?;
    print!("{}", tables::of(&report));
    Ok(report.notes.is_empty())
}

/// The words that say what is measured: where a report goes to is nobody else's.
fn words(mut all: impl Iterator<Item = String>) -> Vec<String> {
    let mut kept = Vec::new();
    while let Some(word) = all.next() {
        match word.as_str() {
            "--json" | "--html" => drop(all.next()),
            "--quiet" => {}
            other if other.starts_with("--json=") || other.starts_with("--html=") => {}
            _ => kept.push(if word.contains([' ', '"']) { format!("'{word}'") } else { word }),
        }
    }
    kept
}

fn page(report: &Report, file: Option<&Path>) -> Result<(), BenchError> {
    let Some(file) = file else { return Ok(()) };
    std::fs::write(file, html::write(report)?).map_err(BenchError::file(&file.display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_report_says_what_was_measured_and_not_where_it_lies() {
        let all =
            ["run", "--json", "/x/y", "--rounds", "3", "--html=/x/z", "--config", "engine = \"wasmer\"", "--quiet"];
        let kept = words(all.iter().map(|word| (*word).to_owned()));
        assert_eq!(kept, ["run", "--rounds", "3", "--config", "'engine = \"wasmer\"'"]);
    }
}
