//! The command `multiwasm-conformance`: what users type, and what they read.
//!
//! # Layout
//!
//! - `run`: runs cases. `list`: shows them. `testsuite`: runs wasi-testsuite.
//!   `prove`: the suite on a shim that is broken on purpose. `chaos`: kills what it can.
//!   `report`: writes reports of earlier runs.
//! - `progress`: how far a run is. `summary`: what became of it, for a terminal. `files`: reports as files.

mod chaos;
mod files;
mod list;
mod progress;
mod prove;
mod report;
mod run;
mod summary;
mod testsuite;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};

use crate::catalog::{Catalog, CatalogError};
use crate::runner::suite::RunError;

/// Run the same container images on every WebAssembly engine, and on other runtimes, under a real containerd.
#[derive(Debug, Parser)]
#[command(name = "multiwasm-conformance", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// Take cases and guests from this folder (with `cases` and `guests` in it), not those of the command itself
    #[arg(long, global = true, value_name = "DIR")]
    from: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Args),
    List(list::Args),
    Testsuite(testsuite::Args),
    Prove(prove::Args),
    Chaos(chaos::Args),
    Report(report::Args),
}

/// Nothing came of it: wrong usage, or what is needed is not there.
const NO_RESULT: u8 = 2;
/// What a shell gives a command that Ctrl-C ended.
const STOPPED: u8 = 130;

/// What a verb ends with: whether all is well, or why there is no result.
type Ended = Result<bool, Box<dyn std::error::Error>>;

/// Reads the arguments, does what they say. 0: all is well, 1: cases failed, 2: there is no result.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match &cli.verb {
        Verb::Run(args) => catalog(cli.from.as_ref())
            .map_err(Into::into)
            .and_then(|catalog| run::run(&catalog, cli.from.as_ref(), args)),
        Verb::List(args) => {
            catalog(cli.from.as_ref()).map_err(Into::into).and_then(|catalog| list::list(&catalog, args))
        }
        Verb::Testsuite(args) => testsuite::testsuite(args),
        Verb::Chaos(args) => {
            catalog(cli.from.as_ref()).map_err(Into::into).and_then(|catalog| chaos::chaos(&catalog, args))
        }
        Verb::Prove(args) => prove::prove(cli.from.as_ref(), args),
        Verb::Report(args) => report::report(args),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("multiwasm-conformance: {error}");
            let stopped = matches!(error.downcast_ref(), Some(RunError::Stopped));
            ExitCode::from(if stopped { STOPPED } else { NO_RESULT })
        }
    }
}

/// Prints to stdout; that nobody reads it any more (`| head`) is no fault.
fn say(text: &str) -> std::io::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn catalog(from: Option<&PathBuf>) -> Result<Arc<Catalog>, CatalogError> {
    from.map_or_else(Catalog::embedded, |folder| Catalog::read(folder)).map(Arc::new)
}
