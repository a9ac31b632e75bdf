//! The command `multiwasm`: what people ask a node, without containerd.
//!
//! A subcommand is a file here: its arguments, and a function that runs it. Answers go to stdout, readable or, with
//! `--json`, in a form that stays; what is wrong goes to stderr.
#![forbid(unsafe_code)]

mod cache;
mod compile;
mod console;
mod doctor;
mod engines;
mod extras;
mod image;
mod inspect;
mod install;
mod run;
mod scratch;
mod signals;
mod subject;

use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde::Serialize;

use crate::causes::chain;

/// Runs WebAssembly containers on Wasmtime, WasmEdge or Wasmer.
#[derive(Debug, Parser)]
#[command(name = "multiwasm", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Engines(engines::Args),
    Inspect(inspect::Args),
    Compile(compile::Args),
    Cache(cache::Args),
    Doctor(doctor::Args),
    Install(install::Install),
    Uninstall(install::Uninstall),
    #[command(hide = true)]
    Extras(extras::Args),
}

/// How a subcommand ends. Its error is printed with all causes.
type Ended = Result<ExitCode, Box<dyn Error>>;

/// Runs the command with the arguments of the process.
pub fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Run(args) => run::run(args),
        Command::Engines(args) => engines::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Compile(args) => compile::run(&args),
        Command::Cache(args) => cache::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Install(args) => install::install(&args),
        Command::Uninstall(args) => install::uninstall(&args),
        Command::Extras(args) => extras::run(&args),
    };
    ended.unwrap_or_else(|error| match error.downcast_ref::<io::Error>() {
        // Whoever read our answer has read enough.
        Some(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        _ => {
            eprintln!("multiwasm: {}", chain(&*error));
            ExitCode::FAILURE
        }
    })
}

/// `FILE#FUNCTION`, unless there is a file of just that name.
fn file_and_function(file: &Path) -> (PathBuf, Option<String>) {
    match file.to_str().and_then(|text| text.rsplit_once('#')) {
        Some((path, function)) if !file.exists() && !function.is_empty() => (path.into(), Some(function.to_owned())),
        _ => (file.to_owned(), None),
    }
}

/// Writes an answer as JSON.
fn print_json(answer: &impl Serialize) -> Result<(), Box<dyn Error>> {
    let mut stdout = io::stdout().lock();
    serde_json::to_writer_pretty(&mut stdout, answer).map_err(io::Error::from)?;
    writeln!(stdout)?;
    Ok(())
}

/// Rows in columns that are as wide as they must be; the last one is not filled up.
fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn functions_are_split_off() {
        assert_eq!(file_and_function(Path::new("a.wasm#f")), ("a.wasm".into(), Some("f".into())));
        assert_eq!(file_and_function(Path::new("a.wasm")), ("a.wasm".into(), None));
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [["a", "bbb", "c"], ["dd", "e", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(columns(&rows), "a   bbb  c\ndd  e\n");
    }
}
