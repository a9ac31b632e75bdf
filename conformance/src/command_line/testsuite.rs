//! `multiwasm-conformance testsuite`.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Ended, run, say, summary};
use crate::catalog::Catalog;
use crate::report::count::Counts;
use crate::testsuite::alone::Commands;
use crate::testsuite::expectations::{Expectations, OWN};
use crate::testsuite::{cases, evidence, format};

/// Run each preview 1 module of a wasi-testsuite checkout as a container on each engine; what fails runs on the engine's own
/// command, too, where there is one. Ends with 1 if something fails that the expectations don't name, or passes that they do
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The checkout, with LANGUAGE/wasm32-wasip1/*.wasm in it
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// What the engines themselves fail, in place of what the command knows
    #[arg(long, value_name = "FILE.toml")]
    expectations: Option<PathBuf>,
    /// The command of an engine alone, where it is not on the PATH by the engine's name, as often as wanted
    #[arg(long, value_name = "ENGINE=PATH", value_parser = named)]
    alone: Vec<(String, PathBuf)>,
    #[command(flatten)]
    how: run::Args,
}

fn named(word: &str) -> Result<(String, PathBuf), String> {
    let (engine, path) = word.split_once('=').ok_or("it is not of the form wasmer=/usr/bin/wasmer")?;
    Ok((engine.to_owned(), path.into()))
}

pub(super) fn testsuite(args: &Args) -> Ended {
    let tests = format::tests(&args.folder)?;
    let text = match &args.expectations {
        None => OWN.to_owned(),
        Some(path) => std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?,
    };
    let expectations = Expectations::read(&text)?;
    expectations.check(&tests)?;
    let catalog = Arc::new(cases::catalog(Catalog::embedded()?, &tests, &expectations)?);
    let verb = format!("testsuite {}", args.folder.display());
    let mut report = args.how.perform(&catalog, verb, &["wasmtime", "wasmedge", "wasmer"])?;
    let commands = Commands::new(args.alone.iter().cloned());
    let mut more = String::new();
    for run in &mut report.runs {
        for lacking in evidence::add(run, &tests, &commands) {
            eprintln!("not run on the engine alone: {lacking}");
        }
        more.push_str(&evidence::markdown(run, &expectations));
    }
    args.how.files.write(&report, &more)?;
    say(&summary::of(&report))?;
    Ok(Counts::of_runs(&report.runs).failed == 0)
}
