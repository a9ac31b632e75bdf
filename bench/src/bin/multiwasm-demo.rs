//! `multiwasm-demo`: one image on three engines under a real containerd and Docker, as a table.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use multiwasm_bench::model::Machine;
use multiwasm_bench::{BenchError, demo};
use multiwasm_conformance::lab::Lab;

fn main() -> ExitCode {
    match show() {
        Ok(shown) => {
            println!("\n{shown}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("multiwasm-demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn show() -> Result<String, BenchError> {
    let lab = Lab::from_env()?;
    let machine = Machine::of(&lab);
    Ok(format!("{}\n{machine}", demo::run_all(&lab)?))
}
