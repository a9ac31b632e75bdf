//! `multiwasm-bench`: measurements in a lab, side by side with runc.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use multiwasm_bench::{BenchError, start};
use multiwasm_conformance::lab::Lab;

/// Measures multiwasm beside runc, in a lab (scripts/lab).
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// What to measure; all of it where nothing is said
    #[command(subcommand)]
    measure: Option<Measure>,
}

#[derive(Debug, Subcommand)]
enum Measure {
    /// Create, Start and exit of a tiny guest
    Start(Start),
}

#[derive(Debug, clap::Args)]
struct Start {
    /// How many starts of each
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
}

fn main() -> ExitCode {
    match measure(&Cli::parse()) {
        Ok(report) => {
            println!("\n{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("multiwasm-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(cli: &Cli) -> Result<String, BenchError> {
    let lab = Lab::from_env()?;
    let runs = match &cli.measure {
        Some(Measure::Start(start)) => start.runs,
        None => 20,
    };
    start::measure(&lab, runs.into())
}
