//! `multiwasm-bench`: measurements in a lab, side by side with runc.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    multiwasm_bench::command_line::main()
}
